"""Conditions: what they say of a lesion (primary, histology, cord compression); fracture, death as events."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.elements import IGNORED, When, day, event, period, refused, used
from fhir_srs.mapping.facts import Draft, LesionSite, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.links import link
from fhir_srs.mapping.patients import relative, source
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import EventKind, Lesion

_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
# STU2 and later, and the name of STU1.
_HISTOLOGY = (f"{_MCODE}mcode-histology-morphology-behavior", f"{_MCODE}histology-morphology-behavior")
_RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
_PRIMARY = f"{_MCODE}mcode-primary-cancer-condition"
# ICD-10 and what countries made of it: of cancers the first three characters are the same (C50 breast).
_ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
_ICD10 = frozenset((_ICD10CM, "http://hl7.org/fhir/sid/icd-10", "http://fhir.de/CodeSystem/bfarm/icd-10-gm"))
# Chapter II without metastases (C77 to C79) and without C44: basal cell carcinoma seeds no spine, and beside
# another cancer it would make the primary look unclear.
_CANCER = re.compile(r"C(?!44)(?:[0-6]\d|7[0-6]|8\d|9[0-6])")
OTHER = "other"
_NOT_REAL = frozenset({"refuted", "entered-in-error", "differential"})
_EVENTS: tuple[tuple[str, EventKind], ...] = (("fracture", "fracture"), ("death", "death"))


def take_condition(resource: r4.Condition, facts: PatientFacts, profile: Profile) -> Taken:
    """A fracture or a death is an event; a cancer or cord compression is used for lesions."""
    if not _concerns(resource, profile):
        return IGNORED
    if _verification(resource) in _NOT_REAL:
        return refused(resource, "status-not-usable", "verificationStatus", profile)
    for name, kind in _EVENTS:
        found = profile.codes.find(name, resource.code)
        if found:
            when = _onset(resource, facts, profile)
            return used(resource, [_draft(resource, kind, found.token, when, facts)], when.said, profile)
    return used(resource, (), (), profile)


def _concerns(resource: r4.Condition, profile: Profile) -> bool:
    sets = ("metastasis", "cord-compression", "fracture", "death")
    return any(profile.codes.find(name, resource.code) for name in sets) or bool(_primary(resource, profile))


def _primary(condition: r4.Condition, profile: Profile) -> str | None:
    """
    Which primary cancer *condition* is, by group (`breast`, `lung`); None if it is none.

    `other`: it says that it is one, but its code is in no group, or in two.
    """
    codings = condition.code.coding if condition.code else ()
    found = {name for one in codings if (name := _group(one, profile))}
    if len(found) == 1:
        return found.pop()
    return OTHER if found or _PRIMARY in r4.claimed_profiles(condition.meta) else None


def _group(coding: r4.Coding, profile: Profile) -> str | None:
    exact = profile.codes.find_coding("primary", coding)
    if exact is not None or coding.system not in _ICD10 or not coding.code:
        return exact.meaning if exact else None
    category = _CANCER.match(coding.code)
    return profile.codes.among("primary").get((_ICD10CM, category[0]), OTHER) if category else None


def _verification(resource: r4.Condition) -> str | None:
    concept = resource.verification_status
    return next((one.code for one in concept.coding if one.code), None) if concept else None


def _onset(resource: r4.Condition, facts: PatientFacts, profile: Profile) -> When:
    if resource.onset_date_time is None and resource.onset_period is not None:
        return period(resource.onset_period, "onsetPeriod", facts, profile)
    return day(resource.onset_date_time or resource.recorded_date, "onsetDateTime", facts, profile)


def _draft(resource: r4.Condition, kind: EventKind, code: str, when: When, facts: PatientFacts) -> Draft:
    made = event(resource, kind, when.on, facts, code=code)
    return Draft(event=made, hints=LinkHints(sites=resource.body_site))


def with_conditions(sites: Sequence[LesionSite], facts: PatientFacts, profile: Profile) -> list[LesionSite]:
    """*sites* with primary, histology and cord compression as the patient's conditions say."""
    conditions = [
        one
        for one in facts.resources.values()
        if isinstance(one, r4.Condition) and _verification(one) not in _NOT_REAL
    ]
    compressions = [one for one in conditions if profile.codes.find("cord-compression", one.code)]
    cancers = [one for one in conditions if _primary(one, profile)]
    return [_told(site, sites, compressions, cancers, facts, profile) for site in sites]


def _told(
    site: LesionSite,
    sites: Sequence[LesionSite],
    compressions: Sequence[r4.Condition],
    cancers: Sequence[r4.Condition],
    facts: PatientFacts,
    profile: Profile,
) -> LesionSite:
    stated = [*_stated(site, facts)]
    lesion, said = site.lesion, [*_reasons(site, facts), *stated]
    primary = _primary_of(said, cancers, profile)
    said += primary.told
    histology = next(filter(None, map(_histology, said)), None)
    pressing = [one for one in compressions if _presses(one, site, sites, facts, profile)]
    pressed = _is_alone(site, sites) and any(
        profile.codes.find("cord-compression", one.code) for one in stated
    )
    if histology is None and not (pressing or pressed) and primary.name is None:
        return site
    telling = [one for one in said if _histology(one)]
    # No result rests on the primary: an edit of the problem list must not rewrite all results.
    sources = {*lesion.sources, *map(source, (*pressing, *telling))}
    changed: Lesion = msgspec.structs.replace(
        lesion,
        primary=primary.name,
        histology=lesion.histology or histology,
        cord_compression=True if pressing or pressed else lesion.cord_compression,
        sources=tuple(sorted(sources)),
    )
    return msgspec.structs.replace(site, lesion=changed)


class _Primary(NamedTuple):
    """A primary cancer by group, None if unknown, and the conditions that tell it."""

    name: str | None
    told: Sequence[r4.Condition] = ()


def _primary_of(said: Sequence[r4.Condition], cancers: Sequence[r4.Condition], profile: Profile) -> _Primary:
    """The cancer among *said*, what a lesion was treated for; else the patient's, if it is the only kind."""
    told = [one for one in said if _primary(one, profile)] or cancers
    names = {_primary(one, profile) for one in told}
    return _Primary(names.pop(), told) if len(names) == 1 else _Primary(None)


def _reasons(site: LesionSite, facts: PatientFacts) -> Iterator[r4.Condition]:
    """The conditions that the lesion was treated for, and the primaries these are related to."""
    for name in sorted(site.conditions):
        one = facts.resources.get(name)
        if isinstance(one, r4.Condition):
            related = [facts.resources.get(_related(extension) or "") for extension in one.extension]
            for told in (one, *related):
                if isinstance(told, r4.Condition) and _verification(told) not in _NOT_REAL:
                    yield told


def _stated(site: LesionSite, facts: PatientFacts) -> Iterator[r4.Condition]:
    """What the course gives as its reason by a code alone, as if it were a condition."""
    course = facts.resources.get(site.lesion.course or "")
    if isinstance(course, r4.Procedure):
        yield from (r4.Condition(code=one) for one in course.reason_code)


def _is_alone(site: LesionSite, sites: Sequence[LesionSite]) -> bool:
    """Whether the course of *site* has no other lesion, so that its reason is the lesion's."""
    return not any(one is not site and one.lesion.course == site.lesion.course for one in sites)


def _related(extension: r4.Extension) -> str | None:
    return relative(extension.value_reference, "Condition") if extension.url == _RELATED else None


def _histology(condition: r4.Condition) -> str | None:
    for extension in condition.extension:
        if extension.url in _HISTOLOGY and extension.value_codeable_concept:
            for coding in extension.value_codeable_concept.coding:
                if coding.system and coding.code:
                    return f"{coding.system}|{coding.code}"
    return None


def _presses(
    condition: r4.Condition,
    site: LesionSite,
    sites: Sequence[LesionSite],
    facts: PatientFacts,
    profile: Profile,
) -> bool:
    """
    Cord compression known by the end of treatment: at the lesion, the reason of its course, or the patient's.

    As the reason of a course it must have one lesion, as the patient's the patient.
    """
    when, end = _onset(condition, facts, profile).on, site.lesion.end
    if when is not None and end is not None and when.first > end.last:
        return False
    hints = LinkHints(sites=condition.body_site)
    where = link(hints, site.lesion.start, sites, facts, profile)
    if where.lesion_id is not None:
        return where.lesion_id == site.lesion.lesion_id
    if "site-other-than-lesion" in where.reasons:
        return False
    named = f"Condition/{condition.id}" in site.conditions and _is_alone(site, sites)
    return len(sites) == 1 or named
