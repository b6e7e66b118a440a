"""A static bearer token from a file that nobody else can read (A13). Never from environment or argv."""

import os
import re
import stat
from pathlib import Path

from fhir_srs.errors import ConfigurationError

# RFC 6750 section 2.1, b68token: no space, no line break, so that nothing else enters the header.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]{1,8192}=*")


def load_token(path: Path) -> str:
    """The token in *path*: a plain file of ours, mode 0400 or 0600, no symlink; else ConfigurationError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError("token file", [f"cannot be opened ({error.strerror})"]) from None
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        problem = _problem(os.fstat(file.fileno()))
        token = "" if problem else file.read(16_384).strip()
    if problem:
        raise ConfigurationError("token file", [problem])
    if _TOKEN.fullmatch(token) is None:
        raise ConfigurationError("token file", ["does not hold one bearer token"])
    return token


def _problem(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    if found.st_uid != os.getuid():
        return "belongs to somebody else"
    if stat.S_IMODE(found.st_mode) not in {0o400, 0o600}:
        return "must have mode 0400 or 0600"
    return None
