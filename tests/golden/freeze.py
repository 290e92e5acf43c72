"""Writes the golden files anew: ``python -m tests.golden.freeze``. Look at what changes before committing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from learners.definition import Definition, parse_definition
from producers.scenarios import Scenario, alternating
from stream.messages import Record
from stream.processing.processor import Processor
from tests.support import Inputs, published

FOLDER = Path(__file__).parent
INPUTS, OUTPUTS = FOLDER / "inputs.jsonl", FOLDER / "outputs.jsonl"
ROWS, DRIFT = 600, 360


def golden_definition() -> Definition:
    """Return the definition of the golden run: everything reacts within a few hundred rows."""
    raw = Scenario.definition("golden")
    raw["features"]["discount"]["missing"] = "mean"
    raw["label"] |= {"ttl": "2m", "remember_ids": 200}
    raw["models"] = {"lr": {"recipe": "logistic_regression", "parameters": {"learning_rate": 0.003}}}
    raw["drift"] = {
        "detector": "bet", "parameters": {"budget": 200}, "cooldown": 30, "min_labels": 20, "alpha": 0.4,
    }  # fmt: skip
    return parse_definition(raw)


def made() -> Iterator[Record]:
    """Yield the inputs: a flip with events that break the contract, duplicates and late labels between."""
    inputs = Inputs()
    late: list[tuple[int, dict[str, Any]]] = []
    for number, row in enumerate(alternating(DRIFT, ROWS - DRIFT, seed=5).rows()):
        label, now = row.pop("target"), 1_700_000_000_000 + 1000 * number
        event: dict[str, Any] = {"id": f"o{number}", "timestamp": now, "features": row}
        if number % 3:
            event["label"] = label
        else:
            delay = 200 if number % 60 == 0 else 5 + number % 7
            late.append((number + delay, {"id": f"o{number}", "label": label, "timestamp": now}))
        match number % 50:
            case 11:
                del row["amount"]
            case 17:
                row["discount"] = None
            case 23:
                row["discount"] = 1.5
            case 29:
                event["label"] = "lost"
            case 31:
                del event["features"]
            case 37:
                row["article"] = "hats"
        value = b'{"id": "broken' if number % 97 == 13 else json.dumps(event).encode()
        yield inputs.add("events", value, now)
        if number % 41 == 7:
            yield inputs.add("events", value, now)
        for when, message in [pair for pair in late if pair[0] <= number]:
            late.remove((when, message))
            yield inputs.add("labels", message, now)
            if when % 19 == 4:
                yield inputs.add("labels", message, now)
        if number % 150 == 149:
            yield inputs.add("control", {"type": "tick", "timestamp": now}, now)
        if number == 592:
            command = {
                "type": "command",
                "id": "c1",
                "action": "fallback",
                "operator": "ada",
                "reason": "test",
            }
            yield inputs.add("control", command, now)


def shown_input(record: Record) -> dict[str, Any]:
    """Return a record as it stands in the file."""
    value = (record.value or b"").decode()
    return {"source": record.source, "offset": record.offset, "timestamp": record.timestamp, "value": value}


def frozen_inputs() -> list[Record]:
    """Return the records in the file."""
    lines = map(json.loads, INPUTS.read_text().splitlines())
    return [Record(r["source"], 0, r["offset"], r["timestamp"], b"k", r["value"].encode()) for r in lines]


def replayed() -> list[dict[str, Any]]:
    """Run the inputs in the file; returns the outputs as they stand in theirs."""
    processor = Processor(golden_definition())
    outputs = []
    for record in frozen_inputs():
        for output in processor.process(record):
            topic, _, value, headers = published(processor, output)
            told = {name: text.decode() for name, text in headers}
            outputs.append({"topic": topic, "value": (value or b"").decode(), **told})
    return outputs


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    write(INPUTS, [shown_input(record) for record in made()])
    write(OUTPUTS, replayed())
