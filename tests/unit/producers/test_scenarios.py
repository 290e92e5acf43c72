"""Made-up streams: known points of change, equal for equal seeds, learnable, and drifting."""

from itertools import islice
from statistics import mean

import pytest
from river import compose, linear_model, preprocessing

from learners.contract import Contract
from learners.errors import MeanderError
from producers.files import label_of, typed
from producers.files import rows as file_rows
from producers.scenarios import (
    LABEL,
    SCENARIOS,
    Scenario,
    Segment,
    UnknownScenarioError,
    alternating,
    read_truth,
    scenario,
    settings_of,
    write_rows,
    write_truth,
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
    definition = parse_settings(settings_of(made, "orders"), environ={}).definition
    rows = list(made.rows())
    assert made.length == len(rows)
    extra = {LABEL, made.key}
    for row in rows[:500]:
        assert typed(row, definition.features) == {k: v for k, v in row.items() if k not in extra}
        contract = Contract(definition)
        assert contract.violations(typed(row, definition.features)) == {}
        contract.internal(label_of(row[LABEL], definition))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_tells_its_changes(name, tmp_path):
    """Changes lie inside the stream, in order, and read back from their file as they were."""
    made = scenario(name)
    changes = list(made.changes)
    assert bool(changes) == (name != "steady")
    assert changes == sorted(changes, key=lambda change: change.at)
    assert all(0 <= change.at <= change.until <= made.length for change in changes)
    write_truth(changes, tmp_path / "truth")
    assert read_truth(tmp_path / "truth") == changes


def column(rows, name, first, last):
    return [row[name] for row in rows[first:last]]


def test_only_what_is_said_changes():
    """Each scenario of orders does what its name says, where it says, and leaves the rest as it was."""
    steady = list(scenario("steady").rows())
    calm = {"local": 5_000, "covariate": 5_000, "noise": 5_000, "inverted": 5_000}
    for name, until in calm.items():
        assert list(islice(scenario(name).rows(), until)) == steady[:until]
    inverted = list(scenario("inverted").rows())
    assert all(a[LABEL] != b[LABEL] for a, b in zip(inverted[5000:7000], steady[5000:7000], strict=True))
    assert inverted[7000:] == steady[7000:]
    local = list(scenario("local").rows())
    moved = [(a, b) for a, b in zip(local[5000:], steady[5000:], strict=True) if a != b]
    assert moved
    assert {a["article"] for a, _ in moved} == {"shoes"}
    covariate = list(scenario("covariate").rows())
    assert 75 < mean(column(covariate, "amount", 5000, 10000)) < 90
    prior = list(scenario("prior").rows())
    for first, share in ((0, 0.5), (5000, 0.15)):
        assert abs(column(prior, LABEL, first, first + 5000).count("returned") / 5000 - share) < 0.03
    rare = list(scenario("rare").rows())
    assert 300 < column(rare, LABEL, 0, 40_000).count("returned") < 500


def test_faults_are_one_shops():
    """A stuck sensor and a changed unit come from one sender alone, and end."""
    for name, feature in (("stuck", "delivery_days"), ("unit", "amount")):
        made = scenario(name)
        rows = list(made.rows())
        start, over = made.changes
        assert (start.feature, start.producer, over.kind) == (feature, "shop-3", "over")
        wrong = [row[feature] for row in rows[start.at : over.at] if row["shop"] == "shop-3"]
        if name == "stuck":
            assert len(set(wrong)) == 1
        else:
            assert mean(wrong) > 5000
        sound = [row for row in rows if row["shop"] != "shop-3"]
        assert mean(row["amount"] for row in sound) < 65
        assert len({row["delivery_days"] for row in sound}) > 30


@pytest.mark.parametrize("name", ["made.csv", "made.jsonl", "made.csv.gz", "made.jsonl.gz"])
def test_a_scenario_can_be_a_file(name, tmp_path):
    """What is written reads back as the same rows, and equal seeds give equal bytes."""
    made = scenario("unit")
    definition = parse_settings(settings_of(made, "orders"), environ={}).definition
    assert write_rows(islice(made.rows(), 300), tmp_path / name) == 300
    write_rows(islice(made.rows(), 300), tmp_path / f"again-{name}")
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()
    back = [typed(row, definition.features) for row in file_rows(tmp_path / name)]
    assert back == [typed(row, definition.features) for row in islice(made.rows(), 300)]


def test_a_wrong_truth_is_answered_with_its_line(tmp_path):
    """The error names the line and shows what one looks like."""
    (tmp_path / "truth").write_text('{"at": 1, "until": 1, "kind": "abrupt"}\n{"at": "x"}\n')
    with pytest.raises(MeanderError, match=r'line 2.*Write one object a line: \{"at": 5000'):
        read_truth(tmp_path / "truth")


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
