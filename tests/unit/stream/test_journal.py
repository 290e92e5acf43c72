"""The order of inputs, told by two headers."""

from stream.messages import Record
from stream.processing.journal import Mark, in_order, parse_mark
from stream.processing.processor import Processor
from tests.support import Inputs, definition, run


def records(source: str, count: int) -> list[Record]:
    return [Record(source, 0, n, 0, None, b"") for n in range(count)]


def order(*marks: tuple[str, str]) -> list[str]:
    inputs = {source: records(source, 9) for source in ("events", "labels", "control")}
    return [f"{r.source[0]}{r.offset}" for r in in_order([parse_mark(*mark) for mark in marks], inputs)]


def test_an_index_belongs_to_the_same_input() -> None:
    """Outputs of one input differ in source, not in mark."""
    assert parse_mark("labels:3:7:2", "events=9,control=1") == parse_mark("labels:3:7", "events=9,control=1")
    assert parse_mark("labels:3:7", "events=9,control=1") == Mark(
        "labels", 7, (("events", 9), ("control", 1))
    )


def test_what_was_applied_before_comes_first() -> None:
    """Whatever the order of the marks, and with repeats."""
    marks = [("events:0:2", "labels=1,control=1"), ("events:0:0", "labels=0,control=0")]
    assert order(*marks, *marks) == ["e0", "l0", "c0", "e1", "e2"]


def test_nothing_is_told_beyond_the_last_mark() -> None:
    """There any order is right."""
    assert order() == []
    assert order(("labels:0:1", "events=1,control=0")) == ["e0", "l0", "l1"]


def test_turns_are_kept() -> None:
    """Silent inputs that came by turns are named turn by turn."""
    assert order(("events:0:3", "control=0,labels=1,events=2,labels=3,control=1")) == [
        "l0", "e0", "e1", "l1", "l2", "c0", "e2", "e3",
    ]  # fmt: skip


def test_headers_name_turns_only_where_there_are_some() -> None:
    """Labels between events are the common case, and its header stays as short as it can be."""
    made, p = Inputs(), Processor(definition(label={"classes": ["no", "yes"]}, warm_up=0))
    event = {"features": {"x": 1.0, "y": 1.0}}
    told = []
    for source, message in (
        ("events", {"id": "a", **event}),
        ("labels", {"id": "a", "label": "yes"}),
        ("events", {"id": "b", **event}),
        ("labels", {"id": "b", "label": "yes"}),
        ("events", {"id": "a", **event}),  # silent: a duplicate
        ("labels", {"id": "early", "label": "yes"}),
        ("events", {"id": "c", **event}),
    ):
        outputs = run(p, [made.add(source, message)])
        told += [
            dict(headers)["meander-inputs"].decode() for topic, *_, headers in outputs if topic[0] == "p"
        ]
    assert told == ["labels=0,control=0", "labels=1,control=0", "control=0,labels=2,events=3,labels=3"]
