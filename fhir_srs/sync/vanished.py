"""What is no longer on the server: hints from the history and the census, a confirming read, the brake.

Absence proves nothing (`spec/reliability.md`, idea 3): a hint is a DELETE entry of `_history`, or an id that
two walks of the census did not find. Then each is read: 410 is a tombstone, 404 has vanished, 200 is a hole
in the index and is taken in. More than max(5, 2 %) of a type gone stop the run (I11).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from fhir_srs.errors import DataError
from fhir_srs.fhir.answers import Answer, Copy, check, decode, parse_etag
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Request, Search, instant
from fhir_srs.results.plan import Brake
from fhir_srs.sync.walk import PAGES, Incomplete, Walker
from fhir_srs.sync.write import read_copies

Key = tuple[str, str]
_HEADERS = (("Accept", "application/fhir+json"), ("Cache-Control", "no-cache"))


class Braked(DataError):
    """More is gone, or would be withdrawn, than the brake allows (I11): an operator has to say so."""


class _Past(msgspec.Struct, frozen=True):
    """One entry of a history, as far as a deletion shows in it."""

    request: Mapping[str, Any] = {}
    response: Mapping[str, Any] = {}


class _Link(msgspec.Struct, frozen=True):
    relation: str = ""
    url: str = ""


class _History(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str
    type: str | None = None
    link: tuple[_Link, ...] = ()
    entry: tuple[_Past, ...] = ()


def deleted_since(
    client: FhirClient, walker: Walker, resource_type: str, since: datetime, count: int
) -> Iterator[tuple[str, str | None]]:
    """
    Id and version of each DELETE entry in the history of *resource_type* since *since*.

    A hint, no more: a history can skip and repeat (H9), so it is never counted and never needs to be whole.
    """
    query = urlencode({"_since": instant(since), "_count": count})
    address, visited = f"{resource_type}/_history?{query}", set[str]()
    for _ in range(PAGES):
        walker.check_stop()
        request = Request(
            method="GET", address=address, route=f"GET {resource_type}/_history", headers=_HEADERS
        )
        page = client.ask(request, _decipher_history)
        yield from _deletions(page)
        following = next((one.url for one in page.link if one.relation == "next"), None)
        # HAPI's history may always name a next page (H4): an empty one is the end.
        if following is None or following in visited or not page.entry:
            return
        visited.add(following)
        address = client.followed(following)
    raise Incomplete(f"{resource_type}: the history does not end")


def _decipher_history(answer: Answer, route: str) -> _History:
    check(answer, route)
    page = decode(answer, route, _History)
    if page.resource_type != "Bundle" or page.type != "history":
        raise Incomplete(f"{route}: not a history")
    return page


def _deletions(page: _History) -> Iterator[tuple[str, str | None]]:
    """A DELETE entry has `request.url` `T/id/_history/n` or `T/id`, and `response.etag` (hapi.md 15)."""
    for entry in page.entry:
        url = entry.request.get("url")
        if entry.request.get("method") == "DELETE" and isinstance(url, str):
            parts = url.split("/_history/")
            etag = entry.response.get("etag")
            version = parts[1] if len(parts) > 1 else parse_etag(etag if isinstance(etag, str) else None)
            yield parts[0].rpartition("/")[2], version


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """
    Ids of one type compared: how many are *here*, which are *missing* on the server, which are *unknown*.

    One whose version differs from ours is unknown too: it is to be read.
    """

    here: int = 0
    missing: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()

    def __or__(self, other: "Census") -> "Census":
        """Both together."""
        return Census(
            here=self.here + other.here,
            missing=self.missing | other.missing,
            unknown=self.unknown | other.unknown,
        )


def compare_ids(
    walker: Walker,
    search: Search,
    here: Mapping[str, str | None],
    *,
    strange: Callable[[Collection[str]], Iterable[str]],
) -> Census:
    """
    The ids that *search* finds, against those in the store with their versions.

    *strange* tells which of some (`Type/id`) are not our own results.
    What the first walk does not find is looked for by a second one (section 2, Deletes).
    """
    there = dict(ids_of(walker, search))
    missing = here.keys() - there.keys()
    if missing:
        there |= dict(ids_of(walker, search))
    other = [f"{search.type}/{name}" for name, version in there.items() if here.get(name, "") != version]
    unknown = {key.partition("/")[2] for key in strange(other)}
    missing = here.keys() - there.keys()
    return Census(here=len(here), missing=frozenset(missing), unknown=frozenset(unknown))


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    version_id: str | None = None


class _Named(msgspec.Struct, frozen=True):
    id: str = ""
    meta: _Meta | None = None


def ids_of(walker: Walker, search: Search) -> Iterator[tuple[str, str | None]]:
    """Id and version of each row of *search*, of which nothing else is asked for."""
    for page in walker.proven(search, elements="id,meta"):
        for body in page.resources:
            try:
                found = msgspec.json.decode(body, type=_Named)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            yield found.id, found.meta.version_id if found.meta else None


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """What reads said of the hints: *gone* with the version of the deletion, *bodies* that are there."""

    gone: Mapping[Key, str | None]
    bodies: Mapping[Key, bytes]


def confirm(
    client: FhirClient,
    hints: Mapping[Key, str | None],
    version: Callable[[str, str], str | None],
    *,
    reads_only: bool,
) -> Confirmed:
    """What the server has under each of *hints* (key to the version of the deletion, if that is known)."""
    names = {f"{kind}/{name}": (kind, name) for kind, name in sorted(hints)}
    copies = read_copies(client, list(names), one_by_one=reads_only)
    gone = {
        names[name]: hints[names[name]] or _after(copy, version(*names[name]))
        for name, copy in copies.items()
        if copy.state != "present"
    }
    bodies = {names[name]: copy.body for name, copy in copies.items() if copy.body is not None}
    return Confirmed(gone=gone, bodies=bodies)


def _after(copy: Copy, version: str | None) -> str | None:
    """The version of a deletion that nobody told: the one after ours. What vanished (404) left none."""
    deleted = copy.state == "deleted" and version is not None and version.isdecimal()
    return str(int(version or 0) + 1) if deleted else None


def check_brake(brake: Brake, gone: Iterable[Key], live: Mapping[str, int]) -> None:
    """Nothing, or Braked naming the types of which more is *gone* than *brake* allows."""
    lost: dict[str, int] = {}
    for kind, _ in gone:
        lost[kind] = lost.get(kind, 0) + 1
    over = [
        f"{kind} {number}" for kind, number in sorted(lost.items()) if brake.holds(number, live.get(kind, 0))
    ]
    if over:
        raise Braked(f"more is gone from the server than the brake allows ({', '.join(over)})")
