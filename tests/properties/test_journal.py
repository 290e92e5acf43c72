"""The outputs are the journal: any interleaving can be repeated, and no crash loses or doubles anything."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from learners.definition import Definition, parse_definition
from stream.messages import Record
from stream.processing.journal import in_order, parse_mark
from stream.processing.processor import Processor
from stream.processing.recovery import Tail, catch_up, first_definition
from stream.replay import differences
from tests.properties.deployments import DEPLOYMENTS, POLICIES
from tests.properties.streams import inputs, quiet_streams, stream_of
from tests.support import TINY, Inputs, MemoryLog, Published, definition, published, run, transitions

DEFINITION = definition()
streams = st.lists(inputs, max_size=80).map(stream_of)


@settings(max_examples=150)
@given(records=streams, deployment=st.sampled_from(DEPLOYMENTS))
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
        self.snapshot: bytes | None = None
        self.restart()

    def restart(self) -> None:
        """Load the last snapshot and catch up; what had not gone out goes out."""
        self.processor = Processor(self.definition)
        starts = {} if self.snapshot is None else self.processor.restore(self.snapshot)["outputs"]
        tail = Tail(self.log, 0, starts)
        if not starts:
            self.processor = Processor(first_definition(self.definition, tail))
        self.on_the_way: list[Published] = []
        for output in catch_up(self.processor, self.log, tail):
            self.on_the_way.append(published(self.processor, output))
        if self.processor.redefine(self.definition):
            self.deliver()
            self.save()

    def take(self, source: str) -> None:
        """Process the next record of a source, if there is one."""
        position = self.processor.next[source]
        for record in self.log.topics.get(source, [])[position : position + 1]:
            self.on_the_way += run(self.processor, [record])

    def deliver(self) -> None:
        """Outputs are acknowledged."""
        self.log.send(self.on_the_way)
        self.on_the_way = []

    def save(self) -> None:
        """Take a snapshot; what was acknowledged is known only up to here, as in the real worker."""
        ends = {topic: len(self.log.topics.get(topic, [])) for topic in self.log.outputs()}
        taken = self.processor.snapshot(outputs=ends)
        self.deliver()
        self.snapshot = taken

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
@given(records=streams | quiet_streams, plan=st.lists(steps, max_size=100))
def test_no_kill_loses_or_doubles(records: list[Record], plan: list[str | dict[str, int]]) -> None:
    """Killed at any moments, with outputs lost on their way: every output stands there once, and repeats."""
    lived_through(Worker(MemoryLog(records)), plan)


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


def lived_through(worker: Worker, plan: Sequence[str | dict[str, int] | int]) -> None:
    """Let a worker live through a plan, and then through all records; whatever came, nothing is wrong."""
    log = worker.log
    for step in plan:
        match step:
            case int():
                worker.kill({"transitions": step % 2, "predictions": step % 3})
                worker.definition = REDEFINED[step]
                worker.restart()
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
    assert differences(last, 0, log) == []
    assert worker.processor.books.unaccounted == 0
