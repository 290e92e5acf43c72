"""The Grafana dashboard as code: ``python -m monitoring.dashboard`` writes its JSON.

References
----------
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent / "grafana" / "dashboards" / "meander.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
D = '{deployment="$deployment"}'
P = '{deployment="$deployment",partition=~"$partition"}'


P_CHAMPION = P.replace("}", ',mode="champion"}')
P_FALLBACK = P.replace("}", ',mode="fallback"}')
_SIGNALS = f"sum by (kind, detector) (increase(meander_drift_signals_total{P}[10m]))"


class Panel(NamedTuple):
    """One panel.

    Attributes
    ----------
    title, about
        What it shows, and how to read it.
    kind
        Grafana's panel type.
    queries
        PromQL by legend.
    unit
        Grafana's unit.
    width, height
        Of 24 columns; rows.
    """

    title: str
    about: str
    kind: str
    queries: dict[str, str]
    unit: str = "short"
    width: int = 12
    height: int = 8


PANELS = (
    Panel(
        "Error served",
        "Mean loss of the answers that went out, over ten minutes.",
        "stat",
        {"served": f"deployment:meander_served_error:ratio_rate10m{D}"},
        "percentunit",
        4,
        4,
    ),
    Panel(
        "Events", "Records read.", "stat", {"events/s": f"deployment:meander_events:rate5m{D}"}, "ops", 4, 4
    ),
    Panel(
        "Latency, 99th percentile",
        "From append to the acknowledged answer. The objective is 250 ms.",
        "stat",
        {"p99": f"histogram_quantile(0.99, sum by (le) (rate(meander_event_latency_seconds_bucket{D}[5m])))"},
        "s",
        4,
        4,
    ),
    Panel(
        "Lag",
        "Age of the oldest record that waits, of the slowest partition.",
        "stat",
        {"worst": f"max(meander_lag_seconds{P})"},
        "s",
        4,
        4,
    ),
    Panel(
        "Served by rules",
        "Share of partitions where only rules answer.",
        "stat",
        {
            "fallback": f"sum(meander_mode{P_FALLBACK}) / sum(meander_mode{P})",
        },
        "percentunit",
        4,
        4,
    ),
    Panel(
        "Records unaccounted for",
        "Inputs minus outcomes. 0, or a bug.",
        "stat",
        {"unaccounted": f"sum(abs(meander_unaccounted_records{P}))"},
        "short",
        4,
        4,
    ),
    Panel(
        "Error as served and in shadow",
        "Mean loss over ten minutes; all are scored on the same labels.",
        "timeseries",
        {
            "served": f"deployment:meander_served_error:ratio_rate10m{D}",
            "{{role}} {{model}}": f"deployment_model:meander_error:ratio_rate10m{D}",
        },
        "percentunit",
        16,
        10,
    ),
    Panel(
        "Who answers",
        "By partition: 1 champion, 0 rules.",
        "state-timeline",
        {"partition {{partition}}": f"max by (partition) (meander_mode{P_CHAMPION})"},
        "short",
        8,
        10,
    ),
    Panel(
        "Evidence of the challengers",
        "E-values as powers of ten. Above the threshold a challenger is promoted.",
        "timeseries",
        {
            "{{model}} in {{partition}}": f"meander_evidence_log10{P}",
            "threshold in {{partition}}": f"meander_evidence_threshold_log10{P}",
        },
    ),
    Panel(
        "Signals and transitions",
        "In ten minutes.",
        "timeseries",
        {
            "{{kind}} drift ({{detector}})": _SIGNALS,
            "{{kind}}": f"sum by (kind) (increase(meander_transitions_total{P}[10m]))",
        },
    ),
    Panel(
        "Events by outcome",
        "Per second.",
        "timeseries",
        {"{{outcome}}": f"sum by (outcome) (rate(meander_events_total{P}[5m]))"},
        "ops",
    ),
    Panel(
        "Labels by outcome",
        "Per second.",
        "timeseries",
        {"{{outcome}}": f"sum by (outcome) (rate(meander_labels_total{P}[5m]))"},
        "ops",
    ),
    Panel(
        "Answers by who gave them",
        "Per second.",
        "timeseries",
        {"{{served_by}}": f"sum by (served_by) (rate(meander_predictions_total{P}[5m]))"},
        "ops",
    ),
    Panel(
        "Latency",
        "From append to the acknowledged answer.",
        "timeseries",
        {
            f"p{q * 100:g}": f"histogram_quantile({q},"
            f" sum by (le) (rate(meander_event_latency_seconds_bucket{D}[5m])))"
            for q in (0.5, 0.95, 0.99)
        },
        "s",
    ),
    Panel(
        "Label delay",
        "Event time to a label that came on its own topic.",
        "timeseries",
        {
            f"p{q * 100:g}": f"histogram_quantile({q},"
            f" sum by (le) (rate(meander_label_delay_seconds_bucket{D}[15m])))"
            for q in (0.5, 0.95)
        },
        "s",
    ),
    Panel(
        "Waiting for a label",
        "Share of what may wait.",
        "timeseries",
        {"partition {{partition}}": f"meander_pending_labels{P} / meander_pending_labels_limit{P}"},
        "percentunit",
    ),
    Panel(
        "Lag by topic",
        "Records not processed yet.",
        "timeseries",
        {"{{topic}} {{partition}}": f"meander_lag_records{P}"},
    ),
    Panel(
        "Dead letters",
        "Per second, by topic and reason.",
        "timeseries",
        {"{{topic}}: {{reason}}": f"sum by (topic, reason) (rate(meander_dead_letters_total{P}[5m])) > 0"},
        "ops",
    ),
    Panel(
        "Age of the state",
        "Since a partition was last durable.",
        "timeseries",
        {"partition {{partition}}": f"time() - meander_snapshot_timestamp_seconds{P}"},
        "s",
    ),
    Panel(
        "Where time goes",
        "Share of a core, by stage.",
        "timeseries",
        {"{{stage}}": f"sum by (stage) (rate(meander_batch_seconds_total{D}[5m]))"},
        "percentunit",
    ),
    Panel(
        "Time of the members",
        "Share of a core that each is asked and taught for.",
        "timeseries",
        {"{{model}} {{op}}": f"sum by (model, op) (rate(meander_model_seconds_total{D}[5m]))"},
        "percentunit",
    ),
    Panel(
        "Size of the members",
        "In the last snapshots.",
        "timeseries",
        {"{{model}}": f"sum by (model) (meander_model_bytes{D})"},
        "bytes",
    ),
)

MAY_BE_EMPTY = frozenset({"Dead letters"})
"""Panels that show nothing on a good day."""


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []}
        if "Evidence" not in panel.title
        else {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(65 + i), "expr": expr, "legendFormat": legend, "datasource": SOURCE}
            for i, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def _variable(name: str, query: str, *, every: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        "sort": 3,
        "includeAll": every,
        "multi": every,
        **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if every else {}),
    }


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels, x, y, below = [], 0, 0, 0
    for number, panel in enumerate(PANELS, 1):
        if x + panel.width > 24:
            x, y = 0, below
        panels.append(_panel(number, panel, x, y))
        x, below = x + panel.width, max(below, y + panel.height)
    return {
        "uid": "meander",
        "title": "Meander",
        "tags": ["meander"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                _variable("deployment", "label_values(meander_partitions, deployment)", every=False),
                _variable(
                    "partition",
                    'label_values(meander_learning{deployment="$deployment"}, partition)',
                    every=True,
                ),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Transitions",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "orange",
                    "expr": f"sum by (kind) (increase(meander_transitions_total{P}[1m])) > 0",
                    "titleFormat": "{{kind}}",
                }
            ]
        },
        "panels": panels,
    }


def expressions() -> dict[str, list[str]]:
    """Return every query of every panel, and of the annotations, by title."""
    made = dashboard()
    found = {panel["title"]: [t["expr"] for t in panel["targets"]] for panel in made["panels"]}
    return {**found, "Transitions": [made["annotations"]["list"][0]["expr"]]}


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
