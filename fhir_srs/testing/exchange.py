"""One request to the test server and its answer, whole and in hand, for faults that change one of them."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("metadata", "count", "search", "page", "history", "read", "batch", "write", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: *query* and *form* as sent; *base* is the address of the server as the client knows it."""

    method: str
    path: str
    query: str
    body: bytes
    base: str

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Those of the address and of a form."""
        form = self.body.decode("latin-1") if self.path.endswith("/_search") else ""
        return parse_qsl("&".join(one for one in (self.query, form) if one), keep_blank_values=True)

    @property
    def type(self) -> str:
        """The resource type in the path, or nothing."""
        return self.path.removeprefix("/fhir").strip("/").partition("/")[0]

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        parts = self.path.removeprefix("/fhir").strip("/").split("/")
        if parts[-1] in {"metadata", "token"}:
            return parts[-1]
        if "_history" in parts and self.method == "GET":
            return "history" if len(parts) < 4 else "read"
        return self._get(parts) if self.method == "GET" else self._other(parts)

    def _get(self, parts: list[str]) -> str:
        if parts == [""]:
            return "page"
        return "read" if len(parts) > 1 else self._searched()

    def _other(self, parts: list[str]) -> str:
        if self.method == "POST" and parts[-1] == "_search":
            return self._searched()
        # Only a batch of reads is none of the writes.
        is_batch = parts == [""] and re.search(rb'"type"\s*:\s*"batch"', self.body) is not None
        return "batch" if is_batch else "write"

    def _searched(self) -> str:
        return "count" if ("_summary", "count") in self.parameters else "search"


@dataclass(slots=True)
class Answer:
    """An answer, not compressed; header names in lower case, without content-length."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass(slots=True)
class Exchange:
    """
    One request on its way. *memory* is the fault's own, over all its requests; *value* is its argument.

    `passed` asks the server; `give` answers the client, once.
    """

    asked: Asked
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    value: str
    memory: dict[Any, Any] = field(default_factory=dict)

    async def passed(self, *, query: str | None = None, body: bytes | None = None) -> Answer:
        """The server's answer, to another *query* or *body* where given."""
        answer = Answer(0, {}, b"")
        pending = [{"type": "http.request", "body": self.asked.body if body is None else body}]

        async def receive() -> Message:
            return pending.pop() if pending else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        await self.app(self._inner(query, body), receive, send)
        answer.headers.pop("content-length", None)
        return answer

    def _inner(self, query: str | None, body: bytes | None) -> Scope:
        length = str(len(self.asked.body if body is None else body)).encode()
        headers = [(name, value) for name, value in self.scope["headers"] if name not in _OURS]
        headers.append((b"content-length", length))
        asked = {"headers": headers}
        return {**self.scope, **asked, **({} if query is None else {"query_string": query.encode()})}

    async def give(self, answer: Answer) -> None:
        """*answer*, whole and with its length."""
        await self.start(answer.status, {**answer.headers, "content-length": str(len(answer.body))})
        await self.send({"type": "http.response.body", "body": answer.body})

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and *headers*; what follows is `more`."""
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def more(self, piece: bytes, *, last: bool = False) -> None:
        """A piece of the body."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": not last})

    def raw(self, data: bytes) -> None:
        """*data* as it is onto the connection."""
        self.scope["state"]["transport"].write(data)

    async def end(self) -> None:
        """Close the connection once what was written is sent."""
        self.scope["state"]["transport"].close()
        await self._gone()

    async def hang_up(self) -> None:
        """Close the connection at once."""
        self.scope["state"]["transport"].abort()
        await self._gone()

    async def _gone(self) -> None:
        """Only then may the application return: else the server writes an answer of its own."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


# Compression is the server's own affair; a changed body has another length.
_OURS = {b"accept-encoding", b"content-length"}

Act = Callable[[Exchange], Awaitable[None]]


async def asked_of(scope: Scope, receive: Receive) -> Asked:
    """The request of *scope*, its body read to the end."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = dict(scope["headers"])
    return Asked(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        body=body,
        base=f"{scope['scheme']}://{headers.get(b'host', b'').decode('latin-1')}/fhir",
    )
