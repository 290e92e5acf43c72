"""What Meander should predict and learn, said once more in the plainest way: JSON lines, and River.

It shares no code with the Processor: one champion, the rule of class frequencies, a warm-up, labels
inside the events, events that break the contract, duplicates, garbage.
"""

import json
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any

from river import linear_model, optim, preprocessing

WARM_UP, WINDOW = 30, 1000


def reference(lines: Iterable[bytes], names: list[str], classes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the prediction for each JSON line that deserves one; ``classes[1]`` is the positive class."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    recent: deque[bool] = deque()
    learned, labels, warm = 0, 0, False
    seen: set[str] = set()
    classes_seen: set[bool] = set()
    for offset, line in enumerate(lines):
        try:
            event = json.loads(line)
            identifier, features = event["id"], event["features"]
        except (ValueError, KeyError):
            continue
        if identifier in seen:
            continue
        seen.add(identifier)
        x = {name: features.get(name) for name in names}
        broken = [name for name, value in x.items() if not isinstance(value, int | float)]
        answer: dict[str, Any] = {"id": identifier, "timestamp": event.get("timestamp", offset)}
        if warm and not broken:
            p = model.predict_proba_one(x)[True]
            answer |= {"served_by": "champion:lr", "model_version": f"reference/v1@{learned}"}
        elif recent:
            count = Counter(recent)
            p = (count[True] + 1 / 2) / (len(recent) + 1)
            answer |= {"served_by": "rule:prior"}
        else:
            p = None
            answer |= {"served_by": "default"}
        answer["prediction"] = classes[p is not None and p > 0.5]
        if p is not None:
            answer["probabilities"] = {classes[0]: 1 - p, classes[1]: p}
        if broken:
            answer["flags"] = [f"contract:{name}" for name in broken]
        elif not warm:
            answer["flags"] = ["warm_up"]
        yield answer
        if "label" in event and not broken:
            truth = event["label"] == classes[1]
            model.learn_one(x, truth)
            recent.append(truth)
            if len(recent) > WINDOW:
                recent.popleft()
            learned, labels = learned + 1, labels + 1
            classes_seen.add(truth)
            warm = warm or labels >= WARM_UP or len(classes_seen) == 2


def relearn(
    events: Iterable[tuple[int, bytes]],
    labels: Iterable[tuple[int, bytes]],
    known: Iterable[tuple[int, int]],
    names: list[str],
    classes: list[str],
    limits: dict[str, tuple[float, float]],
) -> tuple[Any, int]:
    """Learn from records what a worker should have learned from them; returns the model and how often.

    Of labels for one event the first counts; one that corrects is learned again.

    Parameters
    ----------
    events, labels
        Offset and value of the records of a partition.
    known
        For each prediction, the offset of its event and the next offset of the labels applied before it.
    limits
        Of features: an event beyond them is not learned.
    """
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    waiting: dict[str, dict[str, Any] | None] = {}
    early: dict[str, dict[str, Any]] = {}
    done: set[str] = set()
    labelled: dict[str, dict[str, Any] | None] = {}
    later, learned = deque(labels), 0

    def learn(x: dict[str, Any] | None, label: Any) -> int:
        if x is None:
            return 0
        model.predict_proba_one(x)
        model.learn_one(x, label == classes[1])
        return 1

    def labels_before(end: float) -> int:
        count = 0
        while later and later[0][0] < end:
            label = json.loads(later.popleft()[1])
            identifier, corrects = label["id"], label.get("corrects", False)
            if identifier in waiting:
                count += first(waiting.pop(identifier), label)
            elif identifier not in done:
                if corrects or identifier not in early:
                    early[identifier] = label
            elif corrects and identifier in labelled:
                count += learn(labelled[identifier], label["label"])
        return count

    def first(x: dict[str, Any] | None, label: dict[str, Any]) -> int:
        if "unavailable" in label:
            return 0
        labelled[label["id"]] = x
        return learn(x, label["label"])

    lines = dict(events)
    for offset, end in known:
        learned += labels_before(end)
        event = json.loads(lines[offset])
        x = {name: event["features"].get(name) for name in names}
        inside = all(low <= x[name] <= high for name, (low, high) in limits.items())
        done.add(event["id"])
        if "label" in event:
            learned += learn(x if inside else None, event["label"])
        elif event["id"] in early:
            learned += first(x if inside else None, early.pop(event["id"]))
        else:
            waiting[event["id"]] = x if inside else None
    return model, learned + labels_before(float("inf"))


def blended(rows: Iterable[tuple[dict[str, float], bool]], delay: int = 0) -> Iterator[float]:
    """Yield the probability that a blend of two logistic regressions and the class frequencies gives.

    Labels are so many rows late. Probabilities are tempered, their log odds weighed; each weight follows
    the gradient of the log loss at the weights of now, in a step that shrinks with the delay, never below 0.
    """
    models = {
        name: preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(rate))
        for name, rate in (("lr", 0.01), ("lrf", 0.1))
    }
    weights = {"lr": 0.5, "lrf": 0.5, "prior": 0.0}
    recent: deque[bool] = deque(maxlen=WINDOW)
    waiting: deque[tuple[dict[str, float], bool, dict[str, float]]] = deque()
    learned = 0
    for x, y in rows:
        said = {name: model.predict_proba_one(x)[True] for name, model in models.items()}
        if recent:
            said["prior"] = (sum(recent) + 0.5) / (len(recent) + 1)
        odds = {name: math.log((0.025 + 0.95 * p) / (0.975 - 0.95 * p)) for name, p in said.items()}
        yield 1 / (1 + math.exp(-sum(weights[name] * odd for name, odd in odds.items())))
        waiting.append((x, y, odds))
        if len(waiting) <= delay:
            continue
        x, y, odds = waiting.popleft()
        learned += 1
        now = 1 / (1 + math.exp(-sum(weights[name] * odd for name, odd in odds.items())))
        step = (0.02 + 0.1 / (1 + learned / 100)) / math.sqrt(1 + delay)
        for name, odd in odds.items():
            weights[name] = max(0.0, weights[name] - step * (now - y) * odd)
        for model in models.values():
            model.learn_one(x, y)
        recent.append(y)
