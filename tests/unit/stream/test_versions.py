"""Versions: records in transitions, states kept, and the way back to them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from learners.lineage import Kind, Transition, lineage_of
from stream import toml
from stream.cli import main
from stream.commands.why import lines, when
from stream.processing.processor import Processor
from tests.support import TINY, Inputs, definition, predictions, run, transitions

QUIET = {"on_drift": "tell", "detector": "DDM", "cooldown": 50}
RAW: dict[str, Any] = {
    **TINY, "label": {"classes": ["no", "yes"]}, "rules": {}, "warm_up": 0, "drift": QUIET,
    "versions": {"every": 100, "keep": 4, "age": "1h"},
}  # fmt: skip
BLEND = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}


class Story:
    """A run that can be gone on with."""

    def __init__(self, **changes: Any) -> None:
        self.p, self.inputs = Processor(definition(RAW, **changes)), Inputs()
        self.outputs: list[Any] = []

    def rows(self, first: int, last: int, *, flipped: bool = False) -> list[dict[str, Any]]:
        """Take labelled events, one a second; returns their predictions."""
        return predictions(
            self.take(
                ("events", {
                    "id": f"e{n}", "timestamp": 1000 * n, "features": {"x": float(n % 10), "y": 1.0},
                    "label": "yes" if (n % 10 > 4) != flipped else "no",
                })
                for n in range(first, last)
            )
        )  # fmt: skip

    def command(self, identifier: str, action: str, **more: Any) -> dict[str, Any]:
        """Take a command; returns the transition that answers it."""
        message = {"type": "command", "id": identifier, "action": action, "operator": "ada", **more}
        return transitions(self.take([("control", message)]))[-1]

    def take(self, messages: Any) -> list[Any]:
        """Take messages."""
        made = run(self.p, [self.inputs.add(source, message) for source, message in messages])
        self.outputs += made
        return made

    def told(self) -> list[Transition]:
        """Return all transitions so far."""
        return [msgspec.convert(t, Transition) for t in transitions(self.outputs)]


def test_the_topic_is_the_registry() -> None:
    """Each start and promotion has a record with parent and span; champions follow one another."""
    story = Story()
    story.rows(0, 50)
    story.command("c1", "retrain")
    story.rows(50, 80)
    story.command("c2", "promote", target="lr-next", reason="Try it.")
    lineage = lineage_of(story.told())
    assert list(lineage.versions) == ["tiny/v1@0", "tiny/v2@0", "tiny/v1@80", "tiny/v2@30"]
    assert [reign.champion for reign in lineage.reigns] == ["tiny/v1@0", "tiny/v2@30"]
    assert lineage.reigns[1].reason == "Try it."
    promoted = lineage.versions["tiny/v2@30"].version
    assert lineage.ancestors(promoted.name) == ["tiny/v2@0", "tiny/v1@0"]
    assert (promoted.data_from.position, promoted.data_to.position) == ("control:0:0", "control:0:1")
    assert (promoted.data_from.timestamp, promoted.data_to.timestamp) == (49_000, 79_000)
    assert promoted.recipe == "logistic_regression"
    assert promoted.scores["scored"] == 30
    assert promoted.kept
    assert set(promoted.libraries) == {"river", "numpy", "python"}
    assert [t.kind for t in lineage.versions["tiny/v2@0"].decisions] == ["retrained", "promoted"]


@pytest.mark.parametrize("target", ["v1@200", "tiny/v1@200", "at:205000"])
def test_a_rollback_brings_a_kept_state_back(target: str) -> None:
    """A version, or a time: it answers as it did then, under a new number, and learns on."""
    story = Story()
    story.rows(0, 200)
    good = Processor(definition(RAW))
    run(good, story.inputs.all)
    story.rows(200, 290, flipped=True)
    back = story.command("c1", "rollback", target=target)
    assert (back["kind"], back["from"], back["to"]) == ("rolled_back", "tiny/v1@290", "tiny/v2@200")
    assert back["champion"] == "tiny/v2@200"
    assert [(v["name"], v["parent"]) for v in back["versions"]] == [
        ("tiny/v1@290", "tiny/v1@200"), ("tiny/v2@200", "tiny/v1@200")
    ]  # fmt: skip
    x = {"x": 7.0, "y": 1.0}
    assert story.p.learn.ask(x).answers[0] == good.learn.ask(x).answers[0]
    answers = story.rows(290, 295)
    assert answers[-1]["model_version"] == "tiny/v2@204"
    assert story.p.learn.archive.names == ["tiny/v1@100", "tiny/v1@200", "tiny/v1@290", "tiny/v2@200"]
    again = story.command("c2", "rollback")
    assert (again["kind"], again["to"]) == ("rolled_back", "tiny/v1@290")


def test_a_blend_comes_back_with_all_its_models() -> None:
    """Slots, states and champion; what was admitted or retrained since is not part of it."""
    story = Story(models=BLEND)
    story.rows(0, 200)
    good = Processor(definition(RAW, models=BLEND))
    run(good, story.inputs.all)
    story.rows(200, 250, flipped=True)
    back = story.command("c1", "rollback", target="at:200000")
    roster = story.p.learn.roster
    assert back["kind"] == "rolled_back"
    assert roster.champion.is_blend
    assert [m.slot for m in roster.models] == ["lr", "nb"]
    x = {"x": 7.0, "y": 1.0}
    assert set(story.p.learn.ask(x).answers[1:]) == set(good.learn.ask(x).answers[1:])
    parents = {v["name"]: v["parent"] for v in back["versions"]}
    assert parents == {
        "tiny/v3@250": "tiny/v3@200", "tiny/v4@200": "tiny/v1@200", "tiny/v5@200": "tiny/v2@200",
        "tiny/v6@250": "tiny/v3@200",
    }  # fmt: skip


def test_what_is_old_goes_by_count_and_by_age() -> None:
    """Then a rollback to it is rejected, and says what there is."""
    story = Story(versions={"every": 10, "keep": 3, "age": "25s"})
    story.rows(0, 60)
    assert story.p.learn.archive.names == ["tiny/v1@40", "tiny/v1@50", "tiny/v1@60"]
    story.take([("control", {"type": "tick", "timestamp": 70_000})])
    refused = story.command("c1", "rollback", target="v1@40")
    assert refused["kind"] == "rejected"
    assert "no state of v1@40 is kept; there are: v1@50, v1@60" in refused["reason"]
    assert "meander rebuild" in refused["reason"]
    for number, target in enumerate(("at:noon", "at:-5", f"at:{10**200}", "at:253402300800000")):
        assert "is no time" in story.command(f"t{number}", "rollback", target=target)["reason"]
    early = story.command("c3", "rollback", target="at:1000")
    assert "no state before 1970-01-01 00:00:01 UTC is kept" in early["reason"]


def test_kept_states_stand_in_segments() -> None:
    """A checkpoint names them and does not grow by them; restored from it, the way back is open."""
    story = Story()
    story.rows(0, 200)
    first, appended = story.p.checkpoint()
    stored: dict[str, bytes] = {}
    for segment, data in appended:
        stored[segment] = stored.get(segment, b"") + data
    versions = [segment for segment, data in appended if segment.startswith("versions-")]
    assert len(versions) == 1
    assert versions[0] in story.p.segments()
    _, again = story.p.checkpoint()
    assert not any(segment.startswith("versions-") for segment, _ in again)
    other = Processor(definition(RAW))
    other.restore(first, read=lambda segment, length: stored[segment][:length])
    command = {"type": "command", "id": "c", "action": "rollback", "target": "v1@100"}
    record = story.inputs.add("control", command)
    assert run(other, [record]) == run(story.p, [record])
    assert other.learn.roster.champion.learned == 100


def test_the_shell_reads_the_registry_of_a_replay(tmp_path: Path) -> None:
    """List, show and diff; as text and as JSON."""
    story = Story()
    story.rows(0, 50)
    story.command("c1", "retrain")
    story.rows(50, 80)
    story.command("c2", "promote", target="lr-next", reason="Try it.")
    file, told = tmp_path / "d.toml", tmp_path / "transitions.jsonl"
    file.write_text("\n".join(toml.document(RAW)))
    told.write_bytes(b"".join(msgspec.json.encode(t) + b"\n" for t in story.told()))

    def shell(*arguments: str) -> str:
        what, *names = arguments
        result = CliRunner().invoke(main, ["versions", what, str(file), *names, "--from", str(told)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "v2@30" in shell("list")
    assert "Try it." in shell("list")
    assert len(json.loads(shell("list", "--json"))["versions"]) == 4
    assert "v2@0, v1@0" in shell("show", "v2")
    assert json.loads(shell("show", "v2@30", "--json"))["ancestors"] == ["tiny/v2@0", "tiny/v1@0"]
    assert json.loads(shell("diff", "v1", "v2", "--json"))["version"] == ["tiny/v1@80", "tiny/v2@30"]
    missing = CliRunner().invoke(main, ["versions", "show", str(file), "v9", "--from", str(told)])
    assert missing.exit_code != 0
    assert "there are: v1@0" in missing.output
    told.write_bytes(told.read_bytes() + b"{}\n")
    strange = CliRunner().invoke(main, ["versions", "list", str(file), "--from", str(told)])
    assert (strange.exit_code, "transitions.jsonl line" in strange.output) == (2, True)


def test_a_rollback_to_a_slot_that_is_declared_no_longer() -> None:
    """What is kept comes back all the same, stays after a restart, and leaves with the next definition."""
    story = Story(models=BLEND, champion="nb")
    story.rows(0, 350)
    alone: dict[str, Any] = {"models": {"lr": BLEND["lr"]}, "champion": "lr"}
    assert story.p.redefine(definition(RAW, **alone))
    assert story.rows(350, 380)[-1]["served_by"] == "champion:lr"
    back = story.command("c1", "rollback", target="v2@300")
    assert (back["kind"], back["slot"]) == ("rolled_back", "nb")
    assert story.rows(380, 400)[-1]["served_by"] == "champion:nb"

    restored = Processor(definition(RAW, **alone))
    restored.restore(story.p.snapshot())
    more = [
        story.inputs.add("events", {"id": f"more-{n}", "features": {"x": 1.0, "y": 1.0}}) for n in range(5)
    ]
    assert run(restored, more) == run(story.p, more)
    assert restored.redefine(definition(RAW, **alone, warm_up=1))
    assert [member.slot for member in restored.learn.roster.models] == ["lr"]
    assert restored.learn.roster.champion.slot == "lr"


def test_why_tells_event_time_and_only_text() -> None:
    """As versions do; the record's time beside it where it is another; nothing that a terminal would obey."""
    hour = 3_600_000
    told = Transition(
        kind=Kind.FROZEN, timestamp=1000 * hour, position="control:0:1", requested_by="eve\x1b[2J",
        reason="a reason\n2026-01-01 00:00:00  promoted", evidence={"note": "\x07"},
    )  # fmt: skip
    head, reason, *_ = found = list(lines(told, 1000 * hour + 59_000))
    assert head == f"{when(1000 * hour)}  frozen by eve\\x1b[2J"
    assert reason == "    a reason 2026-01-01 00:00:00  promoted  [control:0:1]"
    assert "".join(found).isprintable()
    assert next(lines(told, 1001 * hour)).endswith(f"(recorded {when(1001 * hour)})")
