"""How state is kept: journals in pieces between batches, then the snapshot that names them."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream.adapters.file_store import FileStore
from stream.adapters.pace import Pace
from stream.adapters.partition import Partition
from stream.adapters.saving import PIECE, Saver
from stream.processing.processor import Processor
from tests.support import definition, record
from tests.unit.stream.test_armour import Broker, held, outbox

LABEL = {"classes": ["no", "yes"]}


class Watched(FileStore):
    """Notes how long what it is given is; fails when it is told to."""

    appended: list[int]
    failing: int = 0

    def append(self, partition: int, segment: str, data: bytes) -> int:
        """Append, or refuse."""
        self.appended.append(len(data))
        if self.failing == len(self.appended):
            raise OSError(errno.ENOSPC, "no space left")
        return super().append(partition, segment, data)


async def _nothing() -> None:
    return None


def waiting(count: int) -> Processor:
    processor = Processor(definition(label=LABEL, rules={}))
    for n in range(count):
        processor.process(record("events", n, {"id": f"e{n}", "features": {"x": 1.0, "y": n % 7}}, n))
    return processor


def story(processor: Processor, store: Watched, tell: Callable[[Saver, asyncio.Lock], Any]) -> None:
    """Run a saver over a partition while somebody else takes the lock in turn."""

    async def run() -> None:
        lock = asyncio.Lock()
        box = outbox(Broker(), held(), [])
        partition = Partition(processor, {}, box, 1, {}, 3)
        saver = Saver({0: partition}, store, Pace(0.0), lock, lambda: 0.0, _nothing, lambda _: None)
        await tell(saver, lock)
        box.close()

    asyncio.run(run())


def restored(processor: Processor, store: FileStore) -> Processor:
    other = Processor(processor.definition)
    (newest, *_) = store.load(0)
    other.restore(newest.read(), newest.generation, lambda segment, length: store.read(0, segment, length))
    return other


def test_batches_go_on_while_all_that_waits_is_written(tmp_path: Path) -> None:
    """Many predictions wait and none is in the journal yet: between its pieces a batch gets its turn."""
    processor, store = waiting(5 * PIECE), Watched(tmp_path)
    store.appended, turns = [], []

    async def tell(saver: Saver, lock: asyncio.Lock) -> None:
        saving, n = asyncio.create_task(saver.save()), 0
        while not saving.done():
            async with lock:
                turns.append(len(store.appended))
                if n < 100:
                    number = 5 * PIECE + n
                    event = {"id": f"e{number}", "features": {"x": 1.0, "y": 2.0}}
                    processor.process(record("events", number, event, number))
                    processor.process(record("labels", n, {"id": f"e{n}", "label": "yes"}, number))
                    n += 1
            await asyncio.sleep(0.001)
        await saving
        await saver.save(last=True)

    story(processor, store, tell)
    assert len(set(turns)) >= 4  # so many different pieces had been written when a batch had its turn
    assert len(store.appended) >= 5
    assert max(store.appended) < 2 * sum(store.appended) / 5
    assert restored(processor, store).serve.state() == processor.serve.state()


def test_a_piece_that_cannot_be_written_is_written_again(tmp_path: Path) -> None:
    """The disk is full in the middle of the journal: the next snapshot holds everything all the same."""
    processor, store = waiting(4 * PIECE), Watched(tmp_path)
    store.appended, store.failing = [], 3

    async def tell(saver: Saver, lock: asyncio.Lock) -> None:
        await saver.save()
        assert store.load(0) == []
        event = {"id": "last", "features": {"x": 1.0, "y": 2.0}}
        processor.process(record("events", 4 * PIECE, event, 4 * PIECE))
        await saver.save(last=True)

    story(processor, store, tell)
    assert restored(processor, store).serve.state() == processor.serve.state()


def test_partitions_take_turns(tmp_path: Path) -> None:
    """Four partitions restored together: no look finds two of them due, and each has its turn in time."""
    now, saved = [100.0], []

    async def run() -> None:
        boxes = [outbox(Broker(), held(), []) for _ in range(4)]
        partitions = {
            n: Partition(Processor(definition(label=LABEL, rules={}), n), {}, box, 1, {}, 3)
            for n, box in enumerate(boxes)
        }
        store, clock = FileStore(tmp_path), lambda: now[0]
        saver = Saver(partitions, store, Pace(1.0), asyncio.Lock(), clock, _nothing, lambda _: None)
        saver.take_turns()
        for look in range(9):
            now[0] = 100.0 + look / 8
            before = {n for n, p in partitions.items() if p.saved}
            await saver.save()
            saved.append({n for n, p in partitions.items() if p.saved} - before)
        for box in boxes:
            box.close()

    asyncio.run(run())
    assert max(map(len, saved)) == 1
    assert set().union(*saved) == {0, 1, 2, 3}
