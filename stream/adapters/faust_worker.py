"""The lane of one worker: batches in, outcomes out, state kept; everything that decides is in the Processor.

What is durable when: outputs acknowledged, then the snapshot durable, then offsets committed. Kafka's
commit is only a hint; where to go on stands in the snapshot.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import faust
import msgspec
from aiokafka.errors import KafkaError
from faust.types import TP

from learners.definition import parse_duration
from learners.errors import LostStateError, MeanderError, StaleGenerationError
from learners.lineage import Kind, Transition
from learners.snapshot import Keys
from stream.adapters.gaps import Gaps
from stream.adapters.in_step import InStep
from stream.adapters.lane import (
    LOOK,
    Batch,
    Flow,
    LaneConsumer,
    LaneProducer,
    Lease,
    Row,
    Sender,
    kafka_consumer,
    read_end,
)
from stream.adapters.latest import forgotten, last_of_each
from stream.adapters.outbox import Outbox
from stream.adapters.pace import Pace
from stream.adapters.partition import Partition, Restored, recover
from stream.adapters.saving import Saver
from stream.adapters.topics import LATEST
from stream.adapters.watchdog import Signs
from stream.messages import Output, Record, Source, Tick
from stream.ports import OpenLog, StateStore
from stream.processing.probe import Probe
from stream.processing.processor import Processor
from stream.processing.recovery import OUTPUTS, REMEDY
from stream.processing.standing import Status
from stream.processing.tally import PartitionFacts, WorkerFacts, WorkerTally
from stream.settings import Settings

log = logging.getLogger("meander.worker")

LOCK_PATIENCE = 30  # seconds until a partition whose snapshots another process holds is given up
SLICE = 128  # records between two looks at the event loop, each of which costs as much as some events
SHORT = 16  # the same while somebody asks over HTTP: each answer waits for two or three of them
ASKED = 1.0  # seconds after a question for which more are expected


def _tell(number: int, outputs: list[Output]) -> None:
    """Tell of each change of state, a line each."""
    for output in outputs:
        message = output.message
        if isinstance(message, Transition) and message.kind not in (Kind.ORDERED, Kind.EXPIRED):
            version, by = message.to_version or message.from_version, message.requested_by
            log.info(
                "partition.changed kind=%s partition=%d slot=%s version=%s position=%s by=%s reason=%s",
                message.kind,
                number,
                message.slot,
                version,
                message.position,
                by,
                message.reason,
            )


class Lane:
    """Feeds the processors of this worker's partitions, sends what they say, and keeps their state.

    Parameters
    ----------
    settings
        Of the deployment.
    app
        The Faust app it lives in.
    store
        Where snapshots go.
    keys
        That snapshots are signed with.
    open_history
        Opens a reader of the topics, for a restore.
    """

    def __init__(
        self,
        settings: Settings,
        app: faust.App,
        store: StateStore,
        keys: Keys,
        open_history: OpenLog,
    ) -> None:
        self.settings, self.app, self.store, self.open_history = settings, app, store, open_history
        self.keys = keys
        self.partitions: dict[int, Partition] = {}
        self.flow = Flow()
        self.lease = Lease(parse_duration(settings.kafka.session_timeout, "kafka.session_timeout") / 2000)
        events, labels = (settings.topic(source.value) for source in (Source.EVENTS, Source.LABELS))
        self.in_step = InStep(events, labels, self.room, time.monotonic)
        self.processed = 0  # records
        self.generation = -1
        self.ready = False
        self.tally, self.identity = WorkerTally(), identity(settings)
        self._probe = Probe(time.perf_counter)
        self.tally.models = self._probe.models
        self.restoring = False
        self.pulse = 0  # changes while the event loop runs
        self._asked = float("-inf")  # when somebody asked over HTTP last
        self._crash: asyncio.Future[None] | None = None
        self._lock = asyncio.Lock()  # while a processor changes, or who holds what
        pace = Pace(parse_duration(settings.snapshots.every, "snapshots.every") / 1000)
        self._saver = Saver(
            self.partitions, store, pace, self._lock, self.lease.clock, self._commit, self._spent
        )
        self._gaps = Gaps(settings, app, open_history)
        self._sources = {settings.topic(source.value): source.value for source in Source}
        self._topics = {topic: settings.topic(topic) for topic in (*OUTPUTS, LATEST)}

    # -- records -----------------------------------------------------------------------------------

    async def handle(self, batch: Batch, generation: int) -> None:
        """Process one batch of one partition and send what comes of it."""
        while generation == self.generation:
            if not self.lease.held:
                await asyncio.sleep(LOOK)  # a heartbeat may still come; else a rebalance will
                continue
            async with self._lock:
                partition = self.partitions.get(batch.partition)
                if partition is None or generation != self.generation:
                    return  # a rebalance came between: whoever owns it now reads it again
                if self.lease.held:
                    await self._process(batch, partition)
                    return

    async def _process(self, batch: Batch, partition: Partition) -> None:
        try:
            await self._take(batch, partition)
        except BaseException:  # what was processed may not have been sent: it must never be saved
            partition.outbox.close()
            raise

    async def _take(self, batch: Batch, partition: Partition) -> None:
        processor, source = partition.processor, self._sources[batch.topic]
        number, run = batch.partition, self._probe.run
        skipped = await self._gaps.before(batch, partition, source)
        outputs: list[Output] = []
        rows: dict[str, list[Row]] = {}
        tombstones: list[Row] = []
        seconds, clock = self.tally.seconds, time.perf_counter
        records: list[Any] = [*skipped, *batch]
        spent, start = 0.0, 0
        while start < len(records):
            began = clock()
            end = start + (SHORT if began - self._asked < ASKED else SLICE)
            part = [
                Record(source, number, r.offset, r.timestamp, r.key, r.value, r.headers)
                for r in records[start:end]
            ]
            made = run(processor, part)
            done = clock()
            self._encode(partition, made, rows)
            if self.settings.kafka.latest and source == Source.CONTROL.value:
                tombstones += forgotten(processor.codec, part, made)
            outputs += made
            spent += done - began
            seconds["emit"] += clock() - done
            start = end
            await asyncio.sleep(0)
        began = clock()
        self.processed += len(skipped) + len(batch)
        partition.tally.take(source, outputs)
        partition.reached[source] = batch.timestamp
        self.tally.take(processor)
        for stage, share in self._probe.split(source, spent).items():
            seconds[stage] += share
        seconds["emit"] += clock() - began
        if tombstones:
            rows[LATEST] = tombstones
        await self._ship(partition, outputs, rows)
        self.tally.batches += 1

    def _answered(self, appended: Iterable[int]) -> None:
        """Note the latency of answers that were acknowledged a moment ago."""
        self.tally.latency.add_ages(time.time() * 1000, appended)

    @staticmethod
    def _encode(partition: Partition, outputs: list[Output], rows: dict[str, list[Row]]) -> None:
        """Add outputs to rows by topic, in order."""
        encode = partition.processor.codec.encode
        for output in outputs:
            value, headers = encode(output)
            row = (output.timestamp, output.key, value, headers)
            topic = rows.get(output.topic)
            if topic is None:
                rows[output.topic] = [row]
            else:
                topic.append(row)

    async def _ship(self, partition: Partition, outputs: list[Output], rows: dict[str, list[Row]]) -> None:
        """Hand outputs to the outbox, encoded."""
        if not rows:
            return
        if "transitions" in rows:
            _tell(partition.processor.partition, outputs)
        if self.settings.kafka.latest and "predictions" in rows:
            rows[LATEST] = last_of_each(rows["predictions"])
        await partition.outbox.put(rows)

    def _failed(self, error: BaseException) -> None:
        log.error("send.failed error=%s", error)
        self._crash = asyncio.ensure_future(self.app.crash(error))

    def room(self, number: int) -> int:
        """Return how many labels may be taken while events are still to be read.

        Half of those that may wait for their event, less what stands in queues: a part of it each.
        """
        limit, partition = self.settings.definition.label.early_limit, self.partitions.get(number)
        crowded = partition is not None and len(partition.processor.serve.early) > limit // 2
        return 0 if crowded else max(1, limit // 20)

    # -- state -------------------------------------------------------------------------------------

    def positions(self) -> dict[TP, int]:
        """Return the next offset of every input partition held."""
        return {
            TP(self.settings.topic(source), number): n
            for number, partition in self.partitions.items()
            for source, n in partition.processor.next.items()
        }

    async def restore(self) -> None:
        """Load, verify, catch up in journal order, for every partition assigned.

        Runs on every rebalance, while heartbeats go on and nothing is delivered yet.
        """
        self.restoring, stops = True, self.flow.stops
        async with self._saver.busy, self._lock:
            self._check_assignment()
            for partition in self.partitions.values():
                partition.outbox.close()
            self.partitions.clear()
            self.generation = self.app.consumer_generation_id
            self.tally.rebalances += 1
            events = self.settings.topic(Source.EVENTS.value)
            numbers = sorted(tp.partition for tp in self.app.consumer.assignment() if tp.topic == events)
            for number in numbers:
                await self._lock_store(number)
            senders = {n: await self._sender(n) for n in numbers}  # before the logs are read: no other sends
            restored = await asyncio.gather(*(asyncio.to_thread(self._recover, n) for n in numbers))
            for processor, ends, unsent, latest, saved, topics in restored:
                number = processor.partition
                sender = senders[number]
                outbox = Outbox(sender, self._topics, number, self.lease, self._failed, self._answered)
                # above what was saved, even where a group that was gone for long counts anew
                generation = max(self.generation, saved + 1)
                keep = self.settings.snapshots.keep
                partition = Partition(processor, ends, outbox, generation, topics, keep)
                self.partitions[number] = partition
                self.tally.restores["log" if saved < 0 else "snapshot"] += 1
                rows: dict[str, list[Row]] = {}
                self._encode(partition, unsent, rows)
                await self._ship(partition, unsent, rows)
                if latest:
                    await partition.outbox.put({LATEST: latest})
        await self._saver.save_redefined()
        self._saver.take_turns()
        if self.generation != -1:  # else they were revoked meanwhile
            self.ready, self.restoring, self.flow.restored = True, False, stops
            log.info("partitions.restored %s", numbers)

    def _check_assignment(self) -> None:
        """Make sure that the topics are there: Faust would go on without them, and say that all is well.

        Raises
        ------
        LostStateError
            Naming those that are not.
        """
        missing = self._missing()
        if missing:
            raise LostStateError(f"There is no topic {', '.join(missing)} any more. {REMEDY}")

    def _missing(self) -> tuple[str, ...]:
        known = kafka_consumer(self.app).partitions_for_topic
        return tuple(topic for topic in self._sources if not known(topic))

    def signs(self) -> Signs:
        """Return what the watchdog looks at; called from its thread."""
        consumer = kafka_consumer(self.app)
        heard, behind = {}, False
        for tp in self.positions():
            state = consumer._subscription.subscription.assignment.state_value(tp)
            if tp not in consumer._fetcher._records:  # else there is enough: the broker is not asked
                heard[f"{tp.topic}[{tp.partition}]"] = state.timestamp
            behind = behind or (state.has_valid_position and state.position < (read_end(state) or 0))
        settled = self.restoring or (self.ready and not self.app.rebalancing)
        return Signs(self.pulse, settled, self.processed, behind, heard, self._missing())

    async def _lock_store(self, number: int) -> None:
        """Claim a partition's snapshots; who held them before may still be letting go."""
        for _ in range(LOCK_PATIENCE):
            try:
                self.store.lock(number)
            except MeanderError as error:
                log.warning("snapshots.locked partition=%d reason=%s", number, error)
                await asyncio.sleep(1.0)
            else:
                return
        self.store.lock(number)

    async def _sender(self, number: int) -> Sender:
        producer = cast(LaneProducer, self.app.producer)
        if not self.settings.kafka.transactions:
            return producer
        return await producer.transactions(f"meander.{self.settings.definition.name}.{number}")

    def _recover(self, number: int) -> Restored:
        latest = self.settings.kafka.latest
        with self.open_history() as history:
            return recover(self.settings.definition, number, self.store, self.keys, history, latest=latest)

    async def save(self, *, last: bool = False) -> None:
        """Take a snapshot of every partition whose time has come; see `Saver.save`.

        Without the lease another worker may have gone on from the one before: then it must not be tried.
        """
        if self.lease.held:
            await self._saver.save(last=last)

    def _spent(self, seconds: float) -> None:
        self.tally.seconds["snapshot"] += seconds

    async def _commit(self) -> None:
        topic = self.settings.topic
        saved = {TP(topic(s), n): offset for n, p in self.partitions.items() for s, offset in p.saved.items()}
        await cast(LaneConsumer, self.app.consumer).commit_positions(saved)

    async def release(self) -> None:
        """Save and let go of all partitions: a rebalance is about to move them.

        Without the lease they may have another owner already: then there is nothing to save.
        """
        self.ready, self.restoring, self.generation = False, False, -1
        if self.partitions:
            try:
                await asyncio.wait_for(self.save(last=True), self.lease.seconds)
            except (TimeoutError, StaleGenerationError) as error:
                log.warning("snapshots.given.up error=%r: the next owner runs the inputs again", error)
        for partition in self.partitions.values():
            partition.outbox.close()  # whoever waits for it waits no longer, and lets go of the lock
        async with self._saver.busy, self._lock:
            self.ready, self.generation = False, -1  # a restore that was still at work has ended meanwhile
            for number, partition in self.partitions.items():
                partition.outbox.close()
                self.store.unlock(number)
            self.partitions.clear()

    # -- facts -------------------------------------------------------------------------------------

    def facts(self) -> WorkerFacts:
        """Return what this worker knows of itself now."""
        partitions = [self._facts(p) for p in self.partitions.values()]
        ready = self.ready and not self.app.rebalancing and self.lease.held
        return WorkerFacts(self.tally, partitions, self.settings.partitions, ready)

    def held(self) -> dict[int, Processor]:
        """Return the processors that are restored, by partition number, to ask them.

        Who asks is not kept waiting: for a while the lane looks at its other work more often.
        """
        self._asked = time.perf_counter()
        return {n: p.processor for n, p in self.partitions.items()} if self.ready else {}

    async def publish(self, partition: int, rows: list[Row]) -> None:
        """Write to a partition of the events topic; acknowledged when this returns.

        Raises
        ------
        MeanderError
            When Kafka does not take them.
        """
        producer = cast(LaneProducer, self.app.producer)
        try:
            await producer.send_rows(self.settings.topic(Source.EVENTS.value), partition, rows, self.lease)
        except KafkaError as error:
            raise MeanderError(str(error)) from None

    async def tell(self) -> None:
        """Publish how each partition stands: one record each, the newest counts."""
        if not self.ready:
            return
        facts, now = self.facts(), round(time.time() * 1000)
        latency, delay = list(facts.tally.latency.counts), list(facts.tally.delay.counts)
        costs = self._probe.costs()
        rows: list[Row] = []
        for p in facts.partitions:
            p.standing.transitions = []
            status = Status(
                at=now,
                worker=self.identity,
                expected=facts.expected,
                standing=p.standing,
                lag=p.lag,
                latency=latency,
                delay=delay,
                snapshot_at=p.snapshot_at,
                snapshot_failures=p.snapshot_failures,
                costs=costs,
            )
            rows.append((now, str(p.standing.partition).encode(), msgspec.json.encode(status), []))
        producer = cast(LaneProducer, self.app.producer)
        with suppress(KafkaError):  # lost ones are followed by others; what is wrong shows in the outputs
            await producer.send_rows(self.settings.topic("status"), 0, rows, self.lease)

    async def tick(self) -> None:
        """Tell partitions whose inputs are silent that time has passed, where a wait is over by that.

        What has not been read yet is not silence: nothing is told before a partition has caught up.
        """
        if not self.ready or self.app.rebalancing:
            return
        now = round(time.time() * 1000)
        await self.fill_gaps()
        for number, partition in list(self.partitions.items()):
            if self.partitions.get(number) is not partition:
                continue  # taken away while the one before was told
            reached = partition.processor.serve.silence(now)
            if reached is None or self._behind(partition):
                continue
            row: Row = (now, None, msgspec.json.encode(Tick(timestamp=reached)), [])
            producer = cast(LaneProducer, self.app.producer)
            with suppress(KafkaError):  # the next one tells the same, and more
                await producer.send_rows(self.settings.topic(Source.CONTROL.value), number, [row], self.lease)

    async def fill_gaps(self) -> None:
        """Process what the consumer jumped over at the end of a topic."""
        for number, partition in list(self.partitions.items()):
            async with self._lock:
                if self.partitions.get(number) is not partition or not (self.ready and self.lease.held):
                    continue
                for source, records in await self._gaps.behind(partition, self.processed):
                    await self._process(Batch.of(self.settings.topic(source), number, records), partition)

    def _behind(self, partition: Partition) -> bool:
        """Whether inputs of a partition hold records not taken yet, as far as the last fetch tells."""
        assignment = kafka_consumer(self.app)._subscription.subscription.assignment
        for source, offset in partition.processor.next.items():
            tp = TP(self.settings.topic(source), partition.processor.partition)
            end = read_end(assignment.state_value(tp))
            if end is None or offset < end:
                return True
        return False

    def _facts(self, partition: Partition) -> PartitionFacts:
        processor, now = partition.processor, time.time()
        lag = {}
        for source, position in processor.next.items():
            highwater = self.app.consumer.highwater(TP(self.settings.topic(source), processor.partition))
            waiting = max(0, (highwater or 0) - position)
            age = now - partition.reached[source] / 1000 if waiting and source in partition.reached else 0.0
            lag[source] = waiting, max(0.0, age)
        current = processor.next == partition.saved  # nothing to save: the last one is as good as one of now
        return PartitionFacts(
            standing=processor.standing(),
            tally=partition.tally,
            lag=lag,
            snapshot_at=now if current else partition.saved_at,
            snapshot_bytes=partition.saved_bytes,
            snapshot_failures=partition.failures,
        )


def identity(settings: Settings) -> str:
    """Return how this worker is called where people see it: its host, and where its web server listens."""
    return f"{socket.gethostname()}:{settings.web.port or os.getpid()}"
