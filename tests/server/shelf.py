"""A server that only keeps what is put there, in transactions and batches, and can be made to fail."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.server.serving import serving

Json = dict[str, Any]


@dataclass
class Shelf:
    """*kept* is by reference; *most* entries fit a transaction; *deny* refuses; *keep* edits what comes."""

    origin: str = ""
    kept: dict[str, Json] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    most: int = 1000
    deny: Callable[[str], bool] = lambda reference: False
    keep: Callable[[Json], Json] = lambda resource: resource
    lose: list[str] = field(default_factory=list)  # for each transaction: "", "before", "after", "accepted"
    race: Callable[["Shelf"], None] | None = None  # runs before the next transaction
    transactions: list[list[str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.origin}/fhir"

    def put(self, resource: Json) -> int:
        """Keep *resource* as its next version; the status: 201 for a new one, 200 else."""
        name = f"{resource['resourceType']}/{resource['id']}"
        old = self.kept.get(name)
        new = self.keep(json.loads(json.dumps(resource)))
        if old is not None and {**old, "meta": {}} == {**new, "meta": {}}:
            return 200
        version = str(int(old["meta"]["versionId"]) + 1 if old else 1)
        self.kept[name] = {**new, "meta": {**new.get("meta", {}), "versionId": version}}
        return 200 if old else 201

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Json] | None:
        self.requests.append(f"{method} {path}")
        if method == "GET":
            return self._read(path.removeprefix("/fhir/"))
        bundle = json.loads(body)
        if bundle["type"] == "batch":
            return 200, _bundle("batch-response", [self._entry(one) for one in bundle["entry"]])
        return self._transaction(bundle["entry"])

    def _read(self, name: str) -> tuple[int, Json]:
        if name in self.gone:
            return 410, {"resourceType": "OperationOutcome"}
        found = self.kept.get(name)
        return (200, found) if found else (404, {"resourceType": "OperationOutcome"})

    def _entry(self, one: Json) -> Json:
        status, found = self._read(one["request"]["url"])
        return {"resource": found, "response": {"status": str(status)}}

    def _transaction(self, entries: list[Json]) -> tuple[int, Json] | None:
        names = [one["request"]["url"] for one in entries]
        self.transactions.append(names)
        if self.race is not None:
            race, self.race = self.race, None
            race(self)
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "before":
            return None
        status = self._refusal(entries)
        if status:
            return status, {"resourceType": "OperationOutcome"}
        done = [
            {"response": {"status": str(self.put(one["resource"])), "etag": self._etag(name)}}
            for one, name in zip(entries, names, strict=True)
        ]
        if lost == "after":
            return None
        return (202 if lost == "accepted" else 200), _bundle("transaction-response", done)

    def _etag(self, name: str) -> str:
        return f'W/"{self.kept[name]["meta"]["versionId"]}"' if name in self.kept else 'W/"1"'

    def _refusal(self, entries: list[Json]) -> int:
        if len(entries) > self.most:
            return 413
        if any(self.deny(one["request"]["url"]) for one in entries):
            return 422
        for one in entries:
            wanted = one["request"].get("ifMatch")
            found = self.kept.get(one["request"]["url"])
            if wanted and found and wanted != f'W/"{found["meta"]["versionId"]}"':
                return 409
        return 0


def _bundle(kind: str, entries: list[Json]) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


@contextmanager
def shelf() -> Iterator[Shelf]:
    one = Shelf()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answered = one.answer(self.command, self.path, body)
            if answered is None:
                self.close_connection = True
                return
            data = json.dumps(answered[1]).encode()
            self.send_response(answered[0])
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

        do_GET = do_POST = _answer  # noqa: N815 - names of http.server

    with serving(Handler) as one.origin:
        yield one
