"""How soon a worker answers over HTTP while it works: ``python benchmarks/ask.py``.

A worker takes events at a steady rate from Kafka; beside it requests of one event each come at a steady
rate, from a process of their own. A request's time runs from when it was due, so that one that had to wait
for others counts its waiting. The first line of a round is what the machine gives: the same requests to a
bare server, in a process that does nothing else. Three rounds take some five minutes, most of them for
starting workers; on the standard error stands what is waited for.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from bench import Bench, cpu_seconds, started, watch
from cluster import Topics, wait_for, wait_for_port
from report import percentile
from workload import FEATURES, Setup, rows

from stream.adapters.brokers import HOST, JARS, free_ports, java_kafka
from stream.adapters.processes import Child

WARM = 2000  # events that start everything up
PATIENCE = 30.0  # seconds for one answer; it counts as failed then
START = 120.0  # seconds for a worker to answer the first events
MARGIN = 15.0  # seconds that the load outlasts the asking, less what its process takes to start


async def ask(url: str, rate: float, seconds: float) -> tuple[list[float], int]:
    """Send requests at a rate; returns milliseconds of each that was answered, and how many were not."""
    taken: list[float] = []
    failed = 0
    body = {"events": [{"key": "k1", "features": {name: 0.5 for name in FEATURES}}]}

    async with ClientSession(connector=TCPConnector(limit=64), timeout=ClientTimeout(PATIENCE)) as session:

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


def bare(port: int) -> None:
    """Answer every request with the same few bytes, until killed."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}", content_type="application/json")

    application = web.Application()
    application.router.add_post("/api/v1/predict", answer)
    web.run_app(application, host="127.0.0.1", port=port, print=None, access_log=None)


def told(port: int, rate: float, seconds: float) -> dict[str, float]:
    """Ask from a process of its own; returns what it measured."""
    _say(f"asking for {seconds:g} s")
    command = [sys.executable, __file__, "--client", f"http://{HOST}:{port}"]
    options = ["--requests", str(rate), "--seconds", str(seconds)]
    done = subprocess.run(
        [*command, *options],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=2 * (seconds + PATIENCE),
    )
    return dict(zip(("p50", "p95", "p99", "failed"), map(float, done.stdout.split()), strict=True))


def floor(folder: Path, rate: float, seconds: float) -> dict[str, float]:
    """Ask a bare server; returns what was measured."""
    port = free_ports(1)[0]
    _say("starting a bare server")
    with Child([sys.executable, __file__, "--bare", str(port)], folder, folder / "bare.log"):
        wait_for_port(f"{HOST}:{port}")
        return told(port, rate, seconds)


def measure(brokers: str, folder: Path, load: float, rate: float, seconds: float) -> dict[str, Any]:
    """Run a worker under load and ask it; returns what was measured."""
    port = free_ports(1)[0]
    setup = Setup(brokers, f"ask-{os.getpid()}", 1, str(folder))
    start = int(time.time() * 1000)
    os.environ["BENCH_WEB_PORT"] = str(port)
    with Topics(setup) as topics:
        topics.fill(rows(WARM, 1, start=start, step=1000 / load))
        _say(f"starting a worker, which answers {WARM:,} events first")
        with started("meander", setup) as child:
            _await(topics, child, WARM)
            count = int(load * (seconds + MARGIN))
            with Bench.pacing(setup, load, WARM, count, start):
                _say("waiting for the load to begin")
                _await(topics, child, WARM + 1)
                before, answers, since = cpu_seconds(child.pid), topics.count(), time.monotonic()
                got: dict[str, Any] = told(port, rate, seconds)
                passed = time.monotonic() - since
                got["core"] = ((cpu_seconds(child.pid) or 0) - (before or 0)) / passed
                got["answered"] = (topics.count() - answers) / passed
            _say("stopping the worker")
    return got


def _await(topics: Topics, child: Child, answers: int) -> None:
    try:
        watch(topics, child, answers, START, lambda _: None)
    except RuntimeError as error:
        raise click.ClickException(f"The worker: {error}. {child.last_words()}") from None


def _say(what: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {what}", err=True)


@click.command()
@click.option("--load", default=10_000.0, show_default=True, help="Events a second on the topic meanwhile.")
@click.option("--requests", default=500.0, show_default=True, help="Requests a second.")
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--client", help="Only ask the worker at this address, and print what was measured.")
@click.option("--bare", "port", type=int, help="Only answer at this port, with nothing.")
def main(
    load: float, requests: float, seconds: float, rounds: int, client: str | None, port: int | None
) -> None:
    """Measure asking over HTTP, beside no load and beside a load."""
    if port:
        bare(port)
    elif client:
        taken, failed = asyncio.run(ask(client, requests, seconds))
        shares = " ".join(f"{percentile(taken, share):.2f}" for share in (0.5, 0.95, 0.99))
        click.echo(f"{shares} {failed}")
    else:
        compare(load, requests, seconds, rounds)


def compare(load: float, requests: float, seconds: float, rounds: int) -> None:
    """Print a table: a bare server, a worker with little to do, a worker under load."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that whatever was started is ended
    folder = Path(tempfile.mkdtemp(prefix="meander-ask-"))
    try:
        _say("starting a broker")
        with java_kafka(folder / "kafka", jars=JARS) as broker:
            wait_for(broker.address)
            click.echo(
                "| beside | p50 ms | p95 ms | p99 ms | failed | worker, cores | answered/s | load average |"
            )
            click.echo("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
            for number in range(rounds):
                _tell("bare server", floor(folder, requests, seconds))
                for beside in (100.0, load):
                    run = folder / f"{number}-{beside:g}"
                    run.mkdir()
                    _tell(f"{beside:,.0f} events/s", measure(broker.address, run, beside, requests, seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(beside: str, got: dict[str, float]) -> None:
    cells = [f"{got[name]:.1f}" for name in ("p50", "p95", "p99")]
    cells += [f"{got['failed']:.0f}", f"{got.get('core', 0):.2f}", f"{got.get('answered', 0):,.0f}"]
    click.echo(f"| {beside} | {' | '.join(cells)} | {os.getloadavg()[0]:.1f} |")


if __name__ == "__main__":
    main()
