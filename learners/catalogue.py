"""The catalogue: finds a recipe by name, checks its parameters, builds a River estimator.

What can be wrong with a recipe in a definition file becomes an error here that names the key and
what to write instead.
"""

import difflib
import importlib
import math
from collections.abc import Mapping
from typing import Any

from river import base

from learners.definition import Definition, Task
from learners.errors import DefinitionError, RecipeError
from learners.recipes import RECIPES, Recipe

__all__ = ["Recipe", "build", "recipes"]


def recipes(task: Task) -> dict[str, Recipe]:
    """Return the recipes that can do a task, by name.

    >>> [name for name, recipe in recipes("regression").items() if recipe.baseline]
    ['mean', 'last_value', 'mean_by']
    """
    return {name: recipe for name, recipe in RECIPES.items() if task in recipe.tasks}


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
    Scaler | LinearRegression
    >>> build("last_valeu", definition, {})
    Traceback (most recent call last):
    ...
    learners.errors.DefinitionError: recipe: 'last_valeu' is no recipe. Did you mean "last_value"?
    """
    key = _key(recipe, definition, parameters)
    if ":" in recipe:
        return _imported(recipe, definition, parameters, key)
    known = RECIPES.get(recipe)
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
