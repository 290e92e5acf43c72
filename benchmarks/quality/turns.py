"""Two changes looked at closely: labels inverted for a while, and 1% positives whose relation turns."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from producers.orders import Scenario, Segment
from quality import runs
from quality.answers import inside
from quality.promotions import Row
from quality.streams import Stream

INVERTED = Scenario((Segment(5_000), Segment(2_000, inverted=True), Segment(3_000)))  # that of the gallery
START, END = 5_000, 7_000
RARE = Scenario((Segment(20_000, prior=0.01), Segment(45_000, "after", prior=0.01)))  # the same, longer
TURN = 20_000
POSITIVES = 200  # of the windows that are compared
SEEDS = (1, 2, 3, 4, 5)
Truth = NDArray[np.int_]


def rows(seeds: tuple[int, ...] = SEEDS) -> Iterator[Row]:
    """Measure both with *balanced*, over several seeds; the members' answers come from the cache."""
    yield from _inverted(seeds)
    yield from _rare(seeds)


def _stream(name: str, made: Scenario, seed: int) -> Stream:
    made = replace(made, seed=seed)
    return Stream(f"{name} {seed}", "binary", "gallery", made.rows, raw=made.definition("quality"))


def _ran(name: str, made: Scenario, seed: int, **more: str) -> tuple[runs.Run, Truth]:
    stream = _stream(name, made, seed)
    run = runs.run(stream, runs.models(stream, "balanced"), **more)
    return run, np.array([inside(stream, y) for _, y in stream.examples], int)


def _inverted(seeds: tuple[int, ...]) -> Iterator[Row]:
    rights = []
    for seed in seeds:
        run, truth = _ran("inverted", INVERTED, seed)
        rights.append((run.served.argmax(axis=1) == truth).astype(float))
    right = np.stack(rights)
    inverted = right[:, START + 200 : END].mean()
    first = ", ".join(
        f"{right[:, START + a : START + b].mean():.2f}" for a, b in ((0, 50), (50, 100), (100, 200))
    )
    yield Row(
        "labels inverted for 2,000 events: accuracy from the 200th on", "at least .7",
        f"{inverted:.3f} (over the 50, 50, 100 before that {first})", bool(inverted >= 0.7),
    )  # fmt: skip
    before = right[:, START - 2000 : START].mean(axis=1)
    after = right[:, END + 300 : END + 2300].mean(axis=1)
    by_seed = ", ".join(f"{100 * d:+.1f}" for d in after - before)
    yield Row(
        "the same, 300 events after it ends, over 2,000", f"within a point of before ({before.mean():.3f})",
        f"{after.mean():.3f} (points by seed {by_seed})", bool(after.mean() >= before.mean() - 0.01),
    )  # fmt: skip


def _rare(seeds: tuple[int, ...]) -> Iterator[Row]:
    took, areas, others = [], [], 0
    for seed in seeds:
        run, truth = _ran("rare", RARE, seed, loss="balanced")
        positives = np.flatnonzero(truth)
        at = int(np.searchsorted(positives, TURN))
        first = min((row for row, _ in run.signals if row >= TURN), default=len(truth) - 1)
        took.append(int(np.searchsorted(positives, first, "right")) - at)
        others += sum(row < TURN for row, _ in run.signals)
        area = partial(_average_precision, truth, run.served[:, 1])
        ends = positives[at + POSITIVES], positives[min(at + 2 * POSITIVES, len(positives) - 1)]
        areas.append((area(positives[max(0, at - POSITIVES)], TURN), area(TURN, ends[0]), area(*ends)))
    yield Row(
        "1% positives, the relation turns, balanced loss: signalled (concept)", "within 60 positives",
        f"after {', '.join(map(str, took))} ({others} signals in the {len(seeds) * TURN:,} events before)",
        max(took) <= 60,
    )  # fmt: skip
    before, turned, back = np.mean(areas, axis=0)
    yield Row(
        "the same: PR-AUC from the 200th positive on, over 200", f"within 10% of before ({before:.3f})",
        f"{back:.3f} (over the 200 positives until then {turned:.3f})", bool(back >= 0.9 * before),
    )  # fmt: skip


def _average_precision(truth: Truth, scores: NDArray[np.float64], start: int, stop: int) -> float:
    """Return the area under precision and recall over some rows.

    >>> _average_precision(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.8, 0.3]), 0, 4)
    1.0
    """
    ranked = truth[start:stop][np.argsort(-scores[start:stop], kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked == 1].mean())
