"""What predictions cost that wait for their labels, no Kafka: ``python benchmarks/waiting.py``.

Ten numeric features, three members. For each number that waits: bytes of memory for one; microseconds of an
event, of a label that comes (of a random one of those that wait) and of one whose time is over; the first
snapshot, written in pieces between batches; one when 1,000 more wait; how long a restart takes; and the
longest that any of this held a partition up (but for ticks, which end up to 5,000 waits, while inputs are
silent). Then they change as fast as they can, 25,000 between two snapshots: an event comes, and a label for
any of those that wait; microseconds for both, what a snapshot appends, and the longest hold-up. Time is
processor time, and garbage is collected as seldom as in a worker: with Python's own settings one that walks
through all that waits falls into any.
"""

import gc
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from learners.definition import Definition, parse_definition
from stream.adapters.saving import PIECE
from stream.app import COLLECTIONS
from stream.messages import Record
from stream.processing.processor import Processor
from stream.processing.segments import Appended

ROUNDS, EACH = 20, 25_000
FEATURES = tuple(f"feature_{n}" for n in range(10))
START = 1_700_000_000_000


def definition() -> Definition:
    """Return the deployment: three models that cost little."""
    return parse_definition(
        {
            "name": "waiting",
            "task": "binary",
            "features": {name: {} for name in FEATURES},
            "label": {"classes": [False, True], "pending_limit": 10_000_000, "ttl": "1h", "idle": "0s"},
            "models": {
                "lr": {"recipe": "logistic_regression"},
                "faster": {"recipe": "logistic_regression", "parameters": {"learning_rate": 0.1}},
                "slower": {"recipe": "logistic_regression", "parameters": {"learning_rate": 0.001}},
            },
            "drift": {"on_drift": "tell"},
        }
    )


def resident() -> int:
    """Return the bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def event(n: int) -> Record:
    numbers = ",".join(f'"{name}":{(n * (k + 7) % 1009) / 1009}' for k, name in enumerate(FEATURES))
    value = f'{{"id":"event-{n:09d}","timestamp":{START + n},"features":{{{numbers}}}}}'
    return Record("events", 0, n, START + n, f"customer-{n % 5000}".encode(), value.encode())


def label(offset: int, n: int) -> Record:
    value = f'{{"id":"event-{n:09d}","timestamp":{START + n},"label":{"true" if n % 3 else "false"}}}'
    return Record("labels", 0, offset, START + n, b"k", value.encode())


def tick(offset: int, time: int) -> Record:
    return Record("control", 0, offset, time, None, f'{{"type":"tick","timestamp":{time}}}'.encode())


class Row(msgspec.Struct):
    """Figures for one number of predictions that wait; see the titles."""

    waiting: int
    bytes_each: float
    event_us: float
    label_us: float
    expiry_us: float
    first_mb: float
    first_s: float
    first_pieces: int
    more_kb: float
    more_ms: float
    restart_s: float
    longest_ms: float
    churn_us: float
    churn_mb: float
    churn_ms: float


TITLES = (
    "waiting", "bytes each", "event µs", "label µs", "expiry µs", "first snapshot MB", "s", "pieces",
    "1,000 more kB", "ms", "restart s", "longest hold-up ms", "in change: µs", "a snapshot MB",
    "longest hold-up ms",
)  # fmt: skip


class Worker:
    """A processor and its store, in memory; notes the longest that one step took."""

    def __init__(self, made: Definition) -> None:
        self.processor = Processor(made)
        self.stored: dict[str, bytearray] = {}
        self.longest = 0.0

    def timed(self, step: Callable[[], Any]) -> tuple[Any, float]:
        """Return what a step gives, and the seconds it took."""
        begin = time.process_time()
        found = step()
        took = time.process_time() - begin
        self.longest = max(self.longest, took)
        return found, took

    def process(self, records: Iterable[Record]) -> float:
        """Return microseconds for each."""
        times = [self.timed(partial(self.processor.process, record))[1] for record in records]
        return 1e6 * sum(times) / max(1, len(times))

    def save(self) -> tuple[bytes, int, float, int]:
        """Take a snapshot as a worker does; returns it, bytes in all, seconds, pieces written ahead."""
        size, seconds, pieces = 0, 0.0, 0
        while True:
            appended, took = self.timed(partial(self.processor.write_ahead, PIECE))
            seconds += took
            if not appended:
                break
            pieces += 1
            size += self._append(appended)
        (data, appended), took = self.timed(self.processor.checkpoint)
        return data, size + len(data) + self._append(appended), seconds + took, pieces

    def _append(self, appended: list[Appended]) -> int:
        for segment, more in appended:
            self.stored.setdefault(segment, bytearray()).extend(more)
        return sum(len(more) for _, more in appended)

    def restart(self, data: bytes) -> float:
        """Return the seconds it takes to go on from a snapshot in a new processor."""
        other = Processor(self.processor.definition)
        other._keys = self.processor._keys
        begin = time.process_time()
        other.restore(data, read=lambda segment, length: bytes(self.stored[segment][:length]))
        return time.process_time() - begin


def churn(
    worker: Worker, there: list[int], offset: int, first: int, rng: random.Random
) -> tuple[float, float]:
    """Let one come for each that goes; return microseconds for both, and bytes that a snapshot appends."""
    spent, size = 0.0, 0
    for round_ in range(ROUNDS):
        for n in range(first + round_ * EACH, first + (round_ + 1) * EACH):
            at = rng.randrange(len(there))
            gone, there[at] = there[at], n
            spent += worker.timed(partial(worker.processor.process, event(n)))[1]
            spent += worker.timed(partial(worker.processor.process, label(offset, gone)))[1]
            offset += 1
        size += worker.save()[1]
        for segment in worker.stored.keys() - set(worker.processor.segments()):
            del worker.stored[segment]
    return 1e6 * spent / (ROUNDS * EACH), size / ROUNDS


def measure(made: Definition, count: int) -> Row:
    """Let so many wait, and look."""
    worker, rng = Worker(made), random.Random(1)
    for n in range(200):
        worker.processor.process(event(n))
        worker.processor.process(label(n, n))
    gc.collect()
    before = resident()
    worker.process(event(n) for n in range(200, 200 + count))
    gc.collect()
    each = (resident() - before) / count
    _, first, seconds, pieces = worker.save()
    more = worker.process([event(n) for n in range(200 + count, 1200 + count)])
    data, size, took, _ = worker.save()
    restart = worker.restart(data)
    chosen = rng.sample(range(200, 200 + count), min(1000, count // 2))
    late = worker.process([label(200 + k, n) for k, n in enumerate(chosen)])
    longest, worker.longest = worker.longest, 0.0
    there = sorted(set(range(200, 1200 + count)) - set(chosen))
    both, appended = churn(worker, there, 200 + len(chosen), 1200 + count, rng)
    churned = worker.longest
    end = START + 1200 + count + ROUNDS * EACH + 3_600_000
    ticks = [tick(n, end + n * 1000) for n in range(2)]
    expired = worker.processor.books.expired
    over = worker.process(ticks) * len(ticks) / max(1, worker.processor.books.expired - expired)
    return Row(
        count, each, more, late, over, first / 1e6, seconds, pieces, size / 1e3, took * 1e3, restart,
        longest * 1e3, both, appended / 1e6, churned * 1e3,
    )  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--waiting", default="1000,100000,1000000", show_default=True, help="How many wait.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(waiting: str, out: Path | None) -> None:
    """Print a table. Example: python benchmarks/waiting.py --waiting 1000,100000 --out waiting.json"""
    made = definition()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
    click.echo(f"| {' | '.join(TITLES)} |\n|{' ---: |' * len(TITLES)}")
    rows = []
    for count in map(int, waiting.split(",")):
        rows.append(measure(made, count))
        figures = msgspec.structs.astuple(rows[-1])
        shown = [f"{f:,}" if isinstance(f, int) else f"{f:,.1f}" if f < 100 else f"{f:,.0f}" for f in figures]
        click.echo(f"| {' | '.join(shown)} |")
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))


if __name__ == "__main__":
    main()
