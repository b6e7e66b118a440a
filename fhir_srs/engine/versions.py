"""Second step: of each resource the newest version, wherever its versions lie; the others are told of.

All versions of one key lie in one partition of `VERSIONS`; the partition of Medications has the same keys.
"""

from collections.abc import Iterator

import msgspec

from fhir_srs.engine.index import table, write_index
from fhir_srs.engine.sorting import Version
from fhir_srs.engine.spill import At, Family, Record
from fhir_srs.engine.worker import Place, Worker, place_of
from fhir_srs.mapping.lines import Entry
from fhir_srs.mapping.patients import Told
from fhir_srs.mapping.tally import Tally
from fhir_srs.mapping.versions import age

_KNOWN = (b"BodyStructure/", b"Procedure/", b"Condition/")
_OWN = (Family.DRUGS, Family.NOBODY)  # partitioned by key themselves
_VERSION = msgspec.msgpack.Decoder(Version)


def settle_versions(worker: Worker, part: int) -> Tally:
    """Settle which versions of the keys in *part* count; list the losers; index what others may ask for."""
    worker.first = None
    tally, lost = Tally(), set[Place]()
    known: list[str] = []
    for versions in _by_key(worker, part):
        name = versions[0].name.decode()
        winner = _settle(worker, name, versions, lost, tally)
        if winner is None:
            tally.fates["ignored"] += 1
        elif versions[0].name.startswith(_KNOWN):
            known.append(name)
    write_index(table(worker.spill, "known", part), ((key, b"") for key in known))
    write_index(table(worker.spill, "drugs", part), _drugs(worker, part, lost, tally))
    _refuse_nobodys(worker, part, lost, tally)
    worker.spill.remove((Family.VERSIONS, *_OWN), part, worker.job.sorted_by)
    worker.writer.flush()
    return tally


def _by_key(worker: Worker, part: int) -> Iterator[list[Record]]:
    """The versions of each key. Only keys with several are held, and of the others the names."""
    seen, repeated = set[bytes](), set[bytes]()
    for one in worker.spill.records(Family.VERSIONS, part, worker.job.sorted_by):
        (repeated if one.name in seen else seen).add(one.name)
    del seen
    several: dict[bytes, list[Record]] = {}
    for one in worker.spill.records(Family.VERSIONS, part, worker.job.sorted_by):
        if one.name in repeated:
            several.setdefault(one.name, []).append(one)
        else:
            yield [one]
    yield from several.values()


def _settle(worker: Worker, key: str, versions: list[Record], lost: set[Place], tally: Tally) -> At | None:
    """Where the newest of *versions* lies, None if it is another kind of data; the others have lost."""
    found = [_VERSION.decode(one.body) for one in versions]
    winner = _newest(worker, key, found) if len(found) > 1 else 0
    for number, one in enumerate(found):
        if number != winner:
            worker.refuse("version-superseded", key, "meta.versionId", tally)
            if one.at is not None:
                _lose(worker, one.at, lost)
    return found[winner].at


def _newest(worker: Worker, key: str, versions: list[Version]) -> int:
    """Which of *versions* counts. Lines are looked at only where the ages do not tell."""
    ages = [(age(one.updated, one.version), one.at is not None) for one in versions]
    best = [number for number, one in enumerate(ages) if one == max(ages)]
    if len(best) == 1:
        return best[0]
    entries = {number: _entry(worker, key, versions[number]) for number in best}
    newest = worker.second.newest(entries.values())
    return next(number for number, one in entries.items() if one is newest)


def _entry(worker: Worker, key: str, one: Version) -> Entry:
    body = None if one.at is None else worker.spill.record(one.at).body
    return Entry(key, one.updated, one.version, Told(), body)


def _lose(worker: Worker, at: At, lost: set[Place]) -> None:
    """Enter the line *at* a place as superseded: for whoever maps its partition, or for this step."""
    place = at.family, at.writer, at.offset
    if at.family in _OWN:
        lost.add(place)
    else:
        worker.writer.put(Family.LOSERS, at.part, b"", msgspec.msgpack.encode(place))


def _drugs(worker: Worker, part: int, lost: set[Place], tally: Tally) -> Iterator[tuple[str, bytes]]:
    for one in worker.spill.records(Family.DRUGS, part, worker.job.sorted_by):
        if place_of(one) not in lost:
            tally.fates["used"] += 1
            yield one.name.decode(), msgspec.msgpack.encode(worker.second.drug(one.body))


def _refuse_nobodys(worker: Worker, part: int, lost: set[Place], tally: Tally) -> None:
    """Refuse what has no patient, with the reason."""
    for one in worker.spill.records(Family.NOBODY, part, worker.job.sorted_by):
        if place_of(one) not in lost:
            reason = worker.second.told(one.body).reason or "subject-missing"
            worker.refuse(reason, one.name.decode(), "subject", tally)
