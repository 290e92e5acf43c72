"""The whole idea in a minute: broker, worker and producer on free ports, a world that flips, a live view.

What the summary says is read back from the topics; nothing is taken from the parts that wrote them.
"""

import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from learners.errors import MeanderError
from learners.lineage import Kind, Transition
from producers.connection import kafka_options
from producers.scenarios import Made, scenario
from stream import toml
from stream.adapters.brokers import BrokerMissingError, embedded, free_ports, java_kafka
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics, delete_topics
from stream.app import open_log
from stream.messages import Prediction
from stream.settings import Settings, load_settings

NAME = "demo"
SCENARIO = "flip"
RATE = 400  # events a second
PATIENCE = 120.0  # seconds without a new prediction until the demo gives up
CHANGES = (Kind.WARMED_UP, Kind.FELL_BACK, Kind.RESUMED, Kind.PROMOTED)


class DemoError(MeanderError):
    """The demo did not show what it should."""


class Summary(msgspec.Struct, kw_only=True):
    """What the topics hold at the end.

    Attributes
    ----------
    events, predictions, distinct
        Records on the two topics, and different events among those predicted.
    right
        Share of predictions that were right, in tenths of the stream.
    served
        Predictions by who served them.
    transitions
        In order.
    """

    events: int
    predictions: int
    distinct: int
    right: list[float]
    served: dict[str, int]
    transitions: list[Transition]

    def missing(self) -> list[str]:
        """Say what the demo should have shown and did not."""
        kinds = {t.kind for t in self.transitions}
        wrong = []
        if not self.events == self.predictions == self.distinct:
            wrong.append(
                f"{self.events} events, but {self.predictions} predictions of {self.distinct} of them"
            )
        if Kind.SIGNAL not in kinds:
            wrong.append("no drift signal on the transitions topic")
        if not kinds & {Kind.FELL_BACK, Kind.PROMOTED}:
            wrong.append("no change of who serves on the transitions topic")
        if Kind.RESUMED not in kinds:
            wrong.append("no return of the model on the transitions topic")
        return wrong


def run(rate: float = RATE, console: Console | None = None, brokers: str | None = None) -> Summary:
    """Run the demo from start to end; nothing it started is left afterwards.

    Parameters
    ----------
    rate
        Events a second.
    console
        Where the live view goes.
    brokers
        A Kafka broker to use instead of one of the demo's own; its topics are named anew each time.

    Raises
    ------
    MeanderError
        When a part fails to start or stops.
    """
    console = console or Console()
    stream = scenario(SCENARIO)
    with tempfile.TemporaryDirectory(prefix="meander-demo-") as name, ExitStack() as parts:
        folder = Path(name)
        own = brokers is None
        if brokers is None:
            with console.status("Starting a broker"):
                brokers = parts.enter_context(own_broker(folder))
        settings = _define(folder, brokers, own, stream)
        create_topics(settings)
        if not own:
            parts.callback(delete_topics, settings)
        worker = parts.enter_context(part(folder, "worker", "worker", str(settings.file)))
        with console.status("Starting a worker"):
            wait_until_ready(settings, worker)
        producer = parts.enter_context(
            part(
                folder, "producer", "produce", str(settings.file), "--scenario", SCENARIO, "--rate", str(rate)
            )
        )
        view = View(settings, stream)
        with Live(view.render(), console=console, refresh_per_second=4, transient=False) as live:
            view.follow(live, worker, producer)
        worker.stop()
        return read_back(settings, stream)


@contextmanager
def own_broker(folder: Path) -> Iterator[str]:
    """Yield the address of a broker that ends with this; raises `BrokerMissingError` where none is there."""
    try:
        with embedded() as address:
            yield address
    except BrokerMissingError as missing:
        try:
            with java_kafka(folder / "kafka") as broker:
                yield broker.address
        except BrokerMissingError:
            raise missing from None


def _define(folder: Path, brokers: str, own: bool, stream: Made) -> Settings:
    name = f"{NAME}-{time.time_ns() // 1_000_000}"
    definition = {
        **stream.definition(name),
        "drift": {"detector": "ADWIN", "on_drift": "fallback"},
        "kafka": {"brokers": brokers, "session_timeout": "6s", "embedded": own},
        "web": {"port": free_ports(1)[0]},
    }
    file = folder / "deployment.toml"
    file.write_text("\n".join(toml.document(definition)) + "\n", encoding="utf-8")
    return load_settings(file, {})


def part(folder: Path, name: str, *arguments: str) -> Child:
    """Return a Meander command to run beside this, its output in a file of that name."""
    return Child([sys.executable, "-m", "stream", *arguments], folder, folder / f"{name}.log")


def wait_until_ready(settings: Settings, worker: Child, seconds: float = 60.0) -> None:
    """Return once the worker's ``/readyz`` answers; raises `DemoError` when it ends, or takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        if worker.pid is None:
            raise DemoError(f"the worker ended. {worker.last_words()}")
        try:
            get(settings, "readyz")
        except OSError:
            if time.monotonic() > deadline:
                raise DemoError(
                    f"the worker is not ready after {seconds:g} s. {worker.last_words()}"
                ) from None
            time.sleep(0.2)
        else:
            return


def get(settings: Settings, path: str) -> bytes:
    """Return what the worker's web server answers; raises `OSError` where it does not."""
    url = f"http://{settings.web.host}:{settings.web.port}/{path}"
    with urllib.request.urlopen(url, timeout=2) as answer:
        content: bytes = answer.read()
        return content


class View:
    """Follows predictions and transitions, and draws who serves, how fast and how well."""

    def __init__(self, settings: Settings, stream: Made) -> None:
        self._settings, self._stream = settings, stream
        self._predictions = msgspec.json.Decoder(Prediction)
        self._transitions = msgspec.json.Decoder(Transition)
        self.count = 0
        self.served_by = "nobody yet"
        self._story: list[Transition] = []
        self._speed: deque[tuple[float, int]] = deque(maxlen=20)
        self._losses: dict[str, float] = {}

    def follow(self, live: Live, worker: Child, producer: Child) -> None:
        """Update until every event is answered.

        Raises
        ------
        DemoError
            When a part ends before its time, or nothing happens for long.
        """
        consumer = KafkaConsumer(**kafka_options(self._settings.kafka), auto_offset_reset="earliest")
        topics = {self._settings.topic(t): t for t in ("predictions", "transitions")}
        consumer.assign([TopicPartition(name, 0) for name in topics])
        heard = time.monotonic()
        try:
            while self.count < self._stream.length:
                for tp, records in consumer.poll(timeout_ms=250).items():
                    heard = time.monotonic()
                    self._take(topics[tp.topic], [record.value for record in records])
                if worker.pid is None:
                    raise DemoError(f"the worker ended. {worker.last_words()}")
                if producer.status not in (None, 0):
                    raise DemoError(f"the producer failed. {producer.last_words()}")
                if time.monotonic() - heard > PATIENCE:
                    raise DemoError(f"no prediction for {PATIENCE:g} s. {worker.last_words()}")
                self._look()
                live.update(self.render())
            for records in consumer.poll(timeout_ms=1000).values():
                self._take("transitions", [r.value for r in records if r.topic.endswith("transitions")])
            live.update(self.render())
        finally:
            consumer.close()

    def _take(self, topic: str, values: list[bytes]) -> None:
        if topic == "transitions":
            self._story += map(self._transitions.decode, values)
        else:
            self.count += len(values)
            self.served_by = self._predictions.decode(values[-1]).served_by

    def _look(self) -> None:
        self._speed.append((time.monotonic(), self.count))
        try:
            state = json.loads(get(self._settings, "api/v1/state"))
        except OSError:
            return
        self._losses = {m["slot"]: m["error"] for m in state["members"] if m["error"] is not None}

    def render(self) -> Group:
        """Return the view as it stands."""
        done, total = self.count, self._stream.length
        (t0, n0), (t1, n1) = (self._speed[0], self._speed[-1]) if self._speed else ((0.0, 0), (0.0, 0))
        rate = (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0
        bar = "━" * (40 * done // total)
        table = Table.grid(padding=(0, 2))
        table.add_row("answered", f"[cyan]{bar}[/]{'─' * (40 - len(bar))} {done:,} of {total:,}")
        table.add_row("events/s", f"{rate:,.0f}")
        table.add_row("serves", f"[bold]{self.served_by}[/]")
        losses = "   ".join(f"{slot} {loss:.1%}" for slot, loss in self._losses.items())
        table.add_row("recent error", losses)
        story = [Text(_told(t)) for t in self._story if t.kind is not Kind.STARTED][-12:]
        flip = f"The relation flips at event {self._stream.changes[0].at:,}; nobody tells the worker."
        return Group(Text(flip, style="dim"), table, Text(""), *story)


def _told(t: Transition) -> str:
    number = t.position.split(":")[2]
    return f"  event {int(number):>6,}  {t.kind.replace('_', ' '):<10} {t.reason}"


def read_back(settings: Settings, stream: Made) -> Summary:
    """Read what the topics hold, and judge it by the scenario's own labels."""
    with open_log(settings) as log:
        records = {
            topic: list(log.read(topic, 0, *log.bounds(topic, 0)))
            for topic in ("events", "predictions", "transitions")
        }
    truths = [row["target"] for row in stream.rows()]
    decoder = msgspec.json.Decoder(Prediction)
    predictions = [decoder.decode(r.value or b"") for r in records["predictions"]]
    tenth = max(1, len(truths) // 10)
    right: Counter[int] = Counter()
    for prediction in predictions:
        number = int(prediction.id.rpartition("-")[2]) - 1
        right[number // tenth] += prediction.prediction == truths[number]
    return Summary(
        events=len(records["events"]),
        predictions=len(predictions),
        distinct=len({p.id for p in predictions}),
        right=[right[i] / tenth for i in range(len(truths) // tenth)],
        served=dict(Counter(p.served_by for p in predictions)),
        transitions=[msgspec.json.decode(r.value or b"", type=Transition) for r in records["transitions"]],
    )


def report(summary: Summary, console: Console) -> None:
    """Print the summary."""
    marks = "▁▂▃▄▅▆▇█"
    line = "".join(marks[min(7, int(share * 8))] for share in summary.right)
    console.print("\n[bold]Read back from the topics[/]")
    console.print(f"  {summary.events:,} events, {summary.predictions:,} predictions, one for each event")
    console.print(f"  right, by tenths of the stream: {line}  " + " ".join(f"{s:.0%}" for s in summary.right))
    served: Mapping[str, Any] = summary.served
    total = max(1, summary.predictions)
    console.print("  served by: " + ", ".join(f"{who} {n / total:.0%}" for who, n in served.items()))
    for transition in summary.transitions:
        console.print(_told(transition), highlight=False)
