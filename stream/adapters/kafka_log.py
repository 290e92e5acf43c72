"""Reads spans of topics, outside any consumer group, with kafka-python."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, cast

from kafka import KafkaConsumer, TopicPartition

from learners.errors import MeanderError
from producers.connection import explained, kafka_options
from stream.messages import Record
from stream.settings import Kafka

POLL_MS = 500
PATIENCE_POLLS = 60


class KafkaLog:
    """The logs of one deployment's topics.

    Parameters
    ----------
    name
        Of the deployment.
    kafka
        How the broker is reached.
    """

    def __init__(self, name: str, kafka: Kafka) -> None:
        self._name, self._kafka = name, kafka
        # the embedded broker tells where its last batch begins, not where the log ends
        self._exact_ends = not kafka.embedded
        self._consumers: dict[str, KafkaConsumer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the next question opens new ones."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def _consumer(self, purpose: str) -> KafkaConsumer:
        """Return the connection for a purpose: one for questions, one for each topic that is read.

        Raises
        ------
        BrokerUnreachableError
            When no broker answers.
        """
        if purpose not in self._consumers:
            with explained(self._kafka):
                self._consumers[purpose] = KafkaConsumer(
                    **kafka_options(self._kafka),
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    max_poll_records=5000,
                    max_partition_fetch_bytes=8 << 20,
                    isolation_level="read_committed",
                )
        return self._consumers[purpose]

    def identity(self, topic: str) -> str:
        """Return the id that the broker gave the topic when it was made; empty where it gives none."""
        name = f"{self._name}.{topic}"
        consumer = self._consumer("questions")
        cluster = cast(Any, consumer._client).cluster
        if cluster.topic_id(name) is None:
            consumer.partitions_for_topic(name)  # asks for metadata
        found = cluster.topic_id(name)
        return str(found) if found is not None and found.int else ""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first and next offset."""
        consumer = self._consumer("questions")
        tp = TopicPartition(f"{self._name}.{topic}", partition)
        first, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
        if not self._exact_ends and end > first:
            consumer.assign([tp])
            consumer.seek(tp, end)
            for record in consumer.poll(timeout_ms=POLL_MS).get(tp, ()):
                end = record.offset + 1
        return first, end

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """Yield records with offsets from ``start`` up to, not including, ``end``.

        One reading of a topic at a time: the next takes over its connection.

        Raises
        ------
        MeanderError
            When the broker does not hand them over.
        """
        if start >= end:
            return
        consumer, tp = self._consumer(topic), TopicPartition(f"{self._name}.{topic}", partition)
        consumer.assign([tp])
        consumer.seek(tp, start)
        silent = 0
        while consumer.position(tp) < end:
            polled = consumer.poll(timeout_ms=POLL_MS).get(tp, [])
            silent = 0 if polled else silent + 1
            if silent > PATIENCE_POLLS:
                raise MeanderError(
                    f"{tp.topic}[{partition}] gave nothing after offset {consumer.position(tp)}"
                )
            for found in polled:
                if found.offset >= end:
                    return
                yield Record(
                    topic,
                    partition,
                    found.offset,
                    found.timestamp,
                    found.key,
                    found.value,
                    tuple(found.headers or ()),
                )
