"""Every recipe of the catalogue as champion, on River's small streams: ``python -m tests.golden.recipes``."""

import hashlib
from collections.abc import Iterator
from itertools import islice

from river import datasets

from learners import catalogue
from learners.definition import Definition, parse_definition
from stream.messages import Record
from stream.processing.processor import Processor
from tests.support import Inputs, predictions, run

STREAMS = {
    "binary": datasets.Phishing(),
    "multiclass": datasets.ImageSegments(),
    "regression": datasets.TrumpApproval(),
}
CLASSES = {
    "binary": [False, True],
    "multiclass": ["brickface", "cement", "foliage", "grass", "path", "sky", "window"],
    "regression": None,
}
QUICK = {"adaptive_random_forest": {"n_models": 2}, "adaptive_random_forest_regressor": {"n_models": 2}}


def stream_of(task: str, rows: int) -> list[Record]:
    """Return the first rows as records; every third label comes five rows late."""
    made, late = Inputs(), {}
    for number, (x, y) in enumerate(islice(STREAMS[task], rows)):
        event = {"id": f"r{number}", "timestamp": number, "features": dict(x)}
        if number % 3:
            event["label"] = y
        else:
            late[number + 5] = {"id": f"r{number}", "label": y}
        made.add("events", event, number)
        if number in late:
            made.add("labels", late.pop(number), number)
    return made.all


def definitions(task: str) -> Iterator[Definition]:
    """Yield one deployment for each recipe of a task, numbers of its stream declared."""
    x, _ = next(iter(STREAMS[task]))
    label = {} if CLASSES[task] is None else {"classes": CLASSES[task]}
    for name in catalogue.recipes(task):
        yield parse_definition(
            {
                "name": "recipes",
                "task": task,
                "features": {feature: {} for feature in x},
                "label": label,
                "models": {"m": {"recipe": name, "parameters": QUICK.get(name, {})}},
            }
        )


def digest(rows: int = 250) -> str:
    """Return a digest of all outputs of all recipes."""
    found = hashlib.sha256()
    for task in STREAMS:
        records = stream_of(task, rows)
        for definition in definitions(task):
            outputs = run(Processor(definition), records)
            assert any(p["served_by"] == "champion:m" for p in predictions(outputs))
            found.update(repr(outputs).encode())
    return found.hexdigest()


if __name__ == "__main__":
    print(digest())
