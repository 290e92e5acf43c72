"""The streams: shared data, River's own, the gallery of drift, and trees over categories."""

import csv
import gzip
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from river.datasets import synth

from learners.definition import Definition, parse_definition
from producers import datasets
from producers.scenarios import SCENARIOS, permuted, scenario

LABEL = "target"
FOLDER = Path(os.environ.get("MEANDER_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
Row = dict[str, Any]
Example = tuple[Row, Any]


@dataclass(frozen=True)
class Stream:
    """A stream of examples, and what is known of it.

    Attributes
    ----------
    name
        ``elec2``; with ``@48`` labels come 48 rows late.
    task
        ``binary``, ``multiclass`` or ``regression``.
    kind
        ``real``, ``late``, ``bundled``, ``gallery`` or ``trees``: the heading it stands under.
    rows
        Yields rows, the label in the column ``target``.
    lag
        How many rows late a label comes.
    changes
        Rows at which the relation changes abruptly.
    steady
        Whether nothing ever changes.
    raw
        The definition without its models, where the source brings one.
    """

    name: str
    task: str
    kind: str
    rows: Callable[[], Iterator[Row]]
    lag: int = 0
    changes: tuple[int, ...] = ()
    steady: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def examples(self) -> list[Example]:
        """All of them: features, label in the form it has on the wire."""
        found = []
        for row in self.rows():
            y = row.pop(LABEL)
            if not (isinstance(y, float) and math.isnan(y)):
                found.append((row, y))
        return found

    @cached_property
    def classes(self) -> list[Any]:
        """The classes, in the order they are declared."""
        declared = self.raw.get("label", {}).get("classes")
        return list(declared or sorted({y for _, y in self.examples}))

    def definition(self, models: Mapping[str, Any], **more: Any) -> Definition:
        """Return a deployment for this stream."""
        x = self.examples[0][0]
        features = self.raw.get("features") or {name: _feature(value) for name, value in x.items()}
        label = {} if self.task == "regression" else {"label": {"classes": self.classes}}
        return parse_definition(
            {"name": "quality", "task": self.task, "features": features, "models": models, **label, **more}
        )


def _feature(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, str):
        return {"type": "time"} if value[:2] in ("19", "20") and value[4:5] == "-" else {"type": "category"}
    return {}


def _shared(name: str) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        with gzip.open(FOLDER / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {column: _typed(value, column) for column, value in row.items()}

    return rows


def _typed(value: str, column: str) -> Any:
    try:
        return float(value) if column != LABEL or "." in value else int(value)
    except ValueError:
        return value


def _bundled(name: str, most: int) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for row in islice(datasets.rows(name), most):
            yield {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}

    return rows


def _made(name: str, seed: int) -> Callable[[], Iterator[Row]]:
    return lambda: scenario(name, seed).rows()


def _generated(make: Callable[[], Any], rows: int) -> Callable[[], Iterator[Row]]:
    def each() -> Iterator[Row]:
        for x, y in make().take(rows):
            yield {**{str(k): float(v) for k, v in x.items()}, LABEL: int(y)}

    return each


def _permuted(name: str, start: int, stop: int, rows: int) -> Callable[[], Iterator[Row]]:
    def each() -> Iterator[Row]:
        source = _shared(name)
        features = [column for column in next(source()) if column != LABEL]
        yield from permuted(islice(source(), rows), features, start, stop)

    return each


def _all() -> Iterator[Stream]:
    for name, task in (
        ("elec2", "binary"),
        ("noaa_weather", "binary"),
        ("insects_gradual_balanced", "multiclass"),
        ("bike_sharing_hourly", "regression"),
    ):
        yield Stream(name, task, "real", _shared(name))
    yield Stream("stagger_abrupt", "binary", "real", _shared("stagger_abrupt"), 0, (10_000, 20_000, 30_000))
    for name, task, lags in (
        ("elec2", "binary", (48,)),
        ("noaa_weather", "binary", (30,)),
        ("insects_gradual_balanced", "multiclass", (100, 1000)),
    ):
        for lag in lags:
            yield Stream(f"{name}@{lag}", task, "late", _shared(name), lag)
    yield Stream(
        "insects, permuted", "multiclass", "real", _permuted("insects_gradual_balanced", 2000, 4000, 8000),
        changes=(2000, 4000),
    )  # fmt: skip
    yield Stream(
        "noaa, permuted", "binary", "real", _permuted("noaa_weather", 3000, 6000, 9000), changes=(3000, 6000)
    )
    for name, task in (
        ("Phishing", "binary"),
        ("Bananas", "binary"),
        ("ImageSegments", "multiclass"),
        ("Shuttle", "binary"),
        ("TrumpApproval", "regression"),
        ("ChickWeights", "regression"),
        ("SP500Stocks", "regression"),
        ("WaterFlow", "regression"),
    ):
        yield Stream(name, task, "bundled", _bundled(name, 10_000))
    for name, made in SCENARIOS.items():
        raw = made.definition("quality")
        # one positive in a hundred: only the loss `balanced` sees it turn, and `turns` looks at that
        abrupt = () if name == "rare" else tuple(c.at for c in made.changes if c.kind == "abrupt")
        steady = name == "steady"
        yield Stream(
            f"gallery: {name}", raw["task"], "gallery", _made(name, 1), 0, abrupt, steady, raw
        )  # fmt: skip
    for seed in (1, 2):
        tree = _generated(lambda seed=seed: synth.RandomTree(seed, seed), 10_000)  # type: ignore[misc]
        yield Stream(f"random tree {seed}", "binary", "trees", tree, steady=True)
    agrawal = _generated(lambda: synth.Agrawal(6, 1), 10_000)
    yield Stream("agrawal 6", "binary", "trees", agrawal, steady=True)
    blobs = _generated(lambda: synth.RandomRBF(1, 2), 10_000)
    yield Stream("random rbf", "binary", "trees", blobs, steady=True)


STREAMS: dict[str, Stream] = {stream.name: stream for stream in _all()}
