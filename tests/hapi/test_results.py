"""Our results on a real HAPI server: they validate against our profiles, and come back as they were sent."""

import json

import httpx
import pytest
from msgspec.structs import replace

from fhir_srs import tables
from fhir_srs.model import Status
from fhir_srs.results import canonical_hash, rebased, withdrawn
from tests.outcomes import BASE, FIGURE, LESION, NOW, RELAPSE, RESPONSE, TARGET, build

pytestmark = pytest.mark.hapi

JSON = {"Content-Type": "application/fhir+json"}
PROFILES = frozenset(
    f"{BASE}/StructureDefinition/{name}"
    for name in ("srs-pain-response", "srs-time-to-event", "srs-cohort-figure")
)
INPUTS = [
    {"resourceType": "Organization", "id": "res-o1", "name": "A hospital"},
    {"resourceType": "Patient", "id": "res-p1"},
    {
        "resourceType": "Procedure",
        "id": "res-c1",
        "status": "completed",
        "subject": {"reference": "Patient/res-p1"},
    },
    {"resourceType": "BodyStructure", "id": "res-b1", "patient": {"reference": "Patient/res-p1"}},
    {"resourceType": "Observation", "id": "res-17", "status": "final", "code": {"text": "pain"}},
    {
        "resourceType": "MedicationRequest",
        "id": "res-m1",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "morphine"},
        "subject": {"reference": "Patient/res-p1"},
    },
]
ROW = {"patient": "Patient/res-p1", "sources": ("Observation/res-17/_history/1", "MedicationRequest/res-m1")}
LESION_HERE = replace(
    LESION,
    patient="Patient/res-p1",
    course="Procedure/res-c1",
    target="BodyStructure/res-b1",
    sources=("Procedure/res-c1/_history/1",),
)
ROWS = [
    replace(RESPONSE, **ROW),
    replace(RESPONSE, window="1-month", category="NE", reason="no-score-in-window", assessed_on=None, **ROW),
    replace(RELAPSE, **ROW),
    replace(
        RELAPSE, endpoint="overall-survival", lesion_id=None, grain="patient", status=Status.EVENT, **ROW
    ),
    replace(RELAPSE, endpoint="time-to-relief", days=None, status=None, reason="late-entry", **ROW),
]
FIGURES = [
    FIGURE,
    replace(FIGURE, name="median", value=None, status="not-reached", numerator=None, denominator=None),
]
TARGETS = {
    "literal": replace(TARGET, organization="Organization/res-o1", synthetic=True, profiles=PROFILES),
    "logical": replace(TARGET, references="logical", profiles=PROFILES),
}


def units(target):
    wanted = build(*ROWS, table=FIGURES, target=target, lesions=[LESION_HERE])
    gone = [
        withdrawn(
            unit.resource, unit.group, target, reason="no source", recorded=NOW, sources=unit.depends_on
        )
        for unit in wanted
        if unit.type == "Observation"
    ]
    return [*wanted, *gone]


@pytest.fixture(scope="module")
def server(hapi_base):
    with httpx.Client(base_url=hapi_base + "/", headers=JSON, timeout=120) as client:
        definitions = [rebased(tables.text(name), BASE) for name in tables.names("fhir/*.json")]
        for resource in (*definitions, *(json.dumps(one).encode() for one in INPUTS)):
            put(client, resource)
        yield client


def put(client, resource):
    name = json.loads(resource)
    answer = client.put(f"{name['resourceType']}/{name['id']}", content=resource)
    assert answer.status_code in (200, 201), answer.text
    return answer


def errors(client, resource):
    """What the server's $validate holds against *resource*; warnings left out."""
    kind = json.loads(resource)["resourceType"]
    issues = client.post(f"{kind}/$validate", content=resource).json()["issue"]
    return [issue["diagnostics"] for issue in issues if issue["severity"] in ("error", "fatal")]


def test_our_definitions_are_valid(server):
    for name in tables.names("fhir/*.json"):
        assert errors(server, rebased(tables.text(name), BASE)) == [], name


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_result_is_valid_comes_back_as_sent_and_is_no_new_version_when_sent_again(server, target):
    for unit in units(target):
        for resource in filter(None, (unit.resource, unit.provenance)):
            assert errors(server, resource) == []
            first = put(server, resource)
            name = json.loads(resource)
            stored = server.get(f"{name['resourceType']}/{name['id']}").content
            assert canonical_hash(stored) == canonical_hash(resource)
            assert put(server, resource).headers["etag"] == first.headers["etag"]


def test_a_time_without_its_censoring_flags_is_invalid(server):
    unit = next(one for one in units(TARGETS["literal"]) if b'"event-observed"' in one.resource)
    content = json.loads(unit.resource)
    content["component"] = []
    found = " ".join(errors(server, json.dumps(content).encode()))
    assert "srs-2" in found
    assert "srs-3" in found
