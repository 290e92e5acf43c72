"""Small real things that tests share: definitions, records, a log in memory, a run of a Processor."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from learners.candidate import Candidate, digest_of
from learners.definition import Definition, parse_definition
from learners.errors import SnapshotError
from stream.messages import Output, Record
from stream.processing.processor import THIS_PROCESS, Processor
from stream.processing.states import StoredStates

Published = tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": "binary",
    "features": {"x": {"min": -10, "max": 10}, "y": {"missing": "mean"}},
    "label": {
        "classes": ["no", "yes"], "ttl": "60ms", "idle": "20ms", "keep_limit": 4,
        "pending_limit": 6, "early_limit": 3, "remember_ids": 5,
    },
    "rules": {"high": {"when": "x > 5", "then": {"yes": 0.9}}},
    "warm_up": 4,
    "drift": {"detector": "bet", "parameters": {"budget": 3}, "cooldown": 2, "min_labels": 3, "patience": 9},
}  # fmt: skip


def definition(base: dict[str, Any] | None = None, **changes: Any) -> Definition:
    """Return `TINY`, or another definition, with other values at the top level."""
    return parse_definition({**(TINY if base is None else base), **changes})


def record(
    source: str, offset: int, message: dict[str, Any] | bytes | None, timestamp: int = 0, key: bytes = b"k"
) -> Record:
    """Return a record of partition 0 whose value is a message, or raw bytes."""
    value = json.dumps(message).encode() if isinstance(message, dict) else message
    return Record(source, 0, offset, timestamp, key, value)


class Inputs:
    """Numbers the records of each source as a broker would."""

    def __init__(self) -> None:
        self.next = {"events": 0, "labels": 0, "control": 0}
        self.all: list[Record] = []

    def add(self, source: str, message: dict[str, Any] | bytes | None, timestamp: int = 0) -> Record:
        """Append to a source; returns the record."""
        new = record(source, self.next[source], message, timestamp)
        self.next[source] += 1
        self.all.append(new)
        return new

    def of(self, source: str) -> list[Record]:
        """Return the records of a source, in order."""
        return [r for r in self.all if r.source == source]


def published(processor: Processor, output: Output) -> Published:
    """Return an output as it would stand on its topic."""
    value, headers = processor.codec.encode(output)
    return output.topic, output.key, value, tuple(headers)


def run(processor: Processor, records: Iterable[Record]) -> list[Published]:
    """Process records; returns what would stand on the output topics."""
    return [published(processor, output) for r in records for output in processor.process(r)]


def predictions(outputs: Iterable[Published]) -> list[dict[str, Any]]:
    """Return the predictions among outputs, decoded."""
    return [json.loads(value or b"") for topic, _, value, _ in outputs if topic == "predictions"]


def transitions(outputs: Iterable[Published]) -> list[dict[str, Any]]:
    """Return the transitions among outputs, decoded."""
    return [json.loads(value or b"") for topic, _, value, _ in outputs if topic == "transitions"]


def reasons(outputs: Iterable[Published]) -> list[str]:
    """Return why records were refused, in order."""
    return [
        dict(headers)["meander-reason"].decode()
        for topic, _, _, headers in outputs
        if topic == "dead-letters"
    ]


class MemoryStates:
    """States that were learned again, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.states = StoredStates(self._get, lambda: THIS_PROCESS)

    def _get(self, digest: str) -> bytes:
        if digest not in self.kept:
            raise SnapshotError(f"there is no state {digest} of partition 0")
        return self.kept[digest]

    def put(self, candidate: Candidate, of: Definition) -> str:
        """Keep a candidate; returns its digest."""
        data = candidate.pack(of, THIS_PROCESS)
        digest = digest_of(data)
        self.kept[digest] = data
        return digest


class MemoryLog:
    """The topics of one partition, in memory (see `stream.ports.Log`)."""

    def __init__(self, inputs: Iterable[Record] = ()) -> None:
        self.topics: dict[str, list[Record]] = {}
        self.first: dict[str, int] = {}
        self.identities: dict[str, str] = {}
        for r in inputs:
            self.topics.setdefault(r.source, []).append(r)

    def send(self, outputs: Iterable[Published]) -> None:
        """Append outputs."""
        for topic, key, value, headers in outputs:
            held = self.topics.setdefault(topic, [])
            held.append(Record(topic, 0, len(held), 0, key, value, headers))

    def identity(self, topic: str) -> str:
        """Return what tells a topic from another of its name."""
        return self.identities.get(topic, "")

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first and next offset."""
        return self.first.get(topic, 0), len(self.topics.get(topic, ()))

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """Yield a span."""
        yield from self.topics.get(topic, [])[start:end]

    def outputs(self) -> dict[str, list[Published]]:
        """Return what stands on the output topics."""
        return {
            topic: [(topic, r.key, r.value, r.headers) for r in self.topics.get(topic, ())]
            for topic in ("predictions", "transitions", "dead-letters")
        }
