"""What a snapshot costs: ``python benchmarks/snapshots.py``. No Kafka: Processor, encoding, file store.

As a worker takes them: what was settled since the last one goes ahead into the journal, in pieces, then
the rest is encoded. For each roster: size; processor time of encoding (the stall of a partition's answers)
and of everything; the interval that keeps all of it at 3% of a core; how long loading a whole one takes; what
making that adds to memory; the longest time that an event loop stands still while it is made in a thread.
"""

import asyncio
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
from workload import FEATURES, rows

from learners.definition import parse_definition
from stream.adapters.file_store import FileStore
from stream.adapters.pace import Pace
from stream.adapters.saving import PIECE
from stream.messages import Record
from stream.processing.processor import Processor

ROUNDS, MORE = 9, 1_000  # snapshots, and events between two of them
ROSTERS: dict[str, dict[str, Any]] = {
    "lr": {"lr": {"recipe": "logistic_regression"}},
    "fast roster": {
        "lr": {"recipe": "logistic_regression"},
        "nb": {"recipe": "naive_bayes"},
        "pa": {"recipe": "passive_aggressive"},
        "tree": {"recipe": "hoeffding_tree"},
    },
    "ten-tree forest": {"arf": {"recipe": "adaptive_random_forest"}},
}


Feed = Iterator[Record]


def processor_of(models: dict[str, Any], events: int, waiting: int) -> tuple[Processor, Feed]:
    """Return a Processor that took so many labelled events and so many that wait, and what comes then."""
    definition = parse_definition(
        {
            "name": "bench",
            "task": "binary",
            "label": {"classes": [False, True]},
            "features": {name: {} for name in FEATURES},
            "champion": next(iter(models)),
            "models": models,
            "drift": {"on_drift": "tell"},
        }
    )
    processor = Processor(definition)
    made = rows(events + waiting + ROUNDS * MORE, 1, start=1_700_000_000_000)

    def feed() -> Feed:
        for number, row in enumerate(made):
            waits = events <= number < events + waiting
            value = row.event.replace(b'"label"', b'"other"') if waits else row.event
            yield Record("events", 0, number, 1_700_000_000_000 + number, row.key, value, ())

    records = feed()
    for record in islice(records, events + waiting):
        processor.process(record)
    return processor, records


def stall_in_thread(processor: Processor) -> float:
    """Return the longest time in seconds that the event loop stood still."""

    async def story() -> float:
        worst, task = 0.0, asyncio.create_task(asyncio.to_thread(processor.snapshot, outputs={}))
        while not task.done():
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before - 0.001)
        return worst

    return asyncio.run(story())


@click.command()
@click.option("--events", default=60_000, show_default=True, help="Learned before, by all but the forest.")
@click.option("--forest-events", default=6_000, show_default=True, help="Learned before by the forest.")
@click.option("--waiting", default=1_000, show_default=True, help="Predictions that wait for their label.")
def main(events: int, forest_events: int, waiting: int) -> None:
    """Print a table."""
    click.echo(
        "roster           |   size MB | encode ms |  worst ms |    all ms |   every s |   load ms |  peak +MB"
        " | loop stall ms"
    )
    for name, models in ROSTERS.items():
        processor, feed = processor_of(models, forest_events if "forest" in name else events, waiting)
        with tempfile.TemporaryDirectory() as folder:
            store = FileStore(Path(folder))
            processor.checkpoint(outputs={}, generation=1)
            encode, cost = [], []
            for _ in range(ROUNDS):
                for record in islice(feed, MORE):
                    processor.process(record)
                began = time.thread_time()
                while ahead := processor.write_ahead(PIECE):
                    for segment, more in ahead:
                        store.append(0, segment, more)
                encoding = time.thread_time()
                taken, appended = processor.checkpoint(outputs={}, generation=1)
                encode.append(time.thread_time() - encoding)
                for segment, more in appended:
                    store.append(0, segment, more)
                store.save(0, taken, 1)
                cost.append(time.thread_time() - began)
            store.close()
            data = processor.snapshot(outputs={}, generation=1)
            began = time.perf_counter()
            Processor(processor.definition).restore(data)
            load = time.perf_counter() - began
        tracemalloc.start()
        processor.snapshot(outputs={}, generation=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        whole = statistics.median(cost)
        figures = (
            len(taken) / 1e6,
            1000 * statistics.median(encode),
            1000 * max(encode),
            1000 * whole,
            Pace(1.0).wait(whole, 1),
            1000 * load,
            peak / 1e6,
            1000 * stall_in_thread(processor),
        )
        click.echo(f"{name:<16}" + "".join(f"{figure:11.1f}" for figure in figures))
    click.echo(f"resident at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
