"""What holds for any record of a patient: nothing lost, nothing invented, no order of input, no exception."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs import map_resources
from fhir_srs.dates import PartialDate
from fhir_srs.mapping.facts import LesionSite, LinkHints, PatientFacts
from fhir_srs.mapping.links import link
from fhir_srs.model import to_json
from fhir_srs.r4 import CodeableConcept, Coding, Reference
from tests.spec.records import MCODE, lesion, record
from tests.unit.mapping_given import L2, SCT, T8, T9, Json, patient

LOINC, RXNORM = "http://loinc.org", "http://www.nlm.nih.gov/research/umls/rxnorm"
CODES = [
    (LOINC, "72514-3"), (LOINC, "38208-5"), (LOINC, "38214-3"), (LOINC, "77565-0"), (LOINC, "97339-6"),
    (LOINC, "97509-4"), (LOINC, "89247-1"), (LOINC, "97843-7"), (LOINC, "21975-8"), (LOINC, "8480-6"),
    (SCT, "225908003"), (SCT, "419099009"), (SCT, "387731002"), (SCT, "866087009"), (SCT, "94602001"),
    (RXNORM, "7052"), (RXNORM, "4337"), (RXNORM, "161"), (RXNORM, "1819"), ("urn:local", "72514-3"), (None,
        None),
]  # fmt: skip
DATES = st.sampled_from(
    [None, "2024-03-01", "2024-03", "2024", "2024-02-30", "2024-04-01T10:00:00",
        "2024-04-01T23:59:59.9-05:00",
     "1940-01-01", "9999-12-31", "yesterday", ""]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-5, 200), st.sampled_from([0.5, 7.0, 1e3]), st.decimals(0, 10, places=2).map(float)
)
CONCEPTS: st.SearchStrategy[Json] = st.builds(
    lambda pairs, text: (
        {"coding": [{"system": one, "code": two} for one, two in pairs]} | ({"text": text} if text else {})
    ),
    st.lists(st.sampled_from(CODES), max_size=2),
    st.sampled_from([None, "pain", "T8", "wound", "Left knee", "D"]),
)
QUANTITIES = st.fixed_dictionaries(
    {"value": NUMBERS},
    optional={
        "unit": st.sampled_from(["mg", "/10", "ug/h", "mL", "d", "tablet"]),
        "comparator": st.just("<"),
    },
)
PERIODS = st.fixed_dictionaries({}, optional={"start": DATES, "end": DATES})
REFERENCES = st.sampled_from(
    ["BodyStructure/t8", "BodyStructure/l2", "BodyStructure/gone", "Procedure/t8", "Condition/x",
        "Observation/0",
     "Device/d", "#c", "urn:uuid:1", ""]
).map(lambda one: {"reference": one})  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "valueInteger": NUMBERS,
    "valueQuantity": QUANTITIES,
    "valueString": st.sampled_from(["7", "7/10", "see note", ""]),
    "valueCodeableConcept": CONCEPTS,
    "valueDateTime": DATES,
    "dataAbsentReason": CONCEPTS,
}
STATUSES = st.sampled_from(
    [
        None,
        "final",
        "completed",
        "active",
        "cancelled",
        "entered-in-error",
        "not-done",
        "unknown",
        "preliminary",
    ]
)
DOSAGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "asNeededBoolean": st.booleans(),
            "timing": st.fixed_dictionaries(
                {},
                optional={
                    "repeat": st.fixed_dictionaries(
                        {},
                        optional={
                            "frequency": st.integers(0, 6),
                            "period": NUMBERS,
                            "periodUnit": st.sampled_from(["d", "h", "wk", "x"]),
                            "boundsPeriod": PERIODS,
                            "boundsDuration": QUANTITIES,
                        },
                    )
                },
            ),
            "doseAndRate": st.lists(st.fixed_dictionaries({"doseQuantity": QUANTITIES}), max_size=2),
            "route": CONCEPTS,
        },
    ),
    max_size=2,
)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "status": STATUSES,
    "effectiveDateTime": DATES,
    "effectivePeriod": PERIODS,
}
SHAPES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "Observation": {
        "code": CONCEPTS,
        **COMMON,
        **VALUES,
        "bodySite": CONCEPTS,
        "focus": st.lists(REFERENCES, max_size=2),
        "partOf": st.lists(REFERENCES, max_size=1),
        "hasMember": st.lists(REFERENCES, max_size=1),
        "component": st.lists(st.fixed_dictionaries({"code": CONCEPTS}, optional=VALUES), max_size=2),
    },
    "Condition": {"code": CONCEPTS, "onsetDateTime": DATES, "bodySite": st.lists(CONCEPTS, max_size=1)},
    "Procedure": {"code": CONCEPTS, "status": STATUSES, "performedDateTime": DATES},
    "MedicationRequest": {
        "status": STATUSES,
        "intent": st.sampled_from([None, "order", "plan"]),
        "medicationCodeableConcept": CONCEPTS,
        "authoredOn": DATES,
        "dosageInstruction": DOSAGES,
    },
    "MedicationStatement": {"medicationCodeableConcept": CONCEPTS, **COMMON, "dosage": DOSAGES},
    "MedicationAdministration": {
        "medicationCodeableConcept": CONCEPTS,
        **COMMON,
        "dosage": st.fixed_dictionaries({}, optional={"dose": QUANTITIES, "route": CONCEPTS}),
    },
    "AdverseEvent": {"event": CONCEPTS, "date": DATES},
    "ImagingStudy": {"status": STATUSES, "started": DATES},
}
RECORDS = st.lists(
    st.one_of(
        *(
            st.fixed_dictionaries({}, optional=elements).map(lambda each, kind=kind: (kind, each))  # type: ignore[misc]
            for kind, elements in SHAPES.items()
        )
    ),
    max_size=8,
).map(lambda drawn: [record(kind, str(number), **each) for number, (kind, each) in enumerate(drawn)])
BASE = [patient(birthDate="1950-05-05"), *lesion("t8", T8), *lesion("l2", L2)]


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_every_record_is_used_ignored_or_refused_and_a_refused_one_makes_no_event(
    records: list[Json],
) -> None:
    found = map_resources([*BASE, *records], profile=MCODE)
    counts = found.counts
    assert counts.read == counts.used + counts.ignored + counts.refused == len(BASE) + len(records)
    refused = {one.resource for one in found.issues if not one.used}
    assert refused.isdisjoint(one.source for one in found.events)
    assert counts.refused == len(refused)


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_input_changes_nothing(records: list[Json], shuffling: Any) -> None:
    resources = [*BASE, *records]
    first = to_json(map_resources(resources, profile=MCODE))
    shuffling.shuffle(resources)
    assert to_json(map_resources(resources, profile=MCODE)) == first


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_values_are_within_their_scales_and_spells_do_not_run_backwards(records: list[Json]) -> None:
    found = map_resources([*BASE, *records], profile=MCODE)
    for one in found.events:
        if one.kind == "pain":
            assert isinstance(one.value, Decimal)
            assert 0 <= one.value <= 10
        if one.kind == "opioid" and one.on is not None:
            assert one.until is not None
            assert one.until.last >= one.on.first
            assert one.value is None or (isinstance(one.value, Decimal) and one.value >= 0)
        assert (one.lesion_id is None) == (one.link == "patient")


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_an_issue_holds_no_value_of_the_record(records: list[Json]) -> None:
    marked = json.loads(json.dumps(records).replace("see note", "MARKER").replace("yesterday", "MARKER"))
    found = map_resources([*BASE, *marked], profile=MCODE)
    assert "MARKER" not in repr(found.issues)


def _sites() -> list[LesionSite]:
    found = map_resources([*BASE, *lesion("t9", T9, "2024-08-01")], profile=MCODE)
    return [
        LesionSite(
            lesion=one, structures=frozenset({one.target or ""}), courses=frozenset({one.course or ""})
        )
        for one in found.lesions
    ]


SITES = _sites()
FACTS = PatientFacts(patient="Patient/p", resources={}, drugs={})
NAMES = st.lists(
    st.sampled_from(["BodyStructure/t8", "BodyStructure/l2", "BodyStructure/t9"]).map(
        lambda name: Reference(reference=name)
    ),
    max_size=3,
).map(tuple)
PLACES = st.lists(
    st.sampled_from([T8, T9, L2, "122495006", "72696002"]).map(
        lambda code: CodeableConcept(coding=(Coding(system=SCT, code=code),))
    ),
    max_size=1,
).map(tuple)
HINTS = st.builds(LinkHints, focus=NAMES, volumes=NAMES, sites=PLACES)
ON = st.dates().map(lambda day: PartialDate(day.isoformat(), day, day))


@given(HINTS, ON)
def test_a_link_is_to_a_lesion_that_its_rung_names(hints: LinkHints, on: PartialDate) -> None:
    where = link(hints, on, SITES, FACTS, MCODE)
    named = {one.reference for one in (*hints.focus, *hints.volumes)}
    targets = {one.lesion.lesion_id: one.lesion.target for one in SITES}
    if where.rung == "focus-lesion":
        assert targets[where.lesion_id or ""] in {one.reference for one in hints.focus}
    if where.rung == "volume-extension":
        assert not hints.focus
        assert targets[where.lesion_id or ""] in named
    assert (where.lesion_id is None) == (where.rung == "patient")


@given(HINTS, ON, st.permutations(SITES))
def test_a_link_does_not_depend_on_the_order_of_lesions(
    hints: LinkHints, on: PartialDate, sites: list[LesionSite]
) -> None:
    assert link(hints, on, sites, FACTS, MCODE) == link(hints, on, SITES, FACTS, MCODE)


@given(HINTS, ON, NAMES)
def test_a_weaker_rung_never_moves_an_event_to_another_lesion(
    hints: LinkHints, on: PartialDate, volumes: tuple[Reference, ...]
) -> None:
    """It may only decide what stronger rungs left open."""
    before = link(LinkHints(focus=hints.focus), on, SITES, FACTS, MCODE)
    after = link(LinkHints(focus=hints.focus, volumes=volumes, sites=hints.sites), on, SITES, FACTS, MCODE)
    if before.lesion_id is not None:
        assert after.lesion_id == before.lesion_id
