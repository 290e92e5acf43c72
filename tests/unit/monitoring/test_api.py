"""The HTTP side: what it says, what it takes, whom it refuses; on a real server, with a board fed by hand."""

import asyncio
import gzip
import hashlib
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from aiohttp import ClientSession, web

from learners.definition import parse_definition
from learners.detectors import SignalKind
from monitoring import openapi
from monitoring.api import Api
from monitoring.board import QUIET, Board
from monitoring.control import ActionRequest, Desk, RefusedError
from monitoring.guard import Guard, InsecureError, read_operators
from producers.connection import TopicError
from stream.messages import Command, Kind, Transition
from stream.processing.processor import Processor
from stream.processing.standing import Status
from stream.settings import Web
from tests.conftest import REPOSITORY
from tests.support import TINY, Inputs

TOKEN = "a-long-token"  # noqa: S105
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
NOW = round(time.time() * 1000)


class Hand:
    """A source of news that is fed by the test."""

    def __init__(self) -> None:
        self.news: list[Callable[[Board], None]] = []

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to stop."""

    def drain(self, board: Board) -> None:
        """Hand over what came."""
        for tell in self.news:
            tell(board)
        self.news.clear()


class Deployment:
    """Two real processors whose standings and transitions reach the board, and which take commands."""

    def __init__(self, **changes: Any) -> None:
        definition = parse_definition(
            {
                **TINY,
                "scope": "partition",
                "warm_up": 0,
                "champion": "lr",
                "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
                "drift": {"min_labels": 100},
                **changes,
            }
        )
        self.hand, self.inputs, self.broken = Hand(), Inputs(), False
        self.order = threading.Lock()
        self.processors = [Processor(definition, number) for number in range(2)]
        self.board = Board("tiny", "binary", 2)
        self.sent: list[Mapping[int, Command]] = []
        for i in range(30):
            self.feed(
                "events",
                {"id": f"e{i}", "features": {"x": i % 4, "y": 1.0}, "label": "yes" if i % 4 > 1 else "no"},
            )
        self.tell()

    def feed(self, source: str, message: dict[str, Any], only: int | None = None) -> None:
        record = self.inputs.add(source, message, NOW)
        for p in self.processors:
            if only is None or p.partition == only:
                for output in p.process(record):
                    if isinstance(output.message, Transition):
                        took = output.message
                        self.hand.news.append(
                            lambda board, p=p, took=took: board.take_transition(p.partition, NOW, took)
                        )

    def tell(self, at: int = NOW) -> None:
        for p in self.processors:
            standing = p.standing()
            standing.transitions = []
            status = Status(
                at=at, worker="w1", expected=2, standing=standing, lag={"events": (3, 1.5)}, latency=[5] * 14,
                delay=[0] * 10, snapshot_at=at / 1000, snapshot_failures=0, costs={"lr": 2e-5, "prior": 1e-6},
            )  # fmt: skip
            self.hand.news.append(lambda board, status=status: board.take_status(status))

    def send(self, commands: Mapping[int, Command]) -> None:
        """Apply commands at once, as the control topic would; or refuse, as a broker that is gone."""
        if self.broken:
            raise TopicError("no broker")
        with self.order:  # threads send: a topic orders what comes at the same time
            self.sent.append(commands)
            for number, command in commands.items():
                self.feed("control", msgspec.to_builtins(command), only=number)
            self.tell()


def serve(
    check: Callable[[ClientSession, Deployment], Awaitable[None]],
    settings: Web | None = None,
    operators: dict[str, str] | None = None,
    **changes: Any,
) -> None:
    """Run a check against a real server; changes are those of the definition."""

    async def run() -> None:
        deployment = Deployment(**changes)
        desk = Desk(deployment.board, deployment.send)
        guard = Guard(settings or Web(), operators or {})
        application = web.Application()
        Api(deployment.board, deployment.hand, desk, guard).add_to(application)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            await check(session, deployment)
        await runner.cleanup()

    asyncio.run(run())


FREEZE = {"action": "freeze", "reason": "labels are wrong today", "operator": "ada"}


async def post(session: ClientSession, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    async with session.post("/api/v1/actions", json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


def test_state_says_who_serves_and_why_not_others() -> None:
    """The sentence, the roster, the question, and the conditions with value and need."""

    async def check(session: ClientSession, _: Deployment) -> None:
        async with session.get("/api/v1/state") as answer:
            state = await answer.json()
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert state["expected"] == 2
        roles = [(m["slot"], m["role"]) for m in state["members"]]
        assert roles[0] == ("lr", "champion")
        assert ("nb", "challenger") in roles
        assert [m["cost"] for m in state["members"] if m["slot"] in ("lr", "nb")] == [2e-5, None]
        assert state["question"]["title"] == "Why nb (v2) is not promoted yet"
        assert {c["name"]: c["met"] for c in state["question"]["conditions"]}["Labels compared"] is False
        assert state["figures"]["unaccounted"] == 0
        async with session.get("/api/v1/state?partition=1") as answer:
            assert [p["number"] for p in (await answer.json())["partitions"]] == [1]
        for other in ("7", "-1", "²", "", "9" * 5000, "1 OR 1=1"):
            async with session.get("/api/v1/state", params={"partition": other}) as answer:
                assert (answer.status, answer.content_type) == (422, "application/problem+json"), other

    serve(check)


def test_records_too_many_here_do_not_make_up_for_too_few_there() -> None:
    """Books that do not balance are counted whichever way they lean."""
    deployment = Deployment()
    deployment.hand.drain(deployment.board)
    for status, wrong in zip(deployment.board.statuses.values(), (2, -2), strict=True):
        status.standing.unaccounted = wrong
    assert deployment.board.view(None, NOW).figures.unaccounted == 4


def test_an_action_is_applied_everywhere_and_followed() -> None:
    """202 with a place to look, one command for each partition, then applied, with operator and reason."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        status, said = await post(session, FREEZE)
        assert (status, said["total"]) == (202, 2)
        async with session.get(f"/api/v1/actions/{said['id']}") as answer:
            assert (await answer.json())["status"] == "applied"
        async with session.get("/api/v1/state") as answer:
            state = await answer.json()
        assert state["frozen"] == 2
        first = state["happenings"][0]
        assert (first["kind"], first["operator"], first["partitions"]) == ("frozen", "ada", [0, 1])
        assert first["reason"] == "labels are wrong today"
        command = deployment.sent[0][0]
        assert (command.verified, command.expires_at - command.issued_at) == (False, 300_000)
        status, said = await post(session, FREEZE)  # they are frozen already
        async with session.get(f"/api/v1/actions/{said['id']}") as answer:
            found = await answer.json()
        assert (found["status"], set(found["rejected"])) == ("rejected", {"0", "1"})

    serve(check)


def test_the_same_key_acts_once() -> None:
    """A browser that sends again after a lost answer does not act twice."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        one = await post(session, FREEZE, **{"Idempotency-Key": "k1"})
        two = await post(session, FREEZE, **{"Idempotency-Key": "k1"})
        assert one[1]["id"] == two[1]["id"]
        assert len([sent for sent in deployment.sent if sent]) == 1

    serve(check)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({**FREEZE, "reason": "short"}, 422, "reason_too_short"),
        ({**FREEZE, "reason": "\u200b" * 9}, 422, "reason_too_short"),
        ({**FREEZE, "reason": "\x1b[2J as if nothing was"}, 422, "unprintable"),
        ({**FREEZE, "operator": "ada\0"}, 422, "unprintable"),
        ({**FREEZE, "action": "explode"}, 422, "invalid"),
        ({**FREEZE, "surprise": 1}, 422, "invalid"),
        ({**FREEZE, "partition": 9}, 422, "unknown_partition"),
        ({**FREEZE, "if_revision": 1}, 409, "changed_meanwhile"),
        ({**FREEZE, "action": "promote"}, 422, "target_missing"),
        ({**FREEZE, "action": "promote", "target": "nobody"}, 422, "unknown_target"),
        ({**FREEZE, "action": "promote", "target": "nb"}, 409, "policy_not_met"),
    ],
)
def test_what_cannot_be_done_is_explained(body: dict[str, Any], status: int, kind: str) -> None:
    """Each refusal is a problem with a type, and nothing is sent."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        answered, problem = await post(session, body)
        assert (answered, problem["type"]) == (status, kind)
        assert problem["title"]
        assert deployment.sent == []

    serve(check)


ADVISED = {
    "mode": "advise",
    "policy": [
        {"name": "weekly", "on": "schedule", "every": 20, "do": "retrain", "budget": 1},
        {"name": "calm", "on": "command", "do": "tell"},
    ],
}


def test_what_was_decided_waits_for_a_person() -> None:
    """In mode advise the state lists it, nothing has changed, an approval does it and names who agreed."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        async with session.get("/api/v1/state") as answer:
            state = await answer.json()
        waiting = [(a["partition"], a["id"], a["would"], a["slot"]) for a in state["advice"]]
        assert waiting == [(0, "a1", "retrained", "lr"), (1, "a1", "retrained", "lr")]
        assert not any(p.learn.roster.shadows for p in deployment.processors)
        body = {**FREEZE, "action": "approve", "target": "a1"}
        assert (await post(session, body))[1]["type"] == "partition_missing"
        assert (await post(session, {**body, "partition": 1, "target": "a9"}))[1]["type"] == "unknown_target"
        assert deployment.sent == []
        status, said = await post(session, {**body, "partition": 1})
        assert (status, said["total"]) == (202, 1)
        async with session.get("/api/v1/state") as answer:
            state = await answer.json()
        assert [a["partition"] for a in state["advice"]] == [0]
        done = state["happenings"][0]
        assert (done["kind"], done["operator"], done["partitions"]) == ("retrained", "ada", [1])
        assert [len(p.learn.roster.shadows) for p in deployment.processors] == [0, 1]

    serve(check, **ADVISED)


def test_a_policy_is_applied_by_name() -> None:
    """Those for people are listed; another name is refused with the list."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        async with session.get("/api/v1/state") as answer:
            assert (await answer.json())["policies"] == ["calm"]
        _, problem = await post(session, {**FREEZE, "action": "apply", "target": "weekly"})
        assert problem["title"] == "No policy for people is called weekly. There are: calm."
        status, said = await post(session, {**FREEZE, "action": "apply", "target": "calm"})
        async with session.get(f"/api/v1/actions/{said['id']}") as answer:
            assert (status, (await answer.json())["status"]) == (202, "applied")

    serve(check, **ADVISED)


def test_a_promotion_against_the_policy_needs_an_override() -> None:
    """With it, it is done and on record."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        body = {**FREEZE, "action": "promote", "target": "nb"}
        _, problem = await post(session, body)
        assert "Labels compared" in problem["unmet"]
        status, _ = await post(session, {**body, "override": True})
        assert status == 202
        assert deployment.processors[0].standing().transitions[-1].evidence["override"] is True

    serve(check)


def test_bodies_that_are_none_are_refused() -> None:
    """Not JSON, not said to be JSON, too large, of unknown length, nested too deep, no text at all."""

    async def check(session: ClientSession, _: Deployment) -> None:
        json_type = {"Content-Type": "application/json"}
        for data, headers, status in (
            (b"{", json_type, 400),
            (b"{}", {"Content-Type": "text/plain"}, 415),
            (b" " * 20_000, json_type, 413),
            (b'{"reason": ' + b"[" * 9000, json_type, 422),
            (b'{"surprise": ' + b"[" * 8000 + b"]" * 8000 + b"}", json_type, 422),
            (b"\xff\xfe", json_type, 400),
            (b'{"action": "freeze", "reason": "half a pair: \\ud800"}', json_type, 400),
            (b"null", json_type, 422),
            (b"", json_type, 400),
            (b'{"action": "freeze", "action": "unfreeze", "reason": "which of the two"}', json_type, 422),
            (b"no gzip at all", {**json_type, "Content-Encoding": "gzip"}, 415),
            (gzip.compress(json.dumps(FREEZE).encode()), {**json_type, "Content-Encoding": "gzip"}, 415),
        ):
            async with session.post("/api/v1/actions", data=data, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (status, "application/problem+json"), data[:40]

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b" " * 1_000_000

        async with session.post("/api/v1/actions", data=pieces(), headers=json_type) as answer:
            assert (answer.status, (await answer.json(content_type=None))["type"]) == (411, "length_required")

    serve(check)


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_another_site_may_not_act(headers: dict[str, str]) -> None:
    """Not even with the right content type."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        status, problem = await post(session, FREEZE, **headers)
        assert (status, problem["type"]) == (403, "cross_site")
        assert deployment.sent == []

    serve(check)


def test_a_rebound_name_is_refused_everywhere() -> None:
    """Even for reading; declared names and addresses are answered."""

    async def check(session: ClientSession, _: Deployment) -> None:
        expected = {"evil.example": 421, "ops.example:6066": 200, "127.0.0.1:1": 200, "10.0.0.7:6066": 200}
        for host, status in expected.items():
            async with session.get("/api/v1/state", headers={"Host": host}) as answer:
                assert answer.status == status, host

    serve(check, Web(hosts=("ops.example",)))


def test_tokens_name_the_operator() -> None:
    """Where there are tokens nothing is done without one, and the name in the audit is the token's."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        status, problem = await post(session, FREEZE)
        assert (status, problem["type"]) == (401, "no_token")
        status, _ = await post(session, FREEZE, Authorization="Bearer wrong")
        assert status == 401
        status, said = await post(session, {**FREEZE, "operator": "eve"}, Authorization=f"Bearer {TOKEN}")
        assert (status, said["operator"]) == (202, "ada")
        command = deployment.sent[0][0]
        assert (command.operator, command.verified) == ("ada", True)

    serve(check, operators={DIGEST: "ada"})


def test_a_session_is_a_strict_cookie_and_guessing_is_slowed() -> None:
    """HttpOnly, SameSite=Strict, gone after signing out; five wrong tokens a minute."""

    async def check(session: ClientSession, _: Deployment) -> None:
        async with session.post("/api/v1/session", json={"token": TOKEN}) as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        value = cookie.partition(";")[0]
        status, _ = await post(session, FREEZE, Cookie=value)
        assert status == 202
        async with session.delete("/api/v1/session", headers={"Cookie": value}) as answer:
            assert answer.status == 204
        session.cookie_jar.clear()
        status, _ = await post(session, FREEZE, Cookie=value)
        assert status == 401
        statuses = []
        for _ in range(6):
            async with session.post("/api/v1/session", json={"token": "guess"}) as answer:
                statuses.append(answer.status)
        assert statuses == [401] * 5 + [429]

    serve(check, operators={DIGEST: "ada"})


def test_it_does_not_listen_beyond_this_machine_without_operators(tmp_path: Path) -> None:
    """It refuses to start, and says what to do; with a file of operators it starts."""
    with pytest.raises(InsecureError, match="operators"):
        Guard(Web(host="0.0.0.0"), {})  # noqa: S104
    file = tmp_path / "operators"
    file.write_text(f"# on duty\nada = {DIGEST}\n", encoding="utf-8")
    assert Guard(Web(host="0.0.0.0"), read_operators(file)).needs_token  # noqa: S104
    file.write_text("ada = secret\n", encoding="utf-8")
    with pytest.raises(InsecureError, match="meander operator"):
        read_operators(file)


def test_the_stream_repeats_the_state_every_second() -> None:
    """Server-sent events; closing the server does not wait for them."""

    async def check(session: ClientSession, _: Deployment) -> None:
        async with session.get("/api/v1/stream") as answer:
            assert answer.content_type == "text/event-stream"
            first = await answer.content.readuntil(b"\n\n")
            second = await answer.content.readuntil(b"\n\n")
        assert first.startswith(b"event: state\ndata: {")
        assert json.loads(second.partition(b"data: ")[2])["deployment"] == "tiny"

    serve(check)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    """No inline script or style, no address of another host; every file is served."""

    async def check(session: ClientSession, _: Deployment) -> None:
        for name in (
            "",
            "page.js",
            "actions.js",
            "chart.js",
            "page.css",
            "uPlot.js",
            "uPlot.css",
            "icon.svg",
        ):
            async with session.get(f"/ops/{name}") as answer:
                text = await answer.text()
                assert answer.status == 200, name
            if not name.startswith("uPlot"):
                assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace(
                    "http-equiv", ""
                ), name
        async with session.get("/ops/") as answer:
            page = await answer.text()
        assert " style=" not in page
        assert page.count("<script") == page.count("<script src=")

    serve(check)


def test_answers_are_what_the_openapi_document_says() -> None:
    """The checked-in document is fresh, and real answers validate against it."""
    text = (REPOSITORY / openapi.FILE).read_text(encoding="utf-8")
    assert text == openapi.text(), "stale: run make generate"
    document = json.loads(text)

    def valid(name: str, instance: Any) -> None:
        schema = {**document, "$ref": f"#/components/schemas/{name}"}
        jsonschema.Draft202012Validator(schema).validate(instance)

    async def check(session: ClientSession, _: Deployment) -> None:
        for path, name in (("state", "View"), ("history", "History"), ("whoami", "Who")):
            async with session.get(f"/api/v1/{path}") as answer:
                valid(name, await answer.json())
        valid("ActionState", (await post(session, FREEZE))[1])
        valid("Problem", (await post(session, {}))[1])

    serve(check)


def test_what_happened_is_told_alike_in_whatever_order_partitions_are_read() -> None:
    """Two readers of the same topics number and group alike."""
    happened = [
        (
            number,
            NOW + 1000 * i + number,
            Transition(kind=kind, timestamp=0, position="events:0:0", slot="lr"),
        )
        for number in range(3)
        for i, kind in enumerate((Kind.SIGNAL, Kind.CHALLENGED, Kind.PROMOTED))
    ]
    boards = []
    for order in (happened, sorted(happened, key=lambda h: h[1]), sorted(happened, key=lambda h: -h[0])):
        board = Board("tiny", "binary", 3)
        for partition, at, transition in order:
            board.take_transition(partition, at, transition)
        boards.append([(h.number, h.kind, h.partitions) for h in board.view(None, NOW).happenings])
    assert boards[0] == boards[1] == boards[2]
    assert boards[0] == [
        (3, "promoted", [0, 1, 2]),
        (2, "challenged", [0, 1, 2]),
        (1, "signal", [0, 1, 2]),
    ]


def test_what_happened_in_a_partition_is_told_in_the_order_of_its_log() -> None:
    """A command is carried out before events written earlier: the page says so, and when each was."""
    board = Board("tiny", "binary", 2)
    for at, kind in ((NOW + 5, Kind.UNFROZEN), (NOW, Kind.PROMOTED), (NOW + 9, Kind.SIGNAL)):
        transition = Transition(kind=kind, timestamp=0, position="events:0:0", slot="lr")
        board.take_transition(0, at, transition)
    told = [(h.kind, h.at - NOW) for h in board.view(None, NOW).happenings]
    assert told == [("signal", 9), ("promoted", 0), ("unfrozen", 5)]


def signal(at: int, kind: Kind = Kind.SIGNAL, **evidence: str) -> Transition:
    feature = evidence.get("feature", "")
    about = f"{feature} moved." if feature else "Something moved."
    return Transition(kind=kind, timestamp=at, position="events:0:0", reason=about, evidence=dict(evidence))


def test_signals_are_told_by_kind_and_feature() -> None:
    """The newest first, counted over partitions, and whether they are over; of values only where allowed."""
    told = (
        (0, 1, signal(1, signal="data", feature="x", where="below 3.5")),
        (1, 2, signal(2, signal="data", feature="x", where="below 3.5")),
        (0, 3, signal(3, signal="label_silence")),
        (0, 4, signal(4, signal="data", feature="y", where="'secret'")),
        (0, 5, signal(5, Kind.SIGNAL_ENDED, signal="label_silence")),
        (
            0,
            6,
            Transition(
                kind=Kind.FAILED, timestamp=6, position="events:0:1", evidence={"error": "E: 'secret'"}
            ),
        ),
    )
    for allowed in (False, True):
        board = Board("tiny", "binary", 2, show_values=allowed)
        for partition, at, transition in told:
            board.take_transition(partition, at, transition)
        view = board.view(None, NOW)
        found = [(s.kind, s.feature, s.count, s.partitions, s.over) for s in view.signals]
        assert found == [
            ("label_silence", None, 1, [0], True),
            ("data", "y", 1, [0], False),
            ("data", "x", 2, [0, 1], False),
        ]
        assert (b"secret" in msgspec.json.encode(view)) is allowed
        assert (b"below 3.5" in msgspec.json.encode(view)) is allowed
        assert [s.kind for s in board.view(1, NOW).signals] == ["data"]


def test_what_can_be_rolled_back_to_is_listed_and_nothing_else_is_taken() -> None:
    """Kept states by partition; a version that nobody keeps is refused with the list."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        status, _ = await post(
            session, {**FREEZE, "action": "promote", "target": "nb", "override": True, "partition": 0}
        )
        assert status == 202
        async with session.get("/api/v1/state") as answer:
            kept = [k["name"] for k in (await answer.json())["kept"] if k["partition"] == 0]
        assert kept[0].startswith("v1@")
        back = {**FREEZE, "action": "rollback", "partition": 0}
        _, problem = await post(session, {**back, "target": "v99"})
        assert (problem["type"], problem["field"]) == ("unknown_target", "target")
        assert kept[0] in problem["title"]
        status, said = await post(session, {**back, "target": kept[0]})
        async with session.get(f"/api/v1/actions/{said['id']}") as answer:
            assert (status, (await answer.json())["status"]) == (202, "applied")
        assert deployment.processors[0].learn.roster.champion.slot == "lr"

    serve(check)


def test_quality_is_estimated_before_labels_come() -> None:
    """What is expected, how far that was off, intervals as declared and as held; and what is not seen."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        for i in range(700):
            event = {"id": f"n{i}", "features": {"x": i % 4, "y": 1.0}, "label": float(i % 4 + i % 3)}
            deployment.feed("events", event)
        deployment.feed("events", {"id": "late", "features": {"x": 1, "y": 1.0}})
        deployment.tell()
        async with session.get("/api/v1/state") as answer:
            found = (await answer.json())["estimate"]
        assert found["immature"] == 2 * (30 + 1)  # the first thirty had labels that are no numbers
        assert 0 <= found["error"] <= 1
        assert found["absolute"] > 0
        assert "Concept drift" in found["blind"]
        assert set(found["intervals"]) == {"0", "1"}
        for interval in found["intervals"].values():
            assert interval["half"] > 0
            assert abs(interval["held"] - interval["coverage"]) < 0.1

    models = {"lr": {"recipe": "linear_regression"}, "nb": {"recipe": "linear_regression"}}
    serve(check, task="regression", label={}, models=models, rules={}, drift={})


def test_every_error_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such page, no such method, a mistake of ours: JSON that says what, with the usual headers."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        async def told(method: str, path: str) -> tuple[int, str, str]:
            async with session.request(method, path) as answer:
                assert answer.content_type == "application/problem+json"
                assert answer.headers["X-Frame-Options"] == "DENY"
                problem = await answer.json(content_type=None)
                return answer.status, problem["type"], problem["title"]

        assert (await told("GET", "/api/v1/nothing"))[:2] == (404, "not_found")
        assert (await told("DELETE", "/api/v1/state"))[:2] == (405, "method_not_allowed")
        assert (await told("GET", "/ops/../secrets"))[0] == 404
        monkeypatch.setattr(deployment.board, "view", None)
        status, kind, title = await told("GET", "/api/v1/state")
        assert (status, kind) == (500, "internal")
        assert "NoneType" not in title

    serve(check)


def test_a_key_of_another_action_is_refused_and_one_that_was_not_sent_is_free_again() -> None:
    """The same key with another body is a mistake; after Kafka refused, trying again sends."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        deployment.broken = True
        status, problem = await post(session, FREEZE, **{"Idempotency-Key": "k1"})
        assert (status, problem["type"]) == (503, "not_sent")
        deployment.broken = False
        status, _ = await post(session, FREEZE, **{"Idempotency-Key": "k1"})
        assert (status, len(deployment.sent)) == (202, 1)
        status, problem = await post(session, {**FREEZE, "action": "unfreeze"}, **{"Idempotency-Key": "k1"})
        assert (status, problem["type"], len(deployment.sent)) == (422, "key_reused", 1)

    serve(check)


def test_a_key_acts_once_whichever_server_it_comes_to() -> None:
    """Sent to another worker, or after a restart: the same command, which partitions carry out once."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        key = {"Idempotency-Key": "k1"}
        one = (await post(session, FREEZE, **key))[1]
        deployment.hand.drain(deployment.board)
        other = Desk(deployment.board, deployment.send)
        request = msgspec.convert(FREEZE, ActionRequest)
        identifier, commands = other.plan(request, None, "k1", NOW)
        assert (identifier, commands) == (one["id"], {})
        thawing = msgspec.convert({**FREEZE, "action": "unfreeze"}, ActionRequest)
        with pytest.raises(RefusedError, match="came with another action before"):
            Desk(deployment.board, deployment.send).plan(thawing, None, "k1", NOW)
        state = other.state(identifier)
        assert state is not None
        assert state.status == "applied"
        unheard = Desk(Board("tiny", "binary", 2), deployment.send)  # has not read the transitions yet
        identifier, commands = unheard.plan(request, None, "k1", NOW)
        unheard.send(commands)
        assert identifier == one["id"]
        assert [p.books.control for p in deployment.processors] == [2, 2]
        async with session.get(f"/api/v1/actions/{identifier}") as answer:
            assert (await answer.json())["status"] == "applied"
        assert other.plan(request, "eve", "k1", NOW)[0] != one["id"]  # another operator's key is another

    serve(check)


@pytest.mark.parametrize("key", ["", "k" * 256, "\udcff", "\u200b"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """Empty, too long, not to be seen: told so, and nothing is sent, for all such would be one key."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        status, problem = await post(session, FREEZE, **{"Idempotency-Key": key})
        assert (status, problem["type"], problem["field"]) == (422, "invalid_key", "Idempotency-Key")
        assert deployment.sent == []

    serve(check)


def test_refusals_say_what_to_do() -> None:
    """Which field, what there is to choose from, where it stands; a name in capitals is the same name."""

    async def check(session: ClientSession, _: Deployment) -> None:
        _, problem = await post(session, {**FREEZE, "action": "Freeze"})
        assert problem["field"] == "action"
        assert "There are: promote, rollback, drop" in problem["title"]
        _, problem = await post(session, {**FREEZE, "partition": "0"})
        assert problem["field"] == "partition"
        async with session.put("/api/v1/actions") as answer:
            assert (await answer.json(content_type=None))["title"] == "This path takes POST alone."
        async with session.get("/api/v1/state", headers={"Host": "LocalHost"}) as answer:
            assert answer.status == 200

    serve(check)


def test_commands_at_the_same_time_are_each_followed() -> None:
    """Twenty at once, of which one can be carried out: one applied, the others rejected with a sentence."""

    async def check(session: ClientSession, _: Deployment) -> None:
        said = await asyncio.gather(*(post(session, FREEZE) for _ in range(20)))
        assert [status for status, _ in said] == [202] * 20
        states = []
        for _, accepted in said:
            async with session.get(f"/api/v1/actions/{accepted['id']}") as answer:
                states.append(await answer.json())
        assert [s["status"] for s in states].count("applied") == 1
        others = [s for s in states if s["status"] == "rejected"]
        assert len(others) == 19
        assert all("frozen already" in reason for s in others for reason in s["rejected"].values())

    serve(check)


def test_forged_sessions_open_nothing() -> None:
    """A cookie of one's own, an empty one, one of another server."""

    async def check(session: ClientSession, deployment: Deployment) -> None:
        for cookie in ("", "x", "A" * 43, "../../etc/passwd", '"', TOKEN):
            status, problem = await post(session, FREEZE, Cookie=f"meander-session={cookie}")
            assert (status, problem["type"]) == (401, "no_token"), cookie
        for header in (
            "Bearer",
            "Bearer ",
            f"bearer {TOKEN}",
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            "Bearer \udcff",
        ):
            status, _ = await post(session, FREEZE, Authorization=header)
            assert status == 401, header
        assert deployment.sent == []

    serve(check, operators={DIGEST: "ada"})


def test_the_page_has_words_for_whatever_may_happen() -> None:
    """Every kind of transition that is told, every kind of signal."""
    script = (REPOSITORY / "monitoring" / "page" / "page.js").read_text(encoding="utf-8")

    def words(name: str) -> set[str]:
        return set(re.findall(r"(\w+): \"", script.partition(f"const {name} = {{")[2].partition("};")[0]))

    assert {str(kind) for kind in set(Kind) - QUIET} <= words("KINDS")
    assert set(map(str, SignalKind)) <= words("SIGNALS")
