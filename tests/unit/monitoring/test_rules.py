"""Alert rules: fresh, linted, each with a runbook section, and each firing when it should and only then."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitoring.rules import ALERTS, FOLDER, RUNBOOK, rules, scaled, text
from tests.conftest import REPOSITORY, tool

FILE = FOLDER / "meander.yml"
D, P = 'deployment="d"', 'deployment="d",partition="0"'


def test_the_checked_in_rules_are_fresh() -> None:
    """Whoever changes the generator writes the file anew: python -m monitoring.rules."""
    assert FILE.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("scale", [1, 60])
def test_promtool_finds_nothing(tmp_path: Path, scale: float) -> None:
    """Lint is fatal, at each time scale."""
    file = tmp_path / "rules.yml"
    file.write_text(text(scale), encoding="utf-8")
    command = [tool("promtool", "prometheus"), "check", "rules", "--lint=all", "--lint-fatal", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_a_runbook_section() -> None:
    """The anchor exists, and the section says what it means, where to look, what to do, in that order."""
    page = (REPOSITORY / RUNBOOK).read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S))
    assert list(sections) == [alert.name for alert in ALERTS]
    for name, body in sections.items():
        found = re.findall(r"\*\*(What it means|What to look at|What to do)\.\*\*", body)
        assert found == ["What it means", "What to look at", "What to do"], name


def test_scaling_leaves_names_alone() -> None:
    """Durations shrink; recording rules keep their names, so that a dashboard works at any scale."""
    assert scaled("a:rate5m > 0 and rate(x[10m]) and y offset 1d", 60) == (
        "a:rate5m > 0 and rate(x[10s]) and y offset 24m"
    )
    groups: Any = rules(60)["groups"]
    assert [r["record"] for r in groups[0]["rules"]] == [r["record"] for r in rules()["groups"][0]["rules"]]


def case(alert: str, at: str, labels: dict[str, str] | None, given: dict[str, str]) -> dict[str, Any]:
    """One situation: what is there, and the labels of the alert that must fire; None: it must not."""
    expected = [] if labels is None else [{"exp_labels": {**labels, "severity": severity(alert)}}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": f"Meander{alert}", "exp_alerts": expected}],
    }


def severity(alert: str) -> str:
    return next(a.severity for a in ALERTS if a.name == alert)


DEPLOYED = {"deployment": "d"}
IN_PARTITION = {"deployment": "d", "partition": "0"}
SLOW = 'meander_event_latency_seconds_bucket{deployment="d",le="0.25"}'
ALL = 'meander_event_latency_seconds_count{deployment="d"}'
EVENTS = f'meander_events_total{{{P},outcome="predicted"}}'
LEARNED = f'meander_labels_total{{{P},outcome="learned"}}'
SERVED = {
    f"meander_served_loss_total{{{P}}}": "0+32x60",
    f"meander_served_scored_labels_total{{{P}}}": "0+64x60",
    f'meander_scored_labels_total{{{P},model="one",role="fallback"}}': "0+64x60",
    f'meander_scored_labels_total{{{P},model="two",role="fallback"}}': "0+64x60",
    f'meander_loss_total{{{P},model="two",role="fallback"}}': "0+48x60",
}
BETTER_RULE = {f'meander_loss_total{{{P},model="one",role="fallback"}}': "0+16x60"}
RULE_OF_FEW = {  # right about the half that it answers
    f'meander_scored_labels_total{{{P},model="one",role="fallback"}}': "0+32x60",
    f'meander_loss_total{{{P},model="one",role="fallback"}}': "0+8x60",
}
WORSE_RULE = {f'meander_loss_total{{{P},model="one",role="fallback"}}': "0+32x60"}
FIRED = f'meander_drift_signals_total{{{P},kind="concept",detector="bet"}}'
CHANGED = f'meander_transitions_total{{{P},kind="challenged"}}'

CASES = [
    case("Watchdog", "1m", {}, {}),
    case(
        "WorkerDown", "3m", {"job": "meander", "instance": "a"}, {'up{job="meander",instance="a"}': "1 0 0 0"}
    ),
    case("WorkerDown", "3m", None, {'up{job="meander",instance="a"}': "1 1 1 1", 'up{job="x"}': "0 0 0 0"}),
    case("Absent", "3m", {"job": "meander"}, {'up{job="other"}': "1 1 1 1"}),
    case("Absent", "3m", None, {'up{job="meander"}': "0 0 0 0"}),
    case(
        "PartitionUnowned",
        "4m",
        DEPLOYED,
        {f"meander_learning{{{P}}}": "1x5", f"meander_partitions{{{D}}}": "2x5"},
    ),
    case("PartitionUnowned", "4m", DEPLOYED, {f"meander_partitions{{{D}}}": "2x5"}),
    case(
        "PartitionUnowned",
        "4m",
        None,
        {f"meander_learning{{{P}}}": "0x5", f"meander_partitions{{{D}}}": "1x5"},
    ),
    case(
        "PartitionOwnedTwice",
        "4m",
        IN_PARTITION,
        {f'meander_learning{{{P},instance="a"}}': "1x5", f'meander_learning{{{P},instance="b"}}': "1x5"},
    ),
    case("Unaccounted", "3m", DEPLOYED, {f"meander_unaccounted_records{{{P}}}": "0 2 2 2"}),
    case("Unaccounted", "3m", None, {f"meander_unaccounted_records{{{P}}}": "0x5"}),
    case(
        "Lag",
        "8m",
        {**IN_PARTITION, "topic": "events"},
        {f'meander_lag_seconds{{{P},topic="events"}}': "90x9"},
    ),
    case("Lag", "8m", None, {f'meander_lag_seconds{{{P},topic="events"}}': "90 90 0 90 90 90 0 90 90"}),
    case("LatencyBudgetFast", "90m", DEPLOYED, {SLOW: "0+50x90", ALL: "0+100x90"}),
    case("LatencyBudgetFast", "90m", None, {SLOW: "0+99x90", ALL: "0+100x90"}),
    case("LatencyBudgetSlow", "400m", DEPLOYED, {SLOW: "0+90x400", ALL: "0+100x400"}),
    case("LabelsStopped", "60m", DEPLOYED, {EVENTS: "0+60x60", LEARNED: "0+60x20 1200x40"}),
    case("LabelsStopped", "60m", None, {EVENTS: "0+60x60", LEARNED: "0+1x60"}),
    case("LabelsStopped", "60m", None, {EVENTS: "0+60x20 1200x40", LEARNED: "0+60x20 1200x40"}),
    case("LabelsFew", "3000m", DEPLOYED, {EVENTS: "0+60x3000", LEARNED: "0+60x2880 172800+6x120"}),
    case("EventsStopped", "75m", DEPLOYED, {EVENTS: "0+60x55 3300x30"}),
    case("EventsStopped", "75m", None, {EVENTS: "0x80"}),
    case("SnapshotStale", "6m", IN_PARTITION, {f"meander_snapshot_timestamp_seconds{{{P}}}": "0x9"}),
    case("SnapshotStale", "6m", None, {f"meander_snapshot_timestamp_seconds{{{P}}}": "0+60x9"}),
    case("ServedWorseThanRules", "40m", DEPLOYED, {**SERVED, **BETTER_RULE}),
    case("ServedWorseThanRules", "40m", None, {**SERVED, **WORSE_RULE}),
    case("ServedWorseThanRules", "40m", None, {**SERVED, **RULE_OF_FEW}),
    case(
        "FallbackLong",
        "40m",
        DEPLOYED,
        {f'meander_mode{{{P},mode="fallback"}}': "1x40", f'meander_mode{{{P},mode="champion"}}': "0x40"},
    ),
    case("DriftUnanswered", "45m", DEPLOYED, {FIRED: "0 0 1x60", CHANGED: "0x60"}),
    case("DriftUnanswered", "45m", None, {FIRED: "0 0 1x60", CHANGED: "0 0 1x60"}),
    case("Flapping", "50m", IN_PARTITION, {f'meander_transitions_total{{{P},kind="resumed"}}': "0+1x60"}),
    case(
        "DeadLetters",
        "25m",
        DEPLOYED,
        {
            f'meander_dead_letters_total{{{P},topic="events",reason="contract"}}': "0+5x30",
            EVENTS: "0+50x30",
            LEARNED: "0+50x30",
        },
    ),
    case(
        "PendingFull",
        "15m",
        IN_PARTITION,
        {f"meander_pending_labels{{{P}}}": "90x20", f"meander_pending_labels_limit{{{P}}}": "100x20"},
    ),
    case(
        "Nonfinite",
        "5m",
        {"deployment": "d", "model": "lr"},
        {f'meander_nonfinite_predictions_total{{{P},model="lr"}}': "0 0 1 1 1 1"},
    ),
]


def without_annotations(text: str) -> str:
    """Leave summaries out: promtool wants them word for word, and they hold numbers."""
    return re.sub(r"^ +annotations:\n(?: +(?:summary|runbook_url):.*\n)+", "", text, flags=re.M)


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """Every alert has a situation in which it fires; most have one close by in which it must not."""
    assert {c["alert_rule_test"][0]["alertname"] for c in CASES} == {f"Meander{a.name}" for a in ALERTS}
    (tmp_path / "rules.yml").write_text(without_annotations(text()), encoding="utf-8")
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": CASES}
    (tmp_path / "test.yml").write_text(json.dumps(tests), encoding="utf-8")
    command = [tool("promtool", "prometheus"), "test", "rules", "test.yml"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
