"""Commands on the control topic: one record for each partition concerned, as one idempotent batch."""

from collections.abc import Mapping

import kafka.errors
import msgspec
from kafka import KafkaProducer

from learners.errors import MeanderError
from producers.connection import PATIENCE_MS, explained, kafka_options
from stream.messages import Command, Forget
from stream.settings import Settings

EXPIRY = 300_000  # milliseconds after which a command is no longer carried out
SHORTEST_REASON = 8  # characters: the next person wants to know


class Controller:
    """Sends commands; keep one, since the first send is slow.

    Parameters
    ----------
    settings
        Of the deployment.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic("control")
        with explained(settings.kafka):
            self._producer = KafkaProducer(
                **kafka_options(settings.kafka),
                acks="all",
                enable_idempotence=not settings.kafka.embedded,
                max_block_ms=PATIENCE_MS,
                bootstrap_timeout_ms=PATIENCE_MS,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )

    def send(self, commands: Mapping[int, Command | Forget]) -> None:
        """Send to each partition its command; returns once all are acknowledged.

        Raises
        ------
        MeanderError
            When the broker does not take one.
        """
        try:
            futures = [
                self._producer.send(
                    self._topic,
                    msgspec.json.encode(command),
                    command.id.encode(),
                    partition=partition,
                    timestamp_ms=command.issued_at if isinstance(command, Command) else None,
                )
                for partition, command in commands.items()
            ]
            self._producer.flush(timeout=PATIENCE_MS / 1000)
            for future in futures:
                future.get(timeout=PATIENCE_MS / 1000)
        except kafka.errors.KafkaError as error:
            raise MeanderError(f"{self._topic} does not take the command: {error}") from None

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.close(timeout=5)
