"""Mapping is blind to the order, the packing and the repetition of its input."""

import gzip
import hashlib
import json
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import derive, load_study
from fhir_srs.engine import map_study, mapped_files
from fhir_srs.engine.run import Limits
from fhir_srs.mapping.assembly import lesions_of
from fhir_srs.mapping.by_patient import map_by_patient
from fhir_srs.mapping.lines import Entry, FirstLook
from fhir_srs.mapping.tally import Tally
from fhir_srs.progress import silent
from fhir_srs.testing.cohort import random_cohort
from tests.examples import examples
from tests.properties.mess import PATIENTS, UNREADABLE, messy_cohort
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


@examples(100)
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


# Through files: neither order nor packing, nor who does the work and how, changes a byte.

MESS = messy_cohort(7)
IN_MEMORY = Limits(in_memory=1 << 40)


def digests(sources, *, jobs=1, limits=IN_MEMORY, profile=PROFILE):
    """SHA-256 of lesions, events and issues as lines, and all counts."""
    with mapped_files(
        [sources], profile, jobs=jobs, notice=lambda _: None, report=silent, limits=limits
    ) as found:
        lines = [b"".join(one()) for one in (found.lesions, found.events, found.issues)]
        return [hashlib.sha256(one).hexdigest() for one in lines], found.tally


def spilled(parts, chunk=1 << 23, largest=1 << 23):
    return Limits(in_memory=0, parts=parts, chunk=chunk, largest=largest)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """All lines in one file, in order."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "a.ndjson").write_bytes(b"\n".join(MESS))
    return folder


@pytest.fixture(scope="module")
def expected(plain):
    found = digests(plain)
    lesions, issues = found[1].lesions, found[1].reasons
    assert lesions > PATIENTS
    assert {"id-collision", "version-superseded", "patient-mismatch", "reference-unresolved"} <= {
        reason for _, reason in issues
    }
    assert {"patient-merged", "subject-unresolved", "subject-missing", "subject-not-patient"} <= {
        reason for _, reason in issues
    }
    assert issues[False, "resource-unreadable"] >= len(UNREADABLE)
    return found


def shuffled_lines(folder, draw):
    (folder / "a.ndjson").write_bytes(b"\n".join(draw.sample(MESS, len(MESS))) + b"\n")


def windows_lines(folder, draw):
    (folder / "a.ndjson").write_bytes(b"\r\n".join(draw.sample(MESS, len(MESS))))


def many_files(folder, draw):
    for line in MESS:
        with (folder / f"{draw.randint(0, 30)}.ndjson").open("ab") as file:
            file.write(b"\n" * draw.randint(0, 1) + line + b"\n")
    (folder / "empty.ndjson").touch()


def archives(folder, draw):
    for number in range(5):
        some = b"\n".join(MESS[number::5])
        half = len(some) // 2
        content = gzip.compress(some[:half]) + gzip.compress(some[half:])
        (folder / f"{draw.randint(0, 9)}{number}.ndjson.gz").write_bytes(content)


def bundle_pages(folder, draw):
    """Searchset pages of 50; what is no JSON object cannot be in one, and stays a line."""
    lines = draw.sample(MESS, len(MESS))
    whole = [one for one in lines if is_object(one)]
    (folder / "rest.ndjson").write_bytes(b"\n".join(one for one in lines if not is_object(one)))
    for start in range(0, len(whole), 50):
        entries = b",".join(b'{"resource": %s}' % one for one in whole[start : start + 50])
        page = b'{"resourceType": "Bundle", "type": "searchset", "entry": [%s]}' % entries
        (folder / f"page{start}.json").write_bytes(page)


def is_object(line):
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


@pytest.mark.parametrize(
    "packing",
    [shuffled_lines, windows_lines, many_files, archives, bundle_pages],
    ids=lambda one: one.__name__,
)
def test_no_packing_of_the_input_changes_a_byte(tmp_path, packing, expected):
    packing(tmp_path, Random(packing.__name__))
    assert digests(tmp_path) == expected
    assert digests(tmp_path, limits=spilled(16)) == expected


@pytest.mark.parametrize("parts", [1, 7, 16, 64])
@pytest.mark.parametrize(
    ("chunk", "largest"),
    [
        (1000, 1 << 23),
        (1 << 16, 5000),
        pytest.param(4096, 20_000, marks=pytest.mark.long),
        pytest.param(1 << 23, 1 << 23, marks=pytest.mark.long),
    ],
)
def test_neither_partitions_nor_pieces_of_the_input_change_a_byte(plain, expected, parts, chunk, largest):
    assert digests(plain, limits=spilled(parts, chunk, largest)) == expected


@pytest.mark.parametrize("jobs", [2, 4])
def test_the_number_of_processes_changes_no_byte(plain, expected, jobs):
    assert digests(plain, jobs=jobs, limits=spilled(7, chunk=30_000, largest=50_000)) == expected


@pytest.mark.parametrize(("jobs", "parts", "largest"), [(1, 16, 1 << 23), (1, 1, 5000), (2, 7, 50_000)])
def test_who_has_too_many_resources_is_refused_whole_by_every_way(plain, jobs, parts, largest):
    choices = msgspec.structs.replace(PROFILE.choices, patient_limit=25)
    profile = msgspec.structs.replace(PROFILE, choices=choices)
    expected = digests(plain, profile=profile)
    found, whole = expected[1], digests(plain)[1]
    assert found.reasons[False, "patient-too-large"] > 25
    assert 0 < found.lesions < whole.lesions
    assert found.counts.read == whole.counts.read
    limits = spilled(parts, chunk=30_000, largest=largest)
    assert digests(plain, jobs=jobs, limits=limits, profile=profile) == expected


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_any_mess_maps_alike_through_memory_and_through_files(tmp_path, seed):
    draw = Random(seed)
    lines = messy_cohort(1000 + seed)
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(lines))
    expected = digests(tmp_path)
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(draw.sample(lines, len(lines))))
    limits = spilled(draw.choice([1, 3, 16, 64]), draw.choice([1000, 50_000]), draw.choice([1000, 100_000]))
    assert digests(tmp_path, limits=limits) == expected


def test_endpoints_get_the_same_study_through_memory_and_through_files(plain):
    studies = [
        map_study([plain], PROFILE, notice=lambda _: None, report=silent, limits=limits)
        for limits in (IN_MEMORY, spilled(7, largest=50_000))
    ]
    (memory, counts), (files, counts_of_files) = studies
    treated = {one.patient for one in memory.patients}
    assert (files.lesions, files.patients, counts_of_files) == (memory.lesions, memory.patients, counts)
    assert files.events == [one for one in memory.events if one.patient in treated]
    assert files.counts == memory.counts
    outcomes = [
        derive(one, study=load_study("icpre2012"), data_cutoff=date(2026, 6, 30)) for one in (memory, files)
    ]
    assert outcomes[0].responses
    assert outcomes[0] == outcomes[1]


class Noted:
    """A store that holds each resource once and notes whose it is: rightly, wrongly, or not at all."""

    def __init__(self, lines, draw) -> None:
        seen = {}
        for line in (one for one in lines if b'"Bundle"' not in one):
            found = FirstLook(PROFILE).see(line)[-1]  # issues of what was lost stand before it
            entry = found if isinstance(found, Entry) else None
            owner = entry.owner.patient if entry else None
            seen[entry.key if entry else f"?/{len(seen)}"] = (owner, line)
        owners = sorted({owner for owner, _ in seen.values() if owner})
        self.rows = [
            (key, draw.choice([owner, owner, owner, None, draw.choice(owners)]), body)
            for key, (owner, body) in sorted(seen.items())
        ]

    def owned(self, resource_type=None):
        return (one for one in self.rows if resource_type in (None, one[0].split("/")[0]))

    def owned_by(self, patients):
        return [one for one in self.rows if one[1] in patients]

    def named(self, keys):
        return [one for one in self.rows if one[0] in set(keys)]

    def holds(self, key):
        return any(one[0] == key for one in self.rows)


@pytest.mark.parametrize("seed", range(12))
def test_patient_by_patient_out_of_a_store_comes_what_comes_of_all_at_once(seed):
    store, counts = Noted(messy_cohort(seed), Random(seed)), Tally()
    groups = list(map_by_patient(store, PROFILE, counts))
    whole = map_resources((body for _, _, body in store.rows), profile=PROFILE)
    maps = [one for group in groups for one in group]
    assert [lesion for group in groups for lesion in lesions_of(group)] == whole.lesions
    assert [one.patient for one in maps if one.lesions] == whole.patients
    assert [event for one in maps for event in one.events] == whole.events
    assert counts.counts == whole.counts
    assert counts.reasons == Counter((one.used, one.reason) for one in whole.issues)
    assert (counts.lesions, counts.patients, counts.events) == (
        len(whole.lesions),
        len(whole.patients),
        len(whole.events),
    )
    # What needs more than one patient's resources is in the cohort; a merge may be lost with its line.
    assert {"patient-merged", "id-collision"} & {reason for _, reason in counts.reasons}
