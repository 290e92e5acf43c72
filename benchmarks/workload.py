"""The work that every rival does: the same events, the same model, the same answers.

Used by the driver, which encodes the events, and by the rivals, which decode them, so that a rival's own
program holds only what is its own: how records come in and how answers go out.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from river import compose, drift, linear_model, metrics, preprocessing

FEATURES = tuple(f"x{i}" for i in range(1, 9))
LABEL_DELAY = 50  # with labels on their own topic: events between an event and its label
KEYS = 1000  # entities


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """An event as Meander's contract has it; ``label`` is left out where labels have their own topic."""

    id: str
    timestamp: int
    features: dict[str, float]
    label: bool | msgspec.UnsetType = msgspec.UNSET


class Label(msgspec.Struct, gc=False):
    """The truth for an earlier event."""

    id: str
    timestamp: int
    label: bool


class Answer(msgspec.Struct, gc=False):
    """The fields of Meander's prediction record that every rival writes."""

    id: str
    timestamp: int
    prediction: bool
    probabilities: dict[str, float]


class Row(NamedTuple):
    """One event, encoded, with its label encoded beside it where labels have their own topic."""

    partition: int
    key: bytes
    event: bytes
    label: bytes | None


class Setup(NamedTuple):
    """What the driver tells a rival: broker, name of the run, partitions, a folder of its own."""

    brokers: str
    name: str
    partitions: int
    folder: str

    @property
    def events(self) -> str:
        """The topic to read."""
        return f"{self.name}.events"

    @property
    def labels(self) -> str:
        """The topic of labels, in the second case."""
        return f"{self.name}.labels"

    @property
    def predictions(self) -> str:
        """The topic to write."""
        return f"{self.name}.predictions"

    def environment(self) -> dict[str, str]:
        """As environment variables, for a subprocess."""
        return {f"BENCH_{key.upper()}": str(value) for key, value in self._asdict().items()}

    @classmethod
    def read(cls) -> "Setup":
        """Read back what `environment` gave."""
        env = os.environ
        return cls(env["BENCH_BROKERS"], env["BENCH_NAME"], int(env["BENCH_PARTITIONS"]), env["BENCH_FOLDER"])


class Work:
    """Predict, score, detect, learn: one per partition, for every rival but Meander, which has its own."""

    def __init__(self) -> None:
        self.model: Any = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
        self.metric: Any = metrics.Accuracy()
        self.detector: Any = drift.ADWIN()

    def predict(self, features: dict[str, float]) -> float:
        """Return the probability of True."""
        return float(self.model.predict_proba_one(features)[True])

    def learn(self, features: dict[str, float], probability: float, label: bool) -> None:
        """Score the answer that was given, watch its error, learn."""
        prediction = probability > 0.5
        self.metric.update(label, prediction)
        self.detector.update(prediction is not label)
        self.model.learn_one(features, label)

    def step(self, features: dict[str, float], label: Any) -> float:
        """Predict, then learn at once."""
        probability = self.predict(features)
        self.learn(features, probability, label)
        return probability


def answer(id_: str, timestamp: int, probability: float) -> dict[str, Any]:
    """Return the answer as plain data, for rivals that serialise by themselves."""
    return {
        "id": id_,
        "timestamp": timestamp,
        "prediction": probability > 0.5,
        "probabilities": {"false": 1.0 - probability, "true": probability},
    }


def codec(name: str) -> tuple[Callable[[bytes], Event], Callable[[str, int, float], bytes]]:
    """Return (decode an event, encode an answer) by msgspec or by the standard library.

    >>> decode, encode = codec("stdlib")
    >>> decode(b'{"id": "e1", "timestamp": 5, "features": {"x1": 1.5}, "label": true}').features
    {'x1': 1.5}
    >>> encode("e1", 5, 0.75)
    b'{"id": "e1", "timestamp": 5, "prediction": true, "probabilities": {"false": 0.25, "true": 0.75}}'
    """
    if name == "msgspec":
        encoder = msgspec.json.Encoder()

        def encode(id_: str, timestamp: int, p: float) -> bytes:
            return encoder.encode(Answer(id_, timestamp, p > 0.5, {"false": 1.0 - p, "true": p}))

        return msgspec.json.Decoder(Event).decode, encode

    def encode_stdlib(id_: str, timestamp: int, p: float) -> bytes:
        return json.dumps(answer(id_, timestamp, p)).encode()

    return lambda value: Event(**json.loads(value)), encode_stdlib


def rows(
    count: int, partitions: int, *, start: int, step: float = 1.0, apart: bool = False, drift_every: int = 0
) -> Iterator[Row]:
    """Make events: 8 normal features, a noisy linear relation, about 92% of which can be learned.

    Parameters
    ----------
    count, partitions
        How many events, dealt out to partitions in turn.
    start, step
        Event time of the first, and from each to the next, in milliseconds.
    apart
        Labels on a topic of their own instead of in the event.
    drift_every
        Invert the relation each time so many events have passed; 0: never.

    >>> row = next(rows(1, 1, start=5))
    >>> msgspec.json.decode(row.event, type=Event).timestamp, row.key
    (5, b'k0')
    """
    rng = np.random.default_rng(7)
    weights = rng.normal(size=len(FEATURES))
    scale = np.array([1, 1, 1, 1, 10, 10, 100, 100], dtype=float)  # so that the scaler has something to do
    values = rng.normal(size=(count, len(FEATURES)))
    signal = values @ weights + rng.normal(scale=0.25 * float(np.linalg.norm(weights)), size=count)
    if drift_every:
        signal *= 1 - 2 * (np.arange(count) // drift_every % 2)
    table = np.round(values * scale, 4).tolist()
    encode = msgspec.json.Encoder().encode
    for i, (numbers, truth) in enumerate(zip(table, (signal > 0).tolist(), strict=True)):
        id_, timestamp = f"e{i}", start + int(i * step)
        event = Event(
            id_, timestamp, dict(zip(FEATURES, numbers, strict=True)), msgspec.UNSET if apart else truth
        )
        label = encode(Label(id_, timestamp + int(LABEL_DELAY * step), truth)) if apart else None
        yield Row(i % partitions, f"k{i % KEYS}".encode(), encode(event), label)
