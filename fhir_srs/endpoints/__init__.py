"""Responses and times to event of mapped lesions, under a named study definition.

Pure: no I/O but the reading of a study file, no clock; the data cutoff is an argument without default.
"""

from collections.abc import Iterator
from datetime import date
from itertools import groupby

import msgspec

from fhir_srs.endpoints.assessments import Refusal
from fhir_srs.endpoints.courses import Course, Excluded, read_courses
from fhir_srs.endpoints.flare import derive_flare
from fhir_srs.endpoints.fracture import derive_fractures
from fhir_srs.endpoints.function import derive_function
from fhir_srs.endpoints.lesions import derive_times
from fhir_srs.endpoints.local_failure import derive_local_failure
from fhir_srs.endpoints.patients import derive_patient
from fhir_srs.endpoints.response import derive_responses
from fhir_srs.endpoints.retreated import derive_retreatment
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.study_file import load_study, shipped_studies
from fhir_srs.endpoints.toxicity import derive_toxicity
from fhir_srs.model import Mapped, Response, TimeToEvent

__all__ = ["Excluded", "Outcomes", "Study", "derive", "load_study", "shipped_studies"]


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """
    What `derive` returns, in a total order; *excluded* are the lesions that the study does not take.

    *recorded* are the kinds of event of which the cohort has any record by the cutoff: what nobody records
    is not absent. *refused* are the records that no rule counts, with their reasons: of
    pain, and what came too early to end an endpoint.
    """

    study: Study
    data_cutoff: date
    responses: list[Response]
    times: list[TimeToEvent]
    excluded: list[Excluded]
    recorded: frozenset[str]
    refused: list[Refusal]

    def times_of(self, endpoint: str, variant: str | None) -> Iterator[TimeToEvent]:
        """The rows of one reading of a time endpoint, in their order."""
        return (row for row in self.times if (row.endpoint, row.variant) == (endpoint, variant))

    def responses_of(self, endpoint: str, window: str) -> Iterator[Response]:
        """What was judged of *endpoint* in *window*, by every reading, in their order."""
        return (row for row in self.responses if (row.endpoint, row.window) == (endpoint, window))


def derive(mapped: Mapped, *, study: Study, data_cutoff: date) -> Outcomes:
    """
    The outcomes of *mapped* under *study*, nothing after *data_cutoff* counting.

    Every eligible lesion has one response for each window and reading, and one row for each time
    endpoint; what cannot be judged says why.
    """
    courses, excluded = read_courses(mapped, study, data_cutoff)
    responses = [row for course in courses for row in _responses(course, study, data_cutoff)]
    times = [row for course in courses for row in _times(course, study, data_cutoff)]
    for _, group in groupby(courses, key=lambda course: course.lesion.patient):
        own = list(group)
        times.extend(derive_patient(own, study))
        responses.extend(derive_toxicity(own, study))
    return Outcomes(
        study=study,
        data_cutoff=data_cutoff,
        responses=responses,
        times=times,
        excluded=excluded,
        refused=[one for course in courses for one in course.refused],
        recorded=frozenset(one.kind for one in mapped.events if one.on is None or one.on.last <= data_cutoff),
    )


def _responses(course: Course, study: Study, cutoff: date) -> Iterator[Response]:
    """Everything that is judged in a window: pain, its flare, neurological function and walking."""
    yield from derive_responses(course, study, cutoff)
    yield from derive_flare(course, study)
    yield from derive_function(course, study, cutoff)


def _times(course: Course, study: Study, cutoff: date) -> Iterator[TimeToEvent]:
    """Everything that is followed to an event: pain, local failure, fracture, retreatment."""
    yield from derive_times(course, study, cutoff)
    yield from derive_local_failure(course, study)
    yield from derive_fractures(course, study)
    yield derive_retreatment(course, study)
