"""What was measured on a stream, kept beside the answers: an interrupted run goes on where it was."""

import hashlib
import pickle
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

from quality import answers
from quality.page import Result
from quality.promotions import Row
from quality.streams import Stream

ROOT = Path(__file__).resolve().parents[2]
DECIDING = ("learners/*.py", "stream/processing/*.py", "benchmarks/quality/runs.py")


def keep(result: Result, missing: tuple[str, ...]) -> None:
    """Write a result down."""
    path = _path(result.stream)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {f.name: getattr(result, f.name) for f in fields(result) if f.name != "stream"}
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps((_digest(), missing, told)))
    part.rename(path)


def find(stream: Stream, missing: tuple[str, ...], older: bool) -> Result | None:
    """Return what `keep` wrote, if the code that decides and the members that are there are the same.

    With ``older`` also what other code gave, or what was measured with fewer members; it is marked so.
    """
    path = _path(stream)
    if not path.exists():
        return None
    digest, then, told = pickle.loads(path.read_bytes())  # written by `keep` alone
    same = digest == _digest() and then == missing
    return Result(stream, **{**told, "older": not same}) if same or older else None


def rows(name: str, make: Callable[[], Iterable[Row]], older: bool, only_kept: bool) -> list[Row]:
    """Return the rows of a table kept under a name, or make and keep them."""
    path = answers.CACHE / "results" / f"{name}.rows"
    if path.exists():
        digest, found = pickle.loads(path.read_bytes())
        if older or digest == _digest():
            return list(found)
    if only_kept:
        return []
    made = []
    for row in make():
        print(f"  {row.what}: {row.measured}", file=sys.stderr, flush=True)
        made.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps((_digest(), made)))
    return made


def _path(stream: Stream) -> Path:
    return answers.CACHE / "results" / f"{answers.slug(stream.name)}.pkl"


def _digest() -> str:
    told = hashlib.sha256()
    for pattern in DECIDING:
        for path in sorted(ROOT.glob(pattern)):
            told.update(path.read_bytes())
    return told.hexdigest()[:12]
