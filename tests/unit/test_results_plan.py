"""Wanted against present: each row of the table in spec/reliability.md section 2, the brake, a second run."""

import pytest

from fhir_srs.results import Brake, Present, Unit, Written, canonical_hash, plan_writes


def unit(number, value="1", provenance=b'{"resourceType":"Provenance","recorded":"2024"}'):
    resource = f'{{"resourceType":"Observation","id":"srs-{number}","valueInteger":{value}}}'.encode()
    return Unit(id=f"srs-{number}", group="s|1", resource=resource, provenance_id="p", provenance=provenance)


def line(one, **changes):
    known = {
        "desired_sha": canonical_hash(one.resource),
        "stored_sha": canonical_hash(one.resource),
        "provenance_sha": canonical_hash(one.provenance),
    }
    return Written(**(known | changes))


def copy(one, **changes):
    return Present(**({"version": "3", "sha": canonical_hash(one.resource)} | changes))


A, NEW = unit("a"), unit("a", "2")
REF = A.reference
SAME = copy(A, provenance_sha=canonical_hash(A.provenance))
THEIRS = copy(A, sha="as-the-server-has-it")
OTHER = unit("a", provenance=b'{"resourceType":"Provenance","entity":[]}')
NORMAL = {"stored_sha": "as-the-server-has-it"}

TABLE = [
    ("404 is created", A, None, None, "create"),
    ("404 is created again, though once written", A, None, line(A), "create"),
    ("410 stays gone", A, Present(gone=True), line(A), "externally-deleted"),
    ("equal is left", A, copy(A), line(A), "unchanged"),
    ("what a server made of it is left", A, THEIRS, line(A, **NORMAL), "unchanged"),
    ("our last copy is updated", NEW, copy(A), line(A), "update"),
    ("its normalised last copy too", NEW, THEIRS, line(A, **NORMAL), "update"),
    ("another's edit is kept", A, copy(NEW), line(A), "conflict"),
    ("another's edit is kept, though we changed too", NEW, copy(unit("a", "3")), line(A), "conflict"),
    ("a changed Provenance alone is an update", OTHER, copy(A), line(A), "update"),
    ("a lost store trusts our id", NEW, copy(A), None, "update"),
    ("a lost store leaves what is equal", A, SAME, None, "unchanged"),
    ("another installation's copy under our id is kept", NEW, copy(A, ours=False), None, "conflict"),
    ("a copy that we wrote is ours, whoever named it since", NEW, copy(A, ours=False), line(A), "update"),
    ("what came back is a new version", A, copy(A, sha="withdrawn"), line(A, desired_sha="withdrawn",
        stored_sha="withdrawn", retracted=True), "update"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "present", "written", "kind"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_a_wanted_result(wanted, present, written, kind):
    plan = plan_writes([wanted], {REF: present} if present else {}, {REF: written} if written else {})
    assert plan.counts() == {kind: 1}
    assert plan.actions[0].unit == wanted
    assert plan.actions[0].version == (present.version if present else None)
    assert not plan.stopped


GONE = [
    ("ours is withdrawn", copy(A), line(A), {"retract": 1}),
    ("another's edit is kept", copy(NEW), line(A), {"conflict": 1}),
    ("410 stays gone", Present(gone=True), line(A), {"externally-deleted": 1}),
    ("404 needs nothing", None, line(A), {}),
    ("once is enough", copy(A), line(A, retracted=True), {}),
    ("a Device is never withdrawn", copy(A), line(A, type="Device"), {}),
]


@pytest.mark.parametrize(
    ("present", "written", "counts"), [row[1:] for row in GONE], ids=[row[0] for row in GONE]
)
def test_a_result_no_longer_wanted(present, written, counts):
    plan = plan_writes([], {REF: present} if present else {}, {REF: written})
    assert plan.counts() == counts


def withdrawals(count, live, **brake):
    units = [unit(number) for number in range(live)]
    present = {one.reference: copy(one) for one in units}
    written = {one.reference: line(one) for one in units}
    return plan_writes(units[count:], present, written, Brake(**brake))


@pytest.mark.parametrize(
    ("count", "live", "stopped"),
    [(5, 5, False), (6, 100, True), (6, 300, False), (7, 300, True), (0, 10, False)],
)
def test_the_brake_stops_more_than_five_and_more_than_two_percent(count, live, stopped):
    plan = withdrawals(count, live)
    assert plan.stopped is stopped
    assert plan.counts().get("retract", 0) == count


def test_an_operator_releases_the_brake():
    assert not withdrawals(50, 100, released=True).stopped


def test_after_a_run_there_is_nothing_to_do():
    units = [unit(number) for number in range(4)]
    first = plan_writes(units, {}, {})
    assert first.counts() == {"create": 4}
    present = {action.reference: copy(action.unit) for action in first.actions}
    written = {action.reference: line(action.unit) for action in first.actions}
    assert plan_writes(units, present, written).counts() == {"unchanged": 4}
