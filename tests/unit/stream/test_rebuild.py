"""State from the log alone: what was lost where the log is whole; else a refusal, or what is left."""

import pytest

from learners.errors import SnapshotError, StaleGenerationError
from stream.ports import Stored
from stream.processing.processor import THIS_PROCESS, Processor
from stream.processing.rebuild import GoneError, rebuild
from stream.processing.recovery import LostStateError, Tail, catch_up, check_identities, identities
from tests.support import MemoryLog, definition, published, run
from tests.unit.stream.test_recovery import DEFINITION, inputs


class MemoryStore:
    """Snapshots of one partition, newest first (see `stream.ports.StateStore`)."""

    def __init__(self) -> None:
        self.kept: list[Stored] = []

    def load(self, partition: int) -> list[Stored]:
        """Return what is kept."""
        return self.kept

    def read(self, partition: int, segment: str, length: int) -> bytes:
        """There are none."""
        raise SnapshotError(f"there is no segment {segment}")

    def get(self, partition: int, digest: str) -> bytes:
        """There are none."""
        raise SnapshotError(f"there is no state {digest}")

    def save(self, partition: int, data: bytes, generation: int) -> None:
        """Keep one more."""
        if self.kept and generation < self.kept[0].generation:
            raise StaleGenerationError("older")
        self.kept.insert(0, Stored(str(len(self.kept)), generation, lambda: data))


def worked(records: int = 42) -> tuple[MemoryLog, MemoryStore, Processor]:
    """Return the topics, the store and the state after a worker has taken so many records."""
    made = inputs()
    log, store, processor = MemoryLog(made.all), MemoryStore(), Processor(DEFINITION)
    log.identities = {topic: f"{topic}-1" for topic in ("events", "labels", "control", "predictions")}
    log.send(run(processor, made.all[:records]))
    ends = {topic: len(sent) for topic, sent in log.outputs().items()}
    store.save(0, processor.snapshot(outputs=ends, topics=identities(log), generation=7), 7)
    return log, store, processor


def taken_up(log: MemoryLog, store: MemoryStore) -> tuple[Processor, list[object]]:
    """Return what a worker has after it took up the newest snapshot, and what it sends again."""
    processor = Processor(DEFINITION)
    facts = processor.restore(store.load(0)[0].read())
    check_identities(log, 0, facts["topics"])
    outputs = list(catch_up(processor, log, Tail(log, 0, facts["outputs"])))
    return processor, [published(processor, output) for output in outputs]


def test_a_whole_log_gives_the_same_state() -> None:
    """Learned anew, state is what it was; nothing goes out again; the generation is a newer one."""
    log, store, before = worked()
    said = rebuild(DEFINITION, 0, log, store, THIS_PROCESS)
    assert "records learned anew; then" in said
    assert said.split("then ")[1].split(", now ")[0] == said.split("now ")[1]
    after, again = taken_up(log, store)
    assert again == []
    assert store.load(0)[0].generation == 8
    rest = [r for r in inputs().all if r.offset >= after.next[r.source]]
    run(after, rest)
    run(before, rest)
    assert after.books == before.books
    assert after.learn.roster.champion.learned == before.learn.roster.champion.learned


def test_another_definition_learns_in_the_old_order() -> None:
    """A feature less: the worker refuses the snapshot, the log teaches the new definition."""
    log, store, _ = worked()
    other = definition(features={"x": {"min": -10, "max": 10}})
    assert "learned anew" in rebuild(other, 0, log, store, THIS_PROCESS)
    processor = Processor(other)
    facts = processor.restore(store.load(0)[0].read())
    assert list(catch_up(processor, log, Tail(log, 0, facts["outputs"]))) == []
    assert processor.books.predicted == len(log.outputs()["predictions"])


def test_retention_took_what_was_learned() -> None:
    """Refused, with the flag in the sentence; with it, what was learned is kept and the rest goes on."""
    log, store, before = worked(30)
    log.first["events"] = before.next["events"] + 3
    with pytest.raises(LostStateError, match="meander rebuild DEFINITION --accept-loss"):
        taken_up(log, store)
    with pytest.raises(GoneError, match=r"events\[0\] begins at.*--accept-loss"):
        rebuild(DEFINITION, 0, log, store, THIS_PROCESS)
    assert "is kept" in rebuild(DEFINITION, 0, log, store, THIS_PROCESS, accept_loss=True)
    after, again = taken_up(log, store)
    assert again == []
    assert after.learn.roster.champion.learned == before.learn.roster.champion.learned
    assert after.next["events"] == log.first["events"]


def test_without_a_snapshot_what_is_left_is_learned() -> None:
    """With the loss accepted and nothing sound kept, the state comes from the rest of the log."""
    log, store, before = worked()
    store.kept = [Stored("0", 7, lambda: b"rubbish")]
    log.first["events"] = 5
    said = rebuild(DEFINITION, 0, log, store, THIS_PROCESS, accept_loss=True)
    assert "records that are left were learned anew" in said
    after, _ = taken_up(log, store)
    assert 0 < after.learn.roster.champion.learned < before.learn.roster.champion.learned


@pytest.mark.parametrize("more", [False, True])
def test_a_topic_made_anew_is_known_by_its_identity(more: bool) -> None:
    """Even where it holds more than the old one did; accepted, its events are answered from its beginning."""
    log, store, before = worked()
    records = inputs().of("events")
    log.topics["events"] = [
        r.__class__("events", 0, n, r.timestamp, r.key, (r.value or b"").replace(b'"e', b'"new-'))
        for n, r in enumerate(records * 2 if more else records[:5])
    ]
    log.identities["events"] = "events-2"
    with pytest.raises(LostStateError, match=r"deleted and made anew.*meander rebuild"):
        taken_up(log, store)
    with pytest.raises(GoneError, match=r"events\[0\] was made anew"):
        rebuild(DEFINITION, 0, log, store, THIS_PROCESS)
    rebuild(DEFINITION, 0, log, store, THIS_PROCESS, accept_loss=True)
    after, again = taken_up(log, store)
    assert again == []
    assert after.next["events"] == 0
    outputs = run(after, log.topics["events"][:5])
    assert sum(topic == "predictions" for topic, *_ in outputs) == 5
    assert after.learn.roster.champion.learned >= before.learn.roster.champion.learned
