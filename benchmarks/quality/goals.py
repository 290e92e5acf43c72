"""What was to be reached, beside what was: the first table of the page."""

import math
from collections.abc import Iterator, Sequence
from statistics import mean

from quality.page import PRESETS, Result
from quality.promotions import Row

LEAST_EFFECT = 0.05  # points: less is nothing
MOST_DELAY = 40.0  # rows
WITHOUT = "without challengers"


def rows(results: Sequence[Result]) -> Iterator[Row]:
    """Yield a row for each goal of which something was measured."""
    classes = [r for r in results if not r.numeric and r.reference()]
    yield from _above([r for r in classes if r.stream.kind != "trees"], classes)
    by_name = {r.stream.name: r for r in results}
    yield from _named(by_name)
    for preset in PRESETS:
        yield from _signals(results, preset)


def _above(free: Sequence[Result], classes: Sequence[Result]) -> Iterator[Row]:
    given = [r for r in free if "balanced" in r.runs]
    if not given:
        return
    points = {r.stream.name: r.points(r.runs["balanced"].score) or 0.0 for r in given}
    worst = min(points, key=points.__getitem__)
    average = mean(points.values())
    yield _row(
        f"*balanced* above the best of LR, HAT, ARF-10, mean of {len(given)} streams", "at least +1.5",
        f"{average:+.2f}", average >= 1.5,
    )  # fmt: skip
    told = f"{points[worst]:+.2f} ({worst})"
    yield _row("the same, worst stream", "none below -0.5", told, points[worst] >= -0.5)
    better = [r.runs["balanced"].score.log_loss <= r.best_log_loss() for r in given]
    yield _row(
        "*balanced*: log loss below the best member's", "nine streams of ten",
        f"{sum(better)} of {len(better)}", sum(better) >= 0.9 * len(better),
    )  # fmt: skip
    both = [r for r in given if "accurate" in r.runs]
    if both:
        gains = [100 * (r.runs["accurate"].score.value - r.runs["balanced"].score.value) for r in both]
        yield _row(
            f"*accurate* above *balanced*, mean of {len(both)} streams", "at least 0",
            f"{mean(gains):+.2f}", mean(gains) >= 0.0,
        )  # fmt: skip
    for preset, least in (("accurate", -0.35), ("fast", -0.3)):
        found = {r.stream.name: d for r in classes if (d := _beside(r, preset)) is not None}
        if found:
            low = min(found, key=found.__getitem__)
            what = "the best of LR, HAT, ARF-10, trees included" if preset == "accurate" else "LR"
            yield _row(
                f"*{preset}* beside {what}: worst of {len(found)} streams", f"none below {least}",
                f"{found[low]:+.2f} ({low})", found[low] >= least,
            )  # fmt: skip


def _beside(result: Result, preset: str) -> float | None:
    """Return points above what a preset is held against."""
    run = result.runs.get(preset)
    if run is None:
        return None
    if preset != "fast":
        return result.points(run.score)
    slow = result.members.get("logistic_regression") or result.members.get("one_vs_rest")
    return None if slow is None else 100 * (run.score.value - slow.value)


def _named(results: dict[str, Result]) -> Iterator[Row]:
    elec = results.get("elec2")
    if elec is not None and "balanced" in elec.runs:
        still = elec.rivals["no change"].value
        kappa = (elec.runs["balanced"].score.value - still) / (1.0 - still)
        yield _row("elec2, *balanced*: kappa-temporal", "at least .45", f"{kappa:.2f}", kappa >= 0.45)
    for preset, least in (("balanced", 0.79), ("fast", 0.78)):
        late = results.get("elec2@48")
        if late is not None and preset in late.runs:
            value = late.runs[preset].score.value
            what = f"elec2, labels 48 late, *{preset}*: accuracy"
            yield _row(what, f"at least {least}", f"{value:.3f}", value >= least)
    for name in ("insects_gradual_balanced@100", "insects_gradual_balanced@1000", "noaa_weather@30"):
        result = results.get(name)
        if result is not None and "balanced" in result.runs and result.members:
            best = max(score.value for score in result.members.values())
            points = 100 * (result.runs["balanced"].score.value - best)
            what = f"{name}, *balanced* beside its best member"
            yield _row(what, "not below by more than 0.5", f"{points:+.2f}", points >= -0.5)
    noaa = results.get("noaa_weather")
    if noaa is not None and WITHOUT in noaa.runs:
        points = 100 * (noaa.runs["balanced"].score.value - noaa.runs[WITHOUT].score.value)
        what = "noaa_weather: *balanced* beside itself without detectors and challengers"
        yield _row(what, "at most 0.1 below", f"{points:+.2f}", points >= -0.1)
    bike = results.get("bike_sharing_hourly")
    reference = None if bike is None else bike.reference()
    if bike is not None and reference is not None and "balanced" in bike.runs:
        error, best = bike.runs["balanced"].score.value, min(s.value for s in bike.members.values())
        share = error / reference[1].value
        yield _row(
            "bike_sharing_hourly: error of *balanced* over that of the best of LR, HAT, ARF-10 and rules",
            "at most .87", f"{share:.2f} (over that of its best member, whichever: {error / best:.2f})",
            share <= 0.87,
        )  # fmt: skip


def _signals(results: Sequence[Result], preset: str) -> Iterator[Row]:
    delays = [d for r in results if preset in r.runs for d in r.delays(r.runs[preset])]
    found = [d for d in delays if d < math.inf]
    if found:
        yield _row(
            f"*{preset}*: abrupt changes signalled, and after how many rows on the mean",
            f"all, at most {MOST_DELAY:.0f}", f"{len(found)} of {len(delays)}, {mean(found):.0f}",
            len(found) == len(delays) and mean(found) <= MOST_DELAY,
        )  # fmt: skip


def _row(what: str, goal: str, measured: str, holds: bool) -> Row:
    return Row(what, goal, measured, holds)


def challengers(results: Sequence[Result]) -> list[str]:
    """Return what challengers are worth, in plain words."""
    worth = {
        r.stream.name: -100 * (r.runs[WITHOUT].score.value - r.runs["balanced"].score.value)
        for r in results
        if not r.numeric and WITHOUT in r.runs and "balanced" in r.runs
    }
    if not worth:
        return []
    helped = [name for name, gain in worth.items() if gain >= LEAST_EFFECT]
    harmed = [name for name, gain in worth.items() if gain <= -LEAST_EFFECT]
    nothing = len(worth) - len(helped) - len(harmed)
    return [
        f"**Challengers that a drift signal starts are worth {mean(worth.values()):+.2f} points on the mean",
        f"of {len(worth)} streams, and next to nothing on {nothing} of them**: *balanced* follows a change",
        "by its weights, its fast linear model and its two members that renew themselves. They help by",
        f"{LEAST_EFFECT} points or more on {_listed(helped)}; they harm by as much on {_listed(harmed)}.",
        "They stay because a roster of one slow model has nothing else, and because they cost nothing",
        'until something is signalled. `on_drift = "tell"` does without them.',
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
