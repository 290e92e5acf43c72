"""A day in small on a real Kafka, a real worker and a real Prometheus: everybody tells it alike."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from stream.adapters.brokers import free_ports
from stream.commands.why import timeline
from stream.settings import Settings
from stream.story import DAY, Firing, tell
from tests.integration.monitors import Prometheus, wait_until

pytestmark = pytest.mark.timeout(290)
SCALE = 60  # an hour of the rules is a minute


@contextmanager
def watched(settings: Settings, folder: Path) -> Iterator[Firing]:
    """Run Prometheus with the generated rules at a short time scale."""
    (port,) = free_ports(1)
    with Prometheus(folder, port, [f"127.0.0.1:{settings.web.port}"], 0, SCALE) as prometheus:

        def answers() -> bool:
            try:
                return prometheus.firing() == {"Watchdog"}
            except OSError:
                return False

        wait_until(answers, prometheus.last_words, 60)
        yield prometheus.firing


def test_everybody_tells_the_same_day(kafka: str) -> None:
    """Each chapter comes about in its order; page, metrics, topic, why and alerts tell its end alike."""
    said = io.StringIO()
    told = tell(timeline, Console(file=said, width=200), kafka, watched)
    assert len(told) == len(DAY)
    for chapter, accounts in zip(DAY, told, strict=True):
        assert accounts.agree(), chapter.title
        assert accounts.serving == (chapter.serving, chapter.serving), chapter.title
        assert accounts.frozen == (chapter.frozen, chapter.frozen), chapter.title
        assert accounts.sentence in said.getvalue()
    assert told[-1].sentence.startswith("Champion v")
    assert told[-1].topic.count("rolled_back") == 2
