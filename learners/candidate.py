"""What was learned again from the log, as bytes under a digest: to take the place of what is there now.

The envelope is that of snapshots (`learners.snapshot`): signed, and of one definition's features and label.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct, structs

from learners import pickling
from learners import snapshot as snapshots
from learners.definition import Definition
from learners.errors import IncompatibleSnapshotError, SnapshotError
from learners.lineage import Point
from learners.roster import Kept
from learners.snapshot import Keys

REBUILT = "rebuilt"  # the fact that tells such an envelope from a snapshot
DIGEST = 16  # bytes


class Scored(Struct, frozen=True):
    """Answers of then beside answers of the candidate, over the same labels.

    Attributes
    ----------
    period
        Which: ``before`` what was left out, ``since``, ``lately``, or ``all``.
    labels
        How many.
    then, now
        Mean loss of what was served, and of what the candidate answered.
    shown
        Both as a person reads them.
    """

    period: str
    labels: int
    then: float
    now: float
    shown: tuple[str, str]


class Origin(Struct, frozen=True, kw_only=True):
    """Where a candidate comes from.

    Attributes
    ----------
    partition
        Whose log it was.
    since, until
        The inputs it learned from.
    records
        How many there were in that span, those left out among them.
    left_out, events, labels
        Which of them it did not learn from; how many events and labels these were.
    version
        The version it is, where one was learned again rather than a span left out.
    next
        The next input of each topic: what came later it has not seen.
    scores
        Compared with what went out.
    """

    partition: int
    since: Point
    until: Point
    records: int
    left_out: tuple[str, ...] = ()
    events: int = 0
    labels: int = 0
    version: str | None = None
    next: dict[str, int] = {}
    scores: tuple[Scored, ...] = ()

    def of(self, period: str) -> Scored | None:
        """Return the scores of a period, None where it has none."""
        return next((scored for scored in self.scores if scored.period == period), None)


class Rest(Struct):
    """What goes with models that are to stand alone: the learned state of all that is no model.

    Attributes
    ----------
    pool
        Weights, by version number of then.
    rules
        By slot, number of then and, where it learns, the estimator and what it had learned.
    task, repair, residuals
        Their states.
    recent
        The last labelled events, as many as policies want.
    """

    pool: Any
    rules: dict[str, tuple[int, Any, int]]
    task: tuple[Any, ...]
    repair: bytes
    residuals: dict[int, list[float]] | None
    recent: list[tuple[dict[str, Any], Any]]


class Candidate(Struct):
    """A state to be installed.

    Attributes
    ----------
    origin
        Where it comes from.
    models
        As they were learned.
    champion
        The slot of the one that answers.
    serves
        Whether that one was answering, rather than rules.
    rest
        None: the models take their slots, and everything else stays as it is.
    """

    origin: Origin
    models: list[Kept]
    champion: str
    serves: bool
    rest: Rest | None

    def pack(self, definition: Definition, keys: Keys) -> bytes:
        """Return it as a store keeps it."""
        models = [structs.astuple(model) for model in self.models]
        plain = self.rest and structs.astuple(self.rest)
        sections = {
            "models": pickling.dumps((models, self.champion, self.serves)),
            "rest": pickling.dumps(plain),
        }
        return snapshots.pack(definition, sections, {REBUILT: msgspec.to_builtins(self.origin)}, keys)


def digest_of(data: bytes) -> str:
    """Return the digest that names a candidate: 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=DIGEST).hexdigest()


def read_origin(data: bytes) -> Origin:
    """Return what a candidate says of itself. It is whole, but not authenticated yet.

    Raises
    ------
    SnapshotError
        When these bytes are none.
    """
    return _origin(snapshots.read_header(data)[0])


def _origin(header: snapshots.Header) -> Origin:
    if REBUILT not in header.facts:
        raise SnapshotError("a snapshot, not a state that was learned again")
    return msgspec.convert(header.facts[REBUILT], Origin)


def unpack(definition: Definition, data: bytes, keys: Keys) -> Candidate:
    """Return a candidate from its bytes.

    Raises
    ------
    SnapshotError
        When they are not what was signed.
    IncompatibleSnapshotError
        When they are of other features, labels or libraries, of another key, or of models that the
        definition does not declare any more.
    """
    header, sections = snapshots.unpack(definition, data, keys)
    try:
        plain, champion, serves = pickling.loads(sections["models"], definition)
        rest = pickling.loads(sections["rest"], definition)
        models = [Kept(*of) for of in plain]
        rest = rest and Rest(*rest)
    except (KeyError, TypeError, ValueError) as error:
        raise IncompatibleSnapshotError(f"the state is of another release: {error}") from None
    gone = sorted({model.origin for model in models} - set(definition.models))
    if gone:
        raise IncompatibleSnapshotError(f"the definition has no model {', '.join(gone)} any more")
    return Candidate(_origin(header), models, champion, serves, rest)


msgspec.json.Decoder(Origin)  # as in `learners.lineage`: not in several threads at once
