"""Write: what was planned goes to the server, is read back, and only then counts as done.

`PENDING` is committed before the request that it is about. A transaction holds whole units (an Observation
with its Provenance); a refused one is halved down to the unit that is to blame. Where an answer is lost the
server's copy decides, never a blind second try (`spec/reliability.md` section 2, I7 to I9, F39, F40).
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import msgspec

from fhir_srs.errors import AccessRefused, Conflict, ServerRefused, TransportTransient
from fhir_srs.fhir.answers import Copy, decipher_copies, decipher_copy, decipher_written
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import bundle_request, put_entry, read_entry, read_request
from fhir_srs.progress import Report
from fhir_srs.results.canonical import canonical_hash
from fhir_srs.store import OutboxState, Sent, Store
from fhir_srs.store.failpoints import passing

_ENTRIES = 50  # a transaction (section 2); bigger ones time out (H25)
_READS = 100  # reads in one batch: hapi.md, rates
_TRIES = 5  # F39
_LOG = logging.getLogger("fhir_srs.sync.write")
UNDONE: frozenset[OutboxState] = frozenset({"FAILED", "UNKNOWN"})  # refused, and nobody knows

Kind = Literal["create", "update", "retract"]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """
    One unit to send. *version* is what the server's copy must still be; the hashes are canonical.

    *desired_core* is that of the elements that no server may change. *before* is the line of the outbox at
    the start of the run: its `stored_sha` tells our last copy from another's edit.
    """

    kind: Kind
    reference: str
    group: str
    resource: bytes
    version: str | None = None
    provenance_reference: str | None = None
    provenance: bytes | None = None
    desired_sha: str
    desired_core: str
    provenance_sha: str | None = None
    before: Sent | None = None

    @property
    def entries(self) -> int:
        """How many entries of a transaction it takes."""
        return 1 if self.provenance is None else 2


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one item."""

    item: Item
    line: Sent

    @property
    def state(self) -> OutboxState:
        """How the outbox has it."""
        return self.line.state


class Writer:
    """
    Sends items to the target server and keeps the outbox of *store* true.

    *noted* is told what became of items before the outbox is. Items that *passes* refuses are counted in
    `refused`, and neither sent nor noted; those that were not begun any more are counted in `unsent`. Raises
    AccessRefused (77) at once: nothing further would be let through either.
    """

    def __init__(
        self,
        client: FhirClient,
        store: Store,
        *,
        report: Report,
        stop: Callable[[], bool],
        passes: Callable[[Item], bool] = lambda _: True,
        noted: Callable[[Iterable[Outcome]], None] = lambda _: None,
    ) -> None:
        self._client, self._store, self._report, self._stop = client, store, report, stop
        self._passes, self._noted = passes, noted
        self._prospects = _Prospects()
        self.refused = self.unsent = 0

    def write(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """
        The outcome of each of *items*, in their order, as they become known; they are taken as they are sent.

        A Device and a Group, which come first, are sent before the results that refer to them, and the first
        results alone: a server that refuses everything is found out by them. The rest goes over as many
        connections as the client may use, the next transaction made ready meanwhile.
        """
        under_way: deque[Future[list[Outcome]]] = deque()
        groups = transactions(filter(self._fits, items))
        with ThreadPoolExecutor(self._client.limits.connections) as threads:
            for group in groups:
                room = self._client.limits.connections if self._prospects.results else 0
                while len(under_way) > room:
                    yield from self._take(under_way.popleft())
                if self._stop() or self._prospects.hopeless:
                    self.unsent += len(group)
                    break
                self._store.post(self._line(item, "PENDING") for item in group)
                under_way.append(threads.submit(self._send, group, tries=_TRIES))
            while under_way:
                yield from self._take(under_way.popleft())
        if self._prospects.hopeless and not self._stop():
            self.unsent += sum(map(len, groups))

    def _fits(self, item: Item) -> bool:
        fits = self._passes(item)
        self.refused += not fits
        return fits

    def _take(self, sent: "Future[list[Outcome]]") -> list[Outcome]:
        found = sent.result()
        passing("before-confirm")
        self._noted(found)
        self._store.post(one.line for one in found)
        self._prospects.add(found)
        self._report("write", self._prospects.number)
        return found

    def _send(self, group: Sequence[Item], *, tries: int) -> list[Outcome]:
        passing("before-send")
        try:
            self._client.send_once(bundle_request("transaction", list(_entries(group))), _written(group))
            passing("after-send")
        except AccessRefused:
            raise
        except (Conflict, ServerRefused) as error:
            if len(group) > 1:
                return self._halves(group, tries=tries)
            return [self._refused(group[0], error, tries=tries)]
        except TransportTransient as error:
            _LOG.warning("reading back: %s", error)
            return self._read_back(group, tries=tries)
        return [self._confirmed(item, copy) for item, copy in self._copies_of(group)]

    def _halves(self, group: Sequence[Item], *, tries: int) -> list[Outcome]:
        middle = len(group) // 2
        return self._send(group[:middle], tries=tries) + self._send(group[middle:], tries=tries)

    def _refused(self, item: Item, error: Exception, *, tries: int) -> Outcome:
        if isinstance(error, ServerRefused):
            _LOG.warning("refused: %s", error)
            return self._settle(item, "FAILED")
        return self._raced(item, tries=tries)

    def _raced(self, item: Item, *, tries: int) -> Outcome:
        """After 409 or 412: the copy there now decides (F39)."""
        (_, copy), *_ = self._copies_of([item])
        if arrived(item, copy):
            return self._confirmed(item, copy)
        mine = item.before
        ours = copy.state == "absent" or (
            copy.body is not None and mine is not None and canonical_hash(copy.body) == mine.stored_sha
        )
        if ours and tries > 1:
            return self._send([msgspec.structs.replace(item, version=copy.version)], tries=tries - 1)[0]
        return self._settle(item, "CONFLICT", copy)

    def _read_back(self, group: Sequence[Item], *, tries: int) -> list[Outcome]:
        """After a lost answer: what is stored is confirmed, what is not goes again, in halves (I9, H25)."""
        self._store.post(self._line(item, "UNKNOWN") for item in group)
        outcomes, missing = [], []
        for item, copy in self._copies_of(group):
            if arrived(item, copy):
                outcomes.append(self._confirmed(item, copy))
            elif copy.state == "absent" or copy.version == item.version:
                missing.append(item)
            else:
                outcomes.append(self._settle(item, "CONFLICT", copy))
        if missing and tries <= 1:
            # One that was sent may still be stored: the next run looks (I9).
            return outcomes + [self._settle(item, "UNKNOWN") for item in missing]
        for part in _parts(missing):
            outcomes += self._send(part, tries=tries - 1)
        return outcomes

    def _confirmed(self, item: Item, copy: Copy) -> Outcome:
        """CONFIRMED if the server holds what was sent (F40), with the hash of its copy."""
        return self._settle(item, "CONFIRMED" if self._holds(item, copy) else "FAILED", copy)

    def _holds(self, item: Item, copy: Copy) -> bool:
        """
        Whether *copy* is what *item* sent, as far as a server may not change it.

        One that is still the version before is so only in full, or if it already was what became of the same.
        """
        if copy.body is None:
            return False
        sha, mine = canonical_hash(copy.body), item.before
        same = mine is not None and (mine.confirmed_sha, mine.stored_sha) == (item.desired_sha, sha)
        moved = copy.version is None or copy.version != item.version
        return same or (_is_stored(item, copy) if moved else sha == item.desired_sha)

    def _settle(self, item: Item, state: OutboxState, copy: Copy | None = None) -> Outcome:
        line = self._line(item, state)
        if state == "CONFIRMED" and copy is not None and copy.body is not None:
            line = confirmed(line, copy.body, copy.version)
        return Outcome(item=item, line=line)

    def _line(self, item: Item, state: OutboxState) -> Sent:
        known = item.before
        return Sent(
            key=item.reference,
            id=item.reference.partition("/")[2],
            group=item.group,
            desired_sha=item.desired_sha,
            provenance_sha=item.provenance_sha,
            confirmed_sha=known.confirmed_sha if known else None,
            confirmed_provenance=known.confirmed_provenance if known else None,
            stored_sha=known.stored_sha if known else None,
            base_version=item.version,
            state=state,
            attempts=(known.attempts if known else 0) + (state in {"UNKNOWN", "FAILED"}),
            seen_version=known.seen_version if known else None,
            retracted=item.kind == "retract",
            desired_core=item.desired_core,
        )

    def _copies_of(self, group: Sequence[Item]) -> list[tuple[Item, Copy]]:
        copies = read_copies(self._client, [item.reference for item in group])
        return [(item, copies[item.reference]) for item in group]


def transactions(items: Iterable[Item]) -> Iterator[list[Item]]:
    """*items* in their order, in groups of at most 50 entries; a unit is never split."""
    group: list[Item] = []
    size = 0
    for item in items:
        if group and size + item.entries > _ENTRIES:
            yield group
            group, size = [], 0
        group.append(item)
        size += item.entries
    if group:
        yield group


class _Prospects:
    """What became of the items so far, as far as it tells whether going on is of use."""

    def __init__(self) -> None:
        self.number = 0
        self.results = False
        self._missing, self._done = False, False

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Take *outcomes* into account."""
        for one in outcomes:
            undone = one.state in UNDONE
            self.number += 1
            self.results = self.results or _is_result(one.item)
            self._missing = self._missing or (undone and not self.results)
            self._done = self._done or not undone

    @property
    def hopeless(self) -> bool:
        """Whether a Device or Group that results refer to is missing, or nothing was taken so far."""
        return self._missing or (self.number > 0 and not self._done)


def _is_result(item: Item) -> bool:
    """Whether *item* is none that others refer to (a Device, a Group)."""
    return item.reference.startswith("Observation/")


def confirmed(line: Sent, body: bytes, version: str | None) -> Sent:
    """*line* once the server was seen to hold what it means, as *body* in *version*."""
    return msgspec.structs.replace(
        line,
        state="CONFIRMED",
        confirmed_sha=line.desired_sha,
        confirmed_provenance=line.provenance_sha,
        stored_sha=canonical_hash(body),
        base_version=version,
        seen_version=version,
    )


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    middle = (len(items) + 1) // 2
    yield from (part for part in (items[:middle], items[middle:]) if part)


def _entries(group: Iterable[Item]) -> Iterator[dict[str, Any]]:
    for item in group:
        yield put_entry(item.reference, item.resource, if_match=item.version)
        if item.provenance is not None and item.provenance_reference is not None:
            yield put_entry(item.provenance_reference, item.provenance)


def _written(group: Sequence[Item]) -> Callable[[Any, str], object]:
    entries = sum(item.entries for item in group)
    return lambda answer, route: decipher_written(answer, route, entries)


def read_copies(
    client: FhirClient, references: Sequence[str], *, one_by_one: bool = False
) -> dict[str, Copy]:
    """
    What the server has under each of *references*, by reads, never by a search: those may be stale.

    In batches, or *one_by_one*, which a dry run does, since a batch is a POST to the base.
    """
    if one_by_one:
        return {name: client.ask(read_request(*name.split("/", 1)), decipher_copy) for name in references}
    copies: dict[str, Copy] = {}
    for start in range(0, len(references), _READS):
        names = references[start : start + _READS]
        request = bundle_request("batch", [read_entry(name) for name in names])
        found = client.ask(request, partial(decipher_copies, wanted=len(names)))
        copies |= dict(zip(names, found, strict=True))
    return copies


# F40: a server that says 200 and kept something else is found out by these; the rest it may normalise.
_CORE = ("resourceType", "subject", "code", "status", "dataAbsentReason")


def _is_stored(item: Item, copy: Copy) -> bool:
    """Whether *copy* is what *item* sent, as far as a server may not change it."""
    if copy.body is None:
        return False
    if canonical_hash(copy.body) == item.desired_sha:
        return True
    return core_hash(copy.body) == item.desired_core


def arrived(item: Item, copy: Copy) -> bool:
    """
    Whether *copy* shows that a write of *item* with a lost answer was done.

    Equal in full, or equal in meaning and no longer the version that was to be replaced: a component
    alone may have changed.
    """
    if copy.body is not None and canonical_hash(copy.body) == item.desired_sha:
        return True
    return copy.version != item.version and _is_stored(item, copy)


def landed(line: Sent, copy: Copy) -> bool:
    """
    Whether *copy* shows that the pending write of *line* was done before the last run ended.

    A new version that does not mean what was sent is somebody else's.
    """
    if copy.body is None:
        return False
    if canonical_hash(copy.body) == line.desired_sha:
        return True
    if copy.version == line.base_version:
        return False
    # A line of schema 2 does not tell: then a new version is taken for ours.
    return line.desired_core is None or core_hash(copy.body) == line.desired_core


def core_hash(resource: bytes) -> str:
    """The hash of the elements of *resource* that carry its meaning, with the digits of its numbers."""
    content = msgspec.json.decode(resource, type=dict[str, msgspec.Raw])
    kept = {name: raw for name, raw in content.items() if name in _CORE or name.startswith("value")}
    return canonical_hash(msgspec.json.encode(kept))
