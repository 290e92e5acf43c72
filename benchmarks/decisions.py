"""What the pool and its decisions are worth on a stream, no Kafka: ``python benchmarks/decisions.py elec2``.

Every row is predicted from its own features, scored, and learned once its label comes; accuracy (mean
absolute error) is that of the answers served, beside each member's own, and the microseconds are of all
but decoding. Streams are files of the data folder: MEANDER_DATA, or ../shared/data.
"""

import os
import time
from collections import Counter, deque
from datetime import date
from pathlib import Path
from typing import Any

import click

from learners.contract import Contract
from learners.definition import Definition, parse_definition
from producers import files
from stream.messages import Example
from stream.processing.learn import Learn

DATA = Path(os.environ.get("MEANDER_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
CLASSES = {
    "elec2": ["DOWN", "UP"],
    "noaa_weather": ["0", "1"],
    "stagger_abrupt": ["0", "1"],
    "insects_gradual_balanced": ["2", "3", "4", "5", "11", "12"],
    "bike_sharing_hourly": [],
}
KINDS = {
    "binary": {
        "lr": "logistic_regression",
        "lrf": "logistic_regression_fast",
        "hat": "hoeffding_adaptive_tree",
        "arf": "adaptive_random_forest",
    },
    "multiclass": {
        "lr": "one_vs_rest",
        "lrf": "one_vs_rest_fast",
        "hat": "hoeffding_adaptive_tree",
        "arf": "adaptive_random_forest",
    },
    "regression": {
        "lr": "linear_regression",
        "lrf": "linear_regression_robust",
        "hat": "hoeffding_adaptive_tree_regressor",
        "arf": "adaptive_random_forest_regressor",
    },
}


def definition(stream: str, names: list[str], models: list[str], **top: Any) -> Definition:
    """Return a deployment for a stream."""
    classes = CLASSES[stream]
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    raw: dict[str, Any] = {
        "name": "bench",
        "task": task,
        "features": {name: {} for name in names},
        "models": {slot: {"recipe": KINDS[task][slot]} for slot in models},
    }
    if classes:
        raw["label"] = {"classes": classes}
    else:
        raw["rules"] = {
            "last": {"recipe": "last_value"},
            "hour": {"recipe": "mean_by", "parameters": {"by": ["hr"]}},
            "prior": {"recipe": "mean"},
        }
    return parse_definition({**raw, **top})


class Result:
    """What a run gave: a mean for what was served and for each member, and the transitions."""

    def __init__(self) -> None:
        self.scores: dict[str, list[float]] = {}
        self.kinds: Counter[str] = Counter()
        self.story: list[tuple[int, str]] = []
        self.microseconds = 0.0

    def add(self, who: str, value: float) -> None:
        """Add one value to the mean of a member."""
        pair = self.scores.setdefault(who, [0.0, 0])
        pair[0] += value
        pair[1] += 1

    def mean(self, who: str) -> float:
        """Return the mean of a member."""
        total, count = self.scores[who]
        return total / count


def run(
    deployment: Definition,
    rows: list[tuple[dict[str, Any], Any]],
    delay: int = 0,
    hook: Any = None,
) -> Result:
    """Run rows of features and label through `Learn`, labels so many rows late."""
    contract, result = Contract(deployment), Result()
    learn = Learn(deployment, contract, "bench")
    regression = deployment.task == "regression"
    waiting: deque[Example] = deque()
    spent = 0
    for number, (x, y) in enumerate(rows):
        label = contract.internal(y)
        begin = time.process_time_ns()
        asked = learn.ask(x)
        spent += time.process_time_ns() - begin
        example = Example(
            "", None, 0, number, number, x, asked.panel, asked.answers, asked.served, asked.answer, number,
            label=label,
        )  # fmt: skip
        waiting.append(example)
        slots = {n: m.slot for n, m in learn.roster.by_number.items()}
        for member, answer in zip(asked.panel, asked.answers, strict=True):
            if answer is not None:
                said = answer if regression else learn.task.render(answer)[0]
                result.add(slots[member], abs(said - label) if regression else said == y)
        served = learn.task.render(asked.answer)[0] if asked.served >= 0 else None
        if regression:
            served = 0.0 if served is None else served
        elif served is None:
            served = deployment.classes[0]
        result.add("served", abs(served - label) if regression else served == y)
        if len(waiting) > delay:
            begin = time.process_time_ns()
            example = waiting.popleft()
            told = learn.learn(example, number - example.ordinal, number, f"events:0:{number}")
            spent += time.process_time_ns() - begin
            for transition in told:
                result.kinds[transition.kind] += 1
                result.story.append((number, f"{transition.kind} {transition.slot}"))
        if hook is not None:
            hook(number, learn)
    result.microseconds = spent / len(rows) / 1000
    return result


def stream_of(name: str, limit: int | None = None) -> tuple[list[str], list[tuple[dict[str, Any], Any]]]:
    """Return the feature names and the rows of a stream."""
    table = list(files.rows(DATA / f"{name}.csv.gz", limit))
    names = [column for column in table[0] if column != "target"]
    number = not CLASSES[name]
    return names, [
        (dict(zip(names, map(plain, (row[n] for n in names)), strict=True)),
         float(row["target"]) if number else row["target"])
        for row in table
    ]  # fmt: skip


def plain(value: Any) -> float:
    """Return a number; a date as its ordinal."""
    try:
        return float(value)
    except ValueError:
        return float(date.fromisoformat(value).toordinal())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("streams", nargs=-1, required=True)
@click.option("--models", default="lr,lrf,hat", show_default=True, help="Slots, by comma.")
@click.option("--delay", default=0, show_default=True, help="Rows a label is late.")
@click.option("--rows", type=int, help="Only so many rows.")
@click.option("--story", is_flag=True, help="Print the transitions, without signals.")
@click.option("--champion", help="A slot, or blend.")
@click.option("--on-drift", default="challenge", show_default=True)
def main(
    streams: tuple[str, ...],
    models: str,
    delay: int,
    rows: int | None,
    story: bool,
    champion: str | None,
    on_drift: str,
) -> None:
    """Print what was served and each member, microseconds an event, and how often what happened.

    Example: python benchmarks/decisions.py elec2 --models lr,lrf --delay 48
    """
    for stream in streams:
        names, table = stream_of(stream, rows)
        deployment = definition(
            stream, names, models.split(","), drift={"on_drift": on_drift},
            **({} if champion is None else {"champion": champion}),
        )  # fmt: skip
        result = run(deployment, table, delay)
        means = "  ".join(f"{who} {result.mean(who):.4f}" for who in sorted(result.scores))
        click.echo(f"{stream}@{delay}: {means}")
        click.echo(f"    {result.microseconds:.1f} us  {dict(result.kinds)}")
        if story:
            told = [f"{at} {what}" for at, what in result.story if "signal" not in what]
            click.echo("    " + "; ".join(told))


if __name__ == "__main__":
    main()
