"""A socket that answers each request with the bytes it is given: what no FHIR server would send."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Write = Callable[[bytes], None]
Script = bytes | Callable[[Write], None]


class RawServer:
    """*scripts* are played one per request, the last one again and again; *requests* are heads and bodies."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = list(scripts)
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.base = f"{self.origin}/fhir"
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                request = _read(connection)
                if request:
                    self.requests.append(request)
                    self._play(self._next(), connection.sendall)
            except OSError:
                return

    def _next(self) -> Script:
        return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]

    def _play(self, script: Script, write: Write) -> None:
        if isinstance(script, bytes):
            write(script)
        else:
            script(write)

    def close(self) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for thread in self._threads:
            thread.join(5)


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def raw_server(*scripts: Script) -> Iterator[RawServer]:
    server = RawServer(scripts)
    try:
        yield server
    finally:
        server.close()


def http(status: int, body: bytes = b"", *headers: str, media: str = "application/fhir+json") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media}", f"Content-Length: {len(body)}"]
    lines += ["Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def unended(status: int, body: bytes, *headers: str, media: str = "application/fhir+json") -> bytes:
    """An answer without length: it ends where the connection does."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def dripping(head: bytes, piece: bytes, *, pause: float, times: int) -> Callable[[Write], None]:
    def play(write: Write) -> None:
        write(head)
        for _ in range(times):
            time.sleep(pause)
            write(piece)

    return play
