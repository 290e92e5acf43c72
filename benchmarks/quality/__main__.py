"""Measure every preset on every stream, and write ``docs/quality.md``: ``make quality``.

Members' answers are computed once and kept (``MEANDER_QUALITY``, by default ``.quality/``); the pool, bets
and policy that run over them are the worker's own.

    python -m quality                     # everything: hours at first, minutes from the cache
    python -m quality --only 'elec2;Phishing'
    python -m quality --cached            # streams whose answers are there; nothing dear is computed
    python -m quality --page              # only write the page, from what was kept; say what is older
    python -m quality --cached --stdout   # print the page

Stop it whenever you like: answers are kept by member, what was measured by stream, and the next run goes on
from there. What depends on code that has changed since is measured again: a member's answers when its own
classes change, a stream's figures when `learners` or the processing does.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from learners.presets import PRESETS, ROSTERS
from quality import goals, kept, page, promotions, runs, turns
from quality.answers import answers, is_cached
from quality.streams import STREAMS, Stream

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCES = {
    "binary": ("logistic_regression", "hoeffding_adaptive_tree", "adaptive_random_forest"),
    "multiclass": ("one_vs_rest", "hoeffding_adaptive_tree", "adaptive_random_forest"),
    "regression": (
        "linear_regression_robust", "hoeffding_adaptive_tree_regressor", "adaptive_random_forest_regressor",
    ),
}  # fmt: skip
ABLATIONS = {
    "without challengers": {"drift": {"on_drift": "tell"}},
    "without blend": {"champion": "lr"},
}


def _accurate(stream: Stream) -> list[str]:
    return [seat.recipe for seat in ROSTERS[stream.task]["accurate"]]  # type: ignore[index]


def measure(stream: Stream, cached_only: bool, ablations: bool = True) -> page.Result:
    """Measure everything on one stream."""
    recipes = tuple(dict.fromkeys((*REFERENCES[stream.task], *_accurate(stream))))
    missing = [r for r in recipes if cached_only and not is_cached(stream, r, {})]
    result = page.Result(stream, missing=tuple(missing))
    result.rivals = {"no change": runs.no_change(stream), "usual": runs.usual(stream)}
    for recipe in recipes:
        if recipe not in missing:
            result.members[recipe] = runs.score(stream, answers(stream, recipe, {}))
    for preset in PRESETS:
        seats = ROSTERS[stream.task][preset]  # type: ignore[index]
        if any(seat.recipe in missing for seat in seats):
            continue
        roster = runs.models(stream, preset)
        result.runs[preset] = runs.run(stream, roster)
        if preset == "balanced" and ablations:
            for name, changes in ABLATIONS.items():
                result.runs[name] = runs.run(stream, roster, **changes)  # type: ignore[arg-type]
            found = [answers(stream, seat.recipe, {}) for seat in seats]
            first = REFERENCES[stream.task][0]
            result.rivals |= {
                "selector": runs.selector(stream, found),
                "blind reset": runs.reset(stream, first, on_signal=False),
                "reset on ADWIN": runs.reset(stream, first, on_signal=True),
            }
    return result


def write(results: list[page.Result], decisions: Sequence[promotions.Row] = ()) -> str:
    """Return the page."""
    lines = [
        "# Quality",
        "",
        "<!-- Written by `make quality`: change the code, not this page. -->",
        "",
        "How good the presets are, on every stream of the shared data, those that come with River, and the",
        "gallery of drift. Test then train; models see the features of their event only, never labels of",
        "before. The pool, bets and policy are those of the worker, run over members' answers that were",
        "computed once. Accuracy; for numbers the mean absolute error. A dash: not measured. A star: HAT or",
        "ARF-10 is not measured there, and the best single model is one of the others. One seed. Errors of",
        "numbers count from the first event after a label.",
        "",
        "`make quality` goes on from what it kept in `.quality/` (or `MEANDER_QUALITY`): members' answers",
        "until their own code changes, figures until the code that decides does.",
        "",
        *_unmeasured(results),
        "## What was to be reached",
        "",
        "Further goals are under *Decisions* below, and in `make signals`.",
        "",
        *page.table(
            ("what", "goal", "measured", "holds"),
            [(r.what, r.goal, r.measured, "yes" if r.holds else "**no**") for r in goals.rows(results)],
        ),
        "",
        "## In short",
        "",
        "Classification, streams with ARF-10 measured, trees over categories aside.",
        "",
        *page.summary(results),
        "",
        "![Points above the best single model](quality.svg)",
        "",
    ]
    for kind, title in page.KINDS.items():
        of_kind = [r for r in results if r.stream.kind == kind]
        if of_kind:
            lines += [f"## {title}", "", *page.main_table(of_kind), ""]
    for numeric, title in (
        (False, "Each member alone: accuracy"),
        (True, "Each member alone: mean absolute error"),
    ):
        chosen = [r for r in results if r.numeric == numeric]
        if chosen:
            lines += [f"## {title}", "", *page.members_table(chosen), ""]
    lines += [
        "## One part taken out",
        "",
        "Points of accuracy (for numbers: percent of the error, positive is better) that *balanced* gains",
        "when a part is taken out or another takes its place. Without challengers is without detectors:",
        "nothing else acts on a signal. Without blend the slow linear model is champion, until another has",
        "proved better.",
        "",
        *goals.challengers(results),
        "",
        *page.ablation_table(results, ABLATIONS),
        "",
        "## Signals",
        "",
        f"Signals of concept drift. Abrupt changes signalled within {page.HORIZON:,} rows, and after how",
        "many on average; other signals; promotions; fallbacks.",
        "",
        *page.signals_table(results),
        "",
        "## Decisions",
        "",
        "Promotions and demotions: losses are simulated; proofs, stakes and needs are the worker's, looked",
        "at after every label. The two turns: *balanced*, five seeds of a stream of the gallery each.",
        "",
        *page.table(
            ("what", "goal", "measured", "holds"),
            [(r.what, r.goal, r.measured, "yes" if r.holds else "**no**") for r in decisions],
        ),
        "",
    ]
    return "\n".join(lines)


def _unmeasured(results: list[page.Result]) -> list[str]:
    there = {r.stream.name for r in results}
    left = [name for name in STREAMS if name not in there]
    older = [r.stream.name for r in results if r.older]
    lines = []
    if left:
        lines += [f"**Not measured here yet** (`make quality` does): {'; '.join(left)}.", ""]
    if older:
        lines += [f"Measured by an earlier version of the code than the rest: {'; '.join(older)}.", ""]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="names of streams, with semicolons")
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--stdout", action="store_true")
    options = parser.parse_args()
    names = [n for n in STREAMS if n in options.only.split(";")] if options.only else list(STREAMS)
    results = []
    for number, name in enumerate(names, 1):
        stream, start = STREAMS[name], time.monotonic()
        recipes = dict.fromkeys((*REFERENCES[stream.task], *_accurate(stream)))
        cached = options.cached or options.page
        missing = tuple(r for r in recipes if cached and not is_cached(stream, r, {}))
        result = kept.find(stream, missing, older=options.page)
        if result is None and options.page:
            continue
        if result is None:
            result = measure(stream, options.cached)
            kept.keep(result, missing)
        results.append(result)
        told = ", ".join(f"{p} {r.score.value:.4f}" for p, r in result.runs.items())
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{number}/{len(names)} {name}: {told} ({took})", file=sys.stderr, flush=True)
    decisions = []
    if not options.only:
        for name, make in (("promotions", promotions.rows), ("turns", turns.rows)):
            decisions += kept.rows(name, make, older=options.page, only_kept=options.page)
    text = write(results, decisions)
    if options.stdout:
        print(text)
    else:
        (DOCS / "quality.md").write_text(text, encoding="utf-8")
        (DOCS / "quality.svg").write_text(page.bars(results), encoding="utf-8")


if __name__ == "__main__":
    main()
