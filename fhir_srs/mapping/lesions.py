"""Lesions of one patient: from courses and their targets, each with an identity that outlives the server.

Rules: `spec/fhir-mapping.md` sections 1.4 to 2; `decisions.md` 1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.courses import Treatment, find_courses
from fhir_srs.mapping.facts import LesionSite, PatientFacts, of_type
from fhir_srs.mapping.labels import places
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.patients import relative, token
from fhir_srs.mapping.procedures import MCODE, Course
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.targets import (
    Entry,
    Target,
    Volume,
    contained_volumes,
    read_volume,
    targets,
)
from fhir_srs.model import Ground, Lesion, Patient, Technique, content_id

_TUMOR_PROFILE = MCODE + "mcode-tumor"
_STRUCTURE_TYPE = ("http://hl7.org/fhir/resource-types", "BodyStructure")
# Dose that is evidence of radiosurgery (section 1.4): Gy per fraction, by number of fractions.
_LEAST_SINGLE_GY, _LEAST_EACH_GY, _MOST_FRACTIONS = Decimal(10), Decimal(6), 5


class _Tumour(NamedTuple):
    """A tumour followed over time: its resource, its identifier if it has one, its levels."""

    volume: Volume
    identifier: str | None


class Places(NamedTuple):
    """All BodyStructures of one patient: treated volumes and tumours, by key."""

    volumes: Mapping[str, Volume]
    tumours: Sequence[_Tumour]


def read_places(facts: PatientFacts, profile: Profile) -> Places:
    """The BodyStructures of *facts*, read once."""
    structures = of_type(r4.BodyStructure, facts.resources)
    volumes = {key: read_volume(one, profile) for key, one in structures}
    tumours = [_Tumour(volumes[key], _tumour_id(one)) for key, one in structures if _is_tumour(one)]
    inside = (
        one
        for _, told in of_type(r4.Procedure, facts.resources)
        if told.contained
        for one in contained_volumes(told, profile)
    )
    return Places(volumes | {one.key: one for one in inside}, tumours)


def _is_tumour(structure: r4.BodyStructure) -> bool:
    return _TUMOR_PROFILE in r4.claimed_profiles(structure.meta) or _tumour_id(structure) is not None


def _tumour_id(structure: r4.BodyStructure) -> str | None:
    """The identifier of the type that mCODE gives to tumours."""
    typed = [
        token(one)
        for one in structure.identifier
        if one.value and one.type and any((c.system, c.code) == _STRUCTURE_TYPE for c in one.type.coding)
    ]
    return min(typed, default=None)


def find_lesions(facts: PatientFacts, patient: Patient, profile: Profile, ledger: Ledger) -> list[LesionSite]:
    """
    The lesions of *patient* in the order of treatment, each with all that a link may name it by.

    What became of Procedures and BodyStructures is entered in *ledger*; resources that are neither course
    nor volume are left to other readers.
    """
    found = read_places(facts, profile)
    made: list[LesionSite] = []
    for told in find_courses(facts, found.volumes, profile, ledger):
        made.extend(_lesions(told, facts, found, patient, profile, ledger))
    for key in found.volumes:
        ledger.ignore(key)
    return _compared(_retreated(_numbered(made, ledger)), ledger)


def _lesions(
    told: Treatment,
    facts: PatientFacts,
    found: Places,
    patient: Patient,
    profile: Profile,
    ledger: Ledger,
) -> Iterator[LesionSite]:
    """The lesions of one treatment; without any, the course is refused with the reason."""
    told = _checked_dates(told, facts)
    wanted = [one for one in told.entries if not _left_out(one, ledger)]
    spinal = targets(wanted, told.course, told.site)
    _note_course(told, wanted, bool(spinal), facts, ledger)
    for target in spinal:
        ledger.use(*(one.key for one in target.volumes))
        yield _lesion(told, target, found, patient, profile, ledger)


def _left_out(entry: Entry, ledger: Ledger) -> bool:
    """Whether *entry* is an organ at risk or lies elsewhere; its volume is then entered as refused."""
    organ = "volume-organ-at-risk" in entry.site.reasons or (entry.volume and entry.volume.role == "OAR")
    if entry.volume is None or not (organ or entry.site.spinal is False):
        return bool(organ)
    ledger.refuse(entry.volume.key, "volume-organ-at-risk" if organ else "site-not-spinal")
    return True


def _note_course(
    told: Treatment, wanted: Sequence[Entry], spinal: bool, facts: PatientFacts, ledger: Ledger
) -> None:
    """Enter the course of *told*: used with its reasons, or refused because nothing spinal was treated."""
    key = told.course.key
    if not spinal:
        elsewhere = any(one.spinal is False for one in (told.site, *(entry.site for entry in told.entries)))
        ledger.refuse(key, *(("site-not-spinal", "bodySite") if elsewhere else _why_nowhere(told)))
        return
    ledger.use(key, *(one for one in told.others if ledger.uses.get(one) != "refused"))
    said = [pair for entry in wanted for pair in entry.reasons]
    own = dict(told.course.reasons)
    said += [(reason, own.get(reason, "status")) for reason in told.reasons]
    ledger.note_all(key, [(_across(reason, told, facts), path) for reason, path in said])


def _why_nowhere(told: Treatment) -> tuple[str, str]:
    """Why *told* has no site, and where it was to be found: the dose whose volume is not here, else bodySite.

    A course that tells nothing but has a note or a report has its facts there: nobody reads them.
    """
    lost = [path for entry in told.entries for reason, path in entry.reasons if reason == "volume-missing"]
    procedure = told.course.procedure
    if lost or any(entry.dose is not None for entry in told.entries):
        return "site-missing", lost[0] if lost else "bodySite"
    if procedure.note or procedure.report:
        return "document-only", "note" if procedure.note else "report"
    return "site-missing", "bodySite"


def _across(reason: str, told: Treatment, facts: PatientFacts) -> str:
    """`patient-mismatch` for an unresolved volume that is there, but another patient's."""
    if reason != "reference-unresolved":
        return reason
    named = (
        relative(part.value_reference, "BodyStructure") for one in told.course.doses for part in one.extension
    )
    astray = [one for one in named if one and one not in facts.resources]
    return "patient-mismatch" if any(one in facts.known for one in astray) else reason


def _checked_dates(told: Treatment, facts: PatientFacts) -> Treatment:
    """*told* without dates before birth or after death (`date-implausible`)."""
    start = told.course.start
    early = facts.born is not None and start is not None and start.last < facts.born.first
    late = facts.died is not None and start is not None and start.first > facts.died.last
    if not (early or late):
        return told
    course = msgspec.structs.replace(told.course, start=None, end=None)
    return msgspec.structs.replace(told, course=course, reasons=(*told.reasons, "date-implausible"))


def _lesion(
    told: Treatment, target: Target, found: Places, patient: Patient, profile: Profile, ledger: Ledger
) -> LesionSite:
    best, course = target.best, told.course
    fractions, counted = (told.delivered, True) if _by_bills(told, target) else (target.fractions, False)
    evidence = _evidence(course, best.dose, fractions, profile)
    technique, doubts = _technique(course, best.dose, fractions, evidence)
    tumours = _tumours_at(target, found)
    name = next(filter(None, (one.identifier for one in tumours)), None)
    identity = _identity(best.volume, name, target)
    reasons = {*target.reasons, *told.reasons, *doubts, *_unnamed(best.volume, name, patient)}
    reasons = (reasons - {"fractions-missing"}) | {"fractions-from-procedures"} if counted else reasons
    start = course.start
    end = course.end or (start if fractions == 1 else None)
    if start is not None and end is None and not told.provisional:
        reasons.add("date-missing")
        ledger.note(course.key, "date-missing", "performedPeriod.end")
    ledger.use(*(one.volume.key for one in tumours))
    for reason in sorted(reasons - {one.reason for one in ledger.issues if one.resource == course.key}):
        ledger.note(course.key, reason)
    lesion = Lesion(
        lesion_id=content_id(patient.key, start.text if start else None, identity),
        patient=patient.patient,
        patient_identifier=patient.identifier,
        course=course.key,
        target=best.volume.key if best.volume and "#" not in best.volume.key else None,
        target_label=best.volume.label if best.volume else None,
        levels=target.levels,
        region=target.region,
        start=start,
        end=end,
        dose_gy=best.dose,
        fractions=fractions,
        technique=technique,
        modality=course.modality,
        intent=course.intent,
        histology=None,
        reirradiation_of=None,
        cord_compression=None,
        sources=tuple(sorted({*told.sources, *(one.source for one in target.volumes)})),
        issues=tuple(sorted(reasons)),
        provisional=told.provisional,
        reirradiation=course.again,
        evidence=evidence,
    )
    return LesionSite(
        lesion=lesion,
        structures=frozenset({*(one.key for one in target.volumes), *(one.volume.key for one in tumours)}),
        structure_uids=frozenset(_names([*target.volumes, *(one.volume for one in tumours)])),
        courses=frozenset({course.key, *told.others}),
        conditions=frozenset(_conditions(course, target, tumours)),
    )


def _by_bills(told: Treatment, target: Target) -> bool:
    return target.fractions is None and told.delivered is not None


def _names(volumes: Iterable[Volume]) -> Iterator[str]:
    for volume in volumes:
        yield from volume.names


def _conditions(course: Course, target: Target, tumours: Iterable[_Tumour]) -> Iterator[str]:
    """What the course was given for, as it and its structures say."""
    yield from filter(None, (relative(one, "Condition") for one in course.procedure.reason_reference))
    for volume in (*target.volumes, *(one.volume for one in tumours)):
        yield from volume.conditions


def _unnamed(volume: Volume | None, tumour: str | None, patient: Patient) -> tuple[str, ...]:
    """`identifier-missing` where the identity rests on level and date, or on the server's patient id."""
    named = patient.identifier is not None and (tumour is not None or (volume is not None and volume.uid))
    return () if named else ("identifier-missing",)


def _identity(volume: Volume | None, tumour: str | None, target: Target) -> str:
    """What the target is known by: DICOM UID, tumour identifier, levels; else its region."""
    return (volume.uid if volume else None) or tumour or ";".join(target.levels) or target.region or ""


def _tumours_at(target: Target, found: Places) -> list[_Tumour]:
    """The tumours that *target* treated: at one of its levels (section 2, last paragraph)."""
    levels = set(target.levels)
    return [one for one in found.tumours if not levels.isdisjoint(one.volume.site.levels)]


def _evidence(
    course: Course, dose: Decimal | None, fractions: int | None, profile: Profile
) -> tuple[Ground, ...]:
    """What shows that *course* was radiosurgery; a site may leave a ground out that it does not trust."""
    shown: dict[Ground, bool | None] = {
        "code": course.by_code,
        "text": course.by_text,
        "dose": _is_radiosurgical(dose, fractions),
    }
    return tuple(
        one for one, holds in shown.items() if holds and one in profile.choices.radiosurgery_evidence
    )


def _technique(
    course: Course, dose: Decimal | None, fractions: int | None, evidence: Sequence[Ground]
) -> tuple[Technique | None, list[str]]:
    """SRS, SBRT, other or None by its *evidence* (section 1.4), with what is doubtful about it."""
    by_dose = _is_radiosurgical(dose, fractions)
    said = "code" in evidence or "text" in evidence
    if not evidence:
        return (None, ["technique-unknown"]) if by_dose is None else ("other", [])
    against = by_dose is False or (by_dose and course.flat and not said)
    doubts = ["technique-conflict"] if against or (by_dose and course.flat) else []
    if fractions is None:
        return course.named, doubts if course.named else [*doubts, "technique-unknown"]
    return ("SRS" if fractions == 1 else "SBRT"), doubts


def _is_radiosurgical(dose: Decimal | None, fractions: int | None) -> bool | None:
    """Whether the dose is that of radiosurgery; None where it cannot be told."""
    if dose is None or not fractions:
        return None
    if fractions == 1:
        return dose >= _LEAST_SINGLE_GY
    return fractions <= _MOST_FRACTIONS and dose / fractions >= _LEAST_EACH_GY


def _retreated(made: Sequence[LesionSite]) -> list[LesionSite]:
    """*made*, each with the latest earlier lesion that shares a level as `reirradiation_of`."""
    ordered = sorted(made, key=lambda one: lesion_order(one.lesion))
    done: list[LesionSite] = []
    for site in ordered:
        lesion = site.lesion
        before = [one.lesion.lesion_id for one in done if _precedes(one.lesion, lesion)]
        again = msgspec.structs.replace(lesion, reirradiation_of=before[-1] if before else None)
        done.append(msgspec.structs.replace(site, lesion=again))
    return done


def _compared(made: Sequence[LesionSite], ledger: Ledger) -> list[LesionSite]:
    """
    *made*, what a course says of earlier treatment being held against the earlier courses that are here.

    It may have several lesions, of which it does not say which. `fields-contradict`: it denies what is here;
    `reference-unresolved`: no earlier course at its levels is here.
    """
    again = {one.lesion.course for one in made if one.lesion.reirradiation_of is not None}
    doubts = {
        one.lesion.course: "reference-unresolved" if one.lesion.reirradiation else "fields-contradict"
        for one in made
        if one.lesion.reirradiation not in (None, one.lesion.course in again)
    }
    for course, reason in doubts.items():
        ledger.note(course or "", reason, "extension")
    return [_doubted(one, doubts.get(one.lesion.course)) for one in made]


def _doubted(site: LesionSite, reason: str | None) -> LesionSite:
    if reason is None:
        return site
    issues = tuple(sorted({*site.lesion.issues, reason}))
    return msgspec.structs.replace(site, lesion=msgspec.structs.replace(site.lesion, issues=issues))


def _precedes(earlier: Lesion, later: Lesion) -> bool:
    if earlier.start is None or later.start is None or earlier.start.first >= later.start.first:
        return False
    return not set(earlier.levels).isdisjoint(later.levels)


def _numbered(made: Sequence[LesionSite], ledger: Ledger) -> list[LesionSite]:
    """*made* with different lesion ids: equal ones get `#2`, ... in the order of their content."""
    seen: dict[str, int] = {}
    numbered: list[LesionSite] = []
    for site in sorted(made, key=_content):
        lesion = site.lesion
        seen[lesion.lesion_id] = seen.get(lesion.lesion_id, 0) + 1
        if seen[lesion.lesion_id] == 1:
            numbered.append(site)
            continue
        ledger.note(lesion.course or lesion.patient, "id-collision")
        numbered.append(msgspec.structs.replace(site, lesion=with_number(lesion, seen[lesion.lesion_id])))
    return numbered


def with_number(lesion: Lesion, number: int) -> Lesion:
    """*lesion* as the *number*-th of those with its lesion_id (`id-collision`)."""
    issues = tuple(sorted({*lesion.issues, "id-collision"}))
    return msgspec.structs.replace(lesion, lesion_id=f"{lesion.lesion_id}#{number}", issues=issues)


def _content(site: LesionSite) -> tuple[object, ...]:
    """Content first, the server's own names last: a total order of lesions."""
    lesion = site.lesion
    end = lesion.end.text if lesion.end else ""
    dose = lesion.dose_gy if lesion.dose_gy is not None else Decimal(-1)
    return (
        places(lesion.levels),
        -dose,
        lesion.fractions or 0,
        lesion.target_label or "",
        end,
        lesion.course or "",
    )


def lesion_order(lesion: Lesion) -> tuple[object, ...]:
    """The order of `lesions.ndjson`: patient, start (none last), levels from the skull down, lesion_id."""
    start = (False, lesion.start.first, lesion.start.last) if lesion.start else (True, date.max, date.max)
    return lesion.patient_identifier or lesion.patient, start, places(lesion.levels), lesion.lesion_id
