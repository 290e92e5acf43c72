"""Rules: heuristics of a definition as River estimators.

A rule is asked, scored and pickled like a model; it only does not learn. Where its condition does
not hold, or reads a missing feature, it is silent: ``{}`` or None.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from river import base

from learners import catalogue
from learners.definition import ClassName, Definition, Feature, Rule
from learners.errors import DefinitionError
from learners.expressions import SILENT, compile_condition

SUM_TOLERANCE = 1e-6


class DeclaredRule:
    """What a rule of a condition and an answer has in common, whatever the task.

    Parameters
    ----------
    when
        The condition.
    features
        The declared features.
    key
        Where it stands in the definition, for errors.
    """

    def __init__(self, when: str, features: Mapping[str, Feature], key: str = "when") -> None:
        self.when, self.features, self.key = when, features, key
        self._holds = compile_condition(when, features, key)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_holds"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._holds = compile_condition(self.when, self.features, self.key)

    def holds(self, x: dict[Any, Any]) -> bool:
        """Whether the condition holds; it does not where it cannot be told."""
        try:
            return self._holds(x)
        except SILENT:
            return False


class ClassRule(DeclaredRule, base.Classifier):
    """A rule that answers with probabilities of classes, in the form estimators learn.

    Parameters
    ----------
    when, features, key
        See `DeclaredRule`.
    probabilities
        Class -> probability; they sum to one.

    Examples
    --------
    >>> rule = ClassRule("amount > 900", {"amount": Feature()}, {False: 0.25, True: 0.75})
    >>> rule.predict_proba_one({"amount": 1000.0}), rule.predict_proba_one({})
    ({False: 0.25, True: 0.75}, {})
    """

    def __init__(
        self,
        when: str,
        features: Mapping[str, Feature],
        probabilities: Mapping[Any, float],
        key: str = "when",
    ) -> None:
        super().__init__(when, features, key)
        self.probabilities = probabilities

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"when": "true", "features": {}, "probabilities": {True: 0.9, False: 0.1}}

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Do nothing: a rule is what it is."""

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return its probabilities where the condition holds, else ``{}``."""
        try:
            return {**self.probabilities} if self._holds(x) else {}
        except SILENT:
            return {}

    def probability_one(self, x: dict[Any, Any]) -> float | None:
        """Return True's probability alone, where True is a class and the condition holds, else None."""
        try:
            return self.probabilities[True] if self._holds(x) else None
        except SILENT:
            return None


class NumberRule(DeclaredRule, base.Regressor):
    """A rule that answers with a number.

    Parameters
    ----------
    when, features, key
        See `DeclaredRule`.
    value
        The number.

    Examples
    --------
    >>> rule = NumberRule("holiday", {"holiday": Feature(type="boolean")}, 40.0)
    >>> rule.predict_one({"holiday": True}), rule.predict_one({"holiday": False})
    (40.0, None)
    """

    def __init__(self, when: str, features: Mapping[str, Feature], value: float, key: str = "when") -> None:
        super().__init__(when, features, key)
        self.value = value

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"when": "true", "features": {}, "value": 1.0}

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Do nothing: a rule is what it is."""

    def predict_one(self, x: dict[Any, Any]) -> float | None:  # type: ignore[override]
        """Return its number where the condition holds, else None."""
        return self.value if self.holds(x) else None


def build_rule(name: str, rule: Rule, definition: Definition) -> base.Estimator:
    """Build the estimator of a rule.

    Parameters
    ----------
    name
        Its slot.
    rule
        Its table in the definition.
    definition
        Whose features, task and classes apply.

    Raises
    ------
    DefinitionError
        For a condition that cannot be read, or an answer that is none.
    RecipeError
        For a baseline that cannot be built.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> definition = parse_definition({
    ...     "name": "fraud", "task": "binary", "features": {"amount": {}},
    ...     "label": {"classes": ["legit", "fraud"]},
    ...     "rules": {"big": {"when": "amount > 900", "then": {"fraud": 0.9}}},
    ... })
    >>> build_rule("big", definition.rules["big"], definition).predict_proba_one({"amount": 1000.0})
    {False: 0.1, True: 0.9}
    """
    key = f"rules.{name}"
    if rule.recipe is not None:
        return _baseline(rule.recipe, rule, definition, key)
    if rule.when is None:
        raise DefinitionError(f"{key}.when", "is not given", 'Write a condition, e.g. when = "amount > 900"')
    where = f"{key}.when"
    if definition.task == "regression":
        return NumberRule(
            rule.when, definition.features, _number(rule.then, definition, f"{key}.then"), where
        )
    probabilities = _probabilities(rule.then, definition, f"{key}.then")
    return ClassRule(rule.when, definition.features, probabilities, where)


def _baseline(recipe: str, rule: Rule, definition: Definition, key: str) -> base.Estimator:
    known = catalogue.recipes(definition.task)
    if recipe in known and not known[recipe].baseline:
        names = ", ".join(name for name, r in known.items() if r.baseline)
        raise DefinitionError(
            f"{key}.recipe", f"{recipe!r} is a model", f"Put it under [models], or use: {names}"
        )
    return catalogue.build(recipe, definition, rule.parameters)


def _number(then: Any, definition: Definition, key: str) -> float:
    if isinstance(then, bool) or not isinstance(then, int | float) or not math.isfinite(then):
        raise DefinitionError(key, f"{then!r} is no number", "Regression needs one, e.g. then = 40")
    low, high = definition.label.min, definition.label.max
    if (low is not None and then < low) or (high is not None and then > high):
        raise DefinitionError(key, f"{then} is outside the range of the label", f"Use one in [{low}, {high}]")
    return float(then)


def _probabilities(then: Any, definition: Definition, key: str) -> dict[Any, float]:
    """Return the answer as probabilities of the classes in the form estimators learn, in declared order."""
    if isinstance(then, dict):
        given = {_class(name, definition, key): _probability(p, f"{key}.{name}") for name, p in then.items()}
        if not given:
            raise DefinitionError(key, "names no class", "Write e.g. then = {fraud = 0.9}")
    else:
        given = {_class(then, definition, key): 1.0}
    total = sum(given.values())
    others = [label for label in definition.classes if label not in given]
    if total > 1.0 + SUM_TOLERANCE or (not others and total < 1.0 - SUM_TOLERANCE):
        raise DefinitionError(key, f"the probabilities sum to {total:g}", "Make them sum to 1")
    rest = round(max(0.0, 1.0 - total) / len(others), 12) if others else 0.0
    scale = total if total > 1.0 or not others else 1.0
    order = definition.classes or tuple(given)
    return {_inside(c, definition): round(given[c] / scale, 12) if c in given else rest for c in order}


def _inside(label: ClassName, definition: Definition) -> Any:
    return label == definition.positive if definition.task == "binary" else label


def _class(then: Any, definition: Definition, key: str) -> ClassName:
    """Find the declared class meant: itself, or its name as JSON writes it (keys of a table are text)."""
    for label in definition.classes:
        if (type(label) is type(then) and label == then) or (isinstance(then, str) and _name(label) == then):
            return label
    if definition.label.classes == "open" and isinstance(then, str | int):
        return then
    names = [_name(label) for label in definition.classes]
    near = difflib.get_close_matches(str(then), names, n=1)
    remedy = f'Did you mean "{near[0]}"?' if near else f"One of: {', '.join(names)}"
    raise DefinitionError(key, f"{then!r} is no declared class", remedy)


def _name(label: ClassName) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _probability(p: Any, key: str) -> float:
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0.0 <= p <= 1.0:
        raise DefinitionError(key, f"{p!r} is no probability", "Use a number from 0 to 1")
    return float(p)
