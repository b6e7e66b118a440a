"""Pain Observations to events: a score of its own, in components, or in the members of a panel."""

from collections.abc import Iterator, Mapping

import msgspec

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.mapping.elements import (
    IGNORED,
    OBSERVATION,
    Said,
    event,
    hints_of,
    key,
    observed,
    refused,
    status_of,
    used,
)
from fhir_srs.mapping.facts import Draft, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.pain import Score, is_doubtful, read_score
from fhir_srs.mapping.patients import relative
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.topics import topic

# What an endpoint may want to know of a score.
_FLAGS = frozenset({"status-preliminary", "scale-assumed"})


def take_pain(
    resource: r4.Observation, code: Found, said: Said, facts: PatientFacts, profile: Profile
) -> Taken:
    """What an Observation of pain gives; without a value of its own, what its components do."""
    if code.meaning == "panel":
        return _panel(resource, said, facts, profile)
    if is_doubtful(resource.code or r4.CodeableConcept(), code) or _is_about_a_thing(resource):
        return refused(resource, "code-meaning-doubtful", "code", profile)
    score = read_score(resource, code, profile)
    if score.value is None:
        inside = IGNORED if score.reason != "value-missing" else take_components(resource, facts, profile)
        if inside.use != "ignored":
            return inside
        return refused(resource, score.reason or "value-missing", score.path, profile)
    draft, more = _scored(resource, code, score, said, _hints(resource, facts), facts, profile)
    return used(resource, [draft], more, profile)


def take_components(
    resource: r4.Observation, facts: PatientFacts, profile: Profile, hints: LinkHints | None = None
) -> Taken:
    """Pain in the components of whatever panel; an absent one is absent alone. *hints* may know the site."""
    where = hints or _hints(resource, facts)
    found = list(_parts(resource, profile)) if resource.component else []
    if not found:
        return IGNORED
    status = status_of(resource.status, OBSERVATION)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    drafts: list[Draft] = []
    missing: list[tuple[str, str | None]] = []
    said: Said = ((status, "status"),) if status else ()
    for place, component, code in found:
        score = read_score(component, code, profile)
        if score.value is None:
            missing.append((score.reason or "value-missing", f"component[{place}]"))
            continue
        draft, more = _scored(resource, code, score, said, where, facts, profile)
        drafts.append(draft)
        missing += more
    if not drafts:
        return refused(resource, *missing[0], profile)
    return used(resource, drafts, missing, profile)


def _parts(
    resource: r4.Observation, profile: Profile
) -> Iterator[tuple[int, r4.ObservationComponent, Found]]:
    """The components about pain, each with its place."""
    for place, component in enumerate(resource.component):
        about = topic(component.code, profile)
        if about is None or about.kind != "pain" or about.doubtful or about.found.meaning == "panel":
            continue
        if not is_doubtful(component.code or r4.CodeableConcept(), about.found):
            yield place, component, about.found


def _scored(
    resource: r4.Observation,
    code: Found,
    score: Score,
    said: Said,
    hints: LinkHints,
    facts: PatientFacts,
    profile: Profile,
) -> tuple[Draft, Said]:
    when = observed(resource, facts, profile)
    more = (*said, *when.said, *((reason, score.path) for reason in score.said))
    flags = tuple(sorted({reason for reason, _ in more if reason in _FLAGS}))
    made = event(
        resource, "pain", when.on, facts, value=score.value, unit="{score}", code=code.token, flags=flags
    )
    return Draft(event=made, hints=hints), more


def _is_about_a_thing(resource: r4.Observation) -> bool:
    return any((relative(one, "BodyStructure") or "").startswith("Device/") for one in resource.focus)


def _panel(resource: r4.Observation, said: Said, facts: PatientFacts, profile: Profile) -> Taken:
    """LOINC 97339-6: its components, or its members, which are read as the Observations they are."""
    inside = take_components(resource, facts, profile, _panel_hints(resource, facts))
    if inside.use != "ignored":
        return inside
    members = [relative(one, "Observation") for one in resource.has_member]
    if not any(name in facts.resources for name in members):
        reason = "reference-unresolved" if members else "value-missing"
        return refused(resource, reason, "hasMember", profile)
    return used(resource, (), said, profile)


def panels(resources: Mapping[str, r4.Resource], profile: Profile) -> Mapping[str, str]:
    """Member -> its panel of pain and site, each as `Observation/x`; usable panels only."""
    found: dict[str, str] = {}
    grouping = [
        (name, one)
        for name, one in resources.items()
        if isinstance(one, r4.Observation) and one.has_member and _is_panel(one, profile)
    ]
    for name, one in sorted(grouping, key=lambda pair: pair[0]):
        for member in one.has_member:
            found.setdefault(relative(member, "Observation") or "", name)
    return found


def _is_panel(resource: r4.Observation, profile: Profile) -> bool:
    about = topic(resource.code, profile)
    usable = status_of(resource.status, OBSERVATION) != "status-not-usable"
    return usable and about is not None and about.found.meaning == "panel"


def _hints(resource: r4.Observation, facts: PatientFacts) -> LinkHints:
    """Where the score belongs, as it says itself, else as its panel says."""
    own = hints_of(resource)
    panel = facts.resources.get(facts.panels.get(key(resource), "")) if facts.panels else None
    if not isinstance(panel, r4.Observation):
        return own
    other = _panel_hints(panel, facts)
    fields = LinkHints.__struct_fields__
    return LinkHints(**{name: getattr(own, name) or getattr(other, name) for name in fields})


def _panel_hints(panel: r4.Observation, facts: PatientFacts) -> LinkHints:
    """Where *panel* belongs: its own site, else the sites that its components and members answer."""
    hints = hints_of(panel)
    if hints.sites:
        return hints
    members = [facts.resources.get(relative(one, "Observation") or "") for one in panel.has_member]
    answers = [one.value_codeable_concept for one in panel.component]
    answers += [one.value_codeable_concept for one in members if isinstance(one, r4.Observation)]
    return msgspec.structs.replace(hints, sites=tuple(one for one in answers if one is not None))
