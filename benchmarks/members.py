"""What deciding costs for each member and event: ``python benchmarks/members.py``.

Pool, scores, monitors, proofs and fallback's bets of `Learn`, no codec and no Kafka. The members answer from
a list and learn nothing, so that what is left is the deciding: the slope from four members to eight, less
what the members themselves take. The least of several rounds, in microseconds of processor time, which a
busy machine stretches; labels come at once.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import click

from learners.contract import Contract
from learners.definition import Definition, parse_definition
from learners.recipes import RECIPES
from stream.messages import Example
from stream.processing.learn import Learn

GOALS = {"two classes": 4.0, "eleven classes": 7.0, "numbers": 4.0}
CLASSES = {"two classes": ["no", "yes"], "eleven classes": [f"c{i}" for i in range(11)], "numbers": []}
RECIPE = {
    "two classes": "logistic_regression",
    "eleven classes": "one_vs_rest",
    "numbers": "linear_regression",
}
ANSWERS = 997  # prepared for each member


class Prepared:
    """Answers from a list; has nothing to learn, and next to nothing to save."""

    def __init__(self, kind: str, seed: int) -> None:
        self._kind, self._seed, self._next = kind, seed, -1
        self._answers = prepared(kind, seed)

    def __reduce__(self) -> Any:
        return Prepared, (self._kind, self._seed)

    def predict_one(self, x: dict[str, Any]) -> Any:
        """Return the next number."""
        self._next = at = (self._next + 1) % ANSWERS
        return self._answers[at]

    def predict_proba_one(self, x: dict[str, Any]) -> Any:
        """Return the next probabilities."""
        self._next = at = (self._next + 1) % ANSWERS
        return self._answers[at]

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Nothing to learn."""


@cache
def truths(kind: str) -> list[Any]:
    """Return the labels, one event after the other, and then from the first again."""
    coin = random.Random(0)
    if kind == "numbers":
        return [coin.gauss(5.0, 1.0) for _ in range(ANSWERS)]
    return [coin.choice([False, True] if kind == "two classes" else CLASSES[kind]) for _ in range(ANSWERS)]


@cache
def prepared(kind: str, seed: int) -> list[Any]:
    """Return answers of a member that is better than a rule, but not by much."""
    coin = random.Random(seed)
    if kind == "numbers":
        return [truth + coin.gauss(0.0, 0.5) for truth in truths(kind)]
    labels: list[Any] = [False, True] if kind == "two classes" else list(CLASSES[kind])
    found = []
    for truth in truths(kind):
        parts = [coin.random() + (c == truth) for c in labels]
        found.append({c: p / sum(parts) for c, p in zip(labels, parts, strict=True)})
    return found


@contextmanager
def listed(kind: str) -> Iterator[None]:
    """Let the recipe build members that answer from a list."""
    name, number = RECIPE[kind], iter(range(10_000))
    real = RECIPES[name]
    RECIPES[name] = replace(real, builder=lambda definition, **_: Prepared(kind, next(number)))
    try:
        yield
    finally:
        RECIPES[name] = real


def deployment(kind: str, members: int) -> Definition:
    """Return a definition with so many models, and the rule that every deployment has."""
    task = {"two classes": "binary", "eleven classes": "multiclass", "numbers": "regression"}[kind]
    label = {"classes": CLASSES[kind]} if CLASSES[kind] else {}
    return parse_definition(
        {
            "name": "members", "task": task, "features": {"x": {}}, "label": label, "champion": "blend",
            "models": {f"m{i}": {"recipe": RECIPE[kind]} for i in range(members)},
            "drift": {"on_drift": "tell"},
        }
    )  # fmt: skip


def micros(kind: str, members: int, events: int) -> float:
    """Return what one event takes, asked and learned."""
    definition = deployment(kind, members)
    with listed(kind):
        learn = Learn(definition, Contract(definition), "members")
    x, labels = {"x": 1.0}, truths(kind)
    begin = 0
    for number in range(events + 500):
        if number == 500:
            begin = time.process_time_ns()
        asked = learn.ask(x)
        example = Example(
            "", None, 0, number, number, x, asked.panel, asked.answers, asked.served, asked.answer, number,
            label=labels[number % ANSWERS],
        )  # fmt: skip
        learn.learn(example, 0, number, "events:0:0")
    return (time.process_time_ns() - begin) / events / 1000


def alone(kind: str, events: int) -> float:
    """Return what one prepared member itself takes."""
    member, x = Prepared(kind, 1), {"x": 1.0}
    predict = member.predict_one if kind == "numbers" else member.predict_proba_one
    begin = time.process_time_ns()
    for _ in range(events):
        predict(x)
        member.learn_one(x, None)
    return (time.process_time_ns() - begin) / events / 1000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=4000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(events: int, rounds: int) -> None:
    """Print microseconds for each member and event, beside the goal."""
    click.echo("| task | 4 members | 8 members | each member | goal |\n|---|---:|---:|---:|---:|")
    for kind, goal in GOALS.items():
        few = min(micros(kind, 4, events) for _ in range(rounds))
        many = min(micros(kind, 8, events) for _ in range(rounds))
        own = min(alone(kind, events) for _ in range(rounds))
        click.echo(f"| {kind} | {few:.1f} | {many:.1f} | {(many - few) / 4 - own:.2f} | {goal:.0f} |")


if __name__ == "__main__":
    main()
