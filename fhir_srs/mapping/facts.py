"""What the readers of one patient's resources hand to the linking step: the seam inside mapping.

An Observation is read apart from its patient, day and place: a `Reading`, the same for all that say the same.
Each other reader (`procedures`, `observations`, `medications`, `conditions`, ...) takes one resource and
returns a `Taken`: what it made of it, and whether the resource was used, refused or is another kind of
data. Linking to lesions comes later, from the `LinkHints`, once the patient's lesions are known.
"""

from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol, TypeVar

import msgspec

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.dates import PartialDate
from fhir_srs.mapping.amounts import Dose
from fhir_srs.model import Event, EventKind, Issue, Lesion, Rung

Use = Literal["used", "ignored", "refused"]


class LinkHints(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All that a resource says about where it belongs, one field for each rung of the ladder.

    Compared and hashed by identity, as a key of caches.
    """

    focus: tuple[r4.Reference, ...] = ()
    volumes: tuple[r4.Reference, ...] = ()
    structures: tuple[r4.Reference, ...] = ()
    courses: tuple[r4.Reference, ...] = ()
    sites: tuple[r4.CodeableConcept, ...] = ()
    conditions: tuple[r4.Reference, ...] = ()


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event belongs: a lesion and the rung that says so, or rung `patient`."""

    lesion_id: str | None
    rung: Rung
    reasons: tuple[str, ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An event before linking: its lesion_id is None and its rung `patient`."""

    event: Event
    hints: LinkHints = LinkHints()


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One fact of a `Reading`: an event that still lacks its patient, day and place.

    The *unit* of a grade is its scale as a UCUM annotation, such as `{ecog}`: a site's own code keeps it.
    """

    kind: EventKind
    value: Decimal | str | None = None
    unit: str | None = None
    code: str | None = None
    flags: tuple[str, ...] = ()


def scale(code: Found) -> str:
    """The unit of a grade: the scale that *code* means, as a UCUM annotation."""
    return f"{{{code.meaning}}}"


class Reading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an Observation says, whoever it is about, whenever and wherever.

    *said* are reasons with their paths; of a refused one the first says why. *dated_by* is the element with
    the date of its findings, *undated* the reason to give where there is none.
    """

    use: Use
    findings: tuple[Finding, ...] = ()
    said: tuple[tuple[str, str | None], ...] = ()
    dated_by: Literal["effective", "value"] = "effective"
    undated: str = "date-missing"


class Noted(msgspec.Struct, frozen=True, gc=False):
    """An Observation reduced to what the map of its patient needs."""

    id: str
    meta: r4.Meta | None
    subject: r4.Reference | None
    reading: Reading
    hints: LinkHints
    moment: str | None
    instant: str | None
    during: r4.Period | None
    timing: r4.Occasions | None
    value_moment: str | None


def noted(found: r4.Observation, reading: Reading, hints: LinkHints) -> Noted:
    """*found*, which says *reading*, reduced."""
    return Noted(
        found.id or "",
        found.meta,
        found.subject,
        reading,
        hints,
        found.effective_date_time,
        found.effective_instant,
        found.effective_period,
        found.effective_timing,
        found.value_date_time,
    )


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What one resource gave."""

    use: Use
    drafts: tuple[Draft, ...] = ()
    issues: tuple[Issue, ...] = ()


class LesionSite(msgspec.Struct, frozen=True, kw_only=True):
    """A lesion with everything that a link may name it by; references are relative (`BodyStructure/x`).

    *structures* are its volumes and tumours, *structure_uids* their official identifiers
    (`system|value`), *courses* its Procedures: the course, its copies, phases and fractions.
    *conditions* are those that the course or its structures name as their reason.
    """

    lesion: Lesion
    structures: frozenset[str] = frozenset()
    structure_uids: frozenset[str] = frozenset()
    courses: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()


class Drug(msgspec.Struct, frozen=True, kw_only=True):
    """The ingredients of one Medication (`system|code`), with strength where stated, and its dose form."""

    ingredients: tuple[str, ...]
    strengths: tuple[tuple[Decimal, str, Decimal, str] | None, ...] = ()
    form: str | None = None


class Recorded(NamedTuple):
    """The drug of a medication record, None if unknown; its first day, what is said of it, its last day."""

    drug: Drug | None
    on: PartialDate | None
    said: tuple[tuple[str, str | None], ...]
    end: PartialDate | None


class Drugs(Protocol):
    """The ingredients of each Medication, by `Medication/id`: a dict, or an index on disk."""

    def get(self, key: str, /) -> Drug | None:
        """Return the ingredients of *key*, or None if there is no such Medication."""


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """One patient's drugs in time, which a single record cannot know.

    *records*: each record that counts, by `Type/id`.
    *starts*: first days, in order, of the records of one evidence level, ingredient, and whether as needed.
    *given*: the doses of all administrations of an ingredient on a day.
    """

    starts: Mapping[tuple[str, str, bool], tuple[PartialDate, ...]] = {}
    given: Mapping[tuple[str, PartialDate], tuple[Dose, ...]] = {}
    records: Mapping[str, Recorded] = {}


_AnyResource = TypeVar("_AnyResource", bound=r4.Resource)


def of_type(kind: type[_AnyResource], resources: Mapping[str, r4.Resource]) -> list[tuple[str, _AnyResource]]:
    """The (key, resource) pairs of that very *kind*, in the order of keys."""
    return sorted((key, one) for key, one in resources.items() if one.__class__ is kind)


class PatientFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One patient's decoded resources, newest version of each, by `Type/id`, with what lies across patients.

    *noted* are the Observations that need not be kept whole. *patient* is the surviving reference; *aliases*
    are all references that mean this patient; *drugs* maps `Medication/id` to its ingredients
    (`decisions.md` 19). *born* and *died* bound plausible dates. *known*
    holds every `Type/id` read, whoever's it is: what is there but not in *resources* is another patient's.
    *panels* maps an Observation to the panel of pain and site that has it as a member.
    """

    patient: str
    resources: Mapping[str, r4.Resource]
    drugs: Drugs
    aliases: frozenset[str] = frozenset()
    born: PartialDate | None = None
    died: PartialDate | None = None
    known: Container[str] = frozenset()
    panels: Mapping[str, str] = {}
    calendar: Calendar = Calendar()
    noted: Mapping[str, Noted] = {}
