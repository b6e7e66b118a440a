"""What references may say. `spec/hapi.md` rows 27, 28 and 36; decisions 5."""

from __future__ import annotations

import pytest

from tests.server.contract.fhir import Fhir, refused


def test_a_reference_to_nothing_is_refused(fhir: Fhir) -> None:
    refused(fhir.put(fhir.score(of="nobody")), 400)
    refused(fhir.get(f"Observation/{fhir.own}o"), 404)


def test_a_reference_to_what_was_deleted_is_refused(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    fhir.http.delete(f"Patient/{fhir.own}p")
    refused(fhir.put(fhir.score()), 400)


def test_an_absolute_reference_is_refused_even_to_the_server_itself(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    subject = {"reference": f"{fhir.base}/Patient/{fhir.own}p"}
    refused(fhir.put(fhir.score(subject=subject)), 400)


def test_a_reference_in_an_extension_is_not_checked(fhir: Fhir) -> None:
    reference = {"reference": f"Patient/{fhir.own}nobody"}
    extension = [{"url": "urn:example:extension", "valueReference": reference}]
    assert fhir.stored(fhir.patient(extension=extension))["extension"] == extension


def test_a_reference_loses_its_version(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    subject = {"reference": f"Patient/{fhir.own}p/_history/1"}
    assert fhir.stored(fhir.score(subject=subject))["subject"] == {"reference": f"Patient/{fhir.own}p"}


def test_the_version_of_an_input_survives_as_an_identifier(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    fhir.stored(fhir.score())
    address = f"Observation/{fhir.own}o"
    named = {"system": "urn:example:version", "value": f"{address}/_history/1"}
    provenance = {
        "resourceType": "Provenance",
        "id": f"{fhir.own}pr",
        "target": [{"reference": f"{address}/_history/1"}],
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"display": "contract"}}],
        "entity": [{"role": "source", "what": {"reference": f"{address}/_history/1", "identifier": named}}],
    }
    stored = fhir.stored(provenance)
    assert stored["target"] == [{"reference": address}]
    assert stored["entity"][0]["what"] == {"reference": address, "identifier": named}


@pytest.mark.parametrize("more", [{}, {"display": "a patient", "type": "Patient"}])
def test_a_logical_reference_is_kept_as_it_is(fhir: Fhir, more: dict[str, str]) -> None:
    subject = {"identifier": {"system": "urn:example:mrn", "value": fhir.own}, **more}
    assert fhir.stored(fhir.score(subject=subject))["subject"] == subject


def test_a_contained_resource_may_be_referred_to(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    device = {"resourceType": "Device", "id": "d"}
    score = fhir.stored(fhir.score(contained=[device], device={"reference": "#d"}))
    assert score["contained"][0]["resourceType"] == "Device"
    assert score["device"]["reference"].startswith("#")


def test_what_is_referred_to_cannot_be_deleted(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    fhir.stored(fhir.score())
    refused(fhir.http.delete(f"Patient/{fhir.own}p"), 409)
    assert fhir.http.delete(f"Observation/{fhir.own}o").status_code == 200
    assert fhir.http.delete(f"Patient/{fhir.own}p").status_code == 200


def test_what_is_referred_to_no_more_can_be_deleted(fhir: Fhir) -> None:
    for name in ("p", "q"):
        fhir.stored(fhir.patient(name))
    fhir.stored(fhir.score(of="p"))
    fhir.stored(fhir.score(of="q"))
    assert fhir.http.delete(f"Patient/{fhir.own}p").status_code == 200
