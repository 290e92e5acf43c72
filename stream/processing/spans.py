"""Spans of inputs that are not to be learned from: by position, by time, or by who sent them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from learners.errors import MeanderError
from learners.watch.settings import HEADER
from stream.codec import Codec, RefusalError
from stream.messages import Command, Record, Source

EVENTS, LABELS, CONTROL = Source.EVENTS.value, Source.LABELS.value, Source.CONTROL.value
KEY, PRODUCER = "key:", "producer:"
_SOURCE = re.compile(r"(?:(events|labels):)?(.*)")
_PLACE = re.compile(r"(?:\d+:)?(\d+)")


class Span(Struct, frozen=True):
    """One span.

    Attributes
    ----------
    told
        As it is written down.
    source
        Of which topic alone; None: of both.
    offsets, times
        From, and before what: offsets, or milliseconds of event time; None: open.
    key, producer
        Only inputs with this Kafka key, or this ``meander-producer`` header.
    """

    told: str
    source: str | None = None
    offsets: tuple[int | None, int | None] | None = None
    times: tuple[int | None, int | None] | None = None
    key: bytes | None = None
    producer: bytes | None = None

    def holds(self, record: Record, time: int) -> bool:
        """Whether an input lies in it; ``time`` is its event time."""
        if self.source not in (None, record.source):
            return False
        if self.key is not None:
            return record.key == self.key
        if self.producer is not None:
            return (HEADER, self.producer) in record.headers
        return _inside(self.offsets, record.offset) and _inside(self.times, time)


def _inside(bounds: tuple[int | None, int | None] | None, value: int) -> bool:
    if bounds is None:
        return True
    first, end = bounds
    return (first is None or first <= value) and (end is None or value < end)


def parse_span(text: str) -> Span:
    """Read a span.

    ``FROM..TO``, from the first to before the last, either of which may be left out: offsets (of events, or
    ``labels:5..9``), positions as transitions have them, or times (of events and labels, or one of them:
    ``labels:2026-...``). ``key:NAME`` and ``producer:NAME``: what one of them sent. Times without a zone
    are UTC.

    Raises
    ------
    MeanderError
        When it is none.

    Examples
    --------
    >>> parse_span("events:0:1000..events:0:2000").told, parse_span("labels:5..").told
    ('events:1000..2000', 'labels:5..')
    >>> parse_span("2026-11-24T10:00..2026-11-24T12:30:00+01:00").told
    '2026-11-24T10:00:00Z..2026-11-24T11:30:00Z'
    >>> parse_span("key:shop-3").key
    b'shop-3'
    """
    if text.startswith(KEY) and text != KEY:
        return Span(text, key=text.removeprefix(KEY).encode())
    if text.startswith(PRODUCER) and text != PRODUCER:
        return Span(text, EVENTS, producer=text.removeprefix(PRODUCER).encode())
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not dots or not (first or last):
        raise MeanderError(
            f"{text!r} is no span: FROM..TO with offsets (1000..2000, labels:5..9) or times "
            "(2026-11-24T10:00..2026-11-24T12:00)"
        )
    named = [_SOURCE.fullmatch(end) for end in (first, last)]
    source = next((found[1] for found in named if found and found[1]), None)
    ends = [found[2] if found else "" for found in named]
    places = [_PLACE.fullmatch(end) for end in ends]
    if all(found or not end for found, end in zip(places, ends, strict=True)):
        source = source or EVENTS
        offsets = [int(found[1]) if found else None for found in places]
        told = f"{source}:{_shown(offsets[0])}..{_shown(offsets[1])}"
        return Span(told, source, offsets=_ordered(text, offsets))
    times = [_time(end) if end else None for end in ends]
    told = f"{_said(times[0])}..{_said(times[1])}"
    return Span(f"{source}:{told}" if source else told, source, times=_ordered(text, times))


def _ordered(text: str, ends: list[int | None]) -> tuple[int | None, int | None]:
    first, last = ends
    if first is not None and last is not None and first >= last:
        raise MeanderError(f"{text!r} holds nothing: it ends before it begins")
    return first, last


def _shown(offset: int | None) -> str:
    return "" if offset is None else str(offset)


def _time(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise MeanderError(f"{text!r} is neither an offset nor a time, e.g. 2026-11-24T10:00:00Z") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _said(time: int | None) -> str:
    if time is None:
        return ""
    told = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")
    return told.replace(".000+00:00", "Z").replace("+00:00", "Z")


class Without:
    """Goes through the inputs and takes out what lies in any of the spans.

    A label goes with its event. An event whose label goes alone waits for none. Operators' commands go, too,
    unless told otherwise: they were answers to what had happened. Ticks stay, and so does what is refused.

    Parameters
    ----------
    spans
        Where there is none, nothing but commands is taken out.
    codec
        Of the processor that takes the rest: what it can read can be taken out.
    commands
        Whether they stay.

    Attributes
    ----------
    events, labels
        How many were taken out.
    begun
        Whether anything was.
    """

    def __init__(self, spans: Iterable[Span], codec: Codec, *, commands: bool = False) -> None:
        self._spans, self._codec, self._commands = tuple(spans), codec, commands
        self._gone: set[str] = set()  # ids of events
        self.events = self.labels = 0

    @property
    def begun(self) -> bool:
        """Whether anything was taken out yet."""
        return bool(self.events or self.labels)

    def __call__(self, record: Record) -> Record | None:
        """Return what is to be learned from instead of an input; None: nothing."""
        try:
            if record.source == CONTROL:
                command = not self._commands and isinstance(self._codec.control(record), Command)
                return None if command else record
            if not self._spans:
                return record
            if record.source == EVENTS:
                return self._event(record)
            return self._label(record)
        except RefusalError:
            return record

    def _event(self, record: Record) -> Record | None:
        event = self._codec.event(record).event
        if not self._holds(record, event.timestamp):
            self._gone.discard(event.id)  # sent again put right
            return record
        self._gone.add(event.id)
        self.events += 1
        return None

    def _label(self, record: Record) -> Record | None:
        label = self._codec.label(record)
        if label.id in self._gone:
            self.labels += 1
            return None
        if not self._holds(record, label.timestamp):
            return record
        self.labels += 1
        return structs.replace(record, value=msgspec.json.encode({"id": label.id, "unavailable": True}))

    def _holds(self, record: Record, timestamp: int | None) -> bool:
        time = record.timestamp if timestamp is None else timestamp
        return any(span.holds(record, time) for span in self._spans)
