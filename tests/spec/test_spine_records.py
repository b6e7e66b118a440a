"""What imaging says (epidural disease, stability, tumour size, response): sent -> taken -> said of it."""

from itertools import product
from typing import Any

import pytest

from fhir_srs.mapping.spine import SINS_POINTS
from tests.spec.records import ABSENT, SCT, T8, Json, concept, events, loinc, mapped, observation, said

UCUM = "http://unitsofmeasure.org"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCALE = "https://fhir-srs.example.org/CodeSystem/scale"
ON_T8 = {"bodySite": concept(T8, SCT)}


def bilsky(**elements: Any) -> Json:
    return observation(concept("bilsky", SCALE), **elements)


def size(**elements: Any) -> Json:
    return observation(loinc("21889-1"), **elements)


def length(value: Any, unit: str | None = "mm") -> Json:
    return {"value": value, **({} if unit is None else {"unit": unit, "code": unit, "system": UCUM})}


def dimension(code: str, value: Any, unit: str = "mm") -> Json:
    return {"code": loinc(code), "valueQuantity": length(value, unit)}


def response(code: str, system: str) -> Json:
    return observation(loinc("97509-4"), valueCodeableConcept=concept(code, system))


def sins(points: dict[str, Any], **elements: Any) -> Json:
    parts = [{"code": concept(name, SCALE), "valueInteger": value} for name, value in points.items()]
    return observation(concept("sins", SCALE), component=parts, **elements)


def noms(*parts: tuple[str, Json]) -> Json:
    components = [{"code": concept(name, SCALE), **value} for name, value in parts]
    return observation(concept("noms", SCALE), component=components)


WHOLE = {
    "sins-location": 3,
    "sins-pain": 3,
    "sins-lesion": 2,
    "sins-alignment": 0,
    "sins-collapse": 1,
    "sins-posterolateral": 1,
}
ROWS: dict[str, tuple[Json, list[str], set[str]]] = {
    # NOMS: a framework, of which the two scales are read
    "NOMS with its two scales": (
        noms(("bilsky", {"valueString": "1c"}), ("sins", {"valueInteger": 9})),
        ["1c", "9"],
        set(),
    ),
    "NOMS with a grade that is none": (
        noms(("bilsky", {"valueString": "high"}), ("sins", {"valueInteger": 9})),
        ["9"],
        {"value-not-usable"},
    ),
    "NOMS without either": (
        noms(("noms", {"valueString": "radiosensitive"})),
        [],
        {"not used: value-missing"},
    ),
    # Bilsky: a text, never a number
    "the bare grade": (bilsky(valueString="1c"), ["1c"], set()),
    "with its name": (bilsky(valueString="ESCC grade 2"), ["2"], set()),
    "with both names": (bilsky(valueString="Bilsky ESCC: 1B"), ["1b"], set()),
    "coded, read by its display": (
        bilsky(valueCodeableConcept={"coding": [{"code": "x", "system": "urn:x", "display": "Bilsky 3"}]}),
        ["3"],
        set(),
    ),
    "coded by the grade": (bilsky(valueCodeableConcept=concept("1a", "urn:x")), ["1a"], set()),
    "a whole number that is a grade": (bilsky(valueInteger=2), ["2"], set()),
    "1, which could be 1a, 1b or 1c": (bilsky(valueInteger=1), [], {"not used: value-not-usable"}),
    "2c, which is no grade": (bilsky(valueString="2c"), [], {"not used: value-not-usable"}),
    "a sentence": (bilsky(valueString="grade 1b or 1c"), [], {"not used: value-not-usable"}),
    "two grades": (
        bilsky(valueString="1b", valueCodeableConcept={"text": "2"}),
        [],
        {"not used: value-not-usable"},
    ),
    "no grade": (bilsky(), [], {"not used: value-missing"}),
    "not done": (bilsky(dataAbsentReason=ABSENT), [], {"not used: value-absent"}),
    # SINS: the sum of its components
    "six components": (sins(WHOLE), ["10"], set()),
    "six components and their sum": (sins(WHOLE, valueInteger=10), ["10"], set()),
    "six components and another sum": (sins(WHOLE, valueInteger=11), ["10"], {"fields-contradict"}),
    "the total alone": (sins({}, valueInteger=7), ["7"], set()),
    "the total as a quantity": (sins({}, valueQuantity={"value": 7.0}), ["7"], set()),
    "five components": (
        sins({k: v for k, v in WHOLE.items() if k != "sins-pain"}),
        [],
        {"not used: value-missing"},
    ),
    "five components and the total": (
        sins({k: v for k, v in WHOLE.items() if k != "sins-pain"}, valueInteger=10),
        ["10"],
        set(),
    ),
    "points that the scale does not have": (
        sins(WHOLE | {"sins-pain": 2}),
        [],
        {"not used: value-not-usable"},
    ),
    "a total of 19": (sins({}, valueInteger=19), [], {"not used: value-out-of-range"}),
    "a total with a fraction": (sins({}, valueQuantity={"value": 7.5}), [], {"not used: value-missing"}),
    # tumour size: the longest dimension, in millimetres
    "a size": (size(valueQuantity=length(23)), ["23"], set()),
    "a size in centimetres": (size(valueQuantity=length(2.3, "cm")), ["23"], set()),
    "dimensions, in any order": (
        size(component=[dimension("33729-5", 12), dimension("33728-7", 3.1, "cm")]),
        ["31"],
        set(),
    ),
    "a size without a unit": (size(valueQuantity=length(23, None)), [], {"not used: value-not-usable"}),
    "a size in inches": (size(valueQuantity=length(1, "[in_i]")), [], {"not used: value-not-usable"}),
    "less than a size": (
        size(valueQuantity={**length(5), "comparator": "<"}),
        [],
        {"not used: value-not-usable"},
    ),
    "a size of a metre": (size(valueQuantity=length(100, "cm")), [], {"not used: value-out-of-range"}),
    "no size": (size(), [], {"not used: value-missing"}),
    # response by criteria, as an answer to disease status
    "NCIt partial response": (response("C18058", NCIT), ["PR"], set()),
    "DICOM progressive disease": (response("112043", DCM), ["PD"], set()),
    "not evaluable": (response("C62222", NCIT), ["NE"], set()),
    "NAACCR outcome status, which is no response": (
        observation(loinc("21976-6"), valueCodeableConcept=concept("C18058", NCIT)),
        [],
        set(),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_taken_of_what_imaging_says(name: str) -> None:
    sent, taken, reasons = ROWS[name]
    found = mapped(sent | ON_T8)
    made = events(found, "imaging")
    assert [str(one.value) for one in made] == taken
    assert all(one.lesion_id is not None for one in made)
    assert said(found) == reasons


def test_every_legal_sum_of_components_is_between_0_and_18_and_is_the_score() -> None:
    """Brute force over the table of points; the two ends are those of the publication."""
    sums = {sum(one) for one in product(*SINS_POINTS.values())}
    assert (min(sums), max(sums)) == (0, 18)
    for points in list(product(*map(sorted, SINS_POINTS.values())))[::37]:
        (event,) = events(mapped(sins(dict(zip(SINS_POINTS, points, strict=True)))), "imaging")
        assert event.value == sum(points)
