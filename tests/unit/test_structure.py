"""What is remembered of accepted elements changes no verdict: it is that of fhir.resources on the whole."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from fhir_srs.results import structure
from fhir_srs.results.structure import Breach, breaches
from fhir_srs.testing.cohort import random_cohort
from tests.outcomes import FIGURE, RESPONSE, build

_NULL_IN_LISTS = [None, {"colour": "red"}]
WRONG = (None, 5, [], _NULL_IN_LISTS, {"extension": [{"url": "u", "valueCode": "x"}]})


def samples() -> dict[str, Any]:
    """What we write and one resource of each type that the synthetic cohort has."""
    written = [one for unit in build(RESPONSE, table=[FIGURE]) for one in (unit.resource, unit.provenance)]
    ours = [json.loads(one) for one in written if one]
    return {one["resourceType"]: one for one in (*random_cohort(6, 7).resources, *ours)}


SAMPLES = samples()


def whole(kind: str, text: bytes) -> list[Breach]:
    """The library's own verdict."""
    try:
        get_fhir_model_class(kind).model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [Breach(one["loc"], one["type"]) for one in found]
    return []


def changed(value: Any) -> Iterator[Any]:
    """*value* with one thing in it otherwise: dropped, or of a shape that R4 may not have there."""
    places = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for place, inner in places:
        copy = type(value)(value)
        del copy[place]
        yield copy
        deeper = changed(inner) if isinstance(inner, dict | list) else ()
        for other in (*WRONG, *deeper):
            copy = type(value)(value)
            copy[place] = other
            yield copy


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_was_accepted_before_changes_no_verdict(kind: str) -> None:
    assert breaches(kind, json.dumps(SAMPLES[kind]).encode()) == []
    refused = 0
    for content in changed({name: one for name, one in SAMPLES[kind].items() if name != "resourceType"}):
        text = json.dumps({"resourceType": kind, **content}).encode()
        expected = whole(kind, text)
        assert breaches(kind, text) == expected
        refused += bool(expected)
    assert refused > 20


def test_what_was_accepted_as_one_element_is_not_as_another() -> None:
    link = [{"other": {"reference": "Patient/b"}, "type": "seealso"}]
    assert breaches("Patient", json.dumps({"resourceType": "Patient", "link": link}).encode()) == []
    name = {"resourceType": "Patient", "name": link}
    assert {one.path[0] for one in breaches("Patient", json.dumps(name).encode())} == {"name"}
    bundle = {"resourceType": "Bundle", "type": "batch", "link": link}
    assert {one.path[0] for one in breaches("Bundle", json.dumps(bundle).encode())} == {"link"}


def test_the_extension_of_a_primitive_is_judged_too() -> None:
    patient = {"resourceType": "Patient", "_birthDate": {"extension": [{"url": "u", "valueCode": "x"}]}}
    assert breaches("Patient", json.dumps(patient).encode()) == []
    patient["_birthDate"] = {"extension": [{"url": "u", "valueCode": " "}]}
    assert breaches("Patient", json.dumps(patient).encode())


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b'{"id": "\\ud800"}', b'{"id": "\xff"}', b"[" * 5_000])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    assert breaches("Patient", text)


def test_a_long_run_does_not_remember_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_REMEMBERED", 10)
    for number in range(50):
        patient = {"resourceType": "Patient", "identifier": [{"value": str(number)}]}
        assert breaches("Patient", json.dumps(patient).encode()) == []
    assert len(structure._accepted) < 13
