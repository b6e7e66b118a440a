"""Wanted against present: what to create, update, leave or withdraw. Pure; it sends nothing.

The table of `spec/reliability.md` section 2 ("Write"), with the brake of I11 and `decisions.md` 4.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from fhir_srs.results.canonical import canonical_hash
from fhir_srs.results.target import Unit, UnitType

ActionKind = Literal["create", "update", "unchanged", "retract", "externally-deleted", "conflict"]


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """
    The server's answer to a read by id: *gone* is 410; a reference without an entry is 404.

    *sha* is the canonical hash of its copy. *provenance_sha* matters only where the outbox has no line, and
    so does *ours*: whether the copy carries an identifier of the wanted unit, which no other base gives.
    """

    version: str | None = None
    sha: str | None = None
    provenance_sha: str | None = None
    ours: bool = True
    gone: bool = False


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the outbox knows of one unit: the hash sent, the hash of the server's copy after it, both confirmed.

    *provenance_sha* is that of the Provenance as sent; *retracted* marks one already entered in error.
    """

    type: UnitType = "Observation"
    desired_sha: str
    stored_sha: str | None = None
    provenance_sha: str | None = None
    retracted: bool = False


class Brake(msgspec.Struct, frozen=True, kw_only=True):
    """More withdrawals than both figures allow stop the writing; *released* is the operator's flag."""

    number: int = 5
    share: float = 0.02
    released: bool = False

    def holds(self, withdrawals: int, live: int) -> bool:
        """Whether *withdrawals* out of *live* results are too many."""
        return not self.released and withdrawals > max(self.number, self.share * live)


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """
    One decision. *version* is what an update or a retraction must match (`If-Match`).

    *unit* is None for a retraction: `withdrawn` makes it of the copy on the server.
    """

    kind: ActionKind
    reference: str
    unit: Unit | None = None
    version: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All decisions, units in the order given, withdrawals after them. *stopped*: the brake holds."""

    actions: tuple[Action, ...]
    stopped: bool

    def counts(self) -> dict[ActionKind, int]:
        """How many of each kind; a kind that does not occur is absent."""
        return dict(Counter(action.kind for action in self.actions))


def plan_writes(
    wanted: Sequence[Unit],
    present: Mapping[str, Present],
    written: Mapping[str, Written],
    brake: Brake = Brake(),  # noqa: B008 - frozen
) -> Plan:
    """
    What to do so that the server has *wanted* and nothing else of ours.

    *present* and *written* are by reference (`Observation/srs-…`). *written* holds only what may be
    withdrawn: leave out studies that are no longer in the settings, and do not plan at all after an
    incomplete pull. Without a line in *written* (a lost store) our own identifier is trusted: a copy that
    differs is updated. Under our id without it, it is another installation's, and a conflict.
    """
    actions = [_decide(unit, present.get(unit.reference), written.get(unit.reference)) for unit in wanted]
    kept = {unit.reference for unit in wanted}
    live = [name for name, line in written.items() if line.type == "Observation" and not line.retracted]
    gone = [_withdraw(name, present.get(name), written[name]) for name in sorted(live) if name not in kept]
    withdrawals = [action for action in gone if action is not None]
    count = sum(action.kind == "retract" for action in withdrawals)
    return Plan(actions=(*actions, *withdrawals), stopped=brake.holds(count, len(live)))


def _decide(unit: Unit, copy: Present | None, line: Written | None) -> Action:
    if copy is None:
        return _action("create", unit, None)
    if copy.gone:
        return _action("externally-deleted", unit, copy)
    if _equal(unit, copy, line):
        return _action("unchanged", unit, copy)
    if line is None:
        return _action("update" if copy.ours else "conflict", unit, copy)
    foreign = copy.sha not in (line.stored_sha, canonical_hash(unit.resource))
    return _action("conflict" if foreign else "update", unit, copy)


def _action(kind: ActionKind, unit: Unit, copy: Present | None) -> Action:
    return Action(
        kind=kind, reference=unit.reference, unit=unit, version=None if copy is None else copy.version
    )


def _equal(unit: Unit, copy: Present, line: Written | None) -> bool:
    """Their copy is the wanted one, or what theirs became of it, and so is the Provenance."""
    desired = canonical_hash(unit.resource)
    normalised = line is not None and line.desired_sha == desired and line.stored_sha == copy.sha
    return (copy.sha == desired or normalised) and _same_provenance(unit, copy, line)


def _same_provenance(unit: Unit, copy: Present, line: Written | None) -> bool:
    if unit.provenance is None:
        return True
    known = copy.provenance_sha if line is None else line.provenance_sha
    return known == canonical_hash(unit.provenance)


def _withdraw(reference: str, copy: Present | None, line: Written) -> Action | None:
    """The withdrawal of a result that is no longer wanted; None where the server has none any more."""
    if copy is None:
        return None
    if copy.gone:
        return Action(kind="externally-deleted", reference=reference)
    foreign = copy.sha not in (line.stored_sha, line.desired_sha)
    return Action(kind="conflict" if foreign else "retract", reference=reference, version=copy.version)
