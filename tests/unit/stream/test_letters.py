"""Dead letters read back, put right, and sent again."""

import json
from typing import Any

import pytest

from learners.contract import Contract
from learners.errors import MeanderError
from stream.letters import Letter, NotSentError, Resend, Retry, letter_of, replacements, shown
from stream.messages import Record
from stream.processing.processor import Processor
from tests.support import definition, predictions, published, record, run

DEFINITION = definition(warm_up=0, label={"classes": ["no", "yes"]})
HEADERS = (("trace", b"t1"), ("meander-reason", b"mine"), ("", b"\xff"))


def letters_of(*inputs: Record) -> tuple[Processor, list[Letter]]:
    """Run inputs; returns the processor and its dead letters as they are read back from their topic."""
    processor, found = Processor(DEFINITION), []
    for one in inputs:
        for output in processor.process(one):
            topic, key, value, headers = published(processor, output)
            if topic == "dead-letters":
                place = len(found)
                found.append(letter_of(Record(topic, 0, place, output.timestamp, key, value, headers)))
    return processor, found


def bad(offset: int, message: Any, source: str = "events") -> Record:
    return Record(source, 0, offset, 5, b"\xfe", json.dumps(message).encode(), HEADERS)


def again(processor: Processor, resend: Resend) -> list[Any]:
    """Give a processor what is sent again; returns what would stand on the topics."""
    offset = processor.next[resend.topic]
    return run(
        processor, [Record(resend.topic, 0, offset, resend.time, resend.key, resend.value, resend.headers)]
    )


def retry(**changes: Any) -> Retry:
    return Retry(Contract(DEFINITION), changes.pop("changes", changes))


def test_a_letter_gives_back_what_was_refused() -> None:
    """Key, time, bytes and headers, even such as bear our own names."""
    _, (letter,) = letters_of(bad(7, {"id": 5}))
    assert (letter.at, letter.source, letter.reason) == ("0:0", "events:0:7", "envelope")
    assert (letter.key, letter.time, letter.headers) == (b"\xfe", 5, HEADERS)
    assert letter.value == b'{"id": 5}'
    with pytest.raises(MeanderError, match="not written by Meander"):
        letter_of(record("dead-letters", 3, b"x"))


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ({"id": 5, "features": {"x": 1, "y": 1}, "label": "yes"}, {"id": "five"}),
        ({"id": "a", "features": {"x": 1, "y": 1}, "label": "yes", "schema": 9}, {"schema": 1}),
        ({"id": "a", "features": {"x": -99, "y": 1}, "label": "yes"}, {"features.x": 9}),
        ({"id": "a", "features": {"y": 1}, "label": "yes"}, {"features.x": 9}),
        ({"id": "a", "timestamp": 9e12, "features": {"x": 1}, "label": "yes"}, {"timestamp": 4}),
        ({"id": "a", "timestamp": 10**13, "features": {"x": 1}, "label": "yes"}, {"timestamp": 4}),
        ({"id": "a", "features": {"x": 1, "y": 1}, "label": "maybe"}, {"label": "yes"}),
    ],
)
def test_an_event_put_right_is_answered_and_learned_once(
    message: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Refused, answered by a rule, or wrong in its label alone; however often it is sent again."""
    processor, (letter,) = letters_of(bad(0, message))
    resend = retry(changes=changes).resend(letter)
    for _ in range(3):
        again(processor, resend)
    books = processor.books
    assert (books.predicted, books.learned, books.unaccounted) == (1, 1, 0)
    assert (resend.key, resend.time) == (b"\xfe", 5)
    assert resend.headers == (*HEADERS, ("meander-retry", b"0:0"))


def test_labels_and_commands_go_back_to_their_topics() -> None:
    """A label outside the classes and a command nobody knows, put right."""
    event = record("events", 0, {"id": "a", "features": {"x": 1, "y": 1}})
    command = {"type": "command", "id": "c", "action": "dance", "operator": "ada"}
    processor, letters = letters_of(
        event, bad(0, {"id": "a", "label": "perhaps"}, "labels"), bad(0, command, "control")
    )
    label, told = letters
    again(processor, retry(label="no").resend(label))
    again(processor, retry(action="freeze").resend(told))
    assert processor.books.learned == 1
    assert processor.learn.roster.frozen


@pytest.mark.parametrize(
    ("message", "changes", "why"),
    [
        ({"id": 5, "features": {"x": 1}}, {}, "refused again: Expected `str`"),
        ({"id": "a", "features": {"x": 99}}, {"features.x": 98}, "x 98 is above the maximum 10"),
        ({"id": "a", "features": {"x": 1}, "label": "maybe"}, {"label": "perhaps"}, "'perhaps' is none of"),
        ({"id": "a", "features": {"x": 1}, "schema": 3}, {}, "version 3 is not known"),
        ([1], {"id": "a"}, "no JSON object: export it"),
    ],
)
def test_what_would_be_refused_again_is_not_sent(message: Any, changes: dict[str, Any], why: str) -> None:
    """It is said why before anything goes out."""
    _, (letter,) = letters_of(bad(0, message))
    with pytest.raises(NotSentError, match=why):
        retry(changes=changes).resend(letter)


@pytest.mark.parametrize(
    "value", [b'{"id":5}', b"\xff\x00", b"junk", b'{"x": NaN}', b'"\\ud800"', b"", b"[" * 5000]
)
def test_what_is_exported_can_be_read_back(value: bytes) -> None:
    """Any bytes at all: as JSON where they are some, as text, or in base64."""
    _, (letter,) = letters_of(Record("events", 0, 0, 5, b"k", value))
    line = json.dumps(shown(letter))
    back = replacements([line, ""], "file")
    assert list(back) == ["0:0"]
    assert back["0:0"] == value or json.loads(back["0:0"]) == json.loads(value)


def test_a_line_that_is_no_letter_is_named() -> None:
    """With its number, and what it needs."""
    with pytest.raises(MeanderError, match=r'refused\.jsonl, line 2: needs "at" and "value"'):
        replacements(['{"at": "0:1", "value": {}}', '{"value": {}}'], "refused.jsonl")


def test_a_file_replaces_the_whole_value() -> None:
    """What stands in the file is sent, whatever the letter held."""
    processor, (letter,) = letters_of(Record("events", 0, 0, 5, b"k", b"\xff"))
    event = {"id": "a", "features": {"x": 1.0, "y": 1.0}, "label": "yes"}
    lines = [json.dumps({"at": "0:0", "value": event})]
    outputs = again(processor, Retry(Contract(DEFINITION), {}, replacements(lines, "f")).resend(letter))
    assert [answer["id"] for answer in predictions(outputs)] == ["a"]
