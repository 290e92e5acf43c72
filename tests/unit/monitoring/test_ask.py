"""Asking over HTTP: the topic's answer at once, in words where there is none; on a real server."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from learners.errors import MeanderError
from monitoring.ask import Counter, Row
from monitoring.guard import Guard
from producers.publisher import partition_of
from stream.processing.processor import Processor
from stream.settings import Web
from tests.support import Inputs, definition, predictions, published

TOKEN = "a-long-token"  # noqa: S105


class Worker:
    """Real processors of some partitions, and a list for what is published."""

    def __init__(self, *held: int, learned: int = 40) -> None:
        self.inputs = Inputs()
        self.definition = definition(scope="partition", warm_up=0)
        self.processors = {n: Processor(self.definition, n) for n in held}
        self.rows: dict[int, list[Row]] = {}
        self.fails, self.slow = False, 0.0
        for i in range(learned):
            message = {
                "id": f"e{i}",
                "features": {"x": i % 4, "y": 1.0},
                "label": "yes" if i % 4 > 1 else "no",
            }
            self.feed(message)

    def feed(self, message: dict[str, Any], key: bytes = b"k") -> list[dict[str, Any]]:
        """Give an event to every processor; returns the answers."""
        record = self.inputs.add("events", message, timestamp=1000)
        answers = []
        for p in self.processors.values():
            answers += [published(p, output) for output in p.process(record)]
        return predictions(answers)

    def held(self) -> dict[int, Processor]:
        return self.processors

    async def publish(self, partition: int, rows: list[Row]) -> None:
        await asyncio.sleep(self.slow)
        if self.fails:
            raise MeanderError("the broker is away")
        self.rows.setdefault(partition, []).extend(rows)


Check = Callable[[ClientSession], Awaitable[None]]


def serve(worker: Worker, check: Check, *, partitions: int = 1, rate: float = 1e6, token: str = "") -> None:
    """Run a check against a server of this worker."""
    operators = {hashlib.sha256(token.encode()).hexdigest(): "ada"} if token else {}

    async def main() -> None:
        guard = Guard(Web(), operators)
        application = web.Application()
        application.middlewares.append(guard.middleware())
        Counter(worker, guard, partitions, rate, patience=0.2).add_to(application)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with ClientSession(f"http://127.0.0.1:{port}") as session:
                await check(session)
        finally:
            await runner.cleanup()

    asyncio.run(main())


async def ask(session: ClientSession, body: Any, **headers: str) -> tuple[int, Any]:
    if isinstance(body, dict):
        answer = await session.post("/api/v1/predict", json=body, headers=headers)
    else:
        plain = {"Content-Type": "application/json", **headers}
        answer = await session.post("/api/v1/predict", data=body, headers=plain)
    return answer.status, await answer.json(content_type=None)


def test_the_answer_is_the_topics() -> None:
    """What is asked and what comes on the topic next are answered alike, contract and rules included."""
    worker = Worker(0)
    events = [
        {"id": "a", "timestamp": 5, "features": {"x": 1, "y": 0.5}},
        {"id": "b", "timestamp": 6, "features": {"x": 7, "y": 0.5}},
        {"id": "c", "timestamp": 7, "features": {"x": 1}},
        {"id": "d", "timestamp": 8, "features": {"x": 99, "y": 0.5}},
        {"id": "e", "timestamp": 9, "features": {}},
    ]

    async def check(session: ClientSession) -> None:
        status, said = await ask(session, {"events": events})
        assert status == 200
        assert not said["published"]
        assert said["answers"] == [answer for event in events for answer in worker.feed(event)]
        served = [answer["served_by"] for answer in said["answers"]]
        assert served[0] == "champion:lr"
        assert said["answers"][0]["model_version"] == "tiny/p0/v1@40"
        assert said["answers"][3]["flags"] == ["contract:x"]

    serve(worker, check)


def test_an_event_may_leave_out_all_but_its_features() -> None:
    """Id, key and time are given to it."""

    async def check(session: ClientSession) -> None:
        _, said = await ask(session, {"events": [{"features": {"x": 1}}, {"features": {"x": 1}}]})
        first, second = said["answers"]
        assert first["id"] != second["id"]
        assert first["timestamp"] > 1_700_000_000_000

    serve(Worker(0), check)


def test_another_partitions_model_answers_where_the_keys_own_is_elsewhere() -> None:
    """The newest model held answers, and the flag says whose it is."""
    held = partition_of(b"mine", 4)
    away = next(f"other{i}" for i in range(100) if partition_of(f"other{i}".encode(), 4) != held)

    async def check(session: ClientSession) -> None:
        asked = [{"features": {"x": 1, "y": 1.0}, "key": key} for key in ("mine", away)]
        _, said = await ask(session, {"events": asked})
        mine, other = said["answers"]
        assert "flags" not in mine
        assert other["flags"] == [f"other_partition:{held}"]
        assert other["model_version"] == mine["model_version"]

    serve(Worker(held), check, partitions=4)


def test_published_events_reach_the_partition_of_their_key() -> None:
    """With publish on, the events stand on the events topic as a producer would have written them."""
    worker = Worker(0)

    async def check(session: ClientSession) -> None:
        events = [{"id": f"p{i}", "key": f"k{i}", "timestamp": i, "features": {"x": i}} for i in range(8)]
        status, said = await ask(session, {"events": events, "publish": True})
        assert status == 200
        assert said["published"]
        for partition, rows in worker.rows.items():
            for _, key, value, headers in rows:
                assert key is not None
                assert partition_of(key, 4) == partition
                assert headers == []
                number = key.decode().removeprefix("k")
                assert (
                    value
                    == f'{{"id":"p{number}","features":{{"x": {number}}},"timestamp":{number}}}'.encode()
                )
        assert sum(map(len, worker.rows.values())) == 8
        worker.fails = True
        assert (await ask(session, {"events": events, "publish": True}))[0] == 503
        worker.fails, worker.slow = False, 0.4
        status, problem = await ask(session, {"events": events[:1], "publish": True})
        assert (status, problem["type"]) == (503, "not_acknowledged")
        await asyncio.sleep(0.4)  # what was on its way has arrived all the same
        assert sum(map(len, worker.rows.values())) == 9

    serve(worker, check, partitions=4)


@pytest.mark.parametrize(
    ("body", "status", "kind", "words"),
    [
        (b"{", 400, "not_json", "Not JSON"),
        (b"[" * 100_000, 422, "invalid", "Expected `object`, got `array`"),
        ({"events": []}, 422, "invalid", "length >= 1"),
        ({"events": [{"features": {}}] * 1001}, 422, "invalid", "length <= 1000"),
        ({"events": [{}]}, 422, "invalid", "features"),
        ({"events": [{"features": {}, "label": "yes"}]}, 422, "invalid", "label"),
        ({"events": [{"features": {}}, {"features": 7}]}, 422, "envelope", r"events[1]:"),
        ({"events": [{"features": {}, "id": "i" * 257}]}, 422, "invalid", "length <= 256"),
        (
            b'{"events": [{"features": {"x": ' + b"[" * 101 + b"]" * 101 + b"}}]}",
            422,
            "undecodable",
            "deeper",
        ),
    ],
)
def test_what_cannot_be_answered_is_told(body: Any, status: int, kind: str, words: str) -> None:
    """The problem names what is wrong; nothing is published of a request that is refused."""
    worker = Worker(0)

    async def check(session: ClientSession) -> None:
        if isinstance(body, dict):
            body["publish"] = True
        found, problem = await ask(session, body)
        assert (found, problem["type"]) == (status, kind)
        assert words in problem["title"]
        assert not worker.rows

    serve(worker, check)


def test_limits_are_told() -> None:
    """Too many events a second and too many bytes are refused; a second later there is room again."""

    async def check(session: ClientSession) -> None:
        five = {"events": [{"features": {"x": 1}}] * 5}
        assert (await ask(session, five))[0] == 200
        status, problem = await ask(session, five)
        assert (status, problem["type"]) == (429, "too_many_events")
        assert "At most 5 events a second" in problem["title"]
        await asyncio.sleep(1.05)
        assert (await ask(session, five))[0] == 200
        status, problem = await ask(session, b'{"events": []}' + b" " * 1_000_000)
        assert (status, problem["type"]) == (413, "too_large")

    serve(Worker(0), check, rate=5)


def test_nothing_restored_nothing_answered() -> None:
    """503 only while there is no model and no rule at all; in warm-up the rule answers."""

    async def check(session: ClientSession) -> None:
        status, problem = await ask(session, {"events": [{"features": {"x": 1}}]})
        assert (status, problem["type"]) == (503, "not_ready")

    serve(Worker(), check)

    fresh = Worker(0, learned=0)
    fresh.processors = {0: Processor(definition(), 0)}

    async def warm(session: ClientSession) -> None:
        status, said = await ask(session, {"events": [{"features": {"x": 7}}]})
        assert status == 200
        assert said["answers"][0]["served_by"] == "rule:high"
        assert said["answers"][0]["flags"] == ["missing:y", "warm_up"]

    serve(fresh, warm)


def test_who_may_ask() -> None:
    """Where operators have tokens, asking needs one; another site's page may never ask."""

    async def check(session: ClientSession) -> None:
        body = {"events": [{"features": {"x": 1}}]}
        assert (await ask(session, body))[0] == 401
        assert (await ask(session, body, Authorization=f"Bearer {TOKEN}"))[0] == 200
        sent = {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}
        assert (await ask(session, body, **sent))[0] == 403

    serve(Worker(0), check, token=TOKEN)
