"""What an application embeds to read predictions: each once, marked as read after it was acted on."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import kafka.errors
import msgspec
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from learners.errors import MeanderError
from producers.connection import TopicError, explained, kafka_options
from stream.messages import Prediction
from stream.settings import Kafka

log = logging.getLogger("meander.client")
POLL_MS = 500
_SOURCE = re.compile(r"events:\d+:\d+")


class _Place(NamedTuple):
    """How far a partition was read: the next offset, and the offset of the event answered last."""

    offset: int
    event: int


class Answer(NamedTuple):
    """A prediction, and where it came from.

    Attributes
    ----------
    prediction
        The message.
    key
        The entity key of the event.
    source
        The event's position: ``events:<partition>:<offset>``. The same for every copy of an answer.
    """

    prediction: Prediction
    key: bytes | None
    source: str


class PredictionConsumer:
    """Reads the predictions of one deployment, each of them once.

    An answer counts as done when the next one is asked for, so a program that dies while it acts on one
    gets that one again. What was done is committed after every poll's last answer and on `close`; the
    commit carries the position of the event that was answered last, so that an answer which Kafka holds
    twice is handed out once, also across restarts. Consumers of the same group share the partitions.

    Parameters
    ----------
    brokers
        ``host:port``, several separated by commas.
    deployment
        The ``name`` in the definition.
    group
        Kafka's consumer group: who reads. Another group reads everything for itself.
    from_start
        Where a group begins that has committed nothing: with the oldest answer (default) or the next.
    patience
        Seconds without an answer after which iteration ends. None: never.
    **security
        As in the definition's section ``[kafka]``: ``security``, ``ca_file``, ``certificate_file``,
        ``key_file``, ``mechanism``, ``username``, ``password``.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers.
    TopicError
        When the deployment has no predictions topic there.

    Examples
    --------
    >>> with PredictionConsumer("localhost:9092", "fraud", group="alerts") as answers:  # doctest: +SKIP
    ...     for answer in answers:
    ...         if answer.prediction.prediction == "fraud":
    ...             print(answer.prediction.id, answer.prediction.served_by)
    """

    def __init__(
        self,
        brokers: str,
        deployment: str,
        *,
        group: str,
        from_start: bool = True,
        patience: float | None = None,
        **security: Any,
    ) -> None:
        self._topic = f"{deployment}.predictions"
        self._patience = patience
        self._decode = msgspec.json.Decoder(Prediction).decode
        self._done: dict[TopicPartition, _Place] = {}  # not committed yet
        self._current: tuple[TopicPartition, _Place] | None = None  # handed out, not known to be done
        self._last: dict[TopicPartition, int] = {}  # offset of the last event whose answer was handed out
        settings = Kafka(brokers=brokers, **security)
        with explained(settings):
            self._consumer = KafkaConsumer(
                **kafka_options(settings),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest" if from_start else "latest",
                isolation_level="read_committed",
            )
            if not self._consumer.partitions_for_topic(self._topic):
                self._consumer.close()
                raise TopicError(
                    f"{brokers} has no topic {self._topic}: is {deployment!r} the definition's name, "
                    "and has `meander topics create` been run?"
                )
        self._consumer.subscribe([self._topic], listener=_Listener(self._last))

    def __iter__(self) -> Iterator[Answer]:
        """Yield answers as they come; what was yielded before is done.

        Raises
        ------
        MeanderError
            When a record on the topic is no answer of Meander's.
        """
        silent = 0.0
        while self._patience is None or silent < self._patience:
            polled = self._consumer.poll(timeout_ms=POLL_MS)
            silent = 0.0 if polled else silent + POLL_MS / 1000
            for partition, records in polled.items():
                for record in records:
                    answer = self._answer(record)
                    place = _Place(record.offset + 1, int(answer.source.rpartition(":")[2]))
                    if place.event > self._last_of(partition):
                        self._last[partition] = place.event
                        self._current = partition, place
                        yield answer
                    self._current = None
                    self._done[partition] = place
            if polled:
                self.commit()

    def _answer(self, record: Any) -> Answer:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            source = dict(record.headers).get("meander-source", b"").decode()
            if _SOURCE.fullmatch(source):
                return Answer(self._decode(record.value or b""), record.key, source)
        raise MeanderError(
            f"{record.topic}[{record.partition}] offset {record.offset} is no prediction of Meander's. "
            "Only workers may write to this topic."
        )

    def commit(self) -> None:
        """Say that everything handed out so far is done: call it before leaving the loop on purpose."""
        if self._current is not None:
            partition, place = self._current
            self._done[partition] = place
        self._commit()

    def _commit(self) -> None:
        done = {p: OffsetAndMetadata(place.offset, str(place.event), -1) for p, place in self._done.items()}
        self._done.clear()
        if not done:
            return
        try:
            self._consumer.commit(done)
        except kafka.errors.CommitFailedError as error:  # others have the partitions: they read it again
            log.warning("commit.failed error=%s", error)

    def close(self) -> None:
        """Commit what is done, and leave the group."""
        try:
            self._commit()
        finally:
            self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _last_of(self, partition: TopicPartition) -> int:
        """Return the event of a partition whose answer was handed out last, to whoever of the group."""
        if partition not in self._last:
            committed = self._consumer.committed(partition, metadata=True)
            told = committed.metadata if committed is not None else ""
            self._last[partition] = int(told) if told else -1
        return self._last[partition]


class _Listener(ConsumerRebalanceListener):
    """Forgets how far partitions were read that others may read on."""

    def __init__(self, last: dict[TopicPartition, int]) -> None:
        self._last = last

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        for partition in revoked:
            self._last.pop(partition, None)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing to do: what was read is looked up with the first record."""
