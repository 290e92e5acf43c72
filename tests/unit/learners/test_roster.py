"""Who is who, before and after every change."""

from typing import Any

import pytest

from learners.contract import Contract
from learners.errors import DefinitionError, MeanderError
from learners.roster import Mode, Roster
from learners.tasks import make_task
from tests.support import definition

THREE = {name: {"recipe": "logistic_regression"} for name in ("a", "b", "c")}
X = {"x": 1.0, "y": 2.0}


def roster(**changes: Any) -> Roster:
    made = definition(**{"warm_up": 0, "models": THREE, "champion": "a", **changes})
    return Roster(made, make_task(Contract(made)), "tiny")


def slots(r: Roster) -> list[str]:
    return [m.slot for m in r.members]


def consistent(r: Roster) -> bool:
    """Whether everything that depends on who is there agrees: one champion, each slot and number once."""
    numbers = [m.number for m in r.members]
    return (
        r.members == (r.champion, *r.challengers, *r.rules)
        and len(set(numbers)) == len(numbers) == len(set(slots(r)))
        and list(r.panel) == numbers
        and r.by_number == dict(zip(numbers, r.members, strict=True))
        and r.served_by[-1] == "default"
        and [name.partition(":")[2] for name in r.served_by[:-1]] == slots(r)
    )


def test_the_declared_champion_leads() -> None:
    """Models are numbered in declared order, the champion stands first, rules last with negative numbers."""
    r = roster(champion="b")
    assert slots(r) == ["b", "a", "c", "blend", "high", "prior"]
    assert r.panel == (2, 1, 3, 0, -1, -2)
    assert r.served_by[:2] == ("champion:b", "champion:a")
    assert r.name(r.champion) == "tiny/v2@0"
    assert consistent(r)


def test_a_started_challenger_takes_over_the_slot() -> None:
    """Promoted, it bears its parent's name; the parent leaves, and is remembered."""
    r = roster()
    old, fresh = r.champion, r.start_challenger()
    assert (fresh.slot, fresh.number, fresh.parent, fresh.started) == ("a-next", 5, 1, True)
    assert r.challenger_of("a") is fresh
    r.promote(fresh)
    assert (r.champion, r.previous) == (fresh, old)
    assert slots(r) == ["a", "b", "c", "blend", "high", "prior"]
    assert r.challenger_of("a") is None
    assert consistent(r)


def test_a_declared_challenger_changes_places() -> None:
    """Promoted, it keeps its name, and the old champion goes on in shadow."""
    r = roster()
    r.promote(r.by_number[3])
    assert slots(r) == ["c", "a", "b", "blend", "high", "prior"]
    assert consistent(r)


def test_the_fresh_version_of_a_challenger_takes_its_slot() -> None:
    """Promoted from another slot than the champion's, it replaces its parent, not the old champion."""
    r = roster()
    fresh = r.start_challenger("c")
    r.promote(fresh)
    assert slots(r) == ["c", "a", "b", "blend", "high", "prior"]
    assert r.champion.number == 5
    assert consistent(r)


def test_rolling_back() -> None:
    """The previous champion answers again as it is; a second time, and the first two change places again."""
    r = roster()
    with pytest.raises(MeanderError, match="no previous champion"):
        r.roll_back()
    first, second = r.champion, r.start_challenger()
    r.promote(second)
    assert r.roll_back() is first
    assert (r.champion, r.previous) == (first, second)
    assert consistent(r)
    assert r.roll_back() is second
    assert consistent(r)


def test_rolling_back_to_another_slot() -> None:
    """The one that had been promoted goes on in shadow."""
    r = roster()
    r.promote(r.by_number[2])
    r.roll_back()
    assert slots(r)[:4] == ["a", "b", "c", "blend"]
    assert consistent(r)


@pytest.mark.parametrize("target", ["b", "v2", "tiny/v2@0"])
def test_an_operator_names_a_challenger(target: str) -> None:
    """By slot, by number, by version."""
    assert roster().find_challenger(target).slot == "b"


@pytest.mark.parametrize("target", ["a", "v1", "high", "v-1", "nobody", None])
def test_what_is_no_challenger_is_refused(target: str | None) -> None:
    """The champion, a rule, nobody: the error names who there is."""
    with pytest.raises(MeanderError, match=r"there are: b \(v2\), c \(v3\), blend \(v4\)"):
        roster().find_challenger(target)


@pytest.mark.parametrize("number", [1, 2, 5, -2])
def test_renewing_puts_a_fresh_one_in_the_same_place(number: int) -> None:
    """Champion, challenger, started challenger, rule: same slot, same place, nothing learned."""
    r = roster()
    r.start_challenger()
    before = slots(r)
    member = r.by_number[number]
    member.learn(X, True)
    fresh = r.renew(member)
    assert slots(r) == before
    assert (fresh.slot, fresh.learned, fresh.started) == (member.slot, 0, member.started)
    assert fresh.estimator is not member.estimator
    assert consistent(r)


def test_who_is_asked_and_who_is_served() -> None:
    """All are asked; served is the champion, else the first rule that answers, else nobody."""
    r = roster()
    asked = r.ask(X)
    assert (asked.panel, asked.served) == (r.panel, 0)
    r.mode = Mode.FALLBACK
    assert r.ask(X).served == -1  # no rule applies, and nothing is known of the classes
    assert r.ask({"x": 6.0}).served == r.panel.index(-1)
    for member in r.rules:
        if member.learns:
            member.learn(X, True)
    assert r.ask(X).served == r.panel.index(-2)


def test_a_member_that_raises_is_silent_and_named() -> None:
    """The event is answered by a rule; the member and its error come along."""
    r = roster()

    def broken(x: dict[str, Any], *_: Any) -> Any:
        raise ZeroDivisionError("bad day")

    r.champion.estimator[-1].predict_proba_one = broken
    r.rearrange()
    asked = r.ask({"x": 6.0})
    assert r.served_by[asked.served] == "champion:blend"
    assert asked.broken == ((r.champion, "ZeroDivisionError: bad day"),)
    assert r.ask_rules({"x": 6.0}).served == r.panel.index(-1)


def test_rules_alone_are_asked_about_broken_events() -> None:
    """Models stay out of it, and a rule that trips over the features is passed over."""
    r = roster()
    asked = r.ask_rules({"x": 6.0})
    assert asked.answers == (None,) * len(r.members)
    assert asked.served == r.panel.index(-1)
    assert r.ask_rules({}).served == -1


def test_names_that_started_challengers_bear_are_taken() -> None:
    """A declared slot may not end in -next: the fresh version of another slot would bear its name."""
    with pytest.raises(DefinitionError, match=r"models\.a-next.*-next"):
        roster(models={**THREE, "a-next": {"recipe": "hoeffding_tree"}})


def test_the_blend_answers_from_the_pool() -> None:
    """As champion it leads; its answer is the pool's, its version changes with its members."""
    r = roster(champion="blend")
    assert slots(r) == ["blend", "a", "b", "c", "high", "prior"]
    assert r.served_by[0] == "champion:blend"
    assert (r.name(r.champion), r.composition) == ("tiny/v4@0", (1, 2, 3))
    for number in range(20):
        for member in r.models:
            member.learn({"x": float(number % 2), "y": 1.0}, bool(number % 2))
    asked = r.ask({"x": 1.0, "y": 1.0})
    assert asked.answers[0] == asked.answer == r.pool.mix(asked.answers)
    r.drop(r.by_number[3])
    assert (r.name(r.champion), r.composition) == ("tiny/v5@0", (1, 2))
    assert r.shares() == {0: 0.0, 1: 0.5, 2: 0.5, -1: 0.0, -2: 0.0}
    assert consistent(r)


def test_one_model_is_not_blended_until_another_joins() -> None:
    """A pool of one says nothing new: the blend takes part from the second model on."""
    r = roster(models={"a": THREE["a"]})
    assert slots(r) == ["a", "high", "prior"]
    fresh = r.start_challenger()
    assert slots(r) == ["a", "a-next", "high", "prior"]
    assert r.admit(fresh) is None
    assert slots(r) == ["a", "a-new", "blend", "high", "prior"]
    assert r.admitted == ((1, fresh),)
    assert consistent(r)


def test_an_admitted_version_replaces_its_sibling() -> None:
    """One beside the parent is enough; one that was to replace the parent takes its slot and its weight."""
    r = roster(champion="blend")
    first = r.start_challenger("b")
    assert r.pool.weights[r.panel.index(first.number)] == 0.0
    r.admit(first)
    second = r.start_challenger("b")
    assert second.parent == 2
    assert r.admit(second) is first
    assert slots(r) == ["blend", "a", "b", "c", "b-new", "high", "prior"]
    heir = r.start_challenger("b", replaces=True)
    weight = r.shares()[2]
    assert r.admit(heir).number == 2
    assert r.shares()[heir.number] == weight > 0.0
    assert slots(r) == ["blend", "a", "b", "c", "b-new", "high", "prior"]
    assert consistent(r)


def test_challengers_in_shadow_compete_with_their_parents() -> None:
    """Everybody else competes with the champion."""
    r = roster(champion="blend")
    r.start_challenger("b")
    assert [r.members[at].slot for at in r.rivals] == ["blend", "blend", "blend", "b"]


def test_what_cannot_be_dropped() -> None:
    """Neither the blend nor the last model."""
    r = roster(champion="blend", models={"a": THREE["a"]})
    with pytest.raises(MeanderError, match="last model"):
        r.check_drop(r.by_number[1])
    with pytest.raises(MeanderError, match="drop one of those"):
        r.check_drop(r.blend)


def test_where_all_models_are_silent_rules_answer() -> None:
    """In declared order, and for that event alone, though the pool could speak for the rules."""
    r = roster(champion="blend")
    for member in r.models:
        member.estimator["LogisticRegression"].predict_proba_one = lambda _: {}
    r.rearrange()
    r.pool.weights = [0.0] * 4 + [1.0, 1.0]
    asked = r.ask({"x": 6.0})
    assert r.served_by[asked.served] == "rule:high"
    assert asked.broken == ()
