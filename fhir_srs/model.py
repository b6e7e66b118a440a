"""What the rooms of fhir-srs hand to each other: frozen values, no behaviour beyond reading them.

`Patient`, `Event` and `Lesion` come out of mapping; `Response` and `TimeToEvent` out of endpoints;
`Estimate`, `TestResult` and `Fit` out of survival and estimates. `Issue` is how bad data are reported:
never a value in it. Words: GLOSSARY.md. Keys of the files: design.md section 4.2.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any, ClassVar, Literal

import msgspec

from fhir_srs.dates import PartialDate, parse_date

Severity = Literal["error", "warning", "information"]
Region = Literal["cervical", "thoracic", "lumbar", "sacral"]
Technique = Literal["SRS", "SBRT", "other"]
# What may show that a treatment was radiosurgery (`shared/spec/fhir-mapping.md` section 1.4).
Ground = Literal["code", "text", "dose"]
EventKind = Literal[
    "pain",
    "opioid",
    "imaging",
    "disease-status",
    "neuro",
    "performance",
    "toxicity",
    "fracture",
    "retreatment",
    "surgery",
    "death",
    "contact",
]
# The ladder of `shared/spec/fhir-mapping.md` section 2, strongest ground first.
Rung = Literal[
    "dose-volume",
    "focus-lesion",
    "volume-extension",
    "body-structure-extension",
    "part-of-course",
    "body-site-level",
    "body-site-region",
    "condition",
    "patient",
]
# The vertebral levels, cranial to caudal.
LEVELS = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
    *(f"S{n}" for n in range(1, 6)),
)
Evidence = Literal["administration", "statement", "dispense", "order"]
Grain = Literal["lesion", "segment", "patient", "cohort"]
EstimateStatus = Literal["estimated", "not-reached", "not-estimable"]


class Status(IntEnum):
    """How follow-up ended (`decisions.md` 16); JSON uses the lower-case names."""

    CENSORED = 0
    EVENT = 1
    COMPETING = 2


class Issue(msgspec.Struct, frozen=True, kw_only=True, gc=False, order=True):
    """A resource that could not be used, or was used with an assumption. Never holds a value.

    *resource* is `Type/id`, or None for a line that could not be read; *path* is the element.
    """

    resource: str | None
    reason: str
    path: str | None = None
    severity: Severity
    used: bool


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """One person, merges followed. *key* is what lesion ids are made of; *identifier* is `system|value`."""

    patient: str
    identifier: str | None
    key: str
    sex: str | None = None
    birth_date: PartialDate | None = None
    deceased: bool = False
    sources: tuple[str, ...] = ()


class Converted(msgspec.Struct, frozen=True, gc=False):
    """
    An opioid dose in mg/day of OMED by one conversion *table*, None where that cannot tell.

    *omed* leaves out what is taken as needed, *most* counts it as if all that is allowed were taken.
    """

    table: str
    omed: Decimal | None
    most: Decimal | None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A dated clinical fact, linked to a lesion or, with *lesion_id* None, to the patient only.

    *value* is a number or a string, or None where only the date counts. *on* is when it holds (its
    first day, for an opioid) and *until* the last day it holds, if it lasts; None there means open.
    *code* is `system|code`; *unit* UCUM. *evidence* and *flags*: see the kinds in GLOSSARY.md. *omeds* are
    an opioid dose by each conversion table, that of the site profile, which *value* is by, first.
    """

    patient: str
    lesion_id: str | None
    link: Rung
    kind: EventKind
    on: PartialDate | None
    until: PartialDate | None = None
    value: Decimal | str | None = None
    unit: str | None = None
    code: str | None = None
    source: str
    evidence: Evidence | None = None
    flags: tuple[str, ...] = ()
    omeds: tuple[Converted, ...] = ()


class Lesion(msgspec.Struct, frozen=True, kw_only=True):
    """One treated spinal target (design.md section 3). *dose_gy* and *fractions* are as delivered.

    *levels* run cranial to caudal; *issues* are the reasons that concern this lesion. *provisional* is
    true while the course has not ended: no endpoint may use it. *reirradiation* is what the course says of
    earlier treatment, None where it says nothing; *reirradiation_of* is found among the courses read.
    *evidence* is what made it radiosurgery: `code`, `text`, `dose`.
    *primary* is the group of the primary cancer (`mappings/terminology/primaries.csv`), *histology* its code.
    """

    lesion_id: str
    patient: str
    patient_identifier: str | None
    course: str | None
    target: str | None
    target_label: str | None
    levels: tuple[str, ...]
    region: Region | None
    start: PartialDate | None
    end: PartialDate | None
    dose_gy: Decimal | None
    fractions: int | None
    technique: Technique | None
    modality: str | None
    intent: str | None
    histology: str | None
    reirradiation_of: str | None
    cord_compression: bool | None
    sources: tuple[str, ...]
    issues: tuple[str, ...]
    provisional: bool = False
    reirradiation: bool | None = None
    primary: str | None = None
    evidence: tuple[Ground, ...] = ()


class ResourceCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Resources read: `in` = used + ignored + refused, always (fhir-mapping.md section 8).

    *kinds* are those ignored, by type: they add up to *ignored*.
    """

    read: int
    used: int
    ignored: int
    refused: int
    kinds: dict[str, int] = {}


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """What mapping returns: everything in a total order that no input order can change."""

    lesions: list[Lesion]
    patients: list[Patient]
    events: list[Event]
    issues: list[Issue]
    counts: ResourceCounts


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The pain response of one lesion in one window under one study, with what it was made of.

    *category* is CR, PR, PP, IR or NE under ICPRE, CR, PR, STABLE, PROG or NE under a threshold rule.
    *reason* says why NE; *arm* which arm of the rule fired. *days* counts from t0 to *assessed_on*.
    *link* is the weakest rung that linked its scores to the lesion, *omed_table* the conversion table.

    Other endpoints are told in the same way: *scale* names the scale of their *baseline* and *value*
    (ranks, the higher the better), *term* what a toxicity is. *lesion_id* is None for a patient's.
    *working* is how the category comes from the values, a line each.
    """

    study: str
    patient: str
    lesion_id: str | None
    endpoint: str = "pain-response"
    variant: str | None = None
    window: str
    category: str
    arm: str | None = None
    reason: str | None = None
    flags: tuple[str, ...] = ()
    baseline: Decimal | None = None
    value: Decimal | None = None
    omed_baseline: Decimal | None = None
    omed: Decimal | None = None
    assessed_on: date | None = None
    days: int | None = None
    sources: tuple[str, ...] = ()
    link: Rung | None = None
    omed_table: str | None = None
    grain: Grain = "lesion"
    scale: str | None = None
    term: str | None = None
    working: tuple[str, ...] = ()


class TimeToEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Follow-up of one lesion, one of its segments, or one patient, from *origin* (day 0) to *until*.

    *description* says what ended it, *sources* the resource versions that say so; *cause* names the
    competing event. A row left out of its endpoint has no `days` and a *reason* instead. *free_until* is
    the last day seen without the event, where it is not *days*: in the reading of the interval between two
    visits, and before a competing event. *working* is how it comes from dates and values, a line each.
    """

    study: str
    patient: str
    lesion_id: str | None
    endpoint: str
    variant: str | None = None
    window: str | None = None
    grain: Grain = "lesion"
    segment: str | None = None
    origin: date | None = None
    until: date | None = None
    days: int | None = None
    free_until: int | None = None
    status: Status | None = None
    cause: str | None = None
    description: str = ""
    reason: str | None = None
    flags: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    working: tuple[str, ...] = ()


class Term(msgspec.Struct, frozen=True, gc=False):
    """One day on which a curve moved: rows at risk, events, competing events, and the curve from then on."""

    day: int
    at_risk: int
    events: int
    competing: int
    value: float


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A row that a figure does not count, and why; *lesion_id* is None for a patient's row."""

    patient: str
    lesion_id: str | None
    segment: str | None = None
    reason: str
    sources: tuple[str, ...] = ()


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a figure is made of: the outcomes it counts, what it leaves out, and its arithmetic.

    *counted* are the rows of the numerator, or those that ended in the event; *others* the rest of the
    denominator. *terms* are the days on which a curve moved, up to the figure's. *arithmetic* says in a line
    each how the value and its interval come from these.
    """

    counted: tuple[Response | TimeToEvent, ...] = ()
    others: tuple[Response | TimeToEvent, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    terms: tuple[Term, ...] = ()
    arithmetic: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Counts alone: a figure may come into a log, its patients may not."""
        return f"<{len(self.counted)} counted, {len(self.others)} others, {len(self.left_out)} left out>"


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One printed figure with its interval, denominator and method (design.md 4.1, decisions.md 14, 17).

    Proportions are fractions, times are days. A bound that does not exist is None, never 0 or infinity;
    *low_status* and *high_status* then say whether it was not reached or cannot be estimated. *grounds* are
    what it was made of, where it was made of outcomes.
    """

    name: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    clusters: int | None = None
    events: int | None = None
    at_risk: int | None = None
    method: str = ""
    status: EstimateStatus = "estimated"
    reason: str | None = None
    low_status: EstimateStatus | None = None
    high_status: EstimateStatus | None = None
    study: str | None = None
    endpoint: str | None = None
    variant: str | None = None
    grain: Grain | None = None
    group: str | None = None
    population: str | None = None
    window: str | None = None
    time_days: int | None = None
    competing: int | None = None
    numerator: int | None = None
    denominator: int | None = None
    grounds: Grounds | None = None


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """A chi-square test: *statistic* on *df* degrees of freedom and its p-value (design.md 4.1).

    All three are None where the test is not estimable; *reason* says why. *method* names the test, the
    tie rule and whether patients are clustered in it. *score* is U, events less those expected, an entry a
    group in the order of their labels, and *covariance* its V: the statistic is U' V^- U. *grounds* are the
    outcomes compared, where it was made of outcomes.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for one of its own

    name: str = ""
    statistic: float | None = None
    df: int | None = None
    p: float | None = None
    n: int = 0
    clusters: int | None = None
    events: int | None = None
    method: str = ""
    status: EstimateStatus = "estimated"
    reason: str | None = None
    study: str | None = None
    endpoint: str | None = None
    variant: str | None = None
    score: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()
    grounds: Grounds | None = None


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A regression on the log hazard scale, one entry for each of *names* in every tuple (design.md 4.1).

    *std_error*, *low*, *high* and *p* are by the sandwich over patients; *model_error* takes rows as
    independent. What does not exist is None, with a *reason*. *flags* are warnings, such as `few-events`.
    """

    names: tuple[str, ...]
    coef: tuple[float | None, ...] = ()
    std_error: tuple[float | None, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    p: tuple[float | None, ...] = ()
    model_error: tuple[float | None, ...] = ()
    level: float = 0.95
    n: int = 0
    clusters: int | None = None
    events: int | None = None
    loglik: float | None = None
    method: str = ""
    flags: tuple[str, ...] = ()
    status: EstimateStatus = "estimated"
    reason: str | None = None


def content_id(*parts: object) -> str:
    """40 lower-case base32 characters that stand for *parts* alone (`decisions.md` 1 and 2).

    The first 25 bytes of SHA-256 over the parts as text, joined by the unit separator; None is the
    empty text. An unsalted hash of an identifier: treat it as patient data in logs.
    """
    text = "\x1f".join("" if part is None else str(part) for part in parts)
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:25]).decode().lower()


def _text(when: PartialDate | None) -> str | None:
    return None if when is None else when.text


def lesion_row(lesion: Lesion) -> dict[str, Any]:
    """The line of `lesions.ndjson` for *lesion*, keys as in the contract; `reirradiation` only if said."""
    row = {name: getattr(lesion, name) for name in LESION_KEYS}
    row |= {"start": _text(lesion.start), "end": _text(lesion.end)}
    return row if lesion.reirradiation is None else row | {"reirradiation": lesion.reirradiation}


def event_row(event: Event) -> dict[str, Any]:
    """The line of `events.ndjson` for *event*; `until`, `evidence` and `flags` only where present.

    A fact of a period, such as a score of March and April, has its last possible day as `until`.
    """
    row = {name: getattr(event, name) for name in EVENT_KEYS} | {"on": _text(event.on)}
    until = _text(event.until) or (_end_of_period(event.on) if event.on else None)
    extra = {"until": until, "evidence": event.evidence, "flags": event.flags}
    return row | {name: value for name, value in extra.items() if value}


def _end_of_period(on: PartialDate) -> str | None:
    """The last day of *on*, where its text does not say as much."""
    if on.first == on.last:
        return None
    said = parse_date(on.text)
    return on.last.isoformat() if said is not None and said.last != on.last else None


def to_json(rows: Sequence[Any] | dict[str, Any] | msgspec.Struct) -> bytes:
    """*rows* as JSON bytes; decimals are written as the numbers they are, with their own digits."""
    return _ENCODER.encode(rows)


_ENCODER = msgspec.json.Encoder(decimal_format="number")

_BESIDE = {"provisional", "reirradiation", "primary", "evidence"}
LESION_KEYS = tuple(name for name in Lesion.__struct_fields__ if name not in _BESIDE)
EVENT_KEYS = ("patient", "lesion_id", "link", "kind", "on", "value", "unit", "code", "source")

__all__ = [
    "EVENT_KEYS",
    "LESION_KEYS",
    "LEVELS",
    "Estimate",
    "EstimateStatus",
    "Event",
    "EventKind",
    "Evidence",
    "Fit",
    "Grain",
    "Ground",
    "Grounds",
    "Issue",
    "LeftOut",
    "Lesion",
    "Mapped",
    "Patient",
    "Region",
    "ResourceCounts",
    "Response",
    "Rung",
    "Severity",
    "Status",
    "Technique",
    "Term",
    "TestResult",
    "TimeToEvent",
    "content_id",
    "event_row",
    "lesion_row",
    "to_json",
]
