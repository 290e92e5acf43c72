"""What becomes of a label that comes late, twice, corrected, weighted or never."""

from typing import Any

import pytest

from learners.errors import SnapshotError
from stream.processing.processor import Processor
from stream.processing.serve import MOST_AT_ONCE
from tests.support import TINY, Inputs, definition, predictions, run

LABEL = {"classes": ["no", "yes"], "ttl": "1h", "idle": "10m"}
MINUTE = 60_000


def restarted(processor: Processor) -> Processor:
    """Return what goes on from a checkpoint of it, which may be told in pieces of the same segment."""
    stored: dict[str, bytes] = {}
    data, appended = processor.checkpoint()
    for segment, more in appended:
        stored[segment] = stored.get(segment, b"") + more
    other = Processor(processor.definition)
    other._keys = processor._keys
    other.restore(data, read=lambda segment, length: stored[segment][:length])
    return other


class Partition:
    """A processor, and records numbered as they come; times in minutes."""

    def __init__(self, **label: Any) -> None:
        self.inputs = Inputs()
        self.p = Processor(definition(label={**LABEL, **label}, warm_up=0, rules={}))

    def event(self, identifier: str, minute: float, x: float = 1.0, **more: Any) -> list[Any]:
        message = {"id": identifier, "timestamp": int(minute * MINUTE), "features": {"x": x, "y": 1}, **more}
        return run(self.p, [self.inputs.add("events", message, int(minute * MINUTE))])

    def label(self, identifier: str, minute: float, label: Any = "yes", **more: Any) -> list[Any]:
        message = {"id": identifier, "timestamp": int(minute * MINUTE), "label": label, **more}
        return run(self.p, [self.inputs.add("labels", message, int(minute * MINUTE))])

    def tick(self, minute: float) -> list[Any]:
        message = {"type": "tick", "timestamp": int(minute * MINUTE)}
        return run(self.p, [self.inputs.add("control", message, int(minute * MINUTE))])

    def answer(self) -> float:
        """Return what the champion says of an event now; learns nothing."""
        members = self.p.learn.roster.ask({"x": 1.0, "y": 1.0})
        return float(members.answers[0])

    @property
    def score(self) -> tuple[float, int]:
        score = self.p.learn.roster.champion.score
        return score.total, score.scored


def test_expiry_is_unavailable_unless_a_label_is_assumed() -> None:
    """When its time is over a prediction is counted, or learned as the declared label."""
    plain, assuming = Partition(), Partition(expire_as="no")
    for partition in (plain, assuming):
        partition.event("a", 0)
        before = partition.answer()
        partition.event("b", 60.1)
        assert partition.p.books.expired == 1
        assert partition.p.books.unaccounted == 0
        assert (partition.answer() != before) == (partition is assuming)
    assert (plain.p.books.assumed, assuming.p.books.assumed) == (0, 1)
    assert assuming.score == (1.0, 1) or assuming.score == (0.0, 1)
    assert plain.score == (0.0, 0)


@pytest.mark.parametrize("policy", ["ignore", "learn", "correct"])
@pytest.mark.parametrize("assumed", [None, "no"])
def test_a_label_after_its_time(policy: str, assumed: str | None) -> None:
    """It is counted only, or learned all the same, or puts the score right."""
    partition = Partition(after_ttl=policy, **({"expire_as": assumed} if assumed else {}))
    partition.event("a", 0)
    partition.event("b", 60.1)
    scored, before = partition.score, partition.answer()
    partition.label("a", 61)
    books = partition.p.books
    assert (books.late, books.learned, books.scored_only) == {
        "ignore": (1, 0, 0),
        "learn": (0, 1, 0),
        "correct": (0, 0, 1),
    }[policy]
    assert (partition.answer() != before) == (policy == "learn")
    if policy == "ignore":
        assert partition.score == scored
    else:
        assert partition.score[1] == 1  # once, with the label that came
        right = predictions(partition.event("c", 61))[0]["prediction"]
        assert right in ("no", "yes")
    partition.label("a", 62)
    assert books.late + books.duplicate_label == {"ignore": 2}.get(policy, 1)
    assert books.unaccounted == 0


@pytest.mark.parametrize("again", ["ignore", "learn-again"])
def test_a_correction_corrects_the_score(again: str) -> None:
    """The score is what it had been with the right label at once; learned is what was declared."""
    wrong, right = Partition(on_correction=again), Partition()
    wrong.event("a", 0)
    right.event("a", 0)
    wrong.label("a", 1, "no")
    right.label("a", 1, "yes")
    before = wrong.answer()
    wrong.label("a", 2, "yes", corrects=True)
    assert wrong.score == right.score
    assert wrong.p.learn.served.total == right.p.learn.served.total
    assert (wrong.answer() != before) == (again == "learn-again")
    books = wrong.p.books
    assert (books.relabelled, books.relearned) == (1, again == "learn-again")
    wrong.label("a", 3, "no", corrects=True)
    wrong.label("a", 3, "no")
    assert (books.relabelled, books.duplicate_label, books.unaccounted) == (2, 1, 0)


def test_what_is_kept_for_corrections_is_bounded() -> None:
    """A correction of an event that is no longer kept whole is counted as late."""
    partition = Partition(keep_limit=1)
    for identifier in "ab":
        partition.event(identifier, 0)
        partition.label(identifier, 1)
    partition.label("a", 2, "no", corrects=True)
    partition.label("b", 2, "no", corrects=True)
    assert (partition.p.books.late, partition.p.books.relabelled) == (1, 1)


def test_an_early_label_may_be_corrected_and_waits_its_time() -> None:
    """Before its event the last word counts; after `early_ttl` it is unmatched."""
    partition = Partition(early_ttl="5m")
    partition.event("z", 0)
    partition.label("a", 1, "no")
    partition.label("a", 1, "yes", corrects=True)
    partition.event("a", 1)
    assert (partition.p.books.learned, partition.p.books.duplicate_label) == (1, 1)
    partition.label("b", 1)
    partition.event("y", 5.9)
    partition.label("z", 5.9)
    assert partition.p.books.unmatched == 0
    partition.label("y", 6.1)
    partition.event("x", 6.1)
    assert partition.p.books.unmatched == 1
    assert partition.p.books.unaccounted == 0


def test_labels_that_stop_hold_time_only_so_long() -> None:
    """What is on its way does not expire while labels are silent, and silence does not stop time for ever."""
    partition = Partition(expire_as="no")
    for minute in range(0, 60):
        partition.event(f"e{minute}", minute)
        if minute < 50:
            partition.label(f"e{minute}", minute)
    partition.event("f", 60 + 51)  # 61 minutes after the first that waits, labels silent since minute 49
    assert partition.p.books.expired == 0
    partition.event("g", 60 + 51 + 10)
    assert partition.p.books.expired > 0


def test_a_restart_knows_how_far_labels_had_come() -> None:
    """Where labels are silent what is on its way does not expire, whoever goes on."""
    partition = Partition()
    partition.event("a", 0)
    partition.event("b", 55)
    partition.label("b", 55)
    partition.p = restarted(partition.p)
    partition.event("c", 64)
    assert partition.p.books.expired == 0


def test_the_pool_moves_less_by_what_comes_late() -> None:
    """Three events later by half as much as at once: the step over the root of 1 + lag."""
    moved = []
    for others in (0, 3):
        inputs = Inputs()
        models = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}
        p = Processor(definition(label=LABEL, models=models, warm_up=0, rules={}))
        for n in range(40):
            event = {"id": f"l{n}", "timestamp": n, "features": {"x": n % 7 - 3.0}}
            run(p, [inputs.add("events", {**event, "label": ["no", "yes"][n % 7 > 3]}, n)])
        before = list(p.learn.roster.pool.weights)
        for n in range(others + 1):
            event = {"id": f"e{n}", "timestamp": 50, "features": {"x": 2.0}}
            run(p, [inputs.add("events", event, 50)])
        run(p, [inputs.add("labels", {"id": "e0", "timestamp": 60, "label": "no"}, 60)])
        moved.append([now - then for now, then in zip(p.learn.roster.pool.weights, before, strict=True)])
    assert any(moved[0])
    assert moved[0] == pytest.approx([2 * step for step in moved[1]])


def test_ticks_pass_time_when_everything_is_silent() -> None:
    """A tick ends what is over, and is told."""
    partition = Partition()
    partition.event("a", 0)
    partition.label("b", 0)
    assert partition.tick(60) == []
    assert [o[0] for o in partition.tick(60.1)] == ["transitions"]
    assert partition.p.books.expired == 1


def test_a_far_future_event_at_the_head_stops_nothing() -> None:
    """Expiry goes by time, not by the order of coming."""
    partition = Partition(idle="0s")
    partition.event("future", 600)
    partition.event("past", 1)
    assert partition.p.books.expired == 1  # the past one: time stands at 600
    partition.event("next", 601)
    partition.label("future", 601)
    assert partition.p.books.learned == 1


def test_weights_count_where_the_model_takes_them() -> None:
    """A weight of 2 moves a logistic regression more than one of 1; of 0, not at all."""
    moved = []
    for weight in (0.0, 1.0, 2.0):
        partition = Partition()
        partition.event("a", 0)
        before = partition.answer()
        partition.label("a", 1, weight=weight)
        moved.append(partition.answer() - before)
        assert partition.score[1] == 1
    assert moved[0] == 0.0
    assert moved[2] > moved[1] > 0
    inside = Partition()
    before = inside.answer()
    inside.event("a", 0, label="yes", weight=2.0)
    assert inside.answer() - before == moved[2]


def test_too_many_waiting_lets_the_oldest_in_time_go() -> None:
    """Not the first that came, but the one with the earliest event time; it is known as given up."""
    partition = Partition(pending_limit=2)
    for identifier, minute in (("b", 2), ("a", 1), ("c", 3)):
        partition.event(identifier, minute)
    partition.label("a", 4)
    partition.label("b", 4)
    books = partition.p.books
    assert (books.given_up, books.expired, books.late, books.learned) == (1, 1, 1, 1)


def test_the_assumed_label_must_be_one() -> None:
    """A class that is not declared is refused with the definition."""
    with pytest.raises(Exception, match="expire_as"):
        definition(label={**LABEL, "expire_as": "maybe"})


def test_a_checkpoint_without_its_store_is_refused() -> None:
    """What waits stands elsewhere, and the sentence says so."""
    partition = Partition()
    partition.event("a", 0)
    data, appended = partition.p.checkpoint()
    assert appended
    with pytest.raises(SnapshotError, match="segments"):
        Processor(partition.p.definition).restore(data)
    with pytest.raises(SnapshotError, match="is not what the snapshot names"):
        Processor(partition.p.definition).restore(data, read=lambda segment, length: b"\0" * length)


def test_tiny_is_still_tiny() -> None:
    """The definition that property tests use has short memories, so that they meet every policy."""
    assert TINY["label"]["keep_limit"] < TINY["label"]["remember_ids"] < 10


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_no_label_influences_an_answer_given_before_it(task: str) -> None:
    """One label is left out, moved later, or another: every answer before its place is the same."""
    label: dict[str, Any] = {"ttl": "1h"} if task == "regression" else LABEL
    models = {"lr": {"recipe": "linear_regression" if task == "regression" else "logistic_regression"}}
    truths: list[Any] = [
        float(n % 7) if task == "regression" else ["no", "yes"][n % 3 == 0] for n in range(200)
    ]

    def answers(place: int | None, truth: Any) -> list[tuple[int, Any]]:
        """Return all answers, with their places; label 60 comes at this place, or never."""
        inputs, processor = (
            Inputs(),
            Processor(definition(task=task, label=label, models=models, warm_up=0, rules={})),
        )
        found = []
        for n in range(200):
            due = [(n - 20, truths[n - 20])] if n >= 20 and n - 20 != 60 else []
            due += [(60, truth)] if n == place else []
            for late, value in due:
                message = {"id": f"e{late}", "label": value, "timestamp": n * 1000}
                run(processor, [inputs.add("labels", message, n * 1000)])
            event = {"id": f"e{n}", "timestamp": n * 1000, "features": {"x": n % 5 - 2.0, "y": n % 3}}
            found += [(n, p) for p in predictions(run(processor, [inputs.add("events", event, n * 1000)]))]
        return found

    first = answers(80, truths[60])
    other: Any = 100.0 if task == "regression" else {"no": "yes", "yes": "no"}[truths[60]]
    for changed in (answers(None, truths[60]), answers(120, truths[60]), answers(80, other)):
        assert changed[:80] == first[:80]
        assert changed[80:] != first[80:]


def test_a_restart_in_the_middle_of_an_expiry_changes_nothing() -> None:
    """More are over than one input may end: whoever goes on from between ends the same ones."""
    inputs, made = Inputs(), definition(label={**LABEL, "expire_as": "no"}, warm_up=0, rules={})
    for n in range(2 * MOST_AT_ONCE + 300):
        event = {"id": f"e{n}", "timestamp": n, "features": {"x": n % 7, "y": 1}}
        inputs.add("events", event, n)
    for n in range(4):
        time = 100 * MINUTE + n
        inputs.add("events", {"id": f"late{n}", "timestamp": time, "features": {"x": 1, "y": 1}}, time)
        inputs.add("labels", {"id": f"e{2100 - 700 * n}", "timestamp": time, "label": "yes"}, time)
    first = 2 * MOST_AT_ONCE + 300
    whole = Processor(made)
    run(whole, inputs.all[: first + 1])
    assert (whole.books.expired, len(whole.serve.pending)) == (MOST_AT_ONCE, MOST_AT_ONCE + 301)
    other = restarted(whole)
    rest = inputs.all[first + 1 :]
    assert run(whole, rest) == run(other, rest)
    assert whole.serve.state() == other.serve.state()
    assert whole.books.expired == 2 * MOST_AT_ONCE + 300 - 1  # the label of one came between


def test_ids_nobody_knows_are_bounded() -> None:
    """Labels for events that never come wait, no more than declared, then count as unmatched."""
    partition = Partition(early_limit=50, early_ttl="5m")
    for n in range(500):
        partition.label(f"nobody{n}", n / 1000)
    books = partition.p.books
    assert (books.early, books.unmatched, len(partition.p.serve.early)) == (50, 450, 50)
    partition.event("a", 10)
    partition.label("a", 10)
    partition.event("b", 10)
    assert (books.early, books.learned, books.unaccounted) == (0, 1, 0)


def test_one_input_ends_no_more_waits_than_an_answer_can_wait_for() -> None:
    """Thousands of labels whose event never came are over at once: they go a thousand at a time."""
    partition = Partition(early_ttl="5m", idle="0s")
    for n in range(2500):
        partition.label(f"nobody{n}", n / 1000)
    left = []
    for minute in range(100, 103):
        partition.event(f"e{minute}", minute)
        left.append(partition.p.books.early)
    assert left == [2500 - MOST_AT_ONCE, 2500 - 2 * MOST_AT_ONCE, 0]


def test_an_event_sent_again_takes_no_label_from_the_first() -> None:
    """A repeated event is not answered, its label counts as a duplicate; the one that waits still waits."""
    partition = Partition()
    partition.event("a", 0)
    assert partition.event("a", 1, label="yes") == []
    books = partition.p.books
    assert (books.duplicate, books.duplicate_label, books.learned) == (1, 1, 0)
    partition.label("a", 2)
    assert partition.event("a", 3) == []
    assert (books.learned, books.duplicate, books.unaccounted) == (1, 2, 0)


def test_a_correction_while_a_snapshot_fails_loses_nothing() -> None:
    """What is kept of older events is written again in its order, whatever was changed in between."""
    partition = Partition(keep_limit=10)
    for identifier in "abc":
        partition.event(identifier, 0)
        partition.label(identifier, 1)
    partition.p.checkpoint()  # on its way to the store, which will refuse it
    partition.label("c", 2, "no", corrects=True)
    partition.p.write_all_again()
    other = restarted(partition.p)
    assert other.serve.settled.whole() == partition.p.serve.settled.whole()
    assert [other.serve.knows(identifier) for identifier in "abcd"] == [True, True, True, False]


@pytest.mark.parametrize("inside", [True, False])
def test_the_weight_of_a_label_for_an_event_that_was_put_right(inside: bool) -> None:
    """A label of weight 0 is scored only, though its event broke the contract at first."""
    for weight in (0, 1):
        partition = Partition()
        label = {"label": "yes", "weight": weight}
        partition.event("a", 0, x="none", **(label if inside else {}))  # type: ignore[arg-type]
        if not inside:
            partition.label("a", 1, weight=weight)
        partition.event("a", 2)
        assert partition.p.learn.roster.champion.learned == weight
        assert (partition.p.books.learned, partition.p.books.unaccounted) == (weight, 0)
        assert partition.score[1] == 1


def test_what_a_late_label_made_of_an_event_outlasts_a_restart() -> None:
    """Also where the event was reduced to its id meanwhile: the same label is a duplicate."""
    label = {"after_ttl": "learn", "keep_limit": 1}
    partition = Partition(**label)
    partition.event("a", 0)
    partition.event("b", 90)
    _, stored = partition.p.checkpoint()
    partition.label("a", 91)
    partition.event("c", 92, label="no")
    snapshot, more = partition.p.checkpoint()
    journal: dict[str, bytes] = {}
    for segment, data in stored + more:
        journal[segment] = journal.get(segment, b"") + data
    again = Partition(**label)
    again.p.restore(snapshot, read=lambda segment, length: journal[segment][:length])
    again.inputs = partition.inputs
    for p in (partition, again):
        p.inputs.next["labels"] = 1
        p.label("a", 93)
    assert partition.p.books == again.p.books
    assert (again.p.books.duplicate_label, again.p.books.late) == (1, 0)


def test_an_id_that_comes_again_after_it_was_forgotten_outlasts_a_restart() -> None:
    """Between two snapshots more events were settled than ids are known, the first one's id among them."""
    label = {"remember_ids": 2, "keep_limit": 2}
    partition = Partition(**label)
    partition.event("a", 0, label="no")
    _, stored = partition.p.checkpoint()
    for n, identifier in enumerate(("b", "c", "d", "a"), 1):
        partition.event(identifier, n, label="no")
    snapshot, more = partition.p.checkpoint()
    journal: dict[str, bytes] = {}
    for segment, data in stored + more:
        journal[segment] = journal.get(segment, b"") + data
    again = Partition(**label)
    again.p.restore(snapshot, read=lambda segment, length: journal[segment][:length])
    assert again.p.serve.settled.whole() == partition.p.serve.settled.whole()
    offset = partition.inputs.next["events"]
    for p in (partition, again):
        p.inputs.next["events"] = offset
    assert [again.event(i, 9) for i in "dafgh"] == [partition.event(i, 9) for i in "dafgh"]
