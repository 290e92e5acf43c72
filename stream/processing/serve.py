"""The first half: every event gets its one answer, and every label finds its event."""

from collections import OrderedDict, deque
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from learners.contract import Contract, LabelError
from learners.definition import Definition, parse_duration
from learners.roster import Asked, Mode, Roster
from learners.tasks import Task
from stream.codec import Decoded, RefusalError
from stream.messages import Example, LabelRecord, Prediction, Reason, Record
from stream.processing.books import Books
from stream.processing.broken import Broken

_FLAGS: dict[Mode, tuple[str, ...]] = {
    Mode.WARM_UP: ("warm_up",),
    Mode.FALLBACK: ("fallback",),
}
NEVER = -(2**62)  # the watermark before the first event
_SILENT = ("champion_silent",)
_UNTIMELY = ("timestamp",)


class EarlyLabel(Struct, gc=False):
    """A label whose event has not come yet."""

    label: LabelRecord
    deadline: int


class Serve:
    """Answers events, joins late labels, keeps the watermark and the ids.

    Parameters
    ----------
    definition, contract, task
        What is predicted.
    books
        Where outcomes are counted.

    Attributes
    ----------
    pending
        Predictions that wait for a label, by id, oldest first.
    watermark
        The latest event time seen, milliseconds.
    known
        Ids of the last events that no longer wait: their labels came, or their time was over.
    broken
        The last events that broke the contract.
    predicted
        Events answered so far, without those that broke the contract.
    """

    def __init__(self, definition: Definition, contract: Contract, task: Task, books: Books) -> None:
        self._contract, self._task, self.books = contract, task, books
        self._label = definition.label
        self._remember_ids = definition.label.remember_ids
        self._ttl = parse_duration(definition.label.ttl, "label.ttl")
        default = definition.label.default
        if default is None:
            default = definition.classes[0] if definition.classes else 0.0
        self._default = default
        self.pending: OrderedDict[str, Example] = OrderedDict()
        self.early: OrderedDict[str, EarlyLabel] = OrderedDict()
        self.broken = Broken(definition.label.remember_ids)
        self.known: set[str] = set()
        self._gone: set[str] = set()  # of these, the ones whose wait was ended before a label came
        self._order: deque[str] = deque()
        self.watermark = NEVER
        self.predicted = 0

    def ask(
        self, record: Record, decoded: Decoded, roster: Roster
    ) -> tuple[Prediction, dict[str, Any], Asked]:
        """Return the answer to an event, the features as they were seen, and what everybody said.

        The champion answers, a rule or the default, in this order of right. Nothing is counted or kept.
        """
        event, violations = decoded.event, decoded.violations
        timestamp = record.timestamp if event.timestamp is None else event.timestamp
        x, flags, broken = event.features, decoded.flags, decoded.broken
        if broken:
            x = {
                k: v for k, v in x.items() if k in self._contract.definition.features and k not in violations
            }
            asked = roster.ask_rules(x)
            flags = tuple(f"contract:{name}" for name in violations)
            if decoded.untimely:
                flags += _UNTIMELY
        else:
            asked = roster.ask(x, decoded.sent)
            if asked.served != 0:
                flags += _SILENT if roster.champion_serves else _FLAGS[roster.mode]
        served = asked.served
        if served >= 0:
            value, probabilities = self._task.render(asked.answer)
        else:
            value, probabilities = self._default, None
        prediction = Prediction(
            id=event.id,
            timestamp=timestamp,
            prediction=value,
            probabilities=probabilities,
            served_by=roster.served_by[served],
            model_version=roster.name(roster.members[served]) if 0 <= served < roster.first_rule else None,
            flags=flags,
        )
        return prediction, x, asked

    def answer(self, record: Record, decoded: Decoded, roster: Roster) -> tuple[Prediction, Example, Asked]:
        """Answer an event, and take note of it."""
        prediction, x, asked = self.ask(record, decoded, roster)
        timestamp, broken = prediction.timestamp, decoded.broken
        example = Example(
            prediction.id,
            record.key,
            record.partition,
            record.offset,
            timestamp,
            x,
            asked.panel,
            asked.answers,
            asked.served,
            asked.answer,
            self.predicted,
            broken,
        )
        if not broken:  # what may be wrong moves neither the time nor the places of others
            self.predicted += 1
            if timestamp > self.watermark:
                self.watermark = timestamp
        return prediction, example, asked

    def wait(self, example: Example) -> None:
        """Keep a prediction until its label comes, its time is over, or too many wait."""
        if example.broken:
            self.broken.keep(example)
            return
        self.pending[example.id] = example
        if len(self.pending) > self._label.pending_limit:
            self._give_up(*self.pending.popitem(last=False))

    def expire(self) -> int:
        """End the wait of everything older than the declared time; returns how many predictions."""
        count, limit = 0, self.watermark - self._ttl
        while self.pending:
            identifier = next(iter(self.pending))
            if self.pending[identifier].timestamp >= limit:
                break
            self._give_up(identifier, self.pending.pop(identifier))
            count += 1
        while self.early:
            identifier = next(iter(self.early))
            if self.early[identifier].deadline >= self.watermark:
                break
            self._unmatched(self.early.pop(identifier))
        return count

    def _give_up(self, identifier: str, _: Example) -> None:
        self.remember(identifier)
        self._gone.add(identifier)
        self.books.expired += 1

    def _unmatched(self, _: EarlyLabel) -> None:
        self.books.early -= 1
        self.books.unmatched += 1

    def remember(self, identifier: str) -> None:
        """Know this id, which is not known yet, until that many others have come."""
        self._order.append(identifier)
        self.known.add(identifier)
        if len(self._order) > self._remember_ids:
            oldest = self._order.popleft()
            self.known.discard(oldest)
            self._gone.discard(oldest)

    def label_of(self, value: Any) -> Any:
        """Return a label in the form estimators learn; raises `RefusalError`."""
        try:
            return self._contract.internal(value)
        except LabelError as error:
            raise RefusalError(Reason.LABEL, f"label {error}") from None

    def match(self, label: LabelRecord, time: int) -> Example | None:
        """Find the event of a label.

        Returns
        -------
        Example
            With its label; or None when there is nothing to learn (counted in the books).

        Raises
        ------
        RefusalError
            When the label is outside the contract.
        """
        books = self.books
        truth = UNSET if label.unavailable else self.label_of(label.label)
        example = self.pending.pop(label.id, None)
        if example is not None:
            self.remember(label.id)
            if label.unavailable:
                books.unavailable += 1
                return None
            example.label = truth
            return example
        broken = self.broken.get(label.id)
        if broken is not None and not broken.labelled:
            if label.unavailable:
                books.unavailable += 1
                return None
            broken.label = truth
            return broken
        if label.id in self._gone:
            books.late += 1
        elif broken is not None or label.id in self.known or label.id in self.early:
            books.duplicate_label += 1
        else:
            self._keep_early(label, max(time, self.watermark) + self._ttl)
        return None

    def _keep_early(self, label: LabelRecord, deadline: int) -> None:
        self.early[label.id] = EarlyLabel(label, deadline)
        self.books.early += 1
        if len(self.early) > self._label.early_limit:
            self._unmatched(self.early.popitem(last=False)[1])

    def take_early(self, identifier: str) -> LabelRecord | None:
        """Return the label that came before its event, if one did."""
        if not self.early or identifier not in self.early:
            return None
        self.books.early -= 1
        return self.early.pop(identifier).label

    def state(self) -> bytes:
        """Return everything kept here, as bytes."""
        return _encoder.encode(
            _State(
                pending=list(self.pending.values()),
                broken=self.broken.state(),
                early=list(self.early.items()),
                ids=list(self._order),
                gone=list(self._gone),
                watermark=self.watermark,
                predicted=self.predicted,
                books=self.books,
            )
        )

    def resume(self, data: bytes) -> None:
        """Continue from what `state` returned."""
        state = _decoder.decode(data)
        self.pending = OrderedDict((e.id, e) for e in state.pending)
        self.broken.resume(state.broken)
        self.early = OrderedDict(state.early)
        self._order, self.known, self._gone = deque(state.ids), set(state.ids), set(state.gone)
        self.watermark, self.predicted = state.watermark, state.predicted
        for field in state.books.__struct_fields__:
            setattr(self.books, field, getattr(state.books, field))


class _State(Struct):
    pending: list[Example]
    broken: list[Example]
    early: list[tuple[str, EarlyLabel]]
    ids: list[str]
    gone: list[str]
    watermark: int
    predicted: int
    books: Books


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_State)
