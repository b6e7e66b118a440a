"""Who was treated, and who of them was evaluable: missing pain is informative (decisions.md 35)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

import msgspec

from fhir_srs.endpoints import Outcomes
from fhir_srs.endpoints.comedication import CLASSES, taken
from fhir_srs.endpoints.dose import ALPHA_BETA, EXTRAPOLATED_ABOVE, bed, eqd2
from fhir_srs.endpoints.history import converted
from fhir_srs.endpoints.opioids import omed_on
from fhir_srs.estimates.figures import rows_of
from fhir_srs.estimates.groups import GROUPINGS, UNKNOWN
from fhir_srs.estimates.responses import is_assessable, pain_rows
from fhir_srs.model import Event, Lesion, Mapped, Patient, Response, Status, TimeToEvent

DAYS_PER_YEAR = 365.25
# How long before treatment a performance status still describes the patient [E]; as the pain baseline.
BASELINE_DAYS = timedelta(days=28)
NOT_RECORDED = "not recorded"
EARLY = 91  # days: three months (spec/statistics.md section 1)
EXTRAPOLATED = f"(lq-extrapolated above {EXTRAPOLATED_ABOVE} Gy a fraction)"


class Characteristic(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line: of lesions with a category, or the median and range of a number, in three columns.

    Counts: the number of lesions with *category* and of all in the column. Numbers: *category* is None
    and each column is median, lowest, highest and how many are known (None where none is).
    """

    name: str
    category: str | None
    all: tuple[float, ...] | None
    evaluable: tuple[float, ...] | None
    not_evaluable: tuple[float, ...] | None


class Treated(msgspec.Struct, frozen=True, kw_only=True):
    """One eligible lesion with what is known of it and its patient at treatment."""

    lesion: Lesion
    patient: Patient | None
    response: Response
    survival: TimeToEvent | None
    ecog: Decimal | None
    omed: Decimal | None
    drugs: frozenset[str] | None
    severity_cuts: tuple[int, int]


def baseline_table(mapped: Mapped, outcomes: Outcomes) -> list[Characteristic]:
    """
    The characteristics of all eligible lesions, and apart of those with and without a best class.

    Age and sex count each lesion of a patient: the rows of the study are lesions. A patient with lesions
    in both columns is in both.
    """
    treated = list(_treated(mapped, outcomes))
    columns = [
        treated,
        [one for one in treated if is_assessable(one.response)],
        [one for one in treated if not is_assessable(one.response)],
    ]
    people = [{one.lesion.patient for one in column} for column in columns]
    table = [
        _counted("lesions", "all", [[True] * len(column) for column in columns]),
        _row("patients", "all", [(float(len(one)), float(len(people[0]))) for one in people]),
    ]
    for name, read in NUMBERS:
        table.append(_number(name, [[read(one) for one in column] for column in columns]))
    for name, tell in CATEGORIES:
        table.extend(_categories(name, [[tell(one) for one in column] for column in columns]))
    return table


def _treated(mapped: Mapped, outcomes: Outcomes) -> Iterator[Treated]:
    lesions = {one.lesion_id: one for one in mapped.lesions}
    patients = {one.patient: one for one in mapped.patients}
    performance: dict[str, list[Event]] = {}
    opioids: dict[str, list[Event]] = {}
    for event in mapped.events:
        if event.kind == "performance" and event.unit == "{ecog}":
            performance.setdefault(event.patient, []).append(event)
        if event.kind == "opioid" and (event.on is None or event.on.last <= outcomes.data_cutoff):
            opioids.setdefault(event.patient, []).append(converted(event, outcomes.study))
    survival = {row.patient: row for row in rows_of(outcomes, "overall-survival")}
    for row in pain_rows(outcomes):
        if row.window == "best" and row.variant is None and row.lesion_id:
            lesion = lesions[row.lesion_id]
            ecog = _latest(performance.get(row.patient, []), lesion)
            yield Treated(
                lesion=lesion,
                patient=patients.get(row.patient),
                response=row,
                survival=survival.get(row.patient),
                ecog=ecog,
                omed=_omed(opioids.get(row.patient, []), lesion),
                drugs=_drugs(opioids.get(row.patient, []), lesion),
                severity_cuts=outcomes.study.severity_cuts,
            )


def _latest(events: Sequence[Event], lesion: Lesion) -> Decimal | None:
    """The last ECOG status of the 28 days up to the first fraction."""
    start = lesion.start.day if lesion.start else None
    if start is None:
        return None
    known = [(one.on.day, one.value) for one in events if one.on and one.on.day]
    near = [(day, value) for day, value in known if start - BASELINE_DAYS <= day <= start]
    value = max(near, key=lambda one: (one[0], str(one[1])), default=(date.min, None))[1]
    return value if isinstance(value, Decimal) else None


def _omed(opioids: Sequence[Event], lesion: Lesion) -> Decimal | None:
    """The OMED on the day of the first fraction: known of a lesion whether its pain was scored or not."""
    start = lesion.start.day if lesion.start else None
    return None if start is None else omed_on(start, opioids).value


def _drugs(records: Sequence[Event], lesion: Lesion) -> frozenset[str] | None:
    """The classes of other drugs taken on the day of the first fraction; None where no drug is recorded."""
    start = lesion.start.day if lesion.start else None
    if start is None or not records:
        return None
    return frozenset(name for name in CLASSES if taken(records, name, start))


def _age(one: Treated) -> float | None:
    born = one.patient.birth_date if one.patient else None
    start = one.lesion.start
    if born is None or start is None:
        return None
    return (start.first - born.first).days / DAYS_PER_YEAR


def _effective(one: Treated, of: Callable[[int, Decimal, Decimal], Decimal]) -> float | None:
    dose, fractions = one.lesion.dose_gy, one.lesion.fractions
    if dose is None or not fractions:
        return None
    return float(of(fractions, dose / fractions, ALPHA_BETA["tumour"]))


def _plain(value: Decimal | int | None) -> float | None:
    return None if value is None else float(value)


def _vital(one: Treated) -> str:
    """What became of the patient by day `EARLY` after this lesion: who dies soon is not scored."""
    end, row = one.lesion.end.day if one.lesion.end else None, one.survival
    if end is None or row is None or row.until is None:
        return UNKNOWN
    days = (row.until - end).days
    if row.status is Status.EVENT and days <= EARLY:
        return "died"
    return "alive" if days >= EARLY else "not followed so long"


def _opioid(one: Treated) -> str:
    return UNKNOWN if one.omed is None else "yes" if one.omed else "no"


def _takes(name: str) -> Callable[[Treated], str]:
    """Whether a drug of the class *name* was taken; without a record of any drug nobody knows."""
    return lambda one: UNKNOWN if one.drugs is None else "yes" if name in one.drugs else "no"


def _severity(one: Treated) -> str:
    """Mild and moderate up to the cut-points of the study, severe above (section 2)."""
    pain, (mild, moderate) = one.response.baseline, one.severity_cuts
    if pain is None:
        return NOT_RECORDED
    if pain == 0:
        return "0, none"
    bands = ((1, mild, "mild"), (mild + 1, moderate, "moderate"), (moderate + 1, 10, "severe"))
    first, last, name = next(band for band in bands if pain <= band[1])
    return f"{first}-{last}, {name}" if first < last else f"{last}, {name}"


NUMBERS: tuple[tuple[str, Callable[[Treated], float | None]], ...] = (
    ("age, years", _age),
    ("dose, Gy", lambda one: _plain(one.lesion.dose_gy)),
    (f"BED, Gy, a/b 10 {EXTRAPOLATED}", lambda one: _effective(one, bed)),
    (f"EQD2, Gy, a/b 10 {EXTRAPOLATED}", lambda one: _effective(one, eqd2)),
    ("fractions", lambda one: _plain(one.lesion.fractions)),
    ("pain at baseline", lambda one: _plain(one.response.baseline)),
    ("OMED at treatment, mg/d", lambda one: _plain(one.omed)),
)
CATEGORIES: tuple[tuple[str, Callable[[Treated], str]], ...] = (
    ("sex", lambda one: (one.patient and one.patient.sex) or NOT_RECORDED),
    ("primary", lambda one: one.lesion.primary or NOT_RECORDED),
    ("histology", lambda one: one.lesion.histology or NOT_RECORDED),
    ("ECOG", lambda one: NOT_RECORDED if one.ecog is None else f"{one.ecog.normalize():f}"),
    ("region", lambda one: GROUPINGS["region"](one.lesion)),
    ("levels", lambda one: GROUPINGS["levels"](one.lesion)),
    ("dose per fraction", lambda one: GROUPINGS["dose-group"](one.lesion)),
    ("pain at baseline, by severity", _severity),
    ("opioid at treatment", _opioid),
    *((f"{name} at treatment", _takes(name)) for name in CLASSES),
    ("cord compression", lambda one: GROUPINGS["cord-compression"](one.lesion)),
    ("prior radiation of a level", lambda one: GROUPINGS["prior-radiation"](one.lesion)),
    (f"{EARLY} days after treatment", _vital),
)


def _number(name: str, columns: Sequence[Sequence[float | None]]) -> Characteristic:
    known = [[value for value in column if value is not None] for column in columns]
    told = [(median(one), min(one), max(one), float(len(one))) if one else None for one in known]
    return _row(name, None, told)


def _categories(name: str, columns: Sequence[Sequence[str]]) -> Iterator[Characteristic]:
    """One line for each value, the frequent first."""
    everything = Counter(columns[0])
    for value in sorted(everything, key=lambda value: (-everything[value], value)):
        yield _counted(name, value, [[one == value for one in column] for column in columns])


def _counted(name: str, category: str, columns: Sequence[Sequence[bool]]) -> Characteristic:
    return _row(name, category, [(float(sum(column)), float(len(column))) for column in columns])


def _row(name: str, category: str | None, cells: Sequence[tuple[float, ...] | None]) -> Characteristic:
    return Characteristic(
        name=name, category=category, all=cells[0], evaluable=cells[1], not_evaluable=cells[2]
    )
