"""The whole system as one call, situation by situation."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from learners.errors import SnapshotError
from learners.roster import Mode
from stream.messages import Record
from stream.processing.processor import Processor
from stream.processing.recovery import Tail
from tests.support import (
    TINY,
    Inputs,
    MemoryLog,
    definition,
    predictions,
    reasons,
    record,
    run,
    transitions,
)

LABEL = {"classes": ["no", "yes"]}


def processor(**changes: Any) -> Processor:
    return Processor(definition(**{"label": LABEL, "warm_up": 0, **changes}))


def event(
    number: int | str, label: str | None = None, timestamp: int = 10, **features: Any
) -> tuple[str, dict[str, Any]]:
    message = {"id": f"e{number}", "timestamp": timestamp, "features": {"x": 1.0, "y": 1.0, **features}}
    return "events", message if label is None else {**message, "label": label}


def label(number: int | str, value: str = "yes", **more: Any) -> tuple[str, dict[str, Any]]:
    return "labels", {"id": f"e{number}", "label": value, "timestamp": 10, **more}


def command(action: str, identifier: str = "c1", **more: Any) -> tuple[str, dict[str, Any]]:
    return "control", {"type": "command", "id": identifier, "action": action, "operator": "ada", **more}


def fed(p: Processor, *messages: tuple[str, Any]) -> list[Any]:
    """Process messages after what the processor has had; returns what would stand on the topics."""
    inputs = Inputs()
    inputs.next = dict(p.next)
    return run(p, [inputs.add(source, message) for source, message in messages])


def kinds(outputs: list[Any]) -> list[str]:
    return [t["kind"] for t in transitions(outputs)]


# -- answers


def test_warm_up_then_the_champion() -> None:
    """Before labels the default answers, then rules, and from both classes on the champion."""
    p = processor(warm_up=30)
    outputs = fed(p, event(1, "no"), event(2, "yes"), event(3))
    first, second, third = predictions(outputs)
    assert (first["served_by"], first["prediction"], first["flags"]) == ("default", "no", ["warm_up"])
    assert "probabilities" not in first
    assert (second["served_by"], second["flags"]) == ("rule:prior", ["warm_up"])
    assert (third["served_by"], third["model_version"]) == ("champion:lr", "tiny/v1@2")
    assert "flags" not in third
    assert kinds(outputs) == ["started", "warmed_up"]


def test_a_broken_event_is_answered_by_a_rule_and_never_learned() -> None:
    """It gets a flag for each feature, its bytes go to dead letters, and the model does not see it."""
    p = processor()
    outputs = fed(p, event(1, "yes"), event(2, "yes", x=6.0, y="much"), event(3, "yes", x=99.0))
    _, second, third = predictions(outputs)
    assert (second["served_by"], second["flags"]) == ("rule:high", ["contract:y"])
    assert (third["served_by"], third["flags"]) == ("rule:prior", ["contract:x"])
    assert reasons(outputs) == ["contract", "contract"]
    assert (p.books.learned, p.books.scored_only) == (1, 2)


def test_an_invalid_envelope_goes_to_dead_letters_untouched() -> None:
    """No answer; value, key and headers as they came, with a code and a sentence beside them."""
    p = processor()
    bad = Record("events", 0, 0, 5, b"key", b'{"id": 5}', (("trace", b"t1"),))
    outputs = run(p, [bad])
    ((topic, key, value, headers),) = [o for o in outputs if o[0] == "dead-letters"]
    assert (topic, key, value) == ("dead-letters", b"key", b'{"id": 5}')
    told = dict(headers)
    assert told["trace"] == b"t1"
    assert told["meander-reason"] == b"envelope"
    assert b"Expected `str`" in told["meander-sentence"]
    assert predictions(outputs) == []


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("events", b"", "undecodable"),
        ("events", None, "envelope"),
        ("events", b"\xff", "undecodable"),
        ("events", b'{"id": "a", "features": {}, "schema": 2}', "schema_version"),
        ("events", b'{"id": "' + b"a" * 257 + b'", "features": {}}', "envelope"),
        ("events", b'{"id": "a"}', "envelope"),
        ("events", b'{"id": "a", "features": {}, "timestamp": 1e30}', "envelope"),
        ("events", b'{"id": "a", "features": {}, "timestamp": 1' + b"0" * 30 + b"}", "envelope"),
        ("events", b'{"id": "a", "features": {"x": 1, "t": "\\ud800"}}', "undecodable"),
        ("events", b"[" * 100_000, "undecodable"),
        ("events", b" " * 1_000_001, "too_large"),
        (
            "events",
            b'{"id": "a", "features": {' + b",".join(b'"f%d":1' % n for n in range(90_000)) + b"}}",
            "contract",
        ),
        ("labels", b'{"id": "a"}', "envelope"),
        ("labels", b'{"id": "a", "label": "maybe"}', "label"),
        ("labels", b'{"id": "a", "label": {"deep": []}}', "label"),
        ("control", b'{"type": "dance"}', "envelope"),
        ("control", b'{"type": "tick", "timestamp": 1' + b"0" * 30 + b"}", "envelope"),
        (
            "control",
            b'{"type": "command", "id": "c", "action": "freeze", "reason": "\\ud800"}',
            "undecodable",
        ),
    ],
)
def test_what_is_refused_and_why(source: str, value: bytes | None, reason: str) -> None:
    """One dead letter with its reason; the worker goes on, and its state can still be kept."""
    p = processor()
    assert reasons(run(p, [Record(source, 0, 0, 0, None, value)])) == [reason]
    assert p.books.unaccounted == 0
    processor().restore(p.snapshot())


@pytest.mark.parametrize("extra", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"[[{}]]"])
def test_undeclared_features_never_reach_a_model(extra: bytes) -> None:
    """Whatever stands in a column nobody declared, the event is ordinary and the model stays sane."""
    p = processor()
    value = b'{"id": "%d", "features": {"x": 1, "y": 2, "extra": ' + extra + b'}, "label": "yes"}'
    for number in range(3):
        outputs = fed(p, ("events", value.replace(b"%d", b"%d" % number)))
        (answer,) = predictions(outputs)
        assert answer["served_by"] == "champion:lr"
        assert "flags" not in answer
    assert p.books.learned == 3
    assert reasons(outputs) == []


@pytest.mark.parametrize("depth", range(900, 1010, 10))
def test_deep_nesting_is_survived(depth: int) -> None:
    """A value nested about as deep as Python can follow breaks the contract, not the worker."""
    p = processor()
    fed(p, ("events", b'{"id": "a", "features": {"x": ' + b"[" * depth + b"]" * depth + b"}}"))
    assert p.books.predicted + p.books.refused == 1
    p.snapshot()


def test_event_time_is_the_record_s_where_none_is_given() -> None:
    """An event without a timestamp is dated by its record."""
    p = processor()
    outputs = run(p, [Record("events", 0, 0, 77, None, b'{"id": "a", "features": {"x": 1, "y": 1}}')])
    assert predictions(outputs)[0]["timestamp"] == 77


HOUR = 3_600_000
NOW = 1_700_000_000_000


def at(offset: int, message: tuple[str, dict[str, Any]], time: int = NOW) -> Record:
    """Return a record whose own time is this."""
    return record(message[0], offset, message[1], time)


@pytest.mark.parametrize("far", [NOW + HOUR + 1, 253_402_300_799_999])
def test_time_cannot_be_moved_far_ahead(far: int) -> None:
    """An event, a label or a tick from the far future is told, and ends nobody's wait."""
    p = processor(label={**LABEL, "ttl": "1m"})
    run(p, [at(0, event(1, timestamp=NOW))])
    ahead = "events", {**event(2)[1], "timestamp": far}
    outputs = run(p, [at(1, ahead), at(0, label("early", timestamp=far))])
    (answer,) = predictions(outputs)
    assert (answer["timestamp"], answer["flags"], answer["served_by"]) == (NOW, ["timestamp"], "default")
    outputs += run(p, [at(0, ("control", {"type": "tick", "timestamp": far})), at(1, label(2), NOW)])
    assert reasons(outputs) == ["timestamp"] * 3
    assert p.serve.watermark < NOW + HOUR
    assert run(p, [at(2, label(1, timestamp=NOW))]) == []
    assert (p.books.learned, p.books.scored_only, p.books.expired, p.books.unaccounted) == (1, 1, 0, 0)


def test_events_from_the_far_past_are_refused_where_that_is_declared() -> None:
    """By default any time behind is taken: histories are sent at once."""
    old = "events", {**event(1, "yes")[1], "timestamp": NOW - 2 * HOUR}
    for behind, flags in ((None, None), ("3h", None), ("1h", ["timestamp"])):
        p = processor(max_behind=behind)
        assert predictions(run(p, [at(0, old)]))[0].get("flags") == (flags or None)
        assert p.books.learned == (flags is None)


@pytest.mark.parametrize("time", [-1, -(2**63), 2**62])
def test_a_record_without_a_time_comes_when_it_comes(time: int) -> None:
    """What is no time counts as the time that was reached."""
    p = processor()
    run(p, [at(0, ("events", {**event(1)[1], "timestamp": NOW}))])
    outputs = p.process(at(1, ("events", {"id": "e2", "features": {"x": 1, "y": 1}}), time))
    assert [(o.timestamp, o.message.timestamp) for o in outputs] == [(NOW, NOW)]


def test_repairs_are_told_counted_and_what_models_see() -> None:
    """The model sees the mean and the limit, the flags say so, and rules judge what was sent."""
    features = {"x": {"max": 10, "outliers": "clip"}, "y": {"missing": "mean"}}
    p = processor(features=features, rules={"absent": {"when": "y is missing or x > 50", "then": "yes"}})
    fed(p, event(1, x=4.0, y=2.0), event(2, x=4.0, y=4.0))
    (answer,) = predictions(fed(p, event(3, x=99.0, y=None)))
    assert (answer["served_by"], answer["flags"]) == ("champion:lr", ["clipped:x", "filled:y"])
    example = dict(p.serve.pending.items())["e3"]
    assert example.features == {"x": 10.0, "y": 3.0}
    assert dict(zip(example.panel, example.answers, strict=True))[-1] == 1.0
    assert p.books.repairs == {"clipped:x": 1, "filled:y": 1}
    restored = processor(features=features, rules=TINY["rules"])
    restored.restore(p.snapshot())
    assert restored.repair.state() == p.repair.state()


def test_an_outlier_beyond_the_declared_spread_is_refused() -> None:
    """It is answered by a rule, told in words, and a later ordinary one is learned again."""
    p = processor(features={"x": {"spreads": 4}, "y": {}}, rules={})
    fed(p, *(event(n, "yes", x=float(n % 3)) for n in range(60)))
    outputs = fed(p, event("far", "yes", x=500.0), event("near", "yes", x=2.0))
    assert [a.get("flags") for a in predictions(outputs)] == [["contract:x"], None]
    assert reasons(outputs) == ["contract"]
    assert p.books.learned == 61


@pytest.mark.parametrize("when", ["inside", "before", "after", "early"])
def test_a_broken_event_put_right_is_learned_once_and_not_answered_again(when: str) -> None:
    """Whether its label is inside, came before the correction, comes after it, or came before the event."""
    p = processor()
    inside = "yes" if when == "inside" else None
    first = fed(
        p,
        *([label(1)] if when == "early" else []),
        event(1, x=99.0),
        *([label(1)] if when == "before" else []),
    )
    assert [a["flags"] for a in predictions(first)] == [["contract:x"]]
    again = fed(p, event(1, inside, x=98.0))
    assert (predictions(again), p.books.corrected, p.books.learned) == ([], 0, 0)
    outputs = fed(
        p, event(1, inside, x=9.0), *([label(1)] if when == "after" else []), event(1, "no"), label(1)
    )
    assert predictions(outputs) == []
    assert (p.books.predicted, p.books.corrected, p.books.learned, p.books.duplicate) == (1, 1, 1, 3)
    assert p.books.unaccounted == 0
    assert predictions(fed(p, event(2)))[0]["model_version"] == "tiny/v1@1"


def test_broken_events_push_no_good_one_out() -> None:
    """However many there are, waiting predictions and known ids of good events stay, and so do lags."""
    small = {**LABEL, "pending_limit": 2, "remember_ids": 3}
    p = processor(label=small)
    fed(p, event(1, "yes"), event(2))
    fed(p, *(event(f"bad{n}", x=99.0) for n in range(50)))
    assert predictions(fed(p, event(1), event(2))) == []
    assert p.serve.predicted == 2
    fed(p, label(2))
    assert (p.books.learned, p.books.expired, p.books.unaccounted) == (2, 0, 0)


# -- labels


def test_labels_inside_and_right_after_teach_the_same() -> None:
    """A label in its event, or on the labels topic before the next event: the same answers."""
    numbers = range(60)
    truth = ["yes" if n % 3 else "no" for n in numbers]
    inside, after = processor(), processor()
    first = fed(inside, *(event(n, truth[n], x=float(n % 10)) for n in numbers))
    second = fed(after, *(m for n in numbers for m in (event(n, x=float(n % 10)), label(n, truth[n]))))
    assert predictions(first) == predictions(second)


def test_what_becomes_of_labels() -> None:
    """Learned, twice, early, unavailable, late, unmatched, outside the classes: each is counted once."""
    p = processor(label={**LABEL, "ttl": "100ms"})
    fed(p, event(1), label(1), label(1), label("early"), event("early"), event(2))
    fed(p, ("labels", {"id": "e2", "unavailable": True}), label(2), label("never"))
    books = p.books
    assert (books.learned, books.duplicate_label, books.unavailable, books.early) == (2, 2, 1, 1)
    outputs = fed(p, event(3), label(3, "maybe"), ("control", {"type": "tick", "timestamp": 1000}), label(3))
    assert reasons(outputs) == ["label"]
    assert kinds(outputs) == ["expired"]
    assert transitions(outputs)[0]["evidence"] == {"expired": 1}
    assert (books.late, books.expired, books.unmatched, books.refused_label) == (1, 1, 1, 1)
    assert (books.labels, books.unaccounted) == (8, 0)


def test_a_refused_label_inside_leaves_the_event_waiting() -> None:
    """The right one may still come on the labels topic."""
    p = processor()
    outputs = fed(p, event(1, "maybe"), label(1, "yes"))
    assert reasons(outputs) == ["label"]
    assert (p.books.learned, p.books.refused_label) == (1, 1)


def test_only_so_many_may_wait() -> None:
    """Beyond the limits the oldest prediction, and the oldest early label, give up."""
    p = processor(label={**LABEL, "pending_limit": 2, "early_limit": 1})
    fed(p, event(1), event(2), event(3), label(1), label(2), label("a"), label("b"))
    books = p.books
    assert (books.expired, books.late, books.learned, books.unmatched, books.early) == (1, 1, 1, 1, 1)


def test_a_duplicate_event_gets_no_second_answer() -> None:
    """Neither while it waits nor after its label; its label counts as a duplicate, too."""
    p = processor()
    outputs = fed(p, event(1), event(1), label(1), event(1, "no"), event(2, "no"), event(2))
    assert [a["id"] for a in predictions(outputs)] == ["e1", "e2"]
    assert (p.books.duplicate, p.books.duplicate_label, p.books.unaccounted) == (3, 1, 0)


# -- drift and failure

FLIP = {"detector": "DDM", "cooldown": 50, "min_labels": 50, "patience": 400}


def flipping(rows: int, flip: int) -> list[tuple[str, dict[str, Any]]]:
    return [event(n, "yes" if (n % 10 > 4) == (n < flip) else "no", x=float(n % 10)) for n in range(rows)]


@pytest.mark.parametrize(
    ("action", "story"),
    [
        ("challenge", ["signal", "challenged", "promoted"]),
        ("retrain", ["signal", "retrained", "promoted"]),
        ("fallback", ["signal", "fell_back", "resumed"]),
        ("tell", ["signal"]),
    ],
)
def test_drift_is_acted_on(action: str, story: list[str]) -> None:
    """When the relation flips, the action follows, and the answers say by whom and which version."""
    p = processor(drift={**FLIP, "on_drift": action}, rules={})
    outputs = fed(p, *flipping(1500, 600))
    told = kinds(outputs)
    assert [k for k in dict.fromkeys(told) if k in story] == story
    served = {a["served_by"] for a in predictions(outputs)}
    versions = {a["model_version"].split("@")[0] for a in predictions(outputs) if "model_version" in a}
    # told only, rules answer once the evidence is that they do better
    assert ("rule:prior" in served) == (action in ("fallback", "tell"))
    assert (len(versions) > 1) == (action in ("challenge", "retrain"))


@pytest.mark.parametrize("trouble", ["raises", "nan", "raises in learning"])
def test_a_champion_that_fails_again_is_replaced_and_rules_answer(trouble: str) -> None:
    """The event is answered, a fresh version takes the place, and it comes back once it has proved better."""
    p = processor(rules={})
    fed(p, *flipping(50, 1000))
    champion = p.learn.roster.champion
    champion.strikes, champion.struck = 1, 50  # it has failed just now: putting it back has not helped
    estimator = champion.estimator[-1]

    def fails(*_: Any, **__: Any) -> Any:
        if trouble == "nan":
            return {True: float("nan")}
        raise ValueError("no")

    setattr(estimator, "learn_one" if trouble == "raises in learning" else "predict_proba_one", fails)
    p.learn.roster.rearrange()
    outputs = fed(p, *(event(f"x{n}", "yes") for n in range(1)))
    assert kinds(outputs) == ["failed", "fell_back"]
    failed = transitions(outputs)[0]
    assert (failed["from"], failed["to"]) == ("tiny/v1@50", "tiny/v2@0")
    if trouble != "raises in learning":
        assert predictions(outputs)[0]["served_by"] == "rule:prior"
    later = fed(p, *(event(f"y{n}", "yes" if n % 10 > 4 else "no", x=float(n % 10)) for n in range(900)))
    assert kinds(later) == ["resumed"]
    assert predictions(later)[-1]["model_version"].startswith("tiny/v2@")
    assert p.books.unaccounted == 0


# -- commands


def test_an_operator_freezes_and_unfreezes() -> None:
    """Frozen nothing is learned and labels are scored only; the transition names who asked."""
    p = processor()
    outputs = fed(p, event(1, "yes"), command("freeze"), event(2, "yes"), event(3, "yes"))
    frozen = transitions(outputs)[-1]
    assert (frozen["kind"], frozen["requested_by"], frozen["command"]) == ("frozen", "ada", "c1")
    assert predictions(outputs)[-1]["model_version"] == "tiny/v1@1"
    fed(p, command("unfreeze", "c2"), event(4, "yes"))
    assert predictions(fed(p, event(5)))[0]["model_version"] == "tiny/v1@2"
    assert (p.books.learned, p.books.scored_only) == (2, 2)


def test_an_operator_falls_back_and_resumes() -> None:
    """In a fallback by hand rules answer until told otherwise, whatever the evidence."""
    p = processor(rules={})
    fed(p, *flipping(100, 1000), command("fallback"))
    outputs = fed(p, *(event(f"b{n}", "yes" if n % 10 > 4 else "no", x=float(n % 10)) for n in range(900)))
    assert {a["served_by"] for a in predictions(outputs)} == {"rule:prior"}
    assert all(a["flags"] == ["fallback"] for a in predictions(outputs))
    outputs = fed(p, command("resume", "c2"), event("last"))
    assert kinds(outputs) == ["resumed"]
    assert predictions(outputs)[0]["served_by"] == "champion:lr"


def test_an_operator_retrains_promotes_rolls_back_and_drops() -> None:
    """Each command is carried out at its place among the events, and told."""
    p = processor()
    told = fed(p, event(1, "yes"), command("retrain"), event(2, "no"), command("promote", "c2", target="v2"))
    assert kinds(told) == ["started", "retrained", "promoted"]
    promoted = transitions(told)[-1]
    assert (promoted["from"], promoted["to"], promoted["slot"]) == ("tiny/v1@2", "tiny/v2@1", "lr-next")
    assert predictions(fed(p, event(3)))[0]["model_version"] == "tiny/v2@1"
    told = fed(p, command("rollback", "c3"), event(4), command("retrain", "c4"))
    assert predictions(told)[0]["model_version"] == "tiny/v1@2"
    assert kinds(fed(p, command("drop", "c5", target="lr-next"))) == ["dropped"]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([command("promote", target="nobody")], "no challenger is called 'nobody'"),
        ([command("drop")], "no challenger is called None"),
        ([command("rollback")], "no previous champion"),
        ([command("retrain", target="tree")], "no model is called 'tree'"),
        ([command("retrain"), command("retrain", "c2")], "has a started challenger already"),
        ([command("resume")], "answers already"),
        ([command("unfreeze")], "is on already"),
        ([command("freeze"), command("freeze", "c2")], "is frozen already"),
        ([command("freeze"), command("unfreeze")], "a command of this id came before"),
        ([command("freeze", expires_at=-1)], "it had expired"),
    ],
)
def test_a_command_that_is_not_carried_out_says_why(messages: list[Any], why: str) -> None:
    """It is told as rejected, with the reason and who asked."""
    rejected = transitions(fed(processor(), *messages))[-1]
    assert rejected["kind"] == "rejected"
    assert why in rejected["reason"]
    assert rejected["requested_by"] == "ada"


# -- positions and state


def test_outputs_say_what_caused_them() -> None:
    """Source and inputs of each; several of a topic from one input are numbered."""
    p = processor(drift={**FLIP, "on_drift": "fallback"}, rules={})
    outputs = fed(p, *flipping(900, 600), label("none"), command("freeze"), event("z"))
    by_source = [(topic, dict(headers)["meander-source"].decode()) for topic, _, _, headers in outputs]
    assert len(by_source) == len(set(by_source))
    signal = next(n for n, t in enumerate(outputs) if t[0] == "transitions" and b'"signal"' in (t[2] or b""))
    assert by_source[signal + 1] == ("transitions", by_source[signal][1] + ":1")
    assert dict(outputs[-1][3])["meander-inputs"] == b"labels=1,control=1"
    assert dict(outputs[-2][3])["meander-inputs"] == b"events=900,labels=1"


def test_partitions_name_their_versions() -> None:
    """With a learner for each partition, versions tell which; a snapshot goes back to its own only."""
    made = definition(scope="partition", label=LABEL, warm_up=0)
    third = Processor(made, 3)
    outputs = run(third, [Record("events", 3, 0, 0, None, json.dumps(event(1)[1]).encode())])
    assert predictions(outputs)[0]["model_version"] == "tiny/p3/v1@0"
    assert dict(outputs[-1][3])["meander-source"] == b"events:3:0"
    with pytest.raises(SnapshotError, match="of partition 3, this is 0"):
        Processor(made, 0).restore(third.snapshot())


def test_rules_may_change_between_snapshot_and_restart() -> None:
    """Rules and policy are those of the definition of now; what was learned stays."""
    old = processor()
    fed(old, *flipping(50, 1000))
    new = processor(
        rules={"low": {"when": "x < 100", "then": "yes"}}, drift={**TINY["drift"], "on_drift": "tell"}
    )
    wanted = new.definition
    new.restore(old.snapshot())
    assert new.redefine(wanted)
    (answer,) = predictions(fed(new, event("a", y="broken")))
    assert answer["served_by"] == "rule:low"
    assert predictions(fed(new, event("b")))[0]["model_version"] == "tiny/v1@50"


def test_a_slot_whose_model_was_dropped_can_be_retrained_and_promoted() -> None:
    """Dropping a declared challenger leaves its slot empty, and no command about it stops the worker."""
    p = processor(models={"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}})
    story = fed(
        p,
        event(0, "yes"),
        command("drop", "c1", target="nb"),
        command("retrain", "c2", target="nb"),
        command("promote", "c3", target="nb-next"),
        command("rollback", "c4"),
        event(1, "no"),
    )
    assert [k for k in kinds(story) if k not in ("started", "warmed_up")] == [
        "dropped", "retrained", "promoted", "rolled_back",
    ]  # fmt: skip
    assert p.books.unaccounted == 0


def test_what_an_unavailable_label_says_besides_is_not_kept() -> None:
    """A number that no state could hold does not stand in the way of a snapshot."""
    p = processor()
    fed(p, event(0, "yes"), ("labels", b'{"id": "z", "unavailable": true, "label": 1' + b"0" * 40 + b"}"))
    assert [label.label for _, label in p.serve.early.items()] == [UNSET]
    p.snapshot()


def test_headers_of_an_input_do_not_pass_for_the_journal_s() -> None:
    """A dead letter carries its input's headers untouched, and its own journal headers come first."""
    p = processor()
    hostile = (("meander-source", b"events:0:99"), ("meander-inputs", b"x"), ("trace", b"t"))
    (letter,) = [
        o for o in p.process(Record("events", 0, 0, 1, b"k", b"junk", hostile)) if o.topic == "dead-letters"
    ]
    _, headers = p.codec.encode(letter)
    assert headers[0] == ("meander-source", b"events:0:0")
    assert [h for h in headers if h in hostile] == list(hostile)
    log = MemoryLog([Record("dead-letters", 0, 0, 1, b"k", b"junk", tuple(headers))])
    assert Tail(log, 0, {}).emitted == {("dead-letters", "events:0:0")}


def test_a_command_before_any_event_is_dated_by_its_record() -> None:
    """Before there is a watermark, the record's own time is the time."""
    p = processor()
    outputs = p.process(record("control", 0, command("freeze")[1], timestamp=77))
    assert {o.message.timestamp for o in outputs} == {77}


@pytest.mark.parametrize("frames", [0, 300])
def test_how_deep_json_may_be_does_not_depend_on_the_caller(frames: int) -> None:
    """The same event is answered, or refused, wherever it is read from."""

    def read(levels: int, below: int) -> list[str]:
        if below:
            return read(levels, below - 1)
        value = b'{"id": "e", "features": {"x": 1, "other": ' + b"[" * levels + b"]" * levels + b"}}"
        return [o.topic for o in processor().process(Record("events", 0, 0, 1, b"k", value))]

    assert "predictions" in read(90, frames)
    assert "predictions" not in read(120, frames)


def test_a_fresh_champion_must_prove_itself_anew() -> None:
    """What the champion that failed had proved against the rules is not the fresh one's."""
    p = processor()
    fed(p, *(event(n, "yes" if n % 2 else "no") for n in range(6)))
    learn = p.learn
    learn.roster.mode = Mode.FALLBACK
    for _ in range(20):
        learn.evidence.give_back.add(1.0)
    assert learn.evidence.give_back.wealth > 1
    learn.fail(learn.roster.champion, "boom", 0, "events:0:9")  # put back: it is the same version
    assert learn.evidence.give_back.wealth > 1
    learn.fail(learn.roster.champion, "boom", 0, "events:0:10")
    assert learn.evidence.give_back.wealth == 1
