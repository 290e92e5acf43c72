"""Prequential scores: life-long and recent."""

import pytest

from learners.scores import FADING, Score


def test_before_anything_is_scored() -> None:
    """There is no loss and no coverage yet."""
    score = Score()
    assert (score.mean, score.recent, score.coverage) == (0.0, 0.0, 0.0)


def test_mean_and_recent_agree_while_young() -> None:
    """Up to its length the recent score is the plain mean."""
    score = Score()
    for n in range(FADING):
        score.add(float(n % 3 == 0))
    assert score.recent == pytest.approx(score.mean)


def test_recent_forgets() -> None:
    """After a change the recent score follows within some hundred labels, the mean does not."""
    score = Score()
    for loss in [0.0] * 5000 + [1.0] * 1500:
        score.add(loss)
    assert score.recent > 0.9
    assert score.mean == 1500 / 6500


def test_coverage_counts_silence() -> None:
    """Silence lowers coverage, not the mean."""
    score = Score()
    score.add(0.5)
    score.silent += 3
    assert (score.mean, score.coverage) == (0.5, 0.25)
