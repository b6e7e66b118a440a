"""What mapping remembers of one Observation never changes what it makes of another."""

import json
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs import map_resources
from fhir_srs.model import Mapped
from tests.spec.records import ABSENT, HL7, MCODE, SCT, T8, Json, concept, lesion, loinc, observation, patient

T9 = "33766003"
SCORES = [
    {"valueInteger": 3},
    {"valueInteger": 3.0},
    {"valueInteger": "3"},
    {"valueInteger": 15},
    {"valueInteger": None},
    {"valueQuantity": {"value": 4, "unit": "{score}"}},
    {"valueQuantity": {"value": 4.0, "comparator": "<"}},
    {"valueQuantity": [4]},
    {"valueString": "4/10"},
    {"valueString": "see note"},
    {"valueCodeableConcept": loinc("LA6115-5")},
    {"valueCodeableConcept": concept("271299001")},
    {"valueCodeableConcept": concept("271299001") | {"extension": [{"url": 5}]}},
    {"valueBoolean": True},
    {"valueTime": "10:00:00"},
    {"valueSampledData": {"dimensions": 1}},
    {"valueRange": {"low": {"value": 1}}},
    {"valueDateTime": "2024-04-02"},
    {"valueDateTime": "2024-02-30"},
    {"dataAbsentReason": ABSENT},
    {"component": [{"code": loinc("72514-3"), "valueInteger": 5}]},
    {"component": [{"code": 7}]},
    {},
]
CODES = [
    loinc("72514-3"),
    loinc("38208-5"),
    loinc("97509-4"),
    loinc("89247-1"),
    loinc("21975-8"),
    loinc("97339-6"),
    loinc("8867-4"),
    concept("225908003"),
    concept("419099009"),
    concept("72514-3", "urn:local"),
    {"text": "pain"},
    loinc("72514-3") | {"extension": [{"url": "urn:x", "valueDecimal": 1.5}]},
    {"coding": {"code": "72514-3"}},
    {},
    None,
]
PLACES = [
    {"bodySite": concept(T8)},
    {"bodySite": concept(T9, SCT)},
    {"bodySite": "T8"},
    {"bodySite": concept(T8) | {"extension": [{"url": "urn:x", "valueQuantity": {"value": 1}}]}},
    {"focus": [{"reference": "BodyStructure/t8"}]},
    {"focus": [{"reference": "Device/pump"}]},
    {"focus": [{"display": "Device/"}]},
    {"partOf": [{"reference": "Procedure/t8"}]},
    {"extension": [{"url": f"{HL7}bodySite", "valueReference": {"reference": "BodyStructure/t8"}}]},
    {},
]
MORE = [
    {"status": "preliminary"},
    {"status": "entered-in-error"},
    {"status": "cancelled"},
    {"status": 5},
    {"modifierExtension": [{"url": "urn:not-so"}]},
    {"meta": {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-cancer-disease-status"]}},
    {"subject": {"reference": "Patient/other"}},
    {"subject": {}},
    {"hasMember": [{"reference": "Observation/x0"}]},
    {"effectiveDateTime": 2024},
    {},
]
DRAWN = st.tuples(*map(st.sampled_from, (CODES, SCORES, PLACES, MORE)))


def written(number: int, drawn: tuple[Json | None, Json, Json, Json]) -> bytes:
    """One Observation a day, so that none contradicts another."""
    code, *rest = drawn
    made = observation(code, f"x{number}", effectiveDateTime=str(date(2024, 4, 1) + timedelta(number)))
    for one in rest:
        made |= one
    return json.dumps(made).encode()


def mapped_with(*bodies: bytes) -> Mapped:
    given_ = [json.dumps(one).encode() for one in (patient(birthDate="1950-05-05"), *lesion())]
    return map_resources([*given_, *bodies], profile=MCODE)


def told(found: Mapped) -> set[str]:
    """Events and issues of Observations, as text."""
    events = [str(one) for one in found.events if one.source.startswith("Observation/")]
    return {*events, *(str(one) for one in found.issues if "Observation/" in str(one.resource))}


@settings(max_examples=150, deadline=None)
@given(st.lists(DRAWN, max_size=8))
def test_observations_together_give_what_each_gives_alone(drawn):
    bodies = [written(number, one) for number, one in enumerate(drawn)]
    bodies = [one for one in bodies if b"hasMember" not in one]  # a panel needs its members
    alone = [mapped_with(one) for one in bodies]
    together = mapped_with(*bodies)
    assert told(together) == set().union(*map(told, alone))
    refused = sum(one.counts.refused for one in alone)
    assert together.counts.refused == refused


@settings(max_examples=150, deadline=None)
@given(st.lists(DRAWN, max_size=6))
def test_observations_give_the_same_as_bytes_as_dicts_and_in_a_bundle(drawn):
    bodies = [written(number, one) for number, one in enumerate(drawn)]
    dicts = [json.loads(one) for one in bodies]
    spaced = [json.dumps(one, indent=1, sort_keys=True).encode() for one in dicts]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in dicts]}
    wanted = mapped_with(*bodies)
    assert mapped_with(*spaced) == wanted
    assert mapped_with(json.dumps(bundle).encode()) == wanted
    assert mapped_with(*bodies, *bodies).events == wanted.events
