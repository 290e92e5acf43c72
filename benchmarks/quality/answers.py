"""Every member's answers to a stream, computed once, kept on disk: predict, learn when the label is there."""

import ast
import hashlib
import inspect
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import river
from numpy.typing import NDArray
from river import base, compose

from learners import catalogue
from learners.direct import learner, predictor
from learners.recipes import RECIPES
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
    print(f"  {stream.name}: {recipe} ...", end="", file=sys.stderr, flush=True)
    start = time.process_time()
    found = _played(stream, estimator)
    print(f" {time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
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
    given = {**RECIPES[recipe].parameters, **parameters}
    return estimator, CACHE / f"{slug(stream.name)}--{recipe}-{_key(stream, estimator, given)}.npz"


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


def _key(stream: Stream, estimator: Any, given: Mapping[str, Any]) -> str:
    """Return a digest of what answers depend on: data, parameters, and our own code the member is made of."""
    told = hashlib.sha256(f"{river.__version__} {np.__version__} {stream.lag} {estimator!r}".encode())
    told.update(repr(sorted(given.items())).encode())  # a forest shows itself without its parameters
    told.update(repr((stream.examples[:50], stream.examples[50::97], len(stream.examples))).encode())
    told.update("".join(sources(estimator)).encode())
    return told.hexdigest()[:12]


def sources(estimator: Any) -> list[str]:
    """Return the source of each class of ours in an estimator, and of what of ours these name, sorted.

    A change elsewhere in their modules is none of theirs: answers stay.
    """
    found: dict[str, str] = {}
    for part in _parts(estimator):
        for kind in type(part).__mro__:
            _gather(kind, found)
    return [found[name] for name in sorted(found)]


def _gather(thing: Any, found: dict[str, str]) -> None:
    module = getattr(thing, "__module__", None) or ""
    name = f"{module}.{getattr(thing, '__qualname__', '')}"
    if not module.startswith("learners") or name in found:
        return
    found[name] = source = inspect.getsource(thing)
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.Name):
            named = getattr(sys.modules[module], node.id, None)
            if inspect.isclass(named) or inspect.isfunction(named):
                _gather(named, found)
            elif isinstance(named, int | float | str | tuple):
                found[f"{module}.{node.id}"] = f"{node.id} = {named!r}\n"


def _parts(value: Any) -> Iterator[base.Base]:
    """Yield an estimator and all that it is given, however deep."""
    if isinstance(value, compose.Pipeline):
        for step in value.steps.values():
            yield from _parts(step)
    elif isinstance(value, compose.TransformerUnion):
        for step in value.transformers.values():
            yield from _parts(step)
    elif isinstance(value, base.Base):
        yield value
        for given in value._get_params().values():
            yield from _parts(given)


def slug(name: str) -> str:
    """Return a name of a stream as part of a file's name."""
    return "".join(c if c.isalnum() or c == "@" else "_" for c in name)
