"""Things that wait under an id until they are asked for or their time is over: many, compact, in time order.

What came last is kept as it is; beyond `HOT` of them the older ones become bytes. Nothing here grows
slower with the number that waits: finding one is a look into a dict, and the next one whose time is over
stands at the head of a heap.
"""

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import islice
from struct import Struct as Layout
from typing import Any, Generic, TypeVar, cast

from stream.processing.segments import SIZE, Appended, Segments

T = TypeVar("T")
HOT = 1024  # a label that comes within so many events finds its prediction unpacked
HEAD = Layout("<qqI")  # sequence number, time in milliseconds, segment it stands in
NOWHERE = 0xFFFFFFFF  # a segment's number when it stands in none
FRAME = 10_000  # entries appended in one piece
SLACK = 1024  # dead entries of the heap that are not worth a sweep


class Shelf(Generic[T]):
    """Ids and what waits under them.

    Parameters
    ----------
    name
        Of its segments.
    pack, unpack
        To bytes and back; ``unpack`` is given id, sequence number, time and the bytes.
    hot
        How many of the newest are not packed.
    size
        Of a segment, in bytes.

    Attributes
    ----------
    segments
        The append-only journal of what stands here.

    Examples
    --------
    >>> shelf = Shelf("waiting", str.encode, lambda identifier, number, time, data: data.decode())
    >>> for number, (identifier, time) in enumerate([("a", 9), ("b", 5), ("c", 7)]):
    ...     shelf.put(identifier, number, time, identifier.upper())
    >>> shelf.take("c"), shelf.oldest(), shelf.pop_oldest(), len(shelf)
    ('C', 5, ('b', 'B'), 1)
    """

    def __init__(
        self,
        name: str,
        pack: Callable[[T], bytes],
        unpack: Callable[[str, int, int, bytes], T],
        hot: int = HOT,
        size: int = SIZE,
    ) -> None:
        self._pack, self._unpack, self._most_hot = pack, unpack, hot
        self._held: dict[str, tuple[int, int, T] | bytes] = {}
        self._hot: deque[tuple[str, int]] = deque()  # candidates for packing, oldest first
        self._times: list[tuple[int, int, str]] = []  # a heap; entries of what is gone stay for a while
        self.segments = Segments(name, size)
        self._gone: list[int] = []  # sequence numbers that stand in a segment and are no more
        self._live: dict[int, int] = {}  # segment number -> how many of its entries are still here

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._held

    def put(self, identifier: str, number: int, time: int, value: T) -> None:
        """Keep a value under an id that is not here yet; numbers must rise."""
        self._held[identifier] = (number, time, value)
        heappush(self._times, (time, number, identifier))
        hot = self._hot
        hot.append((identifier, number))
        if len(hot) > self._most_hot:
            self._cool()

    def _cool(self) -> None:
        identifier, number = self._hot.popleft()
        found = self._held.get(identifier)
        if type(found) is tuple and found[0] == number:
            self._held[identifier] = HEAD.pack(number, found[1], NOWHERE) + self._pack(found[2])

    def take(self, identifier: str) -> T | None:
        """Remove and return what stands under an id; None when there is nothing."""
        found = self._held.pop(identifier, None)
        if found is None:
            return None
        if len(self._times) > 2 * len(self._held) + SLACK:
            self._sweep()
        if type(found) is tuple:
            return found[2]
        data = cast(bytes, found)
        number, time, segment = HEAD.unpack_from(data)
        if segment != NOWHERE:
            self._gone.append(number)
            self._live[segment] -= 1
        return self._unpack(identifier, number, time, data[HEAD.size :])

    def peek(self, identifier: str) -> T | None:
        """Return what stands under an id, and leave it there; None when there is nothing."""
        found = self._held.get(identifier)
        if found is None or type(found) is tuple:
            return None if found is None else found[2]
        data = cast(bytes, found)
        number, time, _ = HEAD.unpack_from(data)
        return self._unpack(identifier, number, time, data[HEAD.size :])

    def _sweep(self) -> None:
        """Leave what is gone out of the heap."""
        self._times = [(time, number, i) for i, number, time in self._entries()]
        heapify(self._times)

    def _entries(self) -> Iterator[tuple[str, int, int]]:
        for identifier, found in self._held.items():
            if type(found) is tuple:
                yield identifier, found[0], found[1]
            else:
                number, time, _ = HEAD.unpack_from(cast(bytes, found))
                yield identifier, number, time

    def oldest(self) -> int | None:
        """Return the earliest time of all that is here; None when nothing is."""
        times, held = self._times, self._held
        while times:
            time, number, identifier = times[0]
            found = held.get(identifier)
            if found is not None:
                own = found[0] if type(found) is tuple else HEAD.unpack_from(cast(bytes, found))[0]
                if own == number:
                    return time
            heappop(times)
        return None

    def pop_oldest(self) -> tuple[str, T]:
        """Remove and return what has the earliest time, of these the one that came first, and its id."""
        if self.oldest() is None:
            raise KeyError("the shelf is empty")
        _, _, identifier = heappop(self._times)
        return identifier, cast(T, self.take(identifier))

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield ids and values; what is packed is unpacked for it."""
        for identifier, found in self._held.items():
            if type(found) is tuple:
                yield identifier, found[2]
            else:
                data = cast(bytes, found)
                number, time, _ = HEAD.unpack_from(data)
                yield identifier, self._unpack(identifier, number, time, data[HEAD.size :])

    # -- state -------------------------------------------------------------------------------------

    def whole(self) -> list[tuple[str, bytes]]:
        """Return everything, in order of coming: for a snapshot that needs no journal."""
        found = [(i, self._packed(entry, NOWHERE)) for i, entry in self._held.items()]
        return sorted(found, key=lambda pair: HEAD.unpack_from(pair[1])[0])

    def _packed(self, entry: tuple[int, int, T] | bytes, segment: int) -> bytes:
        if type(entry) is tuple:
            return HEAD.pack(entry[0], entry[1], segment) + self._pack(entry[2])
        data = cast(bytes, entry)
        number, time, _ = HEAD.unpack_from(data)
        return HEAD.pack(number, time, segment) + data[HEAD.size :]

    def fill(self, entries: list[tuple[str, bytes]]) -> None:
        """Begin with what `whole` returned."""
        self._held, self._live, self._gone = dict(entries), {}, []
        self._hot.clear()
        self._sweep()

    def append(self) -> list[Appended]:
        """Return what must be appended to the journal so that it tells what is here now.

        What came and went since the last time is never written. When more than half of what stands in
        the journal is dead, the oldest segment is given up: what is alive in it is written again.
        """
        held, segments = self._held, self.segments
        fresh: list[str] = []
        for identifier in reversed(held):  # what is in no segment yet came last
            entry = held[identifier]
            if type(entry) is bytes and HEAD.unpack_from(entry)[2] != NOWHERE:
                break
            fresh.append(identifier)
        fresh.reverse()
        self._hot.clear()
        gone, self._gone = self._gone, []
        appended: list[Appended] = []
        for start in range(0, len(fresh) if fresh or not gone else 1, FRAME):
            segment = segments.number
            frame = [(i, self._packed(held[i], segment)) for i in fresh[start : start + FRAME]]
            held.update(frame)
            self._live[segment] = self._live.get(segment, 0) + len(frame)
            appended += segments.append([frame, gone])
            gone = []
        return appended + self._clean()

    def _clean(self) -> list[Appended]:
        segments = self.segments
        appended: list[Appended] = []
        for number in segments.worth_dropping(self._live):
            alive = self._live.pop(number, 0)
            moved = list(islice(self._held.items(), alive))  # what was written first stands first
            into = segments.number
            again = [(identifier, self._packed(entry, into)) for identifier, entry in moved]
            for identifier, data in again:
                del self._held[identifier]
                self._held[identifier] = data
            segments.drop(number)
            if again:
                self._live[into] = self._live.get(into, 0) + len(again)
                appended += segments.append([again, []])
        return appended

    def replay(self, chunks: Iterator[tuple[int, Any]]) -> None:
        """Begin with what the journal holds: (segment number, what was appended), in order."""
        found: dict[int, tuple[str, bytes]] = {}
        for segment, (fresh, gone) in chunks:
            for number in gone:
                found.pop(number, None)
            for identifier, data in fresh:
                number, time, _ = HEAD.unpack_from(data)
                found.pop(number, None)  # written again: its place is here now
                found[number] = identifier, HEAD.pack(number, time, segment) + data[HEAD.size :]
        self.fill(list(found.values()))
        for _, data in found.values():
            segment = HEAD.unpack_from(data)[2]
            self._live[segment] = self._live.get(segment, 0) + 1

    def write_all_again(self) -> None:
        """Take nothing in the journal for granted: the next `append` writes everything."""
        for identifier, entry in self._held.items():
            if type(entry) is bytes:
                self._held[identifier] = self._packed(entry, NOWHERE)
        self._live, self._gone = {}, []
        self.segments.forget()
