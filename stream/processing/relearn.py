"""A state learned again from the log, beside the worker: without spans of it, or up to a version.

Pure, and nothing is sent: what comes out is a candidate, and how it compares with what went out.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import structs

from learners.candidate import Candidate, Origin, Scored, unpack
from learners.contract import Contract, LabelError
from learners.definition import Definition
from learners.errors import MeanderError
from learners.lineage import Point
from learners.roster import Cause, Mode
from learners.tasks import Multiclass, Task
from stream.messages import Example, Output, Prediction, Record
from stream.ports import Log
from stream.processing.installing import install, taken, version_of
from stream.processing.journal import SOURCES, in_order
from stream.processing.processor import THIS_PROCESS, Processor, position_of
from stream.processing.rebuild import Progress, check_whole
from stream.processing.recovery import Tail, begin, first_definition
from stream.processing.spans import CONTROL, LABELS, Span, Without, parse_span
from stream.processing.states import JournaledStates, States

LATELY = 1000  # labels
NEAR = 1000  # records behind the end of the log that are near enough
ROUNDS = 5  # of catching up with a worker that goes on meanwhile
BEFORE, SINCE, ALL, RECENT = "before", "since", "all", "lately"


class Judge:
    """Scores, as labels come, what went out beside what comes out now, over the same labels.

    Parameters
    ----------
    definition
        Of the processor whose answers come now.

    Attributes
    ----------
    task
        That processor's.
    period
        What the answers that come now belong to.
    """

    task: Task

    def __init__(self, definition: Definition) -> None:
        self._contract = Contract(definition)
        self._numbers = definition.task == "regression"
        self.period = BEFORE
        self._sums: dict[str, list[float]] = {}
        self._lately: deque[tuple[float, ...]] = deque(maxlen=LATELY)
        self._then: Iterator[Record] = iter(())
        self._ahead: tuple[int, Any] | None = None
        self._said: dict[int, tuple[str, Any, Any]] = {}  # by offset of the event, until its label comes
        self._labelled: list[Example] = []
        self._answer = msgspec.json.Decoder(_Answer).decode

    def follow(self, predictions: Iterator[Record]) -> None:
        """Take what went out, in order."""
        self._then, self._ahead = predictions, None

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        """Take an example whose label came (see `stream.ports.Observer`)."""
        self._labelled.append(example)

    def corrected(self, example: Example, before: Any, slots: tuple[str, ...]) -> None:
        """Take a label that replaces another: the first one counts."""
        if before is msgspec.UNSET:
            self._labelled.append(example)

    def answered(self, record: Record, outputs: Iterable[Output]) -> None:
        """Take what an input gave now."""
        for output in outputs:
            if isinstance(output.message, Prediction):
                then = self._of(record.offset)
                if then is not None:
                    self._said[record.offset] = self.period, then, output.message.prediction
        for example in self._labelled:
            said = self._said.pop(example.offset, None)
            if said is not None and not example.broken:
                self._score(said, example.label)
        self._labelled.clear()

    def _of(self, offset: int) -> Any:
        """Return what was answered then to the event at an offset, None where nothing went out."""
        while self._ahead is None or self._ahead[0] < offset:
            record = next(self._then, None)
            if record is None:
                return None
            source = dict(record.headers)["meander-source"].decode()
            self._ahead = int(source.split(":")[2]), self._answer(record.value or b"").prediction
        return self._ahead[1] if self._ahead[0] == offset else None

    def _score(self, said: tuple[str, Any, Any], truth: Any) -> None:
        period, *answers = said
        row: list[float] = [1.0]
        for answer in answers:
            loss, shown = self._worth(answer, truth)
            row += [loss, shown]
        for name in (period, ALL):
            sums = self._sums.setdefault(name, [0.0] * len(row))
            for at, value in enumerate(row):
                sums[at] += value
        self._lately.append(tuple(row))

    def _worth(self, answer: Any, truth: Any) -> tuple[float, float]:
        """Return the declared loss of an answer as it stands on the topic, and what people read."""
        try:
            said = self._contract.internal(answer)
        except LabelError:  # of another definition
            return 1.0, 0.0
        if self._numbers:
            return self.task.loss(said, truth), abs(said - truth)
        task = self.task
        if isinstance(task, Multiclass):
            one = tuple(float(label == said) for label in task.classes)
            return (task.loss(one, truth) if any(one) else 1.0), float(said == truth)
        return task.loss(float(said), truth), float(said == truth)

    def scores(self) -> tuple[Scored, ...]:
        """Return the comparison, period by period."""
        found = [(name, self._sums[name]) for name in (BEFORE, SINCE, ALL) if name in self._sums]
        if ALL in self._sums and self._sums[ALL][0] > LATELY:
            found.append((RECENT, [sum(column) for column in zip(*self._lately, strict=True)]))
        return tuple(self._scored(name, sums) for name, sums in found)

    def _scored(self, period: str, sums: Sequence[float]) -> Scored:
        labels, then, then_shown, now, now_shown = sums
        shown = (self._shown(then_shown / labels), self._shown(now_shown / labels))
        return Scored(period, int(labels), then / labels, now / labels, shown)

    def _shown(self, mean: float) -> str:
        return f"off by {mean:.4g}" if self._numbers else f"{100 * mean:.1f}% right"


class _Answer(msgspec.Struct):
    prediction: Any


def learn_without(
    definition: Definition,
    partition: int,
    log: Log,
    spans: Sequence[Span],
    progress: Progress | None = None,
    *,
    accept_loss: bool = False,
) -> Candidate:
    """Learn the log again without spans of it, under the definition of now.

    What installed states had left out before is left out as well. While a worker goes on, so does this, until
    near the end of the log.

    Parameters
    ----------
    accept_loss
        Learn from what is left of the log.

    Raises
    ------
    GoneError
        When records are gone that had been learned from, and that was not accepted.
    MeanderError
        When nothing lies in the spans, or they name labels where these come inside events.
    """
    if any(span.source == LABELS for span in spans) and not log.bounds(LABELS, partition)[1]:
        raise MeanderError(
            f"partition {partition} has no label on the labels topic: labels come inside events here. "
            "Leave out the events that carry them, e.g. 1000..2000"
        )
    tail = Tail(log, partition, {})
    if not accept_loss:
        check_whole(partition, log, tail, {})
    told = dict.fromkeys(span.told for span in spans)
    told |= dict.fromkeys(span for t in tail.installed.values() for span in t.evidence.get("left_out", ()))
    job = _Job(definition, partition, log)
    judge, processor = job.judge, job.processor
    without = Without(map(parse_span, told), processor.codec)
    for _ in range(ROUNDS):
        judge.follow(log.read("predictions", partition, job.reached, tail.ends["predictions"]))
        job.reached, before = tail.ends["predictions"], job.records
        for record in job.inputs(tail, progress):
            kept = without(record)
            if without.begun:
                judge.period = SINCE
            if kept is None:
                processor.next[record.source] = record.offset + 1
            else:
                judge.answered(record, processor.process(kept))
        if job.records - before < NEAR:
            break
        tail = Tail(log, partition, tail.ends)
    if not without.begun and spans:
        raise MeanderError(f"no event and no label lies in {', '.join(told)}: nothing is left out")
    origin = structs.replace(
        job.origin(),
        left_out=tuple(told),
        events=without.events,
        labels=without.labels,
        scores=judge.scores(),
    )
    return taken(processor.learn, processor.repair.state(), origin)


def learn_to(
    definition: Definition,
    partition: int,
    log: Log,
    version: tuple[int, int],
    states: States,
    progress: Progress | None = None,
) -> Candidate:
    """Run the log again, as it was, until a version stood as it is named; then let it answer what came since.

    Parameters
    ----------
    version
        Its number, and how many examples it had learned.
    states
        Where states are that were installed.

    Raises
    ------
    GoneError
        When records are gone that had been learned from.
    MeanderError
        When that version never was.
    """
    tail = Tail(log, partition, {})
    check_whole(partition, log, tail, {})
    job = _Job(first_definition(definition, tail), partition, log)
    judge, processor = job.judge, job.processor
    processor.states = JournaledStates(states, tail.installed, tail.refused)
    inputs = job.inputs(tail, progress)
    candidate = None
    for record in inputs:
        tail.redefine(processor, record)
        processor.process(record)
        candidate = version_of(processor.learn, *version, job.origin)
        if candidate is not None:
            break
    if candidate is None:
        raise MeanderError(
            f"v{version[0]}@{version[1]} never was: meander versions list shows what there was"
        )
    kept = candidate.pack(processor.definition, THIS_PROCESS)  # as it is now
    _try_out(processor, candidate)
    judge.period, judge.task = SINCE, processor.learn.task
    judge.follow(log.read("predictions", partition, *log.bounds("predictions", partition)))
    for record in inputs:
        if record.source != CONTROL:
            judge.answered(record, processor.process(record))
    candidate = unpack(processor.definition, kept, THIS_PROCESS)
    return structs.replace(candidate, origin=structs.replace(candidate.origin, scores=judge.scores()))


def _try_out(processor: Processor, candidate: Candidate) -> None:
    """Let a candidate answer from here on, as it is: nothing learns, nothing decides."""
    processor.redefine(structs.replace(processor.definition, policy=()))
    install(processor.learn, candidate, "", "", 0, "")
    roster = processor.learn.roster
    roster.mode, roster.cause = Mode.CHAMPION, None
    roster.frozen, roster.frozen_by = True, Cause.HAND


class _Job:
    """A processor that learns again, and how far it has come."""

    def __init__(self, definition: Definition, partition: int, log: Log) -> None:
        self._log, self._partition = log, partition
        self.judge = Judge(definition)
        self.processor = Processor(definition, partition, self.judge)
        self.judge.task = self.processor.learn.task
        begin(self.processor, log)
        self.reached = log.bounds("predictions", partition)[0]
        self.records = 0
        self._since: Point | None = None
        self._position = ""

    def inputs(self, tail: Tail, progress: Progress | None) -> Iterator[Record]:
        """Yield the inputs from where the processor stands up to the end of what went out."""
        log, partition, follows = self._log, self._partition, self.processor.next
        ends = {source: log.bounds(source, partition)[1] for source in SOURCES}
        spans = {source: log.read(source, partition, follows[source], ends[source]) for source in SOURCES}
        for record in in_order(tail.marks, spans):
            self.records += 1
            self._position = position_of(record)
            yield record
            self._since = self._since or self._here()
            if progress is not None:
                progress(self.records)

    def _here(self) -> Point:
        return Point(self._position, max(0, self.processor.serve.watermark))

    def origin(self) -> Origin:
        """Return what was learned from so far."""
        return Origin(
            partition=self._partition,
            since=self._since or self._here(),
            until=self._here(),
            records=self.records,
            next=dict(self.processor.next),
        )
