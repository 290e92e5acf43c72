"""``/api/v1`` and the operations page, on the web server of a worker or of ``meander ops``."""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from learners.errors import MeanderError
from monitoring.board import Board
from monitoring.control import ActionRequest, Desk, RefusedError
from monitoring.guard import COOKIE, HEADERS, HOURS, UNREADABLE, Guard, refuse, unread

PAGE = Path(__file__).parent / "page"
FILES = {
    "": ("index.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "actions.js": ("actions.js", "text/javascript"),
    "chart.js": ("chart.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
    "uPlot.js": ("vendor/uPlot.iife.min.js", "text/javascript"),
    "uPlot.css": ("vendor/uPlot.min.css", "text/css"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
T = TypeVar("T")
log = logging.getLogger("meander.ops")
EVERY = 1.0  # seconds between two frames
MOST_STREAMS = 200


class Source(Protocol):
    """What brings news to a board: a `monitoring.feed.Feed`."""

    def start(self) -> None:
        """Begin."""

    def drain(self, board: Board) -> None:
        """Hand over what came."""

    def close(self) -> None:
        """Stop."""


class SignIn(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/v1/session``: the operator's token."""

    token: str


class Who(Struct, kw_only=True):
    """``GET /api/v1/whoami``.

    Attributes
    ----------
    operator
        Whom the session names; None: nobody.
    needs_token
        Whether actions need one.
    """

    operator: str | None
    needs_token: bool


class Api:
    """Answers from a board, and passes actions to the desk.

    Parameters
    ----------
    board, feed
        What is known, and what brings more.
    desk
        Takes actions.
    guard
        Says who may.
    """

    def __init__(self, board: Board, feed: Source, desk: Desk, guard: Guard) -> None:
        self._board, self._feed, self._desk, self._guard = board, feed, desk, guard
        self._frames: dict[str, bytes] = {}
        self._streams: set[asyncio.Task[None]] = set()
        self._tick = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    def add_to(self, application: web.Application) -> None:
        """Add guard, routes, and what runs beside them."""
        application.middlewares.append(self._guard.middleware())
        router = application.router
        router.add_get("/api/v1/state", self._state)
        router.add_get("/api/v1/history", self._history)
        router.add_get("/api/v1/stream", self._stream)
        router.add_get("/api/v1/whoami", self._whoami)
        router.add_post("/api/v1/session", self._sign_in)
        router.add_delete("/api/v1/session", self._sign_out)
        router.add_post("/api/v1/actions", self._act)
        router.add_get("/api/v1/actions/{id}", self._action)
        for name, (file, kind) in FILES.items():
            router.add_get(f"/ops/{name}", _static(PAGE / file, kind))
        router.add_get("/ops", _to_page)
        application.on_startup.append(self._start)
        application.on_shutdown.append(self._stop)

    async def _start(self, _: web.Application) -> None:
        self._feed.start()
        self._ticker = asyncio.create_task(self._run())

    async def _stop(self, _: web.Application) -> None:
        """End open streams: aiohttp would wait a minute for them."""
        self._feed.close()
        for task in (self._ticker, *self._streams):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        while True:
            self._refresh()
            tick, self._tick = self._tick, asyncio.Event()
            tick.set()
            await asyncio.sleep(EVERY)

    def _refresh(self) -> None:
        self._feed.drain(self._board)
        self._frames.clear()

    def _frame(self, scope: int | None) -> bytes:
        """Return the state as JSON; encoded once for all who watch the same."""
        key = "all" if scope is None else str(scope)
        if key not in self._frames:
            view = self._board.view(scope, round(time.time() * 1000))
            self._frames[key] = msgspec.json.encode(view)
        return self._frames[key]

    def _scope(self, request: web.Request) -> int | None:
        asked = request.query.get("partition", "all")
        if asked == "all":
            return None
        if asked not in map(str, self._board.numbers()):
            raise refuse(422, "unknown_partition", f"There is no partition {asked[:20]!r}.")
        return int(asked)

    async def _state(self, request: web.Request) -> web.Response:
        self._refresh()
        return _json(self._frame(self._scope(request)))

    async def _history(self, request: web.Request) -> web.Response:
        self._refresh()
        return _json(msgspec.json.encode(self._board.history(self._scope(request))))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        scope = self._scope(request)
        if len(self._streams) >= MOST_STREAMS:
            raise refuse(
                503, "too_many_streams", f"{MOST_STREAMS} are watching. Try another worker, or later."
            )
        answer = web.StreamResponse(
            headers={**HEADERS, "Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await answer.prepare(request)

        async def send() -> None:
            while True:
                tick = self._tick
                await answer.write(b"event: state\ndata: " + self._frame(scope) + b"\n\n")
                await tick.wait()  # a slow client misses frames; it does not queue them

        task = asyncio.create_task(send())
        self._streams.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            try:
                await task
            finally:
                self._streams.discard(task)
                task.cancel()
        return answer

    async def _whoami(self, request: web.Request) -> web.Response:
        try:
            operator = self._guard.operator(request)
        except RefusedError:
            operator = None
        return _json(msgspec.json.encode(Who(operator=operator, needs_token=self._guard.needs_token)))

    async def _sign_in(self, request: web.Request) -> web.Response:
        sign_in: SignIn = await _read(request, SignIn)
        name, cookie = self._guard.sign_in(request, sign_in.token)
        log.info("session.opened operator=%s", name)
        answer = _json(msgspec.json.encode(Who(operator=name, needs_token=True)))
        answer.set_cookie(
            COOKIE,
            cookie,
            httponly=True,
            samesite="Strict",
            path="/",
            max_age=HOURS * 3600,
            secure=request.secure,
        )
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        self._guard.sign_out(request)
        answer = web.Response(status=204)
        answer.del_cookie(COOKIE, path="/")
        return answer

    async def _act(self, request: web.Request) -> web.Response:
        operator = self._guard.operator(request)
        asked: ActionRequest = await _read(request, ActionRequest)
        self._refresh()
        key = request.headers.get("Idempotency-Key")
        identifier, commands = self._desk.plan(asked, operator, key, round(time.time() * 1000))
        try:
            await asyncio.to_thread(self._desk.send, commands)
        except MeanderError as error:
            self._desk.forget(identifier)  # who asks again with the same key is not told that it was sent
            raise refuse(503, "not_sent", f"Kafka does not take the command: {error}") from None
        if commands:
            log.info(
                "action.sent id=%s action=%s target=%s operator=%s partitions=%d reason=%s",
                identifier,
                asked.action,
                asked.target,
                operator or asked.operator,
                len(commands),
                asked.reason,
            )
        location = f"/api/v1/actions/{identifier}"
        return web.Response(
            status=202,
            body=msgspec.json.encode(self._desk.state(identifier)),
            content_type="application/json",
            headers={"Location": location},
        )

    async def _action(self, request: web.Request) -> web.Response:
        self._refresh()
        state = self._desk.state(request.match_info["id"])
        if state is None:
            raise refuse(404, "unknown_action", "No such action is known here: look among the transitions.")
        return _json(msgspec.json.encode(state))


async def _read(request: web.Request, struct: type[T]) -> T:
    body = await request.read()
    try:
        read = msgspec.json.decode(body, type=struct)
    except UNREADABLE as error:
        raise unread(error) from None
    names = Counter(name for name, _ in json.loads(body, object_pairs_hook=list))
    twice = [name for name, times in names.items() if times > 1]
    if twice:  # readers of JSON differ in which of the two they take
        raise refuse(422, "twice", f"{twice[0]} stands there more than once. Say it once.")
    return read


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _static(file: Path, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = file.read_bytes()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"}
        )

    return answer


async def _to_page(_: web.Request) -> web.Response:
    raise web.HTTPFound("/ops/")
