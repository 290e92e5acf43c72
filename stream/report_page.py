"""The report as one HTML page: no request leaves it, nothing in it runs but one small script for hovering."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from stream.report_chart import (
    CLOCK_SINCE,
    NARROW,
    NOTHING,
    TONES,
    WIDE,
    best_baseline,
    chart,
    drawn,
    escape,
    format_score,
    slot_of,
    styles,
    when,
)

LISTED = 500  # transitions on the page; report.json has all
OPEN = 25  # of them shown at once

_COLUMNS = {
    "accuracy": ("Accuracy", "share of answers that were right"),
    "balanced_accuracy": ("Balanced", "mean of the recalls: a rare class counts as much as any other"),
    "kappa": ("Kappa", "accuracy beyond chance: 0 is as good as guessing by class shares, 1 is perfect"),
    "kappa_temporal": ("Kappa temporal", "accuracy beyond repeating the last label: below 0 is worse"),
    "log_loss": ("Log loss", "mean negative log of the probability given to the true class; lower is better"),
    "pr_auc": ("PR-AUC", "average precision: of the positive class, or the mean over classes"),
    "mae": ("MAE", "mean absolute error; lower is better"),
    "rmse": ("RMSE", "root of the mean squared error; lower is better"),
    "r2": ("R2", "share of the variance explained: 0 is as good as the mean of all labels, 1 is perfect"),
    "coverage": ("Coverage", "share of the labelled events that were answered"),
}  # fmt: skip
_LOWER = ("log_loss", "mae", "rmse")
_BASELINES = {
    "majority": "the majority class",
    "no_change": "repeating the last label",
    "mean": "the mean so far",
    "last_value": "repeating the last value",
}


def headline(result: Mapping[str, Any]) -> str:
    """Return the one sentence that says how well the deployment did."""
    metric, n = result["score"]["metric"], result["served"]["scored"]
    served = result["served"][metric]
    if served is None:
        return f"{result['events']:,} events were answered; no label came, so nothing could be scored."
    shown = format_score(metric, served)
    if metric == "mae":
        start = f"The {n:,} scored answers were off by {shown} on average"
    elif metric == "accuracy":
        start = f"{shown} of the {n:,} scored answers were right"
    else:
        start = f"The {n:,} scored answers reached a balanced accuracy of {shown}"
    against = [
        _against(metric, served, card[metric], _BASELINES[name])
        for name, card in result["baselines"].items()
        if card[metric] is not None
    ]
    return f"{start}: {', '.join(against)}." if against else f"{start}."


def _against(metric: str, served: float, baseline: float, name: str) -> str:
    if metric == "mae":
        if baseline <= 0 or abs(served / baseline - 1) < 0.005:
            return f"about as far as {name}"
        change = served / baseline - 1
        return f"{abs(change):,.0%} {'less' if change < 0 else 'more'} than {name}"
    points = 100 * (served - baseline)
    if abs(points) < 0.05:
        return f"the same as {name}"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'} {name}"


def render(result: dict[str, Any]) -> str:
    """Return the page of what `stream.report.Report.finish` returned."""
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    score = result["score"]
    metric = _COLUMNS[score["metric"]][0].lower()
    hidden = len(result["members"]) - sum(1 for _, _, style, _ in drawn(result) if style.startswith("s")) + 1
    task = {"binary": "Two classes", "multiclass": "Classes", "regression": "Regression"}[result["task"]]
    title = {"mae": "Mean absolute error", "accuracy": "Accuracy"}.get(score["metric"], "Balanced accuracy")
    return Template(template).substitute(
        style_hash=_hash(template, "style"),
        script_hash=_hash(template, "script"),
        name=escape(result["name"]),
        about=_about(result, task),
        headline=escape(headline(result)),
        verdict=_verdict(result),
        tiles=_tiles(result),
        chart_title=escape(title),
        chart_note=escape(
            f"over the last {score['window']:,} labels"
            + (f"; {hidden} more in the table" if hidden > 0 else "")
        ),
        charts=chart(result, WIDE) + chart(result, NARROW),
        curves=_curves_table(result),
        table=_scores_table(result),
        glossary="".join(
            f"<dt>{name}</dt><dd>{text}</dd>"
            for key, (name, text) in _COLUMNS.items()
            if key in result["served"]
        ),
        per_class=_per_class(result),
        share=_share(result),
        transitions=_transitions(result),
        settings=_settings(result["definition"]),
        metric=escape(metric),
        data=_script_json(_hover(result)),
    )


def _hash(template: str, tag: str) -> str:
    """Return the hash by which the content policy allows the page's own style or script, and no other."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    content = Template(found.group(1)).substitute() if found else ""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _about(result: Mapping[str, Any], task: str) -> str:
    parts, classes = [task], result["classes"]
    if classes:
        names = [escape(f"{name}", 30) for name in classes[:6]] + ["…"] * (len(classes) > 6)
        parts = [f"{task}: {', '.join(names)}"]
    if result["positive"] is not None:
        parts.append(f"positive: {escape(result['positive'], 30)}")
    stamps = result["clock"]["timestamps"]
    if stamps and min(stamps) >= CLOCK_SINCE:
        parts.append(f"event time {when(min(stamps))[:10]} to {when(max(stamps))[:10]}")
    return " · ".join(parts)


def _verdict(result: Mapping[str, Any]) -> str:
    metric = result["score"]["metric"]
    served = result["served"][metric]
    known = [c[metric] for c in result["baselines"].values() if c[metric] is not None]
    if served is None or not known:
        return '<span class="tag calm">Not scored</span>'
    beaten = sum(served < other if metric == "mae" else served > other for other in known)
    if beaten == len(known):
        return '<span class="tag good">✓ Better than both baselines</span>'
    return (
        f'<span class="tag {"warn" if beaten else "alarm"}">'
        f"! Better than {'one baseline only' if beaten else 'neither baseline'}</span>"
    )


def _tiles(result: Mapping[str, Any]) -> str:
    metric = result["score"]["metric"]
    name = _COLUMNS[metric][0]
    scored = {slot: card for slot, card in result["members"].items() if card[metric] is not None}
    whole = {slot: card for slot, card in scored.items() if card["coverage"] >= 0.9}
    pick = min if metric == "mae" else max
    best = pick(whole, key=lambda slot: whole[slot][metric]) if whole else None
    baseline = best_baseline(result)
    share = sum(v for server, v in result["served_share"].items() if server.startswith("champion:"))
    speed = result["events_per_second"]
    tiles = [
        (f"{name} served", format_score(metric, result["served"][metric]), f"{result['labels']:,} labels"),
        (
            "Best member alone",
            format_score(metric, whole[best][metric]) if best else NOTHING,
            best or "none answered all",
        ),
        (
            "Best baseline",
            format_score(metric, result["baselines"][baseline][metric]) if baseline else NOTHING,
            _BASELINES[baseline] if baseline else "",
        ),
        ("Answered by models", f"{share:.1%}", "others by rules"),
        ("Transitions", f"{len(result['transitions']):,}", _counts(result["transition_counts"])),
        ("Events per second", f"{speed:,.0f}" if speed else NOTHING, f"{result['events']:,} events"),
    ]
    return "".join(
        f"<div><dt>{escape(title)}</dt><dd><b>{escape(value)}</b><span>{escape(note)}</span></dd></div>"
        for title, value, note in tiles
    )


def _counts(counts: Mapping[str, int]) -> str:
    top = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in top[:2]) + (", …" if len(top) > 2 else "")


def _swatch(style: str, rule: bool = False) -> str:
    inside = f'<path class="line {style}" d="M1 5H25"/>'
    if rule:
        inside = (
            f'<rect class="fill {style}" width="26" height="10"/>'
            '<path class="hatching" d="M2 10L9 0M9 10L16 0M16 10L23 0"/>'
        )
    return f'<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true">{inside}</svg>'


def _rows(result: Mapping[str, Any]) -> Iterable[tuple[str, str, str, Mapping[str, Any]]]:
    """Rows of the table of scores: (kind, name, CSS class, card)."""
    style = styles(result)
    rules = result["definition"].get("rules", {})
    yield "what went out", "served", "served", result["served"]
    for slot, card in result["members"].items():
        yield "rule" if slot in rules else "model", slot, style[slot], card
    for name, card in result["baselines"].items():
        yield "baseline", name.replace("_", " "), "baseline", card


def _scores_table(result: Mapping[str, Any]) -> str:
    columns = [name for name in _COLUMNS if name in result["served"]]
    rows = list(_rows(result))
    best = {}
    for column in columns[:-1]:
        known = [c[column] for *_, c in rows if c.get(column) is not None and c["coverage"] > 0.5]
        if known:
            best[column] = format_score(column, min(known) if column in _LOWER else max(known))
    versus = "mae" if result["task"] == "regression" else "accuracy"
    head = "".join(f'<th scope="col" title="{escape(_COLUMNS[c][1])}">{_COLUMNS[c][0]}</th>' for c in columns)
    body = []
    for kind, name, style, card in rows:
        cells = []
        for column in columns:
            text = format_score(column, card.get(column))
            cells.append(f"<td><b>{text}</b></td>" if text == best.get(column) else f"<td>{text}</td>")
        cells.append(f"<td>{_versus(versus, card.get('versus_served'))}</td>")
        body.append(
            f'<tr class="{"first" if style == "served" else ""}"><th scope="row">{_swatch(style)}'
            f'<span class="what"><bdi>{escape(name, 40)}</bdi><small>{kind}</small></span></th>'
            f"{''.join(cells)}</tr>"
        )
    return (
        f'<table><thead><tr><th scope="col">Who</th>{head}<th scope="col" title="difference to what was '
        f'served, on the labels both answered">Against served</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _versus(metric: str, versus: Mapping[str, Any] | None) -> str:
    if not versus or versus[metric] is None:
        return NOTHING
    if metric == "mae":
        text = format_score("mae", versus[metric])
        return f"{'+' if versus[metric] > 0 else ''}{text}"
    return f"{100 * versus[metric]:+.1f} pts"


def _per_class(result: Mapping[str, Any]) -> str:
    per_class = result["served"].get("per_class")
    if not per_class:
        return ""
    names = [("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("pr_auc", "PR-AUC")]
    columns = [(key, name) for key, name in names if any(key in row for row in per_class.values())]
    head = "".join(f'<th scope="col">{name}</th>' for _, name in columns)
    body = "".join(
        f'<tr><th scope="row"><bdi>{escape(name, 40)}</bdi></th><td>{row["support"]:,}</td>'
        + "".join(f"<td>{format_score(key, row.get(key))}</td>" for key, _ in columns)
        + "</tr>"
        for name, row in per_class.items()
    )
    return (
        '<section class="card"><h2>Served, by class</h2><div class="scroll" tabindex="0" role="region" '
        'aria-label="Served, by class"><table><thead><tr><th scope="col">Class</th>'
        f'<th scope="col">Labels</th>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _share(result: Mapping[str, Any]) -> str:
    style = styles(result)
    rows = []
    for server, share in list(result["served_share"].items())[:12]:
        kind = style[slot_of(server)]
        swatch = _swatch(kind, rule=not server.startswith("champion:"))
        rows.append(
            f"<li>{swatch}<bdi>{escape(server, 60)}</bdi><b>{share:.2%}</b>"
            f'<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="track" width="100" height="4"/>'
            f'<rect class="fill {kind}" width="{100 * share:.2f}" height="4"/></svg></li>'
        )
    more = len(result["served_share"]) - len(rows)
    flags = sorted(result["flags"].items(), key=lambda item: -item[1])[:8]
    note = ", ".join(f"{escape(flag, 60)} {count:,}" for flag, count in flags)
    return (
        f'<ul class="share">{"".join(rows)}</ul>'
        + (f"<p>… and {more} more</p>" if more > 0 else "")
        + (f'<p class="quiet">Flags on answers: {note}</p>' if note else "")
    )


def _transitions(result: Mapping[str, Any]) -> str:
    listed = list(zip(result["transitions"], result["transition_events"], strict=True))
    if not listed:
        return '<p class="quiet">Nothing changed hands.</p>'
    items = []
    for number, (t, event) in enumerate(listed[:LISTED], 1):
        versions = " → ".join(escape(t[side], 80) for side in ("from", "to") if t.get(side))
        facts = "".join(
            f"<span><i>{escape(name, 40)}</i> {_fact(value)}</span>"
            for name, value in t.get("evidence", {}).items()
        )
        asked = f" · asked for by {escape(t['requested_by'], 80)}" if t.get("requested_by") else ""
        slot = f' <bdi class="slot">{escape(t["slot"], 63)}</bdi>' if t.get("slot") else ""
        items.append(
            f'<li id="t{number}"><span class="badge {TONES.get(t["kind"], "calm")}">{number}</span><div>'
            f"<h3>{escape(t['kind'].replace('_', ' ').capitalize())}{slot}</h3>"
            + (f"<p>{escape(t['reason'])}</p>" if t.get("reason") else "")
            + (f'<p class="facts">{facts}</p>' if facts else "")
            + f'<p class="quiet">after {event:,} events · {_time(t["timestamp"])}'
            + f" · {escape(t['position'], 80)}"
            + (f" · {versions}" if versions else "")
            + f"{asked}</p></div></li>"
        )
    more = len(listed) - LISTED
    tail = f'<p class="quiet">… and {more:,} more in report.json</p>' if more > 0 else ""
    page = f'<ol class="transitions">{"".join(items[:OPEN])}</ol>'
    if items[OPEN:]:
        page += (
            f"<details><summary>{len(items) - OPEN} more</summary>"
            f'<ol class="transitions">{"".join(items[OPEN:])}</ol>{tail}</details>'
        )
    return page


def _time(timestamp: int) -> str:
    return when(timestamp) if timestamp >= CLOCK_SINCE else f"time {when(timestamp)}"


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(value if isinstance(value, str) else _plain(value), 300)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _curves_table(result: Mapping[str, Any]) -> str:
    lines, curves, metric = drawn(result), result["curves"], result["score"]["metric"]
    at = sorted({round(i * (len(curves["labels"]) - 1) / 11) for i in range(12)}) if curves["labels"] else []
    head = "".join(f'<th scope="col"><bdi>{escape(name, 24)}</bdi></th>' for _, name, _, _ in reversed(lines))
    body = "".join(
        f'<tr><th scope="row">{curves["events"][i]:,}</th>'
        + "".join(f"<td>{format_score(metric, values[i])}</td>" for *_, values in reversed(lines))
        + "</tr>"
        for i in at
    )
    return f'<table><thead><tr><th scope="col">Events</th>{head}</tr></thead><tbody>{body}</tbody></table>'


def _hover(result: Mapping[str, Any]) -> dict[str, Any]:
    metric = result["score"]["metric"]
    return {
        "total": max(result["events"], 1),
        "events": result["curves"]["events"],
        "lines": [
            {"name": name, "style": style, "values": [format_score(metric, v) for v in values]}
            for _, name, style, values in reversed(drawn(result))
        ],
    }


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _settings(definition: Mapping[str, Any]) -> str:
    """Every setting that is not empty, by section, in the words of the definition file."""
    top = {k: v for k, v in definition.items() if not isinstance(v, Mapping)}
    sections: list[tuple[str, Mapping[str, Any]]] = [("deployment", top)]
    for name, table in definition.items():
        if not isinstance(table, Mapping):
            continue
        if table and all(isinstance(v, Mapping) for v in table.values()):
            sections += [(f"{name}.{inner}", entry) for inner, entry in list(table.items())[:200]]
        else:
            sections.append((name, table))
    parts = []
    for title, table in sections:
        lines = "".join(
            f"<div><dt>{escape(key, 80)}</dt><dd>{escape(_plain(value), 300)}</dd></div>"
            for key, value in table.items()
            if value is not None and value not in ({}, [], ())
        )
        parts.append(f"<section><h3><bdi>{escape(title, 80)}</bdi></h3><dl>{lines}</dl></section>")
    return "".join(parts)
