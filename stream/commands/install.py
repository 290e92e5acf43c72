"""``meander install``."""

import getpass
import sys
from contextlib import closing

import click

from learners.candidate import Origin, read_origin
from learners.errors import MeanderError
from producers.words import counted
from stream.commands.control import carry_out
from stream.commands.why import when
from stream.settings import Settings, load_settings

SHORTEST = 6  # digits of a digest that may stand for all of them


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("digest", required=False)
@click.option("--reason", help="Why: kept with the transition, for the next person.")
@click.option("--operator", default=getpass.getuser, show_default="you", help="Who asks.")
@click.option("--wait", type=float, default=30.0, show_default=True, help="Seconds to wait for it.")
@click.option("--delete", is_flag=True, help="Delete that state from the store instead.")
def command(
    definition: str, digest: str | None, reason: str | None, operator: str, wait: float, delete: bool
) -> None:
    """Let what `meander rebuild` has learned again take the place of what is there. Without DIGEST: list it.

    The worker goes on; from the next event on the installed champion answers, as a fresh version, with its
    origin in the transition. `meander rollback`, with the version of before, takes it back. A state that was
    installed must stay in the store as long as the topics hold its command: a replay needs it.

    Exit status: 0 applied, 1 rejected, 2 a mistake, 3 no answer in time.

    \b
    Example:
      meander install deployment.toml 3f2a7c --reason "labels of Tuesday were inverted"
    """
    settings = load_settings(definition)
    if digest is None:
        for partition, name, origin, size in states(settings):
            click.echo(f"{name}  partition {partition}  {size:,} bytes  {about(origin)}")
        return
    partition, name = find(settings, digest)
    if delete:
        from stream.adapters.stores import open_store

        with closing(open_store(settings)) as store:
            store.remove(partition, name)
        click.echo(f"{name} is deleted")
        return
    if reason is None:
        raise click.UsageError("Say why: --reason.")
    sys.exit(carry_out(definition, "install", name, reason, operator, partition, wait, False))


def states(settings: Settings) -> list[tuple[int, str, Origin, int]]:
    """Return the states in the store that were learned again: partition, digest, origin, bytes."""
    from stream.adapters.stores import open_store

    found = []
    with closing(open_store(settings)) as store:
        for partition in range(settings.partitions):
            for digest in store.digests(partition):
                data = store.get(partition, digest)
                found.append((partition, digest, read_origin(data), len(data)))
    return found


def about(origin: Origin) -> str:
    """Return in words what a state has learned from."""
    span = (
        f"{counted(origin.records, 'record')} up to {when(origin.until.timestamp)} [{origin.until.position}]"
    )
    if origin.version is not None:
        return f"{origin.version}, from {span}"
    return f"{span}, without {', '.join(origin.left_out)}"


def find(settings: Settings, digest: str) -> tuple[int, str]:
    """Return partition and whole digest of a state, given its digest or how that begins.

    Raises
    ------
    MeanderError
        When there is none, or more than one.
    """
    known = states(settings)
    found = [(partition, name) for partition, name, _, _ in known if name.startswith(digest)]
    if len(digest) < SHORTEST or len(found) != 1:
        there = ", ".join(name for _, name, _, _ in known) or "none: meander rebuild makes them"
        raise MeanderError(
            f"{len(found) or 'no'} states are called {digest}; there are: {there}"
            if len(digest) >= SHORTEST
            else f"give {SHORTEST} digits of the digest at the least; there are: {there}"
        )
    return found[0]
