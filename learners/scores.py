"""Prequential scores: each answer scored with the label it got, before anything learns from it."""

FADING = 500  # labels; the recent score forgets at this pace


class Score:
    """Mean loss of one member, over its life and recently.

    Attributes
    ----------
    scored
        Labelled events it had answered.
    silent
        Labelled events it had not answered.
    total
        Sum of losses.
    recent
        Fading mean of the last 500 losses or so (J. Gama, R. Sebastiao, P. Rodrigues, *On evaluating
        stream learning algorithms*, Machine Learning 2013).

    Examples
    --------
    >>> score = Score()
    >>> for loss in (1.0, 0.0, 0.0, 0.0):
    ...     score.add(loss)
    >>> score.mean, score.coverage
    (0.25, 1.0)
    """

    __slots__ = ("recent", "scored", "silent", "total")

    def __init__(self) -> None:
        self.scored = self.silent = 0
        self.total = self.recent = 0.0

    @property
    def mean(self) -> float:
        """Mean loss over its life; 0 before any."""
        return self.total / self.scored if self.scored else 0.0

    @property
    def coverage(self) -> float:
        """Share of labelled events it had answered."""
        seen = self.scored + self.silent
        return self.scored / seen if seen else 0.0

    def add(self, loss: float) -> None:
        """Take one loss."""
        n = self.scored = self.scored + 1
        self.total += loss
        self.recent += (loss - self.recent) / (n if n < FADING else FADING)

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
        self.total += difference
        if n <= FADING:
            self.recent += difference / max(n, 1)
        else:
            weight = (1.0 - 1.0 / FADING) ** max(since, 0) / FADING
            self.recent += difference * weight
