"""How an event comes to its lesion: the ladder of `spec/fhir-mapping.md` section 2.

The strongest rung that names lesions decides. If it names several, weaker rungs may only narrow that
set; nothing is picked. Where no rung names one, the event belongs to the patient.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import TypeAlias

from fhir_srs import r4
from fhir_srs.dates import PartialDate
from fhir_srs.mapping.facts import LesionSite, Link, LinkHints, PatientFacts
from fhir_srs.mapping.pain import names_another_thing
from fhir_srs.mapping.patients import plain_token, relative
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.sites import Site, read_site
from fhir_srs.model import Region, Rung

Sites: TypeAlias = Sequence[LesionSite]


class Named:
    """What one rung says: the lesions it names, and whether it points to a place that is none of them."""

    def __init__(
        self, lesions: Iterable[LesionSite] = (), *, elsewhere: bool = False, reasons: Iterable[str] = ()
    ) -> None:
        self.lesions = {one.lesion.lesion_id: one for one in lesions}
        self.elsewhere = elsewhere
        self.reasons = tuple(reasons)


Read = Callable[[LinkHints, Sites, PatientFacts, Profile], Named]


class Linker:
    """Leads events to the lesions of one patient. *hints* that many events share are followed once."""

    def __init__(self, sites: Sites, facts: PatientFacts, profile: Profile) -> None:
        self._sites = sites
        self._facts = facts
        self._profile = profile
        self._named: dict[LinkHints, tuple[tuple[Rung, Named], ...]] = {}
        self._links: dict[LinkHints, Link] = {}
        # Where no segment was treated twice, an event's date cannot matter.
        self._timeless = not any(_shares(one, other) for one in sites for other in sites)

    def link(self, hints: LinkHints, on: PartialDate | None) -> Link:
        """The lesion that *hints* lead to on that day, by the strongest rung, and what is said of it."""
        known = self._links.get(hints)
        if known is not None:
            return known
        named = self._named.get(hints)
        if named is None:
            named = self._named[hints] = tuple(self._rungs(hints))
        link = _strongest(named, on)
        if self._timeless:
            self._links[hints] = link
        return link

    def _rungs(self, hints: LinkHints) -> Iterator[tuple[Rung, Named]]:
        for rung, says, read in RUNGS:
            if says(hints):
                yield rung, read(hints, self._sites, self._facts, self._profile)


def link(
    hints: LinkHints,
    on: PartialDate | None,
    sites: Sites,
    facts: PatientFacts,
    profile: Profile,
) -> Link:
    """As `Linker.link`, once."""
    return Linker(sites, facts, profile).link(hints, on)


def _strongest(named: Sequence[tuple[Rung, Named]], on: PartialDate | None) -> Link:
    reasons = [reason for _, one in named for reason in one.reasons]
    telling = [(rung, _at(one, on)) for rung, one in named if one.lesions]
    if not telling:
        if any(one.elsewhere for _, one in named):
            reasons.append("site-other-than-lesion")
        return Link(lesion_id=None, rung="patient", reasons=_once(reasons))
    return _narrowed(telling, [rung for rung, one in named if one.elsewhere], reasons)


def _narrowed(
    telling: Sequence[tuple[Rung, frozenset[str]]], elsewhere: Sequence[Rung], reasons: list[str]
) -> Link:
    rung, left = telling[0]
    for _, weaker in telling[1:]:
        if left.isdisjoint(weaker):
            reasons.append("link-rungs-disagree")
        elif len(left) > 1:
            left &= weaker
    if elsewhere and (_before(elsewhere[0], rung) or len(left) > 1):
        return Link(lesion_id=None, rung="patient", reasons=_once([*reasons, "site-other-than-lesion"]))
    if elsewhere:
        reasons.append("link-rungs-disagree")
    if len(left) > 1:
        return Link(lesion_id=None, rung="patient", reasons=_once([*reasons, "lesion-link-ambiguous"]))
    return Link(lesion_id=next(iter(left)), rung=rung, reasons=_once(reasons))


def _before(one: Rung, other: Rung) -> bool:
    order = [rung for rung, *_ in RUNGS]
    return order.index(one) < order.index(other)


def _once(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reasons))


def _at(named: Named, on: PartialDate | None) -> frozenset[str]:
    """
    The lesions named, those of one segment reduced to the one under treatment on that day.

    An event at a shared level belongs to the latest lesion started on or before its date, else to the
    first upcoming. A partial date across the start of a lesion leaves more than one.
    """
    kept = set(named.lesions)
    for one in named.lesions.values():
        rivals = [other for other in named.lesions.values() if _shares(one, other)]
        if not rivals or on is None:
            continue
        rivals.append(one)
        if one is not _current(rivals, on.first) and one is not _current(rivals, on.last):
            kept.discard(one.lesion.lesion_id)
    return frozenset(kept)


def _shares(one: LesionSite, other: LesionSite) -> bool:
    return one is not other and not set(one.lesion.levels).isdisjoint(other.lesion.levels)


def _current(rivals: Sites, on: date) -> LesionSite:
    past = [one for one in rivals if _started(one)[0] <= on]
    return max(past, key=_started) if past else min(rivals, key=_started)


def _started(one: LesionSite) -> tuple[date, str]:
    return (one.lesion.start.first if one.lesion.start else date.min), one.lesion.lesion_id


def _focus(hints: LinkHints, sites: Sites, facts: PatientFacts, profile: Profile) -> Named:
    return _structures(hints.focus, sites, facts, profile)


def _volumes(hints: LinkHints, sites: Sites, facts: PatientFacts, profile: Profile) -> Named:
    return _structures(hints.volumes, sites, facts, profile)


def _bodies(hints: LinkHints, sites: Sites, facts: PatientFacts, profile: Profile) -> Named:
    return _structures(hints.structures, sites, facts, profile)


def _structures(
    references: Sequence[r4.Reference], sites: Sites, facts: PatientFacts, profile: Profile
) -> Named:
    """Lesions whose volumes or tumours are named; a structure that is another place says so."""
    lesions: list[LesionSite] = []
    elsewhere = False
    reasons: list[str] = []
    for reference in references:
        name = relative(reference, "BodyStructure")
        if not _may_be(reference, name, "BodyStructure"):
            continue
        found = [one for one in sites if name in one.structures or _identified(reference, one)]
        lesions += found
        reasons += _untraceable(reference, name) if not found else ()
        if not found and name is not None:
            structure = facts.resources.get(name)
            reasons += [] if structure else [_absent(name, facts)]
            there = _there(_place(structure, profile), sites)
            lesions += there.lesions.values()
            elsewhere = elsewhere or there.elsewhere
    return Named(lesions, elsewhere=elsewhere and not lesions, reasons=reasons)


def _may_be(reference: r4.Reference, name: str | None, kind: str) -> bool:
    """Whether *reference*, which is to *name* if that is known, may be to a *kind* of resource."""
    return name.startswith(f"{kind}/") if name else reference.type in (None, kind)


def _untraceable(reference: r4.Reference, name: str | None) -> tuple[str, ...]:
    """What is to be said of a *reference* without a *name*: an identifier, or into the resource itself."""
    nowhere = name is None and (reference.reference or reference.identifier)
    return ("reference-unresolved",) if nowhere else ()


def _absent(name: str, facts: PatientFacts) -> str:
    return "patient-mismatch" if name in facts.known else "reference-unresolved"


def _identified(reference: r4.Reference, site: LesionSite) -> bool:
    one = reference.identifier
    return one is not None and plain_token(one) in site.structure_uids


def _place(structure: r4.Resource | None, profile: Profile) -> Site:
    if not isinstance(structure, r4.BodyStructure):
        return Site()
    concepts = [structure.location] if structure.location else []
    return read_site(concepts, structure.description, profile.codes)


def _courses(hints: LinkHints, sites: Sites, facts: PatientFacts, _profile: Profile) -> Named:
    """The lesions of a course: only one with exactly one lesion decides."""
    lesions: list[LesionSite] = []
    reasons: list[str] = []
    for reference in hints.courses:
        name = relative(reference, "Procedure")
        reasons += _untraceable(reference, name)
        if name is None or not name.startswith("Procedure/"):
            continue
        found = [one for one in sites if name in one.courses]
        lesions += found
        if not found and name not in facts.resources:
            reasons.append(_absent(name, facts))
    return Named(lesions, reasons=reasons)


def _levels(hints: LinkHints, sites: Sites, _facts: PatientFacts, profile: Profile) -> Named:
    """The body site is a level of a lesion; a level or place of none is another site."""
    place = read_site(hints.sites, None, profile.codes)
    if "level-ambiguous" in place.reasons:
        return Named(reasons=("level-ambiguous",))
    return _there(place, sites) if place.levels or place.spinal is False else Named()


def _regions(hints: LinkHints, sites: Sites, _facts: PatientFacts, profile: Profile) -> Named:
    """The body site is a region, without a level."""
    place = read_site(hints.sites, None, profile.codes)
    return Named() if place.levels or place.spinal is False else _there(place, sites)


def _there(place: Site, sites: Sites) -> Named:
    """The lesions at the levels of *place*, else in its region; a place with none of them is elsewhere."""
    if place.levels:
        found = _at_levels(place.levels, sites)
    elif place.region is not None:
        found = [one for one in sites if _is_in(one, place.region)]
    else:
        return Named(elsewhere=place.spinal is False)
    return Named(found, elsewhere=not found)


def _at_levels(levels: Sequence[str], sites: Sites) -> list[LesionSite]:
    return [one for one in sites if not set(levels).isdisjoint(one.lesion.levels)]


def _is_in(site: LesionSite, region: Region) -> bool:
    """Whether a lesion reaches into *region*; its levels are named by the region's initial."""
    initials = {level[0] for level in site.lesion.levels}
    return site.lesion.region == region or region[0].upper() in initials


def _conditions(hints: LinkHints, sites: Sites, facts: PatientFacts, profile: Profile) -> Named:
    """A Condition that a lesion has as its reason, or whose site fits; one without a site says nothing."""
    lesions: list[LesionSite] = []
    elsewhere = False
    reasons: list[str] = []
    for reference in hints.conditions:
        reasons += _untraceable(reference, relative(reference, "Condition"))
    for name in _condition_names(hints):
        condition = facts.resources.get(name)
        if not isinstance(condition, r4.Condition):
            reasons.append(_absent(name, facts))
            continue
        there = _there(read_site(condition.body_site, None, profile.codes), sites)
        at = [*there.lesions.values()] or _reasoned(name, condition, sites, profile)
        lesions += at
        elsewhere = elsewhere or ((there.elsewhere or _is_another_thing(condition)) and not at)
    return Named(lesions, elsewhere=elsewhere and not lesions, reasons=reasons)


def _is_another_thing(condition: r4.Condition) -> bool:
    """Whether *condition* is a wound or the like: what is told of it is not told of a lesion."""
    concept = condition.code or r4.CodeableConcept()
    return any(map(names_another_thing, (concept.text, *(one.display for one in concept.coding))))


def _condition_names(hints: LinkHints) -> Iterator[str]:
    for reference in (*hints.conditions, *hints.focus):
        name = relative(reference, "Condition")
        if name is not None and name.startswith("Condition/"):
            yield name


def _reasoned(name: str, condition: r4.Condition, sites: Sites, profile: Profile) -> list[LesionSite]:
    """Lesions treated for this metastasis; a primary cancer is the reason of all and tells none apart."""
    if profile.codes.find("metastasis", condition.code) is None:
        return []
    return [one for one in sites if name in one.conditions]


# Strongest first; `dose-volume` defines the lesion and links no event.
RUNGS: tuple[tuple[Rung, Callable[[LinkHints], object], Read], ...] = (
    ("focus-lesion", lambda hints: hints.focus, _focus),
    ("volume-extension", lambda hints: hints.volumes, _volumes),
    ("body-structure-extension", lambda hints: hints.structures, _bodies),
    ("part-of-course", lambda hints: hints.courses, _courses),
    ("body-site-level", lambda hints: hints.sites, _levels),
    ("body-site-region", lambda hints: hints.sites, _regions),
    ("condition", lambda hints: hints.conditions or hints.focus, _conditions),
)
