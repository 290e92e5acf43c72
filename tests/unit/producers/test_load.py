"""From rows to records: what is sent, in which order, and what is refused before anything is."""

from datetime import datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.definition import parse_definition
from producers import datasets
from producers.client import milliseconds, plain
from producers.delays import between, constant, parse_delay
from producers.load import Columns, Load, RowError, paced, samples

DEFINITION = parse_definition(
    {
        "name": "shop",
        "task": "binary",
        "features": {"x": {"missing": "mean"}, "when": {"type": "time"}},
        "label": {"classes": [False, True]},
    }
)


class Log:
    """A publisher that keeps what it is given."""

    def __init__(self):
        self.records = []

    def publish(self, topic, key, value):
        self.records.append((topic, key, msgspec.json.decode(value)))

    def flush(self):
        pass

    @property
    def order(self):
        return [topic[0] + str(value["id"]) for topic, _, value in self.records]


def rows(count, **other):
    return [{"x": n, "when": f"2024-01-01T00:00:{n:02}", "target": n % 2 == 0, **other} for n in range(count)]


def sent(given_rows, mode="inside", delay=None, **columns):
    log = Log()
    load = Load(log, "events", "labels")
    load.send(samples(given_rows, DEFINITION, Columns(prefix="r", **columns)), mode, delay)
    return load, log


def test_labels_inside_events():
    """Each event carries its label; without --timestamp the record's own time is event time."""
    load, log = sent(rows(2))
    assert log.records == [
        (
            "events",
            b"r-1",
            {"id": "r-1", "features": {"x": 0.0, "when": "2024-01-01T00:00:00"}, "label": True},
        ),
        (
            "events",
            b"r-2",
            {"id": "r-2", "features": {"x": 1.0, "when": "2024-01-01T00:00:01"}, "label": False},
        ),
    ]
    assert (load.events_sent, load.labels_sent) == (2, 0)


def test_no_labels():
    """With --labels none, events have none, and the label column may be missing."""
    _, log = sent([{"x": 1}], "none", label=None)
    assert log.records == [("events", b"r-1", {"id": "r-1", "features": {"x": 1.0}})]


@pytest.mark.parametrize(
    ("delay", "order"),
    [
        (0, "e1 l1 e2 l2 e3 l3 e4 l4"),
        (1, "e1 l1 e2 l2 e3 l3 e4 l4"),
        (2, "e1 e2 l1 e3 l2 e4 l3 l4"),
        (9, "e1 e2 e3 e4 l1 l2 l3 l4"),
    ],
)
def test_late_labels_come_just_before_the_event_so_many_rows_on(delay, order):
    """Label i is sent before event i + delay, and what remains at the end."""
    _, log = sent(
        [{**row, "n": str(n + 1)} for n, row in enumerate(rows(4))], "topic", constant(delay), id="n"
    )
    assert order.split() == log.order


def test_a_label_has_the_key_of_its_event_and_the_time_it_came():
    """So it goes to the same partition, and event time does not run ahead of the events."""
    _, log = sent(rows(3, customer="c"), "topic", constant(2), key="customer", timestamp="when")
    assert {key for _, key, _ in log.records} == {b"c"}
    times = [value["timestamp"] - 1704067200000 for _, _, value in log.records]
    assert times == [0, 1000, 1000, 2000, 2000, 2000]
    assert log.order == ["er-1", "er-2", "lr-1", "er-3", "lr-2", "lr-3"]


@pytest.mark.parametrize(
    ("rate", "order"), [(1.0, "e1 l1 e2 l2 e3 l3 e4 l4"), (2.0, "e1 e2 l1 e3 l2 e4 l3 l4")]
)
def test_a_law_of_time_goes_by_the_rate_where_rows_have_no_time(rate, order):
    """A second is so many rows."""
    log, given = Log(), [{**row, "n": str(n + 1)} for n, row in enumerate(rows(4))]
    stream = samples(given, DEFINITION, Columns(prefix="r", id="n"))
    Load(log, "events", "labels").send(stream, "topic", parse_delay("1s"), rate=rate)
    assert order.split() == log.order


def test_a_missing_label_is_unavailable_and_a_wrong_one_is_sent():
    """An empty cell says that no truth will come; a class not declared is for the contract to refuse."""
    given_rows = [{"x": 1, "target": ""}, {"x": 2, "target": "perhaps"}]
    _, log = sent(given_rows, "topic")
    assert log.records[1][2] == {"id": "r-1", "unavailable": True}
    assert log.records[3][2] == {"id": "r-2", "label": "perhaps"}
    _, log = sent(given_rows)
    assert "label" not in log.records[0][2]


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"x": 1}, {}, "no column 'target'.* --label-column, or --labels none"),
        (
            {"x": 1, "target": 0},
            {"key": "customer"},
            "no column 'customer'. Name one of x, target with --key",
        ),
        ({"y": 1, "target": 0}, {}, r"none of the declared features \(x, when\)"),
        ({"x": 1, "target": 0, "n": ""}, {"id": "n"}, "row 1: column 'n' is empty"),
        ({"x": 1, "target": 0, "n": "soon"}, {"timestamp": "n"}, "row 1: 'soon' is no time"),
    ],
)
def test_rows_that_cannot_become_events(row, columns, message):
    """The message names the row or column, and the option that helps."""
    with pytest.raises(RowError, match=message):
        sent([row], **columns)


def test_no_rows_are_no_events():
    """An empty source sends nothing."""
    assert sent([])[1].records == []


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 60), st.integers(0, 5))
def test_every_event_and_label_is_sent_once_and_in_time(low, more, count, seed):
    """Whatever the law of delay, each label follows its event, at most ``high`` rows late."""
    _, log = sent([{"x": 1, "target": True, "n": str(n)} for n in range(count)], "topic",
                  between(low, low + more, seed), id="n")  # fmt: skip
    place = {what: n for n, what in enumerate(log.order)}
    assert len(place) == len(log.order) == 2 * count
    for n in range(count):
        assert place[f"e{n}"] < place[f"l{n}"]
        due = f"e{n + max(1, low + more)}"
        assert due not in place or place[f"l{n}"] < place[due]


@pytest.mark.parametrize("text", ["", "-", "3-", "-3", "9-3", "ten", "1.5"])
def test_what_is_no_delay(text):
    """Anything but rows or a rising range of rows is refused."""
    with pytest.raises(ValueError, match="is no delay"):
        parse_delay(text)


def test_pace_catches_up_after_a_delay():
    """After a stall the rate is made up for, so that the load does not depend on what it loads."""
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(round(seconds, 3))
        now[0] += seconds

    stream = paced(range(5), rate=10, clock=lambda: now[0], sleep=sleep)
    next(stream), next(stream)
    now[0] += 0.25
    assert list(stream) == [2, 3, 4]
    assert slept == [0.1, 0.05]


@pytest.mark.parametrize("name", datasets.bundled())
def test_bundled_data_sets_have_one_label(name):
    """Each gives rows with features and a label that JSON can hold."""
    rows = list(datasets.rows(name.upper()))
    assert len(rows) > 100
    assert len(rows[0]) > 1
    assert isinstance(rows[0][datasets.LABEL], bool | int | float | str)


def test_an_unknown_data_set_is_answered_with_a_name():
    """A slip of the pen gets the nearest name, anything else the list."""
    with pytest.raises(datasets.UnknownDatasetError, match="Did you mean Phishing"):
        next(datasets.rows("Fishing"))
    with pytest.raises(datasets.UnknownDatasetError, match="One of: AirlinePassengers"):
        next(datasets.rows("qqq"))


def test_numpy_values_become_plain_ones():
    """What comes out of a data frame can be sent; an array cannot."""
    encode = msgspec.json.Encoder(enc_hook=plain).encode
    assert encode([np.int64(1), np.float32(1.5), np.bool_(True), float("nan")]) == b"[1,1.5,true,null]"
    with pytest.raises(TypeError, match="a ndarray cannot be sent"):
        encode([np.zeros(2)])


def test_a_time_without_zone_is_refused():
    """Nobody can know which instant it is."""
    with pytest.raises(ValueError, match="has no time zone"):
        milliseconds(datetime.fromisoformat("2024-01-01"))
