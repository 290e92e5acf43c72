"""``python -m tests.chaos.soak``: half an hour of steady load must not make a worker grow."""

import sys
import tempfile
import time
import uuid
from pathlib import Path

import click

from learners.presets import ROSTERS
from stream.adapters.brokers import java_kafka
from tests.chaos.__main__ import kept
from tests.chaos.scenarios import Scenario
from tests.chaos.stage import CLEAN, PARTITIONS, Stage, Watch
from tests.chaos.verifier import judge

FAST = {seat.slot: {"recipe": seat.recipe} for seat in ROSTERS["binary"]["fast"]}
# What is remembered of past events fills up within a minute, so that growth is told from filling.
BRIEF = {"keep_limit": 5_000, "remember_ids": 5_000, "ttl": "60s"}
GROWTH = 0.1  # of resident memory, from `settled` minutes to the end


def resident(pid: int | None) -> float:
    """Return the megabytes that a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def grown(stage: Stage, minutes: int, settled: int) -> float:
    """Run two workers under load, say every minute what they hold; returns the larger one's growth.

    Raises
    ------
    ClickException
        When a worker ends by itself.
    """
    workers = list(stage.workers.values())
    began: dict[int, float] = {}
    sizes: dict[int, float] = {}
    stage.watch = Watch(stage.settings)
    try:
        for child in workers:
            child.start()
        stage.wait(lambda: len(stage.held()) == PARTITIONS, "the workers do not share the partitions")
        stage.flood.start()
        for minute in range(1, minutes + 1):
            time.sleep(60)
            gone = [child.last_words(40) for child in workers if child.pid is None]
            if gone:
                raise click.ClickException("\n".join(gone))
            sizes = {number: resident(child.pid) for number, child in enumerate(workers)}
            began = sizes if minute == settled else began
            shown = "  ".join(f"{size:.0f} MB" for size in sizes.values())
            click.echo(f"minute {minute}: {shown}  answers {sum(stage.watch.ends):,}")
        stage.flood.stop()
        stage.wait(stage.at_the_end, "the inputs are not taken to their end")
        for child in workers:
            status = child.stop(30)
            assert status in CLEAN, f"exit status {status}\n{child.last_words(40)}"
    finally:
        for child in workers:
            child.kill()
        stage.watch.stop()
    return max(sizes[n] / began[n] - 1 for n in sizes)


@click.command()
@click.option("--minutes", default=30, show_default=True)
@click.option("--settled", default=5, show_default=True, help="Minutes until growth is counted.")
@click.option("--rate", default=4000.0, show_default=True, help="Events a second.")
@click.option(
    "--verify/--no-verify", default=False, help="Then judge all answers as chaos does: hours at this rate."
)
def main(minutes: int, settled: int, rate: float, verify: bool) -> None:
    """Run two workers, print their memory every minute, and tell whether they grew."""
    with tempfile.TemporaryDirectory() as name, java_kafka(Path(name) / "kafka") as broker:
        label = {"classes": ["no", "yes"], "on_correction": "learn-again", **BRIEF}
        scenario = Scenario("soak", (), definition={"models": FAST, "label": label})
        folder, deployment = Path(name) / "stage", f"soak-{uuid.uuid4().hex[:8]}"
        stage = Stage(scenario, folder, deployment, broker.address, [broker], None, rate, 1, 1 << 40)
        good = False
        try:
            growth = grown(stage, minutes, min(settled, minutes))
            click.echo(f"growth after minute {settled}: {100 * growth:.1f}%")
            good = growth <= GROWTH
            if verify:
                click.echo("replaying everything: minutes for each million events")
                verdict = judge(stage.settings)
                click.echo(str(verdict))
                good = good and verdict.good
        finally:
            if not good:
                kept(folder, deployment)
        if not good:
            sys.exit(1)


if __name__ == "__main__":
    main()
