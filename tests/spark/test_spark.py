"""`map --engine spark` on a local Spark gives the bytes of the local engine (`make test-spark`)."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from fhir_srs.model import to_json
from fhir_srs.testing.cohort import random_cohort

pytestmark = pytest.mark.spark
Json = dict[str, object]
MRN = "http://example.org/mrn"


def people() -> list[Json]:
    """Records merged by reference, by identifier and in a ring; two of one identifier that nobody merged."""

    def record(id_: str, mrn: str, **more: object) -> Json:
        return {"resourceType": "Patient", "id": id_, "identifier": [{"system": MRN, "value": mrn}], **more}

    def link(kind: str, **other: object) -> list[Json]:
        return [{"type": kind, "other": other}]

    by_name = {"identifier": {"system": MRN, "value": "keeper"}}
    return [
        record("old", "1", link=link("replaced-by", reference="Patient/new")),
        record("new", "2"),
        record("older", "3", link=link("replaced-by", **by_name)),
        record("keeper", "keeper"),
        record("ring-a", "4", link=link("replaces", reference="Patient/ring-b")),
        record("ring-b", "5", link=link("replaces", reference="Patient/ring-a")),
        record("twin-1", "twin"),
        record("twin-2", "twin"),
    ]


def treated(patient: Json, name: str) -> list[Json]:
    """A lesion at T8 of whoever the reference *patient* names."""
    site = {"coding": [{"system": "http://snomed.info/sct", "code": "77435000"}]}
    procedure = {
        "resourceType": "Procedure",
        "id": name,
        "status": "completed",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "115959002"}]},
        "subject": patient,
        "performedDateTime": "2024-03-05",
        "bodySite": [site],
    }
    pain = {
        "resourceType": "Observation",
        "id": f"{name}-pain",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "72514-3"}]},
        "subject": patient,
        "effectiveDateTime": "2024-04-01",
        "valueInteger": 3,
        "partOf": [{"reference": f"Procedure/{name}"}, {"reference": "Procedure/of-new"}],
        "bodySite": site,
    }
    drug = {
        "resourceType": "MedicationRequest",
        "id": f"{name}-drug",
        "status": "active",
        "intent": "order",
        "subject": patient,
        "medicationReference": {"reference": "Medication/shared"},
        "authoredOn": "2024-03-01",
    }
    return [procedure, pain, drug]


def extra() -> list[Json]:
    oxycodone = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "7804"}
    shared = {"resourceType": "Medication", "id": "shared", "code": {"coding": [oxycodone]}}
    named = [
        treated({"reference": "Patient/old"}, "of-old"),
        treated({"reference": "Patient/new"}, "of-new"),
        treated({"identifier": {"system": MRN, "value": "keeper"}}, "of-keeper"),
        treated({"identifier": {"system": MRN, "value": "twin"}}, "of-one-of-two"),
        treated({"reference": "Patient/older"}, "of-older"),
        treated({"reference": "Patient/twin-1"}, "of-twin-1"),
        treated({"reference": "Patient/twin-2"}, "of-twin-2"),
        treated({"reference": "https://ehr.example/fhir/Patient/ring-a"}, "of-ring"),
        treated({"reference": "Device/pump"}, "of-pump"),
        treated({}, "of-nobody"),
    ]
    return [*people(), shared, *(one for lesion in named for one in lesion)]


def crowd() -> list[Json]:
    """A treated patient with 120 scores, some under the reference of a record that was merged."""
    link = [{"type": "replaced-by", "other": {"reference": "Patient/many"}}]
    records = [
        {"resourceType": "Patient", "id": "many"},
        {"resourceType": "Patient", "id": "also", "link": link},
    ]
    lesion = treated({"reference": "Patient/many"}, "of-many")
    scores = [
        dict(lesion[1], id=f"score-{number}", subject={"reference": f"Patient/{name}"})
        for number in range(60)
        for name in ("many", "also")
    ]
    return [*records, *lesion, *(dict(one, id=f"{one['id']}-{n}") for n, one in enumerate(scores))]


def versions(resources: list[Json]) -> list[Json]:
    """Newer copies of every seventh resource, of another patient every fourteenth time; and plain copies."""
    newer = [
        dict(one, meta={"versionId": "2", "lastUpdated": "2027-01-01T00:00:00Z"}) for one in resources[::7]
    ]
    for one in newer[::2]:
        if "subject" in one:
            one["subject"] = {"reference": "Patient/new"}
    return [*newer, *resources[::11]]


BROKEN = [
    b'{"resourceType":"Observation","id":"cut',
    b'{"resourceType":"Observation","id":"utf8","status":"\xff\xfe"}',
    b'{"resourceType":"Observation","id":"skipped","text":{"div":"\xff"},"code":{"text":"other"}}',
    b'{"resourceType":"Practitioner","id":"who"}',
    b'{"resourceType":"Observation"}',
    b"[1, 2]",
    b"",
    b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"packed"}}]}',
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort and all that is hard about one, shuffled over plain, CRLF and gzipped files of a folder."""
    folder = tmp_path_factory.mktemp("sources")
    resources = [*random_cohort(25, 7).resources, *extra(), *crowd()]
    lines = [*(json.dumps(one).encode() for one in (*resources, *versions(resources))), *BROKEN]
    Random(1).shuffle(lines)
    (folder / "a.ndjson").write_bytes(b"\n".join(lines[::3]))
    (folder / "b.ndjson").write_bytes(b"\r\n".join(lines[1::3]) + b"\r\n")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "c.ndjson.gz").write_bytes(gzip.compress(b"\n".join(lines[2::3])))
    document = {
        "resourceType": "Bundle",
        "entry": [{"resource": one} for one in treated({"reference": "Patient/packed"}, "p")],
    }
    (folder / "deeper" / "bundle.json").write_text(json.dumps(document, indent=1))
    (folder / "notes.txt").write_text("no FHIR")
    return folder


def mapped(sources: Path, out: Path, engine: str, *options: str) -> list[bytes]:
    """Lesions, events and issues as `fhir-srs map` writes them."""
    files = [out / f"{name}.ndjson" for name in ("lesions", "events", "issues")]
    flags = [
        word
        for name, file in zip(("--out", "--events", "--issues"), files, strict=True)
        for word in (name, str(file))
    ]
    settings = (
        "--master local[2] --conf spark.default.parallelism=4 --conf spark.ui.enabled=false pyspark-shell"
    )
    spark = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYSPARK_SUBMIT_ARGS": settings}
    done = subprocess.run(
        [sys.executable, "-m", "fhir_srs", "map", str(sources), "--engine", engine, *options, *flags],
        env={**os.environ, **spark},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [file.read_bytes() for file in files]


def test_spark_gives_the_bytes_of_the_local_engine(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "spark").mkdir()
    local = mapped(sources, tmp_path / "local", "local")
    assert all(local), "the cohort gives lesions, events and issues"
    assert mapped(sources, tmp_path / "spark", "spark") == local


def test_who_has_too_many_resources_is_refused_whole_there_too(sources: Path, tmp_path: Path) -> None:
    profile = tmp_path / "small.toml"
    profile.write_text('name = "small"\nversion = "1"\n[choices]\npatient_limit = 100\n')
    (tmp_path / "spark").mkdir()
    local = mapped(sources, tmp_path, "local", "--profile", str(profile))
    assert b"patient-too-large" in local[2]
    assert all(local)
    assert mapped(sources, tmp_path / "spark", "spark", "--profile", str(profile)) == local


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    source = tmp_path / "few.ndjson"
    source.write_bytes(b"\n".join(to_json(one) for one in random_cohort(2, 3).resources))
    assert mapped(source, tmp_path, "spark") == mapped(source, tmp_path, "local")
