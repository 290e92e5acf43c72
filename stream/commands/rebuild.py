"""``meander rebuild``."""

import click

from stream.settings import load_settings


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option("--partition", type=int, help="This one alone.  [default: all]")
@click.option(
    "--accept-loss", is_flag=True, help="Go on where records are gone: what they taught may be lost."
)
def command(definition: str, partition: int | None, accept_loss: bool) -> None:
    """Learn anew from the log what snapshots do not hold any more.

    For state that cannot be loaded: written with other libraries, for other features, or damaged. All
    workers must be stopped. Inputs run again in the order that the outputs record, nothing is sent, and the
    next worker goes on behind the last answer. Afterwards the score of the answers of then is shown beside
    that of the answers of now.

    Where the log is not whole any more this refuses, and says so. With --accept-loss it keeps what the newest
    sound snapshot has learned and goes on with the records that are there; without such a snapshot it learns
    from what is left.

    \b
    Example:
      meander rebuild deployment.toml
    """
    from stream.adapters.keys import load_keys
    from stream.adapters.stores import open_store
    from stream.app import open_log
    from stream.commands.replay import shown_progress
    from stream.processing.rebuild import rebuild

    settings = load_settings(definition)
    keys, _ = load_keys(settings)
    numbers = range(settings.partitions) if partition is None else [partition]
    store = open_store(settings)
    with open_log(settings) as log:
        for number in numbers:
            store.lock(number)
        for number in numbers:
            total = sum(log.bounds(source, number)[1] for source in ("events", "labels", "control"))
            with shown_progress(total, f"partition {number}") as progress:
                said = rebuild(
                    settings.definition, number, log, store, keys, accept_loss=accept_loss, progress=progress
                )
            click.echo(said)
        for number in numbers:
            store.unlock(number)
