"""What a snapshot costs: ``python benchmarks/snapshots.py``. No Kafka: Processor, encoding, file store.

For each roster: size; processor time of encoding (the stall of a partition's answers) and of writing; the
interval that keeps both at 3% of a core; how long loading takes; what making it adds to memory; the longest
time that an event loop stands still while it is made in a thread.
"""

import asyncio
import resource
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import click
from workload import FEATURES, rows

from learners.definition import parse_definition
from stream.adapters.file_store import FileStore
from stream.adapters.pace import Pace
from stream.messages import Record
from stream.processing.processor import Processor

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


def processor_of(models: dict[str, Any], events: int, waiting: int) -> Processor:
    """Return a Processor that has taken so many labelled events, and so many that wait for theirs."""
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
    made = rows(events + waiting, 1, start=1_700_000_000_000)
    for number, row in enumerate(made):
        value = row.event if number < events else row.event.replace(b'"label"', b'"other"')
        processor.process(Record("events", 0, number, 1_700_000_000_000 + number, row.key, value, ()))
    return processor


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
        "roster           |   size MB | encode ms | write ms | every s | load ms | peak +MB | loop stall ms"
    )
    for name, models in ROSTERS.items():
        processor = processor_of(models, forest_events if "forest" in name else events, waiting)
        with tempfile.TemporaryDirectory() as folder:
            store = FileStore(Path(folder))
            encode, write = [], []
            for _ in range(5):
                began = time.thread_time()
                data = processor.snapshot(outputs={}, generation=1)
                encode.append(time.thread_time() - began)
                began = time.thread_time()
                store.save(0, data, 1)
                write.append(time.thread_time() - began)
            began = time.perf_counter()
            Processor(processor.definition).restore(data)
            load = time.perf_counter() - began
        tracemalloc.start()
        processor.snapshot(outputs={}, generation=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        cost = sorted(encode)[2] + sorted(write)[2]
        figures = (
            len(data) / 1e6,
            1000 * sorted(encode)[2],
            1000 * sorted(write)[2],
            Pace(1.0).wait(cost, 1),
            1000 * load,
            peak / 1e6,
            1000 * stall_in_thread(processor),
        )
        click.echo(f"{name:<16}" + "".join(f"{figure:11.1f}" for figure in figures))
    click.echo(f"resident at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
