"""Bytes to messages and back: JSON, checked against the data contract in the same pass."""

import json
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from learners.contract import Contract
from learners.definition import parse_duration
from learners.errors import MeanderError
from stream.messages import (
    SCHEMA_VERSION,
    Command,
    DeadLetter,
    Event,
    Forget,
    LabelRecord,
    Output,
    Prediction,
    Reason,
    Record,
    Tick,
    Time,
    Transition,
    Weight,
)

MAX_BYTES = 1_000_000
MAX_ID = 256
MAX_KEY = 1024  # bytes: each event that waits for its label keeps its key
MAX_DEPTH = 100  # levels of JSON
_STRING, _BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL), re.compile(rb"[\[\]{}]")
# made here, not by each codec: several are made in threads at once, see `learners.lineage`
_EVENT, _LABEL = msgspec.json.Decoder(Event), msgspec.json.Decoder(LabelRecord)
_CONTROL = msgspec.json.Decoder(Command | Tick | Forget)
_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
Headers = list[tuple[str, bytes]]


class RefusalError(MeanderError):
    """A record that cannot be taken: its reason code, and a sentence for the producer's owner."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason, self.sentence = reason, sentence


class Decoded(Struct, gc=False):
    """An event with a valid envelope.

    Attributes
    ----------
    event
        The event. Its time is the record's where it is ``untimely``.
    violations
        What breaks the contract: feature -> problem.
    untimely
        What is wrong with its time.
    broken
        Whether no model may see it.
    sent
        The features as they were sent, where repairs have changed them: rules judge these.
    flags
        What repairs have done.
    """

    event: Event
    violations: dict[str, str]
    untimely: str = ""
    broken: bool = False
    sent: dict[str, Any] | None = None
    flags: tuple[str, ...] = ()


_NONE: dict[str, str] = {}
_FAR = 2**62  # milliseconds: no limit


class Codec:
    """Reads inputs and writes outputs of one deployment.

    Parameters
    ----------
    contract
        Features that conform are decoded straight into a dict of the declared ones.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        ahead, behind = contract.definition.max_ahead, contract.definition.max_behind
        self._ahead = _FAR if ahead is None else parse_duration(ahead, "max_ahead")
        self._behind = -_FAR if behind is None else -parse_duration(behind, "max_behind")
        conforming = msgspec.defstruct(
            "ConformingEvent",
            [
                ("id", _Id),
                ("features", contract.features_type),
                ("timestamp", Time | None, None),
                ("label", Any, UNSET),
                ("weight", Weight, 1.0),
                ("schema", Literal[1], 1),
            ],
            gc=False,
        )
        self._conforming = msgspec.json.Decoder(conforming)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [("id", _Id), ("schema", Literal[1], 1)]
        whole = msgspec.defstruct("ConformingLabel", fields, bases=(LabelRecord,), kw_only=True, gc=False)
        self._conforming_label: msgspec.json.Decoder[LabelRecord] = msgspec.json.Decoder(whole)
        self._encoder = msgspec.json.Encoder()

    def event(self, record: Record) -> Decoded:
        """Decode an event.

        Raises
        ------
        RefusalError
            When the envelope is not valid.
        """
        value = _check_shape(record)
        try:
            event: Any = self._conforming.decode(value)
            violations = _NONE
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event = self._slowly(_EVENT, value)
            _check_id(event.id)
            violations = self._contract.violations(event.features)
            if not violations:  # what broke the fast way is in no declared feature: leave it behind
                # not strict: 2.0 is an integer
                event.features = msgspec.convert(event.features, self._contract.features_type, strict=False)
        time = event.timestamp
        if time is not None and not self._behind <= time - record.timestamp <= self._ahead:
            event.timestamp = None
            return Decoded(event, violations, self._untimely(time, record.timestamp), broken=True)
        return Decoded(event, violations, "", bool(violations))

    def label(self, record: Record) -> LabelRecord:
        """Decode a label; raises `RefusalError`."""
        value = _check_shape(record)
        try:
            label = self._conforming_label.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            label = self._slowly(_LABEL, value)
            _check_id(label.id)
        self._check_time(label.timestamp, record.timestamp)
        if label.label is UNSET and not label.unavailable:
            raise RefusalError(Reason.ENVELOPE, 'a label needs "label": ..., or "unavailable": true')
        if label.unavailable:
            label.label = UNSET  # whatever stands there is not the truth, and was not checked
        return label

    def control(self, record: Record) -> Command | Tick | Forget:
        """Decode a control record; raises `RefusalError`."""
        command: Command | Tick | Forget = self._slowly(_CONTROL, _check_shape(record))
        if isinstance(command, Tick):
            self._check_time(command.timestamp, record.timestamp)
        return command

    def _check_time(self, time: int | None, of_record: int) -> None:
        if time is not None and not self._behind <= time - of_record <= self._ahead:
            raise RefusalError(Reason.TIMESTAMP, self._untimely(time, of_record))

    def _untimely(self, time: int, of_record: int) -> str:
        definition = self._contract.definition
        if time > of_record:
            limit, where = definition.max_ahead, "ahead of"
        else:
            limit, where = definition.max_behind, "behind"
        name = "max_ahead" if time > of_record else "max_behind"
        return (
            f"timestamp {time} is {abs(time - of_record)} ms {where} its record's time {of_record}; "
            f"{name} is {limit}"
        )

    def _slowly(self, decoder: msgspec.json.Decoder[Any], value: bytes) -> Any:
        """Decode with the whole truth about what is wrong."""
        try:
            message = decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # numbers beyond a float, and the NaN that Python writes: read the long way before refusing
            message = self._leniently(decoder, value, error)
        if message.schema != SCHEMA_VERSION:
            sentence = (
                f"schema version {message.schema} is not known here; this release reads {SCHEMA_VERSION}"
            )
            raise RefusalError(Reason.SCHEMA_VERSION, sentence)
        return message

    @staticmethod
    def _leniently(decoder: msgspec.json.Decoder[Any], value: bytes, cause: Exception) -> Any:
        try:
            plain = json.loads(value)
            json.dumps(plain, ensure_ascii=False).encode()  # half a surrogate pair cannot be written again
        except (ValueError, RecursionError):
            raise RefusalError(Reason.UNDECODABLE, f"not JSON in UTF-8: {_short(cause)}") from None
        if isinstance(plain, dict) and isinstance(plain.get("schema", SCHEMA_VERSION), int):
            version = plain.get("schema", SCHEMA_VERSION)
            if version != SCHEMA_VERSION:
                sentence = f"schema version {version} is not known here; this release reads {SCHEMA_VERSION}"
                raise RefusalError(Reason.SCHEMA_VERSION, sentence)
        try:
            return msgspec.convert(plain, decoder.type)
        except (msgspec.ValidationError, RecursionError) as error:
            raise RefusalError(Reason.ENVELOPE, _short(error)) from None

    def encode(self, output: Output) -> tuple[bytes | None, Headers]:
        """Return value and headers of an output record."""
        headers: Headers = [
            ("meander-source", output.source.encode()),
            ("meander-inputs", output.inputs.encode()),
        ]
        message = output.message
        if isinstance(message, DeadLetter):
            headers += message.headers
            headers += [
                ("meander-reason", message.reason.encode()),
                ("meander-sentence", message.sentence.encode()),
            ]
            return message.value, headers
        return self._encoder.encode(message), headers

    def encode_message(self, message: Prediction | Transition) -> bytes:
        """Return the JSON of a prediction or transition."""
        return self._encoder.encode(message)


def _check_id(identifier: str) -> None:
    if not 1 <= len(identifier) <= MAX_ID:
        raise RefusalError(Reason.ENVELOPE, f"id must have 1 to {MAX_ID} characters, not {len(identifier)}")
    try:
        identifier.encode()
    except UnicodeEncodeError:
        raise RefusalError(Reason.ENVELOPE, "id is no valid Unicode text") from None


def _check_shape(record: Record) -> bytes:
    """Refuse what is empty, too large or nested too deep.

    The depth is a limit of ours, the same wherever a record is read: Python's own depends on who calls.
    """
    value, key = record.value, record.key
    if key is not None and len(key) > MAX_KEY:
        raise RefusalError(Reason.TOO_LARGE, f"a key of {len(key)} bytes; at most {MAX_KEY} are read")
    if value is None:
        raise RefusalError(Reason.ENVELOPE, "the record is empty")
    if len(value) > MAX_BYTES:
        raise RefusalError(Reason.TOO_LARGE, f"{len(value)} bytes; at most {MAX_BYTES} are read")
    if value.count(b"[") + value.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise RefusalError(Reason.UNDECODABLE, f"nested deeper than {MAX_DEPTH} levels")
    return value


def _depth(value: bytes) -> int:
    """Return how deep brackets outside strings are nested."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 300 else text[:297] + "..."
