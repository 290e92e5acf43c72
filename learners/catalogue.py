"""The catalogue: recipes that build River estimators for a definition.

A recipe is a function of a definition and keyword-only parameters. Its defaults are River's own
unless its description says otherwise, so that a score here is a score of plain River.
"""

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from river import base, forest, linear_model, multiclass, optim, preprocessing, tree
from river import naive_bayes as river_bayes

from learners import baselines, features
from learners.definition import Definition, Task
from learners.errors import DefinitionError, RecipeError
from learners.naive_bayes import MixedNB

CLASSES: tuple[Task, ...] = ("binary", "multiclass")
ALL: tuple[Task, ...] = ("binary", "multiclass", "regression")


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


_RECIPES: dict[str, Recipe] = {}

Builder = Callable[..., base.Estimator]


def _recipe(*tasks: Task, cost: str = "", baseline: bool = False) -> Callable[[Builder], Builder]:
    """Enter a builder into the catalogue under its own name."""

    def enter(builder: Builder) -> Builder:
        parameters = {
            p.name: p.default
            for p in inspect.signature(builder).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }
        description = (builder.__doc__ or "").strip().splitlines()[0]
        name = builder.__name__
        _RECIPES[name] = Recipe(name, tasks, description, builder, parameters, baseline, cost)
        return builder

    return enter


def recipes(task: Task) -> dict[str, Recipe]:
    """Return the recipes that can do a task, by name.

    >>> [name for name, recipe in recipes("regression").items() if recipe.baseline]
    ['mean', 'last_value', 'mean_by']
    """
    return {name: recipe for name, recipe in _RECIPES.items() if task in recipe.tasks}


def build(recipe: str, definition: Definition, parameters: Mapping[str, Any]) -> base.Estimator:
    """Build a fresh estimator.

    Parameters
    ----------
    recipe
        A name of the catalogue, or an import path ``"package.module:attribute"`` of a function that returns
        an estimator, an estimator class, or an estimator (which is cloned). What is imported sees the
        declared features as they are; nothing is put in front of it.
    definition
        Whose task, features, classes and seed apply.
    parameters
        Keyword arguments of the recipe.

    Raises
    ------
    DefinitionError
        For an unknown recipe or parameter, one of another task, or a value of the wrong type.
    RecipeError
        When the import fails, or building does.

    Examples
    --------
    >>> from learners.definition import Feature
    >>> definition = Definition(name="d", task="regression", features={"amount": Feature()})
    >>> print(build("linear_regression", definition, {"learning_rate": 0.1}))
    StandardScaler | LinearRegression
    >>> build("last_valeu", definition, {})
    Traceback (most recent call last):
    ...
    learners.errors.DefinitionError: recipe: 'last_valeu' is no recipe. Did you mean "last_value"?
    """
    key = _key(recipe, definition, parameters)
    if ":" in recipe:
        return _imported(recipe, definition, parameters, key)
    known = _RECIPES.get(recipe)
    if known is None or definition.task not in known.tasks:
        raise _unsuitable(recipe, known, definition, f"{key}recipe")
    _check_parameters(known, parameters, f"{key}parameters")
    try:
        return known.builder(definition, **parameters)
    except (TypeError, ValueError, ArithmeticError, NotImplementedError) as error:
        raise RecipeError(
            f"{key}parameters: {recipe} cannot be built: {error}. Known: {_listed(known)}"
        ) from error


def _key(recipe: str, definition: Definition, parameters: Mapping[str, Any]) -> str:
    """Find where in the definition a recipe stands, to name it in errors."""
    for section, entries in (("models", definition.models), ("rules", definition.rules)):
        for slot, entry in entries.items():
            if entry.recipe == recipe and entry.parameters == parameters:
                return f"{section}.{slot}."
    return ""


def _unsuitable(name: str, known: Recipe | None, definition: Definition, key: str) -> DefinitionError:
    possible = recipes(definition.task)
    near = difflib.get_close_matches(name, possible, n=1, cutoff=0.6)
    remedy = f'Did you mean "{near[0]}"?' if near else f"One of: {', '.join(possible)}"
    if known is None:
        return DefinitionError(key, f"{name!r} is no recipe", remedy)
    tasks = " and ".join(known.tasks)
    return DefinitionError(key, f"{name!r} is for {tasks}, the task is {definition.task}", remedy)


def _listed(recipe: Recipe) -> str:
    return ", ".join(f"{k} = {v!r}" for k, v in recipe.parameters.items()) or "it takes no parameters"


def _check_parameters(recipe: Recipe, parameters: Mapping[str, Any], key: str) -> None:
    for name, value in parameters.items():
        if name not in recipe.parameters:
            near = difflib.get_close_matches(name, recipe.parameters, n=1)
            remedy = f"Did you mean `{near[0]}`?" if near else f"Known: {_listed(recipe)}"
            raise DefinitionError(f"{key}.{name}", f"{recipe.name} has no such parameter", remedy)
        problem = _wrong_value(value, recipe.parameters[name])
        if problem:
            default = recipe.parameters[name]
            raise DefinitionError(f"{key}.{name}", f"{value!r} {problem}", f"The default is {default!r}")


def _wrong_value(value: Any, default: Any) -> str | None:
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "is neither true nor false"
    if isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is no number"
        if isinstance(default, int) and not isinstance(value, int):
            return "is no integer"
        if not math.isfinite(value) or value < 0 or (value == 0 and default > 0):
            return "is not positive" if default > 0 else "is negative or not finite"
    return None


def _imported(path: str, definition: Definition, parameters: Mapping[str, Any], key: str) -> base.Estimator:
    where = f"{key}recipe"
    module_name, _, attribute = path.partition(":")
    try:
        made: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            made = getattr(made, part)
    except Exception as error:  # importing runs code of others: anything may come out
        raise RecipeError(
            f"{where}: {path!r} cannot be imported: {type(error).__name__}: {error}. "
            'Write "package.module:function", and install the package where the worker runs'
        ) from error
    if isinstance(made, base.Estimator):
        if parameters:
            raise RecipeError(
                f"{key}parameters: {path!r} is an estimator, not a function. Remove the parameters"
            )
        made = made.clone()
    elif callable(made):
        try:
            made = made(**parameters)
        except Exception as error:  # code of others
            raise RecipeError(
                f"{where}: {path!r} raised {type(error).__name__}: {error}. Check its parameters"
            ) from error
    needed = "predict_one" if definition.task == "regression" else "predict_proba_one"
    if not isinstance(made, base.Estimator) or not hasattr(made, needed) or not hasattr(made, "learn_one"):
        raise RecipeError(
            f"{where}: {path!r} gives a {type(made).__name__}, not a River estimator for {definition.task}. "
            f"Return one that has learn_one and {needed}"
        )
    return made


def _labels(definition: Definition) -> tuple[Any, ...]:
    """Return the declared classes in the form estimators learn."""
    return (False, True) if definition.task == "binary" else definition.classes


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
    """Approximate large margin: its weights never leave the unit ball; probabilities stay near 0.5."""
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
    model = tree.HoeffdingTreeClassifier(grace_period=grace_period, delta=delta, tau=tau)
    return features.prepare(d, model, "tree")


@_recipe(*CLASSES)
def hoeffding_adaptive_tree(
    d: Definition,
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    tau: float = 0.05,
    bootstrap_sampling: bool = True,
) -> base.Estimator:
    """Hoeffding adaptive tree: replaces branches whose error rises (ADWIN)."""
    model = tree.HoeffdingAdaptiveTreeClassifier(
        grace_period=grace_period, delta=delta, tau=tau, bootstrap_sampling=bootstrap_sampling, seed=d.seed
    )
    return features.prepare(d, model, "tree")


@_recipe(*CLASSES)
def adaptive_random_forest(
    d: Definition, *, n_models: int = 10, grace_period: int = 50, delta: float = 0.01
) -> base.Estimator:
    """Adaptive random forest: the strongest of River's trees, and the dearest."""
    model = forest.ARFClassifier(n_models=n_models, grace_period=grace_period, delta=delta, seed=d.seed)
    return features.prepare(d, model, "tree")


# Regression


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
    return _scaled_label(d, rate, l2, features.ClippedScaler())


@_recipe("regression")
def additive_regression(
    d: Definition, *, learning_rate: float = 0.03, hats: int = 16, l2: float = 0.0
) -> base.Estimator:
    """Linear regression on a curve for each number (16 hats), scaled label: non-linear, cannot diverge."""
    return _scaled_label(d, _stable_rate(d, learning_rate, 2.0), l2, features.HatBasis(hats))


def _scaled_label(d: Definition, rate: float, l2: float, scaler: base.Transformer) -> base.Estimator:
    model = linear_model.LinearRegression(optimizer=optim.SGD(rate), intercept_lr=rate, l2=l2)
    return features.prepare(d, preprocessing.TargetStandardScaler(model), "linear", scaler)


@_recipe("regression")
def passive_aggressive_regressor(d: Definition, *, C: float = 0.01) -> base.Estimator:
    """Passive-aggressive (PA-II) on clipped scaled features, scaled label."""
    model = preprocessing.TargetStandardScaler(linear_model.PARegressor(C=C, mode=2))
    return features.prepare(d, model, "linear", features.ClippedScaler())


@_recipe("regression")
def hoeffding_tree_regressor(
    d: Definition, *, grace_period: int = 200, delta: float = 1e-7, tau: float = 0.05
) -> base.Estimator:
    """Hoeffding tree with a linear model or mean in each leaf; does not forget."""
    model = tree.HoeffdingTreeRegressor(grace_period=grace_period, delta=delta, tau=tau)
    return features.prepare(d, model, "tree")


@_recipe("regression")
def hoeffding_adaptive_tree_regressor(
    d: Definition,
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    tau: float = 0.05,
    bootstrap_sampling: bool = True,
) -> base.Estimator:
    """Hoeffding adaptive tree for numbers: replaces branches whose error rises."""
    model = tree.HoeffdingAdaptiveTreeRegressor(
        grace_period=grace_period, delta=delta, tau=tau, bootstrap_sampling=bootstrap_sampling, seed=d.seed
    )
    return features.prepare(d, model, "tree")


@_recipe("regression")
def adaptive_random_forest_regressor(
    d: Definition, *, n_models: int = 10, grace_period: int = 50, delta: float = 0.01
) -> base.Estimator:
    """Adaptive random forest for numbers."""
    model = forest.ARFRegressor(n_models=n_models, grace_period=grace_period, delta=delta, seed=d.seed)
    return features.prepare(d, model, "tree")


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
    return baselines.MeanBy(tuple(by), hour_of, window, limit)
