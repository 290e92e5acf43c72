"""The data contract: what features and labels may be, compiled once for the hot path.

A record that keeps the contract is decoded and checked in one pass by msgspec, from the types built
here. Only a record that breaks it is looked at value by value, to say what is wrong.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from learners.definition import NUMBER_LIMIT, TEXT_LIMIT, ClassName, Definition, Feature

INTEGER_LIMIT = 2**53  # beyond it a float no longer holds every integer
TIME_LIMIT = 253_402_300_800_000  # the year 10000, in milliseconds


class LabelError(ValueError):
    """A label outside the declared classes or range; the message says why."""


class Contract:
    """Features and labels of one definition.

    Parameters
    ----------
    definition
        Whose ``features`` and ``label`` sections apply.

    Attributes
    ----------
    features_type
        A ``TypedDict`` that msgspec decodes a conforming features object to: declared features only.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> contract = Contract(parse_definition({
    ...     "name": "fraud", "task": "binary",
    ...     "features": {"amount": {"min": 0}, "country": {"type": "category", "missing": "constant",
    ...                  "fill": "CH"}},
    ...     "label": {"classes": ["legit", "fraud"]},
    ... }))
    >>> contract.violations({"amount": -1.0, "country": None})
    {'amount': '-1.0 is below the minimum 0.0'}
    >>> contract.internal("fraud"), contract.wire(True)
    (True, 'fraud')
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        fields = {name: _wire_type(feature) for name, feature in definition.features.items()}
        make: Any = TypedDict  # called at run time with names that are known only then
        self.features_type = make("Features", fields)
        self._regression = definition.task == "regression"
        self._open = definition.label.classes == "open"
        self._low = -NUMBER_LIMIT if definition.label.min is None else definition.label.min
        self._high = NUMBER_LIMIT if definition.label.max is None else definition.label.max
        self._internal: dict[Any, Any] = {}
        if definition.task == "binary":
            self._internal = {c: c == definition.positive for c in definition.classes}
        else:
            self._internal = {c: c for c in definition.classes}
        self._wire: dict[Any, ClassName] = {i: c for c, i in self._internal.items()}

    def violations(self, features: Mapping[str, Any]) -> dict[str, str]:
        """Say what is wrong with each feature that breaks the contract; empty when none does."""
        wrong = {}
        for name, feature in self.definition.features.items():
            problem = _problem(features.get(name), feature)
            if problem:
                wrong[name] = problem
        return wrong

    def internal(self, label: Any) -> Any:
        """Turn a label from its wire form into the form estimators learn.

        Raises
        ------
        LabelError
            When it is no declared class, or no finite number in range.
        """
        if self._regression:
            if isinstance(label, bool) or not isinstance(label, int | float) or not _is_finite(label):
                raise LabelError(f"{_shown(label)} is no finite number")
            if not self._low <= label <= self._high:
                raise LabelError(f"{_shown(label)} is outside [{self._low}, {self._high}]")
            return float(label)
        try:
            return self._internal[label]
        except (KeyError, TypeError):
            if self._open and _is_class(label):
                return label
            raise LabelError(f"{_shown(label)} is none of {list(self._internal)}") from None

    def wire(self, label: Any) -> Any:
        """Turn a label from the form estimators learn into its wire form."""
        return label if self._regression else self._wire.get(label, label)


def _wire_type(feature: Feature) -> Any:
    kind: Any
    match feature.type:
        case "number":
            low, high = _bounds(feature, NUMBER_LIMIT)
            kind = Annotated[float, Meta(ge=low, le=high)]
        case "integer":
            low, high = _bounds(feature, INTEGER_LIMIT)
            kind = Annotated[int, Meta(ge=math.ceil(low), le=math.floor(high))]
        case "boolean":
            kind = bool
        case "category" if feature.categories:
            kind = Literal[feature.categories]
        case "category" | "text":
            kind = Annotated[str, Meta(max_length=TEXT_LIMIT)]
        case "time":
            kind = Annotated[int, Meta(ge=-TIME_LIMIT, le=TIME_LIMIT)] | Annotated[str, Meta(max_length=40)]
    return kind if feature.missing == "refuse" else NotRequired[kind | None]


def _bounds(feature: Feature, limit: float) -> tuple[float, float]:
    """Return what a number must keep to: where outliers are repaired, only what is absurd breaks."""
    if feature.outliers != "refuse":
        return -limit, limit
    return (
        -limit if feature.min is None else feature.min,
        limit if feature.max is None else feature.max,
    )


def _problem(value: Any, feature: Feature) -> str | None:
    if value is None:
        return "is missing" if feature.missing == "refuse" else None
    match feature.type:
        case "number" | "integer":
            return _number_problem(value, feature)
        case "boolean":
            return None if isinstance(value, bool) else f"{_shown(value)} is no boolean"
        case "time":
            if isinstance(value, str):
                return None if len(value) <= 40 else "is no time: longer than 40 characters"
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            if isinstance(value, bool) or not whole:
                return f"{_shown(value)} is no time: use epoch milliseconds or ISO 8601"
            return None if abs(value) <= TIME_LIMIT else f"{_shown(value)} is no time: too far away"
    if not isinstance(value, str):
        return f"{_shown(value)} is no text"
    if feature.categories is not None and value not in feature.categories:
        return f"{_shown(value)} is none of the declared categories"
    return None if len(value) <= TEXT_LIMIT else f"is longer than {TEXT_LIMIT} characters"


def _number_problem(value: Any, feature: Feature) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{_shown(value)} is no number"
    if not _is_finite(value):
        return f"{value} is not finite"
    whole = feature.type == "integer"
    if whole and value != int(value):
        return f"{value} is no integer"
    low, high = _bounds(feature, INTEGER_LIMIT if whole else NUMBER_LIMIT)
    if value < low:
        return f"{_shown(value)} is below the minimum {low}"
    return f"{_shown(value)} is above the maximum {high}" if value > high else None


def _is_finite(value: float) -> bool:
    """Whether it is a number in the ordinary sense; an integer may be too large to be made a float."""
    return isinstance(value, int) or math.isfinite(value)


def _is_class(label: Any) -> bool:
    """Whether it may be a class of an open set: text or an integer, neither too large to be kept."""
    if isinstance(label, str):
        return len(label) <= TEXT_LIMIT
    return isinstance(label, int) and abs(label) <= INTEGER_LIMIT


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested as deep as can be, or thousands of digits
        return f"this {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
