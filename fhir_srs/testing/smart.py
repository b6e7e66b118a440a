"""An authorization server for SMART Backend Services around the test server, stricter than real ones.

https://hl7.org/fhir/smart-app-launch/backend-services.html. Every assertion is verified: signature, audience,
times, and that its `jti` is new; every other request needs a token that was given out and has its scope.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import jwt
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_srs.errors import ConfigurationError
from fhir_srs.testing.server import utc_now

_LONGEST_ASSERTION = 300  # seconds: what SMART allows
_GRANT = "client_credentials"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NEEDED = ["iss", "sub", "aud", "exp", "jti"]
_OPEN = ("/fhir/metadata", "/fhir/.well-known/smart-configuration")
# What a method does to a type.
_LETTERS = {"GET": "rs", "POST": "rs", "PUT": "cu", "DELETE": "d"}


@dataclass(slots=True, kw_only=True)
class Registered:
    """A client that may ask: its public key (a JWK with `kid`), *more* of them, scopes, a token's life."""

    client_id: str
    jwk: dict[str, Any]
    more: list[dict[str, Any]] = field(default_factory=list)
    scopes: str | None = None  # None: whatever it asks for
    seconds: int = 300
    flakes: int = 0  # so many token requests answer a bare 400 (A11)
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: dict[str, tuple[float, str]] = field(default_factory=dict)

    def expire(self) -> None:
        """No token that was given out is good any more."""
        self.tokens.clear()


def registered(client_id: str, jwks: str) -> Registered:
    """A client whose public keys are those of the text *jwks*; ConfigurationError where it holds none."""
    try:
        keys = msgspec.json.decode(jwks, type=dict[str, Any])["keys"]
        first, *more = [one for one in keys if one["kid"] and "d" not in one]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        raise ConfigurationError("JWKS", ["holds no public key with a kid"]) from None
    return Registered(client_id=client_id, jwk=first, more=more)


class SmartAuthority:
    """ASGI middleware: `/token`, the discovery document, and a guard before everything else."""

    def __init__(self, app: ASGIApp, *, client: Registered, clock: Callable[[], datetime] = utc_now) -> None:
        self._app = app
        self._client = client
        self._clock = clock
        self._seen: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is about tokens, and let through who has one."""
        request = Request(scope, receive)
        answer: Response | None
        if request.url.path == "/token" and request.method == "POST":
            answer = self._token((await request.body()).decode(), str(request.url))
        elif request.url.path == _OPEN[1]:
            answer = JSONResponse(_configuration(f"{request.base_url}token"))
        else:
            answer = self._refusal(request)
        await (answer or self._app)(scope, receive, send)

    def _token(self, body: str, url: str) -> Response:
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._client.asked.append(form)
        if self._client.flakes:
            self._client.flakes -= 1
            return Response(status_code=400)
        if form.get("grant_type") != _GRANT or form.get("client_assertion_type") != _ASSERTION:
            return _error("invalid_request")
        if not self._is_ours(form.get("client_assertion", ""), url):
            return _error("invalid_client")
        granted = form.get("scope", "") if self._client.scopes is None else self._client.scopes
        token = secrets.token_urlsafe(24)
        self._client.tokens[token] = self._clock().timestamp() + self._client.seconds, granted
        lasting = {"token_type": "bearer", "expires_in": self._client.seconds, "scope": granted}
        return JSONResponse({"access_token": token, **lasting})

    def _is_ours(self, assertion: str, url: str) -> bool:
        try:
            head = jwt.get_unverified_header(assertion)
            known = {one["kid"]: one for one in (self._client.jwk, *self._client.more)}
            key = jwt.PyJWK(known[head["kid"]], algorithm=head["alg"])
            claims = jwt.decode(
                assertion,
                key,
                algorithms=["RS384", "ES384"],
                audience=url,
                options={"require": _NEEDED, "verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, KeyError):
            return False
        left = claims["exp"] - self._clock().timestamp()
        new = claims["jti"] not in self._seen
        self._seen.add(claims["jti"])
        ours = claims["iss"] == claims["sub"] == self._client.client_id
        return new and ours and head.get("typ") == "JWT" and 0 < left <= _LONGEST_ASSERTION

    def _refusal(self, request: Request) -> Response | None:
        """401 without a good token, 403 without the scope; None lets the request through."""
        if request.url.path in _OPEN:
            return None
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        until, scopes = self._client.tokens.get(token, (0.0, ""))
        if self._clock().timestamp() >= until:
            return Response("token expired", status_code=401, media_type="text/plain")
        kind = request.url.path.removeprefix("/fhir").strip("/").partition("/")[0]
        letters = _LETTERS.get(request.method, "")
        if kind and not kind.startswith("_") and not _allows(scopes, kind, letters):
            return Response(status_code=403)
        return None


def _allows(scopes: str, kind: str, letters: str) -> bool:
    """Whether one of *scopes*, version 2 without a query, is for *kind* and all of *letters*."""
    named = [one.removeprefix("system/").split(".") for one in scopes.split() if one.startswith("system/")]
    return any(name in {kind, "*"} and set(letters) <= set(may) for name, may in named)


def _configuration(token_url: str) -> dict[str, Any]:
    return {
        "token_endpoint": token_url,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "grant_types_supported": [_GRANT],
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    }


def _error(name: str) -> Response:
    return Response(msgspec.json.encode({"error": name}), status_code=400, media_type="application/json")
