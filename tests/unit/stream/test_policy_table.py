"""Every trigger with every action, done by itself or advised; every action that can be undone, checked."""

from typing import Any

import pytest

from stream.processing.processor import Processor
from tests.unit.stream.test_policies import (
    CALM_RULES,
    WATCHED,
    capped,
    command,
    fed,
    processor,
    rows,
    told,
    unlabelled,
)

Messages = list[tuple[str, dict[str, Any]]]
MODELS = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}
DDM = {"on_drift": "tell", "detector": "DDM", "cooldown": 50, "min_labels": 10**6}
TRIGGERS: dict[str, tuple[dict[str, Any], Messages, Messages]] = {
    "concept": ({"on": "concept", "of": "served"}, rows(0, 400), rows(400, 500, flip=400)),
    "data": ({"on": "data", "of": "x"}, rows(0, 400), capped(400, 500, 0.0, 4.0)),
    "prediction": ({"on": "prediction"}, rows(0, 600), capped(600, 700, 7.0, 9.0)),
    "producer": ({"on": "producer", "of": "x"}, rows(0, 416), capped(416, 600, 3.0, 3.0)),
    "label_silence": ({"on": "label_silence"}, rows(0, 200), unlabelled(200, 450)),
    "labels back": (
        {"on": "label_silence_ended"}, [*rows(0, 200), *unlabelled(200, 450)], rows(450, 455),
    ),
    "events": ({"on": "schedule", "every": 150}, rows(0, 149), rows(149, 155)),
    "time": ({"on": "schedule", "every": "150s"}, rows(0, 149), rows(149, 155)),
    "by hand": ({"on": "command"}, rows(0, 100), [command("apply")]),
}  # fmt: skip
"""By name: the trigger, what comes before it, and what brings it."""

ACTIONS: tuple[tuple[tuple[str, dict[str, Any], str], ...], ...] = (
    (
        ("tell", {}, "applied"),
        ("freeze", {}, "frozen"),
        ("unfreeze", {}, "unfrozen"),
        ("fallback", {}, "fell_back"),
        ("resume", {}, "resumed"),
        ("promote", {"target": "nb"}, "promoted"),
        ("rollback", {}, "rolled_back"),
    ),
    (("challenge", {"target": "lr"}, "challenged"), ("drop", {"target": "nb"}, "dropped")),
    (
        ("retrain", {"target": "lr", "last": 10}, "retrained"),
        ("update", {"target": "nb", "recipe": "majority"}, "updated"),
    ),
)
"""Actions that follow one another at one input, and their transitions."""

SECOND = ("unfreeze", "resume", "rollback")  # what they take back must have been done


def deployment(trigger: str, actions: Any, **changes: Any) -> Processor:
    """Return a deployment with one policy for each action, called like it."""
    wanted, _, _ = TRIGGERS[trigger]
    policies = [{**wanted, "budget": 1, "name": action, "do": action, **more} for action, more, _ in actions]
    watch = {**WATCHED, "prediction": trigger == "prediction"}
    drift = DDM if trigger == "concept" else CALM_RULES
    return processor(*policies, models=MODELS, champion="lr", drift=drift, watch=watch, **changes)


def brought(p: Processor, trigger: str, actions: Any) -> list[dict[str, Any]]:
    """Bring the trigger about; returns what policies have made of it. Before, there was nothing."""
    _, before, bringing = TRIGGERS[trigger]
    assert not [t for t in told(fed(p, *before)) if "policy" in t.get("evidence", {})]
    if trigger == "by hand":
        bringing = [command("apply", f"c-{action}", target=action) for action, *_ in actions]
    happened = told(fed(p, *bringing))
    done = [t for t in happened if "policy" in t.get("evidence", {})]
    signals = [t["position"] for t in happened if t["kind"] in ("signal", "signal_ended")]
    for transition in done if trigger not in ("events", "time", "by hand") else ():
        assert transition["position"] in signals
    return done


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_trigger_brings_actions(trigger: str, actions: Any) -> None:
    """All that it is to bring, in declared order, once, with the policy's name; not before."""
    done = brought(deployment(trigger, actions), trigger, actions)
    assert [(t["evidence"]["policy"], t["kind"]) for t in done] == [
        (action, kind) for action, _, kind in actions
    ]
    assert all(t["reason"].startswith(f"Policy {t['evidence']['policy']}: ") for t in done)


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_actions_may_be_advised(trigger: str, actions: Any) -> None:
    """Nothing changes until a person approves; then it is what it would have been. Telling needs nobody."""
    actions = [one for one in actions if one[0] not in SECOND]
    p = deployment(trigger, actions, mode="advise")
    roster = p.learn.roster
    there = (roster.champion, list(roster.models), list(roster.shadows), roster.frozen, roster.mode)
    advised = brought(p, trigger, actions)
    assert there == (roster.champion, roster.models, roster.shadows, roster.frozen, roster.mode)
    for (_, _, kind), told_of in zip(actions, advised, strict=True):
        if kind == "applied":
            assert told_of["kind"] == kind
            continue
        assert (told_of["kind"], told_of["evidence"]["would"]) == ("advised", kind)
        name = told_of["evidence"]["advice"]
        (done,) = told(fed(p, command("approve", f"yes-{name}", target=name)))
        assert (done["kind"], done["requested_by"]) == (kind, "ada")


GOOD_RULE = {"rules": {"high": {"when": "x > 4", "then": "yes"}, "low": {"when": "true", "then": "no"}}}
BAD_RULE = {"rules": {"wrong": {"when": "true", "then": "no"}}}
MAJORITY = {"lr": {"recipe": "majority"}, "nb": {"recipe": "naive_bayes"}}
TRIALS: dict[str, tuple[dict[str, Any], dict[str, Any], Messages, list[str]]] = {
    "challenge kept": (
        {"do": "challenge", "target": "lr"}, {}, rows(200, 300, flip=200), ["challenged", "kept"],
    ),
    "challenge undone": (
        {"do": "challenge", "target": "lr"}, {}, rows(200, 300), ["challenged", "undone", "dropped"],
    ),
    "retrain kept": ({"do": "retrain", "target": "lr"}, {}, rows(200, 300, flip=200), ["retrained", "kept"]),
    "retrain undone": (
        {"do": "retrain", "target": "lr"}, {}, rows(200, 300), ["retrained", "undone", "dropped"],
    ),
    "update kept": (
        {"do": "update", "target": "lr", "recipe": "naive_bayes", "last": 50}, {"models": MAJORITY},
        rows(200, 300), ["updated", "kept"],
    ),
    "update undone": (
        {"do": "update", "target": "lr", "recipe": "majority", "check": 6}, {}, rows(200, 300),
        ["updated", "undone", "dropped"],
    ),
    "promote kept": (
        {"do": "promote", "target": "nb"}, {"models": MAJORITY}, rows(200, 300), ["promoted", "kept"],
    ),
    "promote undone": (
        {"do": "promote", "target": "lr"}, {"models": MAJORITY, "champion": "nb"}, rows(200, 300),
        ["promoted", "undone", "rolled_back"],
    ),
    "fallback kept": (
        {"do": "fallback"}, {"models": MAJORITY, **GOOD_RULE}, rows(200, 300), ["fell_back", "kept"],
    ),
    "fallback undone": (
        {"do": "fallback", "check": 6}, BAD_RULE, rows(200, 300), ["fell_back", "undone", "resumed"],
    ),
    "freeze kept": ({"do": "freeze"}, {}, rows(200, 300), ["frozen", "kept"]),
    "freeze undone": ({"do": "freeze"}, {}, rows(200, 300, flip=200), ["frozen", "undone", "unfrozen"]),
}  # fmt: skip
"""By name: the policy, changes of the definition, what comes after 200 rows, and what must happen."""


def tried(name: str, **changes: Any) -> tuple[Processor, list[dict[str, Any]]]:
    policy, more, after, _ = TRIALS[name]
    p = processor(
        {"name": "it", "on": "command", "check": 20, **policy},
        **{"models": MODELS, "champion": "lr", "drift": CALM_RULES, "watch": WATCHED, **more, **changes},
    )
    fed(p, *rows(0, 200))
    return p, told(fed(p, command("apply", target="it"), *after), "signal")


@pytest.mark.parametrize("name", TRIALS)
def test_what_was_done_is_checked(name: str) -> None:
    """After so many labels it is kept, or taken back by itself; the record has both losses."""
    _, story = tried(name)
    wanted = TRIALS[name][3]
    kinds = [t["kind"] for t in story]
    assert kinds[: len(wanted)] == wanted
    checked = next(t for t in story if t["kind"] in ("kept", "undone"))
    evidence = checked["evidence"]
    assert evidence["policy"] == "it"
    assert 0 < evidence["labels"] <= 20
    assert (evidence["loss"] <= evidence["without"]) == (checked["kind"] == "kept")
    assert f"loss {evidence['loss']:.4g} with it" in checked["reason"]
    if checked["kind"] == "undone":
        assert story[kinds.index("undone") + 1]["position"] == checked["position"]


@pytest.mark.parametrize("name", TRIALS)
def test_in_mode_advise_the_check_advises(name: str) -> None:
    """It begins once a person has approved; what is no better is advised to be undone, and is on a word."""
    _, _, after, wanted = TRIALS[name]
    p, story = tried(name, mode="advise")
    assert [t["kind"] for t in story][:1] == ["advised"]
    story = told(
        fed(p, command("approve", "c2", target=story[0]["evidence"]["advice"]), *again(after)), "signal"
    )
    assert story[0]["kind"] == wanted[0]
    if wanted[1] == "kept":
        assert story[1]["kind"] == "kept"
        return
    (advised,) = [t for t in story if t["kind"] == "advised" and "check" in t["reason"]]
    assert advised["evidence"]["would"] == wanted[2]
    assert advised["evidence"]["loss"] > advised["evidence"]["without"]
    (done,) = told(fed(p, command("approve", "c3", target=advised["evidence"]["advice"])))
    assert done["kind"] == wanted[2]


def again(messages: Messages) -> Messages:
    """Return the same events, later and under other ids."""
    return [
        (source, {**event, "id": f"again-{event['id']}", "timestamp": event["timestamp"] + 10**6})
        for source, event in messages
    ]


def test_a_return_from_rules_is_checked() -> None:
    """Resumed by a policy while the model is worse than the rules: only rules answer again."""
    p = processor(
        {"name": "down", "on": "command", "do": "fallback"},
        {"name": "it", "on": "command", "do": "resume", "check": 20},
        models=MAJORITY, champion="lr", drift=CALM_RULES, watch=WATCHED, **GOOD_RULE,
    )  # fmt: skip
    fed(p, *rows(0, 200), command("apply", target="down"))
    story = told(fed(p, command("apply", "c2", target="it"), *rows(200, 260)))
    assert [t["kind"] for t in story][:3] == ["resumed", "undone", "fell_back"]


def test_a_rollback_is_checked() -> None:
    """To a version that does worse: the one before it comes back."""
    p = processor(
        {"name": "up", "on": "command", "do": "promote", "target": "nb"},
        {"name": "it", "on": "command", "do": "rollback", "check": 20},
        models=MAJORITY, champion="lr", drift=CALM_RULES, watch=WATCHED,
    )  # fmt: skip
    fed(p, *rows(0, 200), command("apply", target="up"))
    story = told(fed(p, command("apply", "c2", target="it"), *rows(200, 260)))
    assert [t["kind"] for t in story][:3] == ["rolled_back", "undone", "rolled_back"]
    assert p.learn.roster.champion.slot == "nb"


def test_what_has_ended_by_itself_is_not_undone_twice() -> None:
    """The evidence gave back before the check was due: that is said, and nothing is done."""
    p = processor(
        {"name": "it", "on": "command", "do": "fallback", "check": 100},
        models=MODELS, champion="lr", drift=CALM_RULES, watch=WATCHED, **BAD_RULE,
    )  # fmt: skip
    fed(p, *rows(0, 200))
    story = told(fed(p, command("apply", target="it"), *rows(200, 320)))
    assert [t["kind"] for t in story] == ["fell_back", "resumed", "undone"]
    assert "had ended by itself" in story[-1]["reason"]
