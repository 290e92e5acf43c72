"""``meander versions``: the registry, read from where it is written."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from learners.errors import MeanderError
from learners.lineage import Entry, Lineage, Transition, line_of, lineage_of, short
from stream.commands.why import tell, transitions_of, when
from stream.logs import printable
from stream.settings import load_settings


@click.group()
def command() -> None:
    """Show versions: where each comes from, what it learned from, who was champion when.

    \b
    Example:
      meander versions list deployment.toml
    """


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="As JSON."),
        click.option("--partition", type=int, default=0, show_default=True, help="Of which partition."),
        click.option(
            "--from",
            "file",
            type=click.Path(dir_okay=False),
            help="The transitions.jsonl of a replay, instead of the topic.",
        ),
    ):
        function = option(function)
    return function


_DEFINITION = click.argument("definition", type=click.Path(dir_okay=False))


@command.command("list")
@_DEFINITION
@_options
def list_versions(definition: str, file: str | None, partition: int, as_json: bool) -> None:
    """List all versions in order of coming, and all champions.

    * marks the present champion's, K those whose state was kept when they came: `meander rollback` brings
    them back, as long as [versions] in the definition keeps them. Times are event time.

    \b
    Example:
      meander versions list deployment.toml --from report/transitions.jsonl
    """
    lineage = _lineage(definition, file, partition)
    if as_json:
        rows = [msgspec.to_builtins(entry) for entry in lineage.versions.values()]
        _echo({"versions": rows, "champions": msgspec.to_builtins(lineage.reigns)})
        return
    reigning = lineage.reigns[-1].champion if lineage.reigns else ""
    for name, entry in lineage.versions.items():
        version = entry.version
        mark = "*" if line_of(name) == line_of(reigning) else " "
        kept = "K" if version.kept else " "
        scores = f"  loss {version.scores['recent']:.4g}" if version.scores else ""
        parent = f"  from {short(version.parent)}" if version.parent else ""
        click.echo(
            f"{mark}{kept} {short(name):<16} {when(version.data_to.timestamp)}  {entry.kind:<11} "
            f"{version.slot} ({version.recipe}){parent}{scores}"
        )
    click.echo("\nChampions:")
    for reign in lineage.reigns:
        click.echo(f"   {short(reign.champion):<16} {when(reign.since.timestamp)}  {reign.kind}")
        click.echo(f"      {printable(reign.reason)}  [{reign.since.position}]")


@command.command("show")
@_DEFINITION
@click.argument("version")
@_options
def show(definition: str, version: str, file: str | None, partition: int, as_json: bool) -> None:
    """Show a version: parent, recipe, data, libraries, scores at birth and at each decision.

    \b
    Example:
      meander versions show deployment.toml v7
    """
    lineage = _lineage(definition, file, partition)
    entry = _entry(lineage, version)
    ancestors = lineage.ancestors(entry.version.name)
    if as_json:
        _echo(msgspec.to_builtins(entry) | {"ancestors": ancestors})
        return
    for name, value in _facts(entry):
        click.echo(printable(f"{name + ':':<12} {value}"))
    click.echo(f"{'ancestors:':<12} {', '.join(map(short, ancestors)) or 'none'}")
    click.echo("decisions:")
    for transition in entry.decisions:
        tell(transition)


@command.command("diff")
@_DEFINITION
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@_options
def diff(definition: str, first: str, second: str, file: str | None, partition: int, as_json: bool) -> None:
    """Show in what two versions differ.

    \b
    Example:
      meander versions diff deployment.toml v1 v7
    """
    lineage = _lineage(definition, file, partition)
    a, b = (dict(_facts(_entry(lineage, name))) for name in (first, second))
    names = dict.fromkeys((*a, *b))
    found = {n: (a.get(n, "-"), b.get(n, "-")) for n in names if a.get(n) != b.get(n)}
    if as_json:
        _echo(found)
        return
    for name, (one, other) in found.items():
        click.echo(f"{name + ':':<12} {one}\n{'':<12} {other}")


def _lineage(definition: str, file: str | None, partition: int) -> Lineage:
    settings = load_settings(definition)
    if file is not None:
        if not Path(file).is_file():
            raise MeanderError(f"there is no file {file}: meander replay writes one with --out")
        return lineage_of(_read(Path(file)))
    from stream.app import open_log

    if not 0 <= partition < settings.partitions:
        raise click.BadParameter(f"there are {settings.partitions}", param_hint="--partition")
    with open_log(settings) as log:
        return lineage_of(transition for _, transition in transitions_of(log, partition))


def _read(file: Path) -> Iterator[Transition]:
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            yield msgspec.json.decode(line, type=Transition)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MeanderError(f"{file} line {number} is no transition: meander replay writes them") from None


def _entry(lineage: Lineage, name: str) -> Entry:
    entry = lineage.find(name)
    if entry is None:
        known = ", ".join(map(short, lineage.versions)) or "none"
        raise MeanderError(f"no version is called {name!r}; there are: {known}")
    return entry


def _facts(entry: Entry) -> Iterator[tuple[str, Any]]:
    version = entry.version
    yield "version", version.name
    yield "parent", version.parent or "none"
    yield "made by", f"{entry.kind}: {version.reason}"
    yield "slot", version.slot
    yield "recipe", f"{version.recipe} {json.dumps(version.parameters) if version.parameters else ''}".strip()
    yield "models", ", ".join(map(short, version.models)) or "-"
    yield "definition", version.definition
    yield "libraries", ", ".join(f"{name} {number}" for name, number in version.libraries.items())
    start, end = version.data_from, version.data_to
    yield "data", f"{start.position} to {end.position}, {when(start.timestamp)} to {when(end.timestamp)}"
    if version.left_out:
        yield "left out", ", ".join(version.left_out)
    yield "seed", version.seed
    yield "scores", ", ".join(f"{name} {value:.4g}" for name, value in version.scores.items()) or "-"
    yield "state", "kept then" if version.kept else "not kept"


def _echo(thing: Any) -> None:
    click.echo(json.dumps(thing, indent=1))
