"""Takes snapshots: outputs acknowledged, then the snapshot durable, then offsets committed."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from itertools import groupby
from typing import Any

from learners.errors import StoreUnavailableError
from stream.adapters.failpoints import reach
from stream.adapters.outbox import ClosedError
from stream.adapters.pace import Pace
from stream.adapters.partition import Partition
from stream.ports import StateStore
from stream.processing.segments import Appended

log = logging.getLogger("meander.worker")

STALL = 0.005  # seconds of encoding that the event loop may stand still for
PIECE = 2_500  # entries of a journal that are encoded while batches wait
BITE = 500  # of these so many without a look at the event loop: who asks over HTTP waits for no more
RETRY = 1.0  # seconds until the next try after a snapshot could not be saved, at least


class Saver:
    """Keeps the state of the partitions held.

    Parameters
    ----------
    partitions
        Those held now; the caller changes them while it has ``busy`` and ``processing``.
    store
        Where snapshots go.
    pace
        How often they are taken.
    processing
        Held by whoever changes a processor.
    clock
        Seconds.
    commit
        Tells Kafka where the partitions' snapshots stand.
    spent
        Called with the seconds of processor time that each snapshot took.
    """

    def __init__(
        self,
        partitions: Mapping[int, Partition],
        store: StateStore,
        pace: Pace,
        processing: asyncio.Lock,
        clock: Callable[[], float],
        commit: Callable[[], Coroutine[Any, Any, None]],
        spent: Callable[[float], None],
    ) -> None:
        self._partitions, self._store, self._pace = partitions, store, pace
        self._lock, self._clock, self._commit, self._spent = processing, clock, commit, spent
        self.busy = asyncio.Lock()  # while snapshots are taken
        self._committing: asyncio.Task[None] | None = None

    def take_turns(self) -> None:
        """Spread snapshots over an interval: all at once would hold up answers one after another."""
        now, step = self._clock(), self._pace.every / max(1, len(self._partitions))
        for turn, partition in enumerate(self._partitions.values(), 1):
            partition.due = now + turn * step

    async def save(self, *, last: bool = False) -> None:
        """Take a snapshot of every partition that moved and whose time has come.

        Outputs acknowledged, then the snapshot durable, then offsets committed. A store that cannot be
        written to is no reason to stop: outputs and log hold everything, a restart takes longer meanwhile.

        Parameters
        ----------
        last
            Whatever the time: somebody else takes over.
        """
        async with self.busy:
            now = self._clock()
            moved = [p for p in self._partitions.values() if p.processor.next != p.saved]
            due = [p for p in moved if last or now >= p.due]
            await asyncio.gather(*(self._save(p.processor.partition, p) for p in due))
        if due and (self._committing is None or self._committing.done()):
            # not waited for: during a rebalance it would wait for the rebalance, which waits for us
            self._committing = asyncio.create_task(self._commit())

    async def save_redefined(self) -> None:
        """Make another definition durable before anything is answered under it.

        Raises
        ------
        StoreUnavailableError
            When that cannot be.
        """
        async with self.busy:
            for number, partition in self._partitions.items():
                if partition.processor.untold:
                    await self._save(number, partition)
                    if partition.saved != partition.processor.next:
                        raise StoreUnavailableError(
                            f"partition {number}: its snapshots are of another definition, and none of this "
                            "one can be saved. Start again once the store can be written to"
                        )

    async def _save(self, number: int, partition: Partition) -> None:
        try:
            await self._save_now(number, partition)
        except BaseException as error:  # whatever it was, what was to be appended may be missing
            partition.processor.write_all_again()
            partition.named.clear()
            if isinstance(error, ClosedError):
                return  # somebody else goes on from the snapshot before
            if not isinstance(error, StoreUnavailableError | OSError):
                raise
            partition.failures += 1  # what was kept is kept; the next may fare better
            partition.due = self._clock() + max(self._pace.every, RETRY)
            if not partition.failing:  # told once, however long it lasts
                log.warning("snapshot.failed partition=%d reason=%s", number, error)
            partition.failing = True
            return
        if partition.failing:
            partition.failing = False
            log.info("snapshot.resumed partition=%d", number)
        reach("snapshot.durable")

    async def _save_now(self, number: int, partition: Partition) -> None:
        spent, ahead = await self._write_ahead(number, partition)
        async with self._lock:
            positions = dict(partition.processor.next)
            if partition.encoding < STALL:
                data, appended, cost = self._encoded(partition)
            else:  # the partition waits, but timers and pages go on
                data, appended, cost = await self._encoded_apart(partition)
            partition.named.append(frozenset(partition.processor.segments()))
            settled = await partition.outbox.settle()
        partition.ends.update(await settled)
        partition.encoding = cost
        cost += spent + await asyncio.to_thread(self._write, partition, data, appended)
        partition.due = self._clock() + self._pace.wait(cost, len(self._partitions))
        partition.saved, partition.saved_at = positions, time.time()
        partition.saved_bytes = ahead + len(data) + sum(len(more.data) for more in appended)
        self._spent(cost)

    async def _write_ahead(self, number: int, partition: Partition) -> tuple[float, int]:
        """Append to the journals in pieces, so that batches go on between; little is left for the snapshot.

        Returns
        -------
        float
            The seconds of processor time it took.
        int
            How many bytes were appended.
        """
        spent, size = 0.0, 0
        while True:
            appended: list[Appended] = []
            async with self._lock:
                for _ in range(PIECE // BITE):
                    began = time.thread_time()
                    bite = partition.processor.write_ahead(BITE)
                    spent += time.thread_time() - began
                    appended += bite
                    if not bite:
                        break
                    await asyncio.sleep(0)
            if not appended:
                return spent, size
            spent += await asyncio.to_thread(self._append, number, appended)
            size += sum(len(more.data) for more in appended)

    async def _encoded_apart(self, partition: Partition) -> tuple[bytes, list[Appended], float]:
        """Encode in a thread; whoever cancels this waits until the thread has ended, too."""
        encoding = asyncio.ensure_future(asyncio.to_thread(self._encoded, partition))
        try:
            return await asyncio.shield(encoding)
        finally:
            await asyncio.wait([encoding])

    @staticmethod
    def _encoded(partition: Partition) -> tuple[bytes, list[Appended], float]:
        """Return a snapshot, what its segments need, and the seconds of processor time that took."""
        began = time.thread_time()
        data, appended = partition.processor.checkpoint(
            outputs=partition.ends, generation=partition.generation, topics=partition.topics
        )
        return data, appended, time.thread_time() - began

    def _write(self, partition: Partition, data: bytes, appended: list[Appended]) -> float:
        """Make durable what a snapshot names, then the snapshot; delete segments that no kept one names.

        Returns the seconds of processor time it took.
        """
        began, number = time.thread_time(), partition.processor.partition
        self._append(number, appended)
        self._store.save(number, data, partition.generation)
        if len(partition.named) == partition.named.maxlen:  # else some of those kept are from before
            needed = frozenset[str]().union(*partition.named)
            for segment in self._store.segments(number):
                if segment not in needed:
                    self._store.drop(number, segment)
        return time.thread_time() - began

    def _append(self, number: int, appended: list[Appended]) -> float:
        began = time.thread_time()
        for segment, pieces in groupby(appended, lambda a: a.segment):
            self._store.append(number, segment, b"".join(piece.data for piece in pieces))
        return time.thread_time() - began
