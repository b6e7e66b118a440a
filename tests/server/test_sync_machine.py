"""Any story that a hospital, an operator and a bad day can write: after every clean sync all invariants hold.

A Hypothesis state machine (`spec/reliability.md` section 9, 2). The server's clock runs by hours between
the steps, so that increments are increments; the oracle is `tests.server.world`. Short here; `make test-long`
writes 200 stories of 50 steps.
"""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import signal
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fhir_srs.config import load_settings
from fhir_srs.store.failpoints import NAMES
from fhir_srs.sync.keeping import problems_of
from fhir_srs.sync.rebuild import rebuild
from fhir_srs.testing.faults import parse_fault
from tests.server import dying
from tests.server.patients import OTHER, Json, course, pain, person, reference
from tests.server.test_sync import done
from tests.server.test_sync_deletes import consent
from tests.server.world import LAG, World

CONTEXT = dying.context()
PEOPLE = st.sampled_from("abcd")
DAYS = st.sampled_from(["2024-03-04", "2024-03-19", "2024-04-16", "2024-06-05", "2024-11-05"])
SCORES = st.integers(0, 10)
# Those that pass or end a run; what they do to a run is tests/server/test_fault_matrix.py.
FAULTS = st.sampled_from(
    "500,from=5 reset,on=search,from=3 reset-after,on=write 500,on=write,times=2 409,on=write 412,on=write"
    " 202,on=write 204,on=write cut,on=search truncated,on=search,from=2 empty,from=2,times=3"
    " missing-next,times=99 expired-page,times=99 403,type=Observation 401,on=write outcome,type=Procedure"
    " other-bundle,type=Patient reset,on=batch cut,on=write garbage,on=write twice older-after backwards"
    " not-stored,on=write,times=0 429,on=write,value=700 500,on=history,times=0 no-total,type=Procedure"
    " silent-cap,value=1 html,on=batch,times=0".split()
)


class Story(RuleBasedStateMachine):
    """One story."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def teardown(self) -> None:
        self.world.close()

    @initialize()
    def first_sync(self) -> None:
        self.world.clean()

    def _people(self, *names: str) -> None:
        for name in names:
            if not self.world.is_live(f"Patient/{name}"):
                self.world.put(person(name))

    def _later(self) -> None:
        self.world.now += timedelta(minutes=47)

    # The hospital.

    @rule(name=PEOPLE, day=DAYS, score=SCORES)
    def create_update_or_undelete(self, name: str, day: str, score: int) -> None:
        self._later()
        self._people(name)
        self.world.put(pain(person(name), day, score))

    @rule(name=PEOPLE, day=st.sampled_from(["2024-03-05", "2024-08-06"]))
    def treat(self, name: str, day: str) -> None:
        self._later()
        self._people(name)
        for one in course(person(name), day=day):
            self.world.put(one)

    @rule(name=PEOPLE, day=DAYS)
    def enter_in_error(self, name: str, day: str) -> None:
        self._later()
        self._people(name)
        self.world.put(pain(person(name), day, 3, status="entered-in-error"))

    @rule(name=PEOPLE, day=DAYS, kind=st.sampled_from(["pain", "course", "person", "volume", "request"]))
    def delete(self, name: str, day: str, kind: str) -> None:
        self._later()
        self.world.delete(_named(name, day, kind))

    @rule(name=PEOPLE, day=DAYS, kind=st.sampled_from(["pain", "course", "volume", "request"]))
    def expunge(self, name: str, day: str, kind: str) -> None:
        self._later()
        self.world.expunge(_named(name, day, kind))

    @rule(name=PEOPLE, day=DAYS, other=PEOPLE)
    def move(self, name: str, day: str, other: str) -> None:
        self._later()
        self._people(name, other)
        self.world.put({**pain(person(name), day, 5), "subject": reference(person(other))})

    @rule(name=PEOPLE)
    def recode(self, name: str) -> None:
        self._later()
        if self.world.is_live(f"Procedure/{name}-course"):
            self.world.put({**course(person(name))[1], "code": OTHER, "extension": []})

    @rule(name=PEOPLE, day=DAYS)
    def spoil(self, name: str, day: str) -> None:
        self._later()
        self._people(name)
        self.world.put_unreadable({**pain(person(name), day, 3), "code": "no object"})

    @rule(name=PEOPLE, other=PEOPLE, told=st.sampled_from(["replaced-by", "replaces", "both"]))
    def merge(self, name: str, other: str, told: str) -> None:
        self._later()
        self._people(name, other)
        if name != other:
            if told != "replaces":
                self.world.put(_linked(name, other, "replaced-by"))
            if told != "replaced-by":
                self.world.put(_linked(other, name, "replaces"))

    @rule(name=PEOPLE)
    def unmerge(self, name: str) -> None:
        self._later()
        self.world.put(person(name))

    @rule(name=PEOPLE, active=st.booleans())
    def opt_out(self, name: str, active: bool) -> None:
        self._later()
        self._people(name)
        self.world.put(consent(name, status="active" if active else "inactive"))

    @rule(name=PEOPLE, drug=st.sampled_from("mn"))
    def prescribe(self, name: str, drug: str) -> None:
        self._later()
        self._people(name)
        self.world.put(_medication(drug))
        self.world.put(_request(name, drug))

    @rule(name=PEOPLE, day=DAYS, score=SCORES, late=st.integers(1, int(LAG.total_seconds()) - 1))
    def late_commit(self, name: str, day: str, score: int, late: int) -> None:
        """Visible now, stamped before: by less than the lag."""
        self._people(name)
        now = self.world.now
        self.world.now = now - timedelta(seconds=late)
        self.world.put(pain(person(name), day, score))
        self.world.now = now

    @rule(hours=st.sampled_from([-30, -2, 5, 200]))
    def clock_jump(self, hours: int) -> None:
        self.world.now += timedelta(hours=hours)
        self.world.went_back |= hours < 0

    @rule(years=st.sampled_from([-10, 0, 10]))
    def our_clock_jumps(self, years: int) -> None:
        self.world.skew = timedelta(days=365 * years)

    # Others who write.

    @rule(data=st.data())
    def operator_edits(self, data: st.DataObject) -> None:
        self._later()
        if results := self._results():
            name = data.draw(st.sampled_from(results))
            edited = {**self.world.results()[name], "note": [{"text": f"seen on {self.world.now}"}]}
            self.world.put(edited)
            self.world.edited[name] = edited

    @rule(data=st.data())
    def operator_deletes(self, data: st.DataObject) -> None:
        self._later()
        if results := self._results():
            name = data.draw(st.sampled_from(results))
            for key, one in self.world.live("Provenance").items():
                if one["target"][0]["reference"].endswith(name):
                    self.world.delete(f"Provenance/{key}")
            self.world.delete(f"Observation/{name}")
            self.world.removed.add(name)
            self.world.edited.pop(name, None)

    def _results(self) -> list[str]:
        return [name for name, one in self.world.results().items() if one["status"] != "entered-in-error"]

    @rule()
    def operator_insists(self) -> None:
        self._later()
        self.world.clean(recreate=True, overwrite=True)
        self.world.edited.clear()
        self.world.removed.clear()
        self.world.check()

    # The program.

    @rule()
    def sync(self) -> None:
        self._later()
        self.world.clean()
        self.world.check()

    @rule(fault=FAULTS)
    def sync_under_a_fault(self, fault: str) -> None:
        self._later()
        self.world.faults.append(parse_fault(fault))
        self.world.sync(retract=True)
        self.sync()

    @rule()
    def sync_behind_the_brake(self) -> None:
        """As a schedule does it: nobody insists on anything, and nothing new may be left at that."""
        self._later()
        before, marks = self.world.ward.versions(), self.world.marks()
        summary = self.world.sync()
        if summary.status == "stopped":
            assert self.world.ward.versions() == before
            assert summary.complete or self.world.marks() == marks
        else:
            done(summary)
            if not (self.world.traceless or self.world.went_back):
                self.world.check()

    @rule(name=st.sampled_from(NAMES), number=st.integers(1, 4))
    def killed_sync(self, name: str, number: int) -> None:
        self._later()
        self._process(f"{name}:{number}")
        self.sync()

    @rule()
    def restart(self) -> None:
        """A run in a process of its own, which knows nothing but the state folder."""
        self._later()
        assert self._process("") == 0

    def _process(self, failpoint: str) -> int:
        process = CONTEXT.Process(target=dying.live, args=(str(self.world.path), failpoint, "sync"))
        process.start()
        process.join(60)
        assert process.exitcode in {0, -signal.SIGKILL}
        return process.exitcode

    @rule()
    def census(self) -> None:
        self._later()
        self.world.clean(census=True)
        self.world.check()

    @rule()
    def rebuild(self) -> None:
        self._later()
        self.world.traceless = False
        assert rebuild(load_settings(self.world.path)).pull.status == "done"
        assert problems_of(self.world.settings()) == []
        self.sync()

    @precondition(lambda self: not (self.world.edited or self.world.removed))
    @rule()
    def second_writer(self) -> None:
        """Another installation writes the same results by a store of its own."""
        self._later()
        done(self.world.sync("second", retract=True, census=True))
        self.sync()


def _named(name: str, day: str, kind: str) -> str:
    return {
        "pain": f"Observation/{name}-pain-{day}",
        "course": f"Procedure/{name}-course",
        "volume": f"BodyStructure/{name}-volume",
        "request": f"MedicationRequest/{name}-request",
        "person": f"Patient/{name}",
    }[kind]


def _linked(name: str, other: str, kind: str) -> Json:
    return {**person(name), "link": [{"other": reference(person(other)), "type": kind}]}


def _medication(drug: str) -> Json:
    coding = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "7052", "display": "morphine"}
    return {"resourceType": "Medication", "id": drug, "code": {"coding": [coding]}}


def _request(name: str, drug: str) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": f"{name}-request",
        "status": "active",
        "intent": "order",
        "subject": reference(person(name)),
        "medicationReference": {"reference": f"Medication/{drug}"},
        "authoredOn": "2024-03-01",
    }


_BOTH = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.timeout(600)
def test_I1_I2_I3_I5_I7_I10_I12_I14_hold_after_every_sync_of_any_story() -> None:
    run_state_machine_as_test(Story, settings=settings(max_examples=3, stateful_step_count=12, **_BOTH))


@pytest.mark.long
@pytest.mark.timeout(0)
def test_I1_I2_I3_I5_I7_I10_I12_I14_hold_in_two_hundred_stories_of_fifty_steps() -> None:
    run_state_machine_as_test(Story, settings=settings(max_examples=200, stateful_step_count=50, **_BOTH))
