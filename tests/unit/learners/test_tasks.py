"""Answers: what is sane, what is silent, what it costs and how it is told."""

from typing import Any

import numpy as np
import pytest

from learners.contract import Contract
from learners.tasks import InsaneAnswerError, Task, make_task, str_name
from tests.support import definition


def task(kind: str, **label: Any) -> Task:
    """Return a task of its kind."""
    label = label or ({} if kind == "regression" else {"classes": ["a", "b"]})
    return make_task(Contract(definition(task=kind, rules={}, label=label)))


def said(answer: Any) -> Any:
    """Return an estimator's method that always answers this."""
    return lambda x: answer


@pytest.mark.parametrize(
    ("probabilities", "answer"),
    [({True: 0.3, False: 0.7}, 0.3), ({False: 0.7}, pytest.approx(0.3)), ({True: 1}, 1.0), ({}, None)],
)
def test_binary_answers(probabilities: dict, answer: float | None) -> None:
    """The probability of the positive class, told or implied; nothing told is silence."""
    assert task("binary").ask(said(probabilities), {}) == answer


@pytest.mark.parametrize("p", [float("nan"), float("inf"), -0.1, 1.1])
def test_insane_probabilities(p: float) -> None:
    """What is no probability is an error, not an answer."""
    with pytest.raises(InsaneAnswerError):
        task("binary").ask(said({True: p}), {})
    with pytest.raises(InsaneAnswerError):
        task("multiclass").ask(said({"a": p, "b": 0.5}), {})


def test_multiclass_answers() -> None:
    """Probabilities that sum to 1; all zeros or none are silence; anything else is insane."""
    multi = task("multiclass")
    assert multi.ask(said({"a": 0.25, "b": 0.75}), {}) == {"a": 0.25, "b": 0.75}
    assert multi.ask(said({}), {}) is None
    assert multi.ask(said({"a": 0.0, "b": 0.0}), {}) is None
    with pytest.raises(InsaneAnswerError, match="sum to"):
        multi.ask(said({"a": 0.5, "b": 0.6}), {})


@pytest.mark.parametrize("y", [float("nan"), float("inf")])
def test_insane_numbers(y: float) -> None:
    """A number that is not finite is an error; None is silence."""
    regression = task("regression")
    with pytest.raises(InsaneAnswerError):
        regression.ask(said(y), {})
    assert regression.ask(said(None), {}) is None
    assert regression.ask(said(3), {}) == 3.0


def test_loss_of_classes_is_zero_one() -> None:
    """Right is 0, wrong is 1; an even binary answer means the negative class."""
    assert [task("binary").loss(p, True) for p in (0.4, 0.5, 0.6)] == [1.0, 1.0, 0.0]
    assert [task("binary").loss(p, False) for p in (0.4, 0.5, 0.6)] == [0.0, 0.0, 1.0]
    multi = task("multiclass")
    assert [multi.loss({"a": 0.4, "b": 0.6}, label) for label in "ab"] == [1.0, 0.0]


def test_loss_of_numbers_is_a_share_of_the_spread() -> None:
    """It is 0 before two labels, then |error| / (4 spread), at most 1, and never above however far off."""
    regression = task("regression")
    assert regression.loss(100.0, 0.0) == 0.0
    for label in (0.0, 2.0) * 500:
        regression.observe(label)
    assert regression.loss(1.0, 0.0) == pytest.approx(0.25, rel=0.05)
    assert regression.loss(1e300, 0.0) == 1.0


def test_answers_are_told_in_the_words_of_the_definition() -> None:
    """Classes by their names, probabilities too; booleans and numbers as JSON writes them."""
    assert task("binary").render(0.75) == ("b", {"a": 0.25, "b": 0.75})
    swapped = task("binary", classes=["a", "b"], positive="a")
    assert swapped.render(0.75) == ("a", {"b": 0.25, "a": 0.75})
    assert task("binary", classes=[False, True]).render(0.75) == (True, {"false": 0.25, "true": 0.75})
    assert task("multiclass", classes=[3, 5]).render({3: 0.1, 5: 0.9}) == (5, {"3": 0.1, "5": 0.9})
    assert [str_name(label) for label in (True, False, 7, "x")] == ["true", "false", "7", "x"]


def test_numbers_stay_near_what_was_seen() -> None:
    """What is served stays within the labels seen, widened by their width, and within the declared range."""
    regression = task("regression", min=0.0)
    assert regression.render(1e9)[0] == 1e9  # nothing is known yet
    for label in (10.0, 20.0):
        regression.observe(label)
    assert [regression.render(y)[0] for y in (-5.0, 5.0, 15.0, 1e10)] == [0.0, 5.0, 15.0, 30.0]


def test_state_goes_on() -> None:
    """A task resumed answers, scores and clamps as the one it came from."""
    first, second = task("regression"), task("regression")
    for label in (1.0, 5.0, 2.0, 8.0):
        first.observe(label)
    second.resume(first.state())
    for label in (3.0, 9.0):
        first.observe(label)
        second.observe(label)
    assert first.state() == second.state()
    assert first.loss(4.0, 2.0) == second.loss(4.0, 2.0)
    assert first.render(99.0) == second.render(99.0)


def test_numpy_probabilities_become_plain_floats() -> None:
    """An imported model may answer in numpy's numbers; what is kept and sent is Python's."""
    answer = task("multiclass").ask(said({"a": np.float64(0.25), "b": np.float32(0.75)}), {})
    assert [type(p) for p in answer.values()] == [float, float]
