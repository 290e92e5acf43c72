"""Signals judged by true points of change: delay, missed, false alarms."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from producers.orders import Change
from producers.words import counted

HORIZON = 1000  # rows after a change within which a signal is about it


class Verdict(Struct, frozen=True):
    """How well signals tell changes.

    Attributes
    ----------
    delays
        Rows from each change that was signalled to its first signal.
    missed
        Changes that called for a signal and got none of the kinds expected.
    false
        Signals by kind that are about no change.
    rows
        Rows looked at.

    Examples
    --------
    >>> change = Change(at=500, until=500, kind="abrupt", expects=("concept",))
    >>> verdict = judge([change], [(100, "concept"), (540, "data"), (560, "concept")], 2000)
    >>> verdict.delays, verdict.missed, verdict.false
    ((60,), (), {'concept': 1})
    """

    delays: tuple[int, ...]
    missed: tuple[Change, ...]
    false: dict[str, int]
    rows: int

    @property
    def mean_delay(self) -> float | None:
        """Mean of the delays; None if nothing was signalled."""
        return sum(self.delays) / len(self.delays) if self.delays else None

    def sentence(self) -> str:
        """Return it in one line."""
        found = f"{len(self.delays)} of {counted(len(self.delays) + len(self.missed), 'change')} signalled"
        delay = f", mean delay {self.mean_delay:.0f}" if self.delays else ""
        alarms = ", ".join(f"{n} {kind}" for kind, n in sorted(self.false.items())) or "none"
        return f"{found}{delay}; false alarms in {counted(self.rows, 'row')}: {alarms}"


def judge(
    changes: Sequence[Change], signals: Iterable[tuple[int, str]], rows: int, horizon: int = HORIZON
) -> Verdict:
    """Compare signals, as (row, kind), with true changes.

    A signal is about a change from its first row until ``horizon`` rows after its last; for the one that a
    change calls for there is also only time until the next change.
    """
    told = sorted(signals)
    order = sorted(changes, key=lambda change: change.at)
    ends = [after.at for _, after in pairwise(order)] + [rows]
    delays, missed = [], []
    for change, end in zip(order, ends, strict=False):
        if not change.expects:
            continue
        last = min(max(end, change.until), change.until + horizon)
        first = next((at for at, kind in told if change.at <= at < last and kind in change.expects), None)
        if first is None:
            missed.append(change)
        else:
            delays.append(first - change.at)
    excused = [(change.at, change.until + horizon) for change in order]
    false = Counter(kind for at, kind in told if not any(a <= at < b for a, b in excused))
    return Verdict(tuple(delays), tuple(missed), dict(false), rows)
