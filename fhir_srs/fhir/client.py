"""The shell around `fhir_srs.fhir.sansio`: sends a Request over httpx and hands back what it means.

Bounds live here: one deadline for each request, caps on bytes before and after decompression, at most six
tries, a budget of waiting for the whole run. What is logged: route templates, statuses, counts. Nothing of
httpx or httpcore leaves as an exception; they carry addresses (`spec/reliability.md` sections 6 and 7).
"""

import logging
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urljoin

import httpcore
import httpx
import msgspec
import tenacity

from fhir_srs.errors import ConfigurationError, ProtocolViolation, SecurityViolation, TransportTransient
from fhir_srs.fhir.answers import Answer, Unreadable
from fhir_srs.fhir.auth import Credentials
from fhir_srs.fhir.sansio import Origin, Request, external, guarded, is_loopback, origin
from fhir_srs.fhir.transport import Deadline, DeadlineTransport

T = TypeVar("T")

_LOG = logging.getLogger("fhir_srs.fhir")
_UNAUTHORIZED = 401
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NETWORK = (
    httpx.HTTPError,
    httpx.StreamError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
    OSError,
)
_GZIP = 16 + zlib.MAX_WBITS


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of `spec/reliability.md` section 6 (F1, F15, F20 to F23); times in seconds."""

    connect: float = 10.0
    read: float = 60.0
    total: float = 300.0
    body_bytes: int = 64 * 1024 * 1024
    ratio: int = 200
    tries: int = 6
    unreadable_tries: int = 3
    first_wait: float = 0.5
    longest_wait: float = 60.0
    waiting: float = 600.0
    redirects: int = 3
    connections: int = 2


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where the server is and what may be sent to it. *credentials* are secret: no repr shows them.

    *internal* are bases that it calls itself by behind a proxy.
    """

    base: str
    credentials: Credentials | None = None
    allowed: frozenset[Origin] = frozenset()
    internal: tuple[str, ...] = ()
    allow_insecure_loopback: bool = False
    ca_file: str | None = None

    def __repr__(self) -> str:
        return "Server(...)"


class Tally:
    """How often each route was answered, by class of status (`none`: not at all); retries by reason."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.routes: dict[str, dict[str, int]] = {}
        self.retries: dict[str, int] = {}

    def answered(self, route: str, kind: str) -> None:
        """One answer more."""
        with self._lock:
            kinds = self.routes.setdefault(route, {})
            kinds[kind] = kinds.get(kind, 0) + 1

    def again(self, error: BaseException | None) -> None:
        """One retry more, after *error*."""
        status = getattr(error, "status", None)
        reason = "unreadable" if isinstance(error, Unreadable) else str(status) if status else "network"
        with self._lock:
            self.retries[reason] = self.retries.get(reason, 0) + 1


class FhirClient:
    """
    One FHIR server. *sleep* waits (seconds), *clock* is monotonic, *random* is uniform in [0, 1).

    `ask` repeats reads within the limits; `send_once` is for writes, whose lost answers are ambiguous.
    """

    def __init__(
        self,
        server: Server,
        *,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        random: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        _check_scheme(server)
        silence()
        self.base = server.base
        self.allowed, self._internal = server.allowed, server.internal
        self.limits = limits or Limits()
        self.requests = 0
        self.tally = Tally()
        self._credentials = server.credentials
        self._sleep, self._clock, self._random = sleep, clock, random
        self._waited = 0.0
        self._deadline = Deadline(clock)
        self._http = self._open(server)

    def _open(self, server: Server) -> httpx.Client:
        headers = {"User-Agent": "fhir-srs", "Accept-Encoding": "gzip"}
        secure = server.ca_file or any(one[0] == "https" for one in (origin(server.base), *server.allowed))
        transport = DeadlineTransport(
            self._deadline,
            # Reading the certificates of the system takes 20 ms: not where nothing can be asked by TLS.
            verify=_tls(server.ca_file) if secure else None,
            connections=self.limits.connections,
        )
        timeout = httpx.Timeout(self.limits.read, connect=self.limits.connect)
        return httpx.Client(
            transport=transport, headers=headers, timeout=timeout, trust_env=False, follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections."""
        self._http.close()

    def followed(self, link: str) -> str:
        """*link* of a page as a whole URL that may be asked; SecurityViolation if it goes elsewhere."""
        link = external(link, base=self.base, internal=self._internal)
        return guarded(link, base=self.base, allowed=self.allowed)

    def lacking(self, types: Iterable[str], letters: str) -> list[str]:
        """The scopes, of *letters* on *types*, that the last token does not have; none where none is said."""
        return [] if self._credentials is None else self._credentials.missing(types, letters)

    def ask(self, request: Request, decipher: Callable[[Answer, str], T]) -> T:
        """
        What *decipher* makes of the answer to *request*, tried again while that may help (F1 to F9).

        Full jitter, at most six tries (three for a body that cannot be read), Retry-After honoured, all
        waiting of a run within its budget. *request* must be repeatable.
        """
        if not request.repeatable:
            raise ValueError("a write is sent once: " + request.route)
        retrying = tenacity.Retrying(
            sleep=self._wait,
            stop=self._enough,
            wait=self._pause,
            retry=tenacity.retry_if_exception_type(TransportTransient),
            reraise=True,
        )
        return retrying(lambda: decipher(self._answer(request), request.route))

    def send_once(self, request: Request, decipher: Callable[[Answer, str], T]) -> T:
        """What *decipher* makes of the one answer; TransportTransient means: was it done? Read back (I9)."""
        return decipher(self._answer(request), request.route)

    def _wait(self, seconds: float) -> None:
        self._waited += seconds
        self._sleep(seconds)

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        tries = self.limits.unreadable_tries if isinstance(error, Unreadable) else self.limits.tries
        spent = self._waited + state.upcoming_sleep > self.limits.waiting
        if not spent and state.attempt_number < tries:
            self.tally.again(error)
            told = {"attempt": state.attempt_number, "status": getattr(error, "status", None)}
            _LOG.warning("again: %s", error, extra=told)
            return False
        return True

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, TransportTransient) else None
        if asked is not None:
            return asked
        ceiling = min(self.limits.longest_wait, self.limits.first_wait * 2**state.attempt_number)
        return float(self._random() * ceiling)

    def _answer(self, request: Request) -> Answer:
        """The answer to *request*, after at most three redirects of a GET within the origin (F15)."""
        url = self._url(request.address)
        for _ in range(self.limits.redirects + 1):
            answer = self._exchange(request, url)
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.headers.get("location")
            if request.method != "GET" or not location:
                raise ProtocolViolation(f"{request.route}: redirected", status=answer.status)
            url = guarded(urljoin(url, location), base=self.base, allowed=self.allowed)
        raise ProtocolViolation(f"{request.route}: too many redirects")

    def _url(self, address: str) -> str:
        if "://" in address:
            return guarded(address, base=self.base, allowed=self.allowed)
        return f"{self.base}/{address}" if address else self.base

    def _exchange(self, request: Request, url: str) -> Answer:
        """The answer to *request*, with credentials; they are renewed once if they are refused (A10)."""
        if self._credentials is None:
            return self._send(request, url)
        header = self._credentials.authorization(self._send)
        answer = self._send(request, url, header)
        if answer.status == _UNAUTHORIZED and self._credentials.renew(header):
            answer = self._send(request, url, self._credentials.authorization(self._send))
        return answer

    def _send(self, request: Request, url: str, authorization: str | None = None) -> Answer:
        self.requests += 1
        headers = [*request.headers, *([("Authorization", authorization)] if authorization else [])]
        started = self._clock()
        self._deadline.start(self.limits.total)
        try:
            with self._http.stream(request.method, url, headers=headers, content=request.body) as response:
                self.tally.answered(request.route, f"{response.status_code // 100}xx")
                answer = Answer(
                    status=response.status_code,
                    headers=dict(response.headers),
                    body=self._body(response, request.route),
                )
        except _NETWORK as error:
            self._waited += self._clock() - started
            self.tally.answered(request.route, "none")
            raise _lost(request.route, error) from None
        self._tell(request.route, answer, self._clock() - started)
        return answer

    def _tell(self, route: str, answer: Answer, seconds: float) -> None:
        """One line of the log: what was answered, how long it took, and how much it was once unpacked."""
        told = {"status": answer.status, "duration_ms": round(seconds * 1000), "bytes": len(answer.body)}
        _LOG.info("answered: %s", route, extra=told)

    def _body(self, response: httpx.Response, route: str) -> bytes:
        """The decoded body, read piece by piece so that no cap is found out too late (F20, F21, F22)."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip"}:
            raise ProtocolViolation(f"{route}: an encoding that was not asked for")
        decoder = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        pieces, raw_bytes, size = [], 0, 0
        for chunk in response.iter_raw():
            raw_bytes += len(chunk)
            room = self.limits.body_bytes - size
            piece = chunk if decoder is None else _inflate(decoder, chunk, room + 1, route)
            size += len(piece)
            if size > self.limits.body_bytes or size > max(self.limits.ratio * raw_bytes, 1 << 20):
                raise ProtocolViolation(f"{route}: the body is larger than allowed")
            pieces.append(piece)
        if decoder is not None and raw_bytes and not decoder.eof:
            raise Unreadable(f"{route}: the compressed body was cut off")
        return b"".join(pieces)


def _inflate(decoder: "zlib._Decompress", chunk: bytes, room: int, route: str) -> bytes:
    try:
        return decoder.decompress(chunk, room)
    except zlib.error:
        raise Unreadable(f"{route}: the compressed body is damaged") from None


def _lost(route: str, error: Exception) -> Exception:
    """Our exception for one of the network; only the kind of the other is kept, its text has addresses."""
    refusal = _tls_refusal(error)
    if refusal is not None:
        return SecurityViolation(f"{route}: TLS failed{_why_not_trusted(refusal)}")
    return TransportTransient(f"{route}: {_unreachable(error) or type(error).__name__}")


# Why there is no connection at all, for an operator who has to mend it.
_UNREACHABLE: tuple[tuple[type[OSError], str], ...] = (
    (socket.gaierror, "the name of the server is not known"),
    (ConnectionRefusedError, "nothing listens at the address of the server"),
)


def _unreachable(error: BaseException | None) -> str | None:
    while error is not None:
        for kind, text in _UNREACHABLE:
            if isinstance(error, kind):
                return text
        error = error.__cause__ or error.__context__
    return None


# What OpenSSL found wrong with a certificate (X509_STORE_CTX_get_error), for an operator who has to mend it.
_NOT_TRUSTED: Mapping[int, str] = {
    10: "the certificate has expired",
    **dict.fromkeys((62, 64), "the certificate is for another host"),
    **dict.fromkeys((18, 19, 20, 21), "the certificate is of an authority that is not known here (ca_file)"),
    # ssl.VERIFY_X509_STRICT, which Python sets from 3.13 on.
    **dict.fromkeys(range(79, 94), "the certificate lacks something that RFC 5280 demands"),
}


def _tls_refusal(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS itself said no with (certificate, host, version); a connection cut off is no refusal."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return None if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) else error
        error = error.__cause__ or error.__context__
    return None


def _why_not_trusted(refusal: ssl.SSLError) -> str:
    text = _NOT_TRUSTED.get(getattr(refusal, "verify_code", 0))
    return f": {text}" if text else ""


def _check_scheme(server: Server) -> None:
    """Plain http only to this machine, or without credentials to an origin listed by name (A8)."""
    if origin(server.base)[0] == "https":
        return
    if server.allow_insecure_loopback and is_loopback(server.base):
        return
    if server.credentials is None and origin(server.base) in server.allowed:
        return
    raise ConfigurationError("base_url", ["http is for loopback with allow_insecure_loopback, else https"])


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies, TLS 1.2 or later, with the site's own CA where it has one (F27)."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:  # an OSError too
        raise ConfigurationError("ca_file", ["holds no certificate that can be read"]) from None
    except OSError as error:
        raise ConfigurationError("ca_file", [f"cannot be read ({error.strerror})"]) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def silence() -> None:
    """Keep httpx and httpcore quiet: they log whole addresses. Their warnings stay, to nobody else."""
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
