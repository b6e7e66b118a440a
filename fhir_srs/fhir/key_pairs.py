"""New key pairs for SMART Backend Services, and the public keys of files that hold them (A1, A14)."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from fhir_srs.errors import ConfigurationError, LocalIOError
from fhir_srs.fhir.keys import load_key
from fhir_srs.fhir.secrets import read_secret

Algorithm = Literal["RS384", "ES384"]
_BITS = 3072  # RS384's strength; SMART asks for 2048 or more
_PUBLIC = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}


def new_key_file(path: Path, algorithm: Algorithm) -> None:
    """A new private key in *path*, as a JWK with its id, mode 0600. LocalIOError where the file is there."""
    found = _private(algorithm)
    named = {"kid": _thumbprint(found), "alg": algorithm, "use": "sig", **found}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(json.dumps(named) + "\n")
    except OSError as error:
        raise LocalIOError(f"key file ({error.strerror})") from None


def public_keys(paths: Iterable[Path]) -> dict[str, Any]:
    """
    The JWKS to register: the public part of the JWK in each of *paths*, and nothing else of it.

    ConfigurationError for a file that others can read, that is no JWK, or whose key is too weak (A1, A13).
    """
    return {"keys": [_public(path) for path in paths]}


def _private(algorithm: Algorithm) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm

    if algorithm == "RS384":
        found = RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=_BITS))
    else:
        found = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()))
    private: dict[str, Any] = json.loads(found)
    return {name: value for name, value in private.items() if name != "key_ops"}


def _thumbprint(found: dict[str, Any]) -> str:
    """The first 16 digits of the key's thumbprint (RFC 7638): two keys never share an id."""
    needed = {name: found[name] for name in sorted(_PUBLIC[found["kty"]])}
    return hashlib.sha256(json.dumps(needed, separators=(",", ":")).encode()).hexdigest()[:16]


def _public(path: Path) -> dict[str, Any]:
    key = load_key(path, None)
    try:
        found = json.loads(read_secret(path, "key file"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("kty") not in _PUBLIC:
        raise ConfigurationError("key file", ["holds no single JWK, as `keys new` writes it"])
    parts = {name: found[name] for name in _PUBLIC[found["kty"]]}
    return {**parts, "kid": key.kid, "alg": key.algorithm, "use": "sig"}
