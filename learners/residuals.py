"""Intervals for numbers, from how wrong the last answers were: split conformal prediction on a window.

The half-width is the ceil((n + 1) coverage)-th smallest of n absolute residuals.

References
----------
J. Lei, M. G'Sell, A. Rinaldo, R. Tibshirani, L. Wasserman, *Distribution-free predictive inference for
regression*, Journal of the American Statistical Association 2018.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

WINDOW = 500  # residuals of each member; what is older tells of another world


class Residuals:
    """The last absolute residuals of every member, by number.

    A member's are sorted from its first interval on, so that members who never answer cost next to nothing.
    Coverage is promised where errors are exchangeable; under drift, as far as the window follows.

    Parameters
    ----------
    coverage
        Share of truths that intervals are to hold, in (0, 1).
    low, high
        What a label may be at all: no interval goes beyond.

    Examples
    --------
    >>> residuals = Residuals(0.5, 0.0, 100.0)
    >>> residuals.interval(1, 10.0) is None
    True
    >>> for label in (11.0, 12.0, 7.0):
    ...     residuals.add((1, 2), (10.0, None), label, (-50.0, 50.0))
    >>> residuals.interval(1, 10.0), residuals.interval(1, 1.0), residuals.interval(2, 10.0)
    ((8.0, 12.0), (0.0, 3.0), None)
    """

    def __init__(self, coverage: float, low: float, high: float) -> None:
        self.coverage, self._low, self._high = coverage, low, high
        self._recent: dict[int, deque[float]] = {}
        self._sorted: dict[int, list[float]] = {}

    def add(
        self, panel: Sequence[int], answers: Sequence[float | None], label: float, sane: tuple[float, float]
    ) -> None:
        """Take note of what members had answered, now that the truth is known.

        Parameters
        ----------
        panel, answers
            Member numbers, and what each answered; None: nothing.
        label
            The truth.
        sane
            Within which an answer would have been served.
        """
        low, high = sane
        for number, answer in zip(panel, answers, strict=True):
            if answer is None:
                continue
            served = low if answer < low else high if answer > high else answer
            residual = abs(served - label)
            recent = self._recent.get(number)
            if recent is None:
                recent = self._begin(number, panel)
            ordered = self._sorted.get(number)
            if ordered is not None:
                if len(recent) == WINDOW:
                    del ordered[bisect_left(ordered, recent[0])]
                insort(ordered, residual)
            recent.append(residual)

    def _begin(self, number: int, panel: Sequence[int]) -> deque[float]:
        """Begin for a new member; those that are long gone are let go of."""
        if len(self._recent) > 2 * len(panel) + 8:
            for gone in [n for n in self._recent if n not in panel]:
                del self._recent[gone]
                self._sorted.pop(gone, None)
        recent = self._recent[number] = deque(maxlen=WINDOW)
        return recent

    def interval(self, number: int, value: float) -> tuple[float, float] | None:
        """Return the ends around what a member answers; None while its residuals are too few to tell."""
        ordered = self._sorted.get(number)
        if ordered is None:
            recent = self._recent.get(number)
            if recent is None:
                return None
            ordered = self._sorted[number] = sorted(recent)
        half = self._half(ordered)
        if half is None:
            return None
        return max(self._low, value - half), min(self._high, value + half)

    def held(self, number: int) -> tuple[float, float] | None:
        """Return the half-width of a member's intervals, and the share of truths that such ones held of late.

        For the share the later half of its residuals is judged by the earlier one, which knew nothing of it.
        None while there are too few.

        Examples
        --------
        >>> residuals = Residuals(0.5, 0.0, 100.0)
        >>> for label in (11.0, 12.0, 7.0, 12.0, 15.0, 10.0):
        ...     residuals.add((1,), (10.0,), label, (-50.0, 50.0))
        >>> residuals.held(1)
        (2.0, 0.6666666666666666)
        """
        recent = list(self._recent.get(number, ()))
        middle = len(recent) // 2
        half, before = self._half(sorted(recent)), self._half(sorted(recent[:middle]))
        if half is None or before is None:
            return None
        later = recent[middle:]
        return half, sum(residual <= before for residual in later) / len(later)

    def _half(self, ordered: Sequence[float]) -> float | None:
        rank = math.ceil((len(ordered) + 1) * self.coverage)
        return ordered[rank - 1] if 0 < rank <= len(ordered) else None

    def state(self) -> dict[int, list[float]]:
        """Return the residuals, oldest first."""
        return {number: list(recent) for number, recent in self._recent.items()}

    def resume(self, state: dict[int, list[float]]) -> None:
        """Continue from what `state` returned."""
        self._recent = {number: deque(recent, WINDOW) for number, recent in state.items()}
        self._sorted = {}
