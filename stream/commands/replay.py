"""``meander replay``."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learners.errors import MeanderError
from stream.commands.produce import label_delay, label_trouble
from stream.settings import Settings, load_settings

if TYPE_CHECKING:
    from producers.delays import Law, Trouble


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@click.option("--topic", is_flag=True, help="Replay what the topics hold, in the order they record.")
@click.option("--partition", type=int, default=0, show_default=True, help="Of the topics.")
@click.option("--compare", is_flag=True, help="With --topic: fail unless the topics hold exactly this.")
@click.option("--out", type=click.Path(file_okay=False), help="Where to write outputs and report.")
@click.option("--label-column", help="Where the label is.  [default: as in the definition]")
@click.option("--id", "id_column", help="Column of the ids.")
@click.option("--timestamp", "timestamp_column", help="Column of event time.")
@click.option(
    "--label-delay",
    "delay",
    metavar="LAW",
    callback=label_delay,
    help="How much later: 50 or 10-50 rows, 1h, exponential:1h, lognormal:1h:1.5, fraud=20d,legit=1d.",
)
@label_trouble
def command(
    definition: str,
    file: str | None,
    topic: bool,
    partition: int,
    compare: bool,
    out: str | None,
    label_column: str | None,
    id_column: str | None,
    timestamp_column: str | None,
    delay: "Law | None",
    trouble: "Trouble | None",
) -> None:
    """Run a data file, or what the topics hold, through the Processor: no worker, nothing is sent.

    Writes predictions.jsonl, transitions.jsonl, dead-letters.jsonl, report.json and report.html.

    \b
    Example:
      meander replay deployment.toml history.csv.gz --out report --label-delay 48
    """
    from stream.replay import Outcomes, replay_topics
    from stream.report import summary

    if topic == (file is not None):
        raise click.UsageError("Give a FILE, or --topic.")
    if compare and not topic:
        raise click.UsageError("--compare goes with --topic.")
    settings = load_settings(definition)
    folder = Path(out) if out else None
    with Outcomes(settings.definition, folder) as outcomes:
        if file is not None:
            result = _from_file(
                settings, file, outcomes, label_column, id_column, timestamp_column, delay, trouble
            )
        else:
            from stream.app import open_log

            log = open_log(settings)
            total = log.bounds("events", partition)[1]
            with shown_progress(total) as progress:
                result = replay_topics(settings.definition, partition, log, outcomes, progress)
    if folder is not None:
        (folder / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(outcomes.report.page(), encoding="utf-8")
    click.echo(summary(result))
    if folder is not None:
        click.echo(f"Written to {folder}: report.html, report.json, and the outputs as JSON lines.")
    if compare:
        _compare(settings, partition)


def _from_file(
    settings: Settings,
    file: str,
    outcomes: Any,
    label: str | None,
    identifier: str | None,
    timestamp: str | None,
    delay: "Law | None",
    trouble: "Trouble | None",
) -> dict[str, Any]:
    from producers.files import rows
    from producers.load import Columns
    from stream.replay import replay_rows

    own = settings.columns
    columns = Columns(
        label=label or own.label,
        id=identifier or own.id,
        key=own.key,
        timestamp=timestamp or own.timestamp,
        prefix=Path(file).name.split(".")[0],
    )
    with shown_progress(None) as progress:
        return replay_rows(
            settings.definition,
            rows(file),
            columns,
            outcomes,
            labels="inside" if delay is None and trouble is None else "topic",
            delay=delay,
            trouble=trouble,
            progress=progress,
        )


def _compare(settings: Settings, partition: int) -> None:
    from stream.app import open_log
    from stream.replay import differences

    found = differences(settings.definition, partition, open_log(settings))
    for line in found[:20]:
        click.echo(line, err=True)
    if found:
        raise MeanderError(f"{len(found)} outputs of partition {partition} are not what the replay gives")
    click.echo(f"Partition {partition}: every output on the topics is, byte for byte, what the replay gives.")


@contextmanager
def shown_progress(total: int | None, what: str = "replay") -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr, if that is a terminal; yields what moves it to a count."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            if count % 500 == 0:
                bar.update(task, completed=count)

        yield advance
