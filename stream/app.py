"""The composition root: settings in, a running worker out. The only module that sees everything."""

import faulthandler
import gc
import logging
import socket
import sys

from aiohttp import web
from faust import Worker

from learners.errors import MeanderError
from monitoring.ask import Counter
from monitoring.console import add_console, guard_of
from monitoring.metrics import registry_of
from monitoring.probes import add_probes
from stream.adapters.faust_app import MeanderApp, create_app
from stream.adapters.faust_worker import Lane
from stream.adapters.kafka_log import KafkaLog
from stream.adapters.keys import load_keys
from stream.adapters.retention import check_retention
from stream.adapters.stores import open_store
from stream.adapters.topics import PARTITIONED, check_topics
from stream.logs import set_up
from stream.processing.states import StoredStates
from stream.settings import Settings, Web

SWITCH = (
    0.0005  # seconds after which a thread lets others run: beside the lane work the consumer's, and snapshots
)
log = logging.getLogger("meander.worker")
COLLECTIONS = (10_000, 5, 400)
"""Thresholds of garbage collection. A full one walks through all that waits, so it comes seldom. A young one
stops whoever asks over HTTP for as long as it walks through what is new: 50,000 objects take some 8 ms."""


def build_app(settings: Settings) -> MeanderApp:
    """Put store, log and Faust app together."""
    store = open_store(settings)
    keys, advice = load_keys(settings)
    for sentence in (*store.advice(), *advice):
        log.warning("snapshots.advice %s", sentence)

    guard = guard_of(settings) if settings.web.port else None

    def pages(application: web.Application, lane: Lane) -> None:
        add_probes(application, registry_of(settings.definition.name, lane.facts), lane.facts)
        if guard is not None:
            add_console(application, settings, guard)
            Counter(lane, guard, settings.partitions, settings.web.ask_rate).add_to(application)

    return create_app(settings, store, keys, lambda: open_log(settings), pages)


def open_log(settings: Settings) -> KafkaLog:
    """Return a reader of the deployment's topics."""
    return KafkaLog(settings.definition.name, settings.kafka)


def open_states(settings: Settings, partition: int) -> StoredStates:
    """Return where a partition's states are that were learned again; opened once one is asked for."""
    return StoredStates(
        lambda digest: open_store(settings).get(partition, digest), lambda: load_keys(settings)[0]
    )


def check_port(web: Web) -> None:
    """Make sure that the web server can listen: Faust would start, and then crash.

    Raises
    ------
    MeanderError
        When it cannot.
    """
    if not web.port:
        return
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    try:
        socket.create_server((web.host, web.port), family=family).close()
    except OSError as error:
        raise MeanderError(
            f"{web.host}:{web.port} cannot be listened on: {error.strerror}. Each worker on a machine needs "
            "a port of its own: set MEANDER_WEB_PORT, or [web] port (0: no web server)"
        ) from None


def run_worker(settings: Settings, loglevel: str = "INFO") -> None:
    """Run until stopped. Exits the process: 0 after a clean stop, 1 after a crash."""
    faulthandler.enable()  # a crash below Python says where, too
    set_up(loglevel)
    check_port(settings.web)
    check_topics(settings)
    for sentence in check_retention(settings, PARTITIONED):
        log.warning("topics.advice %s", sentence)
    settings.folder.mkdir(parents=True, exist_ok=True)
    app = build_app(settings)
    app.finalize()
    # what was imported stays: no more of it is walked through, and the rest less often
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
    sys.setswitchinterval(SWITCH)
    quiet = not sys.stderr.isatty()  # else what is told is no longer JSON alone
    worker = Worker(app, quiet=quiet, override_logging=False, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()
