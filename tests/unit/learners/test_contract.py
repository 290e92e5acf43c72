"""The data contract: what breaks it, and in which words."""

from typing import Any

import pytest

from learners.contract import Contract, LabelError
from tests.support import definition

FEATURES: dict[str, Any] = {
    "number": {"min": 0, "max": 10},
    "wide": {},
    "integer": {"type": "integer", "min": 1, "max": 5},
    "boolean": {"type": "boolean"},
    "category": {"type": "category", "categories": ["a", "b"]},
    "word": {"type": "category"},
    "text": {"type": "text"},
    "time": {"type": "time"},
    "optional": {"missing": "mean"},
}
GOOD: dict[str, Any] = {
    "number": 5.5, "wide": -3, "integer": 2, "boolean": True, "category": "a", "word": "w", "text": "t",
    "time": "2024-05-01T12:00:00Z", "optional": None,
}  # fmt: skip
CONTRACT = Contract(definition(features=FEATURES, rules={}))


def test_good_features_break_nothing() -> None:
    """Every value as declared, an optional one null or left out: no violation."""
    assert CONTRACT.violations(GOOD) == {}
    assert CONTRACT.violations({k: v for k, v in GOOD.items() if k != "optional"}) == {}
    assert CONTRACT.violations({**GOOD, "undeclared": object()}) == {}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("number", None, "is missing"),
        ("number", -0.5, "-0.5 is below the minimum 0"),
        ("number", 11, "11 is above the maximum 10"),
        ("number", "5", "'5' is no number"),
        ("number", True, "True is no number"),
        ("number", float("nan"), "nan is not finite"),
        ("wide", float("-inf"), "-inf is not finite"),
        ("wide", 1.1e12, "above the maximum"),
        ("wide", 10**400, "above the maximum"),
        ("wide", [1], "[1] is no number"),
        ("integer", 2.5, "2.5 is no integer"),
        ("integer", 6, "6 is above the maximum 5"),
        ("boolean", 1, "1 is no boolean"),
        ("category", "c", "'c' is none of the declared categories"),
        ("category", 1, "1 is no text"),
        ("word", "x" * 5000, "is longer than 4096 characters"),
        ("text", {"a": 1}, "{'a': 1} is no text"),
        ("time", 1.5, "1.5 is no time"),
        ("time", 10**17, "too far away"),
        ("time", "2024" * 20, "longer than 40 characters"),
        ("optional", "x", "'x' is no number"),
    ],
)
def test_what_breaks_the_contract_is_said(name: str, value: Any, problem: str) -> None:
    """Each violation names its feature and says what is wrong with the value."""
    ((found, sentence),) = CONTRACT.violations({**GOOD, name: value}).items()
    assert found == name
    assert problem in sentence


def test_all_violations_are_said_at_once() -> None:
    """Not only the first; long values are cut."""
    found = CONTRACT.violations({"number": "x" * 500})
    assert set(found) == set(FEATURES) - {"optional"}
    assert len(found["number"]) < 100


@pytest.mark.parametrize(
    ("changes", "good", "bad"),
    [
        ({"label": {"classes": ["no", "yes"]}}, {"no": False, "yes": True}, ["maybe", None, 1, ["no"], {}]),
        ({"label": {"classes": ["no", "yes"], "positive": "no"}}, {"no": True, "yes": False}, [True]),
        ({"label": {"classes": [False, True]}}, {False: False, True: True}, ["true", None]),
        ({"task": "multiclass", "label": {"classes": ["a", "b", "c"]}}, {"a": "a", "c": "c"}, ["d", 1]),
        (
            {"task": "multiclass", "label": {"classes": "open"}},
            {"new": "new", 7: 7},
            ["x" * 5000, 2**60, 1.5, None],
        ),
        (
            {"task": "regression", "label": {"min": 0}},
            {0: 0.0, 2.5: 2.5, 10**12: 1e12},
            [-1, "1", True, float("nan"), float("inf"), 10**400, 1e13, None],
        ),
    ],
)
def test_labels(changes: dict, good: dict, bad: list) -> None:
    """Labels turn into what estimators learn and back; those outside are refused with a sentence."""
    contract = Contract(definition(rules={}, **changes))
    for wire, internal in good.items():
        assert contract.internal(wire) == internal
        assert type(contract.internal(wire)) is type(internal)
        assert contract.wire(internal) == wire
    for label in bad:
        with pytest.raises(LabelError):
            contract.internal(label)
