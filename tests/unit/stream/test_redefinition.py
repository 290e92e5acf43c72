"""Another definition on a running deployment: what stays, what comes, what goes, and what is told of it."""

from typing import Any

import pytest

from learners.errors import IncompatibleSnapshotError
from stream.processing.processor import Processor
from stream.replay import differences
from tests.support import TINY, Inputs, MemoryLog, definition, predictions, run, transitions

TWO = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}
LOW = {"when": "x < -5", "then": "no"}


def made(inputs: Inputs, first: int, count: int, *, labelled: bool = True) -> None:
    for n in range(first, first + count):
        x = float(n % 9) - 4.0
        event: dict[str, Any] = {"id": f"e{n}", "timestamp": n, "features": {"x": x, "y": 1.0}}
        if labelled:
            event["label"] = "yes" if x > 0 else "no"
        inputs.add("events", event)


def grown(**changes: Any) -> tuple[Processor, Inputs, MemoryLog]:
    """Return a processor that has learned 60 events, what came in, and what went out."""
    inputs = Inputs()
    made(inputs, 0, 60)
    processor, log = Processor(definition(**changes)), MemoryLog(inputs.all)
    log.send(run(processor, inputs.all))
    return processor, inputs, log


def slots(processor: Processor) -> dict[str, int]:
    return {m.slot: m.number for m in processor.learn.roster.members}


def test_who_stays_keeps_everything_and_who_comes_earns_its_weight() -> None:
    """Numbers, what was learned and scores stay; a new model begins in the pool without weight."""
    p, _, _ = grown(models=TWO)
    before = {m.slot: (m.number, m.learned, m.score.scored) for m in p.learn.roster.members}
    assert p.redefine(definition(models={**TWO, "nb2": TWO["nb"]}, rules={"low": LOW, **TINY["rules"]}))
    roster = p.learn.roster
    after = {m.slot: (m.number, m.learned, m.score.scored) for m in roster.members}
    assert {slot: after[slot] for slot in before} == before
    fresh = roster.by_number[slots(p)["nb2"]]
    assert fresh.number > max(number for number, *_ in before.values())
    assert (fresh.learned, roster.shares()[fresh.number]) == (0, 0.0)
    assert slots(p)["low"] < min(slots(p)["high"], slots(p)["prior"])
    assert [m.slot for m in roster.rules] == ["low", "high", "prior"]


def test_another_recipe_starts_in_shadow_and_what_is_removed_leaves() -> None:
    """The version that serves goes on until the fresh one has proved better."""
    p, inputs, _ = grown(models=TWO)
    p.redefine(definition(models={"lr": {"recipe": "naive_bayes"}}))
    assert "nb" not in slots(p)
    old, fresh = (p.learn.roster.by_number[slots(p)[slot]] for slot in ("lr", "lr-next"))
    assert (old.learned, fresh.learned, fresh.replaces, fresh.parent) == (60, 0, True, old.number)
    made(inputs, 60, 1)
    outputs = run(p, inputs.all[-1:])
    (told,) = transitions(outputs)[:1]
    assert told["kind"] == "redefined"
    assert told["evidence"]["changes"]["models.lr.recipe"] == ["logistic_regression", "naive_bayes"]
    assert [name.split(":")[0] for name in told["evidence"]["fresh"]] == ["lr-next"]
    assert [name.split(":")[0] for name in told["evidence"]["left"]] == ["nb"]
    assert predictions(outputs)[0]["served_by"] == "champion:lr"
    assert p.untold == []


def test_the_named_champion_answers_and_the_one_before_can_come_back() -> None:
    """The definition's word counts as a promotion; the reign is recorded."""
    p, inputs, _ = grown(models=TWO)
    p.redefine(definition(models=TWO, champion="nb"))
    made(inputs, 60, 1)
    outputs = run(p, inputs.all[-1:])
    assert predictions(outputs)[0]["served_by"] == "champion:nb"
    assert (transitions(outputs)[0]["slot"], p.learn.roster.roll_back().slot) == ("nb", "blend")


def test_where_nobody_knows_anything_rules_answer() -> None:
    """The only model is replaced: the fresh one answers once it has proved better than the rules."""
    p, inputs, _ = grown()
    p.redefine(definition(models={"nb": TWO["nb"]}))
    made(inputs, 60, 400)
    outputs = run(p, inputs.all[60:])
    assert predictions(outputs)[0]["served_by"] == "rule:prior"
    assert predictions(outputs)[-1]["served_by"] == "champion:nb"
    assert "resumed" in [t["kind"] for t in transitions(outputs)]


def test_waiting_predictions_are_scored_for_those_who_made_them() -> None:
    """A rule moved down keeps the answers that it gave; one that says something else now has none."""
    rules = {"up": {"when": "x > -9", "then": "yes"}, "down": {"when": "x > -9", "then": "no"}}
    p, inputs, _ = grown(rules=rules)
    made(inputs, 60, 1, labelled=False)
    run(p, inputs.all[-1:])
    scored = {m.slot: m.score.scored for m in p.learn.roster.rules}
    p.redefine(definition(rules={"down": {**rules["down"], "then": "yes"}, "new": LOW, "up": rules["up"]}))
    run(p, [inputs.add("labels", {"id": "e60", "timestamp": 60, "label": "yes"})])
    rules_now = {m.slot: m.score for m in p.learn.roster.rules}
    assert (rules_now["up"].scored, rules_now["down"].scored) == (scored["up"] + 1, 0)


def test_thresholds_and_detector_hold_from_there_on() -> None:
    """Proofs go on towards the new threshold; another detector begins anew, with every member."""
    p, _, _ = grown(models=TWO)
    evidence, wealth = p.learn.evidence, p.learn.evidence.proofs[1].wealth
    p.redefine(definition(models=TWO, drift={**TINY["drift"], "alpha": 0.5}))
    assert p.learn.evidence.proofs[1].wealth == wealth
    assert p.learn.evidence.need(1, 0.5) < 100 * evidence.need(1, 0.5)
    p.redefine(definition(models=TWO, drift={**TINY["drift"], "detector": "DDM", "parameters": {}}))
    names = {m.monitor.name for m in p.learn.roster.models if m.monitor is not None}
    assert (names, p.learn.evidence.monitor.name) == ({"DDM"}, "DDM")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"features": {"x": {}}}, "meander rebuild"),
        ({"label": {**TINY["label"], "positive": "no"}}, "meander rebuild"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], why: str) -> None:
    """Features and labels are what was learned from; nothing is half changed."""
    p, _, _ = grown()
    with pytest.raises(IncompatibleSnapshotError, match=why):
        p.redefine(definition(**changes))
    assert p.definition == definition()


def test_what_could_not_be_restored_is_refused() -> None:
    """A version made by a package that nothing declares any more would stop the next worker."""
    own = {"own": {"recipe": "tests.fragile:Fragile"}}
    p, _, _ = grown(models={**TWO, **own})
    with pytest.raises(IncompatibleSnapshotError, match="under another name"):
        p.redefine(definition(models={**TWO, "own": TWO["nb"]}))
    assert p.untold == []
    assert p.redefine(definition(models=TWO))
    Processor(p.definition).restore(p.snapshot())


def test_the_log_tells_when_each_definition_held() -> None:
    """A replay with the last definition gives every byte; any other holds from the first input on."""
    p, inputs, log = grown(models=TWO)
    last = definition(models={**TWO, "nb2": TWO["nb"]}, champion="nb")
    for number, changed in enumerate((definition(warm_up=0), last), 1):
        again = Processor(changed)  # as a worker that starts
        again.restore(p.snapshot())
        again.redefine(changed)
        p = Processor(changed)
        p.restore(again.snapshot())  # what is not told yet is part of the state
        made(inputs, 60 * number, 60)
        new = inputs.all[60 * number :]
        log.topics["events"] = list(inputs.all)
        log.send(run(p, new))
    assert differences(last, 0, log) == []
    assert differences(definition(), 0, log) != []


def test_what_an_operator_has_frozen_stays_frozen() -> None:
    """Another definition does not make it a policy's to unfreeze."""
    p, inputs, _ = grown()
    run(p, [inputs.add("control", {"type": "command", "id": "c1", "action": "freeze"})])
    p.redefine(definition(policy=[{"on": "schedule", "every": 1, "do": "unfreeze"}]))
    made(inputs, 60, 5)
    told = transitions(run(p, inputs.all))
    assert p.learn.roster.frozen
    assert any("an operator holds learning frozen" in t["reason"] for t in told)
