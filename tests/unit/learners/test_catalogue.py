"""Recipes are plain River where they say so, and mistakes are answered with what to write."""

import csv
import gzip
import sys
import types

import pytest
from river import datasets, linear_model, multiclass, naive_bayes, preprocessing, tree

from learners import catalogue
from learners.definition import Definition, Feature, Label, Model
from learners.errors import DefinitionError, RecipeError
from learners.recipes import RECIPES

STREAMS = {
    "binary": datasets.Phishing,
    "multiclass": datasets.ImageSegments,
    "regression": datasets.TrumpApproval,
}
CLASSES = ("brickface", "cement", "foliage", "grass", "path", "sky", "window")
LABELS = {"binary": Label(classes=("no", "yes")), "multiclass": Label(classes=CLASSES), "regression": Label()}


def definition(task, **changes):
    x, _ = next(iter(STREAMS[task]()))
    features = {
        name: Feature(type="boolean" if value in (True, False) else "number") for name, value in x.items()
    }
    given = {"name": "d", "task": task, "features": features, "label": LABELS[task], **changes}
    return Definition(**given)


PLAIN = [
    (
        "binary",
        "logistic_regression",
        lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    ),
    (
        "multiclass",
        "one_vs_rest",
        lambda: (
            preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
        ),
    ),
    (
        "multiclass",
        "softmax_regression",
        lambda: preprocessing.StandardScaler() | linear_model.SoftmaxRegression(),
    ),
    (
        "regression",
        "linear_regression",
        lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    ),
    ("binary", "naive_bayes", naive_bayes.GaussianNB),
    ("binary", "hoeffding_tree", tree.HoeffdingTreeClassifier),
    # with text for classes River itself answers in a salted order, and sums in that order
    ("binary", "hoeffding_adaptive_tree", lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=1)),
]


@pytest.mark.parametrize(("task", "name", "plain"), PLAIN, ids=[name for _, name, _ in PLAIN])
def test_a_recipe_over_numbers_is_plain_river(task, name, plain):
    """Every answer equals, to the last digit, that of the River estimator the recipe names."""
    ours, rivers = catalogue.build(name, definition(task), {}), plain()
    for x, y in STREAMS[task]().take(500):
        if task == "regression":
            assert ours.predict_one(x) == rivers.predict_one(x)
        else:
            assert ours.predict_proba_one(x) == rivers.predict_proba_one(x)
        ours.learn_one(x, y)
        rivers.learn_one(x, y)


def test_every_recipe_describes_itself():
    """Names, descriptions and defaults are what users read: none is empty, every recipe has a task."""
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.description.endswith(".")
        assert recipe.tasks


def wrong(task="binary", recipe="logistic_regression", parameters=None, error=DefinitionError, **changes):
    parameters = parameters or {}
    d = definition(task, models={"a": Model(recipe=recipe, parameters=parameters)}, **changes)
    with pytest.raises(error) as raised:
        catalogue.build(recipe, d, parameters)
    return str(raised.value)


def test_an_unknown_recipe_names_the_nearest():
    """The error says which slot, and what was probably meant."""
    message = wrong(recipe="logistic_regresion")

    assert message.startswith("models.a.recipe: 'logistic_regresion' is no recipe")
    assert 'Did you mean "logistic_regression"?' in message


def test_a_recipe_of_another_task_is_refused():
    """The error names the tasks it can do, and a recipe for this one."""
    message = wrong(recipe="linear_regression")

    assert "is for regression, the task is binary" in message
    assert 'Did you mean "logistic_regression"?' in message


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"learnin_rate": 0.1}, "Did you mean `learning_rate`?"),
        ({"colour": 1}, "Known: learning_rate = 0.01"),
        ({"learning_rate": "fast"}, "is no number"),
        ({"learning_rate": True}, "is no number"),
        ({"learning_rate": 0}, "is not positive"),
        ({"learning_rate": float("nan")}, "is not positive"),
        ({"l2": -1.0}, "is negative"),
    ],
)
def test_a_wrong_parameter_names_key_and_remedy(parameters, sentence):
    """Parameters are checked before a model learns for a day with them."""
    message = wrong(parameters=parameters)

    assert message.startswith(f"models.a.parameters.{next(iter(parameters))}: ")
    assert sentence in message


def test_a_parameter_of_the_wrong_type_is_refused():
    """Integers and switches take nothing else."""
    assert "is no integer" in wrong(recipe="hoeffding_tree", parameters={"grace_period": 1.5})
    assert "is neither true nor false" in wrong(
        recipe="hoeffding_adaptive_tree", parameters={"bootstrap_sampling": 1}
    )


def test_mean_by_knows_only_declared_features():
    """A slip in the name of a feature is found when the recipe is built."""
    message = wrong("regression", "mean_by", {"by": ["galup"]}, RecipeError)
    assert "'galup' is no feature" in message
    message = wrong("regression", "mean_by", {"hour_of": "gallup"}, RecipeError)
    assert "is no time feature" in message


@pytest.fixture
def own(monkeypatch):
    """Provide a module as a user would install it."""
    module = types.ModuleType("own_models")
    module.build = lambda rate=0.5: linear_model.LogisticRegression(intercept_lr=rate)
    module.Class = linear_model.LogisticRegression
    module.instance = linear_model.LogisticRegression()
    module.number = 7
    module.wrong = lambda: preprocessing.StandardScaler()

    def fail():
        raise KeyError("no such file")

    module.fail = fail
    monkeypatch.setitem(sys.modules, "own_models", module)
    return module


def test_an_import_path_may_name_a_function_a_class_or_an_estimator(own):
    """A function is called with the parameters, a class too, an estimator is cloned."""
    d = definition("binary")
    built = catalogue.build("own_models:build", d, {"rate": 0.25})
    assert built.intercept_lr.learning_rate == 0.25
    assert isinstance(catalogue.build("own_models:Class", d, {"l2": 0.1}), linear_model.LogisticRegression)
    assert catalogue.build("own_models:instance", d, {}) is not own.instance


@pytest.mark.parametrize(
    ("path", "parameters", "sentence"),
    [
        ("no_such_package:build", {}, "cannot be imported: ModuleNotFoundError"),
        ("own_models:nothing", {}, "cannot be imported: AttributeError"),
        (":build", {}, "cannot be imported: ValueError"),
        ("own_models:fail", {}, "raised KeyError: 'no such file'"),
        ("own_models:build", {"speed": 1}, "raised TypeError"),
        ("own_models:instance", {"l2": 1.0}, "Remove the parameters"),
        ("own_models:number", {}, "gives a int, not a River estimator for binary"),
        ("own_models:wrong", {}, "gives a StandardScaler"),
    ],
)
def test_an_import_that_fails_says_why(own, path, parameters, sentence):
    """Whatever the code of others does becomes a RecipeError that names the slot."""
    message = wrong(recipe=path, parameters=parameters, error=RecipeError)

    assert message.startswith("models.a.")
    assert sentence in message


def bikes(folder):
    with gzip.open(folder / "bike_sharing_hourly.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            y = float(row.pop("target"))
            row["dteday"] = f"{row['dteday']}T{int(row['hr']):02}:00"
            yield {k: v if k == "dteday" else float(v) for k, v in row.items()}, y


def mean_absolute_error(name, folder, parameters=None, rows=17_379):
    first, _ = next(bikes(folder))
    features = {k: Feature(type="time" if k == "dteday" else "number") for k in first}
    if name != "mean_by":
        del features["dteday"]
    d = Definition(name="bikes", task="regression", features=features)
    model, total = catalogue.build(name, d, parameters or {}), 0.0
    for n, (x, y) in enumerate(bikes(folder)):
        if n == rows:
            break
        if name != "mean_by":
            del x["dteday"]
        answer = model.predict_one(x)
        total += abs(y - (answer or 0.0))
        model.learn_one(x, y)
    return total / rows


def test_the_robust_recipes_stay_sane_where_plain_river_diverges(data_folder):
    """On bike sharing two columns wake up after row 688: plain linear regression ends beyond 1e6."""
    assert mean_absolute_error("linear_regression", data_folder, rows=2000) > 1e6
    assert mean_absolute_error("linear_regression_robust", data_folder) < 100
    assert mean_absolute_error("additive_regression", data_folder) < 64.9  # what the last value gives


def test_means_by_hour_are_a_baseline_that_is_hard_to_beat(data_folder):
    """The mean of this hour on such a day beats the last value on bike sharing."""
    parameters = {"by": ["workingday"], "hour_of": "dteday", "window": 30}

    assert mean_absolute_error("mean_by", data_folder, parameters) < 64.9
