"""The dashboard file: fresh, well formed, asking only for metrics that exist."""

import re

import yaml

from monitoring.dashboard import FILE, dashboard, expressions, text
from monitoring.metrics import registry_of
from monitoring.rules import RECORDS
from stream.processing.processor import Processor
from tests.conftest import REPOSITORY
from tests.support import definition
from tests.unit.monitoring.support import Bench


def test_the_checked_in_dashboard_is_fresh() -> None:
    """Whoever changes the generator writes the file anew: python -m monitoring.dashboard."""
    assert FILE.read_text(encoding="utf-8") == text()


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    """Grafana would draw them over each other, and edit the wrong one."""
    panels = dashboard()["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_only_declared_variables_are_used() -> None:
    """A misspelt variable would be sent to Prometheus as it stands."""
    made = dashboard()
    declared = {variable["name"] for variable in made["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", text())) - {"__all"} <= declared


def test_only_metrics_that_exist_are_asked_for() -> None:
    """By the collector itself, and the recording rules."""
    facts = Bench(Processor(definition())).facts()
    known = set(RECORDS)
    for family in registry_of("tiny", lambda: facts).collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        known |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    for queries in expressions().values():
        for query in queries:
            asked = set(re.findall(r"[\w:]*meander_[\w:]+", query))
            assert asked
            assert asked <= known, asked - known


def test_the_provisioned_data_source_is_the_prometheus_of_compose() -> None:
    """Its address is the service's name and port."""
    folder = REPOSITORY / "monitoring" / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))
    assert [s["url"] for s in source["datasources"]] == ["http://prometheus:9090"]
