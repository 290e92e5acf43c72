"""Repairs that a contract declares: missing values filled, outliers clipped or flagged.

What is filled and where an outlier begins follow the values that came before, of events that kept the
contract. They stand in front of all members at once: a fresh challenger sees what the champion sees.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from river import stats

from learners import pickling
from learners.definition import Feature

NUMBERS = ("number", "integer", "boolean")
SPREAD_START = 30  # values until a feature's spread is known well enough to call one an outlier
SPREAD_MEMORY = 1000  # values: the spread forgets at this pace, as what is ordinary may move


class Spread:
    """Fading mean and standard deviation of one feature.

    Examples
    --------
    >>> spread = Spread()
    >>> for value in (1.0, 3.0) * 20:
    ...     spread.update(value)
    >>> spread.limits(4)
    (-2.0, 6.0)
    """

    __slots__ = ("_mean", "_n", "_variance")

    def __init__(self) -> None:
        self._n, self._mean, self._variance = 0, 0.0, 0.0

    def update(self, value: float) -> None:
        """Take one value."""
        self._n += 1
        rate = 1.0 / min(self._n, SPREAD_MEMORY)
        before = value - self._mean
        self._mean += before * rate
        self._variance += (before * (value - self._mean) - self._variance) * rate

    def limits(self, spreads: float) -> tuple[float, float]:
        """Return between which values one is no outlier; without limits while little is known."""
        if self._n < SPREAD_START or self._variance <= 0.0:
            return -math.inf, math.inf
        reach = spreads * math.sqrt(self._variance)
        return self._mean - reach, self._mean + reach


class Middle:
    """The mean or the median of the values so far (River's statistics), None before the first."""

    def __init__(self, statistic: stats.Mean | stats.Quantile) -> None:
        self._statistic, self._seen = statistic, False

    def update(self, value: float) -> None:
        """Take one value."""
        self._statistic.update(value)
        self._seen = True

    def get(self) -> float | None:
        """Return it."""
        value = self._statistic.get() if self._seen else None
        return None if value is None else float(value)


class Last:
    """The last value."""

    def __init__(self) -> None:
        self._value: Any = None

    def update(self, value: Any) -> None:
        """Take one value."""
        self._value = value

    def get(self) -> Any:
        """Return it, None before the first."""
        return self._value

    def forget(self) -> None:
        """Let go of it."""
        self._value = None


class Repaired(NamedTuple):
    """What repairs made of the features of one event.

    Attributes
    ----------
    features
        As models see them: no None, nothing beyond what was declared.
    flags
        What was done: ``filled:age``, ``missing:age`` (left out), ``clipped:amount``, ``outlier:amount``.
    violations
        Feature -> problem, where an outlier is refused.
    """

    features: dict[str, Any]
    flags: tuple[str, ...]
    violations: dict[str, str]


class Repair:
    """Applies the policies of all features; remembers what they need.

    Parameters
    ----------
    features
        The declared features.

    Attributes
    ----------
    needed
        Whether any feature has a policy at all.

    Examples
    --------
    >>> repair = Repair({"age": Feature(missing="mean"), "amount": Feature(max=9, outliers="clip")})
    >>> repair({"age": 30.0, "amount": 1.0}).flags
    ()
    >>> repair({"age": None, "amount": 99.0})
    Repaired(features={'amount': 9.0, 'age': 30.0}, flags=('clipped:amount', 'filled:age'), violations={})
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self._bounded = {n: f for n, f in features.items() if f.outliers != "refuse" and _has_range(f)}
        self._spreads = {n: (f, Spread()) for n, f in features.items() if f.spreads is not None}
        self._optional = tuple(n for n, f in features.items() if f.missing != "refuse")
        self._constants = {n: f.fill for n, f in features.items() if f.missing == "constant"}
        self._fills = {n: fill for n, f in features.items() if (fill := _statistic(f)) is not None}
        self._integers = frozenset(n for n, f in features.items() if f.type == "integer")
        self.needed = bool(self._bounded or self._spreads or self._optional)

    def __call__(self, sent: dict[str, Any], *, remember: bool = True) -> Repaired:
        """Repair the features of an event that keeps the contract otherwise, and remember its values."""
        features = sent
        flags: list[str] = []
        for name, feature in self._bounded.items():
            value = sent.get(name)
            if value is not None:
                low = -math.inf if feature.min is None else feature.min
                high = math.inf if feature.max is None else feature.max
                if not low <= value <= high:
                    features = self._outlier(name, feature, value, low, high, sent, features, flags)
        violations: dict[str, str] = {}
        for name, (feature, spread) in self._spreads.items():
            value = features.get(name)
            if value is None:
                continue
            low, high = spread.limits(feature.spreads or math.inf)
            if low <= value <= high:
                continue
            if feature.outliers == "refuse":
                violations[name] = (
                    f"{value!r} is more than {feature.spreads:g} standard deviations off: "
                    f"outside [{low:.6g}, {high:.6g}]"
                )
            elif f"outlier:{name}" not in flags:
                features = self._outlier(name, feature, value, low, high, sent, features, flags)
        if violations:
            return Repaired(sent, (), violations)
        filled = [name for name in self._optional if features.get(name) is None]
        fills = {name: self._fill(name) for name in filled}
        if remember:
            self._remember(features, fills)
        if filled:
            features = {name: value for name, value in features.items() if value is not None}
            for name, fill in fills.items():
                if fill is not None:
                    features[name] = fill
                flags.append(f"{'missing' if fill is None else 'filled'}:{name}")
        return Repaired(features, tuple(flags), violations)

    def _remember(self, features: dict[str, Any], fills: dict[str, Any]) -> None:
        for name, (_, spread) in self._spreads.items():
            if features.get(name) is not None:
                spread.update(features[name])
        for name, statistic in self._fills.items():
            if name not in fills:
                statistic.update(features[name])

    def _outlier(
        self,
        name: str,
        feature: Feature,
        value: float,
        low: float,
        high: float,
        sent: dict[str, Any],
        features: dict[str, Any],
        flags: list[str],
    ) -> dict[str, Any]:
        if feature.outliers == "flag":
            flags.append(f"outlier:{name}")
            return features
        if features is sent:
            features = sent.copy()
        if name in self._integers:
            features[name] = math.ceil(low) if value < low else math.floor(high)
        else:
            features[name] = float(low if value < low else high)
        if f"clipped:{name}" not in flags:
            flags.append(f"clipped:{name}")
        return features

    def _fill(self, name: str) -> Any:
        statistic = self._fills.get(name)
        return self._constants.get(name) if statistic is None else statistic.get()

    def forget(self) -> None:
        """Let go of last values, which are somebody's; what is drawn from many stays."""
        for statistic in self._fills.values():
            if isinstance(statistic, Last):
                statistic.forget()

    def state(self) -> bytes:
        """Return what is remembered, as bytes."""
        spreads = {name: spread for name, (_, spread) in self._spreads.items()}
        return pickling.dumps((spreads, self._fills))

    def resume(self, data: bytes) -> None:
        """Continue from what `state` returned."""
        spreads, fills = pickling.loads(data)
        for name, (feature, _) in self._spreads.items():
            self._spreads[name] = (feature, spreads[name])
        for name in self._fills:
            self._fills[name] = fills[name]


def _has_range(feature: Feature) -> bool:
    return feature.min is not None or feature.max is not None


def _statistic(feature: Feature) -> Middle | Last | None:
    if feature.missing == "last":
        return Last()
    if feature.type not in NUMBERS:
        return None
    if feature.missing == "mean":
        return Middle(stats.Mean())
    return Middle(stats.Quantile(0.5)) if feature.missing == "median" else None
