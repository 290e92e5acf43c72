"""One model of a deployment scores exactly as by River's own evaluation: no label leaks, none is lost."""

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from river import datasets, evaluate, linear_model, metrics, multiclass, preprocessing

from learners.definition import Definition, parse_definition
from producers import delays, files
from producers.load import Columns
from producers.survey import Survey
from stream.init import Wishes, write_definition
from stream.messages import Example
from stream.replay import Outcomes, replay_rows
from stream.settings import parse_settings

DELAYS = (None, 1, 50)
Stream = list[tuple[dict[str, Any], Any]]


class Answers(Outcomes):
    """Scores what one slot answered at event time, in the order in which labels came."""

    def __init__(self, definition: Definition, measures: Iterable[Any], slot: str = "lr") -> None:
        super().__init__(definition, None)
        self.measures, self._slot = list(measures), slot

    def labelled(self, example: Example, slots: tuple[str, ...]) -> None:
        """See `Outcomes.labelled`."""
        super().labelled(example, slots)
        answer, label = example.answers[slots.index(self._slot)], example.label
        if isinstance(label, bool):
            answer = {False: 1.0 - answer, True: answer}
        elif answer is None:
            return  # one-vs-rest before its first class: River does not score silence either
        elif isinstance(answer, dict):
            answer = {c: p for c, p in answer.items() if p}  # River's models name classes they have met
        for measure in self.measures:
            if isinstance(measure, metrics.base.ClassificationMetric) and measure.requires_labels:
                measure.update(label, max(answer, key=answer.__getitem__))
            else:
                measure.update(label, answer)


def scored(raw: dict[str, Any], stream: Stream, delay: int | None, *measures: Any) -> list[float]:
    """Return what a deployment scores on a stream: labels inside the events, or so many rows late."""
    definition = parse_definition({"name": "oracle", "drift": {"on_drift": "tell"}, **raw})
    answers = Answers(definition, measures)
    law = None if delay is None else delays.constant(delay)
    rows = ({**x, "target": y} for x, y in stream)
    report = replay_rows(
        definition, rows, Columns(), answers, labels="inside" if delay is None else "topic", delay=law
    )
    assert report
    return [measure.get() for measure in answers.measures]


def by_river(model: Any, stream: Stream, delay: int | None, measure: Any) -> float:
    """Return what `river.evaluate.progressive_val_score` says."""
    evaluate.progressive_val_score(iter(stream), model, measure, delay=delay)
    return float(measure.get())


def declared(stream: Stream) -> dict[str, Any]:
    return {name: {} for name in stream[0][0]}


@pytest.mark.parametrize("delay", DELAYS)
def test_binary_phishing(delay: int | None) -> None:
    """Accuracy and log loss of logistic regression on Phishing equal River's to the last bit."""
    stream = list(datasets.Phishing())
    raw = {"task": "binary", "features": declared(stream), "label": {"classes": [False, True]}}
    found = scored(raw, stream, delay, metrics.Accuracy(), metrics.LogLoss())
    assert found == [
        by_river(preprocessing.StandardScaler() | linear_model.LogisticRegression(), stream, delay, measure)
        for measure in (metrics.Accuracy(), metrics.LogLoss())
    ]


@pytest.mark.parametrize("delay", DELAYS)
def test_binary_elec2(delay: int | None, data_folder: Path) -> None:
    """The same on the first rows of a real stream with classes in words."""
    rows = list(files.rows(data_folder / "elec2.csv.gz", 3000))
    names = [name for name in rows[0] if name != "target"]
    features = {name: {} for name in names}
    raw = {"task": "binary", "features": features, "label": {"classes": ["DOWN", "UP"]}}
    found = scored(
        raw,
        [(row, row.pop("target")) for row in map(dict, rows)],
        delay,
        metrics.Accuracy(),
        metrics.LogLoss(),
    )
    stream = [({name: float(row[name]) for name in names}, row["target"] == "UP") for row in rows]
    assert found == [
        by_river(preprocessing.StandardScaler() | linear_model.LogisticRegression(), stream, delay, measure)
        for measure in (metrics.Accuracy(), metrics.LogLoss())
    ]


@pytest.mark.parametrize("delay", DELAYS)
def test_multiclass_image_segments(delay: int | None) -> None:
    """Accuracy and cross-entropy of one-vs-rest on ImageSegments equal River's."""
    stream = list(datasets.ImageSegments())
    raw = {
        "task": "multiclass",
        "features": declared(stream),
        "label": {"classes": sorted({y for _, y in stream})},
    }
    found = scored(raw, stream, delay, metrics.Accuracy(), metrics.CrossEntropy())
    assert found == [
        by_river(
            preprocessing.StandardScaler()
            | multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
            stream,
            delay,
            measure,
        )
        for measure in (metrics.Accuracy(), metrics.CrossEntropy())
    ]


@pytest.mark.parametrize("delay", DELAYS)
def test_regression_trump_approval(delay: int | None) -> None:
    """The mean absolute error of linear regression on TrumpApproval equals River's."""
    stream = list(datasets.TrumpApproval())
    raw = {"task": "regression", "features": declared(stream)}
    found = scored(raw, stream, delay, metrics.MAE())
    model = preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.01)
    assert found == [by_river(model, stream, delay, metrics.MAE())]


FULL = {
    # file: classes, positive, accuracy of plain River as the README of the data has it
    "elec2": (["DOWN", "UP"], 0.837),
    "noaa_weather": (["0", "1"], 0.768),
    "stagger_abrupt": (["0", "1"], 0.930),
    "insects_gradual_balanced": (["2", "3", "4", "5", "11", "12"], 0.779),
}


@pytest.mark.parametrize("name", FULL)
def test_whole_streams_score_as_published(name: str, data_folder: Path) -> None:
    """On the real streams the default model's accuracy is that of the table beside the data, to .001."""
    classes, published = FULL[name]
    rows = list(files.rows(data_folder / f"{name}.csv.gz"))
    raw = {
        "task": "binary" if len(classes) == 2 else "multiclass",
        "features": {feature: {} for feature in rows[0] if feature != "target"},
        "label": {"classes": classes},
    }
    stream = [(row, row.pop("target")) for row in map(dict, rows)]
    (accuracy,) = scored(raw, stream, None, metrics.Accuracy())
    assert accuracy == pytest.approx(published, abs=0.001)


LATE: dict[str, tuple[int, Callable[[], Any], float]] = {
    # file: rows late, model, accuracy where an answer that was not given is a wrong one
    "elec2": (48, linear_model.LogisticRegression, 0.780),
    "insects_gradual_balanced": (
        1000,
        lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
        0.638,
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_late_labels_score_as_by_river(name: str, data_folder: Path) -> None:
    """With labels so many rows late: River's own accuracy to the last bit, and the published one to .001.

    River scores no answer that was not given, as in the first 1,000 rows of one-vs-rest: of those given .665
    are right there, of all rows .638.
    """
    delay, model, published = LATE[name]
    classes, _ = FULL[name]
    rows = list(files.rows(data_folder / f"{name}.csv.gz"))
    raw = {
        "task": "binary" if len(classes) == 2 else "multiclass",
        "features": {feature: {} for feature in rows[0] if feature != "target"},
        "label": {"classes": classes},
    }
    stream = [(row, row.pop("target")) for row in map(dict, rows)]
    (accuracy,) = scored(raw, stream, delay, metrics.Accuracy())
    plain = [
        ({k: float(v) for k, v in x.items()}, y == classes[1] if len(classes) == 2 else y) for x, y in stream
    ]
    measure = metrics.Accuracy()
    assert accuracy == by_river(preprocessing.StandardScaler() | model(), plain, delay, measure)
    assert accuracy * measure.cm.n_samples / len(stream) == pytest.approx(published, abs=0.001)


def test_what_init_writes_is_no_worse_with_late_labels(data_folder: Path) -> None:
    """With labels 48 rows late, what `init` writes serves more right answers than logistic regression."""
    file = data_folder / "elec2.csv.gz"
    survey = Survey("target")
    for _ in survey.over(files.rows(file)):
        pass
    written = parse_settings(
        tomllib.loads(write_definition(survey, Wishes("target", "elec2", "elec2.csv.gz"))), "elec2.toml"
    )
    answers = Answers(written.definition, [metrics.Accuracy()])
    report = replay_rows(
        written.definition,
        files.rows(file),
        Columns(),
        answers,
        labels="topic",
        delay=delays.constant(48),
    )
    assert report["served"]["accuracy"] >= max(0.780, answers.measures[0].get())


@pytest.mark.parametrize("most", [3, 200])
def test_random_delays_score_as_by_river(most: int) -> None:
    """Labels that overtake each other, many at the same moment: equal to River's to the last bit."""
    stream = list(datasets.Phishing())

    def delay(x: dict[str, Any], y: object) -> int:
        return hash(tuple(float(value) for value in x.values())) % most

    due = [number + delay(x, y) for number, (x, y) in enumerate(stream)]
    assert len(set(due)) < len(due)  # some come at the same moment
    assert due != sorted(due)  # some overtake
    definition = parse_definition(
        {
            "name": "oracle",
            "task": "binary",
            "features": declared(stream),
            "label": {"classes": [False, True]},
            "drift": {"on_drift": "tell"},
        }
    )
    answers = Answers(definition, [metrics.Accuracy(), metrics.LogLoss()])
    rows = ({**x, "target": y} for x, y in stream)
    replay_rows(
        definition,
        rows,
        Columns(),
        answers,
        labels="topic",
        delay=lambda sample, label: delay(sample.features, label),  # type: ignore[attr-defined]
    )
    expected = []
    for measure in (metrics.Accuracy(), metrics.LogLoss()):
        model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
        evaluate.progressive_val_score(iter(stream), model, measure, delay=delay)
        expected.append(measure.get())
    assert [measure.get() for measure in answers.measures] == expected
