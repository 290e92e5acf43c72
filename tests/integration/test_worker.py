"""The worker on a real Kafka: what goes out is what the log gives, whatever is killed; drift is acted on."""

import itertools
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from producers.delays import constant
from producers.load import Columns, Load, paced, samples
from producers.publisher import Publisher
from producers.scenarios import Scenario, alternating
from stream import toml
from stream.adapters.kafka_log import KafkaLog
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics, delete_topics
from stream.app import open_log
from stream.replay import FILES, Outcomes, differences, replay_rows
from stream.settings import Settings, load_settings

pytestmark = pytest.mark.timeout(280)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def deploy(kafka: str, deployment_name: str, tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """Yield what writes a definition of the scenario's stream and makes its topics; they go afterwards."""
    made: list[Settings] = []

    def make(suffix: str = "", partitions: int = 1, **changes: Any) -> Settings:
        definition = {
            **Scenario.definition(deployment_name + suffix),
            "scope": "partition" if partitions > 1 else "deployment",
            "kafka": {"brokers": kafka, "partitions": partitions, "session_timeout": "6s"},
            "web": {"port": 0},
            **changes,
            "snapshots": {
                "folder": f"snapshots{suffix}",
                "every": "200ms",
                **changes.get("snapshots", {}),
            },
        }
        file = tmp_path / f"deployment{suffix}.toml"
        file.write_text("\n".join(toml.document(definition)), encoding="utf-8")
        settings = load_settings(file, {})
        made.append(settings)
        create_topics(settings)
        return settings

    yield make
    for settings in made:
        delete_topics(settings)


def worker(settings: Settings, number: int = 1) -> Child:
    file = Path(str(settings.file))
    command = [sys.executable, "-m", "stream", "worker", file.name]
    return Child(command, file.parent, file.with_suffix(f".{number}.log"))


def dated(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """Yield rows with an event time each, so that a replay of the file gives the same bytes."""
    return ({**row, "at": 1_700_000_000_000 + i} for i, row in enumerate(scenario.rows()))


def send(settings: Settings, rows: Any, delay: int | None = None, rate: float | None = None) -> None:
    columns = Columns(timestamp="at", prefix="row")
    topics = (settings.topic("events"), settings.topic("labels"))
    with Publisher(settings.kafka, topics) as publisher:
        stream = samples(rows, settings.definition, columns)
        load = Load(publisher, *topics)
        mode = "inside" if delay is None else "topic"
        law = None if delay is None else constant(delay)
        load.send(paced(stream, rate) if rate else stream, mode, law)


def count(log: KafkaLog, topic: str, partitions: int) -> int:
    return sum(log.bounds(topic, p)[1] for p in range(partitions))


def wait_for_predictions(settings: Settings, wanted: int, child: Child, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    with open_log(settings) as log:
        while count(log, "predictions", settings.partitions) < wanted:
            assert child.pid is not None, child.last_words()
            assert time.monotonic() < deadline, child.last_words()
            time.sleep(0.1)


def stop(child: Child) -> None:
    """Stop a worker as an operator would, once it has started and had a second for what is left."""
    deadline = time.monotonic() + 100
    while "partitions.restored" not in child.log.read_text(encoding="utf-8"):
        assert child.pid is not None, child.last_words()
        assert time.monotonic() < deadline, child.last_words()
        time.sleep(0.1)
    time.sleep(1.0)
    status = child.stop()
    assert status == 0, child.last_words()


def held(child: Child) -> set[int]:
    """Return the partitions that a worker restored last, by its own log."""
    found = re.findall(r"partitions\.restored \[([\d, ]*)\]", child.log.read_text(encoding="utf-8"))
    return {int(n) for n in found[-1].split(",") if n.strip()} if found else set()


def shared(one: set[int], other: set[int]) -> bool:
    return bool(one and other) and not one & other and one | other == {0, 1, 2, 3}


def wait_until(fact: Callable[[], bool], child: Child, seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert child.pid is not None, child.last_words()
        assert time.monotonic() < deadline, child.last_words()
        time.sleep(0.1)


def transitions(settings: Settings) -> list[dict[str, Any]]:
    with open_log(settings) as log:
        return [json.loads(r.value or b"") for r in log.read("transitions", 0, *log.bounds("transitions", 0))]


def predictions(settings: Settings) -> list[dict[str, Any]]:
    with open_log(settings) as log:
        return [json.loads(r.value or b"") for r in log.read("predictions", 0, *log.bounds("predictions", 0))]


@pytest.mark.parametrize(("partitions", "delay"), [(1, None), (4, 40)])
def test_nothing_is_lost_or_doubled_when_workers_are_killed(deploy, partitions, delay):
    """After several kill -9 in mid-stream every event has one answer, byte for byte what a replay gives."""
    settings = deploy(partitions=partitions, drift={"detector": "ADWIN", "on_drift": "challenge"})
    events = alternating(1500, 1500)
    children = (worker(settings, number) for number in itertools.count(1))
    landed = 0
    current = next(children)
    current.start()
    sending = threading.Thread(target=send, args=(settings, dated(events), delay, 150.0), daemon=True)
    try:
        wait_until(lambda: bool(held(current)), current)  # else all is there before the first one answers
        sending.start()
        for share in (0.1, 0.4, 0.7):
            wait_for_predictions(settings, int(events.length * share), current)
            current.kill()
            with open_log(settings) as log:
                landed += 0 < count(log, "predictions", partitions) < events.length
            current = next(children)
            current.start()
        sending.join()
        wait_for_predictions(settings, events.length, current)
        stop(current)
    finally:
        current.kill()

    with open_log(settings) as log:
        assert events.length == count(log, "predictions", partitions)
        for partition in range(partitions):
            assert differences(settings.definition, partition, log) == []
    assert landed >= 1


def test_the_topic_holds_what_a_replay_of_the_file_gives(deploy, tmp_path):
    """With labels inside, values on the topics equal the replay of the same records from a file."""
    settings = deploy(drift={"detector": "HDDMA", "on_drift": "fallback"})
    events = alternating(800, 800)
    send(settings, dated(events))
    with worker(settings) as child:
        wait_for_predictions(settings, events.length, child)
        stop(child)

    with Outcomes(settings.definition, tmp_path / "out") as outcomes:
        replay_rows(settings.definition, dated(events), Columns(timestamp="at", prefix="row"), outcomes)
    with open_log(settings) as log:
        for topic, name in FILES.items():
            sent = [r.value for r in log.read(topic, 0, *log.bounds(topic, 0))]
            assert (tmp_path / "out" / name).read_bytes().splitlines() == sent


def test_a_second_worker_shares_the_partitions_and_takes_over(deploy):
    """Two workers share four partitions; when one stops the other goes on, and the journal stays exact."""
    settings = deploy(partitions=4)
    events = alternating(3000)
    first, second = worker(settings, 1), worker(settings, 2)
    with first, second:
        wait_until(lambda: shared(held(first), held(second)), first)
        sending = threading.Thread(target=send, args=(settings, dated(events), 20, 300.0), daemon=True)
        sending.start()
        wait_for_predictions(settings, events.length // 3, first)
        stop(first)
        sending.join()
        wait_for_predictions(settings, events.length, second)
        stop(second)

    with open_log(settings) as log:
        assert events.length == count(log, "predictions", 4)
        for partition in range(4):
            assert differences(settings.definition, partition, log) == []


def test_time_passes_when_everything_is_silent(deploy):
    """No event and no label comes any more: ticks end the waits that are over, and a replay repeats them."""
    label = {**Scenario.definition("x")["label"], "ttl": "1s", "idle": "500ms"}
    settings = deploy(label={**label, "expire_as": label["classes"][0]})
    with Publisher(settings.kafka, (settings.topic("events"), settings.topic("labels"))) as publisher:
        load = Load(publisher, settings.topic("events"), settings.topic("labels"))
        rows = itertools.islice(dated(alternating(1500, 1500)), 50)
        load.send(samples(rows, settings.definition, Columns(timestamp="at")), "none")
    child = worker(settings)
    child.start()
    try:
        wait_until(lambda: "expired" in [t["kind"] for t in transitions(settings)], child)
        stop(child)
    finally:
        child.kill()
    told = [t["evidence"]["expired"] for t in transitions(settings) if t["kind"] == "expired"]
    assert sum(told) == 50
    with open_log(settings) as log:
        assert count(log, "control", 1) == len(told)  # no tick that ended nothing
        assert differences(settings.definition, 0, log) == []


HALF = 1200
FOLLOWS = {"challenge": ["challenged"], "retrain": ["retrained"], "fallback": ["fell_back"], "tell": []}


@pytest.mark.timeout(600)  # sixteen workers
def test_detectors_trigger_what_the_definition_says(deploy, tmp_path):
    """Each detector with each action, one line each: signal, action at the same input, who answers then."""
    cases = list(itertools.product(("ADWIN", "DDM", "HDDMA", "bet"), FOLLOWS))
    deployments = {
        case: deploy(f"-{i}", drift={"detector": case[0], "on_drift": case[1]}, snapshots={"every": "10m"})
        for i, case in enumerate(cases)
    }
    events = alternating(HALF, HALF)
    rows = list(dated(events))
    for settings in deployments.values():
        send(settings, iter(rows))
    files = [Path(str(settings.file)).name for settings in deployments.values()]
    command = [sys.executable, "-m", "tests.integration.several", *files]
    with Child(command, tmp_path, tmp_path / "several.log", {**os.environ, "PYTHONPATH": str(ROOT)}) as child:
        for settings in deployments.values():
            wait_for_predictions(settings, events.length, child, 400)

    for (detector, action), settings in deployments.items():
        case, story, answers = f"{detector} {action}", transitions(settings), predictions(settings)
        signal = next(t for t in story if t["kind"] == "signal")
        place = int(signal["position"].split(":")[2])
        assert signal["evidence"]["detector"] == detector, case
        assert HALF < place < HALF + 100, case
        assert signal["evidence"]["after"] > signal["evidence"]["before"], case
        after = [t for t in story if t["position"] == signal["position"] and t is not signal]
        assert [t["kind"] for t in after] == FOLLOWS[action], case
        by_rule = answers[place + 1]["served_by"].startswith("rule:")
        assert by_rule == (action == "fallback"), case
        assert answers[place]["served_by"] == answers[-1]["served_by"] == "champion:lr", case
        promoted = [t for t in story if t["kind"] == "promoted"]
        if action in ("challenge", "retrain"):
            assert promoted[0]["evidence"]["wealth"] >= promoted[0]["evidence"]["need"], case
            assert answers[-1]["model_version"].partition("@")[0].endswith("/v2"), case
        else:
            assert not promoted, case
            assert answers[-1]["model_version"].endswith(f"/v1@{2 * HALF - 1}"), case
            assert [t["kind"] for t in story].count("resumed") == 1, case
