"""The batch lane: Faust's consumer and producer, moving a poll of records at a time.

Faust delivers one event per record and pays some 60 microseconds for each. Here a scheduler (a
documented setting) folds what one poll brought of a partition into a single event whose value is the
list of records, and outputs leave as whole record batches. Group, assignor, rebalances, signals,
timers and web stay Faust's. Private hooks used here are named in `HOOKS`; `check_hooks` fails loudly at
start when a new version has moved them.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import aiokafka
import faust
from aiokafka import AIOKafkaProducer
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from learners.errors import MeanderError

BATCH_SIZE = 1000  # records in one event at most
Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]  # timestamp, key, value, headers

HOOKS: tuple[tuple[type, str], ...] = (
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


class LaneConsumer(driver.Consumer):
    """Starts where the restored state stands, and commits only when told."""

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


class LaneTransport(driver.Transport):
    """Faust's aiokafka transport with the lane inside: broker URLs ``lane://host:port``."""

    Consumer = LaneConsumer
    Producer = LaneProducer
