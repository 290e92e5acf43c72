"""How the truth comes: late by a law, lost, twice, corrected, out of order, in bursts after an outage."""

import math
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from typing import Any, Protocol

from msgspec import UNSET, Struct

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Numbered(Protocol):
    """Anything that knows its place in the stream."""

    @property
    def number(self) -> int:
        """Count of rows before it."""


Law = Callable[[Numbered, object], int]
"""From a row and its label to how many rows later the label comes: a ``delay`` of River's ``simulate_qa``.

A law of time has an attribute ``milliseconds``: it gives milliseconds of event time instead.
"""


def constant(rows: int) -> Law:
    """Return the law by which every label comes that many rows late."""
    return lambda row, label: rows


def between(low: int, high: int, seed: int = 1) -> Law:
    """Return the law by which labels come ``low`` to ``high`` rows late, so that they overtake each other.

    The delay is a hash of the row's number: the same in every run.
    """
    width = high - low + 1
    return lambda row, label: low + _mixed(row.number + (seed << 32)) % width


def exponential(mean: int, seed: int = 1) -> Law:
    """Return the law of a constant chance to come at any moment."""
    return lambda row, label: round(-mean * math.log(uniform(row.number, seed)))


def lognormal(median: int, sigma: float, seed: int = 1) -> Law:
    """Return the law with a long tail: the logarithm of the delay is normal, with this deviation."""

    def law(row: Numbered, label: object) -> int:
        radius = math.sqrt(-2.0 * math.log(uniform(row.number, seed)))
        return round(median * math.exp(sigma * radius * math.cos(math.tau * uniform(row.number, seed + 1))))

    return law


class OfTime:
    """A law whose delays are milliseconds of event time."""

    milliseconds = True

    def __init__(self, law: Law) -> None:
        self._law = law

    def __call__(self, row: Numbered, label: object) -> int:
        """Return the delay of a row's label."""
        return self._law(row, label)


class ByClass:
    """A law for each class; what is not named comes at once."""

    def __init__(self, laws: Mapping[str, Law]) -> None:
        self._laws = dict(laws)
        self.milliseconds = any(is_time(law) for law in laws.values())

    def __call__(self, row: Numbered, label: object) -> int:
        """Return the delay of a row's label."""
        law = self._laws.get(str(label))
        return 0 if law is None else law(row, label)


def is_time(law: Law) -> bool:
    """Whether a law gives milliseconds of event time rather than rows."""
    return bool(getattr(law, "milliseconds", False))


def parse_delay(text: str) -> Law:
    """Read a law as the command line names it.

    Rows: ``50``, ``10-50``, ``exponential:50``, ``lognormal:50:1.5`` (median, deviation of the logarithm).
    Event time: the same with a unit, ``36h``, ``exponential:1h``, ``lognormal:1h:1.5``. By class:
    ``fraud=exponential:20d,legit=1d``.

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
    >>> law = parse_delay("fraud=exponential:1h,legit=2m")
    >>> [law(SimpleNamespace(number=7), label) for label in ("fraud", "legit", "other")], is_time(law)
    ([5329686, 120000, 0], True)
    """
    if "=" in text:
        laws = {name: parse_delay(law) for name, _, law in (part.partition("=") for part in text.split(","))}
        if len({is_time(law) for law in laws.values()}) > 1:
            raise ValueError(f"{text!r} mixes rows and times: give every class one or the other")
        return ByClass(laws)
    kind, _, rest = text.partition(":")
    if kind in ("exponential", "lognormal"):
        scale, _, sigma = rest.partition(":")
        amount, timely = _amount(scale, text)
        if kind == "exponential" and not sigma:
            law = exponential(amount)
        elif kind == "lognormal":
            law = lognormal(amount, _number(sigma or "1", text))
        else:
            raise _no_delay(text)
        return OfTime(law) if timely else law
    low, dash, high = text.partition("-")
    first, timely = _amount(low, text)
    if not dash:
        return OfTime(constant(first)) if timely else constant(first)
    last, also = _amount(high, text)
    if timely != also:
        raise _no_delay(text)
    if first > last:
        raise ValueError(f"{text!r} is no delay: its lower end comes first")
    return OfTime(between(first, last)) if timely else between(first, last)


def _amount(text: str, whole: str) -> tuple[int, bool]:
    """Return an amount in rows, or in milliseconds where it has a unit, and which of the two it is."""
    if text.isdecimal():
        return int(text), False
    number = text.rstrip("mshd")
    unit = text[len(number) :]
    if unit not in _UNITS:
        raise _no_delay(whole)
    return round(_number(number, whole) * _UNITS[unit]), True


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _no_delay(whole) from None
    if not 0.0 <= number < 1e12:
        raise _no_delay(whole)
    return number


def _no_delay(text: str) -> ValueError:
    return ValueError(
        f"{text!r} is no delay: write rows, e.g. 50 or 10-50, or a law of time, e.g. 1h, exponential:1h, "
        "lognormal:1h:1.5, or one for each class, e.g. fraud=20d,legit=1d"
    )


class Trouble(Struct, frozen=True, kw_only=True):
    """What else befalls labels on their way; each a share of them, in [0, 1].

    Attributes
    ----------
    loss
        Never sent.
    unavailable
        Said to be unavailable instead.
    twice
        Sent a second time, right after.
    wrong
        Sent as another one's label first, and corrected after as long again.
    outage
        Rows ``(from, to)`` between which nothing gets through; all that was held back comes at the end of it.
    seed
        Of the choice, which is a hash of the row's number.
    """

    loss: float = 0.0
    unavailable: float = 0.0
    twice: float = 0.0
    wrong: float = 0.0
    outage: tuple[int, int] | None = None
    seed: int = 1

    def befalls(self, what: int, number: int, share: float) -> bool:
        """Whether one kind of trouble befalls the label of a row."""
        return share > 0.0 and uniform(number, (self.seed << 8) + what) <= share


class Told(Struct, gc=False):
    """A label as it is sent.

    ``row`` is its event; ``label`` the truth, or what is said of it, UNSET where it is unavailable.
    """

    row: Any
    label: Any
    corrects: bool = False


def told(
    rows: Iterator[Any],
    law: Law,
    trouble: Trouble,
    time_of: Callable[[Any], int | None] = lambda row: None,
) -> Iterator[tuple[Any, Told | None]]:
    """Yield each row, and between them labels as they come: ``(row, None)`` or ``(row, told)``.

    Label ``i`` comes just before event ``i + delay``, as by `river.stream.simulate_qa`, equal ones in the
    order of their rows; with a law of time, before the first event that is so much later. What remains comes
    at the end.

    Parameters
    ----------
    rows
        With ``number`` and ``label`` (UNSET: there is none, which is told as unavailable).
    law
        Of the delays.
    trouble
        What else befalls labels.
    time_of
        Event time of a row in milliseconds, for laws of time. None: a row is a second.
    """
    waiting: list[tuple[int, int, int, Told]] = []
    timely, count = is_time(law), 0
    before: Any = UNSET

    def push(moment: int, label: Told) -> None:
        nonlocal count
        heappush(waiting, (moment, count, count, label))
        count += 1

    for row in rows:
        at = time_of(row) if timely else None
        now = (row.number * 1000 if at is None else at) if timely else row.number
        held = trouble.outage is not None and trouble.outage[0] <= row.number < trouble.outage[1]
        while waiting and not held and waiting[0][0] <= now:
            known = heappop(waiting)[3]
            yield known.row, known
        yield row, None
        truth, number = row.label, row.number
        if trouble.befalls(0, number, trouble.loss):
            continue
        delay = law(row, truth)
        if trouble.befalls(1, number, trouble.unavailable):
            truth = UNSET
        if truth is not UNSET and before is not UNSET and trouble.befalls(3, number, trouble.wrong):
            push(now + delay, Told(row, before))
            push(now + 2 * delay + 1, Told(row, truth, True))
        else:
            push(now + delay, Told(row, truth))
            if trouble.befalls(2, number, trouble.twice):
                push(now + delay, Told(row, truth))
        if truth is not UNSET:
            before = truth
    while waiting:
        label = heappop(waiting)[3]
        yield label.row, label


def uniform(number: int, seed: int) -> float:
    """Return a number in (0, 1] that depends on row and seed alone."""
    return (_mixed(number + (seed << 32)) % (1 << 53) + 1) / (1 << 53)


def _mixed(number: int) -> int:
    """Scatter a number over 64 bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    number = (number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)
