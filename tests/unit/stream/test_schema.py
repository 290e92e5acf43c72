"""The schemas say what the codec does: of inputs that it takes and of outputs that it writes."""

import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learners.contract import Contract
from learners.definition import Definition, parse_definition
from producers.load import Columns, Load, samples
from producers.scenarios import scenario
from stream.codec import Codec, RefusalError
from stream.messages import Command, Forget, Source, Tick
from stream.processing.processor import Processor
from stream.schema import MESSAGES, asyncapi, json_schema, schema_names
from stream.settings import load_settings
from tests.conftest import REPOSITORY, missing
from tests.support import TINY, Inputs, Published, record, run
from tests.support import definition as tiny

ASYNCAPI_SPECS = "@asyncapi/specs@6.11.1"
EXAMPLE = REPOSITORY / "examples" / "returns.toml"

MIXED = parse_definition(
    {
        "name": "mixed",
        "task": "multiclass",
        "features": {
            "amount": {"min": 0, "max": 100},
            "any": {},
            "count": {"type": "integer", "min": -3},
            "new": {"type": "boolean"},
            "country": {"type": "category", "categories": ["CH", "LI"], "missing": "constant", "fill": "CH"},
            "note": {"type": "text", "missing": "mean"},
            "at": {"type": "time", "missing": "last"},
        },
        "label": {"classes": ["a", "b", "c"]},
    }
)
FITTING: dict[str, Any] = {"amount": 1.5, "any": 3, "count": 2, "new": True, "country": "LI", "at": 1}


def validator(name: str, definition: Definition | None = None) -> jsonschema.Draft202012Validator:
    """Return a validator of one message."""
    return jsonschema.Draft202012Validator(json_schema(name, definition))


def replayed(definition: Definition, events: int) -> Iterator[Published]:
    """Yield what a Processor publishes of a scenario with some bad records among it."""
    processor, inputs = Processor(definition), Inputs()

    class Publisher:
        """Hands what a producer sends to the processor's inputs."""

        def publish(self, topic: str, key: bytes, value: bytes) -> None:
            inputs.add(topic, value, len(inputs.all))

        def flush(self) -> None:
            """Nothing is on its way."""

    rows = [row for row, _ in zip(scenario("flip").rows(), range(events), strict=False)]
    stream = samples(iter(rows), definition, Columns(label="target", prefix="flip"))
    Load(Publisher(), Source.EVENTS.value, Source.LABELS.value).send(stream, "inside", None)
    inputs.add("events", b"\xff")
    inputs.add("events", {"id": "bad", "features": {"amount": -1}})
    inputs.add("labels", {"id": "bad", "label": "neither"})
    inputs.add("control", {"type": "command", "id": "c", "action": "freeze", "operator": "ada"})
    inputs.add("control", {"type": "command", "id": "c", "action": "freeze"})
    return iter(run(processor, inputs.all))


class Captured(list[tuple[str, dict[str, Any]]]):
    """A publisher that keeps what it is given."""

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        """Keep the topic and the message."""
        self.append((topic, json.loads(value)))

    def flush(self) -> None:
        """Nothing is on its way."""


@pytest.mark.parametrize("name", schema_names())
def test_schemas_are_schemas(name: str) -> None:
    """Each is a JSON Schema of 2020-12, for any deployment and for one, and its own examples fit."""
    for definition in (None, MIXED):
        schema = json_schema(name, definition)
        jsonschema.Draft202012Validator.check_schema(schema)
        for shown in schema.get("examples", ()):
            validator(name).validate(shown)


@pytest.mark.parametrize("labels", ["inside", "topic"])
def test_what_producers_send_fits(labels: Any) -> None:
    """Events and labels of a scenario fit the schema of their deployment, and so that of any."""
    definition, sent = load_settings(EXAMPLE, {}).definition, Captured()
    rows = [row for row, _ in zip(scenario("flip").rows(), range(100), strict=False)]
    stream = samples(iter(rows), definition, Columns(label="target", prefix="flip"))
    Load(sent, "events", "labels").send(stream, labels, None)
    assert {topic for topic, _ in sent} == ({"events"} if labels == "inside" else {"events", "labels"})
    for topic, message in sent:
        name = topic.removesuffix("s")
        validator(name, definition).validate(message)
        validator(name).validate(message)


def test_everything_published_fits() -> None:
    """Every prediction, transition and header of a run through drift and bad records fits its schema."""
    definition = load_settings(EXAMPLE, {}).definition
    seen, kinds = set(), set()
    narrow = {"predictions": validator("prediction", definition), "transitions": validator("transition")}
    wide = {"predictions": validator("prediction"), "transitions": validator("transition")}
    for number, (topic, _, value, headers) in enumerate(replayed(definition, 7000)):
        seen.add(topic)
        named = {name: text.decode() for name, text in headers}
        if topic == "dead-letters":
            validator("dead-letter-headers").validate(named)
            continue
        validator("output-headers").validate(named)
        message = json.loads(value or b"")
        narrow[topic].validate(message)
        if number % 20 == 0:
            wide[topic].validate(message)
        kinds.add(message.get("kind"))
    assert seen == {"predictions", "transitions", "dead-letters"}
    assert {"started", "signal", "fell_back", "frozen", "rejected"} <= kinds


_anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 105),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-5, 105),
    st.sampled_from(["CH", "LI", "DE", "", "2024-01-01", "x" * 41, "x" * 4096, "x" * 4097]),
    st.just([]),
    st.just({}),
)


@given(name=st.sampled_from([*MIXED.features, "unknown"]), value=_anything, left_out=st.booleans())
@example(name="amount", value=100.00000000000001, left_out=False)
@example(name="count", value=2.0, left_out=False)
@example(name="at", value=253_402_300_800_001, left_out=False)
@settings(max_examples=300)
def test_schema_and_codec_agree_on_features(name: str, value: Any, left_out: bool) -> None:
    """The schema of a deployment takes exactly the features that keep its contract."""
    features = {k: v for k, v in FITTING.items() if k != name}
    if not left_out:
        features[name] = value
    event = {"id": "e", "features": features}
    violations = Codec(Contract(MIXED)).event(record("events", 0, event)).violations
    assert validator("event", MIXED).is_valid(event) == (not violations), violations


@given(
    message=st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["e", "", "x" * 256, "x" * 257, 5, None]),
            "features": st.sampled_from([{}, {"x": 1}, [], None, 3]),
            "timestamp": st.sampled_from([None, 0, 5.5, "soon", 10**18]),
            "label": st.sampled_from(["a", 1, 2.5, True]),
            "schema": st.sampled_from([1, 2, "1"]),
            "unavailable": st.sampled_from([True, False, 1]),
            "corrects": st.booleans(),
            "new": st.just("of a later version"),
        },
    )
)
@settings(max_examples=300)
def test_schema_and_codec_agree_on_envelopes(message: dict[str, Any]) -> None:
    """The schemas of any deployment take exactly the events and labels that are not refused."""
    codec = Codec(Contract(tiny()))
    for name, decode in (("event", codec.event), ("label", codec.label)):
        try:
            decode(record(f"{name}s", 0, message))
        except RefusalError:
            taken = False
        else:
            taken = True
        assert validator(name).is_valid(message) == taken, name


def test_control_schema_takes_what_its_examples_show() -> None:
    """Every example of a control record is decoded; an action nobody knows fits neither."""
    codec, takes = Codec(Contract(tiny())), validator("control")
    shown = json_schema("control")["examples"]
    decoded = [codec.control(record("control", 0, one, 1_700_000_060_000)) for one in shown]
    assert [type(one) for one in decoded] == [Command, Tick, Forget]
    assert not takes.is_valid({"type": "command", "id": "c", "action": "explode"})
    assert not takes.is_valid({"type": "tick"})


@pytest.mark.parametrize(
    ("changes", "right", "wrong"),
    [
        ({}, "yes", "maybe"),
        ({"task": "multiclass", "label": {"classes": "open"}}, "new", 2.5),
        ({"task": "multiclass", "label": {"classes": [1, 2, 3]}}, 2, "2"),
        ({"task": "regression", "label": {"min": 0, "max": 9}, "rules": {}}, 8.5, 10),
    ],
)
def test_labels_are_typed_by_the_definition(changes: dict[str, Any], right: Any, wrong: Any) -> None:
    """A label outside the declared classes or range does not fit, as it would be refused."""
    definition = tiny(**{"rules": {}, **changes})
    contract = Contract(definition)
    for name, rest in (("event", {"features": {"x": 1}}), ("label", {})):
        takes = validator(name, definition)
        assert takes.is_valid({"id": "e", "label": right, **rest})
        assert not takes.is_valid({"id": "e", "label": wrong, **rest})
    assert math.isfinite(contract.internal(right)) if definition.task == "regression" else True
    with pytest.raises(ValueError, match=r"."):
        contract.internal(wrong)


# -- AsyncAPI --------------------------------------------------------------------------------------


def references(document: Any) -> Iterator[str]:
    """Yield every reference in a document."""
    if isinstance(document, dict):
        if "$ref" in document:
            yield document["$ref"]
        for inner in document.values():
            yield from references(inner)
    elif isinstance(document, list):
        for inner in document:
            yield from references(inner)


@pytest.mark.parametrize("definition", [None, MIXED, parse_definition(TINY)], ids=["any", "mixed", "tiny"])
def test_asyncapi_refers_to_what_is_there(definition: Definition | None) -> None:
    """Every reference leads to something in the document, and no schema is left unused."""
    document = asyncapi(definition)
    found = set(references(document))
    for reference in found:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} <= found


def test_asyncapi_names_the_topics() -> None:
    """Its channels are the topics that `meander topics create` makes, except the one nobody writes yet."""
    from stream.adapters.topics import LATEST, PARTITIONED

    document = asyncapi(MIXED)
    topics = (*PARTITIONED, LATEST)
    assert [c["address"] for c in document["channels"].values()] == [f"mixed.{t}" for t in topics]
    assert set(PARTITIONED) == {message.topic for message in MESSAGES}


@pytest.fixture(scope="session")
def meta_schema(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return AsyncAPI's own schema of its documents, from npm, fetched once."""
    assert pytestconfig.cache is not None
    kept = Path(pytestconfig.cache.mkdir("asyncapi")) / "3.0.0.json"
    if not kept.exists():
        npm = shutil.which("npm")
        if npm is None:
            missing("npm is missing: the AsyncAPI document is not checked against AsyncAPI's own schema")
        folder = tmp_path_factory.mktemp("npm")
        packed = subprocess.run(
            [str(npm), "pack", "--silent", ASYNCAPI_SPECS],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if packed.returncode:
            missing(f"npm does not give {ASYNCAPI_SPECS}: {packed.stderr[-300:]}")
        shutil.unpack_archive(folder / packed.stdout.split()[-1], folder)
        shutil.copy(folder / "package" / "schemas" / "3.0.0-without-$id.json", kept)
    loaded: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("definition", [None, MIXED], ids=["any", "mixed"])
def test_asyncapi_is_valid(definition: Definition | None, meta_schema: dict[str, Any]) -> None:
    """The document is an AsyncAPI 3.0.0 document."""
    jsonschema.Draft7Validator(meta_schema).validate(asyncapi(definition))
