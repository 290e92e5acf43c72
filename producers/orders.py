"""A made-up world of orders whose relation, features, labels and senders change at known rows.

A scenario is a list of segments, each with a concept (how the label follows from the features) and
whatever else goes wrong in it. Where nothing but the concept changes, only labels can show it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

LABEL = "target"  # the column of the label
CLASSES = ("kept", "returned")
CATEGORIES = ("books", "clothes", "shoes", "toys")
SHOPS = ("shop-1", "shop-2", "shop-3", "shop-4")
SHOP = "shop"  # the column of who sent an order

# Will an ordered article come back? What it costs, how long it travelled and its discount each pull one
# way before and the other way after; which articles come back more often stays what it was.
CONCEPTS: Mapping[str, tuple[float, float, float]] = {
    "before": (1.8, 1.4, -1.6),  # weights of the standardised amount, delivery_days, discount
    "after": (-1.8, -1.4, 1.6),
}
_CATEGORY_WEIGHTS = np.array([-2.2, 2.2, 1.4, -1.4])
_NOISE = 0.5  # scale of the logistic noise
_BLOCK = 1000  # rows drawn at once; each block has a seed of its own
_POOL = 20_000  # orders among which those of a wanted label are chosen


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A true point of change.

    Attributes
    ----------
    at, until
        The first row of what is new, counted from 0, and the first at which nothing of the old is left
        (the same, if it is abrupt).
    kind
        What happened: ``abrupt``, ``gradual``, ``incremental``, ``local``, ``prior``, ``covariate``,
        ``noise``, ``stuck``, ``unit``, ``inverted``; or ``over``: what had happened has ended.
    expects
        Kinds of signal it calls for: one of them at least. None: it calls for no signal, and excuses one.
    feature, producer
        The one it is about, if it is about one.
    """

    at: int
    until: int
    kind: str
    expects: tuple[str, ...] = ()
    feature: str | None = None
    producer: str | None = None


_EXPECTS: Mapping[str, tuple[str, ...]] = {
    "abrupt": ("concept",),
    "gradual": ("concept",),
    "incremental": ("concept",),
    "local": ("concept",),
    "noise": ("concept",),
    "inverted": ("concept",),
    "prior": ("prediction", "concept", "data"),
    "covariate": ("data",),
    "stuck": ("producer",),
    "unit": ("producer",),
}


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
    turning
        For so many of its rows the weights turn from the previous concept's to its own.
    only
        Its concept holds for this article alone; the others keep ``before``.
    shift
        Amount and delivery days are larger by so many of their standard deviations; the relation holds on.
    prior
        Share of returned orders, what they look like unchanged. None: what the relation gives.
    noise
        Share of labels that are a coin's.
    inverted
        Every label is the other one.
    stuck
        The feature that stands still, as one of the shops sends it.
    scaled
        The feature that comes times 100, as one of the shops sends it.
    """

    rows: int
    concept: str = "before"
    transition: int = 0
    turning: int = 0
    only: str | None = None
    shift: float = 0.0
    prior: float | None = None
    noise: float = 0.0
    inverted: bool = False
    stuck: str | None = None
    scaled: str | None = None

    def differs(self, old: "Segment") -> str | None:
        """Name what is new against the segment before; None if nothing is."""
        if (self.concept, self.only) != (old.concept, old.only):
            if self.transition or self.turning:
                return "gradual" if self.transition else "incremental"
            return "local" if self.only or old.only else "abrupt"
        calm = Segment(1)
        for name, kind in _KINDS.items():
            new, before = getattr(self, name), getattr(old, name)
            if new != before:
                return "over" if new == getattr(calm, name) and name != "inverted" else kind
        return None


_KINDS = {
    "shift": "covariate", "prior": "prior", "noise": "noise", "inverted": "inverted", "stuck": "stuck",
    "scaled": "unit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """A stream of orders: numbers ``amount``, ``delivery_days``, ``discount``, the category ``article``.

    Attributes
    ----------
    segments
        One after the other.
    seed
        Equal seeds give equal rows.
    shops
        Whether a column ``shop`` says which of four sent the order; the third is the one that errs.

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
    shops: bool = False

    @property
    def length(self) -> int:
        """Number of rows."""
        return sum(segment.rows for segment in self.segments)

    @property
    def key(self) -> str | None:
        """The column of the sender, where there is one."""
        return SHOP if self.shops else None

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every true point of change."""
        found = []
        starts = accumulate(segment.rows for segment in self.segments[:-1])
        for at, (old, new) in zip(starts, pairwise(self.segments), strict=True):
            kind = new.differs(old)
            if kind is not None:
                feature = new.stuck or new.scaled
                found.append(
                    Change(
                        at=at,
                        until=at + max(new.transition, new.turning),
                        kind=kind,
                        expects=_EXPECTS.get(kind, ()),
                        feature=feature,
                        producer=SHOPS[2] if feature and self.shops else None,
                    )
                )
        return tuple(found)

    @property
    def drifts(self) -> tuple[int, ...]:
        """The rows at which a new concept begins, counted from 0."""
        return tuple(change.at for change in self.changes if "concept" in change.expects)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, the label in the column ``target``."""
        held: dict[str, Any] = {}
        for first in range(0, self.length, _BLOCK):
            for row, segment in zip(self._block(first), self._segments(first), strict=False):
                if self.shops and (segment.stuck or segment.scaled) and row[SHOP] == SHOPS[2]:
                    if segment.scaled:
                        row[segment.scaled] = round(row[segment.scaled] * 100, 3)
                    if segment.stuck:
                        row[segment.stuck] = held.setdefault(segment.stuck, row[segment.stuck])
                yield row

    def _segments(self, first: int) -> Iterator[Segment]:
        """Yield the segment of each row of a block that the stream still has."""
        start = 0
        for segment in self.segments:
            for _ in range(max(start, first), min(start + segment.rows, first + _BLOCK)):
                yield segment
            start += segment.rows

    def _block(self, first: int) -> list[dict[str, Any]]:
        random = np.random.default_rng([self.seed, first // _BLOCK])
        standard = random.standard_normal((_BLOCK, 3))
        article = random.integers(len(CATEGORIES), size=_BLOCK)
        noise, chance = random.logistic(scale=_NOISE, size=_BLOCK), random.random(_BLOCK)
        segments = list(self._segments(first))
        segments += [self.segments[-1]] * (_BLOCK - len(segments))
        standard[:, :2] += np.array([segment.shift for segment in segments])[:, None]
        weights = self._weights(first, chance)
        kept = np.array(
            [s.only is not None and CATEGORIES[a] != s.only for s, a in zip(segments, article, strict=True)]
        )
        weights[kept] = CONCEPTS["before"]
        returned = (standard * weights).sum(axis=1) + _CATEGORY_WEIGHTS[article] + noise > 0
        # what follows is drawn last: a stream in which it does not happen is what it was without it
        if any(segment.prior is not None for segment in segments):
            self._choose(random, segments, standard, article, returned)
        if any(segment.noise or segment.inverted for segment in segments):
            coin = random.random(_BLOCK) < np.array([segment.noise for segment in segments])
            returned = np.where(coin, random.random(_BLOCK) < 0.5, returned)
            returned ^= np.array([segment.inverted for segment in segments])
        shops = random.integers(len(SHOPS), size=_BLOCK).tolist() if self.shops else []
        columns = zip(
            np.round(60 + 15 * standard[:, 0], 2).clip(0).tolist(),
            np.round(5 + 1.2 * standard[:, 1], 1).clip(0).tolist(),
            np.round(0.25 + 0.06 * standard[:, 2], 3).clip(0, 1).tolist(),
            article.tolist(),
            returned.tolist(),
            strict=True,
        )
        rows: list[dict[str, Any]] = [
            {
                "amount": amount,
                "delivery_days": days,
                "discount": discount,
                "article": CATEGORIES[kind],
                LABEL: CLASSES[came_back],
            }
            for amount, days, discount, kind, came_back in columns
        ]
        for row, shop in zip(rows, shops, strict=False):
            row[SHOP] = SHOPS[shop]
        return rows

    @staticmethod
    def _choose(
        random: np.random.Generator,
        segments: list[Segment],
        standard: NDArray[np.float64],
        article: NDArray[np.int64],
        returned: NDArray[np.bool_],
    ) -> None:
        """Put orders with the wanted share of returns in the place of those drawn."""
        pool = random.standard_normal((_POOL, 3))
        kinds = random.integers(len(CATEGORIES), size=_POOL)
        noise = random.logistic(scale=_NOISE, size=_POOL) + _CATEGORY_WEIGHTS[kinds]
        wanted, place = random.random(_BLOCK), random.random(_BLOCK)
        for concept, weights in CONCEPTS.items():
            outcome = (pool * weights).sum(axis=1) + noise > 0
            sides = np.flatnonzero(~outcome), np.flatnonzero(outcome)
            for row, segment in enumerate(segments):
                if segment.prior is not None and segment.concept == concept:
                    side = sides[int(wanted[row] < segment.prior)]
                    chosen = side[int(place[row] * len(side))]
                    standard[row], article[row], returned[row] = pool[chosen], kinds[chosen], outcome[chosen]

    def _weights(self, first: int, chance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of a block's rows, shape (block, 3); of those past the end, zeros."""
        weights = np.zeros((_BLOCK, 3))
        number = np.arange(first, first + _BLOCK)
        start, previous = 0, self.segments[0].concept
        for segment in self.segments:
            inside = (number >= start) & (number < start + segment.rows)
            old, own = np.array(CONCEPTS[previous]), np.array(CONCEPTS[segment.concept])
            if segment.turning:
                turned = np.clip((number[inside] - start + 1) / segment.turning, 0.0, 1.0)[:, None]
                weights[inside] = old + turned * (own - old)
            else:
                share = (number - start + 1) / (segment.transition + 1)  # of the new concept
                weights[inside] = old
                weights[inside & (chance < share)] = own
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
