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
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import aiokafka
import faust
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from learners.errors import MeanderError

log = logging.getLogger("meander.lane")

BATCH_SIZE = 1000  # records in one event at most
FETCH_WAIT_MS = 20  # how long a fetch waits at the broker for a first byte
Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]  # timestamp, key, value, headers

Settled = asyncio.Future[dict[str, int]]  # next offsets by topic, once acknowledged

HOOKS: tuple[tuple[type, str], ...] = (
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer"),
    (driver.AIOKafkaConsumerThread, "_commit"),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer"),
    (driver.Consumer, "_new_consumer_thread"),
    (driver.Consumer, "_commit"),
    (driver.Consumer, "seek_to_committed"),
    (driver.Consumer, "seek_wait"),
    (driver.Consumer, "on_buffer_full"),
    (driver.Producer, "_settings_extra"),
    (driver.Producer, "_ensure_producer"),
    (AIOKafkaProducer, "create_batch"),
    (AIOKafkaProducer, "send_batch"),
    (DefaultSchedulingStrategy, "iterate"),
)


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
    started = inspect.getsource(aiokafka.AIOKafkaConsumer.start)
    for name in ("_fetch_max_wait_ms", "_isolation_level"):
        if f"self.{name}" not in started:
            raise MeanderError(f"aiokafka {aiokafka.__version__} has renamed AIOKafkaConsumer.{name}")


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

    @property
    def value(self) -> "Batch":
        """The batch itself."""
        return self


class LaneScheduler(DefaultSchedulingStrategy):
    """Yields one `Batch` for each partition and at most `BATCH_SIZE` records.

    Labels and control records of a poll come before its events: what was known first is applied first.
    """

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """See the class."""
        for tp in sorted(records, key=lambda tp: tp.topic.endswith(".events")):
            found = records[tp]
            for start in range(0, len(found), BATCH_SIZE):
                batch = Batch(found[start : start + BATCH_SIZE])
                last = batch[-1]
                batch.topic, batch.partition = tp.topic, tp.partition
                batch.offset, batch.timestamp = last.offset, last.timestamp
                yield tp, batch


class LaneSchema(faust.Schema[Any, Any]):
    """Hands the batch through: raw bytes are decoded by the codec."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        """Return nothing: a batch has no key."""
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the batch."""
        return message.value


class LaneThread(driver.AIOKafkaConsumerThread):
    """Fetches with a short wait.

    aiokafka has one fetch under way to a broker. While events are being processed it asks for the other
    topics alone, and where these are silent Faust's fixed wait of 1.5 s holds the events up.
    """

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"  # as recovery reads: both must see the same inputs
        return consumer

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


class LaneConsumer(driver.Consumer):
    """Starts where the restored state stands, and commits only when told."""

    def _new_consumer_thread(self) -> LaneThread:
        return LaneThread(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a full queue makes the drain loop wait, which is all the back-pressure needed.

        Faust would set the partition aside, and sleep a second once all are.
        """

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the restored positions; Kafka's committed offsets are only a hint."""
        positions = {TP(*tp): offset for tp, offset in (await super().seek_to_committed()).items()}
        wanted = {tp: n for tp, n in cast(Any, self.app).positions().items() if tp in positions}
        if wanted:
            await self.seek_wait(wanted)
        return {**positions, **wanted}

    async def commit_positions(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets. An empty mapping would crash aiokafka."""
        return bool(offsets) and bool(await self._commit(offsets))


class Sent(NamedTuple):
    """A record batch on its way: the future of its metadata, and how many records it holds."""

    topic: str
    future: "asyncio.Future[Any]"
    records: int


class LaneProducer(driver.Producer):
    """Idempotent, all acks, whole record batches."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": cast(Any, self.app).idempotent}

    async def send_rows(self, topic: str, partition: int, rows: Iterable[Row]) -> list[Sent]:
        """Send rows to one partition, in order, in as few record batches as fit."""
        producer: Any = self._ensure_producer()
        sent: list[Sent] = []
        builder = producer.create_batch()

        async def ship() -> None:
            builder.close()  # an open builder would linger
            count = builder.record_count()
            sent.append(Sent(topic, await producer.send_batch(builder, topic, partition=partition), count))

        for timestamp, key, value, headers in rows:
            if builder.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None:
                continue
            if builder.record_count():
                await ship()
                builder = producer.create_batch()
                if builder.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None:
                    continue
            # larger than a batch may be: it goes alone
            future = await producer.send(
                topic, partition=partition, timestamp_ms=timestamp, key=key, value=value, headers=headers
            )
            sent.append(Sent(topic, future, 1))
        if builder.record_count():
            await ship()
        return sent


class Outbox:
    """Sends the outputs of one partition in order, in the background.

    aiokafka holds one batch of a partition on its way and one waiting: whoever sends a third waits for
    the broker. Here that is this object's own task, not the one that predicts and learns.

    Parameters
    ----------
    producer
        Faust's.
    topics
        Output topics by short name.
    partition
        The partition number, the same in all of them.
    failed
        Called with the error when something cannot be sent.
    answered
        Called with the record times of predictions that were acknowledged (milliseconds).
    """

    WAITING = 8  # batches of inputs whose outputs may wait here; then processing waits as well

    def __init__(
        self,
        producer: LaneProducer,
        topics: Mapping[str, str],
        partition: int,
        failed: Callable[[BaseException], None],
        answered: Callable[[Iterable[int]], None],
    ) -> None:
        self._producer, self._topics, self._partition = producer, topics, partition
        self._failed, self._answered = failed, answered
        self._queue: asyncio.Queue[dict[str, list[Row]] | Settled] = asyncio.Queue(self.WAITING)
        self._sent: list[Sent] = []
        self._settling: asyncio.Task[None] | None = None
        self._task = asyncio.create_task(self._run())

    async def put(self, rows: dict[str, list[Row]]) -> None:
        """Take rows by topic; waits when too many are on their way."""
        await self._queue.put(rows)

    async def settle(self) -> Settled:
        """Return what becomes, once all that was put before is acknowledged, the topics' next offsets."""
        settled: Settled = asyncio.get_running_loop().create_future()
        await self._queue.put(settled)
        return settled

    def close(self) -> None:
        """Stop sending."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, asyncio.Future):
                    sent, self._sent = self._sent, []
                    self._settling = asyncio.create_task(self._acknowledged(sent, item))
                    continue
                for topic, rows in item.items():
                    sent = await self._producer.send_rows(self._topics[topic], self._partition, rows)
                    self._sent += [one._replace(topic=topic) for one in sent]
                    if topic == "predictions":
                        sent[-1].future.add_done_callback(partial(self._acked, [row[0] for row in rows]))
        except Exception as error:  # noqa: BLE001  whatever it is, nothing more can be sent
            self._failed(error)

    def _acked(self, times: list[int], future: "asyncio.Future[Any]") -> None:
        if not future.cancelled() and future.exception() is None:
            self._answered(times)

    async def _acknowledged(self, sent: list[Sent], settled: Settled) -> None:
        ends: dict[str, int] = {}
        try:
            for topic, future, records in sent:
                ends[topic] = (await future).offset + records
        except Exception as error:  # noqa: BLE001  told to whoever waits, and to the worker
            settled.set_exception(error)
            self._failed(error)
        else:
            settled.set_result(ends)


class LaneTransport(driver.Transport):
    """Faust's aiokafka transport with the lane inside: broker URLs ``lane://host:port``."""

    Consumer = LaneConsumer
    Producer = LaneProducer
