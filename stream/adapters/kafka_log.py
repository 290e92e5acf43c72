"""Reads spans of topics, outside any consumer group, with kafka-python."""

from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from learners.errors import MeanderError
from stream.messages import Record

POLL_MS = 500
PATIENCE_POLLS = 60


class KafkaLog:
    """The logs of one deployment's topics.

    Parameters
    ----------
    name
        Of the deployment.
    exact_ends
        Whether the broker tells the end of a log exactly. The embedded one tells where its last batch begins.
    **options
        Connection options of kafka-python: ``bootstrap_servers`` and security.
    """

    def __init__(self, name: str, *, exact_ends: bool = True, **options: Any) -> None:
        self._name, self._exact_ends, self._options = name, exact_ends, options
        self._asking: KafkaConsumer | None = None

    def close(self) -> None:
        """Close the connection kept for questions."""
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def _consumer(self, topic: str, partition: int) -> tuple[KafkaConsumer, TopicPartition]:
        consumer = KafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=5000,
            max_partition_fetch_bytes=8 << 20,
            isolation_level="read_committed",
        )
        tp = TopicPartition(f"{self._name}.{topic}", partition)
        consumer.assign([tp])
        return consumer, tp

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first and next offset."""
        if self._asking is None:
            self._asking = KafkaConsumer(**self._options, group_id=None, enable_auto_commit=False)
        tp = TopicPartition(f"{self._name}.{topic}", partition)
        first, end = self._asking.beginning_offsets([tp])[tp], self._asking.end_offsets([tp])[tp]
        if not self._exact_ends and end > first:
            self._asking.assign([tp])
            self._asking.seek(tp, end)
            for record in self._asking.poll(timeout_ms=POLL_MS).get(tp, ()):
                end = record.offset + 1
        return first, end

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """Yield records with offsets from ``start`` up to, not including, ``end``.

        Raises
        ------
        MeanderError
            When the broker does not hand them over.
        """
        if start >= end:
            return
        consumer, tp = self._consumer(topic, partition)
        try:
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
                        topic, partition, found.offset, found.timestamp, found.key, found.value,
                        tuple(found.headers or ()),
                    )  # fmt: skip
        finally:
            consumer.close()
