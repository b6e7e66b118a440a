"""A small FHIR R4 server for tests: what it does it does as HAPI FHIR 8.8.0, the rest it refuses.

In memory, on 127.0.0.1. The contract suite in tests/server/contract holds it and HAPI to the same
behaviour; `metadata` says truly what it can do. Not for patients' data.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fhir_srs.testing.faults import Planned
from fhir_srs.testing.faulty import Faulty, OpenProtocol
from fhir_srs.testing.interactions import Interactions, Limits, refused
from fhir_srs.testing.middleware import Dated, Recorder
from fhir_srs.testing.versions import Json, Refusal, Versions, decode, encode

__all__ = ["Limits", "RunningServer", "create_app", "running_server", "utc_now"]

_KEEP_ALIVE = 60  # seconds, as HAPI (hapi.md row 19)
_GZIP_LEVEL = 4  # level 9 takes three times as long for a tenth less


def utc_now() -> datetime:
    """The time of the machine."""
    return datetime.now(UTC)


def create_app(
    *,
    clock: Callable[[], datetime] = utc_now,
    limits: Limits | None = None,
    middleware: Sequence[Middleware] = (),
) -> Starlette:
    """The server as an ASGI application below `/fhir`; *middleware* goes around everything.

    `app.state.versions` is its store, for the thread that serves alone.
    """
    versions = Versions(clock)
    interactions = Interactions(versions, limits or Limits(), clock)
    routes = [Route(f"/fhir{path}", handler, methods=[verb]) for verb, path, handler in interactions.table()]
    around = [
        *middleware,
        Middleware(Dated, clock=clock),
        Middleware(GZipMiddleware, minimum_size=1000, compresslevel=_GZIP_LEVEL),
    ]
    handlers: dict[Any, Any] = {HTTPException: _no_route}
    app = Starlette(routes=routes, middleware=around, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.versions = versions
    return app


async def _no_route(_request: Request, _error: HTTPException) -> Response:
    """HAPI says 400, not 404 or 405, of what it does not know how to handle."""
    return refused(Refusal(400, "not-supported", "this server has no such interaction"))


class RunningServer:
    """A server that listens: its base address, what it was asked so far, and a way to put resources in."""

    def __init__(
        self,
        base_url: str,
        versions: Versions,
        loop: asyncio.AbstractEventLoop,
        requests: list[tuple[str, str]],
    ) -> None:
        self.base_url = base_url
        self.requests = requests
        self._versions, self._loop = versions, loop

    def load(self, resources: Iterable[Json]) -> None:
        """Put *resources*, each with its id, at one moment; their references may go in any order.

        They are not validated: what a real server would hold of bad data can be put here, and only here.
        """
        bodies = [decode(encode(resource)) for resource in resources]
        asyncio.run_coroutine_threadsafe(self._load(bodies), self._loop).result()

    async def _load(self, bodies: Sequence[Json]) -> None:
        with self._versions.together():
            for body in bodies:
                self._versions.update(body["resourceType"], body["id"], body)


@contextmanager
def running_server(
    resources: Iterable[Json] = (),
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    limits: Limits | None = None,
    clock: Callable[[], datetime] = utc_now,
    middleware: Sequence[Middleware] = (),
    faults: Sequence[Planned] | None = None,
) -> Iterator[RunningServer]:
    """Serve on *host* (loopback unless said otherwise), at a free port for 0, while the block runs.

    *faults* happen to the requests that they are planned for; the caller may change the list meanwhile.
    OSError if the port is taken.
    """
    requests: list[tuple[str, str]] = []
    app = create_app(clock=clock, limits=limits, middleware=middleware)
    around: ASGIApp = app if faults is None else Dated(Faulty(app, faults), clock)
    noted = Recorder(around, requests)
    with _listening(host, port) as listener, _serving(noted, listener) as loop:
        bound = listener.getsockname()[1]
        running = RunningServer(f"http://{host}:{bound}/fhir", app.state.versions, loop, requests)
        running.load(resources)
        yield running


def _listening(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY by it; without, each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _serving(app: ASGIApp, listener: socket.socket) -> Iterator[asyncio.AbstractEventLoop]:
    """*app* served by a thread of its own; its event loop, until the block ends."""
    config = uvicorn.Config(
        app,
        http=OpenProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        loop="asyncio",
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )
    server, loop = uvicorn.Server(config), asyncio.new_event_loop()
    thread = threading.Thread(
        target=_serve, args=(server, loop, listener), name="fhir-srs-testserver", daemon=True
    )
    thread.start()
    try:
        yield loop
    finally:
        server.should_exit = True
        thread.join()
        loop.close()


def _serve(server: uvicorn.Server, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
    loop.run_until_complete(server.serve(sockets=[listener]))
