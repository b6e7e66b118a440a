"""From wanted results to what is sent: the server's copies, what the outbox knows of them, the plan, items.

A line of the outbox that was pending when the last run ended is settled by the server's copy before
anything is planned (`spec/reliability.md` section 2, I8, I9).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from fhir_srs.fhir.answers import Copy
from fhir_srs.fhir.client import FhirClient
from fhir_srs.results.canonical import canonical_hash
from fhir_srs.results.plan import Action, ActionKind, Plan, Present, Written
from fhir_srs.results.target import ResultTarget, Unit, UnitType
from fhir_srs.results.withdrawal import withdrawn
from fhir_srs.store import OutboxState, Sent
from fhir_srs.sync.write import Item, Kind, confirmed, core_hash, landed, read_copies

_WITHDRAWN = "entered-in-error"
_NO_SOURCE = "the sources no longer support this result"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What plan and write need to know of the server: its copies, and the outbox with nothing pending."""

    copies: Mapping[str, Copy]
    present: Mapping[str, Present]
    written: Mapping[str, Written]
    outbox: Mapping[str, Sent]
    settled: tuple[Sent, ...]


def look(
    client: FhirClient,
    outbox: Mapping[str, Sent],
    wanted: Sequence[Unit],
    *,
    groups: Collection[str],
    one_by_one: bool,
    strays: Collection[str] = (),
    system: str = "",
) -> Known:
    """
    Read the server's copy of everything wanted, and of everything in *groups* that was ever written.

    With *one_by_one* only GET is used (a dry run). *strays* are Observations that the pull took for ours:
    those of *system* and *groups* that the outbox does not know, since it was lost, join it.
    """
    units = {unit.reference: unit for unit in wanted}
    unknown = set(strays) - outbox.keys() - units.keys()
    found = read_copies(client, sorted(unknown), one_by_one=one_by_one)
    joined = {key: line for key in found if (line := _stray(key, found[key], groups, system))}
    outbox = {**outbox, **joined}
    scope = {key: line for key, line in outbox.items() if line.group in groups or key in units}
    copies = read_copies(client, sorted(units.keys() | scope.keys()), one_by_one=one_by_one)
    settled = {key: _settled(line, copies[key]) for key, line in scope.items()}
    new = [key for key, copy in copies.items() if copy.body and key not in settled and key in units]
    provenances = _provenances(client, [units[key] for key in new], one_by_one=one_by_one)
    return Known(
        copies=copies,
        present=dict(_present(copies, provenances, units)),
        written={
            key: _written(line) if line.confirmed_sha else _unheard(line, copies[key])
            for key, line in settled.items()
            if line.confirmed_sha or (key not in units and _may_be_there(line, copies[key]))
        },
        outbox={**outbox, **settled},
        settled=(
            *(line for key, line in settled.items() if line != outbox[key] or key in joined),
            *(
                _adopted(units[key], copies[key])
                for key in new
                if _stands(units[key], copies[key], provenances)
            ),
        ),
    )


def undoubted(line: Sent | None, unit: Unit) -> bool:
    """
    Whether *line* says that the server has *unit*, Provenance and all, and no pull saw another version since.

    A line that was flipped or half written says so of nothing: all must agree with what is wanted now.
    """
    if line is None or line.state != "CONFIRMED" or line.base_version is None:
        return False
    told = canonical_hash(unit.provenance) if unit.provenance else None
    return (
        line.base_version == line.seen_version
        and line.confirmed_provenance == told
        and line.confirmed_sha == line.desired_sha == canonical_hash(unit.resource)
    )


class _Method(msgspec.Struct, frozen=True):
    text: str = ""


class _Identifier(msgspec.Struct, frozen=True):
    system: str = ""
    value: str = ""


class _Result(msgspec.Struct, frozen=True):
    """A result of ours as far as it says which it is."""

    id: str = ""
    status: str = ""
    method: _Method = _Method()
    identifier: tuple[_Identifier, ...] = ()


def _stray(key: str, copy: Copy, groups: Collection[str], system: str) -> Sent | None:
    """The line for a live result that we wrote before the outbox was lost; None for anything else."""
    if copy.body is None:
        return None
    try:
        result = msgspec.json.decode(copy.body, type=_Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    named = {group.replace("|", " "): group for group in groups}
    group = named.get(result.method.text.partition(":")[0])
    ours = any(one.system == system and one.value == result.id for one in result.identifier)
    if group is None or not ours or result.status == _WITHDRAWN:
        return None
    sha = canonical_hash(copy.body)
    line = Sent(key=key, id=result.id, group=group, desired_sha=sha, state="PENDING")
    return confirmed(line, copy.body, copy.version)


def _stands(unit: Unit, copy: Copy, provenances: Mapping[str, str]) -> bool:
    """Whether the server already has *unit*, Provenance and all, though no line of the outbox says so."""
    told = canonical_hash(unit.provenance) if unit.provenance else None
    same = copy.body is not None and canonical_hash(copy.body) == canonical_hash(unit.resource)
    return same and provenances.get(unit.reference) == told


def _adopted(unit: Unit, copy: Copy) -> Sent:
    """The line for *unit*, found on the server after the store was lost: it is ours to withdraw again."""
    line = Sent(
        key=unit.reference,
        id=unit.id,
        group=unit.group,
        desired_sha=canonical_hash(unit.resource),
        provenance_sha=canonical_hash(unit.provenance) if unit.provenance else None,
        state="PENDING",
    )
    return confirmed(line, copy.body or b"{}", copy.version)


def _settled(line: Sent, copy: Copy) -> Sent:
    """*line* as it must be, given *copy*: done, or not done."""
    if copy.body is None and line.confirmed_sha:
        return msgspec.structs.replace(line, confirmed_sha=None, confirmed_provenance=None, stored_sha=None)
    if line.state not in {"PENDING", "UNKNOWN"} or copy.body is None:
        return line
    if landed(line, copy):
        return confirmed(line, copy.body, copy.version)
    return line


def _written(line: Sent) -> Written:
    return Written(
        type=_kind(line),
        desired_sha=line.confirmed_sha or "",
        stored_sha=line.stored_sha,
        provenance_sha=line.confirmed_provenance,
        # A withdrawal that was refused, or never arrived, is none.
        retracted=line.retracted and line.confirmed_sha == line.desired_sha,
    )


def _kind(line: Sent) -> UnitType:
    kind: UnitType = "Observation"
    for name in ("Device", "Group"):
        kind = name if line.key.startswith(f"{name}/") else kind
    return kind


def _unheard(line: Sent, copy: Copy) -> Written:
    """What was sent, never seen to be stored, is there somehow and not wanted any more: ours to undo."""
    sha = canonical_hash(copy.body or b"{}")
    return Written(type=_kind(line), desired_sha=line.desired_sha, stored_sha=sha)


def _may_be_there(line: Sent, copy: Copy) -> bool:
    """Whether a live copy may be what was sent for *line*."""
    if line.state not in {"PENDING", "UNKNOWN", "FAILED"} or copy.body is None:
        return False
    try:
        return msgspec.json.decode(copy.body, type=_Result).status != _WITHDRAWN
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _provenances(client: FhirClient, units: Sequence[Unit], *, one_by_one: bool) -> dict[str, str]:
    """The hash of the server's Provenance of each of *units*, by the unit's reference."""
    names = {unit.reference: f"Provenance/{unit.provenance_id}" for unit in units if unit.provenance_id}
    copies = read_copies(client, list(names.values()), one_by_one=one_by_one)
    found = ((key, copies[name].body) for key, name in names.items())
    return {key: canonical_hash(body) for key, body in found if body is not None}


def _present(
    copies: Mapping[str, Copy], provenances: Mapping[str, str], units: Mapping[str, Unit]
) -> Iterator[tuple[str, Present]]:
    for key, copy in copies.items():
        if copy.state == "deleted":
            yield key, Present(gone=True)
        elif copy.body is not None:
            yield (
                key,
                Present(
                    version=copy.version,
                    sha=canonical_hash(copy.body),
                    provenance_sha=provenances.get(key),
                    ours=key not in units or bool(_named(copy.body) & _named(units[key].resource)),
                ),
            )


def _named(body: bytes) -> set[_Identifier]:
    """The identifiers of a resource, as far as they can be read."""
    try:
        return set(msgspec.json.decode(body, type=_Result).identifier)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return set()


def items(
    plan: Plan,
    known: Known,
    *,
    target: ResultTarget,
    recorded: datetime,
    keep: bool,
) -> Iterator[Item]:
    """
    What to send for *plan*, in its order. With *keep* nothing is withdrawn.

    *recorded* is an aware moment for the Provenance of a withdrawal.
    """
    for action in plan.actions:
        if action.kind in {"create", "update"} and action.unit is not None:
            yield item(action, action.unit, known.outbox.get(action.reference))
        elif action.kind == "retract" and not keep:
            line, copy = known.outbox[action.reference], known.copies[action.reference]
            if copy.body is not None:
                unit = withdrawn(copy.body, line.group, target, reason=_NO_SOURCE, recorded=recorded)
                yield item(action, unit, line)


def insisted(plan: Plan, *, recreate: bool, overwrite: bool) -> Plan:
    """
    *plan* with what an operator insists on: writing over what another deleted, or edited.

    A result that another edited and that nothing supports any more is then withdrawn.
    """
    actions = (
        _recreated(one) if recreate and one.kind == "externally-deleted" else one for one in plan.actions
    )
    actions = (_overwritten(one) if overwrite and one.kind == "conflict" else one for one in actions)
    return msgspec.structs.replace(plan, actions=tuple(actions))


def _recreated(action: Action) -> Action:
    """A write over a deletion matches no version: there is none that is live."""
    return msgspec.structs.replace(action, kind="create", version=None) if action.unit else action


def _overwritten(action: Action) -> Action:
    return msgspec.structs.replace(action, kind="update" if action.unit else "retract")


def item(action: Action, unit: Unit, before: Sent | None = None) -> Item:
    """*unit* as it is sent for *action*; *before* is what the outbox says of it."""
    kinds: dict[str, Kind] = {"create": "create", "update": "update", "retract": "retract"}
    return Item(
        kind=kinds[action.kind],
        reference=unit.reference,
        group=unit.group,
        resource=unit.resource,
        version=action.version,
        provenance_reference=f"Provenance/{unit.provenance_id}" if unit.provenance_id else None,
        provenance=unit.provenance,
        desired_sha=canonical_hash(unit.resource),
        desired_core=core_hash(unit.resource),
        provenance_sha=canonical_hash(unit.provenance) if unit.provenance else None,
        before=before,
    )


# What the outbox says of results that are left as another left them.
_LEFT: Mapping[ActionKind, OutboxState] = {
    "conflict": "CONFLICT",
    "externally-deleted": "EXTERNALLY_DELETED",
}


def standing(plan: Plan, known: Known) -> Iterator[Sent]:
    """Lines that say something else than *plan* found: another's edit or deletion, or that all is well."""
    for action in plan.actions:
        line, copy = known.outbox.get(action.reference), known.copies[action.reference]
        left = _LEFT.get(action.kind)
        if line and left and line.state != left:
            yield msgspec.structs.replace(line, state=left)
        elif line and action.kind == "unchanged" and action.unit and not _says(line, action.unit, known):
            yield _adopted(action.unit, copy)


def _says(line: Sent, unit: Unit, known: Known) -> bool:
    """
    Whether *line* says of *unit*, which the server has, that it has it as it is.

    It does not where another installation wrote the same first: the copy is as wanted and still none that we
    know as ours, and would count as another's edit as soon as anything else is wanted. Nor where the copy
    came to have another version without another content: it would be doubted in each run.
    """
    copy = known.present[unit.reference]
    same = line.stored_sha == copy.sha and line.base_version == line.seen_version == copy.version
    return line.state == "CONFIRMED" and line.confirmed_sha is not None and same
