"""Columns: what they are, and that their number is bounded."""

import math

import pytest
from river import linear_model

from learners.definition import Definition, Feature
from learners.features import (
    HASHED_COLUMNS,
    KNOWN_CATEGORIES,
    TREE_WORD_COLUMNS,
    ClippedScaler,
    Columns,
    HatBasis,
    Plain,
    moment,
    prepare,
)

CATEGORY, TEXT, TIME = Feature(type="category"), Feature(type="text"), Feature(type="time")


@pytest.mark.parametrize("value", ["2024-02-30", "", "12:00", 10**18, -(10**18), "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time_is_missing(value):
    """Impossible dates, odd text and times out of the world have no parts, and nothing raises."""
    assert moment(value) is None
    assert Columns({"at": TIME}).transform_one({"at": value}) == {}
    assert Plain({"at": TIME}).transform_one({"at": value}) == {}


def test_the_same_time_in_any_form_has_the_same_parts():
    """Milliseconds, Z, an offset and no offset (UTC) agree."""
    forms = (1_714_581_000_000, "2024-05-01T16:30:00Z", "2024-05-01T18:30:00+02:00", "2024-05-01T16:30:00")

    assert {moment(form) for form in forms} == {moment(forms[0])}


def test_times_of_a_linear_model_are_on_circles():
    """The last minute of a day is next to the first; every pair has length one."""
    columns = Columns({"at": TIME})
    late = columns.transform_one({"at": "2024-05-01T23:59:00"})
    early = columns.transform_one({"at": "2024-05-02T00:00:00"})

    assert max(abs(late[name] - early[name]) for name in late) < 0.02
    for part in ("day", "half day", "week", "year"):
        assert math.hypot(late[f"at {part} sin"], late[f"at {part} cos"]) == pytest.approx(1)


def test_columns_of_a_linear_model_are_bounded():
    """Ten thousand words and categories never seen before stay within the hashed columns."""
    columns, seen = Columns({"shop": CATEGORY, "note": TEXT}), set()
    for i in range(10_000):
        seen.update(columns.transform_one({"shop": f"shop-{i}", "note": f"word{i} again word{i}"}))

    assert len(seen) <= HASHED_COLUMNS
    assert all(0 <= column < HASHED_COLUMNS for column in seen)


def test_columns_of_trees_are_bounded():
    """A tree meets at most so many codes of a category, and so many columns of words."""
    plain, codes, names = Plain({"shop": CATEGORY, "note": TEXT}), set(), set()
    for i in range(2000):
        x = {"shop": f"shop-{i}", "note": f"word{i}"}
        plain.learn_one(x)
        columns = plain.transform_one(x)
        codes.add(columns.pop("shop"))
        names.update(columns)

    assert len(codes) == KNOWN_CATEGORIES + 1
    assert len(names) == TREE_WORD_COLUMNS


def test_a_long_text_weighs_no_more_than_a_short_one():
    """Words are scaled to length one, so that a step does not grow with the text."""
    long = Columns({"note": TEXT}).transform_one({"note": "refund this order now " * 200})

    assert math.sqrt(sum(v * v for v in long.values())) == pytest.approx(1)


def test_hats_sum_to_one_wherever_a_value_is():
    """Neighbouring hats share a value; far values belong to the last hat."""
    basis = HatBasis(hats=8)
    for value in range(100):
        basis.learn_one({"x": float(value)})
    for value in (-1e12, 0.0, 12.3, 49.5, 99.0, 1e12):
        columns = basis.transform_one({"x": value})
        assert sum(columns.values()) == pytest.approx(1)
        assert min(columns.values()) >= 0
        assert all(0 <= k <= 8 for _, k in columns)


def test_a_clipped_scaler_is_a_standard_scaler_within_three_deviations():
    """Only what is far out differs from River's scaler."""
    scaler = ClippedScaler()
    for value in (1.0, 2.0, 3.0):
        scaler.learn_one({"x": value})

    assert scaler.transform_one({"x": 3.0})["x"] == pytest.approx(1.0 / math.sqrt(2 / 3))
    assert scaler.transform_one({"x": -1e9}) == {"x": -3.0}


def test_only_what_a_feature_needs_stands_in_front():
    """Numbers get a scaler for linear models and nothing for trees."""
    model = linear_model.LinearRegression()
    numbers = Definition(name="d", task="regression", features={"a": Feature(), "b": Feature(type="boolean")})
    assert str(prepare(numbers, model, "linear")) == "Scaler | LinearRegression"
    assert prepare(numbers, model, "tree") is model
    words = Definition(name="d", task="regression", features={"a": TEXT})
    assert str(prepare(words, model, "linear")) == "Columns | LinearRegression"
