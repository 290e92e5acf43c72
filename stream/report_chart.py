"""The report's chart: windowed scores, who served when, and what happened, as plain SVG."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

CURVES = 6  # members drawn; all are in the table
STYLES = 7  # colours with a dash of their own; what comes later is grey
TONES = {
    "signal": "alarm",
    "failed": "alarm",
    "fell_back": "warn",
    "rejected": "warn",
    "expired": "warn",
    "frozen": "warn",
    "promoted": "good",
    "resumed": "good",
    "signal_ended": "good",
    "warmed_up": "good",
    "unfrozen": "good",
}
_PERCENT = {"accuracy", "balanced_accuracy", "coverage", "precision", "recall", "f1", "pr_auc"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000  # milliseconds
CLOCK_SINCE = 10**11  # milliseconds; smaller timestamps are counters, not dates


Scale = Callable[[float], float]  # a quantity to pixels
NOTHING = "\N{EN DASH}"


class Size(NamedTuple):
    """Measures of a chart, in pixels of its own."""

    name: str
    width: int
    height: int  # of the plot
    left: int
    right: int  # room for the names of the curves
    letters: int  # of a name that fit there


WIDE = Size("wide", 1040, 300, 46, 160, 16)
NARROW = Size("narrow", 320, 220, 38, 78, 9)


def escape(text: Any, limit: int = 600) -> str:
    """Return text safe inside HTML text and attributes; what does not print becomes visible.

    >>> escape("<b> & 'x'" + chr(0))[:-1]
    '&lt;b&gt; &amp; &#x27;x&#x27;'
    """
    plain = str(text)
    plain = plain if len(plain) <= limit else plain[: limit - 1] + "…"
    return html.escape("".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in plain))


def format_score(metric: str, value: float | None) -> str:
    """Return a score as people read it.

    >>> format_score("accuracy", 0.8371), format_score("kappa", -0.0412), format_score("mae", 54.23)
    ('83.7%', '-0.041', '54.2')
    """
    if value is None:
        return NOTHING
    if metric in _PERCENT:
        return f"{value:.1%}"
    if metric in ("mae", "rmse") and abs(value) < 1e8:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    text = f"{value:.3f}" if abs(value) < 1e4 else f"{value:.1e}"
    return "0.000" if text == "-0.000" else text


def slot_of(served_by: str) -> str:
    """Return the slot in ``champion:<slot>`` or ``rule:<name>``.

    >>> slot_of("rule:prior"), slot_of("default")
    ('prior', 'default')
    """
    return served_by.split(":", 1)[-1]


def styles(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the CSS class of each member, and of each slot that served."""
    names = [*(slot_of(server) for server in result["served_share"] if ":" in server), *result["members"]]
    order = {name: f"s{i}" if i <= STYLES else "s0" for i, name in enumerate(dict.fromkeys(names), 1)}
    return order | ({"default": "s0"} if "default" not in result["members"] else {})


def best_baseline(result: Mapping[str, Any]) -> str | None:
    """Return the baseline with the better score, by the metric of the headline."""
    metric = result["score"]["metric"]
    known = {n: card[metric] for n, card in result["baselines"].items() if card[metric] is not None}
    if not known:
        return None
    names = sorted(known, key=lambda name: float(known[name]))
    return str(names[0] if metric == "mae" else names[-1])


def drawn(result: Mapping[str, Any]) -> list[tuple[str, str, str, list[float | None]]]:
    """Return the curves to draw, as (id, name, CSS class, values), the served one last."""
    curves, cards, style = result["curves"], result["members"], styles(result)
    serving = {slot_of(server) for server in result["served_share"]}
    first = sorted(cards, key=lambda s: (s not in serving, -cards[s]["scored"]))[:CURVES]
    lines = [(slot, slot, style[slot], curves["members"][slot]) for slot in cards if slot in first]
    baseline = best_baseline(result)
    if baseline is not None:
        values = curves["baselines"][baseline]
        lines.insert(0, ("baseline", baseline.replace("_", " "), "baseline", values))
    return [*lines, ("served", "served", "served", curves["served"])]


def when(timestamp: int) -> str:
    """Return an event time for people, in UTC; a small number is no date and stays one.

    >>> when(1700000000000), when(42)
    ('2023-11-14 22:13:20', '42')
    """
    if timestamp < CLOCK_SINCE:
        return f"{timestamp:,}"
    try:
        moment = _EPOCH + timedelta(milliseconds=timestamp)
    except OverflowError:
        return f"{timestamp:,}"
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers from low to high.

    >>> ticks(0, 45312, 4)
    [0, 10000, 20000, 30000, 40000]
    """
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= min((1, 2, 5, 10), key=lambda f: abs((high - low) / (step * f) - about))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) if step < 1 else int(i * step) for i in range(first, last + 1)]


def clusters(positions: Sequence[float]) -> list[tuple[int, int]]:
    """Group the numbers 1, 2, ... at these places so that no two labels overlap: (first, last) indices.

    >>> clusters([0, 0, 5, 90])
    [(0, 2), (3, 3)]
    """
    groups: list[tuple[int, int]] = []
    end = -math.inf
    for i, x in enumerate(positions):
        first = groups.pop()[0] if groups and x < end else i
        groups.append((first, i))
        end = positions[first] + _pill(first, i)[1] + 3
    return groups


def _pill(first: int, last: int) -> tuple[str, int]:
    """Text and width of the label of a group of transitions."""
    text = str(first + 1) if first == last else f"{first + 1}{NOTHING}{last + 1}"
    return text, max(18, 7 * len(text) + 8)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart so that none overlap, as near to where they belong as a sweep gets them.

    >>> spread([10, 12, 50], gap=10, low=0, high=100)
    [10, 20, 50]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    floor = low
    for i in order:
        placed[i] = floor = max(placed[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= gap
    return placed


def chart(result: Mapping[str, Any], size: Size) -> str:
    """Return the SVG element for one size."""
    metric, curves, lines = result["score"]["metric"], result["curves"], drawn(result)
    low, high = _range(metric, lines)
    top, plot_width = 34, size.width - size.left - size.right
    bottom = top + size.height
    events = max(result["events"], 1)

    def x_of(event: float) -> float:
        return float(size.left + plot_width * event / events)

    def y_of(value: float) -> float:
        return bottom - size.height * (value - low) / (high - low)

    right = size.left + plot_width
    dated = any(stamp >= CLOCK_SINCE for stamp in result["clock"]["timestamps"])
    height = bottom + (64 if dated else 48)
    parts = [
        f'<svg class="chart {size.name}" viewBox="0 0 {size.width} {height}" role="img" '
        f'aria-label="Windowed {escape(metric.replace("_", " "))} of served answers and members, '
        f'who served, and numbered transitions" data-box="{size.left} {top} {right} {bottom}">',
        f'<defs><clipPath id="plot-{size.name}"><rect x="{size.left}" y="{top - 2}" width="{plot_width}" '
        f'height="{size.height + 4}"/></clipPath>',
        f'<pattern id="hatch-{size.name}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect class="hatch" width="2.4" height="6"/></pattern></defs>',
    ]
    for value in ticks(low, high, 5):
        y = y_of(value)
        parts.append(f'<path class="grid" d="M{size.left} {y:.1f}H{right}"/>')
        place = f'x="{size.left - 7}" y="{y + 4:.1f}" text-anchor="end"'
        parts.append(f'<text class="tick" {place}>{_axis(metric, value)}</text>')
    parts += _markers(result, size, x_of, bottom)
    xs = [x_of(event) for event in curves["events"]]
    parts.append(f'<g clip-path="url(#plot-{size.name})">')
    for _, name, style, values in sorted(lines, key=lambda line: line[2] != "served"):
        path = _path(xs, [None if v is None else y_of(min(v, high * 2)) for v in values])
        parts.append(f'<path class="line {style}" d="{path}"><title>{escape(name)}</title></path>')
    parts.append("</g>")
    parts += _names(lines, size, xs, y_of, (top, bottom), metric)
    parts += _ribbon(result, size, x_of, bottom + 10)
    parts += _axis_below(result, size, x_of, bottom + 40)
    parts.append(f'<path class="cursor" d="M0 {top}V{bottom + 24}"/></svg>')
    return "".join(parts)


def _range(metric: str, lines: Sequence[tuple[str, str, str, list[float | None]]]) -> tuple[float, float]:
    """Lowest and highest value of the axis; a member that diverged may leave the picture."""
    known = {key: [v for v in values if v is not None] for key, _, _, values in lines}
    every = [v for values in known.values() for v in values]
    if not every:
        return 0.0, 1.0
    if metric == "mae":
        calm = [*known.get("served", []), *known.get("baseline", [])] or every
        return 0.0, min(1.05 * max(every), 1.35 * max(calm)) or 1.0
    low, high = min(every), max(every)
    margin = max(0.02, 0.06 * (high - low))
    return max(0.0, low - margin), min(1.0, high + margin)


def _axis(metric: str, value: float) -> str:
    return f"{value:.0%}" if metric in _PERCENT else _short(value)


def _short(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= unit:
            return f"{value / (1e3 if name == 'k' else unit):.4g}{name}"
    return f"{value:g}"


def _path(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    commands: list[str] = []
    pen = "M"
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            pen = "M"
            continue
        commands.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    if len(commands) == 1:
        commands.append("h1")
    return "".join(commands)


def _names(
    lines: Sequence[tuple[str, str, str, list[float | None]]],
    size: Size,
    xs: Sequence[float],
    y_of: Scale,
    box: tuple[int, int],
    metric: str,
) -> list[str]:
    """Names at the right end of the curves, with a line to where each ends."""
    shown: list[tuple[float, float, str, str, str]] = []
    for _, name, style, values in lines:
        ends = [(x, v) for x, v in zip(xs, values, strict=True) if v is not None]
        if ends:
            x, last = ends[-1]
            y = min(max(y_of(last), box[0]), box[1])
            over = "\N{UPWARDS ARROW} " if y_of(last) < box[0] - 1 else ""
            text = name if len(name) <= size.letters else name[: size.letters - 1] + "…"
            shown.append((x, y, text, style, over + format_score(metric, last)))
    places = spread([y for _, y, *_ in shown], 15, box[0] + 4, box[1] - 2)
    right = size.width - size.right
    parts = []
    for (x, y, text, style, value), place in zip(shown, places, strict=True):
        number = f' <tspan class="number">{value}</tspan>' if size is WIDE else ""
        parts.append(f'<path class="leader {style}" d="M{x:.1f} {y:.1f}L{right + 9} {place:.1f}"/>')
        parts.append(
            f'<text class="name {style}" x="{right + 13}" y="{place + 4:.1f}">{escape(text)}{number}</text>'
        )
    return parts


def _markers(result: Mapping[str, Any], size: Size, x_of: Scale, bottom: int) -> list[str]:
    """Numbered circles above the plot, one for each transition or for several that are close."""
    xs = [x_of(event) for event in result["transition_events"]]
    kinds = [t["kind"] for t in result["transitions"]]
    parts = []
    for first, last in clusters(xs):
        tones = {TONES.get(kind, "calm") for kind in kinds[first : last + 1]}
        tone = next(t for t in ("alarm", "warn", "good", "calm") if t in tones)
        x, (text, width) = xs[first], _pill(first, last)
        left = x - 9  # grows to the right, where `clusters` keeps room for it
        title = ", ".join(dict.fromkeys(kind.replace("_", " ") for kind in kinds[first : last + 1]))
        parts.append(f'<path class="event {tone}" d="M{x:.1f} 22V{bottom + 24}"/>')
        parts.append(
            f'<a href="#t{first + 1}" class="marker {tone}"><title>{text}: {escape(title)}</title>'
            f'<rect x="{left:.1f}" y="4" width="{width}" height="18" rx="9"/>'
            f'<text x="{left + width / 2:.1f}" y="17" text-anchor="middle">{text}</text></a>'
        )
    return parts


def _ribbon(result: Mapping[str, Any], size: Size, x_of: Scale, y: int) -> list[str]:
    """Who served: each piece of the run filled by the shares of those who answered; rules are hatched."""
    style, height = styles(result), 14
    order = list(result["served_share"])
    parts = [f'<text class="tick" x="{size.left - 7}" y="{y + 11}" text-anchor="end">by</text>']
    for piece in result["ribbon"]:
        x, width, at = x_of(piece["from"]), x_of(piece["to"]) - x_of(piece["from"]), float(y)
        for server in order:
            share = piece["share"].get(server)
            if not share:
                continue
            shape = f'x="{x:.2f}" y="{at:.2f}" width="{width:.2f}" height="{share * height:.2f}"'
            title = f"<title>{escape(server)}, events {piece['from']:,} to {piece['to']:,}</title>"
            parts.append(f'<rect class="fill {style[slot_of(server)]}" {shape}>{title}</rect>')
            if not server.startswith("champion:"):
                parts.append(f'<rect fill="url(#hatch-{size.name})" {shape} pointer-events="none"/>')
            at += share * height
    return parts


def _axis_below(result: Mapping[str, Any], size: Size, x_of: Scale, y: int) -> list[str]:
    """Event counts, and dates below them where timestamps are dates."""
    clock = result["clock"]
    parts = []
    short = bool(clock["timestamps"]) and max(clock["timestamps"]) - min(clock["timestamps"]) < 3 * _DAY
    for value in ticks(0, result["events"], 6 if size is WIDE else 3):
        x, anchor = x_of(value), "middle" if value else "start"
        text = _short(value) if value else "0 events"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>')
        after = [i for i, event in enumerate(clock["events"]) if event >= value] or [len(clock["events"]) - 1]
        if clock["events"] and clock["timestamps"][after[0]] >= CLOCK_SINCE:
            date = when(clock["timestamps"][after[0]])
            date = date[5:16] if short else date[:10]
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 15}" text-anchor="{anchor}">{date}</text>')
    return parts
