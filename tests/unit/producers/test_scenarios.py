"""Made-up streams: known points of change, equal for equal seeds, learnable, and drifting."""

from itertools import islice

import pytest
from river import compose, linear_model, preprocessing

from producers.files import label_of, typed
from producers.scenarios import (
    CLASSES,
    LABEL,
    SCENARIOS,
    Scenario,
    Segment,
    UnknownScenarioError,
    alternating,
    scenario,
)
from stream.settings import parse_settings


def agreement(scenario_, first, last):
    """Return how often clothes and shoes go with a high amount and late delivery, and come back."""
    rows = list(islice(scenario_.rows(), first, last))
    score = [(row["amount"] - 60) / 15 + (row["delivery_days"] - 5) / 1.2 > 0 for row in rows]
    return sum((row[LABEL] == "returned") == high for row, high in zip(rows, score, strict=True)) / len(rows)


def test_equal_seeds_give_equal_rows_and_others_do_not():
    """A scenario is a function of its seed."""
    assert list(scenario("flip", 3).rows()) == list(scenario("flip", 3).rows())
    assert list(islice(scenario("flip", 3).rows(), 9)) != list(islice(scenario("flip", 4).rows(), 9))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_keeps_its_definition(name):
    """Rows have the length announced, and every value as the scenario's own definition declares it."""
    made = scenario(name)
    definition = parse_settings(made.definition("orders"), environ={}).definition
    rows = list(made.rows())
    assert made.length == len(rows)
    for row in rows[:500]:
        assert typed(row, definition.features) == {k: v for k, v in row.items() if k != LABEL}
        assert label_of(row[LABEL], definition) in CLASSES
        assert 0 <= row["discount"] <= 1


def test_the_relation_flips_where_the_scenario_says():
    """Right before the drift a high score means returned, right after it means kept."""
    flip = alternating(1500, 1500)
    (drift,) = flip.drifts
    assert agreement(flip, drift - 300, drift) > 0.6
    assert agreement(flip, drift, drift + 300) < 0.4


def test_a_transition_is_neither_the_old_nor_the_new():
    """In the middle of a gradual drift both concepts speak."""
    gradual = Scenario((Segment(1000, "before"), Segment(4000, "after", transition=2000)))
    assert 0.4 < agreement(gradual, 1700, 2300) < 0.6
    assert agreement(gradual, 4000, 5000) < 0.4


def test_segments_of_one_concept_are_no_drift():
    """Only a new concept counts as a point of change."""
    assert Scenario((Segment(5, "before"), Segment(5, "before"), Segment(5, "after"))).drifts == (10,)


def test_flip_is_worth_showing():
    """A model beats the stable rule, falls below it at the drift, and recovers; the rule never falls."""
    model = (compose.SelectType(float) | preprocessing.StandardScaler()) + (
        compose.SelectType(str) | preprocessing.OneHotEncoder()
    )
    model |= linear_model.LogisticRegression()
    right, rule = [], []
    for row in scenario("flip").rows():
        truth = row.pop(LABEL) == "returned"
        right.append(model.predict_one(row) == truth)
        rule.append((row["article"] in ("clothes", "shoes")) == truth)
        model.learn_one(row, truth)
    assert sum(right[4500:5000]) / 500 > 0.88
    assert sum(right[5000:5100]) / 100 < 0.6
    assert sum(right[9500:]) / 500 > 0.88
    assert min(sum(rule[n : n + 500]) for n in range(0, 10_000, 500)) / 500 > 0.65


def test_an_unknown_scenario_is_answered_with_a_name():
    """A slip of the pen gets the nearest name, anything else the list."""
    with pytest.raises(UnknownScenarioError, match="Did you mean flip"):
        scenario("flipp")
    with pytest.raises(UnknownScenarioError, match="One of: steady, flip"):
        scenario("zzz")
