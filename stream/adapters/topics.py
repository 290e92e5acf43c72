"""The topics of a deployment: made, looked at, deleted."""

import time
from typing import NamedTuple

import kafka.errors
from kafka import KafkaAdminClient

from producers.connection import PATIENCE_MS, TopicError, administer, explained, partition_counts
from stream.adapters.retention import FOR_EVER_MS, wanted_retention
from stream.settings import Settings

PARTITIONED = ("events", "labels", "control", "predictions", "transitions", "dead-letters")
STATUS, LATEST = "status", "latest"
SUFFIXES = (*PARTITIONED, STATUS)

CONFIGS: dict[str, dict[str, str]] = {
    "transitions": {"retention.ms": str(FOR_EVER_MS)},  # few, and the history of every version
    "dead-letters": {"max.message.bytes": str(2 << 20)},  # the largest record, and why it was refused
    STATUS: {"cleanup.policy": "compact"},
    LATEST: {
        "cleanup.policy": "compact",
        "max.compaction.lag.ms": "60000",
    },  # about a minute's answers at most
}


class Topic(NamedTuple):
    """One topic of a deployment.

    Attributes
    ----------
    name
        Its full name.
    wanted
        Partitions that the definition asks for.
    found
        Partitions it has; 0: there is no such topic.
    """

    name: str
    wanted: int
    found: int


def list_topics(settings: Settings) -> list[Topic]:
    """Return the deployment's topics, whether they exist or not.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers.
    """
    with administer(settings.kafka) as client, explained(settings.kafka):
        return _look(client, settings)


def create_topics(settings: Settings) -> list[Topic]:
    """Make the topics that are missing, wait until they can be written to, and return these.

    Raises
    ------
    TopicError
        When existing ones have other numbers of partitions; nothing is made then. When the broker refuses.
    BrokerUnreachableError
        When no broker answers.
    """
    with administer(settings.kafka) as client:
        with explained(settings.kafka):
            topics = _look(client, settings)
        _check(topics, settings, complete=False)
        missing = [topic for topic in topics if not topic.found]
        if missing:
            plan = {topic.name: _plan(topic, settings) for topic in missing}
            try:
                client.create_topics(plan, wait_for_metadata=True)
            except kafka.errors.TopicAlreadyExistsError:  # somebody else was quicker: then theirs must do
                client.wait_for_topics(list(plan))
                _check(_look(client, settings), settings, complete=True)
            except kafka.errors.KafkaError as error:
                raise TopicError(f"{settings.kafka.brokers} does not make the topics: {error}") from None
    return missing


def delete_topics(settings: Settings) -> list[Topic]:
    """Delete the deployment's topics, with everything in them, and return those there were.

    Raises
    ------
    TopicError
        When they are still listed after ten seconds.
    BrokerUnreachableError
        When no broker answers.
    """
    with administer(settings.kafka) as client, explained(settings.kafka):
        existing = [topic for topic in _look(client, settings, whole=True) if topic.found]
        if existing:
            client.delete_topics([topic.name for topic in existing])
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while left := [topic.name for topic in _look(client, settings, whole=True) if topic.found]:
            if time.monotonic() > deadline:
                raise TopicError(f"{settings.kafka.brokers} still lists {', '.join(left)}. Try again")
            time.sleep(0.05)
    return existing


def check_topics(settings: Settings) -> None:
    """Make sure that a worker can run on the topics as they are.

    Raises
    ------
    TopicError
        When one is missing or has another number of partitions than the definition asks for.
    BrokerUnreachableError
        When no broker answers.
    """
    _check(list_topics(settings), settings, complete=True)


def _look(client: KafkaAdminClient, settings: Settings, *, whole: bool = False) -> list[Topic]:
    """Look at the topics that the definition asks for; ``whole``: and at those it could ask for."""
    wanted = {settings.topic(suffix): settings.partitions for suffix in PARTITIONED}
    wanted[settings.topic(STATUS)] = 1
    if settings.kafka.latest or whole:
        wanted[settings.topic(LATEST)] = settings.partitions
    counts = partition_counts(client, wanted)
    return [Topic(name, number, counts.get(name, 0)) for name, number in wanted.items()]


def _check(topics: list[Topic], settings: Settings, *, complete: bool) -> None:
    file = settings.file or "DEFINITION"
    missing = [topic.name for topic in topics if not topic.found]
    if complete and missing:
        raise TopicError(
            f"There is no topic {', '.join(missing)}. Make it with: meander topics create {file}"
        )
    wrong = [topic for topic in topics if topic.found not in (0, topic.wanted)]
    if wrong:
        found = ", ".join(f"{t.name} has {t.found} partitions, not {t.wanted}" for t in wrong)
        raise TopicError(
            f"{found}. Keys and labels find each other by partition number: set [kafka] partitions to what "
            f"there is, or delete everything and start anew with: meander topics delete {file}"
        )


def _plan(topic: Topic, settings: Settings) -> dict[str, object]:
    configs = dict(CONFIGS.get(topic.name.rpartition(".")[2], {}))
    kept = wanted_retention(settings)
    if kept is not None and topic.name.rpartition(".")[2] in PARTITIONED:
        configs.setdefault("retention.ms", str(kept))
    replication = settings.kafka.replication
    if replication > 2:  # two copies must be safe before a record counts as written
        configs["min.insync.replicas"] = "2"
    return {"num_partitions": topic.wanted, "replication_factor": replication, "configs": configs}
