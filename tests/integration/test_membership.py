"""Who takes over, and when: standbys, workers that come back under their name, topics that go away."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from producers.load import Columns, Load, samples
from producers.publisher import Publisher
from producers.scenarios import alternating
from stream.adapters.processes import Child
from stream.adapters.topics import delete_topics
from stream.app import open_log
from stream.replay import differences
from stream.settings import Settings
from tests.integration.test_worker import (
    count,
    dated,
    deploy,
    held,
    send,
    shared,
    wait_for_predictions,
    wait_until,
    worker,
)

__all__ = ["deploy"]  # a fixture
pytestmark = pytest.mark.timeout(400)
Deploy = Callable[..., Settings]


def named(settings: Settings, name: str) -> Child:
    """Return a worker with a name of its own."""
    file = Path(str(settings.file))
    environment = {**os.environ, "MEANDER_INSTANCE_ID": name}
    command = [sys.executable, "-m", "stream", "worker", file.name]
    return Child(command, file.parent, file.with_suffix(f".{name}.log"), environment)


def send_rows(settings: Settings, rows: list[dict[str, Any]], prefix: str) -> None:
    """Send rows under ids that begin alike."""
    topics = (settings.topic("events"), settings.topic("labels"))
    with Publisher(settings.kafka, topics) as publisher:
        columns = Columns(timestamp="at", prefix=prefix)
        Load(publisher, *topics).send(samples(iter(rows), settings.definition, columns))


def said(child: Child, text: str) -> int:
    """Return how often a worker has said something."""
    return child.log.read_text(encoding="utf-8").count(text) if child.log.exists() else 0


def test_an_idle_standby_takes_over(deploy: Deploy) -> None:
    """Two workers, one partition: the one without stays, and answers once the other is killed."""
    settings = deploy()
    events = alternating(1000)
    first, standby = worker(settings, 1), worker(settings, 2)
    with first:
        wait_until(lambda: held(first) == {0}, first)
        with standby:
            wait_until(lambda: said(standby, "partitions.restored") > 0, standby)
            rows = list(dated(events))
            send_rows(settings, rows[:500], "first")
            owner, other = (first, standby) if held(first) else (standby, first)
            wait_for_predictions(settings, 500, owner)
            owner.kill()
            send_rows(settings, rows[500:], "second")
            wait_until(lambda: held(other) == {0}, other)
            with open_log(settings) as log:
                wait_until(lambda: count(log, "predictions", 1) == events.length, other)
            time.sleep(1.0)
            assert other.stop() == 0
    with open_log(settings) as log:
        assert differences(settings.definition, 0, log) == []


def test_a_worker_that_comes_back_under_its_name_disturbs_nobody(deploy: Deploy, kafka: str) -> None:
    """With static membership a killed worker restarts within its session: the other is not interrupted."""
    settings = deploy(
        partitions=4,
        kafka={"brokers": kafka, "partitions": 4, "session_timeout": "45s"},
    )
    events = alternating(2000)
    first, second = named(settings, "one"), named(settings, "two")
    with first, second:
        wait_until(lambda: shared(held(first), held(second)), first)
        sending = threading.Thread(target=send, args=(settings, dated(events), 20, 100.0), daemon=True)
        sending.start()
        wait_for_predictions(settings, 300, first)
        before, mine = said(second, "partitions.restored"), held(first)
        first.kill()
        first.start()
        wait_until(lambda: said(first, "partitions.restored") > 1, first)
        assert held(first) == mine
        sending.join()
        wait_for_predictions(settings, events.length, first)
        assert said(second, "partitions.restored") == before
        time.sleep(1.0)
        assert first.stop() == 0
        assert second.stop() == 0
    with open_log(settings) as log:
        for partition in range(4):
            assert differences(settings.definition, partition, log) == []


def test_a_worker_whose_topics_are_deleted_stops_with_a_sentence(deploy: Deploy) -> None:
    """It does not go on saying that it is ready: it ends, and names the topics."""
    settings = deploy()
    send(settings, dated(alternating(200)))
    with worker(settings) as child:
        wait_for_predictions(settings, 200, child)
        delete_topics(settings)
        deadline = time.monotonic() + 90
        while child.status is None:
            assert time.monotonic() < deadline, child.last_words()
            time.sleep(0.2)
        assert child.status != 0
        words = child.log.read_text(encoding="utf-8")
    assert "is no topic" in words
