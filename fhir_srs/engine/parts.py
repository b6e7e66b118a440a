"""Last step of the workers: one partition at a time, all lines of its patients to one sorted run."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from fhir_srs.engine.runs import merged_issues, merged_persons, person_bytes
from fhir_srs.engine.spill import Family, Record, Spill, Writer
from fhir_srs.engine.worker import Worker, place_of
from fhir_srs.mapping.assembly import issue_order
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import to_json

_ENCODE = msgspec.msgpack.Encoder().encode
_BODIES = (Family.PATIENTS, Family.LINES)
_HELD = (*_BODIES, Family.ISSUES)
_ISSUE = msgspec.msgpack.Decoder(tuple[bytes, bytes])


class Done(NamedTuple):
    """One mapped partition: its counts, and the bytes of lines that were held at once, at most."""

    tally: Tally
    held: int


def map_part(worker: Worker, part: int) -> Done:
    """
    Map the patients of *part* and write its two sorted runs.

    A partition larger than the job allows is first divided by further bits of the hash; what remains
    above the limit is a single patient.
    """
    job, spill = worker.job, worker.spill
    size = sum(spill.size(family, part, job.all_writers) for family in _HELD)
    records = _present(worker, part)
    if size <= job.largest:
        done = _map(worker, records, Writer(spill, RUN), part)
    else:
        done = _map_divided(worker, records, part, pieces=2 * size // job.largest + 1)
    spill.remove((*_HELD, Family.LOSERS), part, job.all_writers)
    return done


RUN = 0  # the number of whoever writes runs: one worker maps a partition
_DIVIDER = 1


def _present(worker: Worker, part: int) -> Iterator[Record]:
    """The records of *part* that count, with survivors' names: newest versions, not what moved elsewhere."""
    lost, merged = worker.losers(part), worker.merged()
    for family in _HELD:
        for one in worker.spill.records(family, part, worker.job.all_writers):
            if family is Family.ISSUES:
                yield one
            elif place_of(one) not in lost:
                name = merged.get(one.name.decode(), "").encode() or one.name
                if worker.spill.part(name) == part:
                    yield one._replace(name=name)


def _map_divided(worker: Worker, records: Iterable[Record], part: int, *, pieces: int) -> Done:
    """As `_map`, in so many *pieces*, whose runs are merged."""
    folder = worker.spill.folder / f"part-{part}"
    folder.mkdir()
    spill = Spill(folder, pieces, divisor=worker.spill.parts)
    divider, done = Writer(spill, _DIVIDER), Done(Tally(), 0)
    for one in records:
        divider.add(one.at.family, one.name, one.body)
    divider.flush()
    for piece in range(pieces):
        held = (one for family in _HELD for one in spill.records(family, piece, [_DIVIDER]))
        found = _map(worker, held, Writer(spill, RUN), piece)
        done.tally.add(found.tally)
        done = done._replace(held=max(done.held, found.held))
        spill.remove(_HELD, piece, [_DIVIDER])
    _merge(spill, range(pieces), Writer(worker.spill, RUN), part)
    for piece in range(pieces):
        spill.remove((Family.PERSONS, Family.SORTED_ISSUES), piece, [RUN])
    folder.rmdir()
    return done


def _merge(spill: Spill, parts: range, out: Writer, part: int) -> None:
    for person in merged_persons(spill, parts, [RUN]):
        out.put(Family.PERSONS, part, b"", _ENCODE(person))
    for issue in merged_issues(spill, parts, [RUN]):
        out.put(Family.SORTED_ISSUES, part, b"", _ENCODE(issue))
    out.flush()


def _map(worker: Worker, records: Iterable[Record], out: Writer, part: int) -> Done:
    """Map all patients of *records*, whose lines are held at once, and write them to *out*, sorted."""
    bodies, issues = _held(records)
    held = sum(len(body) for lines in bodies.values() for body in lines)
    tally, persons = Tally(), []
    while bodies:
        name, lines = bodies.popitem()
        found = worker.map(name.decode(), lines)
        _count(found, tally)
        issues += ((issue_order(one), to_json(one)) for one in found.issues)
        persons.append(person_bytes(found))
    for _, person in sorted(persons):
        out.put(Family.PERSONS, part, b"", person)
    for issue in sorted(issues):
        out.put(Family.SORTED_ISSUES, part, b"", _ENCODE(issue))
    out.flush()
    return Done(tally, held)


def _held(records: Iterable[Record]) -> tuple[dict[bytes, list[bytes]], list[tuple[bytes, bytes]]]:
    """The lines of each patient, and the issues, each with what sorts it."""
    bodies: dict[bytes, list[bytes]] = {}
    issues: list[tuple[bytes, bytes]] = []
    for one in records:
        if one.at.family == Family.ISSUES:
            issues.append(_ISSUE.decode(one.body))
        else:
            bodies.setdefault(one.name, []).append(one.body)
    return bodies, issues


def _count(found: PatientMap, tally: Tally) -> None:
    tally.fates.update(found.uses.values())
    tally.add_lesions(found.lesions)
    tally.add_issues(found.issues)
    tally.patients += bool(found.lesions)
    tally.events += len(found.events)
