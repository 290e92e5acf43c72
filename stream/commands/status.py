"""``meander status``."""

import sys
import time
from typing import Any

import click
import msgspec

from stream.logs import printable
from stream.processing.standing import NEARLY_FULL
from stream.settings import load_settings

NOBODY, MIXED = 1, 4  # exit statuses of a single look


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Once, as JSON: what GET /api/v1/state says.")
@click.option("--once", is_flag=True, help="Once, as a table.  [default where the output is no terminal]")
@click.option("--partition", type=int, help="Of one partition alone.")
def command(definition: str, as_json: bool, once: bool, partition: int | None) -> None:
    """Show who serves, how well, and why: live, from the topics alone.

    Exit status of a single look: 0 all partitions are served, 1 none is, 2 a mistake, 4 some are not.

    \b
    Example:
      meander status deployment.toml
    """
    from monitoring.board import Board
    from monitoring.feed import Feed

    settings = load_settings(definition)
    if partition is not None and not 0 <= partition < settings.partitions:
        raise click.BadParameter(f"there are {settings.partitions}", param_hint="--partition")
    board = Board(settings.definition.name, settings.definition.task, settings.partitions)
    feed = Feed(settings)
    try:
        feed.catch_up(board)
        if as_json or once or not sys.stdout.isatty():
            time.sleep(1.2)  # one more word of every worker: rates need two
            view = _look(board, feed, partition)
            click.echo(msgspec.json.encode(view) if as_json else _plain(view))
            silent = [row for row in view.partitions if row.serving == "nobody"]
            sys.exit(NOBODY if view.serving == "nobody" else MIXED if silent else 0)
        _live(board, feed, partition)
    finally:
        feed.close()


def _look(board: Any, feed: Any, partition: int | None) -> Any:
    feed.drain(board)
    return board.view(partition, round(time.time() * 1000))


def _live(board: Any, feed: Any, partition: int | None) -> None:
    from rich.live import Live

    with Live(_table(_look(board, feed, partition)), auto_refresh=False, screen=True) as live:
        try:
            while True:
                live.update(_table(_look(board, feed, partition)), refresh=True)
                time.sleep(1.0)
        except KeyboardInterrupt:
            return


def _plain(view: Any) -> str:
    from rich.console import Console

    console = Console(width=110, no_color=True)
    with console.capture() as captured:
        console.print(_table(view))
    return captured.get().rstrip()


def _table(view: Any) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    f = view.figures
    partitions = Table(
        "No.", "Serving", "Error", "Lag", "Events/s", "Waiting", "Worker", box=None, pad_edge=False
    )
    for p in view.partitions:
        state = p.serving + (", held" if p.held else "") + (", frozen" if p.frozen else "")
        partitions.add_row(
            str(p.number), state, _percent(p.error), str(p.lag_records),
            f"{p.events_per_second:.0f}",
            str(p.pending), p.worker or "nobody",
        )  # fmt: skip
    members = Table(
        "Member", "Role", "Error", "Labels", "Evidence", "µs/event", "Made of", box=None, pad_edge=False
    )
    for m in view.members:
        evidence = "" if m.evidence is None else f"{m.evidence:.3g}"
        name = f"{m.slot} {m.version}" if m.version else m.slot
        cost = "" if m.cost is None else f"{1e6 * m.cost:.3g}"
        members.add_row(name, m.role, _percent(m.error), str(m.scored), evidence, cost, m.recipe)
    last = [
        Text(
            f"{time.strftime('%H:%M:%S', time.localtime(h.at / 1000))}  {h.kind}"
            + printable(f"{f' by {h.operator}' if h.operator else ''}  {h.reason}")
        )
        for h in view.happenings[:8]
    ]
    question = []
    if view.question is not None:
        question = [Text(), Text(view.question.title, style="bold")]
        for c in view.question.conditions:
            value = "unknown" if c.value is None else f"{c.value:.4g}"
            question.append(Text(f"  {'yes' if c.met else 'no ':3}  {c.name}: {value}, needs {c.need:.4g}"))
    advice = [Text(), Text("Waits for approval", style="bold")] if view.advice else []
    for a in view.advice:
        whom = f" {a.slot}{f' {a.version}' if a.version else ''}" if a.slot else ""
        advice.append(Text(f"  partition {a.partition}  {a.id}  {a.would}{whom}: {a.reason}"))
    numbers = (
        f"error {_percent(f.error_served)}, best rule {_percent(f.error_rules)};"
        f" {f.events_per_second:.0f} events/s, {f.labels_per_second:.0f} labels/s; {f.lag_records} wait;"
        f" {f.pending} without a label; {f.dead_letters} dead letters; {f.unaccounted} unaccounted"
    )
    late = (
        f"error expected of the last answers {_percent(view.estimate.error)}"
        f" (it was off by {_percent(view.estimate.deviation)};"
        " concept drift is invisible to it before labels come)"
        + (f"; the waiting room is {_percent(f.pending_share)} full" if f.pending_share > NEARLY_FULL else "")
    )
    return Group(
        Text(f"{view.deployment}: {view.sentence}", style="bold"), Text(view.why), Text(numbers), Text(late),
        Text(),
        partitions, Text(), members, *question, *advice, Text(), *last,
    )  # fmt: skip


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
