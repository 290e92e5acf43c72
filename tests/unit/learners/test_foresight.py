"""What is expected of answers without labels: right about other answers, blind to another world."""

import random

import pytest
from msgspec import convert, json

from learners.contract import Contract
from learners.foresight import LEAST, MOST_BLOCKS, Foresight, State
from learners.tasks import make_task
from tests.support import definition


def foresight() -> Foresight:
    return Foresight(make_task(Contract(definition())))


def live(seen: Foresight, rng: random.Random, first: int, ps: list[float], lies: float, delay: int) -> float:
    """Answer with these probabilities; labels come so many events later. Returns what the last 500 lost."""
    losses = []
    for ordinal, p in enumerate(ps, first):
        seen.answered(ordinal, ordinal * 1000, 1, p)
        truth = rng.random() < (1 - p if rng.random() < lies else p)
        losses.append(float((p > 0.5) != truth))
        if ordinal - first >= delay:
            at = ordinal - first - delay
            seen.labelled(first + at, 1, ps[at], losses[at], 0.0)
    return sum(losses[-500:]) / 500


def test_harder_events_are_expected_to_be_answered_worse_before_a_label_says_so() -> None:
    """The mix moves from sure to unsure answers; of the unsure ones few labels have come."""
    rng, seen = random.Random(1), foresight()
    easy = [rng.choice([0.02, 0.98, 0.02, 0.98, 0.4, 0.6]) for _ in range(3000)]
    live(seen, rng, 0, easy, 0.0, 100)
    assert seen.expected() == pytest.approx(0.15, abs=0.03)
    hard = [rng.choice([0.4, 0.6]) for _ in range(600)]
    lost = live(seen, rng, 3000, hard, 0.0, 600)  # no label at all
    assert seen.expected() == pytest.approx(lost, abs=0.05)
    assert lost > 0.3


def test_concept_drift_is_invisible_until_labels_come_and_its_error_says_so_then() -> None:
    """The world lies, the answers are as before: expected stays, and the deviation tells when truth comes."""
    rng, seen = random.Random(2), foresight()
    live(seen, rng, 0, [rng.choice([0.02, 0.98]) for _ in range(3000)], 0.0, 0)
    assert abs(seen.deviation or 0.0) < 0.02
    before = seen.expected()
    same = [rng.choice([0.02, 0.98]) for _ in range(2000)]
    lost = live(seen, rng, 3000, same, 0.9, 2000)
    assert lost > 0.8
    assert seen.expected() == before or abs(seen.expected() - before) < 0.01
    for number, p in enumerate(same[:400]):
        seen.labelled(3000 + number, 1, p, 1.0, 0.0)
    assert (seen.deviation or 0.0) < -0.3


def test_errors_that_grow_for_all_answers_alike_are_followed_once_labels_tell() -> None:
    """Though bins remember when they were smaller: of numbers that is the rule, not the exception."""
    rng, seen, errors = random.Random(5), foresight(), []
    for ordinal in range(6000):
        p = rng.random()
        seen.answered(ordinal, ordinal * 1000, 1, p)
        errors.append((p, p * ordinal / 100))
        if ordinal >= 100:
            p, size = errors[ordinal - 100]
            seen.labelled(ordinal - 100, 1, p, 0.0, size)
    truth = sum(size for _, size in errors[-500:]) / 500
    assert seen.expected(sizes=True) == pytest.approx(truth, rel=0.04)


def test_nothing_is_said_from_too_few_labels() -> None:
    """And nothing of answers that nobody gave."""
    seen = foresight()
    assert seen.expected() is seen.deviation is None
    for number in range(LEAST - 1):
        seen.answered(number, number, 1, 0.5)
        seen.labelled(number, 1, 0.5, 1.0, 0.0)
    assert seen.expected() is None
    seen.answered(LEAST, LEAST, None, None)
    seen.labelled(LEAST, None, None, 0.0, 0.0)
    assert seen.expected() is None
    seen.labelled(LEAST - 1, 1, 0.5, 1.0, 0.0)
    assert seen.expected() == 1.0


def test_it_goes_on_where_it_was() -> None:
    """Restored in the middle of a block it says what it would have said."""
    rng, seen = random.Random(3), foresight()
    ps = [rng.random() for _ in range(2000)]
    live(seen, rng, 0, ps[:1300], 0.2, 40)
    other = foresight()
    other.resume(convert(json.decode(json.encode(seen.state())), State, strict=False))
    for it in (seen, other):
        live(it, random.Random(4), 1300, ps[1300:], 0.2, 40)
    assert seen.state() == other.state()
    assert seen.deviation == other.deviation


def test_shares_by_age_add_up_and_blocks_are_bounded() -> None:
    """Every event of the blocks has one age; the older ones have more labels here."""
    seen = foresight()
    for number in range(5000):
        seen.answered(number, number * 1000, None, None)
        if number >= 2000:
            seen.labelled(number - 2000, None, None, 0.0, 0.0)
    shares = seen.shares(5_000_000, (900_000, 3_600_000))
    assert sum(share.answered for share in shares) == 5000
    assert sum(share.labelled for share in shares) == 3000
    assert [share.labelled / share.answered for share in shares] == sorted(
        share.labelled / share.answered for share in shares
    )
    for number in range(5000, 5000 + MOST_BLOCKS * 512, 512):
        seen.answered(number, number * 1000, None, None)
    assert len(seen.blocks) == MOST_BLOCKS
