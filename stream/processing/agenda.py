"""What is due when: the earliest of many, where any may go before its time.

A heap alone cannot let go of what stands in its middle: it would fill with what is gone, and clearing that
away takes seconds where a million wait. So entries lie in small heaps, by blocks of numbers, which are
cleared one by one, above them a heap that says which block comes first.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

BITS = 10  # numbers that differ only in so many lower bits stand in one block
SLACK = 16  # a smaller block is not worth clearing
FAR = 2**62  # later than any time


Entry = tuple[int, int, str]
"""A time in milliseconds, a number that tells apart what has the same time, an id."""


class _Block:
    __slots__ = ("gone", "heap")

    def __init__(self) -> None:
        self.heap: list[Entry] = []
        self.gone: set[int] = set()  # numbers that still stand in the heap


class Agenda:
    """Entries in order of time, then of number. No operation takes longer the more there are.

    Parameters
    ----------
    entries
        To begin with: (time, number, id).

    Examples
    --------
    >>> agenda = Agenda()
    >>> for number, (time, identifier) in enumerate([(9, "a"), (5, "b"), (7, "c")]):
    ...     agenda.add(time, number, identifier)
    >>> agenda.first()
    (5, 1, 'b')
    >>> agenda.remove(1); agenda.first()
    (7, 2, 'c')
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._blocks: dict[int, _Block] = {}
        for entry in entries:
            self._blocks.setdefault(entry[1] >> BITS, _Block()).heap.append(entry)
        for block in self._blocks.values():
            heapify(block.heap)
        self._order: list[tuple[int, int]] = []  # a heap: no entry of the block is earlier than this
        self._set_order()
        self._first: Entry | None = None  # None: to be found
        self._last, self._open, self._bound = -1, _Block(), FAR  # the block added to, and its first time

    def _set_order(self) -> None:
        self._order = [(block.heap[0][0], number) for number, block in self._blocks.items() if block.heap]
        heapify(self._order)

    def add(self, time: int, number: int, identifier: str) -> None:
        """Add an entry; numbers must rise."""
        place = number >> BITS
        if place != self._last:
            self._begin(place)
        entry = (time, number, identifier)
        heappush(self._open.heap, entry)
        if time < self._bound:
            self._bound = time
            heappush(self._order, (time, place))
        first = self._first
        if first is not None and time < first[0]:
            self._first = entry

    def _begin(self, place: int) -> None:
        """Open the block of a number."""
        if not self._open.heap:
            self._blocks.pop(self._last, None)
        block = self._blocks.get(place)
        self._last, self._bound = place, FAR
        if block is None:
            block = self._blocks[place] = _Block()
        self._open = block
        if len(self._order) > 2 * len(self._blocks) + (1 << BITS):
            self._set_order()

    def remove(self, number: int) -> None:
        """Remove the entry of a number, which must be here."""
        place = number >> BITS
        block = self._blocks[place]
        heap, gone = block.heap, block.gone
        first = self._first
        if first is not None and first[1] == number:
            self._first = None
        if heap[0][1] == number:
            heappop(heap)
            if len(heap) > 2 * len(gone):
                return
        else:
            gone.add(number)
        if len(heap) == len(gone):
            heap.clear()
            gone.clear()
            if place != self._last:
                del self._blocks[place]
        elif 2 * len(gone) > len(heap) + SLACK:
            heap[:] = [entry for entry in heap if entry[1] not in gone]
            heapify(heap)
            gone.clear()

    def first(self) -> Entry | None:
        """Return the earliest entry, of these the one with the lowest number; None when there is none."""
        if self._first is None:
            self._first = self._find()
        return self._first

    def _find(self) -> Entry | None:
        order = self._order
        while order:
            bound, place = order[0]
            block = self._blocks.get(place)
            if block is None:
                heappop(order)
                continue
            heap, gone = block.heap, block.gone
            while heap and heap[0][1] in gone:
                gone.remove(heappop(heap)[1])
            if not heap:  # the block that is added to
                heappop(order)
                self._bound = FAR
            elif heap[0][0] > bound and len(order) > 1:  # another one may be earlier
                heapreplace(order, (heap[0][0], place))
                if place == self._last:
                    self._bound = heap[0][0]
            else:
                return heap[0]
        return None
