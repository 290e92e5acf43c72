"""The outputs are the journal: any interleaving can be repeated, and no crash loses or doubles anything."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from learners.definition import Definition, parse_definition
from learners.errors import MeanderError
from stream.messages import Record
from stream.processing.journal import in_order, parse_mark
from stream.processing.processor import Processor
from stream.processing.recovery import Tail, catch_up, first_definition
from stream.processing.relearn import learn_without
from stream.processing.segments import Appended
from stream.processing.spans import parse_span
from stream.processing.states import JournaledStates
from stream.replay import differences
from tests.properties.deployments import DEPLOYMENTS, LATE, POLICIES
from tests.properties.streams import inputs, quiet_streams, stream_of
from tests.support import (
    TINY,
    Inputs,
    MemoryLog,
    MemoryStates,
    Published,
    definition,
    published,
    record,
    run,
    transitions,
)

DEFINITION = definition()
streams = st.lists(inputs, max_size=80).map(stream_of)


@settings(max_examples=150)
@given(records=streams, deployment=st.sampled_from([*DEPLOYMENTS, *LATE]))
def test_outputs_repeat_any_interleaving(records: list[Record], deployment: Definition) -> None:
    """A replay from the two journal headers gives every output again: value, key and headers, in order."""
    log = MemoryLog(records)
    log.send(run(Processor(deployment), records))
    assert differences(deployment, 0, log) == []


FORGETFUL = definition(
    label={"classes": ["no", "yes"], "ttl": "20ms", "pending_limit": 3, "early_limit": 2, "remember_ids": 2},
    warm_up=0,
)


@settings(max_examples=200)
@given(records=quiet_streams)
def test_outputs_repeat_the_order_of_silent_inputs(records: list[Record]) -> None:
    """Inputs that leave no output are repeated in their order too: memories are short, times near."""
    log = MemoryLog(records)
    log.send(run(Processor(FORGETFUL), records))
    assert differences(FORGETFUL, 0, log) == []


def test_silent_inputs_by_turns_are_marked() -> None:
    """However many silent inputs of two topics alternate, headers stay short and the order is kept."""
    made = Inputs()
    made.add("events", {"id": "a", "features": {"x": 1.0}})
    for number in range(200):
        made.add("events", {"id": "a", "features": {"x": 1.0}})
        made.add("labels", {"id": f"early{number}", "label": "yes"})
    outputs = run(Processor(DEFINITION), made.all)
    assert max(len(dict(headers)["meander-inputs"]) for *_, headers in outputs) < 1000
    assert {t["kind"] for t in transitions(outputs)} == {"started", "ordered"}
    log = MemoryLog(made.all)
    log.send(outputs)
    assert differences(DEFINITION, 0, log) == []


@given(order=st.lists(st.sampled_from(["events", "labels", "control"]), max_size=60), random=st.randoms())
def test_in_order_repeats_exactly(order: list[str], random: object) -> None:
    """If every input leaves an output, headers in any order give the interleaving back, input by input."""
    applied = dict.fromkeys(("events", "labels", "control"), 0)
    records, marks = [], []
    for source in order:
        before = ",".join(f"{other}={n}" for other, n in applied.items() if other != source)
        records.append(Record(source, 0, applied[source], 0, None, b""))
        marks.append(parse_mark(f"{source}:0:{applied[source]}", before))
        applied[source] += 1
    random.shuffle(marks)  # type: ignore[attr-defined]
    doubled = marks + marks[: len(marks) // 2]
    by_source = {source: [r for r in records if r.source == source] for source in applied}
    assert list(in_order(doubled, by_source)) == records


TWO = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}
QUICK = {**TINY["drift"], "alpha": 0.9, "parameters": {"budget": 1.2}, "cooldown": 1}
LOW = {"when": "x < 0", "then": "no"}
REDEFINED = [
    definition(),
    definition(models=TWO, drift=QUICK),
    definition(models=TWO, champion="nb", drift=QUICK, rules={"low": LOW, **TINY["rules"]}),
    definition(models={"lr": {"recipe": "naive_bayes"}}, drift={**QUICK, "probation": True}, warm_up=0),
    definition(models={"nb": TWO["nb"]}, rules={"high": LOW}, loss="log", policy=POLICIES[1:3]),
    definition(models=dict(reversed(TWO.items())), drift={**QUICK, "detector": "DDM", "parameters": {}}),
    definition(label={**TINY["label"], "ttl": "30ms", "pending_limit": 2}, mode="advise"),
]
"""Definitions that all fit what was learned under any of them."""


class Worker:
    """A worker without Kafka: outputs may be on their way when it is killed, and snapshots lag behind."""

    def __init__(self, log: MemoryLog, definition: Definition = DEFINITION) -> None:
        self.log, self.definition, self.began_with = log, definition, definition
        self.rebuilt, self.asked = MemoryStates(), 0
        self.snapshot: bytes | None = None
        self.segments: dict[str, bytes] = {}
        self.restart()

    def restart(self) -> None:
        """Load the last snapshot and catch up; what had not gone out goes out."""
        self.processor = Processor(self.definition)
        starts = (
            {} if self.snapshot is None else self.processor.restore(self.snapshot, read=self.read)["outputs"]
        )
        tail = Tail(self.log, 0, starts)
        if not starts:
            self.processor = Processor(first_definition(self.definition, tail))
        states = self.rebuilt.states
        self.processor.states = JournaledStates(states, tail.installed, tail.refused)
        self.on_the_way: list[Published] = []
        for output in catch_up(self.processor, self.log, tail):
            self.on_the_way.append(published(self.processor, output))
        self.processor.states = states
        redefined = self.processor.redefine(self.definition)
        self.processor.keep_clear_of(list(self.segments))
        if redefined:
            self.deliver()
            self.save()

    def read(self, segment: str, length: int) -> bytes:
        """Return the first bytes of a segment."""
        return self.segments[segment][:length]

    def append(self, pieces: list[Appended]) -> None:
        """Append to segments."""
        for segment, more in pieces:
            self.segments[segment] = self.segments.get(segment, b"") + more

    def take(self, source: str) -> None:
        """Process the next record of a source, if there is one."""
        position = self.processor.next[source]
        for following in self.log.topics.get(source, [])[position : position + 1]:
            self.on_the_way += run(self.processor, [following])

    def deliver(self) -> None:
        """Outputs are acknowledged."""
        self.log.send(self.on_the_way)
        self.on_the_way = []

    def save(self) -> None:
        """Take a snapshot; what was acknowledged is known only up to here, as in the real worker."""
        ends = {topic: len(self.log.topics.get(topic, [])) for topic in self.log.outputs()}
        self.append(self.processor.write_ahead(2))
        taken, appended = self.processor.checkpoint(outputs=ends)
        self.append(appended)
        self.deliver()
        self.snapshot = taken

    def rebuild(self, first: int, last: int) -> None:
        """Learn again what has gone out, without some events, and send the command that installs it."""
        try:
            candidate = learn_without(self.definition, 0, self.log, [parse_span(f"{first}..{last}")])
        except MeanderError:
            return  # there is no such event
        digest = self.rebuilt.put(candidate, self.definition)
        self.asked += 1
        command = {"type": "command", "id": f"i{self.asked}", "action": "install", "target": digest}
        control = self.log.topics.setdefault("control", [])
        control.append(record("control", len(control), command, 5 * len(control)))

    def kill(self, arrived: dict[str, int]) -> None:
        """Die: of each output topic only the first few records on their way have arrived."""
        for topic, count in arrived.items():
            self.log.send([o for o in self.on_the_way if o[0] == topic][:count])


steps = st.one_of(
    st.sampled_from(["events", "labels", "control"]),
    st.sampled_from(["events", "labels", "control"]),
    st.sampled_from(["deliver", "save"]),
    st.fixed_dictionaries(
        {topic: st.integers(0, 4) for topic in ("predictions", "transitions", "dead-letters")}
    ),
)


@settings(max_examples=150)
@given(
    records=streams | quiet_streams,
    plan=st.lists(steps, max_size=100),
    deployment=st.sampled_from([DEFINITION, *LATE]),
)
def test_no_kill_loses_or_doubles(
    records: list[Record], plan: list[str | dict[str, int]], deployment: Definition
) -> None:
    """Killed at any moments, with outputs lost on their way: every output stands there once, and repeats."""
    lived_through(Worker(MemoryLog(records), deployment), plan)


@settings(max_examples=150)
@given(
    records=streams | quiet_streams,
    plan=st.lists(steps | st.integers(0, len(REDEFINED) - 1), max_size=100),
    older=st.booleans(),
)
def test_a_definition_changes_at_any_moment(
    records: list[Record], plan: list[str | dict[str, int] | int], older: bool
) -> None:
    """Also where workers come back with other definitions, and where the newest snapshots are lost."""
    worker = Worker(MemoryLog(records), REDEFINED[0])
    worker.save()
    first = worker.snapshot
    lived_through(worker, plan)
    if older:
        worker.snapshot = first
        worker.restart()
        lived_through(worker, [])


LEARNED = [
    ("events", {"id": f"g{n}", "features": {"x": n - 4.0, "y": 1.0}, "label": "yes" if n > 4 else "no"})
    for n in range(10)
]
spans = st.tuples(st.integers(4, 10), st.integers(6, 40)).filter(lambda ends: ends[0] < ends[1])


@settings(max_examples=150)
@given(
    records=st.lists(inputs, max_size=50).map(lambda more: stream_of(LEARNED + more)),
    before=st.integers(8, 40),
    plan=st.lists(steps, max_size=30),
    more=st.lists(steps | spans, max_size=60),
    span=spans,
    deployment=st.sampled_from(DEPLOYMENTS),
)
def test_states_are_installed_at_any_moment(
    records: list[Record],
    before: int,
    plan: list[str | dict[str, int]],
    more: list[str | dict[str, int] | tuple[int, int]],
    span: tuple[int, int],
    deployment: Definition,
) -> None:
    """Learned again without some events, killed before and after: all goes out once, and repeats."""
    worker = Worker(MemoryLog(records), deployment)
    for taken in records[:before]:
        worker.take(taken.source)
    lived_through(worker, ["deliver", span, *plan, "control", "deliver", span, "control", *more])


def lived_through(worker: Worker, plan: Sequence[str | dict[str, int] | int | tuple[int, int]]) -> None:
    """Let a worker live through a plan, and then through all records; whatever came, nothing is wrong."""
    log = worker.log
    for step in plan:
        match step:
            case int():
                worker.kill({"transitions": step % 2, "predictions": step % 3})
                worker.definition = REDEFINED[step]
                worker.restart()
            case (first, last):
                worker.rebuild(first, last)
            case "deliver":
                worker.deliver()
            case "save":
                worker.save()
            case str():
                worker.take(step)
            case _:
                worker.kill(step)
                worker.restart()
    for source in ("events", "labels", "control"):
        for _ in log.topics.get(source, []):
            worker.take(source)
    worker.deliver()
    sent = [
        (topic, dict(headers)["meander-source"])
        for topic, outputs in log.outputs().items()
        for _, _, _, headers in outputs
    ]
    assert [output for output, count in Counter(sent).items() if count > 1] == []
    changes = Tail(log, 0, {}).changes()
    last = parse_definition(changes[-1][1]) if changes else worker.began_with
    assert differences(last, 0, log, worker.rebuilt.states) == []
    assert worker.processor.books.unaccounted == 0
