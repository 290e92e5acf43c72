"""Metrics: every series there from the start, counts that equal the books, cost that can be forgotten."""

import asyncio
import gzip
import re
import subprocess
from typing import Any

from aiohttp import ClientSession, web
from prometheus_client import generate_latest

from monitoring.metrics import LATE, registry_of
from monitoring.probes import add_probes
from stream.messages import Record
from stream.processing.books import Books
from stream.processing.processor import Processor
from stream.processing.tally import EVENTS, LABELS, Histogram, Tally, WorkerFacts
from tests.conftest import REPOSITORY, tool
from tests.support import Inputs, definition
from tests.unit.monitoring.support import Bench

LABEL = {"classes": ["no", "yes"]}
ROSTER: dict[str, Any] = {
    "label": LABEL,
    "warm_up": 0,
    "champion": "lr",
    "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
}


def bench(**changes: Any) -> Bench:
    return Bench(Processor(definition(**{**ROSTER, **changes})))


def event(inputs: Inputs, number: int, label: str | None = None, **features: Any) -> Record:
    message: dict[str, Any] = {
        "id": f"e{number}",
        "timestamp": 1000 * number,
        "features": {"x": 1.0, "y": float(number % 3), **features},
    }
    return inputs.add("events", message if label is None else {**message, "label": label})


def samples(facts: WorkerFacts) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in registry_of("tiny", lambda: facts).collect():
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "deployment"}
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def value(facts: WorkerFacts, name: str, **labels: str) -> float:
    return samples(facts)[f"meander_{name}", tuple(sorted(labels.items()))]


def test_every_series_is_there_at_0_from_the_start() -> None:
    """Before any record each outcome, reason, kind and member has its series, and all counters are 0."""
    facts = bench().facts()
    for outcome in EVENTS.values():
        assert value(facts, "events_total", partition="0", outcome=outcome) == 0
    for outcome in LABELS.values():
        assert value(facts, "labels_total", partition="0", outcome=outcome) == 0
    assert value(facts, "transitions_total", partition="0", kind="promoted") == 0
    assert value(facts, "dead_letters_total", partition="0", topic="events", reason="contract") == 0
    assert value(facts, "loss_total", partition="0", model="nb", role="challenger") == 0
    for kind, detector in (("concept", "bet"), ("data", "bins"), ("label_silence", "silence")):
        assert value(facts, "drift_signals_total", partition="0", kind=kind, detector=detector) == 0
    assert value(facts, "model_seconds_total", model="nb", op="learn") == 0
    assert value(facts, "control_commands_total", action="freeze", outcome="rejected") == 0
    counters = {k: v for k, v in samples(facts).items() if k[0].endswith("_total") and "process" not in k[0]}
    assert set(counters.values()) == {0.0}
    before = set(samples(facts))
    again = bench()
    inputs = Inputs()
    again.take(event(inputs, i, "yes" if i % 2 else "no") for i in range(30))
    unknown = {f"meander_{name}" for name, _, _ in LATE} | {
        "meander_labelled_by_age_ratio"
    }  # not 0: not known
    found = {k for k in set(samples(again.facts())) - before if "evidence" not in k[0]}
    assert {k for k in found if k[0] not in unknown} <= {("meander_model_bytes", (("model", "lr"),))}


def test_the_page_of_operations_names_every_metric() -> None:
    """Its table has what a worker exports, and nothing else."""
    families = registry_of("tiny", bench().facts).collect()
    exported = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    told = {
        name
        for row in re.findall(r"^\| (`meander_.*?) \|", page, re.MULTILINE)
        for name in row.split("`")[1::2]
    }
    assert told - {"process_*"} == {name for name in exported if name.startswith("meander_")}


def test_counts_equal_the_books() -> None:
    """Answers, duplicates, refusals and labels are counted once each, where they belong."""
    b, inputs = bench(), Inputs()
    b.take(event(inputs, i, "yes" if i % 2 else "no") for i in range(20))
    b.take([event(inputs, 1, "no"), event(inputs, 90, x=999.0), inputs.add("events", b"{")])
    b.take([event(inputs, 95), inputs.add("labels", {"id": "e95", "label": "yes", "timestamp": 155_000})])
    facts, books = b.facts(), b.processor.books
    assert value(facts, "events_total", partition="0", outcome="predicted") == books.predicted == 22
    assert value(facts, "events_total", partition="0", outcome="duplicate") == 1
    assert value(facts, "events_total", partition="0", outcome="dead_letter") == 1
    assert value(facts, "labels_total", partition="0", outcome="learned") == books.learned == 21
    assert value(facts, "dead_letters_total", partition="0", topic="events", reason="contract") == 1
    assert value(facts, "unaccounted_records", partition="0") == 0
    served = [
        value(facts, "predictions_total", partition="0", served_by=w) for w in ("champion", "rule", "default")
    ]
    assert sum(served) == 22
    scored = value(facts, "scored_labels_total", partition="0", model="lr", role="champion")
    assert scored == b.processor.standing().members[0].scored
    assert value(facts, "label_delay_seconds_bucket", le="60") == 1
    assert value(facts, "label_delay_seconds_sum") == 60
    assert value(facts, "mode", partition="0", mode="champion") == 1
    assert (
        value(
            facts,
            "model_info",
            partition="0",
            model="nb",
            role="challenger",
            version="v2",
            recipe="naive_bayes",
        )
        == 1
    )


def test_a_promotion_moves_the_counts_to_the_new_role() -> None:
    """Counters never go back: a member's later loss is counted under the role it has then."""
    b, inputs = bench(), Inputs()
    b.take(event(inputs, i, "yes" if i % 2 else "no") for i in range(20))
    before = value(b.facts(), "scored_labels_total", partition="0", model="nb", role="challenger")
    b.take([inputs.add("control", {"type": "command", "id": "c", "action": "promote", "target": "nb"})])
    b.take(event(inputs, i, "yes" if i % 2 else "no") for i in range(20, 30))
    facts = b.facts()
    assert value(facts, "scored_labels_total", partition="0", model="nb", role="challenger") == before
    assert value(facts, "scored_labels_total", partition="0", model="nb", role="champion") == 10
    assert value(facts, "transitions_total", partition="0", kind="promoted") == 1
    assert value(facts, "control_commands_total", action="promote", outcome="applied") == 1
    b.take(
        [
            inputs.add("control", {"type": "command", "id": "d", "action": "resume"}),
            inputs.add("control", {"type": "tick", "timestamp": 1}),
            inputs.add("control", b"{"),
            inputs.add("control", b'{"type":"command","id":"e","action":"resume","reason":"\xff"}'),
            inputs.add("control", b'{"type":"command","id":"f","action":"freeze","size":NaN}'),
        ]
    )
    assert value(b.facts(), "control_commands_total", action="freeze", outcome="applied") == 1
    assert value(b.facts(), "control_commands_total", action="resume", outcome="rejected") == 1
    assert value(b.facts(), "control_commands_total", action="promote", outcome="applied") == 1


def test_a_partition_that_left_leaves_no_series() -> None:
    """The scrape shows what the worker holds now, nothing else."""
    b = bench()
    facts = b.facts()._replace(partitions=[])
    assert not [labels for _, labels in samples(facts) if any(name == "partition" for name, _ in labels)]


def test_a_restored_partition_counts_from_0() -> None:
    """What another worker counted before is not counted again."""
    b, inputs = bench(), Inputs()
    b.take(event(inputs, i, "yes") for i in range(10))
    heir = Processor(definition(**ROSTER))
    heir.restore(b.processor.snapshot())
    tally = Tally(heir)
    assert (tally.events["predicted"], sum(tally.scored.values())) == (0, 0)
    tally.take("events", heir.process(event(inputs, 11, "yes")))
    assert (tally.events["predicted"], tally.scored["lr", "champion"]) == (1, 1)


def test_every_count_of_the_books_has_a_name() -> None:
    """Who adds an outcome to the books says what metrics call it."""
    inputs = {"events", "labels", "control"}
    waiting_or_over = {"early", "expired", "given_up", "assumed"}
    parts_of_others = {"relearned", "corrected", "dead_letters", "repairs"}
    elsewhere = inputs | waiting_or_over | parts_of_others
    assert set(Books.__struct_fields__) - elsewhere == {*EVENTS, *LABELS}


def test_promtool_has_nothing_to_say() -> None:
    """Names, units and types follow Prometheus' own rules."""
    b, inputs = bench(), Inputs()
    b.take(event(inputs, i, "yes" if i % 2 else "no") for i in range(5))
    text = generate_latest(registry_of("tiny", b.facts))
    checked = subprocess.run(
        [tool("promtool", "prometheus"), "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_edges_belong_to_the_bucket_below() -> None:
    """A value equal to an edge is within it, as Prometheus has it."""
    histogram = Histogram((1, 2, 4))
    histogram.add([1, 2, 2, 3, 4, 5])
    assert histogram.counts == [1, 2, 2, 1]


def test_the_probes_answer_over_http() -> None:
    """Metrics come compressed when asked; readiness says 503 until everything is restored."""

    async def look() -> None:
        b = bench()
        state = {"ready": False}
        application = web.Application()
        facts = lambda: b.facts()._replace(ready=state["ready"])  # noqa: E731
        add_probes(application, registry_of("tiny", facts), facts)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session:
            async with session.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.headers["Content-Encoding"] == "gzip"
                assert b"meander_events_total" in gzip.decompress(await answer.read())
            async with session.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
                assert b"# TYPE meander_events_total counter" in await answer.read()
            async with session.get("/readyz") as answer:
                assert answer.status == 503
            state["ready"] = True
            async with session.get("/readyz") as answer:
                assert answer.status == 200
        await runner.cleanup()

    asyncio.run(look())


def test_what_is_known_while_labels_are_late() -> None:
    """An estimate once labels came, how many have theirs, a warning before the oldest are given up."""
    made, inputs = bench(label={"classes": ["no", "yes"], "pending_limit": 10}), Inputs()
    facts = made.facts()
    names = {name for name, _ in samples(facts)}
    assert "meander_estimated_error_ratio" not in names  # 0 would be a lie
    assert value(facts, "pending_nearly_full", partition="0") == 0
    made.take(event(inputs, i, "yes" if i % 2 else "no") for i in range(60))
    made.take(event(inputs, i) for i in range(60, 69))
    facts = made.facts()
    assert 0 < value(facts, "estimated_error_ratio", partition="0") < 1
    assert value(facts, "pending_nearly_full", partition="0") == 1
    assert value(facts, "label_coverage_ratio", partition="0") == 1
    assert value(facts, "labelled_by_age_ratio", partition="0", age="900") == 60 / 69
    assert value(facts, "oldest_pending_seconds", partition="0") >= 0
