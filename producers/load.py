"""From rows to records: paced or flat out, labels inside the events or late on their own topic."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Literal, Protocol

import msgspec
from msgspec import UNSET, Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from learners.definition import Definition
from learners.errors import MeanderError
from producers.delays import Law, Told, Trouble, constant, told
from producers.files import is_missing, label_of, timestamp_of, typed
from stream.messages import Event, LabelRecord

Labels = Literal["inside", "topic", "none"]
Rows = Iterable[Mapping[str, Any]]


class Publishing(Protocol):
    """Where records go: `producers.publisher.Publisher`, or whatever stands in its place."""

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        """Take a record."""

    def flush(self) -> None:
        """Wait until all that was taken is safe."""


class RowError(MeanderError):
    """A row that cannot become an event."""


class Columns(Struct, frozen=True, kw_only=True):
    """Which columns hold what is not a feature.

    Attributes
    ----------
    label
        The truth. None: there is none.
    id
        The event's id. None: made of ``prefix`` and the number of the row, from 1.
    key
        The entity the event belongs to. None: the id.
    timestamp
        Event time, in any form that `producers.files.timestamp_of` reads. None: left to the record.
    prefix
        What ids start with.
    """

    label: str | None = "target"
    id: str | None = None
    key: str | None = None
    timestamp: str | None = None
    prefix: str = "row"


class Sample(Struct, gc=False):
    """A row, ready to be sent.

    Attributes
    ----------
    number
        Rows before it.
    id, key, features, timestamp, label
        As in `stream.messages.Event`; ``label`` is UNSET where the row has none.
    """

    number: int
    id: str
    key: bytes
    features: dict[str, Any]
    timestamp: int | None
    label: Any


def samples(rows: Rows, definition: Definition, columns: Columns) -> Iterator[Sample]:
    """Turn rows into samples, one by one.

    Raises
    ------
    RowError
        When the first row lacks a column that was named, or has no declared feature; when an id or key is
        empty, or a time is none.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> definition = parse_definition({"name": "up", "task": "binary", "features": {"x": {}},
    ...     "label": {"classes": ["DOWN", "UP"]}})
    >>> sample, = samples([{"x": "1.5", "day": "2", "target": "UP"}], definition, Columns(prefix="prices"))
    >>> sample.id, sample.features, sample.label
    ('prices-1', {'x': 1.5}, 'UP')
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    _check_columns(first, definition, columns)
    for number, row in enumerate(chain([first], rows)):
        try:
            identifier = _text(row, columns.id) if columns.id else f"{columns.prefix}-{number + 1}"
            key = _text(row, columns.key) if columns.key else identifier
            moment = timestamp_of(row[columns.timestamp]) if columns.timestamp else None
        except (KeyError, ValueError) as error:
            raise RowError(f"row {number + 1}: {error.args[0]}") from None
        truth = label_of(row.get(columns.label), definition) if columns.label else None
        yield Sample(
            number=number,
            id=identifier,
            key=key.encode(),
            features=typed(row, definition.features),
            timestamp=moment,
            label=UNSET if truth is None else truth,
        )


def _check_columns(row: Mapping[str, Any], definition: Definition, columns: Columns) -> None:
    named = {"--id": columns.id, "--key": columns.key, "--timestamp": columns.timestamp}
    named["--label-column"] = columns.label
    for option, name in named.items():
        if name is not None and name not in row:
            instead = ", or --labels none" if option == "--label-column" else ""
            raise RowError(
                f"there is no column {name!r}. Name one of {', '.join(row)} with {option}{instead}"
            )
    if not any(name in row for name in definition.features):
        declared = ", ".join(definition.features)
        raise RowError(f"none of the declared features ({declared}) is among the columns: {', '.join(row)}")


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if is_missing(value):
        raise ValueError(f"column {column!r} is empty")
    return str(value)


def paced(
    stream: Iterable[Sample],
    rate: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sample]:
    """Let ``rate`` samples a second through, evenly; what was held up is caught up with.

    >>> slept = []
    >>> for _ in paced(range(3), rate=4, clock=lambda: 0.0, sleep=slept.append): pass
    >>> slept
    [0.25, 0.5]
    """
    start = clock()
    for number, sample in enumerate(stream):
        ahead = start + number / rate - clock()
        if ahead > 0.001:
            sleep(ahead)
        yield sample


def shown(stream: Iterable[Sample], total: int | None, what: str) -> Iterator[Sample]:
    """Pass samples on and draw a progress bar on stderr, if that is a terminal."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        yield from bar.track(stream, total=total, description=what, update_period=0.2)


class Load:
    """Sends samples to the topics of a deployment.

    Parameters
    ----------
    publisher
        Open on both topics.
    events, labels
        Their full names.

    Attributes
    ----------
    events_sent, labels_sent
        How many so far.
    """

    def __init__(self, publisher: Publishing, events: str, labels: str) -> None:
        self._publisher, self._events, self._labels = publisher, events, labels
        self._encode = msgspec.json.Encoder().encode
        self.events_sent = self.labels_sent = 0

    def send(
        self,
        stream: Iterable[Sample],
        mode: Labels = "inside",
        delay: Law | None = None,
        trouble: Trouble | None = None,
        rate: float = 1.0,
    ) -> None:
        """Send all samples, and wait until they are acknowledged.

        Parameters
        ----------
        stream
            In their order.
        mode
            ``inside`` the event, on their own ``topic``, or ``none``.
        delay
            With ``topic``: label ``i`` is sent just before event ``i + delay``, as by
            `river.stream.simulate_qa`; those that remain, at the end. Default: 0, right after its event. A
            sample without label is then told to be unavailable. A law of time goes by event time.
        trouble
            With ``topic``: what befalls labels on their way.
        rate
            Rows a second, for laws of time where rows have no event time.

        Raises
        ------
        DeliveryError
            When records were lost.
        """
        if mode == "topic":
            self._with_late_labels(stream, delay or constant(0), trouble or Trouble(), 1000.0 / rate)
        else:
            for sample in stream:
                self._ask(sample, sample.label if mode == "inside" else UNSET)
        self._publisher.flush()

    def _with_late_labels(self, stream: Iterable[Sample], delay: Law, trouble: Trouble, step: float) -> None:
        now: int | None = None  # event time of the latest event: when a label comes to be known

        def time_of(row: Sample) -> int:
            return round(row.number * step) if row.timestamp is None else row.timestamp

        for sample, label in told(iter(stream), delay, trouble, time_of):
            if label is None:
                self._ask(sample, UNSET)
                if sample.timestamp is not None:
                    now = sample.timestamp if now is None else max(now, sample.timestamp)
            else:
                self._tell(label, now)

    def _ask(self, sample: Sample, label: Any) -> None:
        event = Event(id=sample.id, features=sample.features, timestamp=sample.timestamp, label=label)
        self._publisher.publish(self._events, sample.key, self._encode(event))
        self.events_sent += 1

    def _tell(self, label: Told, now: int | None) -> None:
        sample, truth = label.row, label.label
        record = LabelRecord(
            id=sample.id, label=truth, timestamp=now, unavailable=truth is UNSET, corrects=label.corrects
        )
        self._publisher.publish(self._labels, sample.key, self._encode(record))
        self.labels_sent += 1
