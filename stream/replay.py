"""The same Processor over a file, or over what a topic holds: for trying, debugging and proving."""

import base64
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
from msgspec import UNSET

from learners import succession
from learners.contract import Contract
from learners.definition import Definition, parse_definition
from producers.delays import Law, Trouble
from producers.load import Columns, Labels, Load, samples
from stream.messages import DeadLetter, Example, Output, Prediction, Record, Source, Transition
from stream.ports import Log, Observer
from stream.processing.journal import SOURCES, in_order
from stream.processing.processor import Processor
from stream.processing.recovery import Tail, begin, first_definition
from stream.processing.states import JournaledStates, NoStates, States
from stream.report import Report

Progress = Callable[[int], None]
FILES = {
    "predictions": "predictions.jsonl",
    "transitions": "transitions.jsonl",
    "dead-letters": "dead-letters.jsonl",
}


class Outcomes:
    """Takes a replay's outputs: into files, and into a report.

    Parameters
    ----------
    definition
        Of the deployment.
    folder
        Where the files go; made when it is not there. None: the report alone.
    """

    def __init__(self, definition: Definition, folder: Path | None) -> None:
        self.report = Report(definition)
        self._contract = Contract(definition)
        self._files: dict[str, IO[bytes]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._labelled: list[tuple[Example, tuple[str, ...]]] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._files = {topic: (folder / name).open("wb") for topic, name in FILES.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def send(self, outputs: Iterable[Output]) -> None:
        """Take outputs, in order."""
        for output in outputs:
            message = output.message
            if isinstance(message, Prediction):
                self.report.predicted(message)
            elif isinstance(message, Transition):
                self.report.transition(message)
            file = self._files.get(output.topic)
            if file is not None:
                shown = _letter(message, output) if isinstance(message, DeadLetter) else message
                file.write(self._encode(shown) + b"\n")
        for example, slots in self._labelled:
            self._score(example, slots)
        self._labelled.clear()

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        """Take an example whose label came (see `stream.ports.Observer`); scored after its prediction."""
        self._labelled.append((example, slots))

    def corrected(self, example: Example, before: Any, slots: tuple[str, ...]) -> None:
        """Take a label that replaces another: the report stays with an event's first one."""
        if before is UNSET:
            self.labelled(example, slots)

    def _score(self, example: Example, slots: tuple[str, ...]) -> None:
        members = {slot: answer for slot, answer in zip(slots, example.answers, strict=True) if slot}
        served = example.answer if example.served >= 0 else None
        self.report.scored(example.timestamp, example.label, served, members, example.id)


def _letter(letter: DeadLetter, output: Output) -> dict[str, Any]:
    shown: dict[str, Any] = {"source": output.source, "reason": letter.reason, "sentence": letter.sentence}
    value = letter.value or b""
    try:
        shown["value"] = value.decode()
    except UnicodeDecodeError:
        shown["value_base64"] = base64.b64encode(value).decode()
    return shown


class _Direct:
    """Stands where the Kafka publisher stands: what is published goes straight into a processor."""

    def __init__(self, processor: Processor, outcomes: Outcomes, progress: Progress | None) -> None:
        self._process, self._send, self._progress = processor.process, outcomes.send, progress
        self._next = dict.fromkeys(SOURCES, 0)

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        """Process a record as if it had come from that topic."""
        offset = self._next[topic]
        self._next[topic] = offset + 1
        # without an event time of its own an event is dated by its row
        self._send(self._process(Record(topic, 0, offset, self._next[Source.EVENTS], key, value)))
        if self._progress is not None and topic == Source.EVENTS:
            self._progress(offset + 1)

    def flush(self) -> None:
        """Nothing is on its way."""


def replay_rows(
    definition: Definition,
    rows: Iterable[Any],
    columns: Columns,
    outcomes: Outcomes,
    *,
    labels: Labels = "inside",
    delay: Law | None = None,
    trouble: Trouble | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a data file through a new Processor, exactly as ``meander produce`` would have sent it.

    Parameters
    ----------
    labels, delay, trouble
        As for `producers.load.Load.send`: label ``i`` comes just before event ``i + delay``.
    progress
        Called with the number of events so far.

    Returns
    -------
    dict
        The report.
    """
    # a file has no record times that event times could be compared with
    anytime = msgspec.structs.replace(definition, max_ahead=None, max_behind=None)
    processor = Processor(anytime, 0, outcomes)
    start = time.perf_counter()
    direct = _Direct(processor, outcomes, progress)
    load = Load(direct, Source.EVENTS.value, Source.LABELS.value)
    load.send(samples(rows, definition, columns), labels, delay, trouble)
    return outcomes.report.finish(time.perf_counter() - start)


def replay_topics(
    definition: Definition,
    partition: int,
    log: Log,
    outcomes: Outcomes,
    progress: Progress | None = None,
    states: States | None = None,
) -> dict[str, Any]:
    """Run a partition's inputs through a new Processor in the order that the outputs record.

    What comes out equals, byte for byte, what went out; `differences` checks it.

    Parameters
    ----------
    states
        Where states are that commands have installed.

    Raises
    ------
    LostStateError
        When one of them cannot be had any more.
    """
    start = time.perf_counter()
    for processor, record in _replayed(definition, partition, log, outcomes, states):
        outcomes.send(processor.process(record))
        if progress is not None and record.source == Source.EVENTS:
            progress(processor.books.events)
    return outcomes.report.finish(time.perf_counter() - start)


def _replayed(
    definition: Definition,
    partition: int,
    log: Log,
    observer: Observer | None = None,
    states: States | None = None,
) -> Iterator[tuple[Processor, Record]]:
    """Yield a processor and each input before it is taken.

    Where the definition is the last of several that the outputs tell of, each holds for its own time. Any
    other one holds from the first input on.
    """
    tail = Tail(log, partition, {})
    changes = tail.changes()
    last = bool(changes) and not succession.differences(parse_definition(changes[-1][1]), definition)
    first = first_definition(definition, tail) if last else definition
    processor = Processor(first, partition, observer)
    processor.states = JournaledStates(states or NoStates(), tail.installed, tail.refused)
    begin(processor, log)
    for record in _inputs(log, partition, tail):
        if last:
            tail.redefine(processor, record)
        yield processor, record


def journal(log: Log, partition: int) -> Iterator[Record]:
    """Yield all inputs of a partition in the order in which the worker applied them."""
    return _inputs(log, partition, Tail(log, partition, {}))


def _inputs(log: Log, partition: int, tail: Tail) -> Iterator[Record]:
    inputs = {source: log.read(source, partition, *log.bounds(source, partition)) for source in SOURCES}
    return in_order(tail.marks, inputs)


def differences(definition: Definition, partition: int, log: Log, states: States | None = None) -> list[str]:
    """Say where the output topics differ from what a replay gives: value, key and headers, in order.

    Parameters
    ----------
    states
        As for `replay_topics`.
    """
    sent = {topic: log.read(topic, partition, *log.bounds(topic, partition)) for topic in FILES}
    found: list[str] = []
    for processor, record in _replayed(definition, partition, log, None, states):
        for output in processor.process(record):
            value, headers = processor.codec.encode(output)
            there = next(sent[output.topic], None)
            if there is None:
                found.append(f"{output.topic}: nothing for {output.source}")
            elif (there.key, there.value, list(there.headers)) != (output.key, value, headers):
                found.append(f"{output.topic} offset {there.offset}: not the output of {output.source}")
    for topic, rest in sent.items():
        found += [f"{topic} offset {record.offset}: no input gives it" for record in rest]
    return found
