"""Lease, outbox, watchdog: who may still act, what is sent, and who is ended."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from faust.types import TP

from learners.errors import LostStateError
from learners.snapshot import Keys, read_header
from producers.scenarios import Scenario
from stream import toml
from stream.adapters import failpoints
from stream.adapters.faust_app import create_app
from stream.adapters.faust_worker import SHORT, SLICE, Lane
from stream.adapters.file_store import FileStore
from stream.adapters.lane import Batch, LaneScheduler, Lease
from stream.adapters.outbox import ClosedError, Outbox
from stream.adapters.watchdog import Signs, Suspicion
from stream.messages import Record
from stream.settings import load_settings
from tests.support import MemoryLog

FINE = Signs(1, True, 0, False, {"f.events[0]": 1}, ())


class Broker:
    """Stands where the producer stands (see `Sender`): takes rows when it is open, and notes them."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.log: dict[str, list[Any]] = {}

    async def send_rows(self, topic: str, partition: int, rows: Iterable[Any], lease: Lease) -> int:
        """Append to a topic; returns its next offset."""
        await lease.wait()
        await self.open.wait()
        self.log.setdefault(topic, []).extend(rows)
        return len(self.log[topic])

    async def begin(self) -> None:
        """Each row stands for itself."""

    async def commit(self) -> None:
        """What was taken is there."""

    def let_go(self) -> None:
        """Others send, too."""


class BrokenBroker(Broker):
    """Takes nothing."""

    async def send_rows(self, topic: str, partition: int, rows: Iterable[Any], lease: Lease) -> int:
        """Fail."""
        raise TypeError(f"{topic} takes no rows")


def outbox(broker: Broker, lease: Lease, failures: list[BaseException]) -> Outbox:
    topics = {"predictions": "n.predictions", "transitions": "n.transitions"}
    return Outbox(broker, topics, 0, lease, failures.append, lambda _: None)


def held(seconds: float = 60.0) -> Lease:
    lease = Lease(seconds)
    lease.renew(lease.clock())
    return lease


def row(n: int) -> Any:
    return n, None, b"", []


def test_what_was_put_is_settled_in_order() -> None:
    """Rows of a topic keep their order; a settlement tells the ends of all that was put before it."""

    async def story() -> None:
        broker = Broker()
        box = outbox(broker, held(), [])
        for n in range(20):
            await box.put({"predictions": [row(n)]})
        await box.put({"transitions": [row(0)]})
        assert await (await box.settle()) == {"predictions": 20, "transitions": 1}
        assert broker.log["n.predictions"] == [row(n) for n in range(20)]
        box.close()

    asyncio.run(story())


def test_without_a_lease_nothing_leaves() -> None:
    """Rows wait until a heartbeat is answered; then they go."""

    async def story() -> None:
        broker, lease = Broker(), Lease(60.0)
        box = outbox(broker, lease, [])
        await box.put({"predictions": [row(1)]})
        await asyncio.sleep(0.1)
        assert broker.log == {}
        lease.renew(lease.clock())
        assert await (await box.settle()) == {"predictions": 1}
        box.close()

    asyncio.run(story())


def test_a_closed_outbox_lets_everybody_go() -> None:
    """Whoever waits for room or for a settlement waits no longer; what was in it is not sent."""

    async def story() -> None:
        broker = Broker()
        broker.open.clear()
        box = outbox(broker, held(), [])
        await box.put({"predictions": [row(0)]})
        settled = await box.settle()
        putting = [asyncio.create_task(box.put({"predictions": [row(n)]})) for n in range(1, 30)]
        settling = asyncio.create_task(box.settle())
        await asyncio.sleep(0)
        box.close()
        broker.open.set()
        for future in (settled, await settling):
            with pytest.raises(ClosedError):
                await future
        await asyncio.wait_for(asyncio.gather(*putting), 5)
        assert broker.log == {}

    asyncio.run(story())


def test_an_error_reaches_worker_and_waiting() -> None:
    """What cannot be sent is told to whoever waits, and to the worker, once."""

    async def story() -> None:
        failures: list[BaseException] = []
        box = outbox(BrokenBroker(), held(), failures)
        await box.put({"predictions": [row(0)]})
        settled = await box.settle()
        with pytest.raises(TypeError):
            await settled
        assert len(failures) == 1

    asyncio.run(story())


def test_a_lease_ends_half_a_session_after_the_heartbeat_was_sent() -> None:
    """However late the answer came; an older answer never shortens it."""
    now = [100.0]
    lease = Lease(5.0, lambda: now[0])
    assert not lease.held
    lease.renew(99.0)
    lease.renew(97.0)
    now[0] = 103.9
    assert lease.held
    now[0] = 104.0
    assert not lease.held


@pytest.mark.parametrize(
    ("signs", "sentence"),
    [
        (FINE._replace(behind=True), "records wait"),
        (FINE._replace(settled=False), "a rebalance has not come to its end"),
        (FINE._replace(missing=("f.labels",)), "there is no topic f.labels any more"),
    ],
)
def test_what_stands_still_is_named(signs: Signs, sentence: str) -> None:
    """Each sign that stands still for longer than patience ends the worker, with its own sentence."""
    suspicion = Suspicion(10.0)
    for second in range(11):
        moving = signs._replace(pulse=second, heard={"f.events[0]": second})
        assert suspicion.of(moving, float(second)) is None
    assert sentence in str(suspicion.of(signs._replace(pulse=12), 12.0))


def test_an_event_loop_that_stands_still_is_ended() -> None:
    """The pulse is all there is of it."""
    suspicion = Suspicion(10.0)
    assert suspicion.of(FINE, 0.0) is None
    assert "the event loop has stood still" in str(suspicion.of(FINE, 10.5))


def test_a_silent_broker_is_given_three_times_as_long() -> None:
    """One partition that nothing is heard of, while the others go on."""
    suspicion = Suspicion(10.0)
    for second in range(31):
        signs = FINE._replace(pulse=second, heard={"f.events[0]": 1, "f.events[1]": second})
        assert suspicion.of(signs, float(second)) is None
    signs = signs._replace(pulse=99)
    assert "has not spoken of f.events[0]" in str(suspicion.of(signs, 30.5))


def test_a_broker_that_is_not_asked_is_not_waited_for(tmp_path: Path) -> None:
    """What was fetched may last a slow roster for minutes; until it is taken nothing more is asked for."""

    async def story() -> None:
        restored = Restored(tmp_path)
        await restored.begin(5)
        restored.consumer.positions = dict.fromkeys(restored.lane.positions(), 5)
        assert restored.events.topic + "[0]" in restored.lane.signs().heard
        restored.consumer._fetcher._records[restored.events] = "fetched, and not yet taken"
        heard = restored.lane.signs().heard
        assert sorted(heard) == ["n.control[0]", "n.labels[0]"]

    asyncio.run(story())


def test_whoever_has_caught_up_does_not_wait_for_anothers_backlog() -> None:
    """Labels that were there before come first, then each partition's events in turn, a batch at a time."""
    sizes = {("n.events", 0): 3500, ("n.events", 1): 2, ("n.labels", 1): 1200, ("n.events", 2): 1001}
    poll = {
        TP(topic, number): [
            SimpleNamespace(offset=n, timestamp=n + 5000 * topic.endswith("events")) for n in range(size)
        ]
        for (topic, number), size in sizes.items()
    }
    batches = list(LaneScheduler().iterate(poll))
    order = [(tp.topic[2:], tp.partition, len(batch)) for tp, batch in batches]
    assert order == [
        ("events", 0, 1000), ("labels", 1, 1000), ("events", 2, 1000),
        ("events", 0, 1000), ("labels", 1, 200), ("events", 2, 1),
        ("events", 0, 1000), ("events", 1, 2), ("events", 0, 500),
    ]  # fmt: skip
    for tp, found in poll.items():
        assert [record for place, batch in batches if place == tp for record in batch] == found


def test_an_idle_worker_is_left_alone() -> None:
    """Nothing to do, or nothing held, is no reason; neither is a restore that takes long."""
    suspicion = Suspicion(10.0)
    for second in range(100):
        signs = FINE._replace(pulse=second, heard={})
        assert suspicion.of(signs, float(second)) is None


def test_a_worker_that_hangs_is_ended() -> None:
    """Its process ends with a status of its own, and the log says what stood still."""
    program = (
        "import time; from stream.adapters.watchdog import Signs, Suspicion, Watchdog;"
        "signs = Signs(1, True, 0, False, {}, ());"
        "Watchdog(lambda: signs, Suspicion(0.5), time.monotonic).start();"
        "time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=50, check=False)
    assert done.returncode == 70
    assert b"worker.hangs reason=the event loop has stood still" in done.stderr


def test_failpoints_do_nothing_unless_chosen() -> None:
    """Every name may be passed by."""
    for name in failpoints.NAMES:
        failpoints.reach(name)


class Consumer:
    """Stands where the consumer stands: all topics are there, and some partitions are assigned."""

    def __init__(self, assigned: set[TP]) -> None:
        self._assigned, self._thread = assigned, self
        states = SimpleNamespace(
            assignment=SimpleNamespace(state_value=self._state)
        )  # as aiokafka nests them
        self._subscription = SimpleNamespace(subscription=states)
        self.positions: dict[TP, int] = {}
        self._fetcher = SimpleNamespace(_records={})

    def _state(self, tp: TP) -> Any:
        position = self.positions.get(tp)
        return SimpleNamespace(
            has_valid_position=position is not None,
            position=position,
            highwater=position,
            lso=position,
            timestamp=1,
        )

    def assignment(self) -> set[TP]:
        """Return what is assigned."""
        return self._assigned

    def _ensure_consumer(self) -> Self:
        return self

    async def commit_positions(self, offsets: dict[TP, int]) -> bool:
        """Take them for committed."""
        return bool(offsets)

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        """Return where topics begin."""
        return dict.fromkeys(tps, 0)

    def partitions_for_topic(self, _: str) -> set[int]:
        """Return the partitions of any topic."""
        return {0}


class SlowLog(MemoryLog):
    """Empty topics that answer once they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answer = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first and next offset, late."""
        self.asked.set()
        assert self.answer.wait(30)
        return super().bounds(topic, partition)


def test_what_is_revoked_while_it_is_restored_is_let_go(tmp_path: Path) -> None:
    """A rebalance right after another: no outbox goes on, the store is free, the worker is not ready."""
    file = tmp_path / "deployment.toml"
    file.write_text("\n".join(toml.document(Scenario.definition("n"))), encoding="utf-8")
    settings, history, store = load_settings(file, {}), SlowLog(), FileStore(tmp_path / "snapshots")

    async def story() -> None:
        app: Any = SimpleNamespace(
            consumer=Consumer({TP(settings.topic("events"), 0)}), producer=Broker(), consumer_generation_id=1
        )
        keys = Keys("known to everybody: for tests only")
        lane = Lane(settings, app, store, keys, lambda: history)
        restoring = asyncio.create_task(lane.restore())
        await asyncio.to_thread(history.asked.wait, 30)
        releasing = asyncio.create_task(lane.release())
        await asyncio.sleep(0)
        history.answer.set()
        await asyncio.gather(restoring, releasing)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not lane.ready
        FileStore(tmp_path / "snapshots").lock(0)

    asyncio.run(story())


RECORDS = [Record("events", 0, n, 0, None, b'{"id": "e%d"}' % n, ()) for n in range(8)]


class Restored:
    """A lane on stand-ins, its partitions restored: nothing read, and so many records in the log of one."""

    def __init__(self, folder: Path, partitions: int = 1) -> None:
        file = folder / "deployment.toml"
        file.write_text("\n".join(toml.document(Scenario.definition("n"))), encoding="utf-8")
        settings, self.history = load_settings(file, {}), SlowLog()
        self.history.answer.set()
        self.events = TP(settings.topic("events"), 0)
        assigned = {TP(self.events.topic, number) for number in range(partitions)}
        self.consumer, self.broker = Consumer(assigned), Broker()
        app: Any = SimpleNamespace(
            consumer=self.consumer, producer=self.broker, consumer_generation_id=1, rebalancing=False
        )
        self.store = FileStore(folder / "snapshots")
        keys = Keys("known to everybody: for tests only")
        self.lane = Lane(settings, app, self.store, keys, lambda: self.history)

    async def begin(self, records: int) -> None:
        """Restore, with nothing there; then so many records come."""
        await self.lane.restore()
        self.lane.lease.renew(self.lane.lease.clock())
        self.history.topics["events"] = RECORDS[:records]

    async def take(self, start: int, end: int) -> None:
        """Give some records to the lane, as the consumer does."""
        await self.lane.handle(Batch.of(self.events.topic, 0, RECORDS[start:end]), 1)

    async def answered(self) -> list[int]:
        """Return the offsets of the events that something went out for, in order."""
        partition = self.lane.partitions[0]
        await (await partition.outbox.settle())
        partition.outbox.close()
        found = (dict(headers)["meander-source"] for _, _, _, headers in self.broker.log["n.dead-letters"])
        return [int(source.split(b":")[2]) for source in found]


def test_inputs_that_the_consumer_skipped_are_read_again(tmp_path: Path) -> None:
    """A batch that begins further on: what lies between is processed first, each record once."""

    async def story() -> None:
        restored = Restored(tmp_path)
        await restored.begin(5)
        await restored.take(3, 5)
        assert await restored.answered() == [0, 1, 2, 3, 4]

    asyncio.run(story())


def test_inputs_that_come_twice_are_taken_once(tmp_path: Path) -> None:
    """The consumer went back: no harm; a topic that is shorter than it was stops the worker."""

    async def story() -> None:
        restored = Restored(tmp_path)
        await restored.begin(5)
        for start, end in ((0, 3), (1, 3), (0, 5)):
            await restored.take(start, end)
        restored.history.topics["events"] = RECORDS[:2]
        with pytest.raises(LostStateError, match="was made anew while this worker ran"):
            await restored.take(0, 2)
        assert restored.lane.partitions[0].processor.next["events"] == 5

    asyncio.run(story())


def test_inputs_that_were_skipped_at_the_end_are_read_again(tmp_path: Path) -> None:
    """Nothing comes after them: the consumer stands further than what was processed, and all is quiet."""

    async def story() -> None:
        restored = Restored(tmp_path)
        await restored.begin(6)
        await restored.take(0, 2)
        restored.consumer.positions[restored.events] = 8  # two markers of a transaction behind the records
        await restored.lane.fill_gaps()
        restored.lane.processed += 1  # of another partition: what was read may still wait behind it
        await restored.lane.fill_gaps()
        for _ in range(2):  # the machine had no time for this worker: what was read may still wait
            await restored.lane.fill_gaps()
            assert restored.lane.processed == 3
        await restored.lane.fill_gaps()
        assert restored.lane.processed == 7
        assert await restored.answered() == [0, 1, 2, 3, 4, 5]

    asyncio.run(story())


def test_what_is_revoked_while_silence_is_told_is_left_alone(tmp_path: Path) -> None:
    """The tick of one partition is on its way when both are taken: the other's is not asked for any more."""

    async def story() -> None:
        restored = Restored(tmp_path, partitions=2)
        await restored.begin(0)
        lane, features = restored.lane, {"amount": 1.0, "delivery_days": 1.0, "discount": 0.0}
        event = json.dumps({"id": "e1", "features": {**features, "article": "toys"}}).encode()
        for number, partition in lane.partitions.items():
            record = Record("events", number, 0, 1, None, event, ())
            await lane.handle(Batch.of(restored.events.topic, number, [record]), 1)
            for source, offset in partition.processor.next.items():
                restored.consumer.positions[TP(lane.settings.topic(source), number)] = offset
        for partition in lane.partitions.values():
            await (await partition.outbox.settle())
        restored.broker.open.clear()
        ticking = asyncio.create_task(lane.tick())
        await asyncio.sleep(0.05)
        assert not ticking.done()
        await lane.release()
        restored.broker.open.set()
        await asyncio.wait_for(ticking, 5)
        assert len(restored.broker.log["n.control"]) == 1

    asyncio.run(story())


def test_who_asks_over_http_waits_for_few_records(tmp_path: Path) -> None:
    """Once somebody has asked, others get their turn more often in the middle of a batch."""
    records = [Record("events", 0, n, 0, None, b'{"id": "e%d"}' % n, ()) for n in range(512)]

    async def story() -> None:
        restored = Restored(tmp_path)
        await restored.begin(0)
        lane, seen = restored.lane, list[int]()

        async def watch() -> None:
            while True:
                seen.append(lane.partitions[0].processor.next["events"])
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        for start, end in ((0, 256), (256, 512)):
            await lane.handle(Batch.of(restored.events.topic, 0, records[start:end]), 1)
            if end == 256:
                assert 0 in lane.held()
        watching.cancel()
        assert await restored.answered() == list(range(512))
        steps = [(before, after - before) for before, after in pairwise(seen)]
        assert max(step for at, step in steps if at < 256) == SLICE
        assert max(step for at, step in steps if at >= 256) == SHORT

    asyncio.run(story())


def test_what_was_processed_but_not_sent_is_never_saved(tmp_path: Path) -> None:
    """An error in the middle of a batch: no snapshot stands behind its outputs."""

    async def story() -> None:
        restored = Restored(tmp_path)
        await restored.begin(5)
        await restored.take(0, 2)
        await restored.lane.save(last=True)
        restored.history.topics["events"] = [*RECORDS[:4], None]
        broken = Batch.of(restored.events.topic, 0, RECORDS[2:4])
        broken.append(None)
        with pytest.raises(AttributeError):
            await restored.lane.handle(broken, 1)
        await restored.lane.save(last=True)
        (newest, *_) = restored.store.load(0)
        assert read_header(newest.read())[0].facts["next"]["events"] == 2
        assert len(restored.broker.log["n.dead-letters"]) == 2

    asyncio.run(story())


def test_a_rebalance_that_is_over_lets_nothing_flow_in_the_next(tmp_path: Path) -> None:
    """Faust resumes at the end of one although the next has begun: what came then would be cleared away."""
    file = tmp_path / "deployment.toml"
    file.write_text("\n".join(toml.document(Scenario.definition("n"))), encoding="utf-8")

    async def story() -> None:
        store, keys = FileStore(tmp_path / "snapshots"), Keys("known to everybody: for tests only")
        app = create_app(load_settings(file, {}), store, keys, SlowLog, lambda *_: None)
        consumer, flow = app.consumer, app.lane.flow
        consumer.stop_flow()
        consumer.resume_flow()
        assert not consumer.flow_active  # nothing is restored
        flow.restored = flow.stops
        consumer.resume_flow()
        assert not consumer.flow_active  # nothing is sought
        flow.sought = flow.stops
        consumer.resume_flow()
        assert consumer.flow_active
        consumer.stop_flow()
        consumer.resume_flow()
        assert not consumer.flow_active
        await consumer.perform_seek()  # too early: asked for by what came while the flow was stopped
        assert flow.sought < flow.stops

    asyncio.run(story())
