"""What the core asks of the world outside."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from stream.messages import Example, Output, Record


class Observer(Protocol):
    """Is told of facts as they happen; never influences them."""

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        """Take an example whose label came; ``slots`` names the members of its panel ("": gone since)."""

    def corrected(self, example: Example, before: Any, slots: tuple[str, ...]) -> None:
        """Take an example whose label replaces ``before`` (UNSET: it had none); ``slots`` as above."""


class Sink(Protocol):
    """Takes outputs, in order."""

    def send(self, outputs: list[Output]) -> None:
        """Publish."""


class Stored(NamedTuple):
    """A snapshot as a store keeps it.

    Attributes
    ----------
    name
        What the store calls it.
    generation
        Under which it was saved.
    read
        Reads its bytes: tens of megabytes, where there are forests.
    """

    name: str
    generation: int
    read: Callable[[], bytes]


_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


def check_segment(name: str) -> str:
    """Return a segment's name, sure that it is letters, digits, dots and dashes.

    Raises
    ------
    ValueError
        When it is not.
    """
    if not _SEGMENT.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a segment")
    return name


class StateStore(Protocol):
    """Keeps snapshots of partitions, durably, and segments: bytes that are only ever appended to.

    Every call is durable when it returns. Any may raise `StoreUnavailableError`: then what was kept is still
    kept, and it may be tried again; only of an append it is not known then whether it was done, so that one
    goes on in a new segment. A segment's name is letters, digits, dots and dashes.
    """

    def advice(self) -> list[str]:
        """Return a sentence for each setting of the store that puts state at risk.

        Raises
        ------
        StoreUnavailableError
            When it cannot be used at all.
        """

    def close(self) -> None:
        """Let go of everything."""

    def lock(self, partition: int) -> None:
        """Claim a partition, until `unlock` or the end of this process; harmless when it is ours already.

        Raises
        ------
        MeanderError
            When another holds it.
        """

    def unlock(self, partition: int) -> None:
        """Let go of a partition; harmless when it is not ours."""

    def save(self, partition: int, data: bytes, generation: int) -> None:
        """Keep one more snapshot.

        Parameters
        ----------
        generation
            Of whoever saves: it only ever grows, so that one who was replaced cannot write any more.

        Raises
        ------
        StaleGenerationError
            When a newer generation has saved, or another holds the partition; nothing is changed.
        """

    def load(self, partition: int) -> list[Stored]:
        """Return what is kept, newest first, none of it read yet; empty when there is none.

        What went away before it is read gives no bytes, which are no snapshot.
        """

    def set_aside(self, partition: int, name: str, reason: str) -> None:
        """Take a snapshot that cannot be used out of the way, for a person to look at."""

    def clear(self, partition: int) -> None:
        """Forget everything about a partition: snapshots, those set aside, segments and generations."""

    def append(self, partition: int, segment: str, data: bytes) -> int:
        """Append to a segment, made when it is not there; returns its new length in bytes.

        Raises
        ------
        StaleGenerationError
            When another holds the partition.
        """

    def read(self, partition: int, segment: str, length: int | None = None) -> bytes:
        """Return a segment's first ``length`` bytes; without it all there are.

        Raises
        ------
        SnapshotError
            When it is shorter, or not there.
        """

    def segments(self, partition: int) -> list[str]:
        """Return the names of all segments, sorted."""

    def drop(self, partition: int, segment: str) -> None:
        """Delete a segment; harmless when it is not there."""

    def put(self, partition: int, digest: str, data: bytes) -> None:
        """Keep a state under its digest, whoever holds the partition: it never changes."""

    def get(self, partition: int, digest: str) -> bytes:
        """Return a state that was put.

        Raises
        ------
        SnapshotError
            When it is not there.
        """

    def digests(self, partition: int) -> list[str]:
        """Return the digests of all states that were put, oldest first."""

    def remove(self, partition: int, digest: str) -> None:
        """Delete a state that was put; harmless when it is not there."""


_DIGEST = re.compile(r"[0-9a-f]{32}")


def check_digest(digest: str) -> str:
    """Return a digest, sure that it is 32 hexadecimal digits.

    Raises
    ------
    ValueError
        When it is not.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest of a state")
    return digest


class Log(Protocol):
    """Reads spans of partitions of the deployment's topics."""

    def identity(self, topic: str) -> str:
        """Return what tells this topic from another of the same name, made later; empty: nobody can tell."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first and next offset."""

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """Yield records with offsets from ``start`` up to, not including, ``end``."""


OpenLog = Callable[[], AbstractContextManager[Log]]
"""Opens a log, closed at the end of a `with`."""
