"""Policies of the definition: trigger, condition, action, check; done by themselves or on advice."""

from typing import Any

import pytest

from learners.automation import Memory, is_free, matches
from learners.detectors import Signal, SignalKind
from learners.errors import DefinitionError
from learners.policies import Policy
from stream.processing.processor import Processor
from tests.support import Inputs, definition, predictions, run, transitions

LABEL = {"classes": ["no", "yes"]}
QUIET = {"on_drift": "tell", "detector": "DDM", "cooldown": 50}


def processor(*policies: dict[str, Any], **changes: Any) -> Processor:
    raw = {"label": LABEL, "warm_up": 0, "rules": {}, "drift": QUIET, "policy": policies}
    return Processor(definition(**{**raw, **changes}))


def fed(p: Processor, *messages: tuple[str, dict[str, Any]]) -> list[Any]:
    inputs = Inputs()
    inputs.next = dict(p.next)
    return run(p, [inputs.add(source, message) for source, message in messages])


def rows(first: int, last: int, flip: int = 10**9) -> list[tuple[str, dict[str, Any]]]:
    """Return labelled events whose relation is inverted from a row on; one a second."""
    return [
        ("events", {
            "id": f"e{n}", "timestamp": 1000 * n, "features": {"x": float(n % 10), "y": 1.0},
            "label": "yes" if (n % 10 > 4) == (n < flip) else "no",
        })
        for n in range(first, last)
    ]  # fmt: skip


def command(action: str, identifier: str = "c1", **more: Any) -> tuple[str, dict[str, Any]]:
    return "control", {"type": "command", "id": identifier, "action": action, "operator": "ada", **more}


def told(outputs: list[Any], *leave: str) -> list[dict[str, Any]]:
    return [t for t in transitions(outputs) if t["kind"] not in ("started", *leave)]


def kinds(outputs: list[Any], *leave: str) -> list[str]:
    return [t["kind"] for t in told(outputs, *leave)]


def test_a_signal_retrains_from_the_last_labelled_events() -> None:
    """The fresh version has learned as many before it answers anything; the record names the policy."""
    p = processor({"on": "concept", "do": "retrain", "last": 20, "size": 0.05})
    outputs = fed(p, *rows(0, 800, flip=600))
    signal, started = told(outputs, "fell_back", "promoted", "resumed")[:2]
    assert (signal["kind"], started["kind"]) == ("signal", "retrained")
    assert started["to"] == "tiny/v2@20"
    assert started["evidence"]["policy"] == "policy-1"
    assert started["evidence"]["after"] - started["evidence"]["before"] >= 0.05


def test_an_update_brings_another_recipe_by_schedule() -> None:
    """Every so many events a version of another recipe starts; proved better, it takes the slot."""
    update = {"on": "schedule", "every": 300, "do": "update", "recipe": "naive_bayes", "budget": 1}
    p = processor(update, models={"lr": {"recipe": "majority"}})
    outputs = fed(p, *rows(0, 900))
    assert kinds(outputs, "fell_back", "resumed") == ["updated", "promoted"]
    assert predictions(outputs)[-1]["served_by"] == "champion:lr"
    assert predictions(outputs)[-1]["model_version"].startswith("tiny/v2@")
    assert p.learn.roster.champion.model.recipe == "naive_bayes"


def test_a_schedule_may_follow_event_time() -> None:
    """Once in a hundred seconds of event time, whatever the number of events."""
    p = processor({"name": "hourly", "on": "schedule", "every": "100s", "do": "tell"})
    story = told(fed(p, *rows(0, 350)))
    assert [t["kind"] for t in story] == ["applied"] * 3
    assert [t["timestamp"] for t in story] == [100_000, 200_000, 300_000]
    assert "hourly" in story[0]["reason"]


def test_what_is_no_better_is_undone() -> None:
    """A fallback by schedule while the model is right ends by evidence, and its check says it was worse."""
    p = processor({"on": "schedule", "every": 200, "do": "fallback", "check": 50, "budget": 1})
    story = told(fed(p, *rows(0, 300)))
    assert [t["kind"] for t in story] == ["fell_back", "resumed", "undone"]
    checked = story[-1]
    assert "had ended by itself" in checked["reason"]
    assert checked["evidence"]["labels"] == 50
    assert checked["evidence"]["loss"] > checked["evidence"]["without"]


def test_what_is_better_is_kept() -> None:
    """A promotion by hand of a better model stands after its check."""
    models = {"lr": {"recipe": "majority"}, "nb": {"recipe": "naive_bayes"}}
    by_hand = {"name": "swap", "on": "command", "do": "promote", "target": "nb", "check": 40}
    p = processor(by_hand, models=models, champion="lr", drift={**QUIET, "min_labels": 10**6})
    fed(p, *rows(0, 60))
    story = told(fed(p, command("apply", target="swap"), *rows(60, 120)), "fell_back", "resumed")
    assert [t["kind"] for t in story] == ["promoted", "kept"]
    assert story[0]["requested_by"] == "ada"
    assert story[1]["evidence"]["policy"] == "swap"


def test_a_policy_that_cannot_act_says_why() -> None:
    """It is recorded as rejected, and nothing else happens."""
    p = processor({"on": "schedule", "every": 10, "do": "promote", "target": "nobody", "budget": 1})
    (rejected,) = told(fed(p, *rows(0, 30)))
    assert rejected["kind"] == "rejected"
    assert "no challenger is called 'nobody'" in rejected["reason"]


DECLARED = {"x": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}
WATCHED = {"reference": 256, "budget": 1000, "prediction": False}
CALM_RULES = {"on_drift": "tell", "parameters": {"budget": 1e9}, "min_labels": 10**6}


def watched(*policies: dict[str, Any], **changes: Any) -> Processor:
    return processor(*policies, drift=CALM_RULES, **{"watch": WATCHED, **changes})


def unlabelled(first: int, last: int) -> list[tuple[str, dict[str, Any]]]:
    return [(source, {k: v for k, v in event.items() if k != "label"}) for source, event in rows(first, last)]


def capped(first: int, last: int, low: float, high: float) -> list[tuple[str, dict[str, Any]]]:
    return [
        (source, {**event, "features": {"x": min(max(event["features"]["x"], low), high), "y": 1.0}})
        for source, event in rows(first, last)
    ]


def story() -> list[tuple[str, dict[str, Any]]]:
    """Return events: x moves at row 400, and between 700 and 1,000 there is no label."""
    return [*rows(0, 400), *capped(400, 700, 0.0, 4.0), *unlabelled(700, 1000), *rows(1000, 1060)]


def test_data_drift_may_retrain() -> None:
    """On a move of the feature it is about only; the record has the signal's sentence."""
    p = watched(
        {"on": "data", "of": "x", "do": "retrain", "last": 50, "budget": 1},
        {"on": "data", "of": "y", "do": "freeze"},
        watch={**WATCHED, "producers": False, "data": True},
    )
    happened = told(fed(p, *rows(0, 400), *capped(400, 500, 0.0, 4.0)), "fell_back", "resumed", "promoted")
    at = [t["kind"] for t in happened].index("retrained")
    signal, started = happened[at - 1 : at + 1]
    assert (signal["evidence"]["signal"], signal["evidence"]["feature"]) == ("data", "x")
    assert started["reason"] == f"Policy policy-1: retrain on data: {signal['reason']}"
    assert started["position"] == signal["position"]
    assert not p.learn.roster.frozen


def test_a_senders_fault_may_freeze() -> None:
    """Nothing is learned from then on; the record names the feature."""
    p = watched({"on": "producer", "of": "x", "do": "freeze"})
    happened = told(fed(p, *rows(0, 416), *capped(416, 600, 3.0, 3.0)), "fell_back", "resumed")
    at = [t["kind"] for t in happened].index("frozen")
    assert happened[at]["reason"] == f"Policy policy-1: freeze on producer: {happened[at - 1]['reason']}"
    assert "x is constant." in happened[at]["reason"]
    assert happened[at]["evidence"]["where"] == "3"
    assert p.learn.roster.frozen


SILENT = [
    {"name": "stop", "on": "label_silence", "do": "fallback"},
    {"name": "go", "on": "label_silence_ended", "do": "resume"},
    {"name": "hold", "on": "label_silence", "do": "freeze"},
    {"name": "loose", "on": "label_silence_ended", "do": "unfreeze"},
]


def test_rules_answer_while_labels_are_away() -> None:
    """And nothing is learned; the first label that comes back ends both, and is learned."""
    p = watched(*SILENT)
    before = told(fed(p, *rows(0, 200), *unlabelled(200, 450)))[-3:]
    assert [t["kind"] for t in before] == ["signal", "fell_back", "frozen"]
    assert before[1]["reason"].startswith("Policy stop: fallback on label_silence: No label for ")
    learned = p.learn.roster.champion.learned
    after = told(fed(p, *rows(450, 451)))
    assert [t["kind"] for t in after] == ["signal_ended", "resumed", "unfrozen"]
    assert after[2]["reason"].startswith("Policy loose: unfreeze on label_silence_ended: Labels are back, ")
    assert p.learn.roster.champion.learned == learned + 1


def test_what_an_operator_has_frozen_stays_so() -> None:
    """A policy cannot unfreeze it, not even where it was a policy that had frozen first."""
    p = watched(*SILENT[2:])
    fed(p, *rows(0, 200), *unlabelled(200, 450))
    (taken_over,) = told(fed(p, command("freeze")))
    assert (taken_over["kind"], taken_over["requested_by"]) == ("frozen", "ada")
    assert kinds(fed(p, *rows(450, 451))) == ["signal_ended", "rejected"]
    assert p.learn.roster.frozen
    assert kinds(fed(p, command("unfreeze", "c2"))) == ["unfrozen"]


def test_policies_on_signals_survive_a_restart() -> None:
    """Whatever was seen and done before a cut: the rest is as without it."""
    policies = ({"on": "data", "do": "retrain", "times": 2}, {"on": "producer", "do": "tell"}, *SILENT)
    inputs = Inputs()
    records = [inputs.add(*message) for message in story()]
    first, outputs, snapshots = watched(*policies), [], {}
    for cut, record in enumerate(records):
        if cut >= 395 and cut % 83 == 0:
            snapshots[cut] = len(outputs), first.snapshot()
        outputs += run(first, [record])
    assert {"signal", "signal_ended", "frozen", "unfrozen", "fell_back"} <= set(kinds(outputs))
    for cut, (before, snapshot) in snapshots.items():
        second = watched(*policies)
        second.restore(snapshot)
        assert run(second, records[cut:]) == outputs[before:]


def test_advice_waits_for_a_person() -> None:
    """Nothing changes before it is approved, advice is given once, and the record names who agreed."""
    p = processor(drift={**QUIET, "on_drift": "challenge"}, mode="advise")
    (advised,) = [
        t for t in told(fed(p, *rows(0, 700, flip=600)), "signal") if t["evidence"]["would"] == "challenged"
    ]
    assert (advised["kind"], advised["evidence"]["advice"]) == ("advised", "a1")
    assert not p.learn.roster.shadows
    story = told(fed(p, command("approve", target="a1"), command("approve", "c2", target="a1")))
    assert [t["kind"] for t in story] == ["challenged", "rejected"]
    assert story[0]["requested_by"] == "ada"
    assert [m.slot for m in p.learn.roster.shadows] == ["lr-next"]


def test_advice_that_was_overtaken_is_withdrawn() -> None:
    """The plain action does what was advised; the advice is gone."""
    p = processor(drift={**QUIET, "on_drift": "retrain"}, mode="advise")
    fed(p, *rows(0, 700, flip=600))
    assert "retrained" in [d.kind for d in p.learn.conduct.advice.values()]
    fed(p, command("retrain"))
    assert "retrained" not in [d.kind for d in p.learn.conduct.advice.values()]


@pytest.mark.parametrize(
    ("conditions", "memory", "labels", "free"),
    [
        ({}, Memory(signals=[100]), 100, True),
        ({"labels": 200}, Memory(signals=[100]), 100, False),
        ({"cooldown": 50}, Memory(acted=[60], signals=[100]), 100, False),
        ({"cooldown": 50}, Memory(acted=[50], signals=[100]), 100, True),
        ({"times": 2}, Memory(signals=[100]), 100, False),
        ({"times": 2, "within": 50}, Memory(signals=[40, 100]), 100, False),
        ({"times": 2, "within": 50}, Memory(signals=[60, 100]), 100, True),
        ({"budget": 2}, Memory(acted=[10, 20], signals=[100]), 100, False),
        ({"budget": 2}, Memory(acted=[10, 20], signals=[20_015]), 20_015, True),
    ],
)
def test_conditions(conditions: dict[str, Any], memory: Memory, labels: int, free: bool) -> None:
    """Labels, cooldown, hysteresis, budget: each can hold a policy back."""
    assert is_free(Policy(on="concept", do="tell", **conditions), memory, labels) == free


def test_signals_are_told_apart() -> None:
    """By kind, by what they are about, and by size."""
    data = Signal("psi", 0.1, 0.3, 500, SignalKind.DATA, feature="amount")
    served = Signal("bet", 0.1, 0.15, 500)
    cases = [
        (Policy(on="data", do="tell"), data, True),
        (Policy(on="data", of="amount", do="tell"), data, True),
        (Policy(on="data", of="country", do="tell"), data, False),
        (Policy(on="concept", do="tell"), data, False),
        (Policy(on="concept", of="served", do="tell"), served, True),
        (Policy(on="concept", size=0.1, do="tell"), served, False),
    ]
    assert [matches(policy, signal) for policy, signal, _ in cases] == [wanted for *_, wanted in cases]


@pytest.mark.parametrize(
    ("policy", "key"),
    [
        ({"on": "schedule", "do": "tell"}, "every"),
        ({"on": "concept", "every": 5, "do": "tell"}, "every"),
        ({"on": "schedule", "every": "soon", "do": "tell"}, "every"),
        ({"on": "concept", "do": "update"}, "recipe"),
        ({"on": "concept", "do": "promote"}, "target"),
        ({"on": "concept", "do": "retrain", "target": "tree"}, "target"),
        ({"on": "concept", "do": "tell", "check": 5}, "check"),
        ({"on": "concept", "do": "fallback", "last": 5}, "last"),
        ({"on": "concept", "do": "tell", "budget": 0}, "budget"),
        ({"on": "concept", "do": "tell", "times": 0}, "times"),
    ],
)
def test_impossible_policies_are_refused(policy: dict[str, Any], key: str) -> None:
    """The error names the table's number and the key."""
    with pytest.raises(DefinitionError, match=rf"policy\[1\]\.{key}"):
        definition(policy=[policy])


def test_names_of_policies_are_their_own() -> None:
    """Two of one name could not be told apart in the record."""
    twice = {"name": "a", "on": "concept", "do": "tell"}
    with pytest.raises(DefinitionError, match="given twice"):
        definition(policy=[twice, twice])
