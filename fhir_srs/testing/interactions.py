"""The interactions of FHIR REST that the test server has, one method each (https://hl7.org/fhir/R4/http.html)."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_srs.testing.answers import (
    bundle,
    json_answer,
    match_entry,
    outcome,
    past_entry,
    resource_answer,
    written_answer,
)
from fhir_srs.testing.bundles import run_bundle
from fhir_srs.testing.capabilities import capabilities
from fhir_srs.testing.conditions import conditional_create, conditional_update
from fhir_srs.testing.moments import bounds
from fhir_srs.testing.pages import Pages, Result
from fhir_srs.testing.parameters import ID
from fhir_srs.testing.search import matches, read_search
from fhir_srs.testing.validity import check_valid
from fhir_srs.testing.versions import Json, Refusal, Versions, Written, decode

_JSON_TYPES = frozenset({"application/fhir+json", "application/json"})
_ACCEPTED = _JSON_TYPES | {"*/*", "application/*", ""}
_FORM = "application/x-www-form-urlencoded"
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an operator would set: default and largest page, how long a page link lives, a token."""

    default_count: int = 100
    page_cap: int | None = None
    page_seconds: float = 3600.0
    bearer_token: str | None = None


class Interactions:
    """What can be asked of *versions*, within *limits*."""

    def __init__(self, versions: Versions, limits: Limits, clock: Callable[[], datetime]) -> None:
        self._versions, self._limits, self._clock = versions, limits, clock
        self._pages = Pages(clock, timedelta(seconds=limits.page_seconds))

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler, the more specific paths first. All but `metadata` need the token."""
        rows = [
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
        guarded = [(method, path, _answered(self._authorised(handler))) for method, path, handler in rows]
        return [("GET", "/metadata", _answered(self.metadata)), *guarded]

    def _authorised(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            token, given = self._limits.bearer_token, request.headers.get("authorization", "")
            if token is not None and not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
                raise Refusal(401, "login", "a bearer token is needed")
            return await handler(request)

        return answer

    async def metadata(self, request: Request) -> Response:
        """The CapabilityStatement: what the routes and search parameters really are."""
        return json_answer(capabilities(_base(request), self._clock()))

    async def read(self, request: Request) -> Response:
        """The current version; 304 if the client has it."""
        _plain(request)
        version = self._versions.read(*_key(request))
        if request.headers.get("if-none-match") == version.etag:
            return Response(status_code=304, headers={"ETag": version.etag})
        return resource_answer(_base(request), version)

    async def vread(self, request: Request) -> Response:
        """One version."""
        _plain(request)
        version = self._versions.read_version(*_key(request), request.path_params["version"])
        return resource_answer(_base(request), version)

    async def create(self, request: Request) -> Response:
        """Create, or with If-None-Exist find."""
        _plain(request)
        body, condition = await _resource(request), request.headers.get("if-none-exist")
        written = conditional_create(self._versions, request.path_params["type"], body, condition)
        return _written(request, written, by_post=True)

    async def update(self, request: Request) -> Response:
        """PUT by id, with If-Match if sent."""
        _plain(request)
        _without(request, "if-none-match")
        body, if_match = await _resource(request), request.headers.get("if-match")
        return _written(request, self._versions.update(*_key(request), body, if_match), by_post=False)

    async def conditional_update(self, request: Request) -> Response:
        """PUT by condition."""
        _without(request, "if-none-match", "if-match")
        body, condition = await _resource(request), request.url.query
        written = conditional_update(self._versions, request.path_params["type"], body, condition)
        return _written(request, written, by_post=False)

    async def delete(self, request: Request) -> Response:
        """DELETE by id; what is not there is deleted already."""
        _plain(request)
        _without(request, "if-match")
        self._versions.delete(*_key(request))
        return json_answer(outcome("informational", "deleted", "information"))

    async def bundle(self, request: Request) -> Response:
        """A transaction or a batch."""
        _plain(request)
        return json_answer(run_bundle(self._versions, await _body(request)))

    async def search(self, request: Request) -> Response:
        """A search by GET."""
        return self._searched(request, _query(request), echo=True)

    async def search_by_post(self, request: Request) -> Response:
        """A search by POST; its self link names no parameters, as HAPI's does not (hapi.md row 17)."""
        if _media_type(request) != _FORM:
            raise Refusal(400, "not-supported", f"the body must be {_FORM}")
        try:
            text = (await request.body()).decode("ascii")
        except UnicodeDecodeError:
            raise Refusal(400, "structure", "the form is not percent-encoded") from None
        return self._searched(request, _query(request) + parse_qsl(text, keep_blank_values=True), echo=False)

    def _searched(self, request: Request, pairs: list[tuple[str, str]], *, echo: bool) -> Response:
        search = read_search(request.path_params["type"], pairs)
        rows, shape = matches(search, self._versions), search.shape
        if shape.count_only:
            return json_answer(bundle("searchset", self._clock(), total=len(rows), subsetted=True))
        asked = f"?{urlencode(pairs)}" if pairs else ""
        address = f"{search.resource_type}{asked}" if echo else f"{search.resource_type}/_search"
        result = Result(
            kind="searchset",
            rows=rows,
            entry=partial(match_entry, _base(request), shape),
            self_link=f"{_base(request)}/{address}",
            size=self._size(shape.count),
            total=shape.total,
            subsetted=shape.summary,
        )
        return json_answer(self._pages.first(_base(request), result))

    async def history(self, request: Request) -> Response:
        """Versions of one resource, a type, or all, newest first; `_since` is inclusive."""
        asked = _only(request, "_since", "_count", "_format")
        since = bounds(asked["_since"])[0] if "_since" in asked else None
        count = asked.get("_count", str(self._limits.default_count))
        if not (count.isascii() and count.isdigit() and 0 < len(count) < 10 and int(count)):
            raise Refusal(400, "invalid", "_count must be a positive number")
        versions = self._versions.history(request.path_params.get("type"), request.path_params.get("id"))
        result = Result(
            kind="history",
            rows=[version for version in versions if since is None or version.updated >= since],
            entry=partial(past_entry, _base(request)),
            self_link=str(request.url),
            size=self._size(int(count)),
            total=True,
            subsetted=False,
        )
        return json_answer(self._pages.first(_base(request), result))

    def _size(self, count: int | None) -> int:
        size = count or self._limits.default_count
        return size if self._limits.page_cap is None else min(size, self._limits.page_cap)

    async def page(self, request: Request) -> Response:
        """A further page; 410 once its links have expired."""
        asked = _only(request, "_getpages", "_getpagesoffset", "_count", "_bundletype")
        if "_getpages" not in asked:
            raise Refusal(400, "not-supported", "no search across all types")
        token, offset = asked["_getpages"], asked.get("_getpagesoffset", "")
        return json_answer(self._pages.further(_base(request), token, offset))


def _answered(handler: Handler) -> Handler:
    """*handler*, its refusals as OperationOutcomes."""

    async def answer(request: Request) -> Response:
        try:
            _check_accept(request)
            return await handler(request)
        except Refusal as refusal:
            return refused(refusal)

    return answer


def refused(refusal: Refusal) -> Response:
    """*refusal* as an OperationOutcome."""
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    return json_answer(outcome(refusal.code, refusal.text), refusal.status, headers)


def _check_accept(request: Request) -> None:
    wanted = {one.partition(";")[0].strip() for one in request.headers.get("accept", "").split(",")}
    if not wanted & _ACCEPTED:
        raise Refusal(406, "not-supported", "this server writes JSON")


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}/fhir"


def _key(request: Request) -> tuple[str, str]:
    if not ID.fullmatch(request.path_params["id"]):
        raise Refusal(400, "not-supported", "neither an id nor an operation of this server")
    return request.path_params["type"], request.path_params["id"]


def _query(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.url.query, keep_blank_values=True)


def _only(request: Request, *names: str) -> dict[str, str]:
    """The parameters, each of *names* at most once; 400 for any other."""
    pairs = _query(request)
    if {name for name, _ in pairs} - set(names) or len(dict(pairs)) < len(pairs):
        raise Refusal(
            400, "not-supported", f"the parameters here are {', '.join(names) or 'none'}, once each"
        )
    return dict(pairs)


def _plain(request: Request) -> None:
    if _only(request, "_format").get("_format", "json") not in {"json", *_JSON_TYPES}:
        raise Refusal(406, "not-supported", "this server writes JSON")


def _without(request: Request, *headers: str) -> None:
    """HAPI ignores these conditions where they are sent (hapi.md row 24); here they are refused."""
    if any(name in request.headers for name in headers):
        raise Refusal(400, "not-supported", f"no {' or '.join(headers)} here")


def _written(request: Request, written: Written, *, by_post: bool) -> Response:
    prefer = request.headers.get("prefer", "")
    return written_answer(_base(request), written, by_post=by_post, prefer=prefer)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request) -> Json:
    if _media_type(request) not in _JSON_TYPES:
        raise Refusal(400, "not-supported", "the body must be application/fhir+json")
    return decode(await request.body())


async def _resource(request: Request) -> Json:
    body = await _body(request)
    if body.get("resourceType") != request.path_params["type"]:
        raise Refusal(400, "invalid", "the resourceType of the body is not that of the address")
    check_valid(body)
    return body
