"""What a FHIR server's answer means: a page, a copy, a result of a write, or an exception. No I/O.

Status codes, media types, Bundles, OperationOutcomes and Retry-After are judged here alone
(`spec/reliability.md` section 6). Of an OperationOutcome only code and expression are ever kept: its
diagnostics echo identifiers (H29).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

import msgspec

from fhir_srs.errors import (
    AccessRefused,
    Conflict,
    ProtocolViolation,
    RateLimited,
    ServerError,
    ServerRefused,
    TransportTransient,
)
from fhir_srs.fhir.careful import items, members

T = TypeVar("T")

# Section 6, F1, F2, F3: worth another try. 501 and the rest of 5xx are not.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_MEDIA = frozenset({"application/fhir+json", "application/json", "text/json"})
_CODE = re.compile(r"[a-z][a-z-]{0,39}")
_EXPRESSION = re.compile(r"[A-Za-z][A-Za-z0-9.\[\]()]{0,119}")
_LONGEST_WAIT = 600.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Status, headers with lower-case names, and the decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unreadable(TransportTransient):
    """A body that is no JSON, or not the object that was expected: cut off, mostly (F7, F8, F9)."""

    exit_code = 65


class PageExpired(ProtocolViolation):
    """410 on a page: the search has to start again (H2, F12). Never the end of the data."""


class RetryAfter(msgspec.Struct, frozen=True):
    """How long the server asks us to wait, in seconds; *clamped* if it asked for more or less."""

    seconds: float
    clamped: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a Bundle; *resource* is still bytes."""

    resource: msgspec.Raw = msgspec.Raw()
    search: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One Bundle: the resources of entries that match, and how to go on.

    *unreadable* counts entries that are no entries; *outcomes* are the codes of error or fatal issues.
    """

    resources: tuple[bytes, ...]
    total: int | None
    next: str | None
    self_link: str | None
    last_updated: str | None
    unreadable: int = 0
    outcomes: tuple[str, ...] = ()


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has under one id: `present` with version and body, `absent` (404), `deleted` (410)."""

    state: Literal["present", "absent", "deleted"]
    version: str | None = None
    body: bytes | None = None


class _Link(msgspec.Struct, frozen=True):
    relation: str = ""
    url: str = ""


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    last_updated: str | None = None
    version_id: str | None = None


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str
    type: str | None = None
    total: int | None = None
    meta: _Meta | None = None
    link: tuple[_Link, ...] = ()
    entry: tuple[msgspec.Raw, ...] = ()


class _Issue(msgspec.Struct, frozen=True):
    severity: str = ""
    code: str = ""
    expression: tuple[str, ...] = ()


class _Outcome(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str
    issue: tuple[_Issue, ...] = ()


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str = ""
    id: str = ""
    meta: _Meta | None = None


def check(answer: Answer, route: str) -> None:
    """
    Nothing for a 2xx with FHIR in it; else the exception that its status and body stand for.

    https://hl7.org/fhir/R4/http.html#Status-Codes and the table of `spec/reliability.md` section 6.
    """
    if 200 <= answer.status < 300:
        _check_media(answer, route)
        return
    raise refusal(answer, route)


def refusal(answer: Answer, route: str) -> ServerError:
    """The exception that an answer other than 2xx stands for."""
    status, message = answer.status, f"{route}: status {answer.status}{_why(answer)}"
    if status in TRANSIENT:
        wait = parse_retry_after(answer.headers.get("retry-after"), answer.headers.get("date"))
        clamped = ", retry-after-clamped" if wait and wait.clamped else ""
        kind = RateLimited if status == 429 else TransportTransient
        return kind(message + clamped, status=status, retry_after=wait.seconds if wait else None)
    if status in {401, 403}:
        return AccessRefused(message, status=status)
    if status in {409, 412}:
        return Conflict(message, status=status)
    if status == 410:
        return PageExpired(message, status=status)
    if 400 <= status < 600:
        return ServerRefused(message, status=status)
    return ProtocolViolation(message, status=status)


def _check_media(answer: Answer, route: str) -> None:
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in _MEDIA or (not answer.body and not media):
        return
    if media in {"text/html", "application/xhtml+xml"}:
        raise ProtocolViolation(f"{route}: HTML instead of FHIR; a login page?", status=answer.status)
    raise ProtocolViolation(f"{route}: not FHIR JSON", status=answer.status)


def _why(answer: Answer) -> str:
    """` (code at expression, ...)` from an OperationOutcome, or nothing; never its diagnostics."""
    reasons = issue_codes(answer.body)
    return f" ({', '.join(reasons[:5])})" if reasons else ""


def issue_codes(body: bytes, severities: Sequence[str] = ("error", "fatal", "")) -> tuple[str, ...]:
    """Code and expression of each issue of the OperationOutcome in *body*; empty if it is none."""
    try:
        outcome = msgspec.json.decode(body, type=_Outcome)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    if outcome.resource_type != "OperationOutcome":
        return ()
    return tuple(_code(issue) for issue in outcome.issue if issue.severity in severities)


def _code(issue: _Issue) -> str:
    code = issue.code if _CODE.fullmatch(issue.code) else "unknown"
    places = [text for text in issue.expression if _EXPRESSION.fullmatch(text)]
    return f"{code} at {places[0]}" if places else code


def decode(answer: Answer, route: str, kind: type[T]) -> T:
    """The body as *kind*; Unreadable where it is not, which a truncated body mostly is (F8)."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable(f"{route}: the body is no such JSON", status=answer.status) from None


def decipher_capabilities(answer: Answer, route: str) -> dict[str, Any]:
    """The CapabilityStatement as a dict; ProtocolViolation if the body is another resource."""
    check(answer, route)
    statement: dict[str, Any] = decode(answer, route, dict)
    if statement.get("resourceType") != "CapabilityStatement":
        raise ProtocolViolation(f"{route}: not a CapabilityStatement", status=answer.status)
    return statement


def decipher_page(answer: Answer, route: str) -> Page:
    """One page of a search. A Bundle of another type, or an OperationOutcome with 200, is no page (F11)."""
    check(answer, route)
    bundle, entries = _page(answer, route)
    links = {link.relation: link.url for link in bundle.link}
    resources: list[bytes] = []
    outcomes: list[str] = []
    unreadable = 0
    for entry in entries:
        body = b"" if entry is None else bytes(entry.resource)
        if entry is None or not body:
            unreadable += 1
        elif (entry.search or {}).get("mode") == "outcome":
            outcomes += issue_codes(body, ("error", "fatal"))
        else:
            resources.append(body)
    return Page(
        resources=tuple(resources),
        total=bundle.total,
        next=links.get("next") or None,
        self_link=links.get("self"),
        last_updated=bundle.meta.last_updated if bundle.meta else None,
        unreadable=unreadable,
        outcomes=tuple(outcomes),
    )


def _page(answer: Answer, route: str) -> tuple[_Bundle, list[Entry | None]]:
    """The Bundle and its entries; where a value poisons the whole page, taken apart with care."""
    try:
        bundle = _bundle(answer, route, "searchset")
    except Unreadable:
        parts = members(answer.body)
        raws = items(parts.pop(b"entry", b"[]")) if parts is not None else None
        if parts is None or raws is None:
            raise
        envelope = b"{" + b",".join(b'"%b":%b' % pair for pair in parts.items()) + b"}"
        rest = Answer(status=answer.status, headers=answer.headers, body=envelope)
        return _bundle(rest, route, "searchset"), [_entry(raw) or _careful(raw) for raw in raws]
    return bundle, [_entry(raw) for raw in bundle.entry]


def _careful(raw: bytes) -> Entry | None:
    """An entry whose resource no decoder takes, so that whoever reads it can say which one it is."""
    parts = members(raw) or {}
    return Entry(resource=msgspec.Raw(parts[b"resource"])) if parts.get(b"resource") else None


def decipher_count(answer: Answer, route: str) -> int | None:
    """The total of a `_summary=count` search, or None where the server does not say."""
    check(answer, route)
    return _bundle(answer, route, "searchset").total


def decipher_copy(answer: Answer, route: str) -> Copy:
    """What the server has under the id that was read."""
    if answer.status == 404:
        return Copy(state="absent")
    if answer.status == 410:
        return Copy(state="deleted")
    check(answer, route)
    return _copy(answer.body, answer.headers.get("etag"), route)


def decipher_copies(answer: Answer, route: str, wanted: int) -> tuple[Copy, ...]:
    """The copies of a batch of *wanted* reads, in their order (https://hl7.org/fhir/R4/http.html#brules)."""
    check(answer, route)
    bundle = _bundle(answer, route, "batch-response")
    entries = [_entry(raw) for raw in bundle.entry]
    if len(entries) != wanted:
        raise ProtocolViolation(f"{route}: another number of entries than asked for")
    return tuple(_copy_of(entry, route) for entry in entries)


def _copy_of(entry: Entry | None, route: str) -> Copy:
    response = (entry.response if entry else None) or {}
    status = _leading_status(response.get("status"))
    if entry is None or status is None:
        raise Unreadable(f"{route}: an entry without status")
    if status == 404:
        return Copy(state="absent")
    if status == 410:
        return Copy(state="deleted")
    if status != 200:
        raise refusal(Answer(status=status, headers={}, body=b""), route)
    return _copy(bytes(entry.resource), response.get("etag"), route)


def decipher_written(answer: Answer, route: str, wanted: int) -> tuple[str | None, ...]:
    """The new version of each entry of a transaction of *wanted* entries; None where it is not said."""
    check(answer, route)
    if answer.status not in {200, 201}:  # 202 and 204 do not say what was stored (section 2, Write)
        raise TransportTransient(f"{route}: status {answer.status}", status=answer.status)
    bundle = _bundle(answer, route, "transaction-response")
    if len(bundle.entry) != wanted:
        raise Unreadable(f"{route}: another number of entries than sent")
    return tuple(_version_of(_entry(raw)) for raw in bundle.entry)


def _version_of(entry: Entry | None) -> str | None:
    response = (entry.response if entry else None) or {}
    return parse_etag(response.get("etag"))


def _bundle(answer: Answer, route: str, kind: str) -> _Bundle:
    bundle = decode(answer, route, _Bundle)
    if bundle.resource_type != "Bundle":
        raise ProtocolViolation(f"{route}: not a Bundle{_why(answer)}", status=answer.status)
    if bundle.type != kind:
        raise ProtocolViolation(f"{route}: a Bundle that is no {kind}", status=answer.status)
    return bundle


def _entry(raw: bytes | msgspec.Raw) -> Entry | None:
    try:
        return msgspec.json.decode(raw, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _copy(body: bytes, etag: str | None, route: str) -> Copy:
    try:
        head = msgspec.json.decode(body, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable(f"{route}: the body is no such JSON") from None
    # The body's own meta comes first: ETags may be missing, weak, strong or several (F38).
    version = (head.meta.version_id if head.meta else None) or parse_etag(etag)
    return Copy(state="present", version=version, body=body)


def parse_etag(etag: str | None) -> str | None:
    """The version in `W/"3"` or `"3"`; None for anything else."""
    match = re.fullmatch(r'\s*(?:W/)?"([^"\s,]{1,64})"\s*', etag or "")
    return match.group(1) if match else None


def _leading_status(text: object) -> int | None:
    match = re.match(r"\d{3}", text) if isinstance(text, str) else None
    return int(match.group()) if match else None


def parse_retry_after(value: str | None, date_header: str | None) -> RetryAfter | None:
    """
    How long to wait, or None where *value* says nothing usable.

    Digits above 1e11 are epoch milliseconds, above 1e9 epoch seconds, else seconds; an HTTP-date too.
    Absolute times count from the answer's own *date_header*, never from our clock; without it they are
    ignored. Held to 0 to 600 seconds (`spec/reliability.md` section 6).
    """
    text = (value or "").strip()
    seconds = _seconds(text, http_date(date_header))
    if seconds is None:
        return None
    held = min(max(seconds, 0.0), _LONGEST_WAIT)
    return RetryAfter(held, held != seconds)


def _seconds(text: str, now: datetime | None) -> float | None:
    if re.fullmatch(r"[0-9]+", text):
        number = int(text[:40])
        if number <= 1_000_000_000:
            return float(number)
        epoch = number / 1000 if number > 100_000_000_000 else float(number)
        return epoch - now.timestamp() if now else None
    then = http_date(text)
    return (then - now).total_seconds() if then and now else None


def http_date(text: str | None) -> datetime | None:
    """The moment that an HTTP-date stands for, in UTC; None if it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
