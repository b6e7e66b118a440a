"""From the settings to the credentials of one server (`spec/reliability.md` section 3)."""

from collections.abc import Iterable
from uuid import uuid4

from fhir_srs.config import Access
from fhir_srs.fhir.auth import BackendServices, Basic, Bearer, Client, Credentials
from fhir_srs.fhir.keys import load_key
from fhir_srs.fhir.sansio import origin
from fhir_srs.fhir.secrets import read_secret
from fhir_srs.fhir.token import load_token
from fhir_srs.sync.machine import Machine


def credentials(
    access: Access,
    base: str,
    machine: Machine,
    *,
    reads: Iterable[str],
    wishes: Iterable[str],
    writes: Iterable[str],
) -> Credentials | None:
    """
    What goes into the Authorization header for the server at *base*, or None where it needs none.

    With SMART, scopes are asked for these types alone (A12), and all of *reads* must be granted.
    ConfigurationError for a file that is not what it should be.
    """
    if access.token_file is not None:
        return Bearer(load_token(access.token_file))
    if access.password_file is not None:
        return Basic(access.user or "", read_secret(access.password_file, "password file").strip("\r\n"))
    if access.key_file is None:
        return None
    client = Client(
        client_id=access.client_id or "",
        key=load_key(access.key_file, access.key_id),
        base=base,
        token_url=access.token_url,
        allowed=frozenset(map(origin, access.allowed_origins)),
        reads=tuple(sorted(reads)),
        wishes=tuple(sorted(wishes)),
        writes=tuple(sorted(writes)),
    )
    return BackendServices(client, now=lambda: machine.now().timestamp(), jti=lambda: uuid4().hex)
