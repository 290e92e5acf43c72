"""The gallery of drift: made-up streams by name, seeded, whose true points of change are known."""

import csv
import difflib
import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, cast

import msgspec
from river.datasets import synth

from learners.errors import MeanderError
from producers.orders import CLASSES, LABEL, Change, Scenario, Segment, alternating

__all__ = [
    "CLASSES", "LABEL", "SCENARIOS", "Change", "Made", "Scenario", "Segment", "Synthetic",
    "UnknownScenarioError", "alternating", "permuted", "read_truth", "scenario", "settings_of", "write_rows",
    "write_truth",
]  # fmt: skip

Rows = Iterable[Mapping[str, Any]]


class UnknownScenarioError(MeanderError):
    """A name that is no scenario."""


class TruthFileError(MeanderError):
    """A file of true changes that cannot be read."""


class Made(Protocol):
    """A made-up stream; equal seeds give equal rows."""

    @property
    def length(self) -> int:
        """Number of rows."""

    @property
    def key(self) -> str | None:
        """The column of the sender, where there is one."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every true point of change."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, the label in the column ``target``."""

    def definition(self, name: str) -> dict[str, Any]:
        """Return a definition for these streams, as parsed from TOML."""


@dataclass(frozen=True)
class Synthetic:
    """Parts of River's generators, one after the other, each another concept over the same features.

    Attributes
    ----------
    rows_each
        How long each part is.
    parts
        From a seed to a generator, for each part.
    task
        ``binary``, ``multiclass`` or ``regression``.
    categories
        Features are numbers, unless their values are named here.
    inside
        Changes that are in a part of their own making: where, how long, what.
    seed
        Equal seeds give equal rows.

    Examples
    --------
    >>> made = scenario("stagger")
    >>> made.length, [change.at for change in made.changes]
    (9000, [3000, 6000])
    >>> next(made.rows())
    {'size': 'medium', 'color': 'green', 'shape': 'circle', 'target': 0}
    """

    rows_each: int
    parts: tuple[Callable[[int], Any], ...]
    task: str = "binary"
    categories: Mapping[str, Sequence[str]] | None = None
    inside: tuple[Change, ...] = ()
    seed: int = 1

    @property
    def length(self) -> int:
        """Number of rows."""
        return self.rows_each * len(self.parts)

    @property
    def key(self) -> None:
        """None: nobody in particular sent it."""
        return None

    @property
    def changes(self) -> tuple[Change, ...]:
        """The beginning of each part but the first, and what is inside."""
        starts = range(self.rows_each, self.length, self.rows_each)
        return self.inside + tuple(
            Change(at=at, until=at, kind="abrupt", expects=("concept",)) for at in starts
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, the label in the column ``target``."""
        names = self.categories or {}
        for number, part in enumerate(self.parts):
            for x, y in islice(part(1000 * self.seed + number), self.rows_each):
                row = {(k if isinstance(k, str) else f"x{k}"): v for k, v in x.items()}
                for feature, words in names.items():
                    row[feature] = words[row[feature]]
                row[LABEL] = float(y) if self.task == "regression" else int(y)
                yield row

    def definition(self, name: str) -> dict[str, Any]:
        """Return a definition for these streams, as parsed from TOML."""
        first = next(self.rows())
        classes = {"binary": [0, 1], "multiclass": list(range(10))}
        words = self.categories or {}
        return {
            "name": name,
            "task": self.task,
            "features": {
                feature: {"type": "category", "categories": list(words[feature])}
                if feature in words
                else {"type": "boolean" if isinstance(value, bool) else "number"}
                for feature, value in first.items()
                if feature != LABEL
            },
            "label": {"classes": classes[self.task]} if self.task in classes else {},
        }


def _sine(function: int) -> Callable[[int], Any]:
    return lambda seed: synth.Sine(function, seed)


def _sea(variant: int) -> Callable[[int], Any]:
    return lambda seed: synth.SEA(variant, 0.05, seed)


def _stagger(function: int) -> Callable[[int], Any]:
    return lambda seed: synth.STAGGER(function, seed)


def _mixed(function: int) -> Callable[[int], Any]:
    return lambda seed: synth.Mixed(function, seed)


def _led(swapped: int) -> Callable[[int], Any]:
    return lambda seed: synth.LEDDrift(seed, 0.05, irrelevant_features=True, n_drift_features=swapped)


def _friedman(seed: int) -> Any:
    return synth.FriedmanDrift("gra", (5000, 7500), seed=seed)


def _hyperplane(seed: int) -> Any:
    return synth.Hyperplane(seed, n_features=5, n_drift_features=5, mag_change=0.001)


_STAGGER_WORDS = {
    "size": ("small", "medium", "large"),
    "color": ("red", "blue", "green"),
    "shape": ("circle", "square", "triangle"),
}
_CONCEPT = ("concept",)
_HALF = 5_000

SCENARIOS: Mapping[str, Made] = {
    "steady": alternating(10_000),
    "flip": alternating(_HALF, _HALF),
    "gradual": Scenario((Segment(_HALF), Segment(_HALF, "after", transition=2_000))),
    "incremental": Scenario((Segment(_HALF), Segment(_HALF, "after", turning=3_000))),
    "recurring": alternating(2_500, 2_500, 2_500, 2_500),
    "local": Scenario((Segment(_HALF), Segment(_HALF, "after", only="shoes"))),
    "prior": Scenario((Segment(_HALF, prior=0.5), Segment(_HALF, prior=0.15))),
    "covariate": Scenario((Segment(_HALF), Segment(_HALF, shift=1.5))),
    "noise": Scenario((Segment(_HALF), Segment(1_000, noise=0.8), Segment(4_000))),
    "inverted": Scenario((Segment(_HALF), Segment(2_000, inverted=True), Segment(3_000))),
    "stuck": Scenario((Segment(_HALF), Segment(2_000, stuck="delivery_days"), Segment(3_000)), shops=True),
    "unit": Scenario((Segment(_HALF), Segment(2_000, scaled="amount"), Segment(3_000)), shops=True),
    "rare": Scenario((Segment(20_000, prior=0.01), Segment(20_000, "after", prior=0.01))),
    "sine": Synthetic(3_000, tuple(map(_sine, range(4)))),
    "stagger": Synthetic(3_000, tuple(map(_stagger, range(3))), categories=_STAGGER_WORDS),
    "mixed": Synthetic(_HALF, (_mixed(0), _mixed(1))),
    "sea": Synthetic(_HALF, (_sea(2), _sea(3))),
    "led": Synthetic(3_000, (_led(0), _led(5)), "multiclass"),
    "hyperplane": Synthetic(10_000, (_hyperplane,), inside=(Change(at=0, until=10_000, kind="incremental"),)),
    "friedman": Synthetic(
        10_000,
        (_friedman,),
        "regression",
        inside=(
            Change(at=5_000, until=5_000, kind="abrupt", expects=_CONCEPT),
            Change(at=7_500, until=7_500, kind="abrupt", expects=_CONCEPT),
        ),
    ),
}


def scenario(name: str, seed: int = 1) -> Made:
    """Return a scenario by its name.

    Raises
    ------
    UnknownScenarioError
        Naming those there are.
    """
    if name not in SCENARIOS:
        near = difflib.get_close_matches(name, SCENARIOS, n=1)
        raise UnknownScenarioError(
            f"{name!r} is no scenario. "
            + (f"Did you mean {near[0]}?" if near else f"One of: {', '.join(SCENARIOS)}")
        )
    found: Any = SCENARIOS[name]
    return cast(Made, replace(found, seed=seed))


def settings_of(made: Made, name: str) -> dict[str, Any]:
    """Return a definition file for a scenario, as parsed from TOML."""
    raw = made.definition(name)
    if made.key is not None:
        raw |= {"columns": {"key": made.key}}
    return raw


def permuted(rows: Rows, features: Sequence[str], start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Give features each other's values from row ``start`` to before row ``stop``: abrupt, on real data.

    Each gets those of the one half the list away: neighbours (bands of a spectrum, one place after another)
    may say nearly the same.

    >>> list(permuted([{"a": 1, "b": 2, "target": 0}] * 2, ["a", "b"], 1, 2))
    [{'a': 1, 'b': 2, 'target': 0}, {'a': 2, 'b': 1, 'target': 0}]
    """
    half = len(features) // 2
    turned = [*features[half:], *features[:half]]
    for number, row in enumerate(rows):
        if start <= number < stop:
            yield {**row, **{to: row[of] for to, of in zip(features, turned, strict=True)}}
        else:
            yield dict(row)


def write_rows(rows: Rows, path: Path) -> int:
    """Write rows to a data file: JSON lines if its name says so (``.jsonl``), else CSV; with ``.gz`` packed.

    Equal rows give equal bytes. Returns how many.
    """
    with path.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", 6, raw, mtime=0) if path.suffix == ".gz" else None
        write = _json_lines if ".jsonl" in path.suffixes else _csv_lines
        count = write(rows, cast(IO[bytes], packed or raw))
        if packed is not None:
            packed.close()
    return count


def _json_lines(rows: Rows, file: IO[bytes]) -> int:
    encode, count = msgspec.json.Encoder().encode, 0
    for row in rows:
        file.write(encode(row) + b"\n")
        count += 1
    return count


def _csv_lines(rows: Rows, file: IO[bytes]) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer: csv.DictWriter[str] | None = None
    count = 0
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        count += 1
    text.detach()
    return count


def write_truth(changes: Iterable[Change], path: Path) -> None:
    """Write true changes to a file, one JSON object a line."""
    encode = msgspec.json.Encoder().encode
    path.write_bytes(b"".join(encode(change) + b"\n" for change in changes))


def read_truth(path: Path) -> list[Change]:
    """Read what `write_truth` wrote.

    Raises
    ------
    TruthFileError
        Naming the line, and what it should be.
    """
    changes = []
    decoder = msgspec.json.Decoder(Change)
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TruthFileError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        try:
            changes.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            shape = '{"at": 5000, "until": 5000, "kind": "abrupt", "expects": ["concept"]}'
            raise TruthFileError(
                f"{path}, line {number}: {error}. Write one object a line: {shape}"
            ) from None
    return changes
