r"""The pool: every member's answer at the weight it has earned, learned from every label.

Weights say who speaks *now*: fast, reversible, no threshold. What is recorded as proven is the business of
bets (`learners.bets`).

Classification is a logarithmic pool, ``P(c) ~ prod_i q_i(c) ** w_i`` with ``q = .95 p + .05 / C``, whose
weights follow the gradient of the log loss and never go below 0: a negative weight pays on average and is
ruinous where labels are late. Regression is a fixed-share mixture: a weight falls with the member's error,
measured in units of the best member's, and never below a small share. How large a share depends on how often
the best member changes, which nobody knows: two mixtures, a restless and a steady one, are mixed in turn.

References
----------
C. Genest, J. V. Zidek, *Combining probability distributions*, Statistical Science 1986. C. Mattern, *Mixing
strategies in data compression*, DCC 2012. J. Veness et al., *Online learning with gated linear networks*,
2017 (arXiv 1712.01897). M. Herbster, M. Warmuth, *Tracking the best expert*, Machine Learning 1998. Several
shares at once: C. Monteleoni, T. Jaakkola, *Online learning of non-stationary sequences*, NeurIPS 2003. Late
labels: J. Langford, A. Smola, M. Zinkevich, *Slow learners are fast*, NeurIPS 2009.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from learners.tasks import Binary, Multiclass, Regression, Task

T = TypeVar("T")

SMOOTHING = 0.05  # share of an even answer mixed into each member's
RATE, FIRST_RATE, SOON = (
    0.02,
    0.1,
    100.0,
)  # step of the weights, what it has on top at first, labels that lasts
ERROR_WINDOW = 50  # labels; how far back the mean error of a member looks
TEMPER, WORST = 0.5, 8.0  # exponent for each unit of error, and the most units that count
SHARES = (0.05, 0.005)  # of the weight, spread evenly after each label: one mixture for each
TRUST_SHARE = 0.002  # the same between the two mixtures
_LEAST_FACTOR = math.exp(-TEMPER * WORST)
SPEAKS = 0.1  # of the largest weight; members below it are not heard
SHARE_PACE = 0.02  # the smoothed share of the rules looks back on some 50 labels


class Seat(Struct, frozen=True):
    """A member's place in the pool, in the order of answers.

    Attributes
    ----------
    number
        Version number; rules have negative ones.
    locked
        Its answer does not count: a challenger in shadow, or the pool's own.
    """

    number: int
    locked: bool = False

    @property
    def is_rule(self) -> bool:
        """Whether a rule sits there."""
        return self.number < 0


class Pool(Protocol):
    """What the pools of all tasks can do. Lists stand in the order of the members' answers.

    Attributes
    ----------
    weights
        By seat; 0 for locked ones.
    rules_share
        The rules' share of the weight, smoothed over some 50 labels.
    """

    weights: list[float]
    rules_share: float

    def arrange(self, seats: Sequence[Seat]) -> None:
        """Take place anew: weights follow the numbers; who was not there before starts with nothing."""

    def inherit(self, old: int, new: int) -> None:
        """Let the next arrangement give a newcomer the weight of one that left."""

    def mix(self, answers: Sequence[Any]) -> Any:
        """Return the pooled answer, None where nobody with a weight has answered."""

    def learn(self, answers: Sequence[Any], label: Any, lag: int) -> None:
        """Move the weights, given the answers of event time, the truth, and events predicted since."""

    def adopt(self, state: Any, numbers: Mapping[int, int]) -> None:
        """Go on with the state of another pool, whose members have these numbers here; others have none."""

    def state(self) -> Any:
        """Return everything learned, as plain data."""

    def resume(self, state: Any) -> None:
        """Continue from what `state` returned, once seats are taken."""


class _Seated:
    """Weights by seat, and how they follow their owners."""

    def __init__(self) -> None:
        self.weights: list[float] = []
        self.rules_share = 0.0
        self._seats: tuple[Seat, ...] = ()
        self._free: list[bool] = []
        self._free_seats: tuple[int, ...] = ()
        self._rule_seats: tuple[int, ...] = ()
        self._heirs: dict[int, int] = {}

    def arrange(self, seats: Sequence[Seat]) -> None:
        """See `Pool.arrange`."""
        old = {seat.number: w for seat, w in zip(self._seats, self.weights, strict=True)}
        first = not self._seats
        self._seats = tuple(seats)
        self._free = [not seat.locked for seat in seats]
        self._free_seats = tuple(i for i, free in enumerate(self._free) if free)
        self._rule_seats = tuple(i for i, seat in enumerate(seats) if seat.is_rule)
        if first:
            starting = [not seat.locked and not seat.is_rule for seat in seats]
            even = 1.0 / max(1, sum(starting))
            self.weights = [even if starts else 0.0 for starts in starting]
        else:
            source = [self._heirs.get(seat.number, seat.number) for seat in seats]
            self.weights = [
                0.0 if seat.locked else old.get(number, 0.0)
                for seat, number in zip(seats, source, strict=True)
            ]
        self._heirs.clear()

    def inherit(self, old: int, new: int) -> None:
        """See `Pool.inherit`."""
        self._heirs[new] = old

    def _share(self) -> None:
        total, rules = sum(self.weights), 0.0
        for at in self._rule_seats:
            rules += self.weights[at]
        share = rules / total if total > 0.0 else 1.0
        self.rules_share += SHARE_PACE * (share - self.rules_share)

    def _weights_state(self) -> list[tuple[int, float]]:
        return [(seat.number, w) for seat, w in zip(self._seats, self.weights, strict=True)]

    def _resume_weights(self, state: list[tuple[int, float]]) -> None:
        known = dict(state)
        self.weights = [known.get(seat.number, 0.0) for seat in self._seats]


def _renumbered(pairs: Iterable[tuple[int, T]], numbers: Mapping[int, int]) -> list[tuple[int, T]]:
    return [(numbers[number], of) for number, of in pairs if number in numbers]


class _LogPool(_Seated):
    """What the two pools of classes have in common: the step, and state."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def _rate(self, lag: int) -> float:
        self.n += 1
        rate = RATE + FIRST_RATE / (1.0 + self.n / SOON)
        return rate / math.sqrt(1.0 + lag) if lag > 0 else rate

    def state(self) -> Any:
        """See `Pool.state`."""
        return self.n, self.rules_share, self._weights_state()

    def adopt(self, state: Any, numbers: Mapping[int, int]) -> None:
        """See `Pool.adopt`."""
        self.resume((*state[:2], _renumbered(state[2], numbers)))

    def resume(self, state: Any) -> None:
        """See `Pool.resume`."""
        self.n, self.rules_share = state[0], state[1]
        self._resume_weights(state[2])


_SCALE, _EVEN, _REST = 1.0 - SMOOTHING, SMOOTHING / 2.0, 1.0 - SMOOTHING / 2.0


class BinaryPool(_LogPool):
    """Two classes: one log-odds for each member.

    Examples
    --------
    >>> pool = BinaryPool()
    >>> pool.arrange([Seat(1), Seat(2), Seat(-1)])
    >>> round(pool.mix([0.9, 0.9, 0.1]), 3)
    0.88
    >>> for _ in range(300):
    ...     pool.learn([0.9, 0.1, None], True, lag=0)
    >>> pool.weights[0] > 1.0, pool.weights[1], pool.weights[2]
    (True, 0.0, 0.0)
    """

    def mix(self, answers: Sequence[float | None]) -> float | None:
        """See `Pool.mix`."""
        total, spoken, log = 0.0, False, math.log
        for w, p in zip(self.weights, answers):  # noqa: B905  being strict costs more than an event has
            if w and p is not None:
                spoken = True
                total += w * log((_EVEN + _SCALE * p) / (_REST - _SCALE * p))
        return _logistic(total) if spoken else None

    def learn(self, answers: Sequence[float | None], label: bool, lag: int) -> None:
        """See `Pool.learn`."""
        weights, log, moved, total = self.weights, math.log, [], 0.0
        for at in self._free_seats:
            p = answers[at]
            if p is not None:
                odd = log((_EVEN + _SCALE * p) / (_REST - _SCALE * p))
                total += weights[at] * odd
                moved.append((at, odd))
        step = self._rate(lag) * (_logistic(total) - label)
        for at, odd in moved:
            w = weights[at] - step * odd
            weights[at] = w if w > 0.0 else 0.0
        self._share()


class BalancedBinaryPool(BinaryPool):
    """Two classes under the loss ``balanced``: what members say is taken against how often positives come.

    ``P(c) ~ share(c) prod_i (q_i(c) / share(c)) ** w_i`` with ``q = .95 p + .05 share``: who has nothing to
    say says the share. Smoothed towards even odds, no member could say less than .025, and where one event
    in a hundred is positive the decision at .01 would follow the sum of the weights, not the answers.
    """

    def __init__(self, task: Binary) -> None:
        super().__init__()
        self._task = task

    def _odds(self, answers: Sequence[float | None], asked: Sequence[Any]) -> tuple[float, list[float]]:
        """Return the log-odds of the share, and what each member that is asked says beyond them."""
        share, log = self._task.share, math.log
        low, high, base = SMOOTHING * share, SMOOTHING * (1.0 - share), log(share / (1.0 - share))
        return base, [
            log((low + _SCALE * p) / (high + _SCALE * (1.0 - p))) - base if a and p is not None else 0.0
            for a, p in zip(asked, answers, strict=True)
        ]

    def mix(self, answers: Sequence[float | None]) -> float | None:
        """See `Pool.mix`."""
        if not any(w and p is not None for w, p in zip(self.weights, answers, strict=True)):
            return None
        base, odds = self._odds(answers, self.weights)
        return _logistic(base + sum(map(mul, self.weights, odds)))

    def learn(self, answers: Sequence[float | None], label: bool, lag: int) -> None:
        """See `Pool.learn`."""
        base, odds = self._odds(answers, self._free)
        pooled = _logistic(base + sum(map(mul, self.weights, odds)))
        step = self._rate(lag) * (pooled - label)
        self.weights = [max(0.0, w - step * odd) for w, odd in zip(self.weights, odds, strict=True)]
        self._share()


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z > -50.0 else math.exp(-50.0)


class MulticlassPool(_LogPool):
    """Several classes: one log-probability for each member and class.

    A class that joins later is given the smoothing's share by answers older than it.

    Examples
    --------
    >>> from learners.contract import Contract
    >>> from learners.definition import parse_definition
    >>> task = Multiclass(Contract(parse_definition({
    ...     "name": "d", "task": "multiclass", "features": {"x": {}}, "label": {"classes": ["a", "b", "c"]},
    ... })))
    >>> pool = MulticlassPool(task)
    >>> pool.arrange([Seat(1), Seat(2)])
    >>> [round(p, 2) for p in pool.mix([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2)])]
    [0.69, 0.16, 0.16]
    """

    def __init__(self, task: Multiclass) -> None:
        super().__init__()
        self._index = task.index
        self._mixed: list[tuple[Any, list[float] | None]] = []  # by free seat: answer and logarithms
        self._totals: list[float] | None = None  # what came of them, at these weights
        self._weighed: list[float] = self.weights

    def _whole(self, totals: list[float]) -> list[float]:
        """Return probabilities."""
        return _softmax(totals)

    def _logs(self, answer: Sequence[float]) -> list[float]:
        count = len(self._index)
        even = SMOOTHING / count
        logs = list(map(math.log, [even + _SCALE * p for p in answer]))
        if len(logs) < count:
            logs += [math.log(even)] * (count - len(logs))
        return logs

    def mix(self, answers: Sequence[Sequence[float] | None]) -> tuple[float, ...] | None:
        """See `Pool.mix`."""
        totals: list[float] | None = None
        weights, mixed, logs_of = self.weights, self._mixed, self._logs
        mixed.clear()
        for at in self._free_seats:
            w, answer, logs = weights[at], answers[at], None
            if w and answer is not None:
                logs = logs_of(answer)
                if totals is None:
                    totals = [w * value for value in logs]
                else:
                    totals = [t + w * value for t, value in zip(totals, logs)]  # noqa: B905  as above
            mixed.append((answer, logs))
        self._totals, self._weighed = totals, weights
        return None if totals is None else tuple(self._whole(totals))

    def learn(self, answers: Sequence[Sequence[float] | None], label: Any, lag: int) -> None:
        """See `Pool.learn`."""
        weights, truth, count, mixed = self.weights, self._index[label], len(self._index), self._mixed
        told: list[tuple[int, list[float]]] = []
        if len(mixed) != len(self._free_seats):
            mixed = [(None, None)] * len(self._free_seats)
        # where the label comes with the event, `mix` has just done all this
        same = weights is self._weighed
        for at, (before, logs) in zip(self._free_seats, mixed):  # noqa: B905  as above
            answer = answers[at]
            if answer is not before:
                same, logs = False, None
            if answer is not None:
                if logs is None or len(logs) < count:
                    logs = self._logs(answer)
                told.append((at, logs))
        totals = self._totals if same else None
        if totals is None or len(totals) < count:
            totals = [0.0] * count
            for at, logs in told:
                w = weights[at]
                if w:
                    totals = [t + w * value for t, value in zip(totals, logs, strict=True)]
        pooled, rate = self._whole(totals), self._rate(lag)
        self.weights = moved = weights.copy()
        for at, logs in told:
            w = weights[at] - rate * (sum(map(mul, logs, pooled)) - logs[truth])
            moved[at] = w if w > 0.0 else 0.0
        self._share()


class BalancedMulticlassPool(MulticlassPool):
    """Several classes under the loss ``balanced``, see `BalancedBinaryPool`."""

    def __init__(self, task: Multiclass) -> None:
        super().__init__(task)
        self._task = task

    def learn(self, answers: Sequence[Sequence[float] | None], label: Any, lag: int) -> None:
        """See `Pool.learn`; by the shares of now, whatever was mixed by those of then."""
        self._mixed.clear()
        super().learn(answers, label, lag)

    def _shares(self) -> list[float]:
        whole = sum(self._task.shares)
        return [max(share / whole, 1e-6) for share in self._task.shares]

    def _whole(self, totals: list[float]) -> list[float]:
        return _softmax([t + math.log(s) for t, s in zip(totals, self._shares(), strict=True)])

    def _logs(self, answer: Sequence[float]) -> list[float]:
        shares, log = self._shares(), math.log
        told = [*answer, *([0.0] * (len(shares) - len(answer)))]
        return [log(SMOOTHING + _SCALE * p / s) for p, s in zip(told, shares, strict=True)]


def _softmax(totals: list[float]) -> list[float]:
    top, exp = max(totals), math.exp
    grown = [exp(t - top) for t in totals]
    whole = sum(grown)
    return [g / whole for g in grown]


class NumberPool(_Seated):
    """Numbers: a weighted mean of the members that are heard, within the sane range of the task.

    Examples
    --------
    >>> from learners.contract import Contract
    >>> from learners.definition import parse_definition
    >>> task = Regression(Contract(parse_definition({
    ...     "name": "d", "task": "regression", "features": {"x": {}}, "label": {"min": 0, "max": 100},
    ... })))
    >>> pool = NumberPool(task)
    >>> pool.arrange([Seat(1), Seat(-1)])
    >>> for _ in range(3):
    ...     pool.learn([10.0, 1e9], 11.0, lag=0)
    >>> pool.mix([10.0, 1e9])
    10.0
    """

    def __init__(self, task: Regression) -> None:
        super().__init__()
        self._task = task
        self._labels: list[int] = []  # by seat: how many it was there for
        self._misses: list[float] = []  # by seat: its mean absolute error
        self._mixtures: list[list[float]] = [[] for _ in SHARES]  # weights by seat
        self._trust = [1.0 / len(SHARES)] * len(SHARES)  # the weights of the mixtures

    def arrange(self, seats: Sequence[Seat]) -> None:
        """See `Pool.arrange`; a newcomer gets an even share."""
        before = {seat.number for seat in self._seats if not seat.locked} | set(self._heirs)
        source = [self._heirs.get(seat.number, seat.number) for seat in seats]
        known = [{s.number: w for s, w in zip(self._seats, m, strict=True)} for m in self._mixtures]
        errors = dict(self._errors())
        super().arrange(seats)
        self._set_errors(errors)
        count = sum(self._free)
        new = [seat.number not in before and not seat.locked for seat in seats]
        kept = 1.0 - sum(new) / max(1, count)
        self._mixtures = []
        for weights in known:
            mixture = [
                weights.get(n, 0.0) if free else 0.0 for n, free in zip(source, self._free, strict=True)
            ]
            total = sum(mixture)
            self._mixtures.append([
                1.0 / count if is_new else w * kept / total if total > 0.0 else 0.0
                for w, is_new in zip(mixture, new, strict=True)
            ])  # fmt: skip
        self._weigh()

    def _errors(self) -> list[tuple[int, tuple[int, float]]]:
        """Return number, labels and mean absolute error of the free."""
        return [(self._seats[at].number, (self._labels[at], self._misses[at])) for at in self._free_seats]

    def _set_errors(self, errors: Mapping[int, tuple[int, float]]) -> None:
        known = [errors.get(s.number, (0, 0.0)) if not s.locked else (0, 0.0) for s in self._seats]
        self._labels, self._misses = [n for n, _ in known], [mean for _, mean in known]

    def _weigh(self) -> None:
        (one, other), (restless, steady) = self._trust, self._mixtures
        self.weights = [one * a + other * b for a, b in zip(restless, steady)]  # noqa: B905  as above

    def mix(self, answers: Sequence[float | None]) -> float | None:
        """See `Pool.mix`."""
        return _heard(self.weights, self._held(answers))

    def _held(self, answers: Sequence[float | None]) -> list[float | None]:
        """Hold answers in the sane range."""
        low, high = self._task.sane
        return [None if y is None else low if y < low else high if y > high else y for y in answers]

    def learn(self, answers: Sequence[float | None], label: float, lag: int) -> None:
        """See `Pool.learn`."""
        labels, means, best = self._labels, self._misses, math.inf
        for at in self._free_seats:
            if means[at] < best and labels[at]:
                best = means[at]
        held = self._held(answers)
        if best < math.inf:
            self._move(held, label, TEMPER / max(best, 1e-9 * (1.0 + abs(label))))
        for at in self._free_seats:
            y = held[at]
            if y is not None:
                n = labels[at] = labels[at] + 1
                means[at] += (abs(y - label) - means[at]) / (n if n < ERROR_WINDOW else ERROR_WINDOW)
        self._share()

    def _move(self, held: list[float | None], label: float, unit: float) -> None:
        exp, most, trust = math.exp, TEMPER * WORST, self._trust
        factors = [0.0] * len(held)
        for at in self._free_seats:
            y = held[at]
            cost = 0.0 if y is None else abs(y - label) * unit
            factors[at] = exp(-cost) if cost < most else _LEAST_FACTOR
        for j, share in enumerate(SHARES):
            mixture = self._mixtures[j]
            said = _heard(mixture, held)
            if said is not None:
                cost = abs(said - label) * unit
                trust[j] *= exp(-cost) if cost < most else _LEAST_FACTOR
            grown = list(map(mul, mixture, factors))
            keep, even = (1.0 - share) / sum(grown), share / len(self._free_seats)
            moved = self._mixtures[j] = [0.0] * len(grown)
            for at in self._free_seats:
                moved[at] = grown[at] * keep + even
        keep, even = (1.0 - TRUST_SHARE) / sum(trust), TRUST_SHARE / len(SHARES)
        self._trust = [t * keep + even for t in trust]
        self._weigh()

    def state(self) -> Any:
        """See `Pool.state`."""
        numbers = [seat.number for seat in self._seats]
        mixtures = [list(zip(numbers, m, strict=True)) for m in self._mixtures]
        return self.rules_share, self._weights_state(), self._errors(), mixtures, self._trust

    def adopt(self, state: Any, numbers: Mapping[int, int]) -> None:
        """See `Pool.adopt`."""
        share, weights, errors, mixtures, trust = state
        mixtures = [_renumbered(mixture, numbers) for mixture in mixtures]
        self.resume((share, _renumbered(weights, numbers), _renumbered(errors, numbers), mixtures, trust))

    def resume(self, state: Any) -> None:
        """See `Pool.resume`."""
        self.rules_share = state[0]
        self._set_errors({**dict(self._errors()), **dict(state[2])})
        # snapshots from before there were two mixtures have one
        mixtures, self._trust = state[3:] if len(state) > 3 else ([state[1], state[1]], self._trust)
        self._trust = list(self._trust)
        numbers = [seat.number for seat in self._seats]
        self._mixtures = [[dict(m).get(n, 0.0) for n in numbers] for m in mixtures]
        self._weigh()


def _heard(weights: Sequence[float], held: Sequence[float | None]) -> float | None:
    """Return the weighted mean of the answers of members that are heard."""
    largest = 0.0
    for w, y in zip(weights, held):  # noqa: B905  as above
        if w > largest and y is not None:
            largest = w
    if not largest:
        return None
    least = SPEAKS * largest
    total = whole = 0.0
    for w, y in zip(weights, held):  # noqa: B905  as above
        if w >= least and y is not None:
            total += w * y
            whole += w
    return total / whole


def make_pool(task: Task) -> Pool:
    """Return the pool of a task."""
    if isinstance(task, Regression):
        return NumberPool(task)
    if isinstance(task, Multiclass):
        return BalancedMulticlassPool(task) if task.balanced else MulticlassPool(task)
    return BalancedBinaryPool(task) if isinstance(task, Binary) and task.balanced else BinaryPool()
