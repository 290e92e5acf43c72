"""Two changes looked at closely: labels inverted for a while, and 1% positives whose relation turns."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quality import runs
from quality.answers import inside
from quality.promotions import Row
from quality.streams import STREAMS

INVERTED, RARE = "gallery: inverted", "gallery: rare"
START, END, TURN = 5_000, 7_000, 20_000  # rows of the scenarios
POSITIVES = 200  # of the windows that are compared
Truth = NDArray[np.int_]


def rows() -> Iterator[Row]:
    """Measure both with *balanced*; the members' answers come from the cache."""
    yield from _inverted()
    yield from _rare()


def _inverted() -> Iterator[Row]:
    stream = STREAMS[INVERTED]
    run = runs.run(stream, runs.models(stream, "balanced"))
    truth = np.array([inside(stream, y) for _, y in stream.examples], int)
    right = (run.served.argmax(axis=1) == truth).astype(float)
    inverted = right[START + 200 : END].mean()
    first = ", ".join(
        f"{right[START + a : START + b].mean():.2f}" for a, b in ((0, 50), (50, 100), (100, 200))
    )
    yield Row(
        "labels inverted for 2,000 events: accuracy from the 200th on", "at least .7",
        f"{inverted:.3f} (over the 50, 50, 100 before that {first})", bool(inverted >= 0.7),
    )  # fmt: skip
    before, after = right[START - 2000 : START].mean(), right[END + 300 : END + 2300].mean()
    yield Row(
        "the same, 300 events after it ends, over 2,000", f"within a point of before ({before:.3f})",
        f"{after:.3f}", bool(after >= before - 0.01),
    )  # fmt: skip


def _rare() -> Iterator[Row]:
    stream = STREAMS[RARE]
    run = runs.run(stream, runs.models(stream, "balanced"), loss="balanced")
    truth = np.array([inside(stream, y) for _, y in stream.examples], int)
    positives = np.flatnonzero(truth)
    at = int(np.searchsorted(positives, TURN))
    first = min((row for row, _ in run.signals if row >= TURN), default=len(truth) - 1)
    took = int(np.searchsorted(positives, first, "right")) - at
    others = sum(row < TURN for row, _ in run.signals)
    told = any(row >= TURN for row, _ in run.signals)
    yield Row(
        "1% positives, the relation turns, balanced loss: signalled", "within 60 positives",
        f"after {took} ({first - TURN:,} events; {others} signals before)" if told else "never",
        told and took <= 60,
    )  # fmt: skip
    area = partial(_average_precision, truth, run.served[:, 1])
    before = area(positives[at - POSITIVES], TURN)
    turned = area(TURN, positives[at + POSITIVES])
    back = area(positives[at + POSITIVES], positives[min(at + 2 * POSITIVES, len(positives)) - 1])
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
