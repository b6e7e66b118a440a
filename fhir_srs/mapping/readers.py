"""Which reader takes which type of resource."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from fhir_srs.dates import PartialDate
from fhir_srs.mapping.facts import LesionSite, Link, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.profile import Profile

Reader: TypeAlias = Callable[[Any, PatientFacts, Profile], Taken]
READERS: Mapping[type, Reader] = {}


def link(
    hints: LinkHints,
    on: PartialDate | None,
    sites: Sequence[LesionSite],
    facts: PatientFacts,
    profile: Profile,
) -> Link:
    """Rung `patient`: no reader makes events yet."""
    del hints, on, sites, facts, profile
    return Link(lesion_id=None, rung="patient")
