"""Finds inputs that the consumer jumped over, and reads them again before anything after them is taken.

None is known to be left since records flow only from positions that were sought (`lane.Flow`). But one that
went astray would never be answered, so it is looked for all the same.
"""

import asyncio
import logging
from typing import Any

import aiokafka.errors
import kafka.errors
from faust.types import TP

from learners.errors import LostStateError, MeanderError
from stream.adapters.lane import Batch, kafka_consumer
from stream.adapters.partition import Partition
from stream.messages import Record
from stream.ports import OpenLog
from stream.processing.recovery import REMEDY, check_identities
from stream.settings import Settings

BROKEN = (aiokafka.errors.KafkaError, kafka.errors.KafkaError, MeanderError)
LOOKS = 15  # after which a batch that other partitions' batches held up would have been taken
QUIET = 5  # looks that one counts for before which nothing was processed; a worker may get no time for 2 s
log = logging.getLogger("meander.worker")


def _unless_lost(error: Exception) -> None:
    """Let trouble with the broker pass, and raise what is wrong with the log."""
    if isinstance(error, LostStateError):
        raise error
    log.warning("inputs.unread reason=%s", error)


class Gaps:
    """What lies between where a partition stands and what comes, or has come, after it.

    Parameters
    ----------
    settings
        Of the deployment.
    app
        Whose consumer reads the inputs.
    open_history
        Opens a reader of the topics.
    """

    def __init__(self, settings: Settings, app: Any, open_history: OpenLog) -> None:
        self._settings, self._app, self._open = settings, app, open_history
        self._seen: dict[tuple[int, str], tuple[tuple[int, int], int, int]] = {}  # gap, processed, looks
        self._empty: dict[tuple[int, str], tuple[int, int]] = {}  # between these there is nothing

    async def before(self, batch: Batch, partition: Partition, source: str) -> list[Record]:
        """Return what lies between what was processed and a batch: none, unless something went astray.

        What comes a second time is no harm: it is known by its offset.

        Raises
        ------
        LostStateError
            When the topic was made anew, or retention took what is between.
        """
        first, expected = batch[0].offset, partition.processor.next[source]
        if first == expected:
            return []
        if first < expected:
            try:
                await asyncio.to_thread(self._check_topics, partition, source)
            except BROKEN as error:
                _unless_lost(error)  # it is asked again with the next batch
            return []
        return await self._between(partition, source, expected, first)

    async def behind(self, partition: Partition, processed: int) -> list[tuple[str, list[Record]]]:
        """Return what the consumer has read and nobody was given, for so long that it waits in no queue.

        What it jumped over at the end of a topic is followed by nothing that would tell.

        Parameters
        ----------
        processed
            Records that the worker has processed so far: none since the last looks means empty queues.
        """
        found: list[tuple[str, list[Record]]] = []
        number = partition.processor.partition
        assignment = kafka_consumer(self._app)._subscription.subscription.assignment
        for source, expected in partition.processor.next.items():
            place = number, source
            state = assignment.state_value(TP(self._settings.topic(source), number))
            if state is None or not state.has_valid_position or state.position <= expected:
                self._seen.pop(place, None)
                continue
            gap = expected, state.position
            before, then, looks = self._seen.get(place, (None, 0, 0))
            looks = looks + (QUIET if processed == then else 1) if before == gap else 0
            if looks >= LOOKS and self._empty.get(place) != gap:
                try:
                    between = await self._between(partition, source, *gap)
                except BROKEN as error:
                    _unless_lost(error)
                    continue  # it is looked at again
                if between:
                    found.append((source, between))
                else:
                    self._empty[place] = gap
            self._seen[place] = gap, processed, looks
        return found

    async def _between(self, partition: Partition, source: str, expected: int, end: int) -> list[Record]:
        number, topic = partition.processor.partition, self._settings.topic(source)
        tp = TP(topic, number)
        begins = (await self._app.consumer.earliest_offsets(tp))[tp]
        if begins > expected:
            raise LostStateError(
                f"{topic}[{number}] begins at {begins}, but the state stands at {expected}: retention took "
                f"what is between. {REMEDY}"
            )
        skipped = await asyncio.to_thread(self._read, source, number, expected, end)
        if skipped:  # else only compaction or markers of transactions lie between
            log.warning("inputs.skipped place=%s[%d] from=%d to=%d: read again", topic, number, expected, end)
        return skipped

    def _check_topics(self, partition: Partition, source: str) -> None:
        number, expected = partition.processor.partition, partition.processor.next[source]
        with self._open() as history:
            check_identities(history, number, partition.topics)
            if history.bounds(source, number)[1] < expected:
                raise LostStateError(
                    f"{self._settings.topic(source)}[{number}] was made anew while this worker ran. {REMEDY}"
                )

    def _read(self, source: str, number: int, start: int, end: int) -> list[Record]:
        with self._open() as history:
            return list(history.read(source, number, start, end))
