"""What the presets cost: microseconds of processor time an event, everything included. No Kafka.

    python benchmarks/presets.py            # Elec2 or a stand-in, and made-up streams of several widths
    python benchmarks/presets.py --members  # each member alone: one prediction and one learning

Times are the lower quartile over chunks of 250 events, so that what others do on the machine counts
little. The fit at the end is what `learners/presets.py` holds.
"""

import argparse
import os
import time
from statistics import quantiles
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgspec
import numpy as np

from learners import catalogue
from learners.definition import Definition, parse_definition
from learners.direct import learner, predictor
from learners.presets import PRESETS, ROSTERS
from stream.messages import Record
from stream.processing.processor import Processor

SHAPES = [(8, 2), (33, 2), (100, 2), (8, 6), (33, 6), (8, 11)]
CHUNK = 250


def made(features: int, classes: int, rows: int) -> list[tuple[dict[str, float], Any]]:
    """Return rows whose label follows from a quadratic form of some features."""
    random = np.random.RandomState(7)
    values = random.standard_normal((rows, features))
    score = values[:, 0] * values[:, 1] + values[:, 2] + 0.3 * random.standard_normal(rows)
    if classes:
        label = np.searchsorted(np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]), score)
    names = [f"f{i}" for i in range(features)]
    return [
        (dict(zip(names, row, strict=True)), int(label[i]) if classes else float(score[i]))
        for i, row in enumerate(values.tolist())
    ]


def definition(task: str, preset: Any, features: int, classes: int) -> Definition:
    models = {seat.slot: {"recipe": seat.recipe} for seat in ROSTERS[task][preset]}  # type: ignore[index]
    label = {"label": {"classes": list(range(classes))}} if classes else {}
    named = {f"f{i}": {} for i in range(features)}
    return parse_definition({"name": "cost", "task": task, "features": named, "models": models, **label})


def whole(definition: Definition, rows: list[tuple[dict[str, float], Any]]) -> float:
    """Return microseconds for each event through a Processor, decoding and encoding included."""
    processor, encode = Processor(definition), msgspec.json.encode
    records = [
        Record("events", 0, i, i, None, encode({"id": f"e{i}", "timestamp": i, "features": x, "label": y}))
        for i, (x, y) in enumerate(rows)
    ]

    def step(record: Record) -> None:
        for output in processor.process(record):
            processor.codec.encode(output)

    return timed([lambda r=r: step(r) for r in records])  # type: ignore[misc]


def alone(name: str, given: Definition, rows: list[tuple[dict[str, float], Any]]) -> float:
    """Return microseconds for one prediction and one learning of a member."""
    model = catalogue.build(name, given, {})
    method = "predict_one" if given.task == "regression" else "predict_proba_one"
    predict, learn = predictor(model, method), learner(model)
    binary = given.task == "binary"

    def step(x: dict[str, float], y: Any) -> None:
        predict(x)
        learn(x, bool(y) if binary else y)

    return timed([lambda x=x, y=y: step(x, y) for x, y in rows])  # type: ignore[misc]


def timed(calls: list[Any]) -> float:
    chunks = []
    for start in range(0, len(calls), CHUNK):
        begin = time.process_time()
        for call in calls[start : start + CHUNK]:
            call()
        chunks.append((time.process_time() - begin) / CHUNK * 1e6)
    return quantiles(chunks[len(chunks) // 3 :], n=4)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", action="store_true")
    parser.add_argument("--rows", type=int, default=4500)
    options = parser.parse_args()
    shapes = [("multiclass" if c > 2 else "binary", f, c) for f, c in SHAPES]
    shapes += [("regression", f, 0) for f in (8, 33, 100)]
    found: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    for task, features, classes in shapes:
        rows = made(features, classes, options.rows)
        if options.members:
            given = definition(task, "accurate", features, classes)
            columns = {s.recipe: alone(s.recipe, given, rows) for s in ROSTERS[task]["accurate"]}  # type: ignore[index]
        else:
            columns = {p: whole(definition(task, p, features, classes), rows) for p in PRESETS}
        told = ", ".join(f"{name} {micros:.0f}" for name, micros in columns.items())
        print(f"{task}, {features} features, {classes} classes: {told}", flush=True)
        for name, micros in columns.items():
            found.setdefault((task, name), []).append((features, classes, micros))
    if not options.members:
        fit(found)


def fit(found: dict[tuple[str, str], list[tuple[int, int, float]]]) -> None:
    """Print base, feature, class and each of `learners.presets.Cost`; multiclass with 2 classes is binary."""
    for (task, name), measured in found.items():
        rows = measured + (found[("binary", name)] if task == "multiclass" else [])
        columns = [
            [1.0, f] + ([max(0, c - 2), max(0, c - 2) * f] if task == "multiclass" else [])
            for f, c, _ in rows
        ]
        weights = np.array([1 / m for _, _, m in rows])
        found_by, *_ = np.linalg.lstsq(np.array(columns) * weights[:, None], np.ones(len(rows)), rcond=None)
        print(f'{task} "{name}": Cost({", ".join(f"{v:.2f}" for v in found_by)}),')


if __name__ == "__main__":
    main()
