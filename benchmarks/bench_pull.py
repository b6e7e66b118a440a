"""Pull from a real HAPI server into a store, as a sync does. Reference: the same pages, thrown away.

    python -m benchmarks.bench_pull {note|ours|pages|requests|windows} BASE NOTES

Ours asks for counts, proves each search, decodes, scrubs and stores. The reference `pages` asks for the same
pages over plain httpx with as many connections, follows `next`, and looks at nothing else; `requests` asks
for the counts too, which shows how much of our time the server takes to count. `windows` is the fastest
way to read everything from HAPI (spec/hapi.md, rates): windows of `_lastUpdated` of one page each, without
a cohort and without a proof. NOTES is a file with the requests, made by an unmeasured run of ours.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import msgspec

from benchmarks.gen import records
from benchmarks.measure import Round, compare, fresh, report
from fhir_srs.config import Sync
from fhir_srs.fhir.answers import Answer, decipher_count
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.fhir.sansio import Request, Search, count_request, instant, search_request
from fhir_srs.mapping.profile import load_profile
from fhir_srs.progress import silent
from fhir_srs.store import Store, open_store
from fhir_srs.sync.definitions import intake
from fhir_srs.sync.pull import Pull

T = TypeVar("T")
SYNC = Sync()  # the defaults: what a user who sets nothing gets
MATCH = b'"mode":"match"'  # one in every entry of a searchset
NEXT = re.compile(rb'"relation":"next","url":"([^"]+)"')
WINDOW = 2000  # rows of a window (spec/hapi.md, rates)
EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
LOADERS = 4  # the fastest way to load a cohort into HAPI (spec/hapi.md, rates)


class Notes(msgspec.Struct):
    """The first request of each search, in order, and the questions for a count."""

    searches: list[Request] = []
    counts: list[Request] = []
    windows: list[Request] = []


def rounds(
    base: str, number: int, *, reference: Literal["pages", "requests", "windows"], server: int | None
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
            same=("distinct",) if reference == "windows" else ("pages", "resources"),
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


@contextmanager
def pulling(base: str) -> Iterator[tuple[Pull, Store, NotingClient]]:
    """Give a pull from *base* that may begin, its empty store and its client."""
    server = Server(base=base, allow_insecure_loopback=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        NotingClient(server) as client,
        open_store(Path(folder), base) as store,
    ):
        one = Pull(
            client,
            store,
            run="benchmark",
            intake=intake(load_profile("mcode"), base=base, echo="urn:example:result"),
            count=SYNC.count,
            overlap=SYNC.overlap,
            lag=SYNC.lag,
            report=silent,
            stop=lambda: False,
            now="2026-01-01T00:00:00Z",
        )
        one.capabilities()
        store.begin_run("benchmark", started="2026-01-01T00:00:00Z", capabilities="{}")
        yield one, store, client


def pull(base: str, notes: Path, *, note: bool) -> None:
    """Everything of the cohort into an empty store."""
    with pulling(base) as (one, store, client):
        report(
            lambda: one.pull(full=True),
            lambda _: {
                "pages": client.pages,
                "resources": client.resources,
                "distinct": sum(store.live().values()),
            },
        )
        if note:
            client.notes.windows = [found for name in store.live() for found in windows(client, name, EVER)]
            notes.write_bytes(msgspec.json.encode(client.notes))


def windows(client: FhirClient, name: str, within: tuple[datetime, datetime]) -> list[Request]:
    """Searches of one page each that together give all of the type *name* stamped *within*."""
    first, end = within
    bounds = (("_lastUpdated", f"ge{instant(first)}"), ("_lastUpdated", f"lt{instant(end)}"))
    search = Search(type=name, filters=bounds, count=WINDOW)
    number = client.ask(count_request(search), decipher_count) or 0
    if number <= WINDOW:
        return [search_request(search)] if number else []
    middle = first + (end - first) / 2
    return windows(client, name, (first, middle)) + windows(client, name, (middle, end))


def read(base: str, requests: list[Request]) -> None:
    """The pages of *requests*, as fast as httpx gives them."""
    limits = httpx.Limits(max_connections=SYNC.connections)
    with (
        httpx.Client(limits=limits, headers={"Accept-Encoding": "gzip"}, timeout=300) as http,
        ThreadPoolExecutor(SYNC.connections) as threads,
    ):
        report(lambda: list(threads.map(lambda one: _walk(http, base, one), requests)), _seen)


def _seen(walked: list[tuple[int, int]]) -> dict[str, int]:
    resources = sum(number for _, number in walked)
    return {"pages": sum(pages for pages, _ in walked), "resources": resources, "distinct": resources}


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
        return
    noted = msgspec.json.decode(notes.read_bytes(), type=Notes)
    ways = {
        "pages": noted.searches,
        "requests": [*noted.searches, *noted.counts],
        "windows": noted.windows,
    }
    read(base, ways[what])


if __name__ == "__main__":
    main()
