"""Data files: CSV and JSON lines, plain or gzip, read as rows and turned into features and labels.

A reader only reads: what is no number, no class or no time is handed on as it stands, so that the
contract refuses it, with its reason, as it would refuse it from anybody else.
"""

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, cast

import msgspec

from learners.definition import Definition, Feature
from learners.errors import MeanderError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})  # compared in lower case, without blanks
_DELIMITERS = ",;\t|"
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_FIELD_LIMIT = 1 << 20  # characters in one CSV field


class DataFileError(MeanderError):
    """A data file that cannot be read; the message names file and line."""

    def __init__(self, path: str | Path, problem: str, line: int | None = None) -> None:
        self.path, self.problem, self.line = str(path), problem, line
        super().__init__(f"{path}: {problem}" if line is None else f"{path}, line {line}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, str, int | None]]:
        return type(self), (self.path, self.problem, self.line)


def rows(path: str | Path, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a data file, one by one, in its order.

    What the file is, its content says, not its ending: gzip or plain; JSON lines when it starts
    with ``{``, else CSV with a header line (comma, semicolon, tab or bar). UTF-8, with or without
    byte order mark. The values of CSV rows are text; a header's empty name becomes ``column_<n>``.

    Parameters
    ----------
    path
        The file.
    limit
        Stop after that many rows.

    Raises
    ------
    DataFileError
        Naming the line: for rows longer or shorter than the header, columns of the same name, text
        that is not UTF-8, JSON that is none.
    """
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        try:
            before, first = _first_line(text)
            if not first:
                raise DataFileError(path, "is empty")
            if first.lstrip().startswith("["):
                raise DataFileError(path, "is a JSON array: write one JSON object a line", before + 1)
            lines = chain([first], text)
            read = _json_rows if first.lstrip().startswith("{") else _csv_rows
            yield from islice(read(lines, path, before, first), limit)
        except UnicodeDecodeError:
            raise DataFileError(path, "is not UTF-8: save it in that encoding", _undecodable(path)) from None
        except (EOFError, OSError, zlib.error) as error:
            raise DataFileError(path, f"cannot be read further: {error}") from None


def _opened(path: str | Path) -> IO[bytes]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise DataFileError(path, "does not exist") from None
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror}") from None
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        file.close()
        return cast(IO[bytes], gzip.open(path))
    if magic in (b"PAR1", b"PK\x03\x04") or magic[:2] in (b"\xff\xfe", b"\xfe\xff"):
        file.close()
        kind = {b"PAR1": "Parquet", b"PK\x03\x04": "a zip archive"}.get(magic, "UTF-16 text")
        raise DataFileError(path, f"is {kind}: CSV or JSON lines in UTF-8 are read, plain or gzip")
    return file


def _first_line(text: IO[str]) -> tuple[int, str]:
    """Return how many blank lines the text starts with, and the line after them ("" at the end)."""
    for number, line in enumerate(text):
        if line.strip():
            return number, line
    return 0, ""


def _undecodable(path: str | Path) -> int | None:
    """Return the number of the first line that is not UTF-8 (text is decoded by the block, not the line)."""
    with _opened(path) as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None


def _json_rows(lines: Iterable[str], path: str | Path, before: int, first: str) -> Iterator[dict[str, Any]]:
    decode = msgspec.json.Decoder().decode
    for number, line in enumerate(lines, before + 1):
        try:
            row = decode(line)
        except msgspec.DecodeError:
            if not line.strip():
                continue
            try:
                row = json.loads(line)  # it takes NaN, which many programs write
                json.dumps(
                    row, ensure_ascii=False
                ).encode()  # and halves of characters, which nobody can send
            except ValueError as error:
                raise DataFileError(path, f"is no JSON: {error}", number) from None
        if not isinstance(row, dict):
            raise DataFileError(path, "is no JSON object: write one object a line", number)
        yield row


def _csv_rows(lines: Iterable[str], path: str | Path, before: int, first: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_FIELD_LIMIT)
    bare = re.sub(r'"[^"]*"', "", first)
    reader = csv.reader(lines, delimiter=max(_DELIMITERS, key=bare.count), strict=True)
    try:
        names = [name.strip() or f"column_{n}" for n, name in enumerate(next(reader), 1)]
        twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
        if twice is not None:
            both = [n for n, name in enumerate(names, 1) if name == twice]
            problem = f"columns {both[0]} and {both[1]} are both named {twice!r}: rename one"
            raise DataFileError(path, problem, before + reader.line_num)
        width = len(names)
        for values in reader:
            if len(values) == width:
                yield dict(zip(names, values))  # noqa: B905 - the lengths were just compared
            elif values:
                problem = f"has {len(values)} fields, the header {width}"
                raise DataFileError(path, problem, before + reader.line_num)
    except csv.Error as error:
        raise DataFileError(path, f"is no CSV: {error}", before + reader.line_num) from None


Key = TypeVar("Key")
Made = TypeVar("Made")


class _Compiled(Generic[Key, Made]):
    """Makes something from an object once, and knows it by the object's identity from then on."""

    def __init__(self, make: Callable[[Key], Made]) -> None:
        self._make = make
        self._made: dict[int, tuple[Key, Made]] = {}  # holds the key, so that its id stays its own

    def __call__(self, key: Key) -> Made:
        known = self._made.get(id(key))
        if known is None:
            if len(self._made) >= 64:
                self._made.clear()
            known = self._made[id(key)] = key, self._make(key)
        return known[1]


Converter = Callable[[Any], Any]


def typed(row: Mapping[str, Any], features: Mapping[str, Feature]) -> dict[str, Any]:
    """Return the declared features of a row, in their declared types.

    Empty, ``NA``, ``NaN``, ``null`` and ``?`` are left out: missing (a declared category of that
    name stays). What cannot be converted stays what it is.

    Parameters
    ----------
    row
        As `rows` yields it.
    features
        A definition's features. Converters are made once for each such mapping.

    Examples
    --------
    >>> features = {"amount": Feature(), "items": Feature(type="integer"), "new": Feature(type="boolean")}
    >>> typed({"amount": "12.50", "items": "3", "new": "NA", "other": "x"}, features)
    {'amount': 12.5, 'items': 3}
    >>> typed({"amount": "twelve", "items": "2.5", "new": "true"}, features)
    {'amount': 'twelve', 'items': '2.5', 'new': True}
    """
    converted = {}
    for name, convert in _converters(features):
        value = row.get(name)
        if value is not None:
            value = convert(value)
            if value is not None:
                converted[name] = value
    return converted


def is_missing(value: Any) -> bool:
    """Say whether a cell of a data file holds nothing."""
    if isinstance(value, str):
        return len(value) <= 12 and value.strip().lower() in MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_number(value: Any) -> float | None:
    """Return the finite number a cell holds, else None."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):  # float("1_0") is 10
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _as_declared_number(value: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return _present(value)
    if (
        number - number == 0.0
        and value.__class__ is not bool
        and not (value.__class__ is str and "_" in value)
    ):
        return number
    return _present(value)


def _as_declared_integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return int(value) if "_" not in value else value
        except ValueError:
            pass
    number = as_number(value)
    if number is None:
        return _present(value)
    if isinstance(value, int):
        return value
    return int(number) if number.is_integer() else value


def _as_declared_boolean(value: Any) -> Any:
    if not isinstance(value, str):
        return _present(value)
    word = value.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else _present(value)


def _as_declared_time(value: Any) -> Any:
    if is_missing(value):
        return None
    if isinstance(value, str) and as_number(value) is None and _iso(value.strip()):
        return value.strip()  # kept as it is: its offset from UTC tells the local hour
    try:
        return timestamp_of(value)
    except ValueError:
        return value


def _present(value: Any) -> Any:
    return None if is_missing(value) else value


def _as_text(feature: Feature) -> Converter:
    known = frozenset(feature.categories or ())
    return lambda value: value if value in known else _present(value)


def _converter(feature: Feature) -> Converter:
    match feature.type:
        case "number":
            return _as_declared_number
        case "integer":
            return _as_declared_integer
        case "boolean":
            return _as_declared_boolean
        case "time":
            return _as_declared_time
        case _:
            return _as_text(feature) if feature.categories else _present


def _make_converters(features: Mapping[str, Feature]) -> list[tuple[str, Converter]]:
    return [(name, _converter(feature)) for name, feature in features.items()]


_converters = _Compiled(_make_converters)


def label_of(value: Any, definition: Definition) -> Any:
    """Return a label in its wire form: the class as declared, or a number.

    A missing one is None; what is no declared class and no number stays what it is.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> definition = parse_definition({"name": "up", "task": "binary", "features": {"x": {}},
    ...     "label": {"classes": [False, True]}})
    >>> label_of("True", definition), label_of("1", definition), label_of("maybe", definition)
    (True, True, 'maybe')
    """
    return _labels(definition)(value)


def _make_label(definition: Definition) -> Converter:
    if definition.task == "regression":
        return _as_declared_number
    words: dict[Any, Any] = {}
    for name in reversed(definition.classes):
        if isinstance(name, bool):
            words |= dict.fromkeys(_TRUE if name else _FALSE, name)
    for name in definition.classes:
        words[name] = name
        words[str(name).lower() if isinstance(name, bool) else str(name)] = name

    def convert(value: Any) -> Any:
        try:
            return words[value]
        except (KeyError, TypeError):
            pass
        if isinstance(value, str):
            word = value.strip()
            for form in (word, word.lower() if word.lower() in _TRUE | _FALSE else word, as_number(word)):
                if form in words:
                    return words[form]
        return _present(value)

    return convert


_labels = _Compiled(_make_label)

_DATES = ("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
_STAMPS = ("%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT")
_FORMATS = (*(date + clock for date in _DATES for clock in _CLOCKS), *_STAMPS)
_DATELIKE = re.compile(r"(?=.{6,40}$)(\d{1,4}[/. -]|[A-Z][a-z]{2,8},? [\dA-Z])", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}\b.*")


def timestamp_of(value: Any) -> int:
    """Return the epoch milliseconds of a time.

    Takes ISO 8601, epoch seconds, milliseconds, microseconds or nanoseconds (told apart by their
    size), ``YYYYMMDD``, and dates with the year first, with dots, or with the month's name. A time
    without offset is UTC.

    Raises
    ------
    ValueError
        For anything else. ``02/03/2011`` is refused too: it is February in one country, March in another.

    Examples
    --------
    >>> timestamp_of("1970-01-02T00:00:00Z"), timestamp_of("02.01.1970 00:00"), timestamp_of(1_300_000_000)
    (86400000, 86400000, 1300000000000)
    """
    number = as_number(value)
    text = str(value).strip()
    if number is not None and not (len(text) == 8 and text.isdigit() and 1900 <= int(text[:4]) <= 2100):
        return _epoch_milliseconds(number, value)
    moment = _iso(text)
    if moment is None and isinstance(value, str):
        if _AMBIGUOUS.fullmatch(text):
            raise ValueError(
                f"{text!r} may start with the day or the month: write it as ISO 8601, YYYY-MM-DD"
            )
        moment = _parsed(text)
    if moment is None:
        if number is not None:
            return _epoch_milliseconds(number, value)
        raise ValueError(f"{text[:60]!r} is no time: use ISO 8601 or epoch milliseconds")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _epoch_milliseconds(number: float, value: Any) -> int:
    size = abs(number)
    if size < 1e11:  # seconds, up to the year 5138
        return round(number * 1000)
    if size < 1e14:
        return int(value) if isinstance(value, int) else round(number)
    return round(number / (1e3 if size < 1e17 else 1e6))


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _parsed(text: str) -> datetime | None:
    if not _DATELIKE.match(text):
        return None
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - without an offset it is UTC, see above
        except ValueError:
            continue
    return None
