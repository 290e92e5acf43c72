"""``meander replay``."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learners.errors import MeanderError
from stream.commands.produce import label_delay, label_trouble
from stream.settings import Settings, load_settings

if TYPE_CHECKING:
    from producers.delays import Law, Trouble

    Rows = Iterable[dict[str, Any]]


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@click.option("--scenario", "scenario_name", help="A made-up stream with drift; see meander scenario.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the scenario.")
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
    scenario_name: str | None,
    seed: int,
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
    """Run a file, a scenario, or what the topics hold through the Processor: no worker, nothing is sent.

    Writes predictions.jsonl, transitions.jsonl, dead-letters.jsonl, report.json and report.html.

    \b
    Example:
      meander replay deployment.toml history.csv.gz --out report --label-delay 48
    """
    from stream.replay import Outcomes, replay_topics
    from stream.report import summary

    if sum((topic, file is not None, scenario_name is not None)) != 1:
        raise click.UsageError("Give one of FILE, --scenario NAME and --topic.")
    if compare and not topic:
        raise click.UsageError("--compare goes with --topic.")
    settings = load_settings(definition)
    folder = Path(out) if out else None
    with Outcomes(settings.definition, folder) as outcomes:
        if topic:
            from stream.app import open_log, open_states

            states = open_states(settings, partition)
            with open_log(settings) as log, shown_progress(log.bounds("events", partition)[1]) as progress:
                result = replay_topics(settings.definition, partition, log, outcomes, progress, states)
        else:
            source = _source(file, scenario_name, seed)
            named = label_column, id_column, timestamp_column
            result = _from_rows(settings, source, outcomes, named, delay, trouble)
    if folder is not None:
        (folder / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(outcomes.report.page(), encoding="utf-8")
    click.echo(summary(result))
    if folder is not None:
        click.echo(f"Written to {folder}: report.html, report.json, and the outputs as JSON lines.")
    if compare:
        _compare(settings, partition)


def _source(file: str | None, scenario_name: str | None, seed: int) -> "tuple[str, Rows, str | None]":
    """Return a file's or a scenario's short name, its rows, and the column of keys that a scenario has."""
    from producers.files import rows
    from producers.scenarios import scenario

    if scenario_name is None:
        return Path(file or "").name.split(".")[0], rows(file or ""), None
    made = scenario(scenario_name, seed)
    return scenario_name, made.rows(), made.key


def _from_rows(
    settings: Settings,
    source: "tuple[str, Rows, str | None]",
    outcomes: Any,
    named: tuple[str | None, str | None, str | None],
    delay: "Law | None",
    trouble: "Trouble | None",
) -> dict[str, Any]:
    from producers.load import Columns
    from stream.replay import replay_rows

    (prefix, rows, key), (label, identifier, timestamp), own = source, named, settings.columns
    columns = Columns(
        label=label or own.label,
        id=identifier or own.id,
        key=own.key or key,
        timestamp=timestamp or own.timestamp,
        prefix=prefix,
    )
    with shown_progress(None) as progress:
        return replay_rows(
            settings.definition,
            rows,
            columns,
            outcomes,
            labels="inside" if delay is None and trouble is None else "topic",
            delay=delay,
            trouble=trouble,
            progress=progress,
        )


def _compare(settings: Settings, partition: int) -> None:
    from stream.app import open_log, open_states
    from stream.replay import differences

    states = open_states(settings, partition)
    with open_log(settings) as log:
        found = differences(settings.definition, partition, log, states)
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
