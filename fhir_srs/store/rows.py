"""What goes into the store and comes out of it: one frozen value for each kind of line."""

from typing import Literal

import msgspec

OutboxState = Literal["PENDING", "UNKNOWN", "CONFIRMED", "FAILED", "CONFLICT", "EXTERNALLY_DELETED"]
# doubtful: stamp and version disagree on which copy is the newer; only a read can tell.
Change = Literal["new", "changed", "same", "older", "doubtful", "withdrawn"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One resource as stored; *last_updated* is in UTC, so that text order is time order.

    *patient* is whose it is (`Patient/x`), None for what belongs to nobody.
    """

    type: str
    id: str
    version: str | None
    last_updated: str | None
    payload: bytes
    patient: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Type and id."""
        return self.type, self.id


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """
    One resource that could not be read (I13): where it is and why, never what it holds.

    *last_updated* orders it among the copies that could be read; it is not kept.
    """

    type: str
    id: str
    version: str
    reason: str
    path: str | None = None
    patient: str | None = None
    first_seen: str = ""
    attempts: int = 1
    last_updated: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Type and id."""
        return self.type, self.id

    @property
    def has_id(self) -> bool:
        """Whether *id* is one on the server, and not the place where something without an id stood."""
        return not self.id.startswith("?")


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """
    Up to when one type is complete, by the server's clock.

    *resume_at* is earlier, and what the next run asks from, while that clock is behind where it once was.
    """

    type: str
    watermark: str
    lag: int
    mode: str
    resume_at: str | None = None

    @property
    def since(self) -> str:
        """From when the next run asks."""
        return self.resume_at or self.watermark


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run as the store remembers it; *summary* is its JSON, *status* None if it never ended."""

    run: str
    started: str
    finished: str | None
    status: str | None
    summary: bytes | None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the outbox: what we mean to have on the server under *key* (`Observation/srs-...`).

    *desired_sha* and *provenance_sha* are what is meant, *confirmed_sha* and *confirmed_provenance* what was
    last seen to be stored, *stored_sha* the server's own copy of that. *base_version* is the version that
    the copy had before a pending write, or has after a confirmed one. *desired_core* is the hash of what no
    server may change of it: by it a write is known whose answer was never heard.
    """

    key: str
    id: str
    group: str = ""
    desired_sha: str
    provenance_sha: str | None = None
    confirmed_sha: str | None = None
    confirmed_provenance: str | None = None
    stored_sha: str | None = None
    base_version: str | None = None
    state: OutboxState
    attempts: int = 0
    seen_version: str | None = None
    retracted: bool = False
    desired_core: str | None = None
