"""What resources of all kinds say in the same way: their date, their status, where they belong.

Dates keep their precision; an impossible one is reported and left out, never repaired
(`spec/fhir-mapping.md` section 7, `decisions.md` 7 and 8).
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from fhir_srs import r4
from fhir_srs.dates import PartialDate, parse_date, span
from fhir_srs.mapping.facts import Draft, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.patients import source
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event, EventKind

_CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
_VOLUME = (f"{_CODEX}codexrt-radiotherapy-volume-extension",)
_STRUCTURES = (
    "http://hl7.org/fhir/StructureDefinition/bodySite",
    "http://hl7.org/fhir/StructureDefinition/procedure-targetBodyStructure",
)
Said = tuple[tuple[str, str | None], ...]


class When(NamedTuple):
    """A date and what is to be said of it, as (reason, path)."""

    on: PartialDate | None
    said: Said = ()


def key(resource: r4.Resource) -> str:
    """`Type/id`."""
    return f"{resource.__class__.__name__}/{resource.id}"


def day(text: str | None, path: str, facts: PatientFacts, profile: Profile) -> When:
    """The date that *text* at *path* stands for; None, with its reason, if it is none or impossible."""
    if text is None:
        return When(None, (("date-missing", path),))
    on = parse_date(text, profile.time_zone)
    if on is None:
        return When(None, (("date-not-valid", path),))
    if _implausible(on, facts):
        return When(None, (("date-implausible", path),))
    if on.has_zone and on.first == on.last:
        return When(on)
    said = (("date-no-zone", path),) if not on.has_zone else ()
    return When(on, (*said, ("date-partial", path)) if on.day is None else said)


def _implausible(on: PartialDate, facts: PatientFacts) -> bool:
    """Before birth or after death (`fhir-mapping.md` section 8); the future is judged in derive."""
    early = facts.born is not None and on.last < facts.born.first
    return early or (facts.died is not None and on.first > facts.died.last)


def period(value: r4.Period, path: str, facts: PatientFacts, profile: Profile) -> When:
    """The days of a period: one day if it starts and ends on it, else all that it spans."""
    start = day(value.start, f"{path}.start", facts, profile)
    if start.on is None or value.end is None:
        return start
    end = day(value.end, f"{path}.end", facts, profile)
    if end.on is None:
        return When(start.on, (*start.said, *end.said))
    if end.on.last < start.on.first:
        return When(None, (("date-implausible", path),))
    both = span(start.on, end.on)
    said = tuple(dict.fromkeys((*start.said, *end.said)))
    return When(both, said if both.day else tuple(dict.fromkeys((*said, ("date-partial", path)))))


def effective(
    moment: str | None, instant: str | None, during: r4.Period | None, facts: PatientFacts, profile: Profile
) -> When:
    """The date of an effective[x]; `issued` is no substitute (section 7)."""
    if moment is None and instant is None and during is not None:
        return period(during, "effectivePeriod", facts, profile)
    path = "effectiveInstant" if instant is not None and moment is None else "effectiveDateTime"
    return day(moment or instant, path, facts, profile)


def occasions(timing: r4.Occasions, path: str, facts: PatientFacts, profile: Profile) -> When:
    """
    The days of a Timing: from the first to the last event that it lists, else the period that bounds it.

    How often something was done says nothing of when: without either, `date-missing`.
    """
    bounds = timing.repeat.bounds_period if timing.repeat else None
    if not timing.event:
        return (
            period(bounds, f"{path}.repeat.boundsPeriod", facts, profile)
            if bounds
            else day(None, path, facts, profile)
        )
    told = [day(text, f"{path}.event", facts, profile) for text in timing.event]
    said = tuple(dict.fromkeys(pair for one in told for pair in one.said))
    days = [one.on for one in told if one.on is not None]
    if not days:
        return When(None, said)
    both = span(min(days, key=lambda one: one.first), max(days, key=lambda one: one.last))
    return When(both, said if both.day else tuple(dict.fromkeys((*said, ("date-partial", path)))))


def hints_of(resource: r4.Observation | r4.Procedure | r4.DiagnosticReport | r4.ImagingStudy) -> LinkHints:
    """All that *resource* says about where it belongs."""
    if isinstance(resource, r4.Observation):
        return _hints_of_observation(resource)
    sites: tuple[r4.CodeableConcept, ...] = getattr(resource, "body_site", ())
    inside = tuple(extension for one in sites for extension in one.extension)
    return LinkHints(
        volumes=_references(resource.extension, _VOLUME),
        structures=_references((*resource.extension, *inside), _STRUCTURES),
        courses=getattr(resource, "part_of", ()),
        sites=sites,
        conditions=getattr(resource, "reason_reference", ()),
    )


def _hints_of_observation(resource: r4.Observation) -> LinkHints:
    """As `hints_of`, for the type of which there are most."""
    site, outside = resource.body_site, resource.extension
    if not (site or outside or resource.focus or resource.part_of):
        return NOWHERE
    around: tuple[r4.ConceptExtension, ...] = (
        (*outside, *site.extension) if site and site.extension else outside
    )
    return LinkHints(
        focus=resource.focus,
        volumes=_references(outside, _VOLUME) if outside else (),
        structures=_references(around, _STRUCTURES) if around else (),
        courses=resource.part_of,
        sites=(site,) if site else (),
    )


NOWHERE = LinkHints()


def _references(among: tuple[r4.ConceptExtension, ...], urls: tuple[str, ...]) -> tuple[r4.Reference, ...]:
    return tuple(one.value_reference for one in among if one.url in urls and one.value_reference)


def event(
    resource: r4.Resource,
    kind: EventKind,
    on: PartialDate | None,
    facts: PatientFacts,
    *,
    value: Decimal | str | None = None,
    unit: str | None = None,
    code: str | None = None,
    flags: tuple[str, ...] = (),
) -> Event:
    """An event of the patient that *resource* tells, not yet linked to a lesion."""
    return Event(
        patient=facts.patient,
        lesion_id=None,
        link="patient",
        kind=kind,
        on=on,
        value=value,
        unit=unit,
        code=code,
        source=source(resource),
        flags=flags,
    )


def refused(resource: r4.Resource, reason: str, path: str | None, profile: Profile) -> Taken:
    """The resource is not used, for *reason*."""
    return Taken(use="refused", issues=(profile.issue(reason, key(resource), path, used=False),))


IGNORED = Taken(use="ignored")


def used(
    resource: r4.Resource, drafts: Iterable[Draft], said: Iterable[tuple[str, str | None]], profile: Profile
) -> Taken:
    """The resource is used; what is *said* of it does not stop that."""
    issues = tuple(
        profile.issue(reason, key(resource), path, used=True) for reason, path in dict.fromkeys(said)
    )
    return Taken(use="used", drafts=tuple(drafts), issues=issues)


def barred(resource: r4.Resource, profile: Profile) -> tuple[str, str] | None:
    """Why *resource* may not be used at all: in error, or with modifiers of unknown meaning."""
    modifiers = resource.modifier_extension
    if modifiers and not all(one.url in profile.known_modifiers for one in modifiers):
        return "modifier-extension-unknown", "modifierExtension"
    if getattr(resource, "status", None) == "entered-in-error":
        return "status-entered-in-error", "status"
    return None


class StatusRule(NamedTuple):
    """Which statuses count, and which bar a resource; any other is unclear and counts."""

    usable: frozenset[str]
    barred: frozenset[str]


def status_of(status: str | None, rule: StatusRule) -> str | None:
    """The reason to give for *status*: `status-not-usable` bars, others are only said, None is plain."""
    if status in rule.usable:
        return None
    if status in rule.barred:
        return "status-not-usable"
    return "status-preliminary" if status == "preliminary" else "status-unclear"


def _rule(usable: str, barred: str) -> StatusRule:
    return StatusRule(frozenset(usable.split()), frozenset(barred.split()))


# R4 value sets; section 7: preliminary counts and is said, registered and cancelled do not.
OBSERVATION = _rule("final amended corrected", "registered cancelled")
REPORT = _rule("final amended corrected appended partial", "registered cancelled")
STUDY = _rule("available", "registered cancelled")
PROCEDURE = _rule("completed stopped", "preparation not-done in-progress on-hold")
MEDICATION: Mapping[str, StatusRule] = {
    "MedicationRequest": _rule("active on-hold completed stopped", "cancelled draft"),
    "MedicationStatement": _rule("active completed stopped on-hold", "intended not-taken"),
    "MedicationDispense": _rule("in-progress completed stopped", "preparation cancelled on-hold declined"),
    "MedicationAdministration": _rule("in-progress completed stopped", "not-done on-hold"),
}
