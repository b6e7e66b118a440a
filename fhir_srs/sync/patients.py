"""Where results go to another server: our patients there, found by their identifier (`decisions.md` 5)."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fhir_srs import r4
from fhir_srs.fhir.answers import decipher_page
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Search, search_request
from fhir_srs.model import Patient

_ROOM = 100  # rows asked for; an identifier that is found twice is not used


def target_patients(client: FhirClient, patients: Sequence[Patient]) -> Mapping[str, str]:
    """
    The target's `Patient/<id>` for each of *patients*, by the source's reference.

    A patient who is not there, or there more than once, or has no identifier, is absent. One search each,
    by POST: proxies log queries.
    """
    found = ((patient.patient, _found(client, patient)) for patient in patients)
    return {ours: theirs for ours, theirs in found if theirs is not None}


def _found(client: FhirClient, patient: Patient) -> str | None:
    if patient.identifier is None:
        return None
    filters = (("identifier", patient.identifier),)
    search = Search(type="Patient", filters=filters, count=_ROOM, sort=None, by_post=True)
    page = client.ask(search_request(search), decipher_page)
    matches = {name for body in page.resources for name in _match(body, patient.identifier)}
    return f"Patient/{matches.pop()}" if len(matches) == 1 and page.next is None else None


def _match(body: bytes, identifier: str) -> Iterator[str]:
    """The id of the Patient in *body*, if it really has that identifier: a server may ignore the filter."""
    try:
        resource = msgspec.json.decode(body, type=r4.Patient)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    if resource.id and any(f"{one.system}|{one.value}" == identifier for one in resource.identifier):
        yield resource.id
