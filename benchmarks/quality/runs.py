"""The real Processor over cached answers, and the rivals that need no Processor."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from river import drift

from learners import catalogue
from learners.direct import learner, predictor
from learners.lineage import Transition
from learners.presets import ROSTERS, Preset
from learners.recipes import RECIPES
from quality.answers import Answers, answers, inside
from quality.streams import Stream
from stream.messages import Prediction, Record
from stream.processing.processor import Processor

LEAST = 1e-6  # probability below which the log loss grows no more
SELECTOR_WINDOW = 500
RESET_EVERY = 1000


@dataclass(frozen=True)
class Score:
    """How good answers were.

    Attributes
    ----------
    value
        Accuracy; for numbers the mean absolute error.
    log_loss
        In nats; NaN for numbers.
    """

    value: float
    log_loss: float = math.nan


@dataclass(frozen=True)
class Run:
    """A roster over a stream.

    Attributes
    ----------
    served
        As `answers` has them: what went out.
    score
        Of them.
    signals
        Rows at which drift of the relation was signalled, and by whose loss.
    promoted, fallbacks
        How many transitions there were.
    """

    served: Answers
    score: Score
    signals: tuple[tuple[int, str], ...]
    promoted: int
    fallbacks: int
    transitions: tuple[tuple[int, str, str], ...]


class _Cached:
    """Answers as it did when it was asked for the first time; has nothing to learn."""

    def __init__(self, kept: Answers, classes: Sequence[Any]) -> None:
        self._kept, self._classes, self._next = kept, tuple(classes), 0

    def _take(self) -> Any:
        self._next += 1
        return self._kept[self._next - 1]

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        row = self._take().tolist()
        if row[0] != row[0]:
            return {}
        return dict(zip(self._classes, row, strict=True))

    def predict_one(self, x: dict[str, Any]) -> float | None:
        value = float(self._take())
        return None if math.isnan(value) else value

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Nothing to learn."""


@contextmanager
def _from_cache(stream: Stream, seed: int) -> Iterator[None]:
    """Let the first build of each recipe answer from the cache; fresh versions started later are real."""
    real = dict(RECIPES)
    classes = [inside(stream, c) for c in stream.classes] if stream.task != "regression" else []
    built: set[str] = set()

    def cached(name: str) -> Any:
        def build(definition: Any, **parameters: Any) -> Any:
            if name in built:
                return real[name].builder(definition, **parameters)
            built.add(name)
            return _Cached(answers(stream, name, parameters, seed), classes)

        return build

    for name, recipe in real.items():
        if not recipe.baseline:
            RECIPES[name] = replace(recipe, builder=cached(name))
    try:
        yield
    finally:
        RECIPES.update(real)


def models(stream: Stream, preset: Preset) -> dict[str, Any]:
    """Return the models of a preset, as under ``[models]``."""
    return {seat.slot: {"recipe": seat.recipe} for seat in ROSTERS[stream.task][preset]}  # type: ignore[index]


RULES = {
    "binary": {"prior": {"recipe": "class_frequencies"}},
    "multiclass": {"prior": {"recipe": "class_frequencies"}},
    "regression": {
        "last": {"recipe": "last_value"},
        "mean": {"recipe": "mean", "parameters": {"window": 1000}},
    },
}
EXTRA_RULES: Mapping[str, dict[str, Any]] = {
    "bike_sharing_hourly": {"usual": {"recipe": "mean_by", "parameters": {"by": ["hr"]}}}
}


def run(stream: Stream, roster: Mapping[str, Any], seed: int = 1, **more: Any) -> Run:
    """Run a deployment over a stream: the code of the worker, with members' answers from the cache."""
    rules = {**EXTRA_RULES.get(stream.name, {}), **RULES[stream.task]}
    definition = stream.definition(roster, seed=seed, rules=rules, **more)
    with _from_cache(stream, seed):
        processor = Processor(definition)
        served: list[Prediction] = []
        seen: list[tuple[int, Transition]] = []
        for record in _records(stream):
            for output in processor.process(record):
                message = output.message
                if isinstance(message, Prediction):
                    served.append(message)
                elif isinstance(message, Transition):
                    seen.append((len(served) - 1, message))
    found = _matrix(stream, served)
    kinds = [str(t.kind.value) for _, t in seen]
    signals = tuple(
        (at, str(t.evidence.get("member") or "served"))
        for at, t in seen
        if t.kind.value == "signal" and t.evidence["signal"] == "concept"
    )
    return Run(
        found,
        score(stream, found, [p.prediction for p in served]),
        signals,
        kinds.count("promoted"),
        kinds.count("fell_back"),
        tuple((at, str(t.kind.value), t.reason) for at, t in seen),
    )


def _records(stream: Stream) -> Iterator[Record]:
    encode = msgspec.json.encode
    for i, (x, y) in enumerate(stream.examples):
        if stream.lag and i >= stream.lag:
            old = i - stream.lag
            yield Record(
                "labels", 0, old, i, None, encode({"id": f"r{old}", "label": stream.examples[old][1]})
            )
        event = {"id": f"r{i}", "timestamp": i, "features": x}
        yield Record("events", 0, i, i, None, encode(event if stream.lag else {**event, "label": y}))


def _matrix(stream: Stream, served: list[Prediction]) -> Answers:
    if stream.task == "regression":
        return np.array([p.prediction for p in served], float)
    names = [str(c).lower() if isinstance(c, bool) else str(c) for c in stream.classes]
    even = dict.fromkeys(names, 1.0 / len(names))
    return np.array([[(p.probabilities or even).get(name, 0.0) for name in names] for p in served])


def score(stream: Stream, found: Answers, chosen: Sequence[Any] | None = None) -> Score:
    """Score answers against the truth; a silent answer is wrong, or off by the spread of the labels.

    Numbers are scored from the first event that comes after a label: before it nobody, rules included, knows
    what scale they have.
    """
    truth = [y for _, y in stream.examples]
    if stream.task == "regression":
        values = np.array(truth, float)
        errors = np.abs(found - values)
        return Score(float(np.where(np.isnan(errors), values.std(), errors)[stream.lag + 1 :].mean()))
    index = {c: i for i, c in enumerate(stream.classes)}
    codes = np.array([index[y] for y in truth])
    silent = np.isnan(found[:, 0])
    if chosen is None:
        right = (np.where(silent[:, None], -1.0, found).argmax(axis=1) == codes) & ~silent
    else:
        right = np.array([c == y for c, y in zip(chosen, truth, strict=True)])
    given = np.where(silent, 1.0 / len(index), found[np.arange(len(codes)), codes])
    return Score(float(right.mean()), float(-np.log(np.maximum(given, LEAST)).mean()))


# -- what needs no Processor -----------------------------------------------------------------------


def no_change(stream: Stream) -> Score:
    """The last label known."""
    truth, lag = [y for _, y in stream.examples], stream.lag + 1
    if stream.task == "regression":
        values = np.array(truth, float)
        return Score(float(np.abs(values[lag:] - values[:-lag]).sum() / (len(values) - lag)))
    return Score(sum(a == b for a, b in zip(truth, truth[lag:], strict=False)) / len(truth))


def usual(stream: Stream) -> Score:
    """The most frequent class so far; for numbers the mean so far."""
    truth, counts = [y for _, y in stream.examples], dict[Any, int]()
    if stream.task == "regression":
        values = np.array(truth, float)
        means = np.cumsum(values) / np.arange(1, len(values) + 1)
        return Score(float(np.abs(values[1:] - means[:-1]).mean()))
    right = 0
    for i, y in enumerate(truth):
        right += bool(counts) and max(counts, key=counts.__getitem__) == y
        if i >= stream.lag:
            known = truth[i - stream.lag]
            counts[known] = counts.get(known, 0) + 1
    return Score(right / len(truth))


def selector(stream: Stream, members: Sequence[Answers]) -> Score:
    """Whoever was right most often among the last 500 labels answers."""
    truth = [y for _, y in stream.examples]
    if stream.task == "regression":
        goods = [-np.abs(np.nan_to_num(m, nan=1e9) - np.array(truth, float)) for m in members]
    else:
        index = {c: i for i, c in enumerate(stream.classes)}
        codes = np.array([index[y] for y in truth])
        goods = [(np.nan_to_num(m, nan=-1.0).argmax(axis=1) == codes).astype(float) for m in members]
    total = np.cumsum(np.stack(goods), axis=1)
    chosen = np.zeros(len(truth), int)
    for i in range(stream.lag + 1, len(truth)):
        end = i - stream.lag - 1
        start = end - SELECTOR_WINDOW
        recent = total[:, end] - (total[:, start] if start >= 0 else 0.0)
        chosen[i] = int(recent.argmax())
    return score(stream, np.stack(members)[chosen, np.arange(len(truth))])


def reset(stream: Stream, recipe: str, on_signal: bool) -> Score:
    """One model that starts anew every 1,000 labels, or whenever ADWIN signals a rise of its error."""
    definition = stream.definition({"m": {"recipe": recipe}})
    method = "predict_one" if stream.task == "regression" else "predict_proba_one"
    spread = float(np.std([y for _, y in stream.examples[:200]])) if method == "predict_one" else 1.0

    def fresh() -> tuple[Any, Any]:
        model = catalogue.build(recipe, definition, {})
        return predictor(model, method), learner(model)

    def loss(answer: Any, y: Any) -> float:
        if method == "predict_one":
            return 1.0 if answer is None else min(1.0, abs(answer - y) / (4 * spread or 1.0))
        return float(not answer or max(answer, key=answer.get) != inside(stream, y))

    predict, learn = fresh()
    detector, given, told = drift.ADWIN(), [], 0
    for i, (x, _) in enumerate(stream.examples):
        if stream.lag and i >= stream.lag:
            told = i - stream.lag
            learn(stream.examples[told][0], inside(stream, stream.examples[told][1]))
        given.append(predict(x))
        if not stream.lag:
            told = i
            learn(x, inside(stream, stream.examples[i][1]))
        if on_signal and i >= stream.lag:
            before = detector.estimation
            detector.update(loss(given[told], stream.examples[told][1]))
            start = detector.drift_detected and detector.estimation > before
        else:
            start = not on_signal and i % RESET_EVERY == RESET_EVERY - 1
        if start:
            predict, learn = fresh()
    if method == "predict_one":
        return score(stream, np.array([np.nan if a is None else a for a in given], float))
    order = [inside(stream, c) for c in stream.classes]
    rows = [[a.get(c, 0.0) for c in order] if a else [np.nan] * len(order) for a in given]
    return score(stream, np.array(rows))
