"""Rivals side by side on Apache Kafka: ``python benchmarks/bench.py --quick``; see the README here."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import click
import msgspec
from cluster import Topics, wait_for
from report import TITLES, Case, Run, markdown, percentile, with_ratios
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from workload import Label, Row, Setup, rows

from stream.adapters.brokers import JARS, java_kafka
from stream.adapters.processes import Child

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable
PATH = click.Path(path_type=Path)
console = Console(stderr=True)


class Rival(NamedTuple):
    """A program, the cases it takes part in, and the share of the events it gets (slow ones get fewer)."""

    command: list[str]
    cases: tuple[Case, ...]
    share: float = 1.0


RIVALS = {
    "raw": Rival([PYTHON, "raw.py", "msgspec"], ("throughput", "latency")),
    "raw-stdlib": Rival([PYTHON, "raw.py", "stdlib"], ("throughput",)),
    "raw-join": Rival([PYTHON, "raw_join.py"], ("labels",)),
    "meander": Rival([PYTHON, "meander_worker.py"], ("throughput", "labels", "latency")),
    "bytewax": Rival([PYTHON, "-m", "bytewax.run", "bytewax_flow"], ("throughput", "latency")),
    "quix": Rival([PYTHON, "quix.py"], ("throughput", "latency")),
    "faust": Rival(
        [PYTHON, "-m", "faust", "-A", "faust_agent", "worker", "-l", "info", "--without-web"],
        ("throughput", "latency"),
        share=0.2,
    ),
    "meander-fast": Rival([PYTHON, "meander_worker.py", "fast"], ("throughput",)),
    "meander-transactions": Rival([PYTHON, "meander_worker.py", "transactions"], ("throughput", "latency")),
}
FIELD = [rival for rival in RIVALS if not rival.startswith("meander-")]
REFERENCES: dict[Case, str] = {"throughput": "raw", "labels": "raw-join", "latency": "raw"}


class Sample(NamedTuple):
    """Seconds, answers so far, seconds of processor time so far."""

    at: float
    answers: int
    cpu: float | None


def cpu_seconds(group: int | None) -> float | None:
    """Return the processor time used so far by the processes of a group, None where ``/proc`` is missing."""
    total, seen = 0, False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                total, seen = total + int(fields[11]) + int(fields[12]), True
    return total / os.sysconf("SC_CLK_TCK") if seen else None


@contextlib.contextmanager
def started(rival: str, setup: Setup) -> Iterator[Child]:
    """Run a rival; end it kindly, then not, and at once where something went wrong."""
    environment = {**os.environ, **setup.environment(), "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"}
    log = Path(setup.folder) / "rival.log"
    with Child(RIVALS[rival].command, HERE / "rivals", log, environment) as child:
        yield child
        child.stop(timeout=15)


def watch(
    topics: Topics, child: Child, until: int, limit: float, note: Callable[[int], None]
) -> list[Sample]:
    """Wait until so many answers are in the output topic; return samples on the way.

    Raises
    ------
    RuntimeError
        When the rival ends, or the time limit passes, before that.
    """
    samples: list[Sample] = []
    begin = time.monotonic()
    while True:
        samples.append(Sample(time.monotonic() - begin, topics.count(), cpu_seconds(child.pid)))
        note(samples[-1].answers)
        if samples[-1].answers >= until:
            return samples
        if child.pid is None:
            raise RuntimeError(f"ended with status {child.status} after {samples[-1].answers:,} answers")
        if samples[-1].at > limit:
            raise RuntimeError(f"only {samples[-1].answers:,} of {until:,} answers within {limit:.0f} s")
        time.sleep(0.1)


def cpu_per_event(samples: list[Sample]) -> float | None:
    """Return microseconds of processor time an event, from a tenth of the answers to the last."""
    last = samples[-1]
    first = next(s for s in samples if s.answers >= last.answers / 10)
    if first.cpu is None or last.cpu is None or last.answers == first.answers:
        return None
    return 1e6 * (last.cpu - first.cpu) / (last.answers - first.answers)


class Bench:
    """Runs rivals one at a time and keeps what was measured."""

    def __init__(self, brokers: str, folder: Path, options: "Options", progress: Progress) -> None:
        self.brokers, self.folder, self.options, self.progress = brokers, folder, options, progress
        self.runs: list[Run] = []
        self._rows: dict[tuple[int, int, bool], list[Row]] = {}
        self._number = 0

    def rows(self, count: int, partitions: int, apart: bool) -> list[Row]:
        """Return encoded events, made once for each combination."""
        key = count, partitions, apart
        if key not in self._rows:
            start = int(time.time() * 1000) - count
            drift_every = self.options.drift_every
            self._rows[key] = list(rows(count, partitions, start=start, apart=apart, drift_every=drift_every))
        return self._rows[key]

    def run(self, case: Case, partitions: int, round_: int, rival: str) -> None:
        """Run one rival once."""
        self._number += 1
        folder = self.folder / f"run{self._number}"
        folder.mkdir()
        setup = Setup(self.brokers, f"bench-{os.getpid()}-{self._number}", partitions, str(folder))
        run = Run(
            case=case, partitions=partitions, round=round_, rival=rival, load=round(os.getloadavg()[0], 2)
        )
        task = self.progress.add_task(f"{case} p={partitions} round {round_}: {rival}", total=None)
        before = os.times()
        try:
            with Topics(setup) as topics:
                (self._latency if case == "latency" else self._throughput)(run, setup, topics, task)
        except Exception as error:  # one run's trouble must not lose the others' figures
            run.problem = str(error) or type(error).__name__
            log = folder / "rival.log"
            tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            self.progress.console.print(f"{rival}: {run.problem}", *tail, sep="\n  ", markup=False)
        finally:
            self.progress.remove_task(task)
        after = os.times()
        if case != "latency":  # there the pacing process would count as well
            run.cpu_s = sum(after[2:4]) - sum(before[2:4])
        self.runs.append(run)
        self.progress.console.print(_line(run), soft_wrap=True, highlight=False)
        if not self.options.keep:
            shutil.rmtree(folder, ignore_errors=True)

    def _throughput(self, run: Run, setup: Setup, topics: Topics, task: object) -> None:
        run.events = max(1, int(self.options.events * RIVALS[run.rival].share))
        apart = run.case == "labels"
        data = self.rows(run.events, run.partitions, apart)
        topics.fill(data)
        note = self._noter(task, run.events)
        with started(run.rival, setup) as child:
            samples = watch(topics, child, run.events, self.options.limit, note)
        outputs = topics.outputs()
        run.answered, run.distinct = outputs.records, len(outputs.appended)
        run.cpu_us = cpu_per_event(samples)
        times = outputs.appended.values()
        run.rate = run.events / max(0.001, (max(times) - min(times)) / 1000)
        run.accuracy = _accuracy(data, outputs.answers)
        if run.distinct != run.events:
            run.problem = f"answered {run.distinct:,} of {run.events:,} events"

    def _latency(self, run: Run, setup: Setup, topics: Topics, task: object) -> None:
        rate = self.options.rate or self._half_of_meander(run.partitions)
        own = self._throughputs(run.rival, run.partitions)
        if own and rate > 0.9 * statistics.median(own):
            raise RuntimeError(f"cannot keep up with {rate:,.0f} events/s")
        run.rate, warm = rate, 2000
        run.events = int(rate * self.options.seconds)
        # Times as planned: the first events start everything up, the pacing process sends the others.
        start = int(time.time() * 1000)
        note = self._noter(task, warm + run.events)
        topics.fill(rows(warm, run.partitions, start=start, step=1000 / rate))
        with started(run.rival, setup) as child:
            watch(topics, child, warm, self.options.limit, note)
            with self.pacing(setup, rate, warm, run.events, start) as pacing:
                limit = 2 * self.options.seconds + self.options.limit
                samples = watch(topics, child, warm + run.events, limit, note)
                run.late = float(pacing.communicate(timeout=60)[0])
        outputs, inputs = topics.outputs(), topics.inputs()
        run.answered, run.distinct = outputs.records - warm, len(outputs.appended) - warm
        run.cpu_us = cpu_per_event([s for s in samples if s.answers > warm])
        measured = [f"e{i}" for i in range(warm + run.events // 10, warm + run.events)]
        delays = [float(outputs.appended[id_] - inputs[id_]) for id_ in measured]
        run.p50, run.p95, run.p99 = (percentile(delays, share) for share in (0.5, 0.95, 0.99))

    @staticmethod
    @contextlib.contextmanager
    def pacing(
        setup: Setup, rate: float, first: int, count: int, start: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        arguments = [str(value) for value in (rate, first, count, start)]
        process = subprocess.Popen(
            [PYTHON, str(HERE / "pace.py"), *arguments],
            env={**os.environ, **setup.environment()},
            stdout=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _half_of_meander(self, partitions: int) -> float:
        own = self._throughputs("meander", partitions)
        if not own:
            raise RuntimeError("no throughput of meander to halve: give --rate, or run case throughput first")
        return round(statistics.median(own) / 2, -2)

    def _throughputs(self, rival: str, partitions: int) -> list[float]:
        wanted = "throughput", rival, partitions
        return [r.rate for r in self.runs if (r.case, r.rival, r.partitions) == wanted and r.rate]

    def _noter(self, task: object, total: int) -> Callable[[int], None]:
        def note(count: int) -> None:
            self.progress.update(task, completed=count, total=total)  # type: ignore[arg-type]

        return note


def _accuracy(data: list[Row], answers: dict[str, bool]) -> float:
    right = 0
    for i, row in enumerate(data):
        truth = msgspec.json.decode(row.label or row.event, type=Label).label
        right += answers.get(f"e{i}") is truth
    return right / len(data)


def _line(run: Run) -> str:
    head = f"{run.case} p={run.partitions} round {run.round} {run.rival:<10}"
    if run.problem:
        return f"{head} {run.problem}"
    cpu = "" if run.cpu_us is None else f"  {run.cpu_us:.1f} µs CPU/event"
    if run.case == "latency":
        delays = f"p50 {run.p50:.0f}  p95 {run.p95:.0f}  p99 {run.p99:.0f} ms at {run.rate:,.0f}/s"
        return f"{head} {delays}{cpu}  sent {run.late:.0f} ms late"
    return f"{head} {run.rate:>9,.0f} events/s{cpu}  accuracy {run.accuracy:.3f}"


class Options(NamedTuple):
    """What the command line asked for."""

    events: int
    rounds: int
    partitions: tuple[int, ...]
    rivals: tuple[str, ...]
    cases: tuple[Case, ...]
    seconds: float
    rate: float | None
    drift_every: int
    limit: float
    keep: bool


def facts() -> dict[str, object]:
    """Return what a reader needs to know about this machine and these versions."""
    names = ("confluent-kafka", "quixstreams", "bytewax", "faust-streaming", "aiokafka", "river", "msgspec")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def measure(options: Options, brokers: str, folder: Path) -> list[Run]:
    """Run everything, rivals in turn within a round, and return the runs."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bench = Bench(brokers, folder, options, progress)
        with contextlib.suppress(KeyboardInterrupt):  # what was measured so far is still reported
            for case in options.cases:
                for partitions in options.partitions:
                    for round_ in range(1, options.rounds + 1):
                        for rival in options.rivals:
                            if case in RIVALS[rival].cases:
                                bench.run(case, partitions, round_, rival)
    return with_ratios(bench.runs, REFERENCES)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=200_000, show_default=True, help="Events a run (faust: a fifth of it).")
@click.option("--rounds", default=3, show_default=True, help="Each rival once a round; medians are reported.")
@click.option("--partitions", default="1,4", show_default=True, help="Numbers of partitions.")
@click.option("--only", default=",".join(FIELD), show_default=True, help="Rivals.")
@click.option("--cases", default=",".join(TITLES), show_default=True, help="Cases.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of a latency run.")
@click.option(
    "--rate", type=float, help="Events a second for latency. Default: half of meander's throughput."
)
@click.option(
    "--drift-every", default=0, help="Invert the relation each time so many events passed; 0: never."
)
@click.option("--limit", default=180.0, show_default=True, help="Seconds a run may take.")
@click.option("--brokers", help="Kafka that runs already. Default: one is started.")
@click.option("--kafka-libs", type=PATH, default=JARS, help="Apache Kafka's jars. Default: of: make kafka")
@click.option("--out", type=PATH, help="Write results here: NAME.json and NAME.md.")
@click.option("--keep", is_flag=True, help="Keep the rivals' logs and folders.")
@click.option("--quick", is_flag=True, help="40,000 events, one round, one partition, 4 s of latency.")
def main(
    events: int, rounds: int, partitions: str, only: str, cases: str, seconds: float, rate: float | None,
    drift_every: int, limit: float, brokers: str | None, kafka_libs: Path, out: Path | None, keep: bool,
    quick: bool,
) -> None:  # fmt: skip
    """Measure rivals side by side on Apache Kafka.

    Example: python benchmarks/bench.py --events 200000 --rounds 3 --partitions 1,4 --only raw,meander
    """
    if quick:
        events, rounds, partitions, seconds = 40_000, 1, "1", 4.0
    options = Options(
        events=events,
        rounds=rounds,
        partitions=tuple(int(p) for p in partitions.split(",")),
        rivals=_chosen(only, list(RIVALS)),
        cases=cast("tuple[Case, ...]", _chosen(cases, list(TITLES))),
        seconds=seconds,
        rate=rate,
        drift_every=drift_every,
        limit=limit,
        keep=keep,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that rival and broker are stopped as well
    folder = Path(tempfile.mkdtemp(prefix="meander-bench-"))
    try:
        with contextlib.ExitStack() as stack:
            if brokers:
                wait_for(brokers)
            else:
                broker = stack.enter_context(java_kafka(folder / "kafka", jars=kafka_libs))
                brokers = broker.address
            runs = measure(options, brokers, folder)
    finally:
        if keep:
            console.print(f"Logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    table = markdown(runs)
    click.echo(table)
    if out:
        out.with_suffix(".md").write_text(table, encoding="utf-8")
        plain = {"machine": facts(), "options": options._asdict(), "runs": runs}
        out.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(plain)))


def _chosen(text: str, known: list[str]) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"unknown: {', '.join(unknown)}. Known: {', '.join(known)}")
    return names


if __name__ == "__main__":
    main()
