"""Of a backlog labels and events are taken in the order of their times, however unevenly Kafka gives them."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.adapters.in_step import FEW, PATIENCE, InStep
from stream.adapters.lane import LaneScheduler

EVENTS, LABELS, CONTROL = (TP(f"d.{source}", 0) for source in ("events", "labels", "control"))


def records(times: list[int]) -> list[Any]:
    return [SimpleNamespace(offset=offset, timestamp=time) for offset, time in enumerate(times)]


class Kafka:
    """A backlog of both, of which fetches bring so many records in turn."""

    def __init__(self, backlog: dict[TP, list[Any]], sizes: dict[TP, list[int]]) -> None:
        self.backlog, self.sizes, self.fetches = backlog, sizes, 0
        self.taken = dict.fromkeys(backlog, 0)

    def unread(self, tp: TP) -> bool:
        return self.taken[tp] < len(self.backlog[tp])

    def poll(self, wanted: set[TP]) -> dict[TP, list[Any]]:
        found = {}
        for tp in wanted:
            size = self.sizes[tp][self.fetches % len(self.sizes[tp])]
            some = self.backlog[tp][self.taken[tp] :][:size]
            self.taken[tp] += len(some)
            if some:
                found[tp] = some
        self.fetches += 1
        return found


sizes = st.lists(st.integers(0, 40), min_size=1, max_size=4).map(lambda some: [*some, 7])


@settings(max_examples=150)
@given(st.lists(st.integers(0, 30), max_size=80), sizes, sizes)
def test_all_is_passed_on_once_in_the_order_of_times(
    delays: list[int], of_events: list[int], of_labels: list[int]
) -> None:
    """A label comes after its event, unless both have the same time, and before events that came after it."""
    events = list(range(len(delays)))
    labels = sorted((n + delay, n) for n, delay in zip(events, delays, strict=True))
    kafka = Kafka(
        {EVENTS: records(events), LABELS: records([time for time, _ in labels])},
        {EVENTS: of_events, LABELS: of_labels},
    )
    step = InStep(EVENTS.topic, LABELS.topic, lambda number: 3, lambda: 0.0)
    done = {EVENTS: 0, LABELS: 0}
    for _ in range(500):
        due = step.due(kafka.poll(step.wanted({EVENTS, LABELS})), kafka.unread)
        for tp, batch in LaneScheduler().iterate(due):
            assert [r.offset for r in batch] == list(range(done[tp], done[tp] + len(batch)))
            done[tp] += len(batch)
            early = [n for _, n in labels[: done[LABELS]] if n >= done[EVENTS]]
            assert len(early) <= 1
        assert done[EVENTS] == 0 or all(time >= done[EVENTS] - 1 for time, _ in labels[done[LABELS] :])
    assert list(done.values()) == [len(events), len(labels)]


@given(st.permutations(range(60)), sizes, sizes, st.integers(2, 50))
def test_labels_that_were_all_written_first_wait_for_room(
    order: list[int], of_events: list[int], of_labels: list[int], limit: int
) -> None:
    """No more come than may wait, as long as events are to be read; these do not wait for labels then."""
    kafka = Kafka(
        {EVENTS: records([9] * 60), LABELS: records([1] * 60)}, {EVENTS: of_events, LABELS: of_labels}
    )
    early: set[int] = set()
    seen: set[int] = set()
    step = InStep(EVENTS.topic, LABELS.topic, lambda number: max(0, limit - len(early)), lambda: 0.0)
    for _ in range(500):
        due = step.due(kafka.poll(step.wanted({EVENTS, LABELS})), kafka.unread)
        for tp, batch in LaneScheduler().iterate(due):
            found = {record.offset if tp == EVENTS else order[record.offset] for record in batch}
            early = early - found if tp == EVENTS else early | (found - seen)
            seen |= found if tp == EVENTS else set()
            assert len(early) <= limit
    assert len(seen) == 60
    assert not early
    assert not kafka.unread(LABELS)


def test_nobody_waits_long_for_a_topic_that_says_nothing() -> None:
    """Its broker may be gone. Of what comes after that it is not waited for anew."""
    now = [0.0]
    step = InStep(EVENTS.topic, LABELS.topic, lambda number: 99, lambda: now[0])
    one, two = {EVENTS: records([1, 2])}, {EVENTS: records([3])}
    assert step.due(one, lambda tp: True) == {}
    assert step.patience(1.0) < 0.1
    now[0] += PATIENCE
    assert step.due({}, lambda tp: True) == one
    assert step.patience(1.0) == 1.0
    assert step.due(two, lambda tp: True) == two
    step.due({LABELS: records([0])}, lambda tp: True)
    assert step.due(two, lambda tp: True) == {}


def test_what_was_held_back_is_forgotten_where_positions_are_sought() -> None:
    step = InStep(EVENTS.topic, LABELS.topic, lambda number: 99, lambda: 0.0)
    step.due({EVENTS: records([1])}, lambda tp: True)
    assert step.wanted({EVENTS, LABELS}) == {LABELS}
    step.stop()
    assert step.wanted({EVENTS, LABELS}) == {EVENTS, LABELS}
    assert step.due({}, lambda tp: False) == {}


def test_control_comes_first_and_partitions_take_turns() -> None:
    """Where labels stand between events these come in small portions."""
    poll = {
        EVENTS: records(list(range(600))), LABELS: records([5, 300]), CONTROL: records([900]),
        TP("d.events", 1): records([1]),
    }  # fmt: skip
    batches = [(tp.topic[2:], tp.partition, len(batch)) for tp, batch in LaneScheduler().iterate(poll)]
    assert batches == [
        ("control", 0, 1), ("events", 1, 1), ("events", 0, FEW), ("labels", 0, 1), ("events", 0, FEW),
        ("labels", 0, 1), ("events", 0, 100),
    ]  # fmt: skip
