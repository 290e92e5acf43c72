"""What holds of a Processor whatever comes."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from learners.contract import Contract
from learners.definition import Definition
from stream.codec import RefusalError
from stream.messages import Example, Record
from stream.processing.processor import Processor
from stream.processing.segments import Appended
from tests.properties.deployments import DEPLOYMENTS, LATE
from tests.properties.streams import dumped, nearly_good, stream_of, streams, values
from tests.support import Published, definition, predictions, record, run

DEFINITION = definition()


@settings(max_examples=200)
@given(records=streams, data=st.data(), deployment=st.sampled_from([*DEPLOYMENTS, *LATE]))
def test_resuming_changes_nothing(records: list[Record], data: st.DataObject, deployment: Definition) -> None:
    """Cut anywhere, restored from a snapshot, the rest of the stream gives the same values and headers.

    One model or a blend, fresh versions on trial or admitted, in fallback, policies and advice waiting.
    """
    cut = data.draw(st.integers(0, len(records)))
    whole = Processor(deployment)
    head, rest = run(whole, records[:cut]), run(whole, records[cut:])
    first, second = Processor(deployment), Processor(deployment)
    assert head == run(first, records[:cut])
    second.restore(first.snapshot())
    assert second.serve.state() == first.serve.state()
    assert rest == run(second, records[cut:])
    assert whole.books == second.books
    assert whole.next == second.next
    assert dict(whole.serve.pending.items()) == dict(second.serve.pending.items())


@given(records=streams, made=st.sampled_from(LATE), data=st.data())
def test_checkpoints_change_nothing(records: list[Record], made: Definition, data: st.DataObject) -> None:
    """Checkpoints anywhere, restarts from any of them, writes lost: the outputs are those of one long run."""
    expected = run(Processor(made), records)
    processor, stored = Processor(made), {}
    last: tuple[bytes, int] | None = None
    outputs: list[Published] = []
    failing = 0

    def append(pieces: list[Appended]) -> None:
        for segment, more in pieces:
            stored[segment] = stored.get(segment, b"") + more

    for number, new in enumerate(records):
        step = data.draw(st.sampled_from(["go", "go", "ahead", "save", "fail", "restart"]))
        if failing:
            failing -= 1
            if not failing:
                processor.write_all_again()
        elif step == "ahead":
            append(processor.write_ahead(data.draw(st.integers(0, 3))))
        elif step == "save":
            snapshot, appended = processor.checkpoint()
            append(appended)
            last = snapshot, number
        elif step == "fail":  # that it failed is known only a few records later
            append(processor.checkpoint()[1][:1])
            failing = data.draw(st.integers(1, 4))
        elif step == "restart" and last is not None:
            snapshot, cut = last
            processor = Processor(made)
            processor.restore(snapshot, read=lambda segment, length: stored[segment][:length])
            processor.keep_clear_of(list(stored))
            again = run(processor, records[cut:number])
            assert again == [] or outputs[-len(again) :] == again
        outputs += run(processor, [new])
    assert outputs == expected


@given(records=streams, made=st.sampled_from(LATE))
def test_nothing_is_learned_twice(records: list[Record], made: Definition) -> None:
    """An event's label is scored once; only a correction replaces it."""
    counter = Told()
    processor = Processor(made, 0, counter)
    run(processor, records)
    assert [seen for seen, count in counter.first.items() if count > 1] == []
    books = processor.books
    assert processor.learn.roster.champion.learned <= books.learned + books.assumed + books.relearned


class Told:
    """Counts first labels of events, by their ordinals, and later ones."""

    def __init__(self) -> None:
        self.first: Counter[int] = Counter()

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        self.first[example.ordinal] += not example.broken

    def corrected(self, example: Example, before: object, slots: tuple[str, ...]) -> None:
        if before is UNSET:
            self.first[example.ordinal] += 1
        else:
            assert example.ordinal in self.first


@given(records=streams, made=st.sampled_from(LATE))
def test_the_books_add_up(records: list[Record], made: Definition) -> None:
    """Events, labels, duplicates, ticks, commands and garbage in any order: every input is accounted for."""
    processor = Processor(made)
    for new in records:
        processor.process(new)
        assert processor.books.unaccounted == 0
    books = processor.books
    assert (books.events, books.control) == tuple(
        sum(r.source == source for r in records) for source in ("events", "control")
    )
    assert books.early == len(processor.serve.early)


@given(records=streams)
def test_each_envelope_is_answered_once(records: list[Record]) -> None:
    """Every event with a valid envelope is answered once while its id is remembered; nothing else is."""
    remembering = definition(label={"classes": ["no", "yes"]})
    answered = [p["id"] for p in predictions(run(Processor(remembering), records))]
    valid = dict.fromkeys(
        message["id"] for message in map(parsed, records) if message is not None and is_envelope(message)
    )
    assert answered == list(valid)


def parsed(record: Record) -> object:
    if record.source != "events" or record.value is None:
        return None
    try:
        return json.loads(record.value)
    except ValueError:
        return None


def is_envelope(message: object) -> bool:
    return (
        isinstance(message, dict)
        and isinstance(message.get("id"), str)
        and 0 < len(message["id"]) <= 256
        and isinstance(message.get("features"), dict)
        and message.get("schema", 1) == 1
    )


@given(records=streams, made=st.sampled_from([DEFINITION, DEPLOYMENTS[-1]]), first=st.floats(-9, 9))
def test_asking_changes_nothing_and_tells_the_truth(
    records: list[Record], made: Definition, first: float
) -> None:
    """A preview leaves no trace in what comes after; a new event is then answered as the preview said."""
    plain, asked = Processor(made), Processor(made)
    asked.preview(record("events", 0, {"id": "never sent", "features": {"x": first}}))
    for new in records:
        outputs = run(plain, [new])
        if new.source == "events":
            try:
                said = asked.codec.encode_message(asked.preview(new))
            except RefusalError:
                said = None
            for topic, _, value, _ in outputs:
                assert topic != "predictions" or value == said
        assert run(asked, [new]) == outputs
    assert asked.snapshot() == plain.snapshot()


@given(records=streams)
def test_a_repeated_record_changes_nothing(records: list[Record]) -> None:
    """Records delivered again, as after a rebalance, give nothing and leave the state as it was."""
    processor = Processor(DEFINITION)
    for number, new in enumerate(records):
        processor.process(new)
        if number % 7 == 0:
            before = processor.snapshot()
            assert run(processor, records[: number + 1]) == []
            assert processor.snapshot() == before


TASKS = {
    "binary": {},
    "open": {"task": "multiclass", "rules": {}, "label": {"classes": "open"}},
    "regression": {"task": "regression", "rules": {}, "label": {}},
}


@settings(max_examples=150)
@given(messages=st.lists(nearly_good(), max_size=6), task=st.sampled_from(list(TASKS)))
def test_no_value_stops_the_worker(messages: list[tuple[str, object]], task: str) -> None:
    """Whatever JSON comes, it is processed, encoded and kept in a snapshot, and the model stays sane."""
    processor = Processor(definition(warm_up=0, **TASKS[task]))
    run(processor, stream_of([(source, dumped(message)) for source, message in messages]))
    assert processor.books.unaccounted == 0
    Processor(processor.definition).restore(processor.snapshot())
    label = 1.5 if task == "regression" else "yes"
    start = processor.next["events"]
    for number in range(3):
        message = {"id": f"good{number}", "features": {"x": 1.0 + number, "y": 2.0}, "label": label}
        answer = predictions(run(processor, [record("events", start + number, message)]))[0]
    assert answer["served_by"] == "champion:lr"
    assert all(0.0 <= p <= 1.0 for p in answer.get("probabilities", {}).values())
    assert processor.books.unaccounted == 0


TYPED = definition(
    features={
        "number": {"min": -10, "max": 10},
        "wide": {"missing": "mean"},
        "integer": {"type": "integer", "min": 0.5, "max": 7, "missing": "last"},
        "free": {"type": "integer", "missing": "constant", "fill": 1},
        "boolean": {"type": "boolean", "missing": "last"},
        "category": {"type": "category", "categories": ["a", "b"], "missing": "last"},
        "text": {"type": "text", "missing": "last"},
        "time": {"type": "time", "missing": "last"},
    },
    rules={},
)
CODEC = Processor(TYPED).codec


@settings(max_examples=150)
@given(
    features=st.fixed_dictionaries(
        {"number": st.floats(-10, 10) | values},
        optional={
            name: st.one_of(values, st.sampled_from([0, 1, 5.0, 7.5, 8, True, "a", "c", None]))
            for name in (*TYPED.features, "undeclared")
            if name != "number"
        },
    )
)
def test_fast_and_slow_decoding_agree(features: dict[str, object]) -> None:
    """An event breaks the contract by msgspec's one pass exactly if it does when looked at value by value."""
    message = {"id": "a", "features": features}
    event = record("events", 0, dumped(message))
    if "\\ud800" in repr(features):
        with pytest.raises(RefusalError, match="UTF-8"):
            CODEC.event(event)
        return
    decoded = CODEC.event(event)
    assert decoded.violations == Contract(TYPED).violations(features)
    if not decoded.violations:
        assert set(decoded.event.features) <= set(TYPED.features)
        kinds = {"number": float, "wide": float, "integer": int, "free": int, "boolean": bool}
        for name, value in decoded.event.features.items():
            assert value is None or type(value) is kinds.get(name, type(value))
