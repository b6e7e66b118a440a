"""What every command against a server needs: the locked state folder, its store, and the clients."""

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_srs.config import Access, Settings
from fhir_srs.errors import Busy, LocalIOError
from fhir_srs.fhir.client import FhirClient, Limits, Server
from fhir_srs.fhir.sansio import origin
from fhir_srs.report.save import save
from fhir_srs.store import Store, open_store, read_store, secure_folder, state_folder
from fhir_srs.store.spool import PREFIX
from fhir_srs.sync.access import credentials
from fhir_srs.sync.machine import Machine
from fhir_srs.sync.opt_out import PURGED
from fhir_srs.sync.taking import CONSENT, PATIENT_TYPES

# What a run writes; read too, since it compares before it writes.
WRITTEN_TYPES = frozenset({"Observation", "Provenance", "Device", "Group"})
# Opt-outs and the target's knowledge of our profiles: asked where the server has them.
_WISHES = (CONSENT, "StructureDefinition")
_TEMPORARY = ("dry-run-", "rebuild-", PREFIX)
_HALF_WRITTEN = ".generation."
_READ_TYPES = frozenset({"Patient", *PATIENT_TYPES, "Medication"})


@dataclass(frozen=True, slots=True)
class Session:
    """The store of the source, and the clients of source and target: the same one where they are one."""

    folder: Path
    store: Store
    source: FhirClient
    target: FhirClient

    @property
    def one_server(self) -> bool:
        """Whether results go back to where they come from."""
        return self.target is self.source

    @property
    def clients(self) -> tuple[FhirClient, ...]:
        """Those of source and target, once where they are one."""
        return (self.source,) if self.one_server else (self.source, self.target)

    @property
    def outbox(self) -> Store:
        """The store's rows of the target server."""
        return self.store if self.one_server else self.store.beside(self.target.base)


@contextmanager
def local_store(settings: Settings) -> Iterator[tuple[Path, Store]]:
    """Give the state folder, locked for us alone, and the store in it. Raises Busy, LocalIOError."""
    with state_folder(settings.store.folder) as folder:
        _sweep(folder)
        with open_store(folder, settings.source.base_url) as store:
            yield folder, store


@contextmanager
def seen_store(settings: Settings) -> Iterator[tuple[Store, bool]]:
    """Give the store to look into, and whether a run is under way: then as far as that is, and read only."""
    with ExitStack() as stack:
        try:
            _, store = stack.enter_context(local_store(settings))
            busy = False
        except Busy:
            store = stack.enter_context(read_store(settings.store.folder, settings.source.base_url))
            busy = True
        yield store, busy


def _sweep(folder: Path) -> None:
    """Remove what a run that was killed left in *folder*: copies of the store, files half written."""
    try:
        for path in folder.iterdir():
            if path.name.startswith(_TEMPORARY) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name.startswith(_HALF_WRITTEN):
                path.unlink()
    except OSError as error:
        raise LocalIOError(f"state folder ({error.strerror})") from None


@contextmanager
def connected(settings: Settings, machine: Machine, folder: Path, store: Store) -> Iterator[Session]:
    """Give a session over *store*; nothing is asked of a server yet."""
    with ExitStack() as stack:
        base = settings.source.base_url
        apart = settings.target.base_url
        written = WRITTEN_TYPES if settings.sync.write else frozenset()
        compared = frozenset() if apart else WRITTEN_TYPES
        source = target = stack.enter_context(
            _client(
                settings.source,
                base,
                settings,
                machine,
                reads=_READ_TYPES | compared,
                writes=frozenset() if apart else written,
            )
        )
        if apart:
            target = stack.enter_context(
                _client(
                    settings.target,
                    apart,
                    settings,
                    machine,
                    reads=WRITTEN_TYPES | {"Patient"},
                    writes=written,
                )
            )
        yield Session(folder, store, source, target)


def is_restored(folder: Path, store: Store) -> bool:
    """
    Whether the store is older than the counter in the file beside it: a backup was put back.

    Each run counts one further, in the store first: a crash between the two is no backup.
    """
    beside = folder / "generation"
    told = beside.read_text(encoding="ascii", errors="replace") if beside.exists() else ""
    outside = int(told) if told.isdecimal() else 0
    inside = store.generation()
    following = max(inside, outside) + 1
    store.count_generation(following)
    save(beside, [str(following).encode()])
    return inside < outside


@contextmanager
def copied(store: Store, folder: Path) -> Iterator[Store]:
    """Give a temporary store with the content of *store*, inside its folder and as private as that."""
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY[0], dir=folder) as temporary:
        secure_folder(Path(temporary))
        store.copy_to(Path(temporary))
        with open_store(Path(temporary), store.base) as copy:
            yield copy


@contextmanager
def fresh(store: Store, folder: Path) -> Iterator[Store]:
    """
    Give an empty temporary store for the same server, inside *folder* and as private as that.

    Empty but for those whom an operator purged: they stay so.
    """
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY[1], dir=folder) as temporary:
        secure_folder(Path(temporary))
        with open_store(Path(temporary), store.base) as empty:
            empty.leave_out({name: why for name, why in store.left_out().items() if why == PURGED})
            yield empty


def _client(
    access: Access,
    base: str,
    settings: Settings,
    machine: Machine,
    *,
    reads: Collection[str],
    writes: Collection[str],
) -> FhirClient:
    server = Server(
        base=base,
        credentials=credentials(access, base, machine, reads=reads, wishes=_WISHES, writes=writes),
        allowed=frozenset(map(origin, access.allowed_origins)),
        internal=access.internal_bases,
        allow_insecure_loopback=access.allow_insecure_loopback,
        ca_file=str(access.ca_file) if access.ca_file else None,
    )
    limits = Limits(connections=settings.sync.connections)
    return FhirClient(server, sleep=machine.sleep, clock=machine.clock, random=machine.random, limits=limits)
