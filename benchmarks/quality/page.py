"""The page: tables of what was measured, and bars of it as SVG."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quality.runs import Run, Score
from quality.streams import Stream

PRESETS = ("fast", "balanced", "accurate")
KINDS = {
    "real": "Real streams",
    "late": "Real streams, labels late",
    "bundled": "River's bundled streams (the first 10,000 rows)",
    "gallery": "The gallery of drift (`meander scenario`)",
    "trees": "River's generators without drift: trees over categories and others",
}
HORIZON = 2000  # rows after a change in which a signal finds it


@dataclass
class Result:
    """All that was measured on one stream.

    Attributes
    ----------
    members
        By recipe, each alone.
    runs
        By preset; and ablations of *balanced*.
    rivals
        By name: what needs no Processor.
    missing
        Recipes whose answers are not in the cache.
    older
        Whether other code than today's measured it.
    """

    stream: Stream
    members: dict[str, Score] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    rivals: dict[str, Score] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    older: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it predicts numbers: less is better."""
        return self.stream.task == "regression"

    def reference(self) -> tuple[str, Score] | None:
        """Return the best of plain LR, HAT and ARF-10 (for numbers: of these and the rules)."""
        names = ("logistic_regression", "one_vs_rest", "additive_regression", "linear_regression_robust",
                 "hoeffding_adaptive_tree", "adaptive_random_forest",
                 "hoeffding_adaptive_tree_regressor", "adaptive_random_forest_regressor")  # fmt: skip
        found = [(name, self.members[name]) for name in names if name in self.members]
        if not found:
            return None
        if self.numeric:
            found += [(name, self.rivals[name]) for name in ("no change", "usual")]
        pick = min if self.numeric else max
        return pick(found, key=lambda pair: pair[1].value)

    @property
    def is_complete(self) -> bool:
        """Whether HAT and ARF-10 are there."""
        return not any("random_forest" in m or m in _TREES for m in self.missing)

    def points(self, score: Score) -> float | None:
        """Return points above the reference: of accuracy, or percent of its error."""
        reference = self.reference()
        if reference is None:
            return None
        base = reference[1].value
        return 100 * (base - score.value) / base if self.numeric else 100 * (score.value - base)

    def best_log_loss(self) -> float:
        """Return the least log loss of a member of *balanced* or the reference alone."""
        return min(
            (s.log_loss for s in self.members.values() if not math.isnan(s.log_loss)), default=math.nan
        )

    def delays(self, run: Run) -> list[float]:
        """Return for each abrupt change how many rows later it was signalled; inf where it was not."""
        changes, rows = self.stream.changes, [row for row, _ in run.signals]
        if not changes:
            return []
        found = []
        for at, until in zip(changes, (*changes[1:], 10**9), strict=True):
            hits = [row - at for row in rows if at <= row < min(until, at + HORIZON)]
            found.append(float(min(hits, default=math.inf)))
        return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown; all columns but the first are right-aligned."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def shown(score: Score | None, numeric: bool) -> str:
    """Return a score with three digits; a dash where there is none."""
    if score is None:
        return "-"
    return f"{score.value:.4g}" if numeric else f"{score.value:.3f}".replace("0.", ".", 1)


def signed(points: float | None) -> str:
    """Return points with their sign."""
    return "-" if points is None else f"{points:+.2f}"


def summary(results: Sequence[Result]) -> list[str]:
    """Return the table of how far each preset is above the best single model."""
    rows = []
    for preset in PRESETS:
        given = [r for r in results if preset in r.runs and r.stream.kind != "trees" and not r.numeric
                 and r.is_complete]  # fmt: skip
        points = [(r.points(r.runs[preset].score) or 0.0, r.stream.name) for r in given]
        if not points:
            continue
        losses = [r.runs[preset].score.log_loss <= r.best_log_loss() for r in given
                  if not math.isnan(r.runs[preset].score.log_loss)]  # fmt: skip
        worst = min(points)
        mean = sum(p for p, _ in points) / len(points)
        rows.append((preset, str(len(points)), signed(mean), f"{signed(worst[0])} ({worst[1]})",
                     f"{sum(losses)} of {len(losses)}"))  # fmt: skip
    return table(
        ("preset", "streams", "points above the best of LR, HAT, ARF-10: mean", "worst",
         "log loss below the best member's"), rows,
    )  # fmt: skip


def main_table(results: Sequence[Result]) -> list[str]:
    """Return one line a stream: references, presets, points, log loss."""
    rows = []
    for r in results:
        reference = r.reference()
        kappa = ""
        if not r.numeric and "balanced" in r.runs:
            still = r.rivals["no change"].value
            kappa = f"{(r.runs['balanced'].score.value - still) / (1 - still):.2f}"
        name = "-" if reference is None else f"{shown(reference[1], r.numeric)} ({_short(reference[0])})"
        partial = "" if r.is_complete else "*"
        presets = [shown(r.runs[p].score if p in r.runs else None, r.numeric) for p in PRESETS]
        points = signed(r.points(r.runs["balanced"].score) if "balanced" in r.runs else None)
        best, ours = (
            r.best_log_loss(),
            r.runs["balanced"].score.log_loss if "balanced" in r.runs else math.nan,
        )
        losses = "" if r.numeric or math.isnan(ours) else f"{best:.3f} / {ours:.3f}"
        rows.append((r.stream.name, shown(r.rivals["no change"], r.numeric), shown(r.rivals["usual"], r.numeric),
                     name + partial, *presets, points, kappa, losses))  # fmt: skip
    return table(
        ("stream", "no change, last", "majority, mean", "best single model", *PRESETS, "*balanced* above it",
         "kappa-temporal", "log loss: best member / *balanced*"), rows,
    )  # fmt: skip


def members_table(results: Sequence[Result]) -> list[str]:
    """Return each member's score alone."""
    names = list(dict.fromkeys(name for r in results for name in r.members))
    rows = [(r.stream.name, *(shown(r.members.get(n), r.numeric) for n in names)) for r in results]
    return table(("stream", *map(_short, names)), rows)


def ablation_table(results: Sequence[Result], ablations: Mapping[str, str]) -> list[str]:
    """Return *balanced* beside itself with one part taken out, in points, and rivals that have no parts."""
    rows = []
    for r in results:
        whole = r.runs.get("balanced")
        if whole is None:
            continue
        cells = []
        others = {name: run.score for name, run in r.runs.items() if name in ablations}
        for name in [*ablations, "selector", "blind reset", "reset on ADWIN"]:
            other = others.get(name) or r.rivals.get(name)
            sign = -1 if r.numeric else 1
            unit = whole.score.value if r.numeric else 1.0
            cells.append(
                signed(None if other is None else 100 * sign * (other.value - whole.score.value) / unit)
            )
        rows.append((r.stream.name, shown(whole.score, r.numeric), *cells))
    head = (
        "stream",
        "*balanced*",
        *ablations,
        "best of the last 500",
        "LR reset every 1,000",
        "LR reset on ADWIN",
    )
    return table(head, rows)


def signals_table(results: Sequence[Result]) -> list[str]:
    """Return what was signalled by preset: changes found, mean delay, other signals, who served."""
    rows = []
    for r in results:
        cells = []
        for preset in PRESETS:
            run = r.runs.get(preset)
            if run is None:
                cells.append("-")
                continue
            delays = r.delays(run)
            hit = [d for d in delays if d < math.inf]
            inside = sum(any(at <= row < at + HORIZON for at in r.stream.changes) for row, _ in run.signals)
            mean = f" after {sum(hit) / len(hit):.0f}" if hit else ""
            found = f"{len(hit)}/{len(delays)}{mean}; " if delays else ""
            cells.append(f"{found}{len(run.signals) - inside}; {run.promoted}; {run.fallbacks}")
        rows.append((r.stream.name, *cells))
    return table(("stream", *PRESETS), rows)


def bars(results: Sequence[Result]) -> str:
    """Return bars of the points of *balanced* above the best single model."""
    given = [(r.stream.name, r.points(r.runs["balanced"].score) or 0.0) for r in results
             if "balanced" in r.runs and not r.numeric and r.reference()]  # fmt: skip
    given.sort(key=lambda pair: pair[1])
    height, left, scale, most = 18, 230, 22.0, 12.0
    middle = left + 3 * scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height * len(given) + 40}" '
        'font-family="sans-serif" font-size="12" role="img">',
        "<title>Points of accuracy of balanced above the best of LR, HAT and ARF-10, by stream</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for row, (name, points) in enumerate(given):
        y = row * height + 8
        width = min(abs(points), most) * scale
        x = middle if points >= 0 else middle - width
        colour = "#2a7f62" if points >= -0.5 else "#b3402e"
        parts += [
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect x="{x:.1f}" y="{y + 2}" width="{max(width, 1):.1f}" height="{height - 5}" fill="{colour}"/>',
            f'<text x="{max(x + width, middle) + 5:.1f}" y="{y + 12}">{points:+.2f}</text>',
        ]
    bottom = height * len(given) + 10
    parts += [
        f'<line x1="{middle}" y1="4" x2="{middle}" y2="{bottom}" stroke="#555"/>',
        f'<text x="{middle}" y="{bottom + 18}" text-anchor="middle">points above the best of LR, HAT, ARF-10</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


_TREES = ("hoeffding_adaptive_tree", "hoeffding_adaptive_tree_regressor")
_SHORT = {
    "no change": "last", "usual": "mean",
    "logistic_regression": "LR", "one_vs_rest": "LR", "logistic_regression_fast": "LR fast",
    "one_vs_rest_fast": "LR fast", "hoeffding_adaptive_tree": "HAT", "hoeffding_adaptive_tree_regressor": "HAT",
    "hoeffding_adaptive_tree_fast": "HAT fast", "adaptive_random_forest": "ARF-10",
    "adaptive_random_forest_regressor": "ARF-10", "near_rows": "NearRows", "near_rows_regressor": "NearRows",
    "waves": "Waves", "waves_regressor": "Waves", "additive_regression": "curves",
    "linear_regression_robust": "lines",
}  # fmt: skip


def _short(recipe: str) -> str:
    return _SHORT.get(recipe, recipe)
