"""The reference pages, written from the structs: ``docs/definition.md`` and ``docs/messages.md``."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, Struct

from learners import expressions
from learners.bets import RISE_BUDGET
from learners.definition import Definition, Drift, Feature, Label, Model, Rule, Versions
from learners.detectors import BINARY, DETECTORS
from learners.lineage import Kind, Version
from learners.policies import Policy
from learners.recipes import RECIPES, Recipe
from learners.watch.settings import Watch
from stream import toml
from stream.docstrings import attributes, summary, values
from stream.messages import DeadLetter, Reason
from stream.schema import MESSAGES, Message, json_schema
from stream.settings import Columns, Kafka, Snapshots, Web

GENERATED = "<!-- Written by `meander schema --out docs --docs`: change the docstrings, not this page. -->"

_TABLES: tuple[tuple[str, type[Struct]], ...] = (
    ("features.NAME", Feature),
    ("label", Label),
    ("models.SLOT", Model),
    ("rules.NAME", Rule),
    ("drift", Drift),
    ("[policy]", Policy),
    ("watch", Watch),
    ("versions", Versions),
    ("kafka", Kafka),
    ("snapshots", Snapshots),
    ("web", Web),
    ("columns", Columns),
)
_EXAMPLE = """\
name = "fraud"
task = "binary"

[features]
amount = { min = 0, max = 100000 }
country = { type = "category", missing = "constant", fill = "??" }

[label]
classes = ["legit", "fraud"] # the second one is the positive one

[models.lr]
recipe = "logistic_regression"

[rules.large-abroad]
when = "amount > 900 and country != 'CH'"
then = { fraud = 0.9 }

[drift]
detector = "ADWIN"
on_drift = "fallback"
"""


def pages() -> dict[str, str]:
    """Return the reference pages by file name.

    >>> sorted(pages())
    ['definition.md', 'messages.md']
    """
    return {"definition.md": _page(_definition()), "messages.md": _page(_messages())}


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


# -- the definition file ---------------------------------------------------------------------------


def _definition() -> Iterator[str]:
    yield "# The definition file"
    yield ""
    yield GENERATED
    yield ""
    yield (
        "One TOML file says what to predict, from what, with whom, and what to do on drift. `meander init` "
        "writes a first one from data, `meander check` says whether one can run. Unknown keys are errors. "
        "For example:"
    )
    yield from ("", "```toml", _EXAMPLE.rstrip(), "```", "", "## Top level", "")
    yield _prose(Definition)
    sections = {"features", "label", "models", "rules", "drift", "watch", "policy", "versions"}
    yield from ("", *_keys(Definition, skip=sections))
    for heading, struct in _TABLES:
        words = re.sub(r": `\[.+?\]`", "", _prose(struct))  # the heading says it
        yield from ("", f"## `[{heading}]`", "", words, "", *_keys(struct))
        if struct is Rule:
            yield from _conditions()
        elif struct is Model:
            yield from _recipes("Recipes for models", (r for r in RECIPES.values() if not r.baseline))
        elif struct is Drift:
            yield from _detectors()


def _keys(struct: type[Struct], skip: Iterable[str] = ()) -> Iterator[str]:
    _, components = msgspec.json.schema_components((struct,), ref_template="{name}")
    schemas, says = components[struct.__name__]["properties"], attributes(struct)
    rows = [
        (f"`{name}`", _kind(schemas[name]), _default(field), _markdown(says.get(name, "")))
        for field in msgspec.structs.fields(struct)
        if (name := field.encode_name) not in skip
    ]
    yield from _table(("key", "value", "default", "meaning"), _together(rows))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is NODEFAULT and field.default_factory is NODEFAULT:
        return "required"
    if field.default in (NODEFAULT, UNSET, None, ()):
        return ""
    return f"`{toml.value(field.default)}`"


def _conditions() -> Iterator[str]:
    language = inspect.getdoc(expressions) or ""
    block = [line for line in language.splitlines() if line.startswith("    ") or not line][1:]
    shown = inspect.cleandoc("\n".join(block)).split("\n\n")[0]
    yield from ("", "Conditions:", "", "```text", shown, "```", "")
    yield (
        "Weekdays count from 0 (Monday); times are in UTC. Names and kinds are checked by `meander check`. "
        "A name that is no identifier stands in backticks."
    )
    yield from _recipes("Recipes for rules", (r for r in RECIPES.values() if r.baseline))


def _recipes(title: str, recipes: Iterable[Recipe]) -> Iterator[str]:
    rows = [
        (
            f"`{r.name}`",
            ", ".join(r.tasks),
            _parameters(r.parameters),
            _markdown(r.description) + (f" {r.cost} µs." if r.cost else ""),
        )
        for r in recipes
    ]
    yield from ("", f"### {title}", "", *_table(("recipe", "task", "parameters", "what it is"), rows))


def _parameters(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"`{n}`" if v is None else f"`{n} = {toml.value(v)}`" for n, v in parameters.items())


def _detectors() -> Iterator[str]:
    yield from ("", "### Detectors", "")
    binary = ", ".join(f"`{name}`" for name in DETECTORS if name in BINARY)
    others = ", ".join(f"`{name}`" for name in DETECTORS if name not in BINARY and name != "bet")
    yield (
        f"`bet` is Meander's own (`parameters = {{ budget = {RISE_BUDGET} }}`: labels between two false "
        f"alarms, about). River's {others} take any loss, {binary} errors of 0 or 1. Their `parameters` have "
        f"the names that River gives them."
    )


# -- the messages ----------------------------------------------------------------------------------


def _messages() -> Iterator[str]:
    yield "# Messages"
    yield ""
    yield GENERATED
    yield ""
    yield (
        "Values are JSON in UTF-8; times are milliseconds since 1970. Absent `schema` means version 1. "
        "Within a version only optional fields are added: ignore what you do not know. The Kafka key is the "
        "entity, and a label has its event's key, so that both are in partitions of the same number. "
        "An output goes to the partition number of the input that caused it. For machines: "
        "[JSON Schema](schema), [AsyncAPI](asyncapi.json); `meander schema DEFINITION` prints the document "
        "of one deployment, with its own features and classes."
    )
    for message in MESSAGES:
        if message.topic != "dead-letters":
            yield from _message(message)
    yield from _dead_letters()


def _message(message: Message) -> Iterator[str]:
    who = "you write, Meander reads" if message.is_input else "Meander writes, you read"
    yield from ("", f"## `<name>.{message.topic}`: {who}")
    schema = json_schema(message.name)
    for struct in message.structs:
        fields = schema if len(message.structs) == 1 else schema["$defs"][struct.__name__]
        yield from ("", _prose(struct), "", *_fields(fields))
    if message.topic == "transitions":
        yield from ("", "Kinds:", "", *_table(("kind", "what happened"), _valued(Kind)))
        yield from ("", "Versions:", "", _prose(Version), "", *_fields(schema["$defs"]["Version"]))
    if not message.is_input:
        yield from ("", "Headers:", "", *_fields(json_schema("output-headers")))
    if message.examples:
        shown = [json.dumps(msgspec.to_builtins(e, str_keys=True)) for e in message.examples]
        yield from ("", "```json", *shown, "```")


def _dead_letters() -> Iterator[str]:
    yield from ("", "## `<name>.dead-letters`: Meander writes, you read", "", _prose(DeadLetter), "")
    yield from _fields(json_schema("dead-letter-headers"))
    yield from ("", "Reasons:", "", *_table(("reason", "why"), _valued(Reason)))


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    required = set(schema["required"])
    rows = [
        (f"`{name}`", _kind(f), "yes" if name in required else "", _markdown(f.get("description", "")))
        for name, f in schema["properties"].items()
    ]
    yield from _table(("field", "value", "required", "meaning"), _together(rows))


def _together(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Put names that share all else in one row.

    >>> _together([("`min`", "number", "the range"), ("`max`", "number", "the range")])
    [('`min`, `max`', 'number', 'the range')]
    """
    names: dict[tuple[str, ...], list[str]] = {}
    for name, *rest in rows:
        names.setdefault(tuple(rest), []).append(name)
    return [(", ".join(some), *rest) for rest, some in names.items()]


def _valued(enum: type[Any]) -> list[tuple[str, str]]:
    return [(f"`{value}`", _markdown(words)) for value, words in values(enum).items()]


# -- Markdown --------------------------------------------------------------------------------------

_KINDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}


def _kind(schema: Mapping[str, Any]) -> str:
    """Say in few words what a schema takes.

    >>> _kind({"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}]})
    'list of number'
    """
    if "anyOf" in schema:
        found = [_kind(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(found))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return " or ".join(_KINDS[one] for one in kind)
    if kind == "array":
        return f"list of {_kind(schema['items'])}" if "items" in schema else "list"
    if kind == "object":
        return "table"
    if schema.get("$ref", "").endswith("/Version"):
        return "table, see below"
    if schema.get("$ref", "").endswith("/Point"):
        return "position and time"
    if "$ref" in schema or "oneOf" in schema:
        return "text, see below"
    return _KINDS.get(kind, "")


def _prose(struct: type[Struct]) -> str:
    return "\n\n".join(map(_markdown, summary(struct).split("\n")))


def _markdown(text: str) -> str:
    """Turn a docstring's words into Markdown's.

    >>> _markdown("``[drift]`` and `Serve`")
    '`[drift]` and `Serve`'
    """
    return re.sub(r"``(.+?)``", r"`\1`", text)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "| --- " * len(header) + "|"
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield re.sub(r" +\|", " |", f"| {' | '.join(cells)} |")
