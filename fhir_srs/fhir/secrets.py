"""Secrets from files that nobody else can read (A13). Never from environment or argv, never in a message."""

import os
import stat
from pathlib import Path

from fhir_srs.errors import ConfigurationError

_LONGEST = 65_536


def read_secret(path: Path, what: str) -> str:
    """The text of *path*: a plain file of ours, mode 0400 or 0600, no symlink; else ConfigurationError.

    *what* names the file in the message, such as `token file`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(what, [f"cannot be opened ({error.strerror})"]) from None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        problem = _problem(os.fstat(file.fileno()))
        text = "" if problem else file.read(_LONGEST + 1)
    if problem:
        raise ConfigurationError(what, [problem])
    if len(text) > _LONGEST:
        raise ConfigurationError(what, ["is too large"])
    return text


def _problem(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    if found.st_uid != os.getuid():
        return "belongs to somebody else"
    if stat.S_IMODE(found.st_mode) not in {0o400, 0o600}:
        return "must have mode 0400 or 0600"
    return None
