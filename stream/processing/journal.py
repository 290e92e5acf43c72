"""The outputs are the journal: they tell in which order inputs of several topics were applied.

Kafka orders a partition, not two topics against each other. Every output says which input caused it
(``meander-source``) and what had been applied from the other topics before (``meander-inputs``), so the
order can be repeated exactly, up to the last output; beyond it any order is right.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from stream.messages import Record, Source

SOURCES = tuple(source.value for source in Source)


class Mark(NamedTuple):
    """What one output says of the order.

    ``source`` and ``offset`` name the input that caused it; ``before`` the next offsets of the other
    topics when it was applied. Where inputs that left no output had come by turns, ``before`` names every
    turn in order, its own topic's too; then the last word on each topic counts.
    """

    source: str
    offset: int
    before: tuple[tuple[str, int], ...]

    @property
    def progress(self) -> int:
        """Inputs applied before, of all topics: it grows along the journal."""
        return self.offset + sum(n for source, n in dict(self.before).items() if source != self.source)


def parse_mark(source: str, inputs: str) -> Mark:
    """Read the two journal headers.

    >>> parse_mark("events:0:7", "labels=3,control=0")
    Mark(source='events', offset=7, before=(('labels', 3), ('control', 0)))
    """
    name, _, offset = source.split(":")[:3]
    before = tuple((k, int(v)) for k, _, v in (part.partition("=") for part in inputs.split(",") if part))
    return Mark(name, int(offset), before)


class Cursor:
    """Reads one input topic forward, one record ahead."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = iter(records)
        self._ahead = next(self._records, None)

    def up_to(self, offset: int) -> Iterator[Record]:
        """Yield records before an offset."""
        while self._ahead is not None and self._ahead.offset < offset:
            record = self._ahead
            self._ahead = next(self._records, None)
            yield record

    def rest(self) -> Iterator[Record]:
        """Yield all that is left."""
        return self.up_to(2**63)


def in_order(marks: Iterable[Mark], inputs: Mapping[str, Iterable[Record]]) -> Iterator[Record]:
    """Yield inputs in the order in which they were applied, up to the last mark.

    Parameters
    ----------
    marks
        One for each output, in any order, repeats allowed.
    inputs
        Records of each source from where the state stands, by rising offset.

    Examples
    --------
    >>> def record(source, offset):
    ...     return Record(source, 0, offset, 0, None, b"")
    >>> marks = [parse_mark("events:0:0", "labels=0,control=0"),
    ...          parse_mark("events:0:1", "labels=2,control=0")]
    >>> order = in_order(marks, {"events": [record("events", i) for i in range(3)],
    ...                          "labels": [record("labels", i) for i in range(3)]})
    >>> [f"{r.source}{r.offset}" for r in order]
    ['events0', 'labels0', 'labels1', 'events1']
    """
    cursors = {source: Cursor(inputs.get(source, ())) for source in SOURCES}
    for mark in sorted(set(marks), key=lambda m: m.progress):
        for source, offset in mark.before:
            yield from cursors[source].up_to(offset)
        yield from cursors[mark.source].up_to(mark.offset + 1)
