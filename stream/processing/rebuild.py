"""State from the log alone: for snapshots that cannot be used any more, and for records that are gone.

Pure, as recovery is: what is rebuilt is a `Processor` that stands where the outputs end.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from learners.contract import Contract, LabelError
from learners.definition import Definition
from learners.errors import LostStateError, MeanderError, SnapshotError
from learners.snapshot import Keys, read_header
from stream.messages import Example, Output, Prediction, Record
from stream.ports import Log, StateStore, Stored
from stream.processing.journal import SOURCES, in_order
from stream.processing.processor import Processor
from stream.processing.recovery import OUTPUTS, Tail, begin, identities
from stream.processing.segments import Read
from stream.processing.spans import Span, Without, parse_span
from stream.processing.states import States, StoredStates

Progress = Callable[[int], None]


class GoneError(LostStateError):
    """The log is not whole: what was learned from it cannot be learned from it again."""


class Rebuilt(NamedTuple):
    """A partition's state, ready to be saved.

    Attributes
    ----------
    processor
        Where the outputs end.
    outputs, topics
        Facts for its snapshot: next offset of each output, what tells the topics from others of their names.
    records
        How many it learned from anew.
    old, new
        Scores of what was answered then and would be answered now.
    """

    processor: Processor
    outputs: dict[str, int]
    topics: dict[str, str]
    records: int
    old: "Score"
    new: "Score"

    def snapshot(self, generation: int) -> bytes:
        """Return it as a store keeps it."""
        return self.processor.snapshot(outputs=self.outputs, topics=self.topics, generation=generation)


class Score:
    """How good answers were, once their labels are known.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> score = Score(Contract(parse_definition({"name": "n", "task": "regression", "features": {"x": {}}})))
    >>> score.add(2.0, 3.0), score.add(5.0, 5.0), str(score)
    (None, None, 'mean absolute error 0.5')
    """

    def __init__(self, contract: Contract) -> None:
        self._contract, self._regression = contract, contract.definition.task == "regression"
        self.answers, self.total = 0, 0.0

    def add(self, answer: Any, truth: Any) -> None:
        """Take an answer as it stands on the topic, and its label in the form that is learned."""
        try:
            said = self._contract.internal(answer)
        except LabelError:  # of another definition
            said = None
        self.answers += 1
        if self._regression:
            self.total += abs(float(said) - float(truth)) if said is not None else 0.0
        else:
            self.total += said == truth

    def __str__(self) -> str:
        if not self.answers:
            return "no labelled answer"
        mean = self.total / self.answers
        return f"mean absolute error {mean:.4g}" if self._regression else f"{100 * mean:.1f}% right"


class _Judge:
    """Scores what went out beside what comes out now, as labels come."""

    def __init__(self, definition: Definition) -> None:
        contract = Contract(definition)
        self.old, self.new = Score(contract), Score(contract)
        self.then: dict[int, Any] = {}  # what was answered, by offset of the event
        self._now: dict[int, Any] = {}
        self._labelled: list[Example] = []

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        """Take an example whose label came (see `stream.ports.Observer`)."""
        self._labelled.append(example)

    def corrected(self, example: Example, before: Any, slots: tuple[str, ...]) -> None:
        """Take a label that replaces another: the first one counts."""
        if before is UNSET:
            self._labelled.append(example)

    def answered(self, record: Record, outputs: list[Output]) -> None:
        """Take what an input gave."""
        for output in outputs:
            if isinstance(output.message, Prediction):
                self._now[record.offset] = output.message.prediction
        for example in self._labelled:
            now, then = self._now.pop(example.offset, None), self.then.pop(example.offset, None)
            if now is not None and then is not None:  # side by side, or not at all
                self.old.add(then, example.label)
                self.new.add(now, example.label)
        self._labelled.clear()


class _Answer(msgspec.Struct):
    prediction: Any


def rebuild(
    definition: Definition,
    partition: int,
    log: Log,
    store: StateStore,
    keys: Keys,
    *,
    accept_loss: bool = False,
    progress: Progress | None = None,
) -> str:
    """Put state made from the log on top of a partition's snapshots; returns what was done, in words.

    Parameters
    ----------
    store
        The partition locked in it: no worker runs.
    keys
        Of snapshots.
    accept_loss, progress
        As for `learn_anew`.

    Raises
    ------
    GoneError
        When the log is not whole and that was not accepted.
    """
    kept, states = store.load(partition), StoredStates(partial(store.get, partition), lambda: keys)
    known: Mapping[str, str] = {}
    for stored in reversed(kept):
        with suppress(SnapshotError):
            known = read_header(stored.read())[0].facts.get("topics", known)
    try:
        rebuilt = learn_anew(definition, partition, log, keys, known, states, progress=progress)
        said = f"{rebuilt.records:,} records learned anew; then {rebuilt.old}, now {rebuilt.new}"
    except GoneError as error:
        if not accept_loss:
            raise GoneError(f"{error}. To go on without: meander rebuild DEFINITION --accept-loss") from None
        restored = _newest(definition, partition, kept, keys, partial(store.read, partition))
        if restored is not None:
            rebuilt = go_on(*restored, log)
            said = f"{error}; what the newest snapshot has learned is kept"
        else:
            rebuilt = learn_anew(
                definition, partition, log, keys, known, states, accept_loss=True, progress=progress
            )
            said = f"{error}; {rebuilt.records:,} records that are left were learned anew; now {rebuilt.new}"
    generation = max((stored.generation for stored in kept), default=0) + 1
    store.save(partition, rebuilt.snapshot(generation), generation)
    return f"partition {partition}: {said}"


def _newest(
    definition: Definition, partition: int, kept: Sequence[Stored], keys: Keys, read: Read
) -> tuple[Processor, dict[str, Any]] | None:
    for stored in kept:
        processor = Processor(definition, partition, keys=keys)
        with suppress(SnapshotError):
            return processor, processor.restore(stored.read(), stored.generation, read)
    return None


def learn_anew(
    definition: Definition,
    partition: int,
    log: Log,
    keys: Keys,
    known: Mapping[str, str],
    states: States,
    *,
    accept_loss: bool = False,
    progress: Progress | None = None,
) -> Rebuilt:
    """Learn a partition again from its inputs, in the order that the outputs record. Nothing is sent.

    The definition may be another than the one the outputs were made with: the order is theirs, what is
    learned is the new one's.

    Parameters
    ----------
    keys
        That sign its snapshot.
    known
        Identities of the topics that the newest snapshot stands on, as far as there is one.
    states
        Where states are that were installed. What one had left out that does not fit any more is left out
        from the start instead.
    accept_loss
        Learn from what is left.
    progress
        Called with each number of records done.

    Raises
    ------
    GoneError
        When records are gone that had been learned from.
    """
    tail = Tail(log, partition, {})
    if not accept_loss:
        check_whole(partition, log, tail, known)
    judge = _Judge(definition)
    decode = msgspec.json.Decoder(_Answer).decode
    for record in log.read("predictions", partition, *log.bounds("predictions", partition)):
        source = dict(record.headers)["meander-source"].decode()
        judge.then[int(source.split(":")[2])] = decode(record.value or b"").prediction
    processor = Processor(definition, partition, judge, keys=keys)
    processor.states = states
    begin(processor, log)
    without = Without(_lost(definition, tail, states), processor.codec, commands=True)
    inputs = {source: log.read(source, partition, *log.bounds(source, partition)) for source in SOURCES}
    count = 0
    for count, record in enumerate(in_order(tail.marks, inputs), 1):
        kept = without(record)
        if kept is None:
            processor.next[record.source] = record.offset + 1
        else:
            judge.answered(record, processor.process(kept))
        if progress is not None:
            progress(count)
    return Rebuilt(processor, tail.ends, identities(log), count, judge.old, judge.new)


def _lost(definition: Definition, tail: Tail, states: States) -> list[Span]:
    """Return the spans that installed states had left out which cannot be installed again."""
    found: list[Span] = []
    for position, told in tail.installed.items():
        try:
            states.find(definition, str(told.evidence.get("digest")), position)
        except MeanderError:
            found += map(parse_span, told.evidence.get("left_out", ()))
    return found


def go_on(processor: Processor, facts: Mapping[str, Any], log: Log) -> Rebuilt:
    """Keep what was learned, and go on with the records that are there: those in between are gone.

    Parameters
    ----------
    processor
        Restored from the newest sound snapshot.
    facts
        Of that snapshot.
    """
    partition, topics = processor.partition, identities(log)
    known = facts.get("topics", {})

    def anew(topic: str) -> bool:
        return bool(known.get(topic, topics.get(topic)) != topics.get(topic))

    journal = True  # whether the outputs still speak of the inputs that are there
    for source in SOURCES:
        first, end = log.bounds(source, partition)
        if anew(source) or processor.next[source] > end:
            processor.next[source], journal = first, False
        processor.next[source] = max(first, processor.next[source])
    outputs = {}
    for topic in OUTPUTS:
        first, end = log.bounds(topic, partition)
        start = facts["outputs"].get(topic, first)
        outputs[topic] = end if not journal else first if anew(topic) or start > end else start
    contract = Contract(processor.definition)
    return Rebuilt(processor, outputs, topics, 0, Score(contract), Score(contract))


def check_whole(partition: int, log: Log, tail: Tail, known: Mapping[str, str]) -> None:
    """Make sure that all that was learned from can be learned from again.

    Raises
    ------
    GoneError
        When it cannot.
    """
    answers_gone = any(log.bounds(topic, partition)[0] for topic in OUTPUTS)
    now = identities(log)
    for source in SOURCES:
        place = f"{source}[{partition}]"
        first, end = log.bounds(source, partition)
        reached = [mark.offset for mark in tail.marks if mark.source == source]
        if known.get(source, now.get(source)) != now.get(source) or max(reached, default=-1) >= end:
            raise GoneError(f"{place} was made anew: what was learned from the old one is in no log any more")
        if first and (answers_gone or min(reached, default=first) < first):
            raise GoneError(f"{place} begins at {first}: retention took records that had been learned from")
