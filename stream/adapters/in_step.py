"""Keeps labels and events in step where they have a backlog: they are taken in the order of their times.

A poll brings what happens to have been fetched. Once a worker was away, that may be most of the labels before
the first of their events, more than may wait for these; or thousands of events before the first label, so
that time passes, and the wait for labels ends that lie on Kafka.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from faust.types import TP

from stream.messages import Source

MOST = 1000  # records of one go
FEW = 250  # events of one go, where labels stand between them
SPAN = 10_000  # milliseconds that such events lie apart at most
LOOK = 0.02  # seconds between two looks whether what is held back may be passed on
PATIENCE = 1.0  # seconds that records of one topic wait for the other one's, of which none come
NEVER = -(2**62)
_time = attrgetter("timestamp")


def in_order(
    control: Sequence[Any], events: Sequence[Any], labels: Sequence[Any]
) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield records of one partition as they came, some at a time.

    Before some events stand all labels that were there before the first of them, and what was asked.

    >>> from types import SimpleNamespace as Record
    >>> events, labels = ([Record(timestamp=t) for t in times] for times in ((1, 2, 9), (0, 2, 3)))
    >>> [(str(source), [r.timestamp for r in found]) for source, found in in_order((), events, labels)]
    [('labels', [0]), ('events', [1, 2, 9]), ('labels', [2, 3])]
    """
    for at in range(0, len(control), MOST):
        yield Source.CONTROL, control[at : at + MOST]
    start = done = 0
    while start < len(events):
        first = events[start].timestamp
        before = bisect_right(labels, first, done, key=_time)
        for at in range(done, before, MOST):
            yield Source.LABELS, labels[at : min(at + MOST, before)]
        done, end = before, start + MOST
        if done < len(labels):
            most = min(start + FEW, len(events))
            end = max(start + 1, bisect_right(events, first + SPAN, start, most, key=_time))
        yield Source.EVENTS, events[start:end]
        start = end
    for at in range(done, len(labels), MOST):
        yield Source.LABELS, labels[at : at + MOST]


class InStep:
    """Holds back what is ahead: labels of events that are still to be read, events after labels that are.

    Parameters
    ----------
    events, labels
        The topics.
    room
        How many labels of a partition may be passed on now, if there are events to be read; 0: too many wait
        for their event already.
    clock
        Seconds.

    Examples
    --------
    >>> from types import SimpleNamespace as Record
    >>> step, events, labels = InStep("e", "l", lambda number: 500, lambda: 0.0), TP("e", 0), TP("l", 0)
    >>> step.due({labels: [Record(timestamp=7)]}, lambda tp: True)
    {}
    >>> step.wanted({events, labels}) == {events}
    True
    >>> due = step.due({events: [Record(timestamp=6), Record(timestamp=9)]}, lambda tp: True)
    >>> {tp.topic: [record.timestamp for record in found] for tp, found in due.items()}
    {'l': [7], 'e': [6]}
    """

    def __init__(
        self, events: str, labels: str, room: Callable[[int], int], clock: Callable[[], float]
    ) -> None:
        self._events, self._labels, self._room, self._clock = events, labels, room, clock
        self._held: dict[TP, list[Any]] = {}
        self._reached: dict[TP, int] = {}  # time of the last record that came, milliseconds
        self._missed: dict[TP, float] = {}  # since when those of the other topic wait for records of it
        self._cut = False  # whether more could have been passed on, were it not too much at once
        self.stops = self._known_stops = 0  # how often to begin anew

    def stop(self) -> None:
        """Begin anew before the next poll: positions are sought. May be called from any thread."""
        self.stops += 1

    def patience(self, timeout: float | None) -> float | None:
        """Return how long a poll may wait for records, in seconds: less where something is held back."""
        return 0.0 if self._cut else LOOK if self._held else timeout

    def wanted(self, tps: set[TP]) -> set[TP]:
        """Return of which of these more is to be fetched: those of which nothing is held back.

        This is where a poll begins.
        """
        if self._known_stops != self.stops:
            self._known_stops = self.stops
            self._held.clear()
            self._reached.clear()
            self._missed.clear()
        return tps - self._held.keys()

    def due(self, found: Mapping[TP, list[Any]], unread: Callable[[TP], bool]) -> dict[TP, list[Any]]:
        """Take what a poll brought, and return what may be passed on.

        Parameters
        ----------
        unread
            Whether a topic's partition holds more, or it is not known yet.
        """
        due: dict[TP, list[Any]] = {}
        held, self._cut = self._held, False
        for tp, records in found.items():
            if tp.topic not in (self._events, self._labels):
                due[tp] = records
                continue
            self._reached[tp] = records[-1].timestamp
            self._missed.pop(tp, None)
            held[tp] = held[tp] + records if tp in held else records
        for number in {tp.partition for tp in held}:
            events, labels = TP(self._events, number), TP(self._labels, number)
            for tp, count in self._counts(events, labels, unread):
                records = held.pop(tp, [])
                if count:
                    due[tp] = records[:count]
                if count < len(records):
                    held[tp] = records[count:]
        return due

    def _counts(self, events: TP, labels: TP, unread: Callable[[TP], bool]) -> list[tuple[TP, int]]:
        """Return how many of the first events and labels of a partition may be passed on."""
        of_events, of_labels = self._held.get(events, []), self._held.get(labels, [])
        due, most = len(of_labels), len(of_events)
        if unread(events) or of_events:
            due = min(due, self._room(events.partition))
            if not due and of_labels:
                return [(labels, 0), (events, most)]
            self._cut = self._cut or due < len(of_labels)
        if of_labels and self._awaited(events, of_events, unread):
            due = bisect_right(of_labels, self._reached.get(events, NEVER), 0, due, key=_time)
        if due < len(of_labels):
            most = bisect_right(of_events, of_labels[due].timestamp, key=_time)
        elif of_events and self._awaited(labels, of_labels, unread):
            most = bisect_right(of_events, self._reached.get(labels, NEVER), key=_time)
        return [(labels, due), (events, most)]

    def _awaited(self, tp: TP, held: Sequence[Any], unread: Callable[[TP], bool]) -> bool:
        """Whether records of the other topic wait for more of this one."""
        if not unread(tp):
            self._missed.pop(tp, None)
            return False
        return bool(held) or self._clock() - self._missed.setdefault(tp, self._clock()) < PATIENCE
