"""What every recipe, baseline and rule keeps: River's own conventions, and ours."""

import copy
import os
import pickle
import random
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from river import checks as river_checks
from river import compose, datasets
from river.checks import common

from learners import catalogue, pickling
from learners.definition import Definition, Feature, Label, Rule
from learners.rules import build_rule

STREAMS = {
    "binary": datasets.Phishing(),
    "multiclass": datasets.ImageSegments(),
    "regression": datasets.TrumpApproval(),
}
LABELS = {
    "binary": Label(classes=("no", "yes")),
    "multiclass": Label(
        classes=("brickface", "cement", "foliage", "grass", "path", "sky", "window"),
    ),
    "regression": Label(),
}
QUICK = {"adaptive_random_forest": {"n_models": 2}, "adaptive_random_forest_regressor": {"n_models": 2}}
PARAMETERS = {**QUICK, "mean_by": {"by": ("ordinal_date",)}}
RULES = {
    "binary": Rule(when="age_of_domain > 0 and `long_url` <= 1", then={"yes": 0.8}),
    "multiclass": Rule(when="true", then="sky"),
    "regression": Rule(when="gallup > 30", then=42),
}

# River's conventions that some entries break, and why that is no harm.
SKIPS: dict[tuple[str, str], str] = {
    ("rule", "check_predict_proba_one"): "a silent rule answers {}, whose sum is 0",
    ("rule", "check_classifier_tracks_seen_labels"): "a rule learns nothing, so no new labels either",
}


def definition(task: str) -> Definition:
    """Declare the numbers of River's stream for a task."""
    x, _ = next(iter(STREAMS[task]))
    return Definition(
        name="contract", task=task, features={name: Feature() for name in x}, label=LABELS[task], seed=7
    )


def build(task: str, name: str) -> Any:
    if name == "rule":
        return build_rule("r", RULES[task], definition(task))
    return catalogue.build(name, definition(task), PARAMETERS.get(name, {}))


ENTRIES = [(task, name) for task in STREAMS for name in (*catalogue.recipes(task), "rule")]
each = pytest.mark.parametrize(("task", "name"), ENTRIES, ids=["-".join(entry) for entry in ENTRIES])


def conventions(task: str, model: Any) -> list[Any]:
    """Return River's checks; for a pipeline also those that River gives only to bare estimators."""
    found = list(river_checks.yield_checks(model))
    if isinstance(model, compose.Pipeline):
        named = {check.__name__ for check in found}
        for check in (
            common.check_learn_one,
            common.check_pickling,
            common.check_shuffle_features_no_impact,
            common.check_emerging_features,
            common.check_disappearing_features,
            common.check_radically_disappearing_features,
            common.check_predict_one_pure,
            common.check_predict_one_before_any_learn,
            common.check_no_state_aliasing_with_input,
            common.check_clone_is_independent,
            common.check_seeding_is_idempotent,
        ):
            if check.__name__ not in named:
                bound = partial(check, dataset=STREAMS[task].take(200))
                bound.__name__ = check.__name__  # type: ignore[attr-defined]
                found.append(bound)
        memory = partial(common.check_bounded_memory_growth, dataset=STREAMS[task].take(1000))
        memory.__name__ = "check_bounded_memory_growth"  # type: ignore[attr-defined]
        found.append(memory)
    return found


@each
def test_keeps_the_conventions_of_river(task, name):
    """River's estimator checks hold; what is skipped carries its reason."""
    random.seed(1)
    model = build(task, name)
    broken = []
    for check in conventions(task, model):
        if check.__name__ in model._unit_test_skips() or (name, check.__name__) in SKIPS:
            continue
        try:
            check(model.clone())
        except Exception as error:  # noqa: BLE001  every broken one is told at once
            broken.append(f"{check.__name__}: {type(error).__name__}: {error}")

    assert broken == []


def ask(model: Any, task: str, x: dict[str, Any]) -> Any:
    return model.predict_one(x) if task == "regression" else model.predict_proba_one(x)


def examples(task: str, n: int) -> list[tuple[dict[str, Any], Any]]:
    return list(STREAMS[task].take(n))


def played(model: Any, task: str, stream: list[tuple[dict[str, Any], Any]]) -> list[Any]:
    answers = []
    for x, y in stream:
        answers.append(ask(model, task, x))
        model.learn_one(x, y)
    return answers


@each
def test_goes_on_from_a_pickle_as_if_nothing_had_been(task, name):
    """A restored estimator answers exactly what the original does from there on."""
    stream = examples(task, 400)
    model = build(task, name)
    played(model, task, stream[:250])
    restored = pickling.loads(pickling.dumps(model), definition(task))

    assert played(model, task, stream[250:]) == played(restored, task, stream[250:])


@each
def test_the_same_seed_gives_the_same_answers(task, name):
    """Two builds of one definition answer the same."""
    stream = examples(task, 300)

    assert played(build(task, name), task, stream) == played(build(task, name), task, stream)


@each
def test_asking_changes_nothing(task, name):
    """An estimator that is asked often is, byte for byte, one that was asked once."""
    stream = examples(task, 200)
    model = build(task, name)
    played(model, task, stream)
    before = pickle.dumps(model)
    for x, _ in examples(task, 250):
        ask(model, task, x)

    assert before == pickle.dumps(model)


MIXED = {
    "amount": Feature(min=0, missing="mean"),
    "income": Feature(missing="median"),
    "count": Feature(type="integer", missing="last"),
    "new": Feature(type="boolean", missing="constant", fill=False),
    "country": Feature(type="category", categories=("CH", "DE", "FR"), missing="mean"),
    "shop": Feature(type="category", missing="constant", fill="none"),
    "note": Feature(type="text", missing="constant", fill=""),
    "at": Feature(type="time", missing="last"),
}
MIXED_CLASSES = {"binary": (False, True), "multiclass": ("a", "b", "c"), "regression": ()}


def mixed_definition(task: str, only: tuple[str, ...] = tuple(MIXED)) -> Definition:
    label = Label() if task == "regression" else Label(classes=MIXED_CLASSES[task])
    return Definition(name="mixed", task=task, features={n: MIXED[n] for n in only}, label=label)


def build_mixed(task: str, name: str) -> Any:
    if name == "rule":
        then = {"binary": True, "multiclass": "a", "regression": 5}[task]
        return build_rule("r", Rule(when="amount > 1 or hour(at) < 3", then=then), mixed_definition(task))
    by = {"by": ("country",), "hour_of": "at"} if name == "mean_by" else {}
    return catalogue.build(name, mixed_definition(task), {**QUICK.get(name, {}), **by})


def mixed_example(rng: random.Random, task: str) -> tuple[dict[str, Any], Any]:
    x: dict[str, Any] = {
        "amount": rng.expovariate(1.0),
        "income": rng.gauss(50.0, 10.0),
        "count": rng.randrange(10),
        "new": rng.random() < 0.5,
        "country": rng.choice(("CH", "DE", "FR")),
        "shop": f"shop-{rng.randrange(2000)}",
        "note": " ".join(rng.choice(("pay", "refund", "now", "late")) for _ in range(3)),
        "at": rng.choice((1_700_000_000_000 + rng.randrange(10**10), "2024-05-01T18:30:00Z", "no time")),
    }
    hot = x["country"] == "CH"
    for name in tuple(x):
        if rng.random() < 0.1:
            del x[name]
    truth = {"binary": hot, "multiclass": "a" if hot else "b", "regression": 10.0 * hot}[task]
    return x, truth


@each
def test_takes_every_type_of_feature_and_missing_values(task, name):
    """Numbers, booleans, categories, texts and times, any absent: nothing raises, answers are sane."""
    model = build_mixed(task, name)
    rng = random.Random(3)
    for _ in range(400):
        x, y = mixed_example(rng, task)
        kept = copy.deepcopy(x)
        answer = ask(model, task, x)
        model.learn_one(x, y)
        assert kept == x
        assert _sane(answer, task)


def _sane(answer: Any, task: str) -> bool:
    if task == "regression":
        return answer is None or -1e6 < answer < 1e6
    return not answer or (abs(sum(answer.values()) - 1) < 1e-6 and all(0 <= p <= 1 for p in answer.values()))


LEARNERS = [
    (task, name)
    for task in STREAMS
    for name, recipe in catalogue.recipes(task).items()
    if not recipe.baseline
]


@pytest.mark.parametrize("kind", ["category", "free category", "text", "time"])
@pytest.mark.parametrize(("task", "name"), LEARNERS, ids=["-".join(entry) for entry in LEARNERS])
def test_learns_from_one_feature_of_each_type(task, name, kind):
    """A label that hangs on a single category, text or time is learned from it."""
    feature = {
        "category": Feature(type="category", categories=("a", "b", "c", "d")),
        "free category": Feature(type="category"),
        "text": Feature(type="text"),
        "time": Feature(type="time"),
    }[kind]
    label = Label() if task == "regression" else Label(classes=MIXED_CLASSES[task])
    one = Definition(name="one", task=task, features={"f": feature}, label=label)
    model = catalogue.build(name, one, QUICK.get(name, {}))
    rng, scores = random.Random(5), []
    n = 600 if name in QUICK else 1500
    for i in range(n):
        hot = rng.random() < 0.5
        hour = rng.randrange(7, 17) if hot else rng.randrange(19, 28)
        value: Any = {
            "category": rng.choice("ab" if hot else "cd"),
            "free category": rng.choice("ab" if hot else "cd"),
            "text": f"please {'refund' if hot else 'ship'} order number {rng.randrange(100)}",
            "time": (rng.randrange(365) * 24 + hour) * 3_600_000,
        }[kind]
        y = {"binary": hot, "multiclass": "a" if hot else "b", "regression": 10.0 * hot}[task]
        answer = model.predict_one({"f": value})
        if i >= n * 2 // 3:
            scores.append((answer > 5) == hot if task == "regression" else answer == y)
        model.learn_one({"f": value}, y)

    assert sum(scores) / len(scores) > 0.9


PLAY = """
import pickle, random, sys
sys.path.insert(0, {here!r})
import test_estimators as t
for task, name in t.ENTRIES:
    model, rng = t.build_mixed(task, name), random.Random(3)
    stream = [t.mixed_example(rng, task) for _ in range(300)]
    answers = t.played(model, task, stream[:150])
    if {restored}:
        model = pickle.loads(pickle.dumps(model))
    print(task, name, answers + t.played(model, task, stream[150:]))
"""


def test_answers_do_not_depend_on_the_process():
    """Other salts of hashes and a pickle in between give the same answers, to the last digit."""
    here = os.path.dirname(__file__)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PLAY.format(here=here, restored=seed == "2")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    outputs = [process.communicate()[0] for process in processes]
    different = [
        one.split(" [")[0] for one, two in zip(*(o.splitlines() for o in outputs), strict=True) if one != two
    ]

    assert len(outputs[0].splitlines()) == len(ENTRIES)
    assert different == []
