"""Microseconds an event spends in each stage of a Processor, no Kafka: ``python benchmarks/stages.py``.

Each stage's function is wrapped with a clock; what a wrapped function spends in another wrapped one counts
there only, and the clock's own cost, measured, is taken off. Because a clock also disturbs what it measures,
the stages give shares; the microseconds are those shares of a run without any clock.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import click
from workload import FEATURES, rows

from learners.definition import Definition, parse_definition
from stream.messages import Record
from stream.processing.processor import Processor

Clock = Callable[[], int]


class Stopwatch:
    """Self time of each stage, in nanoseconds."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)
        self.calls: dict[str, int] = defaultdict(int)
        self.inner: dict[str, int] = defaultdict(int)  # wrapped calls made by a stage
        self._inside = [0]  # nanoseconds of wrapped calls, for each wrapped call that is open
        self._stages = [""]  # and its stage

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Replace a method of an object, or of a class, by one that is timed."""
        setattr(owner, name, self.timed(getattr(owner, name), stage))

    def timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return the function, timed."""
        clock: Clock = time.perf_counter_ns
        spent, calls, inner, inside, stages = self.spent, self.calls, self.inner, self._inside, self._stages

        def timed(*args: Any) -> Any:
            inner[stages[-1]] += 1
            stages.append(stage)
            inside.append(0)
            begin = clock()
            try:
                return function(*args)
            finally:
                took = clock() - begin
                spent[stage] += took - inside.pop()
                inside[-1] += took
                stages.pop()
                calls[stage] += 1

        return timed

    def overhead(self, calls: int = 20_000) -> tuple[float, float]:
        """Return what one wrapped call adds, in nanoseconds: to its own stage, and to its caller's."""
        probe = Stopwatch()

        def nothing(_: int) -> None:
            return None

        inner = probe.timed(nothing, "inner")

        def loop(function: Callable[[int], None]) -> None:
            for i in range(calls):
                function(i)

        probe.timed(loop, "bare")(nothing)
        probe.timed(loop, "outer")(inner)
        return probe.spent["inner"] / calls, (probe.spent["outer"] - probe.spent["bare"]) / calls


def definition() -> Definition:
    """Return the deployment of the benchmark: champion, rule, baseline, detector."""
    return parse_definition(
        {
            "name": "bench",
            "task": "binary",
            "label": {"classes": [False, True]},
            "features": {name: {"min": -1000, "max": 1000} for name in FEATURES},
            "models": {"lr": {"recipe": "logistic_regression"}},
            "rules": {
                "high": {"when": "x1 > 1", "then": {"true": 0.7}},
                "prior": {"recipe": "class_frequencies"},
            },
            "drift": {"detector": "ADWIN"},
        }
    )


def records(count: int) -> list[Record]:
    """Return the events of the benchmark, as records."""
    made = rows(count, 1, start=1_700_000_000_000)
    return [
        Record("events", 0, i, 1_700_000_000_000 + i, row.key, row.event, ()) for i, row in enumerate(made)
    ]


def run(processor: Processor, data: list[Record]) -> float:
    """Process and encode everything; return microseconds an event."""
    begin = time.perf_counter_ns()
    for record in data:
        for output in processor.process(record):
            processor.codec.encode(output)
    return (time.perf_counter_ns() - begin) / len(data) / 1000


def stages(data: list[Record]) -> dict[str, float]:
    """Return microseconds an event, by stage."""
    processor, watch = Processor(definition()), Stopwatch()
    learn = processor.learn
    roster = learn.roster
    # Long enough for the warm-up, so that the roster has its everyday members.
    run(processor, data[:1000])
    watch.wrap(processor, "process", "books and outputs")
    watch.wrap(processor.serve, "answer", "answer: build the prediction")
    watch.wrap(roster, "ask", "answer: ask the roster")
    watch.wrap(learn, "learn", "learn: decide, count")
    watch.wrap(learn, "_score", "score")
    watch.wrap(processor.watcher, "event", "watch: features, answers, labels")
    watch.wrap(learn, "_watch_served", "detect")
    watch.wrap(learn, "_compare", "bets")
    watch.wrap(roster.pool, "learn", "pool")
    watch.wrap(learn, "_teach", "learn: members' bookkeeping")
    for member in roster.members:
        watch.wrap(member, "ask", f"predict: {member.slot}")
        if member.learn is not None:
            watch.wrap(member, "learn", f"learn: {member.slot}")
    roster._askers = tuple(member.ask for member in roster.members)
    codec = Instrumented(processor.codec, watch)
    processor.codec = codec  # type: ignore[assignment]
    run(processor, data[1000:])
    own, callers = watch.overhead()
    events = len(data) - 1000
    return {
        stage: max(0.0, watch.spent[stage] - watch.calls[stage] * own - watch.inner[stage] * callers)
        / events
        / 1000
        for stage in watch.spent
    }


class Instrumented:
    """The codec, timed; a class of its own because a codec's methods may be slots."""

    def __init__(self, codec: Any, watch: Stopwatch) -> None:
        self.event = watch.timed(codec.event, "decode, contract included")
        self.label = watch.timed(codec.label, "decode, contract included")
        self.control = watch.timed(codec.control, "decode, contract included")
        self.encode = watch.timed(codec.encode, "encode")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=20_000, show_default=True, help="Events a round.")
@click.option("--rounds", default=5, show_default=True, help="Medians of so many rounds.")
def main(events: int, rounds: int) -> None:
    """Print microseconds an event for each stage of a Processor.

    Example: python benchmarks/stages.py --events 20000
    """
    data = records(events)
    rounds_ = [stages(data) for _ in range(rounds)]
    plain = statistics.median(run(Processor(definition()), data) for _ in range(rounds))
    median = {stage: statistics.median(r[stage] for r in rounds_) for stage in rounds_[0]}
    total = sum(median.values())
    click.echo("| stage | share | µs/event |\n| --- | ---: | ---: |")
    for stage, spent in sorted(median.items(), key=lambda item: -item[1]):
        click.echo(f"| {stage} | {spent / total:.0%} | {plain * spent / total:.1f} |")
    click.echo(f"| all | 100% | {plain:.1f} |")


if __name__ == "__main__":
    main()
