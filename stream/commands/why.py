"""``meander why``."""

import json
import time
from collections.abc import Iterator

import click
import msgspec

from learners.errors import MeanderError
from learners.lineage import Transition
from stream.settings import Settings, load_settings


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("version", required=False)
@click.option("--partition", type=int, default=0, show_default=True, help="Of which partition.")
@click.option("--json", "as_json", is_flag=True, help="One transition a line, as it stands on the topic.")
def command(definition: str, version: str | None, partition: int, as_json: bool) -> None:
    """Tell what happened and the evidence behind it, as a timeline; of one version, or of all.

    \b
    Example:
      meander why deployment.toml v7
    """
    settings = load_settings(definition)
    if not 0 <= partition < settings.partitions:
        raise click.BadParameter(f"there are {settings.partitions}", param_hint="--partition")
    told = False
    for line in timeline(settings, partition, version, as_json=as_json):
        told = True
        click.echo(line)
    if version is not None and not told:
        raise MeanderError(
            f"nothing is told of a version {version} in partition {partition}. "
            f"See which there are: meander versions list {definition} --partition {partition}"
        )


def timeline(
    settings: Settings, partition: int = 0, version: str | None = None, *, as_json: bool = False
) -> Iterator[str]:
    """Yield the lines that tell what happened in a partition, to one version or to all."""
    from stream.app import open_log

    with open_log(settings) as log:
        first, end = log.bounds("transitions", partition)
        for record in log.read("transitions", partition, first, end):
            value = record.value or b""
            transition = msgspec.json.decode(value, type=Transition)
            names = {_number(transition.from_version), _number(transition.to_version)}
            if version is not None and _number(version) not in names:
                continue
            if as_json:
                yield value.decode()
            else:
                yield from lines(transition, record.timestamp)


def _number(version: str | None) -> str:
    """Return the number of a version however it is written.

    >>> _number("fraud/p3/v7@1234"), _number("7")
    ('v7', 'v7')
    """
    name = (version or "").rpartition("/")[2].partition("@")[0]
    return f"v{name}" if name.isdigit() else name


def tell(transition: Transition, at: int) -> None:
    """Print a transition with its evidence."""
    for line in lines(transition, at):
        click.echo(line)


def lines(transition: Transition, at: int) -> Iterator[str]:
    """Yield the lines of a transition with its evidence."""
    change = " to ".join(v for v in (transition.from_version, transition.to_version) if v)
    who = f" by {transition.requested_by}" if transition.requested_by else ""
    yield f"{when(at)}  {transition.kind}{who}  {change}"
    yield f"    {transition.reason}  [{transition.position}]"
    for name, value in transition.evidence.items():
        yield f"    {name}: {f'{value:.4g}' if isinstance(value, float) else json.dumps(value)}"


def when(at: int) -> str:
    """Return a time in milliseconds as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1000))
