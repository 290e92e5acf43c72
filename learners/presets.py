"""Rosters that are worth their time: `fast`, `balanced` and `accurate`, for each task; and what they cost.

The one place that says which recipes stand together. `meander init` writes them out.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from learners.definition import Task

Preset = Literal["fast", "balanced", "accurate"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

WIDE = 100  # features beyond which near rows and waves mostly see noise
MANY = (
    30  # classes beyond which a model for each of them, or a mixture over all, is too dear to be the default
)
BUSY = 0.5  # share of a core that the declared rate may take


class Seat(NamedTuple):
    """A slot of a preset's roster.

    Attributes
    ----------
    slot, recipe
        As under ``[models]``.
    why
        For the comment beside it.
    """

    slot: str
    recipe: str
    why: str


class Cost(NamedTuple):
    """Microseconds an event of a preset, everything included, on one core.

    Attributes
    ----------
    base, feature, label_class
        With 2 classes: ``base + feature * features``; each further class adds ``label_class``.
    each
        For each feature and class beyond two.
    """

    base: float
    feature: float
    label_class: float = 0.0
    each: float = 0.0

    def of(self, features: int, classes: int) -> float:
        """Return the cost for so many features and classes (0 for regression)."""
        more = max(0, classes - 2)
        return self.base + self.feature * features + more * (self.label_class + self.each * features)


_SLOW = Seat("lr", "logistic_regression", "slow to learn, steady while the world is")
_QUICK = Seat("lr-fast", "logistic_regression_fast", "learns ten times faster: for a moving world")
_SLOW_EACH = Seat("lr", "one_vs_rest", "a logistic regression for each class")
_QUICK_EACH = Seat("lr-fast", "one_vs_rest_fast", "learns ten times faster: for a moving world")
_NEAR = Seat("near-rows", "near_rows", "the nearest of the last 1,000 rows: non-linear, renews itself")
_WAVES = Seat("waves", "waves", "a smooth curve through all features at once")
_TREE = Seat(
    "tree", "hoeffding_adaptive_tree_fast", "splits on little evidence: for deep rules over categories"
)
_CURVES = Seat("curves", "additive_regression", "a curve for each number; cannot diverge")
_LINES = Seat("lr", "linear_regression_robust", "straight lines; cannot diverge")
_NEAR_NUMBERS = _NEAR._replace(recipe="near_rows_regressor")
_WAVES_NUMBERS = _WAVES._replace(recipe="waves_regressor")
_TREE_NUMBERS = _TREE._replace(recipe="hoeffding_adaptive_tree_regressor", why="replaces branches that fail")

ROSTERS: dict[Task, dict[Preset, tuple[Seat, ...]]] = {
    "binary": {
        "fast": (_SLOW, _QUICK),
        "balanced": (_SLOW, _QUICK, _NEAR, _WAVES),
        "accurate": (_SLOW, _QUICK, _NEAR, _WAVES, _TREE),
    },
    "multiclass": {
        "fast": (_SLOW_EACH, _QUICK_EACH),
        "balanced": (_SLOW_EACH, _QUICK_EACH, _NEAR, _WAVES),
        "accurate": (_SLOW_EACH, _QUICK_EACH, _NEAR, _WAVES, _TREE),
    },
    "regression": {
        "fast": (_CURVES, _LINES),
        "balanced": (_CURVES, _LINES, _NEAR_NUMBERS, _WAVES_NUMBERS),
        "accurate": (_CURVES, _LINES, _NEAR_NUMBERS, _WAVES_NUMBERS, _TREE_NUMBERS),
    },
}

# Measured with `python benchmarks/presets.py`: a least squares fit over 8 to 100 features, 2 to 11 classes.
COSTS: dict[Task, dict[Preset, Cost]] = {
    "binary": {
        "fast": Cost(61, 1.7),
        "balanced": Cost(184, 3.2),
        "accurate": Cost(258, 11.4),
    },
    "multiclass": {
        "fast": Cost(63, 1.7, 11.7, 0.65),
        "balanced": Cost(188, 3.2, 17.1, 0.65),
        "accurate": Cost(259, 11.4, 34.4, 2.1),
    },
    "regression": {
        "fast": Cost(96, 4.4),
        "balanced": Cost(241, 6.3),
        "accurate": Cost(313, 20.2),
    },
}


def cost(task: Task, preset: Preset, features: int, classes: int) -> int:
    """Return about how many microseconds an event takes, to two digits."""
    micros = COSTS[task][preset].of(features, classes)
    unit = 10 if micros >= 100 else 5
    return max(unit, round(micros / unit) * unit)


def choose(task: Task, features: int, classes: int, rate: float | None = None) -> tuple[Preset, str]:
    """Choose a preset by what the stream looks like.

    Parameters
    ----------
    task, features, classes
        Of the stream; 0 classes for regression.
    rate
        Events a second, if declared.

    Returns
    -------
    tuple
        The preset, and why, as half a sentence.

    Examples
    --------
    >>> choose("binary", 8, 2)
    ('balanced', 'the default')
    >>> [choose("binary", 8, 2, rate=rate)[0] for rate in (20_000, 2_000, 50)], choose("binary", 300, 2)[0]
    (['fast', 'balanced', 'accurate'], 'fast')
    """
    if features > WIDE:
        return "fast", f"more than {WIDE} features"
    if classes > MANY:
        return "fast", f"more than {MANY} classes"
    if rate is None:
        return "balanced", "the default"
    for preset in _dearest_first():
        if cost(task, preset, features, classes) * rate <= BUSY * 1e6:
            return preset, f"{rate:,.0f} events a second take {share(task, preset, features, classes, rate)}"
    return "fast", f"{rate:,.0f} events a second are more than half a core can do: use more partitions"


def share(task: Task, preset: Preset, features: int, classes: int, rate: float) -> str:
    """Return which part of a core a rate takes, as people say it."""
    return f"{cost(task, preset, features, classes) * rate / 1e6:.0%} of a core"


def _dearest_first() -> Iterator[Preset]:
    yield from reversed(PRESETS)
