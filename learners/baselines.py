"""Baselines: what a model must beat, and what answers when no model can.

They are River estimators. Before their first label they are silent: ``{}`` or None.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from river import base

from learners.features import moment


class ClassFrequencies(base.Classifier):
    """How often each class came among the last labels, with one label's worth of evenness.

    ``P(c) = (n_c + 1/C) / (n + 1)`` over the C classes that are declared or in the window.

    Parameters
    ----------
    window
        How many labels are looked back on.
    classes
        The declared classes, in the form estimators learn.

    Examples
    --------
    >>> model = ClassFrequencies(classes=(False, True))
    >>> model.predict_proba_one({})
    {}
    >>> model.learn_one({}, True)
    >>> model.predict_proba_one({})
    {False: 0.25, True: 0.75}
    """

    def __init__(self, window: int = 1000, classes: tuple[Any, ...] | None = None) -> None:
        self.window, self.classes = window, classes
        self._labels: deque[Any] = deque()
        self._counts: dict[Any, int] = dict.fromkeys(classes or (), 0)

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Count a label, forget the one that leaves the window."""
        self._labels.append(y)
        self._counts[y] = self._counts.get(y, 0) + 1
        if len(self._labels) > self.window:
            old = self._labels.popleft()
            self._counts[old] -= 1
            if not self._counts[old] and old not in (self.classes or ()):
                del self._counts[old]

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return a probability for each class, or ``{}`` before the first label."""
        n = len(self._labels)
        if not n:
            return {}
        counts, total = self._counts, n + 1.0
        if len(counts) == 2:  # written out: a comprehension costs as much again
            (a, k), (b, m) = counts.items()
            return {a: (k + 0.5) / total, b: (m + 0.5) / total}
        even = 1.0 / len(counts)
        return {label: (count + even) / total for label, count in counts.items()}

    def probability_one(self, x: dict[Any, Any]) -> float | None:
        """Return True's probability alone, where True is one of two classes; None before the first label."""
        n = len(self._labels)
        return (self._counts[True] + 0.5) / (n + 1.0) if n else None


class Majority(base.Classifier):
    """The class that came most often so far, and how often each came.

    Parameters
    ----------
    classes
        The declared classes, in the form estimators learn.

    Examples
    --------
    >>> model = Majority(classes=("a", "b"))
    >>> for label in "bba":
    ...     model.learn_one({}, label)
    >>> model.predict_one({})
    'b'
    """

    def __init__(self, classes: tuple[Any, ...] | None = None) -> None:
        self.classes = classes
        self._counts: dict[Any, int] = dict.fromkeys(classes or (), 0)
        self._n = 0

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Count a label."""
        self._counts[y] = self._counts.get(y, 0) + 1
        self._n += 1

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return each class's share of all labels, or ``{}`` before the first."""
        return {label: count / self._n for label, count in self._counts.items()} if self._n else {}


class NoChange(base.Classifier):
    """The last label again.

    Parameters
    ----------
    classes
        The declared classes, in the form estimators learn.

    Examples
    --------
    >>> model = NoChange(classes=(False, True))
    >>> model.learn_one({}, True)
    >>> model.predict_proba_one({})
    {False: 0.0, True: 1.0}
    """

    def __init__(self, classes: tuple[Any, ...] | None = None) -> None:
        self.classes = classes
        self._seen: dict[Any, float] = dict.fromkeys(classes or (), 0.0)
        self._last: Any = None

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Keep the label."""
        self._seen.setdefault(y, 0.0)
        self._last = y

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return 1 for the last class and 0 for the others, or ``{}`` before the first label."""
        return {**self._seen, self._last: 1.0} if self._last is not None else {}


class LastValue(base.Regressor):
    """The last number again.

    >>> model = LastValue()
    >>> model.predict_one({})
    >>> model.learn_one({}, 3.0)
    >>> model.predict_one({})
    3.0
    """

    def __init__(self) -> None:
        self._last: float | None = None

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Keep the number."""
        self._last = y

    def predict_one(self, x: dict[Any, Any]) -> float | None:  # type: ignore[override]
        """Return the last number, or None before the first."""
        return self._last


class MeanBy(base.Regressor):
    """The mean label of what shares some features, e.g. of a shop at this hour.

    What has no mean of its own yet gets the mean over all. Bounded: beyond ``limit`` keys the one not
    met for longest is forgotten.

    Parameters
    ----------
    by
        Features whose values make up the key. Without any (and without ``hour_of``): one mean over all.
    hour_of
        A time feature whose hour (UTC) is part of the key.
    window
        A new label weighs at least ``1 / window``, so that old ones fade. 0: all weigh the same.
    limit
        How many keys are kept.

    Examples
    --------
    >>> model = MeanBy(by=("shop",))
    >>> for shop, y in (("a", 1.0), ("a", 3.0), ("b", 8.0)):
    ...     model.learn_one({"shop": shop}, y)
    >>> model.predict_one({"shop": "a"}), model.predict_one({"shop": "c"})
    (2.0, 4.0)
    """

    def __init__(
        self,
        by: tuple[str, ...] | None = None,
        hour_of: str | None = None,
        window: int = 0,
        limit: int = 10_000,
    ) -> None:
        self.by, self.hour_of, self.window, self.limit = by, hour_of, window, limit
        self._means: dict[tuple[Any, ...], tuple[int, float]] = {}
        self._all = (0, 0.0)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"by": ("ordinal_date",), "limit": 50}

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Move the means of its key and of all towards the label."""
        self._all = self._moved(self._all, y)
        if self.by or self.hour_of is not None:
            key = self._key(x)
            self._means[key] = self._moved(self._means.pop(key, (0, 0.0)), y)
            if len(self._means) > self.limit:
                del self._means[next(iter(self._means))]

    def predict_one(self, x: dict[Any, Any]) -> float | None:  # type: ignore[override]
        """Return the mean of its key, else of all, or None before the first label."""
        n, mean = self._means.get(self._key(x), self._all)
        return mean if n else None

    def _key(self, x: dict[Any, Any]) -> tuple[Any, ...]:
        key = tuple(x.get(name) for name in self.by or ())
        if self.hour_of is None:
            return key
        value = x.get(self.hour_of)
        at = None if value is None else moment(value)
        return (*key, None if at is None else int(at.hour))

    def _moved(self, old: tuple[int, float], y: float) -> tuple[int, float]:
        n, mean = old[0] + 1, old[1]
        return n, mean + (y - mean) / (min(n, self.window) if self.window else n)
