"""One history in any legal shape is the same history; one thing wrong costs facts and never changes one."""

import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs import load_profile, map_resources
from fhir_srs.model import Mapped
from tests.examples import SEARCHING
from tests.properties.hard_cases import LAST, SAME, SPOILT
from tests.properties.histories import (
    EventFacts,
    Facts,
    History,
    Json,
    LesionFacts,
    facts_found,
    facts_of,
    histories,
    written,
)

PROFILE = load_profile("mcode")
# Examples of each mutation: few where they are the same every time, many in a search (make test-long).
EACH = 100 if SEARCHING else 6
SEEDS = st.integers(0, 1 << 16)
FIRST = [one for one in SAME if one not in LAST]


def bent(most: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    """Up to *most* mutations, each once, with the seed of its choices."""
    steps = st.tuples(st.sampled_from(FIRST), SEEDS)
    return st.lists(steps, max_size=most, unique_by=lambda step: step[0])


def mapped(resources: list[Any]) -> Mapped:
    """What mapping makes of *resources*, in bytes as they come from a file; none may be lost uncounted."""
    found = map_resources([json.dumps(one).encode() for one in resources], profile=PROFILE)
    counts = found.counts
    assert counts.read == counts.used + counts.ignored + counts.refused
    return found


def changed(resources: list[Json], name: str, seed: int) -> list[Json]:
    """*resources* after the mutation *name*."""
    made = copy.deepcopy(resources)
    given_back = SAME[name](made, Random(seed))
    return made if given_back is None else given_back


def test_there_are_at_least_thirty_ways_of_each() -> None:
    assert len(SAME) >= 30
    assert len(SPOILT) >= 30


@given(histories())
def test_the_plain_writing_is_understood_whole(told: History) -> None:
    assert facts_found(mapped(written(told))) == facts_of(told)


@pytest.mark.parametrize("name", SAME)
@settings(max_examples=EACH, deadline=None)
@given(told=histories(), seed=SEEDS)
def test_a_legal_shape_changes_no_fact_and_no_identity(name: str, told: History, seed: int) -> None:
    plain = mapped(written(told))
    found = mapped(changed(written(told), name, seed))
    assert facts_found(found) == facts_of(told)
    assert {one.lesion_id for one in found.lesions} == {one.lesion_id for one in plain.lesions}


@settings(max_examples=12 * EACH, deadline=None)
@given(
    told=histories(),
    steps=bent(6),
    last=st.none() | st.sampled_from(LAST),
)
def test_legal_shapes_together_change_no_fact(
    told: History, steps: list[tuple[str, int]], last: str | None
) -> None:
    resources = written(told)
    for name, seed in steps:
        resources = changed(resources, name, seed)
    resources = changed(resources, last, 0) if last else resources
    assert facts_found(mapped(resources)) == facts_of(told)


def lesion_is_less(found: LesionFacts, true: LesionFacts) -> bool:
    """Each part as it is or left open; without the dose a technique is SRS by its code alone."""
    start, levels, end, dose, fractions, technique, again = found
    return (
        start in (None, true[0])
        and set(levels) <= set(true[1])
        and end in (None, true[2])
        and dose in (None, true[3])
        and fractions in (None, true[4])
        and technique in ((None, "SRS", "SBRT") if fractions is None else (None, true[5]))
        and again in (False, true[6])
    )


def event_is_less(found: EventFacts, true: EventFacts) -> bool:
    kind, first, last, value, where = found
    return (
        kind == true[0]
        and (first is None or (first, last) == true[1:3])
        and value in (None, true[3])
        and _is_place_less(where, true[4])
    )


def _is_place_less(found: Any, true: Any) -> bool:
    """Nowhere, or at the same segment: where a course is lost, its score belongs to the other one there."""
    if found is None or true is None:
        return found is None
    start, levels = found
    return not set(levels).isdisjoint(true[1]) if levels else start in (None, true[0])


def nothing_invented(found: Facts, true: Facts) -> bool:
    """Whether each thing found is one of the true ones, perhaps with less said of it, and none is twice."""
    return _paired(list(found.lesions), list(true.lesions), lesion_is_less) and _paired(
        list(found.events.elements()), list(true.events.elements()), event_is_less
    )


def _paired(found: list[Any], true: list[Any], fits: Any) -> bool:
    """Whether each of *found* has one of *true* for itself."""
    if not found:
        return True
    options = [place for place, one in enumerate(true) if fits(found[0], one)]
    return any(_paired(found[1:], true[:place] + true[place + 1 :], fits) for place in options)


@pytest.mark.parametrize("name", SPOILT)
@settings(max_examples=EACH, deadline=None)
@given(told=histories(), seed=SEEDS)
def test_what_is_spoilt_is_said_and_never_read_as_something_else(name: str, told: History, seed: int) -> None:
    draw, spoilt, resources = Random(seed), SPOILT[name], written(told)
    candidates = [one for one in resources if spoilt.to(one)]
    if not candidates:
        return
    victim = draw.choice(candidates)
    spoilt.change(victim, draw)
    found = mapped(resources)
    reasons = {one.reason for one in found.issues}
    assert not spoilt.reasons or reasons & spoilt.reasons
    assert nothing_invented(facts_found(found), facts_of(told))


@settings(max_examples=12 * EACH, deadline=None)
@given(
    told=histories(),
    broken=st.sampled_from(sorted(SPOILT)),
    steps=bent(3),
    seed=SEEDS,
)
def test_spoilt_and_bent_at_once_nothing_is_invented(
    told: History, broken: str, steps: list[tuple[str, int]], seed: int
) -> None:
    draw, spoilt, resources = Random(seed), SPOILT[broken], written(told)
    candidates = [one for one in resources if spoilt.to(one)]
    if candidates:
        spoilt.change(draw.choice(candidates), draw)
    for name, number in steps:
        resources = changed(resources, name, number)
    assert nothing_invented(facts_found(mapped(resources)), facts_of(told))
