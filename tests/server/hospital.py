"""A server of searches alone whose paging can be bent: the toggles are rows H and F of reliability.md."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tests.server.serving import serving

Json = dict[str, Any]
STAMP = "2026-01-05T10:00:00.000Z"
DATE = "Mon, 05 Jan 2026 12:00:00 GMT"


@dataclass
class Hospital:
    """*resources* without paging cap unless *cap*; each other field is one fault."""

    resources: list[Json]
    origin: str = ""
    cap: int = 1000
    expire: int = 0  # so many pages answer 410 (H2, F12)
    hide_next: int = 0  # so many searches lack their next link (H5)
    loop: bool = False  # next names the page itself (F13)
    endless: bool = False  # next always has another, without anything new (F13)
    empty_tail: bool = False  # one more next, with nothing behind it (H4)
    ignored: frozenset[str] = frozenset()  # filters that do nothing and that self does not show (F19, H11)
    outcome: bool = False  # a search has an entry with an error (F11)
    uncounted: bool = False  # _summary=count has no total
    next_origin: str = ""  # the next link goes elsewhere (F14)
    overlapping: bool = False  # pages repeat the last row of the page before (H6)
    histories: bool = True  # there is a history of each type (H10)
    deleted: list[str] = field(default_factory=list)  # `Type/id`, as the history tells it
    denied: frozenset[str] = frozenset()  # types that answer 403
    bare_deletes: bool = False  # DELETE entries name no version
    queries: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.origin}/fhir"

    def answer(self, method: str, target: str, body: str) -> tuple[int, Json]:
        self.queries.append(f"{method} {target} {body}")
        parts = urlsplit(target)
        kind = parts.path.removeprefix("/fhir/").split("/")[0]
        if kind == "metadata":
            return 200, _capabilities(sorted({one["resourceType"] for one in self.resources}), self.histories)
        if kind in self.denied:
            return 403, {"resourceType": "OperationOutcome"}
        if method == "POST" and not kind:
            return 200, self._batch(json.loads(body))
        names = parts.path.removeprefix("/fhir/").split("/")
        if names[1:] == ["_history"]:
            return 200, self._history(kind)
        if method == "GET" and len(names) == 2:
            return self._read("/".join(names))
        query = parse_qsl(body) if method == "POST" else parse_qsl(parts.query)
        return self._search(kind, [(name, value) for name, value in query if name not in self.ignored])

    def _history(self, kind: str) -> Json:
        names = [one for one in self.deleted if one.startswith(f"{kind}/")]
        version = "" if self.bare_deletes else "/_history/2"
        entries: list[Json] = [{"request": {"method": "DELETE", "url": f"{one}{version}"}} for one in names]
        return {"resourceType": "Bundle", "type": "history", "entry": entries}

    def _read(self, name: str) -> tuple[int, Json]:
        for one in self.resources:
            if f"{one['resourceType']}/{one['id']}" == name:
                return 200, one
        return (410 if name in self.deleted else 404), {"resourceType": "OperationOutcome"}

    def _batch(self, asked: Json) -> Json:
        answers = [self._read(one["request"]["url"]) for one in asked["entry"]]
        entries = [{"resource": body, "response": {"status": str(status)}} for status, body in answers]
        return {"resourceType": "Bundle", "type": "batch-response", "entry": entries}

    def remove(self, name: str, *, trace: bool = True) -> None:
        """Delete `Type/id`; without *trace* it is expunged."""
        self.resources = [one for one in self.resources if f"{one['resourceType']}/{one['id']}" != name]
        if trace:
            self.deleted.append(name)

    def _search(self, kind: str, query: list[tuple[str, str]]) -> tuple[int, Json]:
        values = dict(query)
        rows = [one for one in self.resources if one["resourceType"] == kind and _matches(one, query)]
        if values.get("_summary") == "count":
            return 200, _bundle(None if self.uncounted else len(rows), [], [])
        start = int(values.get("page", 0))
        if start and self.expire:
            self.expire -= 1
            return 410, {"resourceType": "OperationOutcome"}
        size = min(int(values["_count"]), self.cap)
        back = 1 if self.overlapping and start else 0
        page = rows[max(start - back, 0) : start + size]
        entries = [{"resource": one, "search": {"mode": "match"}} for one in page]
        if self.outcome:
            issue = {"severity": "error", "code": "timeout", "diagnostics": "Jane Doe"}
            entries.append(
                {
                    "resource": {"resourceType": "OperationOutcome", "issue": [issue]},
                    "search": {"mode": "outcome"},
                }
            )
        return 200, _bundle(None, entries, self._links(kind, query, start, size, len(rows)))

    def _links(self, kind: str, query: list[tuple[str, str]], start: int, size: int, rows: int) -> list[Json]:
        kept = [(name, value) for name, value in query if name != "page"]
        address = f"{self.next_origin or self.origin}/fhir/{kind}?"
        links = [{"relation": "self", "url": f"{self.base}/{kind}?{urlencode(kept)}"}]
        following = start if self.loop and start else start + size
        more = following < rows + (size if self.empty_tail else 0) or self.endless or (self.loop and start)
        if more and self.hide_next and start + size < rows:
            self.hide_next -= 1
        elif more:
            links.append({"relation": "next", "url": address + urlencode([*kept, ("page", str(following))])})
        return links


def _matches(one: Json, query: Sequence[tuple[str, str]]) -> bool:
    return all(_fits(one, name, value.split(",")) for name, value in query)


def _fits(one: Json, name: str, values: list[str]) -> bool:
    subject = (one.get("subject") or one.get("patient") or {}).get("reference")
    code = one.get("code")
    codings = code.get("coding", []) if isinstance(code, dict) else []
    tokens = [f"{c.get('system')}|{c.get('code')}" for c in codings]
    tests = {
        "code": lambda: bool(set(tokens) & set(values)),
        "patient": lambda: subject in values,
        "subject": lambda: subject in values,
        "_id": lambda: one["id"] in values,
        "_lastUpdated": lambda: one["meta"]["lastUpdated"] >= values[0].removeprefix("ge"),
    }
    return tests.get(name, lambda: True)()


def _bundle(total: int | None, entries: list[Json], links: list[Json]) -> Json:
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}
    bundle["meta"] = {"lastUpdated": "2026-01-05T12:00:01.000Z"}
    return bundle if total is None else {**bundle, "total": total}


def _capabilities(kinds: Sequence[str], histories: bool) -> Json:
    codes = ["search-type", "history-type"] if histories else ["search-type"]
    resources = [{"type": kind, "interaction": [{"code": code} for code in codes]} for kind in kinds]
    return {"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "resource": resources}]}


def stamped(resource: Json, *, version: str = "1", at: str = STAMP) -> Json:
    return {**resource, "meta": {"versionId": version, "lastUpdated": at}}


@contextmanager
def hospital(resources: list[Json]) -> Iterator[Hospital]:
    """A running server of *resources*, each with a version and a stamp."""
    one = Hospital([stamped(resource) for resource in resources])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            status, content = one.answer(self.command, self.path, body)
            data = json.dumps(content).encode()
            self.send_response_only(status)
            self.send_header("Date", DATE)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

        do_GET = do_POST = _answer  # noqa: N815 - names of http.server

    with serving(Handler) as one.origin:
        yield one


def filters(query: str) -> dict[str, list[str]]:
    """The parameters of a recorded query."""
    return parse_qs(urlsplit(query.split(" ")[1]).query or query.split(" ", 2)[2])
