"""``/metrics``, ``/livez`` and ``/readyz``: what machines ask a worker."""

import gzip
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.processing.tally import WorkerFacts

ENOUGH = 1000  # bytes from which compression pays


def add_probes(
    application: web.Application, registry: CollectorRegistry, facts: Callable[[], WorkerFacts]
) -> None:
    """Add them to a web server."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body, headers = encode(registry), {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if len(body) > ENOUGH and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=3)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        if facts().ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="restoring, rebalancing, or out of touch with the group\n")

    application.router.add_get("/metrics", metrics)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
