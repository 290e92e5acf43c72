"""The report of a replay: how well who answered, against baselines that cost nothing.

Fed message by message; keeps, for each million labelled events, about 60 MB, and for each member 9 MB
(binary), 8 MB (regression) or 1 MB and 8 MB for each class (multiclass; beyond 32 classes 1 MB).
"""

from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from river import dummy, stats

from learners.definition import Definition
from learners.lineage import Transition
from producers.words import counted
from stream.messages import Prediction
from stream.report_chart import format_score
from stream.report_page import headline, render
from stream.report_scores import (
    ClassScores,
    Floats,
    NumberScores,
    Scores,
    class_names,
    finite,
    kappa_temporal,
    paired,
    windowed,
)

POINTS = 300  # of each curve
RIBBON = 240  # columns of the ribbon that shows who served
SMOOTH = 40  # windows in a long run: fewer hide what happened, more are noise
RARE = 0.2  # a class with less than this part of an even share: judge by balanced accuracy
FLAGS = 1000  # different flags counted one by one


class Report:
    """Collects what a replay puts out, and makes JSON and a page of it.

    Baselines answer when the event does and learn when its label comes, as members do: when labels are
    late they are late for the baselines too (if `scored` is told the id of the event).

    Parameters
    ----------
    definition
        The deployment.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> report = Report(parse_definition({
    ...     "name": "fraud", "task": "binary", "features": {"amount": {}},
    ...     "label": {"classes": ["legit", "fraud"]},
    ... }))
    >>> for i, (label, answer) in enumerate([(False, 0.2), (True, 0.6), (True, 0.3)]):
    ...     report.predicted(Prediction(id=str(i), timestamp=i, prediction="", served_by="champion:lr"))
    ...     report.scored(i, label, answer, {"lr": answer}, str(i))
    >>> result = report.finish(seconds=0.5)
    >>> result["served"]["accuracy"], result["baselines"]["no_change"]["accuracy"]
    (0.6666666666666666, 0.5)
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._regression = definition.task == "regression"
        self._binary = definition.task == "binary"
        self._classes = {} if self._regression else class_names(definition.classes, definition.positive)
        self._codes = {name: code for code, name in enumerate(self._classes)}
        self._labels: array[float] | array[int] = array("d" if self._regression else "i")
        self._at = array("q")  # events predicted when the label came
        self._served = self._scores()
        self._members: dict[str, Scores] = {}
        self._start_baselines()
        self._waiting: dict[str, tuple[Any, Any]] = {}  # answers of the baselines, by event id
        self._timestamps = array("q")
        self._servers: dict[str, int] = {}
        self._who = array("i")
        self._flags: Counter[str] = Counter()
        self._transitions: list[tuple[int, Transition]] = []
        self._result: dict[str, Any] | None = None

    def _scores(self, hard: bool = False) -> Scores:
        since = len(self._labels)
        return NumberScores(since) if self._regression else ClassScores(self._binary, since, hard=hard)

    def _start_baselines(self) -> None:
        self._steady: Any
        if self._regression:
            self._names = ("mean", "last_value")
            self._steady, self._last = dummy.StatisticRegressor(stats.Mean()), None
        else:
            self._names = ("majority", "no_change")
            self._steady, self._last = dummy.PriorClassifier(), None
        self._baselines = {self._names[0]: self._scores(), self._names[1]: self._scores(hard=True)}

    def _ask_baselines(self) -> tuple[Any, Any]:
        if not self._labels:
            return None, None
        if self._regression:
            return self._steady.predict_one({}), self._last
        frequencies = self._steady.predict_proba_one({})
        return frequencies.get(True, 0.0) if self._binary else frequencies, self._last

    def predicted(self, prediction: Prediction) -> None:
        """Take a prediction, as sent."""
        self._timestamps.append(prediction.timestamp)
        self._who.append(self._servers.setdefault(prediction.served_by, len(self._servers)))
        for flag in prediction.flags:
            self._flags[flag if flag in self._flags or len(self._flags) < FLAGS else "(others)"] += 1
        waiting = self._waiting
        waiting[prediction.id] = self._ask_baselines()
        if len(waiting) > self.definition.label.pending_limit:
            del waiting[next(iter(waiting))]

    def transition(self, transition: Transition) -> None:
        """Take a transition, as sent."""
        self._transitions.append((len(self._timestamps), transition))

    def scored(
        self,
        timestamp: int,
        label: Any,
        served: Any,
        members: Mapping[str, Any],
        event_id: str | None = None,
    ) -> None:
        """Take a label and the answers that were given to its event, once for each label as it comes.

        Parameters
        ----------
        timestamp
            Event time of the label, milliseconds; for the span of the report.
        label
            The truth, in the task's own form: bool, class or float.
        served, members
            What went out, and what each slot answered: probability of the positive class, dict of class
            to probability, or number; None where silent. Slots may come and go.
        event_id
            The id `predicted` was called with. Without it baselines answer with what they know now.
        """
        n = len(self._labels)
        baselines = self._waiting.pop(event_id, None) if event_id is not None else None
        steady, last = baselines or self._ask_baselines()
        self._served.add(label, served)
        for slot, answer in members.items():
            scores = self._members.get(slot)
            if scores is None:
                scores = self._members[slot] = self._scores()
            scores.pad(n)
            scores.add(label, answer)
        for name, answer in zip(self._names, (steady, last), strict=True):
            self._baselines[name].add(label, answer)
        self._steady.learn_one({}, label)
        self._last = label
        if self._regression:
            self._labels.append(label)
        else:
            if label not in self._codes:
                self._classes |= class_names([label])
                self._codes[label] = len(self._codes)
            self._labels.append(self._codes[label])
        self._at.append(max(len(self._timestamps), n + 1))

    def finish(self, seconds: float) -> dict[str, Any]:
        """Return the content of ``report.json``.

        Parameters
        ----------
        seconds
            How long the replay took.
        """
        labels = np.asarray(self._labels)
        events = max(len(self._timestamps), len(labels))
        cards: dict[str, Scores] = {**self._members, **self._baselines}
        for scores in cards.values():
            scores.pad(len(labels))
        values = {name: scores.values(labels) for name, scores in cards.items()}
        served = self._served.values(labels)
        result: dict[str, Any] = {
            "name": self.definition.name,
            "task": self.definition.task,
            "classes": list(self._classes.values()),
            "positive": self._classes[True] if self._binary else None,
            "events": events,
            "labels": len(labels),
            "seconds": finite(seconds),
            "events_per_second": events / seconds if seconds > 0 else None,
            "score": self._judge(labels),
            "served": self._card(self._served, labels, served, served),
            "members": {s: self._card(m, labels, values[s], served) for s, m in self._members.items()},
            "baselines": {b: self._card(m, labels, values[b], served) for b, m in self._baselines.items()},
            "served_share": self._shares(),
            "flags": dict(self._flags),
            "transitions": [msgspec.to_builtins(transition) for _, transition in self._transitions],
            "transition_counts": dict(Counter(str(t.kind) for _, t in self._transitions)),
            "transition_events": [at for at, _ in self._transitions],
            "ribbon": self._ribbon(),
            "clock": self._clock(events),
            "definition": msgspec.to_builtins(self.definition),
        }
        result["curves"] = self._curves(result["score"], labels, served, values)
        self._result = _for_json(result)
        return self._result

    def page(self) -> str:
        """Return the report as one self-contained HTML page; `finish` comes first."""
        if self._result is None:
            raise RuntimeError("call finish() before page()")
        return render(self._result)

    def _card(self, scores: Scores, labels: Any, own: Floats, served: Floats) -> dict[str, Any]:
        if isinstance(scores, NumberScores):
            card = scores.result(labels)
        else:
            card = scores.result(labels, self._classes)
            persistent = self._baselines["no_change"].values(labels)
            card["kappa_temporal"] = kappa_temporal(own, persistent)
        if own is not served:
            n, mine, theirs = paired(own, served)
            name = "mae" if self._regression else "accuracy"
            card["versus_served"] = {"labels": n, name: finite(mine - theirs)}
        return card

    def _judge(self, labels: Any) -> dict[str, Any]:
        """Which metric the headline and the curves show, and over how many labels."""
        n, metric, window = len(labels), "accuracy", max(200, len(labels) // SMOOTH)
        if self._regression:
            metric = "mae"
        elif n:
            shares = np.bincount(labels) / n
            rarest = float(shares[shares > 0].min())
            if np.count_nonzero(shares) > 1 and rarest * len(self._classes) < RARE:
                metric, window = "balanced_accuracy", max(window, round(20 / rarest))
        return {"metric": metric, "window": max(1, min(window, max(n // 4, 10)))}

    def _curves(
        self, score: dict[str, Any], labels: Any, served: Floats, values: dict[str, Floats]
    ) -> dict[str, Any]:
        n, window = len(labels), score["window"]
        ends = sorted({round(e) for e in np.linspace(min(window, n), n, POINTS)} - {0})
        classes = labels if score["metric"] == "balanced_accuracy" else None
        curves = {name: windowed(v, ends, window, classes) for name, v in values.items()}
        return {
            "labels": ends,
            "events": [self._at[end - 1] for end in ends],
            "served": windowed(served, ends, window, classes),
            "members": {slot: curves[slot] for slot in self._members},
            "baselines": {name: curves[name] for name in self._baselines},
        }

    def _shares(self) -> dict[str, float]:
        counts = np.bincount(np.asarray(self._who), minlength=len(self._servers))
        shares = {name: float(counts[code]) / len(self._who) for name, code in self._servers.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def _ribbon(self) -> list[dict[str, Any]]:
        """Who served from which event to which, in at most 240 pieces with the share of each."""
        who, names = np.asarray(self._who), list(self._servers)
        edges = np.unique(np.linspace(0, len(who), RIBBON + 1).astype(int))
        pieces: list[dict[str, Any]] = []
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            codes, counts = np.unique(who[start:end], return_counts=True)
            parts = zip(codes, (counts / (end - start)).tolist(), strict=True)
            shares = {names[code]: round(share, 4) for code, share in parts}
            if pieces and pieces[-1]["share"] == shares:
                pieces[-1]["to"] = end
            else:
                pieces.append({"from": start, "to": end, "share": shares})
        return pieces

    def _clock(self, events: int) -> dict[str, list[int]]:
        """Event times at 101 places of the run."""
        if not self._timestamps:
            return {"events": [], "timestamps": []}
        at = sorted({round(e) for e in np.linspace(0, len(self._timestamps) - 1, 101)})
        return {"events": at, "timestamps": [self._timestamps[i] for i in at]}


def _for_json(value: Any) -> Any:
    """Return plain data with every number finite: evidence may hold an infinite wealth."""
    if isinstance(value, dict):
        return {str(name): _for_json(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(v) for v in value]
    return finite(value) if isinstance(value, float) else value


_TERMINAL = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "kappa": "kappa",
    "pr_auc": "PR-AUC",
    "log_loss": "log loss",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "coverage": "coverage",
}


def summary(result: dict[str, Any]) -> str:
    """Return the result of `Report.finish` in six to twelve lines for a terminal."""
    speed = result["events_per_second"]
    rows = {"served": result["served"]}
    members = sorted(result["members"].items(), key=lambda item: -item[1]["scored"])
    rows |= {slot: card for slot, card in members[:4]}
    rows |= {name.replace("_", " "): card for name, card in result["baselines"].items()}
    columns = [name for name in _TERMINAL if name in result["served"]]
    width = min(24, max(len(name) for name in rows))
    lines = [
        f"{result['name']}: {counted(result['events'], 'event')}, {counted(result['labels'], 'label')}"
        + (f", {speed:,.0f} events a second" if speed else ""),
        headline(result),
        " " * width + "".join(f"{_TERMINAL[column]:>11}" for column in columns),
    ]
    for name, card in rows.items():
        cells = "".join(f"{format_score(column, card.get(column)):>11}" for column in columns)
        lines.append(f"{name[:width]:<{width}}{cells}")
    if len(members) > 4:
        lines[6] += f"  (and {len(members) - 4} more)"
    shares = [f"{name} {format_score('coverage', share)}" for name, share in result["served_share"].items()]
    lines.append("served by: " + (", ".join(shares[:5]) or "nobody") + (", ..." if len(shares) > 5 else ""))
    counts = [f"{count} {kind.replace('_', ' ')}" for kind, count in result["transition_counts"].items()]
    lines.append("transitions: " + (", ".join(counts) or "none"))
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)
