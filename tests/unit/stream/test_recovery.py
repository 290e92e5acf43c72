"""From a snapshot to the present: nothing twice, nothing lost, and a sentence where that cannot be."""

import pytest

from learners.errors import IncompatibleSnapshotError
from learners.snapshot import authenticated, pack
from stream.messages import Record
from stream.processing.processor import THIS_PROCESS, Processor
from stream.processing.recovery import LostStateError, Tail, catch_up
from stream.replay import differences
from tests.support import Inputs, MemoryLog, Published, definition, published, run

DEFINITION = definition()


def inputs() -> Inputs:
    """Return 30 events, every second with its label, the others' labels late, a tick now and then."""
    made = Inputs()
    for number in range(30):
        event = {"id": f"e{number}", "timestamp": number, "features": {"x": number % 7, "y": 1.0}}
        if number % 2:
            event["label"] = "yes" if number % 3 else "no"
        made.add("events", event, number)
        if number % 2 == 0 and number > 5:
            made.add("labels", {"id": f"e{number - 4}", "label": "yes"}, number)
        if number % 10 == 9:
            made.add("control", {"type": "tick", "timestamp": number}, number)
    return made


def restarted(log: MemoryLog, snapshot: bytes | None = None) -> tuple[Processor, list[Published]]:
    """Return what a worker has after a restart, and the outputs it must send again."""
    processor = Processor(DEFINITION)
    starts = {} if snapshot is None else processor.restore(snapshot)["outputs"]
    caught_up = catch_up(processor, log, Tail(log, 0, starts))
    return processor, [published(processor, output) for output in caught_up]


def test_only_what_had_not_gone_out_is_sent_again() -> None:
    """With outputs lost on their way, exactly those are given again, up to the last that is there."""
    records = inputs().all
    outputs = run(Processor(DEFINITION), records)
    log = MemoryLog(records)
    lost = [o for o in outputs if o[0] == "transitions"]
    log.send(o for o in outputs if o not in lost)
    processor, again = restarted(log)
    assert lost == again
    assert processor.next == {"events": 30, "labels": 12, "control": 2}


def test_a_snapshot_spares_the_records_before_it() -> None:
    """After a snapshot only the rest is run again, and the state is that of a worker never stopped."""
    records = inputs().all
    log = MemoryLog(records)
    whole = Processor(DEFINITION)
    log.send(run(whole, records[:20]))
    ends = {topic: len(sent) for topic, sent in log.outputs().items()}
    snapshot = whole.snapshot(outputs=ends)
    log.send(run(whole, records[20:]))
    seen: list[int] = []
    processor = Processor(DEFINITION)
    starts = processor.restore(snapshot)["outputs"]
    assert list(catch_up(processor, log, Tail(log, 0, starts), seen.append)) == []
    assert len(seen) == sum(processor.next.values()) - 20 > 0
    for record in records:  # what came after the last output
        processor.process(record)
    assert processor.books == whole.books


def test_retention_took_what_follows_the_snapshot() -> None:
    """Where input between state and log is gone the worker stops, and says which and what to do."""
    made = inputs()
    log = MemoryLog(made.all)
    processor = Processor(DEFINITION)
    log.send(run(processor, made.all[:10]))
    snapshot = processor.snapshot(outputs={})
    log.first["events"] = processor.next["events"]
    restarted(log, snapshot)  # nothing is missing yet
    log.first["events"] += 1
    with pytest.raises(
        LostStateError, match=r"events\[0\] begins at 10.*stands at 9.*retention.*meander rebuild"
    ):
        restarted(log, snapshot)


@pytest.mark.parametrize("topic", ["events", "labels", "control"])
def test_an_input_topic_was_made_anew(topic: str) -> None:
    """Where an input ends before the state the worker stops."""
    made = inputs()
    log = MemoryLog(made.all)
    processor = Processor(DEFINITION)
    log.send(run(processor, made.all))
    snapshot = processor.snapshot(outputs={})
    log.topics[topic] = []
    with pytest.raises(LostStateError, match=rf"{topic}\[0\] ends at 0.*made anew"):
        restarted(log, snapshot)


def test_an_output_topic_was_made_anew() -> None:
    """Where an output ends before what the snapshot knows the worker stops."""
    made = inputs()
    log = MemoryLog(made.all)
    processor = Processor(DEFINITION)
    log.send(run(processor, made.all))
    snapshot = processor.snapshot(outputs={"predictions": 30})
    log.topics["predictions"] = []
    with pytest.raises(LostStateError, match=r"predictions\[0\] ends at 0.*up to 30.*made anew"):
        restarted(log, snapshot)


def test_an_output_of_somebody_else() -> None:
    """A record on an output topic that no worker wrote is named."""
    log = MemoryLog(inputs().all)
    log.topics["predictions"] = [Record("predictions", 0, 0, 0, None, b"{}")]
    with pytest.raises(LostStateError, match=r"predictions\[0\] offset 0 was not written by Meander"):
        restarted(log)


def test_a_new_deployment_begins_where_its_inputs_begin() -> None:
    """Inputs that retention took before there was a deployment are nobody's loss; a replay agrees."""
    made = inputs()
    log = MemoryLog(made.all)
    log.first = {"events": 12, "labels": 3}
    processor, again = restarted(log)
    assert again == []
    rest = [r for r in made.all if r.offset >= log.first.get(r.source, 0)]
    log.send(run(processor, rest))
    assert processor.books.events == 18
    assert differences(DEFINITION, 0, log) == []
    assert restarted(log, processor.snapshot(outputs={}))[1] == []
    with pytest.raises(LostStateError, match="retention"):
        restarted(log)  # its snapshots are gone: what it was born with cannot be told any more


def test_a_snapshot_of_a_release_that_kept_other_things() -> None:
    """Authentic, but a section or a fact is not there, or is another thing: a sentence, nothing bare."""
    processor = Processor(DEFINITION)
    run(processor, inputs().all[:5])
    header, sections = authenticated(processor.snapshot(outputs={}), THIS_PROCESS)
    for name in sections:
        less = {other: data for other, data in sections.items() if other != name}
        odd = {**sections, name: b"\x80\x05\x8c\x04odd.\x94."}
        for changed in (less, odd):
            if changed is less and name in ("watch", "late", "member.-2"):
                continue  # may be absent: nothing was watched, waited for or let go of
            data = pack(DEFINITION, changed, header.facts, THIS_PROCESS)
            with pytest.raises(IncompatibleSnapshotError):
                Processor(DEFINITION).restore(data)
    for name in ("partition", "next", "quiet", "recent"):
        facts = {other: fact for other, fact in header.facts.items() if other != name}
        with pytest.raises(IncompatibleSnapshotError, match="meander rebuild DEFINITION"):
            Processor(DEFINITION).restore(pack(DEFINITION, sections, facts, THIS_PROCESS))
