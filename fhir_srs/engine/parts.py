"""Last step of the workers: one partition at a time, all lines of its patients to one sorted run."""

import shutil
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

import msgspec

from fhir_srs.engine.crowds import Crowds
from fhir_srs.engine.runs import SortedIssue, merged_issues, merged_persons, write_runs
from fhir_srs.engine.spill import Family, Spill, Writer
from fhir_srs.engine.worker import KeptIssue, Worker
from fhir_srs.mapping.assembly import issue_order
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import to_json

_BODIES = (Family.PATIENTS, Family.LINES)
_HELD = (*_BODIES, Family.ISSUES)
_ISSUES = msgspec.msgpack.Decoder(list[KeptIssue])
_DIVIDER = 1
# Into how many a partition is divided at most, and with which divisor no more: a CRC has 32 bits.
_MOST_PIECES = 256
_LAST_DIVISOR = 1 << 24


class Done(NamedTuple):
    """One mapped partition: its counts, and the bytes of lines that were held at once, at most."""

    tally: Tally
    held: int


class Part(NamedTuple):
    """What is to be mapped at once, or divided: the *lines* of patients, issues that are told already."""

    lines: Iterable[tuple[str, bytes]]
    issues: Iterable[KeptIssue]
    size: int


def map_part(worker: Worker, part: int) -> Done:
    """
    Map the patients of *part* and write its two sorted runs.

    A partition larger than the job allows is first divided by further bits of the hash; what remains
    above the limit is a single patient.
    """
    spill, writers = worker.spill, worker.job.all
    issues = spill.items(Family.ISSUES, part, writers, _ISSUES)
    size = sum(spill.size(family, part, writers) for family in _HELD)
    done = _map_any(worker, spill, part, Part(_present(worker, part), issues, size))
    spill.remove((*_HELD, Family.LOSERS), part, writers)
    return done


def _present(worker: Worker, part: int) -> Iterator[tuple[str, bytes]]:
    """The lines of *part* that count, with survivors' names: newest versions, not what moved elsewhere."""
    lost, merged = worker.losers(part), worker.merged()
    for family in _BODIES:
        for name, body, place in worker.spill.lines(family, part, worker.job.all):
            if place in lost:
                continue
            survivor = merged.get(name)
            if survivor is None:
                yield name, body
            elif worker.spill.part(survivor) == part:
                yield survivor, body


def _map_any(worker: Worker, spill: Spill, part: int, of: Part) -> Done:
    """Map *of* and write the runs of *part* into *spill*."""
    if of.size <= worker.job.largest or spill.divisor >= _LAST_DIVISOR:
        return _map(worker, spill, part, of)
    pieces = min(2 * of.size // worker.job.largest + 1, _MOST_PIECES)
    below = Spill(spill.folder / f"part-{part}", pieces, divisor=spill.divisor * spill.parts)
    _divide(of, below)
    total, held = Tally(), 0
    for piece in range(pieces):
        done = _map_any(worker, below, piece, _piece(below, piece))
        total.add(done.tally)
        held = max(held, done.held)
        below.remove(_HELD, piece, [_DIVIDER])
    write_runs(spill, part, merged_persons(below), merged_issues(below))
    shutil.rmtree(below.folder)
    return Done(total, held)


def _divide(of: Part, below: Spill) -> None:
    """Write *of* into the partitions of *below*, a new folder."""
    below.folder.mkdir()
    divider = Writer(below, _DIVIDER)
    for name, body in of.lines:
        divider.add(Family.LINES, name, body)
    for issue in of.issues:
        divider.put(Family.ISSUES, below.part(issue.name), issue, size=len(issue.line))
    divider.flush()


def _piece(below: Spill, piece: int) -> Part:
    lines = ((name, body) for name, body, _ in below.lines(Family.LINES, piece, [_DIVIDER]))
    issues = below.items(Family.ISSUES, piece, [_DIVIDER], _ISSUES)
    size = sum(below.size(family, piece, [_DIVIDER]) for family in _HELD)
    # Fewer pieces than allowed: none is too large because of others, only because of one patient.
    return Part(lines, issues, size if below.parts == _MOST_PIECES else 0)


def _map(worker: Worker, spill: Spill, part: int, of: Part) -> Done:
    """Map all patients of *of*, whose lines are held at once, but for those who have too many."""
    crowds = Crowds(worker, spill.folder / f"crowds-{part}")
    bodies = _held(of.lines, crowds, worker.job.profile.choices.patient_limit)
    held = sum(len(body) for lines in bodies.values() for body in lines)
    issues: list[SortedIssue] = [(one.order, one.line) for one in of.issues]
    tally, persons = crowds.tally, []
    while bodies:
        found = worker.map(*bodies.popitem())
        _count(found, tally)
        issues += ((issue_order(one), to_json(one)) for one in found.issues)
        persons.append(worker.job.store(found))
    write_runs(
        spill, part, sorted(persons, key=lambda one: one.order), merge(sorted(issues), crowds.issues())
    )
    return Done(tally, held)


def _held(lines: Iterable[tuple[str, bytes]], crowds: Crowds, limit: int) -> dict[str, list[bytes]]:
    """The *lines* of each patient; who has more than *limit* is among *crowds* instead."""
    bodies: dict[str, list[bytes]] = {}
    for name, body in lines:
        if name in crowds.names:
            crowds.refuse(body)
            continue
        mine = bodies.setdefault(name, [])
        mine.append(body)
        if len(mine) > limit:
            crowds.enter(name, bodies.pop(name))
    return bodies


def _count(found: PatientMap, tally: Tally) -> None:
    tally.add_uses(found.uses)
    tally.add_lesions(found.lesions, found.events)
    tally.add_issues(found.issues)
    tally.patients += bool(found.lesions)
    tally.events += len(found.events)
