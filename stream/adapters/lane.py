"""The batch lane: Faust's consumer and producer, moving a poll of records at a time.

Faust delivers one event per record and pays some 60 microseconds for each. Here a scheduler (a
documented setting) folds what one poll brought of a partition into a single event whose value is the
list of records, and outputs leave as whole record batches. Group, assignor, rebalances, signals,
timers and web stay Faust's. Private hooks used here are named in `HOOKS`; `check_hooks` fails loudly at
start when a new version has moved them.
"""

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, Self, cast

import aiokafka
import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from learners.errors import MeanderError
from stream.adapters.failpoints import reach
from stream.adapters.in_step import in_order

log = logging.getLogger("meander.lane")

LOOK = 0.02  # seconds between two looks at a lease that is over
FETCH_WAIT_MS = 20  # how long a fetch waits at the broker for a first byte
Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]  # timestamp, key, value, headers

HOOKS: tuple[tuple[type, str], ...] = (
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer"),
    (driver.AIOKafkaConsumerThread, "_commit"),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer"),
    (driver.AIOKafkaConsumerThread, "_fetch_records"),
    (driver.AIOKafkaConsumerThread, "on_start"),
    (driver.AIOKafkaConsumerThread, "on_partitions_assigned"),
    (GroupCoordinator, "_do_heartbeat"),
    (driver.Consumer, "_new_consumer_thread"),
    (driver.Consumer, "_commit"),
    (driver.Consumer, "assignment"),
    (driver.Consumer, "on_partitions_revoked"),
    (driver.Consumer, "perform_seek"),
    (driver.Consumer, "resume_flow"),
    (driver.Consumer, "seek_wait"),
    (driver.Consumer, "stop_flow"),
    (driver.Consumer, "on_buffer_full"),
    (driver.Producer, "_settings_extra"),
    (driver.Producer, "_ensure_producer"),
    (AIOKafkaConsumer, "partitions_for_topic"),
    (AIOKafkaProducer, "create_batch"),
    (AIOKafkaProducer, "send_batch"),
    (DefaultSchedulingStrategy, "iterate"),
)

ATTRIBUTES: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (AIOKafkaConsumer, "start", ("_fetch_max_wait_ms", "_isolation_level")),
    (Fetcher, "__init__", ("_records",)),
)
"""Whose method must set, or use, which attributes."""


def check_hooks() -> None:
    """Make sure that what the lane overrides and calls is still there.

    Raises
    ------
    MeanderError
        Naming the hook that moved, and the versions.
    """
    for owner, name in HOOKS:
        if not callable(getattr(owner, name, None)):
            raise MeanderError(
                f"{owner.__module__}.{owner.__name__}.{name} is gone: faust-streaming {faust.__version__} or "
                f"aiokafka {aiokafka.__version__} moved it. Install the versions named in pyproject.toml."
            )
    for owner, method, names in ATTRIBUTES:
        source = inspect.getsource(getattr(owner, method))
        for name in names:
            if f"self.{name}" not in source:
                raise MeanderError(f"aiokafka {aiokafka.__version__} has renamed {owner.__name__}.{name}")


class Batch(list[Any]):
    """What one poll brought of one partition, in the shape of a single consumer record."""

    __slots__ = ("offset", "partition", "timestamp", "topic")
    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type = 0
    headers = ()
    key = None
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    @classmethod
    def of(cls, topic: str, partition: int, records: Iterable[Any]) -> Self:
        """Return records of one partition, one or more, as a batch."""
        batch = cls(records)
        batch.topic, batch.partition = topic, partition
        batch.offset, batch.timestamp = batch[-1].offset, batch[-1].timestamp
        return batch

    @property
    def value(self) -> "Batch":
        """The batch itself."""
        return self


def awake_or_asleep() -> float:
    """Return seconds since the machine started, those included in which it slept, where it can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LaneScheduler(DefaultSchedulingStrategy):
    """Yields one `Batch` for each partition and at most `MOST` records.

    Control records of a poll come first, labels and events of a partition as they came: what was known first
    is applied first. Of partitions with many records each gets its turn: who has caught up does not wait for
    all of another's.
    """

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """See the class."""
        partitions: dict[int, dict[str, tuple[TP, list[Any]]]] = {}
        for tp, found in records.items():
            partitions.setdefault(tp.partition, {})[tp.topic.rpartition(".")[2]] = tp, found
        turns = deque(map(_batches, partitions.values()))
        while turns:
            turn = turns.popleft()
            if (batch := next(turn, None)) is not None:
                yield batch
                turns.append(turn)


def _batches(inputs: Mapping[str, tuple[TP, list[Any]]]) -> Iterator[tuple[TP, "Batch"]]:
    """Yield what a poll brought of one partition, by topic."""
    found = {source: records for source, (_, records) in inputs.items()}
    for source, records in in_order(
        found.get("control", ()), found.get("events", ()), found.get("labels", ())
    ):
        tp = inputs[source][0]
        yield tp, Batch.of(tp.topic, tp.partition, records)


class LaneSchema(faust.Schema[Any, Any]):
    """Hands the batch through: raw bytes are decoded by the codec."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        """Return nothing: a batch has no key."""
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the batch."""
        return message.value


class Lease:
    """How long this process may still take its partitions for its own: half a session from each heartbeat.

    A process that was stopped, or whose network was, finds its lease over before it does anything else; its
    partitions may have another owner by then.

    Parameters
    ----------
    seconds
        From a heartbeat, counted from the moment it was sent, to the end of the lease.
    clock
        Seconds; it must go on while the machine sleeps.

    Examples
    --------
    >>> now = [0.0]
    >>> lease = Lease(5.0, lambda: now[0])
    >>> lease.renew(0.0); now[0] = 4.9; lease.held
    True
    >>> now[0] = 5.1; lease.held
    False
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = awake_or_asleep) -> None:
        self.seconds, self.clock = seconds, clock
        self._until = float("-inf")

    @property
    def held(self) -> bool:
        """Whether it still runs."""
        return self.clock() < self._until

    def renew(self, since: float) -> None:
        """Note a heartbeat that was sent then and has been answered."""
        self._until = max(self._until, since + self.seconds)

    async def wait(self) -> None:
        """Wait until it runs."""
        while not self.held:  # noqa: ASYNC110  heartbeats come from another thread's loop
            await asyncio.sleep(LOOK)


class Flow:
    """Whether records may flow: once positions were sought that were restored since it was stopped last.

    At the end of a rebalance Faust lets records flow even where the next one has begun and stopped them; and
    it does not stop them where nothing was held. What comes then, and is still in a queue when the next
    rebalance ends, is cleared away behind the positions that were just sought: it would be jumped over.

    Examples
    --------
    >>> flow = Flow()
    >>> flow.stop(); restoring = flow.stops
    >>> flow.restored = restoring; flow.sought = flow.stops; flow.open
    True
    >>> flow.stop(); flow.open
    False
    """

    def __init__(self) -> None:
        self.stops = 0  # how often it was stopped
        self.restored = self.sought = -1  # at which stop partitions were restored, and their positions sought

    def stop(self) -> None:
        """Let nothing through that was restored before."""
        self.stops += 1

    @property
    def ready(self) -> bool:
        """Whether what is held was restored since it was stopped."""
        return self.restored == self.stops

    @property
    def open(self) -> bool:
        """Whether records may flow."""
        return self.sought == self.restored == self.stops


class LaneThread(driver.AIOKafkaConsumerThread):
    """Fetches with a short wait, keeps labels and events in step, and tells the lease of heartbeats.

    aiokafka has one fetch under way to a broker. While events are being processed it asks for the other
    topics alone, and where these are silent Faust's fixed wait of 1.5 s holds the events up.
    """

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"  # as recovery reads: both must see the same inputs
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  as in the class above
        max_records: int | None = None,
    ) -> Mapping[TP, list[Any]]:
        """Return what was fetched, as far as `InStep` lets it; wait where nothing was."""
        step = cast(Any, self.app).lane.in_step
        stops = step.stops
        wanted = step.wanted(active_partitions)
        found: Mapping[TP, list[Any]] = {}
        if wanted:
            wait = step.patience(timeout)
            found = await super()._fetch_records(consumer, wanted, wait, max_records)
        if stops != step.stops or not self.consumer.flow_active:
            return {}  # positions are sought anew
        return cast(Mapping[TP, list[Any]], step.due(found, lambda tp: _unread(consumer, tp)))

    async def on_start(self) -> None:
        """Start, and follow the heartbeats."""
        await super().on_start()
        coordinator: Any = cast(Any, self._ensure_consumer())._coordinator
        beat, lease = coordinator._do_heartbeat, cast(Any, self.app).lane.lease

        async def heartbeat() -> bool:
            since = lease.clock()
            alive = bool(await beat())
            if alive:
                lease.renew(since)
            return alive

        coordinator._do_heartbeat = heartbeat

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin the lease: the group has just named this member an owner."""
        lease = cast(Any, self.app).lane.lease
        lease.renew(lease.clock())
        cast(Any, self.app).lane.in_step.stop()
        await super().on_partitions_assigned(assigned, generation_id)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, and go on if it fails: a rebalance may be under way, and the snapshot knows better."""
        held = self.assignment()
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in held
        }
        try:
            consumer: Any = self._ensure_consumer()
            await consumer.commit(wanted)
        except KafkaError as error:
            log.warning("commit.failed error=%r", error)
            return False
        return True


def read_end(state: Any) -> int | None:
    """Return how far a partition may be read, as the last fetch tells; None where that is not known.

    That is not further than transactions are complete.
    """
    if state is None or state.highwater is None:
        return None
    end: int = min(state.highwater, state.lso or 0)
    return end


def _unread(consumer: Any, tp: TP) -> bool:
    """Whether a partition holds records not taken yet; True where that is not known."""
    assignment = consumer._subscription.subscription.assignment
    state = None if assignment is None else assignment.state_value(tp)
    end = read_end(state)
    if state is None or end is None or not state.has_valid_position:
        return True
    return bool(state.position < end)


class LaneConsumer(driver.Consumer):
    """Starts where the restored state stands, and commits only when told."""

    def _new_consumer_thread(self) -> LaneThread:
        return LaneThread(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a full queue makes the drain loop wait, which is all the back-pressure needed.

        Faust would set the partition aside, and sleep a second once all are.
        """

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow, even where nothing was held: what comes next comes before it is restored."""
        self.stop_flow()
        self.app.flow_control.suspend()
        await super().on_partitions_revoked(revoked)

    def stop_flow(self) -> None:
        """Let no more records through."""
        cast(Any, self.app).lane.flow.stop()
        super().stop_flow()

    def resume_flow(self) -> None:
        """Let records through again, unless the next rebalance has begun."""
        if cast(Any, self.app).lane.flow.open:
            super().resume_flow()
        else:
            log.info("flow.stays stopped: nothing is held, or the next rebalance has begun")

    async def perform_seek(self) -> None:
        """Seek to the restored positions; Kafka's committed offsets are only a hint.

        Faust also asks for it where records came while their flow was stopped: then it is too early, or the
        next rebalance does it.
        """
        lane = cast(Any, self.app).lane
        stops = lane.flow.stops
        if not lane.flow.ready:
            return
        held = self.assignment()
        wanted = {tp: offset for tp, offset in lane.positions().items() if tp in held}
        lane.in_step.stop()
        try:
            if wanted:
                await self.seek_wait(wanted)
        except IllegalStateError as error:
            log.info("seek.given.up reason=%s: the next rebalance has begun", error)
        else:
            lane.flow.sought = stops

    async def commit_positions(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets. An empty mapping would crash aiokafka."""
        return bool(offsets) and bool(await self._commit(offsets))


def kafka_consumer(app: Any) -> Any:
    """Return aiokafka's own consumer of an app."""
    return app.consumer._thread._ensure_consumer()


class Sender(Protocol):
    """What an outbox sends with: every row by itself, or what belongs together in one transaction."""

    async def send_rows(self, topic: str, partition: int, rows: Iterable[Row], lease: Lease) -> int:
        """Send rows to one partition; see `send_rows`."""

    async def begin(self) -> None:
        """Begin what belongs together."""

    async def commit(self) -> None:
        """End it: readers get it whole from here on."""

    def let_go(self) -> None:
        """Send no more for this partition."""


class LaneProducer(driver.Producer):
    """Idempotent, all acks, whole record batches, one of a partition on its way at a time."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": cast(Any, self.app).idempotent}

    async def send_rows(self, topic: str, partition: int, rows: Iterable[Row], lease: Lease) -> int:
        """Send rows to one partition; see `send_rows`."""
        return await send_rows(self._ensure_producer(), topic, partition, rows, lease)

    async def begin(self) -> None:
        """Do nothing: each batch stands for itself."""

    async def commit(self) -> None:
        """Do nothing: what is acknowledged is there."""

    def let_go(self) -> None:
        """Do nothing: others send through it, too."""

    async def transactions(self, identifier: str) -> "Transactions":
        """Return how to send in transactions; whoever had this id before has sent its last when it returns.

        What that one had not committed is aborted, and is in no log that is read as committed.
        """
        producer: Any = self._new_producer(transactional_id=identifier)
        await producer.start()
        return Transactions(producer)


class Transactions:
    """Sends what belongs together in one transaction, until another one begins under the same id."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer: Any = producer
        self._stopping: asyncio.Task[None] | None = None

    async def send_rows(self, topic: str, partition: int, rows: Iterable[Row], lease: Lease) -> int:
        """Send rows to one partition; see `send_rows`."""
        return await send_rows(self._producer, topic, partition, rows, lease)

    async def begin(self) -> None:
        """Begin a transaction."""
        await self._producer.begin_transaction()

    async def commit(self) -> None:
        """Commit it: readers get it whole from here on."""
        await self._producer.commit_transaction()

    def let_go(self) -> None:
        """Close the connection; what is not committed is aborted by the next of this id."""
        self._stopping = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        with suppress(KafkaError):
            await self._producer.stop()


async def send_rows(producer: Any, topic: str, partition: int, rows: Iterable[Row], lease: Lease) -> int:
    """Send rows to one partition, in order, in as few record batches as fit; each acknowledged.

    Nothing waits inside the producer: what is handed over is written to the socket at once, right after a
    look at the lease. Returns the topic's next offset.
    """
    builder = producer.create_batch()
    end = -1

    async def ship() -> int:
        builder.close()  # an open builder would linger
        count = builder.record_count()
        await lease.wait()
        future = await producer.send_batch(builder, topic, partition=partition)
        reach("outputs.sending")
        acknowledged: int = (await future).offset + count
        reach("outputs.acknowledged")
        return acknowledged

    for timestamp, key, value, headers in rows:
        if builder.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None:
            continue
        if builder.record_count():
            end = await ship()
            builder = producer.create_batch()
            if builder.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None:
                continue
        # larger than a batch may be: it goes alone
        await lease.wait()
        future = await producer.send(
            topic, partition=partition, timestamp_ms=timestamp, key=key, value=value, headers=headers
        )
        end = (await future).offset + 1
    if builder.record_count():
        end = await ship()
    return end


class LaneTransport(driver.Transport):
    """Faust's aiokafka transport with the lane inside: broker URLs ``lane://host:port``."""

    Consumer = LaneConsumer
    Producer = LaneProducer
