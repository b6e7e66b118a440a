"""Outcomes as Observations: one for each lesion and window, lesion (or patient) and endpoint, and figure.

Shapes: `spec/fhir-mapping.md` section 9; ids, references and status: `decisions.md` 2 to 6. The bytes are
ours: fhir.resources only judges them (`gate`), since its round trip loses decimals.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from fhir_srs.model import Estimate, Lesion, Patient, Response, Status, TimeToEvent
from fhir_srs.results.figures import figure
from fhir_srs.results.frame import Content, Frame
from fhir_srs.results.resources import cohort, cohort_id, device, device_id, group_key
from fhir_srs.results.target import OutcomesLike, ResultTarget, StudyName, Unit
from fhir_srs.results.terms import CATEGORIES, COMPETING, SETTLED, Terms, days, quantity

# Not written: what is not due, and endpoints of which a lesion has no record (docs/decisions/016).
NOT_WRITTEN = frozenset({"not-yet-due", "no-baseline-assessment", "no-imaging"})


def build_results(
    outcomes: OutcomesLike,
    lesions: Sequence[Lesion],
    patients: Sequence[Patient],
    table: Sequence[Estimate],
    target: ResultTarget,
    program_version: str,
    *,
    recorded: datetime,
) -> list[Unit]:
    """
    All that *target* should hold of *outcomes* and *table*: Device and Groups first, then Observations.

    *recorded* is an aware moment for Provenance and leaves every id and hash as it is. What is not due
    or has no record at all is not written; neither is a patient whom *target* does not know. In a total
    order that depends on content alone.
    """
    units = [
        *row_units(outcomes, lesions, patients, target, recorded=recorded),
        *figure_units(outcomes.study, table, target, recorded=recorded),
    ]
    units.sort(key=lambda unit: unit.id)
    if len({unit.id for unit in units}) != len(units):
        raise ValueError("two results with one id (I7)")
    return [*support_units(outcomes.study, table, target, program_version), *units]


def row_units(
    outcomes: OutcomesLike,
    lesions: Iterable[Lesion],
    patients: Iterable[Patient],
    target: ResultTarget,
    *,
    recorded: datetime,
) -> Iterator[Unit]:
    """The Observations of the rows of *outcomes*, which may be those of a part of the cohort."""
    frame = Frame(
        outcomes.study,
        target,
        {lesion.lesion_id: lesion for lesion in lesions},
        {patient.patient: patient for patient in patients},
        recorded,
    )
    rows = (_response(frame, row) for row in outcomes.responses if row.reason not in NOT_WRITTEN)
    yield from (unit for unit in rows if unit is not None)
    times = (_time(frame, row) for row in outcomes.times if row.reason not in NOT_WRITTEN)
    yield from (unit for unit in times if unit is not None)


def figure_units(
    study: StudyName, table: Sequence[Estimate], target: ResultTarget, *, recorded: datetime
) -> Iterator[Unit]:
    """The Observations of the figures of *study* in *table*, on the cohort's Group."""
    frame = Frame(study, target, {}, {}, recorded)
    units = (figure(frame, estimate) for estimate in _own(study, table))
    yield from (unit for unit in units if unit is not None)


def _own(study: StudyName, table: Sequence[Estimate]) -> list[Estimate]:
    return [estimate for estimate in table if estimate.study in (None, study.name)]


def unresolved(outcomes: OutcomesLike, target: ResultTarget) -> list[str]:
    """The patients of *outcomes* whom *target* does not know (`subject-unresolved`), sorted."""
    if target.patients is None:
        return []
    rows = {row.patient for row in outcomes.responses} | {row.patient for row in outcomes.times}
    return sorted(rows - target.patients.keys())


def support_units(
    study: StudyName, table: Sequence[Estimate], target: ResultTarget, version: str
) -> list[Unit]:
    """The Device and one Group for the cohort and for each part of it that has a figure in *table*."""
    ours = Unit(type="Device", id=device_id(target), group="", resource=device(target, version))
    names = sorted({estimate.group for estimate in _own(study, table)}, key=lambda name: name or "")
    groups = [(cohort_id(study, name), cohort(target, study, name)) for name in names]
    scope = group_key(study)
    return [ours, *(Unit(type="Group", id=id_, group=scope, resource=one) for id_, one in groups)]


# Components for the two values of a response.
PAIN = ("baseline-pain", "pain")
GRADE = ("baseline-grade", "grade")


def _response(frame: Frame, row: Response) -> Unit | None:
    terms = frame.terms
    before, after = PAIN if row.endpoint == "pain-response" else GRADE
    parts = [
        *_number(terms, before, row.baseline, "score", "{score}"),
        *_number(terms, after, row.value, "score", "{score}"),
        *_number(terms, "baseline-omed", row.omed_baseline, "mg/d", "mg/d"),
        *_number(terms, "omed", row.omed, "mg/d", "mg/d"),
        *_number(terms, "days", row.days, "days", "d"),
        *terms.texts({"omed-table": row.omed_table, "link-rung": row.link, "rule-arm": row.arm}),
        *terms.texts({"scale": row.scale, "term": row.term, "window": row.window}),
        *terms.texts({"variant": row.variant if row.term is None else None}),
    ]
    when = {"effectiveDateTime": row.assessed_on.isoformat()} if row.assessed_on else {}
    status = "preliminary" if "status-preliminary" in row.flags else "final"
    content = {"status": status, **when, **_category(terms, row), "component": parts}
    return frame.row_unit(row, row.grain, "srs-pain-response", content)


def _category(terms: Terms, row: Response) -> Content:
    if row.category == "NE":
        return {"dataAbsentReason": terms.absent(row.reason or "left-out")}
    if row.category not in CATEGORIES:
        return {"valueCodeableConcept": {"text": row.category}}
    own = terms.coding("response", row.category, CATEGORIES[row.category])
    return {"valueCodeableConcept": {"coding": [own]}}


def _number(terms: Terms, name: str, value: object, unit: str, code: str) -> list[Content]:
    return [] if value is None else [terms.part(name, quantity(value, unit, code))]


def _time(frame: Frame, row: TimeToEvent) -> Unit | None:
    terms = frame.terms
    texts = terms.texts({"ended-by": row.description, "window": row.window, "variant": row.variant})
    texts += terms.texts({"segment": row.segment}) + _number(terms, "free-until", row.free_until, "days", "d")
    if row.days is None or row.status is None:
        reason = row.reason or "left-out"
        status = "final" if reason in SETTLED else "preliminary"
        content: Content = {"status": status, "dataAbsentReason": terms.absent(reason), "component": texts}
    else:
        status = "preliminary" if row.status is Status.CENSORED else "final"
        content = {"status": status, **_period(row), **days(row.days)}
        content["component"] = [*_how_it_ended(terms, row), *texts]
    return frame.row_unit(row, row.grain, "srs-time-to-event", content)


def _how_it_ended(terms: Terms, row: TimeToEvent) -> list[Content]:
    """The censoring flags: a time without them is unusable."""
    return [
        terms.part("event-observed", {"valueBoolean": row.status is Status.EVENT}),
        terms.part("competing-event", {"valueCodeableConcept": _competing(terms, row)}),
    ]


def _competing(terms: Terms, row: TimeToEvent) -> Content:
    """What competed, coded where it is of our list, else in words."""
    cause = "none" if row.status is not Status.COMPETING else row.cause or "unknown"
    if cause not in COMPETING:
        return {"text": cause}
    return {"coding": [terms.coding("competing-event", cause, COMPETING[cause])]}


def _period(row: TimeToEvent) -> Content:
    ends = {"start": row.origin, "end": row.until}
    period = {name: day.isoformat() for name, day in ends.items() if day is not None}
    return {"effectivePeriod": period} if period else {}
