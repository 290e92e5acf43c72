"""Learned again from the log beside the worker, and installed by digest."""

from typing import Any

import pytest

from learners.candidate import Candidate, digest_of
from learners.contract import Contract
from learners.definition import Definition
from learners.errors import IncompatibleSnapshotError, LostStateError, MeanderError
from learners.lineage import Transition, lineage_of
from learners.snapshot import Keys
from stream.codec import Codec
from stream.processing.processor import THIS_PROCESS, Processor
from stream.processing.rebuild import GoneError, learn_anew
from stream.processing.recovery import Tail, catch_up
from stream.processing.relearn import learn_to, learn_without
from stream.processing.spans import Without, parse_span
from stream.processing.states import StoredStates
from stream.replay import differences
from tests.support import (
    TINY,
    Inputs,
    MemoryLog,
    MemoryStates,
    Published,
    definition,
    predictions,
    record,
    run,
    transitions,
)

RAW: dict[str, Any] = {
    **TINY,
    "label": {"classes": ["no", "yes"]},
    "features": {"x": {"min": -10, "max": 10}, "y": {"missing": "mean"}},
    "drift": {"on_drift": "tell", "cooldown": 50, "min_labels": 10**6},
    "watch": {"data": False, "producers": False, "prediction": False, "labels": False},
}
BLEND = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}


class World:
    """A worker without Kafka whose log can be learned again."""

    def __init__(self, raw: dict[str, Any] = RAW, **changes: Any) -> None:
        self.of = definition(raw, **changes)
        self.p, self.inputs, self.states = Processor(self.of), Inputs(), MemoryStates()
        self.p.states = self.states.states
        self.outputs: list[Published] = []

    def take(self, *messages: tuple[str, dict[str, Any]]) -> list[Published]:
        """Take messages; returns what they give."""
        made = run(self.p, [self.inputs.add(source, message) for source, message in messages])
        self.outputs += made
        return made

    def rows(self, first: int, last: int, *, flipped: bool = False, **more: Any) -> list[dict[str, Any]]:
        """Take labelled events, one a second; returns predictions."""
        return predictions(self.take(*(("events", row(n, flipped, **more)) for n in range(first, last))))

    def log(self) -> MemoryLog:
        """Return the topics as they are now."""
        log = MemoryLog(self.inputs.all)
        log.send(self.outputs)
        return log

    def without(self, *spans: str) -> Candidate:
        """Learn again without spans."""
        return learn_without(self.of, 0, self.log(), [parse_span(span) for span in spans])

    def install(self, candidate: Candidate, identifier: str = "i1") -> list[dict[str, Any]]:
        """Keep a candidate, and take the command that installs it; returns the transitions."""
        return self.command(identifier, self.states.put(candidate, self.of))

    def command(self, identifier: str, digest: str) -> list[dict[str, Any]]:
        """Take a command that installs."""
        message = {
            "type": "command", "id": identifier, "action": "install", "target": digest, "operator": "ada",
            "reason": "inverted labels",
        }  # fmt: skip
        return transitions(self.take(("control", message)))

    def differences(self) -> list[str]:
        """Return where a replay of the topics differs."""
        return differences(self.of, 0, self.log(), self.states.states)


def row(n: int, flipped: bool = False, **more: Any) -> dict[str, Any]:
    label = "yes" if (n % 10 > 4) != flipped else "no"
    return {
        "id": f"e{n}", "timestamp": 1000 * n, "label": label,
        "features": {"x": float(n % 10), "y": 1.0}, **more,
    }  # fmt: skip


def right(answers: list[dict[str, Any]], first: int) -> float:
    return sum(a["prediction"] == row(first + i)["label"] for i, a in enumerate(answers)) / len(answers)


def answer(p: Processor, x: float) -> Any:
    return p.learn.ask({"x": x, "y": 1.0}).answers[0]


def test_a_bad_span_is_unlearned() -> None:
    """What comes out answers as one that never saw it; the score beside what was served says so."""
    world = World()
    world.rows(0, 400)
    world.rows(400, 800, flipped=True)
    world.rows(800, 900)
    candidate = world.without("400..800")
    clean = Processor(world.of)
    run(clean, [r for r in world.inputs.all if not 400 <= r.offset < 800])
    assert candidate.models[0].learned == clean.learn.roster.champion.learned == 500
    since = candidate.origin.of("since")
    assert since is not None
    assert (since.labels, since.now < 0.05 < since.then) == (100, True)
    assert (candidate.origin.events, candidate.origin.records) == (400, 900)
    (told,) = world.install(candidate)
    assert (told["kind"], told["to"], told["champion"]) == ("installed", "tiny/v2@500", "tiny/v2@500")
    assert answer(world.p, 7.0) == answer(clean, 7.0)
    assert right(world.rows(900, 1000), 900) == 1.0
    assert world.differences() == []


def test_the_record_says_where_it_comes_from() -> None:
    """Parent, span, what was left out, who asked, the scores; and the way back is a rollback."""
    world = World()
    world.rows(0, 300)
    world.rows(300, 500, flipped=True)
    (told,) = world.install(world.without("1970-01-01T00:05:00..1970-01-01T00:08:20"))
    assert (told["requested_by"], told["reason"]) == ("ada", "inverted labels")
    assert told["evidence"]["left_out"] == ["1970-01-01T00:05:00Z..1970-01-01T00:08:20Z"]
    entry = lineage_of([_typed(t) for t in transitions(world.outputs)]).find("v2")
    assert entry is not None
    version = entry.version
    assert (version.parent, version.kept, len(version.left_out)) == ("tiny/v1@500", True, 1)
    assert (version.data_from.position, version.data_to.position) == ("events:0:0", "events:0:499")
    back = {"type": "command", "id": "r", "action": "rollback", "operator": "ada"}
    (told,) = transitions(world.take(("control", back)))
    assert (told["kind"], told["to"]) == ("rolled_back", "tiny/v1@500")
    assert world.differences() == []


def _typed(transition: dict[str, Any]) -> Transition:
    import msgspec

    return msgspec.convert(transition, Transition)


def test_a_pool_comes_with_its_weights_and_a_fallback_ends() -> None:
    """Rules had taken over by weight; in the world without the span nobody had reason to."""
    world = World(models=BLEND, rules={}, drift={**RAW["drift"], "on_drift": "fallback"})
    world.rows(0, 500)
    roster, reached = world.p.learn.roster, 500
    while str(roster.mode) != "fallback":
        world.rows(reached, reached + 1, flipped=True)
        reached += 1
    candidate = world.without("500..")
    clean = Processor(world.of)
    run(clean, world.inputs.all[:500])
    told = world.install(candidate)
    assert [t["kind"] for t in told] == ["installed", "resumed"]
    assert roster.champion.is_blend
    assert roster.pool.weights == clean.learn.roster.pool.weights
    assert world.p.learn.ask({"x": 7.0, "y": 1.0}).answer == clean.learn.ask({"x": 7.0, "y": 1.0}).answer
    assert right(world.rows(reached, reached + 100), reached) == 1.0
    assert world.differences() == []


def test_an_operators_fallback_stays() -> None:
    """Who holds it lets go of it."""
    world = World()
    world.rows(0, 200)
    world.take(("control", {"type": "command", "id": "f", "action": "fallback"}))
    (told,) = world.install(world.without("100..150"))
    assert told["kind"] == "installed"
    assert world.rows(200, 201)[0]["served_by"].startswith("rule:")


def test_numbers_come_with_their_range_fills_and_intervals() -> None:
    """A sender of another unit had stretched the label's range, the mean that fills, and the residuals."""
    of = {
        **RAW, "task": "regression", "label": {}, "rules": {},
        "features": {"x": {}, "y": {"missing": "mean"}},
        "models": {"lr": {"recipe": "linear_regression_robust"}, "knn": {"recipe": "linear_regression"}},
    }  # fmt: skip
    world = World(of)

    def rows(first: int, last: int, unit: float = 1.0) -> list[Published]:
        return world.take(*(
            ("events", {"id": f"e{n}", "timestamp": n, "features": {"x": n % 7.0, "y": unit * (n % 3)},
                        "label": unit * (2.0 * (n % 7) + n % 3)})
            for n in range(first, last)
        ))  # fmt: skip

    rows(0, 400)
    clean = Processor(world.of)
    run(clean, world.inputs.all)
    rows(400, 450, unit=1000.0)
    candidate = world.without("events:400..450")
    world.install(candidate)
    learn, pure = world.p.learn, clean.learn
    assert learn.task.state() == pure.task.state()
    assert world.p.repair.state() == clean.repair.state()
    assert learn.roster.pool.weights == pure.roster.pool.weights
    asked = {"id": "q", "timestamp": 500, "features": {"x": 3.0}}
    (mine,) = predictions(world.take(("events", asked)))
    (theirs,) = predictions(run(clean, [record("events", 450, asked)]))
    assert (mine["prediction"], mine["interval"]) == (theirs["prediction"], theirs["interval"])
    assert world.differences() == []


def test_labels_alone_may_be_left_out() -> None:
    """Their events wait for none: nothing is assumed of them, though the definition would."""
    world = World(label={"classes": ["no", "yes"], "ttl": "50s", "expire_as": "no"})
    for n in range(200):
        event, label = row(n), {"id": f"e{n}", "timestamp": 1000 * n, "label": row(n)["label"]}
        del event["label"]
        world.take(("events", event), ("labels", label))
    world.rows(200, 201)
    candidate = world.without("labels:100..150")
    assert (candidate.origin.events, candidate.origin.labels) == (0, 50)
    assert candidate.models[0].learned == 151
    timed = world.without("labels:1970-01-01T00:01:40Z..1970-01-01T00:02:30Z")
    assert timed.models[0].learned == 151


@pytest.mark.parametrize(
    ("span", "events", "labels"),
    [
        ("key:b", [1, 3], [1, 3]), ("producer:bad", [0], [0]),
        ("1..3", [1, 2], [1, 2]), ("labels:..2", [], [0, 1]),
        ("1970-01-01T00:00:02..", [2, 3, 4], [2, 3, 4]), ("events:1970-01-01T00:00:04Z..", [4], [4]),
    ],
)  # fmt: skip
def test_what_lies_in_a_span(span: str, events: list[int], labels: list[int]) -> None:
    """A label goes with its event."""
    without = Without([parse_span(span)], Codec(Contract(definition(RAW))))
    gone: dict[str, list[int]] = {"events": [], "labels": []}
    for n in range(5):
        header = (("meander-producer", b"bad" if n == 0 else b"good"),)
        one = record("events", n, {"id": f"e{n}", "features": {}}, 1000 * n, b"b" if n % 2 else b"a")
        two = record("labels", n, {"id": f"e{n}", "label": "yes"}, 1000 * n, one.key or b"")
        for r in (type(one)(*(*(getattr(one, f) for f in one.__struct_fields__[:-1]), header)), two):
            kept = without(r)
            if kept is None or b"unavailable" in (kept.value or b""):
                gone[r.source].append(n)
    assert gone == {"events": events, "labels": labels}


def test_what_is_read_the_long_way_lies_in_a_span_too() -> None:
    """And so does its label; what nobody can read is handed on, to be refused."""
    without = Without([parse_span("0..9")], Codec(Contract(definition(RAW))))
    deep = b'{"id": "e2", "features": {}, "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    values = [b'{"id": "e1", "features": {"x": NaN}}', deep, b'{"id": "\xff", "features": {}}']
    records = [record("events", n, value) for n, value in enumerate(values)]
    assert [without(one) for one in records] == [None, *records[1:]]
    assert without(record("labels", 20, {"id": "e1", "label": "yes"})) is None
    assert (without.events, without.labels) == (1, 1)


@pytest.mark.parametrize("text", ["", "..", "5", "9..3", "noon..night", "key:", "5..2026-01-01"])
def test_what_is_no_span_is_told(text: str) -> None:
    """With an example of one."""
    with pytest.raises(MeanderError, match=r"span|neither|nothing"):
        parse_span(text)


def test_sent_again_put_right_it_counts() -> None:
    """Only the first sending lies in the span."""
    world = World(features={"x": {"max": 10}, "y": {"missing": "mean"}})
    world.rows(0, 100)
    bad = row(100)
    bad["features"]["x"] = 99.0
    world.take(("events", bad), ("events", row(100)), ("events", row(101)))
    assert world.without("100..101").models[0].learned == 102


def test_what_was_left_out_once_stays_out() -> None:
    """The next state does not learn the first span again; the first command is not repeated."""
    world = World()
    world.rows(0, 300)
    world.rows(300, 400, flipped=True)
    world.install(world.without("300..400"))
    world.rows(400, 500)
    world.rows(500, 550, flipped=True)
    second = world.without("500..550")
    assert second.origin.left_out == ("events:500..550", "events:300..400")
    assert second.models[0].learned == 400
    (told,) = world.install(second, "i2")
    assert told["to"] == "tiny/v3@400"
    assert world.differences() == []


def test_a_version_is_learned_again() -> None:
    """Though its state is not kept any more; what came since tells how it would have done, unlearned."""
    world = World(versions={"every": 100, "keep": 1})
    world.rows(0, 200)
    then = Processor(world.of)
    run(then, world.inputs.all)
    world.rows(200, 600, flipped=True)
    world.rows(600, 700)
    candidate = learn_to(world.of, 0, world.log(), (1, 200), world.states.states)
    assert (candidate.origin.version, candidate.origin.until.position) == ("tiny/v1@200", "events:0:199")
    since = candidate.origin.of("since")
    assert since is not None
    assert since.labels == 500
    (told,) = world.install(candidate)
    assert told["versions"][-1]["parent"] == "tiny/v1@200"
    assert answer(world.p, 7.0) == answer(then, 7.0)
    assert world.differences() == []
    with pytest.raises(MeanderError, match="v9@5 never was"):
        learn_to(world.of, 0, world.log(), (9, 5), world.states.states)


def test_a_blend_is_learned_again() -> None:
    """All its models as they were, in their slots."""
    world = World(models=BLEND)
    world.rows(0, 200)
    then = Processor(world.of)
    run(then, world.inputs.all)
    world.rows(200, 300, flipped=True)
    world.install(learn_to(world.of, 0, world.log(), (3, 200), world.states.states))
    assert [m.slot for m in world.p.learn.roster.models] == ["lr", "nb"]
    assert [m.learned for m in world.p.learn.roster.models] == [200, 200]
    answers = [p.learn.ask({"x": 7.0, "y": 1.0}).answers[1:3] for p in (then, world.p)]
    assert answers[0] == answers[1]
    assert world.differences() == []


def test_what_is_not_there_is_rejected_and_stays_so() -> None:
    """However often the log is run again, and though the state is there by then."""
    world = World()
    world.rows(0, 100)
    candidate = world.without("50..60")
    digest = digest_of(candidate.pack(world.of, THIS_PROCESS))
    (told,) = world.command("i1", digest)
    assert told["kind"] == "rejected"
    assert told["reason"].startswith(f"install was not carried out: there is no state {digest}")
    assert world.command("i2", "../../etc/passwd")[0]["kind"] == "rejected"
    world.states.kept[digest] = candidate.pack(world.of, THIS_PROCESS)
    assert world.differences() == []


def test_a_state_that_is_gone_stops_a_replay() -> None:
    """With a sentence that names it; from a snapshot after it nobody asks."""
    world = World()
    world.rows(0, 100)
    before = world.p.snapshot(outputs={})
    digest = world.states.put(world.without("50..60"), world.of)
    world.command("i1", digest)
    after = world.p.snapshot(outputs={t: len(o) for t, o in world.log().outputs().items()})
    world.rows(100, 120)
    log = world.log()
    assert _restored(world, log, before) == _restored(world, log, after) == []
    del world.states.kept[digest]
    assert _restored(world, log, after) == []
    for ask in (lambda: _restored(world, log, before), world.differences):
        with pytest.raises(LostStateError, match=rf"control:0:0 installed the state {digest}.*rebuild"):
            ask()


def _restored(world: World, log: MemoryLog, snapshot: bytes) -> list[Any]:
    from stream.processing.states import JournaledStates

    processor = Processor(world.of)
    tail = Tail(log, 0, processor.restore(snapshot)["outputs"])
    processor.states = JournaledStates(world.states.states, tail.installed, tail.refused)
    return list(catch_up(processor, log, tail))


def test_the_whole_log_is_learned_as_it_was() -> None:
    """With the state, to the same; where it does not fit any more, without the span from the start."""
    world = World()
    world.rows(0, 300)
    world.rows(300, 400, flipped=True)
    digest = world.states.put(world.without("300..400"), world.of)
    world.command("i1", digest)
    world.rows(400, 450)
    log, states = world.log(), world.states.states

    def learned(of: Definition) -> Processor:
        return learn_anew(of, 0, log, THIS_PROCESS, {}, states).processor

    whole = learned(world.of)
    assert answer(whole, 7.0) == answer(world.p, 7.0)
    assert whole.learn.roster.name(whole.learn.roster.champion) == "tiny/v2@350"
    other = learned(definition(RAW, features={"x": {"min": -10, "max": 10}}))
    assert other.learn.roster.champion.learned == 350
    del world.states.kept[digest]
    assert learned(world.of).learn.roster.champion.learned == 350


def test_only_what_was_signed_is_opened() -> None:
    """Changed bytes are not those of the digest; another key, other features: a sentence, and rejected."""
    world = World()
    world.rows(0, 100)
    candidate = world.without("50..60")
    digest = world.states.put(candidate, world.of)
    data = world.states.kept[digest]
    world.states.kept[digest] = data[:-1] + bytes([data[-1] ^ 1])
    (told,) = world.command("i1", digest)
    assert "is not what its digest says" in told["reason"]
    strange = candidate.pack(world.of, Keys("another key of some length"))
    name = digest_of(strange)
    world.states.kept[name] = strange
    (told,) = world.command("i2", name)
    assert "is not known here" in told["reason"]
    other = definition(RAW, features={"x": {}})
    states = StoredStates(lambda _: data, lambda: THIS_PROCESS)
    with pytest.raises(IncompatibleSnapshotError, match="other features"):
        states.find(other, digest, "control:0:0")
    with pytest.raises(IncompatibleSnapshotError, match="no model lr"):
        states.find(definition(RAW, models={"nb": BLEND["nb"]}), digest, "control:0:0")


def test_a_log_that_begins_later() -> None:
    """Refused; accepted, what is left is learned from, and compared."""
    world = World()
    world.rows(0, 300)
    log = world.log()
    log.first = {"events": 100, "predictions": 100}
    with pytest.raises(GoneError, match=r"events\[0\] begins at 100"):
        learn_without(world.of, 0, log, [parse_span("200..210")])
    candidate = learn_without(world.of, 0, log, [parse_span("200..210")], accept_loss=True)
    assert candidate.models[0].learned == 190
    assert candidate.origin.since.position == "events:0:100"


def test_nothing_to_leave_out_is_told() -> None:
    """A span in which nothing lies is a mistake."""
    world = World()
    world.rows(0, 50)
    with pytest.raises(MeanderError, match=r"no event and no label lies in events:900\.\.950"):
        world.without("900..950")
    with pytest.raises(MeanderError, match="labels come inside events here"):
        world.without("labels:5..9", "10..20")
