"""Forgetting an entity: what waits for labels goes, ids stay, and a restart does the same again."""

from typing import Any

from stream.adapters.latest import forgotten
from stream.processing.processor import Processor
from stream.processing.recovery import Tail, catch_up
from tests.support import Inputs, MemoryLog, definition, predictions, published, record, run, transitions

DEFINITION = definition()


def event(n: int, key: bytes, **changes: Any) -> Any:
    message = {"id": f"e{n}", "timestamp": n, "features": {"x": n + 0.125}, **changes}
    return record("events", n, message, n, key)


FORGET = {"type": "forget", "id": "f1", "key": "ann", "operator": "ada", "reason": "asked for it"}
EVENTS = [event(0, b"ann"), event(1, b"bob"), event(2, b"ann"), event(3, b"ann", features={"x": "no number"})]


def test_an_entity_is_forgotten() -> None:
    """Its waiting events are gone from the state, those of others stay; counts are told, features never."""
    processor = Processor(DEFINITION)
    run(processor, [*EVENTS, event(4, b"ann", label="no")])
    assert b"ann" in processor.serve.state()
    (told,) = transitions(run(processor, [record("control", 0, FORGET)]))
    assert (told["kind"], told["evidence"]) == ("forgotten", {"waiting": 2, "broken": 1, "settled": 1})
    assert (told["requested_by"], told["command"]) == ("ada", "f1")
    assert "ann" not in str(told)
    assert "125" not in str(told)
    state = processor.serve.state()
    assert b"ann" not in state
    assert b"bob" in state


def test_a_tombstone_for_whatever_was_forgotten() -> None:
    """The topic of latest answers loses the entity even where the record can only be read the long way."""
    processor = Processor(DEFINITION)
    run(processor, EVENTS)
    value = b'{"type": "forget", "id": "f1", "key": "ann", "cost": NaN}'
    inputs = [record("control", 0, FORGET | {"key": "bob"}, 7), record("control", 1, value, 8)]
    outputs = [output for one in inputs for output in processor.process(one)]
    rows = forgotten(processor.codec, inputs, outputs)
    assert [row[:3] for row in rows] == [(7, b"bob", None), (8, b"ann", None)]


def test_labels_and_duplicates_that_come_afterwards() -> None:
    """A label teaches nothing any more, a second event of the id gets no second answer; the books add up."""
    processor = Processor(DEFINITION)
    run(processor, [*EVENTS, record("control", 0, FORGET)])
    learned = processor.books.learned
    later = [record("labels", n, {"id": f"e{n}", "label": "no"}) for n in (0, 2, 3)]
    later += [event(4, b"ann", id="e0"), event(5, b"ann", id="e3")]
    assert predictions(run(processor, later)) == []
    assert (processor.books.learned, processor.books.duplicate) == (learned, 2)
    assert processor.books.unaccounted == 0
    run(processor, [record("labels", 4, {"id": "e1", "label": "no"})])
    assert processor.books.learned == learned + 1


def test_nothing_to_forget_is_told_too() -> None:
    """It leaves its place in the journal; a key is a key, whatever it looks like."""
    processor = Processor(DEFINITION)
    (*_, told) = transitions(
        run(processor, [event(0, b"ann"), record("control", 0, {**FORGET, "key": "an"})])
    )
    assert told["evidence"] == {"waiting": 0, "broken": 0, "settled": 0}
    assert len(processor.serve.pending) == 1


def test_a_restart_forgets_again_at_the_same_place() -> None:
    """Replayed from the log, before and after a snapshot, the outputs are the same, byte for byte."""
    inputs = Inputs()
    whole, log = Processor(DEFINITION), MemoryLog()
    snapshot = b""
    steps: list[tuple[str, dict[str, Any]]] = [
        *(("events", {"id": f"e{n}", "timestamp": n, "features": {"x": n}}) for n in range(4)),
        ("control", {**FORGET, "key": "k"}),
        ("labels", {"id": "e1", "label": "no"}),
        ("labels", {"id": "e4", "label": "yes"}),
        *(("events", {"id": f"e{n}", "timestamp": n, "features": {"x": n}}) for n in range(4, 6)),
    ]
    for number, (source, message) in enumerate(steps):
        if number == 3:
            snapshot = whole.snapshot(outputs={t: len(log.topics.get(t, ())) for t in log.outputs()})
        made = inputs.add(source, message)
        log.topics.setdefault(source, []).append(made)
        log.send(published(whole, output) for output in whole.process(made))
    for data in (b"", snapshot):
        again = Processor(DEFINITION)
        starts = again.restore(data)["outputs"] if data else {}
        assert list(catch_up(again, log, Tail(log, 0, starts))) == []
        assert again.serve.state() == whole.serve.state()
        assert again.books == whole.books


def test_what_policies_would_learn_again_is_forgotten() -> None:
    """The last labelled events, kept for fresh versions to begin with, hold features as they came."""
    again = {"name": "again", "on": "command", "do": "retrain", "last": 5}
    processor = Processor(definition(policy=[again]))
    run(processor, [event(n, b"ann", label="no") for n in range(4)])
    assert len(processor.learn.conduct.automation.recent) == 4
    run(processor, [record("control", 0, FORGET)])
    assert len(processor.learn.conduct.automation.recent) == 0
