"""Secrets from files that nobody else can read (A13). Never from environment or argv, never in a message."""

import os
import stat
from pathlib import Path

from fhir_srs.errors import ConfigurationError

_LONGEST = 65_536
# Where systemd puts what LoadCredential= names; root alone can make folders there. systemd gives the service
# its files by an ACL (owner root, mode 0440) or by ownership, as the file system allows.
_CREDENTIALS = Path("/run/credentials")


def read_secret(path: Path, what: str) -> str:
    """The text of *path*: a plain file of ours, mode 0400 or 0600, no symlink; else ConfigurationError.

    A credential of systemd (`LoadCredential=`) may belong to root. *what* names the file in the message, such
    as `token file`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(what, [f"cannot be opened ({error.strerror})"]) from None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        from_systemd = path.parent.parent == _CREDENTIALS
        problem = problem_of(os.fstat(file.fileno()), user=os.getuid(), from_systemd=from_systemd)
        text = "" if problem else file.read(_LONGEST + 1)
    if problem:
        raise ConfigurationError(what, [problem])
    if len(text) > _LONGEST:
        raise ConfigurationError(what, ["is too large"])
    return text


def problem_of(found: os.stat_result, *, user: int, from_systemd: bool) -> str | None:
    """Why a file must not be trusted with a secret of *user*, or None."""
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    if from_systemd and found.st_uid == 0 and mode in {0o400, 0o440}:
        return None
    if found.st_uid != user:
        return "belongs to somebody else"
    if mode not in {0o400, 0o600}:
        return "must have mode 0400 or 0600"
    return None
