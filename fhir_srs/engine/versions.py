"""Second step: of each resource the newest version, wherever its versions lie; the others are told of.

All versions of one key lie in one partition of `VERSIONS`; the partition of Medications has the same keys.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fhir_srs.engine.index import table, write_index
from fhir_srs.engine.sorting import Version
from fhir_srs.engine.spill import At, Family, Place, Spill, Writer
from fhir_srs.engine.worker import Worker
from fhir_srs.mapping.lines import Entry
from fhir_srs.mapping.patients import Told
from fhir_srs.mapping.tally import Tally, kind_of
from fhir_srs.mapping.versions import age

_ASKED_FOR = ("BodyStructure/", "Procedure/", "Condition/")
_OWN = (Family.DRUGS, Family.NOBODY)  # partitioned by key themselves
_VERSIONS = msgspec.msgpack.Decoder(list[Version])


def settle_versions(worker: Worker, part: int) -> Tally:
    """Settle which versions of the keys in *part* count; list the losers; index what others may ask for."""
    tally, lost = Tally(), set[Place]()
    known: list[str] = []
    for spill, piece, writers in _divided(worker, part):
        several: dict[str, list[Version]] = {}
        repeated = _repeated(spill.items(Family.VERSIONS, piece, writers, _VERSIONS))
        for one in spill.items(Family.VERSIONS, piece, writers, _VERSIONS):
            if one.key in repeated:
                several.setdefault(one.key, []).append(one)
            else:
                _count(one, known, tally)
        for versions in several.values():
            _count(_settle(worker, versions, lost, tally), known, tally)
    write_index(table(worker.spill, "known", part), ((key, b"") for key in known))
    write_index(table(worker.spill, "drugs", part), _drugs(worker, part, lost, tally))
    _refuse_nobodys(worker, part, lost, tally)
    worker.spill.remove((Family.VERSIONS, *_OWN), part, worker.job.first)
    worker.writer.flush()
    return tally


def _divided(worker: Worker, part: int) -> Iterator[tuple[Spill, int, Sequence[int]]]:
    """The keys of *part* in pieces that may be held in memory: a folder, a partition of it, its writers."""
    job, spill = worker.job, worker.spill
    size = spill.size(Family.VERSIONS, part, job.first)
    if size <= job.largest:
        yield spill, part, job.first
        return
    below = Spill(spill.folder / f"versions-{part}", 2 * size // job.largest + 1, divisor=spill.parts)
    below.folder.mkdir()
    divider = Writer(below, 0)
    for one in spill.items(Family.VERSIONS, part, job.first, _VERSIONS):
        divider.put(Family.VERSIONS, below.part(one.key), one)
    divider.flush()
    yield from ((below, piece, [0]) for piece in range(below.parts))
    shutil.rmtree(below.folder)


def _repeated(versions: Iterable[Version]) -> set[str]:
    """The keys that come more than once."""
    seen, repeated = set[str](), set[str]()
    for one in versions:
        (repeated if one.key in seen else seen).add(one.key)
    return repeated


def _count(newest: Version, known: list[str], tally: Tally) -> None:
    if newest.family is None:
        tally.ignored[kind_of(newest.key)] += 1
    elif newest.key.startswith(_ASKED_FOR):
        known.append(newest.key)


def _settle(worker: Worker, versions: Sequence[Version], lost: set[Place], tally: Tally) -> Version:
    """The newest of *versions*; the others are refused."""
    newest = _newest(worker, versions)
    for one in versions:
        if one is not newest:
            worker.refuse("version-superseded", one.key, "meta.versionId", tally)
            if one.at is not None:
                _lose(worker, one.at, lost)
    return newest


def _newest(worker: Worker, versions: Sequence[Version]) -> Version:
    """Which of *versions* counts. Lines are looked at only where the ages do not tell."""
    ages = [(age(one.updated, one.version), one.family is not None) for one in versions]
    best = [one for one, its in zip(versions, ages, strict=True) if its == max(ages)]
    if len(best) == 1:
        return best[0]
    entries = {id(one): _entry(worker, one) for one in best}
    newest = worker.second.newest(entries.values())
    return next(one for one in best if entries[id(one)] is newest)


def _entry(worker: Worker, one: Version) -> Entry:
    body = None if one.at is None else worker.spill.body(one.at)
    return Entry(one.key, one.updated, one.version, Told(), body)


def _lose(worker: Worker, at: At, lost: set[Place]) -> None:
    """Enter the line *at* a place as superseded: for whoever maps its partition, or for this step."""
    if at.family in _OWN:
        lost.add(at.place)
    else:
        worker.writer.put(Family.LOSERS, at.part, at.place)


def _drugs(worker: Worker, part: int, lost: set[Place], tally: Tally) -> Iterator[tuple[str, bytes]]:
    for key, body, place in worker.spill.lines(Family.DRUGS, part, worker.job.first):
        if place not in lost:
            tally.fates["used"] += 1
            yield key, msgspec.msgpack.encode(worker.second.drug(body))


def _refuse_nobodys(worker: Worker, part: int, lost: set[Place], tally: Tally) -> None:
    """Refuse what has no patient, with the reason."""
    for key, body, place in worker.spill.lines(Family.NOBODY, part, worker.job.first):
        if place not in lost:
            reason = worker.second.told(body).reason or "subject-missing"
            worker.refuse(reason, key, "subject", tally)
