"""Topics of a benchmark: making and filling them, reading what came out."""

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from workload import Row, Setup

SUFFIXES = ("events", "labels", "control", "predictions", "transitions", "dead-letters")


class Identity(msgspec.Struct):
    """What is read back of an event."""

    id: str


class Served(Identity):
    """What is read back of an answer."""

    prediction: bool


class Outputs(NamedTuple):
    """What a rival wrote: append time of each id's answer, the answers, and how many records in all."""

    appended: dict[str, int]
    answers: dict[str, bool]
    records: int


def wait_for_port(address: str, seconds: float = 60) -> None:
    """Return when somebody listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"Nobody listens at {address} within {seconds:.0f} s")
        time.sleep(0.2)


def wait_for(address: str, seconds: float = 60) -> None:
    """Return when the broker answers."""
    deadline = time.monotonic() + seconds
    wait_for_port(address.split(",")[0], seconds)
    while True:
        try:
            AdminClient({"bootstrap.servers": address}).list_topics(timeout=10)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        else:
            return


class Topics:
    """The topics of one run, made on entry and deleted on exit."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._admin = AdminClient({"bootstrap.servers": setup.brokers})
        self._consumer = Consumer(
            {
                "bootstrap.servers": setup.brokers,
                "group.id": f"{setup.name}-driver",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )

    def __enter__(self) -> "Topics":
        config = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}
        partitions = self.setup.partitions
        new = [NewTopic(f"{self.setup.name}.{s}", partitions, 1, config=config) for s in SUFFIXES]
        new.append(NewTopic(f"{self.setup.name}.status", 1, 1, config={"cleanup.policy": "compact"}))
        for future in self._admin.create_topics(new).values():
            future.result()
        self._wait_for_leaders()
        return self

    def _wait_for_leaders(self, seconds: float = 20) -> None:
        """Return when every partition of every topic can be asked: making a topic answers before that."""
        deadline = time.monotonic() + seconds
        left = [
            TopicPartition(f"{self.setup.name}.{s}", p)
            for s in SUFFIXES
            for p in range(self.setup.partitions)
        ]
        while left:
            try:
                self._consumer.get_watermark_offsets(left[-1], timeout=10)
                left.pop()
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        listed = self._admin.list_topics(timeout=10).topics
        ours = [t for t in listed if t.startswith(f"{self.setup.name}.") or f"-{self.setup.name}-" in t]
        for future in self._admin.delete_topics(ours).values():
            with contextlib.suppress(KafkaException):
                future.result()

    def fill(self, rows: Iterable[Row]) -> None:
        """Produce the rows, flat out; labels to their own topic, each right after its event."""
        producer = Producer(
            {
                "bootstrap.servers": self.setup.brokers,
                "queue.buffering.max.messages": 2_000_000,
                "linger.ms": 50,
            }
        )
        for row in rows:
            producer.produce(self.setup.events, row.event, row.key, partition=row.partition)
            if row.label is not None:
                producer.produce(self.setup.labels, row.label, row.key, partition=row.partition)
        if producer.flush(60):
            raise RuntimeError("The broker did not take all events within 60 s")

    def count(self) -> int:
        """Return how many records the predictions topic holds."""
        return sum(
            self._consumer.get_watermark_offsets(TopicPartition(self.setup.predictions, p), timeout=10)[1]
            for p in range(self.setup.partitions)
        )

    def outputs(self) -> Outputs:
        """Read everything a rival wrote."""
        decode = msgspec.json.Decoder(Served).decode
        appended: dict[str, int] = {}
        answers: dict[str, bool] = {}
        records = 0
        for timestamp, value in self._read(self.setup.predictions):
            served = decode(value)
            records += 1
            appended.setdefault(served.id, timestamp)
            answers[served.id] = served.prediction
        return Outputs(appended, answers, records)

    def inputs(self) -> dict[str, int]:
        """Return the append time of each event."""
        decode = msgspec.json.Decoder(Identity).decode
        return {decode(value).id: timestamp for timestamp, value in self._read(self.setup.events)}

    def _read(self, topic: str) -> Iterator[tuple[int, bytes]]:
        partitions = [TopicPartition(topic, p, 0) for p in range(self.setup.partitions)]
        self._consumer.assign(partitions)
        left = len(partitions)  # those whose end was not seen: offsets alone do not tell, markers take some
        while left > 0:
            messages = self._consumer.consume(5000, 5)
            if not messages:
                raise RuntimeError(f"{topic}: {left} partitions could not be read to their ends")
            for message in messages:
                error, value = message.error(), message.value()
                if error is not None:
                    left -= error.code() == KafkaError._PARTITION_EOF
                elif value is not None:
                    yield message.timestamp()[1], value
        self._consumer.unassign()
