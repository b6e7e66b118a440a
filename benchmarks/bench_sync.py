"""A sync with nothing new on a real HAPI server. Reference: the empty searches that it needs.

    python -m benchmarks.bench_sync {settle|ours|searches} SETTINGS NOTES

The searches are those that tell what is new: of each type what changed since the watermark, and what its
history says was deleted. The reference sends just these, over plain httpx with as many connections; ours also
reads the CapabilityStatement, judges and stores. `settle` runs until there is nothing new, and writes the
requests of that last run to NOTES.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from benchmarks.measure import Round, compare, fresh, report
from fhir_srs.config import Settings, load_settings
from fhir_srs.fhir.answers import Answer
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Request
from fhir_srs.summary import RunSummary
from fhir_srs.sync import run_sync, session

T = TypeVar("T")
SETTINGS = """
[source]
base_url = "{base}"
allow_insecure_loopback = true
[target]
synthetic = true
[study]
names = ["ryu2008"]
[store]
folder = "state"
[sync]
write = true
# What was just written would be read again for seven minutes: it is not what is measured here.
lag = "0s"
overlap = "1s"
"""
RUNS = 4  # the first writes, the second sees it come back, the third must have nothing to do
asked: list[Request] = []


def rounds(base: str, number: int, *, server: int | None) -> list[Round]:
    """*number* rounds on wall time, against the server at *base* with process id *server*."""
    with tempfile.TemporaryDirectory() as folder:
        settings, notes = Path(folder) / "fhir-srs.toml", Path(folder) / "notes.json"
        settings.write_text(SETTINGS.format(base=base))
        arguments = [str(settings), str(notes)]
        fresh(["benchmarks.bench_sync", "settle", *arguments])
        return compare(
            ["benchmarks.bench_sync", "searches", *arguments],
            ["benchmarks.bench_sync", "ours", *arguments],
            rounds=number,
            clock="wall",
            same=("searches",),
            server=server,
        )


class NotingClient(FhirClient):
    """Our client; it notes the searches and histories that it asks for."""

    def ask(self, request: Request, decipher: Callable[[Answer, str], T]) -> T:
        if "_lastUpdated=" in request.address or "/_history" in request.address:
            asked.append(request)
        return super().ask(request, decipher)


def settle(settings: Settings, notes: Path) -> None:
    """Runs until nothing is new, and notes what that run asked."""
    summary = run_sync(settings)
    for _ in range(RUNS):
        time.sleep(2)  # longer than the overlap
        asked.clear()
        summary = run_sync(settings)
    notes.write_bytes(msgspec.json.encode(asked))
    report(lambda: None, lambda _: _found(summary))


def _found(summary: RunSummary) -> dict[str, object]:
    if summary.status != "done" or summary.planned.create or summary.planned.update:
        raise SystemExit(f"not settled: {summary.status}, {summary.error}, {summary.planned}")
    return {"searches": len(asked), "unchanged": summary.planned.unchanged, "requests": summary.requests}


def search(settings: Settings, notes: Path) -> None:
    """The noted requests, the answers thrown away."""
    requests = msgspec.json.decode(notes.read_bytes(), type=list[Request])
    connections = settings.sync.connections
    with (
        httpx.Client(limits=httpx.Limits(max_connections=connections), timeout=300) as http,
        ThreadPoolExecutor(connections) as threads,
    ):

        def send(one: Request) -> int:
            url = f"{settings.source.base_url}/{one.address}"
            return http.request(one.method, url, headers=dict(one.headers)).status_code

        report(lambda: list(threads.map(send, requests)), lambda codes: {"searches": codes.count(200)})


def main() -> None:
    what, settings, notes = sys.argv[1], load_settings(Path(sys.argv[2])), Path(sys.argv[3])
    session.FhirClient = NotingClient  # type: ignore[misc]
    if what == "settle":
        settle(settings, notes)
    elif what == "ours":
        report(lambda: run_sync(settings), _found)
    else:
        search(settings, notes)


if __name__ == "__main__":
    main()
