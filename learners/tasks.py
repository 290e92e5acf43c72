"""What an answer is, for each task: asked of an estimator, checked, scored, and put into wire form.

An *answer* is kept in the smallest form that says everything: binary the probability of the
positive class, multiclass a dict of probabilities, regression a number. ``None`` is silence.
"""

import math
from typing import Any, Protocol

from learners.contract import Contract
from learners.direct import Predict

SUM_TOLERANCE = 1e-6


class InsaneAnswerError(ArithmeticError):
    """An estimator answered something not finite, or probabilities that are none."""


class Task(Protocol):
    """One task's way with answers.

    Attributes
    ----------
    method
        The estimator's method that answers.
    """

    method: str

    def ask(self, predict: Predict, x: dict[str, Any]) -> Any:
        """Return what an estimator answers (``predict`` is its `method`), or None when it has no answer.

        Raises
        ------
        InsaneAnswerError
            When the answer is not finite.
        """

    def loss(self, answer: Any, label: Any) -> float:
        """Loss of an answer in [0, 1]: 0/1 for classes, a clipped share of the spread for numbers."""

    def observe(self, label: Any) -> None:
        """Take note of a label: the scale of the loss and the range of answers follow it."""

    def render(self, answer: Any) -> tuple[Any, dict[str, float] | None]:
        """Return the prediction in wire form, and its probabilities by class name."""

    def state(self) -> tuple[float, ...]:
        """Return what `observe` has noted."""

    def resume(self, state: tuple[float, ...]) -> None:
        """Continue from what `state` returned."""


class Binary:
    """Two classes; an answer is the probability of the positive one (shape: a float in [0, 1])."""

    method = "predict_proba_one"

    def __init__(self, contract: Contract) -> None:
        self._negative, self._positive = contract.wire(False), contract.wire(True)
        self._names = str_name(self._negative), str_name(self._positive)

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

    def loss(self, answer: float, label: bool) -> float:
        """See `Task.loss`."""
        return 0.0 if (answer > 0.5) == label else 1.0

    def observe(self, label: bool) -> None:
        """Nothing to note."""

    def render(self, answer: float) -> tuple[Any, dict[str, float]]:
        """See `Task.render`."""
        probabilities = {self._names[0]: 1.0 - answer, self._names[1]: answer}
        return (self._positive if answer > 0.5 else self._negative), probabilities

    def state(self) -> tuple[float, ...]:
        """Nothing is noted."""
        return ()

    def resume(self, state: tuple[float, ...]) -> None:
        """Nothing was noted."""


class Multiclass:
    """Several classes; an answer is a dict of class -> probability."""

    method = "predict_proba_one"

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def ask(self, predict: Predict, x: dict[str, Any]) -> dict[Any, float] | None:
        """See `Task.ask`."""
        probabilities: dict[Any, float] = predict(x)
        if not probabilities:
            return None
        total, plain = 0.0, True
        for p in probabilities.values():
            if not p >= 0.0:
                raise InsaneAnswerError(f"probability {p}")
            total += p
            plain = plain and type(p) is float
        if not abs(total - 1.0) <= SUM_TOLERANCE:
            if total == 0.0:
                return None  # e.g. one-vs-rest when no class claims the event
            raise InsaneAnswerError(f"probabilities sum to {total}")
        return probabilities if plain else {c: float(p) for c, p in probabilities.items()}

    def loss(self, answer: dict[Any, float], label: Any) -> float:
        """See `Task.loss`."""
        return 0.0 if max(answer, key=answer.__getitem__) == label else 1.0

    def observe(self, label: Any) -> None:
        """Nothing to note."""

    def render(self, answer: dict[Any, float]) -> tuple[Any, dict[str, float]]:
        """See `Task.render`."""
        return max(answer, key=answer.__getitem__), {str_name(c): float(p) for c, p in answer.items()}

    def state(self) -> tuple[float, ...]:
        """Nothing is noted."""
        return ()

    def resume(self, state: tuple[float, ...]) -> None:
        """Nothing was noted."""


class Regression:
    """A number; an answer is a float.

    The loss is ``min(1, |error| / (4 spread))``, spread being the mean distance of the last 1,000
    labels or so from their mean. What is served stays within the declared range, and within the
    range of the labels seen, widened by its own width.
    """

    method = "predict_one"

    def __init__(self, contract: Contract) -> None:
        label = contract.definition.label
        self._declared = (
            -math.inf if label.min is None else label.min,
            math.inf if label.max is None else label.max,
        )
        self._n, self._mean, self._spread = 0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf

    def ask(self, predict: Predict, x: dict[str, Any]) -> float | None:
        """See `Task.ask`."""
        y = predict(x)
        if y is None:
            return None
        if not math.isfinite(y):
            raise InsaneAnswerError(f"prediction {y}")
        return float(y)

    def loss(self, answer: float, label: float) -> float:
        """See `Task.loss`."""
        if self._n < 2 or self._spread <= 0.0:
            return 0.0
        return min(1.0, abs(answer - label) / (4.0 * self._spread))

    def observe(self, label: float) -> None:
        """See `Task.observe`."""
        self._n += 1
        rate = 1.0 / min(self._n, 1000)
        self._spread += (abs(label - self._mean) - self._spread) * rate
        self._mean += (label - self._mean) * rate
        self._low, self._high = min(self._low, label), max(self._high, label)

    def render(self, answer: float) -> tuple[float, None]:
        """See `Task.render`."""
        low, high = self._declared
        width = self._high - self._low
        if width > 0.0:
            low, high = max(low, self._low - width), min(high, self._high + width)
        return min(max(answer, low), high), None

    def state(self) -> tuple[float, ...]:
        """See `Task.state`."""
        return self._n, self._mean, self._spread, self._low, self._high

    def resume(self, state: tuple[float, ...]) -> None:
        """See `Task.resume`."""
        self._n, self._mean, self._spread, self._low, self._high = int(state[0]), *state[1:]


def str_name(label: Any) -> str:
    """Return a class's name as a JSON object key: text as it is, booleans and numbers as JSON writes them.

    >>> str_name("fraud"), str_name(True), str_name(3)
    ('fraud', 'true', '3')
    """
    return {True: "true", False: "false"}[label] if isinstance(label, bool) else str(label)


def make_task(contract: Contract) -> Task:
    """Return the task of a contract's definition."""
    kinds: dict[str, type[Binary] | type[Multiclass] | type[Regression]] = {
        "binary": Binary,
        "multiclass": Multiclass,
        "regression": Regression,
    }
    return kinds[contract.definition.task](contract)
