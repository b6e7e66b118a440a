"""ASGI layers around the test server: the Date of its own clock, and a record of what it was asked."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Dated:
    """Adds the Date header: *clock* is the server's only time."""

    def __init__(self, app: ASGIApp, clock: Callable[[], datetime]) -> None:
        self._app, self._clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a Date where the answer starts."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                now = self._clock().astimezone(UTC)
                MutableHeaders(scope=message)["date"] = format_datetime(now, usegmt=True)
            await send(message)

        await self._app(scope, receive, dated)


class Recorder:
    """Notes method and path, with its query, of each request."""

    def __init__(self, app: ASGIApp, requests: list[tuple[str, str]]) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note, and pass on."""
        if scope["type"] == "http":
            query = scope["query_string"].decode()
            self._requests.append((scope["method"], scope["path"] + (f"?{query}" if query else "")))
        await self._app(scope, receive, send)
