"""What an answer is, for each task: asked of an estimator, checked, scored, and put into wire form.

An *answer* is kept in the smallest form that says everything: binary the probability of the
positive class, multiclass a tuple of probabilities in the order of the classes, regression a number.
``None`` is silence.

What a wrong answer costs is the deployment's own *loss*, in [0, 1]. Bets, admission and the guard use it, and
the class that is served is the one whose expected cost is least; ties go to the class declared first.
"""

import math
from collections.abc import Callable
from functools import partial
from operator import itemgetter, mul
from typing import Any, Protocol

from learners.contract import Contract
from learners.definition import NUMBER_LIMIT, Definition
from learners.direct import Predict, predictor, probability
from learners.errors import InsaneAnswerError

SUM_TOLERANCE = 1e-6
BALANCE_WINDOW = 5000  # labels; how far back class frequencies of the loss `balanced` look
LEAST_PROBABILITY = 0.01  # the loss `log` is 1 where the truth was given no more than this
LEAST_SPREAD = 1e-9
ABSURD = 1000 * NUMBER_LIMIT  # no number that a label may be is near: the model has diverged


Ask = Callable[[dict[str, Any]], Any]


class Task(Protocol):
    """One task's way with answers.

    Attributes
    ----------
    method
        The estimator's method that answers.
    follows
        Whether it makes anything of labels: `observe` must be told of each.
    """

    method: str
    follows: bool

    def ask(self, predict: Predict, x: dict[str, Any]) -> Any:
        """Return what an estimator answers (``predict`` is its `method`), or None when it has no answer.

        Raises
        ------
        InsaneAnswerError
            When the answer is not finite.
        """

    def asker(self, estimator: Any) -> Ask:
        """Return the shortest way to `ask` an estimator."""

    def loss(self, answer: Any, label: Any) -> float:
        """Loss of an answer in [0, 1]: the declared one for classes, a clipped share of the spread else."""

    def observe(self, label: Any) -> None:
        """Take note of a label: the scale of the loss and the range of answers follow it."""

    def render(self, answer: Any) -> tuple[Any, dict[str, float] | None]:
        """Return the prediction in wire form, and its probabilities by class name."""

    def told(self, answer: Any) -> Any:
        """Return an answer in a form that explains itself: classes by name of their labels."""

    def level(self, answer: Any) -> float:
        """Return in [0, 1] what tells answers that may be worth more or less from each other."""

    def state(self) -> tuple[Any, ...]:
        """Return what `observe` has noted."""

    def resume(self, state: tuple[Any, ...]) -> None:
        """Continue from what `state` returned."""


class Binary:
    """Two classes; an answer is the probability of the positive one (shape: a float in [0, 1]).

    The positive class is served where its probability exceeds the threshold at which both mistakes
    cost the same on average: ``false alarm / (miss + false alarm)``.

    Attributes
    ----------
    balanced
        Whether the loss weighs classes by how rare they are.
    share
        Of positive labels, of late, where that counts.
    """

    method = "predict_proba_one"

    def __init__(self, contract: Contract) -> None:
        definition = contract.definition
        self._negative, self._positive = contract.wire(False), contract.wire(True)
        self._names = str_name(self._negative), str_name(self._positive)
        self._positive_first = definition.classes[0] == definition.positive
        self.balanced = self.follows = definition.loss == "balanced"
        self._n, self.share = 2, 0.5  # labels, share of positive ones: as if one of each had come
        costs = cost_matrix(definition, [self._negative, self._positive])
        self._set(miss=costs[1][0], false_alarm=costs[0][1])

    def _set(self, miss: float, false_alarm: float) -> None:
        self._miss, self._false_alarm = miss, false_alarm
        threshold = false_alarm / (miss + false_alarm)
        # above the threshold is positive; where positive is declared first, so is the threshold itself
        self.threshold = math.nextafter(threshold, 0.0) if self._positive_first else threshold

    def ask(self, predict: Predict, x: dict[str, Any]) -> float | None:
        """See `Task.ask`."""
        probabilities = predict(x)
        p = probabilities.get(True)
        if p is None:
            if not probabilities:
                return None
            p = 1.0 - probabilities.get(False, 1.0)
        if not 0.0 <= p <= 1.0:
            raise InsaneAnswerError(f"probability {p}")
        return float(p)

    def asker(self, estimator: Any) -> Ask:
        """See `Task.asker`."""
        return probability(estimator) or partial(self.ask, predictor(estimator, self.method))

    def loss(self, answer: float, label: bool) -> float:
        """See `Task.loss`."""
        if answer > self.threshold:
            return 0.0 if label else self._false_alarm
        return self._miss if label else 0.0

    def observe(self, label: bool) -> None:
        """Follow the class frequencies, where the loss depends on them."""
        if self.balanced:
            self._n += 1
            self.share += (label - self.share) / min(self._n, BALANCE_WINDOW)
            self._weigh()

    def _weigh(self) -> None:
        """Let a mistake weigh as much as its true class is rare; one on the rarest class weighs 1."""
        share = self.share = min(max(self.share, 1e-6), 1.0 - 1e-6)
        rarest = min(share, 1.0 - share)
        self._set(miss=rarest / share, false_alarm=rarest / (1.0 - share))

    def render(self, answer: float) -> tuple[Any, dict[str, float]]:
        """See `Task.render`."""
        probabilities = {self._names[0]: 1.0 - answer, self._names[1]: answer}
        return (self._positive if answer > self.threshold else self._negative), probabilities

    def told(self, answer: float | None) -> float | None:
        """Return the number, which explains itself."""
        return answer

    def level(self, answer: float) -> float:
        """Return the probability."""
        return answer

    def state(self) -> tuple[Any, ...]:
        """See `Task.state`."""
        return self._n, self.share

    def resume(self, state: tuple[Any, ...]) -> None:
        """See `Task.resume`."""
        self._n, self.share = state
        if self.balanced:
            self._weigh()


class BinaryLog(Binary):
    """Two classes under log loss, clipped at a probability of .01 and scaled to [0, 1]."""

    def loss(self, answer: float, label: bool) -> float:
        """See `Task.loss`."""
        return _log_loss(answer if label else 1.0 - answer)


class Multiclass:
    """Several classes; an answer is a tuple of probabilities, in the order of the classes.

    Attributes
    ----------
    classes
        The classes: declared ones in declared order, then those of an open set as they appeared.
        An answer given before a class appeared is shorter, and gives it 0.
    index
        Where each class stands in an answer.
    balanced
        Whether the loss weighs classes by how rare they are.
    shares
        How often each class came of late, where that counts; they add up to more than 1.
    """

    method = "predict_proba_one"
    follows = True

    def __init__(self, contract: Contract) -> None:
        definition = contract.definition
        self._open = definition.label.classes == "open"
        self.classes: list[Any] = []
        self.index: dict[Any, int] = {}
        self._names: list[str] = []
        self._in_order: Callable[[Any], Any] = tuple  # the probabilities of all classes, in their order
        self.balanced = definition.loss == "balanced"
        self._n = 0
        self.shares: list[float] = []  # frequencies of the classes among the labels, fading
        self._weights: list[float] | None = None  # cost of missing each class, where it depends on that alone
        for label in definition.classes:
            self._join(label)
        costs = cost_matrix(definition, self.classes) if definition.loss == "cost" else None
        self._costs = costs  # by truth, then by answer
        # by answer, then by truth: what each answer may cost
        self._columns = [list(column) for column in zip(*costs, strict=True)] if costs else []
        self._plain = costs is None and not self.balanced
        if self.balanced:
            self._weigh()

    def _join(self, label: Any) -> int:
        at = self.index[label] = len(self.classes)
        self.classes.append(label)
        self._names.append(str_name(label))
        self.shares.append(1.0)
        self._in_order = itemgetter(*self.classes)
        if self.balanced:
            self._weigh()
        return at

    def ask(self, predict: Predict, x: dict[str, Any]) -> tuple[float, ...] | None:
        """See `Task.ask`."""
        probabilities = predict(x)
        if not probabilities:
            return None
        index, total = self.index, 0.0
        if len(probabilities) == len(index) > 1:
            try:
                whole = self._in_order(probabilities)
            except KeyError:
                whole = (-1.0,)
            if min(whole) >= 0.0 and abs(sum(whole) - 1.0) <= SUM_TOLERANCE:
                return tuple(map(float, whole))  # most often
        answer = [0.0] * len(index)
        for label, p in probabilities.items():
            if not p >= 0.0:
                raise InsaneAnswerError(f"probability {p}")
            total += p
            try:
                answer[index[label]] = p if type(p) is float else float(p)
            except KeyError:
                if not self._open:
                    raise InsaneAnswerError(f"{label!r} is no declared class") from None
                self._join(label)
                answer.append(float(p))
        if not abs(total - 1.0) <= SUM_TOLERANCE:
            if total == 0.0:
                return None  # e.g. one-vs-rest when no class claims the event
            raise InsaneAnswerError(f"probabilities sum to {total}")
        return tuple(answer)

    def asker(self, estimator: Any) -> Ask:
        """See `Task.asker`."""
        return partial(self.ask, predictor(estimator, self.method))

    def _best(self, answer: tuple[float, ...]) -> int:
        """Return the class of least expected cost, the first declared of equals."""
        if self._weights is not None:
            gains = list(map(mul, answer, self._weights))
            return gains.index(max(gains))
        if self._columns:
            costs = [sum(map(mul, answer, column)) for column in self._columns]
            return costs.index(min(costs))
        return answer.index(max(answer))

    def loss(self, answer: tuple[float, ...], label: Any) -> float:
        """See `Task.loss`."""
        truth = self.index.get(label, -1)
        if self._plain:  # most often, and asked for every member
            return 0.0 if answer.index(max(answer)) == truth else 1.0
        best = self._best(answer)
        if best == truth:
            return 0.0
        if self._weights is not None:
            return self._weights[truth] if truth >= 0 else 1.0
        return self._costs[truth][best] if self._costs is not None else 1.0

    def observe(self, label: Any) -> None:
        """Let a new class of an open set join, and follow the class frequencies where the loss needs them."""
        at = self.index.get(label)
        if at is None:
            at = self._join(label)
        if self.balanced:
            self._n += 1
            keep = 1.0 - 1.0 / BALANCE_WINDOW
            shares = self.shares = [share * keep for share in self.shares]
            shares[at] += 1.0
            self._weigh()

    def _weigh(self) -> None:
        rarest = min(self.shares, default=1.0)
        self._weights = [rarest / share for share in self.shares]

    def render(self, answer: tuple[float, ...]) -> tuple[Any, dict[str, float]]:
        """See `Task.render`."""
        return self.classes[self._best(answer)], dict(zip(self._names, answer, strict=False))

    def told(self, answer: tuple[float, ...] | None) -> dict[Any, float] | None:
        """Return class -> probability."""
        return None if answer is None else dict(zip(self.classes, answer, strict=False))

    def level(self, answer: tuple[float, ...]) -> float:
        """Return the largest probability."""
        return max(answer)

    def state(self) -> tuple[Any, ...]:
        """See `Task.state`."""
        return tuple(self.classes), self._n, tuple(self.shares)

    def resume(self, state: tuple[Any, ...]) -> None:
        """See `Task.resume`; classes that have joined since leave."""
        known = len(state[0])
        if known < len(self.classes):
            for label in self.classes[known:]:
                del self.index[label]
            del self.classes[known:], self._names[known:]
            self._in_order = itemgetter(*self.classes) if known else tuple
        for label in state[0][len(self.classes) :]:
            self._join(label)
        self._n, self.shares = state[1], list(state[2])
        if self.balanced:
            self._weigh()


class MulticlassLog(Multiclass):
    """Several classes under log loss, clipped at a probability of .01 and scaled to [0, 1]."""

    def loss(self, answer: tuple[float, ...], label: Any) -> float:
        """See `Task.loss`."""
        at = self.index.get(label, len(answer))
        return _log_loss(answer[at] if at < len(answer) else 0.0)


class Regression:
    """A number; an answer is a float.

    The loss is ``min(1, |error| / (4 spread))``, spread being the mean distance of the last 1,000
    labels or so from their mean. What is served stays within the declared range, and within the
    range of the labels seen, widened by its own width.
    """

    method = "predict_one"
    follows = True

    def __init__(self, contract: Contract) -> None:
        label = contract.definition.label
        self._declared = (
            -math.inf if label.min is None else label.min,
            math.inf if label.max is None else label.max,
        )
        self._n, self._mean, self._spread = 0, 0.0, 0.0
        self._most = 4.0 * LEAST_SPREAD  # the error from which on a loss is 1
        self._low, self._high = math.inf, -math.inf
        self.sane = self._declared  # lowest and highest number that may be served

    def ask(self, predict: Predict, x: dict[str, Any]) -> float | None:
        """See `Task.ask`."""
        y = predict(x)
        if y is None:
            return None
        if not -ABSURD <= y <= ABSURD:
            raise InsaneAnswerError(f"prediction {y}")
        return float(y)

    def asker(self, estimator: Any) -> Ask:
        """See `Task.asker`."""
        return partial(self.ask, predictor(estimator, self.method))

    def loss(self, answer: float, label: float) -> float:
        """See `Task.loss`."""
        if self._n < 2:
            return 0.0
        loss = abs(answer - label) / self._most
        return loss if loss < 1.0 else 1.0

    def observe(self, label: float) -> None:
        """See `Task.observe`."""
        self._n += 1
        rate = 1.0 / min(self._n, 1000)
        self._spread += (abs(label - self._mean) - self._spread) * rate
        self._most = 4.0 * max(self._spread, LEAST_SPREAD)
        self._mean += (label - self._mean) * rate
        if label < self._low or label > self._high:
            self._low, self._high = min(self._low, label), max(self._high, label)
            self._widen()

    def _widen(self) -> None:
        width = self._high - self._low
        if width > 0.0:
            low, high = self._declared
            self.sane = max(low, self._low - width), min(high, self._high + width)

    def render(self, answer: float) -> tuple[float, None]:
        """See `Task.render`."""
        low, high = self.sane
        return min(max(answer, low), high), None

    def told(self, answer: float | None) -> float | None:
        """Return the number, which explains itself."""
        return answer

    def level(self, answer: float) -> float:
        """Return where in the range of the labels seen it stands."""
        width = self._high - self._low
        return min(max((answer - self._low) / width, 0.0), 1.0) if width > 0.0 else 0.0

    def state(self) -> tuple[Any, ...]:
        """See `Task.state`."""
        return self._n, self._mean, self._spread, self._low, self._high

    def resume(self, state: tuple[Any, ...]) -> None:
        """See `Task.resume`."""
        self._n, self._mean, self._spread, self._low, self._high = state
        self._most = 4.0 * max(self._spread, LEAST_SPREAD)
        self._widen()


def _log_loss(p: float) -> float:
    return math.log(p) / math.log(LEAST_PROBABILITY) if p > LEAST_PROBABILITY else 1.0


def cost_matrix(definition: Definition, classes: list[Any]) -> list[list[float]]:
    """Return what each answer costs, by truth and then by answer, in the order of ``classes``; at most 1.

    >>> from learners.definition import parse_definition
    >>> definition = parse_definition({
    ...     "name": "fraud", "task": "binary", "features": {"amount": {}},
    ...     "label": {"classes": ["legit", "fraud"]}, "cost": {"fraud": {"legit": 20}},
    ... })
    >>> cost_matrix(definition, ["legit", "fraud"])
    [[0.0, 0.05], [1.0, 0.0]]
    """
    at = {str_name(label): i for i, label in enumerate(classes)}
    matrix = [[float(i != j) for j in range(len(classes))] for i in range(len(classes))]
    for truth, row in definition.cost.items():
        for answer, cost in row.items():
            matrix[at[truth]][at[answer]] = cost
    most = max(max(row) for row in matrix)
    return [[cost / most for cost in row] for row in matrix]


def str_name(label: Any) -> str:
    """Return a class's name as a JSON object key: text as it is, booleans and numbers as JSON writes them.

    >>> str_name("fraud"), str_name(True), str_name(3)
    ('fraud', 'true', '3')
    """
    return {True: "true", False: "false"}[label] if isinstance(label, bool) else str(label)


def make_task(contract: Contract) -> Task:
    """Return the task of a contract's definition."""
    definition = contract.definition
    log = definition.loss == "log"
    if definition.task == "regression":
        return Regression(contract)
    if definition.task == "binary":
        return BinaryLog(contract) if log else Binary(contract)
    return MulticlassLog(contract) if log else Multiclass(contract)
