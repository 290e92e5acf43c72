"""Short cuts through River's pipelines: the same answers and the same state, to the last bit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import base, compose, linear_model, naive_bayes, optim, preprocessing

from learners.baselines import ClassFrequencies
from learners.contract import Contract
from learners.definition import Feature
from learners.direct import learner, predictor, probability
from learners.errors import InsaneAnswerError
from learners.features import Scaler
from learners.rules import ClassRule
from learners.tasks import make_task
from tests.support import definition

values = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-5, 5)
rows = st.dictionaries(st.sampled_from("abcd"), values, min_size=1)
streams = st.lists(st.tuples(rows, st.booleans()), max_size=60)


def rivers(**parameters: Any) -> compose.Pipeline:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(**parameters)


def ours(**parameters: Any) -> compose.Pipeline:
    return Scaler() | linear_model.LogisticRegression(**parameters)


@given(stream=streams, rate=st.sampled_from([0.01, 0.1, 5.0]), l2=st.sampled_from([0.0, 0.01]))
def test_logistic_regression_in_one_step_is_rivers(
    stream: list[tuple[dict[str, Any], bool]], rate: float, l2: float
) -> None:
    """Columns come and go, steps are absurd, and still every answer and weight is the same."""
    river, mine = (make(optimizer=optim.SGD(rate), l2=l2) for make in (rivers, ours))
    ask, teach = probability(mine), learner(mine)
    assert ask is not None
    for x, y in stream:
        assert ask(x) == river.predict_proba_one(x)[True] == predictor(mine, "predict_proba_one")(x)[True]
        river.learn_one(x, y)
        teach(x, y)
    model, other = mine["LogisticRegression"], river["LogisticRegression"]
    assert (model.weights, model.intercept) == (other.weights, other.intercept)
    assert model.optimizer.n_iterations == other.optimizer.n_iterations
    scaler = river["StandardScaler"]
    told = {name: (scaler.counts[name], scaler.means[name], scaler.vars[name]) for name in scaler.counts}
    assert {name: tuple(known) for name, known in mine["Scaler"].moments.items()} == told


@given(stream=streams)
def test_any_model_behind_a_scaler_learns_the_same(stream: list[tuple[dict[str, Any], bool]]) -> None:
    """Numbers too; and one that was taught by River goes on in one go."""
    river = preprocessing.StandardScaler() | linear_model.LinearRegression(optimizer=optim.SGD(1e-4))
    mine = Scaler() | linear_model.LinearRegression(optimizer=optim.SGD(1e-4))
    for n, (x, y) in enumerate(stream):
        (mine.learn_one if n < 5 else learner(mine))(x, float(y))
        river.learn_one(x, float(y))
        assert predictor(mine, "predict_one")(x) == river.predict_one(x)


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LogisticRegression(optimizer=optim.Adam()),
        linear_model.LogisticRegression(l1=0.1),
        linear_model.LogisticRegression(loss=optim.losses.Log(weight_pos=2.0)),
        linear_model.LogisticRegression(intercept_lr=optim.schedulers.InverseScaling(0.1)),
        linear_model.LogisticRegression(clip_gradient=0.1),
        naive_bayes.GaussianNB(),
    ],
)
def test_other_models_go_their_own_way(model: Any) -> None:
    """The short cut is for one kind of model; others are asked by River."""
    assert probability(Scaler() | model) is None


def test_a_weight_that_is_no_number_is_no_answer() -> None:
    """A model that broke says so."""
    broken = ours()
    ask = probability(broken)
    assert ask is not None
    broken["LogisticRegression"].intercept = float("nan")
    with pytest.raises(InsaneAnswerError):
        ask({"a": 1.0})


def test_rules_and_frequencies_say_the_same_alone() -> None:
    """The positive class's probability, or nothing where they are silent."""
    rule = ClassRule("a > 1", {"a": Feature()}, {False: 0.25, True: 0.75})
    counts = ClassFrequencies(classes=(False, True))
    assert (rule.probability_one({"a": 2.0}), rule.probability_one({"a": 0.0})) == (0.75, None)
    assert rule.probability_one({}) is None
    assert counts.probability_one({}) is None
    for label in (True, False, True):
        counts.learn_one({}, label)
        assert counts.probability_one({}) == counts.predict_proba_one({})[True]


def test_a_stranger_that_says_a_probability_is_checked() -> None:
    """Whatever methods a user's estimator has, what it answers is looked at before it counts."""

    class Sure(base.Classifier):
        def learn_one(self, x: dict[str, Any], y: Any) -> None:
            """Learn nothing."""

        def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
            return {True: 7.0}

        def probability_one(self, x: dict[str, Any]) -> float:
            return 7.0

    assert probability(Sure()) is None
    with pytest.raises(InsaneAnswerError):
        make_task(Contract(definition())).asker(Sure())({})
