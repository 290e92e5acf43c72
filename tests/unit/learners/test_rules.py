"""Rules: answers in the form estimators learn, silence where nothing can be said."""

import pickle

import pytest

from learners.baselines import ClassFrequencies, MeanBy
from learners.definition import Definition, Feature, Label, Rule
from learners.errors import DefinitionError, RecipeError
from learners.rules import DeclaredRule, build_rule

FEATURES = {"amount": Feature(), "country": Feature(type="category", missing="mean")}
FRAUD = Label(classes=("legit", "fraud"))


def definition(task="binary", label=FRAUD):
    return Definition(name="d", task=task, features=FEATURES, label=label)


def built(then, *, when="amount > 900", task="binary", label=FRAUD):
    return build_rule("big", Rule(when=when, then=then), definition(task, label))


@pytest.mark.parametrize(
    ("label", "then", "expected"),
    [
        (FRAUD, "fraud", {False: 0.0, True: 1.0}),
        (FRAUD, {"fraud": 0.9}, {False: 0.1, True: 0.9}),
        (FRAUD, {"legit": 0.25, "fraud": 0.75}, {False: 0.25, True: 0.75}),
        (Label(classes=("legit", "fraud"), positive="legit"), "fraud", {True: 0.0, False: 1.0}),
        (Label(classes=(False, True)), True, {False: 0.0, True: 1.0}),
        (Label(classes=(False, True)), {"true": 0.5}, {False: 0.5, True: 0.5}),
        (Label(classes=(0, 1)), 1, {False: 0.0, True: 1.0}),
        (Label(classes=(0, 1)), {"1": 0.5}, {False: 0.5, True: 0.5}),
    ],
)
def test_an_answer_of_two_classes_is_a_probability_of_the_positive_one(label, then, expected):
    """Whatever the classes are called, inside they are False and True."""
    answer = built(then, label=label).predict_proba_one({"amount": 1000.0})

    assert answer == pytest.approx(expected)


def test_the_rest_is_spread_evenly_over_the_other_classes():
    """Naming one of several classes leaves equal shares to the others, in declared order."""
    label = Label(classes=("a", "b", "c"))
    answer = built({"b": 0.5}, task="multiclass", label=label).predict_proba_one({"amount": 1000.0})

    assert answer == {"a": 0.25, "b": 0.5, "c": 0.25}
    assert list(answer) == ["a", "b", "c"]


def test_open_classes_take_any_name():
    """With open classes there is nobody to share with: what is named sums to one."""
    label = Label(classes="open")

    assert built("new", task="multiclass", label=label).predict_one({"amount": 1000.0}) == "new"
    with pytest.raises(DefinitionError, match="sum to"):
        built({"new": 0.5}, task="multiclass", label=label)


def test_a_rule_is_silent_where_its_condition_does_not_hold():
    """No condition, no answer; a missing feature, no answer either."""
    rule = built("fraud", when="amount > 900 and country != 'CH'")

    assert rule.predict_proba_one({"amount": 1000.0, "country": "DE"}) == {False: 0.0, True: 1.0}
    for x in ({"amount": 1.0, "country": "DE"}, {"amount": 1000.0, "country": None}, {"amount": 1000.0}, {}):
        assert rule.predict_proba_one(x) == {}
        assert rule.predict_one(x) is None


def test_a_number_is_answered_for_regression():
    """An integer becomes a float; silence is None."""
    rule = built(40, task="regression", label=Label(min=0))

    assert rule.predict_one({"amount": 1000.0}) == 40.0
    assert isinstance(rule.predict_one({"amount": 1000.0}), float)
    assert rule.predict_one({"amount": 1.0}) is None


@pytest.mark.parametrize(
    ("task", "label", "then", "key", "sentence"),
    [
        ("binary", FRAUD, "fruad", "then", 'Did you mean "fraud"?'),
        ("binary", FRAUD, True, "then", "One of: legit, fraud"),
        ("binary", Label(classes=(0, 1)), True, "then", "True is no declared class"),
        ("binary", FRAUD, {"fraud": 1.5}, "then.fraud", "1.5 is no probability"),
        ("binary", FRAUD, {"fraud": True}, "then.fraud", "is no probability"),
        ("binary", FRAUD, {"fraud": float("nan")}, "then.fraud", "is no probability"),
        ("binary", FRAUD, {"fraud": 0.9, "legit": 0.2}, "then", "sum to 1.1"),
        ("binary", FRAUD, {"fraud": 0.9, "legit": 0.05}, "then", "sum to 0.95"),
        ("binary", FRAUD, {}, "then", "names no class"),
        ("regression", Label(), "many", "then", "is no number"),
        ("regression", Label(), True, "then", "is no number"),
        ("regression", Label(), float("inf"), "then", "is no number"),
        ("regression", Label(min=0), -1, "then", "outside the range"),
    ],
)
def test_an_answer_that_is_none_is_refused(task, label, then, key, sentence):
    """Errors name the key of the rule and what would be right."""
    with pytest.raises(DefinitionError) as raised:
        built(then, task=task, label=label)

    assert str(raised.value).startswith(f"rules.big.{key}: ")
    assert sentence in str(raised.value)


def test_a_condition_that_is_wrong_names_the_rule():
    """The key of the error is the rule's own."""
    with pytest.raises(DefinitionError, match=r"rules\.big\.when: position 1: `amuont` is no feature"):
        built("fraud", when="amuont > 1")


def test_a_rule_survives_a_pickle():
    """The condition is compiled anew from its text."""
    rule = pickle.loads(pickle.dumps(built({"fraud": 0.9})))

    assert isinstance(rule, DeclaredRule)
    assert rule.predict_proba_one({"amount": 1000.0}) == {False: 0.1, True: 0.9}


def test_answers_do_not_share_state():
    """Changing an answer does not change the rule."""
    rule = built("fraud")
    rule.predict_proba_one({"amount": 1000.0}).clear()

    assert rule.predict_proba_one({"amount": 1000.0})


def test_a_rule_may_be_a_baseline():
    """A recipe under [rules] builds the baseline, with its parameters."""
    rule = Rule(recipe="class_frequencies", parameters={"window": 5})
    assert isinstance(build_rule("prior", rule, definition()), ClassFrequencies)
    by = Rule(recipe="mean_by", parameters={"by": ["country"]})
    assert isinstance(build_rule("usual", by, definition("regression", Label())), MeanBy)


def test_a_model_is_no_rule():
    """A recipe that learns features belongs under [models]; the error lists the baselines."""
    with pytest.raises(DefinitionError, match=r"rules\.r\.recipe: .* is a model.*class_frequencies"):
        build_rule("r", Rule(recipe="hoeffding_tree"), definition())
    with pytest.raises((DefinitionError, RecipeError), match="is for regression"):
        build_rule("r", Rule(recipe="last_value"), definition())
