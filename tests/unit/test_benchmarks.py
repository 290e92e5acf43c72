"""The benchmarks' own arithmetic and workload; the measurements themselves need a broker and time."""

from pathlib import Path

import msgspec
import pytest
from river import evaluate, metrics

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def workload(monkeypatch):
    """The benchmark's workload module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__("workload")


@pytest.fixture
def report(monkeypatch):
    """The benchmark's report module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__("report")


def test_work_is_rivers_prequential_evaluation(workload):
    """What rivals do with an event is River's own test-then-train."""
    decode, _ = workload.codec("msgspec")
    events = [decode(row.event) for row in workload.rows(500, 1, start=0)]
    work = workload.Work()
    for event in events:
        work.step(event.features, event.label)

    expected = evaluate.progressive_val_score(
        ((e.features, e.label) for e in events), workload.Work().model, metrics.Accuracy()
    )

    assert expected.get() == work.metric.get()


def test_both_codecs_agree(workload):
    """The standard library and msgspec read and write the same."""
    row = next(workload.rows(1, 1, start=5))
    decode, encode = workload.codec("msgspec")
    decode_slowly, encode_slowly = workload.codec("stdlib")

    assert decode(row.event) == decode_slowly(row.event)
    assert msgspec.json.decode(encode("e0", 5, 0.25)) == msgspec.json.decode(encode_slowly("e0", 5, 0.25))


def test_labels_apart_are_the_same_truth(workload):
    """An event whose label has its own topic carries none, and the truth is the same."""
    inside = [msgspec.json.decode(row.event) for row in workload.rows(50, 2, start=0)]
    apart = list(workload.rows(50, 2, start=0, apart=True))

    assert all("label" not in msgspec.json.decode(row.event) for row in apart)
    assert [e["label"] for e in inside] == [msgspec.json.decode(row.label)["label"] for row in apart]


def test_drift_inverts_the_relation(workload):
    """With drift, labels are the opposite in every other stretch."""
    steady = [msgspec.json.decode(row.event)["label"] for row in workload.rows(40, 1, start=0)]
    drifting = [
        msgspec.json.decode(row.event)["label"] for row in workload.rows(40, 1, start=0, drift_every=20)
    ]

    assert steady[:20] + [not y for y in steady[20:]] == drifting


def test_table_has_medians_ratios_and_failures(report):
    """The table gives medians over rounds, ratios within a round, and says why a figure is missing."""
    runs = [
        report.Run(
            case="throughput",
            partitions=1,
            round=i,
            rival=rival,
            events=10,
            answered=10,
            distinct=10,
            rate=rate,
        )
        for i, (raw, ours) in enumerate([(100.0, 80.0), (200.0, 100.0), (50.0, 45.0)])
        for rival, rate in (("raw", raw), ("meander", ours))
    ]
    runs.append(report.Run(case="throughput", partitions=1, round=0, rival="slow", problem="ended early"))

    table = report.markdown(report.with_ratios(runs, {"throughput": "raw"}))

    assert "| raw | 100 | 50 to 200 | 1.00 | - | - | 100.0% | - |" in table
    assert "| meander | 80 | 45 to 100 | 0.80 | - | - | 100.0% | - |" in table
    assert "| slow | ended early | | | | | | |" in table


def test_doubled_answers_are_shown(report):
    """Answers given twice are counted beside the share answered."""
    run = report.Run(
        case="labels", partitions=4, round=1, rival="raw-join", events=10, answered=12, distinct=10, rate=5.0
    )

    assert "100.0%, 2 doubled" in report.markdown([run])


@pytest.mark.parametrize("kind", ["two classes", "eleven classes", "numbers"])
def test_cost_of_a_member_is_that_of_deciding(kind, monkeypatch):
    """Members that answer from a list go through the real `Learn`: eight take longer than two."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    members = __import__("members")
    from learners.recipes import RECIPES

    before = dict(RECIPES)
    assert 0.0 < members.micros(kind, 2, 300) < members.micros(kind, 8, 300)
    assert before == RECIPES
