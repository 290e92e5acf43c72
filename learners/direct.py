"""The same arithmetic with fewer calls: a scaler and a model behind it, run in one go.

River's pipeline asks each step in turn, and in learning walks the features twice. For the commonest
pipeline of all, a `Scaler` in front of a model, these functions do the same operations in the same order
on the same objects: answers and state are equal to the last bit, and a test holds them to it. Where the
model is plain logistic regression, so does its one step. Anything else is called as it is.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from river import compose, linear_model, multiclass, optim
from river.utils import VectorDict

from learners.baselines import ClassFrequencies
from learners.errors import InsaneAnswerError
from learners.features import UNKNOWN, Scaler
from learners.rules import ClassRule

Predict = Callable[[dict[str, Any]], Any]
Learn = Callable[[dict[str, Any], Any], Any]


def predictor(estimator: Any, method: str) -> Predict:
    """Return what asks an estimator: its ``predict_one`` or ``predict_proba_one``, or the same in one go."""
    steps = _scaler_and_model(estimator)
    if steps is None:
        ask: Predict = getattr(estimator, method)
        return ask
    scale, answer = steps[0].transform_one, getattr(steps[1], method)
    return lambda x: answer(scale(x))


def probability(estimator: Any) -> Callable[[dict[str, Any]], float | None] | None:
    """Return what asks a binary classifier for the positive class's probability alone, where that is shorter.

    That is for declared rules, class frequencies and logistic regression: what they say is a probability, or
    no answer, or no number. Whatever else says so is not taken at its word.

    Examples
    --------
    >>> from river import linear_model, naive_bayes
    >>> ask = probability(Scaler() | linear_model.LogisticRegression())
    >>> ask({"x": 1.0}), probability(naive_bayes.GaussianNB())
    (0.5, None)
    """
    if type(estimator) in (ClassFrequencies, ClassRule):
        own: Callable[[dict[str, Any]], float | None] = estimator.probability_one
        return own
    steps = _scaler_and_model(estimator)
    if steps is None or not _is_logistic(steps[1]):
        return None
    scaler, model = steps
    known, dot, exp = scaler.moments.get, model._weights.dot, math.exp

    def ask(x: dict[str, Any]) -> float:
        z = {}
        for name, value in x.items():
            _, mean, variance = known(name, UNKNOWN)
            z[name] = (value - mean) / variance**0.5 if variance else 0.0
        raw: float = dot(z) + model.intercept
        if raw != raw:
            raise InsaneAnswerError("probability nan")
        return 0.0 if raw < -30 else 1.0 if raw > 30 else 1 / (1 + exp(-raw))

    return ask


def learner(estimator: Any) -> Learn:
    """Return what teaches an estimator: its ``learn_one``, or the same in one go."""
    steps = _scaler_and_model(estimator)
    if steps is None:
        teach: Learn = estimator.learn_one
        return teach
    scaler, model = steps
    moments, known = scaler.moments, scaler.moments.get
    learn_model = _logistic_step(model) if _is_logistic(model) else model.learn_one

    def learn(x: dict[str, Any], y: Any) -> None:
        z = {}
        for name, value in x.items():
            of = known(name)
            if of is None:
                of = moments[name] = [0, 0.0, 0.0]
            n, before, variance = of
            of[0] = n = n + 1
            off = value - before
            of[1] = mean = before + off / n
            left = value - mean
            of[2] = variance = variance + (off * left - variance) / n
            z[name] = left / variance**0.5 if variance else 0.0
        learn_model(z, y)

    return learn


def weighted_learner(estimator: Any) -> Callable[[dict[str, Any], Any, float], None] | None:
    """Return what teaches an estimator an example of a weight; None when it takes no weights.

    Examples
    --------
    >>> from river import linear_model, naive_bayes
    >>> weighted_learner(linear_model.LogisticRegression()) is None
    False
    >>> weighted_learner(naive_bayes.GaussianNB()) is None
    True
    """
    if not _weighs(estimator):
        return None
    teach = estimator.learn_one
    return lambda x, y, weight: teach(x, y, w=weight)


def _weighs(estimator: Any) -> bool:
    while isinstance(estimator, compose.Pipeline) and estimator.steps:
        estimator = list(estimator.steps.values())[-1]
    if isinstance(estimator, multiclass.OneVsRestClassifier):  # passes on what it is given
        return _weighs(estimator.classifier)
    method = getattr(estimator, "learn_one", None)
    return method is not None and "w" in inspect.signature(method).parameters


def _scaler_and_model(estimator: Any) -> tuple[Scaler, Any] | None:
    if type(estimator) is not compose.Pipeline or len(estimator.steps) != 2:
        return None
    scaler, model = estimator.steps.values()
    final = hasattr(model, "learn_one") and not hasattr(model, "transform_one") and model._supervised
    return (scaler, model) if type(scaler) is Scaler and final else None


def _is_logistic(model: Any) -> bool:
    """Whether it is plain logistic regression: log loss, and steps of one length."""
    if type(model) is not linear_model.LogisticRegression or type(model.optimizer) is not optim.SGD:
        return False
    if vars(model).keys() & {"learn_one", "predict_proba_one"}:  # it has its own way
        return False
    steps = type(model.optimizer.lr) is type(model.intercept_lr) is optim.schedulers.Constant
    loss = model.loss
    plain = type(loss) is optim.losses.Log and loss.weight_pos == loss.weight_neg == 1.0
    return steps and plain and not model.l1 and model.clip_gradient >= 1.0  # no gradient is ever larger


def _logistic_step(model: Any) -> Learn:
    weights, optimizer, initializer, l2 = model._weights, model.optimizer, model.initializer, model.l2
    rate, intercept_rate = optimizer.lr.learning_rate, model.intercept_lr.learning_rate
    exp, scaled = math.exp, VectorDict.from_scaled

    def learn(z: dict[str, Any], y: Any) -> None:
        view: VectorDict[Any, Any] = VectorDict(weights, initializer, z)
        raw = view.dot(z) + model.intercept
        if y:
            slope = -exp(-raw) if raw > 18.0 else -1.0 if raw < -18.0 else -1 / (exp(raw) + 1.0)
        else:
            slope = exp(raw) if raw < -18.0 else 1.0 if raw > 18.0 else 1 / (exp(-raw) + 1.0)
        gradient = scaled(z, slope)
        if l2:
            gradient.iadd_scaled(view, l2)
        model.intercept -= intercept_rate * slope
        view.isub_scaled(gradient, rate)
        optimizer.n_iterations += 1

    return learn
