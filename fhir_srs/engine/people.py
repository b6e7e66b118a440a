"""Third step, only where records are merged or patients named by identifier: lines to their real patient."""

from collections.abc import Iterable, Iterator

import msgspec

from fhir_srs import r4
from fhir_srs.engine.spill import Family, Line, Place
from fhir_srs.engine.worker import MERGED, Job, Worker
from fhir_srs.mapping.patients import identifiers, named_by_links, survivors, the_one
from fhir_srs.mapping.tally import Tally

_PAIRS = msgspec.msgpack.Decoder(list[tuple[str, str]])


def list_holders(worker: Worker, part: int) -> None:
    """List who holds which identifier, and which patients have links."""
    lost, spill = worker.losers(part), worker.spill
    for name, body, place in spill.lines(Family.PATIENTS, part, worker.job.first):
        patient = None if place in lost else worker.second.patient(body)
        if patient is None:
            continue
        for token in identifiers(patient):
            worker.writer.put(Family.HOLDERS, spill.part(token), (token, name), size=len(token) + len(name))
        if patient.link:
            worker.writer.add(Family.LINKED, name, body)
    worker.writer.flush()


def save_merged(worker: Worker) -> None:
    """Follow all links, in one place: only linked records are held, and of them only the links."""
    linked = sorted(_linked(worker), key=lambda one: one.id or "")
    wanted = {token for one in linked for token in named_by_links(one)}
    found = survivors(linked, _holders(worker.job, wanted))
    (worker.spill.folder / MERGED).write_bytes(msgspec.msgpack.encode(found))


def _linked(worker: Worker) -> Iterator[r4.Patient]:
    for part in range(worker.spill.parts):
        for _, body, _ in worker.spill.lines(Family.LINKED, part, worker.job.all):
            patient = worker.second.patient(body)
            if patient is not None:
                yield r4.Patient(id=patient.id, link=patient.link)


def _holders(job: Job, tokens: Iterable[str]) -> dict[str, set[str]]:
    """The holders of *tokens*, each partition read once."""
    wanted: dict[int, set[str]] = {}
    for token in tokens:
        wanted.setdefault(job.spill.part(token), set()).add(token)
    held: dict[str, set[str]] = {}
    for part, names in wanted.items():
        for token, name in job.spill.items(Family.HOLDERS, part, job.all, _PAIRS):
            if token in names:
                held.setdefault(token, set()).add(name)
    return held


def settle_subjects(worker: Worker, part: int) -> Tally:
    """Bring the lines of *part* to the partitions of the patients they belong to."""
    tally, lost = Tally(), worker.losers(part)
    named = worker.spill.lines(Family.NAMED, part, worker.job.first)
    _place_named(worker, part, (one for one in named if one[2] not in lost), tally)
    if any(worker.spill.part(old) == part for old in worker.merged()):
        _move(worker, part, lost)
    worker.spill.remove([Family.NAMED, Family.HOLDERS, Family.LINKED], part, worker.job.all)
    worker.writer.flush()
    return tally


def _place_named(worker: Worker, part: int, named: Iterable[Line], tally: Tally) -> None:
    """Give each of *named* to the one who holds the identifier, or refuse it."""
    held: dict[str, set[str]] = {}
    for token, name in worker.spill.items(Family.HOLDERS, part, worker.job.all, _PAIRS):
        held.setdefault(token, set()).add(name)
    for token, body, _ in named:
        patient, reason = the_one(held.get(token, ()), worker.merged())
        if patient is None:
            key = next(iter(worker.second.read([body])))
            worker.refuse(reason or "subject-unresolved", key, "subject", tally)
        else:
            worker.writer.add(Family.LINES, patient, body)


def _move(worker: Worker, part: int, lost: set[Place]) -> None:
    """Copy lines of merged records to the partition of the survivor; where they lie, nobody takes them."""
    merged = worker.merged()
    for family in (Family.PATIENTS, Family.LINES):
        for name, body, place in worker.spill.lines(family, part, worker.job.first):
            survivor = merged.get(name)
            if survivor is None or place in lost:
                continue
            if worker.spill.part(survivor) != part:
                worker.writer.add(family, survivor, body)
