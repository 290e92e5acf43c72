"""Events that no longer wait: their ids are known for a while, the last of them whole."""

from collections import deque
from collections.abc import Callable, Iterator
from enum import IntEnum
from itertools import islice
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from stream.messages import Example
from stream.processing.segments import SIZE, Appended, Segments


class Fate(IntEnum):
    """Why an event no longer waits."""

    LABELLED = 0  # its label came
    UNAVAILABLE = 1  # it was said that none will come
    EXPIRED = 2  # none came in time, or too many waited
    ASSUMED = 3  # none came in time, and it was taken to have the declared one


class Kept(Struct, gc=False):
    """An event kept whole, so that what is said of it later finds it.

    Attributes
    ----------
    number
        How many were settled before it.
    fate
        Why it no longer waits.
    mark
        How many labels had been scored when it was.
    example
        With the label that was learned, or scored; UNSET where there was none.
    """

    number: int
    fate: Fate
    mark: int
    example: Example


class Settled:
    """The last ids that were settled, and of these the last few events.

    Parameters
    ----------
    ids
        How many ids are known.
    whole
        How many of the newest are kept whole.
    pack, unpack
        An example to bytes and back; ``unpack`` is given the id too.
    size
        Of a segment, in bytes.

    Attributes
    ----------
    known
        What is known of each id.
    segments
        The append-only journal of what was settled.
    """

    def __init__(
        self,
        ids: int,
        whole: int,
        pack: Callable[[Example], bytes],
        unpack: Callable[[str, bytes], Example],
        size: int = SIZE,
    ) -> None:
        self._ids, self._whole = ids, min(whole, ids)
        self._pack, self._unpack = pack, unpack
        self.known: dict[str, Fate | Kept] = {}
        self._order: deque[str] = deque()
        self._kept: deque[str] = deque()
        self.count = 0
        self._saved = 0  # of these, how many stand in the journal
        self._changed: dict[str, int] = {}  # those that stand there otherwise, and their numbers
        self._last: dict[int, int] = {}  # segment number -> the newest that was written to it
        self.segments = Segments("settled", size)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self.known

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def add(self, identifier: str, fate: Fate, example: Example | None, mark: int = 0) -> None:
        """Settle an event whose id is not known yet. Without an example only the id is kept."""
        known = self.known
        if example is not None and self._whole:
            known[identifier] = Kept(self.count, fate, mark, example)
            kept = self._kept
            kept.append(identifier)
            if len(kept) > self._whole:
                reduced = kept.popleft()
                if type(entry := known.get(reduced)) is Kept:
                    known[reduced] = entry.fate
        else:
            known[identifier] = fate
        self.count += 1
        order = self._order
        order.append(identifier)
        if len(order) > self._ids:
            oldest = order.popleft()
            if type(known.pop(oldest)) is Kept:
                self._kept.popleft()
            if self._changed:
                self._changed.pop(oldest, None)

    def _reduce(self, identifier: str) -> None:
        """Keep of an event only its id."""
        entry = self.known.get(identifier)
        if type(entry) is Kept:
            self.known[identifier] = entry.fate

    def forget(self, key: bytes) -> int:
        """Keep of all events of an entity only their ids; returns how many were kept whole."""
        found = [i for i in self._kept if type(e := self.known.get(i)) is Kept and e.example.key == key]
        for identifier in found:
            self._reduce(identifier)
        gone = set(found)
        self._kept = deque(identifier for identifier in self._kept if identifier not in gone)
        return len(found)

    def get(self, identifier: str) -> Fate | Kept | None:
        """Return what is known of an id."""
        return self.known.get(identifier)

    def change(self, identifier: str, fate: Fate, label: Any, mark: int) -> None:
        """Give an event that is kept whole another fate and label."""
        entry = self.known[identifier]
        assert type(entry) is Kept  # noqa: S101  the caller has just found it
        entry.fate, entry.example.label, entry.mark = fate, label, mark
        if entry.number < self._saved:
            self._changed[identifier] = entry.number

    # -- state -------------------------------------------------------------------------------------

    def _row(self, identifier: str, number: int) -> tuple[Any, ...]:
        entry = self.known[identifier]
        if type(entry) is not Kept:
            return identifier, number, int(entry)  # type: ignore[arg-type]
        label = () if entry.example.label is UNSET else (entry.example.label,)
        return identifier, number, int(entry.fate), entry.mark, self._pack(entry.example), label

    def _rows(self, start: int, end: int) -> list[tuple[Any, ...]]:
        """Return what was settled when so many were, up to so many; all of it must still be known."""
        first = self.count - len(self._order)
        chosen = islice(self._order, start - first, end - first)
        return [self._row(identifier, start + n) for n, identifier in enumerate(chosen)]

    def whole(self) -> bytes:
        """Return everything: for a snapshot that needs no journal."""
        return msgspec.msgpack.encode((self.count, self._rows(self.count - len(self._order), self.count)))

    def fill(self, data: bytes) -> None:
        """Begin with what `whole` returned."""
        count, rows = msgspec.msgpack.decode(data)
        self._take(rows)
        self.count = count

    def _take(self, rows: list[Any]) -> None:
        for identifier, number, fate, *more in rows:
            if not more:
                example, mark = None, 0
            else:
                mark, packed, label = more
                example = self._unpack(identifier, packed)
                example.label = label[0] if label else UNSET
            there = self.known.get(identifier)
            if number < self.count:  # it was changed after it was written
                if type(there) is Kept and there.number == number:
                    there.fate, there.mark = Fate(fate), mark
                    if example is not None:
                        there.example = example
                continue
            if number > self.count:  # whatever stands before it was forgotten when this was written
                self.known.clear()
                self._order.clear()
                self._kept.clear()
            self.count = number
            self.add(identifier, Fate(fate), example, mark)

    @property
    def unwritten(self) -> int:
        """How many that are still known do not stand in the journal yet."""
        return min(self.count - self._saved, len(self._order))

    def append(self, most: int | None = None) -> list[Appended]:
        """Return what must be appended to the journal so that it tells what is known now.

        Parameters
        ----------
        most
            Only so many of those that are not written yet. None: all.
        """
        changed = [self._row(identifier, number) for identifier, number in self._changed.items()]
        self._changed.clear()
        first = self.count - len(self._order)
        start = max(self._saved, first)
        end = self.count if most is None else min(self.count, start + most)
        rows = changed + self._rows(start, end)
        self._saved = end
        appended: list[Appended] = []
        if rows:
            self._last[self.segments.number] = end
            appended = self.segments.append([rows])
        for number in [n for n, last in self._last.items() if last <= first and n != self.segments.number]:
            del self._last[number]
            self.segments.drop(number)
        return appended

    def replay(self, chunks: Iterator[tuple[int, Any]]) -> None:
        """Begin with what the journal holds."""
        for segment, (rows,) in chunks:
            self._take(rows)
            self._last[segment] = self.count
        self._saved = self.count

    def write_all_again(self) -> None:
        """Take nothing in the journal for granted: all is to be written again."""
        self._saved = self.count - len(self._order)
        self._changed.clear()
        self._last.clear()
        self.segments.forget()
