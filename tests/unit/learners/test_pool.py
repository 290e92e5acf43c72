"""The pool: who is heard, how weights move, and what they never do."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.contract import Contract
from learners.pool import BinaryPool, MulticlassPool, NumberPool, Seat, make_pool
from learners.tasks import Multiclass, Regression, make_task
from tests.support import definition

SEATS = [Seat(1), Seat(2), Seat(3, locked=True), Seat(-1)]
answers = st.lists(st.none() | st.floats(0, 1), min_size=4, max_size=4)


def seated(task: str = "binary", **label: Any) -> Any:
    made = make_task(Contract(definition(task=task, rules={}, label=label or {"classes": ["a", "b"]})))
    pool = make_pool(made)
    pool.arrange(SEATS)
    return pool, made


@given(history=st.lists(st.tuples(answers, st.booleans(), st.integers(0, 60)), max_size=40))
def test_weights_stay_sane_and_locked_ones_silent(history: list[tuple[list[Any], bool, int]]) -> None:
    """Never negative, never infinite, nothing for a locked seat; and the pooled answer is a probability."""
    pool, _ = seated()
    for said, label, lag in history:
        p = pool.mix(said)
        assert p is None or 0.0 <= p <= 1.0
        assert pool.mix([*said[:2], 0.5, said[3]]) == pool.mix([*said[:2], None, said[3]])
        pool.learn(said, label, lag)
        assert all(0.0 <= w < 1000 for w in pool.weights)
        assert pool.weights[2] == 0.0
        assert 0.0 <= pool.rules_share <= 1.0


def test_models_start_even_and_rules_with_nothing() -> None:
    """Classes: a rule earns its weight. Numbers: rules are members like others."""
    assert seated()[0].weights == [0.5, 0.5, 0.0, 0.0]
    assert seated("regression", min=0)[0].weights == pytest.approx([1 / 3, 1 / 3, 0.0, 1 / 3])


def test_a_silent_member_keeps_its_weight() -> None:
    """It is not heard, and moves by nothing."""
    pool, _ = seated()
    pool.learn([0.9, None, None, None], True, 0)
    assert pool.weights[1] == 0.5
    assert pool.mix([None, None, None, None]) is None


def test_late_labels_move_weights_less() -> None:
    """The step shrinks with the square root of the events predicted since."""
    (now, _), (late, _) = seated(), seated()
    now.learn([0.9, 0.5, None, None], True, 0)
    late.learn([0.9, 0.5, None, None], True, 48)
    assert late.weights[0] - 0.5 == pytest.approx((now.weights[0] - 0.5) / 7)


def test_a_wrong_member_is_muted_and_rules_take_the_weight() -> None:
    """All models inverted: within a hundred labels the rules hold most of the weight."""
    pool, _ = seated()
    for number in range(100):
        label = number % 10 > 2
        pool.learn([0.1 if label else 0.9, 0.2 if label else 0.8, None, 0.7], label, 0)
    assert pool.weights[:2] == [0.0, 0.0]
    assert pool.rules_share > 0.6


def test_two_classes_are_pooled_alike_in_both_forms() -> None:
    """The pool of many classes, given two, says and learns what the pool of two does."""
    task = make_task(Contract(definition(task="multiclass", rules={}, label={"classes": ["a", "b"]})))
    assert isinstance(task, Multiclass)
    two, many = BinaryPool(), MulticlassPool(task)
    for pool in (two, many):
        pool.arrange([Seat(1), Seat(2), Seat(-1)])
    for number in range(50):
        said, label = [0.3 + 0.01 * number, 0.9, 0.5], number % 3 > 0
        assert many.mix([(1 - p, p) for p in said])[1] == pytest.approx(two.mix(said))
        two.learn(said, label, 0)
        many.learn([(1 - p, p) for p in said], "b" if label else "a", 0)
    assert many.weights == pytest.approx(two.weights)


def test_a_class_that_joins_finds_its_place() -> None:
    """Answers older than the class give it the smoothing's share, and weights stay finite."""
    task = make_task(Contract(definition(task="multiclass", rules={}, label={"classes": "open"})))
    pool = make_pool(task)
    pool.arrange([Seat(1), Seat(2)])
    task.observe("x")
    task.observe("y")
    pool.learn([(1.0,), (0.5, 0.5)], "y", 0)
    assert pool.weights[0] < pool.weights[1] < 1.0
    assert sum(pool.mix([(1.0,), (0.5, 0.5)])) == pytest.approx(1.0)


def test_a_diverging_number_is_muted_within_three_labels() -> None:
    """Before that it is held in the range of the labels seen, widened by its width."""
    pool, task = seated("regression", min=-1e9)
    assert isinstance(task, Regression)
    assert isinstance(pool, NumberPool)
    for number in range(60):
        y = float(number % 5)
        pool.learn([y + 0.1, y + 0.2, None, 2.0], y, 0)
        task.observe(y)
    before = pool.mix([2.1, 2.2, None, 2.0])
    assert before == pytest.approx(2.15, abs=0.1)
    assert pool.mix([1e12, 1e12, None, None]) <= 8.0
    for _ in range(3):
        pool.learn([1e12, 2.2, None, 2.0], 2.0, 0)
    assert pool.mix([1e12, 2.2, None, 2.0]) < 2.3


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_state_goes_on(task: str) -> None:
    """A pool resumed mixes and learns as the one it came from."""
    said: list[Any] = [0.2, 0.7, None, 0.4]
    label: Any = {"binary": True, "multiclass": "b", "regression": 0.6}[task]
    if task == "multiclass":
        said = [None if p is None else (1 - p, p) for p in said]
    kind = {"min": -5} if task == "regression" else {"classes": ["a", "b"]}
    first, second = seated(task, **kind)[0], seated(task, **kind)[0]
    for _ in range(5):
        first.learn(said, label, 0)
    second.resume(first.state())
    first.learn(said, label, 3)
    second.learn(said, label, 3)
    assert first.weights == second.weights
    assert first.mix(said) == second.mix(said)
    assert math.isclose(first.rules_share, second.rules_share)


def test_heirs_take_the_weight_newcomers_begin_with_none() -> None:
    """A version that replaces its parent speaks at once; one beside it must earn its weight."""
    pool, _ = seated()
    pool.inherit(1, 7)
    pool.arrange([Seat(7), Seat(2), Seat(8), Seat(-1)])
    assert pool.weights == [0.5, 0.5, 0.0, 0.0]


def test_noise_does_not_unseat_the_best_number_in_a_steady_world() -> None:
    """One jump of the best member gives nobody else the word; a change that stays does, soon."""
    pool, task = seated("regression", min=-1e9)
    assert isinstance(task, Regression)

    def learned(first: float, second: float, labels: int) -> float:
        for number in range(labels):
            y = float(number % 7)
            pool.learn([y + first, y + second, None, y - 3.0], y, 0)
            task.observe(y)
        answer: float = pool.mix([0.0, 1.0, None, 1.0])
        return answer

    assert learned(0.2, 1.0, 400) == 0.0
    assert learned(2.0, 1.0, 1) == 0.0
    assert learned(2.0, 0.2, 40) > 0.9


def test_snapshots_with_one_mixture_go_on() -> None:
    """What a pool said before there were two mixtures it says again."""
    first, second = seated("regression", min=-5)[0], seated("regression", min=-5)[0]
    for _ in range(5):
        first.learn([0.2, 0.7, None, 0.4], 0.6, 0)
    second.resume(first.state()[:3])
    assert second.weights == pytest.approx(first.weights)
    second.learn([0.2, 0.7, None, 0.4], 0.6, 0)


def test_logarithms_taken_to_mix_are_those_to_learn_from() -> None:
    """Learning at once what was just mixed moves weights as learning it later, or among other answers."""
    task = make_task(Contract(definition(task="multiclass", rules={}, label={"classes": ["a", "b", "c"]})))
    at_once, later = make_pool(task), make_pool(task)
    for pool in (at_once, later):
        pool.arrange([Seat(1), Seat(2), Seat(-1)])
    for number in range(60):
        said: list[Any] = [(0.7, 0.2, 0.1), None if number % 5 == 0 else (0.1, 0.1, 0.8), (0.3, 0.3, 0.4)]
        label = "abc"[number % 3]
        at_once.mix(said)
        at_once.learn(said, label, 0)
        later.mix([(0.2, 0.2, 0.6), said[0], said[2]])
        later.learn([p and tuple(p) for p in said], label, 0)
        assert at_once.weights == later.weights


def balanced(task: str, labels: list[Any]) -> Any:
    """Return a pool under the loss ``balanced`` that has seen labels, and its task."""
    raw = definition(task=task, rules={}, loss="balanced", label={"classes": ["a", "b"]})
    made = make_task(Contract(raw))
    pool = make_pool(made)
    pool.arrange([Seat(1), Seat(2), Seat(-1)])
    for label in labels:
        made.observe(label)
    return pool, made


def test_rare_classes_are_pooled_against_their_share() -> None:
    """Who says how often positives come says nothing; a hint above that decides."""
    pool, task = balanced("binary", [n % 100 == 0 for n in range(5000)])
    assert pool.mix([None, None, None]) is None
    assert pool.mix([task.share, task.share, task.share]) == pytest.approx(task.share)
    assert task.loss(pool.mix([0.03, task.share, None]), True) == 0.0
    assert task.loss(pool.mix([0.001, task.share, None]), False) == 0.0


def test_balanced_weights_follow_the_shares_of_now_whatever_was_mixed() -> None:
    """Labels between an answer and its label count alike, also after a restart, which has mixed nothing."""
    (kept, known), (anew, same) = (balanced("multiclass", list("ab" * 50)) for _ in range(2))
    said = [(0.7, 0.3), (0.4, 0.6), None]
    kept.mix(said)
    for task in (known, same):
        for label in "bbbbb":
            task.observe(label)
    kept.learn(said, "a", 0)
    anew.learn([p and (*p,) for p in said], "a", 0)
    assert kept.weights == anew.weights


def test_two_balanced_classes_are_pooled_nearly_alike_in_both_forms() -> None:
    """The shares of two classes fade a little differently; what is said and learned does not."""
    (two, _), (many, _) = (
        balanced("binary", [n % 10 == 0 for n in range(3000)]),
        balanced("multiclass", ["b" if n % 10 == 0 else "a" for n in range(3000)]),
    )
    for number in range(50):
        said, label = [0.01 * number, 0.2, 0.1], number % 9 == 0
        assert many.mix([(1 - p, p) for p in said])[1] == pytest.approx(two.mix(said), abs=0.01)
        two.learn(said, label, 0)
        many.learn([(1 - p, p) for p in said], "b" if label else "a", 0)
    assert many.weights == pytest.approx(two.weights, abs=0.03)
