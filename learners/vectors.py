"""Dicts to vectors, for the members that compute in numpy: columns grow with what is seen, within bounds."""

import math
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]  # shape (columns,)
Matrix = NDArray[np.float32]

NUMBER_COLUMNS = 1024  # features beyond are not seen
TEXT_COLUMNS = 512  # values of all text features together; further ones have no column
VALUES = 128  # of one text feature, so that an id leaves room for the others
LARGEST = 1e30  # larger numbers count as that large: float32 ends at 3e38
FAR = 1000.0  # spreads from zero after which a column's origin moves to where its values are
_TENTHS = 2.56  # standard deviations between the first and the last tenth of a Gaussian

_NUMBERS = frozenset((float, int, bool))


class Scale(NamedTuple):
    """Where the values of each column lie, shape (columns,) each.

    Attributes
    ----------
    centre
        The median.
    tenths
        The standard deviation of a Gaussian with the same first and last tenth: no huge value moves it.
    spread
        The same, or the standard deviation where the tenths are equal.
    """

    centre: Vector
    tenths: Vector
    spread: Vector


class Vectors:
    """Turns features into a float32 vector: a column for each number, one for each value of a text.

    A number is stored as its distance from the column's origin (its first value, in float64), so that
    timestamps and other large offsets lose no digits. Columns that come in one event are taken in the order
    of their names: the order of a dict does not matter. A text that has no column is all zeros.

    Attributes
    ----------
    width
        The number of columns.
    numeric
        Which of them hold numbers, shape (width,).
    names
        What each column is, as text, in order.

    Examples
    --------
    >>> vectors = Vectors()
    >>> vectors.grow({"amount": 7.0, "country": "CH"})
    2
    >>> vectors.vector({"country": "CH", "amount": 9.5}, np.zeros(2, np.float32))
    array([2.5, 1. ], dtype=float32)
    >>> vectors.vector({"amount": None, "country": "XX"}, np.array([0.5, 0], np.float32))
    array([0.5, 0. ], dtype=float32)
    """

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._texts: dict[Any, dict[str, int]] = {}
        self._text_columns = 0
        self.width = 0
        self.names: list[str] = []
        self.numeric = np.zeros(0, bool)
        self._origin = np.zeros(0)
        self._bind()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_all", "_plain")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    def _bind(self) -> None:
        """Prepare the short way, for events that bring all numbers and nothing else."""
        names = sorted(self._numbers, key=self._numbers.__getitem__)
        self._plain = len(names) if len(names) > 1 and not self._texts else -1
        self._all: Callable[[Any], tuple[Any, ...]] = itemgetter(*names) if self._plain > 0 else tuple

    def plain(self, x: dict[Any, Any]) -> Vector | None:
        """Return the vector of an event that brings every column, all finite numbers; else None."""
        if len(x) != self._plain or not _NUMBERS.issuperset(map(type, x.values())):
            return None
        try:
            values = self._all(x)
            if not sum(map(abs, values)) < LARGEST:
                return None
        except (KeyError, OverflowError):
            return None
        return (np.array(values, np.float64) - self._origin).astype(np.float32)

    def vector(self, x: dict[Any, Any], fill: Vector) -> Vector:
        """Return the vector of an event; a number that is missing or not finite is taken from ``fill``."""
        plain = self.plain(x)
        if plain is not None:
            return plain
        vector = fill.copy()
        for name, value in x.items():
            if isinstance(value, str):
                column = self._texts[name].get(value) if name in self._texts else None
                if column is not None:
                    vector[column] = 1.0
            else:
                column = self._numbers.get(name)
                if column is not None and (number := _number(value)) is not None:
                    vector[column] = number - self._origin[column]
        return vector

    def grow(self, x: dict[Any, Any]) -> int:
        """Make columns for what has none yet; returns how many are new."""
        fresh: list[tuple[str, Any, str | None, float]] = []
        for name, value in x.items():
            if isinstance(value, str):
                if value not in self._texts.get(name, ()):
                    fresh.append((f"{name}={value}", name, value, 0.0))
            elif name not in self._numbers and (number := _number(value)) is not None:
                fresh.append((str(name), name, None, number))
        before, origins = self.width, list[float]()
        for title, name, value, origin in sorted(fresh, key=itemgetter(0)):
            if self._has_room(name, value):
                if value is None:
                    self._numbers[name] = self.width
                else:
                    self._texts.setdefault(name, {})[value] = self.width
                    self._text_columns += 1
                self.names.append(title)
                origins.append(origin)
                self.width += 1
        if origins:
            self._origin = np.concatenate([self._origin, origins])
            self.numeric = np.zeros(self.width, bool)
            self.numeric[list(self._numbers.values())] = True
            self._bind()
        return self.width - before

    def _has_room(self, name: Any, value: str | None) -> bool:
        if value is None:
            return len(self._numbers) < NUMBER_COLUMNS
        return self._text_columns < TEXT_COLUMNS and len(self._texts.get(name, ())) < VALUES

    def move(self, scale: Scale) -> Vector | None:
        """Move the origin of columns whose values lie far from it; returns by how much, or None.

        What was stored before must be shifted by as much.
        """
        far = self.numeric & (np.abs(scale.centre) > FAR * scale.tenths)
        if not far.any():
            return None
        shift = np.where(far, scale.centre, np.float32(0))
        self._origin = self._origin + shift
        return shift


def scale_of(rows: Matrix) -> Scale:
    """Measure columns.

    Parameters
    ----------
    rows
        Shape (columns, n).

    Examples
    --------
    >>> scale_of(np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, 1e9], [0, 0, 0, 0, 0, 0, 0, 0, 0, 2]], np.float32))
    Scale(centre=array([6., 0.], ...), tenths=array([2.73, 0. ], ...), spread=array([2.73, 0.6 ], ...))
    """
    n = rows.shape[1]
    low, middle, high = n // 10, n // 2, n - 1 - n // 10
    ranked = np.partition(rows, (low, middle, high), axis=1)
    tenths = (ranked[:, high] - ranked[:, low]) / np.float32(_TENTHS)
    spread = tenths.copy()
    flat = np.flatnonzero(tenths <= 0)
    if len(flat):
        spread[flat] = rows[flat].std(axis=1, dtype=np.float64)
    return Scale(ranked[:, middle], tenths, spread)


def _number(value: Any) -> float | None:
    """Return a finite number, or None for what is none or is missing."""
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return LARGEST if value > 0 else -LARGEST
    except (TypeError, ValueError):
        return None
    return max(-LARGEST, min(number, LARGEST)) if math.isfinite(number) else None
