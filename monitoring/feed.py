"""Reads ``status`` and ``transitions`` in a thread of its own, for whoever shows them."""

import logging
import threading
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition

from monitoring.board import Board
from producers.connection import BrokerUnreachableError, kafka_errors, kafka_options
from stream.messages import Transition
from stream.processing.standing import Status
from stream.settings import Settings

log = logging.getLogger("meander.feed")

POLL_MS = 300
BACK = 3000  # records of status that are read at the start: the curves of the last minutes
HISTORY = 300  # transitions of each partition that are read at the start
PAUSE = 2.0  # seconds before another try, when the broker does not answer


class Feed(threading.Thread):
    """Collects records until `drain` hands them to a board.

    Parameters
    ----------
    settings
        Of the deployment.

    Attributes
    ----------
    caught_up
        Set once what was on the topics at the start has been read.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="feed", daemon=True)
        self._settings = settings
        self._found: SimpleQueue[tuple[int, int, Status | Transition]] = SimpleQueue()
        self._over = threading.Event()
        self._trouble = ""
        self._strange = False
        self.caught_up = threading.Event()
        self._status = msgspec.json.Decoder(Status)
        self._transition = msgspec.json.Decoder(Transition)

    def catch_up(self, board: Board, seconds: float = 30.0) -> None:
        """Start, and hand a board all there was on the topics by now.

        Raises
        ------
        BrokerUnreachableError
            When that takes too long.
        """
        self.start()
        if not self.caught_up.wait(seconds):
            raise BrokerUnreachableError(
                f"{self._settings.kafka.brokers} does not hand over {self._settings.topic('status')}"
                f"{f': {self._trouble}' if self._trouble else ''}. Is a broker there, with the topics "
                "(meander topics create)?"
            )
        self.drain(board)

    def drain(self, board: Board) -> None:
        """Hand what came to a board."""
        while True:
            try:
                partition, at, message = self._found.get_nowait()
            except Empty:
                return
            if isinstance(message, Status):
                board.take_status(message)
            else:
                board.take_transition(partition, at, message)

    def close(self) -> None:
        """Stop reading; returns at once."""
        self._over.set()

    def run(self) -> None:
        """Read until closed; begin again where the connection is lost."""
        positions: dict[TopicPartition, int] = {}
        while not self._over.is_set():
            try:
                self._read(positions)
            except kafka_errors as error:
                if not self._trouble:  # told once, however long it lasts
                    log.warning("feed.interrupted error=%s", error)
                self._trouble = str(error)
                self._over.wait(PAUSE)

    def _read(self, positions: dict[TopicPartition, int]) -> None:
        status = TopicPartition(self._settings.topic("status"), 0)
        topic = self._settings.topic("transitions")
        wanted = [status, *(TopicPartition(topic, n) for n in range(self._settings.partitions))]
        consumer = KafkaConsumer(
            **kafka_options(self._settings.kafka),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_MS,
        )
        try:
            consumer.assign(wanted)
            begins, ends = consumer.beginning_offsets(wanted), consumer.end_offsets(wanted)
            for tp in wanted:
                back = BACK if tp == status else HISTORY
                consumer.seek(tp, positions.get(tp, max(begins[tp], ends[tp] - back)))
            if self._trouble:
                self._trouble = ""
                log.info("feed.resumed topic=%s", topic)
            while not self._over.is_set():
                for tp, records in consumer.poll(timeout_ms=POLL_MS).items():
                    for record in records:
                        self._take(record, tp == status)
                    positions[tp] = records[-1].offset + 1
                if not self.caught_up.is_set() and all(consumer.position(tp) >= ends[tp] for tp in wanted):
                    self.caught_up.set()
        finally:
            consumer.close()

    def _take(self, record: Any, is_status: bool) -> None:
        if record.value is None:
            return
        decoder: msgspec.json.Decoder[Any] = self._status if is_status else self._transition
        try:
            self._found.put((record.partition, record.timestamp, decoder.decode(record.value)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # of a release that says more, or nothing of ours
            if not self._strange:  # the first of them tells as much as all
                log.warning("feed.unreadable topic=%s offset=%d error=%s", record.topic, record.offset, error)
            self._strange = True
