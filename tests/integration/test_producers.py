"""Producers and topics on a real broker."""

import gc
import logging
import re
import threading
import time
import warnings
from collections import Counter
from itertools import islice

import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

import producers.publisher
from producers.client import MeanderClient
from producers.connection import BrokerUnreachableError, TopicError, administer, partition_counts
from producers.publisher import DeliveryError, Publisher, partition_of
from stream.adapters.brokers import BrokerMissingError, embedded, free_ports, java_kafka
from stream.adapters.retention import check_retention, retention_of
from stream.adapters.topics import (
    PARTITIONED,
    SUFFIXES,
    check_topics,
    create_topics,
    delete_topics,
    list_topics,
)
from stream.cli import main
from stream.settings import parse_settings
from tests.conftest import missing

pytestmark = pytest.mark.kafka


def settings_of(name, brokers, partitions=4, **kafka):
    return parse_settings(
        {
            "name": name,
            "task": "binary",
            "scope": "partition",
            "features": {"x": {}},
            "label": {"classes": ["no", "yes"]},
            "kafka": {"brokers": brokers, "partitions": partitions, **kafka},
        },
        environ={},
    )


@pytest.fixture
def settings(kafka, deployment_name):
    """Yield settings of a deployment whose topics are deleted afterwards."""
    chosen = settings_of(deployment_name, kafka)
    yield chosen
    delete_topics(chosen)


@pytest.fixture
def deployment(settings):
    """Return settings of a deployment whose topics exist."""
    create_topics(settings)
    return settings


@pytest.fixture
def definition(deployment, tmp_path):
    """Return the path of a definition file for the deployment."""
    file = tmp_path / "shop.toml"
    kafka = deployment.kafka
    file.write_text(
        f'name = "{deployment.definition.name}"\ntask = "binary"\nscope = "partition"\n[features]\nx = {{}}\n'
        f'[label]\nclasses = ["no", "yes"]\n[kafka]\nbrokers = "{kafka.brokers}"\npartitions = 4\n'
    )
    return str(file)


@pytest.fixture
def tidy(caplog):
    """Collect, after the test, the sockets that kafka-python leaves open when it fails to connect.

    Its log stays off, because the records that pytest keeps would hold on to them.
    """
    caplog.set_level(logging.CRITICAL, logger="kafka")
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def read(settings, suffix):
    """Return (partition, key, message) of all records of a topic."""
    name = settings.topic(suffix)
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka.brokers, group_id=None)
    try:
        parts = [TopicPartition(name, n) for n in sorted(consumer.partitions_for_topic(name))]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        consumer.seek_to_beginning()
        records = []
        while any(consumer.position(part) < ends[part] for part in parts):
            for found in consumer.poll(500).values():
                records += [(r.partition, r.key, msgspec.json.decode(r.value)) for r in found]
        return records
    finally:
        consumer.close()


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_topics_are_made_once_and_as_declared(settings):
    """Six topics with the partitions asked for, status with one; a second time there is nothing to do."""
    assert [settings.topic(suffix) for suffix in SUFFIXES] == [
        topic.name for topic in create_topics(settings)
    ]
    assert create_topics(settings) == []
    check_topics(settings)
    assert [(topic.wanted, topic.found) for topic in list_topics(settings)] == [(4, 4)] * 6 + [(1, 1)]


def test_topics_of_another_shape_are_reported_and_left_alone(settings):
    """The message says which topic has how many partitions, and nothing is made beside it."""
    with administer(settings.kafka) as client:
        client.create_topics(
            {settings.topic("labels"): {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True
        )
    with pytest.raises(TopicError, match=r"labels has 2 partitions, not 4.*meander topics delete"):
        create_topics(settings)
    with administer(settings.kafka) as client:
        names = [settings.topic(suffix) for suffix in SUFFIXES]
        assert {settings.topic("labels"): 2} == partition_counts(client, names)
    with pytest.raises(TopicError, match=r"There is no topic .*events.* meander topics create"):
        check_topics(settings)


def test_how_long_the_log_is_kept(kafka, deployment_name):
    """As declared where it is made so; refused where a topic keeps less; a sentence where nobody says."""
    declared = settings_of(deployment_name, kafka, retention="90d")
    create_topics(declared)
    assert check_retention(declared, PARTITIONED) == []
    labels = ConfigResource(ConfigResourceType.TOPIC, declared.topic("labels"), {"retention.ms": "3600000"})
    with administer(declared.kafka) as client:
        client.alter_configs([labels])
    deadline = time.monotonic() + 20  # the broker says so a moment later
    while retention_of(declared, ("labels",))[0].milliseconds != 3_600_000:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(TopicError, match=r'retention is "90d", but .*labels is kept for 1 hour only'):
        check_retention(declared, PARTITIONED)
    for topic in delete_topics(declared):
        assert topic.found
    open_ended = settings_of(f"{deployment_name}-2", kafka)
    create_topics(open_ended)
    (told,) = check_retention(open_ended, PARTITIONED)
    assert re.search(r"events, .*predictions, .*dead-letters are kept for 7 days only", told)
    assert "transitions" not in told
    delete_topics(open_ended)


def test_more_copies_than_brokers_are_refused_in_words(kafka, deployment_name):
    """What the broker says about replication reaches the operator."""
    with pytest.raises(TopicError, match=r"does not make the topics: .*[Rr]eplication"):
        create_topics(settings_of(deployment_name, kafka, replication=9))


def test_the_commands_make_list_and_delete(definition):
    """``meander topics`` tells what it did."""
    assert "All topics are there" in invoke("topics", "create", definition).output
    assert ".status  1 partition, the newest of each key\n" in invoke("topics", "list", definition).output
    assert "7 topics deleted" in invoke("topics", "delete", "--yes", definition).output
    assert ".events  missing\n" in invoke("topics", "list", definition).output
    assert "7 topics made" in invoke("topics", "create", definition).output


def test_an_event_and_its_label_meet_in_one_partition(deployment):
    """Same key, same partition number: of the client, and of any other producer with Kafka's default."""
    name = deployment.definition.name
    with MeanderClient(deployment.kafka.brokers, name) as client:
        for n in range(50):
            client.send_event(f"e{n}", features={"x": n}, key=f"customer-{n % 7}", timestamp=n)
            client.send_label(f"e{n}", "yes", key=f"customer-{n % 7}")
        for n in range(50):
            alone = client.send_event(features={"x": n}, label="no")
            client.send_unavailable(alone)
    events = {message["id"]: (part, key) for part, key, message in read(deployment, "events")}
    labels = {message["id"]: (part, key) for part, key, message in read(deployment, "labels")}
    assert len(events) == 100
    assert events == labels
    assert len({part for part, _ in events.values()}) == 4
    producer = KafkaProducer(bootstrap_servers=deployment.kafka.brokers)
    try:
        for _, key in list(events.values())[:20]:
            placed = producer.send(deployment.topic("control"), b"{}", key).get(10).partition
            assert partition_of(key, 4) == placed
    finally:
        producer.close()


def test_the_client_writes_the_public_messages(deployment):
    """Only what was given is on the wire."""
    with MeanderClient(deployment.kafka.brokers, deployment.definition.name) as client:
        client.send_event("a", features={"x": 1.5}, timestamp=7, key="k")
        client.send_label("a", "no", key="k", corrects=True, weight=2)
        client.send_unavailable("a", key="k", timestamp=9)
        client.flush()
    assert read(deployment, "events")[0][2] == {"id": "a", "features": {"x": 1.5}, "timestamp": 7}
    assert [message for _, _, message in read(deployment, "labels")] == [
        {"id": "a", "label": "no", "corrects": True, "weight": 2.0},
        {"id": "a", "timestamp": 9, "unavailable": True},
    ]


def test_events_say_who_sends_them(deployment):
    """In the header by which faults are told apart; labels need none, and nobody is named unasked."""
    brokers, name = deployment.kafka.brokers, deployment.definition.name
    for producer in ("shop-3", None):
        with MeanderClient(brokers, name, producer=producer) as client:
            client.send_event("a", features={"x": 1.5}, key="k")
            client.send_label("a", "no", key="k")
    consumer = KafkaConsumer(
        f"{name}.events", f"{name}.labels", bootstrap_servers=brokers, auto_offset_reset="earliest",
        consumer_timeout_ms=5000,
    )  # fmt: skip
    try:
        found = Counter((r.topic.rpartition(".")[2], tuple(r.headers)) for r in islice(consumer, 4))
    finally:
        consumer.close()
    assert found == {("events", (("meander-producer", b"shop-3"),)): 1, ("events", ()): 1, ("labels", ()): 2}


def test_what_cannot_be_sent_is_said_at_once(deployment):
    """A bad id, an unknown type or a record too large raise where they are sent."""
    with MeanderClient(deployment.kafka.brokers, deployment.definition.name) as client:
        with pytest.raises(ValueError, match="1 to 256 characters, not 257"):
            client.send_event("i" * 257, features={})
        with pytest.raises(TypeError, match="an id is text, not int"):
            client.send_label(7, "yes")
        with pytest.raises(ValueError, match="a weight is a number from 0"):
            client.send_label("a", "yes", weight=-1)
        with pytest.raises(TypeError, match="a object cannot be sent"):
            client.send_event("a", features={"x": object()})
        with pytest.raises(DeliveryError, match=r"first on .*events with key 'large'.*2000"):
            client.send_event("large", features={"x": "l" * 2_000_000})
    assert read(deployment, "events") == []


@pytest.mark.usefixtures("tidy")
@pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning")
def test_missing_topics_and_brokers_are_explained(kafka, deployment_name):
    """The message says what to do, within seconds, and no thread goes on trying."""
    threads = threading.active_count()
    with pytest.raises(TopicError, match="meander topics create"):
        MeanderClient(kafka, deployment_name)
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("producers.connection.PATIENCE_MS", 500)
        with pytest.raises(BrokerUnreachableError, match=r"MEANDER_BROKERS"):
            MeanderClient(nobody, deployment_name)
    assert threading.active_count() == threads


def test_produce_sends_a_file(definition, deployment, tmp_path):
    """Every row becomes an event and, later, a label; the counts are printed and the end is 0."""
    data = tmp_path / "data.csv"
    data.write_text("x,up\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(300)))
    result = invoke(
        "produce", definition, str(data), "--label-column", "up", "--label-delay", "10", "--run", "r2"
    )
    assert result.exit_code == 0, result.output
    assert "300 events and 300 labels sent, 600 of 600 records acknowledged" in result.output
    events = {message["id"]: message for _, _, message in read(deployment, "events")}
    labels = {message["id"]: message for _, _, message in read(deployment, "labels")}
    assert {f"r2-data-{n}" for n in range(1, 301)} == set(events) == set(labels)
    assert events["r2-data-2"] == {"id": "r2-data-2", "features": {"x": 1.0}}
    assert labels["r2-data-2"] == {"id": "r2-data-2", "label": "yes"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give one source"),
        (["--dataset", "Phishing", "--scenario", "flip"], "Give one source"),
        (["--scenario", "flip", "--labels", "inside", "--label-delay", "3"], "go with --labels topic"),
        (["--scenario", "flip", "--label-delay", "soon"], "'soon' is no delay"),
        (["--scenario", "flop"], "Did you mean flip"),
        (["--scenario", "flip"], "none of the declared features"),
        (["nothing.csv"], "nothing.csv: does not exist"),
    ],
)
def test_produce_refuses_in_words(definition, deployment, arguments, message):
    """A mistake on the command line ends with 2, and sends nothing."""
    result = invoke("produce", definition, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert read(deployment, "events") == []


def test_produce_repeats_a_source(definition, deployment, tmp_path):
    """With --repeat the rows start over and the numbers go on."""
    data = tmp_path / "few.jsonl"
    data.write_text('{"x": 1}\n{"x": 2}\n')
    result = invoke("produce", definition, str(data), "--labels", "none", "--repeat", "--events", "5")
    assert result.exit_code == 0, result.output
    assert Counter(f"few-{n}" for n in range(1, 6)) == Counter(
        m["id"] for _, _, m in read(deployment, "events")
    )


def test_the_embedded_broker_takes_it_all():
    """Topics, client and deletion work on the broker of the demo."""
    try:
        with embedded() as address:
            chosen = settings_of("small", address)
            create_topics(chosen)
            with MeanderClient(address, "small") as client:
                for n in range(200):
                    client.send_event(f"e{n}", features={"x": n})
            assert len(read(chosen, "events")) == 200
            assert len(delete_topics(chosen)) == 7
    except BrokerMissingError as error:
        missing(str(error))


@pytest.fixture
def fragile(tmp_path):
    """Yield a broker of one's own, to be ill-treated."""
    try:
        with java_kafka(tmp_path) as broker:
            yield broker
    except BrokerMissingError as error:
        missing(str(error))


@pytest.mark.usefixtures("tidy")
@pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning")
def test_a_broker_that_dies_and_one_that_is_silent(fragile, monkeypatch):
    """A crash costs nothing and doubles nothing; silence beyond the timeout is told, then sending goes on."""
    chosen = settings_of("chaos", fragile.address, partitions=2)
    create_topics(chosen)
    topic = chosen.topic("events")
    with Publisher(chosen.kafka, [topic]) as publisher:
        for n in range(6000):
            if n == 3000:
                fragile.kill()
            if n == 4500:
                fragile.start()
            publisher.publish(topic, b"k%d" % n, b"%d" % n)
        publisher.flush()
        assert publisher.sent == publisher.acknowledged == 6000
    assert list(range(6000)) == sorted(message for _, _, message in read(chosen, "events"))

    monkeypatch.setattr(producers.publisher, "GRACE", 1.0)
    publisher = Publisher(chosen.kafka, [topic], delivery_timeout=2)
    publisher.publish(topic, b"before", b"1")
    publisher.flush()
    fragile.pause()
    lost = 0
    try:
        for round_ in range(3):
            publisher.publish(topic, b"k%d" % round_, b"2")
            publisher.publish(topic, b"q%d" % round_, b"3")
            with pytest.raises(DeliveryError, match="not acknowledged"):
                publisher.flush()
            lost += 2
    except (DeliveryError, BrokerUnreachableError):
        lost += 1  # the record that found nobody at all
    finally:
        fragile.resume()
    assert lost >= 3
    publisher.publish(topic, b"after", b"4")
    publisher.close()
    assert publisher.acknowledged == 2
