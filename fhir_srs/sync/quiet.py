"""Whether a run has anything left to do after its pull (docs/decisions/040-runs-with-nothing-new.md).

The mark `settled` says that the results on the server are what a plan would give. It is set by a run that
wrote, or left, everything as wanted, and goes by a trigger of the store as soon as a resource or one of our
results changes. What it rests on beside the data is in its digest.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from fhir_srs import tables
from fhir_srs.config import Settings
from fhir_srs.model import ResourceCounts, content_id
from fhir_srs.store import SETTLED, Store
from fhir_srs.summary import NOTHING_READ, Planned, Written
from fhir_srs.sync.definitions import Definitions

_PACKAGE = Path(__file__).resolve().parents[1]


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What the run that settled everything found; *basis* is the digest of what it rested on."""

    basis: str
    lesions: int
    patients: int
    outcomes: int
    results: int
    conflict: int = 0
    externally_deleted: int = 0
    refused: Mapping[str, int] = {}
    resources: ResourceCounts = NOTHING_READ

    @property
    def planned(self) -> Planned:
        """What the plan of a run would be."""
        return Planned(unchanged=self.results)

    @property
    def written(self) -> Written:
        """Nothing; results that another edited or deleted stay as they are."""
        return Written(conflict=self.conflict, externally_deleted=self.externally_deleted)


def basis_of(settings: Settings, definitions: Definitions, cutoff: date) -> str:
    """The digest of all that results depend on beside the data: settings, definitions, program, cutoff."""
    target = settings.target
    chosen = (target.canonical_base, target.organization, target.references, target.synthetic)
    hashes = (f"{name}={sha}" for name, sha in sorted(definitions.hashes.items()))
    return content_id(version("fhir-srs"), _program(), cutoff.isoformat(), *chosen, *hashes)


@cache
def _program() -> str:
    """A digest of the files of the program: one that was put in place without a new version counts too."""
    seen = sorted(file for root in (_PACKAGE, tables.folder()) for file in _files(str(root)))
    return content_id(*(part for file in seen for part in file))


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name != "__pycache__":
                yield from _files(entry.path)
            elif entry.is_file():
                found = entry.stat()
                yield entry.path, found.st_size, found.st_mtime_ns


def settled(store: Store, basis: str) -> Settled | None:
    """What the run that settled everything on this *basis* found; None if none did, or something changed."""
    text = store.mark(SETTLED)
    found = msgspec.json.decode(text, type=Settled) if text else None
    return found if found and found.basis == basis else None


def settle(store: Store, found: Settled) -> None:
    """Note that the results on the server are what they should be."""
    store.set_mark(SETTLED, msgspec.json.encode(found).decode())
