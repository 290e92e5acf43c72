"""Intervals hold the truth as often as declared, whatever the delay, and are what a plain sort gives."""

import csv
import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.residuals import WINDOW, Residuals
from stream.processing.processor import Processor
from tests.support import Inputs, definition, predictions, run

NUMBERS = st.floats(-100, 100)
BIKES = {
    "name": "bikes",
    "task": "regression",
    "features": {"hr": {}, "temp": {}, "hum": {}},
    "label": {"min": 0},
    "models": {"tree": {"recipe": "hoeffding_tree_regressor"}},
    "drift": {"on_drift": "tell"},
}


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=60), st.sampled_from([0.5, 0.8, 0.9]), st.data())
def test_the_half_width_is_the_one_of_a_plain_sort(pairs, coverage, data) -> None:
    """Asked at any time, restored at any time."""
    residuals = Residuals(coverage, -math.inf, math.inf)
    seen: list[float] = [1.0] * WINDOW if data.draw(st.booleans()) else []
    for size in seen:
        residuals.add((1,), (0.0,), size, (-200.0, 200.0))
    for answer, label in pairs:
        residuals.add((1,), (answer,), label, (-200.0, 200.0))
        seen.append(abs(answer - label))
        what = data.draw(st.sampled_from(["nothing", "ask", "restore"]))
        if what == "restore":
            other = Residuals(coverage, -math.inf, math.inf)
            other.resume(residuals.state())
            residuals = other
        if what == "nothing":
            continue
        ordered = sorted(seen[-WINDOW:])
        rank = math.ceil((len(ordered) + 1) * coverage)
        half = ordered[rank - 1] if rank <= len(ordered) else None
        assert residuals.interval(1, 0.0) == (None if half is None else (-half, half))


def test_members_that_are_gone_are_let_go_of() -> None:
    """However many versions come and go, what is kept is bounded."""
    residuals = Residuals(0.9, -math.inf, math.inf)
    for number in range(200):
        residuals.add((number, number + 1), (1.0, 2.0), 0.0, (-9.0, 9.0))
    assert len(residuals.state()) < 20


@pytest.mark.parametrize("delay", [1, 168])
def test_coverage_is_as_declared_on_rented_bikes(delay: int, data_folder: Path) -> None:
    """Nine of ten truths lie within, with labels an hour and a week late."""
    with gzip.open(data_folder / "bike_sharing_hourly.csv.gz", "rt") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(3500), strict=False)]
    inputs, processor = Inputs(), Processor(definition(BIKES))
    ends: list[tuple[float, float] | None] = []
    held: list[bool] = []
    for number, row in enumerate(rows):
        if number >= delay:
            late = number - delay
            truth = {"id": f"e{late}", "label": float(rows[late]["target"]), "timestamp": number * 1000}
            run(processor, [inputs.add("labels", truth, number * 1000)])
            interval = ends[late]
            if interval is not None:
                assert 0.0 <= interval[0] <= interval[1]
                held.append(interval[0] <= float(rows[late]["target"]) <= interval[1])
        features = {name: float(row[name]) for name in ("hr", "temp", "hum")}
        event = {"id": f"e{number}", "timestamp": number * 1000, "features": features}
        answer = predictions(run(processor, [inputs.add("events", event, number * 1000)]))[0]
        ends.append(answer.get("interval"))
    assert len(held) > len(rows) - 2 * delay - 40
    assert sum(held) / len(held) == pytest.approx(0.9, abs=0.025)
