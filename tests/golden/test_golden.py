"""Frozen runs: what came out once comes out always, in every process, and as a plain loop has it."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from river import datasets

from learners.definition import parse_definition
from learners.snapshot import libraries
from stream.processing.processor import Processor
from tests.golden import freeze, recipes
from tests.golden.reference import blended, reference
from tests.support import Inputs, predictions, run


def test_golden_run_is_as_frozen() -> None:
    """600 rows with a flip, broken events, duplicates, late labels and a command give the frozen outputs.

    They name the Python they were made with, and nothing else depends on that. Where a change is wanted:
    ``python -m tests.golden.freeze``, and say why in the change log.
    """
    here = f'\\"python\\":\\"{libraries()["python"]}\\"'
    frozen = freeze.OUTPUTS.read_text().replace(r"\"python\":\"3.11\"", here)
    assert freeze.replayed() == [json.loads(line) for line in frozen.splitlines()]


def test_golden_inputs_hold_everything() -> None:
    """The frozen run shows each kind of trouble, and the loop from signal to promotion."""
    frozen = [json.loads(line) for line in freeze.OUTPUTS.read_text().splitlines()]
    kinds = [json.loads(o["value"])["kind"] for o in frozen if o["topic"] == "transitions"]
    assert kinds == ["started", "warmed_up", "signal", "challenged", "promoted", "fell_back"]
    assert {o.get("meander-reason") for o in frozen} == {None, "contract", "envelope", "label", "undecodable"}
    processor = Processor(freeze.golden_definition())
    run(processor, freeze.frozen_inputs())
    books = processor.books
    counted = {name for name in books.__struct_fields__ if getattr(books, name)}
    assert {"duplicate", "refused", "duplicate_label", "late", "expired", "refused_label"} <= counted
    assert books.unaccounted == 0


def test_a_plain_loop_predicts_the_same() -> None:
    """A loop of json and River, which shares no code with the Processor, gives the same predictions."""
    stream = list(datasets.Phishing())
    names = list(stream[0][0])
    made = Inputs()
    for number, (x, y) in enumerate(stream):
        event = {"id": f"p{number}", "timestamp": 10 * number, "features": x, "label": "bad" if y else "good"}
        if number % 10 == 3:
            del event["label"]
        if number % 37 == 0:
            event["features"] = {**x, names[number % 5]: None if number % 2 else "?"}
        made.add("events", event)
        if number % 53 == 0:
            made.add("events", event)
        if number % 71 == 0:
            made.add("events", b"[" if number % 2 else b'{"id": "x"}')
    raw = {"name": "reference", "task": "binary", "features": {name: {} for name in names}}
    raw |= {"label": {"classes": ["good", "bad"]}, "drift": {"on_drift": "tell"}}
    found = predictions(run(Processor(parse_definition(raw)), made.all))
    expected = list(reference((r.value or b"" for r in made.all), names, ["good", "bad"]))
    assert found == expected
    assert len(Counter(p["served_by"] for p in found)) == 3


@pytest.mark.parametrize("delay", [0, 7])
def test_a_plain_loop_blends_the_same(delay: int) -> None:
    """The pool in thirty lines that share nothing with it gives the same probabilities."""
    stream = list(datasets.Phishing())
    made = Inputs()
    for number, (x, _) in enumerate(stream):
        made.add("events", {"id": f"p{number}", "timestamp": number, "features": x})
        if number >= delay:
            late = number - delay
            made.add("labels", {"id": f"p{late}", "label": bool(stream[late][1])}, number)
    raw = {"name": "reference", "task": "binary", "features": {name: {} for name in stream[0][0]}}
    models = {"lr": {"recipe": "logistic_regression"}, "lrf": {"recipe": "logistic_regression_fast"}}
    raw |= {"label": {"classes": [False, True]}, "models": models, "warm_up": 0}
    raw |= {"drift": {"on_drift": "tell", "min_labels": 10**6}}
    found = predictions(run(Processor(parse_definition(raw)), made.all))
    expected = list(blended(((x, bool(y)) for x, y in stream), delay))
    assert {p["served_by"] for p in found} == {"champion:blend"}
    assert [p["probabilities"]["true"] for p in found] == pytest.approx(expected, rel=1e-9)


def test_runs_are_identical_in_every_process() -> None:
    """Two processes with different hash seeds give the same bytes, with every recipe of every task."""
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.golden.recipes"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=freeze.FOLDER.parents[1],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("task", recipes.STREAMS)
def test_every_recipe_resumes(task: str) -> None:
    """With every recipe as champion, labels waiting, a restored snapshot goes on with the same outputs."""
    records = recipes.stream_of(task, 120)
    cut = 101
    for definition in recipes.definitions(task):
        whole, second = Processor(definition), Processor(definition)
        run(whole, records[:cut])
        second.restore(whole.snapshot())
        assert run(whole, records[cut:]) == run(second, records[cut:])
