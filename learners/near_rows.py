"""The nearest of the last rows answer, each trusted as far as it was right before."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from learners.vectors import Matrix, Vector, Vectors, scale_of

TOP = 64  # columns that a distance looks at; with more, the most relevant
EVEN = 50  # labels before relevance counts
CALM = 3.0  # spreads beyond which a difference counts no more for relevance
LEAST_WEIGHT = 0.05  # of the most relevant column's
LEAST_TRUST, GAIN, LOSS = 0.01, 0.1, 0.3
_TINY = np.float32(1e-6)


class _Near:
    """The neighbours of one vector; valid until the next row is stored."""

    __slots__ = ("differences", "distances", "index", "key")

    def __init__(self, key: bytes, differences: Matrix, index: NDArray[np.intp], distances: Vector) -> None:
        self.key, self.differences, self.index, self.distances = key, differences, index, distances


class _Rows:
    """A ring of the last rows, a trust for each, a relevance for each column, and who is near.

    Attributes
    ----------
    stored
        Rows stored so far, those that have left included.
    trust
        In [0.01, 1], shape (window,).
    """

    def __init__(self, k: int, window: int) -> None:
        self.k, self.window = k, window
        self.vectors = Vectors()
        self.stored = 0
        self.trust = np.ones(window, np.float32)
        self._rows = np.zeros((0, window), np.float32)  # by column: distances are sums over rows of this
        self._fill = np.zeros(0, np.float32)  # the median where a number is missing
        self._inverse = np.zeros(0, np.float32)  # 1 / spread; 0 for what does not vary
        self._relevance = np.zeros(0, np.float32)
        self._contrasts = 0
        self._scale = np.ones(0, np.float32)  # of the columns looked at
        self._top: NDArray[np.intp] | None = None  # which those are, where it is not all
        self._forget()

    def _forget(self) -> None:
        self._near: _Near | None = None
        self._room = np.empty((0, self.window), np.float32)
        self._seen = self._rows  # of the columns looked at

    def __getstate__(self) -> dict[str, Any]:
        return {name: v for name, v in self.__dict__.items() if name not in ("_near", "_room", "_seen")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()
        self._look(self._top)

    def ask(self, x: dict[Any, Any]) -> _Near:
        """Return the neighbours of an event."""
        return self._neighbours(self.vectors.vector(x, self._fill))

    def enter(self, x: dict[Any, Any]) -> tuple[Vector, _Near | None]:
        """Make room for new columns; returns the vector of an event, and its neighbours if there are rows."""
        vector = self.vectors.plain(x)
        if vector is None:
            new = self.vectors.grow(x)
            if new:
                self._widen(new)
            vector = self.vectors.vector(x, self._fill)
        return vector, self._neighbours(vector) if self.stored else None

    def _neighbours(self, vector: Vector) -> _Near:
        key = vector.tobytes()  # by value: dicts are mutated, and addresses used again
        if self._near is not None and self._near.key == key:
            return self._near
        n = min(self.stored, self.window)
        differences, seen = self._room[:, :n], self._seen[:, :n]
        np.subtract(seen, (vector if self._top is None else vector[self._top])[:, None], out=differences)
        np.abs(differences, out=differences)
        distances = self._scale @ differences
        if n > self.k:
            mistrusted = (distances + _TINY) / self.trust[:n]
            index = np.argpartition(mistrusted, self.k)[: self.k]
        else:
            index = np.arange(n)
        self._near = _Near(key, differences, index, distances[index])
        return self._near

    def weights(self, near: _Near) -> NDArray[np.float32]:
        """Return how much each neighbour's label counts, by nearness and trust; the sum is 1 at most."""
        distances = near.distances
        closeness = 1.0 / (distances / max(float(distances.max()), 1e-30) + 0.03)
        weights: NDArray[np.float32] = self.trust[near.index] * closeness / closeness.sum()
        return weights

    def judge(self, vector: Vector, near: _Near, wrong: NDArray[np.float32]) -> None:
        """Move trust and relevance by how wrong each neighbour's label was, in [0, 1]."""
        index = near.index
        trust = self.trust[index]
        right = 1.0 - wrong
        self.trust[index] = right * (trust + GAIN * (1.0 - trust)) + wrong * np.maximum(
            (1.0 - LOSS) * trust, LEAST_TRUST
        )
        hits, misses = float(right.sum()), float(wrong.sum())
        if hits > 1e-3 and misses > 1e-3:
            away = near.differences[:, index] if self._top is None else self._away(vector, index)
            calm = np.minimum(away * self._inverse[:, None], CALM)
            contrast = calm @ (wrong / misses - right / hits)
            self._contrasts += 1
            self._relevance += max(0.003, 1.0 / (self._contrasts + 1)) * (contrast - self._relevance)

    def _away(self, vector: Vector, index: NDArray[np.intp]) -> Matrix:
        away: Matrix = np.abs(self._rows[:, index] - vector[:, None])
        return away

    def store(self, vector: Vector) -> int:
        """Store a row with full trust in the place of the oldest; returns the place."""
        place = self.stored % self.window
        self._rows[:, place] = vector
        if self._top is not None:
            self._seen[:, place] = vector[self._top]
        self.trust[place] = 1.0
        self.stored += 1
        self._near = None
        n = self.stored
        if n % max(50, self.vectors.width) == 0 or (n <= 100 and n % 5 == 0):
            self._measure()
            self._rescale()
        elif n % 10 == 0:
            self._rescale()
        return place

    def _widen(self, new: int) -> None:
        """Add columns; rows of before hold their origin there."""
        none = np.zeros(new, np.float32)
        self._rows = np.concatenate([self._rows, np.zeros((new, self.window), np.float32)])
        self._fill, self._inverse = (
            np.concatenate([self._fill, none]),
            np.concatenate([self._inverse, none + 1]),
        )
        self._relevance = np.concatenate([self._relevance, none])
        self._rescale()

    def _measure(self) -> None:
        """Take each column's median and spread from the window."""
        n = min(self.stored, self.window)
        rows = self._rows[:, :n]
        scale = scale_of(rows)
        centre, spread, shift = scale.centre, scale.spread, self.vectors.move(scale)
        if shift is not None:
            self._rows[:, :n] -= shift[:, None]
            centre = centre - shift
            self._look(self._top)
        self._fill = np.where(self.vectors.numeric, centre, np.float32(0))
        self._inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)

    def _rescale(self) -> None:
        """Choose the columns that distances look at, and weigh them by relevance over spread."""
        highest = self._relevance.max() if self.stored >= EVEN else np.float32(0)
        weights = (
            np.maximum(self._relevance / highest, LEAST_WEIGHT)
            if highest > 0
            else np.ones_like(self._relevance)
        )
        scale = weights * self._inverse
        if self.vectors.width <= TOP:
            self._scale, top = scale, None
        else:
            merit = weights * (self._inverse > 0)
            top = np.sort(np.argsort(-merit, kind="stable")[:TOP])
            self._scale = scale[top]
        if len(self._room) != len(self._scale) or not (top is self._top or np.array_equal(top, self._top)):  # type: ignore[arg-type]
            self._look(top)

    def _look(self, top: NDArray[np.intp] | None) -> None:
        self._top, self._near = top, None
        self._seen = self._rows if top is None else self._rows[top]
        self._room = np.empty_like(self._seen)


class NearRowsClassifier(base.Classifier):
    """The classes of the nearest of the last rows, with trust for rows and relevance for features.

    A row that pointed to the wrong class when it was a neighbour loses trust, and counts as farther away: so
    the memory renews itself where the relation has changed, and only there. Features weigh in the distance
    (a sum of absolute differences) by how much more they differ between a row and its neighbours of another
    class than of its own. With more than 64 columns the distance looks at the 64 most relevant.

    Takes numbers, booleans and text (a column for each value: at most 128 of a feature, 512 in all). A
    number that is missing or not finite counts as the median of the window, a text without a column as none.

    Parameters
    ----------
    k
        How many neighbours answer.
    window
        How many rows are remembered. A pickle takes about 4 bytes for each row and column.

    References
    ----------
    Kira and Rendell (1992). A practical approach to feature selection (RELIEF). ICML. Here online, with the
    neighbours themselves as hits and misses.
    Losing, Hammer and Wersing (2016). KNN classifier with self adjusting memory. ICDM: the idea of cleaning a
    memory by its own mistakes.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> evaluate.progressive_val_score(datasets.Phishing(), NearRowsClassifier(), metrics.Accuracy())
    Accuracy: 90.71%
    """

    def __init__(self, k: int = 10, window: int = 1000) -> None:
        self.k, self.window = k, window
        self._rows = _Rows(k, window)
        self._codes: dict[Any, int] = {}
        self._label = np.zeros(window, np.int32)

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return a probability for each class seen, or ``{}`` before the first label."""
        if not self._rows.stored:
            return {}
        near = self._rows.ask(x)
        shares = [0.5 / (self.k * len(self._codes))] * len(self._codes)
        for code, weight in zip(
            self._label[near.index].tolist(), self._rows.weights(near).tolist(), strict=True
        ):
            shares[code] += weight
        total = sum(shares)
        return {label: shares[code] / total for label, code in self._codes.items()}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Judge the neighbours by the label, then remember the row."""
        vector, near = self._rows.enter(x)
        code = self._codes.setdefault(y, len(self._codes))
        if near is not None:
            self._rows.judge(vector, near, (self._label[near.index] != code).astype(np.float32))
        self._label[self._rows.store(vector)] = code


class NearRowsRegressor(base.Regressor):
    """The mean label of the nearest of the last rows; see `NearRowsClassifier`.

    A neighbour is wrong by the distance of its label from the truth, as a share of ``tolerance`` times
    the usual such distance. An answer is a weighted mean of labels of the window: it cannot diverge.

    Parameters
    ----------
    k
        How many neighbours answer.
    window
        How many rows are remembered.
    tolerance
        How many usual distances away a neighbour's label is wholly wrong.

    References
    ----------
    Robnik-Sikonja and Kononenko (1997). An adaptation of Relief for attribute estimation in regression. ICML.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> evaluate.progressive_val_score(datasets.TrumpApproval(), NearRowsRegressor(), metrics.MAE())
    MAE: 0.217
    """

    def __init__(self, k: int = 5, window: int = 1000, tolerance: float = 4.0) -> None:
        self.k, self.window, self.tolerance = k, window, tolerance
        self._rows = _Rows(k, window)
        self._label = np.zeros(window)
        self._usual = 0.0

    def predict_one(self, x: dict[Any, Any]) -> float | None:  # type: ignore[override]
        """Return the weighted mean of the neighbours' labels, or None before the first."""
        if not self._rows.stored:
            return None
        near = self._rows.ask(x)
        weights = self._rows.weights(near)
        return float(weights @ self._label[near.index] / weights.sum())

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Judge the neighbours, then remember the row; a label that is not finite is passed over."""
        if not math.isfinite(y):
            return
        vector, near = self._rows.enter(x)
        if near is not None:
            away = np.abs(self._label[near.index] - y)
            self._usual += (float(away.mean()) - self._usual) / min(self._rows.stored, 500)
            wholly = self.tolerance * self._usual
            wrong = np.minimum(away / wholly, 1.0) if wholly > 0 else np.zeros(len(away))
            self._rows.judge(vector, near, wrong.astype(np.float32))
        self._label[self._rows.store(vector)] = y
