"""The targets of one course: volumes read, organs dropped, nested volumes joined, dose and fractions chosen.

Rules: `spec/fhir-mapping.md` section 1.5. Doses of volumes are never added up; boost totals are cumulative.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from fhir_srs import r4
from fhir_srs.codes import DICOM_UID
from fhir_srs.mapping.doses import read_dose, read_fractions
from fhir_srs.mapping.labels import contiguous, in_order, places
from fhir_srs.mapping.patients import plain_token, relative, source
from fhir_srs.mapping.procedures import DOSE, MCODE, Course, phase_fractions
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.reading import BROKEN
from fhir_srs.mapping.sites import Site, read_site, region_of
from fhir_srs.model import Region

_RELATED_CONDITION = MCODE + "mcode-related-condition"
TARGET_STRUCTURES = (
    "http://hl7.org/fhir/StructureDefinition/procedure-targetBodyStructure",
    "http://hl7.org/fhir/StructureDefinition/bodySite",
)
# Said anew for the levels of all volumes of a target together.
_OF_LEVELS = frozenset({"levels-not-contiguous", "level-unknown"})
# Best first (section 1.5); a volume without a role comes after those with one, organs are never targets.
_RANK = {role: rank for rank, role in enumerate(("PTV", "ITV", "CTV", "IGTV", "GTV", "", "OAR"))}


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A BodyStructure as a target. *uid* is its DICOM UID; *names* are its official identifiers."""

    key: str
    role: str
    site: Site
    label: str | None
    uid: str | None
    names: tuple[str, ...]
    conditions: tuple[str, ...]
    source: str

    @property
    def identity(self) -> str:
        """What makes two mentions one volume: the DICOM UID, else the resource; never the label."""
        return self.uid or self.key


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a dose list: a volume or none, where it lies, its dose. *reasons* are (reason, path)."""

    volume: Volume | None
    site: Site
    dose: Decimal | None = None
    fractions: int | None = None
    reasons: tuple[tuple[str, str], ...] = ()

    @property
    def rank(self) -> tuple[int, Decimal, str]:
        """Sorts the entry whose dose is the target's to the front: role, then highest total."""
        role = self.volume.role if self.volume else ""
        return _RANK[role], -(self.dose or Decimal(0)), self.volume.identity if self.volume else ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One treated segment of a course: its entries, best first, and what they say together."""

    entries: tuple[Entry, ...]
    levels: tuple[str, ...]
    region: Region | None
    fractions: int | None
    reasons: tuple[str, ...]

    @property
    def best(self) -> Entry:
        """The entry whose dose is the target's."""
        return self.entries[0]

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """Its volumes, each once, the one whose dose is used first."""
        return tuple({one.volume.key: one.volume for one in self.entries if one.volume}.values())


def read_volume(structure: r4.BodyStructure, profile: Profile) -> Volume:
    """The volume that *structure* is: role, place, label and identifiers."""
    uid = min(filter(None, map(_uid, structure.identifier)), default=None)
    label = _label(structure)
    concepts = (structure.location,) if structure.location else ()
    return Volume(
        key=f"BodyStructure/{structure.id}",
        role=_role(profile.codes.meanings("volume-role", structure.morphology)),
        site=read_site(concepts, label, profile.codes),
        label=label,
        uid=uid,
        names=tuple(
            sorted(plain_token(one) for one in structure.identifier if one.value and _is_official(one))
        ),
        conditions=tuple(related_conditions(structure)),
        source=source(structure),
    )


def contained_volumes(procedure: r4.Procedure, profile: Profile) -> Iterator[Volume]:
    """The volumes inside *procedure* itself: each is `Procedure/x#id`, and its source is that Procedure."""
    for raw in procedure.contained:
        try:
            found = msgspec.json.decode(raw, type=r4.BodyStructure)
        except BROKEN:
            continue
        if found.id:
            key = f"Procedure/{procedure.id}#{found.id}"
            yield msgspec.structs.replace(read_volume(found, profile), key=key, source=source(procedure))


def _structure_of(reference: r4.Reference | None, owner: str) -> str | None:
    """`BodyStructure/x` of what *reference* names, or, inside its *owner*, `Procedure/x#id`."""
    if reference is not None and reference.reference and reference.reference.startswith("#"):
        return f"{owner}{reference.reference}"
    return relative(reference, "BodyStructure")


def _role(told: frozenset[str]) -> str:
    """The role of a volume; of several, an organ at risk, which is never a target, else none."""
    if len(told) > 1:
        return "OAR" if "OAR" in told else ""
    return next(iter(told), "")


def related_conditions(structure: r4.BodyStructure) -> Iterator[str]:
    """The Conditions that *structure* says it belongs to."""
    for extension in r4.extensions(structure.extension, _RELATED_CONDITION):
        name = relative(extension.value_reference, "Condition")
        if name:
            yield name


def _label(structure: r4.BodyStructure) -> str | None:
    """The identifier of use `usual`, else the description, else an identifier that is no UID."""
    usual = [one.value for one in structure.identifier if one.use == "usual" and one.value]
    other = [one.value for one in structure.identifier if one.value and not _is_official(one)]
    return next(iter(sorted(usual)), None) or structure.description or next(iter(sorted(other)), None)


def _is_official(identifier: r4.Identifier) -> bool:
    return identifier.use == "official" or identifier.system == DICOM_UID


def _uid(identifier: r4.Identifier) -> str | None:
    if identifier.system != DICOM_UID or not identifier.value:
        return None
    return identifier.value.removeprefix("urn:oid:")


def course_site(course: Course, profile: Profile) -> Site:
    """Where the course itself says it was given: bodySite, never an id or a title."""
    return read_site(course.procedure.body_site, None, profile.codes)


def entries(
    course: Course, phases: Sequence[Course], volumes: Mapping[str, Volume], profile: Profile
) -> tuple[Entry, ...]:
    """
    The dose list of *course*, each entry with its volume and place; gaps filled from its *phases*.

    Without a dose list and without phases: one entry for each structure that the course names, else one
    without volume. An entry without volume lies where the course does.
    """
    site = course_site(course, profile)
    told = [_Phase(one, tuple(_phase_entries(one, volumes, profile))) for one in phases]
    own = tuple(
        _entry(extension, (f"extension[{place}]", course.key), volumes, site, profile)
        for place, extension in enumerate(course.procedure.extension)
        if extension.url == DOSE and course.kind != "part"
    )
    if own:
        filled = tuple(_filled(one, told) for one in own)
        return tuple(_located(one, site) for one in filled)
    if told:
        summed = tuple(_from_phases(told))
        if summed:
            return tuple(_located(one, site) for one in summed)
    return _named_structures(course, volumes, site) or (
        Entry(volume=None, site=site, reasons=(("dose-missing", "extension"),)),
    )


def _entry(
    extension: r4.Extension,
    where: tuple[str, str],
    volumes: Mapping[str, Volume],
    site: Site,
    profile: Profile,
) -> Entry:
    """The entry that *extension* is; *where*: its path, and the Procedure that has it."""
    path, owner = where
    parts = {one.url: one for one in extension.extension}
    volume, reasons = _volume(parts.get("volume"), path, owner, volumes)
    fractions = read_fractions(parts.get("fractionsDelivered"))
    total = parts.get("totalDoseDelivered")
    quantity = profile.unit(total.value_quantity) if total and total.value_quantity else None
    dose = read_dose(quantity, fractions.number, profile.choices.dose_without_unit)
    said = dose.reasons + fractions.reasons
    return Entry(
        volume=volume,
        site=volume.site if volume else site,
        dose=dose.gy,
        fractions=fractions.number,
        reasons=(*reasons, *((one, path) for one in said)) if said else reasons,
    )


def _volume(
    extension: r4.Extension | None, path: str, owner: str, volumes: Mapping[str, Volume]
) -> tuple[Volume | None, tuple[tuple[str, str], ...]]:
    if extension is None or extension.value_reference is None:
        return None, (("volume-missing", path),)
    name = _structure_of(extension.value_reference, owner)
    volume = volumes.get(name) if name else _by_identifier(extension.value_reference, volumes)
    if volume is None:
        return None, (("reference-unresolved", path), ("volume-missing", path))
    return volume, ()


def _by_identifier(reference: r4.Reference, volumes: Mapping[str, Volume]) -> Volume | None:
    """The one volume with the identifier that *reference* gives instead of an address."""
    if reference.identifier is None or not reference.identifier.value:
        return None
    wanted = plain_token(reference.identifier)
    found = [one for one in volumes.values() if wanted in one.names]
    return found[0] if len(found) == 1 else None


def _located(entry: Entry, site: Site) -> Entry:
    """*entry* at the place of its course where its volume says nothing of its own."""
    if entry.site.spinal is None:
        return msgspec.structs.replace(entry, site=site)
    return entry


class _Phase(NamedTuple):
    """A phase with its dose list, read once."""

    course: Course
    entries: tuple[Entry, ...]


def _filled(entry: Entry, phases: Sequence[_Phase]) -> Entry:
    """*entry* with what its phases know and it does not; where both know, the course wins."""
    if not phases or entry.volume is None:
        return entry
    dose, fractions = _phase_sums(entry.volume, phases)
    reasons = entry.reasons
    if entry.fractions is None and fractions is not None:
        reasons = (*reasons, ("fractions-from-phases", "partOf"))
    if entry.dose is None and dose is not None:
        reasons = tuple(one for one in reasons if one[0] != "dose-missing")
    elif dose is not None and dose != entry.dose:
        reasons = (*reasons, ("dose-conflict", "partOf"))
    return msgspec.structs.replace(
        entry,
        dose=entry.dose if entry.dose is not None else dose,
        fractions=entry.fractions if entry.fractions is not None else fractions,
        reasons=reasons,
    )


def _from_phases(phases: Sequence[_Phase]) -> Iterator[Entry]:
    """One entry for each volume that the *phases* treated."""
    listed = {
        entry.volume.identity: entry.volume
        for phase in phases
        for entry in phase.entries
        if entry.volume is not None
    }
    for identity in sorted(listed):
        dose, fractions = _phase_sums(listed[identity], phases)
        reasons = () if fractions is None else (("fractions-from-phases", "partOf"),)
        missing = () if dose is not None else (("dose-missing", "partOf"),)
        yield Entry(
            volume=listed[identity],
            site=listed[identity].site,
            dose=dose,
            fractions=fractions,
            reasons=(*reasons, *missing),
        )


def _phase_entries(phase: Course, volumes: Mapping[str, Volume], profile: Profile) -> Iterator[Entry]:
    for extension in phase.doses:
        yield _entry(extension, ("extension", phase.key), volumes, Site(), profile)


def _phase_sums(volume: Volume, phases: Sequence[_Phase]) -> tuple[Decimal | None, int | None]:
    """Dose and fractions of *volume* over all *phases* that treat it: None if one of them does not say."""
    doses: list[Decimal | None] = []
    fractions: list[int | None] = []
    for phase in phases:
        mine = [one for one in phase.entries if one.volume and one.volume.identity == volume.identity]
        if not mine:
            continue
        best = min(mine, key=lambda one: one.rank)
        doses.append(best.dose)
        own = best.fractions if best.fractions is not None else phase_fractions(phase.course).number
        fractions.append(own)
    dose = None if None in doses or not doses else sum((one for one in doses if one is not None), Decimal(0))
    count = None if None in fractions or not fractions else sum(one for one in fractions if one is not None)
    return dose, count


def _named_structures(course: Course, volumes: Mapping[str, Volume], site: Site) -> tuple[Entry, ...]:
    sites = (one for concept in course.procedure.body_site for one in concept.extension)
    told = (one for one in (*course.procedure.extension, *sites) if one.url in TARGET_STRUCTURES)
    names = {_structure_of(one.value_reference, course.key) for one in told}
    found = [volumes[name] for name in sorted(filter(None, names)) if name in volumes]
    missing = (("dose-missing", "extension"),)
    return tuple(_located(Entry(volume=one, site=one.site, reasons=missing), site) for one in found)


def targets(found: Sequence[Entry], course: Course, site: Site) -> tuple[Target, ...]:
    """The spinal targets among the entries *found*, cranial first; entries elsewhere are left out."""
    spinal = [one for one in found if one.site.spinal]
    groups = _grouped([_narrowed(one, spinal, site) for one in spinal])
    made = (_target(group, course, only=len(groups) == 1) for group in groups)
    return tuple(sorted(made, key=lambda one: (places(one.levels), one.best.rank)))


def _narrowed(entry: Entry, spinal: Sequence[Entry], site: Site) -> Entry:
    """*entry* at the levels of its course, where it names none itself and is the only place treated."""
    places = {one.site for one in spinal}
    if entry.site.levels or "level-ambiguous" in entry.site.reasons or not site.levels or len(places) > 1:
        return entry
    if entry.site.region not in (None, site.region):
        return entry
    return msgspec.structs.replace(entry, site=site)


def _grouped(found: Sequence[Entry]) -> list[list[Entry]]:
    """*found* in groups of common levels; without levels, with the only group of the region."""
    groups: list[tuple[set[str], list[Entry]]] = []
    for entry in (one for one in found if one.site.levels):
        levels, members = set(entry.site.levels), [entry]
        apart = []
        for known in groups:
            if known[0].isdisjoint(levels):
                apart.append(known)
            else:
                levels |= known[0]
                members = [*known[1], *members]
        groups = [*apart, (levels, members)]
    made = [members for _, members in groups]
    loose: dict[Region | None, list[Entry]] = {}
    for entry in (one for one in found if not one.site.levels):
        fitting = [
            group for group in made if entry.site.region in (None, *(one.site.region for one in group))
        ]
        if len(fitting) == 1:
            fitting[0].append(entry)
        else:
            loose.setdefault(entry.site.region, []).append(entry)
    return [*made, *loose.values()]


def _target(group: Sequence[Entry], course: Course, *, only: bool) -> Target:
    ranked = sorted(group, key=lambda one: one.rank)
    best = ranked[0]
    same_role = [one for one in ranked if one.rank[0] == best.rank[0]]
    levels = in_order([level for one in same_role for level in one.site.levels])
    fractions, how = _fractions(best, course, only=only)
    nested = len({one.volume.identity for one in ranked if one.volume}) > 1
    reasons = [one for one, _ in best.reasons]
    reasons += [one for entry in same_role for one in entry.site.reasons if one not in _OF_LEVELS]
    reasons += how
    reasons += ["levels-not-contiguous"] * (not contiguous(levels))
    reasons += ["level-unknown"] * (not levels and "level-ambiguous" not in reasons)
    reasons += ["volumes-nested"] * nested
    reasons += ["volume-role-unknown"] * (best.volume is not None and best.volume.role == "")
    return Target(
        entries=tuple(ranked),
        levels=levels,
        region=region_of(levels) or (best.site.region if not levels else None),
        fractions=fractions,
        reasons=tuple(sorted(set(reasons))),
    )


def _fractions(best: Entry, course: Course, *, only: bool) -> tuple[int | None, list[str]]:
    """Fractions of the volume; where none are given, sessions of the course stand in for its one target."""
    if best.fractions is not None:
        return best.fractions, []
    unclear = any(reason == "fractions-not-integer" for reason, _ in best.reasons)
    if only and course.sessions is not None and not unclear:
        return course.sessions, ["fractions-from-sessions"]
    return None, ["fractions-missing"]
