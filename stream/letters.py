"""Dead letters read back: what was refused and why, put right, made into the record that is sent again."""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from learners.contract import Contract, LabelError
from learners.errors import MeanderError
from stream.codec import Codec, RefusalError
from stream.messages import LabelRecord, Reason, Record, Source

RETRY_HEADER = "meander-retry"
Headers = tuple[tuple[str, bytes], ...]


class Letter(NamedTuple):
    """One dead letter.

    Attributes
    ----------
    at
        Where it stands on the dead letter topic: ``<partition>:<offset>``.
    source
        The input it came from: ``events:<partition>:<offset>``.
    reason, sentence
        Why it was refused: the code, and for a person.
    time
        The refused record's own time, milliseconds.
    key, value, headers
        The refused record's own, untouched.
    """

    at: str
    source: str
    reason: str
    sentence: str
    time: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def partition(self) -> int:
        """The partition number, of all topics."""
        return int(self.at.partition(":")[0])

    @property
    def topic(self) -> str:
        """The input topic it came from, by the last part of its name."""
        return self.source.partition(":")[0]


class Resend(NamedTuple):
    """A record to be sent, to the same partition number and with the time of the one that was refused."""

    at: str
    topic: str
    partition: int
    time: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class NotSentError(MeanderError):
    """A letter that is not sent again; the message says why, and what to do."""


def letter_of(record: Record) -> Letter:
    """Read a record of the dead letter topic.

    Raises
    ------
    MeanderError
        When Meander has not written it.
    """
    headers = list(record.headers)
    own = dict(reversed(headers[:2])) | dict(headers[-2:])
    try:
        source, reason, sentence = (
            own[name].decode() for name in ("meander-source", "meander-reason", "meander-sentence")
        )
    except KeyError:
        place = f"{record.source}[{record.partition}] offset {record.offset}"
        raise MeanderError(f"{place} was not written by Meander: only workers may write there") from None
    at = f"{record.partition}:{record.offset}"
    return Letter(
        at, source, reason, sentence, record.timestamp, record.key, record.value, tuple(headers[2:-2])
    )


class Selection(NamedTuple):
    """Which letters are meant; what is empty or None does not matter.

    Examples
    --------
    >>> letter = Letter("0:1", "events:0:7", "contract", "", 50, None, b"", ())
    >>> Selection(reasons=("contract",), since=50) .takes(letter), Selection(at=("0:2",)).takes(letter)
    (True, False)
    """

    reasons: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.at or letter.at in self.at or letter.source in self.at)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
        )


def corrected(value: bytes | None, changes: Mapping[str, Any]) -> bytes:
    """Return a JSON object with some members changed; ``features.amount`` names one inside another.

    >>> corrected(b'{"id": "e1", "features": {"amount": -3}}', {"features.amount": 3, "label": "legit"})
    b'{"id":"e1","features":{"amount":3},"label":"legit"}'
    """
    try:
        message = json.loads(value or b"")
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise NotSentError("its bytes are no JSON object: export it, write the right one, retry with --file")
    for path, new in changes.items():
        *inside, name = path.split(".", 1) if path.startswith("features.") else [path]
        place = message
        for step in inside:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise NotSentError(f"its {step!r} is no object: export it, and retry with --file")
        place[name] = new
    return msgspec.json.encode(message)


class Retry:
    """Makes of letters what is sent again, and says of those that would be refused again why.

    Parameters
    ----------
    contract
        Of the deployment as it is now: what was refused under an older one may be right today.
    changes
        Members of the JSON object to set.
    replaced
        ``at`` -> the whole value to send instead.
    """

    def __init__(
        self, contract: Contract, changes: Mapping[str, Any], replaced: Mapping[str, bytes] | None = None
    ) -> None:
        self._contract, self._codec = contract, Codec(contract)
        self._changes, self._replaced = changes, replaced or {}

    def resend(self, letter: Letter) -> Resend:
        """Return what is sent.

        An event that a rule has answered goes out again under its id: it gets no second answer, and is
        learned. Of an event that was in order but for the label in it, only the label is sent.

        Raises
        ------
        NotSentError
            When it would be refused again.
        """
        value = self._replaced.get(letter.at, letter.value)
        if self._changes:
            value = corrected(value, self._changes)
        topic = letter.topic
        if letter.reason == Reason.LABEL and topic == Source.EVENTS:
            topic, value = Source.LABELS.value, self._label_inside(value)
        record = Record(topic, letter.partition, 0, letter.time, letter.key, value, letter.headers)
        self._check(record)
        headers = (*letter.headers, (RETRY_HEADER, letter.at.encode()))
        return Resend(letter.at, topic, letter.partition, letter.time, letter.key, value, headers)

    def _label_inside(self, value: bytes | None) -> bytes:
        try:
            event = json.loads(value or b"")
            return msgspec.json.encode(LabelRecord(id=event["id"], label=event["label"]))
        except (ValueError, KeyError, TypeError):
            raise NotSentError("it holds no id and label any more: correct it with --set label=...") from None

    def _check(self, record: Record) -> None:
        try:
            if record.source == Source.EVENTS:
                decoded = self._codec.event(record)
                if decoded.broken:
                    problems = [f"{name} {problem}" for name, problem in decoded.violations.items()]
                    raise NotSentError(_again("; ".join(problems) or decoded.untimely))
                if decoded.event.label is not msgspec.UNSET:
                    self._contract.internal(decoded.event.label)
            elif record.source == Source.LABELS:
                label = self._codec.label(record)
                if not label.unavailable:
                    self._contract.internal(label.label)
            else:
                self._codec.control(record)
        except RefusalError as error:
            raise NotSentError(_again(error.sentence)) from None
        except LabelError as error:
            raise NotSentError(_again(f"label {error}")) from None


def _again(problem: str) -> str:
    return f"it would be refused again: {problem}"


# -- as JSON ---------------------------------------------------------------------------------------


def shown(letter: Letter) -> dict[str, Any]:
    """Return a letter as plain data: its value as JSON if it is some, else as text, else in base64."""
    plain: dict[str, Any] = {
        "at": letter.at,
        "source": letter.source,
        "reason": letter.reason,
        "sentence": letter.sentence,
        "time": when(letter.time),
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
    }
    if letter.headers:
        plain["headers"] = [[name, value.decode(errors="backslashreplace")] for name, value in letter.headers]
    value = letter.value or b""
    try:
        text = value.decode()
        parsed = json.loads(text, parse_constant=_no_number)
        msgspec.json.encode(parsed)
    except UnicodeDecodeError:
        return {**plain, "value_base64": base64.b64encode(value).decode()}
    except (ValueError, RecursionError, TypeError, msgspec.MsgspecError):
        return {**plain, "value_text": text}
    return {**plain, "value": parsed}


def _no_number(name: str) -> None:
    raise ValueError(name)


def when(milliseconds: int) -> str:
    """Return a time in UTC: ISO 8601, or the number where no calendar has it.

    >>> when(1_700_000_000_000)
    '2023-11-14T22:13:20.000Z'
    """
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def replacements(lines: Iterable[str], file: str) -> dict[str, bytes]:
    """Read corrected letters, one JSON object a line, as they were exported: ``at``, and the value.

    Raises
    ------
    MeanderError
        For a line that is none.
    """
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            letter = json.loads(line)
            at = letter["at"]
            if "value" in letter:
                found[at] = msgspec.json.encode(letter["value"])
            elif "value_text" in letter:
                found[at] = letter["value_text"].encode()
            else:
                found[at] = base64.b64decode(letter["value_base64"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MeanderError(
                f'{file}, line {number}: needs "at" and "value" (or value_text, value_base64), as exported'
            ) from None
    return found
