"""``meander schema``."""

import json
from pathlib import Path
from typing import Any

import click

from learners.errors import MeanderError


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False), required=False)
@click.option("--out", type=click.Path(file_okay=False), help="Write files into this folder instead.")
@click.option("--docs", is_flag=True, help="With --out: also write the reference pages, in Markdown.")
def command(definition: str | None, out: str | None, docs: bool) -> None:
    """Print the contract of topics and messages as an AsyncAPI 3.0.0 document.

    With DEFINITION features, labels and answers are typed as that deployment demands. With --out the
    document goes to asyncapi.json, and JSON Schema (2020-12) of every message to schema/.

    \b
    Example:
      meander schema deployment.toml --out contract
    """
    from stream.schema import asyncapi, json_schema, schema_names
    from stream.settings import load_settings

    if docs and (out is None or definition is not None):
        raise click.UsageError("--docs goes with --out, and without a DEFINITION.")
    deployment = load_settings(definition).definition if definition else None
    if out is None:
        click.echo(_text(asyncapi(deployment)), nl=False)
        return
    files = {f"schema/{name}.json": _text(json_schema(name, deployment)) for name in schema_names()}
    files["asyncapi.json"] = _text(asyncapi(deployment))
    if docs:
        from stream.reference import pages

        files |= pages()
    folder = Path(out)
    try:
        (folder / "schema").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MeanderError(f"{out} cannot be written: {error.strerror}") from None
    click.echo(f"{len(files)} files written to {out}")


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
