"""Asking a real worker over HTTP: the same answers as on the topic, and published events answered once."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from producers.client import MeanderClient
from stream.adapters.brokers import free_ports
from stream.app import open_log
from stream.demo import get, wait_until_ready
from stream.settings import Settings
from tests.integration.deployed import deployed_in
from tests.integration.test_worker import count, wait_until, worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200)]
PARTITIONS = 2


@pytest.fixture
def deployed(kafka: str, deployment_name: str, tmp_path: Path) -> Iterator[Settings]:
    definition = {
        "name": deployment_name,
        "task": "binary",
        "scope": "partition",
        "features": {"x": {"min": -10, "max": 10}, "country": {"type": "category"}},
        "label": {"classes": ["no", "yes"]},
        "rules": {"abroad": {"when": "country == 'XX'", "then": "yes"}},
        "kafka": {"brokers": kafka, "partitions": PARTITIONS, "session_timeout": "6s"},
        "web": {"port": free_ports(1)[0]},
    }
    with deployed_in(tmp_path, definition) as settings:
        yield settings


def ask(settings: Settings, events: list[dict[str, Any]], publish: bool = False) -> list[dict[str, Any]]:
    body = json.dumps({"events": events, "publish": publish}).encode()
    url = f"http://127.0.0.1:{settings.web.port}/api/v1/predict"
    with urllib.request.urlopen(
        urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=30
    ) as answer:
        found: list[dict[str, Any]] = json.load(answer)["answers"]
    return found


def event(i: int, **more: Any) -> dict[str, Any]:
    x = (i * 37 % 100) / 10 - 5
    return {
        "id": f"e{i}", "key": f"k{i % 50}", "timestamp": 1_700_000_000_000 + i,
        "features": {"x": x if i % 90 else 11, "country": ("CH", "DE", "XX")[i % 3]}, **more,
    }  # fmt: skip


def topic(settings: Settings, name: str) -> list[dict[str, Any]]:
    log = open_log(settings)
    try:
        return [
            json.loads(r.value or b"")
            for p in range(PARTITIONS)
            for r in log.read(name, p, *log.bounds(name, p))
        ]
    finally:
        log.close()


def test_a_thousand_answers_are_the_topics(deployed: Settings) -> None:
    """Asked and published in the same request, each event is answered as on the topic, and there once."""
    log = open_log(deployed)
    with worker(deployed) as child:
        wait_until_ready(deployed, child)
        with MeanderClient(deployed.kafka.brokers, deployed.definition.name) as client:
            for i in range(400):
                sent = event(i)
                label = "yes" if sent["features"]["x"] > 0 else "no"
                client.send_event(f"l{i}", features=sent["features"], key=sent["key"], label=label)
        wait_until(lambda: count(log, "predictions", PARTITIONS) == 400, child)
        for path in ("tables/", "router/", "router/x/", "stats/", "graph/", "assignment/"):  # Faust's own
            with pytest.raises(HTTPError, match="404"):
                get(deployed, path)
        said = {}
        for start in range(0, 1000, 250):
            for answer in ask(deployed, [event(i) for i in range(start, start + 250)], publish=True):
                said[answer["id"]] = answer
        ask(deployed, [event(i) for i in range(10)], publish=True)  # a client that tried again
        wait_until(lambda: count(log, "events", PARTITIONS) == 1410, child)
        wait_until(lambda: count(log, "predictions", PARTITIONS) >= 1400, child)
    log.close()
    found = [answer for answer in topic(deployed, "predictions") if answer["id"].startswith("e")]
    assert len(found) == 1000
    assert {answer["id"]: answer for answer in found} == said
    assert {answer["served_by"] for answer in found} > {"champion:lr"}
