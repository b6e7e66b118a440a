"""Mapping on Apache Spark: the same two looks at lines as in local processes, with Spark's shuffles between.

For Bulk Data that lie where a Spark cluster reads them; on one machine local processes are many times
faster. The lines are the same bytes. Needs the extra `spark`; Spark's own settings choose the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fhir_srs import r4
from fhir_srs.engine.run import MappedFiles
from fhir_srs.errors import MissingExtra
from fhir_srs.files import LONGEST_LINE, Notice, pieces
from fhir_srs.mapping.assembly import distinct, issue_order, lesions_of, person_order
from fhir_srs.mapping.facts import Use
from fhir_srs.mapping.lines import Entry, SecondLook, Seen, look
from fhir_srs.mapping.patients import (
    Subject,
    aliases,
    identifiers,
    named_by_links,
    relative,
    survivors,
    the_one,
)
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally, kind_of
from fhir_srs.model import Issue, event_row, lesion_row, to_json

if TYPE_CHECKING:
    from pyspark import RDD, Broadcast
    from pyspark.sql import SparkSession

# What a patient's resources may name that is not theirs (`mapping.lines.map_lines`).
_AROUND = ("Medication", "BodyStructure", "Procedure", "Condition")


class Rows(NamedTuple):
    """The lines of the persons with one identifier, mostly one person, and what they count."""

    lesions: tuple[bytes, ...]
    events: tuple[bytes, ...]
    tally: Tally


class Common(NamedTuple):
    """What every task knows: the profile, and each merged record with its survivor."""

    profile: Profile
    merged: Mapping[str, str] = {}

    def aliases(self) -> Mapping[str, frozenset[str]]:
        """Survivor -> the records merged into it."""
        return aliases(self.merged)


# Name (`Type/id`) and body of what lies around a patient; the name is None for the patient's own.
Item: TypeAlias = tuple[str | None, bytes | None]


@contextmanager
def spark_files(sources: Iterable[Path], profile: Profile, *, notice: Notice) -> Iterator[MappedFiles]:
    """
    As `engine.mapped_files`, on the Spark that its own settings name, by default one on this machine.

    Unreadable lines are Issues and counted, but Spark does not know where in a file they stood.
    MissingExtra without the extra `spark`.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtra("spark") from None
    session = SparkSession.builder.appName("fhir-srs").getOrCreate()
    try:
        yield SparkMap(session, sources, profile, notice).files()
    finally:
        session.stop()


class SparkMap:
    """
    The lines that mapping writes, of *sources* that all of Spark's workers can read.

    What is skipped is said to *notice*. Only Patients that are linked to others, and counts, come to the
    driver; the lines come to it one partition after another.
    """

    def __init__(
        self, session: SparkSession, sources: Iterable[Path], profile: Profile, notice: Notice
    ) -> None:
        self._context = session.sparkContext
        self._start = self._context.broadcast(Common(profile))
        self._seen = _bodies(session, sources, notice).mapPartitions(_looked(self._start)).cache()
        versions = self._seen.filter(_is_entry).map(_with_key).reduceByKey(_newer(self._start)).cache()
        self._versions = versions
        self._kept = versions.map(_entry).filter(_has_body)
        self._patients = self._kept.filter(_is_patient)
        self._common = self._context.broadcast(Common(profile, self._merged()))
        self._owned = self._owners().cache()
        self._maps = self._mapped().cache()
        self._groups = (
            self._maps.map(_by_identity).groupByKey().mapPartitions(_assembled(self._start)).cache()
        )

    def files(self) -> MappedFiles:
        """What the local engine gives, each line in the same place."""
        return MappedFiles(self._lesions, self._events, self._issue_lines, self.tally(), held=0)

    def _rows(self) -> Iterator[Rows]:
        return (rows for _, (rows, _) in self._groups.sortByKey().toLocalIterator())

    def _lesions(self) -> Iterator[bytes]:
        return (line for rows in self._rows() for line in rows.lesions)

    def _events(self) -> Iterator[bytes]:
        return (line for rows in self._rows() for line in rows.events)

    def _issue_lines(self) -> Iterator[bytes]:
        return (line for _, line in self._issues().map(_issue_line).sortByKey().toLocalIterator())

    def tally(self) -> Tally:
        """What became of everything."""
        total: Tally = self._groups.map(_tally_of_group).fold(Tally(), _added)
        for (fate, kind), number in self._fates():
            if fate == "ignored":
                total.ignored[kind] += number
            else:
                total.fates[fate] += number
        for pair, number in self._issues().map(_reason).reduceByKey(add).collect():
            total.reasons[pair] += number
        return total

    def _merged(self) -> Mapping[str, str]:
        """Merged records with their survivors; only Patients with links come to the driver."""
        linked = self._patients.filter(_is_linked).flatMap(_patient(self._start)).collect()
        wanted = frozenset(one for record in linked for one in named_by_links(record))
        held = self._holders(wanted).groupByKey().mapValues(frozenset).collectAsMap() if wanted else {}
        return dict(survivors(sorted(linked, key=_id), held))

    def _holders(self, wanted: Collection[str] | None = None) -> RDD[tuple[str, str]]:
        """(identifier, the Patient that holds it), of those *wanted* or all."""
        return self._patients.flatMap(_patient(self._start)).flatMap(_held(wanted))

    def _owners(self) -> RDD[tuple[Subject, Entry]]:
        """Each resource with its surviving patient, or why there is none; Medications have none."""
        records = self._kept.filter(_is_no_medication)
        named = records.filter(_has_token).map(_with_token)
        found = named.leftOuterJoin(self._holders().groupByKey()).map(_by_token(self._common))
        return records.filter(_has_no_token).map(_by_reference(self._common)).union(found)

    def _mapped(self) -> RDD[PatientMap]:
        """The map of each patient, from their own resources and what lies around them."""
        own = self._owned.filter(_has_patient).map(_own)
        around = own.flatMap(_names_around).distinct().join(self._around()).map(_lent)
        return own.union(around).groupByKey().mapPartitions(_map_all(self._common))

    def _around(self) -> RDD[tuple[str, bytes | None]]:
        """Everything that another patient's resource may name, by key; of Medications the body too."""
        return self._kept.filter(_is_around).map(_lendable)

    def _issues(self) -> RDD[Issue]:
        """Every issue of the run."""
        superseded = self._versions.flatMap(_superseded(self._start))
        ownerless = self._owned.filter(_has_no_patient).map(_refused(self._start))
        of_patients = self._groups.flatMap(_issues_of_group)
        return self._seen.filter(_is_issue).union(superseded).union(ownerless).union(of_patients)

    def _fates(self) -> Iterator[tuple[Fate, int]]:
        """What became of resources before and beside the maps of patients; of those ignored, their type."""
        for fate in (
            self._seen.flatMap(_fate_at_first_sight),
            self._versions.flatMap(_fate_of_versions),
            self._owned.filter(_has_no_patient).map(_refusal),
        ):
            yield from fate.countByValue().items()


def _bodies(session: SparkSession, sources: Iterable[Path], notice: Notice) -> RDD[bytes]:
    """The lines and documents of *sources* as they are: Spark's own text would mend what is no UTF-8."""
    from pyspark.sql.functions import col

    files = [str(piece.file.absolute()) for piece in pieces(sources, notice)]
    lined = [one for one in files if one.endswith((".ndjson", ".ndjson.gz"))]
    whole = [one for one in files if one not in lined]
    found = session.sparkContext.emptyRDD()
    if lined:
        text = session.read.text(lined, lineSep="\n").select(col("value").cast("binary"))
        found = found.union(text.rdd.flatMap(_line))
    if whole:
        documents = session.read.format("binaryFile").load(whole).select("content")
        found = found.union(documents.rdd.map(_document))
    return found


def _line(row: Any) -> list[bytes]:
    line = bytes(row[0])
    if len(line) >= LONGEST_LINE:
        return [b""]
    return [line.strip()] if line.strip() else []


def _document(row: Any) -> bytes:
    return bytes(row[0]).removeprefix(b"\xef\xbb\xbf").strip()


def _looked(common: Broadcast[Common]) -> Callable[[Iterable[bytes]], Iterator[Seen]]:
    return lambda lines: look(lines, common.value.profile)


def _is_entry(seen: Seen) -> bool:
    return isinstance(seen, Entry)


def _is_issue(seen: Seen) -> bool:
    return isinstance(seen, Issue)


Fate: TypeAlias = tuple[Use, str]


def _fate_at_first_sight(seen: Seen) -> list[Fate]:
    if isinstance(seen, Issue):
        return [] if seen.used else [("refused", "")]
    return [("ignored", seen)] if isinstance(seen, str) else []


# Versions of one resource: the newest so far, and how many there were.
Versions: TypeAlias = tuple[Entry, int]


def _with_key(seen: Any) -> tuple[str, Versions]:
    return seen.key, (seen, 1)


def _newer(common: Broadcast[Common]) -> Callable[[Versions, Versions], Versions]:
    def newer(one: Versions, other: Versions) -> Versions:
        return SecondLook(common.value.profile).newest((one[0], other[0])), one[1] + other[1]

    return newer


def _entry(pair: tuple[str, Versions]) -> Entry:
    return pair[1][0]


def _times_superseded(pair: tuple[str, Versions]) -> int:
    return pair[1][1] - 1


def _fate_of_versions(pair: tuple[str, Versions]) -> list[Fate]:
    """Older versions are refused; of the newest, what has no body is ignored, a Medication is used."""
    older: list[Fate] = [("refused", "")] * _times_superseded(pair)
    if not _has_body(_entry(pair)):
        return [*older, ("ignored", kind_of(pair[0]))]
    return older if _is_no_medication(_entry(pair)) else [*older, ("used", "")]


def _superseded(common: Broadcast[Common]) -> Callable[[tuple[str, Versions]], list[Issue]]:
    def issues(pair: tuple[str, Versions]) -> list[Issue]:
        issue = common.value.profile.issue("version-superseded", pair[0], "meta.versionId", used=False)
        return [issue] * _times_superseded(pair)

    return issues


def _has_body(entry: Entry) -> bool:
    return entry.body is not None


def _is_patient(entry: Entry) -> bool:
    return entry.key.startswith("Patient/")


def _is_no_medication(entry: Entry) -> bool:
    return not entry.key.startswith("Medication/")


def _is_around(entry: Entry) -> bool:
    return entry.key.partition("/")[0] in _AROUND


def _is_linked(entry: Entry) -> bool:
    return entry.linked


def _patient(common: Broadcast[Common]) -> Callable[[Entry], list[r4.Patient]]:
    def patient(entry: Entry) -> list[r4.Patient]:
        found = SecondLook(common.value.profile).read([entry.body] if entry.body else [])
        return [one for one in found.values() if isinstance(one, r4.Patient)]

    return patient


def _id(record: r4.Patient) -> str:
    return record.id or ""


def _held(wanted: Collection[str] | None) -> Callable[[r4.Patient], list[tuple[str, str]]]:
    def held(record: r4.Patient) -> list[tuple[str, str]]:
        names = [one for one in identifiers(record) if wanted is None or one in wanted]
        return [(one, f"Patient/{record.id}") for one in names]

    return held


def _has_token(entry: Entry) -> bool:
    return entry.owner.token is not None


def _has_no_token(entry: Entry) -> bool:
    return entry.owner.token is None


def _with_token(entry: Entry) -> tuple[str, Entry]:
    return entry.owner.token or "", entry


def _by_token(common: Broadcast[Common]) -> Callable[[Any], tuple[Subject, Entry]]:
    def owned(pair: tuple[str, tuple[Entry, Iterable[str] | None]]) -> tuple[Subject, Entry]:
        entry, found = pair[1]
        return the_one(found or (), common.value.merged), entry

    return owned


def _by_reference(common: Broadcast[Common]) -> Callable[[Entry], tuple[Subject, Entry]]:
    def owned(entry: Entry) -> tuple[Subject, Entry]:
        patient = entry.owner.patient
        if patient is None:
            return Subject(None, entry.owner.reason), entry
        return Subject(common.value.merged.get(patient, patient)), entry

    return owned


def _has_patient(owned: tuple[Subject, Entry]) -> bool:
    return owned[0].patient is not None


def _has_no_patient(owned: tuple[Subject, Entry]) -> bool:
    return owned[0].patient is None


def _refusal(_owned: tuple[Subject, Entry]) -> Fate:
    return "refused", ""


def _refused(common: Broadcast[Common]) -> Callable[[tuple[Subject, Entry]], Issue]:
    def issue(owned: tuple[Subject, Entry]) -> Issue:
        subject, entry = owned
        reason = subject.reason or "subject-missing"
        found: Issue = common.value.profile.issue(reason, entry.key, "subject", used=False)
        return found

    return issue


def _own(owned: tuple[Subject, Entry]) -> tuple[str, Item]:
    return owned[0].patient or "", (None, owned[1].body)


def _names_around(own: tuple[str, Item]) -> list[tuple[str, str]]:
    """(name, patient) of all that a resource of the patient refers to."""
    patient, (_, body) = own
    named = (relative(one, kind) for one in _references(json.loads(body or b"{}")) for kind in _AROUND)
    return [(name, patient) for name in {*named} if name and name.partition("/")[0] in _AROUND]


def _references(tree: Any) -> Iterator[r4.Reference]:
    """Every reference in *tree*."""
    if isinstance(tree, dict):
        name = tree.get("reference")
        if isinstance(name, str):
            yield r4.Reference(reference=name)
        tree = list(tree.values())
    for one in tree if isinstance(tree, list) else ():
        yield from _references(one)


def _lendable(entry: Entry) -> tuple[str, bytes | None]:
    return entry.key, entry.body if entry.key.startswith("Medication/") else None


def _lent(pair: tuple[str, tuple[str, bytes | None]]) -> tuple[str, Item]:
    name, (patient, body) = pair
    return patient, (name, body)


def _map_all(common: Broadcast[Common]) -> Callable[[Any], Iterator[PatientMap]]:
    def map_all(groups: Iterable[tuple[str, Iterable[Item]]]) -> Iterator[PatientMap]:
        second, others = SecondLook(common.value.profile), common.value.aliases()
        for patient, items in groups:
            yield _map_one(second, patient, list(items), others.get(patient, frozenset()))

    return map_all


def _map_one(second: SecondLook, patient: str, items: Sequence[Item], others: frozenset[str]) -> PatientMap:
    bodies = [body for name, body in items if name is None and body is not None]
    drugs = {name: second.drug(body) for name, body in items if name is not None and body is not None}
    known = {name for name, _ in items if name is not None}
    return second.map(
        patient,
        bodies,
        drugs={name: drug for name, drug in drugs.items() if drug is not None},
        known=known,
        aliases=others,
    )


def _by_identity(one: PatientMap) -> tuple[bytes, PatientMap]:
    return person_order(one.patient)[0], one


def _assembled(
    common: Broadcast[Common],
) -> Callable[[Any], Iterator[tuple[bytes, tuple[Rows, list[Issue]]]]]:
    def assembled(
        groups: Iterable[tuple[bytes, Iterable[PatientMap]]],
    ) -> Iterator[tuple[bytes, tuple[Rows, list[Issue]]]]:
        for name, maps in groups:
            yield name, _rows(maps, common.value.profile)

    return assembled


def _rows(maps: Iterable[PatientMap], profile: Profile) -> tuple[Rows, list[Issue]]:
    group, issues = distinct(sorted(maps, key=lambda one: person_order(one.patient)), profile)
    lesions = lesions_of(group)
    events = [event for one in group for event in one.events]
    found = Tally(events=len(events), patients=sum(bool(one.lesions) for one in group))
    found.add_lesions(lesions, events)
    for one in group:
        found.add_uses(one.uses)
    rows = Rows(
        tuple(to_json(lesion_row(one)) + b"\n" for one in lesions),
        tuple(to_json(event_row(one)) + b"\n" for one in events),
        found,
    )
    return rows, [*issues, *(issue for one in group for issue in one.issues)]


def _tally_of_group(group: tuple[bytes, tuple[Rows, list[Issue]]]) -> Tally:
    return group[1][0].tally


def _issues_of_group(group: tuple[bytes, tuple[Rows, list[Issue]]]) -> list[Issue]:
    return group[1][1]


def _added(one: Tally, other: Tally) -> Tally:
    total = Tally()
    total.add(one)
    total.add(other)
    return total


def _issue_line(issue: Issue) -> tuple[bytes, bytes]:
    return issue_order(issue), to_json(issue) + b"\n"


def _reason(issue: Issue) -> tuple[tuple[bool, str], int]:
    return (issue.used, issue.reason), 1
