"""Detectors by name, and what is said of a wrong one."""

import pytest

from learners.detectors import DETECTORS, Monitor, build_detector
from learners.errors import DefinitionError


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
