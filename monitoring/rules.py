"""Recording and alert rules for Prometheus, written from one table: ``python -m monitoring.rules``.

A time scale shrinks every window alike, so that a test can live through an hour in a minute.

References
----------
Burn rates: B. Beyer et al., *The Site Reliability Workbook*, chapter 5, 2018.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

RUNBOOK = "docs/runbook.md"
OBJECTIVE = 0.01  # share of answers that may take longer than 250 ms
FOLDER = Path(__file__).parent / "alerts"
_DURATION = re.compile(r"(?<![\w.])(\d+)([smhd])(?!\w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Alert(NamedTuple):
    """One alert.

    Attributes
    ----------
    name
        Without the prefix ``Meander``; its runbook section is called the same.
    expr
        PromQL; ``{@}`` stands for ``by (deployment)``, ``{60s}`` for an age in seconds.
    wait
        How long it must hold.
    severity
        ``page`` wakes somebody, ``ticket`` waits for the morning, ``none`` is the watchdog.
    summary
        One sentence for whoever is woken.
    """

    name: str
    expr: str
    wait: str
    severity: str
    summary: str


RECORDS: dict[str, str] = {
    "deployment:meander_events:rate5m": "sum {@} (rate(meander_events_total[5m]))",
    "deployment:meander_labels:rate15m": "sum {@} (rate(meander_labels_total[15m]))",
    "deployment_model:meander_error:ratio_rate10m": (
        "sum by (deployment, model, role) (rate(meander_loss_total[10m]))"
        " / (sum by (deployment, model, role) (rate(meander_scored_labels_total[10m])) > 0)"
    ),
    "deployment_model:meander_rule_coverage:ratio_rate10m": (
        'sum by (deployment, model) (rate(meander_scored_labels_total{role="fallback"}[10m]))'
        " / on (deployment) group_left sum {@} (rate(meander_served_scored_labels_total[10m]) > 0)"
    ),
    "deployment:meander_served_error:ratio_rate10m": (
        "sum {@} (rate(meander_served_loss_total[10m]))"
        " / (sum {@} (rate(meander_served_scored_labels_total[10m])) > 0)"
    ),
    **{
        f"deployment:meander_slow_events:ratio_rate{window}": (
            f'1 - sum {{@}} (rate(meander_event_latency_seconds_bucket{{le="0.25"}}[{window}]))'
            f" / (sum {{@}} (rate(meander_event_latency_seconds_count[{window}])) > 0)"
        )
        for window in ("5m", "30m", "1h", "6h")
    },
}

_SLOW = "deployment:meander_slow_events:ratio_rate"
_ERROR = "deployment:meander_served_error:ratio_rate10m"
_RULES = (  # those that answer about everything: one that holds now and then is right about that alone
    'deployment_model:meander_error:ratio_rate10m{role="fallback"}'
    " and on (deployment, model) deployment_model:meander_rule_coverage:ratio_rate10m > 0.9"
)
_EVENTS, _LABELS = "deployment:meander_events:rate5m", "deployment:meander_labels:rate15m"
_PD = "by (deployment, partition)"

ALERTS: tuple[Alert, ...] = (
    Alert("Watchdog", "vector(1)", "0s", "none", "Always firing: when it stops, alerting itself is broken."),
    Alert(
        "WorkerDown", 'up{job="meander"} == 0', "1m", "page", "Worker {{ $labels.instance }} does not answer."
    ),
    Alert("Absent", 'absent(up{job="meander"})', "2m", "page", "Prometheus knows no worker at all."),
    Alert(
        "PartitionUnowned",
        f"count {{@}} (count {_PD} (meander_learning)) < max {{@}} (meander_partitions)"
        " or max {@} (meander_partitions) unless count {@} (meander_learning)",
        "2m",
        "page",
        "Some partitions of {{ $labels.deployment }} have no worker: nobody answers their events.",
    ),
    Alert(
        "PartitionOwnedTwice",
        f"count {_PD} (meander_learning) > 1",
        "2m",
        "page",
        "Partition {{ $labels.partition }} of {{ $labels.deployment }} is held by {{ $value }} workers.",
    ),
    Alert(
        "Unaccounted",
        "sum {@} (abs(meander_unaccounted_records)) > 0",
        "1m",
        "page",
        "The books of {{ $labels.deployment }} do not balance by {{ $value }} records.",
    ),
    Alert(
        "Lag",
        "max by (deployment, partition, topic) (meander_lag_seconds) > {60s}",
        "5m",
        "page",
        "{{ $labels.topic }} of partition {{ $labels.partition }} waits {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "LatencyBudgetFast",
        f"{_SLOW}1h > {14.4 * OBJECTIVE:g} and {_SLOW}5m > {14.4 * OBJECTIVE:g}",
        "2m",
        "page",
        "{{ $value | humanizePercentage }} of the answers of {{ $labels.deployment }} take over 250 ms.",
    ),
    Alert(
        "LatencyBudgetSlow",
        f"{_SLOW}6h > {6 * OBJECTIVE:g} and {_SLOW}30m > {6 * OBJECTIVE:g}",
        "15m",
        "ticket",
        "{{ $value | humanizePercentage }} of the answers of {{ $labels.deployment }} take over 250 ms.",
    ),
    Alert(
        "LabelsStopped",
        f"{_LABELS} == 0 and {_EVENTS} > 0",
        "15m",
        "page",
        "Events of {{ $labels.deployment }} go on, labels have stopped: quality and drift are not seen.",
    ),
    Alert(
        "LabelsFew",
        f"{_LABELS} < 0.3 * avg_over_time({_LABELS}[1d] offset 1d)"
        f" and {_EVENTS} > 0.7 * avg_over_time({_EVENTS}[1d] offset 1d)",
        "30m",
        "ticket",
        "{{ $labels.deployment }} gets less than a third of yesterday's labels for the same traffic.",
    ),
    Alert(
        "EventsStopped",
        f"{_EVENTS} == 0 and {_EVENTS} offset 1h > 0",
        "10m",
        "page",
        "No events of {{ $labels.deployment }} arrive; an hour ago they did.",
    ),
    Alert(
        "SnapshotStale",
        f"time() - max {_PD} (meander_snapshot_timestamp_seconds) > {{60s}}",
        "2m",
        "page",
        "Partition {{ $labels.partition }} was last saved {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "ServedWorseThanRules",
        f"{_ERROR} - on (deployment) min {{@}} ({_RULES}) > 0.02",
        "15m",
        "page",
        "What {{ $labels.deployment }} serves is worse than its rules by {{ $value | humanizePercentage }}.",
    ),
    Alert(
        "FallbackLong",
        'sum {@} (meander_mode{mode="fallback"}) / sum {@} (meander_mode) > 0.1',
        "30m",
        "ticket",
        "Rules have answered {{ $value | humanizePercentage }} of {{ $labels.deployment }} for long.",
    ),
    Alert(
        "DriftUnanswered",
        '(sum {@} (increase(meander_drift_signals_total{kind="concept"}[1h])) > 0) unless on (deployment)'
        ' (sum {@} (increase(meander_transitions_total{kind!~"signal|expired|ordered|rejected"}[1h])) > 0)',
        "30m",
        "ticket",
        "Drift was signalled in {{ $labels.deployment }} and nothing was done about it.",
    ),
    Alert(
        "Flapping",
        f'sum {_PD} (increase(meander_transitions_total{{kind=~"fell_back|resumed|promoted"}}[1h])) > 6',
        "0s",
        "ticket",
        "Partition {{ $labels.partition }} of {{ $labels.deployment }} changed its mind {{ $value }} times.",
    ),
    Alert(
        "DeadLetters",
        "sum {@} (rate(meander_dead_letters_total[10m])) / (sum {@} (rate(meander_events_total[10m]))"
        " + sum {@} (rate(meander_labels_total[10m]))) > 0.01",
        "10m",
        "ticket",
        "{{ $value | humanizePercentage }} of what {{ $labels.deployment }} is sent is refused.",
    ),
    Alert(
        "PendingFull",
        f"max {_PD} (meander_pending_labels / meander_pending_labels_limit) > 0.8",
        "10m",
        "ticket",
        "Partition {{ $labels.partition }}: {{ $value | humanizePercentage }} of the waiting room is full.",
    ),
    Alert(
        "Nonfinite",
        "sum by (deployment, model) (increase(meander_nonfinite_predictions_total[10m])) > 0",
        "0s",
        "ticket",
        "{{ $labels.model }} of {{ $labels.deployment }} answered something that is no number.",
    ),
)


def scaled(text: str, scale: float) -> str:
    """Shrink every duration outside metric names and braces by a scale, to a second at the least.

    >>> scaled("rate(meander_events_total[15m]) and a:rate5m offset 1h", 60)
    'rate(meander_events_total[15s]) and a:rate5m offset 1m'
    """
    if scale == 1:
        return text

    def shrink(match: re.Match[str]) -> str:
        seconds = max(1, round(int(match[1]) * _SECONDS[match[2]] / scale))
        return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"

    return _DURATION.sub(shrink, text)


def rules(scale: float = 1, interval: str = "15s") -> dict[str, object]:
    """Return the rule groups as Prometheus reads them.

    Parameters
    ----------
    scale
        60 makes an hour a minute.
    interval
        Between two evaluations.
    """

    def expr(text: str) -> str:
        text = text.replace("{@}", "by (deployment)")
        # an age is only known as of the last scrape: below 5 s it would be noise
        text = re.sub(r"\{(\d+)s\}", lambda m: f"{max(min(5, int(m[1])), int(m[1]) / scale):g}", text)
        return scaled(text, scale)

    records = [{"record": name, "expr": expr(text)} for name, text in RECORDS.items()]
    alerts = [
        {
            "alert": f"Meander{alert.name}",
            "expr": expr(alert.expr),
            **({"for": scaled(alert.wait, scale)} if alert.wait != "0s" else {}),
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
            },
        }
        for alert in ALERTS
    ]
    return {
        "groups": [
            {"name": "meander-records", "interval": interval, "rules": records},
            {"name": "meander-alerts", "interval": interval, "rules": alerts},
        ]
    }


def text(scale: float = 1, interval: str = "15s") -> str:
    """Return the rules as YAML."""
    lines = ["# Made by python -m monitoring.rules: change that, not this."]

    def write(value: object, indent: str, first: str) -> None:
        """Write a mapping whose first line begins otherwise, as that of a list item does."""
        assert isinstance(value, dict)  # noqa: S101  rules are made of these alone
        for key, inner in value.items():
            if isinstance(inner, dict):
                lines.append(f"{first}{key}:")
                write(inner, indent + "  ", indent + "  ")
            elif isinstance(inner, list):
                lines.append(f"{first}{key}:")
                for item in inner:
                    write(item, indent + "    ", indent + "  - ")
            else:
                lines.append(f"{first}{key}: {json.dumps(inner)}")
            first = indent

    write(rules(scale, interval), "", "")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (FOLDER / "meander.yml").write_text(text(), encoding="utf-8")
