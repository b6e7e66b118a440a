"""How a client shows who it is: a token, a name and password, or SMART Backend Services.

SMART Backend Services (https://hl7.org/fhir/smart-app-launch/backend-services.html) trades an assertion,
signed with our key, for a token that lives some minutes; rows A1 to A13 of `spec/reliability.md` section 3.
Credentials never show in a repr, and never leave for another origin than those allowed.
"""

import base64
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlencode

import msgspec

from fhir_srs.errors import AccessRefused, ConfigurationError, ProtocolViolation, TransportTransient
from fhir_srs.fhir.answers import TRANSIENT, Answer, Unreadable, refusal
from fhir_srs.fhir.keys import SigningKey
from fhir_srs.fhir.sansio import Origin, Request, guarded
from fhir_srs.fhir.token import TOKEN

Send: TypeAlias = Callable[[Request, str], Answer]

_ASSERTION_SECONDS = 240  # A3; SMART allows 300
_DEFAULT_SECONDS = 300  # A6, where the answer has no expires_in
_LONGEST_SECONDS = 86_400  # a token that claims more is renewed daily all the same
_LEAST_LEFT, _SHARE_LEFT = 30.0, 0.2  # A6
_LARGEST_ANSWER = 64 * 1024  # A5
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# RFC 6749 section 5.2: what an error may be called. Nothing else of an answer is ever repeated.
_ERRORS = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    )
)
# https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html; what version 1 stands for.
_SCOPE = re.compile(r"system/([A-Za-z]+|\*)\.(c?r?u?d?s?|read|write|\*)(?:\?.*)?")
_VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}


class Credentials(Protocol):
    """What goes into the Authorization header. *send* asks a server without it."""

    def authorization(self, send: Send) -> str:
        """The header's value, asked for and renewed where that is due."""

    def renew(self, refused: str) -> bool:
        """Whether another header than the *refused* one can be had by asking again."""

    def missing(self, types: Iterable[str], letters: str) -> list[str]:
        """The scopes, of *letters* (`rs`, `cu`) on *types*, that were not granted, as far as that is said."""


class Bearer:
    """A token that an operator put into a file."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def authorization(self, send: Send) -> str:  # noqa: ARG002
        """The token."""
        return self._header

    def renew(self, refused: str) -> bool:  # noqa: ARG002
        """Never: there is one token."""
        return False

    def missing(self, types: Iterable[str], letters: str) -> list[str]:  # noqa: ARG002
        """Nothing: such credentials do not say what they are good for."""
        return []


class Basic(Bearer):
    """A user name and a password (RFC 7617)."""

    def __init__(self, user: str, password: str) -> None:
        if ":" in user:
            raise ConfigurationError("user", ["must not hold a colon (RFC 7617)"])
        self._header = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """
    How we are registered. *token_url*: pinned, or None to be discovered.

    *reads* and *writes* are types to ask scopes for, *wishes* those to read that need not be granted.
    """

    client_id: str
    key: SigningKey
    base: str
    token_url: str | None = None
    allowed: frozenset[Origin] = frozenset()
    reads: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Client(...)"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token in memory, and when by *now* it must be renewed."""

    header: str
    renew_at: float
    scopes: tuple[str, ...] | None

    def __repr__(self) -> str:
        return "Token(...)"


class BackendServices:
    """SMART Backend Services. *now* is the time in epoch seconds, *jti* gives a new id at each call."""

    def __init__(self, client: Client, *, now: Callable[[], float], jti: Callable[[], str]) -> None:
        self._client = client
        self._now, self._jti = now, jti
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._configuration: Mapping[str, Any] | None = None

    def authorization(self, send: Send) -> str:
        """The header with a token that has some life left. One thread asks for it, the others wait (A6)."""
        with self._lock:
            if self._token is None or self._now() >= self._token.renew_at:
                self._token = self._obtain(send, again=self._token is not None)
            return self._token.header

    def renew(self, refused: str) -> bool:
        """True: a token that the server refuses is dropped, and the next request asks for another (A10)."""
        with self._lock:
            if self._token is not None and self._token.header == refused:
                self._token = None
        return True

    def missing(self, types: Iterable[str], letters: str) -> list[str]:
        """The scopes, of *letters* (`rs`, `cu`) on *types*, that the last token does not have (A7)."""
        granted = self._token.scopes if self._token else None
        return [] if granted is None else list(lacking(granted, types, letters))

    def _obtain(self, send: Send, *, again: bool) -> Token:
        try:
            token = self._ask(send)
        except AccessRefused:
            # A bare 400 on re-authorisation may be a flake of the server (A11).
            if not again:
                raise
            token = self._ask(send)
        lost = list(lacking(token.scopes, self._client.reads, "rs")) if token.scopes is not None else []
        if lost:
            raise AccessRefused(f"the token lacks {', '.join(lost)}")
        return token

    def _ask(self, send: Send) -> Token:
        url, scopes = self._token_url(send), self._scopes(send)
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(scopes),
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(url),
        }
        request = Request(
            method="POST",
            address=url,
            route="POST token",
            headers=(("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")),
            body=urlencode(form).encode("ascii"),
        )
        return _read_token(send(request, url), self._now())

    def _assertion(self, url: str) -> str:
        """A new assertion for each attempt (A3)."""
        now = int(self._now())
        claims = {
            "iss": self._client.client_id,
            "sub": self._client.client_id,
            "aud": url,
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
            "jti": self._jti(),
        }
        return self._client.key.signed(claims)

    def _token_url(self, send: Send) -> str:
        if self._client.token_url is not None:
            return self._client.token_url
        found = self._discovered(send).get("token_endpoint")
        if not isinstance(found, str):
            raise ProtocolViolation("GET smart-configuration: names no token endpoint")
        return guarded(found, base=self._client.base, allowed=self._client.allowed)

    def _scopes(self, send: Send) -> list[str]:
        """`system/T.rs` for what is read, `.cu` for what is written; version 1 where 2 is not known (A12)."""
        second = True
        if self._client.token_url is None:
            known = self._discovered(send).get("capabilities")
            second = not isinstance(known, list) or "permission-v2" in known
        read, write = ("rs", "cu") if second else ("read", "write")
        reads = [f"system/{one}.{read}" for one in (*self._client.reads, *self._client.wishes)]
        return [*reads, *(f"system/{one}.{write}" for one in self._client.writes)]

    def _discovered(self, send: Send) -> Mapping[str, Any]:
        if self._configuration is None:
            url = f"{self._client.base}/.well-known/smart-configuration"
            request = Request(
                method="GET",
                address=url,
                route="GET smart-configuration",
                headers=(("Accept", "application/json"),),
            )
            found = _object(send(request, url), request.route)
            offered = found.get("token_endpoint_auth_signing_alg_values_supported")
            if isinstance(offered, list) and self._client.key.algorithm not in offered:
                raise ConfigurationError(
                    "key file", [f"the server does not take {self._client.key.algorithm}"]
                )
            self._configuration = found
        return self._configuration


def lacking(granted: Collection[str], types: Iterable[str], letters: str) -> Iterator[str]:
    """The scopes `system/T.letters` for *types* that *granted* does not cover.

    >>> list(lacking(["system/*.read"], ["Observation"], "cu"))
    ['system/Observation.cu']
    """
    may: dict[str, set[str]] = {}
    for scope in granted:
        match = _SCOPE.fullmatch(scope)
        # A scope with a query is a part of the type only: it covers nothing that we need whole.
        if match and "?" not in scope:
            may.setdefault(match[1], set()).update(_VERSION_1.get(match[2], match[2]))
    for one in types:
        if not set(letters) <= may.get(one, set()) | may.get("*", set()):
            yield f"system/{one}.{letters}"


def _read_token(answer: Answer, now: float) -> Token:
    """The token in *answer*; nothing of it is repeated in an exception (F25)."""
    _check_passing(answer, "POST token")
    if answer.status not in {200, 201}:
        raise AccessRefused(f"POST token: {_error(answer)}", status=answer.status)
    found = _object(answer, "POST token")
    token, kind = found.get("access_token"), found.get("token_type")
    if not isinstance(token, str) or TOKEN.fullmatch(token) is None:
        raise ProtocolViolation("POST token: the answer holds no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ProtocolViolation("POST token: the token is no bearer token")
    seconds = _lifetime(found.get("expires_in", _DEFAULT_SECONDS))
    scope = found.get("scope")
    return Token(
        header=f"Bearer {token}",
        renew_at=now + seconds - max(_LEAST_LEFT, _SHARE_LEFT * seconds),
        scopes=tuple(scope.split()) if isinstance(scope, str) else None,
    )


def _lifetime(said: object) -> float:
    """Seconds; some servers send them as text (F25)."""
    text = said.strip() if isinstance(said, str) else said
    number = (
        float(text) if isinstance(text, (int, float)) or (isinstance(text, str) and text.isdecimal()) else 0.0
    )
    if isinstance(said, bool) or not number > 0:
        raise ProtocolViolation("POST token: expires_in is no time")
    return min(number, _LONGEST_SECONDS)


def _error(answer: Answer) -> str:
    try:
        found = _object(answer, "POST token").get("error")
    except (ProtocolViolation, Unreadable):
        found = None
    return found if isinstance(found, str) and found in _ERRORS else "refused"


def _object(answer: Answer, route: str) -> Mapping[str, Any]:
    _check_passing(answer, route)
    if len(answer.body) > _LARGEST_ANSWER:
        raise ProtocolViolation(f"{route}: the answer is larger than allowed")
    if answer.headers.get("content-type", "").lower().startswith("text/html"):
        raise ProtocolViolation(f"{route}: HTML instead of JSON; a login page?")
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable(f"{route}: the answer is no JSON") from None
    if not isinstance(found, dict):
        raise Unreadable(f"{route}: the answer is no JSON object")
    return found


def _check_passing(answer: Answer, route: str) -> None:
    """Nothing, or what is raised for an answer that may be another one in a while (F1 to F3, F41)."""
    if answer.status in TRANSIENT:
        raise refusal(answer, route)
    if answer.status >= 500:
        raise TransportTransient(f"{route}: not now", status=answer.status)
