"""Pull from a real HAPI server into a store, as a sync does. Reference: the same pages, thrown away.

    python -m benchmarks.bench_pull {note|ours|pages|requests} BASE NOTES

Ours asks for counts, proves each search, decodes, scrubs and stores. The reference `pages` asks for the same
pages over plain httpx with as many connections, follows `next`, and looks at nothing else; `requests` asks
for the counts too, which shows how much of our time the server takes to count. NOTES is a file with the
requests, made by an unmeasured run of ours.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import msgspec

from benchmarks.gen import records
from benchmarks.measure import Round, compare, fresh, report
from fhir_srs.config import Sync
from fhir_srs.fhir.answers import Answer
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.fhir.sansio import Request
from fhir_srs.mapping.profile import load_profile
from fhir_srs.progress import silent
from fhir_srs.store import open_store
from fhir_srs.sync.definitions import intake
from fhir_srs.sync.pull import Pull

T = TypeVar("T")
SYNC = Sync()  # the defaults: what a user who sets nothing gets
MATCH = b'"mode":"match"'  # one in every entry of a searchset
NEXT = re.compile(rb'"relation":"next","url":"([^"]+)"')
LOADERS = 4  # the fastest way to load a cohort into HAPI (spec/hapi.md, rates)


class Notes(msgspec.Struct):
    """The first request of each search, in order, and the questions for a count."""

    searches: list[Request] = []
    counts: list[Request] = []


def rounds(
    base: str, number: int, *, reference: Literal["pages", "requests"], server: int | None
) -> list[Round]:
    """*number* rounds on wall time, against the server at *base* with process id *server*."""
    with tempfile.TemporaryDirectory() as folder:
        notes = str(Path(folder) / "notes.json")
        fresh(["benchmarks.bench_pull", "note", base, notes])
        return compare(
            ["benchmarks.bench_pull", reference, base, notes],
            ["benchmarks.bench_pull", "ours", base, notes],
            rounds=number,
            clock="wall",
            same=("pages", "resources"),
            server=server,
        )


def load_server(base: str, patients: int, seed: int) -> int:
    """Puts the generator's patients on the server, one transaction each; how many resources that were."""
    with httpx.Client(base_url=f"{base}/", timeout=300) as http, ThreadPoolExecutor(LOADERS) as threads:
        return sum(threads.map(lambda one: _transact(http, one.resources), records(patients, seed)))


def _transact(http: httpx.Client, resources: list[dict[str, Any]]) -> int:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries}).raise_for_status()
    return len(entries)


class NotingClient(FhirClient):
    """Our client; it counts pages and their entries, and notes the requests that `Notes` has."""

    def __init__(self, server: Server) -> None:
        super().__init__(server, sleep=time.sleep, clock=time.monotonic, random=random.random)
        self.notes = Notes()
        self.pages = 0
        self.resources = 0

    def ask(self, request: Request, decipher: Callable[[Answer, str], T]) -> T:
        question = request.address + (request.body or b"").decode()
        following = request.route.endswith(" page")
        if "_summary=count" in question:
            self.notes.counts.append(request)
        elif "_count=" in question and not following:
            self.notes.searches.append(request)
        elif not following:
            return super().ask(request, decipher)
        self.pages += "_summary=count" not in question
        return super().ask(request, lambda answer, route: self._noted(answer, route, decipher))

    def _noted(self, answer: Answer, route: str, decipher: Callable[[Answer, str], T]) -> T:
        self.resources += answer.body.count(MATCH)
        return decipher(answer, route)


def pull(base: str, notes: Path, *, note: bool) -> None:
    """Everything of the cohort into an empty store."""
    server = Server(base=base, allow_insecure_loopback=True)
    with tempfile.TemporaryDirectory() as folder, NotingClient(server) as client:
        with open_store(Path(folder), base) as store:
            profile = load_profile("mcode")
            pulling = Pull(
                client,
                store,
                run="benchmark",
                intake=intake(profile, base=base, echo="urn:example:result"),
                count=SYNC.count,
                overlap=SYNC.overlap,
                lag=SYNC.lag,
                report=silent,
                stop=lambda: False,
                now="2026-01-01T00:00:00Z",
            )
            pulling.capabilities()
            store.begin_run("benchmark", started="2026-01-01T00:00:00Z", capabilities="{}")
            report(
                lambda: pulling.pull(full=True),
                lambda _: {"pages": client.pages, "resources": client.resources},
            )
        if note:
            notes.write_bytes(msgspec.json.encode(client.notes))


def read(base: str, notes: Path, *, counts: bool) -> None:
    """The same pages, as fast as httpx gives them, and the *counts* too if wanted."""
    noted = msgspec.json.decode(notes.read_bytes(), type=Notes)
    requests = [*noted.searches, *(noted.counts if counts else [])]
    limits = httpx.Limits(max_connections=SYNC.connections)
    with (
        httpx.Client(limits=limits, headers={"Accept-Encoding": "gzip"}, timeout=300) as http,
        ThreadPoolExecutor(SYNC.connections) as threads,
    ):
        report(
            lambda: list(threads.map(lambda one: _walk(http, base, one), requests)),
            lambda seen: {"pages": sum(p for p, _ in seen), "resources": sum(r for _, r in seen)},
        )


def _walk(http: httpx.Client, base: str, request: Request) -> tuple[int, int]:
    """How many pages and entries *request* has."""
    headers = dict(request.headers)
    url = f"{base}/{request.address}"
    answer = http.request(request.method, url, headers=headers, content=request.body)
    pages, resources = int("_summary=count" not in f"{url}{request.body!r}"), answer.content.count(MATCH)
    while link := NEXT.search(answer.content):
        answer = http.get(link[1].decode(), headers=headers)
        pages, resources = pages + 1, resources + answer.content.count(MATCH)
    return pages, resources


def main() -> None:
    what, base, notes = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if what in {"ours", "note"}:
        pull(base, notes, note=what == "note")
    else:
        read(base, notes, counts=what == "requests")


if __name__ == "__main__":
    main()
