"""What an importer gets: a light import, a wheel that carries its mappings, one direction of imports."""

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SHELL_ONLY = (
    "httpx",
    "lifelines",
    "pandas",
    "sqlite3",
    "pydantic",
    "numpy",
    "typer",
    "rich",
    "fhir.resources",
)
RESOURCE = {
    "resourceType": "Procedure",
    "id": "course-1",
    "status": "completed",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "447704003"}]},
    "performedPeriod": {"start": "2024-03-05", "end": "2024-03-05"},
    "bodySite": [{"coding": [{"system": "http://snomed.info/sct", "code": "77435000"}]}],
}
README_EXAMPLE = """
import json, sys
from fhir_srs import load_profile, map_resources
mapped = map_resources(json.loads(sys.stdin.read()), profile=load_profile("mcode"))
print(json.dumps([[list(lesion.levels) for lesion in mapped.lesions], sorted(sys.modules)]))
"""


def python(code, *, path=ROOT, given=""):
    """Run *code* in a fresh interpreter that sees *path*; what it prints, as JSON."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=given,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(path)},
        cwd=ROOT.parent,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_importing_fhir_srs_loads_the_pure_core_only():
    modules = python("import fhir_srs, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert [name for name in SHELL_ONLY if name in modules] == []


def test_the_readme_example_maps_without_the_shell():
    levels, modules = python(README_EXAMPLE, given=json.dumps([RESOURCE]))
    assert levels == [["T8"]]
    assert [name for name in ("httpx", "lifelines", "pandas", "sqlite3") if name in modules] == []


@pytest.mark.parametrize(
    "room", ["fhir_srs.endpoints", "fhir_srs.estimates", "fhir_srs.survival", "fhir_srs.results"]
)
def test_the_pure_rooms_load_no_shell_in_a_fresh_interpreter(room):
    modules = python(f"import {room}, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert [name for name in ("httpx", "lifelines", "pandas", "sqlite3", "typer") if name in modules] == []


def test_the_wheel_carries_its_mappings_and_works_from_anywhere(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    assert (tmp_path / "installed" / "fhir_srs" / "_mappings" / "profiles" / "mcode.toml").exists()
    levels, _ = python(README_EXAMPLE, path=tmp_path / "installed", given=json.dumps([RESOURCE]))
    assert levels == [["T8"]]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-run.lock"])
def test_the_lock_files_name_no_index_and_pin_every_hash(name):
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    pinned = [line for line in lock.splitlines() if "==" in line and not line.lstrip().startswith("#")]
    assert pinned
    assert all(line.endswith("\\") for line in pinned)


def packages(name):
    """The blocks of a lock file: a package with its version, marker and hashes, without who needs it."""
    lines = (line for line in (ROOT / name).read_text().splitlines() if "#" not in line)
    return {block.strip() for block in re.split(r"\n(?=[a-z])", "\n".join(lines)) if block.strip()}


def test_what_an_operator_installs_is_what_was_tested_less_the_tools_of_developers():
    """Each block of requirements-run.lock is one of requirements.lock, to the letter."""
    run, whole = packages("requirements-run.lock"), packages("requirements.lock")
    assert {block.split("==")[0] for block in run - whole} == set()
    names = {block.split("==")[0] for block in run}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "hypothesis", "lifelines", "pandas", "uvicorn"})


def test_what_an_operator_installs_is_all_that_the_program_needs_and_its_build_backend():
    locked = {block.split("==")[0] for block in packages("requirements-run.lock")}
    wanted, seen = [Requirement("fhir-srs"), Requirement("hatchling")], {"fhir-srs"}
    while wanted:
        one = wanted.pop()
        seen.add(re.sub(r"[-_.]+", "-", one.name).lower())
        wanted += [need for need in needs(one) if need.name.lower() not in seen]
    assert len(seen) > len(needs(Requirement("fhir-srs")))
    assert seen - {"fhir-srs"} <= locked


def needs(one):
    """What the installed package *one* needs on this machine, with the extras that are asked of it."""
    found = [Requirement(text) for text in metadata.requires(one.name) or ()]
    extras = ["", *one.extras]
    return [
        need
        for need in found
        if need.marker is None or any(need.marker.evaluate({"extra": x}) for x in extras)
    ]


def test_a_printed_report_of_all_figures_loads_neither_lifelines_nor_pandas():
    """spec/statistics.md 12.5, 6: the figures of every study, with tests between groups."""
    code = (
        "import json, sys\n"
        "from datetime import date\n"
        "from fhir_srs import load_profile, map_resources\n"
        "from fhir_srs.endpoints import load_study\n"
        "from fhir_srs.estimates.analysis import Asked, analyse\n"
        "from fhir_srs.report.analysis import analyses_text\n"
        "from fhir_srs.testing.cohort import random_cohort\n"
        "mapped = map_resources(random_cohort(12, 1).resources, profile=load_profile('mcode'))\n"
        "found = analyse(mapped, load_study('ryu2008'), date(2026, 6, 30), Asked(by='region'))\n"
        "assert 'Kaplan-Meier' in analyses_text([found])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert [name for name in ("lifelines", "pandas", "matplotlib") if name in python(code)] == []


def test_the_bill_of_materials_has_every_package_of_the_lock_with_its_hashes():
    made = subprocess.run([sys.executable, ROOT / "deploy" / "sbom.py"], capture_output=True, check=True)
    parts = json.loads(made.stdout)["components"]
    lock = (ROOT / "requirements-run.lock").read_text()
    assert {f"{one['name']}=={one['version']}" for one in parts} == {
        line.split(" ")[0] for line in lock.splitlines() if line[:1].isalnum()
    }
    assert sum(len(one["hashes"]) for one in parts) == lock.count("--hash=sha256:")
    assert all(one["purl"].startswith("pkg:pypi/") for one in parts)
