"""The state folder: ours alone, locked for one writer, its files private from their first byte."""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fhir_srs.errors import Busy, ConfigurationError, LocalIOError

# File systems that other machines share: flock and the shared memory of SQLite's WAL hold on one machine.
_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.davfs", "fuse.glusterfs", "fuse.sshfs"}
    | {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
HELD = "another run holds the state folder"
_MOUNTS = Path("/proc/self/mountinfo")


@contextmanager
def state_folder(folder: Path) -> Iterator[Path]:
    """
    Give *folder*, made or checked to be ours and 0700, and locked for us alone; Busy if it is taken.

    The lock is the kernel's (`flock`): it ends with the process, however that ends (I15).
    """
    secure_folder(folder)
    if _MOUNTS.exists():
        refuse_network(folder, _MOUNTS.read_text(encoding="utf-8", errors="replace"))
    descriptor = open_private(folder / "state.lock")
    with closing(os.fdopen(descriptor, "wb")):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(HELD) from None
        yield folder


def refuse_network(folder: Path, mounts: str) -> None:
    """
    Nothing, or ConfigurationError where *folder* is on a network file system, by *mounts*.

    These are lines of /proc/self/mountinfo (proc(5)): mount point in the fifth column, type after ` - `.
    """
    place, found = folder.resolve(), (Path("/"), "")
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        if len(left.split()) < 5 or not right:
            continue
        point = Path(left.split()[4].replace("\\040", " "))
        if place.is_relative_to(point) and len(point.parts) >= len(found[0].parts):
            found = point, right.split()[0]
    if found[1] in _NETWORK:
        problem = f"is on a network file system ({found[1]}): the lock and the store need a local disk"
        raise ConfigurationError("store folder", [problem])


def secure_folder(folder: Path) -> None:
    """Make *folder* with mode 0700, or refuse one that is a symlink, another's, or open to others."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise LocalIOError(f"state folder ({error.strerror})") from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError("store folder", ["is not a folder, or a symlink"])
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError("store folder", ["must be ours, with mode 0700"])


def open_private(path: Path) -> int:
    """A descriptor of the file at *path*, made with mode 0600; one that others may read is refused."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalIOError(f"{path.name} ({error.strerror})") from None
    found = os.fstat(descriptor)
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(descriptor)
        raise ConfigurationError(path.name, ["must be ours, with mode 0600"])
    return descriptor


def damaged() -> LocalIOError:
    """What to raise where the store holds something that was never put there (I22)."""
    return LocalIOError("the store is damaged: see `fhir-srs verify`, then `fhir-srs rebuild`")


# What an operator can mend, of https://www.sqlite.org/rescode.html; the others by their names.
_IN_WORDS = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it cannot be written (read-only, or another's)",
}


@contextmanager
def local_errors() -> Iterator[None]:
    """
    Turn SQLite's complaints (disk full, corrupt, read-only) into LocalIOError, without its text.

    A complaint that quotes a damaged name is no text at all, and Python fails to read it.
    """
    try:
        yield
    except UnicodeDecodeError:
        raise damaged() from None
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "error")
        raise LocalIOError(f"the store: {_IN_WORDS.get(name, name)}") from None
