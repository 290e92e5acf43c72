"""How soon a worker answers over HTTP while it works: ``python benchmarks/ask.py``.

A worker takes events at a steady rate from Kafka; beside it requests of one event each come at a steady
rate, from a process of their own. A request's time runs from when it was due, so that one that had to wait
for others counts its waiting.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from aiohttp import ClientError, ClientSession, TCPConnector
from bench import Bench, started, watch
from cluster import Topics, wait_for
from report import percentile
from workload import FEATURES, Setup, rows

from stream.adapters.brokers import JARS, free_ports, java_kafka

WARM = 2000  # events that start everything up


async def ask(url: str, rate: float, seconds: float) -> tuple[list[float], int]:
    """Send requests at a rate; returns milliseconds of each that was answered, and how many were not."""
    taken: list[float] = []
    failed = 0
    body = {"events": [{"key": "k1", "features": {name: 0.5 for name in FEATURES}}]}

    async with ClientSession(connector=TCPConnector(limit=64)) as session:

        async def one(due: float) -> None:
            nonlocal failed
            try:
                async with session.post(f"{url}/api/v1/predict", json=body) as answer:
                    await answer.read()
                    failed += answer.status != 200
            except (OSError, ClientError):
                failed += 1
            taken.append(1000 * (time.perf_counter() - due))

        begin = time.perf_counter() + 0.2
        tasks = set()
        for i in range(int(rate * seconds)):
            due = begin + i / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(one(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
    return taken, failed


def measure(brokers: str, folder: Path, load: float, rate: float, seconds: float) -> dict[str, Any]:
    """Run a worker under load and ask it; returns what was measured."""
    port = free_ports(1)[0]
    setup = Setup(brokers, f"ask-{os.getpid()}", 1, str(folder))
    start = int(time.time() * 1000)
    os.environ["BENCH_WEB_PORT"] = str(port)
    with Topics(setup) as topics:
        topics.fill(rows(WARM, 1, start=start, step=1000 / load))
        with started("meander", setup) as process:
            watch(topics, process, WARM, 120.0, lambda _: None)
            count = int(load * (seconds + 4))
            pacing = Bench.pacing(setup, load, WARM, count, start) if load > 0 else contextlib.nullcontext()
            with pacing:
                time.sleep(3.0)
                command = [sys.executable, __file__, "--client", f"http://127.0.0.1:{port}"]
                options = ["--requests", str(rate), "--seconds", str(seconds)]
                told = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
                answered = topics.count()
        p50, p95, p99, failed, sent = (float(word) for word in told.stdout.split())
    return {"p50": p50, "p95": p95, "p99": p99, "failed": failed, "requests": sent, "answered": answered}


@click.command()
@click.option("--load", default=10_000.0, show_default=True, help="Events a second on the topic meanwhile.")
@click.option("--requests", default=500.0, show_default=True, help="Requests a second.")
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--client", help="Only ask the worker at this address, and print what was measured.")
def main(load: float, requests: float, seconds: float, rounds: int, client: str | None) -> None:
    """Measure asking over HTTP, beside no load and beside a load."""
    if client:
        taken, failed = asyncio.run(ask(client, requests, seconds))
        shares = " ".join(f"{percentile(taken, share):.2f}" for share in (0.5, 0.95, 0.99))
        click.echo(f"{shares} {failed} {len(taken)}")
        return
    folder = Path(tempfile.mkdtemp(prefix="meander-ask-"))
    try:
        with java_kafka(folder / "kafka", jars=JARS) as broker:
            wait_for(broker.address)
            click.echo("| load, events/s | requests/s | p50 ms | p95 ms | p99 ms | failed |")
            click.echo("| ---: | ---: | ---: | ---: | ---: | ---: |")
            for number in range(rounds):
                for beside in (100.0, load):
                    run = folder / f"{number}-{beside:g}"
                    run.mkdir()
                    got = measure(broker.address, run, beside, requests, seconds)
                    cells = (f"{got[name]:.1f}" for name in ("p50", "p95", "p99"))
                    click.echo(
                        f"| {beside:,.0f} | {requests:g} | {' | '.join(cells)} | {got['failed']:.0f} |"
                    )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
