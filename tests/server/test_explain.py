"""`fhir-srs explain` after a sync: what it shows is what landed on the server, from the same resources."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_srs.cli import run as command
from fhir_srs.config import load_settings
from fhir_srs.sync import run_sync
from fhir_srs.testing.server import running_server
from tests.server.patients import story
from tests.server.test_sync import BASE, Ward, done, inputs

SETTINGS = """
[source]
base_url = "{base}"
allow_insecure_loopback = true
[target]
canonical_base = "https://srs.example.org"
synthetic = true
[study]
names = ["ryu2008"]
cutoff = "2025-12-31"
[sync]
write = true
"""


class Synced:
    """A server after a run, the settings of that run, and the lesions that have results."""

    def __init__(self, base_url: str, folder: Path) -> None:
        self.ward = Ward(base_url)
        self.settings = folder / "fhir-srs.toml"
        self.settings.write_text(SETTINGS.format(base=base_url))
        done(run_sync(load_settings(self.settings)))
        self.results = list(self.ward.results().values())
        self.lesions = sorted({name for one in self.results if (name := lesion_of(one))})


def lesion_of(result: dict[str, object]) -> str | None:
    identifiers: list[dict[str, str]] = result["identifier"]  # type: ignore[assignment]
    return next((one["value"] for one in identifiers if one["system"] == f"{BASE}/lesion"), None)


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    folder = tmp_path_factory.mktemp("explain")
    with running_server([*story("a"), *story("b", coded=True), *story("c")]) as server:
        one = Synced(server.base_url, folder)
        yield one
        one.ward.close()


def part(result: dict[str, Any], name: str) -> str | None:
    """The text of the component *name* of *result*."""
    named = {one["code"]["coding"][0]["code"]: one.get("valueString") for one in result["component"]}
    return named.get(name)


def asked(synced: Synced, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert command(["explain", *words, "-c", str(synced.settings)]) == 0
    return capfd.readouterr().out


def test_times_and_sources_are_those_of_the_results_on_the_server(
    synced: Synced, capfd: pytest.CaptureFixture[str]
) -> None:
    provenances = {one["target"][0]["reference"]: one for one in synced.ward.all("Provenance").values()}
    seen = 0
    for result in synced.results:
        lesion, endpoint = lesion_of(result), result["code"]["coding"][0]["code"]
        if lesion is None or endpoint != "time-to-relief" or "valueQuantity" not in result:
            continue
        told = json.loads(asked(synced, capfd, lesion, endpoint, "--json"))
        (row,) = [
            one for one in told["judgements"][0]["times"] if one.get("variant") == part(result, "variant")
        ]
        assert row["days"] == result["valueQuantity"]["value"]
        sources = {source.partition("/_history")[0] for source in row["sources"]}
        assert sources == inputs(provenances[f"Observation/{result['id']}"])
        seen += 1
    assert seen


def test_the_page_names_the_resource_versions_and_no_patient_but_by_reference(
    synced: Synced, capfd: pytest.CaptureFixture[str]
) -> None:
    text = asked(synced, capfd, synced.lesions[0][:10])
    assert "/_history/1" in text
    assert "Study ryu2008, version 1" in text
    assert "Canary-Marker" not in text


def test_a_figure_of_the_cohort_is_explained_as_it_stands_on_the_server(
    synced: Synced, capfd: pytest.CaptureFixture[str]
) -> None:
    words = "ryu2008 pain-response best assessable CR+PR+STABLE"
    told = json.loads(asked(synced, capfd, "--figure", words, "--json"))
    (result,) = [
        one
        for one in synced.ward.all("Observation").values()
        if one.get("subject", {}).get("reference", "").startswith("Group/")
        and one["code"]["coding"][0]["code"] == "pain-response"
        and (part(one, "label"), part(one, "window"), part(one, "population"))
        == ("CR+PR+STABLE", "best", "assessable")
        and "ryu2008" in one["method"]["text"]
        and part(one, "variant") is None
    ]
    assert told["figure"]["value"] == pytest.approx(result["valueQuantity"]["value"], abs=1e-6)
    assert len(told["counted"]) == told["figure"]["numerator"]
    assert told["resources"]
    assert command(["explain", "-c", str(synced.settings)]) == 64
    assert command(["explain", synced.lesions[0], "--figure", "CR", "-c", str(synced.settings)]) == 64
    in_part = ("--by", "region", "--figure", f"region: thoracic {words}", "--json")
    of_part = json.loads(asked(synced, capfd, *in_part))
    assert of_part["figure"]["group"] == "region: thoracic"
    assert len(of_part["counted"]) + len(of_part["others"]) == of_part["figure"]["denominator"] > 0
    capfd.readouterr()


def test_what_is_not_there_is_one_line_and_usage(synced: Synced, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(["explain", "no-such-lesion", "-c", str(synced.settings)]) == 64
    assert command(["explain", synced.lesions[0], "happiness", "-c", str(synced.settings)]) == 64
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "fhir-srs: there is no lesion with that id"
    assert said[1].startswith("fhir-srs: no such endpoint for this lesion; there are: ")
