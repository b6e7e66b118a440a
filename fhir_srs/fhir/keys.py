"""The private keys that sign our assertions: RS384 and ES384, from PEM, JWK or JWKS (A1, A2, A13)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fhir_srs.errors import ConfigurationError
from fhir_srs.fhir.secrets import read_secret

_KEY_FILE = "key file"
_LEAST_BITS = 2048


class SigningKey:
    """A private key, its id in the JWKS that the server knows, and the algorithm that goes with it."""

    def __init__(self, key: Any, kid: str, algorithm: str) -> None:
        self._key = key
        self.kid = kid
        self.algorithm = algorithm

    def __repr__(self) -> str:
        return "SigningKey(...)"

    def signed(self, claims: Mapping[str, Any]) -> str:
        """*claims* as a signed JWT."""
        import jwt

        return jwt.encode(
            dict(claims), self._key, algorithm=self.algorithm, headers={"kid": self.kid, "typ": "JWT"}
        )


def load_key(path: Path, kid: str | None) -> SigningKey:
    """
    The private key in *path*: PEM, which needs *kid*; a JWK; or the JWK with that *kid* of a JWKS.

    ConfigurationError for any other file, RSA under 2048 bits, a curve other than P-384, a public key.
    """
    text = read_secret(path, _KEY_FILE)
    if text.lstrip().startswith("{"):
        chosen = _chosen(_parsed(text), kid)
        return _checked(_from_jwk(chosen), str(chosen.get("kid") or kid or ""))
    return _checked(_from_pem(text), kid or "")


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise ConfigurationError(_KEY_FILE, ["is neither PEM nor a JWK"]) from None
    return found if isinstance(found, dict) else {}


def _chosen(found: Mapping[str, Any], kid: str | None) -> Mapping[str, Any]:
    """The one key of a JWK, or of a JWKS the one with that *kid*."""
    if not isinstance(found.get("keys"), list):
        return found
    keys = [one for one in found["keys"] if isinstance(one, dict) and "d" in one]
    fitting = [one for one in keys if kid in (None, one.get("kid"))]
    if len(fitting) != 1:
        raise ConfigurationError(_KEY_FILE, ["key_id must name one private key of the set"])
    return fitting[0]


def _from_jwk(found: Mapping[str, Any]) -> Any:
    import jwt

    if "d" not in found:
        raise ConfigurationError(_KEY_FILE, ["holds no private key"])
    try:
        return jwt.PyJWK(dict(found), algorithm="ES384" if found.get("kty") == "EC" else "RS384").key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise ConfigurationError(_KEY_FILE, ["holds no RSA or P-384 key"]) from None


def _from_pem(text: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(
            _KEY_FILE, ["is neither a PEM private key without password nor a JWK"]
        ) from None


def _checked(key: Any, kid: str) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not kid:
        raise ConfigurationError("key_id", ["is needed: the server looks the key up by it"])
    if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_BITS:
        return SigningKey(key, kid, "RS384")
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP384R1):
        return SigningKey(key, kid, "ES384")
    raise ConfigurationError(_KEY_FILE, ["must hold an RSA key of 2048 bits or more, or an EC key on P-384"])
