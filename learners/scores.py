"""Prequential scores: each answer scored with the label it got, before anything learns from it."""

from typing import Any

FADING = 500  # labels; the recent score forgets at this pace


class Score:
    """Mean loss of one member, over its life and recently.

    Attributes
    ----------
    add
        Takes one loss.
    silent
        Labelled events it had not answered.

    References
    ----------
    J. Gama, R. Sebastiao, P. Rodrigues, *On evaluating stream learning algorithms*, Machine Learning 2013
    (fading means).

    Examples
    --------
    >>> score = Score()
    >>> for loss in (1.0, 0.0, 0.0, 0.0):
    ...     score.add(loss)
    >>> score.mean, score.coverage
    (0.25, 1.0)
    """

    __slots__ = ("_fresh", "_recent", "_scored", "_total", "add", "silent")

    def __init__(self) -> None:
        self._begin(0, 0, 0.0, 0.0)

    def _begin(self, scored: int, silent: int, total: float, recent: float) -> None:
        self._scored, self.silent, self._total, self._recent = scored, silent, total, recent
        self._fresh: list[float] = []
        self.add = self._fresh.append  # losses are summed up when somebody wants to know

    def settle(self) -> None:
        """Sum up the losses that were added: whoever adds many and asks for nothing does it now and then."""
        n, total, recent = self._scored, self._total, self._recent
        for loss in self._fresh:
            n += 1
            total += loss
            recent += (loss - recent) / (n if n < FADING else FADING)
        self._fresh.clear()
        self._scored, self._total, self._recent = n, total, recent

    def __getstate__(self) -> dict[str, float]:
        return {"scored": self.scored, "silent": self.silent, "total": self._total, "recent": self._recent}

    def __setstate__(self, state: Any) -> None:
        known = state[1] if isinstance(state, tuple) else state  # older ones were pickled slot by slot
        self._begin(known["scored"], known["silent"], known["total"], known["recent"])

    @property
    def scored(self) -> int:
        """Labelled events it had answered."""
        self.settle()
        return self._scored

    @property
    def total(self) -> float:
        """Sum of losses."""
        self.settle()
        return self._total

    @property
    def recent(self) -> float:
        """Fading mean of the last 500 losses or so."""
        self.settle()
        return self._recent

    @property
    def mean(self) -> float:
        """Mean loss over its life; 0 before any."""
        return self.total / self.scored if self.scored else 0.0

    @property
    def coverage(self) -> float:
        """Share of labelled events it had answered."""
        seen = self.scored + self.silent
        return self.scored / seen if seen else 0.0

    def correct(self, before: float, loss: float, since: int) -> None:
        """Put a loss in the place of one that was added ``since`` losses ago.

        >>> right, corrected = Score(), Score()
        >>> for n in range(3):
        ...     right.add(float(n == 1)), corrected.add(float(n == 0))
        (None, None)
        ...
        >>> corrected.correct(1.0, 0.0, since=2)
        >>> corrected.correct(0.0, 1.0, since=1)
        >>> corrected.total == right.total, abs(corrected.recent - right.recent) < 1e-12
        (True, True)
        """
        difference, n = loss - before, self.scored
        self._total += difference
        if n <= FADING:
            self._recent += difference / max(n, 1)
        else:
            weight = (1.0 - 1.0 / FADING) ** max(since, 0) / FADING
            self._recent += difference * weight
