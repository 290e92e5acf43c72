"""The Faust app of a deployment: its settings, its agent and timers, and what each calls in the lane."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import faust
from aiohttp import web

from learners.definition import parse_duration
from learners.errors import MeanderError
from learners.snapshot import Keys
from stream.adapters.faust_worker import Lane
from stream.adapters.lane import LaneScheduler, LaneSchema, check_hooks
from stream.adapters.watchdog import Suspicion, Watchdog, leave_within
from stream.messages import Source
from stream.ports import OpenLog, StateStore
from stream.settings import Kafka, Settings

LEAST_PATIENCE = 15.0  # seconds for which a worker may stand still, or three sessions
EXIT_PATIENCE = 8.0  # seconds until a stopped worker that holds nothing any more must have ended
LOOKS = 8  # for partitions whose snapshot is due, in the time between two of one: they take turns
TICK_EVERY = 2.0  # seconds between two looks for silence
STATUS_EVERY = 1.0  # seconds
MAX_OUTPUT = 2 << 20  # bytes: an input as large as the broker takes, as a dead letter

Pages = Callable[[web.Application, Lane], None]  # adds what the web server shows
"""Adds what is served over HTTP to the web server of the worker whose lane it is."""


class MeanderApp(faust.App):
    """A genuine Faust app: worker, group, assignor, rebalances, signals, timers and web are Faust's."""

    lane: Lane
    pages: Pages
    idempotent: bool

    def on_webserver_init(self, web: Any) -> None:
        """Add the worker's own pages to Faust's web server."""
        super().on_webserver_init(web)
        self.pages(web.web_app, self.lane)


def create_app(
    settings: Settings, store: StateStore, keys: Keys, open_history: OpenLog, pages: Pages
) -> MeanderApp:
    """Build the Faust app of a deployment."""
    check_hooks()
    kafka = settings.kafka
    session = parse_duration(kafka.session_timeout, "kafka.session_timeout") / 1000
    app = MeanderApp(
        f"meander.{settings.definition.name}",
        broker=";".join(f"lane://{broker.strip()}" for broker in kafka.brokers.split(",")),
        broker_credentials=_credentials(kafka),
        ConsumerScheduler=LaneScheduler,
        agent_supervisor="mode.CrashingSupervisor",
        store="memory://",
        datadir=str(settings.folder / "faust"),
        stream_buffer_maxsize=8,
        broker_max_poll_records=10_000,
        broker_session_timeout=session,
        broker_heartbeat_interval=min(3.0, session / 4),
        consumer_group_instance_id=kafka.instance_id,
        broker_request_timeout=max(60.0, session),
        broker_commit_interval=3600,
        # an idle member, a standby, must not leave the group; one that hangs is ended by the watchdog
        broker_max_poll_interval=timedelta(days=3650),
        consumer_max_fetch_size=2 << 20,
        consumer_auto_offset_reset="earliest",
        producer_max_batch_size=768 << 10,
        producer_max_request_size=MAX_OUTPUT,
        producer_request_timeout=60.0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
        web_enabled=bool(settings.web.port),
        web_bind=settings.web.host,
        web_port=settings.web.port or 6066,
        web_host=settings.web.host,
        web_tables_enabled=False,
        web_router_enabled=False,
        web_stats_enabled=False,
        web_graph_enabled=False,
    )
    app.pages = pages
    if kafka.embedded and kafka.transactions:
        raise MeanderError("the embedded broker knows no transactions: leave kafka.transactions out")
    app.idempotent = not kafka.embedded
    lane = app.lane = Lane(settings, app, store, keys, open_history)
    topic = app.topic(*(settings.topic(source.value) for source in Source), schema=LaneSchema(), acks=False)
    every = parse_duration(settings.snapshots.every, "snapshots.every") / 1000

    @app.agent(topic, name="lane")
    async def process(stream: Any) -> None:
        async for event in stream.events():
            await lane.handle(event.value, event.message.generation_id)

    @app.task  # type: ignore[untyped-decorator]
    async def save() -> None:
        while True:  # not a timer: Faust warns of each look that takes longer than until the next
            await asyncio.sleep(every / LOOKS)
            await lane.save()

    @app.timer(TICK_EVERY)  # type: ignore[untyped-decorator]
    async def tick() -> None:
        await lane.tick()

    @app.timer(STATUS_EVERY)  # type: ignore[untyped-decorator]
    async def tell() -> None:
        await lane.tell()

    @app.task  # type: ignore[untyped-decorator]
    async def pulse() -> None:
        watchdog = Watchdog(lane.signs, Suspicion(max(LEAST_PATIENCE, 3 * session)), lane.lease.clock)
        watchdog.start()
        try:
            while True:
                lane.pulse += 1
                await asyncio.sleep(1.0)
        finally:
            watchdog.stop()

    @app.on_rebalance_complete.connect(weak=False)
    async def restore(*_: Any, **__: Any) -> None:
        await lane.restore()

    @app.on_partitions_revoked.connect(weak=False)
    async def release(*_: Any, **__: Any) -> None:
        await lane.release()

    @app.on_before_shutdown.connect(weak=False)
    async def last(*_: Any, **__: Any) -> None:
        await lane.release()
        leave_within(EXIT_PATIENCE)

    return app


def _credentials(kafka: Kafka) -> Any:
    if kafka.security == "PLAINTEXT":
        return None
    context = None
    if kafka.security.endswith("SSL"):
        context = ssl.create_default_context(cafile=kafka.ca_file)
        if kafka.certificate_file:
            context.load_cert_chain(kafka.certificate_file, kafka.key_file)
    if kafka.security == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        mechanism=kafka.mechanism, username=kafka.username, password=kafka.password, ssl_context=context
    )
