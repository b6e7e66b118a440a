"""Where results go to another server: our patients there, found by their identifier (`decisions.md` 5)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from fhir_srs import r4
from fhir_srs.fhir.answers import Page
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Search, lists_of
from fhir_srs.model import Patient
from fhir_srs.sync.walk import Walker

_LIST = 50  # identifiers in one search
_ROOM = 200  # rows of a page; an identifier that two records have is not used
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def target_patients(
    client: FhirClient, patients: Sequence[Patient], stop: Callable[[], bool]
) -> Mapping[str, str]:
    """
    The target's `Patient/<id>` for each of *patients*, by the source's reference.

    A patient who is not there, or there more than once, or has no identifier, is absent. Searched in lists,
    by POST: proxies log queries.
    """
    wanted = {one.patient: one.identifier for one in patients if one.identifier is not None}
    there: dict[str, set[str]] = {}
    walker = Walker(client, _name, stop)
    for group in lists_of(_LIST, sorted(set(wanted.values()))):
        filters = (("identifier", ",".join(map(_escaped, group))),)
        search = Search(type="Patient", filters=filters, count=_ROOM, sort=None, by_post=True)
        for page in walker.proven(search):
            for identifier, name in _holders(page):
                there.setdefault(identifier, set()).add(name)
    found = ((ours, there.get(identifier, set())) for ours, identifier in wanted.items())
    return {ours: f"Patient/{min(names)}" for ours, names in found if len(names) == 1}


def _escaped(identifier: str) -> str:
    """`system|value` as one value of a search (https://hl7.org/fhir/R4/search.html#escaping)."""
    system, _, value = identifier.partition("|")
    return "|".join(re.sub(r"([\\,|$])", r"\\\1", part) for part in (system, value))


def _holders(page: Page) -> Iterator[tuple[str, str]]:
    """Each identifier on *page* with the id that has it: a server may ignore the filter."""
    for body in page.resources:
        try:
            resource = msgspec.json.decode(body, type=r4.Patient)
        except _BROKEN:
            continue
        if resource.id:
            yield from ((f"{one.system}|{one.value}", resource.id) for one in resource.identifier)


def _name(body: bytes) -> str:
    try:
        return f"Patient/{msgspec.json.decode(body, type=r4.Patient).id}"
    except _BROKEN:
        return f"?{hash(body)}"
