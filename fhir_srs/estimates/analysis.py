"""One study on what was mapped: its estimates, and what was asked for beside them."""

from datetime import date

import msgspec

from fhir_srs.endpoints import Study, derive
from fhir_srs.endpoints.study_file import changed
from fhir_srs.errors import UsageError
from fhir_srs.estimates.baseline import Characteristic, baseline_table
from fhir_srs.estimates.groups import GROUPINGS, compare, estimate_by
from fhir_srs.estimates.landmarks import Landmarked, landmark_analysis
from fhir_srs.estimates.sensitivity import Run, sensitivity
from fhir_srs.estimates.table import estimate
from fhir_srs.model import Estimate, Mapped, TestResult


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an analysis holds beside its estimates; *by* is a key of GROUPINGS."""

    by: str | None = None
    baseline: bool = False
    sensitivity: bool = False
    landmarks: bool = False
    as_published: bool = False


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """The estimates of one study; *groups* are those of its parts, *comparisons* whether these differ."""

    study: Study
    table: tuple[Estimate, ...]
    groups: tuple[Estimate, ...] = ()
    comparisons: tuple[TestResult, ...] = ()
    baseline: tuple[Characteristic, ...] = ()
    sensitivity: tuple[Run, ...] = ()
    landmarks: tuple[Landmarked, ...] = ()


def analyse(mapped: Mapped, study: Study, data_cutoff: date, asked: Asked) -> Analysis:
    """The analysis of *mapped* under *study*; UsageError for an unknown grouping."""
    if asked.by is not None and asked.by not in GROUPINGS:
        raise UsageError(f"unknown grouping {asked.by!r}; known: {', '.join(GROUPINGS)}")
    if asked.as_published:
        study = changed(study, {"eligibility": "as-published"})
    outcomes = derive(mapped, study=study, data_cutoff=data_cutoff)
    return Analysis(
        study=study,
        table=tuple(estimate(outcomes)),
        groups=tuple(estimate_by(outcomes, mapped.lesions, asked.by)) if asked.by else (),
        comparisons=tuple(compare(outcomes, mapped.lesions, asked.by)) if asked.by else (),
        baseline=tuple(baseline_table(mapped, outcomes)) if asked.baseline else (),
        sensitivity=tuple(sensitivity(mapped, study, data_cutoff)) if asked.sensitivity else (),
        landmarks=tuple(landmark_analysis(outcomes)) if asked.landmarks else (),
    )
