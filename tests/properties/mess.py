"""A cohort with all that makes mapping depend on more than one line, or on their order where it is wrong."""

import copy
import json
from collections import Counter
from random import Random
from typing import Any

from fhir_srs.testing.cohort import random_cohort

Json = dict[str, Any]
HEART_RATE = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
PATIENTS = 24
# Later than any other version: no other undoes a merge.
LATE = {"lastUpdated": "2027-01-01T00:00:00Z"}
# spec/performance.md section 2.2, and what else comes where a resource should be. None of these has an
# element that could be dropped: each is one refused resource.
UNREADABLE = (
    b'{"resourceType":"Observation","id":"cut',
    b"\xef\xbb\xbf" + b'{"resourceType":"Patient","id":"bom"}',
    b'{"resourceType":"Patient","id":"nan","multipleBirthInteger":NaN,"birthDate":NaN}',
    b'{"id":"untyped"}',
    b'{"resourceType":"Procedure"}',
    b'{"resourceType":"Observation","id":7}',
    b'{"resourceType":"Patient","id":"\xff"}',
    b"[" * 3000,
    b"null",
    b"<html>",
    b'"text"',
)


def messy_cohort(seed: int) -> list[bytes]:
    """The lines, one resource or Bundle each, in no order that matters."""
    draw = Random(f"mess:{seed}")
    resources = random_cohort(PATIENTS, seed).resources
    for more in (_ties, _twins, _merges, _named_by_identifier, _astray, _drugs, _others, _versions):
        resources = [*resources, *more(resources, draw)]
    lines = [json.dumps(one).encode() for one in resources]
    lines += [*UNREADABLE, *_bundles(draw)]
    draw.shuffle(lines)
    return lines


def _of(resources: list[Json], *kinds: str) -> list[Json]:
    return [one for one in resources if one["resourceType"] in kinds]


def _like(resource: Json, **changed: Any) -> Json:
    return copy.deepcopy(resource) | changed


def _ties(resources: list[Json], draw: Random) -> list[Json]:
    """A second score on the day of the first."""
    scores = [one for one in _of(resources, "Observation") if "valueInteger" in one]
    chosen = draw.sample(scores, min(15, len(scores)))
    return [_like(one, id=f"{one['id']}-tie", valueInteger=draw.randint(0, 10)) for one in chosen]


def _twins(resources: list[Json], draw: Random) -> list[Json]:
    """Patients copied under other ids with their identifier: nobody merged them."""
    made = []
    for patient in draw.sample(_of(resources, "Patient"), 3):
        for number in (1, 2)[: draw.randint(1, 2)]:
            name = f"Patient/{patient['id']}"
            mine = [one for one in resources if f'"{name}"' in json.dumps(one) or one is patient]
            text = json.dumps(mine)
            for one in mine:
                text = text.replace(f'/{one["id"]}"', f'/twin{number}-{one["id"]}"')
            made += [one | {"id": f"twin{number}-{one['id']}"} for one in json.loads(text)]
    return made


def _versions(resources: list[Json], draw: Random) -> list[Json]:
    """Copies, newer and older versions, some with another subject, some another kind of data."""
    others = [{"reference": f"Patient/{one['id']}"} for one in _of(resources, "Patient")]
    metas: list[Json] = [
        {},
        {"versionId": "1"},
        {"versionId": "9", "lastUpdated": "2026-01-01T00:00:00Z"},
        {"versionId": "10", "lastUpdated": "2026-01-01T00:00:00Z"},
        {"lastUpdated": "2020-01-01T00:00:00+02:00"},
    ]
    made = []
    for one in draw.sample(resources, 90):
        for _ in range(draw.randint(1, 3)):
            changed: Json = {"meta": draw.choice([one.get("meta", {}), *metas])}
            if "subject" in one and draw.random() < 0.4:
                changed["subject"] = draw.choice(others)
            if one["resourceType"] == "Observation" and draw.random() < 0.3:
                changed["code"] = HEART_RATE
            if "status" in one and draw.random() < 0.3:
                changed["status"] = draw.choice(["entered-in-error", "unknown", "completed"])
            made.append(_like(one, **changed))
    return made


def _link(patient: Json, kind: str, other: Json) -> Json:
    return _like(patient, link=[{"type": kind, "other": other}], meta={"versionId": "99"} | LATE)


def _merges(resources: list[Json], draw: Random) -> list[Json]:
    """A chain, a ring, a link by identifier, one from the survivor's side, one that a newer version undid."""
    held = Counter(one["identifier"][0]["value"] for one in _of(resources, "Patient"))
    alone = [one for one in _of(resources, "Patient") if held[one["identifier"][0]["value"]] == 1]
    first = draw.sample(alone, 9)
    by_name = [{"reference": f"Patient/{one['id']}"} for one in first]
    by_identifier = {"identifier": {key: first[6]["identifier"][0].get(key) for key in ("system", "value")}}
    undone = _link(first[7], "replaced-by", by_name[8])
    return [
        _link(first[0], "replaced-by", by_name[1]),
        _link(first[1], "replaced-by", by_name[2]),
        _link(first[3], "replaced-by", by_name[4]),
        _link(first[4], "replaced-by", by_name[3]),
        _link(first[5], "replaced-by", by_identifier),
        _link(first[6], "replaces", {"reference": "Patient/never-sent"}),
        undone,
        _like(undone, link=[], meta={"versionId": "100"} | LATE),
    ]


def _named_by_identifier(resources: list[Json], draw: Random) -> list[Json]:
    """Resources whose subject is an identifier: of one patient, of twins, of a merged one, of nobody."""
    held = [one["identifier"][0] for one in _of(resources, "Patient")]
    held += [one["identifier"][0] for one in _of(resources, "Patient") if "link" in one] * 3
    tokens = [{key: one.get(key) for key in ("system", "value")} for one in held]
    tokens += [{"system": "urn:nobody", "value": "1"}, {"value": "2"}]
    chosen = draw.sample(_of(resources, "Observation", "Procedure", "Condition"), 30)
    # A reference that names nothing leaves it to the identifier beside it.
    nowhere: list[Json] = [{}, {"reference": "?conditional"}]
    return [
        _like(one, id=f"named-{number}", subject={"identifier": draw.choice(tokens), **draw.choice(nowhere)})
        for number, one in enumerate(chosen)
    ]


def _astray(resources: list[Json], draw: Random) -> list[Json]:
    """Observations that name another patient's structure, or none that was sent."""
    names = [f"BodyStructure/{one['id']}" for one in _of(resources, "BodyStructure")]
    scores = draw.sample([one for one in _of(resources, "Observation") if "subject" in one], 12)
    return [
        _like(
            one,
            id=f"astray-{n}",
            focus=[{"reference": draw.choice([draw.choice(names), "BodyStructure/gone"])}],
        )
        for n, one in enumerate(scores)
    ]


def _drugs(resources: list[Json], draw: Random) -> list[Json]:
    """Medications in two versions, and orders that name one, one of them never sent."""
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    made: list[Json] = [
        {
            "resourceType": "Medication",
            "id": f"drug{number}",
            "meta": {"versionId": str(version)},
            "code": {"coding": [{"system": rxnorm, "code": code}]},
        }
        for number in range(6)
        for version, code in ((1, "7052"), (2, "7804"))
    ]
    orders = _of(resources, "MedicationRequest", "MedicationStatement")
    for number, one in enumerate(draw.sample(orders, min(12, len(orders)))):
        named = _like(one, id=f"order{number}", medicationReference={"reference": f"Medication/drug{number}"})
        named.pop("medicationCodeableConcept", None)
        made.append(named)
    return made


def _others(resources: list[Json], draw: Random) -> list[Json]:
    """Without a patient, of our own making, of types that nobody reads, with elements that are not FHIR."""
    some = draw.sample(_of(resources, "Observation", "Procedure"), 8)
    nobodys: list[Json] = [
        {"subject": None},
        {"subject": {"reference": "Group/1"}},
        {"subject": {"display": "x"}},
        {"subject": {"reference": "#contained"}},
        {"subject": {"reference": "https://ehr.example/fhir/Patient/elsewhere/_history/2"}},
        {"bodySite": "text", "focus": 7},
        {"identifier": [{"system": "https://x.example/result", "value": "1"}]},
        {"status": 3, "partOf": "x", "extension": [None]},
    ]
    made = [_like(one, id=f"srs-other{n}", **nobodys[n]) for n, one in enumerate(some)]
    return [*made, {"resourceType": "Practitioner", "id": "1"}, {"resourceType": "Practitioner", "id": "1"}]


def _bundles(draw: Random) -> list[bytes]:
    """A transaction whose entries name each other by uuid, with a broken one among them."""
    entries = []
    for number, one in enumerate(random_cohort(1, draw.randint(1, 99)).resources[:6]):
        entries.append({"fullUrl": f"urn:uuid:{number}", "resource": {**one, "id": f"b-{one['id']}"}})
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    text = json.dumps(bundle, indent=None).encode()
    return [
        text,
        text.replace(b'"entry": [', b'"entry": [{"resource": {"resourceType": "Procedure", "id": 1}}, ', 1),
    ]
