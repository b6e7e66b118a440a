"""Last step of the workers: one partition at a time, all lines of its patients to one sorted run."""

import shutil
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


RUN = 0  # the number of whoever writes runs: one worker maps a partition
_DIVIDER = 1
# Into how many a partition is divided at most, and with which divisor no more: a CRC has 32 bits.
_MOST_PIECES = 256
_LAST_DIVISOR = 1 << 24


def map_part(worker: Worker, part: int) -> Done:
    """
    Map the patients of *part* and write its two sorted runs.

    A partition larger than the job allows is first divided by further bits of the hash; what remains
    above the limit is a single patient.
    """
    job, spill = worker.job, worker.spill
    size = sum(spill.size(family, part, job.all_writers) for family in _HELD)
    done = _map_any(worker, spill, part, _present(worker, part), size)
    spill.remove((*_HELD, Family.LOSERS), part, job.all_writers)
    return done


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


def _map_any(worker: Worker, spill: Spill, part: int, records: Iterable[Record], size: int) -> Done:
    """Map *records*, *size* bytes of lines, and write the runs of *part* into *spill*."""
    if size <= worker.job.largest or spill.divisor >= _LAST_DIVISOR:
        return _map(worker, records, Writer(spill, RUN), part)
    pieces = min(2 * size // worker.job.largest + 1, _MOST_PIECES)
    below = Spill(spill.folder / f"part-{part}", pieces, divisor=spill.divisor * spill.parts)
    _divide(records, below)
    total, held = Tally(), 0
    for piece in range(pieces):
        lines = (one for family in _HELD for one in below.records(family, piece, [_DIVIDER]))
        size = sum(below.size(family, piece, [_DIVIDER]) for family in _HELD)
        # Fewer pieces than allowed: none is larger because of others, only because of one patient.
        again = size if pieces == _MOST_PIECES else 0
        done = _map_any(worker, below, piece, lines, again)
        total.add(done.tally)
        held = max(held, done.held)
        below.remove(_HELD, piece, [_DIVIDER])
    _merge(below, Writer(spill, RUN), part)
    return Done(total, held)


def _divide(records: Iterable[Record], below: Spill) -> None:
    """Write *records* into the partitions of *below*, a new folder."""
    below.folder.mkdir()
    divider = Writer(below, _DIVIDER)
    for one in records:
        divider.add(one.at.family, one.name, one.body)
    divider.flush()


def _merge(below: Spill, out: Writer, part: int) -> None:
    """Merge all runs of *below* into those of *part*, and remove the folder."""
    pieces = range(below.parts)
    for person in merged_persons(below, pieces, [RUN]):
        out.put(Family.PERSONS, part, b"", _ENCODE(person))
    for issue in merged_issues(below, pieces, [RUN]):
        out.put(Family.SORTED_ISSUES, part, b"", _ENCODE(issue))
    out.flush()
    shutil.rmtree(below.folder)


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
