"""Presets: every one can be built for every task, and the choice follows width, classes and rate."""

import pytest

from learners import catalogue, presets
from learners.definition import Definition, Feature, Label

TASKS = ("binary", "multiclass", "regression")
CLASSES = {"binary": (False, True), "multiclass": ("a", "b", "c"), "regression": ()}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_seat_is_a_recipe_of_its_task(task, preset):
    """What a preset names can be built, under slots that differ."""
    label = Label() if task == "regression" else Label(classes=CLASSES[task])
    definition = Definition(name="d", task=task, features={"x": Feature()}, label=label)
    seats = presets.ROSTERS[task][preset]
    assert len({seat.slot for seat in seats}) == len(seats)
    for seat in seats:
        assert catalogue.build(seat.recipe, definition, {}) is not None


@pytest.mark.parametrize("task", TASKS)
def test_each_preset_holds_the_cheaper_one(task):
    """Going up adds members and costs more; nobody leaves."""
    fast, balanced, accurate = (presets.ROSTERS[task][preset] for preset in presets.PRESETS)
    assert set(fast) < set(balanced) < set(accurate)
    costs = [presets.cost(task, preset, 8, len(CLASSES[task])) for preset in presets.PRESETS]
    assert costs == sorted(set(costs))


@pytest.mark.parametrize("task", TASKS)
def test_a_higher_rate_never_chooses_a_dearer_preset(task):
    """The faster the events, the cheaper the roster; the chosen one fits into half a core, or is `fast`."""
    classes = len(CLASSES[task])
    chosen = []
    for rate in (1, 10, 100, 1000, 2000, 5000, 20_000, 1e6):
        preset, why = presets.choose(task, 20, classes, rate)
        chosen.append(presets.PRESETS.index(preset))
        if preset != "fast":
            assert presets.cost(task, preset, 20, classes) * rate <= 0.5e6
        assert why
    assert chosen == sorted(chosen, reverse=True)
    assert (chosen[0], chosen[-1]) == (2, 0)


def test_wide_streams_and_many_classes_get_the_fast_one():
    """Near rows see noise in hundreds of columns, and models for each class are many."""
    assert presets.choose("binary", 500, 2)[0] == "fast"
    assert presets.choose("multiclass", 8, 200)[0] == "fast"
    assert presets.choose("regression", 8, 0) == ("balanced", "the default")
