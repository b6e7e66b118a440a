"""What one page of the pull gives: rows for the store, refusals, newcomers to the cohort, our own results.

Pure. A resource is decoded into its r4 Struct and written down again from it: what the Struct does not name
(names, addresses, narrative) is never stored (`spec/reliability.md` section 7, At rest).
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from fhir_srs import r4
from fhir_srs.fhir.answers import Page
from fhir_srs.fhir.careful import members
from fhir_srs.fhir.sansio import instant, relative
from fhir_srs.store import Refused, Row

# mCODE STU4, RadiotherapyCourseSummary
DOSE_EXTENSION = (
    "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-dose-delivered-to-volume"
)
_TEST = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
_MERGES = frozenset({"replaced-by", "replaces"})
_DECODER: msgspec.json.Decoder[r4.Known] = msgspec.json.Decoder(r4.Known)
_ENCODER = msgspec.json.Encoder()
_HEAD = (b"resourceType", b"id", b"meta", b"subject", b"patient")
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _HeadMeta(msgspec.Struct, frozen=True, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str = ""
    id: str = ""
    meta: _HeadMeta | None = None
    subject: msgspec.Raw = msgspec.Raw()
    patient: msgspec.Raw = msgspec.Raw()


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to judge a resource: our server's *base*, the cohort's codes, the systems of our own results.

    A Procedure with one of *codes* makes its patient one of the cohort; with one of *generic* only if it
    carries a delivered dose (`spec/fhir-mapping.md` section 1.3). With *synthetic* test patients are the
    cohort; otherwise they are left out (`decisions.md` 22).
    """

    base: str
    codes: frozenset[tuple[str, str]]
    generic: frozenset[tuple[str, str]] = frozenset()
    echoes: frozenset[str] = frozenset()
    synthetic: bool = True

    def name(self, body: bytes) -> str:
        """`Type/id` of a resource, as far as it can be read: what pages are counted by."""
        head = _head(body)
        return f"{head.resource_type}/{head.id}" if head.id else f"?{hash(body)}"

    def treated(self, body: bytes) -> str | None:
        """The patient (`Patient/x`) whom the stored Procedure *body* makes one of the cohort, if it does."""
        resource = _read(body)
        if isinstance(resource, str) or not _makes_cohort(self, resource):
            return None
        return _patient(resource, self.base)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    row: Row
    newcomer: str | None
    linked: frozenset[str] = frozenset()
    test: bool = False

    @property
    def patient(self) -> str | None:
        return self.row.patient


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One page, judged. *newcomers* are patients with a Procedure that makes them part of the cohort.

    *outside* are rows of nobody in the cohort, of which nothing is kept.
    """

    kept: tuple[_Kept, ...]
    refused: tuple[Refused, ...]
    echoes: Mapping[str, str | None]
    outside: tuple[Row, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """What goes into the store."""
        return tuple(one.row for one in self.kept)

    @property
    def newcomers(self) -> tuple[str, ...]:
        """Patients (`Patient/x`) whose radiosurgery is on this page."""
        return tuple(sorted({one.newcomer for one in self.kept if one.newcomer}))

    @property
    def test_patients(self) -> frozenset[str]:
        """Patients who are none: test data (HTEST) on a server of real ones."""
        return frozenset(one.patient for one in self.kept if one.test and one.patient)

    def of_cohort(self, left_out: Collection[str]) -> "Taken":
        """Only the Procedures that make their patient one of the cohort, and none of those *left_out*."""
        kept = tuple(one for one in self.kept if one.newcomer and one.newcomer not in left_out)
        refused = tuple(one for one in self.refused if one.patient not in left_out)
        return msgspec.structs.replace(self, kept=kept, refused=refused)

    def of_patients(self, patients: Collection[str], medications: Collection[str]) -> "Taken":
        """Only what belongs to *patients*, those of *medications*, and refusals that may be theirs."""
        kept: list[_Kept] = []
        outside: list[_Kept] = []
        for one in self.kept:
            is_ours = one.patient in patients or (one.row.type == "Medication" and one.row.id in medications)
            (kept if is_ours else outside).append(one)
        return msgspec.structs.replace(
            self,
            kept=tuple(kept),
            outside=tuple(one.row for one in outside),
            refused=tuple(one for one in self.refused if one.patient is None or one.patient in patients),
        )

    def relatives(self, patients: Collection[str]) -> frozenset[str]:
        """Patients merged with one of *patients*, whichever of the two records says so (I12)."""
        found: set[str] = set()
        for one in self.kept:
            if one.patient in patients:
                found |= one.linked
            elif one.patient and one.linked & set(patients):
                found.add(one.patient)
        return frozenset(found)

    @property
    def links(self) -> Mapping[str, frozenset[str]]:
        """Of each Patient record here, the records that it says it was merged with."""
        return {one.patient: one.linked for one in self.kept if one.row.type == "Patient" and one.patient}

    def strangers(self, patients: Collection[str]) -> bool:
        """Whether a row is of somebody else."""
        return any(one.patient not in patients for one in self.kept)

    def stamped_before(self, moment: str) -> bool:
        """Whether a row is older than *moment*, an instant in UTC."""
        return any(one.row.last_updated and one.row.last_updated < moment for one in self.kept)


def take_page(intake: Intake, page: Page, resource_type: str, run: str, number: int) -> Taken:
    """The resources of *page* that are of *resource_type*, one by one; a bad one harms itself alone."""
    kept: list[_Kept] = []
    refused = [_unnamed(resource_type, f"{run}.{number}.{place}") for place in range(page.unreadable)]
    echoes: dict[str, str | None] = {}
    for body in page.resources:
        resource = _read(body)
        if isinstance(resource, str) or not resource.id:
            head, path = _head(body), resource if isinstance(resource, str) else "id"
            if head.resource_type == resource_type:
                refused.append(_refused(head, path, intake.base))
        elif type(resource).__name__ != resource_type:
            continue
        elif _is_ours(resource, intake.echoes):
            echoes[resource.id] = resource.meta.version_id if resource.meta else None
        else:
            kept.append(_keep(intake, resource))
    return Taken(kept=tuple(kept), refused=tuple(refused), echoes=echoes)


def _head(body: bytes) -> _Head:
    try:
        return msgspec.json.decode(body, type=_Head)
    except _BROKEN:
        return _careful_head(body)


def _careful_head(body: bytes) -> _Head:
    """What can be said of a resource that no decoder takes: its id, version and whose it is."""
    parts = members(body) or {}
    kept = (b'"%b":%b' % (name, parts[name]) for name in _HEAD if name in parts)
    try:
        return msgspec.json.decode(b"{" + b",".join(kept) + b"}", type=_Head)
    except _BROKEN:
        return _Head()


def _read(body: bytes) -> r4.Known | str:
    """The resource, or the path at which it could not be read."""
    try:
        return _DECODER.decode(body)
    except _BROKEN as error:
        match = re.search(r"at `\$\.?([A-Za-z0-9.\[\]]*)", str(error))
        return match.group(1) if match else ""


def _refused(head: _Head, path: str, base: str) -> Refused:
    version = (head.meta.version_id if head.meta else None) or ""
    return Refused(
        type=head.resource_type,
        id=head.id,
        version=version,
        reason="resource-unreadable",
        path=path or None,
        patient=_owner(head, base),
        last_updated=_utc(head.meta.last_updated if head.meta else None),
    )


def _owner(head: _Head, base: str) -> str | None:
    """Whose the unreadable resource is, as far as that part of it can be read."""
    for raw in (head.subject, head.patient):
        try:
            found = msgspec.json.decode(raw, type=r4.Reference).reference if bytes(raw) else None
        except _BROKEN:
            continue
        if found is not None:
            return relative(found, base=base)
    return f"Patient/{head.id}" if head.resource_type == "Patient" else None


def _unnamed(resource_type: str, place: str) -> Refused:
    return Refused(type=resource_type, id=f"?{place}", version="", reason="resource-unreadable")


def _is_ours(resource: r4.Known, systems: Collection[str]) -> bool:
    """Known by our identifier system, not by a tag: tags can be changed without a version (I14, H13)."""
    found = resource.identifier
    return isinstance(found, tuple) and any(one.system in systems for one in found)


def _keep(intake: Intake, resource: r4.Known) -> _Kept:
    patient = _patient(resource, intake.base)
    return _Kept(
        row=_row(resource, patient),
        newcomer=patient if _makes_cohort(intake, resource) else None,
        linked=_linked(resource, intake.base),
        test=not intake.synthetic and _is_test(resource),
    )


def _linked(resource: r4.Known, base: str) -> frozenset[str]:
    """The records that a Patient says it was merged with (https://hl7.org/fhir/R4/valueset-link-type.html)."""
    if not isinstance(resource, r4.Patient):
        return frozenset()
    merged = (one.other for one in resource.link if one.type in _MERGES)
    names = (relative(one.reference, base=base) for one in merged if one)
    return frozenset(name for name in names if name and name.startswith("Patient/"))


def linked_records(body: bytes, base: str) -> tuple[str | None, frozenset[str]]:
    """A stored Patient as a reference, and the records that it says it was merged with."""
    patient = _read(body)
    if isinstance(patient, str):
        return None, frozenset()
    return f"Patient/{patient.id}", _linked(patient, base)


def _is_test(resource: r4.Known) -> bool:
    """Whether a Patient is test data: http://terminology.hl7.org/CodeSystem/v3-ActReason HTEST."""
    labels = resource.meta.security if isinstance(resource, r4.Patient) and resource.meta else ()
    return any((one.system, one.code) == _TEST for one in labels)


def _patient(resource: r4.Known, base: str) -> str | None:
    if isinstance(resource, r4.Patient):
        return f"Patient/{resource.id}"
    subject = getattr(resource, "subject", None) or getattr(resource, "patient", None)
    return relative(subject.reference, base=base) if subject else None


def _makes_cohort(intake: Intake, resource: r4.Known) -> bool:
    if not isinstance(resource, r4.Procedure) or resource.code is None:
        return False
    codes = {(one.system or "", one.code or "") for one in resource.code.coding}
    with_dose = any(one.url == DOSE_EXTENSION for one in resource.extension)
    return bool(codes & intake.codes) or (with_dose and bool(codes & intake.generic))


def _row(resource: r4.Known, patient: str | None) -> Row:
    meta = resource.meta
    return Row(
        type=type(resource).__name__,
        id=resource.id or "",
        version=meta.version_id if meta else None,
        last_updated=_utc(meta.last_updated if meta else None),
        payload=_ENCODER.encode(_scrubbed(resource)),
        patient=patient,
    )


# A server that was loaded at once gave many of its rows one stamp.
@lru_cache(maxsize=1024)
def _utc(text: str | None) -> str | None:
    """*text* as an instant in UTC, so that text order is time order; None where it is no instant."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return instant(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _scrubbed(resource: r4.Known) -> r4.Known:
    """*resource* without the places where a name may still stand: displays of people, contained others."""
    changes: dict[str, object] = {}
    for field in ("subject", "patient"):
        reference = getattr(resource, field, None)
        if reference is not None and reference.display is not None:
            changes[field] = msgspec.structs.replace(reference, display=None)
    if isinstance(resource, r4.Patient) and resource.link:
        changes["link"] = tuple(_nameless(link) for link in resource.link)
    if isinstance(resource, r4.MedicationResource) and resource.contained:
        changes["contained"] = tuple(filter(None, map(_medication, resource.contained)))
    return msgspec.structs.replace(resource, **changes) if changes else resource


def _nameless(link: r4.PatientLink) -> r4.PatientLink:
    other = msgspec.structs.replace(link.other, display=None) if link.other else None
    return msgspec.structs.replace(link, other=other)


def _medication(body: msgspec.Raw) -> msgspec.Raw | None:
    """A contained Medication written down again; any other contained resource could be a person."""
    resource = _read(bytes(body))
    return msgspec.Raw(_ENCODER.encode(resource)) if isinstance(resource, r4.Medication) else None
