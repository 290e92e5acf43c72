"""What every detector keeps behind the monitor: it sees a rise, minds no fall, goes on after a snapshot."""

import random
from itertools import pairwise

import pytest

from learners import pickling
from learners.detectors import BINARY, DETECTORS, Monitor
from tests.support import definition

each = pytest.mark.parametrize("name", DETECTORS)
RUNS = {"KSWIN": 3}  # it takes a millisecond a label; the others make ten runs
MISSES = {"KSWIN": 1, "DDM": 1}  # KSWIN compares a sample drawn anew; DDM drags its minimum along
FALSE_ALARMS = {"DDM": 10, "EDDM": 40}  # in ten times 1,500 labels: known to be nervous


def coins(p: float, n: int, seed: int) -> list[float]:
    coin = random.Random(seed)
    return [float(coin.random() < p) for _ in range(n)]


def signals(monitor: Monitor, losses: list[float]) -> list[int]:
    return [n for n, loss in enumerate(losses) if monitor.update(loss) is not None]


@each
def test_sees_a_rise(name: str) -> None:
    """Errors that rise from 10% to 50% are signalled within 300 labels, and seldom before they rise."""
    missed = before = 0
    for seed in range(RUNS.get(name, 10)):
        found = signals(Monitor(name, {}, seed), coins(0.1, 1500, seed) + coins(0.5, 301, seed + 100))
        missed += not any(n >= 1500 for n in found)
        before += sum(n < 1500 for n in found)
    assert missed <= MISSES.get(name, 0)
    assert before <= FALSE_ALARMS.get(name, 1)


@each
def test_minds_no_fall(name: str) -> None:
    """Improvement is no signal, whatever the detector says."""
    for seed in range(RUNS.get(name, 10) // 2):
        found = signals(Monitor(name, {}, seed), coins(0.6, 1500, seed) + coins(0.1, 1500, seed + 100))
        assert [n for n in found if n >= 1500] == []


@each
@pytest.mark.parametrize("loss", [0.0, 0.3, 1.0])
def test_a_constant_is_no_drift(name: str, loss: float) -> None:
    """A loss that never changes never signals."""
    assert signals(Monitor(name, {}, 1), [loss] * 2000) == []


@each
def test_signals_are_apart(name: str) -> None:
    """Between two signals are at least as many labels as the cooldown says."""
    losses = [loss for p in (0.1, 0.6, 0.1, 0.7, 0.1, 0.9) for loss in coins(p, 400, 3)]
    found = signals(Monitor(name, {}, 1, cooldown=150), losses)
    assert all(later - earlier > 150 for earlier, later in pairwise(found))


@each
def test_goes_on_after_a_snapshot(name: str) -> None:
    """Pickled anywhere, it signals where the uninterrupted one does."""
    losses = coins(0.1, 700, 1) + coins(0.6, 500, 2) + coins(0.2, 300, 3) + coins(0.8, 300, 4)
    whole = signals(Monitor(name, {}, 1), losses)
    assert whole
    for cut in (1, 333, 760) if name not in RUNS else (760,):
        first = Monitor(name, {}, 1)
        head = signals(first, losses[:cut])
        second = pickling.loads(pickling.dumps(first), definition())
        assert head + [cut + n for n in signals(second, losses[cut:])] == whole


@each
def test_a_signal_carries_its_numbers(name: str) -> None:
    """It names the detector, the losses before and after, and the labels seen."""
    monitor = Monitor(name, {}, 1)
    found = [s for s in map(monitor.update, coins(0.1, 1000, 1) + coins(0.9, 300, 2)) if s]
    signal = found[-1]
    assert signal.detector == name
    assert 0.0 <= signal.before < signal.after <= 1.0
    assert 0 < signal.labels <= 1300


@pytest.mark.parametrize("name", sorted(BINARY))
def test_binary_detectors_take_graded_losses(name: str) -> None:
    """Where River wants errors, a graded loss is one from a half on: regression can be watched, too."""
    low, high = [loss * 0.4 for loss in coins(0.5, 800, 1)], [0.6] * 200
    mixed = [h if n % 10 == 0 else loss for n, (loss, h) in enumerate(zip(low, [0.7] * 800, strict=True))]
    assert signals(Monitor(name, {}, 1), mixed + high)
