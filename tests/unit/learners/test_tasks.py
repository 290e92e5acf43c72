"""Answers: what is sane, what is silent, what it costs and how it is told."""

from typing import Any

import numpy as np
import pytest

from learners.contract import Contract
from learners.errors import DefinitionError, InsaneAnswerError
from learners.tasks import Task, make_task, str_name
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
    assert multi.ask(said({"b": 0.75, "a": 0.25}), {}) == (0.25, 0.75)
    assert multi.ask(said({"b": 1.0}), {}) == (0.0, 1.0)
    assert multi.told((0.25, 0.75)) == {"a": 0.25, "b": 0.75}
    assert multi.ask(said({}), {}) is None
    assert multi.ask(said({"a": 0.0, "b": 0.0}), {}) is None
    with pytest.raises(InsaneAnswerError, match="sum to"):
        multi.ask(said({"a": 0.5, "b": 0.6}), {})
    with pytest.raises(InsaneAnswerError, match="no declared class"):
        multi.ask(said({"c": 1.0}), {})
    with pytest.raises(InsaneAnswerError, match="no declared class"):
        multi.ask(said({"a": 0.5, "c": 0.5}), {})
    with pytest.raises(TypeError):
        multi.ask(said({"a": "0.5", "b": "0.5"}), {})
    whole = multi.ask(said({"a": np.float64(0.25), "b": np.float64(0.75)}), {})
    assert [type(p) for p in whole] == [float, float]


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
    assert [multi.loss((0.4, 0.6), label) for label in "ab"] == [1.0, 0.0]


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
    assert task("multiclass", classes=[3, 5]).render((0.1, 0.9)) == (5, {"3": 0.1, "5": 0.9})
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
    assert [type(p) for p in answer] == [float, float]


def costly(kind: str, classes: list[str], **top: Any) -> Task:
    return make_task(Contract(definition(task=kind, rules={}, label={"classes": classes}, **top)))


def test_equal_probabilities_go_to_the_class_declared_first() -> None:
    """Whatever order an estimator names them in, and whichever class is the positive one."""
    multi = task("multiclass", classes=["b", "a", "c"])
    answer = multi.ask(said({"a": 0.4, "c": 0.2, "b": 0.4}), {})
    assert multi.render(answer) == ("b", {"b": 0.4, "a": 0.4, "c": 0.2})
    assert multi.loss(answer, "b") == 0.0
    assert task("binary").render(0.5)[0] == "a"
    first = task("binary", classes=["a", "b"], positive="a")
    assert first.render(0.5)[0] == "a"
    assert (first.loss(0.5, True), first.loss(0.5, False)) == (0.0, 1.0)


def test_costs_move_the_threshold_and_the_loss() -> None:
    """A miss that costs as much as four false alarms: positive is served from a probability of 1/5 on."""
    binary = costly("binary", ["legit", "fraud"], cost={"fraud": {"legit": 4}})
    assert [binary.render(p)[0] for p in (0.19, 0.21)] == ["legit", "fraud"]
    assert [binary.loss(p, label) for p, label in ((0.1, True), (0.3, False), (0.3, True))] == [1, 0.25, 0]
    multi = costly("multiclass", ["a", "b", "c"], cost={"c": {"a": 9, "b": 9}})
    assert multi.render((0.5, 0.3, 0.2))[0] == "c"
    assert multi.render((0.9, 0.02, 0.08))[0] == "a"
    assert multi.loss((0.9, 0.02, 0.08), "c") == 1.0
    assert multi.loss((0.9, 0.02, 0.08), "b") == pytest.approx(1 / 9)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_balanced_loss_weighs_classes_by_how_rare_they_are(kind: str) -> None:
    """With one rare in ten, a miss costs nine times a false alarm, and the rare class is served sooner."""
    balanced = costly(kind, ["often", "rare"], loss="balanced")
    labels = (False, True) if kind == "binary" else ("often", "rare")
    for number in range(5000):
        balanced.observe(labels[number % 10 == 0])
    said = (lambda p: p) if kind == "binary" else (lambda p: (1 - p, p))
    assert [balanced.render(said(p))[0] for p in (0.08, 0.12)] == ["often", "rare"]
    assert balanced.loss(said(0.05), labels[1]) == 1.0
    assert balanced.loss(said(0.5), labels[0]) == pytest.approx(1 / 9, rel=0.02)
    again = costly(kind, ["often", "rare"], loss="balanced")
    again.resume(balanced.state())
    assert again.loss(said(0.5), labels[0]) == balanced.loss(said(0.5), labels[0])


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_log_loss_is_clipped(kind: str) -> None:
    """Half a chance for the truth costs a share; next to none costs 1, and no more."""
    log = costly(kind, ["a", "b"], loss="log")
    label, said = (True, lambda p: p) if kind == "binary" else ("b", lambda p: (1 - p, p))
    assert log.loss(said(1.0), label) == 0.0
    assert log.loss(said(0.5), label) == pytest.approx(0.1505, abs=1e-4)
    assert log.loss(said(0.01), label) == log.loss(said(0.0), label) == 1.0


def test_classes_of_an_open_set_join() -> None:
    """A label or an answer never seen before gets a place at the end; older answers give it nothing."""
    multi = task("multiclass", classes="open")
    assert multi.ask(said({"x": 1.0}), {}) == (1.0,)
    multi.observe("y")
    assert multi.ask(said({"y": 0.25, "x": 0.75}), {}) == (0.75, 0.25)
    assert multi.loss((1.0,), "y") == 1.0
    again = task("multiclass", classes="open")
    again.resume(multi.state())
    assert again.classes == ["x", "y"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"task": "regression", "label": {}, "loss": "log"}, "loss"),
        ({"loss": "cost"}, "cost"),
        ({"loss": "log", "cost": {"yes": {"no": 2}}}, "loss"),
        ({"cost": {"yes": {"maybe": 2}}}, r"cost\.yes\.maybe"),
        ({"cost": {"yes": {"yes": 2}}}, r"cost\.yes\.yes"),
        ({"cost": {"yes": {"no": 0}}}, r"cost\.yes\.no"),
    ],
)
def test_impossible_losses_are_refused(changes: dict[str, Any], key: str) -> None:
    """The error names the key."""
    with pytest.raises(DefinitionError, match=key):
        definition(rules={}, **changes)


def test_a_class_that_an_answer_names_first_has_its_weight_at_once() -> None:
    """A rule may name a class of an open set before any label did; what was only asked leaves again."""
    open_set = {"task": "multiclass", "rules": {}, "label": {"classes": "open"}, "loss": "balanced"}
    multi = make_task(Contract(definition(**open_set)))
    before = multi.state()
    assert multi.render(multi.ask(said({"a": 0.4, "b": 0.6}), {}))[0] == "b"
    multi.resume(before)
    assert multi.state() == before
    answer = multi.ask(said({"b": 0.9, "a": 0.1}), {})
    assert multi.render(answer) == ("b", {"b": 0.9, "a": 0.1})
    assert multi.loss(answer, "a") == 1.0
