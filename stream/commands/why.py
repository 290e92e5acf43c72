"""``meander why``."""

import json
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from learners.errors import MeanderError
from learners.lineage import Transition, line_of, short
from stream.logs import printable
from stream.messages import Record
from stream.ports import Log
from stream.settings import Settings, load_settings

WIDTH, LONGEST = 110, 60  # characters of a line of evidence, and of one value in it
APART = 60_000  # milliseconds between event time and record from which on both are told


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("version", required=False)
@click.option("--partition", type=int, default=0, show_default=True, help="Of which partition.")
@click.option("--json", "as_json", is_flag=True, help="One transition a line, as it stands on the topic.")
def command(definition: str, version: str | None, partition: int, as_json: bool) -> None:
    """Tell what happened and the evidence behind it, as a timeline; of one version, or of all.

    Times are event time, as in `meander versions`; where something was recorded at another time, that stands
    behind it.

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
        for record, transition in transitions_of(log, partition):
            names = {_number(transition.from_version), _number(transition.to_version)}
            if version is not None and _number(version) not in names:
                continue
            if as_json:
                yield (record.value or b"").decode()
            else:
                yield from lines(transition, record.timestamp)


def transitions_of(log: Log, partition: int) -> Iterator[tuple[Record, Transition]]:
    """Yield what happened in a partition, each with its record.

    Raises
    ------
    MeanderError
        Where somebody else has written to the topic.
    """
    for record in log.read("transitions", partition, *log.bounds("transitions", partition)):
        try:
            yield record, msgspec.json.decode(record.value or b"", type=Transition)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MeanderError(
                f"transitions[{partition}] offset {record.offset} was not written by Meander. "
                "Only workers may write to output topics."
            ) from None


def _number(version: str | None) -> str:
    """Return the number of a version however it is written.

    >>> _number("fraud/p3/v7@1234"), _number("7")
    ('v7', 'v7')
    """
    name = line_of(version or "")
    return f"v{name}" if name.isdigit() else name


def tell(transition: Transition) -> None:
    """Print a transition with its evidence."""
    for line in lines(transition):
        click.echo(line)


def lines(transition: Transition, recorded: int | None = None) -> Iterator[str]:
    """Yield the lines of a transition with its evidence.

    Its time is event time; when it was recorded is told where that is another.
    """
    change = " to ".join(short(v) for v in (transition.from_version, transition.to_version) if v)
    who = transition.requested_by
    if who is None and "policy" in transition.evidence:
        who = f"policy {transition.evidence['policy']}"
    apart = recorded is not None and abs(recorded - transition.timestamp) >= APART
    stands = f"  (recorded {when(recorded)})" if recorded is not None and apart else ""
    yield printable(
        f"{when(transition.timestamp)}  {transition.kind}{f' by {who}' if who else ''}  {change}{stands}"
    ).rstrip()
    yield f"    {printable(transition.reason)}  [{transition.position}]"
    evidence = {name: value for name, value in transition.evidence.items() if name != "changes"}
    if evidence:
        told = printable(", ".join(f"{name} {said(value)}" for name, value in evidence.items()))
        yield from textwrap.wrap(told, WIDTH, initial_indent="    ", subsequent_indent="    ")
    for name, change in transition.evidence.get("changes", {}).items():
        yield printable(f"    {name}: {' -> '.join(map(said, change))}")


def said(value: Any) -> str:
    """Return a value of some evidence, short.

    >>> said(0.123456), said(["a", 1]), said(None), said(True), said({"x": 2.0}), said([{"name": "a"}])
    ('0.1235', 'a 1', 'none', 'yes', '{"x": 2.0}', '[{"name": "a"}]')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and value and not any(isinstance(one, dict | list) for one in value):
        return " ".join(map(said, value))
    if isinstance(value, dict | list):
        text = json.dumps(value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return "none" if value is None else str(value)


def when(at: int) -> str:
    """Return a time in milliseconds as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1000))
