"""Adverse events to toxicity: term, CTCAE grade as sent, version kept (`spec/fhir-mapping.md` section 5)."""

import re

from fhir_srs import r4
from fhir_srs.codes import NCIT
from fhir_srs.mapping.elements import IGNORED, Said, day, event, refused, used
from fhir_srs.mapping.facts import Draft, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.patients import relative
from fhir_srs.mapping.profile import Profile

_RESEARCH = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/"
_GRADE = f"{_RESEARCH}ae-grade"
_SEVERITY = f"{_RESEARCH}ae-severity"
# R4's three words beside CTCAE's five grades: which grades each may mean.
_WORDS = {"mild": {"1"}, "moderate": {"2"}, "severe": {"3", "4", "5"}}
# MedDRA under its address of today and earlier ones; NCIt holds the terms of CTCAE.
_SYSTEMS = frozenset(
    (
        "https://www.meddra.org",
        "http://www.meddra.org",
        "http://terminology.hl7.org/CodeSystem/MDRAE",
        "urn:oid:2.16.840.1.113883.6.163",
        NCIT,
    )
)
_VERSION = re.compile(r"CTCAE\s*v?\.?\s*(\d(?:\.\d)?)", re.IGNORECASE)


def take_adverse_event(resource: r4.AdverseEvent, facts: PatientFacts, profile: Profile) -> Taken:
    """A toxicity event, its value the grade; the grade wins over a severity word that contradicts it."""
    if resource.actuality not in {None, "actual"}:
        return refused(resource, "status-not-usable", "actuality", profile)
    if resource.event is None or not (resource.event.coding or resource.event.text):
        return refused(resource, "code-missing", "event", profile)
    courses = tuple(one.instance for one in resource.suspect_entity if one.instance)
    term = _term(resource.event, profile)
    if term is None:
        ours = any((relative(one, "Procedure") or "").startswith("Procedure/") for one in courses)
        return refused(resource, "code-not-recognised", "event", profile) if ours else IGNORED
    grade, said = _grade(resource, profile)
    when = day(resource.date or resource.detected, "date", facts, profile)
    made = event(resource, "toxicity", when.on, facts, value=grade, unit=_version(resource), code=term)
    draft = Draft(event=made, hints=LinkHints(courses=courses, conditions=resource.resulting_condition))
    return used(resource, [draft], (*said, *when.said), profile)


def _term(concept: r4.CodeableConcept, profile: Profile) -> str | None:
    """The term as `system|code`: one of the set, else any of MedDRA's or of NCIt's."""
    found = profile.codes.find("toxicity", concept)
    if found is not None:
        return found.token
    terms = [f"{one.system}|{one.code}" for one in concept.coding if one.system in _SYSTEMS and one.code]
    return min(terms, default=None)


def _grade(resource: r4.AdverseEvent, profile: Profile) -> tuple[str | None, Said]:
    """The grade, 1 to 5, and what is to be said of it."""
    graded = [one.value_codeable_concept for one in resource.extension if one.url == _GRADE]
    grades = frozenset().union(*(profile.codes.meanings("grade", one) for one in graded))
    word = _word(resource)
    if len(grades) > 1:
        return None, (("fields-contradict", "extension"),)
    if not grades:
        return None, (("value-missing", "extension"),) if word is None else ()
    grade = next(iter(grades))
    clash = word in _WORDS and grade not in _WORDS[word]
    said: Said = (("fields-contradict", "severity"),) if clash else ()
    return grade, said if _version(resource) else (*said, ("grade-version-missing", "extension"))


def _word(resource: r4.AdverseEvent) -> str | None:
    severity = next((one.value_codeable_concept for one in resource.extension if one.url == _SEVERITY), None)
    concept = severity or resource.severity
    return next((one.code for one in concept.coding if one.code), None) if concept else None


def _version(resource: r4.AdverseEvent) -> str | None:
    """`CTCAE 5.0` where a system or a display says so."""
    for extension in resource.extension:
        if extension.url == _GRADE and extension.value_codeable_concept:
            concept = extension.value_codeable_concept
            for text in (concept.text, *(one.display for one in concept.coding)):
                match = _VERSION.search(text or "")
                if match:
                    return f"CTCAE {match[1]}"
    return None
