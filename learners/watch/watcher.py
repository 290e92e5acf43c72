"""Watches what comes in and what goes out: features, answers, labels, producers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from learners.definition import Definition
from learners.detectors import Signal, SignalKind
from learners.watch.faults import fault
from learners.watch.settings import HEADER
from learners.watch.silence import SPARE, LabelSilence
from learners.watch.tally import BLOCK, REFUSED_VALUE, Alarm, Column, Tally, need

PRODUCERS = 16
OTHERS = "others"
WIDE = 8  # columns up to which every event is looked at
ANSWER = "\0answer"  # the column of what was served
_REPAIRED: dict[str, Any] = {"clipped": REFUSED_VALUE, "filled": None, "missing": None}
_NONE: list[Signal] = []
_KINDS = {"number": "number", "integer": "number", "boolean": "number", "category": "category"}


class _Lane:
    """The events of one producer: those not counted yet, and what is known of the others."""

    __slots__ = ("answers", "rows", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.rows: list[Mapping[str, Any]] = []
        self.answers: list[Any] = []


class Watcher:
    """Makes signals of everything but the loss.

    Looks at events in blocks of 32 of a producer; where there are more than 8 features only at some of
    them, chosen by their number alone.

    Parameters
    ----------
    definition
        Its ``watch`` section.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition, watch = definition, definition.watch
        self.settings = watch
        self.silence = LabelSilence()
        self._columns: list[Column] = []
        if watch.data or watch.producers:
            self._columns = [
                Column(name, _KINDS.get(feature.type, "presence"), watch.declared.get(name))
                for name, feature in definition.features.items()
            ]
        if watch.prediction:
            self._columns.append(Column(ANSWER, "number" if definition.task == "regression" else "category"))
        self._columns.sort(key=lambda column: column.kind != "number")
        self._answer = next((i for i, c in enumerate(self._columns) if c.name == ANSWER), None)
        self._stride = max(1, math.ceil(len(self._columns) / WIDE))
        self._skip, self._dice = 0, 1
        self._by_key = watch.producer == "key"
        self._server: int | None = None
        self._lanes: dict[str | None, _Lane] = {}
        self._alone = self._lane(None) if self._columns else None

    def _lane(self, producer: str | None) -> _Lane:
        lane = self._lanes.get(producer)
        if lane is None:
            if len(self._lanes) > PRODUCERS and producer != OTHERS:
                return self._lane(OTHERS)
            features = max(1, len(self._columns) - (self._answer is not None))
            budget = self.settings.budget / self._stride
            needs = [need(budget, 1 if c.name == ANSWER else features) for c in self._columns]
            lane = self._lanes[producer] = _Lane(
                Tally(self._columns, self.settings.reference, needs, self._answer)
            )
        return lane

    def event(
        self,
        x: Mapping[str, Any],
        answer: Any,
        server: int,
        violations: Mapping[str, str],
        repairs: Sequence[str],
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        time: int,
    ) -> list[Signal]:
        """Take an event that was answered.

        Parameters
        ----------
        x
            The features, without those that break the contract.
        answer
            What a model served: a class or a number; None if none did.
        server
            Version number of whose turn it is. Another one's answers are another distribution.
        violations
            The features that break the contract.
        repairs
            What was repaired: ``clipped:<feature>`` counts as refused, ``filled:<feature>`` as missing.
        key, headers
            Of the record.
        time
            Event time reached, milliseconds.
        """
        silence = self.silence
        events = silence.events = silence.events + 1
        signals = _NONE
        if events > SPARE and self.settings.labels:
            signal = silence.check(time)
            if signal is not None:
                signals = [signal]
        lane = self._alone
        if lane is None:
            return signals
        if self._stride > 1:
            if self._skip:
                self._skip -= 1
                return signals
            self._dice = dice = (self._dice * 1103515245 + 12345) & 0x7FFFFFFF  # as in the C standard
            self._skip = (dice >> 16) % (2 * self._stride - 1)
        if headers or self._by_key:
            producer = self._producer(key, headers)
            if producer is not None:
                lane = self._lane(producer)
        if server != self._server:
            self._new_server(server)
        if violations:
            x = {**x, **dict.fromkeys(violations, REFUSED_VALUE)}
        if repairs:
            x = {**x, **as_sent(repairs)}
        rows = lane.rows
        rows.append(x)
        lane.answers.append(answer)
        if len(rows) < BLOCK:
            return signals
        found = self._count(lane)
        return signals + found if found else signals

    def _producer(self, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str | None:
        name: bytes | None = None
        if self._by_key:
            name = key
        else:
            for header, value in headers:
                if header == HEADER:
                    name = value
        return name.decode(errors="replace")[:256] if name else None

    def _new_server(self, server: int) -> None:
        if self._server is not None and self._answer is not None:
            for lane in self._lanes.values():
                lane.tally.relearn(self._answer, self.settings.reference)
        self._server = server

    def _count(self, lane: _Lane) -> list[Signal]:
        alarms = lane.tally.take(lane.rows, lane.answers)
        lane.rows, lane.answers = [], []
        if not alarms:
            return _NONE
        producer = next(name for name, known in self._lanes.items() if known is lane)
        return [s for alarm in alarms if (s := self._signal(alarm, producer)) is not None]

    def _signal(self, alarm: Alarm, producer: str | None) -> Signal | None:
        column = self._columns[alarm.column]
        sender, where = f" ({producer})" if producer else "", ""
        share = f"{alarm.after:.0%} of the last {BLOCK} events"
        if column.name == ANSWER:
            about = f"Served answers moved: {alarm.words} in {share}, before {alarm.before:.0%}{sender}."
            kind = SignalKind.PREDICTION
            wanted = self.settings.prediction
        else:
            trouble = fault(alarm, column.kind)
            if trouble is not None:
                kind, about, where = SignalKind.PRODUCER, f"{column.name}{sender} {trouble[0]}.", trouble[1]
                wanted = self.settings.producers
            else:
                about = f"{column.name}{sender} moved: {share} lie where {alarm.before:.0%} did before."
                kind, where = SignalKind.DATA, alarm.words
                wanted = self.settings.data
        if not wanted:
            return None
        feature = None if column.name == ANSWER else column.name
        return Signal(
            "bins",
            alarm.before,
            alarm.after,
            alarm.seen,
            kind=kind,
            feature=feature,
            producer=producer,
            about=about,
            where=where,
        )

    def forget(self) -> None:
        """Let go of the rows that are not counted yet, whoever sent them; what was counted stays."""
        for lane in self._lanes.values():
            lane.rows, lane.answers = [], []
            lane.tally.forget()

    # -- state ---------------------------------------------------------------------------------------

    def _made_with(self) -> list[Any]:
        return [msgspec.to_builtins(self.settings), [list(column[:2]) for column in self._columns]]

    def state(self) -> bytes:
        """Return everything kept here, as bytes."""
        lanes = [[p, lane.rows, lane.answers, lane.tally.state()] for p, lane in self._lanes.items()]
        return msgspec.msgpack.encode(
            {
                "made_with": self._made_with(),
                "silence": self.silence.state(),
                "skip": self._skip,
                "dice": self._dice,
                "server": self._server,
                "lanes": lanes,
            }
        )

    def resume(self, data: bytes) -> None:
        """Continue from what `state` returned; under other settings it begins anew."""
        state = msgspec.msgpack.decode(data, strict=False)
        if state["made_with"] != msgspec.msgpack.decode(msgspec.msgpack.encode(self._made_with())):
            return
        self.silence.resume(state["silence"])
        self._skip, self._dice, self._server = state["skip"], state["dice"], state["server"]
        for producer, rows, answers, tally in state["lanes"]:
            lane = self._lane(producer)
            lane.rows, lane.answers = rows, answers
            lane.tally.resume(tally)


def as_sent(repairs: Sequence[str]) -> dict[str, Any]:
    """Return how features that were repaired count.

    >>> as_sent(("clipped:amount", "filled:age", "outlier:size"))
    {'amount': inf, 'age': None}
    """
    parts = [repair.partition(":") for repair in repairs]
    return {name: _REPAIRED[how] for how, _, name in parts if how in _REPAIRED}
