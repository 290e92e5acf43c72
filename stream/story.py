"""A day in small: everything that may befall a deployment, and the witnesses that must tell it alike.

Traffic is driven here; what happened is asked of the page's API, the metrics, the transitions topic,
``meander why``, and where somebody watches the metrics, of the alerts. None of them is believed alone.
"""

import json
import random
import re
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from learners.lineage import Kind, Transition
from producers.client import MeanderClient
from stream import toml
from stream.adapters.brokers import free_ports
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics, delete_topics
from stream.app import open_log
from stream.demo import DemoError, get, own_broker, part, wait_until_ready
from stream.settings import Settings, load_settings

RATE = 400.0  # events a second
SLICE = 40  # events between two looks
SETTLING = 10.0  # seconds until everybody has heard of them, at most
HINT = 0.8  # how often the rules are right, in either world
PATIENCE = 90.0  # seconds for what must come of itself
UNTOLD = frozenset({Kind.ORDERED, Kind.EXPIRED})  # housekeeping, which the page leaves out

Why = Callable[[Settings], Iterable[str]]
"""Gives the lines of ``meander why``."""
Firing = Callable[[], set[str]]
"""Gives the names of the alerts that fire now, without ``Meander`` before them."""
Watch = Callable[[Settings, Path], AbstractContextManager[Firing]]
"""Watches a worker's metrics with the project's rules, from a folder of its own."""

BELIED: dict[str, Callable[["Chapter"], bool]] = {
    "LabelsStopped": lambda chapter: chapter.labels,
    "FallbackLong": lambda chapter: chapter.serving == "champion",
    "ServedWorseThanRules": lambda chapter: chapter.serving == "rules",
    **dict.fromkeys(("WorkerDown", "Unaccounted", "PartitionOwnedTwice", "Nonfinite", "DeadLetters"), bool),
}
"""Alerts, and the chapters at whose end they must not fire."""


class Chapter(msgspec.Struct, frozen=True):
    """Something that befalls the deployment, and what must come of it.

    Attributes
    ----------
    title
        One sentence.
    kinds
        Transitions that must come, in this order, others between them.
    serving
        Who answers afterwards, as the page says it.
    frozen
        Whether nothing learns afterwards.
    labels, flipped
        Whether labels are sent; whether the world is the other one.
    action
        What an operator asks for first.
    least
        How many events it lasts at least: a model must have a past that can turn out wrong.
    alert
        What must fire at its end, where somebody watches.
    """

    title: str
    kinds: tuple[Kind, ...]
    serving: str = "champion"
    frozen: bool = False
    labels: bool = True
    flipped: bool = True
    action: str | None = None
    least: int = SLICE
    alert: str | None = None


DAY = (
    Chapter("Traffic starts: no label has come, rules answer alone", (Kind.STARTED,), "rules", labels=False,
            flipped=False),
    Chapter("Labels come: a model proves itself and takes over", (Kind.WARMED_UP, Kind.PROMOTED),
            flipped=False, least=2000),
    Chapter("The relation flips: drift is signalled, rules take over, a fresh version starts",
            (Kind.SIGNAL, Kind.FELL_BACK, Kind.RETRAINED), "rules"),
    Chapter("A challenger proves better, and serves", (Kind.PROMOTED, Kind.RESUMED), least=400),
    Chapter("Labels stop", (Kind.SIGNAL,), labels=False, alert="LabelsStopped"),
    Chapter("Labels are back", (Kind.SIGNAL_ENDED,)),
    Chapter("An operator freezes learning", (Kind.FROZEN,), frozen=True, action="freeze"),
    Chapter("An operator rolls back to the model of the old world", (Kind.ROLLED_BACK,), frozen=True,
            action="rollback", alert="ServedWorseThanRules"),
    Chapter("An operator lets rules answer", (Kind.FELL_BACK,), "rules", frozen=True, action="fallback",
            alert="FallbackLong"),
    Chapter("An operator takes the newer model again", (Kind.ROLLED_BACK,), "rules", frozen=True,
            action="rollback"),
    Chapter("An operator resumes it", (Kind.RESUMED,), frozen=True, action="resume"),
    Chapter("An operator lets learning go on", (Kind.UNFROZEN,), action="unfreeze"),
)  # fmt: skip


class Accounts(msgspec.Struct, frozen=True):
    """What the witnesses say at one moment.

    Attributes
    ----------
    page, topic, why
        Kinds of transitions, oldest first.
    metrics
        How many of each kind.
    serving, frozen
        As the page and as the metrics say it.
    sentence
        The page's.
    """

    page: list[str]
    topic: list[str]
    why: list[str]
    metrics: dict[str, int]
    serving: tuple[str, str]
    frozen: tuple[bool, bool]
    sentence: str

    def agree(self) -> bool:
        """Whether all tell the same."""
        same = self.page == self.topic == self.why and self.metrics == dict(Counter(self.topic))
        return same and self.serving[0] == self.serving[1] and self.frozen[0] == self.frozen[1]


class Day:
    """A deployment that runs, its traffic, and those who watch it.

    Parameters
    ----------
    settings
        Of the deployment, whose worker runs.
    worker
        That worker.
    why
        See `Why`.
    firing
        See `Firing`; None: nobody watches.
    """

    def __init__(self, settings: Settings, worker: Child, why: Why, firing: Firing | None = None) -> None:
        self.settings, self._worker, self._why, self._firing = settings, worker, why, firing
        self._chance, self._number, self._past = random.Random(3), 0, 0  # noqa: S311  made-up traffic
        self._client = MeanderClient(settings.kafka.brokers, settings.definition.name)

    def close(self) -> None:
        """Let go of the broker."""
        self._client.close()

    def live(self, chapter: Chapter) -> Accounts:
        """Live through a chapter until everybody tells it; returns what they tell.

        Raises
        ------
        DemoError
            When it does not come, or is told differently.
        """
        if chapter.action is not None:
            self._ask(chapter.action)
        deadline = time.monotonic() + PATIENCE
        self._send(chapter, chapter.least - SLICE)
        while True:
            self._send(chapter, SLICE)
            if self._worker.pid is None:
                raise DemoError(f"the worker ended. {self._worker.last_words()}")
            told = self._settled()
            past = self._end(chapter, told)
            if past is not None and told.agree():
                self._past = past
                self._await_alerts(chapter, time.monotonic() + PATIENCE)
                return told
            if time.monotonic() > deadline:
                raise DemoError(f"{chapter.title}: not within {PATIENCE:g} s, or not told alike: {told}")

    def _await_alerts(self, chapter: Chapter, deadline: float) -> None:
        """Go on until the alerts tell the chapter too: what must fire does, and nothing that belies it."""
        while self._firing is not None:
            firing = self._firing()
            belied = {name for name in firing if name in BELIED and BELIED[name](chapter)}
            if not belied and (chapter.alert is None or chapter.alert in firing):
                return
            if time.monotonic() > deadline:
                wanted = chapter.alert or "none"
                raise DemoError(f"{chapter.title}: alerts tell it otherwise: {firing}, not {wanted}")
            self._send(chapter, SLICE)

    def _settled(self) -> Accounts:
        """Return the first accounts that agree, while nothing is sent; after a while as they are."""
        deadline = time.monotonic() + SETTLING
        while not (told := self.accounts()).agree() and time.monotonic() < deadline:
            time.sleep(0.3)
        return told

    def _end(self, chapter: Chapter, told: Accounts) -> int | None:
        """Return where a chapter's last transition stands; None where one lacks, or it does not stand so."""
        if (told.serving[0], told.frozen[0]) != (chapter.serving, chapter.frozen):
            return None
        at = self._past
        for kind in map(str, chapter.kinds):
            if kind not in told.topic[at:]:
                return None
            at = told.topic.index(kind, at) + 1
        return at

    def _send(self, chapter: Chapter, count: int) -> None:
        for _ in range(count):
            self._number += 1
            x, identifier = self._chance.uniform(-1, 1), f"e{self._number}"
            truth = (x > 0) != chapter.flipped
            hint = truth == (self._chance.random() < HINT)
            self._client.send_event(identifier, features={"x": x, "hint": hint})
            if chapter.labels:
                self._client.send_label(identifier, "yes" if truth else "no")
            time.sleep(1 / RATE)

    def _ask(self, action: str) -> None:
        """Ask for an action as the page does."""
        body = json.dumps({"action": action, "reason": "part of the story", "operator": "ada"}).encode()
        web = self.settings.web
        try:
            url = f"http://{web.host}:{web.port}/api/v1/actions"
            with urllib.request.urlopen(
                urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=10
            ):
                return
        except urllib.error.HTTPError as error:
            raise DemoError(f"{action} was refused: {error.read().decode()}") from None

    def accounts(self) -> Accounts:
        """Ask every witness."""
        with open_log(self.settings) as log:
            records = list(log.read("transitions", 0, *log.bounds("transitions", 0)))
        transitions = [msgspec.json.decode(r.value or b"", type=Transition) for r in records]
        lines = [
            re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (\w+)", line) for line in self._why(self.settings)
        ]
        state = json.loads(get(self.settings, "api/v1/state"))
        samples = [
            sample
            for family in text_string_to_metric_families(get(self.settings, "metrics").decode())
            for sample in family.samples
        ]
        mode = next(
            (s.labels["mode"] for s in samples if s.name == "meander_mode" and s.value == 1.0), "nobody"
        )
        learning = next((s.value for s in samples if s.name == "meander_learning"), 0.0)
        return Accounts(
            page=_told(h["kind"] for h in reversed(state["happenings"])),
            topic=_told(str(t.kind) for t in transitions),
            why=_told(line[1] for line in lines if line is not None),
            metrics={
                s.labels["kind"]: int(s.value)
                for s in samples
                if s.name == "meander_transitions_total" and s.value and s.labels["kind"] not in UNTOLD
            },
            serving=(state["serving"], "champion" if mode == "champion" else "rules"),
            frozen=(state["frozen"] == 1, learning == 0.0),
            sentence=state["sentence"],
        )


def _told(kinds: Iterable[str]) -> list[str]:
    return [kind for kind in kinds if kind not in UNTOLD]


def definition(name: str, brokers: str, own: bool) -> dict[str, Any]:
    """Return the definition: a feature whose meaning flips, a hint that does not, small windows."""
    return {
        "name": name,
        "task": "binary",
        "champion": "base",
        "features": {"x": {}, "hint": {"type": "boolean"}},
        "label": {"classes": ["no", "yes"]},
        "models": {"base": {"recipe": "majority"}, "nb": {"recipe": "naive_bayes"}},
        "rules": {"hinted": {"when": "hint == true", "then": "yes"}},
        "drift": {"on_drift": "fallback", "min_labels": 150},
        "policy": [{"name": "afresh", "on": "concept", "do": "retrain", "budget": 3}],
        "kafka": {"brokers": brokers, "session_timeout": "6s", "embedded": own},
        "web": {"port": free_ports(1)[0]},
    }


def tell(
    why: Why, console: Console | None = None, brokers: str | None = None, watch: Watch | None = None
) -> list[Accounts]:
    """Live through the day; returns what was told at the end of each chapter.

    Parameters
    ----------
    why
        See `Why`.
    console
        Where it is told.
    brokers
        A Kafka broker to use instead of one of its own.
    watch
        See `Watch`; None: nobody does, and alerts tell nothing.

    Raises
    ------
    MeanderError
        When a chapter does not come about, or the witnesses differ.
    """
    console = console or Console()
    with tempfile.TemporaryDirectory(prefix="meander-story-") as name, ExitStack() as parts:
        folder, own = Path(name), brokers is None
        if brokers is None:
            with console.status("Starting a broker"):
                brokers = parts.enter_context(own_broker(folder))
        file = folder / "deployment.toml"
        plain = definition(f"story-{time.time_ns() // 1_000_000}", brokers, own)
        file.write_text("\n".join(toml.document(plain)) + "\n", encoding="utf-8")
        settings = load_settings(file, {})
        create_topics(settings)
        if not own:
            parts.callback(delete_topics, settings)
        worker = parts.enter_context(part(folder, "worker", "worker", str(file)))
        with console.status("Starting a worker"):
            wait_until_ready(settings, worker)
        firing = None if watch is None else parts.enter_context(watch(settings, folder))
        day = Day(settings, worker, why, firing)
        parts.callback(day.close)
        console.print(f"The page: http://{settings.web.host}:{settings.web.port}/ops/\n")
        told: list[Accounts] = []
        for chapter in DAY:
            console.print(f"[bold]{chapter.title}.[/]")
            accounts = day.live(chapter)
            new = ", ".join(accounts.topic[len(told[-1].topic) if told else 0 :]).replace("_", " ")
            console.print(f"  {new}. The page says: {accounts.sentence}.", highlight=False)
            told.append(accounts)
        return told
