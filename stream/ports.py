"""What the core asks of the world outside."""

from collections.abc import Iterator
from typing import Protocol

from stream.messages import Example, Output, Record


class Observer(Protocol):
    """Is told of facts as they happen; never influences them."""

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        """Take an example whose label came; ``slots`` names the members of its panel ("": gone since)."""


class Sink(Protocol):
    """Takes outputs, in order."""

    def send(self, outputs: list[Output]) -> None:
        """Publish."""


class StateStore(Protocol):
    """Keeps snapshots of partitions, durably, newest first."""

    def save(self, partition: int, data: bytes) -> None:
        """Keep one more; durable when this returns."""

    def load(self, partition: int) -> list[bytes]:
        """Return what is kept, newest first; empty when there is none."""


class Log(Protocol):
    """Reads spans of partitions of the deployment's topics."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first and next offset."""

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """Yield records with offsets from ``start`` up to, not including, ``end``."""
