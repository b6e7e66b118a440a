"""A static bearer token from a file that nobody else can read (A13)."""

import re
from pathlib import Path

from fhir_srs.errors import ConfigurationError
from fhir_srs.fhir.secrets import read_secret

# RFC 6750 section 2.1, b68token: no space, no line break, so that nothing else enters the header.
TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]{1,8192}=*")


def load_token(path: Path) -> str:
    """The token in *path*, alone there but for white space; ConfigurationError for any other file."""
    token = read_secret(path, "token file").strip()
    if TOKEN.fullmatch(token) is None:
        raise ConfigurationError("token file", ["does not hold one bearer token"])
    return token
