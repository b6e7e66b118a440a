"""The same estimates in parts of the cohort, and whether the parts differ (issue of `--by`).

A figure of few lesions is flagged `small-group`; it is printed, since leaving it out says something too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from types import MappingProxyType

import msgspec

from fhir_srs.dates import PartialDate
from fhir_srs.endpoints import Outcomes
from fhir_srs.endpoints.history import time_zero
from fhir_srs.estimates.figures import clusters_of, days_of, events_of, rows_of, statuses
from fhir_srs.estimates.grounds import compared, untimed, without_reason
from fhir_srs.estimates.table import estimate
from fhir_srs.model import Estimate, LeftOut, Lesion, Response, TestResult, TimeToEvent
from fhir_srs.survival import fine_gray_test, gray_test, log_rank

SMALL = 10  # rows; below it a figure is flagged [E]
SMALL_GROUP = "small-group"
UNKNOWN = "unknown"
# Upper ends of dose per fraction in Gy: Ryu's 10 to 16, then the groups of Sahgal 2013 (PMC6076012).
DOSES = ((Decimal(10), "below 10 Gy"), (Decimal("16.01"), "10 to 16 Gy"), (Decimal(20), "17 to 19 Gy"))
HIGHER = ((Decimal(24), "20 to 23 Gy"), (Decimal(1000), "24 Gy and more"))

DOSE_NAMES = tuple(name for _, name in (*DOSES, *HIGHER))


def _dose(lesion: Lesion) -> str:
    """Dose per fraction; the linear-quadratic model is not asked (section 13)."""
    if lesion.dose_gy is None or not lesion.fractions:
        return UNKNOWN
    per_fraction = lesion.dose_gy / lesion.fractions
    return next(name for limit, name in (*DOSES, *HIGHER) if per_fraction < limit)


def _fractions(lesion: Lesion) -> str:
    if lesion.fractions is None:
        return UNKNOWN
    return "1" if lesion.fractions == 1 else "2 to 5" if lesion.fractions <= 5 else "6 and more"


def _compression(lesion: Lesion) -> str:
    """A record says so, or there is none; its absence is no proof."""
    return "yes" if lesion.cord_compression else "no" if lesion.cord_compression is False else "not recorded"


def _again(lesion: Lesion) -> str:
    """An earlier course at a level is here, or the course says so; that none is here is no proof."""
    if lesion.reirradiation_of or lesion.reirradiation:
        return "yes"
    return "no" if lesion.reirradiation is False else "not recorded"


GROUPINGS: Mapping[str, Callable[[Lesion], str]] = MappingProxyType(
    {
        "dose-group": _dose,
        "fractions": _fractions,
        "primary": lambda lesion: lesion.primary or UNKNOWN,
        "histology": lambda lesion: lesion.histology or UNKNOWN,
        "cord-compression": _compression,
        "region": lambda lesion: lesion.region or UNKNOWN,
        "levels": lambda lesion: str(len(lesion.levels)) if lesion.levels else UNKNOWN,
        "prior-radiation": _again,
        "technique": lambda lesion: lesion.technique or UNKNOWN,
    }
)


def estimate_by(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> list[Estimate]:
    """All figures of each group of *by* (a key of GROUPINGS), `group` saying which; doses ascend."""
    return [
        _marked(msgspec.structs.replace(one, group=f"{by}: {group}"))
        for group, part in _parts(outcomes, lesions, by)
        for one in estimate(part)
    ]


def _marked(one: Estimate) -> Estimate:
    said = one.reason is None and is_small(one)
    return msgspec.structs.replace(one, reason=SMALL_GROUP) if said else one


def is_small(one: Estimate) -> bool:
    """Whether *one* is a figure of a part of the cohort with few rows; also where its reason is another."""
    return one.group is not None and one.n < SMALL


Test = Callable[[Sequence[TimeToEvent], Sequence[str]], TestResult]


def _log_rank(rows: Sequence[TimeToEvent], groups: Sequence[str]) -> TestResult:
    return log_rank(days_of(rows), events_of(rows), groups, cluster=clusters_of(rows))


def _of_patients(rows: Sequence[TimeToEvent], groups: Sequence[str]) -> TestResult:
    found = log_rank(days_of(rows), events_of(rows), groups)
    return msgspec.structs.replace(found, method="log-rank; one row a patient")


def _gray(rows: Sequence[TimeToEvent], groups: Sequence[str]) -> TestResult:
    return gray_test(days_of(rows), statuses(rows), groups)


def _fine_gray(rows: Sequence[TimeToEvent], groups: Sequence[str]) -> TestResult:
    return fine_gray_test(days_of(rows), statuses(rows), groups, cluster=clusters_of(rows))


Label = Callable[[Response | TimeToEvent], str]


def group_of(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> tuple[dict[str, str], Label]:
    """
    The group of each lesion, and of each row; a patient's is that of the lesion its survival counts from.

    That is the eligible lesion with the earliest t0: what the study does not take groups nobody.
    """
    own = {one.lesion_id: GROUPINGS[by](one) for one in lesions}
    eligible = {row.lesion_id for row in outcomes.responses if row.lesion_id}
    zeros = {one.lesion_id: time_zero(one, outcomes.study) for one in lesions if one.lesion_id in eligible}
    ranked = sorted(
        (one for one in lesions if one.lesion_id in eligible),
        key=lambda one: (_first_day(zeros[one.lesion_id]), one.lesion_id),
    )
    patients = {one.patient: own[one.lesion_id] for one in reversed(ranked)}
    return own, lambda row: own[row.lesion_id] if row.lesion_id else patients[row.patient]


def _first_day(zero: PartialDate | None) -> tuple[bool, date]:
    """A t0 known to the day before any other: survival counts from such a one."""
    return (zero is None or zero.day is None, zero.first if zero else date.max)


def _place(name: str) -> tuple[int, str]:
    """Doses in their order, all else by name."""
    return (DOSE_NAMES.index(name) if name in DOSE_NAMES else 0), name


def _parts(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> Iterator[tuple[str, Outcomes]]:
    own, group = group_of(outcomes, lesions, by)
    for name in sorted({group(row) for row in outcomes.times}, key=_place):
        yield (
            name,
            msgspec.structs.replace(
                outcomes,
                responses=[row for row in outcomes.responses if group(row) == name],
                times=[row for row in outcomes.times if group(row) == name],
                excluded=[one for one in outcomes.excluded if own[one.lesion_id] == name],
                refused=[one for one in outcomes.refused if own[one.lesion_id] == name],
            ),
        )


# Endpoint, variant, tests. Where a patient may have several lesions each test is clustered; Gray's, which
# cannot be, stands beside the one that is (spec/statistics.md section 8). Survival has one row a patient.
COMPARED: tuple[tuple[str, str | None, tuple[Test, ...]], ...] = (
    ("time-to-relief", None, (_fine_gray, _gray)),
    ("time-to-relapse", None, (_log_rank,)),
    ("local-failure", None, (_fine_gray, _gray)),
    ("overall-survival", None, (_of_patients,)),
)


def compare(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> list[TestResult]:
    """Whether the groups of *by* differ, endpoint by endpoint; rows of unknown group are left out."""
    _, group = group_of(outcomes, lesions, by)
    return [
        msgspec.structs.replace(
            found, name=f"{endpoint} by {by}", study=outcomes.study.name, endpoint=endpoint, variant=variant
        )
        for endpoint, variant, tests in COMPARED
        for found in _tested(
            rows_of(outcomes, endpoint, variant), group, tests, untimed(outcomes, endpoint, variant)
        )
    ]


def _tested(
    rows: Sequence[TimeToEvent], group: Label, tests: Sequence[Test], out: tuple[LeftOut, ...]
) -> Iterator[TestResult]:
    known = [row for row in rows if group(row) != UNKNOWN]
    unknown = without_reason((row for row in rows if group(row) == UNKNOWN), "group unknown")
    groups = [group(row) for row in known]
    said = f"; {len(unknown)} rows of unknown group left out" if unknown else ""
    for test in tests:
        found = compared(test(known, groups), known, groups, (*unknown, *out))
        yield msgspec.structs.replace(found, method=f"{found.method}{said}")
