"""``POST /api/v1/predict``: the answer that the topic would give, at once."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple, Protocol

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from learners.errors import MeanderError
from monitoring.control import RefusedError
from monitoring.guard import UNREADABLE, Guard, refuse, unread
from producers.publisher import partition_of
from stream.codec import RefusalError
from stream.messages import Name, Prediction, Record, Source, Time
from stream.processing.processor import Processor

Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]  # time, key, value, headers
log = logging.getLogger("meander.ops")

MOST = 1000  # events in one request
PATIENCE = 10.0  # seconds until events that are published must be acknowledged
TURN = 32  # of which so many are answered at a time


class Question(Struct, kw_only=True, forbid_unknown_fields=True):
    """An event to answer.

    Attributes
    ----------
    features
        The input columns by name, as on the events topic.
    id
        Unique among the events of its key. Default: a new random one.
    key
        What the event belongs to: its partition, hence the model. Default: the id.
    timestamp
        Event time in milliseconds. Default: now.
    """

    features: Raw
    id: Name | None = None
    key: str | None = None
    timestamp: Time | None = None


class Asking(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/v1/predict``.

    Attributes
    ----------
    events
        Up to 1,000.
    publish
        Write the events to the events topic as well: each is then predicted there, joined with its label,
        and learned, once. They are on the topic when the answer comes.
    """

    events: Annotated[list[Question], Meta(min_length=1, max_length=MOST)]
    publish: bool = False


class Answers(Struct, kw_only=True):
    """What came of an `Asking`.

    Attributes
    ----------
    answers
        One for each event, in order: the messages of the predictions topic. The flag
        ``other_partition:<number>`` says that a model answered which does not learn from this key.
    published
        Whether the events are on the events topic.
    """

    answers: list[Prediction]
    published: bool


class Sent(NamedTuple):
    """An event for the events topic."""

    partition: int
    key: bytes
    value: bytes
    timestamp: int


class Answerer(Protocol):
    """A worker, as far as asking goes."""

    def held(self) -> Mapping[int, Processor]:
        """Return the processors that are restored, by partition number."""

    async def publish(self, partition: int, rows: list[Row]) -> None:
        """Write to a partition of the events topic; acknowledged when this returns.

        Raises
        ------
        MeanderError
            When Kafka does not take them.
        """


class _Event(Struct, omit_defaults=True):
    """The wire form of an event, its features as they were sent."""

    id: str
    features: Raw
    timestamp: Time | UnsetType = UNSET


class Allowance:
    """How many events may be asked about: so many a second, and as many at once.

    Examples
    --------
    >>> clock = iter([0.0, 0.0, 0.0, 0.1]).__next__
    >>> allowance = Allowance(10.0, clock)
    >>> allowance.take(10), round(allowance.take(1), 1), allowance.take(1)
    (0.0, 0.1, 0.0)
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self._clock = rate, clock
        self._left, self._at = rate, clock()

    def take(self, count: int) -> float:
        """Take so many; returns the seconds to wait where there are not enough, and takes none then."""
        now = self._clock()
        self._left = min(self.rate, self._left + (now - self._at) * self.rate)
        self._at = now
        short = min(count, self.rate) - self._left
        if short > 1e-9:
            return short / self.rate
        self._left -= count
        return 0.0


class Counter:
    """Answers questions over the counter, from the models that a worker holds.

    Parameters
    ----------
    worker
        Holds them.
    guard
        Says who may ask.
    partitions
        Of the events topic.
    rate
        Events a second at the most.
    patience
        Seconds until events that are published must be acknowledged.
    """

    def __init__(
        self, worker: Answerer, guard: Guard, partitions: int, rate: float, patience: float = PATIENCE
    ) -> None:
        self._worker, self._guard, self._allowance = worker, guard, Allowance(rate)
        self._partitions, self._patience = partitions, patience
        self._late: set[asyncio.Future[list[None]]] = set()  # being sent still
        self._decoder = msgspec.json.Decoder(Asking)
        self._encoder = msgspec.json.Encoder()

    def add_to(self, application: web.Application) -> None:
        """Add the route."""
        application.router.add_post("/api/v1/predict", self._predict)

    async def _predict(self, request: web.Request) -> web.Response:
        self._guard.operator(request)
        asking = self._read(await request.read())
        wait = self._allowance.take(len(asking.events))
        if wait:
            most = f"At most {self._allowance.rate:g} events a second are answered here."
            raise refuse(429, "too_many_events", f"{most} Ask again in {wait:.1f} s.")
        events = [self._event(question) for question in asking.events]
        answers = []
        for number, event in enumerate(events):
            if number % TURN == TURN - 1:  # a thousand take a while: others get their turn
                await asyncio.sleep(0)
            answers.append(self._answer(number, event))
        if asking.publish:
            await self._publish(events)
        body = self._encoder.encode(Answers(answers=answers, published=asking.publish))
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def _publish(self, events: list[Sent]) -> None:
        rows: dict[int, list[Row]] = {}
        for event in events:
            rows.setdefault(event.partition, []).append((event.timestamp, event.key, event.value, []))
        sending = asyncio.gather(
            *(self._worker.publish(partition, found) for partition, found in rows.items())
        )
        await asyncio.wait([sending], timeout=self._patience)
        if not sending.done():  # it goes on: what is on its way cannot be called back
            self._late.add(sending)
            sending.add_done_callback(self._arrived)
            sentence = f"Kafka has not acknowledged the events within {self._patience:g} s; it still may."
            more = "Send them again with the same ids: each is taken once."
            raise refuse(503, "not_acknowledged", f"{sentence} {more}")
        try:
            sending.result()
        except MeanderError as error:
            raise refuse(503, "not_sent", f"Kafka does not take the events: {error}") from None

    def _arrived(self, sending: asyncio.Future[list[None]]) -> None:
        self._late.discard(sending)
        if not sending.cancelled() and (error := sending.exception()) is not None:
            log.warning("events.not.sent error=%s", error)

    def _read(self, body: bytes) -> Asking:
        try:
            return self._decoder.decode(body)
        except UNREADABLE as error:
            raise unread(error) from None

    def _event(self, question: Question) -> Sent:
        identifier = question.id or str(uuid.uuid4())
        key = (question.key if question.key is not None else identifier).encode()
        time_of = UNSET if question.timestamp is None else question.timestamp
        value = self._encoder.encode(_Event(identifier, question.features, time_of))
        return Sent(partition_of(key, self._partitions), key, value, round(time.time() * 1000))

    def _answer(self, number: int, event: Sent) -> Prediction:
        held = self._worker.held()
        if not held:
            raise refuse(
                503, "not_ready", "No partition is restored here yet. Ask again soon, or another worker."
            )
        processor = held.get(event.partition)
        away = processor is None
        if processor is None:  # the newest model there is: of the partition that has answered most
            processor = max(held.values(), key=lambda p: (p.serve.watermark, p.serve.predicted))
        record = Record(Source.EVENTS.value, processor.partition, -1, event.timestamp, event.key, event.value)
        try:
            prediction = processor.preview(record)
        except RefusalError as refusal:
            raise _refused(number, refusal) from None
        if away:
            prediction.flags += (f"other_partition:{processor.partition}",)
        return prediction


def _refused(number: int, refusal: RefusalError) -> RefusedError:
    return refuse(422, refusal.reason.value, f"events[{number}]: {refusal.sentence}")
