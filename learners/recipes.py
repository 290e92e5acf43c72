"""The recipes themselves: functions of a definition and keyword-only parameters.

Defaults are River's own unless the description says otherwise, so that a score of a recipe is a
score of plain River. The docstring's first line is what users read.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from river import base, compose, forest, linear_model, multiclass, optim, preprocessing, tree
from river import naive_bayes as river_bayes

from learners import baselines, features
from learners.definition import Definition, Task
from learners.naive_bayes import MixedNB
from learners.near_rows import NearRowsClassifier, NearRowsRegressor
from learners.waves import WavesClassifier, WavesRegressor

CLASSES: tuple[Task, ...] = ("binary", "multiclass")


@dataclass(frozen=True, slots=True)
class Recipe:
    """An entry of the catalogue.

    Attributes
    ----------
    name
        What a definition calls it.
    tasks
        The tasks it can do.
    description
        One line for a person.
    builder
        Called with the definition and the parameters.
    parameters
        Names and defaults.
    baseline
        Whether it may stand under ``[rules]``.
    renews
        Whether it replaces its own parts when the world changes: drift starts no challenger of it.
    cost
        Measured: microseconds for one predict and learn on 8 numbers, one core. Empty where nobody measured.
    """

    name: str
    tasks: tuple[Task, ...]
    description: str
    builder: Callable[..., base.Estimator]
    parameters: Mapping[str, Any]
    baseline: bool = False
    cost: str = ""
    renews: bool = False


RECIPES: dict[str, Recipe] = {}

Builder = Callable[..., base.Estimator]


def _recipe(
    *tasks: Task, cost: str = "", baseline: bool = False, renews: bool = False
) -> Callable[[Builder], Builder]:
    """Enter a builder into the catalogue under its own name."""

    def enter(builder: Builder) -> Builder:
        parameters = {
            p.name: p.default
            for p in inspect.signature(builder).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }
        description = (builder.__doc__ or "").strip().splitlines()[0]
        name = builder.__name__
        RECIPES[name] = Recipe(name, tasks, description, builder, parameters, baseline, cost, renews)
        return builder

    return enter


def _labels(definition: Definition) -> tuple[Any, ...] | None:
    """Return the declared classes in the form estimators learn, or None for open ones."""
    return (False, True) if definition.task == "binary" else definition.classes or None


def _stable_rate(definition: Definition, rate: float, square: float) -> float:
    """Keep a step below one over the largest squared length of an example, ``square`` for each feature.

    With squared loss a step beyond two over it makes the error grow instead of shrink (Widrow and Hoff 1960).
    """
    return min(rate, 1.0 / (square * len(definition.features) + 1.0))


# Linear classifiers


@_recipe("binary")
def logistic_regression(d: Definition, *, learning_rate: float = 0.01, l2: float = 0.0) -> base.Estimator:
    """Logistic regression on scaled features: fast, steady, well calibrated."""
    model = linear_model.LogisticRegression(optimizer=optim.SGD(learning_rate), l2=l2)
    return features.prepare(d, model, "linear")


@_recipe("binary")
def logistic_regression_fast(d: Definition, *, learning_rate: float = 0.1, l2: float = 0.0) -> base.Estimator:
    """Logistic regression with a ten times larger step: follows change sooner, forgets sooner."""
    return logistic_regression(d, learning_rate=learning_rate, l2=l2)


@_recipe("binary")
def logistic_regression_additive(
    d: Definition, *, learning_rate: float = 0.1, hats: int = 16
) -> base.Estimator:
    """Logistic regression on a curve for each number (16 hats): non-linear, and it cannot diverge."""
    model = linear_model.LogisticRegression(optimizer=optim.SGD(learning_rate))
    return features.prepare(d, model, "linear", features.HatBasis(hats))


@_recipe("binary")
def passive_aggressive(d: Definition, *, C: float = 0.01) -> base.Estimator:
    """Passive-aggressive (PA-I) on clipped scaled features: each step is bounded by C, whatever comes."""
    return features.prepare(d, linear_model.PAClassifier(C=C, mode=1), "linear", features.ClippedScaler())


@_recipe("binary")
def alma(d: Definition, *, alpha: float = 0.9) -> base.Estimator:
    """Approximate large margin: weights scaled back to the unit ball; probabilities stay near 0.5."""
    return features.prepare(d, linear_model.ALMAClassifier(alpha=alpha), "linear")


@_recipe("multiclass")
def one_vs_rest(d: Definition, *, learning_rate: float = 0.01, l2: float = 0.0) -> base.Estimator:
    """One logistic regression for each class, on scaled features."""
    model = linear_model.LogisticRegression(optimizer=optim.SGD(learning_rate), l2=l2)
    return features.prepare(d, multiclass.OneVsRestClassifier(model), "linear")


@_recipe("multiclass")
def one_vs_rest_fast(d: Definition, *, learning_rate: float = 0.1, l2: float = 0.0) -> base.Estimator:
    """One logistic regression for each class with a ten times larger step."""
    return one_vs_rest(d, learning_rate=learning_rate, l2=l2)


@_recipe("multiclass")
def softmax_regression(d: Definition, *, learning_rate: float = 0.01, l2: float = 0.0) -> base.Estimator:
    """Softmax regression on scaled features."""
    model = linear_model.SoftmaxRegression(optimizer=optim.SGD(learning_rate), l2=l2)
    return features.prepare(d, model, "linear")


# Naive Bayes, trees, forests


@_recipe(*CLASSES)
def naive_bayes(d: Definition) -> base.Estimator:
    """Naive Bayes: a Gaussian for each number, counts for categories, words and parts of times."""
    numbers_only = features.numbers_only(d)
    return features.prepare(d, river_bayes.GaussianNB() if numbers_only else MixedNB(), "bayes")


@_recipe(*CLASSES)
def hoeffding_tree(
    d: Definition, *, grace_period: int = 200, delta: float = 1e-7, tau: float = 0.05
) -> base.Estimator:
    """Hoeffding tree (VFDT): grows with the stream, does not forget."""
    model = tree.HoeffdingTreeClassifier(
        grace_period=grace_period, delta=delta, tau=tau, nominal_attributes=features.nominal(d) or None
    )
    return features.prepare(d, model, "tree")


class _InOrder(dict[Any, None]):
    """A set that iterates in the order things were added; a set of text iterates in a salted one."""

    def add(self, item: Any) -> None:
        self.setdefault(item, None)


class _AdaptiveTree(tree.HoeffdingAdaptiveTreeClassifier):
    """River's tree, whose answers list classes in the order they were seen, whatever the process."""

    __doc__ = tree.HoeffdingAdaptiveTreeClassifier.__doc__

    @property
    def classes(self) -> Any:
        return self._in_order

    @classes.setter
    def classes(self, values: Any) -> None:
        self._in_order = _InOrder(dict.fromkeys(values))


@_recipe(*CLASSES, renews=True)
def hoeffding_adaptive_tree(
    d: Definition,
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    tau: float = 0.05,
    bootstrap_sampling: bool = True,
) -> base.Estimator:
    """Hoeffding adaptive tree: replaces branches whose error rises (ADWIN)."""
    model = _AdaptiveTree(
        grace_period=grace_period,
        delta=delta,
        tau=tau,
        bootstrap_sampling=bootstrap_sampling,
        nominal_attributes=features.nominal(d) or None,
        seed=d.seed,
    )
    return features.prepare(d, model, "tree")


@_recipe(*CLASSES, renews=True)
def adaptive_random_forest(
    d: Definition, *, n_models: int = 10, grace_period: int = 50, delta: float = 0.01
) -> base.Estimator:
    """Adaptive random forest: the strongest of River's trees, and the dearest."""
    model = forest.ARFClassifier(
        n_models=n_models,
        grace_period=grace_period,
        delta=delta,
        nominal_attributes=features.nominal(d) or None,
        seed=d.seed,
    )
    return features.prepare(d, model, "tree")


@_recipe(*CLASSES, renews=True)
def hoeffding_adaptive_tree_fast(
    d: Definition, *, grace_period: int = 200, delta: float = 0.01, tau: float = 0.1
) -> base.Estimator:
    """Hoeffding adaptive tree that splits on less evidence: for deep rules over categories."""
    return hoeffding_adaptive_tree(
        d, grace_period=grace_period, delta=delta, tau=tau, bootstrap_sampling=False
    )


# Members of Meander's own, in numpy


@_recipe(*CLASSES, renews=True)
def near_rows(d: Definition, *, k: int = 10, window: int = 1000) -> base.Estimator:
    """Nearest of the last rows, each trusted as far as it was right: non-linear, renews itself."""
    return features.prepare(d, NearRowsClassifier(k, window), "vector")


@_recipe(*CLASSES, renews=True)
def waves(
    d: Definition, *, waves: int = 256, gamma: float = 1.0, learning_rate: float = 1.0
) -> base.Estimator:
    """Softmax regression on random cosines of the features: a smooth kernel machine, cheap."""
    return features.prepare(d, WavesClassifier(waves, gamma, learning_rate, d.seed), "vector")


# Regression


@_recipe("regression", renews=True)
def near_rows_regressor(
    d: Definition, *, k: int = 5, window: int = 1000, tolerance: float = 4.0
) -> base.Estimator:
    """Mean label of the nearest of the last rows, each trusted as far as it was right: cannot diverge."""
    return features.prepare(d, NearRowsRegressor(k, window, tolerance), "vector")


@_recipe("regression", renews=True)
def waves_regressor(
    d: Definition, *, waves: int = 256, gamma: float = 1.0, learning_rate: float = 0.6
) -> base.Estimator:
    """Linear regression on random cosines of the features, scaled label, normalised step: cannot diverge."""
    return features.prepare(d, WavesRegressor(waves, gamma, learning_rate, d.seed), "vector")


@_recipe("regression")
def linear_regression(
    d: Definition, *, learning_rate: float = 0.01, intercept_learning_rate: float = 0.01, l2: float = 0.0
) -> base.Estimator:
    """Linear regression on scaled features, as River has it; diverges where steps are too large."""
    model = linear_model.LinearRegression(
        optimizer=optim.SGD(learning_rate), intercept_lr=intercept_learning_rate, l2=l2
    )
    return features.prepare(d, model, "linear")


@_recipe("regression")
def linear_regression_robust(
    d: Definition, *, learning_rate: float = 0.01, l2: float = 0.0
) -> base.Estimator:
    """Linear regression that cannot diverge: clipped features, scaled label, bounded step."""
    rate = _stable_rate(d, learning_rate, features.CLIP**2)
    return features.prepare(d, _scaled_label(rate, l2), "linear", features.ClippedScaler())


@_recipe("regression")
def additive_regression(
    d: Definition, *, learning_rate: float = 0.03, hats: int = 16, l2: float = 0.0
) -> base.Estimator:
    """Linear regression on a curve for each number (16 hats), scaled label: non-linear, cannot diverge."""
    rate = _stable_rate(d, learning_rate, 2.0)
    return features.prepare(d, _scaled_label(rate, l2), "linear", features.HatBasis(hats))


def _scaled_label(rate: float, l2: float) -> base.Regressor:
    model = linear_model.LinearRegression(optimizer=optim.SGD(rate), intercept_lr=rate, l2=l2)
    return preprocessing.TargetStandardScaler(model)


@_recipe("regression")
def passive_aggressive_regressor(d: Definition, *, C: float = 0.01) -> base.Estimator:
    """Passive-aggressive (PA-II) on clipped scaled features, scaled label."""
    model = preprocessing.TargetStandardScaler(linear_model.PARegressor(C=C, mode=2))
    return features.prepare(d, model, "linear", features.ClippedScaler())


@_recipe("regression")
def hoeffding_tree_regressor(
    d: Definition,
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    tau: float = 0.05,
    plain_leaves: bool = False,
) -> base.Estimator:
    """Hoeffding tree with a robust linear model or the mean in each leaf; does not forget."""
    model = tree.HoeffdingTreeRegressor(
        grace_period=grace_period, delta=delta, tau=tau, **_leaves(d, plain_leaves)
    )
    return features.prepare(d, model, "tree")


@_recipe("regression", renews=True)
def hoeffding_adaptive_tree_regressor(
    d: Definition,
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    tau: float = 0.05,
    bootstrap_sampling: bool = True,
    plain_leaves: bool = False,
) -> base.Estimator:
    """Hoeffding adaptive tree for numbers: replaces branches whose error rises."""
    model = tree.HoeffdingAdaptiveTreeRegressor(
        grace_period=grace_period,
        delta=delta,
        tau=tau,
        bootstrap_sampling=bootstrap_sampling,
        seed=d.seed,
        **_leaves(d, plain_leaves),
    )
    return features.prepare(d, model, "tree")


@_recipe("regression", renews=True)
def adaptive_random_forest_regressor(
    d: Definition,
    *,
    n_models: int = 10,
    grace_period: int = 50,
    delta: float = 0.01,
    plain_leaves: bool = False,
) -> base.Estimator:
    """Adaptive random forest for numbers."""
    model = forest.ARFRegressor(
        n_models=n_models, grace_period=grace_period, delta=delta, seed=d.seed, **_leaves(d, plain_leaves)
    )
    return features.prepare(d, model, "tree")


def _leaves(d: Definition, plain: bool) -> dict[str, Any]:
    """Return what a regression tree fits in its leaves.

    River's default is a linear regression on raw numbers, which diverges where they are large (``plain``).
    Ours cannot; categories, which come as codes, are kept from both.
    """
    nominal = features.nominal(d)
    rate = _stable_rate(d, 0.01, features.CLIP**2)
    leaf: Any = linear_model.LinearRegression() if plain else _scaled_label(rate, 0.0)
    steps: list[Any] = [compose.Discard(*nominal)] if nominal else []
    if not plain:
        steps.append(features.ClippedScaler())
    leaf_model = compose.Pipeline(*steps, leaf) if steps else leaf
    return {"leaf_model": leaf_model, "nominal_attributes": nominal or None}


# Baselines


@_recipe(*CLASSES, baseline=True)
def class_frequencies(d: Definition, *, window: int = 1000) -> base.Estimator:
    """Answer with how often each class came among the last labels."""
    return baselines.ClassFrequencies(window, _labels(d))


@_recipe(*CLASSES, baseline=True)
def majority(d: Definition) -> base.Estimator:
    """Answer with the class that came most often so far."""
    return baselines.Majority(_labels(d))


@_recipe(*CLASSES, baseline=True)
def no_change(d: Definition) -> base.Estimator:
    """Repeat the last label."""
    return baselines.NoChange(_labels(d))


@_recipe("regression", baseline=True)
def mean(d: Definition, *, window: int = 0) -> base.Estimator:
    """Answer with the mean label so far; with `window` old labels fade."""
    return baselines.MeanBy(window=window)


@_recipe("regression", baseline=True)
def last_value(d: Definition) -> base.Estimator:
    """Repeat the last label."""
    return baselines.LastValue()


@_recipe("regression", baseline=True)
def mean_by(
    d: Definition,
    *,
    by: tuple[str, ...] = (),
    hour_of: str | None = None,
    window: int = 0,
    limit: int = 10_000,
) -> base.Estimator:
    """Answer with the mean label of what shares some features (`by`), and the hour of a time (`hour_of`)."""
    if isinstance(by, str):
        by = (by,)
    for name in (*by, *((hour_of,) if hour_of is not None else ())):
        if name not in d.features:
            raise ValueError(f"{name!r} is no feature; there are {', '.join(d.features)}")
    if hour_of is not None and d.features[hour_of].type != "time":
        raise ValueError(f"hour_of = {hour_of!r} is no time feature")
    return baselines.MeanBy(tuple(by) or None, hour_of, window, limit)
