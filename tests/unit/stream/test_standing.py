"""How a partition stands: what people and metrics see is what the roster is."""

import math
from typing import Any

import msgspec
import pytest

from stream.processing.processor import Processor
from stream.processing.standing import Standing
from tests.support import Inputs, definition, run

LABEL = {"classes": ["no", "yes"]}
ROSTER: dict[str, Any] = {
    "label": LABEL,
    "warm_up": 0,
    "champion": "lr",
    "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
    "drift": {"min_labels": 5},
}


def processor() -> Processor:
    return Processor(definition(**ROSTER))


def labelled(inputs: Inputs, number: int) -> list[Any]:
    return [
        inputs.add(
            "events",
            {
                "id": f"e{i}",
                "timestamp": 10 + i,
                "features": {"x": float(i % 4), "y": 1.0},
                "label": "yes" if i % 4 > 1 else "no",
            },
        )
        for i in range(number)
    ]


def command(inputs: Inputs, action: str, **more: Any) -> Any:
    return inputs.add("control", {"type": "command", "id": f"c{len(inputs.all)}", "action": action, **more})


def test_it_names_every_member_with_role_and_score() -> None:
    """Champion, challenger and rules stand in it, each with its role; the books are balanced."""
    p, inputs = processor(), Inputs()
    run(p, labelled(inputs, 40))
    standing = p.standing()
    assert [(m.slot, m.role) for m in standing.members] == [
        ("lr", "champion"),
        ("nb", "challenger"),
        ("blend", "challenger"),
        ("high", "fallback"),
        ("prior", "fallback"),
    ]
    assert (standing.champion, standing.mode, standing.unaccounted) == ("tiny/v1@40", "champion", 0)
    assert (standing.books.learned, standing.pending, standing.watermark) == (40, 0, 49)
    assert standing.served_scored == standing.members[0].scored == 40
    assert standing.served_total == standing.members[0].total
    assert sum(m.weight for m in standing.members) == pytest.approx(1.0)
    assert standing.members[2].weight == 0.0


def test_a_challenger_says_what_promotion_waits_for() -> None:
    """Each condition has a value and a need; what is not known yet is not met."""
    p, inputs = processor(), Inputs()
    run(p, labelled(inputs, 4))
    challenger = p.standing().members[1]
    found = {c.name: (c.value, c.need, c.met) for c in challenger.conditions}
    assert found["Labels compared"] == (3.0, 5.0, False)
    # the second candidate, since the blend came first
    assert found["Evidence (e-value)"][1:] == (pytest.approx(math.pi**2 / 6 * 4 / 0.05), False)
    assert found["Learning is on"] == (1.0, 1.0, True)
    run(p, [command(inputs, "freeze")])
    assert not p.standing().members[1].conditions[-1].met


def test_the_revision_grows_with_every_change_and_only_then() -> None:
    """A started member and a promotion count; a rejected command does not."""
    p, inputs = processor(), Inputs()
    run(p, labelled(inputs, 4))
    born = p.standing().revision
    run(p, [command(inputs, "promote", target="nobody")])
    assert p.standing().revision == born
    run(p, [command(inputs, "promote", target="nb")])
    standing = p.standing()
    assert standing.revision == born + 1
    assert [m.role for m in standing.members[:2]] == ["champion", "previous"]
    assert [str(t.kind) for t in standing.transitions] == ["started"] * 3 + ["rejected", "promoted"]


def test_fallback_says_what_the_return_waits_for() -> None:
    """Held by hand is a condition of its own."""
    p, inputs = processor(), Inputs()
    run(p, [*labelled(inputs, 4), command(inputs, "fallback")])
    standing = p.standing()
    assert (standing.mode, standing.held) == ("fallback", True)
    assert [c.met for c in standing.resume] == [False, False, True]


def test_it_survives_a_snapshot_and_json() -> None:
    """A restored partition stands as before, and the struct reads back from its JSON."""
    p, inputs = processor(), Inputs()
    run(p, [*labelled(inputs, 20), command(inputs, "promote", target="nb")])
    data = p.snapshot()
    again = processor()
    again.restore(data)
    before, after = p.standing(), again.standing()
    assert before.members[0].size is not None
    for member in before.members:
        member.size = None
    assert before == after
    assert msgspec.json.decode(msgspec.json.encode(after), type=Standing) == after


def test_a_command_made_for_an_older_roster_is_rejected() -> None:
    """Whoever looked before the roster changed is told so; whoever names the revision of now is heard."""
    p, inputs = processor(), Inputs()
    run(p, labelled(inputs, 4))
    seen = p.standing().revision
    run(p, [command(inputs, "freeze", if_revision=seen)])
    assert p.standing().frozen
    run(p, [command(inputs, "unfreeze", if_revision=seen)])
    standing = p.standing()
    assert standing.frozen
    assert standing.transitions[-1].reason == (
        "unfreeze was not carried out: the roster has changed meanwhile (revision 4, not 3)."
    )


def test_an_override_is_on_record() -> None:
    """A promotion against the policy says so in its evidence."""
    p, inputs = processor(), Inputs()
    run(p, [*labelled(inputs, 4), command(inputs, "promote", target="nb", override=True)])
    assert p.standing().transitions[-1].evidence["override"] is True
