"""Every member's answers to a stream, computed once, kept on disk: predict, learn when the label is there."""

import hashlib
import inspect
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import river
from numpy.typing import NDArray
from river import base, compose

from learners import catalogue
from learners.direct import learner, predictor
from quality.streams import Stream

CACHE = Path(os.environ.get("MEANDER_QUALITY") or Path(__file__).resolve().parents[2] / ".quality")
Answers = NDArray[np.float64]


def answers(stream: Stream, recipe: str, parameters: Mapping[str, Any], seed: int = 1) -> Answers:
    """Return what a recipe answers to each event alone.

    Returns
    -------
    numpy.ndarray
        Shape (rows, classes) of probabilities in the order of the classes, or (rows,) of numbers; NaN
        where it is silent. Entry ``seconds`` of the file: what it took.
    """
    estimator, path = _place(stream, recipe, parameters, seed)
    if path.exists():
        with np.load(path) as kept:
            return kept["answers"]
    start = time.process_time()
    found = _played(stream, estimator)
    CACHE.mkdir(exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(part, answers=found, seconds=time.process_time() - start)
    part.rename(path)
    return found


def is_cached(stream: Stream, recipe: str, parameters: Mapping[str, Any], seed: int = 1) -> bool:
    """Whether `answers` has been asked this before."""
    return _place(stream, recipe, parameters, seed)[1].exists()


def _place(stream: Stream, recipe: str, parameters: Mapping[str, Any], seed: int) -> tuple[Any, Path]:
    definition = stream.definition({"m": {"recipe": recipe, "parameters": parameters}}, seed=seed)
    estimator = catalogue.build(recipe, definition, parameters)
    return estimator, CACHE / f"{_slug(stream.name)}--{recipe}-{_key(stream, estimator)}.npz"


def _played(stream: Stream, estimator: Any) -> Answers:
    numeric = stream.task == "regression"
    predict = predictor(estimator, "predict_one" if numeric else "predict_proba_one")
    learn = learner(estimator)
    index = {inside(stream, c): i for i, c in enumerate(stream.classes)} if not numeric else {}
    rows = len(stream.examples)
    found = np.full(rows if numeric else (rows, len(index)), np.nan)
    for i, (x, y) in enumerate(stream.examples):
        if stream.lag and i >= stream.lag:
            old_x, old_y = stream.examples[i - stream.lag]
            learn(old_x, inside(stream, old_y))
        answer = predict(x)
        if numeric:
            found[i] = np.nan if answer is None else answer
        elif answer and sum(answer.values()) > 0:
            found[i] = 0.0
            for c, p in answer.items():
                found[i, index[c]] = p
            if len(answer) == 1 and len(index) == 2:  # a binary model may name one class alone
                found[i, 1 - index[c]] = 1.0 - p
        if not stream.lag:
            learn(x, inside(stream, y))
    return found


def inside(stream: Stream, label: Any) -> Any:
    """Return a label in the form estimators learn."""
    return label == stream.classes[1] if stream.task == "binary" else label


def _key(stream: Stream, estimator: Any) -> str:
    """Return a digest of what answers depend on: data, estimators, and the code of those that are ours."""
    told = hashlib.sha256(f"{river.__version__} {np.__version__} {stream.lag} {estimator!r}".encode())
    told.update(repr((stream.examples[:50], stream.examples[-50:], len(stream.examples))).encode())
    for part in _parts(estimator):
        module = type(part).__module__
        if module.startswith("learners"):
            told.update(inspect.getsource(sys.modules[module]).encode())
            if module in ("learners.near_rows", "learners.waves"):
                told.update(inspect.getsource(sys.modules["learners.vectors"]).encode())
    return told.hexdigest()[:12]


def _parts(estimator: Any) -> list[base.Base]:
    if isinstance(estimator, compose.Pipeline | compose.TransformerUnion):
        steps = estimator.steps if isinstance(estimator, compose.Pipeline) else estimator.transformers
        return [part for step in steps.values() for part in _parts(step)]
    return [estimator]


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c == "@" else "_" for c in name)
