"""Things that wait under an id until they are asked for or their time is over: many, compact, in time order.

What came last is kept as it is; beyond `HOT` of them the older ones become bytes. Nothing here grows
slower with the number that waits: finding one is a look into a dict, and the next one whose time is over
stands at the head of the agenda. Nor does any single call take long: the journal is written in pieces.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, takewhile
from struct import Struct as Layout
from typing import Any, Generic, TypeVar, cast

from stream.processing.agenda import FAR, Agenda, Entry
from stream.processing.segments import SIZE, Appended, Segments

T = TypeVar("T")
HOT = 1024  # a label that comes within so many events finds its prediction unpacked
HEAD = Layout("<qqI")  # sequence number, time in milliseconds, segment it stands in
NOWHERE = 0xFFFFFFFF  # a segment's number of what stands in none; of what no longer stands in it, any
FRAME = 5_000  # entries appended in one piece
LEAST = 500  # entries moved out of a segment that is given up, where as few are appended in one piece
SHARDS = 64  # dicts that hold what is written: making room in one of a million entries takes 0.1 s
LOOKS = 4  # ids that are looked at for each entry that is to be written again, some of which are gone


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
    floor
        Nothing here has an earlier time.
    segments
        The append-only journal of what stands here.

    Examples
    --------
    >>> shelf = Shelf("waiting", str.encode, lambda identifier, number, time, data: data.decode())
    >>> for number, (identifier, time) in enumerate([("a", 9), ("b", 5), ("c", 7)]):
    ...     _ = shelf.put(identifier, number, time, identifier.upper())
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
        self._fresh: dict[str, tuple[int, int, T] | bytes] = {}  # in no segment yet, in order of coming
        self._hot: deque[tuple[str, int]] = deque()  # candidates for packing, oldest first
        self._agenda, self._listed = Agenda(), -1  # it has everything up to this number
        self.floor = FAR
        self.segments = Segments(name, size)
        self._gone: list[int] = []  # sequence numbers that stand in a segment and are no more
        self._again: list[str] = []  # ids written to segments that do not count any more
        self._keep([])

    def _keep(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Hold this, and nothing else, as written."""
        shards = self._kept = tuple(dict[str, bytes]() for _ in range(SHARDS))
        self._live: dict[int, int] = {}  # segment number -> how many of its entries are still here
        self._written: dict[int, list[str]] = {}  # -> ids written to it, some of which may be gone
        for identifier, data in entries:
            shards[hash(identifier) % SHARDS][identifier] = data
            self._written.setdefault(HEAD.unpack_from(data)[2], []).append(identifier)
        self._live.update((segment, len(written)) for segment, written in self._written.items())
        self._count = sum(self._live.values())
        self._since = self._lost = (
            0  # segments before this one do not count; how many entries of theirs are here
        )
        self._again.clear()
        self._gone.clear()

    def __len__(self) -> int:
        return len(self._fresh) + self._count

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._fresh or identifier in self._kept[hash(identifier) % SHARDS]

    def put(self, identifier: str, number: int, time: int, value: T) -> int:
        """Keep a value under an id that is not here yet; numbers must rise. Returns how many are here."""
        fresh = self._fresh
        fresh[identifier] = (number, time, value)
        if time < self.floor:
            self.floor = time
        hot = self._hot
        hot.append((identifier, number))
        if len(hot) > self._most_hot:
            self._cool()
        return len(fresh) + self._count

    def _cool(self) -> None:
        identifier, number = self._hot.popleft()
        found = self._fresh.get(identifier)
        if type(found) is tuple and found[0] == number:
            time = found[1]
            self._fresh[identifier] = HEAD.pack(number, time, NOWHERE) + self._pack(found[2])
            if number > self._listed:
                self._agenda.add(time, number, identifier)
                self._listed = number

    def take(self, identifier: str) -> T | None:
        """Remove and return what stands under an id; None when there is nothing."""
        found = self._fresh.pop(identifier, None)
        if type(found) is tuple:
            if found[0] <= self._listed:
                self._agenda.remove(found[0])
            return found[2]
        data = cast(bytes | None, found)
        if data is None:
            data = self._kept[hash(identifier) % SHARDS].pop(identifier, None)
            if data is None:
                return None
            self._count -= 1
            number, time, segment = HEAD.unpack_from(data)
            if segment < self._since:
                self._lost -= 1
            else:
                self._gone.append(number)
                self._live[segment] -= 1
        else:
            number, time, _ = HEAD.unpack_from(data)
        self._agenda.remove(number)
        return self._unpack(identifier, number, time, data[HEAD.size :])

    def peek(self, identifier: str) -> T | None:
        """Return what stands under an id, and leave it there; None when there is nothing."""
        found = self._fresh.get(identifier) or self._kept[hash(identifier) % SHARDS].get(identifier)
        return None if found is None else self._value(identifier, found)

    def _value(self, identifier: str, found: tuple[int, int, T] | bytes) -> T:
        if type(found) is tuple:
            return found[2]
        data = cast(bytes, found)
        number, time, _ = HEAD.unpack_from(data)
        return self._unpack(identifier, number, time, data[HEAD.size :])

    def oldest(self) -> int | None:
        """Return the earliest time of all that is here; None when nothing is."""
        first = self._first()
        return None if first is None else first[0]

    def _first(self) -> Entry | None:
        self._list()
        first = self._agenda.first()
        self.floor = FAR if first is None else first[0]
        return first

    def _list(self) -> None:
        """Enter into the agenda what came last: nobody had asked for it yet."""
        hot, listed = self._hot, self._listed
        new = list(takewhile(lambda pair: pair[1] > listed, reversed(hot)))
        for identifier, number in reversed(new):
            found = self._fresh.get(identifier)
            if type(found) is tuple and found[0] == number:
                self._agenda.add(found[1], number, identifier)
        if new:
            self._listed = new[0][1]

    def pop_oldest(self) -> tuple[str, T]:
        """Remove and return what has the earliest time, of these the one that came first, and its id."""
        first = self._first()
        if first is None:
            raise KeyError("the shelf is empty")
        return first[2], cast(T, self.take(first[2]))

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield ids and values; what is packed is unpacked for it."""
        for identifier, found in self._entries():
            yield identifier, self._value(identifier, found)

    def _entries(self) -> "Iterator[tuple[str, tuple[int, int, T] | bytes]]":
        return chain(*(shard.items() for shard in self._kept), self._fresh.items())

    # -- state -------------------------------------------------------------------------------------

    def whole(self) -> list[tuple[str, bytes]]:
        """Return everything, in order of coming: for a snapshot that needs no journal."""
        found = [(i, self._packed(entry, NOWHERE)) for i, entry in self._entries()]
        return sorted(found, key=lambda pair: HEAD.unpack_from(pair[1])[0])

    def _packed(self, entry: tuple[int, int, T] | bytes, segment: int) -> bytes:
        if type(entry) is tuple:
            return HEAD.pack(entry[0], entry[1], segment) + self._pack(entry[2])
        data = cast(bytes, entry)
        number, time, _ = HEAD.unpack_from(data)
        return HEAD.pack(number, time, segment) + data[HEAD.size :]

    def fill(self, entries: list[tuple[str, bytes]]) -> None:
        """Begin with what `whole` returned."""
        self._fresh = dict(entries)
        self._keep([])
        self._reset()

    def _reset(self) -> None:
        """Make the agenda of what is here, all of it packed."""
        self._hot.clear()
        held = cast(Iterator[tuple[str, bytes]], self._entries())
        heads = ((identifier, HEAD.unpack_from(data)) for identifier, data in held)
        entries = [(time, number, identifier) for identifier, (number, time, _) in heads]
        self._agenda = Agenda(entries)
        self._listed = max((entry[1] for entry in entries), default=-1)
        self.floor = min((entry[0] for entry in entries), default=FAR)

    @property
    def unwritten(self) -> int:
        """How many entries stand in no segment yet."""
        return len(self._fresh) + self._lost

    def append(self, most: int | None = None) -> list[Appended]:
        """Return what must be appended to the journal so that it tells what is here now.

        What came and went since the last time is never written. When more than half of what stands in
        the journal is dead, the oldest segment is given up: what is alive in it is written again.

        Parameters
        ----------
        most
            Only so many of the entries that are not written yet. None: all.
        """
        self._list()  # what is packed is listed
        count = self.unwritten if most is None else min(most, self.unwritten)
        gone, self._gone = self._gone, []
        appended: list[Appended] = []
        for start in range(0, count if count or not gone else 1, FRAME):
            frame = self._frame(min(FRAME, count - start), bounded=most is not None)
            appended += self._append(frame, gone)
            gone = []
        return appended + self._clean(FRAME if most is None else max(most, LEAST))

    def _frame(self, most: int, *, bounded: bool) -> list[tuple[str, bytes]]:
        """Return so many of the entries that are not written yet, as they are to be written."""
        segment, fresh = self.segments.number, self._fresh
        chosen = list(islice(fresh.items(), most))
        for identifier, _ in chosen:
            del fresh[identifier]
        self._count += len(chosen)
        frame = [(identifier, self._packed(entry, segment)) for identifier, entry in chosen]
        missing = most - len(frame)
        if missing and self._lost:
            frame += self._taken(
                self._again, lambda of: of < self._since, missing, LOOKS * missing if bounded else None
            )
            self._lost -= len(frame) - len(chosen)
        return frame

    def _taken(
        self, names: list[str], wanted: Callable[[int], bool], most: int, looks: int | None = None
    ) -> list[tuple[str, bytes]]:
        """Take ids from the end of a list; return those of wanted segments, as they are to be written."""
        found: list[tuple[str, bytes]] = []
        into, kept = self.segments.number, self._kept
        while names and len(found) < most and looks != 0:
            looks = None if looks is None else looks - 1
            identifier = names.pop()
            data = kept[hash(identifier) % SHARDS].get(identifier)
            if data is not None and wanted(HEAD.unpack_from(data)[2]):
                found.append((identifier, self._packed(data, into)))
        return found

    def _append(self, frame: list[tuple[str, bytes]], gone: list[int]) -> list[Appended]:
        segment, kept = self.segments.number, self._kept
        for identifier, data in frame:
            kept[hash(identifier) % SHARDS][identifier] = data
        self._live[segment] = self._live.get(segment, 0) + len(frame)
        self._written.setdefault(segment, []).extend(identifier for identifier, _ in frame)
        return self.segments.append([frame, gone])

    def _clean(self, most: int) -> list[Appended]:
        """Give up segments that hold little, so many entries at a time."""
        appended: list[Appended] = []
        for number in self.segments.worth_dropping(self._live):
            alive = self._live.get(number, 0)
            again = self._taken(self._written[number], number.__eq__, min(alive, most)) if alive else []
            if alive > len(again):
                self._live[number] = alive - len(again)
            else:
                self._live.pop(number, None)
                self._written.pop(number, None)
                self.segments.drop(number)
            if again:
                appended += self._append(again, [])
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
        self._fresh = {}
        self._keep(found.values())
        self._reset()

    def write_all_again(self) -> None:
        """Take nothing in the journal for granted: what is here is to be written again."""
        for written in self._written.values():
            self._again += written
        self._live, self._written, self._lost = {}, {}, self._count
        self._gone.clear()
        self.segments.forget()
        self._since = self.segments.number
