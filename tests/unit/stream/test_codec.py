"""Bytes to messages and back."""

import json

import pytest

from learners.lineage import Kind, Transition
from stream.codec import RefusalError
from stream.messages import Command, DeadLetter, Output, Prediction, Reason, Record, Tick
from stream.processing.processor import Processor
from tests.support import definition, record

CODEC = Processor(definition()).codec


def test_an_event_is_decoded_to_its_declared_features() -> None:
    """Numbers become floats, undeclared columns stay behind, absent ones stay absent."""
    decoded = CODEC.event(record("events", 0, {"id": "a", "features": {"x": 5, "more": [1]}, "label": "yes"}))
    assert decoded.violations == {}
    assert decoded.event.features == {"x": 5.0}
    assert type(decoded.event.features["x"]) is float
    assert (decoded.event.label, decoded.event.timestamp) == ("yes", None)


def test_the_last_of_duplicate_keys_wins() -> None:
    """As in every common reader of JSON."""
    decoded = CODEC.event(record("events", 0, b'{"id": "a", "id": "b", "features": {"x": 1, "x": 2}}'))
    assert (decoded.event.id, decoded.event.features) == ("b", {"x": 2.0})


def test_members_not_known_are_ignored() -> None:
    """Within a version producers may say more than this release reads."""
    assert CODEC.event(record("events", 0, {"id": "a", "features": {"x": 1}, "trace": {}})).violations == {}
    assert CODEC.label(record("labels", 0, {"id": "a", "label": "yes", "trace": 1})).label == "yes"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have(number: str) -> None:
    """What Python and others write all the same is read, and breaks the contract with its name."""
    value = f'{{"id": "a", "features": {{"x": {number}}}}}'.encode()
    decoded = CODEC.event(record("events", 0, value))
    assert list(decoded.violations) == ["x"]
    assert "not finite" in decoded.violations["x"]


def test_control_is_a_command_or_a_tick() -> None:
    """Told apart by their type."""
    assert CODEC.control(record("control", 0, {"type": "tick", "timestamp": 7})) == Tick(timestamp=7)
    command = CODEC.control(record("control", 0, {"type": "command", "id": "c", "action": "freeze"}))
    assert command == Command(id="c", action="freeze")


@pytest.mark.parametrize("message", [{"id": "a"}, {"id": "a", "unavailable": False}])
def test_a_label_needs_a_label(message: dict) -> None:
    """Or the word that there is none."""
    with pytest.raises(RefusalError, match=r'"label": \.\.\., or "unavailable": true') as caught:
        CODEC.label(record("labels", 0, message))
    assert caught.value.reason is Reason.ENVELOPE


def test_another_schema_version_is_named() -> None:
    """In each of the inputs, whatever else is in the message."""
    for source, read in (("events", CODEC.event), ("labels", CODEC.label), ("control", CODEC.control)):
        message = {"id": "a", "type": "tick", "timestamp": 1, "features": {}, "label": 1, "schema": 3}
        with pytest.raises(RefusalError, match="version 3 is not known here; this release reads 1"):
            read(record(source, 0, message))


def test_outputs_leave_out_what_they_do_not_have() -> None:
    """The wire form is small: defaults and absent values are not written."""
    prediction = Prediction(id="a", timestamp=1, prediction="no", served_by="default")
    value, headers = CODEC.encode(Output("predictions", prediction, b"k", 1, "events:0:0", "labels=0"))
    assert json.loads(value or b"") == {
        "id": "a",
        "timestamp": 1,
        "prediction": "no",
        "served_by": "default",
    }
    assert headers == [("meander-source", b"events:0:0"), ("meander-inputs", b"labels=0")]
    transition = Transition(kind=Kind.SIGNAL, timestamp=1, position="events:0:0", from_version="a/v1@0")
    value, _ = CODEC.encode(Output("transitions", transition, None, 1, "events:0:0", ""))
    told = json.loads(value or b"")
    assert told == {"kind": "signal", "timestamp": 1, "position": "events:0:0", "from": "a/v1@0"}


def test_a_dead_letter_carries_its_bytes_untouched() -> None:
    """Whatever they are; its own headers come before ours, after the journal's."""
    bad = Record("events", 0, 0, 1, b"k", b"\xff\x00", (("trace", b"\xfe"),))
    letter = DeadLetter(reason=Reason.UNDECODABLE, sentence="no", value=bad.value, headers=bad.headers)
    value, headers = CODEC.encode(Output("dead-letters", letter, bad.key, 1, "events:0:0", ""))
    assert value == b"\xff\x00"
    assert ("trace", b"\xfe") in headers
    assert headers[-2:] == [("meander-reason", b"undecodable"), ("meander-sentence", b"no")]
