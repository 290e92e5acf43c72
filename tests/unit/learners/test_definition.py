"""A definition that cannot work is refused with the key at fault and what to write instead."""

import pickle
from typing import Any

import pytest

from learners.definition import parse_definition, parse_duration
from learners.errors import DefinitionError

RAW: dict[str, Any] = {
    "name": "shop",
    "task": "binary",
    "features": {"x": {}},
    "label": {"classes": ["no", "yes"]},
}
MULTI = {"task": "multiclass", "label": {"classes": ["a", "b", "c"]}}
REGRESSION = {"task": "regression", "label": {}}


def test_defaults_work() -> None:
    """Name, task, features and classes are enough: a model, a rule, a champion and the rest are there."""
    d = parse_definition(RAW)
    assert (list(d.models), d.champion, list(d.rules), d.positive) == (["lr"], "lr", ["prior"], "yes")
    assert d.models["lr"].recipe == "logistic_regression"
    assert parse_definition({**RAW, **MULTI}).models["lr"].recipe == "one_vs_rest"
    regression = parse_definition({**RAW, **REGRESSION})
    assert regression.models["lr"].recipe == "linear_regression"
    assert regression.rules["prior"].recipe == "mean"
    assert (regression.classes, regression.positive) == ((), None)


def test_own_rules_come_before_the_last_resort() -> None:
    """The rule of frequencies is appended, unless one is called so."""
    rule = {"when": "x > 1", "then": "yes"}
    assert list(parse_definition({**RAW, "rules": {"mine": rule}}).rules) == ["mine", "prior"]
    assert list(parse_definition({**RAW, "rules": {"prior": rule, "mine": rule}}).rules) == ["prior", "mine"]


def test_the_blend_is_champion_unless_told_or_alone() -> None:
    """One model serves itself, several are blended, and so are numbers with rules; a slot may be named."""
    models = {"tree": {"recipe": "hoeffding_tree"}, "lr": {"recipe": "logistic_regression"}}
    assert parse_definition({**RAW, "models": {"tree": models["tree"]}}).champion == "tree"
    assert parse_definition({**RAW, "models": models}).champion == "blend"
    number = {**RAW, "task": "regression", "label": {}, "rules": {}}
    assert parse_definition(number).champion == "lr"
    last = {"last": {"recipe": "last_value"}}
    assert parse_definition({**number, "rules": last}).champion == "blend"
    assert parse_definition({**RAW, "models": models, "champion": "lr"}).champion == "lr"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": "x"}, "nmae: unknown key. Did you mean `name`?"),
        ({"zzz": 1}, "zzz: unknown key. Known keys: name, task"),
        ({"name": None}, "name: "),
        ({"name": "Shop"}, "name: 'Shop' cannot name topics"),
        ({"name": "a" * 64}, "cannot name topics"),
        ({"task": "binari"}, 'Did you mean "binary"?'),
        ({"scope": "worker"}, 'scope: .*One of: "deployment", "partition"'),
        ({"seed": "one"}, "seed: Expected `int`"),
        ({"features": {}}, "features: there are none"),
        ({"features": ["x"]}, "features: is not a table"),
        ({"features": {"x": {"tpye": "number"}}}, "features.x.tpye: unknown key. Did you mean `type`?"),
        ({"features": {"x": {"type": "text", "min": 1}}}, "features.x: a text has no range"),
        ({"features": {"x": {"min": 2, "max": 1}}}, "features.x.min: 2.0 is above max = 1.0"),
        ({"features": {"x": {"categories": ["a"]}}}, "features.x.categories: a number has none"),
        ({"features": {"x": {"type": "category", "categories": ["a", "a"]}}}, "has a value twice"),
        ({"features": {"x": {"type": "category", "categories": []}}}, "is empty"),
        ({"features": {"x": {"missing": "constant"}}}, "features.x.fill: is not given"),
        ({"features": {"x": {"fill": 1}}}, "has no use with missing = 'refuse'"),
        ({"features": {"x": {"missing": "constant", "fill": "a"}}}, "'a' is no number"),
        ({"features": {"x": {"missing": "maen"}}}, 'Did you mean "mean"?'),
        ({"models": {"LR": {"recipe": "x"}}}, "models.LR: is no slot name"),
        ({"models": {"lr": {}}}, "models.lr.recipe: is not given. Add `recipe = ...`"),
        ({"models": {"lr-next": {"recipe": "x"}}}, "models.lr-next: is how the blend, or the fresh version"),
        ({"champion": "tree"}, "champion: 'tree' is no model. One of: blend, lr"),
        ({"rules": {"lr": {"when": "x > 1", "then": "no"}}}, "rules.lr: is also the name of a model"),
        ({"rules": {"r": {}}}, "rules.r: needs either `when` and `then`, or `recipe`"),
        ({"rules": {"r": {"when": "x > 1", "recipe": "majority"}}}, "needs either"),
        ({"rules": {"r": {"when": "x > 1"}}}, "rules.r.then: is not given"),
        ({"rules": {"r": {"recipe": "majority", "then": "no"}}}, "rules.r.then: has no use with a recipe"),
        ({"label": {}}, "label.classes: is not given"),
        ({"label": {"classes": ["no"]}}, "needs two classes"),
        ({"label": {"classes": ["no", "no"]}}, "has a class twice"),
        ({"label": {"classes": ["a", "b", "c"]}}, 'a binary task has exactly two.*task = "multiclass"'),
        ({"label": {"classes": "open"}}, "a binary task has exactly two"),
        ({"label": {"classes": ["no", "yes"], "positive": "ja"}}, "label.positive: 'ja' is no declared"),
        ({"label": {"classes": ["no", "yes"], "default": "ja"}}, "label.default: 'ja' is no declared"),
        ({"label": {"classes": ["no", "yes"], "min": 0}}, "a binary label has no range"),
        ({"label": {"classes": ["no", "yes"], "ttl": "soon"}}, "label.ttl: 'soon' is no duration"),
        (
            {"label": {"classes": ["no", "yes"], "pending_limit": 0}},
            "label.pending_limit: must be at least 1",
        ),
        ({**REGRESSION, "label": {"classes": ["a", "b"]}}, "regression has no classes"),
        ({**REGRESSION, "label": {"min": 1, "max": 1}}, "label.min: 1.0 is not below max"),
        ({**REGRESSION, "label": {"default": "a"}}, "label.default: 'a' is no number"),
        ({"drift": {"alpha": 1.0}}, "drift.alpha: 1.0 is no probability"),
        ({"drift": {"cooldown": 0}}, "drift.cooldown: must be at least 1"),
        ({"drift": {"on_drift": "challange"}}, 'drift.on_drift: .*Did you mean "challenge"?'),
        ({"warm_up": -1}, "warm_up: is negative"),
    ],
)
def test_mistakes_are_explained(changes: dict[str, Any], message: str) -> None:
    """One sentence: file, key, problem, remedy."""
    with pytest.raises(DefinitionError, match=r"^shop.toml: .*" + message.replace("?", r"\?")) as caught:
        parse_definition({**RAW, **changes}, "shop.toml")
    assert caught.value.remedy
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


@pytest.mark.parametrize("name", ["name", "task"])
def test_what_must_be_given(name: str) -> None:
    """Without it the error says to add it."""
    with pytest.raises(DefinitionError, match=f"{name}: is not given. Add `{name} = ...`"):
        parse_definition({key: value for key, value in RAW.items() if key != name})


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0s", 0), ("90s", 90_000), ("1.5h", 5_400_000), ("30d", 2_592_000_000), ("200ms", 200)],
)
def test_durations(text: str, milliseconds: int) -> None:
    """A number and a unit."""
    assert parse_duration(text, "key") == milliseconds


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1w", "1h30m", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    """The error shows how one is written."""
    with pytest.raises(DefinitionError, match=r'e\.g\. "90s"'):
        parse_duration(text, "key")
