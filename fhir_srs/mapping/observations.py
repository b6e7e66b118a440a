"""Observations to events: pain, disease status, performance, neurology, death, last contact.

What an Observation is about is decided by one look-up of its codes; everything else is another kind of
data and is ignored (`spec/fhir-mapping.md` sections 4, 5 and 7).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from fhir_srs import r4
from fhir_srs.codes import Codes, Found, Pair
from fhir_srs.mapping.elements import (
    IGNORED,
    OBSERVATION,
    Said,
    When,
    day,
    effective,
    refused,
    status_of,
    used,
)
from fhir_srs.mapping.facts import Draft, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.pain import Score, is_doubtful, read_score
from fhir_srs.mapping.patients import relative, source
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event, EventKind

_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
_CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
_VOLUME = f"{_CODEX}codexrt-radiotherapy-volume-extension"
_STRUCTURES = (
    "http://hl7.org/fhir/StructureDefinition/bodySite",
    "http://hl7.org/fhir/StructureDefinition/procedure-targetBodyStructure",
)
_QUALIFIERS = (
    f"{_CODEX}codexrt-radiotherapy-progression-qualifier",
    f"{_CODEX}codexrt-radiotherapy-disease-progression-qualifier",
)
_EVIDENCE = f"{_MCODE}mcode-cancer-disease-status-evidence-type"
# Sets of codes that make an Observation ours.
_KINDS = ("pain", "disease-status", "performance", "neuro", "last-contact", "death")


class About(NamedTuple):
    """What a code is: its set, and the code as found in it."""

    kind: str
    found: Found


def hints_of(resource: r4.Observation | r4.Procedure | r4.DiagnosticReport | r4.ImagingStudy) -> LinkHints:
    """All that *resource* says about where it belongs."""
    site = getattr(resource, "body_site", None)
    sites = site if isinstance(site, tuple) else (site,) if site else ()
    inside = tuple(extension for one in sites for extension in one.extension)
    return LinkHints(
        focus=getattr(resource, "focus", ()),
        volumes=_references(resource.extension, (_VOLUME,)),
        structures=_references((*resource.extension, *inside), _STRUCTURES),
        courses=getattr(resource, "part_of", ()),
        sites=sites,
        conditions=getattr(resource, "reason_reference", ()),
    )


def _references(among: tuple[r4.Extension, ...], urls: tuple[str, ...]) -> tuple[r4.Reference, ...]:
    return tuple(one.value_reference for one in among if one.url in urls and one.value_reference)


_INDEX: dict[int, tuple[Codes, Mapping[Pair, About]]] = {}


def _index(codes: Codes) -> Mapping[Pair, About]:
    """Every code of `_KINDS`, also under its misspelt systems, in one table: one look-up a coding."""
    known = _INDEX.get(id(codes))
    if known is not None and known[0] is codes:
        return known[1]
    index = {}
    for kind in _KINDS:
        for (system, code), meaning in codes.among(kind).items():
            index[system, code] = About(kind, Found((system, code), meaning, False))
    for alias, system in codes.aliases.items():
        for (of, code), about in list(index.items()):
            if of == system and not about.found.misspelt:
                index.setdefault((alias, code), About(about.kind, about.found._replace(misspelt=True)))
    _INDEX[id(codes)] = (codes, index)
    return index


def _about(concept: r4.CodeableConcept | None, profile: Profile) -> list[About]:
    """What the codings of *concept* say it is; a site's text rules speak where no coding does."""
    if concept is None:
        return []
    index = _index(profile.codes)
    found = [index[pair] for one in concept.coding if (pair := (one.system or "", one.code or "")) in index]
    return found or list(_by_text(concept, profile))


def _by_text(concept: r4.CodeableConcept, profile: Profile) -> Iterator[About]:
    for rule in profile.text_rules:
        if rule.name in _KINDS and concept.text and rule.pattern.search(concept.text):
            yield About(rule.name, Found(rule.code, rule.meaning, False))


def concerns(resource: r4.Observation, profile: Profile) -> bool:
    """Whether *resource*, or a component of it, is coded as something that we read."""
    if _about(resource.code, profile):
        return True
    return any(_about(one.code, profile) for one in resource.component)


def take_observation(resource: r4.Observation, facts: PatientFacts, profile: Profile) -> Taken:
    """What one Observation gives."""
    about = _about(resource.code, profile)
    if not about:
        return _components(resource, facts, profile)
    status = status_of(resource.status, OBSERVATION)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    said: Said = ((status, "status"),) if status else ()
    if about[0].found.misspelt:
        said = (*said, ("code-system-misspelt", "code"))
    if len({(one.kind, one.found.meaning) for one in about}) > 1 and _contradict(about):
        return refused(resource, "code-meaning-doubtful", "code", profile)
    return _TAKERS[about[0].kind](resource, about[0].found, said, facts, profile)


def _contradict(about: list[About]) -> bool:
    """Codes of two kinds, or an interference item beside an intensity."""
    kinds = {one.kind for one in about}
    return len(kinds) > 1 or "interference" in {one.found.meaning for one in about}


def _when(resource: r4.Observation, facts: PatientFacts, profile: Profile) -> When:
    return effective(
        resource.effective_date_time,
        resource.effective_instant,
        resource.effective_period,
        facts,
        profile,
    )


def _event(
    resource: r4.Observation, kind: EventKind, when: When, facts: PatientFacts, **values: object
) -> Draft:
    event = Event(
        patient=facts.patient,
        lesion_id=None,
        link="patient",
        kind=kind,
        on=when.on,
        source=source(resource),
        **values,  # type: ignore[arg-type]
    )
    return Draft(event=event, hints=hints_of(resource))


def _flags(said: Said) -> tuple[str, ...]:
    """What an endpoint may want to know of a score."""
    return tuple(sorted(reason for reason, _ in said if reason in {"status-preliminary", "scale-assumed"}))


def _pain(resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile) -> Taken:
    if code.meaning == "panel":
        return _components(resource, facts, profile, said)
    concept = resource.code or r4.CodeableConcept()
    if is_doubtful(concept, code) or _is_about_a_thing(resource):
        return refused(resource, "code-meaning-doubtful", "code", profile)
    score = read_score(resource, code, profile)
    if score.value is None:
        return refused(resource, score.reason or "value-missing", score.path, profile)
    draft, more = _score(resource, code, score, said, facts, profile)
    return used(resource, [draft], more, profile)


def _score(
    resource: r4.Observation, code: Found, score: Score, said: Said, facts: PatientFacts, profile: Profile
) -> tuple[Draft, Said]:
    when = _when(resource, facts, profile)
    more = (*said, *when.said, *((reason, score.path) for reason in score.said))
    draft = _event(
        resource, "pain", when, facts, value=score.value, unit="{score}", code=code.token, flags=_flags(more)
    )
    return draft, more


def _is_about_a_thing(resource: r4.Observation) -> bool:
    return any((relative(one, "BodyStructure") or "").startswith("Device/") for one in resource.focus)


def _components(resource: r4.Observation, facts: PatientFacts, profile: Profile, said: Said = ()) -> Taken:
    """Pain in the components of a panel; an absent one is absent alone. Members speak for themselves."""
    about = [(one, _about(one.code, profile)) for one in resource.component]
    found = [(one, codes[0].found) for one, codes in about if codes and codes[0].kind == "pain"]
    if not found:
        return IGNORED
    status = status_of(resource.status, OBSERVATION)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    drafts: list[Draft] = []
    for place, (component, code) in enumerate(found):
        score = read_score(component, code, profile)
        if score.value is None:
            said = (*said, (score.reason or "value-missing", f"component[{place}]"))
            continue
        draft, said = _score(resource, code, score, said, facts, profile)
        drafts.append(draft)
    if not drafts:
        return refused(resource, said[-1][0], said[-1][1], profile)
    return used(resource, drafts, (*said, *(((status, "status"),) if status else ())), profile)


def _disease_status(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    value = profile.codes.find("disease-status-value", resource.value_codeable_concept)
    if value is None:
        return refused(resource, _no_answer(resource), "valueCodeableConcept", profile)
    when = _when(resource, facts, profile)
    flags = tuple(sorted(_status_flags(resource, profile)))
    draft = _event(resource, "disease-status", when, facts, value=value.meaning, code=code.token, flags=flags)
    said = (*said, *when.said)
    if value.meaning == "worsened" and "local" not in flags and draft.hints == LinkHints():
        said = (*said, ("progression-site-unknown", "valueCodeableConcept"))
    return used(resource, [draft], said, profile)


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


_PERFORMANCE = {"ecog": 5, "kps": 100}


def _performance(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    """ECOG 0 to 5, Karnofsky 0 to 100: kept apart, never converted."""
    quantity = resource.value_quantity
    number = r4.number(quantity.value) if quantity else None
    if resource.value_integer is not None:
        whole = r4.whole(resource.value_integer)
        number = r4.number(r4.Raw(str(whole))) if whole is not None else None
    if number is None:
        reason = "value-absent" if resource.data_absent_reason else "value-not-usable"
        return refused(resource, reason, "value", profile)
    if not 0 <= number <= _PERFORMANCE[code.meaning]:
        return refused(resource, "value-out-of-range", "value", profile)
    when = _when(resource, facts, profile)
    draft = _event(resource, "performance", when, facts, value=number, code=code.token)
    return used(resource, [draft], (*said, *when.said), profile)


def _neuro(resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile) -> Taken:
    """The answer as coded, else as said: a grade is compared within its own scale only."""
    concept = resource.value_codeable_concept
    answer = _answer(concept) if concept else resource.value_string
    if answer is None:
        return refused(resource, _no_answer(resource), "value", profile)
    when = _when(resource, facts, profile)
    draft = _event(resource, "neuro", when, facts, value=answer, code=code.token)
    return used(resource, [draft], (*said, *when.said), profile)


def _answer(concept: r4.CodeableConcept) -> str | None:
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
    draft = _event(resource, "contact", when, facts, code=code.token)
    return used(resource, [draft], (*said, *when.said), profile)


def _death(resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile) -> Taken:
    when = _when(resource, facts, profile)
    undated = {"date-missing": "death-date-missing"}
    reasons = [(undated.get(reason, reason), path) for reason, path in when.said]
    draft = _event(resource, "death", when, facts, code=code.token)
    return used(resource, [draft], (*said, *reasons), profile)


Taker = Callable[[r4.Observation, Found, Said, PatientFacts, Profile], Taken]
_TAKERS: Mapping[str, Taker] = {
    "pain": _pain,
    "disease-status": _disease_status,
    "performance": _performance,
    "neuro": _neuro,
    "last-contact": _last_contact,
    "death": _death,
}
