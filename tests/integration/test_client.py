"""The consumer to embed, on a real broker: every answer once, done when it was acted on."""

import itertools
from collections.abc import Callable, Iterator

import msgspec
import pytest
from kafka import KafkaProducer

from learners.errors import MeanderError
from producers.connection import TopicError
from stream.adapters.topics import create_topics, delete_topics
from stream.client import PredictionConsumer
from stream.messages import Prediction
from stream.settings import Settings, parse_settings

pytestmark = pytest.mark.kafka
Publish = Callable[..., None]


@pytest.fixture
def deployment(kafka: str, deployment_name: str) -> Iterator[Settings]:
    settings = parse_settings(
        {
            "name": deployment_name,
            "task": "binary",
            "scope": "partition",
            "features": {"x": {}},
            "label": {"classes": ["no", "yes"]},
            "kafka": {"brokers": kafka, "partitions": 2},
        },
        environ={},
    )
    create_topics(settings)
    yield settings
    delete_topics(settings)


@pytest.fixture
def publish(deployment: Settings) -> Iterator[Publish]:
    """Yield what writes answers as workers do, to the events at these offsets of a partition."""
    producer = KafkaProducer(bootstrap_servers=deployment.kafka.brokers)

    def send(
        *offsets: int, partition: int = 0, value: bytes | None = None, header: bytes | None = None
    ) -> None:
        for offset in offsets:
            answer = Prediction(
                id=f"e{partition}-{offset}", timestamp=offset, prediction="no", served_by="rule:prior"
            )
            source = f"events:{partition}:{offset}".encode()
            producer.send(
                deployment.topic("predictions"),
                msgspec.json.encode(answer) if value is None else value,
                b"k",
                headers=[("meander-source", source if header is None else header)],
                partition=partition,
            )
        producer.flush()

    yield send
    producer.close()


def consumer(deployment: Settings, group: str = "g", **options: object) -> PredictionConsumer:
    return PredictionConsumer(
        deployment.kafka.brokers, deployment.definition.name, group=group, patience=4.0, **options
    )


def ids(answers: object, count: int | None = None) -> list[str]:
    return [a.prediction.id for a in itertools.islice(answers, count)]  # type: ignore[call-overload]


def test_each_answer_is_handed_out_once(deployment: Settings, publish: Publish) -> None:
    """Copies of an answer are passed over, in one partition as in another."""
    publish(0, 1, 1, 2, 0, 3)
    publish(0, 5, 5, partition=1)
    with consumer(deployment) as answers:
        found = list(answers)
    assert sorted(a.prediction.id for a in found) == ["e0-0", "e0-1", "e0-2", "e0-3", "e1-0", "e1-5"]
    assert found[0].key == b"k"
    assert found[0].source.startswith("events:")


def test_what_was_done_is_not_handed_out_again_after_a_restart(
    deployment: Settings, publish: Publish
) -> None:
    """The commit remembers the event too: a copy written later is known."""
    publish(0, 1, 2)
    with consumer(deployment) as answers:
        assert ids(answers, 3) == ["e0-0", "e0-1", "e0-2"]
        answers.commit()
    publish(1, 2, 3)
    with consumer(deployment) as answers:
        assert ids(answers) == ["e0-3"]
    with consumer(deployment, group="another") as answers:
        assert ids(answers) == ["e0-0", "e0-1", "e0-2", "e0-3"]


def test_what_was_not_finished_comes_again(deployment: Settings, publish: Publish) -> None:
    """A program that fails in the middle of acting on an answer gets that one again, and only that one."""
    publish(0, 1, 2)

    def act() -> None:
        with consumer(deployment) as answers:
            for answer in answers:
                if answer.prediction.id == "e0-1":
                    raise ConnectionError("the mail server is away")

    with pytest.raises(ConnectionError):
        act()
    with consumer(deployment) as answers:
        assert ids(answers) == ["e0-1", "e0-2"]


def test_a_group_may_begin_with_what_comes_next(deployment: Settings, publish: Publish) -> None:
    """With from_start off, what stood on the topic before is not read."""
    publish(0, 1)
    with consumer(deployment, from_start=False) as answers:
        iterator = iter(answers)
        with pytest.raises(StopIteration):
            next(iterator)
        publish(2)
        assert ids(answers) == ["e0-2"]


def test_what_is_wrong_is_said(deployment: Settings, publish: Publish) -> None:
    """A missing topic and a foreign record are named."""
    with pytest.raises(TopicError, match=r"has no topic nobody\.predictions"):
        PredictionConsumer(deployment.kafka.brokers, "nobody", group="g")
    publish(0, value=b"not ours")
    with (
        consumer(deployment) as answers,
        pytest.raises(MeanderError, match="offset 0 is no prediction"),
    ):
        list(answers)


def test_a_header_that_is_no_text_is_named(deployment: Settings, publish: Publish) -> None:
    """Where a source should stand are bytes of something else: the record is named, whoever wrote it."""
    publish(0)
    publish(1, header=b"events:0:\xff\xfe")
    with consumer(deployment) as answers, pytest.raises(MeanderError, match="offset 1 is no prediction"):
        list(answers)
