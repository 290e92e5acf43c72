"""A bad span unlearned on a real Kafka: learned again while the worker runs, installed, killed, replayed."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from producers.load import Columns, Load, samples
from producers.publisher import Publisher
from producers.scenarios import alternating
from stream.cli import main
from stream.settings import Settings
from tests.integration.test_worker import (
    dated,
    deploy,
    predictions,
    transitions,
    wait_for_predictions,
    worker,
)

__all__ = ["deploy"]  # a fixture
pytestmark = pytest.mark.timeout(280)
BAD = range(600, 1100)
OTHER = {"kept": "returned", "returned": "kept"}
MODELS = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}


def rows() -> list[dict[str, Any]]:
    """Return a steady stream whose labels are inverted for 500 rows."""
    found = []
    for n, row in enumerate(dated(alternating(1800))):
        label = row["target"]
        found.append({**row, "target": OTHER[label] if n in BAD else label})
    return found


def send_part(settings: Settings, part: list[dict[str, Any]], start: int) -> None:
    topics = (settings.topic("events"), settings.topic("labels"))
    with Publisher(settings.kafka, topics) as publisher:
        columns = Columns(timestamp="at", prefix=f"from-{start}")
        Load(publisher, *topics).send(samples(part, settings.definition, columns))


def shell(*words: str, status: int = 0) -> str:
    """Return what a command says."""
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == status, result.output
    return result.output


def right(settings: Settings, all_rows: list[dict[str, Any]], first: int, last: int) -> float:
    answers = predictions(settings)[first:last]
    return sum(a["prediction"] == r["target"] for a, r in zip(answers, all_rows[first:last], strict=True)) / (
        last - first
    )


def test_a_poisoned_span_is_unlearned_beside_the_worker(
    deploy: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed while it runs; killed before any snapshot it has the state again, and so has a replay."""
    monkeypatch.setattr(os, "nice", lambda _: 0)  # the tests after this one are to be as quick
    drift = {"detector": "DDM", "on_drift": "tell", "min_labels": 100_000}
    settings = deploy(models=MODELS, champion="blend", drift=drift, snapshots={"every": "10m"})
    file, all_rows = str(settings.file), rows()
    send_part(settings, all_rows[:1200], 0)
    with worker(settings) as child:
        wait_for_predictions(settings, 1200, child)
        assert right(settings, all_rows, 1150, 1200) < 0.7
        told = shell(
            "rebuild", file, "--without", f"{BAD.start}..{BAD.stop}", "--install", "--operator", "ada",
            "--reason", "labels were inverted", "--wait", "90",
        )  # fmt: skip
        assert "left out: 500 events" in told
        assert "installed: labels were inverted" in told
        send_part(settings, all_rows[1200:1500], 1200)
        wait_for_predictions(settings, 1500, child)
        child.kill()
        child.start()
        send_part(settings, all_rows[1500:], 1500)
        wait_for_predictions(settings, 1800, child)
        child.kill()
    assert right(settings, all_rows, 1200, 1800) > right(settings, all_rows, 200, 600) - 0.03
    installed = [t for t in transitions(settings) if t["kind"] == "installed"]
    assert [(t["requested_by"], t["evidence"]["left_out"]) for t in installed] == [
        ("ada", ["events:600..1100"])
    ]
    assert installed[0]["evidence"]["now"] < installed[0]["evidence"]["then"]
    assert installed[0]["champion"] == installed[0]["to"]
    assert "byte for byte" in shell("replay", file, "--topic", "--compare")
    digest = installed[0]["evidence"]["digest"]
    assert digest in shell("install", file)

    shell("rebuild", file, "--to", "v1")
    listed = shell("install", file)
    assert len(listed.splitlines()) == 2
    shell("install", file, digest[:8], "--reason", "nobody is there", "--wait", "0.1", status=3)
    worse = ("--without", "0..1700", "--install", "--reason", "without what was good")
    assert "Not installed: over" in shell("rebuild", file, *worse, status=1)
    shell("install", file, digest[:8], "--delete")
    gone = shell("replay", file, "--topic", "--compare", status=2)
    assert f"installed the state {digest}, which cannot be had any more" in gone
