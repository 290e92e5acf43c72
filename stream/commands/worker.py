"""``meander worker``."""

import click

from stream.settings import load_settings


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option(
    "--log", "level", type=click.Choice(["debug", "info"]), default="info", help="How much it tells."
)
def command(definition: str, level: str) -> None:
    """Run a worker: predict, learn, and act on drift, until stopped.

    Start as many as there are partitions; they share them.

    \b
    Example:
      meander worker deployment.toml
    """
    from stream.app import run_worker

    run_worker(load_settings(definition), level.upper())
