"""What somebody who watches the operations page costs the server: ``python benchmarks/viewers.py``.

The API and page of 16 partitions, told anew once a second as workers do, and so many event streams that are
read by a process of their own. Processor time of the serving process, as a share of a core.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import msgspec
from aiohttp import ClientSession, TCPConnector, web
from workload import FEATURES, rows

from learners.definition import parse_definition
from monitoring.api import Api
from monitoring.board import Board
from monitoring.control import Desk
from monitoring.guard import Guard
from stream.adapters.brokers import free_ports
from stream.messages import Record
from stream.processing.processor import Processor
from stream.processing.standing import Status
from stream.processing.tally import DELAY_EDGES, LATENCY_EDGES
from stream.settings import Web

PARTITIONS = 16


class Statuses:
    """Tells how every partition stands once a second, from records that were encoded as on the topic."""

    def __init__(self) -> None:
        definition = parse_definition(
            {
                "name": "bench", "task": "binary", "scope": "partition",
                "features": {name: {} for name in FEATURES}, "label": {"classes": [False, True]},
                "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
            }
        )  # fmt: skip
        self._standings = []
        for number in range(PARTITIONS):
            processor = Processor(definition, number)
            for offset, row in enumerate(rows(500, 1, start=1_700_000_000_000)):
                processor.process(Record("events", number, offset, 1_700_000_000_000, row.key, row.event))
            standing = processor.standing()
            standing.transitions = []
            self._standings.append(standing)
        self._decode = msgspec.json.Decoder(Status).decode
        self._last = 0.0

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to stop."""

    def drain(self, board: Board) -> None:
        """Tell, where a second has passed."""
        if time.monotonic() - self._last < 0.9:
            return
        self._last = time.monotonic()
        for standing in self._standings:
            status = Status(
                at=round(time.time() * 1000), worker="w1", expected=PARTITIONS, standing=standing,
                lag={"events": (3, 0.1)}, latency=[1] * (len(LATENCY_EDGES) + 1),
                delay=[1] * (len(DELAY_EDGES) + 1), snapshot_at=time.time(), snapshot_failures=0,
            )  # fmt: skip
            board.take_status(self._decode(msgspec.json.encode(status)))


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """Serve the API; yields the port."""
    (port,) = free_ports(1)
    board = Board("bench", "binary", PARTITIONS)
    application = web.Application()
    Api(board, Statuses(), Desk(board, lambda _: None), Guard(Web(), {})).add_to(application)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


async def watch(port: int, viewers: int) -> None:
    """Read so many event streams until killed."""

    async def one(session: ClientSession) -> None:
        async with session.get(f"http://127.0.0.1:{port}/api/v1/stream") as answer:
            while await answer.content.readany():
                pass

    async with ClientSession(connector=TCPConnector(limit=0), timeout=None) as session:
        await asyncio.gather(*(one(session) for _ in range(viewers)))


async def measure(port: int, viewers: int, seconds: float) -> float:
    """Return the server's share of a core with so many viewers."""
    command = [sys.executable, __file__, "--port", str(port), "--viewers", str(viewers)]
    process = await asyncio.create_subprocess_exec(*command) if viewers else None
    try:
        await asyncio.sleep(4.0)
        began, at = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        return (time.process_time() - began) / (time.monotonic() - at)
    finally:
        if process is not None:
            process.kill()
            await process.wait()


async def compare(seconds: float) -> None:
    """Print a table."""
    async with served() as port:
        click.echo("| viewers | share of a core | of each |")
        click.echo("| ---: | ---: | ---: |")
        nobody = 0.0
        for viewers in (0, 1, 10, 50):
            share = await measure(port, viewers, seconds)
            nobody = nobody if viewers else share
            each = f"{(share - nobody) / viewers:.3%}" if viewers else ""
            click.echo(f"| {viewers} | {share:.2%} | {each} |")


@click.command()
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--port", type=int, hidden=True)
@click.option("--viewers", type=int, default=1, hidden=True)
def main(seconds: float, port: int | None, viewers: int) -> None:
    """Measure what viewers of the operations page cost."""
    asyncio.run(watch(port, viewers) if port else compare(seconds))


if __name__ == "__main__":
    main()
