"""How long topics keep their records, beside how long they must: what is gone cannot be learned again."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka.admin import ConfigResource, ConfigResourceType

from learners.definition import parse_duration
from producers.connection import TopicError, administer, explained
from stream.settings import FOR_EVER, Settings

FOR_EVER_MS = -1
DAY, HOUR = 86_400_000, 3_600_000  # milliseconds
_CONFIGS = ("retention.ms", "retention.bytes", "cleanup.policy")


class Retention(NamedTuple):
    """What a topic keeps.

    Attributes
    ----------
    topic
        Its full name.
    milliseconds, size
        For how long, and up to how many bytes of a partition; -1: for ever, however much.
    compacted
        Whether only the newest record of a key stays.
    """

    topic: str
    milliseconds: int
    size: int
    compacted: bool


def wanted_retention(settings: Settings) -> int | None:
    """Return how long the log must be kept in milliseconds; -1: for ever; None: nobody says."""
    retention = settings.kafka.retention
    if retention is None:
        return None
    return FOR_EVER_MS if retention == FOR_EVER else parse_duration(retention, "kafka.retention")


def retention_of(settings: Settings, suffixes: tuple[str, ...]) -> list[Retention]:
    """Return what topics of the deployment keep; none where the broker does not tell.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers.
    """
    names = [settings.topic(suffix) for suffix in suffixes]
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(_CONFIGS)) for name in names]
    with administer(settings.kafka) as client, explained(settings.kafka):
        told: dict[str, dict[str, Any]] = client.describe_configs(asked, config_filter="all")
    found = {name: configs for topics in told.values() for name, configs in topics.items()}
    return [_read(name, found[name]) for name in names if found.get(name)]


def _read(name: str, configs: dict[str, Any]) -> Retention:
    values = {key: str(config["value"]) for key, config in configs.items()}
    return Retention(
        name,
        int(values.get("retention.ms", FOR_EVER_MS)),
        int(values.get("retention.bytes", -1)),
        "compact" in values.get("cleanup.policy", "delete"),
    )


def check_retention(settings: Settings, suffixes: tuple[str, ...]) -> list[str]:
    """Return sentences about topics that lose records, where nobody has said how long they must keep them.

    Raises
    ------
    TopicError
        When the definition says so, and one keeps less.
    """
    if settings.kafka.embedded:  # keeps all there is, until it ends
        return []
    need, kept = wanted_retention(settings), retention_of(settings, suffixes)
    lacking = list(_lacking(kept, FOR_EVER_MS if need is None else need))
    if need is not None and lacking:
        raise TopicError(
            f'[kafka] retention is "{settings.kafka.retention}", but {"; ".join(lacking)}. Set it there '
            f"(kafka-configs.sh --alter --topic NAME --add-config retention.ms={need},retention.bytes=-1,"
            "cleanup.policy=delete), or ask for less"
        )
    if not lacking:
        return []
    return [
        f"{'; '.join(lacking)}. What is gone cannot be learned again (meander rebuild), and a worker that "
        "was away for longer cannot go on. If that is enough, say so: [kafka] retention; if not, "
        'retention = "forever", and set retention.ms=-1 on the topics'
    ]


def _lacking(kept: list[Retention], need: int) -> Iterator[str]:
    """Say which topics keep less, those of the same kind together."""
    same: dict[str, list[str]] = {}
    for topic in kept:
        if topic.compacted:
            problem = "kept by key alone"
        elif topic.size >= 0:
            problem = f"kept up to {topic.size:,} bytes only"
        elif topic.milliseconds >= 0 and not 0 <= need <= topic.milliseconds:
            problem = f"kept for {days(topic.milliseconds)} only"
        else:
            continue
        same.setdefault(problem, []).append(topic.topic)
    return (f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {what}" for what, names in same.items())


def days(milliseconds: int) -> str:
    """Return a time as people say it.

    >>> days(604_800_000), days(86_400_000), days(5_400_000), days(-1)
    ('7 days', '1 day', '1.5 hours', 'ever')
    """
    if milliseconds < 0:
        return "ever"
    unit, size = ("day", DAY) if milliseconds >= DAY else ("hour", HOUR)
    return f"{milliseconds / size:g} {unit}{'' if milliseconds == size else 's'}"
