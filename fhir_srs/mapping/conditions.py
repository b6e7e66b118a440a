"""Conditions: what they say of a lesion (histology, cord compression), and events (fracture, death)."""

from collections.abc import Iterator, Sequence

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
_NOT_REAL = frozenset({"refuted", "entered-in-error", "differential"})
_EVENTS: tuple[tuple[str, EventKind], ...] = (("fracture", "fracture"), ("death", "death"))


def take_condition(resource: r4.Condition, facts: PatientFacts, profile: Profile) -> Taken:
    """A fracture or a death is an event; a metastasis or cord compression is used for lesions."""
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
    return any(profile.codes.find(name, resource.code) for name in sets)


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
    """*sites* with histology and cord compression as the patient's conditions say, and these as sources."""
    conditions = [
        one
        for one in facts.resources.values()
        if isinstance(one, r4.Condition) and _verification(one) not in _NOT_REAL
    ]
    if not conditions:
        return list(sites)
    compressions = [one for one in conditions if profile.codes.find("cord-compression", one.code)]
    return [_told(site, sites, compressions, facts, profile) for site in sites]


def _told(
    site: LesionSite,
    sites: Sequence[LesionSite],
    compressions: Sequence[r4.Condition],
    facts: PatientFacts,
    profile: Profile,
) -> LesionSite:
    lesion, said = site.lesion, [*_reasons(site, facts)]
    histology = next(filter(None, map(_histology, said)), None)
    pressing = [one for one in compressions if _presses(one, site, sites, facts, profile)]
    if histology is None and not pressing:
        return site
    telling = [one for one in said if _histology(one)]
    sources = {*lesion.sources, *map(source, (*pressing, *telling))}
    changed: Lesion = msgspec.structs.replace(
        lesion,
        histology=lesion.histology or histology,
        cord_compression=True if pressing else lesion.cord_compression,
        sources=tuple(sorted(sources)),
    )
    return msgspec.structs.replace(site, lesion=changed)


def _reasons(site: LesionSite, facts: PatientFacts) -> Iterator[r4.Condition]:
    """The conditions that the lesion was treated for, and the primaries these are related to."""
    for name in sorted(site.conditions):
        one = facts.resources.get(name)
        if isinstance(one, r4.Condition):
            yield one
            for extension in one.extension:
                other = facts.resources.get(_related(extension) or "")
                if isinstance(other, r4.Condition):
                    yield other


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
    """Cord compression known by the end of treatment, at the lesion, or of a patient with one lesion."""
    when, end = _onset(condition, facts, profile).on, site.lesion.end
    if when is not None and end is not None and when.first > end.last:
        return False
    hints = LinkHints(sites=condition.body_site)
    where = link(hints, site.lesion.start, sites, facts, profile)
    if where.lesion_id is not None:
        return where.lesion_id == site.lesion.lesion_id
    return len(sites) == 1 and "site-other-than-lesion" not in where.reasons
