"""Repairs: missing values filled, outliers clipped or flagged; what is refused teaches nothing."""

from typing import Any

import pytest

from learners.definition import Feature
from learners.repair import SPREAD_START, Repair, Repaired


def repaired(feature: Feature, values: list[Any], value: Any) -> Repaired:
    repair = Repair({"f": feature})
    for before in values:
        repair({"f": before})
    return repair({"f": value})


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (Feature(missing="mean"), 3.0),
        (Feature(missing="median"), 2.0),
        (Feature(missing="last"), 6.0),
        (Feature(missing="constant", fill=-1), -1),
    ],
)
def test_a_missing_number_becomes_what_was_declared(feature, expected):
    """Null and absent alike; missing values do not count as values, nor does what was filled."""
    repair = Repair({"f": feature})
    for value in (1.0, None, 2.0, 6.0):
        repair({"f": value})
    null, absent = repair({"f": None}), repair({})

    assert null.features == absent.features == {"f": pytest.approx(expected)}
    assert null.flags == absent.flags == ("filled:f",)


@pytest.mark.parametrize("missing", ["mean", "median", "last", "flag"])
def test_without_a_value_to_fill_in_a_missing_one_is_left_out(missing):
    """Nothing is invented, not even a zero; and it is told."""
    assert repaired(Feature(missing=missing), [], None) == Repaired({}, ("missing:f",), {})


def test_a_missing_category_without_a_policy_of_its_own_is_no_category():
    """For category and text `mean` means "no category"."""
    feature = Feature(type="category", missing="mean")
    assert repaired(feature, ["a", "b"], None) == Repaired({}, ("missing:f",), {})


@pytest.mark.parametrize(
    ("feature", "value", "seen", "flag"),
    [
        (Feature(min=0, max=9, outliers="clip"), 99.0, 9.0, "clipped"),
        (Feature(min=0, max=9, outliers="clip"), -1.0, 0.0, "clipped"),
        (Feature(type="integer", min=0.5, max=9.5, outliers="clip"), -3, 1, "clipped"),
        (Feature(type="integer", min=0.5, max=9.5, outliers="clip"), 10, 9, "clipped"),
        (Feature(max=9, outliers="flag"), 99.0, 99.0, "outlier"),
    ],
)
def test_an_outlier_of_the_range_is_clipped_or_flagged(feature, value, seen, flag):
    """Models see what was declared; a value inside is left alone."""
    assert repaired(feature, [], value) == Repaired({"f": seen}, (f"{flag}:f",), {})
    assert repaired(feature, [], 5) == Repaired({"f": 5}, (), {})


ORDINARY = [4.0, 6.0] * SPREAD_START


@pytest.mark.parametrize(
    ("outliers", "seen", "flags"),
    [("clip", 8.0, ("clipped:f",)), ("flag", 100.0, ("outlier:f",)), ("refuse", 100.0, ())],
)
def test_an_outlier_of_the_spread(outliers, seen, flags):
    """Three standard deviations of 1 from a mean of 5; a refused one says so."""
    result = repaired(Feature(spreads=3, outliers=outliers), ORDINARY, 100.0)
    assert result.features == {"f": pytest.approx(seen)}
    assert result.flags == flags
    assert list(result.violations) == (["f"] if outliers == "refuse" else [])


def test_there_are_no_outliers_before_a_spread_is_known():
    """A first value, a feature that was constant so far: nothing is known against another one."""
    feature = Feature(spreads=3)
    assert repaired(feature, [1.0] * 5, 1e9).violations == {}
    assert repaired(feature, [1.0] * 500, 2.0).violations == {}


def test_what_is_refused_teaches_nothing():
    """A hundred refused events leave fills and spreads where they were."""
    features = {"f": Feature(spreads=3), "g": Feature(missing="mean")}
    repair = Repair(features)
    for value in ORDINARY:
        repair({"f": value, "g": 1.0})
    before = repair.state()
    for _ in range(100):
        assert repair({"f": 1e6, "g": 50.0}).violations
    assert repair.state() == before


def test_a_level_that_moves_becomes_ordinary_where_it_is_clipped():
    """Clipped values count as such, so the limits follow a lasting change."""
    repair = Repair({"f": Feature(spreads=3, outliers="clip")})
    for value in ORDINARY * 3:
        repair({"f": value})
    flagged = [bool(repair({"f": value + 20}).flags) for value in ORDINARY * 10]
    assert flagged[0]
    assert not any(flagged[-50:])


def test_what_was_sent_is_not_changed_and_state_goes_on():
    """Repairs work on a copy; restored ones repair alike."""
    features = {"f": Feature(missing="median"), "g": Feature(max=1, outliers="clip")}
    repair, other = Repair(features), Repair(features)
    for n in range(50):
        repair({"f": float(n), "g": 0.0})
    sent = {"f": None, "g": 5.0}
    other.resume(repair.state())
    assert (
        repair(sent)
        == other(sent)
        == Repaired({"g": 1.0, "f": pytest.approx(24.5, abs=1)}, ("clipped:g", "filled:f"), {})
    )
    assert sent == {"f": None, "g": 5.0}
