"""Writes TOML: values, tables on one line, and a struct's defaults as comments; `tomllib` reads it."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


def value(plain: Any) -> str:
    """Return a value as TOML writes it.

    >>> value(["a", True, 3, 0.5, {"b c": "x"}])
    '["a", true, 3, 0.5, { "b c" = "x" }]'
    """
    if isinstance(plain, list | tuple):
        return "[" + ", ".join(map(value, plain)) + "]"
    if isinstance(plain, Mapping):
        return inline(plain)
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """Return a key as TOML writes it, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else value(name)


def inline(table: Mapping[str, Any]) -> str:
    """Return a table on one line."""
    return "{ " + ", ".join(f"{key(name)} = {value(plain)}" for name, plain in table.items()) + " }"


def document(tables: Mapping[str, Any]) -> Iterable[str]:
    r"""Yield the lines of a document; tables of tables get headings, None is left out.

    >>> tables = {"name": "x", "drift": {"alpha": 0.05, "no": None}, "models": {"a": {"b": 1}}}
    >>> print("\n".join(document(tables)))
    name = "x"
    <BLANKLINE>
    [drift]
    alpha = 0.05
    <BLANKLINE>
    [models]
    a = { b = 1 }
    """
    for name, plain in tables.items():
        if plain is not None and not isinstance(plain, Mapping):
            yield f"{key(name)} = {value(plain)}"
    for name, plain in tables.items():
        if isinstance(plain, Mapping) and plain:
            yield ""
            yield f"[{key(name)}]"
            for inner, deep in plain.items():
                if isinstance(deep, Mapping):
                    yield f"{key(inner)} = {inline({k: v for k, v in deep.items() if v is not None})}"
                elif deep is not None:
                    yield f"{key(inner)} = {value(deep)}"


def defaults(struct: type[msgspec.Struct], skip: Iterable[str] = ()) -> list[str]:
    """Return a commented line for each plain default of a struct, explained by its docstring."""
    says = explanations(struct)
    lines = []
    for known in msgspec.structs.fields(struct):
        name, plain = known.encode_name, known.default
        if name not in skip and isinstance(plain, str | bool | int | float):
            lines.append((f"# {name} = {value(plain)}", says.get(name, "")))
    broad = max((len(line) for line, _ in lines), default=0)
    return [f"{line:<{broad}}  # {why}" if why else line for line, why in lines]


def explanations(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the first sentence on each attribute, from the struct's docstring.

    >>> from stream.settings import Web
    >>> explanations(Web)["host"]
    'Where it listens'
    """
    found = {}
    attributes = (struct.__doc__ or "").partition("----------\n")[2]
    for block in re.split(r"\n    (?=[a-z_]\S*(?:, \S+)*\n {8})", "\n" + attributes):
        names, _, text = block.strip().partition("\n")
        flat = " ".join(text.split()).replace("``", "")
        sentence = re.split(r"\. (?=[A-Z])|\.$", flat)[0]
        for name in names.split(","):
            found[name.strip()] = sentence
    return found
