"""``python -m tests.chaos.soak``: half an hour of steady load must not make a worker grow."""

import sys
import tempfile
import time
import uuid
from pathlib import Path

import click

from stream.adapters.brokers import java_kafka
from tests.chaos.__main__ import kept
from tests.chaos.scenarios import Scenario
from tests.chaos.stage import CLEAN, Stage, Watch
from tests.chaos.verifier import judge

FAST = {
    "lr": {"recipe": "logistic_regression"},
    "nb": {"recipe": "naive_bayes"},
    "pa": {"recipe": "passive_aggressive"},
    "tree": {"recipe": "hoeffding_tree"},
}
# What is remembered of past events fills up within a minute, so that growth is told from filling.
BRIEF = {"keep_limit": 5_000, "remember_ids": 5_000, "ttl": "60s"}
GROWTH = 0.1  # of resident memory, from `settled` minutes to the end


def resident(pid: int | None) -> float:
    """Return the megabytes that a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@click.command()
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--settled", default=5.0, show_default=True, help="Minutes until growth is counted.")
@click.option("--rate", default=4000.0, show_default=True, help="Events a second.")
def main(minutes: float, settled: float, rate: float) -> None:
    """Run two workers, print their memory every minute, and judge what they did."""
    with tempfile.TemporaryDirectory() as name, java_kafka(Path(name) / "kafka") as broker:
        label = {"classes": ["no", "yes"], "on_correction": "learn-again", **BRIEF}
        scenario = Scenario("soak", (), definition={"models": FAST, "label": label})
        deployment = f"soak-{uuid.uuid4().hex[:8]}"
        stage = Stage(
            scenario, Path(name) / "stage", deployment, broker.address, [broker], None, rate, 1, 1 << 40
        )
        stage.watch = Watch(stage.settings)
        workers = list(stage.workers.values())
        began: dict[int, float] = {}
        try:
            for child in workers:
                child.start()
            stage.wait(lambda: len(stage.held()) == 4, "the workers do not share the partitions")
            stage.flood.start()
            for minute in range(1, round(minutes) + 1):
                time.sleep(60)
                gone = [child.last_words(40) for child in workers if child.pid is None]
                if gone:
                    raise click.ClickException("\n".join(gone))
                sizes = {number: resident(child.pid) for number, child in enumerate(workers)}
                began = sizes if minute == max(1, round(settled)) else began
                shown = "  ".join(f"{size:.0f} MB" for size in sizes.values())
                click.echo(f"minute {minute}: {shown}  answers {sum(stage.watch.ends):,}")
            stage.flood.stop()
            stage.wait(stage.at_the_end, "the inputs are not taken to their end")
            for child in workers:
                status = child.stop(30)
                assert status in CLEAN, f"exit status {status}\n{child.last_words(40)}"
        except BaseException:
            kept(stage.folder, deployment)
            raise
        finally:
            for child in workers:
                child.kill()
            stage.watch.stop()
        growth = max(sizes[n] / began[n] - 1 for n in sizes)
        verdict = judge(stage.settings)
        click.echo(f"growth after minute {settled:g}: {100 * growth:.1f}%  {verdict}")
        if growth > GROWTH or not verdict.good:
            kept(stage.folder, deployment)
            sys.exit(1)


if __name__ == "__main__":
    main()
