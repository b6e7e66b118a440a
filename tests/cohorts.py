"""Cohorts that several tests look at: drawn, mapped, derived and analysed once, for the first that asks.

All of it is frozen, so that no test can change it for another.
"""

from collections.abc import Callable, Mapping
from datetime import date
from functools import cache

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import Outcomes, derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.estimates.analysis import Analysis, Asked, analyse
from fhir_srs.model import Estimate, Mapped
from fhir_srs.testing.cohort import Cohort, random_cohort, ryu2008_cohort

CUTOFF = date(2026, 6, 30)  # of the random patients; those of Ryu 2008 were looked at until 2007

_DRAWN: Mapping[str, Callable[[], Cohort]] = {
    "ryu": ryu2008_cohort,
    "random": lambda: random_cohort(60, 7),
}


@cache
def drawn(cohort: str) -> Cohort:
    """The cohort of Ryu 2008 as `ryu`, or 60 patients at `random`."""
    return _DRAWN[cohort]()


@cache
def mapped(cohort: str) -> Mapped:
    return map_resources(drawn(cohort).resources, profile=load_profile("mcode"))


@cache
def outcomes_of(cohort: str, study: str, cutoff: date = CUTOFF) -> Outcomes:
    return derive(mapped(cohort), study=load_study(study), data_cutoff=cutoff)


@cache
def table_of(cohort: str, study: str, cutoff: date = CUTOFF) -> tuple[Estimate, ...]:
    return tuple(estimate(outcomes_of(cohort, study, cutoff)))


@cache
def analysed(cohort: str, study: str, asked: Asked, cutoff: date = CUTOFF) -> Analysis:
    return analyse(mapped(cohort), load_study(study), cutoff, asked)
