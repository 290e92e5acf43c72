"""Members that break: put back, taught again, replaced, benched; never one transition for each event."""

from typing import Any

import pytest

from stream.processing.processor import Processor
from tests.fragile import BREAKS
from tests.support import Inputs, Published, definition, predictions, run, transitions

LABEL = {"classes": ["no", "yes"]}


def processor(how: str, **more: Any) -> Processor:
    models = {"fragile": {"recipe": "tests.fragile:Fragile", "parameters": {"how": how}}, **more}
    drift = {"detector": "ADWIN", "on_drift": "tell"}
    return Processor(
        definition(label=LABEL, models=models, champion="fragile", rules={}, warm_up=0, drift=drift)
    )


def events(count: int, odd: tuple[int, ...] = (), labelled: bool = True) -> Inputs:
    """Return events with their labels; odd ones break the model, and carry a label only if wanted."""
    made = Inputs()
    for n in range(count):
        x = BREAKS if n in odd else float(n % 10)
        message: dict[str, Any] = {"id": f"e{n}", "features": {"x": x, "y": 1.0}}
        if labelled or n not in odd:
            message["label"] = "yes" if n % 10 > 4 else "no"
        made.add("events", message, timestamp=n)
    return made


def kinds(outputs: list[Published]) -> list[str]:
    return [t["kind"] for t in transitions(outputs) if t["kind"] not in ("started", "warmed_up")]


@pytest.mark.parametrize("at", [3, 200, 256, 257, 900])
def test_a_member_that_raises_half_way_is_as_if_it_had_never_seen_that_example(at: int) -> None:
    """Put back and taught the examples since, it answers bit for bit like one that was spared."""
    broken = run(processor("half_way"), events(1200, odd=(at,)).all)
    spared = run(processor("half_way"), events(1200, odd=(at,), labelled=False).all)
    assert kinds(broken) == ["failed"]
    (told,) = [t for t in transitions(broken) if t["kind"] == "failed"]
    assert told["from"] == told["to"] == f"tiny/v1@{at}"
    assert told["evidence"]["relearned"] == at % 256
    assert told["evidence"]["error"].partition(":")[0] in told["reason"]
    assert predictions(broken) == predictions(spared)


def test_a_member_that_answers_nan_is_out_at_once_and_comes_back() -> None:
    """The event is answered by a rule; without the example that spoilt it, the last good version goes on."""
    p = processor("silently")
    outputs = run(p, events(600, odd=(400,)).all)
    answers = predictions(outputs)
    assert kinds(outputs) == ["failed"]
    (told,) = [t for t in transitions(outputs) if t["kind"] == "failed"]
    assert (told["position"], told["from"], told["to"]) == ("events:0:401", "tiny/v1@401", "tiny/v1@256")
    assert "InsaneAnswerError" in told["reason"]
    assert "nan" in told["evidence"]["error"]
    assert "nan" not in told["reason"]  # which pages show: no value of anything
    assert [n for n, a in enumerate(answers) if a["served_by"] != "champion:fragile"][-1] == 401
    assert p.books.unaccounted == 0


@pytest.mark.parametrize("how", ["answering", "learning"])
def test_a_member_that_always_fails_is_benched_for_longer_and_longer(how: str) -> None:
    """Some steps in thousands of labels, few versions, every event answered, and the others learn on."""
    p = processor(how, lr={"recipe": "logistic_regression"})
    outputs = run(p, events(3000).all)
    told = transitions(outputs)
    assert len(predictions(outputs)) == 3000
    assert sum(t["kind"] == "failed" for t in told) <= 9
    rests = [t["evidence"]["labels"] for t in told if t["kind"] == "benched"]
    assert rests == [100 * 2**n for n in range(len(rests))]
    assert len(rests) >= 4
    assert p.learn.roster.newest < 30
    other = next(m for m in p.learn.roster.models if m.slot == "lr")
    assert other.learned == 3000


def test_failing_now_and_then_brings_a_fresh_version_and_the_bench() -> None:
    """Once: put back. Again soon: fresh, and rules answer. A third time: benched. It comes back by itself."""
    outputs = run(processor("half_way"), events(900, odd=(300, 310, 320)).all)
    found = [k for k in kinds(outputs) if k in ("failed", "fell_back", "benched", "returned")]
    assert found == ["failed", "failed", "fell_back", "failed", "benched", "returned"]


@pytest.mark.parametrize("how", ["half_way", "silently", "answering", "learning"])
def test_what_is_restored_breaks_and_mends_alike(how: str) -> None:
    """Whenever snapshots are taken, and how often, the outputs are the same."""
    records = events(700, odd=(100, 290, 300, 310, 600)).all
    expected = run(processor(how), records)
    for every in (37, 256):
        found, p = [], processor(how)
        for start in range(0, len(records), every):
            found += run(p, records[start : start + every])
            restored = processor(how)
            restored.restore(Processor.snapshot(p))
            p = restored
        assert found == expected


def test_the_previous_champion_breaks_alike_after_a_restart() -> None:
    """Brought back after it had left the pool, it is put back as without a restart."""
    control = [
        {"type": "command", "id": "c1", "action": "retrain", "target": "fragile"},
        {"type": "command", "id": "c2", "action": "promote", "target": "fragile-next", "override": True},
        {"type": "command", "id": "c3", "action": "rollback"},
    ]
    made = Inputs()
    for n in range(40):
        if n in (10, 20, 30):
            made.add("control", control.pop(0), timestamp=n)
        x = BREAKS if n == 35 else float(n % 10)
        made.add("events", {"id": f"e{n}", "features": {"x": x, "y": 1.0}, "label": "no"}, timestamp=n)
    plain, p = processor("half_way"), processor("half_way")
    outputs = run(p, made.all[:28])
    again = processor("half_way")
    again.restore(p.snapshot())
    outputs += run(again, made.all[28:])
    assert outputs == run(plain, made.all)
    assert kinds(outputs).count("failed") == 1
