"""Write the snapshot that later releases must go on from: ``python -m tests.golden.keep_snapshot VERSION``.

Run it once for each release, with that release, and add what it writes. Until that release is out it may be
written anew when the layout of state changes; never afterwards.
"""

import sys
from pathlib import Path
from typing import Any

from learners.definition import Definition, parse_definition
from learners.snapshot import Keys
from stream.messages import Record
from stream.processing.processor import Processor
from tests.support import Inputs, published

FOLDER = Path(__file__).parent / "kept"
KEYS = Keys("known to everybody: for tests only")
RAW: dict[str, Any] = {
    "name": "kept",
    "task": "binary",
    "features": {"x": {"min": -100, "max": 100}, "y": {"missing": "mean"}, "shop": {"type": "category"}},
    "label": {"classes": ["no", "yes"], "positive": "yes"},
    "models": {"linear": {"recipe": "logistic_regression"}, "tree": {"recipe": "hoeffding_tree"}},
    "rules": {"high": {"when": "x > 60", "then": {"yes": 0.9}}},
}


def definition() -> Definition:
    """Return what all of them were made with."""
    return parse_definition(dict(RAW))


def records(start: int, end: int) -> list[Record]:
    """Return events whose labels come 10 events later, but for every seventh, which waits."""
    inputs = Inputs()
    made: list[Record] = []
    for n in range(end):
        x = (n * 37) % 101 - 50
        features = {"x": x, "shop": "abc"[n % 3], **({"y": n % 5} if n % 4 else {})}
        event = {"id": f"e{n}", "timestamp": n * 1000, "features": features}
        early = n - 10
        new = [inputs.add("events", event, n * 1000)]
        if early >= 0 and early % 7:
            was = "yes" if (early * 37) % 101 > 50 else "no"
            new.append(inputs.add("labels", {"id": f"e{early}", "label": was}, n * 1000))
        if n >= start:
            made += new
    return made


def main(version: str) -> None:
    """Write snapshot and the answers that follow it."""
    processor = Processor(definition(), keys=KEYS)
    for record in records(0, 400):
        processor.process(record)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{version}.snapshot").write_bytes(processor.snapshot(generation=1, outputs={}))
    (FOLDER / f"{version}.answers").write_text(
        "".join(f"{answer}\n" for answer in answers(processor)), encoding="utf-8"
    )


def answers(processor: Processor) -> list[str]:
    """Return the predictions for the events after the snapshot, as they would stand on the topic."""
    found = []
    for record in records(400, 450):
        for output in processor.process(record):
            if output.topic == "predictions":
                found.append((published(processor, output)[2] or b"").decode())
    return found


if __name__ == "__main__":
    main(sys.argv[1])
