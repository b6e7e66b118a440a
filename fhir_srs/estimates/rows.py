"""What figures are made of: the rows of a cohort, asked for an endpoint at a time.

`Outcomes` has them in memory; a run of sync, whose cohort does not fit there, reads them from disk each time.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from fhir_srs.endpoints import Excluded, Study
from fhir_srs.model import Response, TimeToEvent


class CohortRows(Protocol):
    """The outcomes of one study, as far as figures need them; each list in the order of `Outcomes`."""

    @property
    def study(self) -> Study:
        """The definition that they were derived by."""

    @property
    def excluded(self) -> Iterable[Excluded]:
        """The lesions that the study does not take."""

    @property
    def recorded(self) -> frozenset[str]:
        """The kinds of event of which the cohort has any record by the cutoff."""

    def times_of(self, endpoint: str, variant: str | None) -> Iterator[TimeToEvent]:
        """The rows of one reading of a time endpoint."""

    def responses_of(self, endpoint: str, window: str) -> Iterator[Response]:
        """What was judged of *endpoint* in *window*, by every reading."""
