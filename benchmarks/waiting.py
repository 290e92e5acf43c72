"""What predictions cost that wait for their labels, no Kafka: ``python benchmarks/waiting.py``.

Ten numeric features, three members. For each number that waits: bytes of memory for one, microseconds of an
event and of a label that comes, size and time of the first snapshot, of one when nothing new waits and of one
when 1,000 more do, and how long a restart takes. Time is processor time, and garbage is collected as seldom
as in a worker: with Python's own settings a collection that walks through all that waits falls into any.
"""

import gc
import random
import time
from pathlib import Path

import click

from learners.definition import Definition, parse_definition
from stream.app import COLLECTIONS
from stream.messages import Record
from stream.processing.processor import Processor

FEATURES = tuple(f"feature_{n}" for n in range(10))
START = 1_700_000_000_000


def definition() -> Definition:
    """Return the deployment: three models that cost little."""
    return parse_definition(
        {
            "name": "waiting",
            "task": "binary",
            "features": {name: {} for name in FEATURES},
            "label": {"classes": [False, True], "pending_limit": 10_000_000},
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


def microseconds(processor: Processor, records: list[Record]) -> float:
    begin = time.process_time()
    for record in records:
        processor.process(record)
    return (time.process_time() - begin) / len(records) * 1e6


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--waiting", default="1000,100000,1000000", show_default=True, help="How many wait.")
def main(waiting: str) -> None:
    """Print a table. Example: python benchmarks/waiting.py --waiting 1000,100000"""
    made = definition()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
    click.echo("| waiting | bytes each | event | label, random | base | snapshot | +1,000 | restart |")
    click.echo("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for count in map(int, waiting.split(",")):
        processor, stored, rng = Processor(made), {}, random.Random(1)

        def save(processor: Processor = processor, stored: dict = stored) -> tuple[bytes, int, float]:
            begin = time.process_time()
            data, appended = processor.checkpoint()
            took = time.process_time() - begin
            for segment, more in appended:
                stored.setdefault(segment, bytearray()).extend(more)
            return data, len(data) + sum(len(more) for _, more in appended), took

        for n in range(200):
            processor.process(event(n))
            processor.process(label(n, n))
        gc.collect()
        before = resident()
        for n in range(200, 200 + count):
            processor.process(event(n))
        gc.collect()
        each = (resident() - before) / count
        _, base_size, base = save()
        _, size, took = save()
        more = microseconds(processor, [event(n) for n in range(200 + count, 1200 + count)])
        data, size_1000, took_1000 = save()
        begin = time.process_time()
        other = Processor(made)
        other._keys = processor._keys
        other.restore(data, read=lambda segment, length, stored=stored: bytes(stored[segment][:length]))
        restart = time.process_time() - begin
        chosen = rng.sample(range(200, 200 + count), min(1000, count))
        late = microseconds(processor, [label(200 + k, n) for k, n in enumerate(chosen)])
        click.echo(
            f"| {count:,} | {each:,.0f} | {more:.0f} µs | {late:.0f} µs"
            f" | {base_size / 1e6:.1f} MB, {base:.2f} s"
            f" | {size / 1e3:.0f} kB, {took * 1e3:.0f} ms"
            f" | {size_1000 / 1e3:.0f} kB, {took_1000 * 1e3:.0f} ms"
            f" | {restart:.1f} s |"
        )


if __name__ == "__main__":
    main()
