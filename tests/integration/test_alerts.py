"""Real Prometheus and Alertmanager at 1:60: what breaks or is mended is told; the dashboard has data."""

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.dashboard import MAY_BE_EMPTY, expressions
from producers.publisher import Publisher, partition_of
from stream import toml
from stream.adapters.brokers import free_ports
from stream.adapters.topics import create_topics, delete_topics
from stream.settings import Settings, load_settings
from tests.integration.monitors import Prometheus, Receiver, alertmanager, wait_until
from tests.integration.test_worker import worker

pytestmark = pytest.mark.timeout(290)
SCALE = 60


class Traffic(threading.Thread):
    """Sends events, and their labels a moment later, until told to stop.

    Attributes
    ----------
    labels
        Whether labels are sent.
    inverted
        Whether the truth is the opposite of what it was.
    paused
        Whether nothing is sent.
    """

    def __init__(self, settings: Settings, rate: float = 60.0) -> None:
        super().__init__(daemon=True)
        self.labels, self.inverted, self.paused = True, False, False
        self._settings, self._pause = settings, 1 / rate
        self._over = threading.Event()

    def run(self) -> None:
        random_ = random.Random(1)
        name = self._settings.definition.name
        events, labels, control = (f"{name}.{topic}" for topic in ("events", "labels", "control"))
        with Publisher(self._settings.kafka, (events, labels, control)) as publisher:
            number = 0
            while not self._over.wait(self._pause):
                if self.paused:
                    continue
                number += 1
                key, x = str(number).encode(), random_.uniform(-1, 1)
                message = {"id": f"e{number}", "timestamp": round(time.time() * 1000), "features": {"x": x}}
                publisher.publish(events, key, json.dumps(message).encode())
                if self.labels:
                    truth = "yes" if (x > 0) != self.inverted else "no"
                    publisher.publish(labels, key, json.dumps({"id": f"e{number}", "label": truth}).encode())

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture
def deployment(kafka: str, deployment_name: str, tmp_path: Path) -> Iterator[list[Settings]]:
    """Yield the settings of two workers of one deployment: one folder, two web servers."""
    made = []
    for number, port in enumerate(free_ports(2)):
        definition = {
            "name": deployment_name,
            "task": "binary",
            "scope": "partition",
            "features": {"x": {}},
            "label": {"classes": ["no", "yes"]},
            "champion": "lr",
            "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
            "drift": {"on_drift": "tell", "alpha": 1e-9},
            "kafka": {"brokers": kafka, "partitions": 2, "session_timeout": "6s"},
            "snapshots": {"every": "500ms"},
            "web": {"port": port},
        }
        file = tmp_path / f"worker{number}.toml"
        file.write_text("\n".join(toml.document(definition)), encoding="utf-8")
        made.append(load_settings(file, {}))
    create_topics(made[0])
    yield made
    delete_topics(made[0])


def command(settings: Settings, action: str) -> None:
    """Send a command to every partition."""
    name = settings.definition.name
    with Publisher(settings.kafka, (f"{name}.control",)) as publisher:
        wanted = set(range(settings.partitions))
        key = 0
        while wanted:  # one key for each partition
            partition = partition_of(str(key).encode(), settings.partitions)
            if partition in wanted:
                wanted.discard(partition)
                message = {"type": "command", "id": f"{action}-{key}", "action": action, "operator": "test"}
                publisher.publish(f"{name}.control", str(key).encode(), json.dumps(message).encode())
            key += 1


def test_what_breaks_is_told_and_what_is_mended_too(deployment: list[Settings], tmp_path: Path) -> None:
    """A store gone, a worker stopped, served worse than rules, labels stopped: each arrives and resolves."""
    settings, snapshots = deployment[0], deployment[0].folder
    prometheus_port, alertmanager_port = free_ports(2)
    receiver = Receiver()
    targets = [f"127.0.0.1:{s.web.port}" for s in deployment]
    prometheus = Prometheus(tmp_path, prometheus_port, targets, alertmanager_port, SCALE)
    traffic = Traffic(settings)
    first, second = (worker(s, 1) for s in deployment)

    def told(alert: str, *, resolved: bool = False) -> None:
        names = receiver.resolved if resolved else receiver.firing
        wait_until(
            lambda: alert in names,
            lambda: (alert, resolved, receiver.firing, receiver.resolved, prometheus.firing()),
            90,
        )

    with alertmanager(tmp_path, alertmanager_port, receiver.url), prometheus, first, second:
        traffic.start()
        try:
            # each worker has a partition: no rebalance is under way that would need the store
            ready = 'count(count by (instance) (meander_events_total{outcome="predicted"} > 100))'
            wait_until(
                lambda: _answers(prometheus) and [r["value"][1] for r in prometheus.query(ready)] == ["2"],
                lambda: (first.last_words(), second.last_words()),
                120,
            )
            told("Watchdog")
            wait_until(lambda: prometheus.firing() == {"Watchdog"}, prometheus.firing, 60)

            receiver.forget()
            command(settings, "freeze")
            traffic.inverted = True
            away = snapshots.rename(snapshots.with_name("away"))
            snapshots.write_text("no folder")
            told("SnapshotStale")
            snapshots.unlink()
            away.rename(snapshots)
            told("SnapshotStale", resolved=True)

            told("ServedWorseThanRules")
            empty_panels(prometheus)
            traffic.inverted = False
            command(settings, "unfreeze")
            second.kill()
            told("WorkerDown")
            second.start()
            told("ServedWorseThanRules", resolved=True)

            traffic.labels = False  # while the second worker comes back: the first has all partitions
            told("WorkerDown", resolved=True)
            told("LabelsStopped")
            traffic.labels = True
            told("LabelsStopped", resolved=True)
            assert not {"Unaccounted", "PartitionOwnedTwice"} & receiver.ever
        finally:
            traffic.stop()
            receiver.close()


def _answers(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.query("vector(1)"))
    except OSError:
        return False


def empty_panels(prometheus: Prometheus) -> None:
    """Every query of the dashboard finds numbers in what is really there."""
    name = prometheus.query("meander_partitions")[0]["metric"]["deployment"]
    for title, queries in expressions().items():
        for query in queries:
            filled = query.replace("$deployment", name).replace("$partition", ".*")
            found: list[Any] = prometheus.query(filled)
            values = [float(sample["value"][1]) for sample in found]
            if title not in MAY_BE_EMPTY:
                assert values, (title, filled)
                assert all(value == value for value in values), (title, filled)
