"""Runs a made-up stream through a Processor, and gives the signals it told."""

from collections.abc import Mapping
from typing import Any

import msgspec

from learners.lineage import Kind, Transition
from learners.presets import ROSTERS, Preset
from producers.load import Columns, Load, samples
from producers.scenarios import Made, settings_of
from stream.messages import Record
from stream.processing.processor import Processor
from stream.settings import parse_settings

SERVES = {Kind.PROMOTED, Kind.FELL_BACK, Kind.RESUMED, Kind.ROLLED_BACK}


class Told(msgspec.Struct):
    """A transition and the row at which it was told."""

    at: int
    transition: Transition

    @property
    def kind(self) -> str:
        """What a signal is about."""
        return str(self.transition.evidence["signal"])


class _Direct:
    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.told: list[Told] = []
        self.changed: list[Told] = []
        self.next = {"events": 0, "labels": 0}

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        offset = self.next[topic]
        self.next[topic] += 1
        record = Record(topic, 0, offset, self.next["events"], key, value)
        for output in self.processor.process(record):
            message = output.message
            if isinstance(message, Transition):
                told = Told(self.next["events"] - 1, message)
                if message.kind is Kind.SIGNAL:
                    self.told.append(told)
                elif message.kind in SERVES:
                    self.changed.append(told)

    def flush(self) -> None:
        pass


def run(made: Made, preset: Preset = "fast", changes: Mapping[str, Any] | None = None) -> list[Told]:
    """Run all rows, labels inside; nothing is done about a signal unless ``changes`` says so."""
    return play(made, preset, changes)[0]


def play(
    made: Made, preset: Preset, changes: Mapping[str, Any] | None = None
) -> tuple[list[Told], list[Told]]:
    """Do the same; returns the signals, and the transitions after which another serves."""
    raw = settings_of(made, "gallery")
    raw["models"] = {seat.slot: {"recipe": seat.recipe} for seat in ROSTERS[raw["task"]][preset]}
    raw["drift"] = {"on_drift": "tell"}
    if made.key is not None:
        raw["watch"] = {"producer": "key"}
    raw |= changes or {}
    definition = parse_settings(raw, environ={}).definition
    direct = _Direct(Processor(definition))
    Load(direct, "events", "labels").send(samples(made.rows(), definition, Columns(key=made.key)))
    return direct.told, direct.changed
