"""The first half: every event gets its one answer, and every label finds its event."""

from enum import Enum, auto
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from learners.contract import Contract, LabelError
from learners.definition import Definition, parse_duration
from learners.errors import SnapshotError
from learners.residuals import Residuals
from learners.roster import Asked, Mode, Roster
from learners.tasks import Task
from stream.codec import Decoded, RefusalError
from stream.messages import Example, LabelRecord, Prediction, Reason, Record
from stream.processing.books import Books
from stream.processing.broken import Broken
from stream.processing.packing import Packing
from stream.processing.segments import Appended, Named, Read
from stream.processing.settled import Fate, Kept, Settled
from stream.processing.shelf import Shelf

_FLAGS: dict[Mode, tuple[str, ...]] = {
    Mode.WARM_UP: ("warm_up",),
    Mode.FALLBACK: ("fallback",),
}
NEVER = -(2**62)  # the watermark before the first event
MOST_AT_A_TICK = 5_000  # the same of a tick: hardly anybody waits for an answer then
MOST_AT_ONCE = 1000  # waits that one input may end, so that no input takes long
_SILENT = ("champion_silent",)
_UNTIMELY = ("timestamp",)


class Todo(Enum):
    """What is to be done with an event whose label came."""

    LEARN = auto()  # score, then learn
    SCORE = auto()  # score alone: it came after its time
    CORRECT = auto()  # put another label in the place of the one that was scored


class Joined(Struct, gc=False):
    """An event and its label.

    Attributes
    ----------
    example
        With the label.
    todo
        What the policies say.
    before
        The label that was scored before; UNSET when there was none.
    mark
        How many labels had been scored when that was.
    """

    example: Example
    todo: Todo
    before: Any = UNSET
    mark: int = 0


class Serve:
    """Answers events, joins late labels, keeps the watermark and the ids.

    Parameters
    ----------
    definition, contract, task
        What is predicted.
    books
        Where outcomes are counted.
    partition
        The partition number.
    residuals
        Where answers are numbers: what the members' last ones missed by.

    Attributes
    ----------
    pending
        Predictions that wait for a label, by id.
    early
        Labels that wait for their event, by its id.
    settled
        Ids of the last events that no longer wait, and the last of them whole.
    watermark
        The latest event time seen, milliseconds.
    broken
        The last events that broke the contract.
    label_time
        The latest time of a label on its own topic.
    reached
        The record's own time of the event that brought the watermark.
    predicted
        Events answered so far, without those that broke the contract.
    scored
        Labels scored so far.
    """

    def __init__(
        self,
        definition: Definition,
        contract: Contract,
        task: Task,
        books: Books,
        partition: int = 0,
        residuals: Residuals | None = None,
    ) -> None:
        self._contract, self._task, self.books = contract, task, books
        self._residuals = residuals
        label = self._label = definition.label
        self._most_pending = label.pending_limit
        self._ttl = parse_duration(label.ttl, "label.ttl")
        self._idle = parse_duration(label.idle, "label.idle")
        self._early_ttl = parse_duration(label.early_ttl or label.ttl, "label.early_ttl")
        default = label.default
        if default is None:
            default = definition.classes[0] if definition.classes else 0.0
        self._default = default
        self._assumed = UNSET if label.expire_as is None else contract.internal(label.expire_as)
        packing = self._packing = Packing(tuple(definition.features), partition)
        self.pending: Shelf[Example] = Shelf("waiting", packing.pack, packing.unpack)
        self.early: Shelf[LabelRecord] = Shelf("early", _encode, lambda *known: _unpack_label(known[-1]))
        self.settled = Settled(
            label.remember_ids,
            label.keep_limit,
            lambda example: _encode((example.ordinal, example.timestamp, packing.pack(example))),
            lambda identifier, data: packing.unpack(identifier, *_decode(data)),
        )  # fmt: skip
        self.broken = Broken(label.remember_ids)
        self.watermark = self.label_time = self.reached = NEVER
        self.predicted = self.scored = self._early_count = 0

    def knows(self, identifier: str) -> bool:
        """Whether an event of this id was answered, as far as is remembered."""
        return identifier in self.settled.known or identifier in self.pending or identifier in self.broken

    @property
    def time(self) -> int:
        """How far time has come for what waits: as far as both events and labels tell, in milliseconds.

        Whoever is silent for longer than the declared ``idle`` is waited for no longer.
        """
        if self.label_time == NEVER:
            return self.watermark
        return max(min(self.watermark, self.label_time), self.watermark - self._idle)

    def answer(
        self, record: Record, decoded: Decoded, roster: Roster, *, note: bool = True
    ) -> tuple[Prediction, Example, Asked]:
        """Return the answer to an event, what is to be kept of it, and what everybody said.

        The champion answers, a rule or the default, in this order of right.

        Parameters
        ----------
        note
            Whether time and the count of events go on with it.
        """
        event, broken, flags = decoded.event, decoded.broken, decoded.flags
        timestamp = record.timestamp if event.timestamp is None else event.timestamp
        x = event.features
        if broken:
            violations, declared = decoded.violations, self._contract.definition.features
            x = {k: v for k, v in x.items() if k in declared and k not in violations}
            asked = roster.ask_rules(x)
            flags = tuple(f"contract:{name}" for name in violations)
            if decoded.untimely:
                flags += _UNTIMELY
        else:
            asked = roster.ask(x, decoded.sent)
            if asked.served != 0:
                flags += _SILENT if roster.champion_serves else _FLAGS[roster.mode]
        served, answer, version, interval = asked.served, asked.answer, None, None
        if served >= 0:
            value, probabilities = self._task.render(answer)
            if served < roster.first_rule:
                version = f"{roster.titles[served]}{roster.members[served].learned}"
            if self._residuals is not None and not broken:
                interval = self._residuals.interval(asked.panel[served], value)
        else:
            value, probabilities = self._default, None
        prediction = Prediction(
            id=event.id,
            timestamp=timestamp,
            prediction=value,
            probabilities=probabilities,
            interval=interval,
            served_by=roster.served_by[served],
            model_version=version,
            flags=flags,
        )
        example = Example(
            event.id,
            record.key,
            record.partition,
            record.offset,
            timestamp,
            x,
            asked.panel,
            asked.answers,
            served,
            answer,
            self.predicted,
            broken,
        )
        if note and not broken:  # what may be wrong moves neither the time nor the places of others
            self.predicted += 1
            if timestamp > self.watermark:
                self.watermark, self.reached = timestamp, record.timestamp
        return prediction, example, asked

    def wait(self, example: Example) -> None:
        """Keep a prediction until its label comes, its time is over, or too many wait."""
        if example.broken:
            self.broken.keep(example)
            return
        count = self.pending.put(example.id, example.ordinal, example.timestamp, example)
        if count > self._most_pending:
            identifier, oldest = self.pending.pop_oldest()
            self.books.expired += 1
            self.books.given_up += 1
            self.settled.add(identifier, Fate.EXPIRED, oldest, self.scored)

    def pass_time(self, timestamp: int) -> None:
        """Take note that time has come so far while inputs were silent."""
        if timestamp > self.watermark:
            self.reached += timestamp - self.watermark
            self.watermark = timestamp
        if self.label_time != NEVER:
            self.label_time = max(self.label_time, timestamp)

    def silence(self, now: int) -> int | None:
        """Return the event time to tell when inputs were silent until ``now``, by the records' own time.

        As much passes as on the records' clock, less what may be on its way. None: it would end no wait.
        """
        if self.watermark == NEVER:
            return None
        time = self.watermark + now - self.reached - self._idle
        oldest, deadline = self.pending.oldest(), self.early.oldest()
        over = oldest is not None and oldest < time - self._ttl
        return time if time > self.time and (over or (deadline is not None and deadline < time)) else None

    def overdue(self) -> bool:
        """Whether the wait of anything may be over: quickly told, of every event."""
        pending, early, watermark = self.pending.floor, self.early.floor, self.watermark
        if pending >= watermark - self._ttl and early >= watermark:
            return False
        now = self.time
        return pending < now - self._ttl or early < now

    def expire(self, most: int = MOST_AT_ONCE) -> tuple[int, list[Example]]:
        """End the wait of what is older than declared, so many at a time.

        Returns
        -------
        int
            How many predictions no longer wait.
        list of Example
            Of these, the ones to be learned with the label that was assumed.
        """
        now = self.time
        limit, early, count = now - self._ttl, self.early, 0
        found: list[Example] = []
        while count < most:
            oldest = self.pending.oldest()
            if oldest is None or oldest >= limit:
                break
            count += 1
            identifier, example = self.pending.pop_oldest()
            self.books.expired += 1
            if self._assumed is UNSET:
                self.settled.add(identifier, Fate.EXPIRED, example, self.scored)
                continue
            self.books.assumed += 1
            example.label = self._assumed
            self.settled.add(identifier, Fate.ASSUMED, example, self.scored)
            found.append(example)
        for _ in range(most - count):
            deadline = early.oldest() if len(early) else None
            if deadline is None or deadline >= now:
                break
            early.pop_oldest()
            self._unmatched()
        return count, found

    def forget(self, key: bytes) -> dict[str, int]:
        """Let go of an entity's events: they are known by their ids only; returns how many of each kind.

        The journal begins anew, so that what was appended before is deleted with the snapshots that name it.
        """
        found = [example for _, example in self.pending.items() if example.key == key]
        waiting = [example.id for example in sorted(found, key=lambda example: example.ordinal)]
        for identifier in waiting:
            self.pending.take(identifier)
            self.books.expired += 1
        broken = self.broken.forget_key(key)
        for identifier in waiting + broken:
            self.settled.add(identifier, Fate.EXPIRED, None)
        settled = self.settled.forget(key)
        self.pending.write_all_again()
        self.settled.write_all_again()
        return {"waiting": len(waiting), "broken": len(broken), "settled": settled}

    def _unmatched(self) -> None:
        self.books.early -= 1
        self.books.unmatched += 1

    def label_of(self, value: Any) -> Any:
        """Return a label in the form estimators learn; raises `RefusalError`."""
        try:
            return self._contract.internal(value)
        except LabelError as error:
            raise RefusalError(Reason.LABEL, f"label {error}") from None

    def match(self, label: LabelRecord, time: int) -> Joined | None:
        """Find the event of a label.

        Parameters
        ----------
        time
            When the truth was known, milliseconds.

        Returns
        -------
        Joined
            Or None when there is nothing to score (counted in the books).

        Raises
        ------
        RefusalError
            When the label is outside the contract.
        """
        truth = UNSET if label.unavailable else self.label_of(label.label)
        if time > self.label_time:
            self.label_time = time
        example = self.pending.take(label.id)
        if example is not None:
            if label.unavailable:
                self.books.unavailable += 1
                self.settled.add(label.id, Fate.UNAVAILABLE, example, self.scored)
                return None
            example.label, example.weight = truth, label.weight
            self.settled.add(label.id, Fate.LABELLED, example, self.scored)
            return Joined(example, Todo.LEARN)
        broken = self.broken.get(label.id)
        if broken is not None:
            return self._of_broken(label, truth, broken)
        there = self.settled.get(label.id)
        if there is not None:
            return self._again(label, truth, there)
        if label.id not in self.early:
            self._keep_early(label, max(time, self.watermark) + self._early_ttl)
        elif label.corrects:  # the one before it will never count
            self.early.take(label.id)
            self.books.early -= 1
            self.books.duplicate_label += 1
            self._keep_early(label, max(time, self.watermark) + self._early_ttl)
        else:
            self.books.duplicate_label += 1
        return None

    def _of_broken(self, label: LabelRecord, truth: Any, example: Example) -> Joined | None:
        """Take a label for an event that broke the contract: it is told, not scored."""
        if example.labelled:
            self.books.duplicate_label += 1
            return None
        if label.unavailable:
            self.books.unavailable += 1
            return None
        example.label, example.weight = truth, label.weight
        return Joined(example, Todo.LEARN)

    def _again(self, label: LabelRecord, truth: Any, there: Fate | Kept) -> Joined | None:
        """Take a label for an event that no longer waits."""
        fate = there.fate if isinstance(there, Kept) else there
        policy = "learn" if fate is Fate.UNAVAILABLE else self._label.after_ttl
        if fate in (Fate.LABELLED, Fate.UNAVAILABLE):
            if label.unavailable or not label.corrects:
                self.books.duplicate_label += 1
                return None
        elif label.unavailable or policy == "ignore":
            self.books.late += 1
            return None
        if not isinstance(there, Kept):
            self.books.late += 1  # it was let go of
            return None
        before, mark, example = there.example.label, there.mark, there.example
        example.weight = label.weight
        self.settled.change(label.id, Fate.LABELLED, truth, self.scored)
        if fate is Fate.LABELLED:
            return Joined(example, Todo.CORRECT, before, mark)
        todo = Todo.LEARN if policy == "learn" else Todo.SCORE
        return Joined(example, todo, before, mark)

    def _keep_early(self, label: LabelRecord, deadline: int) -> None:
        self.early.put(label.id, self._early_count, deadline, label)
        self._early_count += 1
        self.books.early += 1
        if len(self.early) > self._label.early_limit:
            self.early.pop_oldest()
            self._unmatched()

    def take_early(self, identifier: str) -> LabelRecord | None:
        """Return the label that came before its event, if one did."""
        label = self.early.take(identifier) if self.books.early else None
        if label is not None:
            self.books.early -= 1
        return label

    # -- state -------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return everything kept here, as bytes."""
        whole = [self.pending.whole(), self.early.whole()]
        return self._state(_encode(whole), self.settled.whole(), [])

    def _state(self, waiting: bytes, settled: bytes, segments: list[Named]) -> bytes:
        return _encode(
            _State(
                waiting=waiting,
                settled=settled,
                broken=self.broken.state(),
                segments=segments,
                shapes=self._packing.shapes,
                watermark=self.watermark,
                label_time=self.label_time,
                reached=self.reached,
                predicted=self.predicted,
                scored=self.scored,
                early_count=self._early_count,
                books=self.books,
            )
        )

    def checkpoint(self) -> tuple[bytes, list[Appended]]:
        """Return the state as bytes that name segments, and what must be appended to these first."""
        parts = (self.pending, self.early, self.settled)
        appended = [a for part in parts for a in part.append()]
        return self._state(b"", b"", [n for part in parts for n in part.segments.named()]), appended

    def write_ahead(self, most: int) -> list[Appended]:
        """Return a piece of what `checkpoint` would have to append; nothing where little is left."""
        for part in (self.pending, self.early, self.settled):
            if part.unwritten > most:
                return part.append(most)
        return []

    def resume(self, data: bytes, read: Read | None = None) -> None:
        """Continue from what `state` or `checkpoint` returned.

        Parameters
        ----------
        read
            Reads the segments that a checkpoint names.

        Raises
        ------
        SnapshotError
            When a segment is not what was written.
        """
        state = _decode_state(data)
        self._packing.resume(state.shapes)
        self.broken.resume(state.broken)
        self.watermark, self.label_time, self.reached = state.watermark, state.label_time, state.reached
        self.predicted, self.scored, self._early_count = state.predicted, state.scored, state.early_count
        for field in state.books.__struct_fields__:
            setattr(self.books, field, getattr(state.books, field))
        if state.waiting:
            pending, early = _decode(state.waiting)
            self.pending.fill(pending)
            self.early.fill(early)
            self.settled.fill(state.settled)
            return
        for part in (self.pending, self.early, self.settled):
            named = [n for n in state.segments if n.name.startswith(f"{part.segments.name}-")]
            part.replay(part.segments.restore(named, _needed(read) if named else _nothing))

    def segments(self) -> list[str]:
        """Return the names of the segments that the last checkpoint names."""
        return [
            named.name for part in (self.pending, self.early, self.settled) for named in part.segments.named()
        ]

    def keep_clear_of(self, segments: list[str]) -> None:
        """Append to none of these segments: they are there already."""
        for part in (self.pending, self.early, self.settled):
            part.segments.keep_clear_of(segments)

    def write_all_again(self) -> None:
        """Take nothing for granted of what `checkpoint` gave: it may not have been written."""
        for part in (self.pending, self.early, self.settled):
            part.write_all_again()


def _needed(read: Read | None) -> Read:
    if read is None:
        raise SnapshotError("what waits stands in segments of its store: open it there")
    return read


def _nothing(segment: str, length: int) -> bytes:
    return b""


class _State(Struct):
    waiting: bytes
    settled: bytes
    broken: list[Example]
    segments: list[Named]
    shapes: list[tuple[str, ...]]
    watermark: int
    label_time: int
    reached: int
    predicted: int
    scored: int
    early_count: int
    books: Books


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_decode_state = msgspec.msgpack.Decoder(_State).decode
_unpack_label = msgspec.msgpack.Decoder(LabelRecord).decode
