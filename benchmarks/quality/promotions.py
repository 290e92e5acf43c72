"""How often a decision is wrong, and how long a right one takes: simulated losses, the worker's own bets.

Losses are drawn, everything else is real: `Evidence` with its proofs, what each candidate needs, the stakes
that signals bring, and the monitor that signals. The bets are looked at after every label.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.definition import parse_definition
from learners.policy import Evidence

DEFINITION = parse_definition({
    "name": "promotions", "task": "binary", "features": {"x": {}}, "label": {"classes": ["a", "b"]},
    "models": {"lr": {"recipe": "logistic_regression"}},
})  # fmt: skip
CHAMPION: Any = SimpleNamespace(number=1)
PAIRS, LONG = 1000, 10_000
Signs = NDArray[np.int8]  # by event: 1 where only the candidate was right, -1 where only the champion was


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    goal: str
    measured: str
    holds: bool


def rows(pairs: int = PAIRS) -> Iterator[Row]:
    """Simulate everything; some minutes for 1,000 pairs."""
    few = max(pairs // 5, 10)
    for what, told in (
        ("equal, differ on 10%", {}),
        ("equal, differ on 10%, a signal every 500", {"signal_every": 500}),
        ("equal, differ on 10%, labels 48 late, luck shared by 48 neighbours", {"lag": 48}),
    ):
        wrong = sum(_promoted(_equal(seed, **told), **told) is not None for seed in range(pairs))
        share = wrong / pairs
        measured = f"{share:.1%} of {pairs:,}"
        yield Row(f"{what}: promoted within {LONG:,}", "at most 5%", measured, share <= 0.05)
    for gain, goal in ((0.02, 2000), (0.04, None)):
        found = [_promoted(_better(seed, gain)) for seed in range(pairs)]
        took = median(LONG if n is None else n for n in found)
        yield Row(
            f"{100 * gain:.0f} points better, differ on 10%: labels until promoted",
            f"median at most {goal:,}" if goal else "",
            f"{took:,.0f} ({found.count(None)} of {pairs:,} never)",
            goal is None or took <= goal,
        )  # fmt: skip
    for signals in (0, 100):
        took = median(_demotion(seed, signals) for seed in range(few // 2))
        after = f", after {signals} signals" if signals else ""
        yield Row(
            f"champion of .12 against .20 turns to .30{after}: labels until demoted",
            "median at most 700", f"{took:,.0f} ({few // 2} runs)", took <= 700,
        )  # fmt: skip


def _equal(seed: int, lag: int = 0, signal_every: int = 0) -> Signs:
    """Two that differ on 10% of the events, at chance; with a lag neighbours share their luck."""
    random = np.random.default_rng(seed)
    differ = random.random(LONG) < 0.1
    if not lag:
        return np.where(differ, random.choice([-1, 1], LONG), 0).astype(np.int8)
    shift = int(random.integers(lag))
    luck = np.repeat(random.choice([0.1, 0.9], LONG // lag + 2), lag)[shift : shift + LONG]
    return np.where(differ, np.where(random.random(LONG) < luck, 1, -1), 0).astype(np.int8)


def _better(seed: int, gain: float) -> Signs:
    random = np.random.default_rng(seed)
    return random.choice([1, -1, 0], LONG, p=[0.05 + gain / 2, 0.05 - gain / 2, 0.9]).astype(np.int8)


def _promoted(signs: Signs, lag: int = 0, signal_every: int = 0) -> int | None:
    """Return the number of labels at which the candidate is promoted, or None."""
    evidence, candidate = Evidence(DEFINITION), _member(2)
    for n, sign in enumerate(signs.tolist(), 1):
        evidence.labels = n
        if signal_every and n % signal_every == 0:
            evidence.signalled()
        if _compared(evidence, candidate, sign, lag):
            return n
    return None


def _demotion(seed: int, signals: int) -> float:
    """Return the labels from the turn to the promotion of the candidate."""
    random = np.random.default_rng(seed)
    before = 2000 if not signals else 150 * signals
    evidence, candidate = Evidence(DEFINITION), _member(2)
    errors = np.r_[np.full(before, 0.12), np.full(LONG, 0.3)]
    champion = random.random(len(errors)) < errors
    other = random.random(len(errors)) < 0.2
    for n, (wrong, theirs) in enumerate(zip(champion.tolist(), other.tolist(), strict=True), 1):
        evidence.labels = n
        signal = evidence.monitor.update(float(wrong))
        if signal or (signals and n <= before and n % 150 == 0):
            evidence.signalled()
        if _compared(evidence, candidate, wrong - theirs, 0) and n > before:
            return n - before
    return LONG


def _member(number: int) -> Any:
    return SimpleNamespace(number=number, started=False)


def _compared(evidence: Evidence, candidate: Any, sign: int, lag: int) -> bool:
    """Whether the policy would promote after this label."""
    evidence.compare(candidate, CHAMPION, True, float(sign > 0), float(sign < 0), lag)
    proof, drift = evidence.proofs[candidate.number], DEFINITION.drift
    return proof.labels >= drift.min_labels and proof.wealth >= evidence.need(candidate.number, drift.alpha)
