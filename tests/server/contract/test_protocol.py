"""HTTP around it: metadata, media types, compression, the clock. `spec/hapi.md` row 19."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tests.server.contract.fhir import Fhir, put_entry, refused

NEEDED = {
    "Patient": {"_id", "_lastUpdated", "identifier"},
    "Observation": {"_id", "_lastUpdated", "patient", "subject", "code", "category", "status", "identifier"},
    "Procedure": {"_id", "_lastUpdated", "patient", "subject", "code", "category", "status", "identifier"},
    "Condition": {"patient", "subject", "code", "category"},
    "MedicationRequest": {"patient", "subject", "code", "status"},
    "BodyStructure": {"patient", "identifier"},
    "AdverseEvent": {"subject"},
    "Provenance": {"target"},
}


def test_metadata_says_r4(fhir: Fhir) -> None:
    statement = fhir.get("metadata").json()
    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["kind"] == "instance"


def test_metadata_names_the_types_with_what_can_be_asked_of_them(fhir: Fhir) -> None:
    (rest,) = fhir.get("metadata").json()["rest"]
    assert rest["mode"] == "server"
    types = {one["type"]: one for one in rest["resource"]}
    for name, needed in NEEDED.items():
        assert needed <= {one["name"] for one in types[name]["searchParam"]}, name
        assert {"read", "vread", "update", "create", "delete", "search-type"} <= {
            one["code"] for one in types[name]["interaction"]
        }
    assert {"transaction", "history-system"} <= {one["code"] for one in rest["interaction"]}


def test_answers_are_fhir_json(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    for address in ("metadata", f"Patient/{fhir.own}p", f"Patient?_id={fhir.own}p"):
        assert fhir.get(address).headers["content-type"].lower().startswith("application/fhir+json")


def test_a_large_answer_is_compressed_if_asked(fhir: Fhir) -> None:
    people = [fhir.patient(f"p{n}") for n in range(50)]
    fhir.send("transaction", *map(put_entry, people))
    ids = [("_id", ",".join(one["id"] for one in people)), ("_count", "50")]
    packed = fhir.get("Patient", *ids, Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    plain = fhir.get("Patient", *ids, Accept_Encoding="identity")
    assert "content-encoding" not in plain.headers
    assert len(packed.json()["entry"]) == len(plain.json()["entry"]) == 50


def test_every_answer_has_the_date_of_the_server(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    answers = [fhir.get(f"Patient/{fhir.own}p"), fhir.get(f"Patient/{fhir.own}none"), fhir.get("metadata")]
    for answer in answers:
        said = parsedate_to_datetime(answer.headers["date"])
        assert abs(datetime.now(UTC) - said) < timedelta(minutes=1)


def test_connections_are_kept(fhir: Fhir) -> None:
    answers = [fhir.get("metadata") for _ in range(2)]
    streams = {answer.extensions["network_stream"] for answer in answers}
    assert len(streams) == 1


def test_an_operation_that_is_none_is_refused(fhir: Fhir) -> None:
    refused(fhir.get("Patient/$nonsense"), 400)
    refused(fhir.get(f"Patient/{fhir.own}p/$nonsense"), 400)
