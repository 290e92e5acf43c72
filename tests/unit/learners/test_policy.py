"""Decisions: what follows from which evidence, and nothing else."""

import copy
import math
from typing import Any

import pytest

from learners.contract import Contract
from learners.definition import Definition
from learners.detectors import Signal
from learners.lineage import Kind
from learners.policy import GIVE_BACK, SIGNAL_SPAN, Evidence, decide
from learners.roster import Cause, Mode, Roster
from learners.tasks import make_task
from tests.support import definition

SIGNAL = Signal("bet", 0.1, 0.4, 500)


class Case:
    """A roster with its evidence."""

    def __init__(self, **changes: Any) -> None:
        self.definition: Definition = definition(**{"warm_up": 0, **changes})
        self.roster = Roster(self.definition, make_task(Contract(self.definition)), "tiny")
        self.evidence = Evidence(self.definition)

    def decided(self, signal: Signal | None = None) -> list[Kind]:
        signals = [] if signal is None else [signal]
        return [decision.kind for decision in decide(self.definition, self.roster, self.evidence, signals)]

    def play(self, number: int, champion: float, challenger: float, labels: int) -> None:
        roster = self.roster
        index = roster.panel.index(number)
        at = roster.rivals[index - 1]
        for _ in range(labels):
            self.evidence.compare(roster.members[index], roster.members[at], at == 0, champion, challenger, 0)


DRIFT = {"min_labels": 50, "patience": 300, "alpha": 0.05}


@pytest.mark.parametrize(
    ("action", "kinds"),
    [
        ("challenge", [Kind.SIGNAL, Kind.CHALLENGED]),
        ("retrain", [Kind.SIGNAL, Kind.RETRAINED]),
        ("fallback", [Kind.SIGNAL, Kind.FELL_BACK]),
        ("tell", [Kind.SIGNAL]),
    ],
)
def test_a_signal_leads_to_what_the_definition_says(action: str, kinds: list[Kind]) -> None:
    """One line of the definition chooses the action; a frozen deployment only records the signal."""
    case = Case(drift={**DRIFT, "on_drift": action})
    assert case.decided() == []
    assert case.decided(SIGNAL) == kinds
    case.roster.frozen = True
    assert case.decided(SIGNAL) == [Kind.SIGNAL]


def test_a_second_signal_starts_no_second_challenger() -> None:
    """While the champion's fresh version runs, another signal is only recorded."""
    case = Case(drift=DRIFT)
    case.roster.start_challenger()
    assert case.decided(SIGNAL) == [Kind.SIGNAL]


def test_a_signal_in_fallback_falls_back_no_further() -> None:
    """Rules answer already."""
    case = Case(drift={**DRIFT, "on_drift": "fallback"})
    case.roster.mode = Mode.FALLBACK
    assert case.decided(SIGNAL) == [Kind.SIGNAL]


def test_a_challenger_is_promoted_by_proof_only() -> None:
    """Enough evidence from enough labels; less of either is no promotion."""
    case = Case(drift=DRIFT)
    number = case.roster.start_challenger().number
    case.play(number, 1.0, 0.0, 49)
    assert case.evidence.proofs[number].wealth > 1e6
    assert case.decided() == []
    case.play(number, 1.0, 0.0, 1)
    assert case.decided() == [Kind.PROMOTED]
    case.roster.frozen = True
    assert case.decided() == []


def test_an_equal_challenger_is_dropped_when_patience_ends() -> None:
    """One that proved nothing goes; a declared one, which nobody started, stays."""
    models = {"lr": {"recipe": "logistic_regression"}, "tree": {"recipe": "hoeffding_tree"}}
    case = Case(drift=DRIFT, models=models, champion="lr")
    number = case.roster.start_challenger().number
    declared = next(m.number for m in case.roster.challengers if m.slot == "tree")
    for labels, kinds in ((299, []), (1, [Kind.DROPPED])):
        case.play(number, 0.5, 0.5, labels)
        case.play(declared, 0.5, 0.5, labels)
        assert case.decided() == kinds


def test_a_worse_challenger_is_dropped_early() -> None:
    """Evidence against it spares the rest of the patience."""
    case = Case(drift=DRIFT)
    number = case.roster.start_challenger().number
    case.play(number, 0.0, 1.0, 60)
    (dropped,) = decide(case.definition, case.roster, case.evidence, [])
    assert (dropped.kind, dropped.reason) == (
        Kind.DROPPED, "lr-next has proved worse than lr in 60 labels.",
    )  # fmt: skip


def test_the_better_of_two_is_promoted() -> None:
    """If two have proved better, the one with more evidence becomes champion, and one only."""
    models = {name: {"recipe": "logistic_regression"} for name in ("lr", "a", "b")}
    case = Case(drift=DRIFT, models=models, champion="lr")
    case.play(2, 1.0, 0.2, 100)
    case.play(3, 1.0, 0.0, 100)
    (decision,) = decide(case.definition, case.roster, case.evidence)
    assert (decision.kind, decision.number) == (Kind.PROMOTED, 3)
    assert decision.evidence["need"] == pytest.approx(4 * math.pi**2 / 6 / 0.05)
    assert decision.evidence["labels"] == 100


def test_every_candidate_of_a_reign_needs_more() -> None:
    """The i-th needs so much that all together err with at most alpha; a reign begins anew."""
    case = Case(drift=DRIFT)
    needs = []
    for _ in range(3):
        number = case.roster.start_challenger().number
        case.play(number, 0.5, 0.5, 1)
        needs.append(case.evidence.need(number, 0.05))
        case.evidence.forget(number)
    assert needs == pytest.approx([i * i * math.pi**2 / 6 / 0.05 for i in (1, 2, 3)])
    assert sum(1 / need for need in needs) < 0.05
    case.evidence.new_reign()
    assert case.evidence.need(99, 0.05) == pytest.approx(math.pi**2 / 6 / 0.05)


@pytest.mark.parametrize("every", [1, 100, 350, 5000])
def test_however_many_signals_come_stakes_add_up_to_no_more_than_one(every: int) -> None:
    """In any span of labels, with what was staked at first."""
    case = Case(drift=DRIFT)
    number = case.roster.start_challenger().number
    case.roster.shadows[0].started = False
    case.roster.rearrange()
    case.play(number, 0.0, 0.0, 1)
    staked = [case.evidence.proofs[number].wealth]
    for labels in range(1, SIGNAL_SPAN):
        if labels % every == 0:
            case.evidence.labels = labels
            case.evidence.signalled()
            staked.append(case.evidence.proofs[number].wealth)
    assert staked == sorted(staked)
    assert staked[-1] <= 1.0
    assert staked[-1] >= staked[0] + 0.05


def test_rules_give_back_by_proof_unless_held() -> None:
    """The champion resumes once the evidence is enough; in a fallback by hand only by hand."""
    case = Case(drift=DRIFT)
    case.roster.mode = Mode.FALLBACK
    while case.evidence.give_back.wealth < GIVE_BACK:
        assert case.decided() == []
        case.evidence.give_back.add(0.5)
    assert case.decided() == [Kind.RESUMED]
    case.roster.cause = Cause.HAND
    assert case.decided() == []


def test_warm_up_ends_with_each_class_or_enough_labels() -> None:
    """Both classes seen, or as many labels as declared: the champion answers from there on."""
    for labels, warm in ((["no"] * 29, False), (["no"] * 30, True), (["no", "yes"], True)):
        case = Case(warm_up=30)
        for label in labels:
            case.evidence.observe(label, 0)
        assert case.decided() == ([Kind.WARMED_UP] if warm else [])


def test_deciding_changes_nothing() -> None:
    """Asked twice it decides the same, and neither roster nor evidence has changed."""
    case = Case(drift=DRIFT)
    number = case.roster.start_challenger().number
    case.play(number, 1.0, 0.0, 100)
    before = copy.deepcopy((case.evidence.proofs[number].wealth, case.roster.panel, case.roster.mode))
    assert case.decided(SIGNAL) == case.decided(SIGNAL) == [Kind.SIGNAL, Kind.PROMOTED]
    assert before == (case.evidence.proofs[number].wealth, case.roster.panel, case.roster.mode)


@pytest.mark.parametrize(
    ("share", "proved", "kinds"),
    [
        (0.3, False, [Kind.RESUMED]),  # the models hold the weight again
        (0.5, False, []),
        (0.5, True, [Kind.RESUMED]),  # rules help the pool, and yet the champion alone is better than they
        (0.7, True, []),  # or it would fall back again at once
    ],
)
def test_rules_that_led_by_weight_give_back_by_weight_or_proof(
    share: float, proved: bool, kinds: list[Kind]
) -> None:
    """Rules that keep some weight for good must not keep a champion out that has proved better."""
    case = Case()
    case.roster.mode, case.roster.cause = Mode.FALLBACK, Cause.WEIGHTS
    case.roster.pool.rules_share = share
    while proved and case.evidence.give_back.wealth < GIVE_BACK:
        case.evidence.give_back.add(0.5)
    assert case.decided() == kinds
