"""Searches walked page by page and proven by the server's own count, or the run is incomplete.

The count is taken before the walk; the stop rules are those of F12, F13 and H5 (`spec/reliability.md`
section 2 step 5, sections 5 and 6).
"""

import logging
from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from fhir_srs.errors import DataError, ProtocolViolation
from fhir_srs.fhir.answers import Page, PageExpired, decipher_count, decipher_page
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Request, Search, count_request, next_request, search_request, shows_filters

_TRIES = 3  # walks of one search before the run is incomplete (F12)
PAGES = 10_000  # F13
_STALE_PAGES = 3  # F13: pages in a row without anything new

_LOG = logging.getLogger("fhir_srs.sync.pull")


class Incomplete(DataError):
    """The pull could not prove that it saw everything: nothing may be planned or written."""


class Stopped(DataError):
    """A signal asked the run to end; what was pulled stays, no watermark moved."""


class Seen:
    """
    How many different names came: a search after a first run finds each result of every patient.

    Eight bytes each, their hashes. Two names with one hash would make the count one too small: the search is
    then walked again, and never believed to be complete when it is not.
    """

    def __init__(self) -> None:
        self._sorted: list[npt.NDArray[np.int64]] = []
        self.count = 0

    def add(self, names: Iterable[str]) -> bool:
        """Count *names*; whether there was a new one among them."""
        return self._new(np.unique(np.fromiter(map(hash, names), np.int64)))

    def join(self, other: "Seen") -> None:
        """Count what *other* counted."""
        for names in other._sorted:
            self._new(names)

    def _new(self, new: npt.NDArray[np.int64]) -> bool:
        for known in self._sorted:
            places = np.minimum(np.searchsorted(known, new), len(known) - 1)
            new = new[known[places] != new]
        self.count += len(new)
        if len(new):
            self._keep(new)
        return len(new) > 0

    def _keep(self, new: npt.NDArray[np.int64]) -> None:
        """Few arrays, each at least twice as long as the next: a name is moved but log n times."""
        self._sorted.append(new)
        while len(self._sorted) > 1 and len(self._sorted[-2]) < 2 * len(self._sorted[-1]):
            both = self._sorted.pop(), self._sorted.pop()
            self._sorted.append(np.sort(np.concatenate(both)))


class Walker:
    """
    Walks searches on one server. *name* says what a body is, `Type/id`; *stop* is asked between pages.

    Its methods may run on several threads at once.
    """

    def __init__(self, client: FhirClient, name: Callable[[bytes], str], stop: Callable[[], bool]) -> None:
        self._client, self._name, self._stop = client, name, stop

    def counted(self, search: Search) -> int:
        """How many rows the server says that *search* has; Incomplete if it does not say."""
        expected = self._client.ask(count_request(search), decipher_count)
        if expected is None:
            raise Incomplete(f"{search.type}: the server does not count")
        return expected

    def proven(
        self, search: Search, *, expected: int | None = None, elements: str | None = None
    ) -> Iterator[Page]:
        """
        Pages of *search*, walked again in smaller ones until the server's count is reached (step 5).

        *expected* is that count where it was just asked for. With *elements* (`id,meta`) only those are
        asked for: such resources never go into the store (H26).
        """
        for _ in range(_TRIES):
            if expected is None:
                expected = self.counted(search)
            seen = Seen()
            try:
                if expected:
                    yield from self.pages(search, seen, elements)
            except PageExpired:
                _LOG.info("page expired: %s", search.type)
            else:
                if seen.count >= expected:
                    return
            search, expected = msgspec.structs.replace(search, count=max(search.count // 2, 10)), None
        raise Incomplete(f"{search.type}: fewer resources than the server counts")

    def pages(self, search: Search, seen: Seen, elements: str | None = None) -> Iterator[Page]:
        """
        Page after page by `next`, under the stop rules of F13; *seen* gathers what came.

        Nothing is proven: that is for who knows how many there should be. Raises PageExpired.
        """
        request, visited, stale = _first(search, elements), set[str](), 0
        for _ in range(PAGES):
            self.check_stop()
            page = self._client.ask(request, decipher_page)
            _judge(page, search, first=not visited)
            stale = 0 if seen.add(self._name(body) for body in page.resources) else stale + 1
            seen.add(f"?{search.type}{seen.count}.{n}" for n in range(page.unreadable))
            yield page
            if page.next is None:
                return
            if page.next in visited or stale >= _STALE_PAGES:
                raise Incomplete(f"{search.type}: the pages do not end")
            visited.add(page.next)
            request = next_request(
                search, self._client.followed(page.next), base=self._client.base, allowed=self._client.allowed
            )
        raise Incomplete(f"{search.type}: more pages than allowed")

    def check_stop(self) -> None:
        """Nothing, or Stopped if the run was asked to end."""
        if self._stop():
            raise Stopped("stopped by a signal")


def _first(search: Search, elements: str | None) -> Request:
    request = search_request(search)
    if elements is None:
        return request
    asked = f"&_elements={elements}"
    if request.body is not None:
        return msgspec.structs.replace(request, body=request.body + asked.encode("ascii"))
    return msgspec.structs.replace(request, address=request.address + asked)


def _judge(page: Page, search: Search, *, first: bool) -> None:
    """A further page's `self` is HAPI's own page link, without parameters: only the first shows filters."""
    if page.outcomes:
        raise Incomplete(f"{search.type}: the server reports {', '.join(sorted(set(page.outcomes))[:5])}")
    if first and not shows_filters(page.self_link, search):
        raise ProtocolViolation(f"{search.type}: the server ignores a filter")
