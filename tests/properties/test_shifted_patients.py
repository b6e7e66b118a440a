"""Pseudonymised dates: days of its own added to each patient change no figure (spec/statistics.md 12.5)."""

from datetime import timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_srs.dates import PartialDate, parse_date
from fhir_srs.endpoints import derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.model import Mapped
from tests.examples import examples
from tests.spec.timelines import LATER, draw

STORIES = (
    "{0}/A | -3 | pain | 7\n{0}/A | 14 | pain | 0\n{0}/A | 91 | pain | 0\n{0}/A | 200 | pain | 5",
    "{0}/A | 0 | srs | T8\n{0}/B | 40 | srs | L2\n{0}/A | -3 | pain | 8\n{0}/A | 35 | pain | 4\n"
    "{0}/B | 38 | pain | 6\n{0}/B | 80 | pain | 0\n{0}/- | 300 | death |",
    "{0}/A | -3 | pain | 5\n{0}/A | 30 | pain | 8\n{0}/A | 91 | disease-status | worsened\n"
    "{0}/A | 150 | disease-status | worsened\n{0}/A | 150 | fracture |\n{0}/- | 20 | toxicity | 2 CTCAEv4 C1",
    "{0}/A | 0 | srs | T8\n{0}/B | 200 | srs | T8\n{0}/A | -3 | pain | 6\n{0}/A | 20 | pain | 2\n"
    "{0}/A | 180 | pain | 7\n{0}/B | 230 | pain | 1\n{0}/- | 400 | contact |",
)
COHORT = draw("\n".join(story.replace("{0}", f"p{n}") for n, story in enumerate(STORIES * 2)))
PATIENTS = sorted({one.patient for one in COHORT.lesions})
AT_LAST = LATER + timedelta(days=4000)


def moved(when: PartialDate | None, by: int) -> PartialDate | None:
    return when and parse_date((when.first + timedelta(days=by)).isoformat())


def shifted(mapped: Mapped, days: dict[str, int]) -> Mapped:
    replace = msgspec.structs.replace
    return replace(
        mapped,
        lesions=[
            replace(one, start=moved(one.start, days[one.patient]), end=moved(one.end, days[one.patient]))
            for one in mapped.lesions
        ],
        events=[
            replace(one, on=moved(one.on, days[one.patient]), until=moved(one.until, days[one.patient]))
            for one in mapped.events
        ],
    )


@cache
def as_they_were(study: str) -> list[tuple[Any, ...]]:
    return figures(COHORT, study)


def figures(mapped: Mapped, study: str) -> list[tuple[Any, ...]]:
    table = estimate(derive(mapped, study=load_study(study), data_cutoff=AT_LAST))
    return [msgspec.structs.astuple(msgspec.structs.replace(one, grounds=None)) for one in table]


@pytest.mark.parametrize("study", ["ryu2008", "icpre2012", "rtog0631"])
@examples(30)
@given(days=st.lists(st.integers(-2000, 2000), min_size=len(PATIENTS), max_size=len(PATIENTS)))
def test_moving_the_dates_of_each_patient_changes_no_figure(study: str, days: list[int]) -> None:
    assert all(one.on is None or one.on.day for one in COHORT.events)
    by = dict(zip(PATIENTS, days, strict=True))
    assert figures(shifted(COHORT, by), study) == as_they_were(study)
