"""The curves of a calibration as one self-contained page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stream.calibration import Curve, Point
from stream.report_chart import escape, spread

WIDTH, HEIGHT, LEFT, RIGHT, TOP = 1040, 360, 60, 170, 20
_STYLE = """
:root { --page: #f4f4f2; --card: #fff; --ink: #15202b; --quiet: #566270; --rule: #e1e4e6; --c0: #737d88;
  --c1: #0b5cc4; --c2: #b3510a; --c3: #7a35c9; --c4: #0a7a6e; --c5: #bd1f5f; --c6: #5a7a07; --c7: #8a6a00; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1418; --card: #182026; --ink: #e9eef2;
  --quiet: #9dabb8; --rule: #2b363f; --c0: #93a0ac; --c1: #6aaeff; --c2: #ff9f5c; --c3: #c39bff;
  --c4: #45cfbd; --c5: #ff83b4; --c6: #a9cf4a; --c7: #e6c24a; } }
body { margin: 0 auto; max-width: 1120px; padding: 20px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 22px; } p { color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 16px;
  margin: 16px 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; height: auto; font-size: 12px; }
svg text { fill: var(--ink); } svg .tick { fill: var(--quiet); }
.grid { stroke: var(--rule); fill: none; } .line { fill: none; stroke-width: 2; }
table { border-collapse: collapse; width: 100%; } th, td { padding: 5px 10px; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr { border-top: 1px solid var(--rule); }
"""


def page(
    name: str, curves: Sequence[Curve], budget: float, rise: float, rows: Sequence[Mapping[str, Any]]
) -> str:
    """Return the page: delay against false alarms, and the table that the terminal shows."""
    head = list(rows[0]) if rows else []
    table = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[h])}</td>" for h in head) + "</tr>" for row in rows)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}: calibration</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(name)}: how soon a rise is seen, and how often there is none</h1>"
        f"<p>Each point is one setting of a detector on the champion's own losses, drawn again in blocks. "
        f"Left is rarer false alarms, below is sooner. The line is the budget: one in {budget:,.0f} labels; "
        f"the full dot is the setting that keeps it. The rise is by {rise:g}.</p>"
        f"<section>{_chart(curves, budget)}</section>"
        f"<section><table><tr>{table}</tr>{body}</table></section></body></html>\n"
    )


def _chart(curves: Sequence[Curve], budget: float) -> str:
    drawn = [c for c in curves if any(p.delay is not None for p in c.points)]
    points = [p for c in drawn for p in c.points if p.delay is not None]
    right, bottom = WIDTH - RIGHT, TOP + HEIGHT
    rates = [_rate(p) for p in points] + [10_000 / budget]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)) + 1e-9)
    delays = [p.delay for p in points if p.delay]
    least, most = (math.log10(max(1.0, min(delays))), math.log10(max(delays))) if delays else (0.0, 1.0)
    least, most = math.floor(least), max(math.ceil(most), math.floor(least) + 1)

    def x_of(rate: float) -> float:
        return LEFT + (right - LEFT) * (math.log10(rate) - low) / max(high - low, 1)

    def y_of(delay: float) -> float:
        return bottom - HEIGHT * (math.log10(max(delay, 10**least)) - least) / (most - least)

    parts = [f'<svg viewBox="0 0 {WIDTH} {bottom + 50}" role="img" aria-label="Delay against false alarms">']
    for power in range(low, high + 1):
        x = x_of(10.0**power)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{10.0**power:g}</text>'
        )
    for power in range(least, most + 1):
        y = y_of(10.0**power)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>'
        )
    middle = (LEFT + right) / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{bottom + 40}" text-anchor="middle">'
        "false alarms in 10,000 labels, at the most</text>"
        f'<text class="tick" x="{LEFT - 8}" y="{TOP - 6}">labels until a rise is signalled</text>'
    )
    x = x_of(10_000 / budget)
    parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="var(--quiet)" stroke-dasharray="4 4"/>')
    ends: list[tuple[float, float, str, int]] = []
    for number, curve in enumerate(drawn, 1):
        colour = f"var(--c{number if number <= 7 and curve.parameter else 0})"
        places = [(x_of(_rate(p)), y_of(p.delay), p) for p in curve.points if p.delay is not None]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in places)
        parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
        for x, y, point in places:
            fill = colour if point is curve.chosen else "var(--card)"
            title = f"{curve.detector} {curve.parameter or ''} {point.setting:g}: {point.delay:.0f} labels"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if point is curve.chosen else 4}" fill="{fill}" '
                f'stroke="{colour}" stroke-width="2"><title>{escape(title)}</title></circle>'
            )
        ends.append((places[-1][0], places[-1][1], curve.detector, number))
    for (x, y, name, _), place in zip(
        ends, spread([y for _, y, *_ in ends], 15, TOP + 6, bottom - 2), strict=True
    ):
        parts.append(f'<path class="grid" d="M{x:.1f} {y:.1f}L{right + 10} {place:.1f}"/>')
        parts.append(f'<text x="{right + 14}" y="{place + 4:.1f}">{escape(name)}</text>')
    return "".join(parts) + "</svg>"


def _rate(point: Point) -> float:
    return 10_000 / point.between
