"""How kafka-python reaches the broker of a deployment: options, an admin client, partition counts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka.errors
from kafka import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from learners.errors import MeanderError
from stream.settings import Kafka

PATIENCE_MS = 10_000  # to reach a broker at all


class BrokerUnreachableError(MeanderError):
    """No broker answers, or it does not let us in."""


class TopicError(MeanderError):
    """A topic that is not there, or not as the deployment needs it."""


def kafka_options(kafka: Kafka) -> dict[str, Any]:
    """Return the connection options that every client of kafka-python takes.

    Examples
    --------
    >>> kafka_options(Kafka(brokers="a:9092, b:9092"))
    {'bootstrap_servers': ['a:9092', 'b:9092'], 'security_protocol': 'PLAINTEXT'}
    """
    options = {
        "bootstrap_servers": [broker.strip() for broker in kafka.brokers.split(",") if broker.strip()],
        "security_protocol": kafka.security,
        "ssl_cafile": kafka.ca_file,
        "ssl_certfile": kafka.certificate_file,
        "ssl_keyfile": kafka.key_file,
        "sasl_mechanism": kafka.mechanism,
        "sasl_plain_username": kafka.username,
        "sasl_plain_password": kafka.password,
    }
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def explained(kafka: Kafka) -> Iterator[None]:
    """Turn what kafka-python raises about the connection into a sentence that says what to do."""
    for name in ("ca_file", "certificate_file", "key_file"):
        path = getattr(kafka, name)
        if path and not Path(path).is_file():
            raise BrokerUnreachableError(f"kafka.{name}: there is no file {path}")
    try:
        yield
    except kafka_errors as error:
        raise BrokerUnreachableError(f"{kafka.brokers}: {error}. {_remedy(str(error), kafka)}") from None


AUTHORITY = "Does kafka.ca_file name the authority that signed the broker's certificate?"
CREDENTIALS = (
    "Check kafka.mechanism and kafka.username, and the password: MEANDER_KAFKA_PASSWORD, or the file "
    "that MEANDER_KAFKA_PASSWORD_FILE names."
)


def _remedy(problem: str, kafka: Kafka) -> str:
    """Say what to do about what a client library says; often that is only that nobody could be reached."""
    problem = problem.lower()
    if "certificate" in problem or "ssl" in problem:
        return AUTHORITY
    if "sasl" in problem or "authentication" in problem:
        return CREDENTIALS
    said = (
        "Is a broker there, and does [kafka] in the definition (or MEANDER_BROKERS) name it, with the "
        "security it asks for?"
    )
    if kafka.security.endswith("SSL"):
        said += f" {AUTHORITY}"
    if kafka.security.startswith("SASL"):
        said += f" A broker that does not know us hangs up without a word. {CREDENTIALS}"
    return said


kafka_errors = (kafka.errors.KafkaError, OSError)  # OSError: a certificate file that cannot be read


@contextmanager
def administer(settings: Kafka) -> Iterator[KafkaAdminClient]:
    """Yield an admin client, closed afterwards.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers within ten seconds.
    """
    with explained(settings):
        client = _connected(settings)
    try:
        yield client
    finally:
        client.close()


def _connected(settings: Kafka) -> KafkaAdminClient:
    begun: list[KafkaNetClient] = []

    def begin(**options: Any) -> KafkaNetClient:
        begun.append(KafkaNetClient(**options))
        return begun[0]

    options = kafka_options(settings)
    try:
        return KafkaAdminClient(**options, bootstrap_timeout_ms=PATIENCE_MS, kafka_client=begin)
    except BaseException:  # the thread of an admin client that could not connect would try for ever
        for network in begun:
            network.close()
            network._manager._net.stop()
        raise


def partition_counts(client: KafkaAdminClient, topics: Iterable[str]) -> dict[str, int]:
    """Return how many partitions each of the topics has; those that do not exist are left out."""
    described = client.describe_topics(list(topics))
    missing = kafka.errors.UnknownTopicOrPartitionError.errno
    return {t["name"]: len(t["partitions"]) for t in described if t["error_code"] != missing}
