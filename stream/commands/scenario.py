"""``meander scenario``."""

from pathlib import Path

import click

from learners.errors import MeanderError
from producers.words import counted


@click.command()
@click.argument("name", required=False)
@click.option("--seed", type=int, default=1, show_default=True, help="Equal seeds give equal rows.")
@click.option("--out", type=click.Path(dir_okay=False), help="The data file: .csv or .jsonl, or either .gz.")
@click.option("--truth", type=click.Path(dir_okay=False), help="Where the true points of change go.")
@click.option("--definition", type=click.Path(dir_okay=False), help="Where a definition for it goes.")
def command(name: str | None, seed: int, out: str | None, truth: str | None, definition: str | None) -> None:
    """Write a made-up stream whose true points of change are known; without NAME, list them.

    \b
    Example:
      meander scenario flip --out flip.csv --truth flip.truth --definition flip.toml
      meander calibrate flip.toml flip.csv --truth flip.truth
    """
    from producers.scenarios import SCENARIOS, scenario, settings_of, write_rows, write_truth
    from stream import toml

    if name is None:
        width = max(map(len, SCENARIOS))
        for each, made in SCENARIOS.items():
            told = (
                ", ".join(f"{change.kind} at {change.at:,}" for change in made.changes) or "nothing changes"
            )
            click.echo(f"{each:<{width}}  {made.length:>6,} rows: {told}")
        return
    made = scenario(name, seed)
    if not (out or truth or definition):
        raise click.UsageError("Say what to write: --out FILE, --truth FILE, --definition FILE.")
    try:
        if out:
            click.echo(f"{out}: {counted(write_rows(made.rows(), Path(out)), 'row')}")
        if truth:
            write_truth(made.changes, Path(truth))
            click.echo(f"{truth}: {counted(len(made.changes), 'change')}")
        if definition:
            text = "\n".join(toml.document(settings_of(made, name))) + "\n"
            Path(definition).write_text(text, encoding="utf-8")
            click.echo(f"{definition}: a definition for it")
    except OSError as error:
        raise MeanderError(f"{error.filename} cannot be written: {error.strerror}") from None
