"""Puts board, feed, desk and guard together: what a worker and ``meander ops`` serve alike."""

import logging
import threading
from collections.abc import Mapping

from aiohttp import web

from learners.errors import MeanderError
from monitoring.api import Api
from monitoring.board import Board
from monitoring.control import Desk
from monitoring.feed import Feed
from monitoring.guard import Guard, read_operators
from producers.control import Controller
from stream.messages import Command
from stream.settings import Settings

log = logging.getLogger("meander.ops")


class LazySender:
    """Sends commands over a connection that is opened with the first."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._opening = settings, threading.Lock()
        self._controller: Controller | None = None

    def __call__(self, commands: Mapping[int, Command]) -> None:
        """Send to each partition its command; see `producers.control.Controller.send`."""
        with self._opening:  # two may act for the first time at once
            if self._controller is None:
                self._controller = Controller(self._settings)
        self._controller.send(commands)


def guard_of(settings: Settings) -> Guard:
    """Return the guard of a web server; raises `monitoring.guard.InsecureError` where it would be open."""
    operators = {} if settings.operators is None else read_operators(settings.operators)
    return Guard(settings.web, operators)


def add_console(application: web.Application, settings: Settings, guard: Guard) -> None:
    """Add the API and the page to a web server."""
    definition = settings.definition
    board = Board(definition.name, definition.task, settings.partitions, settings.web.show_values)
    Api(board, Feed(settings), Desk(board, LazySender(settings)), guard).add_to(application)


def run_console(settings: Settings) -> None:
    """Serve the page from the topics alone, until stopped."""
    application = web.Application()
    add_console(application, settings, guard_of(settings))

    async def home(_: web.Request) -> web.Response:
        raise web.HTTPFound("/ops/")

    application.router.add_get("/", home)
    log.info("ops.started host=%s port=%d", settings.web.host, settings.web.port)
    try:
        web.run_app(application, host=settings.web.host, port=settings.web.port, print=None, access_log=None)
    except OSError as error:
        raise MeanderError(
            f"{settings.web.host}:{settings.web.port} cannot be listened on: {error.strerror}. "
            "Name another with --host and --port"
        ) from None
