"""A small FHIR R4 server for tests: what it does it does as HAPI FHIR 8.8.0, the rest it refuses.

In memory, on 127.0.0.1. The contract suite in tests/server/contract holds it and HAPI to the same
behaviour; `metadata` says truly what it can do. Not for patients' data.
"""

import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_srs.testing.bundles import conditional_update, create, outcome, run_bundle
from fhir_srs.testing.search import Search, matches, only, parameters, read_search, since
from fhir_srs.testing.versions import TYPES, Json, Refusal, Version, Versions, decode, encode, stamp

MEDIA_TYPE = "application/fhir+json"
_JSON_TYPES = ("application/fhir+json", "application/json")
Handler = Callable[[Request], Awaitable[Response]]
Pairs = list[tuple[str, str]]


def utc_now() -> datetime:
    """The server's own clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an operator would set: default and largest page, how long a page link lives, a token."""

    default_count: int = 100
    page_cap: int | None = None
    page_seconds: float = 3600.0
    bearer_token: str | None = None


@dataclass(slots=True)
class _Pages:
    """Result sets that were begun, by the token in their links."""

    entries: list[Json]
    total: int
    self_link: str
    size: int
    read_at: datetime


@dataclass(slots=True)
class _State:
    versions: Versions
    limits: Limits
    clock: Callable[[], datetime]
    pages: dict[str, _Pages] = field(default_factory=dict)


def create_app(
    *,
    clock: Callable[[], datetime] = utc_now,
    limits: Limits | None = None,
    middleware: Sequence[Middleware] = (),
) -> Starlette:
    """The server as an ASGI application below `/fhir`; *middleware* goes around everything."""
    state = _State(Versions(clock), limits or Limits(), clock)
    service = _Service(state)
    routes = [
        Route(f"/fhir{path}", service.guarded(handler), methods=[method])
        for method, path, handler in service.table()
    ]
    around = [*middleware, Middleware(GZipMiddleware, minimum_size=1000)]
    handlers: dict[Any, Any] = {HTTPException: _no_route}
    app = Starlette(routes=routes, middleware=around, exception_handlers=handlers)
    app.state.versions = state.versions
    return app


async def _no_route(_request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _json(outcome("not-supported", "no such interaction"), status)


class _Service:
    """The interactions of FHIR REST, one method each."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._versions = state.versions

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler, the more specific paths first."""
        return [
            ("GET", "/metadata", self.metadata),
            ("GET", "/_history", self.history),
            ("POST", "", self.bundle),
            ("POST", "/", self.bundle),
            ("GET", "", self.page),
            ("GET", "/", self.page),
            ("POST", "/{type}/_search", self.search_by_post),
            ("GET", "/{type}/_history", self.history),
            ("GET", "/{type}/{id}/_history/{version}", self.vread),
            ("GET", "/{type}/{id}/_history", self.history),
            ("GET", "/{type}/{id}", self.read),
            ("PUT", "/{type}/{id}", self.update),
            ("DELETE", "/{type}/{id}", self.delete),
            ("GET", "/{type}", self.search),
            ("POST", "/{type}", self.create),
            ("PUT", "/{type}", self.conditional_update),
        ]

    def guarded(self, handler: Handler) -> Handler:
        """*handler* behind the token, its refusals as OperationOutcomes."""

        async def answer(request: Request) -> Response:
            try:
                self._authorise(request)
                return await handler(request)
            except Refusal as refusal:
                return _json(outcome(refusal.code, refusal.text), refusal.status)

        return answer

    def _authorise(self, request: Request) -> None:
        token = self._state.limits.bearer_token
        given = request.headers.get("authorization", "")
        if token is not None and not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Refusal(401, "login", "a bearer token is needed")

    async def metadata(self, request: Request) -> Response:
        """The CapabilityStatement: what the routes and search parameters really are."""
        return _json(_capabilities(_base(request), self._state.clock()))

    async def read(self, request: Request) -> Response:
        """The current version."""
        _plain(request)
        return _resource(self._versions.read(*_key(request)), 200)

    async def vread(self, request: Request) -> Response:
        """One version."""
        return _resource(self._versions.read_version(*_key(request), request.path_params["version"]), 200)

    async def create(self, request: Request) -> Response:
        """Create, or with If-None-Exist find."""
        body = await _body(request)
        condition = request.headers.get("if-none-exist")
        version, made = create(self._versions, request.path_params["type"], body, condition, self._find)
        return _written(request, version, 201 if made else 200)

    async def update(self, request: Request) -> Response:
        """PUT by id, with If-Match if sent."""
        _plain(request)
        body = await _body(request)
        version = self._versions.update(*_key(request), body, request.headers.get("if-match"))
        return _written(request, version, 201 if version.created else 200)

    async def conditional_update(self, request: Request) -> Response:
        """PUT by condition."""
        query = request.url.query
        if not query:
            raise Refusal(400, "required", "a PUT without id needs a condition")
        body = await _body(request)
        version = conditional_update(self._versions, request.path_params["type"], body, query, self._find)
        return _written(request, version, 201 if version.created else 200)

    async def delete(self, request: Request) -> Response:
        """DELETE by id."""
        _plain(request)
        self._versions.delete(*_key(request))
        return _json(outcome("informational", "deleted", "information"))

    async def bundle(self, request: Request) -> Response:
        """A transaction or a batch."""
        return _json(run_bundle(self._versions, await _body(request), self._find))

    async def search(self, request: Request) -> Response:
        """A search by GET."""
        return self._searched(request, parse_qsl(request.url.query, keep_blank_values=True), echo=True)

    async def search_by_post(self, request: Request) -> Response:
        """A search by POST; its self link names no parameters, as HAPI's does not (hapi.md row 17)."""
        text = (await request.body()).decode()
        pairs = parse_qsl(request.url.query, keep_blank_values=True) + parse_qsl(text, keep_blank_values=True)
        return self._searched(request, pairs, echo=False)

    def _find(self, resource_type: str, pairs: Pairs) -> list[Version]:
        return matches(read_search(resource_type, pairs), self._versions)

    def _searched(self, request: Request, pairs: Pairs, *, echo: bool) -> Response:
        resource_type = request.path_params["type"]
        self._versions.current(resource_type)
        search = read_search(resource_type, pairs)
        found = matches(search, self._versions)
        link = f"{_base(request)}/{resource_type}" + (f"?{urlencode(pairs)}" if echo and pairs else "")
        if search.count_only:
            return _json(self._bundle("searchset", [("self", link)], [], len(found)))
        entries = [_match(_base(request), search, version) for version in found]
        return self._first_page(request, "searchset", entries, link, search.count, total=search.total)

    async def history(self, request: Request) -> Response:
        """Versions of one resource, a type, or all, newest first."""
        pairs = dict(parse_qsl(request.url.query, keep_blank_values=True))
        if set(pairs) - {"_since", "_count", "_format"}:
            raise Refusal(400, "not-supported", "_history takes _since and _count")
        first = since(pairs.get("_since"))
        versions = self._versions.history(request.path_params.get("type"), request.path_params.get("id"))
        entries = [_past(_base(request), one) for one in versions if first is None or one.updated >= first]
        count = pairs.get("_count", "")
        size = int(count) if count.isdigit() and int(count) else None
        return self._first_page(request, "history", entries, str(request.url), size, total=True)

    def _first_page(
        self, request: Request, kind: str, entries: list[Json], link: str, count: int | None, *, total: bool
    ) -> Response:
        limits = self._state.limits
        size = min(count or limits.default_count, limits.page_cap or 1_000_000)
        links = [("self", link)]
        if len(entries) > size:
            token = secrets.token_urlsafe(16)
            self._state.pages[token] = _Pages(entries, len(entries), link, size, self._state.clock())
            links.append(("next", self._next(request, token, size, kind)))
        shown = len(entries) if total or len(entries) <= size else None
        return _json(self._bundle(kind, links, entries[:size], shown))

    def _next(self, request: Request, token: str, offset: int, kind: str) -> str:
        query = urlencode({"_getpages": token, "_getpagesoffset": offset, "_bundletype": kind})
        return f"{_base(request)}?{query}"

    async def page(self, request: Request) -> Response:
        """A further page; 410 once its links have expired."""
        pairs = dict(parse_qsl(request.url.query))
        pages = self._live_pages(pairs.get("_getpages", ""))
        offset, kind = int(pairs["_getpagesoffset"]), pairs["_bundletype"]
        links = [("self", pages.self_link)]
        if offset + pages.size < pages.total:
            links.append(("next", self._next(request, pairs["_getpages"], offset + pages.size, kind)))
        return _json(self._bundle(kind, links, pages.entries[offset : offset + pages.size], pages.total))

    def _live_pages(self, token: str) -> _Pages:
        if not token:
            raise Refusal(400, "not-supported", "no search across all types")
        now, life = self._state.clock(), timedelta(seconds=self._state.limits.page_seconds)
        pages = self._state.pages.get(token)
        if pages is None or now - pages.read_at > life:
            raise Refusal(410, "expired", "the search does not exist and may have expired")
        pages.read_at = now
        return pages

    def _bundle(
        self, kind: str, links: Iterable[tuple[str, str]], entries: list[Json], total: int | None
    ) -> Json:
        bundle: Json = {
            "resourceType": "Bundle",
            "id": secrets.token_hex(16),
            "meta": {"lastUpdated": stamp(self._state.clock())},
            "type": kind,
            "link": [{"relation": relation, "url": url} for relation, url in links],
        }
        if total is not None:
            bundle["total"] = total
        return bundle | ({"entry": entries} if entries else {})


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}/fhir"


def _key(request: Request) -> tuple[str, str]:
    return request.path_params["type"], request.path_params["id"]


def _plain(request: Request) -> None:
    """Refuse parameters where none is understood."""
    if set(dict(parse_qsl(request.url.query))) - {"_format"}:
        raise Refusal(400, "not-supported", "no parameters here")


async def _body(request: Request) -> Json:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if media_type not in _JSON_TYPES:
        raise Refusal(415, "not-supported", "the body must be application/fhir+json")
    return decode(await request.body())


def _json(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(body), status, headers, MEDIA_TYPE)


def _resource(version: Version, status: int) -> Response:
    headers = {
        "ETag": version.etag,
        "Last-Modified": format_datetime(version.updated, usegmt=True),
        "Content-Location": f"{version.type}/{version.id}/_history/{version.number}",
    }
    return Response(version.raw, status, headers, MEDIA_TYPE)


def _written(request: Request, version: Version, status: int) -> Response:
    answer = _resource(version, status)
    answer.headers["Content-Location"] = f"{_base(request)}/{answer.headers['Content-Location']}"
    if status == 201:
        answer.headers["Location"] = answer.headers["Content-Location"]
    if "return=minimal" in request.headers.get("prefer", ""):
        answer.body = b""
        answer.headers["content-length"] = "0"
    return answer


def _match(base: str, search: Search, version: Version) -> Json:
    body: Any = msgspec.Raw(version.raw)
    if search.elements is not None:
        body = only(search.elements, version.body or {})
    return {"fullUrl": f"{base}/{version.type}/{version.id}", "resource": body, "search": {"mode": "match"}}


def _past(base: str, version: Version) -> Json:
    address = f"{version.type}/{version.id}"
    entry: Json = {"fullUrl": f"{base}/{address}"}
    if version.body is None:
        request = {"method": "DELETE", "url": f"{address}/_history/{version.number}"}
        return entry | {"request": request, "response": {"status": "200 OK", "etag": version.etag}}
    method = "POST" if version.number == 1 and version.id.isdigit() else "PUT"
    url = version.type if method == "POST" else address
    status = "201 Created" if version.created else "200 OK"
    response = {"status": status, "etag": version.etag, "lastModified": version.stamp}
    return entry | {
        "resource": msgspec.Raw(version.raw),
        "request": {"method": method, "url": url},
        "response": response,
    }


_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "delete",
    "create",
    "search-type",
    "history-instance",
    "history-type",
)


def _capabilities(base: str, now: datetime) -> Json:
    resources = [
        {
            "type": name,
            "interaction": [{"code": code} for code in _INTERACTIONS],
            "versioning": "versioned-update",
            "readHistory": True,
            "updateCreate": True,
            "conditionalCreate": True,
            "conditionalUpdate": True,
            "referencePolicy": ["literal", "enforced"],
            "searchParam": [{"name": key, "type": kind} for key, kind in parameters(name).items()],
        }
        for name in sorted(TYPES)
    ]
    system = [{"code": code} for code in ("transaction", "batch", "history-system")]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": stamp(now),
        "kind": "instance",
        "software": {"name": "fhir-srs test server"},
        "implementation": {"description": "in memory, for tests", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "resource": resources, "interaction": system}],
    }


class _Recorder:
    """ASGI middleware that notes method and path of each request."""

    def __init__(self, app: ASGIApp, requests: list[tuple[str, str]]) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            query = scope["query_string"].decode()
            self._requests.append((scope["method"], scope["path"] + (f"?{query}" if query else "")))
        await self._app(scope, receive, send)


class RunningServer:
    """A server that listens: where, what it was asked, and a way to put resources in."""

    def __init__(self, base_url: str, versions: Versions, requests: list[tuple[str, str]]) -> None:
        self.base_url = base_url
        self.requests = requests
        self._versions = versions

    def load(self, resources: Iterable[Json]) -> None:
        """Put *resources*, each with its id, at one moment; their references may go in any order."""
        with self._versions.together():
            for resource in resources:
                body = decode(encode(resource))
                self._versions.update(body["resourceType"], body["id"], body)


@contextmanager
def running_server(
    resources: Iterable[Json] = (),
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    limits: Limits | None = None,
    clock: Callable[[], datetime] = utc_now,
    middleware: Sequence[Middleware] = (),
) -> Iterator[RunningServer]:
    """Serve on *host* (loopback unless said otherwise), at a free port for 0, while the block runs."""
    requests: list[tuple[str, str]] = []
    app = create_app(
        clock=clock, limits=limits, middleware=[Middleware(_Recorder, requests=requests), *middleware]
    )
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, lifespan="off", ws="none", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="fhir-srs-testserver", daemon=True)
    thread.start()
    try:
        bound = _wait(server, thread)
        running = RunningServer(f"http://{host}:{bound}/fhir", app.state.versions, requests)
        running.load(resources)
        yield running
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _wait(server: uvicorn.Server, thread: threading.Thread) -> int:
    """The port, once it listens; OSError if it never will."""
    while not server.started:
        if not thread.is_alive():
            raise OSError("the test server could not listen: is the port taken?")
        time.sleep(0.005)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port
