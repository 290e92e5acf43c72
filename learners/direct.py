"""The same arithmetic with fewer calls: a scaler and a model behind it, run in one go.

River's pipeline asks each step in turn, and in learning walks the features twice. For the commonest
pipeline of all, `StandardScaler` in front of a model, these functions do the same operations in the
same order on the same River objects: answers and state are equal to the last bit, and a test holds
them to it. Anything else is called as it is.
"""

import inspect
from collections.abc import Callable
from typing import Any

from river import compose, multiclass, preprocessing

Predict = Callable[[dict[str, Any]], Any]
Learn = Callable[[dict[str, Any], Any], Any]


def predictor(estimator: Any, method: str) -> Predict:
    """Return what asks an estimator: its ``predict_one`` or ``predict_proba_one``, or the same in one go."""
    steps = _scaler_and_model(estimator)
    if steps is None:
        ask: Predict = getattr(estimator, method)
        return ask
    scaler, model = steps
    means, variances, answer = scaler.means, scaler.vars, getattr(model, method)

    def predict(x: dict[str, Any]) -> Any:
        z = {}
        for name, value in x.items():
            variance = variances.get(name)  # by index, a default dict would remember having been asked
            z[name] = (value - means[name]) / variance**0.5 if variance else 0.0
        return answer(z)

    return predict


def learner(estimator: Any) -> Learn:
    """Return what teaches an estimator: its ``learn_one``, or the same in one go."""
    steps = _scaler_and_model(estimator)
    if steps is None:
        teach: Learn = estimator.learn_one
        return teach
    scaler, model = steps
    counts, means, variances, learn_model = scaler.counts, scaler.means, scaler.vars, model.learn_one

    def learn(x: dict[str, Any], y: Any) -> None:
        z = {}
        for name, value in x.items():
            counts[name] = n = counts[name] + 1
            before = means[name]
            means[name] = mean = before + (value - before) / n
            variance = variances[name]
            variances[name] = variance = variance + ((value - before) * (value - mean) - variance) / n
            z[name] = (value - mean) / variance**0.5 if variance else 0.0
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


def _scaler_and_model(estimator: Any) -> tuple[Any, Any] | None:
    if type(estimator) is not compose.Pipeline or len(estimator.steps) != 2:
        return None
    scaler, model = estimator.steps.values()
    plain = type(scaler) is preprocessing.StandardScaler and scaler.with_std and scaler.window_size is None
    final = hasattr(model, "learn_one") and not hasattr(model, "transform_one") and model._supervised
    return (scaler, model) if plain and final else None
