"""Writing of results to a real HAPI server, each seen to be stored. Reference: the same bodies, posted.

    python -m benchmarks.bench_write {note|ours|posts} BASE NOTES N

Ours goes from planned units to confirmed lines of the outbox: the gate, the outbox committed before each
request, transactions, and the copies read back. The reference posts the same transactions over plain httpx
with as many connections and looks at their status. Each process writes its units under ids of its own, so
that all are new. NOTES is a file with N units of the cohort on the server, made by an unmeasured pull.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import msgspec

from benchmarks.bench_pull import SYNC, pulling
from benchmarks.measure import Round, compare, fresh, report
from fhir_srs.endpoints import derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.fhir.sansio import Request, bundle_request, put_entry
from fhir_srs.mapping import map_resources
from fhir_srs.mapping.profile import load_profile
from fhir_srs.progress import silent
from fhir_srs.results.gate import resource_refusals
from fhir_srs.results.observations import build_results
from fhir_srs.results.plan import plan_writes
from fhir_srs.results.target import ResultTarget, Unit
from fhir_srs.store import open_store
from fhir_srs.sync.outgoing import Known, items
from fhir_srs.sync.write import Item, Writer, transactions

STUDIES = ("ryu2008", "icpre2012")
CUTOFF = date(2026, 6, 30)
NOW = datetime(2026, 7, 1, tzinfo=UTC)
TARGET = ResultTarget(canonical_base="https://fhir-srs.example.org", synthetic=True)
OURS = re.compile(rb"srs-([a-z2-7]{40})")  # an id of a result (decisions.md 2)
NOTHING = Known(copies={}, present={}, written={}, outbox={}, settled=())


def rounds(base: str, number: int, *, units: int, server: int | None) -> list[Round]:
    """*number* rounds on wall time, of *units* units each, against the server at *base*."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [base, str(Path(folder) / "notes.json"), str(units)]
        fresh(["benchmarks.bench_write", "note", *arguments])
        return compare(
            ["benchmarks.bench_write", "posts", *arguments],
            ["benchmarks.bench_write", "ours", *arguments],
            rounds=number,
            clock="wall",
            same=("units",),
            server=server,
        )


def note(base: str, notes: Path, number: int) -> None:
    """The first *number* units that the cohort on the server gives."""
    with pulling(base) as (pull, store, _):
        pull.pull(full=True)
        mapped = map_resources(store.payloads(), profile=load_profile("mcode"))
    units: list[Unit] = []
    for name in STUDIES:
        outcomes = derive(mapped, study=load_study(name), data_cutoff=CUTOFF)
        units += build_results(
            outcomes, mapped.lesions, mapped.patients, estimate(outcomes), TARGET, "0", recorded=NOW
        )
    distinct = {unit.reference: unit for unit in units}.values()  # studies share the Device
    chosen = sorted(distinct, key=lambda one: one.reference.startswith("Observation/"))[:number]
    notes.write_bytes(msgspec.json.encode(chosen))
    report(lambda: None, lambda _: {"units": len(chosen)})


def units_of(notes: Path) -> list[Unit]:
    """The noted units, under ids of this process."""
    mark = f"srs-{time.time_ns():x}-"
    return [_moved(one, mark) for one in msgspec.json.decode(notes.read_bytes(), type=list[Unit])]


def _moved(unit: Unit, mark: str) -> Unit:
    def text(found: str | None) -> str | None:
        return found and found.replace("srs-", mark)

    def body(found: bytes | None) -> bytes | None:
        return found and OURS.sub(mark.encode() + rb"\1", found)

    return msgspec.structs.replace(
        unit,
        id=text(unit.id),
        resource=body(unit.resource),
        provenance_id=text(unit.provenance_id),
        provenance=body(unit.provenance),
    )


def planned(units: list[Unit]) -> list[Item]:
    """What is sent for *units*, none of which the server has."""
    return list(items(plan_writes(units, {}, {}), NOTHING, target=TARGET, recorded=NOW, keep=False))


def write(base: str, notes: Path) -> None:
    """As a sync writes."""
    units = units_of(notes)
    server = Server(base=base, allow_insecure_loopback=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        _client(server) as client,
        open_store(Path(folder), base) as store,
    ):
        writer = Writer(client, store, report=silent, stop=lambda: False, passes=_passes)
        report(
            lambda: list(writer.write(planned(units))),
            lambda done: {"units": sum(one.state == "CONFIRMED" for one in done)},
        )


def post(base: str, notes: Path) -> None:
    """The same transactions, their answers thrown away."""
    groups = [(len(group), _request(group)) for group in transactions(planned(units_of(notes)))]
    with (
        httpx.Client(limits=httpx.Limits(max_connections=SYNC.connections), timeout=300) as http,
        ThreadPoolExecutor(SYNC.connections) as threads,
    ):

        def send(group: tuple[int, Request]) -> int:
            number, request = group
            answer = http.post(base, content=request.body, headers=dict(request.headers))
            return number if answer.status_code == httpx.codes.OK else 0

        # What others refer to goes first, as it does with ours.
        report(lambda: send(groups[0]) + sum(threads.map(send, groups[1:])), lambda done: {"units": done})


def _client(server: Server) -> FhirClient:
    return FhirClient(server, sleep=time.sleep, clock=time.monotonic, random=random.random)


def _passes(item: Item) -> bool:
    """The gate of a sync."""
    return not resource_refusals(item.resource) and not (
        item.provenance and resource_refusals(item.provenance)
    )


def _request(group: list[Item]) -> Request:
    entries = []
    for one in group:
        entries.append(put_entry(one.reference, one.resource, if_match=one.version))
        if one.provenance is not None and one.provenance_reference is not None:
            entries.append(put_entry(one.provenance_reference, one.provenance))
    return bundle_request("transaction", entries)


def main() -> None:
    what, base, notes = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if what == "note":
        note(base, notes, int(sys.argv[4]))
    elif what == "ours":
        write(base, notes)
    else:
        post(base, notes)


if __name__ == "__main__":
    main()
