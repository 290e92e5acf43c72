"""How late the truth comes: laws of label delay, in rows."""

from collections.abc import Callable
from typing import Protocol


class Numbered(Protocol):
    """Anything that knows its place in the stream."""

    @property
    def number(self) -> int:
        """Count of rows before it."""


Law = Callable[[Numbered, object], int]
"""From a row and its label to how many rows later the label comes: a ``delay`` of River's ``simulate_qa``."""


def constant(rows: int) -> Law:
    """Return the law by which every label comes that many rows late."""
    return lambda row, label: rows


def between(low: int, high: int, seed: int = 1) -> Law:
    """Return the law by which labels come ``low`` to ``high`` rows late, so that they overtake each other.

    The delay is a hash of the row's number: the same in every run.
    """
    width = high - low + 1
    return lambda row, label: low + _mixed(row.number + (seed << 32)) % width


def parse_delay(text: str) -> Law:
    """Read a law as the command line names it: ``50``, or ``10-50``.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> law = parse_delay("10-12")
    >>> [law(SimpleNamespace(number=number), None) for number in range(6)]
    [10, 12, 10, 12, 10, 11]
    """
    low, dash, high = text.partition("-")
    if not low.isdecimal() or not (high.isdecimal() if dash else not high):
        raise ValueError(f"{text!r} is no delay: write rows, e.g. 50 or 10-50")
    if not dash:
        return constant(int(low))
    if int(low) > int(high):
        raise ValueError(f"{text!r} is no delay: its lower end comes first")
    return between(int(low), int(high))


def _mixed(number: int) -> int:
    """Scatter a number over 64 bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    number = (number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)
