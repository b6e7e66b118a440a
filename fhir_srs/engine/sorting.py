"""First step: lines to the partition of their patient, and what is no resource of ours to the issues."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from fhir_srs.engine.spill import At, Family
from fhir_srs.engine.worker import Worker
from fhir_srs.files import Piece, Place, read_piece
from fhir_srs.mapping.lines import Entry, FirstLook
from fhir_srs.mapping.tally import Tally

_ENCODE = msgspec.msgpack.Encoder().encode


class Version(NamedTuple):
    """One resource: which version it is and where its line lies, or that it is another kind of data."""

    at: At | None
    updated: str | None
    version: str | None


class Sorted(NamedTuple):
    """
    What became of one piece of input.

    *notes*: the file that tells where unreadable items stood. *linked*: a Patient names records that it
    replaces or that replace it. *named*: a resource names its patient by identifier only.
    """

    tally: Tally
    notes: Path
    linked: bool
    named: bool


def sort_piece(worker: Worker, task: tuple[int, Piece]) -> Sorted:
    """Sort the lines of a numbered piece of input. Flushed at the end: what lies in files is whole."""
    number, piece = task
    first = worker.first or FirstLook(worker.job.profile)
    tally, linked, named = Tally(), False, False
    place, notes = Place(), worker.spill.folder / f"notes-{number}"
    with notes.open("w", encoding="utf-8") as told:
        for line in read_piece(piece, place):
            for one in first.see(line):
                if isinstance(one, Entry):
                    linked = linked or one.linked
                    named = named or one.owner.token is not None
                    _keep(worker, one)
                elif one is None:
                    tally.fates["ignored"] += 1
                else:
                    tally.fates["refused"] += not one.used
                    tally.add_issues([one])
                    worker.issue(one, worker.sorter, None if one.resource else str(place.offset).encode())
                    told.write(f"{place.unread(one.path)}\n")
    worker.sorter.flush()
    return Sorted(tally, notes, linked, named)


def _keep(worker: Worker, entry: Entry) -> None:
    """Bring *entry* to where its patient's lines are, and its version to those of its key."""
    key = entry.key.encode()
    at = None
    if entry.body is not None:
        family, name = _owned(entry, key)
        at = worker.sorter.add(family, name, entry.body)
    worker.sorter.add(Family.VERSIONS, key, _ENCODE(Version(at, entry.updated, entry.version)))


def _owned(entry: Entry, key: bytes) -> tuple[Family, bytes]:
    owner = entry.owner
    if owner.patient is not None:
        if entry.key == owner.patient:
            return Family.PATIENTS, key
        return Family.LINES, owner.patient.encode()
    if owner.token is not None:
        return Family.NAMED, owner.token.encode()
    return (Family.NOBODY if owner.reason else Family.DRUGS), key
