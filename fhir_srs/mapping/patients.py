"""Who a resource is about: references, business identifiers, merged records, the person as a value.

Merges are followed by Patient.link `replaced-by` and `replaces`, whatever `active` says
(`spec/fhir-mapping.md` section 5); facts move to the survivor (`decisions.md` 19).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fhir_srs import r4
from fhir_srs.dates import PartialDate, parse_date
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Patient

_RELATIVE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.\-]{1,64})(?:/_history/[^/]*)?")
_URN = re.compile(r"urn:(?:uuid|oid):([A-Za-z0-9.\-]{1,64})")


def relative(reference: r4.Reference | None, expected: str) -> str | None:
    """
    `Type/id` of what *reference* names, or None if it names nothing that way.

    An absolute address loses its base, a version its number, and `urn:uuid:x` is the *expected* type with
    the id x (`decisions.md` 25). A contained resource (`#x`) has no such name.

    >>> relative(r4.Reference(reference="https://ehr.example/fhir/Patient/1/_history/4"), "Patient")
    'Patient/1'
    """
    return None if reference is None or reference.reference is None else _name(reference.reference, expected)


def _name(text: str, expected: str) -> str | None:
    match = _RELATIVE.fullmatch(text)
    if match:
        return f"{match[1]}/{match[2]}"
    urn = _URN.fullmatch(text)
    return f"{expected}/{urn[1]}" if urn else None


class Subject(NamedTuple):
    """The patient of a resource, or the reason why there is none."""

    patient: str | None
    reason: str | None = None


class Told(NamedTuple):
    """Whom a reference names before merges: a record, an identifier still to be looked up, or why nobody."""

    patient: str | None = None
    token: str | None = None
    reason: str | None = None


def told(reference: r4.Reference | None) -> Told:
    """The patient that *reference* names: by reference, else by identifier (`system|value`)."""
    if reference is None:
        return Told(reason="subject-missing")
    if reference.reference is None:
        return _told_by_identifier(reference)
    name = _name(reference.reference, reference.type or "Patient")
    if name is None:
        return _told_by_identifier(reference) if reference.identifier else Told(reason="subject-unresolved")
    if not name.startswith("Patient/"):
        return Told(reason="subject-not-patient")
    return Told(patient=name)


def _told_by_identifier(reference: r4.Reference) -> Told:
    if reference.identifier is None or reference.identifier.value is None:
        return Told(reason="subject-missing")
    if reference.type not in (None, "Patient"):
        return Told(reason="subject-not-patient")
    return Told(token=token(reference.identifier))


def the_one(holders: Iterable[str], merged: Mapping[str, str]) -> Subject:
    """The one survivor of all records that hold an identifier; *merged* maps old records to survivors."""
    survivors = {merged.get(one, one) for one in holders}
    return Subject(survivors.pop()) if len(survivors) == 1 else Subject(None, "subject-unresolved")


class People:
    """Which record is whose: filled from all Patient resources before any other resource is placed."""

    def __init__(
        self, patients: Iterable[r4.Patient], held: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Where *held* tells who holds which identifier, *patients* need be those with links alone."""
        records = sorted(patients, key=lambda one: one.id or "")
        self._holders = holders(records) if held is None else held
        self._survivors = survivors(records, self._holders)
        self._known: dict[tuple[str, str | None], Subject] = {}

    def survivor(self, patient: str) -> str:
        """The record that *patient* was merged into, or itself."""
        return self._survivors.get(patient, patient)

    def aliases(self) -> Mapping[str, frozenset[str]]:
        """Survivor -> the records merged into it."""
        return aliases(self._survivors)

    def subject(self, reference: r4.Reference | None) -> Subject:
        """The surviving patient that *reference* names, by reference, else by identifier."""
        if reference is None or reference.reference is None or reference.identifier:
            return self.resolved(told(reference))
        key = reference.reference, reference.type
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self.resolved(told(reference))
        return known

    def resolved(self, named: Told) -> Subject:
        """The surviving patient of whom *named* tells."""
        if named.token is not None:
            return the_one(self._holders.get(named.token, ()), self._survivors)
        return Subject(self.survivor(named.patient)) if named.patient else Subject(None, named.reason)


def aliases(merged: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """Survivor -> the records merged into it, from record -> survivor."""
    found: dict[str, set[str]] = {}
    for old, new in merged.items():
        found.setdefault(new, set()).add(old)
    return {new: frozenset(old) for new, old in found.items()}


def token(identifier: r4.Identifier) -> str:
    """`system|value`, as events and lesions write an identifier."""
    return f"{identifier.system or ''}|{identifier.value or ''}"


def plain_token(identifier: r4.Identifier) -> str:
    """As `token`, of a UID without the `urn:oid:` that some write before it: two spellings of one name."""
    return f"{identifier.system or ''}|{(identifier.value or '').removeprefix('urn:oid:')}"


def holders(records: Iterable[r4.Patient]) -> Mapping[str, Collection[str]]:
    """Identifier (`system|value`) -> the *records* that hold it, as `Patient/id`."""
    found: dict[str, tuple[str, ...] | set[str]] = {}
    for record in records:
        name = f"Patient/{record.id}"
        for one in identifiers(record):
            # Nearly always one record: a set takes four times as much.
            others = found.setdefault(one, (name,))
            if isinstance(others, set):
                others.add(name)
            elif others != (name,):
                found[one] = {*others, name}
    return found


def identifiers(record: r4.Patient) -> Iterator[str]:
    """The identifiers of *record*, as `system|value`."""
    return (token(one) for one in record.identifier if one.value)


def survivors(records: Sequence[r4.Patient], held: Mapping[str, Collection[str]]) -> Mapping[str, str]:
    """
    Each merged record -> the last of its chain, by the links of *records* in the order of ids.

    *held* tells who holds the identifiers that links name. A ring of links ends at its smallest reference.
    """
    return _survivors(_replacements(records, held))


def named_by_links(record: r4.Patient) -> Iterator[str]:
    """The identifiers (`system|value`) by which links of *record* name other records."""
    for link in record.link:
        if relative(link.other, "Patient") is None and link.other and link.other.identifier:
            yield token(link.other.identifier)


def _replacements(
    records: Sequence[r4.Patient], held: Mapping[str, Collection[str]]
) -> Mapping[str, set[str]]:
    """Old record -> the records that are said to replace it."""
    newer: dict[str, set[str]] = {}
    for record in records:
        own = f"Patient/{record.id}"
        for link in record.link:
            other = _linked(link.other, held)
            if other is None or other == own:
                continue
            if link.type == "replaced-by":
                newer.setdefault(own, set()).add(other)
            elif link.type == "replaces":
                newer.setdefault(other, set()).add(own)
    return newer


def _linked(other: r4.Reference | None, held: Mapping[str, Collection[str]]) -> str | None:
    name = relative(other, "Patient")
    if name or other is None or other.identifier is None:
        return name
    found = held.get(token(other.identifier), ())
    return next(iter(found)) if len(found) == 1 else None


def _survivors(newer: Mapping[str, set[str]]) -> Mapping[str, str]:
    survivors: dict[str, str] = {}
    for old in newer:
        seen, at = [old], old
        while at in newer:
            at = min(newer[at])
            if at in seen:
                at = min(seen[seen.index(at) :])
                break
            seen.append(at)
        if at != old:
            survivors[old] = at
    return survivors


def build_patient(
    patient: str, record: r4.Patient | None, merged: Sequence[r4.Patient], profile: Profile
) -> Patient:
    """The person *patient*: facts from the surviving *record*, gaps filled from those *merged* into it.

    *key* is the business identifier, else the reference itself (`decisions.md` 1).
    """
    records = [one for one in (record, *sorted(merged, key=lambda one: one.id or "")) if one is not None]
    identifier = next(filter(None, (_identifier(one, profile) for one in records)), None)
    dead = [one for one in records if one.deceased_boolean or one.deceased_date_time]
    return Patient(
        patient=patient,
        identifier=identifier,
        key=identifier or patient,
        sex=next(filter(None, (one.gender for one in records)), None),
        birth_date=next(filter(None, (_date(one.birth_date, profile) for one in records)), None),
        deceased=bool(dead),
        sources=tuple(sorted(map(source, records))),
    )


def source(resource: r4.Resource) -> str:
    """`Type/id/_history/v`, or `Type/id` where the server gave no version (`decisions.md` 25)."""
    name = f"{resource.__class__.__name__}/{resource.id}"
    version = resource.meta.version_id if resource.meta else None
    return f"{name}/_history/{version}" if version else name


def _identifier(record: r4.Patient, profile: Profile) -> str | None:
    """The identifier of the profile's system, else of type MR, else the first by system and value."""
    held = [one for one in record.identifier if one.value]
    held = [one for one in held if one.use != "old"] or held
    own = [one for one in held if one.system == profile.patient_identifier_system and one.system]
    best = own or [one for one in held if _is_record_number(one)] or held
    return token(min(best, key=lambda one: (one.system or "", one.value or ""))) if best else None


def _is_record_number(identifier: r4.Identifier) -> bool:
    codings = identifier.type.coding if identifier.type else ()
    return any(one.code == "MR" for one in codings)


def _date(text: str | None, profile: Profile) -> PartialDate | None:
    return parse_date(text, profile.time_zone) if text else None
