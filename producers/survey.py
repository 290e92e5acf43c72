"""What a data file holds: one pass over its rows, in bounded memory, one profile for each column."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from learners.definition import ClassName
from learners.errors import MeanderError
from producers.files import as_number, is_missing, timestamp_of

DISTINCT_LIMIT = 1000  # values a column remembers
COLUMN_LIMIT = 10_000
LARGE = 1e11  # a tenth of what a feature without a range may be
EXACT_LIMIT = 2**53  # beyond it a float no longer tells neighbouring integers apart
MOSTLY = 0.95  # a share that stands for the column; the rest are its exceptions

Kind = Literal["integer", "number", "boolean", "time", "text", "nested", "nothing"]
_INTEGER = re.compile(r"\s*[+-]?(0|[1-9]\d*)\s*")  # 007 is a code: text
_CLOCKISH = re.compile(r"time|date|stamp|(^|_)(ts|day|when|at)($|_)|dt", re.IGNORECASE)
_DAY_NUMBERS = 19_000_101, 21_001_231  # YYYYMMDD
_EPOCHS = ((1e9, 2.2e9), (1e12, 2.2e12))  # seconds and milliseconds, 2001 to 2039


class SurveyError(MeanderError):
    """A file from which no definition can be drawn; the message says what to do."""


class Column:
    """One column: how often it is there, what kinds of values, their range, the first distinct ones.

    Attributes
    ----------
    name
        Its heading.
    present
        Cells that hold something.
    lowest, highest
        Of its numbers.
    values
        The first 1,000 distinct values, in the order they came, and how often each came.
    many
        Whether there were more distinct values than that.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._cells = 0
        self._raw: dict[Any, int] = {}  # the hot path: most cells repeat one that is known
        self._cells_when_full = 0
        self._kinds: Counter[str] = Counter()
        self.lowest, self.highest = math.inf, -math.inf
        self.many = False
        self.values: list[tuple[Any, int]] = []
        self.present = 0

    def add(self, value: Any) -> None:
        """Take note of one cell."""
        self._cells += 1
        key = value if value.__class__ is str else _key(value)
        count = self._raw.get(key)
        if count is not None:
            self._raw[key] = count + 1
        elif len(self._raw) < DISTINCT_LIMIT:
            self._raw[key] = 1
            self._cells_when_full = self._cells
        else:
            self.many = True
            if not self._is_decimal(value):
                self._classify(value, 1)

    def close(self) -> None:
        """Count what was remembered; to be called once, after the last row."""
        for key, count in self._raw.items():
            value = key if key.__class__ is str else key[1]
            if self._classify(value, count):
                self.values.append((value, count))
        self._raw.clear()
        self.present = sum(self._kinds.values())

    def _is_decimal(self, value: Any) -> bool:
        """Count a cell that is plainly no integer but a number: the most frequent case, ten times faster."""
        if value.__class__ is float or (value.__class__ is str and "." in value):
            try:
                number = float(value)
            except ValueError:
                return False
            if number - number == 0.0:
                self._kinds["number"] += 1
                self.lowest, self.highest = min(self.lowest, number), max(self.highest, number)
                return True
        return False

    def _classify(self, value: Any, count: int) -> bool:
        """Count cells of one value; returns False when there is nothing in them."""
        if is_missing(value):
            return False
        kind = _kind_of(value)
        self._kinds[kind] += count
        if kind in ("integer", "number"):
            number = float(value)
            self.lowest, self.highest = min(self.lowest, number), max(self.highest, number)
        return True

    def __getitem__(self, kind: str) -> int:
        """How many cells are of a kind."""
        return self._kinds[kind]

    @cached_property
    def kind(self) -> Kind:
        """What nearly all of its cells are; to be asked once it is closed."""
        if not self.present:
            return "nothing"
        enough = MOSTLY * self.present
        if self["integer"] + self["number"] >= enough:
            return "time" if self._is_clock() else "number" if self["number"] else "integer"
        if self["boolean"] >= enough:
            return "boolean"
        if self["nested"] >= 0.5 * self.present:
            return "nested"
        return "time" if self._share(_is_date) >= MOSTLY else "text"

    @property
    def exceptions(self) -> int:
        """How many cells are not of the column's kind."""
        match self.kind:
            case "integer" | "number" | "time" if self["integer"] + self["number"]:
                return self.present - self["integer"] - self["number"]
            case "boolean":
                return self.present - self["boolean"]
            case "text":
                return self["nested"]
        return 0

    @property
    def distinct(self) -> int:
        """How many distinct values, as far as remembered."""
        return len(self.values)

    @property
    def is_unique(self) -> bool:
        """Whether nearly every cell has a value of its own."""
        seen = self._cells_when_full if self.many else self.present
        return self.distinct >= MOSTLY * max(seen, 20)

    @property
    def is_counter(self) -> bool:
        """Whether it counts rows: each value is the one before plus the same step."""
        numbers = [as_number(value) for value, _ in self.values]
        if self.kind != "integer" or len(numbers) < 20 or not self.is_unique or None in numbers:
            return False
        steps = {b - a for a, b in pairwise(numbers)}  # type: ignore[operator]
        return len(steps) == 1

    @property
    def is_prose(self) -> bool:
        """Whether its texts are several words: they may all differ and still have words in common."""
        return self._share(lambda value: len(str(value).split()) > 2) > 0.5

    @property
    def longest(self) -> int:
        """Characters in its longest text, as far as remembered."""
        return max((len(str(value)) for value, _ in self.values), default=0)

    @property
    def is_ambiguous_date(self) -> bool:
        """Whether its dates may start with the day or with the month."""
        return self._share(lambda value: _date_problem(value) == "order") >= MOSTLY

    @property
    def has_clock(self) -> bool:
        """Of a time column: whether it tells more than the day."""
        return any(timestamp_of(value) % 86_400_000 for value in self._sample() if _is_date(value))

    @property
    def is_inexact(self) -> bool:
        """Whether its numbers are too large for a float to tell neighbouring integers apart."""
        return self.kind in ("integer", "number") and max(abs(self.lowest), abs(self.highest)) > EXACT_LIMIT

    @property
    def span(self) -> str:
        """The range of its numbers, in words."""
        return f"{shown(self.lowest)} to {shown(self.highest)}"

    @property
    def seen(self) -> str:
        """What was seen in it, in words: the range, or the most frequent values."""
        if self.kind in ("integer", "number"):
            return f"seen: {shown(self.lowest) if self.lowest == self.highest else self.span}"
        if self.kind == "time":
            return f"seen: {quoted(self.values[0][0])} first"
        most = sorted(self.values, key=lambda pair: -pair[1])
        some = ", ".join(f"{quoted(value)} {percent(n / self.present)}" for value, n in most[:4])
        count = "more than " * self.many + f"{self.distinct:,} values"
        return f"seen: {some}" if len(most) <= 4 else f"seen: {count}, {some}, ..."

    def room(self, widths: float = 1) -> tuple[float, float] | None:
        """Return a range with head room for its numbers, see `head_room`: counts and codes stay above 0."""
        found = head_room(self.lowest, self.highest, widths)
        if found is None and abs(self.lowest) > LARGE:  # a constant that no default range would take
            return (0, 2 * self.lowest) if self.lowest > 0 else (2 * self.lowest, 0)
        if found and self.kind == "integer" and self.lowest in (0, 1):
            return 0, found[1]
        return found

    def classes(self) -> dict[ClassName, int]:
        """Return the column's values as class names, with their counts, in natural order.

        Booleans and integers in text become such; where one value is text, all are.
        """
        values = [value for value, _ in self.values]
        kinds = {_kind_of(value) for value in values}
        named: Iterable[Any]
        if kinds <= {"integer", "number"} and all(float(value).is_integer() for value in values):
            named = (int(float(value)) for value in values)
        elif kinds == {"boolean"}:
            named = (str(value).strip().lower() == "true" for value in values)
        else:
            named = (value.strip() if isinstance(value, str) else str(value) for value in values)
        counts: Counter[ClassName] = Counter()
        for name, (_, count) in zip(named, self.values, strict=True):
            counts[name] += count
        return dict(sorted(counts.items()))

    def _is_clock(self) -> bool:
        named = bool(_CLOCKISH.search(self.name))
        low, high = _DAY_NUMBERS
        if named and low <= self.lowest <= self.highest <= high:
            return self._share(_is_date) >= MOSTLY
        epoch = any(low <= self.lowest <= self.highest <= high for low, high in _EPOCHS)
        if not epoch:
            return False
        numbers = [number for value, _ in self.values if (number := as_number(value)) is not None]
        return named or (len(numbers) >= 20 and numbers == sorted(numbers))

    def _sample(self) -> list[Any]:
        return [value for value, _ in self.values[:200]]

    def _share(self, holds: Any) -> float:
        sample = self._sample()
        return sum(map(holds, sample)) / len(sample) if sample else 0.0


class Survey:
    """All columns of a file.

    Parameters
    ----------
    label
        The column of the truth. Others that always equal it are found out.

    Attributes
    ----------
    rows
        How many were seen.
    columns
        Name -> column, in the file's order.
    copies
        Columns that equalled the label in every row.

    Examples
    --------
    >>> survey = Survey("y")
    >>> for _ in survey.over([{"x": "1", "y": "a"}, {"x": "2.5", "y": "b"}]): pass
    >>> survey.rows, survey.columns["x"].kind, survey.columns["x"].highest
    (2, 'number', 2.5)
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.rows = 0
        self.columns: dict[str, Column] = {}
        self.copies: set[str] = set()

    def over(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[int]:
        """Take note of all rows; yields their number as it grows, for a sign of progress."""
        columns, label = self.columns, self.label
        for row in rows:
            truth = row.get(label)
            if not self.rows:
                self.copies = {name for name in row if name != label}
            if self.copies:
                self.copies = {name for name in self.copies if row.get(name) == truth}
            for name, value in row.items():
                try:
                    columns[name].add(value)
                except KeyError:
                    if len(columns) >= COLUMN_LIMIT:
                        problem = f"there are more than {COLUMN_LIMIT:,} columns: are the keys data?"
                        raise SurveyError(problem) from None
                    columns[name] = Column(name)
                    columns[name].add(value)
            self.rows += 1
            yield self.rows
        for column in columns.values():
            column.close()

    def missing(self, column: Column) -> float:
        """Return the share of rows in which a column holds nothing, in [0, 1]."""
        return 1.0 - column.present / self.rows


def _key(value: Any) -> tuple[str, Any]:
    """Return a key that tells True from 1, and takes what has no hash."""
    if isinstance(value, dict | list):
        return "nested", ()
    return type(value).__name__, value


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, dict | list | tuple):
        return "nested"
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return "boolean"
    if as_number(value) is None:
        return "text"
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return "integer"
        # as 007, unlike 0.5: what is written with a leading zero is a code
        return "text" if re.match(r"\s*0\d", value) else "number"
    return "integer" if isinstance(value, int) else "number"


def _date_problem(value: Any) -> Literal["", "order", "none"]:
    if isinstance(value, str) and as_number(value) is not None and not _is_day_number(value):
        return "none"
    try:
        timestamp_of(value)
    except ValueError as error:
        return "order" if "day or the month" in str(error) else "none"
    return ""


def _is_day_number(value: Any) -> bool:
    text = str(value).strip()
    return len(text) == 8 and text.isdigit() and text[0] in "12"


def _is_date(value: Any) -> bool:
    return not _date_problem(value)


def head_room(low: float, high: float, widths: float = 1) -> tuple[float, float] | None:
    """Widen an observed range by its own width on both sides, and round it outwards to a digit of the width.

    Returns None where there is no width to go by.

    >>> head_room(0.02, 1.0), head_room(0, 977), head_room(5, 5)
    ((-1, 2), (-1000, 2000), None)
    """
    width = high - low
    if not 1e-300 < width < 1e300:
        return None
    digits = -math.floor(math.log10(width))
    step = 10.0**-digits
    lower = round(math.floor(round((low - widths * width) / step, 6)) * step, digits)
    upper = round(math.ceil(round((high + widths * width) / step, 6)) * step, digits)
    return _whole(lower), _whole(upper)


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number


def percent(share: float) -> str:
    """Return a share as people say it.

    >>> percent(0.42481), percent(0.0012), percent(0.00001), percent(0.9999)
    ('42%', '0.12%', 'under 0.01%', '99.99%')
    """
    if 0 < share < 0.0001:
        return "under 0.01%"
    digits = 0 if 0.1 <= share <= 0.9 or share in (0.0, 1.0) else 2
    return f"{100 * share:.{digits}f}%".replace(".00%", "%")


def shown(value: float) -> str:
    """Return a number as people read it: six digits, no empty decimals."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def quoted(value: Any) -> str:
    """Return a text as it may stand in a comment: short, on one line, quoted where it would mislead.

    >>> quoted("CH"), quoted("a b")
    ('CH', '"a b"')
    """
    text = str(value)
    text = text if len(text) <= 40 else text[:37] + "..."
    if re.fullmatch(r"[\w./-]+", text):
        return text
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
