"""The layer around the test server in which planned faults happen, and the connections that allow them."""

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fhir_srs.testing.exchange import Exchange, asked_of
from fhir_srs.testing.faults import Planned


class Faulty:
    """ASGI middleware around everything: the first of *faults* that is due happens; else all is as ever."""

    def __init__(self, app: ASGIApp, faults: Sequence[Planned]) -> None:
        self._app, self._faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the fault happen, or pass on as it came."""
        asked = await asked_of(scope, receive)
        due = [one for one in self._faults if one.is_due(asked)]
        if due:
            planned = due[0]
            exchange = Exchange(asked, self._app, scope, receive, send, planned.value, planned.memory)
            await planned.fault.act(exchange)
            return
        await self._app(scope, _again(asked.body), send)


def _again(body: bytes) -> Receive:
    """What gives a body that was read a second time."""
    pending: list[Message] = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if pending:
            return pending.pop()
        return await asyncio.Future()

    return receive


class OpenProtocol(H11Protocol):
    """HTTP whose connection a fault may close: it is in the state of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
