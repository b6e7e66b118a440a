"""Mapping is blind to the order, the packing and the repetition of its input."""

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs import load_profile, map_resources
from fhir_srs.testing.cohort import random_cohort
from tests.unit.mapping_given import SCT, T8, T9, cgy, concept, course, dose, patient, surgical, volume

PROFILE = load_profile("mcode")
COHORT = [json.dumps(one).encode() for one in random_cohort(12, 5).resources]


@settings(max_examples=15, deadline=None)
@given(st.integers())
def test_a_shuffled_cohort_gives_the_same_result(seed):
    shuffled = Random(seed).sample(COHORT, len(COHORT))
    assert map_resources(shuffled, profile=PROFILE) == map_resources(COHORT, profile=PROFILE)


STATUSES = st.sampled_from(["completed", "stopped", "in-progress", "unknown", "not-done", None, "final"])
DAYS = st.sampled_from(["2024-03-05", "2024-03-06", "2024-03", "2025-01-01", "2024-02-30", None])
LEVELS = st.sampled_from([T8, T9, "122495006", "2748008", "41216001", None])
CODES = st.sampled_from(["447704003", "447912004", "1217123003", "1222565005", "429584001", "387731002"])
DOSES = st.sampled_from([cgy(1800), cgy(2400), cgy(10), {"value": 24}, {"value": 24, "unit": "rad"}, None])


@st.composite
def procedures(draw, number):
    volumes = draw(st.lists(st.sampled_from(["v1", "v2", "v3", "gone", None]), max_size=3))
    doses = [dose(one, draw(DOSES), draw(st.sampled_from([1, 3, 0, 8.5, None]))) for one in volumes]
    start, end, level = draw(DAYS), draw(DAYS), draw(LEVELS)
    return surgical(
        f"s{number}",
        *doses,
        code=draw(CODES),
        site=level,
        status=draw(STATUSES),
        performedPeriod={"start": start, "end": end},
        partOf=[{"reference": f"Procedure/s{draw(st.integers(0, 3))}"}],
        identifier=[{"use": "official", "system": "c", "value": draw(st.sampled_from("12345"))}],
        meta={"versionId": draw(st.sampled_from("123"))},
    )


@st.composite
def patients(draw):
    roles = st.sampled_from(["PTV", "GTV", "OAR", None])
    labels = st.sampled_from(["T8", "T8-T10", "PTV_VB_T09", "C8", "SpinalCord", None])
    structures = [volume(f"v{n}", draw(LEVELS), draw(roles), draw(labels)) for n in (1, 2, 3)]
    told = [draw(procedures(draw(st.integers(0, 3)))) for _ in range(draw(st.integers(0, 5)))]
    more = [course("c", bodySite=[concept(T8, SCT)])] if draw(st.booleans()) else []
    return [patient(), *structures, *told, *more]


@settings(max_examples=200, deadline=None)
@given(patients(), st.randoms(use_true_random=False))
def test_any_patient_maps_without_exception_counts_add_up_and_order_does_not_matter(resources, random):
    found = map_resources(resources, profile=PROFILE)
    counts = found.counts
    assert counts.read == len(resources) == counts.used + counts.ignored + counts.refused
    shuffled = random.sample(resources, len(resources))
    assert map_resources(shuffled, profile=PROFILE) == found
    assert len({one.lesion_id for one in found.lesions}) == len(found.lesions)
    for lesion in found.lesions:
        assert lesion.dose_gy is None or 1 <= lesion.dose_gy <= 100
        assert lesion.reirradiation_of in {None, *(one.lesion_id for one in found.lesions)}


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_anything_at_all_is_counted_and_never_raises(item):
    bodies = [
        item,
        {"resourceType": "Procedure", "id": "a", "extension": item, "status": item, "subject": item},
    ]
    counts = map_resources(bodies, profile=PROFILE).counts
    assert counts.read == 2
