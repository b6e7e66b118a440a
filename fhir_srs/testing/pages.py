"""Answers of more than one page, each behind an opaque link that expires."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from fhir_srs.testing.answers import bundle
from fhir_srs.testing.versions import Json, Refusal, Version

Kind = Literal["searchset", "history"]


class Result(NamedTuple):
    """What was found, all of it, and how a row becomes an entry. *total*: say it on the first page."""

    kind: Kind
    rows: Sequence[Version]
    entry: Callable[[Version], Json]
    self_link: str
    size: int
    total: bool
    subsetted: bool


class _Begun:
    __slots__ = ("read_at", "result")

    def __init__(self, result: Result, read_at: datetime) -> None:
        self.result, self.read_at = result, read_at


class Pages:
    """The results that were begun, by the token in their links. An unread one lives for *life*."""

    def __init__(self, clock: Callable[[], datetime], life: timedelta) -> None:
        self._clock, self._life = clock, life
        self._begun: dict[str, _Begun] = {}

    def first(self, base: str, result: Result) -> Json:
        """The first page. It says the total if asked, or if there is no other page (hapi.md row 6)."""
        self._forget_expired()
        whole = len(result.rows) <= result.size
        token = "" if whole else secrets.token_urlsafe(16)
        if not whole:
            self._begun[token] = _Begun(result, self._clock())
        return self._page(base, token, result, 0, total=whole or result.total)

    def further(self, base: str, token: str, offset: str) -> Json:
        """Another page; 410 once it has expired. Reading renews its life (hapi.md row 10)."""
        begun = self._begun.get(token)
        if begun is None or self._expired(begun):
            raise Refusal(410, "expired", "the search does not exist and may have expired")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 10):
            raise Refusal(400, "invalid", "the page link was not made here")
        begun.read_at = self._clock()
        return self._page(base, token, begun.result, int(offset), total=True)

    def _page(self, base: str, token: str, result: Result, offset: int, *, total: bool) -> Json:
        end = offset + result.size
        links = [("self", result.self_link)]
        if end < len(result.rows):
            links.append(("next", _link(base, token, end, result)))
        return bundle(
            result.kind,
            self._clock(),
            links=links,
            entries=[result.entry(row) for row in result.rows[offset:end]],
            total=len(result.rows) if total else None,
            subsetted=result.subsetted,
        )

    def _expired(self, begun: _Begun) -> bool:
        return self._clock() - begun.read_at > self._life

    def _forget_expired(self) -> None:
        self._begun = {token: begun for token, begun in self._begun.items() if not self._expired(begun)}


def _link(base: str, token: str, offset: int, result: Result) -> str:
    query = {
        "_getpages": token,
        "_getpagesoffset": offset,
        "_count": result.size,
        "_bundletype": result.kind,
    }
    return f"{base}?{urlencode(query)}"
