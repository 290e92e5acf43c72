r"""Bets: one small object as drift signal, as proof of a challenger, and as evidence to give back.

A gambler stakes shares ``s`` of the wealth on ``d > 0`` at every step and may stop at any time:
``m <- max(m, floor) (1 + s d)``, and the wealth is the mean over the stakes.

- ``floor = 0`` (an e-process): if ``E[d | past] <= 0`` always, the wealth ever reaches ``1/alpha`` with
  probability at most ``alpha``. Look as often as you like.
- ``floor = 1`` (an e-detector, of the CUSUM kind): the expected number of steps before a false alarm is at
  least the threshold.

References
----------
J. Ville, *Etude critique de la notion de collectif*, 1939. I. Waudby-Smith and A. Ramdas, *Estimating
means of bounded random variables by betting*, JRSS B 2024 (arXiv 2010.09686). J. Shin, A. Ramdas,
A. Rinaldo, *E-detectors*, 2023 (arXiv 2203.03532). Y. J. Choe and A. Ramdas, *Comparing sequential
forecasters*, Operations Research 2024 (arXiv 2110.00115).
"""

import math

PROOF_STAKES = (0.12, 0.25, 0.6)  # the largest for late labels: their bets are few
_LOW, _MIDDLE, _HIGH = PROOF_STAKES
AFTER_A_SIGNAL = 1  # which of them is topped up: after a drift the difference is large, if there is one
RISE_STAKES = (0.25, 0.5, 1.0)
_RISE_LOW, _RISE_MIDDLE, _RISE_HIGH = RISE_STAKES
RISE_SHARE, RISE_MOST = 0.3, 3.0  # one stake more: this share of 1 / the mean loss, and no more than this
RISE_BUDGET = 10_000.0
RISE_WINDOW = 1000
RISE_START = 30


class Bet:
    """The wealth of a gambler who bets that ``d`` is positive.

    Parameters
    ----------
    stakes
        Shares of the wealth, in (0, 1].
    floor
        0 for a proof, 1 for an alarm.

    Examples
    --------
    >>> bet = Bet(PROOF_STAKES)
    >>> for _ in range(40):
    ...     bet.add(0.5)
    >>> bet.wealth > 20
    True
    """

    __slots__ = ("_m", "floor", "stakes")

    def __init__(self, stakes: tuple[float, ...], floor: float = 0.0) -> None:
        self.stakes, self.floor = stakes, floor
        self._m = [1.0] * len(stakes)

    @property
    def wealth(self) -> float:
        """The mean over the stakes; 1 at the start."""
        return sum(self._m) / len(self._m)

    def add(self, d: float) -> None:
        """Play one round; ``d`` in [-1, 1]."""
        if d == 0.0:
            return
        floor = self.floor
        self._m = [
            (m if m > floor else floor) * (1.0 + s * d) for m, s in zip(self._m, self.stakes, strict=True)
        ]

    def restart(self) -> None:
        """Begin again with a wealth of 1."""
        self._m = [1.0] * len(self.stakes)


class Proof:
    """Evidence that one member's loss is lower than another's, with labels at once or late.

    Labels at once: a bet on every difference. Late labels make neighbouring losses share their fate,
    so differences are averaged over blocks as long as the largest lag inside them, and only every
    second block is bet on.

    Parameters
    ----------
    start
        What is staked at first; `top_up` may add the rest of 1.
    rival
        The number of the member it is compared with.

    Attributes
    ----------
    wealth, against
        Evidence for the challenger, and for its rival.
    labels, bets
        Events compared, and bets they made: with labels at once as many, else far fewer.

    Examples
    --------
    >>> proof = Proof()
    >>> for _ in range(100):
    ...     proof.add(rival_loss=1.0, loss=0.0, lag=0)
    >>> proof.wealth > 20 and proof.against < 1
    True
    """

    __slots__ = (
        "_against", "_count", "_for", "_lag", "_skip", "_sum", "against", "bets", "labels", "rival", "wealth",
    )  # fmt: skip

    def __init__(self, start: float = 1.0, rival: int | None = None) -> None:
        self.rival = rival
        self._for, self._against = [start] * len(PROOF_STAKES), [1.0] * len(PROOF_STAKES)
        self.wealth, self.against = start, 1.0
        self._sum, self._count, self._lag, self._skip = 0.0, 0, 0, False
        self.labels = self.bets = 0

    def add(self, rival_loss: float, loss: float, lag: int) -> None:
        """Take one event that both answered; losses in [0, 1], lag in events predicted since."""
        self.labels += 1
        d = rival_loss - loss
        if lag <= 0 and not self._count:
            self.bets += 1
            if d:
                self._bet(d)
            return
        self._sum += d
        self._count += 1
        if lag > self._lag:
            self._lag = lag
        if self._count > self._lag:
            if not self._skip:
                self.bets += 1
                self._bet(self._sum / self._count)
            self._sum, self._count, self._lag, self._skip = 0.0, 0, 0, not self._skip

    def _bet(self, d: float) -> None:
        # `Bet`, written out: this runs for every challenger and label
        low, middle, high = _LOW * d, _MIDDLE * d, _HIGH * d
        a, b, c = self._for
        self._for = [a := a * (1.0 + low), b := b * (1.0 + middle), c := c * (1.0 + high)]
        self.wealth = (a + b + c) / 3
        a, b, c = self._against
        self._against = [a := a * (1.0 - low), b := b * (1.0 - middle), c := c * (1.0 - high)]
        self.against = (a + b + c) / 3

    def top_up(self, stake: float) -> None:
        """Stake more: evidence may start again in a new world."""
        self._for[AFTER_A_SIGNAL] += stake * len(PROOF_STAKES)
        self.wealth += stake


class Rise:
    """A drift detector: a bet that the loss is above its own running mean.

    It has the interface of River's detectors. One-sided: a falling loss never fires.

    Parameters
    ----------
    budget
        Expected events between false alarms, at the least (approximately: the mean is estimated).

    Examples
    --------
    >>> rise = Rise()
    >>> signals = 0
    >>> for i in range(2000):
    ...     rise.update(float(i % 10 == 0) if i < 1500 else float(i % 2))
    ...     signals += rise.drift_detected
    >>> signals
    1
    """

    def __init__(self, budget: float = RISE_BUDGET) -> None:
        self.budget = float(budget)
        self._restart()

    def _restart(self) -> None:
        self.drift_detected = False
        self._n, self._mean = 0, 0.0
        self._low = self._middle = self._high = self._keen = 1.0  # wealth at each stake

    @property
    def estimation(self) -> float:
        """The mean loss it compares with."""
        return self._mean

    @property
    def wealth(self) -> float:
        """The evidence so far that the loss has risen."""
        return (self._low + self._middle + self._high + self._keen) / 4.0

    def update(self, x: float) -> None:
        """Take one loss in [0, 1]; then read ``drift_detected``."""
        if self.drift_detected:
            self._restart()
        self._n += 1
        n = self._n if self._n < RISE_WINDOW else RISE_WINDOW
        mean = self._mean
        if self._n > RISE_START:
            # `Bet` with a floor of 1, written out: this runs for every member and label
            spread = mean * (1.0 - mean)
            above = mean + math.sqrt((spread if spread > 0.0 else 0.0) / n) + 0.5 / n
            d = x - above
            if d < -1.0:
                d = -1.0
            low, middle, high = self._low, self._middle, self._high
            self._low = low = (low if low > 1.0 else 1.0) * (1.0 + _RISE_LOW * d)
            self._middle = middle = (middle if middle > 1.0 else 1.0) * (1.0 + _RISE_MIDDLE * d)
            self._high = high = (high if high > 1.0 else 1.0) * (1.0 + _RISE_HIGH * d)
            # the smaller the mean, the more may be staked without losing all: graded and rare losses need it
            stake = RISE_SHARE / above if RISE_MOST * above > RISE_SHARE else RISE_MOST
            keen = self._keen
            self._keen = keen = (keen if keen > 1.0 else 1.0) * (1.0 + stake * d)
            self.drift_detected = (low + middle + high + keen) / 4.0 >= self.budget
        self._mean = mean + (x - mean) / n
