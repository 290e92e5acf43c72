"""The dead letter topic of a deployment: read, and sent again from."""

from collections.abc import Callable, Iterable, Iterator

import kafka.errors
from kafka import KafkaProducer
from kafka.producer.future import FutureRecordMetadata

from learners.errors import MeanderError
from producers.connection import PATIENCE_MS, administer, explained, kafka_options, partition_counts
from stream.adapters.kafka_log import KafkaLog
from stream.letters import Letter, Resend, Selection, letter_of
from stream.settings import Settings

TOPIC = "dead-letters"
DELIVERY_SECONDS = 60.0
Progress = Callable[[int], None]


def partitions(settings: Settings) -> list[int]:
    """Return the numbers of the topic's partitions.

    Raises
    ------
    MeanderError
        When the topic is not there.
    """
    topic = settings.topic(TOPIC)
    with administer(settings.kafka) as client, explained(settings.kafka):
        count = partition_counts(client, [topic]).get(topic)
    if count is None:
        raise MeanderError(f"there is no topic {topic}: make it with meander topics create {settings.file}")
    return list(range(count))


def letters(
    log: KafkaLog, numbers: Iterable[int], selection: Selection, progress: Progress | None = None
) -> Iterator[Letter]:
    """Yield the letters that are meant, by partition and offset; ``progress`` is told of each record read."""
    read = 0
    for number in numbers:
        for record in log.read(TOPIC, number, *log.bounds(TOPIC, number)):
            read += 1
            if progress is not None:
                progress(read)
            letter = letter_of(record)
            if selection.takes(letter):
                yield letter


def send(settings: Settings, resends: Iterable[Resend], progress: Progress | None = None) -> dict[str, str]:
    """Send records to the input topics they came from, and wait until all are acknowledged.

    Returns
    -------
    dict
        ``at`` -> why, of those that were not acknowledged.
    """
    with explained(settings.kafka):
        producer = KafkaProducer(
            **kafka_options(settings.kafka),
            acks="all",
            enable_idempotence=not settings.kafka.embedded,
            allow_auto_create_topics=False,
            max_block_ms=PATIENCE_MS,
            bootstrap_timeout_ms=PATIENCE_MS,
            delivery_timeout_ms=round(DELIVERY_SECONDS * 1000),
            max_request_size=2 << 20,
        )
    lost: dict[str, str] = {}
    under_way: list[tuple[str, FutureRecordMetadata]] = []
    try:
        for r in resends:
            try:
                future = producer.send(
                    settings.topic(r.topic),
                    r.value,
                    r.key,
                    headers=list(r.headers),
                    partition=r.partition,
                    timestamp_ms=r.time,
                )
            except kafka.errors.KafkaError as error:
                lost[r.at] = str(error)
            else:
                under_way.append((r.at, future))
        for number, (at, future) in enumerate(under_way, 1):
            try:
                future.get(DELIVERY_SECONDS)
            except kafka.errors.KafkaError as error:
                lost[at] = str(error)
            if progress is not None:
                progress(number)
    finally:
        producer.close(PATIENCE_MS / 1000)
    return lost
