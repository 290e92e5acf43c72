"""What stands in front of a model: River transformers that turn declared features into its columns.

Nothing stands in front where nothing is needed: trees take numbers as they are, and a linear model
over numbers gets a `Scaler` and nothing else. Columns do not depend on the process (no
salted hashes), and their number is bounded whatever the stream brings. Missing values were filled, or left
out, before any model is asked (`learners.repair`).
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from river import base, compose, preprocessing

from learners.definition import Definition, Feature
from learners.repair import NUMBERS

Form = Literal["linear", "tree", "bayes", "vector"]

HASHED_COLUMNS = 4096  # for undeclared categories and words, in linear models and naive Bayes
TREE_WORD_COLUMNS = 32  # for words, in trees: each column is a statistic in each leaf
KNOWN_CATEGORIES = 256  # values of an undeclared category that a tree or naive Bayes tells apart
OTHER, OTHER_CODE = "(other)", -1
HASH_SEED = 1  # part of the column names, so it never follows the definition's seed
CLIP = 3.0  # standard deviations

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = re.compile(r"\w+")


class Moment(NamedTuple):
    """Parts of a time, in UTC.

    ``hour`` in [0, 24) with its minutes as a fraction, ``weekday`` 0 (Monday) to 6, ``month`` 1 to 12,
    ``year`` the share of the year that has passed, in [0, 1).
    """

    hour: float
    weekday: int
    month: int
    year: float


def moment(value: int | str) -> Moment | None:
    """Take a time apart: epoch milliseconds or an ISO 8601 string (without an offset: UTC).

    Returns None for what is no time: such a feature counts as missing.

    >>> moment("2024-05-01T18:30:00+02:00")
    Moment(hour=16.5, weekday=2, month=5, year=0.33...)
    >>> moment(0) == moment("1970-01-01")
    True
    >>> moment("yesterday")
    """
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        else:
            at = _EPOCH + timedelta(milliseconds=value)
    except (ValueError, OverflowError):
        return None
    hour = at.hour + at.minute / 60 + at.second / 3600
    day = at.timetuple().tm_yday - 1 + hour / 24
    return Moment(hour, at.weekday(), at.month, day / 366)


class Only(base.Transformer):
    """Keeps some columns, in a fixed order; River's `Select` iterates over a set, whose order is salted.

    >>> Only("b", "a").transform_one({"a": 1, "b": 2, "c": 3})
    {'b': 2, 'a': 1}
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the columns that are there."""
        return {name: x[name] for name in self.names if name in x}


UNKNOWN = (0, 0.0, 0.0)  # moments of a column that has not come yet


class Scaler(base.Transformer):
    """River's `StandardScaler`, equal to the last bit, with what it knows of a column in one place.

    Scaling is the larger part of what a linear model costs, and most of that is looking things up: here once
    for each column instead of three times. `learners.direct` goes on from there.

    Attributes
    ----------
    moments
        For each column how many values there were, their mean and their variance.

    Examples
    --------
    >>> ours, rivers = Scaler(), preprocessing.StandardScaler()
    >>> for value in (0.1, 0.7, -2.0):
    ...     ours.learn_one({"x": value}), rivers.learn_one({"x": value})
    (None, None)
    (None, None)
    (None, None)
    >>> ours.transform_one({"x": 0.3}) == rivers.transform_one({"x": 0.3})
    True
    """

    def __init__(self) -> None:
        self.moments: dict[Any, list[float]] = {}

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Take in the values."""
        moments = self.moments
        for name, value in x.items():
            known = moments.get(name)
            if known is None:
                known = moments[name] = [0, 0.0, 0.0]
            n, before, variance = known
            known[0] = n = n + 1
            known[1] = mean = before + (value - before) / n
            known[2] = variance + ((value - before) * (value - mean) - variance) / n

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return how many standard deviations the values are from their means."""
        scaled = {}
        known = self.moments.get
        for name, value in x.items():
            _, mean, variance = known(name, UNKNOWN)
            scaled[name] = (value - mean) / variance**0.5 if variance else 0.0
        return scaled


class ClippedScaler(preprocessing.StandardScaler):
    """A `StandardScaler` whose output stays within [-3, 3]: no value moves a weight out of proportion.

    >>> scaler = ClippedScaler()
    >>> for value in (0.0, 1.0):
    ...     scaler.learn_one({"x": value})
    >>> scaler.transform_one({"x": 1e9})
    {'x': 3.0}
    """

    def __init__(self) -> None:
        super().__init__()

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Scale and clip."""
        means, variances = self.means, self.vars
        scaled = {}
        for name, value in x.items():
            variance = variances[name]
            z = (value - means[name]) / variance**0.5 if variance else 0.0
            scaled[name] = z if -CLIP < z < CLIP else math.copysign(CLIP, z)
        return scaled


class HatBasis(preprocessing.StandardScaler):
    """Turns each number into two neighbouring columns of a row of hats over [-2, 2] standard deviations.

    A linear model over hats is a sum of piecewise linear curves, one for each feature (a first order
    B-spline basis). However far out a value is, its two columns sum to one.

    Parameters
    ----------
    hats
        How many intervals the range is divided into.

    References
    ----------
    Hastie and Tibshirani (1986). Generalized additive models. Statistical Science 1(3).

    Examples
    --------
    >>> basis = HatBasis(hats=4)
    >>> for value in (-1.0, 1.0):
    ...     basis.learn_one({"x": value})
    >>> basis.transform_one({"x": 0.25})
    {('x', 2): 0.75, ('x', 3): 0.25}
    """

    def __init__(self, hats: int = 16) -> None:
        super().__init__()
        self.hats = hats

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return two columns for each number."""
        means, variances, hats = self.means, self.vars, self.hats
        columns = {}
        for name, value in x.items():
            variance = variances[name]
            z = (value - means[name]) / variance**0.5 if variance else 0.0
            place = (min(max(z, -2.0), 2.0) + 2.0) * (hats / 4)
            left = min(int(place), hats - 1)
            columns[name, left] = 1.0 - (place - left)
            columns[name, left + 1] = place - left
        return columns


class Columns(base.Transformer):
    """Turns categories, texts and times into numeric columns for a linear model; numbers are left out.

    A declared category has one column for each value. An undeclared one, and the words of texts, are
    hashed into 4,096 columns. Words weigh ``count / |counts|``, so that a long text is no longer than a
    short one. A time becomes sines and cosines of day (two harmonics), week and year.

    Parameters
    ----------
    features
        The declared features.

    References
    ----------
    Weinberger et al. (2009). Feature hashing for large scale multitask learning. ICML.

    Examples
    --------
    >>> columns = Columns({"country": Feature(type="category", categories=("CH", "DE"))})
    >>> columns.transform_one({"country": "CH"}), columns.transform_one({"country": "XX"})
    ({'country=CH': 1.0}, {})
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self.features = features
        self._declared = {
            name: {value: f"{name}={value}" for value in f.categories}
            for name, f in features.items()
            if f.categories is not None
        }
        self._free = tuple(n for n, f in features.items() if f.type == "category" and f.categories is None)
        self._texts = tuple(name for name, f in features.items() if f.type == "text")
        self._times = tuple(name for name, f in features.items() if f.type == "time")
        self._hasher = preprocessing.FeatureHasher(n_features=HASHED_COLUMNS, seed=HASH_SEED)

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"features": {"country": Feature(type="category")}}

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the columns of what is there."""
        columns: dict[Any, Any] = {}
        for name, known in self._declared.items():
            column = known.get(x.get(name))  # type: ignore[arg-type]
            if column is not None:
                columns[column] = 1.0
        for name in self._times:
            _add_waves(columns, name, x.get(name))
        bag: dict[str, Any] = {name: x[name] for name in self._free if x.get(name) is not None}
        for name in self._texts:
            if x.get(name) is not None:
                counts = _words(name, x[name])
                norm = math.sqrt(sum(n * n for n in counts.values()))
                bag.update((word, n / norm) for word, n in counts.items())
        if bag:
            columns.update(self._hasher.transform_one(bag))
        return columns


class Plain(base.Transformer):
    """Keeps numbers as they are, and makes few columns of categories, texts and times.

    For trees a category becomes a code (a small integer, declared as nominal to the tree: River's trees keep
    sets of values, and a set of text has a salted order), a text 32 columns of word counts, and a time
    the numbers hour, weekday and month. For naive Bayes each word is a column of 4,096 whose value
    is text, and so are the parts of a time. Of a category without declared values the first 256 seen
    are told apart. What computes with vectors gets texts as trees do, times as linear models do, and makes
    columns of categories itself.

    Parameters
    ----------
    features
        The declared features.
    form
        ``tree``, ``bayes`` or ``vector``.

    Examples
    --------
    >>> plain = Plain({"at": Feature(type="time"), "amount": Feature()})
    >>> plain.transform_one({"at": "2024-05-01T18:30:00", "amount": 2.0})
    {'amount': 2.0, 'at hour': 18, 'at weekday': 2, 'at month': 5}
    >>> plain = Plain({"country": Feature(type="category", categories=("CH", "DE"))})
    >>> plain.transform_one({"country": "DE"})
    {'country': 1}
    """

    def __init__(self, features: Mapping[str, Feature], form: str = "tree") -> None:
        self.features, self.form = features, form
        self._codes: dict[str, dict[str, int]] = {
            name: {value: i for i, value in enumerate(f.categories or ())}
            for name, f in features.items()
            if f.type == "category"
        }
        self._free = tuple(name for name in self._codes if features[name].categories is None)
        self._texts = tuple(name for name, f in features.items() if f.type == "text")
        self._times = tuple(name for name, f in features.items() if f.type == "time")
        self._as_text, self._as_waves = form == "bayes", form == "vector"
        width = HASHED_COLUMNS if self._as_text else TREE_WORD_COLUMNS
        self._hasher = preprocessing.FeatureHasher(n_features=width, seed=HASH_SEED, alternate_sign=False)

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"features": {"country": Feature(type="category")}}

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Note new categories while there is room."""
        for name in self._free:
            value, codes = x.get(name), self._codes[name]
            if value is not None and value not in codes and len(codes) < KNOWN_CATEGORIES:
                codes[value] = len(codes)

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the columns of what is there."""
        columns = x.copy()
        for name, codes in self._codes.items():
            value = x.get(name)
            if value is not None:
                if not self._as_text:
                    columns[name] = codes.get(value, OTHER_CODE)
                elif value not in codes:
                    columns[name] = OTHER
        for name in self._times:
            value = columns.pop(name, None)
            if self._as_waves:
                _add_waves(columns, name, value)
                continue
            at = moment(value) if value is not None else None
            if at is not None:
                for part in ("hour", "weekday", "month"):
                    number = int(getattr(at, part))
                    columns[f"{name} {part}"] = str(number) if self._as_text else number
        for name in self._texts:
            text = columns.pop(name, None)
            if text is not None:
                self._add_words(columns, name, text)
        return columns

    def _add_words(self, columns: dict[Any, Any], name: str, text: str) -> None:
        hashed = self._hasher.transform_one(_words(name, text))
        if self._as_text:
            columns.update((f"{name} #{column}", "present") for column in sorted(hashed))
        else:
            columns.update((f"{name} #{i}", hashed.get(i, 0)) for i in range(TREE_WORD_COLUMNS))


def _words(name: str, text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in _WORD.findall(text.lower()):
        column = f"{name}:{word}"
        counts[column] = counts.get(column, 0) + 1
    return counts


def _add_waves(columns: dict[Any, Any], name: str, value: Any) -> None:
    at = moment(value) if value is not None else None
    if at is None:
        return
    day, week = at.hour / 24, (at.weekday + at.hour / 24) / 7
    for part, turns in (("day", day), ("half day", 2 * day), ("week", week), ("year", at.year)):
        angle = math.tau * turns
        columns[f"{name} {part} sin"] = math.sin(angle)
        columns[f"{name} {part} cos"] = math.cos(angle)


def numbers_only(definition: Definition) -> bool:
    """Whether a model sees numbers (and booleans) only."""
    return all(f.type in NUMBERS for f in definition.features.values())


def nominal(definition: Definition) -> list[str]:
    """Return the features whose columns trees must not take for numbers."""
    return [name for name, f in definition.features.items() if f.type == "category"]


def prepare(
    definition: Definition,
    model: base.Estimator,
    form: Form,
    scaler: base.Transformer | None = None,
) -> base.Estimator:
    """Put in front of a model what its features need.

    Parameters
    ----------
    definition
        Whose features are meant.
    model
        A River classifier or regressor.
    form
        ``linear`` (numeric columns), ``tree`` (numbers and codes), ``bayes`` (numbers and text), ``vector``
        (numbers, and categories as they are).
    scaler
        For ``linear``: what the numbers go through. Default: `Scaler`.

    Returns
    -------
    river.base.Estimator
        A pipeline, or the model itself where it needs nothing.

    Examples
    --------
    >>> from river import linear_model
    >>> definition = Definition(name="d", task="regression", features={"amount": Feature()})
    >>> print(prepare(definition, linear_model.LinearRegression(), "linear"))
    Scaler | LinearRegression
    """
    features = definition.features
    steps: list[Any] = []
    numbers = [name for name, f in features.items() if f.type in NUMBERS]
    own = (*NUMBERS, "category") if form == "vector" else NUMBERS
    others = {name: f for name, f in features.items() if f.type not in own}
    if form == "linear":
        scaler = scaler or Scaler()
        if not others:
            steps.append(scaler)
        elif not numbers:
            steps.append(Columns(others))
        else:
            steps.append(compose.TransformerUnion(Only(*numbers) | scaler, Columns(others)))
    elif others:
        steps.append(Plain(others, form))
    return compose.Pipeline(*steps, model) if steps else model
