"""Runs a scenario: cluster, topics, load, two workers under an orchestrator that starts what ended."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from msgspec import Struct, field
from redis import Redis

from producers.connection import kafka_options
from stream import toml
from stream.adapters.brokers import Broker
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics
from stream.settings import Settings, load_settings
from tests.chaos.load import Flood
from tests.chaos.scenarios import Act, Scenario
from tests.chaos.snapshots import positions, unfinished
from tests.redis_server import RedisServer

PARTITIONS = 4
SESSION = 4.0  # seconds
CLEAN = (0, -15)  # of a worker that is stopped; the second before it has begun to listen to signals
PATIENCE = 180.0  # seconds until answers must have come again
REPOSITORY = Path(__file__).resolve().parents[2]
CLOCK = Path(__file__).with_name("clock")


def definition(name: str, brokers: str, scenario: Scenario) -> dict[str, Any]:
    """Return the deployment: one model, one rule, a detector that tells."""
    return {
        "name": name,
        "task": "binary",
        "scope": "partition",
        "champion": "lr",
        "features": {"x": {"min": -100, "max": 100}, "y": {}},
        "label": {"classes": ["no", "yes"], "keep_limit": 50_000, "on_correction": "learn-again"},
        "models": {"lr": {"recipe": "logistic_regression"}},
        "rules": {"high": {"when": "x > y", "then": {"yes": 0.8}}},
        "drift": {"detector": "ADWIN", "on_drift": "tell"},
        "kafka": {
            "brokers": brokers,
            "partitions": PARTITIONS,
            "replication": scenario.brokers,
            "session_timeout": f"{SESSION:g}s",
            "transactions": scenario.transactions,
        },
        "snapshots": {"folder": "snapshots", "every": "200ms"},
        "web": {"port": 0},
        **scenario.definition,
    }


class Story(Struct):
    """What happened in a scenario, as far as it was seen from outside."""

    sent: int = 0
    seconds: float = 0.0
    kills: int = 0
    inside_write: int = 0
    failpoints: int = 0
    gaps: list[float] = field(default_factory=list)  # seconds from each blow to the next answers
    exits: list[int] = field(default_factory=list)  # statuses of workers that ended by themselves


class Watch:
    """Notes, ten times a second, where the predictions of each partition end."""

    def __init__(self, settings: Settings) -> None:
        self._tps = [TopicPartition(settings.topic("predictions"), p) for p in range(PARTITIONS)]
        self._options = kafka_options(settings.kafka)
        self.ends = [0] * PARTITIONS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        consumer = None
        while not self._stop.wait(0.05):
            with suppress(Exception):
                consumer = consumer or KafkaConsumer(**self._options, group_id=None)
                ends = consumer.end_offsets(self._tps, timeout_ms=2000)
                self.ends = [ends[tp] for tp in self._tps]
        if consumer is not None:
            consumer.close()


class Stage:
    """One deployment, its workers and what they stand on.

    Parameters
    ----------
    scenario
        What will be done.
    folder
        For the definition, snapshots and logs.
    name
        Of the deployment: new.
    nodes
        The brokers; `Act` ``broker-kill`` needs them to be ours.
    brokers
        Their addresses.
    redis
        The server, where state is kept there.
    rate, most
        See `Flood`.
    """

    def __init__(
        self, scenario: Scenario, folder: Path, name: str, brokers: str, nodes: list[Broker],
        redis: RedisServer | None, rate: float, seed: int, most: int,
    ) -> None:  # fmt: skip
        self.scenario, self.folder, self.nodes, self.redis = scenario, folder, nodes, redis
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "deployment.toml"
        raw = definition(name, brokers, scenario)
        if redis is not None:
            raw["snapshots"] |= {"store": "redis", "url": redis.url}
        file.write_text("\n".join(toml.document(raw)), encoding="utf-8")
        self.settings = load_settings(file, {})
        create_topics(self.settings)
        self.flood = Flood(self.settings, rate, seed, most)
        self.story = Story()
        self.workers = {number: self._worker(number) for number in (1, 2)}
        self._turn, self._most = 0, most
        self._lock = threading.Lock()
        self._supervising = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def _worker(self, number: int, **extra: str) -> Child:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{CLOCK}{os.pathsep}{REPOSITORY}",
            "MEANDER_WORKER": str(number),
            **extra,
        }
        command = [sys.executable, "-m", "stream", "worker", "deployment.toml"]
        return Child(command, self.folder, self.folder / f"worker-{number}.log", environment)

    def _supervise(self) -> None:
        """Start again what ended by itself, as an orchestrator would."""
        while not self._supervising.wait(0.5):
            with self._lock:
                for number, child in self.workers.items():
                    if child.status is not None:
                        self.story.exits.append(child.status)
                        child.kill()  # dismisses its watcher
                        self.workers[number] = self._worker(number)
                        self.workers[number].start()

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> Story:
        """Start everything, carry out the acts, let everything come to its end."""
        self.watch = Watch(self.settings)
        try:
            for child in self.workers.values():
                child.start()
            self.wait(lambda: len(self.held()) == PARTITIONS, "the workers do not share the partitions")
            self.flood.start()
            self.wait_for_answers(self.watch.ends)
            self._supervisor.start()
            for act in self.scenario.acts:
                for _ in range(act.times):
                    self.perform(act)
            self.flood.stop()
            self.story.sent, self.story.seconds = min(self.flood.sent, self._most), self.flood.seconds
            self.wait(self.at_the_end, "the inputs are not taken to their end")
            self._supervising.set()
            self._supervisor.join()
            for child in self.workers.values():
                status = child.stop(30)
                assert status in CLEAN, f"exit status {status}\n{child.last_words(40)}"
        finally:
            self._supervising.set()
            for child in self.workers.values():
                child.kill()
            self.watch.stop()
        return self.story

    def perform(self, act: Act) -> None:
        """Carry out one blow, and wait until every partition answers again."""
        method: Callable[[Act], None] = getattr(self, "_" + act.what.replace("-", "_"))
        method(act)

    def next_worker(self) -> int:
        """Return whose turn it is."""
        self._turn += 1
        return 1 + self._turn % 2

    def wait_for_answers(self, since: list[int], began: float | None = None) -> None:
        """Wait until the predictions of every partition have grown; notes how long that took."""
        self.wait(
            lambda: all(new > old for new, old in zip(self.watch.ends, since, strict=True)),
            "no answers come",
        )
        if began is not None:
            self.story.gaps.append(time.monotonic() - began)

    def wait(self, fact: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not fact():
            if time.monotonic() > deadline:
                words = "\n".join(child.last_words(40) for child in self.workers.values())
                raise AssertionError(f"{self.scenario.name}: {otherwise} within {seconds:g} s\n{words}")
            time.sleep(0.05)

    def held(self) -> set[int]:
        """Return the partitions that the workers say they hold."""
        found: set[int] = set()
        for child in self.workers.values():
            said = child.log.read_text(encoding="utf-8") if child.log.exists() else ""
            restored = re.findall(r"partitions\.restored \[([\d, ]*)\]", said)
            found |= {int(n) for n in restored[-1].split(",") if n.strip()} if restored else set()
        return found

    def at_the_end(self) -> bool:
        """Whether the snapshots stand at the ends of all inputs."""
        tps = {
            TopicPartition(self.settings.topic(source), p): (source, p)
            for p in range(PARTITIONS)
            for source in ("events", "labels", "control")
        }
        consumer = KafkaConsumer(**kafka_options(self.settings.kafka), group_id=None)
        try:
            ends = consumer.end_offsets(list(tps))
        finally:
            consumer.close()
        there = {p: positions(self.settings, p) for p in range(PARTITIONS)}
        time.sleep(0.3)
        return all(there[p].get(source) == ends[tp] for tp, (source, p) in tps.items())

    # -- the blows ---------------------------------------------------------------------------------

    def _replace(self, number: int, **extra: str) -> Child:
        """Start a worker anew at the end of its log."""
        self.workers[number] = self._worker(number, **extra)
        self.workers[number].start()
        return self.workers[number]

    def _kill(self, act: Act) -> None:
        number = self.next_worker()
        time.sleep(0.3 + 0.37 * (self._turn % 7) / 7)
        with self._lock:
            self.workers[number].kill()
            began = time.monotonic()
            self.story.kills += 1
            self.story.inside_write += unfinished(self.settings)
            since = list(self.watch.ends)
            self._replace(number)
        time.sleep(0.1)
        self.wait_for_answers([max(*pair) for pair in zip(since, self.watch.ends, strict=True)], began)

    def _fail(self, act: Act) -> None:
        number = self.next_worker()
        proof = self.folder / f"failpoint.{act.point}"
        with self._lock:
            self.workers[number].stop()
            child = self._replace(number, MEANDER_FAILPOINT=f"{act.point}:3")
        deadline = time.monotonic() + PATIENCE
        while not proof.exists():
            assert time.monotonic() < deadline, f"{act.point} was not reached: {child.last_words(40)}"
            time.sleep(0.02)
        began = time.monotonic()
        self.story.failpoints += 1
        self.story.inside_write += act.point == "snapshot.writing"
        proof.unlink()
        since = list(self.watch.ends)
        time.sleep(0.1)
        self.wait_for_answers([max(*pair) for pair in zip(since, self.watch.ends, strict=True)], began)

    def _pause(self, act: Act) -> None:
        child = self.workers[self.next_worker()]
        child.pause()
        began = time.monotonic()
        time.sleep(act.seconds)
        since = list(self.watch.ends)
        child.resume()
        self.wait_for_answers(since, began)
        time.sleep(1.0)

    def _freeze(self, act: Act) -> None:
        child = self.workers[self.next_worker()]
        child.pause()
        time.sleep(SESSION)  # so that what was on its way is there
        self.wait_for_answers(list(self.watch.ends), time.monotonic() - SESSION)
        child.resume()
        time.sleep(SESSION)

    def _join(self, act: Act) -> None:
        third = self._worker(3)
        started = len(
            re.findall(r"partitions\.restored", third.log.read_text() if third.log.exists() else "")
        )
        began = time.monotonic()
        with third:
            self.wait(
                lambda: len(re.findall(r"partitions\.restored", third.log.read_text())) > started,
                "the third worker gets no partitions",
            )
            since = list(self.watch.ends)
            self.wait_for_answers(since, began)
            began, since = time.monotonic(), list(self.watch.ends)
            status = third.stop(30)
            assert status in CLEAN, f"exit status {status}\n{third.last_words(40)}"
        self.wait_for_answers(since, began)

    def _stop(self, act: Act) -> None:
        number = self.next_worker()
        with self._lock:
            began, since = time.monotonic(), list(self.watch.ends)
            status = self.workers[number].stop(30)
            assert status in CLEAN, f"exit status {status}\n{self.workers[number].last_words(40)}"
            self._replace(number)
        self.wait_for_answers(since, began)

    def _broker_kill(self, act: Act) -> None:
        node = self.nodes[self.story.kills % len(self.nodes)]
        node.kill()
        self.story.kills += 1
        began = time.monotonic()
        if len(self.nodes) > 1:
            since = list(self.watch.ends)
            self.wait_for_answers(since, began)
        time.sleep(max(0.0, act.seconds - (time.monotonic() - began)))
        since = list(self.watch.ends)
        node.start()
        if len(self.nodes) == 1:
            self.wait_for_answers(since, began)
        time.sleep(2.0)

    def _fill_disk(self, act: Act) -> None:
        full = self.settings.folder / "ballast"
        size = os.statvfs(self.settings.folder)
        with suppress(OSError), full.open("wb") as file:
            for _ in range(size.f_bavail * size.f_frsize // 4096 + 1):
                file.write(b"\0" * 4096)
                file.flush()
        self._without_store(act.seconds)
        full.unlink()
        since = list(self.watch.ends)
        self.wait_for_answers(since)

    def _redis_kill(self, act: Act) -> None:
        assert self.redis is not None
        self.redis.kill()
        self.story.kills += 1
        self._without_store(act.seconds)
        self.redis.start()
        self.wait_for_answers(list(self.watch.ends))
        time.sleep(3.0)

    def _redis_full(self, act: Act) -> None:
        assert self.redis is not None
        client = Redis.from_url(self.redis.url)
        client.config_set("maxmemory", "1")
        self._kill(act)  # its partitions are claimed although nothing can be saved
        self._without_store(act.seconds)
        client.config_set("maxmemory", "0")
        client.close()
        time.sleep(3.0)

    def _without_store(self, seconds: float) -> None:
        """Let some time pass; answers must go on coming in it."""
        began = time.monotonic()
        self.wait_for_answers(list(self.watch.ends), began)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))

    def _clock_back(self, act: Act) -> None:
        (self.folder / "clock").write_text("-3600", encoding="utf-8")
        since = list(self.watch.ends)
        self.wait_for_answers(since, time.monotonic())
        time.sleep(2.0)


def tmpfs(folder: Path, megabytes: int) -> bool:
    """Mount a small disk in memory; whether that is allowed here."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


def environment_of(settings: Settings) -> Mapping[str, str]:
    """Return what commands on this deployment need."""
    return {**os.environ, "MEANDER_BROKERS": settings.kafka.brokers}
