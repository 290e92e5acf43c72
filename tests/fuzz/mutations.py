"""Mutants of good messages, made along their published schemas: what a careless or hostile hand sends."""

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from learners.definition import Definition
from stream.schema import json_schema

HUGE = 1_000_000  # bytes


class Mutant(NamedTuple):
    """A record's content, and what was done to it."""

    how: str
    value: bytes | None
    key: bytes | None = b"k"
    headers: tuple[tuple[str, bytes], ...] = ()
    late: int = 0  # milliseconds that the record's own time is off


class Raw(str):
    """JSON as it is to be written, valid or not."""


HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, -0.0, 1e-320, 1e12, 1e13, -1e300, 1e308, 2**53 + 1, 2**63, 2**64, 10**40,
    Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e999"), Raw("-1e-999"), Raw("9" * 5000), Raw("01"),
    Raw("0x10"), Raw("1.e5"), "", " ", "NaN", "1", "\u0000", "\ud800", "\udfff\ud800", "x" * 257,
    "x" * 5000, "ﬁ𝒶",
    "__import__('os').system('true')", "{{7*7}}", "'; DROP TABLE events; --", "../../etc/passwd",
    "9999-12-31T23:59:59Z", "0001-01-01", [], {}, [[]], [1], {"x": 1}, {"$ref": "#"},
    {"__class__": "Event", "__init__": {}}, {"py/object": "os.system"}, 253_402_300_799_999,
    -62_135_596_800_000,
)  # fmt: skip
NAMES = (
    "__class__",
    "__dict__",
    "__proto__",
    "constructor",
    "id ",
    "ID",
    "",
    "\u0000",
    "\ud800",
    "schema",
    "$ref",
    "x" * 3000,
)
VERSIONS = (0, 2, -1, 1.0, 1.5, "1", None, True, [], 10**30)


class Mutator:
    """Makes mutants of a deployment's messages.

    Parameters
    ----------
    definition
        Whose schemas are followed.
    random
        The only source of chance.
    """

    def __init__(self, definition: Definition, random: Random) -> None:
        self.random = random
        self._schemas = {s: json_schema(n, definition) for s, n in (("events", "event"), ("labels", "label"))}
        self._schemas["control"] = json_schema("control", definition)
        self._structural: tuple[tuple[int, Callable[[str, dict[str, Any]], str]], ...] = (
            (12, self._along_the_schema),
            (6, self._replaced),
            (3, self._removed),
            (3, self._added),
            (2, self._version),
            (3, self._time),
        )
        self._of_bytes: tuple[tuple[int, Callable[[bytes], tuple[str, bytes]]], ...] = (
            (4, self._flipped),
            (3, self._cut),
            (2, self._doubled_key),
            (2, self._spliced),
            (2, self._nested),
            (1, self._encoded),
        )

    def mutant(self, source: str, message: dict[str, Any]) -> Mutant:
        """Return a mutant of a good message of an input topic."""
        random = self.random
        if random.random() < 0.02:
            return self._whole()
        if random.random() < 0.0005:
            return self._huge(message)
        how: list[str] = []
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            how.append(_chosen(random, self._structural)(source, message))
        value = encoded(message)
        if not how or random.random() < 0.25:
            name, value = _chosen(random, self._of_bytes)(value)
            how.append(name)
        mutant = Mutant(" + ".join(how), value)
        match random.randrange(40):
            case 0:
                return mutant._replace(
                    key=random.choice((None, b"", b"\xff\xfe", b"k" * 2000)), how=f"{mutant.how} + key"
                )
            case 1:
                hostile = (("meander-source", b"events:0:0"), ("meander-inputs", b"\xff"), ("", b""))
                return mutant._replace(headers=hostile, how=f"{mutant.how} + headers")
        return mutant

    # -- of the message

    def _along_the_schema(self, source: str, message: dict[str, Any]) -> str:
        """Break one property by what its schema demands, or go exactly to its limit."""
        schema = self._schemas[source]
        if "$defs" in schema:
            kinds = schema["$defs"]
            schema = kinds.get(str(message.get("type")).capitalize(), kinds["Command"])
        place, inside = message, schema["properties"]
        if isinstance(message.get("features"), dict) and self.random.random() < 0.7:
            place, inside = message["features"], inside["features"].get("properties", {})
        if not inside:
            return self._replaced(source, message)
        name = self.random.choice(list(inside))
        value = place[name] = self._value_for(inside[name])
        return f"{name} = {repr(value)[:40]}"

    def _value_for(self, schema: dict[str, Any]) -> Any:
        random = self.random
        if "anyOf" in schema:
            return self._value_for(random.choice(schema["anyOf"]))
        if "enum" in schema:
            return random.choice([*schema["enum"], "none of them", 0, None])
        near: list[Any] = []
        for limit in ("minimum", "maximum"):
            if limit in schema:
                at = schema[limit]
                near += [at, at - 1, at + 1, at * (1 + 1e-9), str(at)]
        for limit in ("minLength", "maxLength"):
            if limit in schema:
                near += ["x" * max(0, schema[limit] + d) for d in (-1, 0, 1)]
        return random.choice(near) if near and random.random() < 0.7 else self._hostile()

    def _hostile(self) -> Any:
        return copy.deepcopy(self.random.choice(HOSTILE))

    def _place(self, message: dict[str, Any]) -> dict[str, Any]:
        features = message.get("features")
        return features if isinstance(features, dict) and self.random.random() < 0.6 else message

    def _replaced(self, _: str, message: dict[str, Any]) -> str:
        place = self._place(message)
        if not place:
            return "nothing to replace"
        name = self.random.choice(list(place))
        value = place[name] = self._hostile()
        return f"{name!r:.40} replaced by {repr(value)[:40]}"

    def _removed(self, _: str, message: dict[str, Any]) -> str:
        place = self._place(message)
        if not place:
            return "nothing to remove"
        name = self.random.choice(list(place))
        del place[name]
        return f"{name!r:.40} removed"

    def _added(self, _: str, message: dict[str, Any]) -> str:
        name = self.random.choice(NAMES)
        self._place(message)[name] = self._hostile()
        return f"{name!r:.40} added"

    def _version(self, _: str, message: dict[str, Any]) -> str:
        message["schema"] = self.random.choice(VERSIONS)
        return f"schema {message['schema']!r}"

    def _time(self, _: str, message: dict[str, Any]) -> str:
        now = message.get("timestamp")
        by = self.random.choice((60_000, 3_599_000, 3_700_000, 10**10, 10**12, 10**14, 10**20))
        message["timestamp"] = (now if isinstance(now, int) else 0) + self.random.choice((-1, 1)) * by
        return f"timestamp {message['timestamp']}"

    # -- of the bytes

    def _flipped(self, value: bytes) -> tuple[str, bytes]:
        changed = bytearray(value or b"{}")
        for _ in range(self.random.choice((1, 1, 2, 5))):
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        return "bytes changed", bytes(changed)

    def _cut(self, value: bytes) -> tuple[str, bytes]:
        return "cut", value[: self.random.randrange(len(value) + 1)]

    def _doubled_key(self, value: bytes) -> tuple[str, bytes]:
        name = self.random.choice((b'"id"', b'"features"', b'"label"', b'"schema"', b'"timestamp"'))
        twice = b"{" + name + b": " + self.random.choice((b"1", b'"x"', b"{}", b"null")) + b", "
        return f"{name.decode()} twice", twice + value[1:]

    def _spliced(self, value: bytes) -> tuple[str, bytes]:
        at = self.random.randrange(len(value) + 1)
        piece = self.random.choice(
            (b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\u", b"//", b"{", b"]", b",", b"  ")
        )
        return f"{piece!r} at {at}", value[:at] + piece + value[at:]

    def _nested(self, value: bytes) -> tuple[str, bytes]:
        levels = self.random.choice((20, 90, 101, 500, 5000))
        left, right = self.random.choice(((b"[", b"]"), (b'{"a":', b"}")))
        deep = left * levels + b"1" + right * levels
        return f"{levels} levels deep", b'{"deep": ' + deep + b", " + value[1:]

    def _encoded(self, value: bytes) -> tuple[str, bytes]:
        name = self.random.choice(("utf-16", "utf-32", "utf-8-sig", "cp037"))
        return name, value.decode(errors="replace").encode(name, errors="replace")

    def _whole(self) -> Mutant:
        value = self.random.choice(
            (None, b"", b" ", b"null", b"[]", b"{}", b"true", b'"text"', b"0", b"\x80\x04N.", b"PK\x03\x04",
             b"\x1f\x8b\x08\x00", b'<?xml version="1.0"?>', b"[" * 1000, b"{" * 100_000, b'"' * 999,
             self.random.randbytes(50))
        )  # fmt: skip
        return Mutant("something else", value)

    def _huge(self, message: dict[str, Any]) -> Mutant:
        match self.random.randrange(4):
            case 0:
                message.setdefault("features", {})["n" * HUGE] = 1
                return Mutant("a name of a megabyte", encoded(message))
            case 1:
                message["features"] = {f"f{n}": n for n in range(100_000)}
                return Mutant("100,000 features", encoded(message))
            case 2:
                message["features"] = {**message.get("features", {}), **{f"f{n}": n for n in range(50_000)}}
                return Mutant("50,000 undeclared features", encoded(message))
        return Mutant("a megabyte of blanks", encoded(message) + b" " * HUGE)


def _chosen(random: Random, weighted: tuple[tuple[int, Any], ...]) -> Any:
    return random.choices([choice for _, choice in weighted], [weight for weight, _ in weighted])[0]


def encoded(message: Any) -> bytes:
    """Return a message as JSON, whatever is in it: lone surrogates as such, raw pieces as they are."""
    return _json(message).encode("utf-8", "surrogatepass")


def _json(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value)
