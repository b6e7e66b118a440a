"""Epidural disease and stability: what is sent -> what is taken -> what is said of it."""

from itertools import product
from typing import Any

import pytest

from fhir_srs.mapping.spine import SINS_POINTS
from tests.spec.records import ABSENT, SCT, T8, Json, concept, events, mapped, observation, said

SCALE = "https://fhir-srs.example.org/CodeSystem/scale"
ON_T8 = {"bodySite": concept(T8, SCT)}


def bilsky(**elements: Any) -> Json:
    return observation(concept("bilsky", SCALE), **elements)


def sins(points: dict[str, Any], **elements: Any) -> Json:
    parts = [{"code": concept(name, SCALE), "valueInteger": value} for name, value in points.items()]
    return observation(concept("sins", SCALE), component=parts, **elements)


WHOLE = {
    "sins-location": 3,
    "sins-pain": 3,
    "sins-lesion": 2,
    "sins-alignment": 0,
    "sins-collapse": 1,
    "sins-posterolateral": 1,
}
ROWS: dict[str, tuple[Json, list[str], set[str]]] = {
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
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_taken_of_epidural_disease_and_stability(name: str) -> None:
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
