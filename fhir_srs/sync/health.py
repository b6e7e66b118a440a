"""Whether a scheduled sync lives and is well, for a supervisor on this machine: `/livez` and `/readyz`.

`/livez`: the loop went round within ten minutes. `/readyz`: the last run that was done ended less than two
intervals ago, and the last run was not stopped by the brake (`spec/reliability.md` section 8). Loopback only;
what is said is about runs, never about patients.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fhir_srs.errors import LocalIOError
from fhir_srs.summary import RunSummary

_ALIVE = 600.0  # seconds: a request may take 300 of them


class Health:
    """What a scheduled sync last did, by *clock* in seconds; *interval* is that of the runs."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = interval, clock
        self._beat = clock()
        self._succeeded: float | None = None
        self._last: RunSummary | None = None

    def beat(self) -> None:
        """The loop goes round."""
        self._beat = self._clock()

    def ran(self, summary: RunSummary) -> None:
        """A run ended."""
        self._last = summary
        if summary.status == "done":
            self._succeeded = self._clock()

    def lives(self) -> dict[str, Any]:
        """Whether the loop goes round."""
        return {"ok": self._clock() - self._beat < _ALIVE}

    def is_ready(self) -> dict[str, Any]:
        """Whether results are as fresh as they should be, and how the last run ended."""
        last = self._last
        fresh = self._succeeded is not None and self._clock() - self._succeeded < 2 * self._interval
        braked = last is not None and last.status == "stopped"
        told = {"status": last.status, "exit_code": last.exit_code, "finished": last.finished} if last else {}
        return {"ok": fresh and not braked, **told}


@contextmanager
def answering(health: Health, port: int) -> Iterator[int]:
    """Give the port of 127.0.0.1 at which *health* is told while the block runs; 0 asks for a free one."""
    pages = {"/livez": health.lives, "/readyz": health.is_ready}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            content: dict[str, Any] = page() if page else {"ok": False}
            body = json.dumps(content).encode()
            self.send_response(404 if page is None else 200 if content["ok"] else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of who asks."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError:
        raise LocalIOError(f"cannot listen on port {port} of 127.0.0.1: is it taken?") from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
