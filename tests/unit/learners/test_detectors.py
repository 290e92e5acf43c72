"""Detectors by name, and what is said of a wrong one."""

import random

import pytest

from learners.detectors import DETECTORS, ClassMonitor, Monitor, build_detector, make_monitor
from learners.errors import DefinitionError
from tests.support import definition


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("adwin", {}, 'Did you mean "ADWIN"'),
        ("HDDM_A", {}, 'Did you mean "HDDMA"'),
        ("nothing like it", {}, "One of: bet, ADWIN"),
        ("ADWIN", {"delta": "small"}, "drift.parameters: ADWIN"),
        ("ADWIN", {"dleta": 0.1}, "drift.parameters: ADWIN.*dleta"),
        ("bet", {"budget": "much"}, "drift.parameters: bet"),
    ],
)
def test_a_detector_that_cannot_be_built(name: str, parameters: dict, message: str) -> None:
    """The error names the key and what to write instead."""
    with pytest.raises(DefinitionError, match=message):
        build_detector(name, parameters, seed=1)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_built_fresh(name: str) -> None:
    """Trying its parameters leaves no trace: the detector has seen nothing."""
    assert build_detector(name, {}, seed=1).drift_detected is False


def test_parameters_reach_the_detector() -> None:
    """A line in the definition is what River is given."""
    assert build_detector("ADWIN", {"delta": 0.5}, seed=1).delta == 0.5
    assert build_detector("KSWIN", {}, seed=7).seed == 7


def test_the_monitor_forgets_on_restart() -> None:
    """When another answer is watched, what the last one lost does not count."""
    fresh, used = Monitor("bet", {}, 1), Monitor("bet", {}, 1)
    for _ in range(200):
        used.update(1.0)
    used.restart()
    losses = [float(n % 10 == 0) for n in range(300)] + [1.0] * 100
    assert [fresh.update(loss) for loss in losses] == [used.update(loss) for loss in losses]


def rare(seed: int, turned: int, rows: int) -> list[tuple[float, bool]]:
    """Losses and labels: one positive in a hundred, a fifth of them missed, all but a fifth from a row on."""
    coin, made = random.Random(seed), []
    for n in range(rows):
        positive = coin.random() < 0.01
        wrong = coin.random() < (0.05 if not positive else 0.2 if n < turned else 0.8)
        made.append((float(wrong) * (1.0 if positive else 0.01), positive))
    return made


def test_the_loss_balanced_sees_a_rare_class_turn() -> None:
    """Within 60 positives, by name; a watch over all losses alike sees nothing."""
    apart, alike = make_monitor(definition(loss="balanced", drift={})), Monitor("bet", {}, 1)
    assert isinstance(apart, ClassMonitor)
    told = [(n, apart.update(*seen)) for n, seen in enumerate(rare(1, 20_000, 26_000))]
    ((at, signal),) = [(n, signal) for n, signal in told if signal]
    assert 20_000 <= at < 26_000
    assert signal.label == "yes"
    assert "what is served on yes rose" in signal.sentence()
    assert not any(alike.update(*seen) for seen in rare(1, 20_000, 26_000))


def test_classes_watched_apart_are_quiet_in_a_steady_world() -> None:
    """In 200,000 losses that nothing has happened to, no more signals than one in 10,000."""
    monitor = ClassMonitor("bet", {}, 1)
    assert sum(monitor.update(*seen) is not None for seen in rare(2, 200_000, 200_000)) <= 20


def test_nothing_is_told_while_models_find_out_that_there_are_others() -> None:
    """Errors on the frequent class rise: with 20 rare labels so far that is learning, with 60 it is not."""
    for rows, signals in ((2000, 0), (6000, 1)):
        monitor = ClassMonitor("bet", {}, 1)
        told = [
            monitor.update(float(n % 10 == 0 if n < rows else n % 2), n % 100 == 99) for n in range(rows + 90)
        ]
        assert sum(signal is not None for signal in told) == signals


def test_a_mistake_exchanged_for_another_is_no_rise() -> None:
    """More false alarms and as many fewer misses: the balanced loss is what it was."""
    monitor, told = ClassMonitor("bet", {}, 1), []
    for n in range(4000):
        label = n % 2 == 0
        often = (0.1 if n < 2000 else 0.4) if label else (0.5 if n < 2000 else 0.1)
        told.append(monitor.update(float(n % 40 < 40 * often), label))
    assert [n for n, signal in enumerate(told) if signal] == []
