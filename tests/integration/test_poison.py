"""Mutants through a worker on a real Kafka: the books against its offsets, and letters sent again."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaProducer
from kafka.errors import InvalidTimestampError

from stream import toml
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics, delete_topics
from stream.app import open_log
from stream.cli import main
from stream.messages import Record
from stream.replay import differences, journal
from stream.settings import Settings, load_settings
from tests.conftest import REPOSITORY
from tests.fuzz.campaign import RAW, Sent, campaign, check, good_event

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]


@pytest.fixture
def settings(kafka: str, deployment_name: str, tmp_path: Path, monkeypatch) -> Iterator[Settings]:
    """Yield a deployment whose model says no to what it should never see; its topics go afterwards."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    file = tmp_path / "deployment.toml"
    parts = {
        "kafka": {"brokers": kafka, "session_timeout": "6s"},
        "snapshots": {"folder": "snapshots", "every": "200ms"},
        "web": {"port": 0},
    }
    file.write_text("\n".join(toml.document({**RAW, "name": deployment_name, **parts})), encoding="utf-8")
    settings = load_settings(file, {})
    create_topics(settings)
    yield settings
    delete_topics(settings)


def send(settings: Settings, records: Iterable[Record]) -> None:
    """Send records as they are: bytes, keys, headers, times."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers, acks="all")
    for r in records:
        producer.send(
            settings.topic(r.source),
            r.value,
            r.key,
            headers=list(r.headers),
            partition=0,
            timestamp_ms=r.timestamp,
        )
    producer.flush()
    producer.close()


def work(settings: Settings) -> dict[str, Any]:
    """Run a worker until it has taken all there is; returns the books it published, held against offsets."""
    file = Path(str(settings.file))
    child = Child(
        [sys.executable, "-m", "stream", "worker", file.name], file.parent, file.with_suffix(".log")
    )
    with child, open_log(settings) as log:
        inputs = {source: log.bounds(source, 0)[1] for source in ("events", "labels", "control")}
        deadline, standing = time.monotonic() + 120, None
        while standing is None or standing["next"] != inputs:
            assert child.pid is not None, child.last_words()
            assert time.monotonic() < deadline, child.last_words()
            time.sleep(0.2)
            end = log.bounds("status", 0)[1]
            told = [json.loads(r.value or b"") for r in log.read("status", 0, max(0, end - 1), end)]
            standing = told[-1]["standing"] if told else None
        assert child.stop() == 0, child.last_words()
    books: dict[str, Any] = standing["books"]
    with open_log(settings) as log:
        ends = {topic: log.bounds(topic, 0)[1] for topic in ("predictions", "dead-letters")}
        reasons = Counter(
            dict(r.headers[-2:])["meander-reason"].decode()
            for r in log.read("dead-letters", 0, 0, ends["dead-letters"])
        )
        assert differences(settings.definition, 0, log) == []
    assert standing["unaccounted"] == 0
    assert (books["events"], books["control"]) == (inputs["events"], inputs["control"])
    assert (books["predicted"], books["dead_letters"]) == (ends["predictions"], dict(reasons))
    return books


def recently() -> int:
    """Return a time that retention leaves alone and that is not ahead of the broker's."""
    return round(time.time() * 1000) - 3_600_000


def meander(*words: str) -> Any:
    return CliRunner().invoke(main, ["dead-letters", *words])


def test_mutants_and_the_books_on_a_real_broker(settings: Settings) -> None:
    """What left and what came in is what offsets say, and good answers know nothing of the refused."""
    sent = [
        s for s in campaign(seed=7, mutants=1500, start=recently()) if len(s.record.value or b"") < 900_000
    ]
    how: dict[tuple[str, int], str] = {}
    places = Counter[str]()
    for one in sent:
        how[one.record.source, places[one.record.source]] = one.how
        places[one.record.source] += 1
    send(settings, [one.record for one in sent])
    work(settings)
    with open_log(settings) as log:
        applied = [Sent(r, how.get((r.source, r.offset), "")) for r in journal(log, 0)]
    result = check(lambda: applied, "a real broker")
    assert result.answers > 200


def test_letters_are_listed_shown_exported_and_sent_again(settings: Settings, tmp_path: Path) -> None:
    """A refused event is answered and learned; one a rule had answered is learned; each once."""
    rng, now = Random(1), recently()

    def event(identifier: Any, label: str = "fraud", **features: Any) -> Record:
        made = good_event(rng, 1, now)
        message = {**made, "id": identifier, "features": {**made["features"], **features}, "label": label}
        return Record("events", 0, 0, now, b"k", json.dumps(message).encode())

    definition = str(settings.file)
    send(
        settings,
        [event("good"), event(7), event("broken", amount=-5.0), event("other", "theft"), event("end")],
    )
    books = work(settings)
    assert tuple(books[name] for name in ("predicted", "learned", "refused")) == (4, 2, 1)

    listed = [json.loads(line) for line in meander("list", definition, "--json").output.splitlines()]
    assert [one["reason"] for one in listed] == ["envelope", "contract", "label"]
    assert "3 dead letters: 1 envelope, 1 contract, 1 label" in meander("list", definition).output
    assert meander("list", definition, "--until", "2h").output == "No dead letters.\n"
    assert '"amount": -5.0' in meander("show", definition, "0:1").output
    assert meander("show", definition, "0:99").exit_code == 2

    assert meander("retry", definition).exit_code == 2
    refused = meander("retry", definition, "--reason", "contract")
    assert refused.exit_code == 1
    assert "refused again: amount -5.0 is below the minimum" in refused.output
    for _ in range(2):  # twice: an id is learned once
        done = meander("retry", definition, "--at", "0:1", "--set", "features.amount=3", "--json")
        assert (done.exit_code, json.loads(done.output)["not_sent"]) == (0, [])
    assert meander("retry", definition, "--reason", "label", "--set", "label=legit").exit_code == 0
    file = tmp_path / "refused.jsonl"
    assert meander("export", definition, "--reason", "envelope", "--out", str(file)).exit_code == 0
    file.write_text(file.read_text().replace('"id": 7', '"id": "seven"'))
    assert "1 sent again, 0 not" in meander("retry", definition, "--file", str(file)).output
    send(settings, [event("after")])

    books = work(settings)
    assert tuple(books[name] for name in ("predicted", "learned", "refused", "corrected")) == (6, 6, 1, 1)
    assert sum(books["dead_letters"].values()) == 3


def test_the_broker_guards_the_record_s_own_time(settings: Settings) -> None:
    """Event time is held against the record's, and that one cannot be far ahead: Kafka 4 refuses it."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers)
    ahead = round(time.time() * 1000) + 2 * 3_600_000
    with pytest.raises(InvalidTimestampError):
        producer.send(settings.topic("events"), b"{}", partition=0, timestamp_ms=ahead).get(30)
    producer.close()
