"""Pain Observations read: a score of its own, in components, or in the members of a panel."""

from collections.abc import Iterator, Mapping

import msgspec

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.mapping.elements import OBSERVATION, Said, hints_of, key, status_of
from fhir_srs.mapping.facts import Finding, LinkHints, PatientFacts, Reading
from fhir_srs.mapping.pain import Score, Valued, is_doubtful, names_another_thing, read_score
from fhir_srs.mapping.patients import relative
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.topics import topic

# What an endpoint may want to know of a score.
_FLAGS = frozenset({"status-preliminary", "scale-assumed"})
_NOTHING = r4.CodeableConcept()


def read_pain(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """The score of *resource*; without a value of its own, those of its components."""
    if is_doubtful(resource.code or _NOTHING, code) or any(map(is_another_thing, resource.focus)):
        return Reading(use="refused", said=(("code-meaning-doubtful", "code"),))
    score = read_score(resource, code, profile)
    if score.value is not None:
        finding, more = _scored(code, score, said)
        return Reading(use="used", findings=(finding,), said=more)
    if score.reason == "value-missing":
        inside = read_components(resource, profile)
        if inside.use != "ignored":
            return inside
    return Reading(use="refused", said=((score.reason or "value-missing", score.path),))


def read_components(resource: r4.Observation, profile: Profile) -> Reading:
    """Pain in the components of whatever panel; an absent one is absent alone."""
    found = list(_parts(resource, profile)) if resource.component else []
    if not found:
        return Reading(use="ignored")
    status = status_of(resource.status, OBSERVATION)
    if status == "status-not-usable":
        return Reading(use="refused", said=((status, "status"),))
    findings: list[Finding] = []
    missing: list[tuple[str, str | None]] = []
    for place, component, code in found:
        score = read_score(component, code, profile) if code else _DOUBTFUL
        if score.value is None:
            missing.append((score.reason or "value-missing", f"component[{place}]"))
        if score.value is None or code is None:
            continue
        finding, more = _scored(code, score, ((status, "status"),) if status else ())
        findings.append(finding)
        missing += more
    if not findings:
        return Reading(use="refused", said=(missing[0],))
    return Reading(use="used", findings=tuple(findings), said=tuple(missing))


_DOUBTFUL = Score(None, "code-meaning-doubtful")


def _parts(resource: r4.Observation, profile: Profile) -> Iterator[tuple[int, Valued, Found | None]]:
    """The components about pain, each with its place and its code, None if what it means is in doubt."""
    for place, component in enumerate(resource.component):
        about = topic(component.code, profile)
        if about is None or about.kind != "pain" or about.found.meaning == "panel":
            continue
        doubtful = about.doubtful or is_doubtful(component.code or _NOTHING, about.found)
        yield place, component, None if doubtful else about.found


def _scored(code: Found, score: Score, said: Said) -> tuple[Finding, Said]:
    more = (*said, *((reason, score.path) for reason in score.said))
    flags = tuple(sorted({reason for reason, _ in more if reason in _FLAGS}))
    return Finding("pain", score.value, "{score}", code.token, flags), more


def is_another_thing(focus: r4.Reference) -> bool:
    """Whether *focus* is on a device, or its display names a wound, the skin or the like."""
    device = (relative(focus, "BodyStructure") or "").startswith("Device/") or focus.type == "Device"
    return device or names_another_thing(focus.display)


def read_panel(resource: r4.Observation, said: Said, facts: PatientFacts, profile: Profile) -> Reading:
    """LOINC 97339-6: its components, or its members, which are read as the Observations they are."""
    inside = read_components(resource, profile)
    if inside.use != "ignored":
        return inside
    members = [relative(one, "Observation") for one in resource.has_member]
    if any(name in facts.resources or name in facts.noted for name in members):
        return Reading(use="used", said=said)
    reason = "reference-unresolved" if members else "value-missing"
    return Reading(use="refused", said=((reason, "hasMember"),))


def panels(resources: Mapping[str, r4.Resource], profile: Profile) -> Mapping[str, str]:
    """Member -> its panel of pain and site, each as `Observation/x`; usable panels only."""
    found: dict[str, str] = {}
    grouping = [
        (name, one)
        for name, one in resources.items()
        if isinstance(one, r4.Observation) and one.has_member and is_panel(one, profile)
    ]
    for name, one in sorted(grouping, key=lambda pair: pair[0]):
        for member in one.has_member:
            found.setdefault(relative(member, "Observation") or "", name)
    return found


def is_panel(resource: r4.Observation, profile: Profile) -> bool:
    """Whether *resource* is a panel of pain and site that may be used."""
    about = topic(resource.code, profile)
    usable = status_of(resource.status, OBSERVATION) != "status-not-usable"
    return usable and about is not None and about.found.meaning == "panel"


def whole_hints(resource: r4.Observation, facts: PatientFacts, profile: Profile) -> LinkHints:
    """Where *resource* belongs: as itself or its answers say if it is a panel, else as its panel does."""
    if is_panel(resource, profile):
        return _panel_hints(resource, facts)
    return member_hints(key(resource), hints_of(resource), facts)


def member_hints(name: str, own: LinkHints, facts: PatientFacts) -> LinkHints:
    """Where the Observation *name* belongs, as its *own* hints say, else as its panel says."""
    panel = facts.resources.get(facts.panels.get(name, "")) if facts.panels else None
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
