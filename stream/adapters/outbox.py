"""Outputs of a partition, sent in order in the background."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from stream.adapters.lane import Lease, Row, Sender
from stream.adapters.topics import LATEST

Settled = asyncio.Future[dict[str, int]]  # next offsets by topic, once acknowledged


class ClosedError(Exception):
    """An outbox was closed before what it held was acknowledged."""


class Outbox:
    """Sends the outputs of one partition in order, in the background.

    Parameters
    ----------
    producer
        What sends.
    topics
        Output topics by short name.
    partition
        The partition number, the same in all of them.
    lease
        Nothing is sent without.
    failed
        Called with the error when something cannot be sent.
    answered
        Called with the record times of predictions that were acknowledged (milliseconds).
    """

    WAITING = 8  # batches of inputs whose outputs may wait here; then processing waits as well

    def __init__(
        self,
        producer: Sender,
        topics: Mapping[str, str],
        partition: int,
        lease: Lease,
        failed: Callable[[BaseException], None],
        answered: Callable[[Iterable[int]], None],
    ) -> None:
        self._producer, self._topics, self._partition = producer, topics, partition
        self._lease, self._failed, self._answered = lease, failed, answered
        self._waiting: deque[dict[str, list[Row]] | Settled] = deque()
        self._work, self._room = asyncio.Event(), asyncio.Event()
        self._settling: list[Settled] = []
        self._closed = False
        self._task = asyncio.create_task(self._run())

    async def put(self, rows: dict[str, list[Row]]) -> None:
        """Take rows by topic; waits when too many are on their way."""
        await self._enter(rows)

    async def settle(self) -> Settled:
        """Return what becomes, once all that was put before is acknowledged, the topics' next offsets.

        It becomes a `ClosedError` where the outbox is closed before that.
        """
        settled: Settled = asyncio.get_running_loop().create_future()
        if not await self._enter(settled):
            settled.set_exception(ClosedError())
        return settled

    async def _enter(self, item: dict[str, list[Row]] | Settled) -> bool:
        """Queue an item once there is room; returns whether that came before the end."""
        while len(self._waiting) >= self.WAITING and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._waiting.append(item)
            self._work.set()
        return not self._closed

    def close(self) -> None:
        """Stop sending. What waits here is not lost: whoever owns the partition next gives it again."""
        self._closed = True
        self._task.cancel()
        self._room.set()
        self._settling += [item for item in self._waiting if isinstance(item, asyncio.Future)]
        self._waiting.clear()
        self._tell(ClosedError())
        self._producer.let_go()

    async def _run(self) -> None:
        ends: dict[str, int] = {}
        try:
            while True:
                rows: dict[str, list[Row]] = {}
                await self._work.wait()
                while self._waiting and not self._settling:
                    item = self._waiting.popleft()
                    if isinstance(item, asyncio.Future):
                        self._settling.append(item)
                        continue
                    for topic, more in item.items():
                        rows.setdefault(topic, []).extend(more)
                self._room.set()
                if not self._waiting:
                    self._work.clear()
                if rows:
                    ends |= await self._send_all(rows)
                self._tell(dict(ends))
        except Exception as error:  # noqa: BLE001  whatever it is, nothing more can be sent
            if not self._closed:  # else somebody else sends now, and this one has been stopped
                self._tell(error)
                self._failed(error)

    async def _send_all(self, rows: dict[str, list[Row]]) -> dict[str, int]:
        latest = rows.pop(LATEST, None)
        await self._producer.begin()
        ends = dict(zip(rows, await asyncio.gather(*map(self._send, rows.items())), strict=True))
        if latest:  # afterwards: it must not know of answers that a restart would not
            ends[LATEST] = await self._send((LATEST, latest))
        await self._producer.commit()
        self._answered([row[0] for row in rows.get("predictions", ())])
        return ends

    async def _send(self, rows: tuple[str, list[Row]]) -> int:
        return await self._producer.send_rows(self._topics[rows[0]], self._partition, rows[1], self._lease)

    def _tell(self, outcome: dict[str, int] | Exception) -> None:
        for settled in self._settling:
            if settled.done():
                continue
            if isinstance(outcome, Exception):
                settled.set_exception(outcome)
            else:
                settled.set_result(outcome)
        self._settling.clear()
