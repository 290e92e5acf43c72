"""Made-up streams whose true points of change are known.

A scenario is a list of segments, each with a concept: how the label follows from the features. The
features themselves never change, so that only the relation drifts, and nothing but labels can show it.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.errors import MeanderError

LABEL = "target"  # the column of the label
CLASSES = ("kept", "returned")
CATEGORIES = ("books", "clothes", "shoes", "toys")

# Will an ordered article come back? What it costs, how long it travelled and its discount each pull one
# way before and the other way after; which articles come back more often stays what it was.
CONCEPTS: Mapping[str, tuple[float, float, float]] = {
    "before": (1.8, 1.4, -1.6),  # weights of the standardised amount, delivery_days, discount
    "after": (-1.8, -1.4, 1.6),
}
_CATEGORY_WEIGHTS = np.array([-2.2, 2.2, 1.4, -1.4])
_NOISE = 0.5  # scale of the logistic noise
_BLOCK = 1000  # rows drawn at once; each block has a seed of its own


class UnknownScenarioError(MeanderError):
    """A name that is no scenario."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the stream.

    Attributes
    ----------
    rows
        How long it is.
    concept
        A name in `CONCEPTS`.
    transition
        For so many of its rows the previous concept still speaks now and then, less and less often.
    """

    rows: int
    concept: str
    transition: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A stream of orders: numbers ``amount``, ``delivery_days``, ``discount``, the category ``article``.

    Attributes
    ----------
    segments
        One after the other.
    seed
        Equal seeds give equal rows.

    Examples
    --------
    >>> scenario = Scenario((Segment(30, "before"), Segment(20, "after")))
    >>> scenario.drifts, sum(1 for row in scenario.rows())
    ((30,), 50)
    >>> next(scenario.rows())["target"] in CLASSES
    True
    """

    segments: tuple[Segment, ...]
    seed: int = 1

    @property
    def length(self) -> int:
        """Number of rows."""
        return sum(segment.rows for segment in self.segments)

    @property
    def drifts(self) -> tuple[int, ...]:
        """The rows at which a new concept begins, counted from 0."""
        starts = accumulate(segment.rows for segment in self.segments[:-1])
        pairs = zip(starts, pairwise(self.segments), strict=True)
        return tuple(start for start, (old, new) in pairs if old.concept != new.concept)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, the label in the column ``target``."""
        for first in range(0, self.length, _BLOCK):
            yield from self._block(first)[: self.length - first]

    def _block(self, first: int) -> list[dict[str, Any]]:
        random = np.random.default_rng([self.seed, first // _BLOCK])
        standard = random.standard_normal((_BLOCK, 3))
        article = random.integers(len(CATEGORIES), size=_BLOCK)
        noise, chance = random.logistic(scale=_NOISE, size=_BLOCK), random.random(_BLOCK)
        weights = self._weights(first, chance)
        returned = (standard * weights).sum(axis=1) + _CATEGORY_WEIGHTS[article] + noise > 0
        columns = zip(
            np.round(60 + 15 * standard[:, 0], 2).clip(0).tolist(),
            np.round(5 + 1.2 * standard[:, 1], 1).clip(0).tolist(),
            np.round(0.25 + 0.06 * standard[:, 2], 3).clip(0, 1).tolist(),
            article.tolist(),
            returned.tolist(),
            strict=True,
        )
        return [
            {
                "amount": amount,
                "delivery_days": days,
                "discount": discount,
                "article": CATEGORIES[kind],
                LABEL: CLASSES[came_back],
            }
            for amount, days, discount, kind, came_back in columns
        ]

    def _weights(self, first: int, chance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of a block's rows, shape (block, 3); of those past the end, zeros."""
        weights = np.zeros((_BLOCK, 3))
        number = np.arange(first, first + _BLOCK)
        start, previous = 0, self.segments[0].concept
        for segment in self.segments:
            inside = (number >= start) & (number < start + segment.rows)
            share = (number - start + 1) / (segment.transition + 1)  # of the new concept
            new = inside & (chance < share)
            weights[inside] = CONCEPTS[previous]
            weights[new] = CONCEPTS[segment.concept]
            start, previous = start + segment.rows, segment.concept
        return weights

    @staticmethod
    def definition(name: str) -> dict[str, Any]:
        """Return a definition for these streams, as parsed from TOML, with a rule that drift leaves true."""
        return {
            "name": name,
            "task": "binary",
            "features": {
                "amount": {"min": 0},
                "delivery_days": {"min": 0},
                "discount": {"min": 0, "max": 1},
                "article": {"type": "category", "categories": list(CATEGORIES)},
            },
            "label": {"classes": list(CLASSES)},
            "rules": {
                "to-try-on": {"when": "article in ['clothes', 'shoes']", "then": {"returned": 0.7}},
                "to-keep": {"when": "article in ['books', 'toys']", "then": {"kept": 0.7}},
            },
        }


def alternating(*lengths: int, seed: int = 1) -> Scenario:
    """Return a scenario whose relation flips abruptly after each of the lengths but the last.

    >>> alternating(2000, 1000, 3000).drifts
    (2000, 3000)
    """
    names = tuple(CONCEPTS)
    return Scenario(tuple(Segment(rows, names[n % 2]) for n, rows in enumerate(lengths)), seed)


SCENARIOS: Mapping[str, Scenario] = {
    "steady": alternating(10_000),
    "flip": alternating(5_000, 5_000),
    "gradual": Scenario((Segment(5_000, "before"), Segment(5_000, "after", transition=2_000))),
    "recurring": alternating(2_500, 2_500, 2_500, 2_500),
}


def scenario(name: str, seed: int = 1) -> Scenario:
    """Return a scenario by its name.

    Raises
    ------
    UnknownScenarioError
        Naming those there are.
    """
    if name not in SCENARIOS:
        near = difflib.get_close_matches(name, SCENARIOS, n=1)
        raise UnknownScenarioError(
            f"{name!r} is no scenario. "
            + (f"Did you mean {near[0]}?" if near else f"One of: {', '.join(SCENARIOS)}")
        )
    return replace(SCENARIOS[name], seed=seed)
