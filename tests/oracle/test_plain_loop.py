"""A plain loop of River that shares no code with the Processor learns the same from late labels."""

import random
from itertools import islice

import pytest

from stream.messages import Record
from stream.processing.processor import Processor
from tests.chaos.load import events, labels
from tests.chaos.verifier import known
from tests.golden.reference import relearn
from tests.support import Inputs, MemoryLog, definition, run


@pytest.mark.parametrize("early", [False, True])
def test_late_doubled_and_corrected_labels_teach_what_they_should(early: bool) -> None:
    """Late, out of order, twice, unavailable, corrected before and after: the same model, the same count."""
    deployment = definition(
        features={"x": {"min": -100, "max": 100}, "y": {}},
        label={"classes": ["no", "yes"], "on_correction": "learn-again"},
        rules={},
        drift={"detector": "ADWIN", "on_drift": "tell"},
    )
    inputs, chance = Inputs(), random.Random(1)
    due: list[tuple[float, dict[str, object]]] = []
    for number, _, event, late in islice(events(1), 1500):
        for label in labels(number, event["id"], late) if late is not None else ():
            due.append((number + (chance.gauss(0, 40) if early else chance.expovariate(0.02)), label))
        for _ in range(2 if number % 100 == 13 else 1):
            inputs.add("events", event, event["timestamp"])
        for _, label in sorted((d for d in due if d[0] <= number), key=lambda d: d[0]):
            inputs.add("labels", label, event["timestamp"])
        due = [d for d in due if d[0] > number]
    processor = Processor(deployment)
    log = MemoryLog(inputs.all)
    log.send(run(processor, inputs.all))

    def values(source: str) -> list[tuple[int, bytes]]:
        return [(record.offset, record.value or b"") for record in log.topics[source]]

    predictions: list[Record] = log.topics["predictions"]
    model, learned = relearn(
        values("events"),
        values("labels"),
        known(predictions),
        ["x", "y"],
        ["no", "yes"],
        {"x": (-100.0, 100.0)},
    )
    member = processor.learn.roster.members[0]
    books = processor.books
    assert min(books.duplicate_label, books.unavailable, books.relearned) > 5
    assert member.learned == learned
    for _ in range(50):
        x = {"x": chance.gauss(0, 2), "y": chance.gauss(0, 2)}
        assert member.ask(dict(x)) == model.predict_proba_one(x)[True]
