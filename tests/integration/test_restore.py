"""A worker that comes back: to a damaged snapshot, to another definition, to a log that lost records."""

import json
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, TopicPartition

from producers.load import Columns, Load, samples
from producers.publisher import Publisher
from producers.scenarios import Scenario, alternating
from stream import toml
from stream.adapters.processes import Child
from stream.app import open_log
from stream.cli import main
from stream.replay import differences
from stream.settings import Settings, load_settings
from tests.integration.test_worker import dated, deploy, stop, wait_for_predictions, worker

__all__ = ["deploy"]  # a fixture
pytestmark = pytest.mark.timeout(280)
ROWS = list(dated(alternating(600)))
Deploy = Callable[..., Settings]


def last_words(child: Child, seconds: float = 60) -> str:
    """Start a worker that must stop by itself, not cleanly; returns what it said."""
    with child:
        deadline = time.monotonic() + seconds
        while child.status is None:
            assert time.monotonic() < deadline, child.log.read_text(encoding="utf-8")
            time.sleep(0.1)
        assert child.status != 0
        return child.log.read_text(encoding="utf-8")


def rewritten(settings: Settings, **changes: Any) -> None:
    """Change the definition file at its top level."""
    scenario = Scenario.definition(settings.definition.name)
    kafka = {"brokers": settings.kafka.brokers, "session_timeout": "6s"}
    raw = {**scenario, "kafka": kafka, "web": {"port": 0}, **changes}
    Path(str(settings.file)).write_text("\n".join(toml.document(raw)), encoding="utf-8")


def send_part(settings: Settings, start: int, end: int) -> None:
    """Send some of the rows, under ids of their own."""
    topics = (settings.topic("events"), settings.topic("labels"))
    columns = Columns(timestamp="at", prefix=f"from-{start}")
    with Publisher(settings.kafka, topics) as publisher:
        Load(publisher, *topics).send(samples(ROWS[start:end], settings.definition, columns))


def test_damaged_snapshots_give_way_to_the_one_before(deploy: Deploy) -> None:
    """After a kill with the two newest snapshots broken the third is used, and nobody sees a difference."""
    settings = deploy()
    with worker(settings) as child:
        for end in (150, 300, 450):
            send_part(settings, end - 150, end)
            wait_for_predictions(settings, end, child)
            time.sleep(0.6)  # two snapshots' time
        child.kill()
        _, second, first = sorted(settings.folder.rglob("*.snapshot"))
        data = second.read_bytes()
        second.write_bytes(data[:-10] + bytes([data[-10] ^ 1]) + data[-9:])
        first.write_bytes(first.read_bytes()[:-10])
        child.start()
        send_part(settings, 450, 600)
        wait_for_predictions(settings, 600, child)
        stop(child)
        said = child.log.read_text(encoding="utf-8")
    for damage in ("truncated", "corrupted"):
        assert f"snapshot.refused partition=0 reason={damage}" in said
    with open_log(settings) as log:
        assert log.bounds("predictions", 0)[1] == 600
        assert differences(settings.definition, 0, log) == []


def test_a_worker_that_cannot_go_on_says_why(deploy: Deploy) -> None:
    """Another definition, records that retention took, a topic made anew: it stops with a sentence."""
    settings = deploy()
    send_part(settings, 0, 300)
    with worker(settings) as child:
        wait_for_predictions(settings, 300, child)
        stop(child)

    original = Path(str(settings.file)).read_text(encoding="utf-8")
    features = Scenario.definition("x")["features"]
    rewritten(settings, features={**features, "amount": {"min": -5}})
    said = last_words(worker(settings, 2))
    assert "belongs to other features" in said
    assert "meander rebuild" in said
    Path(str(settings.file)).write_text(original, encoding="utf-8")

    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.brokers)
    events = settings.topic("events")
    kept = settings.folder.with_name("kept")
    settings.folder.rename(kept)
    admin.delete_records({TopicPartition(events, 0): 100})
    said = last_words(worker(settings, 3))
    assert "events[0] begins at 100, but the state stands at 0: retention took" in said
    shutil.rmtree(settings.folder, ignore_errors=True)
    kept.rename(settings.folder)

    admin.delete_topics([events])
    time.sleep(1.0)
    admin.create_topics({events: {"num_partitions": 1}}, wait_for_metadata=True)
    admin.close()
    said = last_words(worker(settings, 4))
    assert "events[0] is another topic than the one the state stands on" in said


def test_another_definition_holds_from_one_record_on(deploy: Deploy) -> None:
    """A worker comes back with other members, is killed, comes back: all is answered once, and repeats."""
    settings = deploy()
    file = Path(str(settings.file))
    models = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}
    changes = {"models": models, "drift": {"alpha": 0.01}, "snapshots": {"every": "200ms"}}
    with worker(settings) as child:
        send_part(settings, 0, 200)
        wait_for_predictions(settings, 200, child)
        stop(child)
        rewritten(settings, **changes)
        snapshot = max(settings.folder.rglob("*.snapshot"))
        said = CliRunner().invoke(main, ["check", str(file), "--against", str(snapshot)]).output
        assert "models.nb" in said
        assert "rebuild" not in said
        child.start()
        send_part(settings, 200, 400)
        wait_for_predictions(settings, 400, child)
        child.kill()
        child.start()
        send_part(settings, 400, 600)
        wait_for_predictions(settings, 600, child)
        stop(child)
    with open_log(settings) as log:
        told = list(log.read("transitions", 0, *log.bounds("transitions", 0)))
        kinds = [json.loads(record.value or b"")["kind"] for record in told]
        assert kinds.count("redefined") == 1
        assert log.bounds("predictions", 0)[1] == 600
        assert differences(load_settings(file, {}).definition, 0, log) == []


def test_what_is_forgotten_is_in_no_file(deploy: Deploy) -> None:
    """Once as many snapshots were taken as are kept, an entity's values stand in none of them, nor beside."""
    settings = deploy(models={"lr": {"recipe": "logistic_regression"}}, champion="lr")
    secrets = {"asked": 71234.015625, "learned": 81234.015625}
    needles = [form(value) for value in secrets.values() for form in (_big, _little, lambda v: b"%r" % v)]
    features = {name: ROWS[0][name] for name in settings.definition.features}
    number = next(name for name, feature in settings.definition.features.items() if feature.type == "number")

    def found() -> int:
        kept = [path.read_bytes() for path in settings.folder.rglob("*") if path.is_file()]
        return sum(needle in data for data in kept for needle in needles)

    with worker(settings) as child, Publisher(settings.kafka, (settings.topic("events"),)) as publisher:
        send_part(settings, 0, 100)
        for name, value in secrets.items():
            event = {"id": name, "timestamp": ROWS[100]["at"], "features": {**features, number: value}}
            if name == "learned":
                event["label"] = settings.definition.classes[0]
            publisher.publish(settings.topic("events"), b"ann", json.dumps(event).encode())
        publisher.flush()
        wait_for_predictions(settings, 102, child)
        time.sleep(0.6)
        assert found()
        told = CliRunner().invoke(main, ["forget", str(settings.file), "--key", "ann", "--json"])
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["log"] == {
            "events": 2, "labels": 0, "predictions": 2, "dead-letters": 0
        }  # fmt: skip
        for start in range(100, 350, 50):
            send_part(settings, start, start + 50)
            wait_for_predictions(settings, start + 52, child)
            time.sleep(0.6)
        assert not found()
        child.kill()
        child.start()
        send_part(settings, 350, 400)
        wait_for_predictions(settings, 402, child)
        stop(child)
    with open_log(settings) as log:
        assert differences(settings.definition, 0, log) == []


def _big(value: float) -> bytes:
    return struct.pack(">d", value)


def _little(value: float) -> bytes:
    return struct.pack("<d", value)
