"""Third step, only where records are merged or patients named by identifier: lines to their real patient."""

from collections.abc import Iterable, Iterator

import msgspec

from fhir_srs import r4
from fhir_srs.engine.spill import Family, Record
from fhir_srs.engine.worker import MERGED, Job, Place, Worker, place_of
from fhir_srs.mapping.patients import identifiers, named_by_links, survivors, the_one
from fhir_srs.mapping.tally import Tally


def list_holders(worker: Worker, part: int) -> None:
    """List who holds which identifier, and which patients have links."""
    lost = worker.losers(part)
    for one in worker.spill.records(Family.PATIENTS, part, worker.job.sorted_by):
        patient = None if place_of(one) in lost else worker.second.patient(one.body)
        if patient is None:
            continue
        for token in identifiers(patient):
            worker.writer.add(Family.HOLDERS, token.encode(), one.name)
        if patient.link:
            worker.writer.add(Family.LINKED, one.name, one.body)
    worker.writer.flush()


def save_merged(worker: Worker) -> None:
    """Follow all links, in one place: only linked records are held, and of them only the links."""
    linked = sorted(_linked(worker), key=lambda one: one.id or "")
    wanted = {token for one in linked for token in named_by_links(one)}
    found = survivors(linked, _holders(worker.job, wanted))
    (worker.spill.folder / MERGED).write_bytes(msgspec.msgpack.encode(found))


def _linked(worker: Worker) -> Iterator[r4.Patient]:
    for part in range(worker.spill.parts):
        for one in worker.spill.records(Family.LINKED, part, worker.job.all_writers):
            patient = worker.second.patient(one.body)
            if patient is not None:
                yield r4.Patient(id=patient.id, link=patient.link)


def _holders(job: Job, tokens: Iterable[str]) -> dict[str, set[str]]:
    """The holders of *tokens*, each partition read once."""
    wanted: dict[int, set[bytes]] = {}
    for token in tokens:
        wanted.setdefault(job.spill.part(token.encode()), set()).add(token.encode())
    held: dict[str, set[str]] = {}
    for part, names in wanted.items():
        for one in job.spill.records(Family.HOLDERS, part, job.all_writers):
            if one.name in names:
                held.setdefault(one.name.decode(), set()).add(one.body.decode())
    return held


def settle_subjects(worker: Worker, part: int) -> Tally:
    """Bring the lines of *part* to the partitions of the patients they belong to."""
    tally, lost = Tally(), worker.losers(part)
    named = (one for one in _first(worker, Family.NAMED, part) if place_of(one) not in lost)
    _place_named(worker, part, named, tally)
    if any(worker.spill.part(old.encode()) == part for old in worker.merged()):
        _move(worker, part, lost)
    worker.spill.remove([Family.NAMED, Family.HOLDERS, Family.LINKED], part, worker.job.all_writers)
    worker.writer.flush()
    return tally


def _first(worker: Worker, family: Family, part: int) -> Iterator[Record]:
    return worker.spill.records(family, part, worker.job.sorted_by)


def _place_named(worker: Worker, part: int, named: Iterable[Record], tally: Tally) -> None:
    """Give each of *named* to the one who holds the identifier, or refuse it."""
    held: dict[bytes, set[str]] = {}
    for one in worker.spill.records(Family.HOLDERS, part, worker.job.all_writers):
        held.setdefault(one.name, set()).add(one.body.decode())
    for one in named:
        patient, reason = the_one(held.get(one.name, ()), worker.merged())
        if patient is None:
            key = next(iter(worker.second.read([one.body])))
            worker.refuse(reason or "subject-unresolved", key, "subject", tally)
        else:
            worker.writer.add(Family.LINES, patient.encode(), one.body)


def _move(worker: Worker, part: int, lost: set[Place]) -> None:
    """Copy lines of merged records to the partition of the survivor; where they lie, nobody takes them."""
    merged = worker.merged()
    for family in (Family.PATIENTS, Family.LINES):
        for one in _first(worker, family, part):
            survivor = merged.get(one.name.decode())
            if survivor is None or place_of(one) in lost:
                continue
            if worker.spill.part(survivor.encode()) != part:
                worker.writer.add(family, survivor.encode(), one.body)
