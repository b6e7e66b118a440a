"""The same estimates in parts of the cohort, and whether the parts differ (issue of `--by`).

A figure of few lesions is flagged `small-group`; it is printed, since leaving it out says something too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

import msgspec

from fhir_srs.endpoints import Outcomes
from fhir_srs.estimates.figures import clusters_of, days_of, events_of, rows_of, statuses
from fhir_srs.estimates.table import estimate
from fhir_srs.model import Estimate, Lesion, Response, TestResult, TimeToEvent
from fhir_srs.survival import gray_test, log_rank

SMALL = 10  # rows; below it a figure is flagged [E]
SMALL_GROUP = "small-group"
UNKNOWN = "unknown"
# Upper ends of dose per fraction in Gy: Ryu's 10 to 16, then the groups of Sahgal 2013 (PMC6076012).
DOSES = ((Decimal(10), "below 10 Gy"), (Decimal("16.01"), "10 to 16 Gy"), (Decimal(20), "17 to 19 Gy"))
HIGHER = ((Decimal(24), "20 to 23 Gy"), (Decimal(1000), "24 Gy and more"))


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


GROUPINGS: Mapping[str, Callable[[Lesion], str]] = MappingProxyType(
    {
        "dose-group": _dose,
        "fractions": _fractions,
        "histology": lambda lesion: lesion.histology or UNKNOWN,
        "cord-compression": _compression,
        "region": lambda lesion: lesion.region or UNKNOWN,
        "levels": lambda lesion: str(len(lesion.levels)) if lesion.levels else UNKNOWN,
        "prior-radiation": lambda lesion: "yes" if lesion.reirradiation_of else "not recorded",
        "technique": lambda lesion: lesion.technique or UNKNOWN,
    }
)


def estimate_by(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> list[Estimate]:
    """All figures of each group of *by* (a key of GROUPINGS), `group` saying which; groups by name."""
    return [
        _marked(msgspec.structs.replace(one, group=f"{by}: {group}"))
        for group, part in _parts(outcomes, lesions, by)
        for one in estimate(part)
    ]


def _marked(one: Estimate) -> Estimate:
    small = one.reason is None and one.n < SMALL
    return msgspec.structs.replace(one, reason=SMALL_GROUP) if small else one


def group_of(lesions: Sequence[Lesion], by: str) -> tuple[dict[str, str], dict[str, str]]:
    """The group of each lesion; of each patient that of the lesion treated first."""
    ordered = sorted(lesions, key=lambda one: (one.start is None, str(one.start and one.start.first)))
    own = {one.lesion_id: GROUPINGS[by](one) for one in ordered}
    return own, {one.patient: own[one.lesion_id] for one in reversed(ordered)}


def _parts(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> Iterator[tuple[str, Outcomes]]:
    own, patients = group_of(lesions, by)

    def group(row: Response | TimeToEvent) -> str:
        return own[row.lesion_id] if row.lesion_id else patients[row.patient]

    for name in sorted({group(row) for row in outcomes.times}):
        yield (
            name,
            msgspec.structs.replace(
                outcomes,
                responses=[row for row in outcomes.responses if group(row) == name],
                times=[row for row in outcomes.times if group(row) == name],
                excluded=[one for one in outcomes.excluded if own[one.lesion_id] == name],
            ),
        )


# Endpoint, variant, test. Lesions of one patient: the log-rank test is clustered; Gray's cannot be.
COMPARED: tuple[tuple[str, str | None, str], ...] = (
    ("time-to-relief", None, "gray"),
    ("time-to-relapse", None, "log-rank"),
    ("local-failure", None, "gray"),
    ("overall-survival", None, "log-rank"),
)


def compare(outcomes: Outcomes, lesions: Sequence[Lesion], by: str) -> list[TestResult]:
    """Whether the groups of *by* differ, endpoint by endpoint; rows of unknown group are left out."""
    own, patients = group_of(lesions, by)
    found = []
    for endpoint, variant, test in COMPARED:
        rows = [
            (row, own[row.lesion_id] if row.lesion_id else patients[row.patient])
            for row in rows_of(outcomes, endpoint, variant)
        ]
        known = [(row, group) for row, group in rows if group != UNKNOWN]
        result = _tested([row for row, _ in known], [group for _, group in known], test)
        found.append(msgspec.structs.replace(result, name=f"{endpoint} by {by}"))
    return found


def _tested(rows: Sequence[TimeToEvent], groups: Sequence[str], test: str) -> TestResult:
    if test == "gray":
        return gray_test(days_of(rows), statuses(rows), groups)
    return log_rank(days_of(rows), events_of(rows), groups, cluster=clusters_of(rows))
