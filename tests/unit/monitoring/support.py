"""A worker's facts without a worker: real processors, real tallies, real records."""

from collections.abc import Iterable

from stream.messages import Record
from stream.processing.processor import Processor
from stream.processing.tally import PartitionFacts, Tally, WorkerFacts, WorkerTally


class Bench:
    """One partition that takes batches as the worker would."""

    def __init__(self, processor: Processor) -> None:
        self.processor, self.tally = processor, Tally(processor)
        self.worker = WorkerTally()

    def take(self, records: Iterable[Record]) -> None:
        """Process records one batch each, and count."""
        for record in records:
            outputs = self.processor.process(record)
            self.tally.take(record.source, outputs)
            self.worker.batches += 1
        self.worker.take(self.processor)

    def partition(self) -> PartitionFacts:
        """Return the facts of the partition."""
        lag = {"events": (3, 1.5), "labels": (0, 0.0), "control": (0, 0.0)}
        return PartitionFacts(self.processor.standing(), self.tally, lag, 1_700_000_000.0, 1234, 0)

    def facts(self) -> WorkerFacts:
        """Return the facts of a worker that holds it."""
        return WorkerFacts(self.worker, [self.partition()], 1, True)
