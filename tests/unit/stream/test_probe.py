"""The probe tells where time goes, and changes nothing."""

import itertools

import msgspec

from stream.messages import Record
from stream.processing.probe import EVERY, Probe
from stream.processing.processor import Processor
from tests.support import TINY, Inputs, definition

MODELS = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}


def records(count: int) -> list[Record]:
    """Return labelled events whose relation flips half-way, and now and then one that breaks the contract."""
    inputs = Inputs()
    for i in range(count):
        x = i % 4 if i % 50 else "odd"
        label = "yes" if (i % 4 > 1) == (i < count // 2) else "no"
        inputs.add("events", {"id": f"e{i}", "features": {"x": x, "y": 1.0}, "label": label})
    return inputs.all


def processor() -> Processor:
    return Processor(definition(**{**TINY, "warm_up": 0, "models": MODELS, "drift": {"min_labels": 60}}))


def test_what_is_looked_at_gives_what_it_gives_anyway() -> None:
    """Every output is equal to the last byte, and so is what is told of the state, through promotions too."""
    given = records(8 * EVERY)
    plain, probed, probe = processor(), processor(), Probe(itertools.count(0.0).__next__)
    expected = [output for record in given for output in plain.process(record)]
    found = []
    for start in range(0, len(given), 32):
        found += probe.run(probed, given[start : start + 32])
    assert msgspec.msgpack.encode(found) == msgspec.msgpack.encode(expected)
    assert probed.standing() == plain.standing()
    assert {o.message.kind for o in found if o.topic == "transitions"} > {"started"}


def test_members_and_stages_have_their_part() -> None:
    """Every member asked and taught has its seconds, times the records it stands for; shares add up."""
    probe, p = Probe(itertools.count(0.0).__next__), processor()
    given = records(2 * EVERY)
    for start in range(0, len(given), 32):
        probe.run(p, given[start : start + 32])
    # by this clock every call takes a second: one a record, of those records that some were looked at for
    for slot in MODELS:
        assert EVERY <= probe.models[slot, "predict"] <= len(given) + EVERY
        assert EVERY <= probe.models[slot, "learn"] <= len(given) + EVERY
    assert set(probe.costs()) >= set(MODELS)
    assert all(0 < seconds <= 2 for seconds in probe.costs().values())
    split = probe.split("events", 10.0)
    assert sum(split.values()) == 10.0
    assert all(seconds > 0 for seconds in split.values())
    assert probe.split("labels", 10.0)["other"] == 10.0


def test_little_at_a_time_is_looked_at_as_seldom() -> None:
    """Batches of one record: one in so many, not each."""
    calls = itertools.count(0.0)
    probe, p = Probe(calls.__next__), processor()
    for record in records(2 * EVERY):
        probe.run(p, [record])
    assert next(calls) < 3 * 30  # three looks, of few calls each
