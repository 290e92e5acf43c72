"""Streams of the data folder whose changes are known: one made that way, two whose features change places."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from producers import files
from producers.orders import Change
from producers.scenarios import LABEL, permuted

DATA = Path(os.environ.get("MEANDER_DATA") or Path(__file__).parents[3] / "shared" / "data")
TYPES = {"binary": [0, 1], "multiclass": [2, 3, 4, 5, 11, 12]}


@dataclass(frozen=True)
class Real:
    """A file, or the first rows of it, with true points of change.

    Attributes
    ----------
    file
        Without its ending.
    at
        Where it changes.
    turned
        Whether between the two changes features have each other's values.
    """

    file: str
    length: int
    at: tuple[int, ...]
    task: str = "binary"
    turned: bool = False
    key: None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every true point of change."""
        return tuple(Change(at=at, until=at, kind="abrupt", expects=("concept",)) for at in self.at)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, the label in the column ``target``."""
        source = (
            {name: int(text) if name == LABEL else float(text) for name, text in row.items()}
            for row in islice(files.rows(DATA / f"{self.file}.csv.gz"), self.length)
        )
        if not self.turned:
            yield from source
            return
        features = [n for n in next(files.rows(DATA / f"{self.file}.csv.gz")) if n != LABEL]
        yield from permuted(source, features, *self.at)

    def definition(self, name: str) -> dict[str, Any]:
        """Return a definition for it, as parsed from TOML."""
        features = {n: {"type": "number"} for n in next(self.rows()) if n != LABEL}
        return {
            "name": name, "task": self.task, "features": features, "label": {"classes": TYPES[self.task]}
        }  # fmt: skip


STREAMS = {
    "stagger_abrupt": Real("stagger_abrupt", 40_000, (10_000, 20_000, 30_000)),
    "noaa, permuted": Real("noaa_weather", 9_000, (3_000, 6_000), turned=True),
    "insects, permuted": Real("insects_gradual_balanced", 8_000, (2_000, 4_000), "multiclass", turned=True),
}
"""By the names they have in docs/quality.md."""
