"""The state folder: ours alone, locked for one writer, its files private from their first byte."""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fhir_srs.errors import Busy, ConfigurationError, LocalIOError


@contextmanager
def state_folder(folder: Path) -> Iterator[Path]:
    """
    Give *folder*, made or checked to be ours and 0700, and locked for us alone; Busy if it is taken.

    The lock is the kernel's (`flock`): it ends with the process, however that ends (I15).
    """
    secure_folder(folder)
    descriptor = open_private(folder / "state.lock")
    with closing(os.fdopen(descriptor, "wb")):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another run holds the state folder") from None
        yield folder


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


@contextmanager
def local_errors() -> Iterator[None]:
    """Turn SQLite's complaints (disk full, corrupt, read-only) into LocalIOError, without its text."""
    try:
        yield
    except sqlite3.Error as error:
        raise LocalIOError(f"the store: {getattr(error, 'sqlite_errorname', 'error')}") from None
