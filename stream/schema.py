"""The public contract for machines: JSON Schema of every message, and one AsyncAPI document of all topics.

Both come from the structs of `stream.messages`, whose docstrings become descriptions. With a definition
features, labels and answers are typed as that deployment demands.

References
----------
JSON Schema draft 2020-12, https://json-schema.org/draft/2020-12. AsyncAPI 3.0.0,
https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from learners.contract import Contract
from learners.definition import NUMBER_LIMIT, TEXT_LIMIT, Definition, Label
from learners.lineage import Kind, Point, Version
from stream.codec import MAX_BYTES, MAX_ID
from stream.docstrings import attributes, summary, values
from stream.messages import (
    SCHEMA_VERSION,
    Command,
    DeadLetter,
    Event,
    Forget,
    LabelRecord,
    Prediction,
    Reason,
    Tick,
    Transition,
)

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Message(NamedTuple):
    """One kind of record.

    Attributes
    ----------
    name
        Of the message, and of its schema file.
    topic
        The last part of the topic's name.
    structs
        The forms it may have.
    examples
        Records as they may be, of a deployment ``fraud``.
    """

    name: str
    topic: str
    structs: tuple[type[Struct], ...]
    examples: tuple[Struct, ...] = ()

    @property
    def is_input(self) -> bool:
        """Whether others write it and Meander reads it."""
        return self.topic in ("events", "labels", "control")


MESSAGES = (
    Message(
        "event",
        "events",
        (Event,),
        (
            Event(id="e1", timestamp=1700000000000, features={"amount": 12.5, "country": "CH"}),
            Event(id="e2", features={"amount": 950.0, "country": None}, label="fraud"),
        ),
    ),
    Message(
        "label",
        "labels",
        (LabelRecord,),
        (
            LabelRecord(id="e1", label="legit", timestamp=1700003600000),
            LabelRecord(id="e3", unavailable=True),
        ),
    ),
    Message(
        "control",
        "control",
        (Command, Tick, Forget),
        (
            Command(id="c1", action="retrain", operator="ada", reason="New terminals since Monday."),
            Tick(timestamp=1700000060000),
            Forget(id="c2", key="customer-17", operator="ada", reason="asked to be forgotten"),
        ),
    ),
    Message(
        "prediction",
        "predictions",
        (Prediction,),
        (
            Prediction(
                id="e1",
                timestamp=1700000000000,
                prediction="legit",
                probabilities={"legit": 0.97, "fraud": 0.03},
                served_by="champion:lr",
                model_version="fraud/v7@123400",
            ),
            Prediction(
                id="e2",
                timestamp=1700000000000,
                prediction="legit",
                served_by="rule:prior",
                flags=("contract:country",),
            ),
        ),
    ),
    Message(
        "transition",
        "transitions",
        (Transition,),
        (
            Transition(
                kind=Kind.PROMOTED,
                timestamp=1700000000000,
                position="labels:0:5120",
                slot="lr",
                from_version="fraud/v1@4100",
                to_version="fraud/v2@640",
                reason="lr has proved better than lr: evidence 43.1, needs 40.",
                evidence={"wealth": 43.1, "need": 40.0, "labels": 640},
            ),
        ),
    ),
    Message("dead-letter", "dead-letters", (DeadLetter,)),
)

LATEST = Message("prediction", "latest", (Prediction,))
"""The compacted topic, where the definition asks for it."""

# What the codec demands, or `Serve` promises, beyond the types of the structs.
_REFINED: dict[tuple[str, str], Schema] = {
    ("Event", "id"): {"minLength": 1, "maxLength": MAX_ID},
    ("LabelRecord", "id"): {"minLength": 1, "maxLength": MAX_ID},
    ("Prediction", "served_by"): {"pattern": "^(champion:.+|rule:.+|default)$"},
    ("Transition", "position"): {"pattern": "^(events|labels|control):[0-9]+:[0-9]+$"},
}
_INSIDE: tuple[type[Struct], ...] = (Version, Point)  # structs in fields of messages
_VERSIONED = r"^[a-z0-9-]+(/p[0-9]+)?/v[0-9]+@[0-9]+$"
_TRUTH = {("Event", "label"), ("LabelRecord", "label")}
_SOURCE = "^(events|labels|control):[0-9]+:[0-9]+(:[0-9]+)?$"
_INPUTS = "^(events|labels|control)=[0-9]+(,(events|labels|control)=[0-9]+)*$"


def json_schema(name: str, definition: Definition | None = None) -> Schema:
    """Return the JSON Schema (2020-12) of one message.

    Parameters
    ----------
    name
        ``event``, ``label``, ``control``, ``prediction`` or ``transition``; or ``output-headers`` or
        ``dead-letter-headers``: the record's headers as an object of text.
    definition
        Types features, labels and answers as this deployment does.

    Examples
    --------
    >>> schema = json_schema("event")
    >>> schema["required"], schema["properties"]["id"]["maxLength"]
    (['id', 'features'], 256)
    """
    start: Schema = {"$schema": DIALECT, "$id": _identifier(name, definition)}
    if name.endswith("-headers"):
        return start | _headers(dead="dead" in name)
    message = next(m for m in MESSAGES if m.name == name)
    components = _components("#/$defs/{name}", message.structs, definition)
    if len(message.structs) == 1:
        schema: Schema = start | components.pop(message.structs[0].__name__)
    else:
        choice = [{"$ref": f"#/$defs/{struct.__name__}"} for struct in message.structs]
        schema = start | {"title": message.name.capitalize(), "oneOf": choice}
    if definition is None and message.examples:
        schema["examples"] = _plain(message.examples)
    return schema | ({"$defs": components} if components else {})


def schema_names() -> tuple[str, ...]:
    """Return the names that `json_schema` knows."""
    messages = tuple(m.name for m in MESSAGES if m.topic != "dead-letters")
    return (*messages, "output-headers", "dead-letter-headers")


def asyncapi(definition: Definition | None = None) -> Schema:
    """Return the AsyncAPI 3.0.0 document: topics, keys, headers and messages, as Meander sees them.

    Parameters
    ----------
    definition
        Names the topics and types the messages of this deployment; without it, of any.

    Examples
    --------
    >>> document = asyncapi()
    >>> document["channels"]["events"]["address"], list(document["operations"])[:2]
    ('{deployment}.events', ['receiveEvents', 'receiveLabels'])
    """
    structs = tuple(s for m in MESSAGES for s in m.structs if s is not DeadLetter)
    name = "Meander" if definition is None else f"Meander: {definition.name}"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": name,
            "version": str(SCHEMA_VERSION),
            "description": (
                "Online machine learning on Kafka: events and labels in; predictions, transitions and dead "
                "letters out. JSON in UTF-8. Within a version only optional fields are added: ignore what "
                "you do not know. An output goes to the partition number of the input that caused it."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {m.topic: _channel(m, definition) for m in MESSAGES} | {"latest": _latest(definition)},
        "operations": dict(_operation(m) for m in (*MESSAGES, LATEST)),
        "components": {
            "schemas": _components("#/components/schemas/{name}", structs, definition)
            | {"OutputHeaders": _headers(dead=False), "DeadLetterHeaders": _headers(dead=True)},
            "messages": {m.name: _message(m, definition) for m in MESSAGES},
        },
    }


def _plain(messages: tuple[Struct, ...]) -> list[Schema]:
    return [msgspec.json.decode(msgspec.json.encode(message)) for message in messages]


def _identifier(name: str, definition: Definition | None) -> str:
    return f"urn:meander:{definition.name + ':' if definition else ''}{name}:{SCHEMA_VERSION}"


# -- schemas ---------------------------------------------------------------------------------------


def _components(ref: str, structs: tuple[type[Struct], ...], definition: Definition | None) -> Schema:
    _, generated = msgspec.json.schema_components(structs, ref_template=ref)
    documented: dict[str, type[Struct]] = {struct.__name__: struct for struct in (*structs, *_INSIDE)}
    components = {}
    for name, schema in generated.items():
        struct = documented.get(name)
        components[name] = _enum(schema) if struct is None else _struct(schema, struct)
    if definition is not None:
        _narrow(components, definition)
    return components


def _struct(schema: Schema, struct: type[Struct]) -> Schema:
    says, name = attributes(struct), struct.__name__
    schema["description"] = summary(struct)
    python_names = {f.encode_name: f.name for f in msgspec.structs.fields(struct)}
    for field, of_field in schema["properties"].items():
        plain = _portable(of_field)
        if (name, field) in _TRUTH or field == "prediction":
            plain["type"] = ["string", "number", "boolean"]
        if field == "schema":
            plain = {"const": SCHEMA_VERSION, "default": SCHEMA_VERSION}
            says["schema"] = "Version of the message. Absent: 1."
        plain |= _REFINED.get((name, field), {})
        if python_names.get(field, field) in ("model_version", "from_version", "to_version", "champion"):
            plain["anyOf"] = [{"type": "string", "pattern": _VERSIONED}, {"type": "null"}]
        words = says.get(python_names.get(field, field))
        schema["properties"][field] = {"description": words, **plain} if words else plain
    if struct is LabelRecord:
        known = {"required": ["label"]}
        never = {"required": ["unavailable"], "properties": {"unavailable": {"const": True}}}
        schema["anyOf"] = [known, never]
    return schema


def _portable(schema: Schema) -> Schema:
    """Return the same without the keywords whose meaning differs between drafts: tuples of one type."""
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [_portable(option) for option in schema["anyOf"]]}
    if "prefixItems" in schema:
        kept = {key: value for key, value in schema.items() if key not in ("prefixItems", "items")}
        return {**kept, "items": schema["prefixItems"][0]}
    return dict(schema)


def _enum(schema: Schema) -> Schema:
    return {**{k: v for k, v in schema.items() if k != "enum"}, "oneOf": _choices(values(Kind))}


def _choices(said: Mapping[str, str]) -> list[Schema]:
    return [{"const": value, "description": words} for value, words in said.items()]


def _headers(*, dead: bool) -> Schema:
    properties: Schema = {
        "meander-source": {
            "type": "string",
            "pattern": _SOURCE,
            "description": (
                "The input that caused this: topic, partition, offset; and a number where one input causes "
                "several records of a topic. Equal for equal outputs: consumers may drop repeats by it."
            ),
        },
        "meander-inputs": {
            "type": "string",
            "pattern": _INPUTS,
            "description": "Next offsets of the other inputs: what had been applied before, in which turns.",
        },
    }
    if dead:
        properties["meander-reason"] = {
            "type": "string",
            "description": summary(Reason),
            "oneOf": _choices(values(Reason)),
        }
        properties["meander-sentence"] = {"type": "string", "description": "The same, for a person."}
    title = "DeadLetterHeaders" if dead else "OutputHeaders"
    beside = "The refused record's own headers stand before them." if dead else "On every output."
    return {
        "title": title,
        "type": "object",
        "description": beside,
        "required": list(properties),
        "properties": properties,
    }


# -- of one deployment -----------------------------------------------------------------------------


def _narrow(components: Schema, definition: Definition) -> None:
    if "Event" in components:
        features_type = Contract(definition).features_type
        event = components["Event"]["properties"]
        _, made = msgspec.json.schema_components((features_type,), ref_template="{name}")
        features = made["Features"]
        del features["title"]
        words = "The data contract. What breaks it is answered by a rule or the default, and never learned."
        event["features"] = {"description": words, **features}
        event["label"] = _replaced(event["label"], _truth(definition))
    if "LabelRecord" in components:
        label = components["LabelRecord"]["properties"]
        label["label"] = _replaced(label["label"], _truth(definition))
    if "Prediction" in components:
        answer = components["Prediction"]["properties"]
        answer["prediction"] = _replaced(answer["prediction"], _answer(definition))


def _replaced(schema: Schema, kind: Schema) -> Schema:
    return {k: v for k, v in schema.items() if k == "description"} | kind


def _truth(definition: Definition) -> Schema:
    label: Label = definition.label
    if definition.task == "regression":
        low = -NUMBER_LIMIT if label.min is None else label.min
        high = NUMBER_LIMIT if label.max is None else label.max
        return {"type": "number", "minimum": low, "maximum": high}
    return _answer(definition)


def _answer(definition: Definition) -> Schema:
    if definition.task == "regression":
        return {"type": "number"}
    if definition.classes:
        return {"enum": list(definition.classes)}
    return {"type": ["string", "integer", "boolean"], "maxLength": TEXT_LIMIT}


# -- AsyncAPI --------------------------------------------------------------------------------------


def _channel(message: Message, definition: Definition | None) -> Schema:
    name = definition.name if definition else "{deployment}"
    channel: Schema = {
        "address": f"{name}.{message.topic}",
        "messages": {message.name: {"$ref": f"#/components/messages/{message.name}"}},
    }
    if definition is None:
        words = "The `name` in the definition."
        channel["parameters"] = {"deployment": {"description": words}}
    return channel


def _latest(definition: Definition | None) -> Schema:
    words = (
        "Where `[kafka] latest = true`: the last prediction of each key, compacted. An empty value means "
        "that the key was forgotten."
    )
    return _channel(LATEST, definition) | {"description": words}


def _operation(message: Message) -> tuple[str, Schema]:
    action = "receive" if message.is_input else "send"
    name = action + "".join(part.capitalize() for part in message.topic.split("-"))
    return name, {
        "action": action,
        "channel": {"$ref": f"#/channels/{message.topic}"},
        "messages": [{"$ref": f"#/channels/{message.topic}/messages/{message.name}"}],
    }


def _message(message: Message, definition: Definition | None) -> Schema:
    whose = "entity, and so the partition" if message.is_input else "input that caused it"
    made: Schema = {
        "name": message.name,
        "title": message.name.replace("-", " ").capitalize(),
        "summary": " ".join(summary(struct) for struct in message.structs),
        "bindings": {"kafka": {"key": {"type": "string", "description": f"Of the {whose}."}}},
    }
    if message.topic == "control":
        made["bindings"] = {"kafka": {}}
    if message.topic == "dead-letters":
        words = f"The refused record's own bytes, whatever they are. Above {MAX_BYTES:,} none is read."
        made["contentType"] = "application/octet-stream"
        made["payload"] = {"description": words}
        made["headers"] = {"$ref": "#/components/schemas/DeadLetterHeaders"}
        return made
    refs = [{"$ref": f"#/components/schemas/{struct.__name__}"} for struct in message.structs]
    made["payload"] = refs[0] if len(refs) == 1 else {"oneOf": refs}
    if not message.is_input:
        made["headers"] = {"$ref": "#/components/schemas/OutputHeaders"}
    if definition is None:
        made["examples"] = [{"payload": example} for example in _plain(message.examples)]
    return made
