"""What is watched besides the loss: bins, producers, labels, and what the settings turn off."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from learners.definition import Definition, parse_definition
from learners.detectors import Signal, SignalKind
from learners.errors import DefinitionError
from learners.watch.faults import fault
from learners.watch.silence import LabelSilence
from learners.watch.tally import Alarm, Profile
from learners.watch.watcher import Watcher


def definition(features: dict[str, Any] | None = None, **watch: Any) -> Definition:
    return parse_definition(
        {
            "name": "watched",
            "task": "binary",
            "features": features or {"x": {}, "kind": {"type": "category", "missing": "mean"}},
            "label": {"classes": ["no", "yes"]},
            "watch": {"reference": 512, **watch},
        }
    )


def rows(seed: int = 1) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    while True:
        yield {"x": chance.gauss(0, 1), "kind": chance.choice("aabc")}


class Feed:
    """Sends rows to a watcher; labels come at once unless said otherwise."""

    def __init__(self, watcher: Watcher, seed: int = 1) -> None:
        self.watcher, self.rows, self.time = watcher, rows(seed), 0
        self.chance = random.Random(seed + 1)

    def send(self, count: int, producer: str = "", labels: bool = True, **changed: Any) -> list[Signal]:
        found: list[Signal] = []
        violations = changed.pop("violations", {})
        headers = [("meander-producer", producer.encode())] if producer else []
        answers = changed.pop("answers", ["no", "yes"])
        for _ in range(count):
            x = {**next(self.rows), **changed}
            x = {name: value(self.chance) if callable(value) else value for name, value in x.items()}
            x = {name: value for name, value in x.items() if name not in violations}
            answer = self.chance.choice(answers)
            self.time += 1
            found += self.watcher.event(x, answer, 1, violations, (), b"k", headers, self.time)
            if labels:
                self.watcher.silence.label(self.time)
        return found


def feed(**watch: Any) -> Feed:
    made = Feed(Watcher(definition(**watch)))
    assert made.send(2500) == []
    return made


def kinds(signals: list[Signal]) -> list[tuple[str, str | None]]:
    return [(str(signal.kind), signal.feature) for signal in signals]


def test_a_number_that_moves() -> None:
    """Its distribution is another: one data signal, within three blocks, then silence."""
    made = feed()
    found = made.send(96, x=lambda chance: chance.gauss(1.5, 1))
    assert kinds(found) == [("data", "x")]
    assert found[0].before < 0.2 < found[0].after
    assert made.send(3000, x=lambda chance: chance.gauss(1.5, 1)) == []


def test_a_category_that_moves() -> None:
    """A value met more often, or one never seen, is named, but not in the sentence that pages show."""
    found = feed().send(160, kind=lambda chance: chance.choice("bbbc"))
    assert kinds(found) == [("data", "kind")]
    assert found[0].where == "'b'"
    assert "'b'" not in found[0].about
    assert feed().send(96, kind=lambda chance: chance.choice("az"))[0].where == "another value"


def test_answers_that_move() -> None:
    """What is served shifts to one class: a prediction signal, and no other."""
    assert kinds(feed().send(160, answers=["yes"])) == [("prediction", None)]


@pytest.mark.parametrize(
    ("changed", "words", "where"),
    [
        ({"x": None}, "x (north) is missing in", ""),
        ({"x": 0.25}, "x (north) is constant.", "0.25"),
        ({"violations": {"x": "is no number"}}, "x (north) breaks the contract in", ""),
        ({"kind": "c"}, "kind (north) is constant.", "'c'"),
    ],
)
def test_a_producers_fault(changed: dict[str, Any], words: str, where: str) -> None:
    """Missing, constant, refused: a producer signal that names feature and producer."""
    made = Feed(Watcher(definition()))
    for producer in ("north", "south"):
        assert made.send(1500, producer) == []
    found = made.send(64, "north", **changed)
    assert [signal.kind for signal in found] == [SignalKind.PRODUCER]
    assert found[0].producer == "north"
    assert found[0].about.startswith(words)
    assert found[0].where == where
    assert made.send(300, "south") == []


def test_a_changed_unit() -> None:
    """Values are what they were, times a factor: told as such."""
    watched = Feed(Watcher(definition({"t": {}})))
    assert watched.send(1500, t=lambda chance: chance.gauss(20, 3)) == []
    (signal,) = watched.send(64, t=lambda chance: 10 * chance.gauss(20, 3))
    assert signal.about == "t is rescaled: about 10 times what it was."


def test_a_declared_reference() -> None:
    """What is declared is not learned: the first events are judged already."""
    normal = [-1.15, -0.67, -0.32, 0, 0.32, 0.67, 1.15]
    declared = {"x": normal, "kind": {"a": 0.5, "b": 0.25, "c": 0.25}}
    made = Feed(Watcher(definition(declared=declared)))
    assert made.send(3000) == []
    made = Feed(Watcher(definition(declared=declared)))
    assert kinds(made.send(96, x=lambda chance: chance.gauss(2, 1))) == [("data", "x")]


def test_what_is_turned_off_is_not_told() -> None:
    """Each kind has a switch."""
    made = feed(data=False, prediction=False, labels=False, producers=False)
    assert made.send(2000, x=None, kind="c", answers=["no"], labels=False) == []
    assert kinds(feed(data=False).send(96, x=lambda chance: chance.gauss(2, 1))) == []
    assert kinds(feed(producers=False).send(96, x=None)) == []


def test_many_producers_are_bounded() -> None:
    """The first sixteen are watched one by one; all others together."""
    made = Feed(Watcher(definition(producer="header")))
    for n in range(100):
        made.send(3, f"sender-{n}")
    assert len(made.watcher._lanes) <= 18


def test_neighbours_alike_are_no_change() -> None:
    """Hours of a day come in turns, sixty events each: a day is no drift."""
    watched = Feed(Watcher(definition({"hour": {"type": "integer"}}, reference=2000, prediction=False)))
    found = []
    for n in range(24 * 60 * 8):
        found += watched.send(1, hour=n // 60 % 24)
    assert len(found) <= 1


def test_labels_that_stop_and_return() -> None:
    """One signal while they are away, and the end of it is told; then it may happen again."""
    made = feed()
    found = made.send(400, labels=False)
    assert kinds(found) == [("label_silence", None)]
    assert found[0].after > 100
    ended = made.watcher.silence.label(made.time)
    assert ended is not None
    assert (ended.trigger, ended.labels) == ("label_silence_ended", 400)
    assert made.watcher.silence.label(made.time) is None
    assert made.send(500) == []
    assert kinds(made.send(2000, labels=False)) == [("label_silence", None)]


def test_labels_in_batches_are_no_silence() -> None:
    """Where a thousand labels come once in a thousand events, waiting is usual."""
    silence = LabelSilence()
    for n in range(20_000):
        silence.events += 1
        assert silence.check(n) is None
        if n % 1000 == 999:
            for _ in range(1000):
                assert silence.label(n) is None


def test_a_rush_of_events_is_no_silence() -> None:
    """Many events in no time: event time has to pass as well."""
    made = feed()
    made.watcher.silence.label(made.time + 1000)
    start = made.time
    found = []
    for _ in range(500):
        made.time = start
        found += made.send(1, labels=False)
    assert found == []


def test_wide_tables_are_sampled() -> None:
    """With forty features one event in five or so is looked at, and a change is still told."""
    wide = Feed(Watcher(definition({f"f{n}": {} for n in range(40)})))
    gauss = {f"f{n}": (lambda chance: chance.gauss(0, 1)) for n in range(40)}
    assert wide.send(6000, **gauss) == []
    found = wide.send(600, **gauss | {"f7": lambda chance: chance.gauss(2, 1)})
    assert kinds(found) == [("data", "f7")]


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        ({"budget": 5}, "watch.budget"),
        ({"reference": 5}, "watch.reference"),
        ({"declared": {"z": [1, 2, 3, 4, 5, 6, 7]}}, "watch.declared.z: is no declared feature"),
        ({"declared": {"x": [1, 2]}}, "7 rising numbers"),
        ({"declared": {"kind": {"a": 2.0}}}, "shares that add up to 1"),
    ],
)
def test_settings_that_cannot_be(watch: dict[str, Any], message: str) -> None:
    """The error names the key and what to write instead."""
    with pytest.raises(DefinitionError, match=message):
        definition(**watch)


def test_a_fault_that_begins_within_a_block_is_still_the_senders() -> None:
    """Values that by chance looked like it came before: the later half of them tells."""
    healthy, profile = [5.1, 5.3, 4.9, 5.2, 5.0, 5.4], Profile(quartiles=[4.0, 5.0, 6.0], top=0.05)

    def alarm(values: list[float]) -> Alarm:
        return Alarm(0, 3, 0.1, 0.9, 2000, np.array(values), "", profile)

    assert fault(alarm([*healthy, *[5.2] * 14]), "number") == ("is constant", "5.2")
    scaled = [100.0 * v for v in (3.9, 4.4, 5.0, 5.5, 6.1, 4.8, 5.2, 6.4, 3.7, 5.9)]
    assert "about 100 times" in (fault(alarm([*healthy, *scaled, *scaled]), "number") or ("",))[0]
    assert fault(alarm([*healthy, 7.0, 7.5, 8.1, 7.7, 8.4, 7.2, 7.9, 8.8]), "number") is None
