"""A proxy before a real FHIR server that loses answers, loses rows, or says something else, on demand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Literal

import httpx

from tests.server.serving import serving

Lost = Literal["before", "after"]


@dataclass
class Proxy:
    """*lose* says of (method, path, body) whether request or answer is lost; *change* edits the answer."""

    upstream: str
    origin: str = ""
    lose: Callable[[str, str, bytes], Lost | None] = lambda method, path, body: None
    change: Callable[[str, str, bytes], bytes] = lambda method, path, answer: answer
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.origin}/fhir"


def _handler(proxy: Proxy, client: httpx.Client) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            proxy.seen.append((self.command, self.path, body))
            lost = proxy.lose(self.command, self.path, body)
            if lost == "before":
                return self._hang_up()
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
            answer = client.request(self.command, proxy.upstream + self.path, headers=headers, content=body)
            if lost == "after":
                return self._hang_up()
            content = answer.content.replace(proxy.upstream.encode(), proxy.origin.encode())
            return self._answer(answer, proxy.change(self.command, self.path, content))

        def _answer(self, answer: httpx.Response, content: bytes) -> None:
            self.send_response(answer.status_code)
            for name in ("content-type", "etag", "location"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _hang_up(self) -> None:
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

        do_GET = do_POST = do_PUT = _pass  # noqa: N815 - names of http.server

    return Handler


_OWN = {"host", "content-length", "connection", "accept-encoding"}


@contextmanager
def proxied(base_url: str) -> Iterator[Proxy]:
    """A running proxy before the server at *base_url*, which ends in `/fhir`."""
    proxy = Proxy(upstream=base_url.removesuffix("/fhir"))
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        serving(_handler(proxy, client)) as proxy.origin,
    ):
        yield proxy
