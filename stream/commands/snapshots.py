"""``meander snapshots``."""

import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import click
from msgspec import structs

from learners.errors import MeanderError, SnapshotError
from learners.snapshot import KEY_ID, MAGIC, Keys, authenticated, read_header
from stream.ports import StateStore, Stored
from stream.settings import Settings, load_settings

_definition = click.argument("definition", type=click.Path(dir_okay=False))
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_partition = click.option("--partition", type=int, default=None, help="Only this one.")


@click.group()
def command() -> None:
    """List, show, verify or move what a deployment's workers have saved.

    \b
    Example:
      meander snapshots verify deployment.toml
    """


@command.command("list")
@_definition
@_partition
@_json
def list_(definition: str, partition: int | None, as_json: bool) -> None:
    """List the snapshots of each partition, newest first.

    \b
    Example:
      meander snapshots list deployment.toml
    """
    settings = load_settings(definition)
    with closing(_opened(settings)) as store:
        rows = [_row(number, stored) for number, stored in _all(settings, store, partition)]
    _print(rows, as_json)


@command.command()
@_definition
@click.argument("name", required=False)
@_partition
@_json
def show(definition: str, name: str | None, partition: int | None, as_json: bool) -> None:
    """Show what a snapshot says of itself: by NAME, or the newest of each partition. Nothing is unpickled.

    Exit status: 0 done, 1 there is no such snapshot, 2 a mistake.

    \b
    Example:
      meander snapshots show deployment.toml
    """
    from stream import toml

    settings = load_settings(definition)
    with closing(_opened(settings)) as store:
        found = [
            (number, stored)
            for number, stored in _all(settings, store, partition, newest=name is None)
            if name in (None, stored.name)
        ]
    told = [_shown(number, stored, _keys(settings)) for number, stored in found]
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    for each in [] if as_json else told:
        click.echo("\n".join(toml.document(each)) + "\n")
    if not told:
        raise click.exceptions.Exit(1)


@command.command()
@_definition
@_partition
@_json
def verify(definition: str, partition: int | None, as_json: bool) -> None:
    """Check every snapshot as a worker would: signature, definition, libraries, and whether it loads.

    Exit status: 0 all can be used, 1 one of them cannot, 2 a mistake.

    \b
    Example:
      meander snapshots verify deployment.toml
    """
    settings = load_settings(definition)
    keys = _keys(settings)
    with closing(_opened(settings)) as store:
        rows = [
            {**_row(number, stored), "verdict": _verdict(settings, keys, store, number, stored)}
            for number, stored in _all(settings, store, partition)
        ]
    _print(rows, as_json)
    if any(row["verdict"] != "sound" for row in rows):
        raise click.exceptions.Exit(1)


@command.command()
@_definition
@click.option("--to", "target", type=click.Choice(["files", "redis"]), required=True, help="Where they go.")
@_json
def move(definition: str, target: str, as_json: bool) -> None:
    """Move all state to the other store, while no worker runs.

    Copies everything, compares it, and only then deletes it where it came from; snapshots that were set aside
    are not moved. Change ``[snapshots] store`` before workers start again.

    \b
    Example:
      meander snapshots move deployment.toml --to redis
    """
    settings = load_settings(definition)
    if settings.snapshots.store == target:
        raise MeanderError(f'{definition} says store = "{target}" already: nothing is moved')
    there = structs.replace(settings, snapshots=structs.replace(settings.snapshots, store=target))
    if target == "redis" and not there.snapshots.url:
        raise MeanderError("where is Redis? Set MEANDER_REDIS_URL, e.g. redis://localhost:6379/0")
    partitions = range(settings.partitions)
    with closing(_opened(settings)) as source, closing(_opened(there)) as destination:
        for store in (source, destination):
            for number in partitions:
                store.lock(number)
        for number in partitions:
            if destination.load(number) or destination.segments(number):
                raise MeanderError(
                    f"there is state of partition {number} in {target} already: move it away first, so that "
                    "nothing is mixed"
                )
        moved = [_move(source, destination, number) for number in partitions]
    _print(moved, as_json)
    click.echo(f'Now set [snapshots] store = "{target}" in {definition}', err=True)


def _move(source: StateStore, destination: StateStore, number: int) -> dict[str, Any]:
    kept, segments = source.load(number), source.segments(number)
    destination.clear(number)  # generations of long ago
    size = 0
    for stored in reversed(kept):
        data = stored.read()
        destination.save(number, data, stored.generation)
        size += len(data)
    for name in segments:
        destination.append(number, name, source.read(number, name))
    rebuilt = source.digests(number)
    for digest in rebuilt:
        destination.put(number, digest, source.get(number, digest))
    copied = destination.load(number)
    same = (
        len(copied) == len(kept)
        and all(
            there.generation == here.generation and there.read() == here.read()
            for there, here in zip(copied, kept, strict=True)
        )
        and all(destination.read(number, name) == source.read(number, name) for name in segments)
        and all(destination.get(number, digest) == source.get(number, digest) for digest in rebuilt)
    )
    if not same:
        raise MeanderError(
            f"what arrived of partition {number} is not what was sent: the source is unchanged"
        )
    source.clear(number)
    return {
        "partition": number,
        "snapshots": len(kept),
        "segments": len(segments),
        "rebuilt": len(rebuilt),
        "bytes": size,
    }


def _opened(settings: Settings) -> StateStore:
    from stream.adapters.stores import open_store

    store = open_store(settings)
    store.advice()  # whether it can be used at all
    return store


def _keys(settings: Settings) -> Keys:
    from stream.adapters.keys import load_keys

    return load_keys(settings)[0]


def _all(
    settings: Settings, store: StateStore, partition: int | None, *, newest: bool = False
) -> Iterator[tuple[int, Stored]]:
    if partition is not None and not 0 <= partition < settings.partitions:
        raise MeanderError(f"there is no partition {partition}: there are {settings.partitions}, from 0")
    for number in range(settings.partitions) if partition is None else (partition,):
        for stored in store.load(number)[: 1 if newest else None]:
            yield number, stored


def _row(number: int, stored: Stored) -> dict[str, Any]:
    data = stored.read()
    try:
        positions = read_header(data)[0].facts.get("next", {})
    except SnapshotError:
        positions = {}
    return {
        "partition": number,
        "name": stored.name,
        "generation": stored.generation,
        "bytes": len(data),
        **{source: positions.get(source) for source in ("events", "labels", "control")},
    }


def _shown(number: int, stored: Stored, keys: Keys) -> dict[str, Any]:
    data = stored.read()
    told: dict[str, Any] = {"partition": number, "name": stored.name, "bytes": len(data)}
    try:
        header, _ = read_header(data)
    except SnapshotError as error:
        return {**told, "problem": str(error)}
    try:
        authenticated(data, keys)
        told["authentic"] = True
    except SnapshotError as error:
        told.update(authentic=False, problem=str(error))
    facts: dict[str, Any] = {
        key: header.facts[key] for key in ("generation", "next", "outputs") if key in header.facts
    }
    return {
        **told,
        "format": header.format,
        "key": data[len(MAGIC) : len(MAGIC) + KEY_ID].hex(),
        "fingerprint": header.fingerprint,
        **facts,
        "libraries": header.libraries,
        "sections": dict(header.sections),
    }


def _verdict(settings: Settings, keys: Keys, store: StateStore, number: int, stored: Stored) -> str:
    from stream.processing.processor import Processor

    try:
        processor = Processor(settings.definition, number, keys=keys)
        processor.restore(stored.read(), stored.generation, partial(store.read, number))
    except SnapshotError as error:
        return str(error)
    return "sound"


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("There is none")
        return
    table = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[n]) for line in table) for n in range(len(table[0]))]
    for line, values in zip(table, [None, *rows], strict=True):
        numeric = values and [isinstance(value, int) for value in values.values()]
        cells = (
            cell.rjust(width) if numeric and numeric[n] else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
