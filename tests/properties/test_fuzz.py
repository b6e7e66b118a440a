"""The reader takes anything: lines of a cohort, broken at random, are counted and never raise."""

import json
import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_srs import load_profile, map_resources
from fhir_srs.testing.cohort import random_cohort
from tests.examples import examples

PROFILE = load_profile("mcode")
COHORT = list(random_cohort(30, 9).resources)
# What stands where something else belongs.
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    7.5,
    1e308,
    10**40,
    "",
    "x",
    "2024-02-30",
    "9999-12-31",
    "0001-01-01",
    "T8",
    "\ud800",
    "Patient/" + "9" * 70,
    "#x",
    "urn:uuid:x",
    [],
    [None],
    [[]],
    {},
    {"value": "7"},
    {"coding": [None]},
    {"reference": 5},
    {"extension": [{"url": "x", "valueDecimal": "NaN"}]},
    {"start": "2024", "end": "2023"},
]
TOKENS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u00",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"NaN",
    b"-",
    b"1e999",
    b"null",
    b'"id":"x",',
    b'"id":"y",',
    b'"modifierExtension":[{}],',
    b"[" * 600,
]

Broken = Callable[[Random, dict[str, Any]], bytes]


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of *tree*."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield tree, key
        yield from places(value)


def with_odd_value(random: Random, resource: dict[str, Any]) -> bytes:
    """An element or two replaced, removed, or repeated under another name."""
    copy = json.loads(json.dumps(resource))
    for _ in range(random.randint(1, 2)):
        container, key = random.choice(list(places(copy)))
        choice = random.random()
        if choice < 0.7:
            container[key] = deepcopy(random.choice(ODD))
        elif choice < 0.85:
            del container[key]
        elif isinstance(container, dict):
            container[random.choice(["extension", "modifierExtension", "id", "status", "valueString"])] = (
                container[key]
            )
    return json.dumps(copy).encode("utf-8", "surrogatepass")


def with_odd_bytes(random: Random, resource: dict[str, Any]) -> bytes:
    """Bytes removed, inserted or changed anywhere."""
    line = bytearray(json.dumps(resource).encode())
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(line) + 1)
        choice = random.randrange(4)
        if choice == 0:
            line[at:at] = random.choice(TOKENS)
        elif choice == 1:
            del line[at : at + random.randint(1, 20)]
        elif choice == 2:
            line[at : at + 1] = bytes([random.randrange(256)])
        else:
            del line[at:]
    return bytes(line)


def broken_lines(random: Random, number: int) -> list[bytes]:
    """A whole patient's lines and as many broken ones."""
    chosen = random.sample(COHORT, number)
    hands: list[Broken] = [with_odd_value, with_odd_bytes]
    return [random.choice(hands)(random, one) for one in chosen] + [
        json.dumps(one).encode() for one in chosen
    ]


def check(lines: list[bytes]) -> None:
    mapped = map_resources(lines, profile=PROFILE)
    counts = mapped.counts
    assert counts.read == counts.used + counts.ignored + counts.refused
    assert all(one.reason in PROFILE.reasons for one in mapped.issues)
    assert all(one.dose_gy is None or 1 <= one.dose_gy <= 100 for one in mapped.lesions)
    assert all(0 <= one.value <= 10 for one in mapped.events if one.kind == "pain")  # type: ignore[operator]


# JSON as Hypothesis draws it, with names of elements that mean something here.
NAMES = st.sampled_from(
    """resourceType id meta versionId lastUpdated profile identifier system value use subject patient
    reference status code coding display text extension url modifierExtension valueQuantity valueInteger
    valueString
    valueCodeableConcept valueReference valueUnsignedInt component dataAbsentReason effectiveDateTime
    effectivePeriod effectiveTiming event start end performedPeriod bodySite partOf focus hasMember
    location morphology entry
    resource fullUrl dosageInstruction doseAndRate doseQuantity timing repeat frequency period link other type
    contained ingredient strength numerator denominator deceasedDateTime birthDate""".split()
)
TYPES = st.sampled_from(
    """Patient Observation Procedure BodyStructure Condition Medication MedicationRequest Bundle AdverseEvent
    MedicationStatement MedicationAdministration ImagingStudy DiagnosticReport Consent""".split()
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=9), TYPES, NAMES,
    st.sampled_from(["Patient/p", "http://loinc.org", "72514-3", "http://snomed.info/sct", "1217123003"]),
    st.sampled_from(["2024-03-05", "2024"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inside, max_size=6)
    ),
    max_leaves=25,
)
RESOURCES = st.builds(
    lambda kind, tree: {"id": "x", **tree, "resourceType": kind},
    TYPES,
    st.dictionaries(NAMES, TREES, max_size=9),
)


@examples(150)
@given(st.lists(RESOURCES | TREES, min_size=1, max_size=4))
def test_any_json_is_counted_and_never_raises(trees: list[Any]) -> None:
    check([json.dumps(one).encode() for one in trees])


@pytest.mark.parametrize("seed", range(40))
def test_broken_lines_are_counted_and_never_raise(seed: int) -> None:
    check(broken_lines(Random(seed), 25))


@pytest.mark.long
def test_ten_minutes_of_broken_lines_are_counted_and_never_raise() -> None:
    """FUZZ_SECONDS may ask for another length; the seed of a failure is in its message."""
    until = time.monotonic() + int(os.environ.get("FUZZ_SECONDS", "600"))
    first = time.time_ns()
    for seed in count(first):
        try:
            check(broken_lines(Random(seed), 25))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        if time.monotonic() > until:
            break
