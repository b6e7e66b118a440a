"""Our own CodeSystems, ValueSets and FHIR profiles on the target: which it has, and putting them there.

A profile that a server does not know makes `$validate` fail (`spec/hapi.md` 33): results claim only those
that the target has (`decisions.md` 3).
"""

from collections.abc import Callable, Mapping

import msgspec

from fhir_srs import tables
from fhir_srs.config import Settings
from fhir_srs.errors import DataError, ProtocolViolation
from fhir_srs.fhir.answers import decipher_capabilities
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import capabilities
from fhir_srs.progress import Report, silent
from fhir_srs.results.canonical import canonical_hash
from fhir_srs.results.definitions import rebased
from fhir_srs.store import SETTLED, Store
from fhir_srs.sync.abilities import writable
from fhir_srs.sync.machine import Machine
from fhir_srs.sync.session import connected, local_store
from fhir_srs.sync.write import Item, Writer, core_hash, read_copies

_GROUP = "conformance"
_PROFILE = "StructureDefinition"


class Uploaded(msgspec.Struct, frozen=True):
    """What became of our definitions on the target."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def our_definitions(canonical_base: str) -> Mapping[str, bytes]:
    """Each file of `mappings/fhir/`, moved to *canonical_base*, by its reference (`ValueSet/endpoint`)."""
    texts = (rebased(tables.text(name), canonical_base) for name in tables.names("fhir/*.json"))
    return {_reference(text): text for text in texts}


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str
    id: str = ""
    url: str = ""
    status: str = ""


def _reference(body: bytes) -> str:
    head = msgspec.json.decode(body, type=_Head)
    return f"{head.resource_type}/{head.id}"


def known_profiles(client: FhirClient, canonical_base: str, *, reads_only: bool) -> frozenset[str]:
    """The urls of those FHIR profiles of ours that the server has under our ids and that are not retired."""
    ours = [name for name in our_definitions(canonical_base) if name.startswith(f"{_PROFILE}/")]
    copies = read_copies(client, sorted(ours), one_by_one=reads_only)
    heads = (msgspec.json.decode(one.body, type=_Head) for one in copies.values() if one.body)
    mine = f"{canonical_base}/{_PROFILE}/"
    return frozenset(one.url for one in heads if one.url.startswith(mine) and one.status != "retired")


def upload_definitions(
    client: FhirClient,
    store: Store,
    settings: Settings,
    *,
    report: Report = silent,
    stop: Callable[[], bool] = lambda: False,
) -> Uploaded:
    """
    Put our definitions on the server of *client*, each only where it differs; what became of them.

    A copy that another edited is written over: an operator asked for ours. Raises DataError if one was not
    stored.
    """
    wanted = our_definitions(settings.target.canonical_base)
    _check_writable(client, wanted)
    copies, before = read_copies(client, sorted(wanted)), store.outbox(wanted.keys())
    items = [
        Item(
            kind="create" if copies[name].body is None else "update",
            reference=name,
            group=_GROUP,
            resource=body,
            version=copies[name].version,
            desired_sha=canonical_hash(body),
            desired_core=core_hash(body),
            before=before.get(name),
        )
        for name, body in sorted(wanted.items())
        if _differs(copies[name].body, body)
    ]
    outcomes = Writer(client, store, report=report, stop=stop).write(items)
    done = [one.item.kind for one in outcomes if one.state == "CONFIRMED"]
    if items:
        store.unmark(SETTLED)  # which FHIR profiles results may claim is another thing now
    if len(done) < len(items):
        raise DataError(f"{len(items) - len(done)} of our definitions were not stored")
    return Uploaded(done.count("create"), done.count("update"), len(wanted) - len(items))


def put_definitions(settings: Settings, machine: Machine = Machine()) -> Uploaded:  # noqa: B008 - frozen
    """As `upload_definitions`, on the target of *settings*. Raises Busy while a run is under way."""
    with (
        local_store(settings) as (folder, store),
        connected(settings, machine, folder, store) as session,
    ):
        return upload_definitions(session.target, session.outbox, settings)


def _differs(copy: bytes | None, body: bytes) -> bool:
    return copy is None or canonical_hash(copy) != canonical_hash(body)


def _check_writable(client: FhirClient, wanted: Mapping[str, bytes]) -> None:
    offered = writable(client.ask(capabilities(), decipher_capabilities))
    missing = sorted({name.split("/")[0] for name in wanted} - offered)
    if missing:
        raise ProtocolViolation(f"the server takes no {', '.join(missing)} under ids that we choose")
