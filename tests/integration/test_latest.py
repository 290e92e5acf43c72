"""The compacted topic of latest answers, on a real Kafka: each key's last prediction, kills or not."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from producers.client import MeanderClient
from producers.connection import administer
from stream.app import open_log
from stream.cli import main
from stream.settings import Settings
from tests.integration.deployed import deployed_in
from tests.integration.test_worker import count, held, wait_until, worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200)]
EVENTS, KEYS, PARTITIONS = 1500, 40, 2
Told = dict[bytes, list[tuple[int, int, bytes | None]]]  # by key: partition, event's offset, value


@pytest.fixture
def deployed(kafka: str, deployment_name: str, tmp_path: Path) -> Iterator[Settings]:
    definition = {
        "name": deployment_name,
        "task": "binary",
        "scope": "partition",
        "features": {"x": {}},
        "label": {"classes": ["no", "yes"]},
        "kafka": {"brokers": kafka, "partitions": PARTITIONS, "session_timeout": "6s", "latest": True},
        "snapshots": {"every": "300ms"},
        "web": {"port": 0},
    }
    with deployed_in(tmp_path, definition) as settings:
        yield settings


def told(settings: Settings, topic: str) -> Told:
    """Return what a topic says of each key, in order."""
    places = [TopicPartition(settings.topic(topic), p) for p in range(PARTITIONS)]
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka.brokers, group_id=None)
    found: Told = {}
    try:
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                for r in records:
                    source = dict(r.headers)["meander-source"].decode()
                    found.setdefault(r.key, []).append((r.partition, int(source.split(":")[2]), r.value))
    finally:
        consumer.close()
    return found


def compact(settings: Settings) -> None:
    """Have the broker compact at once what it would compact within the minute."""
    soon = {"segment.ms": "100", "max.compaction.lag.ms": "1", "min.cleanable.dirty.ratio": "0.001"}
    topic = settings.topic("latest")
    with administer(settings.kafka) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, soon)])
    time.sleep(0.3)
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers)
    for number in range(PARTITIONS):  # a segment ends with the first record that comes after its time
        producer.send(topic, None, b"k3", headers=[("meander-source", b"control:0:0")], partition=number)
    producer.flush()
    producer.close()


def send(settings: Settings) -> None:
    with MeanderClient(settings.kafka.brokers, settings.definition.name) as client:
        for i in range(EVENTS):
            label = "yes" if i % 7 < 3 else "no"
            client.send_event(f"e{i}", features={"x": i % 7}, key=f"k{i % KEYS}", label=label)
            time.sleep(0.004)


def test_it_says_what_was_answered_last(deployed: Settings) -> None:
    """Through kills, each key's last record is its last prediction, byte for byte; none goes back."""
    log = open_log(deployed)
    children = (worker(deployed, number) for number in itertools.count(1))
    child = next(children)
    child.start()
    sending = threading.Thread(target=send, args=(deployed,), daemon=True)
    try:
        wait_until(lambda: bool(held(child)), child)
        sending.start()
        for share in (0.2, 0.5):
            wait_until(lambda n=share: count(log, "predictions", PARTITIONS) >= n * EVENTS, child)
            child.kill()
            child = next(children)
            child.start()
        sending.join()
        wait_until(lambda: count(log, "predictions", PARTITIONS) == EVENTS, child)
        done = CliRunner().invoke(main, ["forget", str(deployed.file), "--key", "k3"])
        assert done.exit_code == 0, done.output
        time.sleep(1.0)
    finally:
        child.kill()
        log.close()

    answers, latest = told(deployed, "predictions"), told(deployed, "latest")
    assert set(latest) == set(answers)
    assert len(answers) == KEYS
    assert latest[b"k3"][-1][2] is None
    for key, rows in latest.items():
        if key != b"k3":
            assert rows[-1] == answers[key][-1], key
            offsets = [offset for _, offset, _ in rows]
            assert offsets == sorted(offsets), key
    assert sum(map(len, latest.values())) < 1.5 * EVENTS

    compact(deployed)
    deadline = time.monotonic() + 40
    while any(len(rows) > 1 for key, rows in told(deployed, "latest").items() if key != b"k3"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    table = told(deployed, "latest")
    assert {key: rows[-1] for key, rows in latest.items() if key != b"k3"} == {
        key: rows[-1] for key, rows in table.items() if key != b"k3"
    }


def test_the_topic_is_compacted_and_made_on_request(deployed: Settings) -> None:
    """It is made as declared, and where it is not declared there is none."""
    with administer(deployed.kafka) as client:
        resource = ConfigResource(ConfigResourceType.TOPIC, deployed.topic("latest"))
        configs = str(client.describe_configs([resource]))
    assert "compact" in configs
    assert "max.compaction.lag.ms" in configs
    listed = CliRunner().invoke(main, ["topics", "list", str(deployed.file)]).output
    assert f"{deployed.topic('latest')}  2 partitions" in listed
    plain = Path(str(deployed.file)).read_text(encoding="utf-8").replace("latest = true", "latest = false")
    other = Path(str(deployed.file)).with_name("other.toml")
    other.write_text(plain, encoding="utf-8")
    assert "latest" not in CliRunner().invoke(main, ["topics", "list", str(other)]).output
