"""Where results go and what one written result is: values only."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal, Protocol

import msgspec

from fhir_srs.model import Response, TimeToEvent

References = Literal["literal", "logical"]
UnitType = Literal["Observation", "Device", "Group"]


class ResultTarget(msgspec.Struct, frozen=True, kw_only=True):
    """
    The server that gets the results, as far as their content depends on it.

    *canonical_base* is the root B of our identifiers and codes. *organization* is `Organization/<id>` or
    a name. *profiles* are the FHIR profiles that the server has: only these are claimed. *patients* is
    None where results go back to their source; else it maps a source's `Patient/<id>` to the target's,
    references become logical, and whoever is not in it gets no result (`decisions.md` 5).
    """

    canonical_base: str
    organization: str | None = None
    references: References = "literal"
    synthetic: bool = False
    profiles: frozenset[str] = frozenset()
    patients: Mapping[str, str] | None = None

    @property
    def logical(self) -> bool:
        """Whether inputs are named by identifier alone."""
        return self.references == "logical" or self.patients is not None


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is written together: a resource of *type* with *id*, and its Provenance.

    A Device or a Group has no Provenance and stands before the Observations that need it. *group* is
    the study and its definition version: what is not wanted any more is withdrawn within that alone.
    *depends_on* are the versions of the resources it was made of (`Observation/17/_history/3`).
    """

    type: UnitType = "Observation"
    id: str
    group: str
    resource: bytes
    provenance_id: str | None = None
    provenance: bytes | None = None
    depends_on: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The relative reference, which is also the path of the PUT."""
        return f"{self.type}/{self.id}"


class StudyName(Protocol):
    """What results need of a study definition."""

    @property
    def name(self) -> str:
        """The name, such as `ryu2008`."""

    @property
    def version(self) -> str:
        """The definition version."""


class OutcomesLike(Protocol):
    """What results need of `fhir_srs.endpoints.Outcomes`, which they do not import."""

    @property
    def study(self) -> StudyName:
        """The study that the outcomes were derived under."""

    @property
    def data_cutoff(self) -> date:
        """The last date that counts."""

    @property
    def responses(self) -> Sequence[Response]:
        """One for each lesion and window."""

    @property
    def times(self) -> Sequence[TimeToEvent]:
        """One for each lesion, or patient, and endpoint."""
