"""Results as a table and as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Case = Literal["throughput", "labels", "latency"]
TITLES: dict[Case, str] = {
    "throughput": "Events that carry their label",
    "labels": "Labels on their own topic (two records an event)",
    "latency": "Latency, append to append, at a steady rate",
}


class Run(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One rival, once.

    Attributes
    ----------
    case, partitions, round, rival
        What ran.
    events, answered, distinct
        Events given; answers in the output topic; ids among them.
    rate
        Events a second: achieved (throughput, labels) or offered (latency).
    ratio
        ``rate`` over that of the reference in the same round.
    cpu_ratio
        The reference's ``cpu_us`` in the same round over this one's: what ``ratio`` would be if both
        always had a core of their own.
    cpu_us
        Microseconds of processor time (user and system) an event, from a tenth of the outputs to the last.
    cpu_s
        Seconds of processor time of the whole process, starting and stopping included.
    accuracy
        Share of answers that were right.
    p50, p95, p99
        Milliseconds from an event's append to its answer's.
    late
        Milliseconds that events were sent late, 99th percentile: the machine's doing, not the rival's.
    load
        One-minute load average before the run.
    problem
        Why there is no figure.
    """

    case: Case
    partitions: int
    round: int
    rival: str
    events: int = 0
    answered: int = 0
    distinct: int = 0
    rate: float | None = None
    ratio: float | None = None
    cpu_ratio: float | None = None
    cpu_us: float | None = None
    cpu_s: float | None = None
    accuracy: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    late: float | None = None
    load: float | None = None
    problem: str | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of the values do not exceed.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([4.0, 1.0, 3.0, 2.0], 0.99)
    (2.0, 4.0)
    """
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def with_ratios(runs: Iterable[Run], references: dict[Case, str]) -> list[Run]:
    """Return the runs with their ratios to the reference of the same case, partitions and round.

    >>> done = [
    ...     Run(case="throughput", partitions=1, round=1, rival="raw", rate=100.0, cpu_us=10.0),
    ...     Run(case="throughput", partitions=1, round=1, rival="slow", rate=25.0, cpu_us=20.0),
    ... ]
    >>> [(run.ratio, run.cpu_ratio) for run in with_ratios(done, {"throughput": "raw"})]
    [(1.0, 1.0), (0.25, 0.5)]
    """
    runs = list(runs)
    base = {
        (r.case, r.partitions, r.round): r
        for r in runs
        if references.get(r.case) == r.rival and r.problem is None
    }
    done = []
    for run in runs:
        reference = base.get((run.case, run.partitions, run.round))
        ratio = cpu_ratio = None
        if reference is not None:
            ratio = run.rate / reference.rate if run.rate and reference.rate else None
            cpu_ratio = reference.cpu_us / run.cpu_us if run.cpu_us and reference.cpu_us else None
        done.append(msgspec.structs.replace(run, ratio=ratio, cpu_ratio=cpu_ratio))
    return done


def markdown(runs: Sequence[Run]) -> str:
    """Return one table for each case and number of partitions: medians, and the range of rates."""
    parts = []
    for case, title in TITLES.items():
        for partitions in dict.fromkeys(r.partitions for r in runs if r.case == case):
            chosen = [r for r in runs if r.case == case and r.partitions == partitions]
            parts.append(_table(case, f"### {title}: {_plural(partitions)}", chosen))
    return "\n\n".join(parts) + "\n"


def _plural(partitions: int) -> str:
    return f"{partitions} partition" + ("s" if partitions > 1 else "")


def _table(case: Case, title: str, runs: list[Run]) -> str:
    head: tuple[str, ...] = (
        "events/s",
        "(low to high)",
        "of the raw loop",
        "by CPU",
        "CPU µs/event",
        "answered",
        "accuracy",
    )
    if case == "latency":
        head = (
            "offered events/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "sent late, p99",
            "CPU µs/event",
            "answered",
        )
    head = ("rival", *head)
    lines = [title, "", "| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for rival in dict.fromkeys(r.rival for r in runs):
        mine = [r for r in runs if r.rival == rival]
        good = [r for r in mine if r.problem is None]
        if not good:
            lines.append(f"| {rival} | {mine[-1].problem} |" + " |" * (len(head) - 2))
            continue
        answered = f"{min(r.distinct / r.events for r in good):.1%}"
        if any(r.answered != r.distinct for r in good):
            answered += f", {max(r.answered - r.distinct for r in good)} doubled"
        cpu = _median([r.cpu_us for r in good], ".1f")
        rates = sorted(r.rate for r in good if r.rate is not None)
        if case == "latency":
            quantiles = [_median([getattr(r, q) for r in good], ".0f") for q in ("p50", "p95", "p99", "late")]
            cells = [rival, f"{statistics.median(rates):,.0f}", *quantiles, cpu, answered]
        else:
            rate = f"{statistics.median(rates):,.0f}"
            spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
            ratios = [_median([getattr(r, name) for r in good], ".2f") for name in ("ratio", "cpu_ratio")]
            accuracy = _median([r.accuracy for r in good], ".3f")
            cells = [rival, rate, spread, *ratios, cpu, answered, accuracy]
        if len(good) < len(mine):
            cells[0] += f" ({len(mine) - len(good)} of {len(mine)} runs failed)"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median(values: Iterable[float | None], form: str) -> str:
    known = [v for v in values if v is not None]
    return format(statistics.median(known), form) if known else "-"
