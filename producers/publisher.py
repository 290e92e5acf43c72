"""Sends records and answers for them: every one is acknowledged by all replicas, or named in an error."""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from threading import RLock
from types import TracebackType
from typing import NamedTuple, Self

import kafka.errors
from kafka import KafkaProducer
from kafka.partitioner import murmur2
from kafka.producer.future import FutureRecordMetadata

from learners.errors import MeanderError
from producers.connection import (
    PATIENCE_MS,
    TopicError,
    administer,
    explained,
    kafka_options,
    partition_counts,
)
from producers.words import counted
from stream.settings import Kafka

__all__ = ["DeliveryError", "Publisher", "Undelivered", "kafka_options", "partition_of"]

BATCH_BYTES = 256 * 1024
GRACE = 5.0  # seconds beyond the delivery timeout
IN_FLIGHT = 20_000  # records sent and not yet acknowledged; kafka-python itself knows no bound


class Undelivered(NamedTuple):
    """A record that the broker did not acknowledge."""

    topic: str
    key: bytes
    value: bytes


class _Pending(NamedTuple):
    """A record on its way, and when it left (monotonic seconds)."""

    future: FutureRecordMetadata
    record: Undelivered
    since: float


class DeliveryError(MeanderError):
    """Records that the broker did not acknowledge. It may have them all the same.

    Attributes
    ----------
    undelivered
        The records, in the order they were sent.
    """

    def __init__(self, undelivered: Sequence[Undelivered], cause: BaseException) -> None:
        self.undelivered, self.cause = tuple(undelivered), cause
        first = self.undelivered[0]
        super().__init__(
            f"{counted(len(self.undelivered), 'record')} not acknowledged, the first on {first.topic} with "
            f"key {first.key.decode(errors='replace')!r}: {cause}. "
            "Sending them again is safe: an id is answered once"
        )

    def __reduce__(self) -> tuple[type, tuple[tuple[Undelivered, ...], BaseException]]:
        return type(self), (self.undelivered, self.cause)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition number of a key, the same that Kafka's own producers choose.

    The positive part of the key's 32-bit murmur2 hash modulo the number of partitions.

    Examples
    --------
    >>> partition_of(b"customer-7", 4)
    3
    """
    return 0 if partitions == 1 else int(murmur2(key) & 0x7FFFFFFF) % partitions


class Publisher:
    """An idempotent producer for topics that are partitioned alike.

    Records with the same key go to the same partition number of each topic, in the order they were
    sent, and within a session not twice. Threads may share one.

    Parameters
    ----------
    settings
        The broker.
    topics
        The topics that will be sent to. They must exist and have the same number of partitions.
    linger
        Milliseconds that a record may wait for others to share its batch.
    delivery_timeout
        Seconds until a record that is not acknowledged counts as lost. It is sent again meanwhile.

    Attributes
    ----------
    partitions
        How many partitions each of the topics has.
    sent, acknowledged
        Counts of records so far. `flush` brings the second up to date.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers.
    TopicError
        When a topic is missing, or their numbers of partitions differ.
    """

    def __init__(
        self, settings: Kafka, topics: Sequence[str], *, linger: int = 10, delivery_timeout: float = 120.0
    ) -> None:
        self.partitions = _common_partitions(settings, topics)
        self.sent = self.acknowledged = 0
        milliseconds = round(delivery_timeout * 1000)
        self._settings = settings
        self._options = {
            "acks": "all",
            "enable_idempotence": True,
            "batch_size": BATCH_BYTES,
            "linger_ms": linger,
            "delivery_timeout_ms": milliseconds,
            "request_timeout_ms": min(30_000, max(1, milliseconds - linger)),
            "reconnect_backoff_max_ms": 1000,  # a broker that restarts is found again soon
            "max_block_ms": PATIENCE_MS,
            "bootstrap_timeout_ms": PATIENCE_MS,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        self._patience = delivery_timeout + GRACE  # seconds; by then kafka-python should have told
        self._producer = self._connect()
        self._broken = False
        self._pending: deque[_Pending] = deque()
        self._lock = RLock()  # threads may share a publisher

    def _connect(self) -> KafkaProducer:
        with explained(self._settings):
            return KafkaProducer(**kafka_options(self._settings), **self._options)

    def publish(
        self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Send a record; waits while too many are on their way.

        Its time is the moment it is sent: event time belongs in the value, since Kafka deletes by the
        record's time.

        Raises
        ------
        DeliveryError
            When *earlier* records turned out to be lost; this one has not been sent then.
        BrokerUnreachableError
            When the connection was given up after such a loss, and no broker answers now.
        """
        with self._lock:
            now = time.monotonic()
            if self._pending:
                if len(self._pending) >= IN_FLIGHT:
                    self._wait_for_half()
                elif self._pending[0].future.is_done:
                    self._settle()
                elif now - self._pending[0].since > self._patience:
                    self._give_up()
            if self._broken:
                self._producer, self._broken = self._connect(), False
            try:
                partition = partition_of(key, self.partitions)
                future = self._producer.send(topic, value, key, headers=[*headers], partition=partition)
            except kafka.errors.KafkaError as error:  # too large, closed, or no metadata
                raise DeliveryError([Undelivered(topic, key, value)], error) from None
            self._pending.append(_Pending(future, Undelivered(topic, key, value), now))
            self.sent += 1

    def flush(self) -> None:
        """Wait until every record sent so far is acknowledged or lost.

        Raises
        ------
        DeliveryError
            When some were lost since the last error.
        """
        try:
            self._producer.flush(self._patience)
        except kafka.errors.KafkaTimeoutError:
            self._give_up()
        self._settle()

    def _wait_for_half(self) -> None:
        half = self._pending[len(self._pending) // 2].future
        with suppress(kafka.errors.KafkaError):  # told by _settle, once it is this record's turn
            half.get(self._patience)
        if not half.is_done:
            self._give_up()
        self._settle()

    def _give_up(self) -> None:
        """Count all that is on its way as lost; the next record gets a new producer.

        kafka-python 3.0 can lose track of a batch: when one expires after it was sent, those drained in the
        same moment are neither sent nor expired, and waiting for them never ends.
        """
        with self._lock:
            _shut(self._producer, 0)
            self._broken = True
        self._settle(kafka.errors.KafkaTimeoutError(f"no word from the broker in {self._patience:g} s"))

    def _settle(self, cause: BaseException | None = None) -> None:
        """Count what was acknowledged, in the order of sending; raise for what was lost."""
        lost: list[Undelivered] = []
        pending = self._pending
        with self._lock:
            while pending and pending[0].future.is_done:
                future, record, _ = pending.popleft()
                if future.exception is None:
                    self.acknowledged += 1
                else:
                    lost.append(record)
                    cause = cause or future.exception
        if lost and cause:
            raise DeliveryError(lost, cause)

    def close(self) -> None:
        """Flush, then close the connection; raises `DeliveryError` as `flush` does."""
        try:
            self.flush()
        finally:
            _shut(self._producer, PATIENCE_MS / 1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            _shut(self._producer, PATIENCE_MS / 1000)


def _shut(producer: KafkaProducer, timeout: float) -> None:
    """Close a producer for good; what it has not sent by then fails."""
    try:
        producer.close(timeout)
    except kafka.errors.KafkaError:  # its own close stops here, the thread still running
        producer._sender.force_close()
        producer._sender.join(PATIENCE_MS / 1000)
        producer.close(0)


def _common_partitions(settings: Kafka, topics: Sequence[str]) -> int:
    with administer(settings) as client, explained(settings):
        counts = partition_counts(client, topics)
    missing = [topic for topic in topics if topic not in counts]
    if missing:
        raise TopicError(
            f"{settings.brokers}: there is no topic {', '.join(missing)}. "
            "Make the topics with: meander topics create DEFINITION"
        )
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise TopicError(
            f"Topics whose records meet need the same number of partitions, but {found}. "
            "Make the topics anew with: meander topics create DEFINITION"
        )
    return next(iter(counts.values()))
