"""The way back on a real Kafka: a version by name, after a crash, and the same in a replay."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from producers.scenarios import alternating
from stream.app import open_log
from stream.cli import main
from stream.replay import differences
from stream.settings import Settings
from tests.integration.test_worker import (
    dated,
    deploy,
    send,
    stop,
    transitions,
    wait_for_predictions,
    worker,
)

__all__ = ["deploy"]  # a fixture
pytestmark = pytest.mark.timeout(280)


def test_a_kept_version_comes_back_after_a_crash(deploy: Callable[..., Settings]) -> None:
    """Killed and started again, the worker still has the state of then; the log says who asked, and why."""
    models = {"lr": {"recipe": "logistic_regression"}}
    settings = deploy(versions={"every": 200}, models=models, champion="lr")
    file, rows = str(settings.file), list(dated(alternating(450)))
    send(settings, rows)
    with worker(settings) as child:
        wait_for_predictions(settings, 450, child)
        child.kill()
        child.start()
        listed = CliRunner().invoke(main, ["versions", "list", file, "--json"])
        entries = json.loads(listed.output)["versions"]
        kept = [entry["version"] for entry in entries if entry["kind"] == "archived"]
        assert len(kept) == 2
        target = kept[0]["name"].rpartition("/")[2]
        words = [
            "rollback",
            file,
            target,
            "--reason",
            "worse since noon",
            "--operator",
            "ada",
            "--wait",
            "90",
        ]
        asked = CliRunner().invoke(main, [*words, "--wait", "90"])
        assert asked.exit_code == 0, asked.output
        stop(child)
    told = next(t for t in transitions(settings) if t["kind"] == "rolled_back")
    assert (told["requested_by"], told["reason"]) == ("ada", "worse since noon")
    assert told["versions"][-1]["parent"] == kept[0]["name"]
    assert told["champion"] == told["to"]
    with open_log(settings) as log:
        assert differences(settings.definition, 0, log) == []
