"""``meander init``."""

import sys
import tomllib
from pathlib import Path

import click

from learners.definition import Task
from learners.errors import MeanderError
from learners.presets import PRESETS, Preset
from producers.files import rows
from producers.survey import Survey
from stream.init import Wishes, name_from, write_definition
from stream.settings import Settings, parse_settings

HASTE = 100_000  # rows after which a column that was asked for should have been there


@click.command()
@click.argument("data", type=click.Path(dir_okay=False))
@click.option("--label", required=True, metavar="COLUMN", help="The column to predict.")
@click.option("--timestamp", metavar="COLUMN", help="The column of event time; no feature then.")
@click.option("--key", metavar="COLUMN", help="The column that names the entity; no feature then.")
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    help="If not what the labels suggest.",
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="The roster: cheap, good, or best. Default: by features, classes and rate.",
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Events a second to expect.")
@click.option("--name", help="Of the deployment: a-z, 0-9, hyphens. Default: from the file's name.")
@click.option(
    "-o",
    "--output",
    default="deployment.toml",
    show_default=True,
    help="The definition to write; - prints it.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def command(
    data: str,
    label: str,
    timestamp: str | None,
    key: str | None,
    task: Task | None,
    preset: Preset | None,
    rate: float | None,
    name: str | None,
    output: str,
    force: bool,
) -> None:
    """Write a first definition from a data file: CSV or JSON lines, plain or gzip.

    It runs as it stands, and says in comments what was seen in each column.

    \b
    Example:
      meander init payments.csv.gz --label fraud --timestamp at --key customer
    """
    target = None if output == "-" else Path(output)
    if target and target.exists() and not force:
        raise MeanderError(f"{output} exists: name another file with -o, or add --force to overwrite it")
    wishes = Wishes(label, name or name_from(data), Path(data).name, timestamp, key, task, preset, rate)
    text = write_definition(_survey(data, wishes), wishes)
    settings = parse_settings(tomllib.loads(text), output)  # what is written must load
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MeanderError(f"{output} cannot be written: {error.strerror}") from None
    click.echo(_told(settings, data, output))


def _survey(data: str, wishes: Wishes) -> Survey:
    survey = Survey(wishes.label)
    asked = {column for column in (wishes.label, wishes.timestamp, wishes.key) if column}
    watched = sys.stderr.isatty()
    for row in survey.over(rows(data)):
        if row % HASTE == 0:
            if watched:
                click.echo(f"\r{row:,} rows", err=True, nl=False)
            if not asked <= survey.columns.keys():
                break
    if watched and survey.rows >= HASTE:
        click.echo("\r", err=True, nl=False)
    return survey


def _told(settings: Settings, data: str, output: str) -> str:
    definition = settings.definition
    classes = f", {len(definition.classes)} classes" if definition.classes else ""
    return (
        f"Wrote {output}: {definition.name}, {definition.task}{classes}, "
        f"{len(definition.features)} features, models {', '.join(definition.models)}.\nRead it, then:\n"
        f"  meander check {output}\n  meander replay {output} {data}"
    )
