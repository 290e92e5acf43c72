"""``python -m tests.chaos``: runs scenarios and prints one table."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from stream.adapters.brokers import Broker, java_kafka
from tests.chaos.cluster import three_brokers
from tests.chaos.scenarios import Scenario, Store, short, whole
from tests.chaos.stage import Stage, Story, tmpfs
from tests.chaos.verifier import Verdict, judge
from tests.redis_server import redis_server

FAILURES = Path("chaos-failures").resolve()
HEAD = (
    "scenario", "store", "events", "events/s", "missing", "doubled", "out of order", "learned twice",
    "not learned", "other", "kills", "inside a write", "median s", "worst s",
)  # fmt: skip


def play(
    scenario: Scenario, folder: Path, brokers: str | None, rate: float, seed: int = 1, most: int = 1 << 40
) -> "Row":
    """Run a scenario and judge it.

    Parameters
    ----------
    brokers
        A Kafka that runs already. None: one, or as many as the scenario wants, are started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        nodes: list[Broker] = []
        if brokers is None or any(act.what == "broker-kill" for act in scenario.acts):
            if scenario.brokers == 3:
                nodes = stack.enter_context(three_brokers(folder / "kafka"))
            else:
                nodes = [stack.enter_context(java_kafka(folder / "kafka"))]
            brokers = ",".join(node.address for node in nodes)
        if any(act.what == "fill-disk" for act in scenario.acts):
            disk = folder / "stage" / "snapshots"
            if not tmpfs(disk, 8):
                raise click.ClickException("a small disk needs root, to mount it")
            stack.callback(subprocess.run, ["umount", str(disk)], check=False)
        name = f"chaos-{uuid.uuid4().hex[:8]}"
        redis = (
            stack.enter_context(redis_server(_made(folder / "redis"))) if scenario.store == "redis" else None
        )
        stage = Stage(scenario, folder / "stage", name, brokers, nodes, redis, rate, seed, most)
        row = None
        try:
            row = Row(scenario, stage.run(), judge(stage.settings))
        finally:
            if row is None or not row.verdict.good:
                kept(folder / "stage", name)
        return row


def kept(stage: Path, name: str) -> None:
    """Keep logs, definition and snapshots of a run that failed, and say where."""
    place = shutil.copytree(stage, FAILURES / name, ignore=shutil.ignore_patterns("ballast"))
    click.echo(f"What workers said, and what they saved: {place}", err=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Row(msgspec.Struct):
    """A line of the table."""

    scenario: Scenario
    story: Story
    verdict: Verdict

    def cells(self) -> list[Any]:
        """Return it as the table has it."""
        v, s = self.verdict, self.story
        gaps = s.gaps or [0.0]
        return [
            self.scenario.name, self.scenario.store, v.events, round(s.sent / max(s.seconds, 0.1)),
            v.missing, v.doubled, v.out_of_order, v.learned_twice, v.not_learned,
            v.different + v.wrong_probes + v.off_the_books, s.kills + s.failpoints, s.inside_write,
            round(statistics.median(gaps), 1), round(max(gaps), 1),
        ]  # fmt: skip


def table(rows: list[Row]) -> str:
    """Return the rows in Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    lines += ["| " + " | ".join(str(cell) for cell in row.cells()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--store", "stores", type=click.Choice(["files", "redis"]), multiple=True, default=["files"])
@click.option("--kills", default=100, show_default=True, help="Of the long run of kill -9.")
@click.option("--rate", default=2000.0, show_default=True, help="Events a second.")
@click.option("--most", default=400_000, show_default=True, help="Events at that rate; then a twentieth.")
@click.option("--quick", is_flag=True, help="What runs with the other tests.")
@click.option("--only", default="", help="Scenarios whose names contain this.")
@click.option("--brokers", help="A Kafka that runs already, where the scenario does not kill it.")
@click.option("--out", type=click.Path(path_type=Path), help="Write table.md and rows.json here.")
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this folder and keep it.")
def main(
    stores: tuple[Store, ...],
    kills: int,
    rate: float,
    most: int,
    quick: bool,
    only: str,
    brokers: str | None,
    out: Path | None,
    keep: Path | None,
) -> None:
    """Kill, pause and take away, and see whether topics and snapshots tell the same story."""
    scenarios = [s for store in stores for s in (short(store) if quick else whole(store, kills))]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="meander-chaos-") as temporary:
        for number, scenario in enumerate(scenarios):
            if only not in scenario.name:
                continue
            began = time.monotonic()
            click.echo(f"{scenario.store}: {scenario.name} ...", err=True)
            row = play(scenario, (keep or Path(temporary)) / str(number), brokers, rate, number + 1, most)
            rows.append(row)
            click.echo(
                f"  {time.monotonic() - began:.0f} s  {row.verdict}  exits {row.story.exits}", err=True
            )
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                (out / "table.md").write_text(table(rows), encoding="utf-8")
                plain = [{**msgspec.to_builtins(r)} for r in rows]
                (out / "rows.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    click.echo(table(rows))
    if not all(row.verdict.good for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
