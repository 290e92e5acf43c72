"""An append-only journal in segments: a snapshot names segment, length and checksum of what stands there.

Bytes are handed out to be appended to a store (see `stream.ports.StateStore`); reading them back gives
what was put in, frame by frame. A segment that was restored is never appended to: bytes beyond the named
length may stand there from a snapshot that was never finished.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from learners.errors import SnapshotError

SIZE = 8 << 20
CHECKSUM = 16  # bytes
Read = Callable[[str, int], bytes]
"""From a segment's name and a length to its first so many bytes."""


class Appended(NamedTuple):
    """Bytes to append to a segment."""

    segment: str
    data: bytes


class Named(NamedTuple):
    """A segment as a snapshot names it.

    ``entries`` is how many things were written to it.
    """

    name: str
    length: int
    checksum: str
    entries: int


class _Open:
    __slots__ = ("digest", "entries", "length")

    def __init__(self) -> None:
        self.length = self.entries = 0
        self.digest = hashlib.blake2b(digest_size=CHECKSUM)

    def add(self, data: bytes, entries: int) -> None:
        self.length += len(data)
        self.entries += entries
        self.digest.update(data)


class Segments:
    """The segments of one kind of thing.

    Parameters
    ----------
    name
        What their names begin with.
    size
        Bytes; a segment that has reached them is closed.

    Attributes
    ----------
    number
        Of the segment that is appended to next.

    Examples
    --------
    >>> first = Segments("ids")
    >>> stored = {}
    >>> for segment, data in first.append([["a", "b"], []]) + first.append([["c"], []]):
    ...     stored[segment] = stored.get(segment, b"") + data
    >>> list(stored), [named.entries for named in first.named()]
    (['ids-000000000001'], [3])
    >>> second = Segments("ids")
    >>> list(second.restore(first.named(), lambda segment, length: stored[segment][:length]))
    [(1, [['a', 'b'], []]), (1, [['c'], []])]
    """

    def __init__(self, name: str, size: int = SIZE) -> None:
        self.name, self.number, self._size = name, 1, size
        self._open: dict[int, _Open] = {}

    def append(self, content: list[Any]) -> list[Appended]:
        """Return the bytes to append for this content: a list whose first element is a list of entries."""
        body = _encode(content)
        data = len(body).to_bytes(4, "big") + body
        segment = self._open.setdefault(self.number, _Open())
        segment.add(data, len(content[0]))
        appended = Appended(self._name_of(self.number), data)
        if segment.length >= self._size:
            self.number += 1
        return [appended]

    def _name_of(self, number: int) -> str:
        return f"{self.name}-{number:012d}"

    def named(self) -> list[Named]:
        """Return the segments that hold something, oldest first."""
        return [
            Named(self._name_of(n), s.length, s.digest.hexdigest(), s.entries) for n, s in self._open.items()
        ]

    def worth_dropping(self, live: dict[int, int]) -> list[int]:
        """Return the oldest segments whose content is dead, or one that should give up what is alive.

        Only the oldest may go: later ones say what is dead in those before them. One with live entries is
        given up when more than half of all bytes, and a segment's worth besides, are dead.
        """
        found: list[int] = []
        closed = [n for n in self._open if n != self.number]
        for number in closed:
            if live.get(number, 0):
                break
            found.append(number)
        if not found and closed:
            alive = sum(s.length * live.get(n, 0) / max(s.entries, 1) for n, s in self._open.items())
            if sum(s.length for s in self._open.values()) > 2 * alive + self._size:
                found.append(closed[0])
        return found

    def drop(self, number: int) -> None:
        """Forget a segment: nothing needs it any more."""
        del self._open[number]

    def forget(self) -> None:
        """Begin with a new segment, as if there were none."""
        self.number = max(self.number, *self._open, 0) + 1
        self._open.clear()

    def keep_clear_of(self, names: Iterable[str]) -> None:
        """Append to none of these, nor to one before them."""
        for name in names:
            kind, _, number = name.rpartition("-")
            if kind == self.name and number.isdecimal():
                self.number = max(self.number, int(number) + 1)

    def restore(self, named: Iterable[Named], read: Read) -> Iterator[tuple[int, Any]]:
        """Yield what was appended, with the number of its segment.

        Raises
        ------
        SnapshotError
            When a segment is not what the snapshot says.
        """
        self._open.clear()
        for name, length, checksum, entries in named:
            data = read(name, length)
            segment = _Open()
            segment.add(data, entries)
            if len(data) != length or segment.digest.hexdigest() != checksum:
                raise SnapshotError(f"segment {name} is not what the snapshot names: {len(data)} bytes")
            number = int(name.rpartition("-")[2])
            self._open[number] = segment
            self.number = max(self.number, number + 1)
            at = 0
            while at < length:
                end = at + 4 + int.from_bytes(data[at : at + 4], "big")
                yield number, _decode(data[at + 4 : end])
                at = end


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
