"""What goes over Kafka, as structs; and what passes between the two halves of the Processor.

The wire form is JSON. Absent ``schema`` means version 1. Within a version only optional fields are
added, and readers ignore what they do not know.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from learners.contract import TIME_LIMIT
from learners.lineage import Kind, Transition

__all__ = [
    "Command", "DeadLetter", "Event", "Example", "Kind", "LabelRecord", "Output", "Prediction",
    "Reason", "Record", "Source", "Tick", "Time", "Transition",
]  # fmt: skip

SCHEMA_VERSION = 1
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Sentence = Annotated[str, Meta(max_length=2000)]
MOST_WEIGHT = 1e6
Weight = Annotated[float, Meta(ge=0, le=MOST_WEIGHT)]
Time = Annotated[int, Meta(ge=-TIME_LIMIT, le=TIME_LIMIT)]  # milliseconds since 1970, up to the year 10000


class Source(StrEnum):
    """The input topics of a deployment, by the last part of their names."""

    EVENTS = "events"
    LABELS = "labels"
    CONTROL = "control"


class Record(Struct, frozen=True, gc=False):
    """One record as it came from a log, undecoded.

    ``timestamp`` is the record's own, in milliseconds. ``headers`` are (name, value) pairs.
    """

    source: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Event(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A record on ``<name>.events``: predict on it, and learn from it if it carries its label.

    Attributes
    ----------
    id
        Unique among the events of a key; 1 to 256 characters.
    features
        The input columns, by name.
    timestamp
        Event time in milliseconds. Absent: the record's.
    label
        The truth, if it is known already: predicted first, learned at once.
    weight
        How much the label counts in learning, where the model takes weights; 0: it is scored only.
    """

    id: str
    features: dict[str, Any]
    timestamp: Time | None = None
    label: Any = UNSET
    weight: Weight = 1.0
    schema: int = SCHEMA_VERSION


class LabelRecord(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A record on ``<name>.labels``: the truth for an earlier event, with that event's key.

    Attributes
    ----------
    id
        The event's id.
    label
        The truth. Left out when ``unavailable``.
    timestamp
        When the truth was known, in milliseconds of event time. Absent: the record's.
    unavailable
        The truth will never be known.
    corrects
        This replaces a label sent before: scores are corrected, and learned is what ``label.on_correction``
        says.
    weight
        How much it counts in learning, where the model takes weights; 0: it is scored only.
    """

    id: str
    label: Any = UNSET
    timestamp: Time | None = None
    unavailable: bool = False
    corrects: bool = False
    weight: Weight = 1.0
    schema: int = SCHEMA_VERSION


Action = Literal[
    "promote",
    "rollback",
    "drop",
    "fallback",
    "resume",
    "freeze",
    "unfreeze",
    "retrain",
    "approve",
    "apply",
    "install",
]


class Command(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag="command"):
    """An operator's command on ``<name>.control``.

    Attributes
    ----------
    id
        Known afterwards: a repeated id is carried out once.
    action, target
        What to do, and to which slot or version. ``approve``: the advice of this id. ``apply``: the policy
        of this name. ``install``: the state that was learned again from the log, by its digest.
        ``rollback``: a version whose state is kept (``v7``, ``v7@1200``), or ``at:`` and a time in
        milliseconds: who was champion then; without target the previous champion, as it is now.
    operator, reason
        Who asked, and why.
    expires_at
        Refused when the record's own time is later than this (milliseconds).
    if_revision
        Rejected when the partition's roster has changed since: its revision is no longer this one.
    verified
        Whether the operator's name comes from a token rather than from what was typed.
    override
        Asked for although the policy's conditions are not met; recorded with the transition.
    issued_at
        When it was asked for (milliseconds).
    """

    id: Name
    action: Action
    target: Name | None = None
    operator: Name | None = None
    verified: bool = False
    reason: Sentence = ""
    override: bool = False
    if_revision: int | None = None
    issued_at: Time | None = None
    expires_at: Time | None = None
    schema: int = SCHEMA_VERSION


class Tick(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag="tick"):
    """On ``<name>.control``: time that passed while inputs were silent.

    Attributes
    ----------
    timestamp
        Event time in milliseconds that has been reached.
    """

    timestamp: Time
    schema: int = SCHEMA_VERSION


class Forget(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag="forget"):
    """On ``<name>.control``: what is kept of an entity's events while they wait for labels is to go.

    Attributes
    ----------
    id
        Stands in the transition that says what was forgotten.
    key
        The entity: the Kafka key of its events, as text.
    operator, reason
        Who asked, and why.
    """

    id: Name
    key: Annotated[str, Meta(min_length=1, max_length=4096)]
    operator: Name | None = None
    reason: Sentence = ""
    schema: int = SCHEMA_VERSION


class Prediction(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A record on ``<name>.predictions``: the one answer to an event.

    Attributes
    ----------
    id, timestamp
        The event's id and event time (milliseconds).
    prediction
        The class, or the number.
    probabilities
        Classification: by class name. Absent when the answer has none.
    interval
        Regression: lower and upper end of what holds the label as often as ``label.coverage`` says, as far as
        whoever answered errs as it did of late. Absent while too few labels tell that.
    served_by
        ``champion:<slot>``, ``rule:<name>`` or ``default``.
    model_version
        ``fraud/v7@123400``: version number, then examples it had learned. Absent unless a model answered.
    flags
        Why the answer is not an ordinary one, e.g. ``contract:amount``, ``timestamp``, ``filled:age``,
        ``clipped:amount``, ``warm_up``, ``fallback``.
    """

    id: str
    timestamp: int
    prediction: Any
    probabilities: dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    served_by: str
    model_version: str | None = None
    flags: tuple[str, ...] = ()
    schema: int = SCHEMA_VERSION


class Reason(StrEnum):
    """Why a record, or part of it, was refused: the ``meander-reason`` header of dead letters."""

    UNDECODABLE = "undecodable"  # not JSON, not UTF-8, or nested too deep
    ENVELOPE = "envelope"  # JSON, but not the message: id, features, ... missing or of a wrong type
    SCHEMA_VERSION = "schema_version"  # a schema version this release does not know
    TOO_LARGE = "too_large"  # more bytes than are read
    CONTRACT = "contract"  # features break the data contract (answered by a rule or default)
    TIMESTAMP = "timestamp"  # time too far from the record's (an event is answered by a rule or default)
    LABEL = "label"  # a label outside the declared classes or range
    UNMATCHED = "unmatched"  # a label whose event is not known; not used yet: such labels are counted


class DeadLetter(Struct, kw_only=True, gc=False):
    """A refused record: its value, key and headers untouched, the reason in headers beside them."""

    reason: Reason
    sentence: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Output(Struct, gc=False):
    """Something to publish, with the journal headers that say what caused it.

    Attributes
    ----------
    topic
        ``predictions``, ``transitions`` or ``dead-letters``.
    message
        The struct, encoded by the codec.
    key
        Kafka key: the input's.
    timestamp
        Record time: the input record's, so that outputs age as their inputs do.
    source
        ``<events|labels|control>:<partition>:<offset>`` of the input that caused it (``:<index>`` where one
        input causes several of a topic).
    inputs
        ``labels=<next offset>,control=<next offset>``: what had been applied from the other topics before.
        Where silent inputs came by turns since the last output, every turn in order:
        ``control=0,labels=3,events=8,labels=5``.
    """

    topic: str
    message: Prediction | Transition | DeadLetter
    key: bytes | None
    timestamp: int
    source: str
    inputs: str


class Example(Struct, gc=False):
    """Where `Serve` and `Learn` meet: everything that learning may know about one event.

    Attributes
    ----------
    id, key
        Event id and entity key.
    partition, offset
        Position of the event.
    timestamp
        Event time, milliseconds.
    features
        As the members saw them.
    panel
        Version numbers of the members that were asked, in order.
    answers
        What each of them answered at event time (the task's own form; None: silent).
    served
        Index into ``panel`` of who was served; -1 for the default.
    answer
        What was served, in the task's own form.
    ordinal
        How many events this Processor had predicted before.
    broken
        The event broke the contract: scored, never learned.
    label
        The truth, once it came, in the task's own form.
    weight
        Of that label.
    """

    id: str
    key: bytes | None
    partition: int
    offset: int
    timestamp: int
    features: dict[str, Any]
    panel: tuple[int, ...]
    answers: tuple[Any, ...]
    served: int
    answer: Any
    ordinal: int
    broken: bool = False
    label: Any = UNSET
    weight: float = 1.0
    schema: int = SCHEMA_VERSION

    @property
    def labelled(self) -> bool:
        """Whether the truth is known."""
        return not isinstance(self.label, UnsetType)
