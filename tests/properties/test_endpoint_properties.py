"""What must hold of any timeline: of outcomes under every shipped study, whatever is drawn."""

from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fhir_srs.dates import PartialDate, parse_date
from fhir_srs.endpoints import Outcomes, derive, load_study, shipped_studies
from fhir_srs.endpoints.assessments import REFUSALS
from fhir_srs.endpoints.courses import read_courses
from fhir_srs.model import Mapped, Response, Status, TimeToEvent
from tests.spec.timelines import day, draw

STUDIES = tuple(shipped_studies())
CUTOFF = day(500)

days = st.integers(-40, 600)
doses = st.sampled_from(["0 not-opioid", "30", "60 order", ""])
why = st.sampled_from(["", "for-pain", "other-reason"])
facts = st.one_of(
    st.tuples(st.sampled_from("AB-"), days, st.just("pain"), st.integers(0, 10).map(str)),
    st.tuples(st.just("-"), days, st.just("opioid"), doses),
    st.tuples(
        st.sampled_from("AB"), days, st.just("surgery"), st.sampled_from(["", "for-pain", "other-reason"])
    ),
    st.tuples(
        st.sampled_from("AB-"), days, st.just("disease-status"), st.sampled_from(["worsened", "stable local"])
    ),
    st.tuples(
        st.sampled_from("AB"), days, st.just("imaging"), st.sampled_from(["", "{bilsky} 1a", "{bilsky} 2"])
    ),
    st.tuples(
        st.sampled_from("A-"),
        days,
        st.just("neuro"),
        st.sampled_from(["{asia} C", "{asia} E", "{ambulatory} true"]),
    ),
    st.tuples(st.sampled_from("AB"), days, st.just("fracture"), st.just("")),
    st.tuples(st.just("-"), days, st.just("toxicity"), st.sampled_from(["1 CTCAEv5 a", "3 CTCAEv3 a"])),
    st.tuples(st.just("-"), st.integers(1, 700), st.just("death"), st.just("")),
    st.tuples(st.just("-"), days, st.just("contact"), st.just("")),
)
second = st.sampled_from(["", "B | 0 | srs | L2\n", "B | 120 | srs | T8\n", "B | 0..4 | sbrt | L2 3\n"])


@st.composite
def drawings(pick: st.DrawFn) -> str:
    """Lesion A with a baseline score more often than not, perhaps a lesion B, and up to twenty facts."""
    other = pick(second)
    lines = [
        f"{name} | {on} | {kind} | {value}" for name, on, kind, value in pick(st.lists(facts, max_size=20))
    ]
    usable = [line for line in lines if other or not line.startswith("B")]
    baseline = pick(st.sampled_from(["", "A | -3 | pain | 7\n", "A | -3 | pain | 3\n"]))
    return "A | 0 | srs | T8\n" + other + baseline + "\n".join(usable)


def every(mapped: Mapped, cutoff: date = CUTOFF) -> list[Outcomes]:
    return [derive(mapped, study=load_study(name), data_cutoff=cutoff) for name in STUDIES]


@settings(max_examples=150, deadline=None)
@given(drawings(), st.randoms(use_true_random=False))
def test_the_order_of_input_changes_nothing(drawing: str, random: Random) -> None:
    mapped = draw(drawing)
    lesions, events = list(mapped.lesions), list(mapped.events)
    random.shuffle(lesions)
    random.shuffle(events)
    assert every(replace(mapped, lesions=lesions, events=events)) == every(mapped)


def _moved(on: PartialDate | None, by: int) -> PartialDate | None:
    return on and parse_date((on.first + timedelta(days=by)).isoformat())


def _shifted(mapped: Mapped, by: int) -> Mapped:
    lesions = [replace(one, start=_moved(one.start, by), end=_moved(one.end, by)) for one in mapped.lesions]
    events = [replace(one, on=_moved(one.on, by), until=_moved(one.until, by)) for one in mapped.events]
    return replace(mapped, lesions=lesions, events=events)


def _undated(row: Response | TimeToEvent) -> Response | TimeToEvent:
    """*row* without its dates, and without its working, which names them."""
    if isinstance(row, Response):
        return replace(row, assessed_on=None, working=())
    return replace(row, origin=None, until=None, working=())


@settings(max_examples=100, deadline=None)
@given(drawings(), st.integers(-4000, 4000))
def test_moving_all_dates_changes_no_result(drawing: str, by: int) -> None:
    """spec/statistics.md 12.5, 4: pseudonymised dates give the same outcomes."""
    mapped = draw(drawing)
    moved = every(_shifted(mapped, by), CUTOFF + timedelta(days=by))
    for before, after in zip(every(mapped), moved, strict=True):
        assert list(map(_undated, before.responses)) == list(map(_undated, after.responses))
        assert list(map(_undated, before.times)) == list(map(_undated, after.times))


@settings(max_examples=150, deadline=None)
@given(drawings())
def test_every_outcome_is_whole(drawing: str) -> None:
    mapped = draw(drawing)
    for found in every(mapped):
        own = {row.lesion_id for row in found.responses if row.lesion_id}
        seen = own | {one.lesion_id for one in found.excluded}
        assert seen == {lesion.lesion_id for lesion in mapped.lesions}
        for row in found.responses:
            assert (row.category == "NE") == (row.reason is not None)
            assert row.sources
            assert row.assessed_on is None or row.assessed_on <= CUTOFF
        for time in found.times:
            assert (time.days is None) == (time.status is None) == (time.reason is not None)
            assert time.sources
            assert time.description
            assert time.until is None or time.until <= CUTOFF
            assert time.days is None or time.days >= 0


@settings(max_examples=150, deadline=None)
@given(drawings())
def test_the_readings_agree_where_they_must(drawing: str) -> None:
    """Relief duration starts at relief; B is its Kaplan-Meier reading; D differs from A only by deaths."""
    for found in every(draw(drawing)):
        rows = {(row.lesion_id, row.endpoint, row.variant): row for row in found.times}
        for lesion_id in {row.lesion_id for row in found.times if row.lesion_id}:
            relief = rows[lesion_id, "time-to-relief", None]
            lasted = rows[lesion_id, "relief-duration", "kaplan-meier"]
            assert (relief.status is Status.EVENT) == (lasted.status is not None)
            assert lasted.days is None or lasted.origin == relief.until
            b = rows[lesion_id, "pain-control", "B"]
            assert (b.days, b.status, b.reason) == (lasted.days, lasted.status, lasted.reason)
            a, d = rows[lesion_id, "pain-control", "A"], rows[lesion_id, "pain-control", "D"]
            assert (a.status is Status.EVENT) == (d.status is Status.EVENT)
            assert a.status is not Status.EVENT or a.days == d.days
            assert all(row.status is not Status.COMPETING or row.cause == "death" for row in (a, d, lasted))


@pytest.mark.parametrize("study", STUDIES)
@settings(max_examples=60, deadline=None)
@given(drawing=drawings(), cutoff=st.integers(100, 500))
def test_what_comes_after_the_cutoff_is_as_if_it_were_not_there(
    study: str, drawing: str, cutoff: int
) -> None:
    mapped, last = draw(drawing), day(cutoff)
    early = replace(mapped, events=[one for one in mapped.events if one.on is None or one.on.last <= last])
    read = load_study(study)
    assert derive(mapped, study=read, data_cutoff=last) == derive(early, study=read, data_cutoff=last)


@settings(max_examples=100, deadline=None)
@given(drawings())
def test_local_failure_counts_no_scan_after_its_end_and_its_readings_agree(drawing: str) -> None:
    """An indeterminate growth makes the other reading an event no later; nothing else tells them apart."""
    for found in every(draw(drawing)):
        rows = {(row.lesion_id, row.variant): row for row in found.times if row.endpoint == "local-failure"}
        for (lesion_id, variant), own in rows.items():
            if variant is not None:
                continue
            other = rows[lesion_id, "indeterminate-as-event"]
            if "indeterminate" in own.flags:
                assert other.status is Status.EVENT
                assert (other.days or 0) >= (own.days or 0) or own.status is not Status.CENSORED
            else:
                assert (other.days, other.status, other.reason) == (own.days, own.status, own.reason)


@settings(max_examples=100, deadline=None)
@given(drawings())
def test_a_fracture_is_told_once_and_every_level_is_a_segment(drawing: str) -> None:
    for found in every(draw(drawing)):
        fractures = [row for row in found.times if row.endpoint == "vertebral-fracture"]
        for variant in (None, "symptomatic"):
            rows = [row for row in fractures if row.variant == variant]
            assert len({(row.lesion_id, row.segment) for row in rows}) == len(rows)
            broken = [row.lesion_id for row in rows if row.status is Status.EVENT]
            assert len(set(broken)) == len(broken)


@settings(max_examples=100, deadline=None)
@given(drawings())
def test_a_fracture_that_hurt_is_a_fracture(drawing: str) -> None:
    """The symptomatic reading has the same rows, and an event only where the other has one by that day."""
    for found in every(draw(drawing)):
        rows = {
            (row.lesion_id, row.segment, row.variant): row
            for row in found.times
            if row.endpoint == "vertebral-fracture"
        }
        for (lesion_id, segment, _), any_ in ((key, row) for key, row in rows.items() if key[2] is None):
            hurt = rows[lesion_id, segment, "symptomatic"]
            assert hurt.reason == any_.reason
            if hurt.status is Status.EVENT:
                assert any_.status is Status.EVENT
                assert (any_.days or 0) <= (hurt.days or 0)
            elif any_.status is not Status.EVENT:
                assert (hurt.days, hurt.status) == (any_.days, any_.status)


@settings(max_examples=200, deadline=None)
@given(drawings())
def test_every_pain_record_is_looked_at_or_refused_for_one_reason(drawing: str) -> None:
    """Of each lesion: no record counts silently for nothing, and none that is refused is a source."""
    mapped = draw(drawing)
    for study in STUDIES:
        courses, _ = read_courses(mapped, load_study(study), CUTOFF)
        found = derive(mapped, study=load_study(study), data_cutoff=CUTOFF)
        for course in courses:
            refused = [one.source for one in course.refused]
            taken = [one for one in (course.baseline, *course.follow_up, *course.partial) if one]
            sources = {source for one in taken for source in one.sources}
            assert len(set(refused)) == len(refused)
            assert {one.reason for one in course.refused} <= set(REFUSALS)
            assert not sources & set(refused)
            name = course.lesion.lesion_id
            mine = [
                one.source
                for one in mapped.events
                if one.kind == "pain" and one.on and one.on.last <= CUTOFF and one.lesion_id in (None, name)
            ]
            assert set(mine) <= sources | set(refused)
            rows = [row for row in (*found.responses, *found.times) if row.lesion_id == name]
            used = {source for row in rows if row.endpoint != "retreatment" for source in row.sources}
            assert not used & (set(refused) - {one.source for one in mapped.events if one.kind != "pain"})
