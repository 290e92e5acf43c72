"""The whole system as one call: a record in, outputs out. Deterministic given its snapshot."""

import re
import secrets
from collections import Counter, deque
from typing import Any

import msgspec
from msgspec import UNSET

from learners import snapshot as snapshots
from learners.contract import TIME_LIMIT, Contract
from learners.definition import Definition
from learners.detectors import Signal
from learners.errors import MeanderError, SnapshotError
from learners.lineage import Kind, Transition
from learners.repair import Repair
from learners.snapshot import Keys
from learners.succession import differences
from learners.watch.watcher import Watcher
from stream.codec import Codec, Decoded, RefusalError
from stream.messages import (
    DeadLetter,
    Event,
    Example,
    Forget,
    LabelRecord,
    Output,
    Prediction,
    Reason,
    Record,
    Source,
    Tick,
)
from stream.ports import Observer
from stream.processing.books import Books
from stream.processing.installing import install
from stream.processing.learn import Learn
from stream.processing.segments import Appended, Read
from stream.processing.serve import MOST_AT_A_TICK, MOST_AT_ONCE, NEVER, Joined, Serve, Todo
from stream.processing.settled import Fate
from stream.processing.standing import (
    AGES,
    CHANGES,
    NEARLY_FULL,
    RECENT,
    LabelStanding,
    Standing,
    advice_of,
    foreseen,
    kept_of,
    members_of,
    resume_conditions,
)
from stream.processing.states import NoStates, States

THIS_PROCESS = Keys(secrets.token_bytes(32))  # for snapshots that no other process will read; decides nothing
EVENTS, LABELS, CONTROL = Source.EVENTS.value, Source.LABELS.value, Source.CONTROL.value
MOST_DELAYS = 2000
DIGEST = re.compile("[0-9a-f]{32}")
MOST_QUIET = 40  # turns of silent inputs between two outputs; a header must not grow without end


class Processor:
    """One partition of a deployment: `Serve` and `Learn`, meeting at the `Example`.

    Knows no Kafka, no clock, no I/O: records of the three inputs go in, in the order in which they are
    to count, and predictions, transitions and dead letters come out.

    Parameters
    ----------
    definition
        The deployment.
    partition
        The partition number, of all topics.
    observer
        Told of every label that met its event.
    keys
        That snapshots are signed with. Without any they can be restored in this process only.

    Attributes
    ----------
    states
        Where states are that commands install.
    untold
        Changes of the definition that go out with the next record.
    delays
        Milliseconds of event time that the last labels on their own topic came after their events: whoever
        counts them takes them out.
    commands
        What became of operators' commands, by action and ``applied`` or ``rejected``; taken out as well.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> processor = Processor(parse_definition({
    ...     "name": "fraud", "task": "binary", "features": {"amount": {}},
    ...     "label": {"classes": ["legit", "fraud"]},
    ... }))
    >>> value = b'{"id": "e1", "timestamp": 5, "features": {"amount": 12.5}, "label": "fraud"}'
    >>> started, answer = processor.process(Record("events", 0, 0, 7, None, value))
    >>> answer.topic, answer.message.served_by, answer.source
    ('predictions', 'default', 'events:0:0')
    """

    def __init__(
        self,
        definition: Definition,
        partition: int = 0,
        observer: Observer | None = None,
        keys: Keys = THIS_PROCESS,
    ) -> None:
        self.definition, self.partition, self._keys = definition, partition, keys
        contract = Contract(definition)
        prefix = definition.name if definition.scope == "deployment" else f"{definition.name}/p{partition}"
        self.books = Books()
        self.codec = Codec(contract)
        self.repair = Repair(definition.features)
        self.learn = Learn(definition, contract, prefix)
        self.serve = Serve(definition, contract, self.learn.task, self.books, partition, self.learn.residuals)
        self.watcher = Watcher(definition)
        self.next: dict[str, int] = {EVENTS: 0, LABELS: 0, CONTROL: 0}
        self._observer = observer
        self.revision = 0  # how often the roster changed
        self._recent: deque[Transition] = deque(maxlen=RECENT)
        self._sizes: dict[int, int] = {}  # bytes of each member in the last snapshot
        self.delays: deque[int] = deque(maxlen=MOST_DELAYS)
        self.commands: Counter[tuple[str, str]] = Counter()
        self._born = self._announced = False
        self.untold: list[Transition] = []
        self.states: States = NoStates()
        self._handlers = {EVENTS: self._event, LABELS: self._label, CONTROL: self._control}
        self._inputs: dict[str, str] = {}
        self._quiet: list[
            tuple[str, int]
        ] = []  # inputs since the last output: (source, next offset) in turns

    def redefine(self, definition: Definition) -> bool:
        """Go on under another definition with everything that was learned; returns whether it is another.

        It is told with the outputs of the next record, which is the first that it holds for.

        Raises
        ------
        IncompatibleSnapshotError
            When what was learned does not fit it; nothing is changed then.
        """
        if not differences(self.definition, definition):
            return False
        snapshots.check_fits(snapshots.fingerprint(self.definition), definition)
        new = Processor(definition, self.partition)
        self.untold.append(new.learn.take_over(self.learn))
        new.serve.resume(self.serve.state())
        new.repair.resume(self.repair.state())
        new.watcher.resume(self.watcher.state())
        self._become(new)
        self._announced = False
        return True

    def _become(self, other: "Processor") -> None:
        """Take over everything that follows from another definition."""
        self.definition, self.books, self.codec = other.definition, other.books, other.codec
        self.repair, self.learn, self.serve = other.repair, other.learn, other.serve
        self.watcher = other.watcher

    def process(self, record: Record) -> list[Output]:
        """Take one record; a record before its topic's next offset was taken already and gives nothing."""
        source = record.source
        if record.offset < self.next[source]:
            return []
        if not 0 <= record.timestamp <= TIME_LIMIT:  # no time at all: the time that was reached counts
            record = msgspec.structs.replace(record, timestamp=max(0, self.serve.watermark))
        outputs: list[Output] = []
        births: list[Transition] = []
        if not self._announced:
            births = self._announce(record, outputs)
        self._handlers[source](record, outputs)
        for birth in births:  # dated by the first event, where this is one
            birth.timestamp = self._time(record)
            self.learn.registry.redate(birth)
        self.next[source] = record.offset + 1
        for output in outputs:
            if output.topic == "predictions":
                self.books.predicted += 1
            else:
                self.books.leave(source, output)
        if not outputs:
            self._pass(source, record, outputs)
        elif self._quiet:
            self._quiet.clear()
            self._inputs.clear()
        if source != EVENTS:
            self._inputs.clear()
        return outputs

    def _announce(self, record: Record, outputs: list[Output]) -> list[Transition]:
        """Tell what is new since the record before: births, which are returned, and other definitions."""
        self._announced = True
        position, births = position_of(record), []
        if not self._born:
            self._born = True
            births = self.learn.birth(record.timestamp, position)
            self._emit(outputs, record, births)
        untold, self.untold = self.untold, []
        for transition in untold:
            transition.timestamp, transition.position = self._time(record), position
        self._emit(outputs, record, untold)
        return births

    def _time(self, record: Record) -> int:
        """Return the watermark; before there is one, the record's own time."""
        watermark = self.serve.watermark
        return record.timestamp if watermark == NEVER else watermark

    def _pass(self, source: str, record: Record, outputs: list[Output]) -> None:
        """Note an input that left no output, so that its place can be told from the next one that does."""
        quiet = self._quiet
        if quiet and quiet[-1][0] == source:
            quiet[-1] = (source, record.offset + 1)
        elif len(quiet) < MOST_QUIET:
            quiet.append((source, record.offset + 1))
        else:
            reason = "Many inputs came by turns and left no output: here is how they were ordered."
            transition = Transition(
                kind=Kind.ORDERED,
                timestamp=self.serve.watermark,
                position=position_of(record),
                reason=reason,
            )
            self._emit(outputs, record, [transition])
            quiet.clear()
            self._inputs.clear()

    # -- inputs ------------------------------------------------------------------------------------

    def _event(self, record: Record, outputs: list[Output]) -> None:
        books, serve, learn = self.books, self.serve, self.learn
        books.events += 1
        try:
            decoded = self.codec.event(record)
        except RefusalError as refusal:
            self._refuse(outputs, record, refusal)
            return
        event = decoded.event
        if event.label is not UNSET:
            books.labels += 1
        if serve.knows(event.id):
            self._known(record, decoded, outputs)
            return
        if self.repair.needed and not decoded.broken:
            self._repair(decoded)
        roster = learn.roster
        prediction, example, asked = serve.answer(record, decoded, roster)
        source = f"events:{record.partition}:{record.offset}"
        inputs = self._inputs.get(EVENTS) or self._inputs_of(EVENTS)
        outputs.append(Output("predictions", prediction, record.key, record.timestamp, source, inputs))
        if decoded.broken:
            self._broke(record, decoded, outputs)
        else:
            number = asked.panel[asked.served] if asked.served >= 0 else None
            learn.foresight.answered(example.ordinal, example.timestamp, number, asked.answer)
        if asked.broken:
            for member, error in asked.broken:
                self._emit(outputs, record, learn.fail(member, error, serve.watermark, source))
        signals = self.watcher.event(
            example.features,
            prediction.prediction if prediction.model_version is not None else None,
            roster.champion.number if roster.champion_serves else -1,
            decoded.violations,
            decoded.flags,
            record.key,
            record.headers,
            serve.watermark,
        )
        if signals:
            self._emit(outputs, record, [self._signalled(s, source) for s in signals])
        if learn.heeds_events:
            self._emit(outputs, record, learn.elapsed(signals, serve.predicted, serve.watermark, source))
        if event.label is not UNSET:
            self._label_inside(record, example, event, source, outputs)
        else:
            early = serve.take_early(event.id)
            serve.wait(example)
            if early is not None:
                self._apply_label(record, early, example.timestamp, outputs)
        if serve.overdue():
            self._expire(record, outputs)

    def _known(self, record: Record, decoded: Decoded, outputs: list[Output]) -> None:
        """Take an event whose id was answered before."""
        self.books.duplicate += 1
        event = decoded.event
        if event.id in self.serve.broken and not decoded.broken and self._repair(decoded):
            self._make_good(record, decoded, outputs)
        elif event.label is not UNSET:
            self.books.duplicate_label += 1

    def _broke(self, record: Record, decoded: Decoded, outputs: list[Output]) -> None:
        """Refuse a copy of an event that breaks the contract, beside the answer it was given by a rule."""
        problems = [f"{name} {problem}" for name, problem in decoded.violations.items()]
        reason = Reason.CONTRACT if problems else Reason.TIMESTAMP
        if decoded.untimely:
            problems.append(decoded.untimely)
        self._refuse(outputs, record, RefusalError(reason, "; ".join(problems)[:1000]))

    def _signalled(self, signal: Signal, position: str) -> Transition:
        return Transition(
            kind=Kind.SIGNAL,
            timestamp=self.serve.watermark,
            position=position,
            reason=signal.about,
            evidence=signal.evidence(),
        )

    def _heard(self, record: Record, ended: Signal, outputs: list[Output]) -> None:
        """Tell that labels are back."""
        time, position = self.serve.watermark, position_of(record)
        transition = Transition(
            kind=Kind.SIGNAL_ENDED,
            timestamp=time,
            position=position,
            reason=ended.about,
            evidence={"signal": str(ended.kind), "events": ended.labels},
        )
        self._emit(outputs, record, [transition])
        if self.learn.heeds_events:
            self._emit(outputs, record, self.learn.elapsed([ended], None, time, position))

    def _repair(self, decoded: Decoded) -> bool:
        """Apply the contract's policies; returns whether models may see the event."""
        self._apply(decoded, remember=True)
        repairs = self.books.repairs
        for flag in decoded.flags:
            repairs[flag] = repairs.get(flag, 0) + 1
        return not decoded.violations

    def _apply(self, decoded: Decoded, *, remember: bool) -> None:
        if self.repair.needed:
            sent = decoded.event.features
            features, decoded.flags, decoded.violations = self.repair(sent, remember=remember)
            decoded.broken = bool(decoded.violations)
            if decoded.flags:
                decoded.event.features, decoded.sent = features, sent

    def preview(self, record: Record) -> Prediction:
        """Return what the answer to an event would be now. Nothing is counted, kept or learned.

        Raises
        ------
        RefusalError
            When the envelope is not valid.
        """
        decoded = self.codec.event(record)
        if not decoded.broken:
            self._apply(decoded, remember=False)
        task = self.learn.task
        known = task.state()
        try:
            return self.serve.answer(record, decoded, self.learn.roster, note=False)[0]
        finally:
            task.resume(known)  # a class that was named for the first time joins at its event

    def _make_good(self, record: Record, decoded: Decoded, outputs: list[Output]) -> None:
        """Take an event that had broken the contract and was sent again put right: learned, not answered."""
        serve, books, label = self.serve, self.books, decoded.event.label
        before = serve.broken.get(decoded.event.id)
        _, example, asked = serve.answer(record, decoded, self.learn.roster)
        serve.broken.forget(example.id)
        books.corrected += 1
        source = position_of(record)
        for member, error in asked.broken:
            self._emit(outputs, record, self.learn.fail(member, error, serve.watermark, source))
        if label is not UNSET:
            self._label_inside(record, example, decoded.event, source, outputs)
        elif before is not None and before.labelled:  # it came before, and was told as scored only
            books.scored_only -= 1
            example.label, example.weight = before.label, before.weight
            serve.settled.add(example.id, Fate.LABELLED, example, serve.scored)
            self._learn(record, example, source, outputs)
        else:
            serve.wait(example)

    def _label_inside(
        self, record: Record, example: Example, event: Event, position: str, outputs: list[Output]
    ) -> None:
        serve = self.serve
        try:
            example.label = serve.label_of(event.label)
        except RefusalError as refusal:
            self._refuse(outputs, record, refusal)
            serve.wait(example)  # a right label may still come on the labels topic
            return
        example.weight = event.weight
        if example.broken:
            serve.wait(example)
        else:
            serve.settled.add(example.id, Fate.LABELLED, example, serve.scored)
        ended = self.watcher.silence.label(serve.watermark)
        if ended is not None:
            self._heard(record, ended, outputs)
        self._learn(record, example, position, outputs)

    def _label(self, record: Record, outputs: list[Output]) -> None:
        self.books.labels += 1
        try:
            label = self.codec.label(record)
        except RefusalError as refusal:
            self._refuse(outputs, record, refusal)
            return
        time = record.timestamp if label.timestamp is None else label.timestamp
        ended = self.watcher.silence.label(self.serve.watermark)
        if ended is not None:
            self._heard(record, ended, outputs)
        self._apply_label(record, label, time, outputs)

    def _apply_label(self, record: Record, label: LabelRecord, time: int, outputs: list[Output]) -> None:
        try:
            joined = self.serve.match(label, time)
        except RefusalError as refusal:
            self._refuse(outputs, record, refusal)
            return
        if joined is None:
            return
        self.delays.append(time - joined.example.timestamp)
        if joined.before is UNSET and joined.todo is Todo.LEARN:
            self._learn(record, joined.example, position_of(record), outputs)
        else:
            self._correct(record, joined, outputs)

    def _learn(
        self, record: Record, example: Example, position: str, outputs: list[Output], *, came: bool = True
    ) -> None:
        """Score and learn what has its label, and write into the books which of both."""
        learn, serve, books = self.learn, self.serve, self.books
        if not came:  # the label was assumed
            pass
        elif example.broken or learn.roster.frozen or not example.weight:
            books.scored_only += 1
        else:
            books.learned += 1
        if self._observer is not None:
            self._observer.labelled(learn.told(example), self._slots(example))
        if example.broken:
            return
        lag = serve.predicted - example.ordinal - 1
        transitions = learn.learn(example, lag, serve.watermark, position)
        serve.scored += 1
        if transitions:
            self._emit(outputs, record, transitions)

    def _slots(self, example: Example) -> tuple[str, ...]:
        by_number = self.learn.roster.by_number
        return tuple(by_number[n].slot if n in by_number else "" for n in example.panel)

    def _correct(self, record: Record, joined: Joined, outputs: list[Output]) -> None:
        """Score what was scored with another label before, or what may be scored but not learned."""
        serve, books, example = self.serve, self.books, joined.example
        again = joined.todo is Todo.LEARN
        if joined.todo is Todo.CORRECT:
            again = self.definition.label.on_correction == "learn-again"
        teach = again and not example.broken and not self.learn.roster.frozen and bool(example.weight)
        if joined.todo is Todo.CORRECT:
            books.relabelled += 1
            books.relearned += teach
        elif teach:
            books.learned += 1
        else:
            books.scored_only += 1
        if self._observer is not None:
            self._observer.corrected(self.learn.told(example), joined.before, self._slots(example))
        if example.broken:
            return
        since = serve.scored - joined.mark - 1
        transitions = self.learn.correct(
            example, joined.before, since, teach, serve.watermark, position_of(record)
        )
        if joined.before is UNSET:
            serve.scored += 1
        self._emit(outputs, record, transitions)

    def _expire(self, record: Record, outputs: list[Output], most: int = MOST_AT_ONCE) -> int:
        """End the waits that are over; learn from those that are taken to have the declared label."""
        count, assumed = self.serve.expire(most)
        for example in assumed:
            self._learn(record, example, position_of(record), outputs, came=False)
        return count

    def _control(self, record: Record, outputs: list[Output]) -> None:
        self.books.control += 1
        try:
            control = self.codec.control(record)
        except RefusalError as refusal:
            self._refuse(outputs, record, refusal)
            return
        position = position_of(record)
        if isinstance(control, Forget):
            self._emit(outputs, record, [self._forgotten(control, record)])
            return
        if not isinstance(control, Tick):
            time = self._time(record)
            made = self.learn.command(control, time, position, record.timestamp, self.revision, self._install)
            rejected = any(transition.kind is Kind.REJECTED for transition in made)
            self.commands[control.action, "rejected" if rejected else "applied"] += 1
            self._emit(outputs, record, made)
            return
        self.serve.pass_time(control.timestamp)
        expired = self._expire(record, outputs, MOST_AT_A_TICK)
        if expired:
            # recorded, because its place among the labels cannot be told from the other outputs
            transition = Transition(
                kind=Kind.EXPIRED,
                timestamp=self.serve.watermark,
                position=position,
                reason=f"{expired} predictions have waited for their labels long enough.",
                evidence={"expired": expired},
            )
            self._emit(outputs, record, [transition])

    def _install(self, digest: str | None, reason: str, timestamp: int, position: str) -> list[Transition]:
        """Install the state of a digest; raises `MeanderError` where it is not there or does not fit."""
        if digest is None or not DIGEST.fullmatch(digest):
            raise MeanderError(f"{digest!r} is no digest of a state: meander rebuild prints one")
        candidate = self.states.find(self.definition, digest, position)
        made = install(self.learn, candidate, digest, reason, timestamp, position)
        if candidate.rest is not None:
            self.repair.resume(candidate.rest.repair)
        return made

    def _forgotten(self, control: Forget, record: Record) -> Transition:
        counts = self.serve.forget(control.key.encode())
        self.learn.forget_examples()
        self.watcher.forget()
        self.repair.forget()
        return Transition(
            kind=Kind.FORGOTTEN,
            timestamp=self._time(record),
            position=position_of(record),
            reason=f"{sum(counts.values())} events of one entity were forgotten: their labels teach nothing.",
            evidence=counts,
            requested_by=control.operator,
            command=control.id,
        )

    def forget_counts(self) -> None:
        """Begin anew with delays and commands: they were counted, or are not to be."""
        self.delays.clear()
        self.commands.clear()

    # -- outputs -----------------------------------------------------------------------------------

    def _emit(self, outputs: list[Output], record: Record, transitions: list[Transition]) -> None:
        if transitions:
            self.learn.registry.note(transitions)
        for transition in transitions:
            self._recent.append(transition)
            self.revision += transition.kind in CHANGES
            self._put(outputs, record, "transitions", transition)

    def _refuse(self, outputs: list[Output], record: Record, refusal: RefusalError) -> None:
        letter = DeadLetter(
            reason=refusal.reason, sentence=refusal.sentence, value=record.value, headers=record.headers
        )
        self._put(outputs, record, "dead-letters", letter)

    def _put(
        self, outputs: list[Output], record: Record, topic: str, message: Transition | DeadLetter
    ) -> None:
        source = position_of(record)
        index = sum(1 for output in outputs if output.topic == topic)
        if index:
            source = f"{source}:{index}"
        inputs = self._inputs_of(record.source)
        outputs.append(Output(topic, message, record.key, record.timestamp, source, inputs))

    def _inputs_of(self, source: str) -> str:
        """Say what had been applied from the other topics before (the ``meander-inputs`` header).

        Where silent inputs of several topics came by turns, every turn is named.
        """
        inputs = self._inputs.get(source)
        if inputs is None:
            if len(self._quiet) > 1:
                turns = self._turns(source)
            else:  # the order that is taken for granted
                turns = [(other, n) for other, n in self.next.items() if other != source]
            inputs = self._inputs[source] = ",".join([f"{name}={n}" for name, n in turns])
        return inputs

    def _turns(self, source: str) -> list[tuple[str, int]]:
        steps = [(other, n) for other, n in self.next.items() if other != source]
        turns = list(self._quiet)
        while turns and turns[-1][0] == source:
            turns.pop()
        names = [name for name, _ in turns]
        if names == [other for other, _ in steps if other in names]:  # taken for granted
            return steps
        return [(other, n) for other, n in steps if other not in names] + turns

    # -- state -------------------------------------------------------------------------------------

    def snapshot(self, **facts: Any) -> bytes:
        """Return the whole state as one fact: what is learned, what waits, and every position."""
        return self._packed(self.serve.state(), self.learn.archive.state(), facts)

    def checkpoint(self, **facts: Any) -> tuple[bytes, list[Appended]]:
        """Return a snapshot that names segments (of what waits, of versions), and what these need first.

        What was given before counts as appended; if it was not, call `write_all_again`.
        """
        serve, waiting = self.serve.checkpoint()
        versions, kept = self.learn.archive.checkpoint()
        return self._packed(serve, versions, facts), waiting + kept

    def write_ahead(self, most: int) -> list[Appended]:
        """Return a piece of what the next checkpoint would have to append, so that it need not.

        Parameters
        ----------
        most
            So many entries at most. Nothing is returned where no more are left for the checkpoint itself.
        """
        return self.serve.write_ahead(most)

    def segments(self) -> list[str]:
        """Return the names of the segments that the last checkpoint names."""
        return self.serve.segments() + self.learn.archive.segments()

    def keep_clear_of(self, segments: list[str]) -> None:
        """Append to none of these segments: they are there already."""
        self.serve.keep_clear_of(segments)
        self.learn.archive.keep_clear_of(segments)

    def write_all_again(self) -> None:
        """Take nothing for granted of what `checkpoint` gave: it may not have been written."""
        self.serve.write_all_again()
        self.learn.archive.write_all_again()

    def _packed(self, serve: bytes, versions: bytes, facts: dict[str, Any]) -> bytes:
        sections = {
            "serve": serve,
            "versions": versions,
            "repair": self.repair.state(),
            "watch": self.watcher.state(),
        }
        sections |= self.learn.state()
        self._sizes = {
            int(name.removeprefix("member.")): len(data)
            for name, data in sections.items()
            if name.startswith("member.")
        }
        return snapshots.pack(
            self.definition,
            sections,
            {
                "partition": self.partition,
                "next": self.next,
                "born": self._born,
                "untold": self.untold,
                "quiet": self._quiet,
                "revision": self.revision,
                "recent": list(self._recent),
                **facts,
            },
            self._keys,
        )

    def restore(self, data: bytes, generation: int | None = None, read: Read | None = None) -> dict[str, Any]:
        """Continue from a snapshot, under the definition it was made with; returns the facts it was given.

        Parameters
        ----------
        generation
            Under which the store says it was saved.
        read
            Reads the segments that a checkpoint names.

        Raises
        ------
        SnapshotError
            When it is unsound, of another partition or generation, or what was learned does not fit the
            definition given.
        """
        header, sections = snapshots.unpack(self.definition, data, self._keys)
        try:
            return self._resume(header, sections, generation, read)
        except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
            raise snapshots.of_another_release(f"{type(error).__name__}: {error}") from error

    def _resume(
        self,
        header: snapshots.Header,
        sections: dict[str, bytes],
        generation: int | None,
        read: Read | None,
    ) -> dict[str, Any]:
        if generation is not None and header.facts.get("generation") != generation:
            raise SnapshotError(
                f"wrong generation: it says {header.facts.get('generation')}, the store {generation}"
            )
        if header.facts["partition"] != self.partition:
            raise SnapshotError(f"of partition {header.facts['partition']}, this is {self.partition}")
        made_with = header.parsed()
        if differences(self.definition, made_with):
            self._become(Processor(made_with, self.partition))
        self.learn.resume(sections)
        self.serve.resume(sections["serve"], read)
        self.learn.archive.resume(sections["versions"], read)
        self.repair.resume(sections["repair"])
        if "watch" in sections:  # snapshots from before anything was watched have none
            self.watcher.resume(sections["watch"])
        self.next.update(header.facts["next"])
        self._born = self._announced = header.facts["born"]
        self.untold = msgspec.convert(header.facts.get("untold", []), list[Transition])
        if self.untold:
            self._announced = False
        self._quiet = [(source, offset) for source, offset in header.facts["quiet"]]
        self._inputs.clear()
        self.revision = header.facts["revision"]
        self._recent = deque(msgspec.convert(header.facts["recent"], list[Transition]), maxlen=RECENT)
        return header.facts

    def _labels(self) -> LabelStanding:
        serve, books = self.serve, self.books
        oldest = serve.pending.oldest()
        over = serve.scored + books.expired - books.assumed + books.unavailable
        waiting, limit = len(serve.pending), self.definition.label.pending_limit
        return LabelStanding(
            answered=serve.predicted,
            labelled=serve.scored,
            coverage=serve.scored / over if over else None,
            oldest=None if oldest is None else max(0, serve.watermark - oldest) / 1000,
            nearly_full=waiting > NEARLY_FULL * limit,
            by_age=self.learn.foresight.shares(serve.watermark, AGES),
        )

    def standing(self) -> Standing:
        """Return how this partition stands: a picture of now, for people and metrics."""
        learn, serve, books = self.learn, self.serve, self.books
        roster, served = learn.roster, learn.served
        return Standing(
            deployment=self.definition.name,
            task=self.definition.task,
            partition=self.partition,
            revision=self.revision,
            mode=str(roster.mode),
            held=roster.held,
            frozen=roster.frozen,
            champion=roster.name(roster.champion),
            previous=None if roster.previous is None else roster.name(roster.previous),
            served_recent=served.recent if served.scored else None,
            served_total=served.total,
            served_scored=served.scored,
            foreseen=foreseen(learn, len(serve.pending)),
            labels=self._labels(),
            members=members_of(learn, self._sizes),
            resume=resume_conditions(roster, learn.evidence),
            transitions=list(self._recent),
            books=msgspec.structs.replace(books),
            unaccounted=books.unaccounted,
            pending=len(serve.pending),
            pending_limit=self.definition.label.pending_limit,
            early=len(serve.early),
            watermark=None if serve.watermark == NEVER else serve.watermark,
            next=dict(self.next),
            advice=advice_of(learn),
            policies=tuple(p.name for p in self.definition.policy if p.on == "command"),
            kept=kept_of(learn),
        )


def position_of(record: Record) -> str:
    """Return where a record stands: ``events:<partition>:<offset>``."""
    return f"{record.source}:{record.partition}:{record.offset}"
