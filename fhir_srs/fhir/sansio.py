"""The FHIR REST protocol as values: what to ask, and which addresses may be asked. No I/O, no clock.

A `Request` holds method, address, headers and body; what comes back is read in `fhir_srs.fhir.answers`.
The rules are those of https://hl7.org/fhir/R4/http.html and https://hl7.org/fhir/R4/search.html, with
what real servers do where a comment says so (`spec/hapi.md` part 2, `spec/reliability.md` section 5).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import msgspec

from fhir_srs.errors import ProtocolViolation, SecurityViolation

Origin = tuple[str, str, int]
One = TypeVar("One")

# https://hl7.org/fhir/R4/datatypes.html#id. Checked before an id becomes part of an address (F37).
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_JSON = ("Accept", "application/fhir+json")
# A result that the server kept from an identical search is not what is there now (H1). `no-store` is
# never sent: HAPI then cuts the answer to 100 rows without saying so (hapi.md 8).
_FRESH = ("Cache-Control", "no-cache")
# An unknown parameter is an error, not "everything" (H23).
_STRICT = ("Prefer", "handling=strict")
# HAPI refuses an address above some 7,995 characters (hapi.md 17); a token list stays well below.
_QUERY_LENGTH = 4_000


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. *address* is below the base, or a whole URL that `next_request` has let through.

    *route* is the template that may be logged: no id and no query. *repeatable* is true for reads alone:
    a write whose answer is lost is never sent again before the server's copy was read (I9).
    """

    method: Literal["GET", "POST", "PUT"]
    address: str
    route: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    repeatable: bool = True


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search on one type. *filters* say which rows, and are what the server's `self` must show."""

    type: str
    filters: tuple[tuple[str, str], ...]
    count: int
    sort: str | None = "_lastUpdated,_id"
    by_post: bool = False


def capabilities() -> Request:
    """The question what the server can do (https://hl7.org/fhir/R4/http.html#capabilities)."""
    return Request(method="GET", address="metadata", route="GET metadata", headers=(_JSON,))


def search_request(search: Search) -> Request:
    """The first page of *search*. Lists of patients go by POST: proxies log queries (section 7)."""
    query = [*search.filters, ("_count", str(search.count))]
    if search.sort:
        query.append(("_sort", search.sort))
    return _search(search, query)


def count_request(search: Search) -> Request:
    """How many rows *search* has: `_summary=count`, asked before the walk (completeness, step 5)."""
    return _search(search, [*search.filters, ("_summary", "count")])


def _search(search: Search, query: Sequence[tuple[str, str]]) -> Request:
    encoded = urlencode(query, quote_via=quote)
    headers = (_JSON, _FRESH, _STRICT)
    if not search.by_post:
        address, route = f"{search.type}?{encoded}", f"GET {search.type}"
        return Request(method="GET", address=address, route=route, headers=headers)
    return Request(
        method="POST",
        address=f"{search.type}/_search",
        route=f"POST {search.type}/_search",
        headers=(*headers, ("Content-Type", "application/x-www-form-urlencoded")),
        body=encoded.encode("ascii"),
    )


def next_request(search: Search, link: str, *, base: str, allowed: Iterable[Origin] = ()) -> Request:
    """The following page of *search*; *link* is opaque (H7), only its origin is judged (`guarded`)."""
    address = guarded(link, base=base, allowed=allowed)
    return Request(
        method="GET", address=address, route=f"GET {search.type} page", headers=(_JSON, _FRESH, _STRICT)
    )


def read_request(resource_type: str, resource_id: str) -> Request:
    """One resource by id; raises ProtocolViolation for an id that FHIR does not allow."""
    address = f"{resource_type}/{checked_id(resource_id)}"
    return Request(method="GET", address=address, route=f"GET {resource_type}/[id]", headers=(_JSON, _FRESH))


def bundle_request(kind: Literal["batch", "transaction"], entries: Sequence[Mapping[str, Any]]) -> Request:
    """A Bundle of *entries* to the base: a batch of reads may be repeated, a transaction may not."""
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return Request(
        method="POST",
        address="",
        route=f"POST {kind}",
        headers=(_JSON, ("Content-Type", "application/fhir+json")),
        body=msgspec.json.encode(bundle),
        repeatable=kind == "batch",
    )


def read_entry(reference: str) -> dict[str, Any]:
    """The batch entry that reads *reference* (`Observation/x`)."""
    resource_type, _, resource_id = reference.partition("/")
    return {"request": {"method": "GET", "url": f"{resource_type}/{checked_id(resource_id)}"}}


def put_entry(reference: str, resource: bytes, *, if_match: str | None = None) -> dict[str, Any]:
    """
    The transaction entry that puts *resource* at *reference*, only over version *if_match* where given.

    HAPI honours `ifMatch` in a transaction and fails the whole with 409 (hapi.md 25).
    """
    request = {"method": "PUT", "url": reference}
    if if_match is not None:
        request["ifMatch"] = f'W/"{if_match}"'
    return {"resource": msgspec.Raw(resource), "request": request}


def checked_id(resource_id: str) -> str:
    """*resource_id* if FHIR's grammar allows it; `../` and the like never reach an address."""
    if _ID.fullmatch(resource_id) is None or resource_id in {".", ".."}:
        raise ProtocolViolation("a resource id that FHIR does not allow")
    return resource_id


def origin(url: str) -> Origin:
    """Scheme, host and port of *url*. Raises SecurityViolation where it has no plain http(s) origin."""
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise SecurityViolation("an address with characters that no URL may hold")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SecurityViolation("an address that is no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise SecurityViolation("an address that is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise SecurityViolation("an address that carries user information")
    return parts.scheme, parts.hostname, port if port is not None else _PORTS[parts.scheme]


def is_loopback(url: str) -> bool:
    """Whether *url* names this machine itself."""
    return origin(url)[1] in _LOOPBACK


def guarded(link: str, *, base: str, allowed: Iterable[Origin] = ()) -> str:
    """
    *link* as a whole URL, if it stays at the origin of *base* or at an *allowed* one.

    Anything else (host, scheme, port, user information, `//host`, `file:`) is a SecurityViolation,
    before any connection: a client would send its credentials there (F14, I16).
    """
    if re.search(r"[\x00-\x20\x7f\\]", link):
        raise SecurityViolation("a link with characters that no URL may hold")
    try:
        url = urljoin(f"{base}/", link)
    except ValueError:
        raise SecurityViolation("a link that is no URL") from None
    if origin(url) not in {origin(base), *allowed}:
        raise SecurityViolation("a link to another origin (is the server behind a proxy: internal_bases?)")
    return url


def external(link: str, *, base: str, internal: Iterable[str]) -> str:
    """
    *link* as we can follow it, where the server writes one of its *internal* bases instead of *base* (H8).

    >>> external("http://hapi:8080/fhir?_getpages=1", base="https://x/fhir", internal=["http://hapi:8080/fhir"])
    'https://x/fhir?_getpages=1'
    """
    for one in internal:
        if link.startswith(one) and link[len(one) : len(one) + 1] in {"", "/", "?"}:
            return base + link[len(one) :]
    return link


# Each row of a patient names the same one.
@lru_cache(maxsize=1024)
def relative(reference: str | None, *, base: str) -> str | None:
    """
    `Type/id` of *reference* on our own server, else None: other servers are never asked (A9, F37).

    >>> relative("Patient/1/_history/2", base="https://x/fhir")
    'Patient/1'
    """
    if reference is None:
        return None
    path = reference.removeprefix(f"{base}/").split("/_history/")[0]
    resource_type, _, resource_id = path.partition("/")
    if not resource_type.isalpha() or _ID.fullmatch(resource_id) is None:
        return None
    return path


def shows_filters(self_link: str | None, search: Search) -> bool:
    """
    Whether the server's `self` shows every filter of *search*, as often as it was sent (H11, H23).

    A search by POST has a `self` without parameters (hapi.md 17): there the rows are judged instead,
    as they are where a server sends no `self`.
    """
    if search.by_post or self_link is None:
        return True
    shown = [name for name, _ in parse_qsl(urlsplit(self_link).query, keep_blank_values=True)]
    sent = [name for name, _ in search.filters]
    return all(shown.count(name) >= sent.count(name) for name in sent)


def since(moment: datetime) -> tuple[str, str]:
    """The filter for rows stamped at *moment* or later, in UTC to the millisecond (H11, hapi.md 2)."""
    return "_lastUpdated", f"ge{instant(moment)}"


def instant(moment: datetime) -> str:
    """*moment* in UTC as `2026-01-05T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def code_lists(codes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Values of a token parameter that together name all *codes* (system, code), each of bounded length."""
    batch: list[str] = []
    length = 0
    for system, code in codes:
        token = f"{system}|{code}"
        size = len(quote(token, safe="")) + 3
        if batch and length + size > _QUERY_LENGTH:
            yield ",".join(batch)
            batch, length = [], 0
        batch.append(token)
        length += size
    if batch:
        yield ",".join(batch)


def lists_of(size: int, values: Iterable[One]) -> Iterator[tuple[One, ...]]:
    """*values* in their order, in tuples of at most *size*."""
    batch: list[One] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
