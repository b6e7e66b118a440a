"""Observations to events: disease status, performance, neurology, death, last contact; pain: `scores`.

What an Observation is about is decided by one look-up of its codes (`topics`); everything else is another
kind of data and is ignored (`spec/fhir-mapping.md` sections 4, 5 and 7).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.mapping.elements import (
    IGNORED,
    OBSERVATION,
    Said,
    day,
    event,
    hints_of,
    observed,
    refused,
    status_of,
    used,
)
from fhir_srs.mapping.facts import Draft, PatientFacts, Taken
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.scores import take_components, take_pain
from fhir_srs.mapping.topics import topic, unrecognised
from fhir_srs.model import EventKind

_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
_CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
_QUALIFIERS = (
    f"{_CODEX}codexrt-radiotherapy-progression-qualifier",
    f"{_CODEX}codexrt-radiotherapy-disease-progression-qualifier",
)
_EVIDENCE = f"{_MCODE}mcode-cancer-disease-status-evidence-type"


def take_observation(resource: r4.Observation, facts: PatientFacts, profile: Profile) -> Taken:
    """What one Observation gives."""
    about = topic(resource.code, profile)
    if about is None:
        return _without_topic(resource, facts, profile)
    status = status_of(resource.status, OBSERVATION)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    if about.doubtful:
        return refused(resource, "code-meaning-doubtful", "code", profile)
    said: Said = (*about.said, (status, "status")) if status else about.said
    return _TAKERS[about.kind](resource, about.found, said, facts, profile)


def _without_topic(resource: r4.Observation, facts: PatientFacts, profile: Profile) -> Taken:
    """Perhaps a panel with pain in it; else another kind of data, unless it should have had a topic."""
    inside = take_components(resource, facts, profile) if resource.component else IGNORED
    if inside.use != "ignored":
        return inside
    reason = unrecognised(resource, profile)
    return refused(resource, reason, "code", profile) if reason else IGNORED


def _disease_status(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    """Improved, stable, worsened or undetermined, with its place and evidence as flags."""
    value = profile.codes.find("disease-status-value", resource.value_codeable_concept)
    if value is None:
        return refused(resource, _no_answer(resource), "valueCodeableConcept", profile)
    flags = tuple(sorted(set(_status_flags(resource, profile))))
    return _told(
        resource, "disease-status", said, facts, profile, value=value.meaning, code=code.token, flags=flags
    )


def _no_answer(resource: r4.Observation) -> str:
    if resource.value_codeable_concept is not None:
        return "answer-code-not-recognised"
    return "value-absent" if resource.data_absent_reason else "value-missing"


def _status_flags(resource: r4.Observation, profile: Profile) -> Iterator[str]:
    concept = resource.value_codeable_concept or r4.CodeableConcept()
    for extension in (*concept.extension, *resource.extension):
        if extension.url in _QUALIFIERS:
            site = profile.codes.find("progression-site", extension.value_codeable_concept)
            if site:
                yield site.meaning
        elif extension.url == _EVIDENCE:
            evidence = profile.codes.find("evidence-type", extension.value_codeable_concept)
            if evidence:
                yield evidence.meaning


def _told(
    resource: r4.Observation,
    kind: EventKind,
    said: Said,
    facts: PatientFacts,
    profile: Profile,
    *,
    value: Decimal | str | None = None,
    code: str | None = None,
    flags: tuple[str, ...] = (),
) -> Taken:
    """One event on the effective date of *resource*."""
    when = observed(resource, facts, profile)
    made = event(resource, kind, when.on, facts, value=value, code=code, flags=flags)
    return used(resource, [Draft(event=made, hints=hints_of(resource))], (*said, *when.said), profile)


# Highest number of each numeric scale.
_HIGHEST = {"ecog": 5, "kps": 100, "muscle-grade": 5}


def _performance(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    """ECOG 0 to 5, Karnofsky 0 to 100: kept apart, never converted."""
    return _graded(resource, "performance", code, said, facts, profile)


def _graded(
    resource: r4.Observation,
    kind: EventKind,
    code: Found,
    said: Said,
    facts: PatientFacts,
    profile: Profile,
) -> Taken:
    number = _number(resource)
    if number is None:
        present = resource.value_quantity or resource.value_integer is not None or resource.value_string
        return refused(resource, "value-not-usable" if present else _no_answer(resource), "value", profile)
    if not 0 <= number <= _HIGHEST[code.meaning]:
        return refused(resource, "value-out-of-range", "value", profile)
    return _told(resource, kind, said, facts, profile, value=number, code=code.token)


def _number(resource: r4.Observation) -> Decimal | None:
    whole = r4.whole(resource.value_integer)
    if whole is not None:
        return Decimal(whole)
    quantity = resource.value_quantity
    return r4.number(quantity.value) if quantity and not quantity.comparator else None


_LETTER = re.compile(r"(?<![A-Za-z])([A-E])(?![A-Za-z])")


def _neuro(resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile) -> Taken:
    """The grade on its own scale: a letter, a number, or the answer as coded or said."""
    if code.meaning in _HIGHEST:
        return _graded(resource, "neuro", code, said, facts, profile)
    answer = _letter(resource) if code.meaning in {"asia", "frankel"} else _answer(resource)
    if answer is None:
        return refused(resource, _no_answer(resource), "value", profile)
    return _told(resource, "neuro", said, facts, profile, value=answer, code=code.token)


def _letter(resource: r4.Observation) -> str | None:
    """A to E; the answer codes of LOINC 97843-7 are not known to us, so its text is matched."""
    concept = resource.value_codeable_concept or r4.CodeableConcept()
    texts = [concept.text, resource.value_string]
    texts += [text for one in concept.coding for text in (one.display, one.code)]
    found = {match[1] for text in texts if text and (match := _LETTER.search(text))}
    return found.pop() if len(found) == 1 else None


def _answer(resource: r4.Observation) -> str | None:
    if resource.value_boolean is not None:
        return "true" if resource.value_boolean else "false"
    concept = resource.value_codeable_concept
    if concept is None:
        return resource.value_string
    codings = [f"{one.system or ''}|{one.code}" for one in concept.coding if one.code]
    return min(codings, default=concept.text)


def _last_contact(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    """The date is the value (LOINC 21975-8, valueDateTime)."""
    when = day(resource.value_date_time, "valueDateTime", facts, profile)
    if when.on is None:
        reason = "value-missing" if resource.value_date_time is None else when.said[0][0]
        return refused(resource, reason, "valueDateTime", profile)
    made = event(resource, "contact", when.on, facts, code=code.token)
    return used(resource, [Draft(event=made)], (*said, *when.said), profile)


def _death(resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile) -> Taken:
    """A death, unless the value denies it."""
    if resource.value_boolean is False:
        return IGNORED
    when = observed(resource, facts, profile)
    undated = {"date-missing": "death-date-missing"}
    reasons = [(undated.get(reason, reason), path) for reason, path in when.said]
    made = event(resource, "death", when.on, facts, code=code.token)
    return used(resource, [Draft(event=made)], (*said, *reasons), profile)


def _vital_status(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    """Dead by its value; any other vital status is no evidence that we count."""
    del code
    dead = profile.codes.find("death", resource.value_codeable_concept)
    return _death(resource, dead, said, facts, profile) if dead else IGNORED


def _site_question(
    _resource: r4.Observation, _code: Found, _said: Said, _facts: PatientFacts, _profile: Profile
) -> Taken:
    """Where a panel's score was felt: read with its panel, nothing by itself."""
    return IGNORED


Taker = Callable[[r4.Observation, Found, Said, PatientFacts, Profile], Taken]
_TAKERS: Mapping[str, Taker] = {
    "pain": take_pain,
    "disease-status": _disease_status,
    "performance": _performance,
    "neuro": _neuro,
    "last-contact": _last_contact,
    "death": _death,
    "vital-status": _vital_status,
    "site-question": _site_question,
}
