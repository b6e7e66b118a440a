"""Results of ours that no line of the outbox names: the store was lost, or an old one put back (I7, I10)."""

import logging
from collections.abc import Callable, Iterator

import msgspec

from fhir_srs.errors import AccessRefused, ServerRefused
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Search
from fhir_srs.sync.vanished import ids_of
from fhir_srs.sync.walk import Walker

_LOG = logging.getLogger("fhir_srs.sync")


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


def found_results(client: FhirClient, system: str, *, count: int, stop: Callable[[], bool]) -> Iterator[str]:
    """
    The ids of all Observations on the server that carry an identifier of *system*, ours; one may come twice.

    None where the server cannot search them so; then what nobody supports any more stays as it is.
    """
    search = Search(type="Observation", filters=(("identifier", f"{system}|"),), count=count, sort=None)
    try:
        yield from (name for name, _ in ids_of(Walker(client, _name, stop), search) if name)
    except AccessRefused:
        raise
    except ServerRefused as error:
        _LOG.warning("results of a lost store cannot be searched for: %s", error)


def _name(body: bytes) -> str:
    try:
        return f"Observation/{msgspec.json.decode(body, type=_Named).id}"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"?{hash(body)}"
