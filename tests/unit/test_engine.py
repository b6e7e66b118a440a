"""The engine: flat memory, a spill folder that never stays, workers that end, errors that say where."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhir_srs import load_profile
from fhir_srs.cli import run
from fhir_srs.engine import mapped_files
from fhir_srs.engine.index import Index, write_index
from fhir_srs.engine.run import Limits
from fhir_srs.engine.spill import Spill, Writer, spill_folder
from fhir_srs.engine.workers import Workers
from fhir_srs.errors import FhirSrsError, LocalIOError
from fhir_srs.testing.cohort import random_cohort
from tests.unit.mapping_given import concept, patient, surgical

PROFILE = load_profile("mcode")
SPILLED = Limits(in_memory=0, parts=4, chunk=2000)


@pytest.fixture(autouse=True)
def spill_here(tmp_path, monkeypatch):
    """Spill folders under the test's own folder; returns what is left there."""
    folder = tmp_path / "spill"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return lambda: list(folder.iterdir())


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def write_cohort(folder, patients=20):
    lines = [json.dumps(one) for one in random_cohort(patients, 3).resources]
    (folder / "a.ndjson").write_text("\n".join(lines))


def mapped(folder, *, jobs=1, limits=SPILLED, notice=print):
    return mapped_files([folder], PROFILE, jobs=jobs, notice=notice, report=lambda *_: None, limits=limits)


# Bad lines

BASE = json.dumps(
    {
        "resourceType": "Observation",
        "id": "x",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "code": concept("72514-3", "http://loinc.org"),
        "effectiveDateTime": "2024-04-05",
        "valueInteger": 7,
    }
).encode()
DEEP = b"[" * 100_000 + b"]" * 100_000  # more than any Python takes: 3.13 takes 9,000


def valued(name: bytes, value: bytes) -> bytes:
    return BASE.replace(b'"valueInteger": 7', b'"%s": %s' % (name, value))


# spec/performance.md section 2.2 -> the path of the Issue, and whether the resource may still be used
ODD = {
    "a number as text": (valued(b"valueInteger", b'"7"'), "valueInteger", True),
    "a scalar for an object": (valued(b"valueQuantity", b"7"), "valueQuantity", True),
    "null in a list": (BASE.replace(b'"coding": [', b'"coding": [null, '), "code.coding[0]", True),
    "NaN": (valued(b"valueInteger", b"NaN"), None, False),
    "a truncated line": (BASE[:-20], None, False),
    "a byte-order mark": (b"\xef\xbb\xbf" + BASE, None, False),
    "bad UTF-8": (BASE.replace(b"2024-04-05", b"2024-04-0\xff"), None, False),
    "half a surrogate pair": (BASE.replace(b'"x"', b'"\\ud800"'), None, False),
    "deep nesting": (BASE[:-1] + b', "component": ' + DEEP + b"}", None, False),
    "deep nesting in what is skipped": (BASE[:-1] + b', "x": ' + DEEP + b"}", None, False),
    "no resourceType": (BASE.replace(b'"resourceType": "Observation", ', b""), None, False),
    "no id": (BASE.replace(b'"id": "x", ', b""), "id", False),
}


@pytest.mark.parametrize("limits", [Limits(), SPILLED], ids=["memory", "spill"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_line_is_one_issue_with_file_offset_and_path_and_its_neighbours_survive(sources, name, limits):
    line, path, used = ODD[name]
    before, after = json.dumps(patient()).encode() + b"\n", json.dumps(surgical()).encode()
    file = sources / "a.ndjson"
    file.write_bytes(before + line + b"\n" + after)
    said = []
    with mapped(sources, limits=limits, notice=said.append) as found:
        issues = [json.loads(one) for one in found.issues()]
        assert len(list(found.lesions())) == 1
    unread = [one for one in issues if one["reason"] == "resource-unreadable"]
    assert [(one["path"], one["used"]) for one in unread] == [(path, used)]
    what = f"{path} cannot be read" if path else "not a readable resource"
    assert said == [f"{file}: offset {len(before)}: {what}"]
    assert found.tally.counts.read == 3


# Memory


def test_no_more_lines_are_held_at_once_than_the_limit_allows(sources):
    write_cohort(sources, patients=60)
    size = (sources / "a.ndjson").stat().st_size
    for parts in (1, 4):
        limits = Limits(in_memory=0, parts=parts, largest=size // 5)
        with mapped(sources, limits=limits) as found:
            assert 0 < found.held <= limits.largest
            assert found.tally.counts.read > 60


def test_one_patient_is_never_divided(sources):
    lines = [json.dumps(one) for one in random_cohort(1, 3).resources]
    (sources / "a.ndjson").write_text("\n".join(lines))
    with mapped(sources, limits=Limits(in_memory=0, parts=1, largest=100)) as found:
        assert found.held > 100
        assert found.tally.patients == 1


def test_an_index_finds_each_of_its_keys_and_nothing_else(tmp_path):
    items = {f"Procedure/{number}": b"%d" % number * (number % 4) for number in range(500)}
    write_index(tmp_path / "table", items.items())
    table = Index(tmp_path / "table")
    assert {key: table.get(key) for key in items} == items
    assert [table.get(f"Condition/{number}") for number in range(500)] == [None] * 500
    write_index(tmp_path / "empty", ())
    assert not (tmp_path / "empty").exists()
    assert Index(tmp_path / "empty").get("Procedure/1") is None


# The spill folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_spill_folder_is_its_owners_alone_and_gone_afterwards(sources, spill_here, jobs):
    write_cohort(sources)
    with mapped(sources, jobs=jobs) as found:
        (folder,) = spill_here()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert b"".join(found.lesions()).count(b"\n") == found.tally.lesions > 20
    assert spill_here() == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_source_that_cannot_be_read_is_one_error_and_leaves_no_spill(sources, spill_here, jobs):
    write_cohort(sources)
    vanished = sources / "b.ndjson"
    vanished.write_text("{}\n")
    (sources / "z.txt").write_text("told of once all files are listed, before one is read")
    with pytest.raises(LocalIOError, match="absent"), mapped(sources / "absent.ndjson", jobs=jobs):
        pass
    with (
        pytest.raises(LocalIOError, match=r"b\.ndjson"),
        mapped(sources, jobs=jobs, notice=lambda _: vanished.unlink()),
    ):
        pass
    with pytest.raises(KeyError), mapped(sources, jobs=jobs):
        raise KeyError
    assert spill_here() == []


def test_a_spill_that_cannot_be_written_is_one_error(tmp_path):
    writer = Writer(Spill(tmp_path / "absent", 4), 0)
    writer.add(0, "name", b"body")
    with pytest.raises(LocalIOError, match="spill"):
        writer.flush()


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)])
def test_a_signal_ends_the_workers_and_removes_the_spill(sources, spill_here, number, jobs):
    write_cohort(sources, patients=300)
    for copy in range(10):
        (sources / f"{copy}.ndjson").symlink_to(sources / "a.ndjson")
    command = [sys.executable, "-m", "fhir_srs", "map", str(sources), "--jobs", str(jobs)]
    # Where the tests run in the background SIGINT is ignored, which a process hands on to its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # tempfile itself first tries the folder with a file of its own.
        wait_until(lambda: any(any(one.iterdir()) for one in spill_here() if one.is_dir()))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = children.read_text().split() if children.exists() else []
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert (out, b"Traceback" in err) == (b"", False)
    assert spill_here() == []
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in workers))


def wait_until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# Workers


def build(number):
    return number


def work(state, task):
    """What a worker does with *task* in these tests."""
    if task == "die":
        os._exit(3)
    if task == "fault":
        raise ValueError("S3CRET")
    if task == "ours":
        raise LocalIOError("the disk is full")
    return state, task


def test_workers_answer_in_the_order_of_tasks_whoever_did_them():
    with Workers(2, build) as workers:
        answers = list(workers.each(work, range(20)))
        assert [task for _, task in answers] == list(range(20))
        assert {state for state, _ in answers} <= {0, 1}
        assert list(workers.each(work, [])) == []
        assert [task for _, task in workers.each(work, ["one"])] == ["one"]


@pytest.mark.parametrize(
    ("task", "kind", "says"),
    [
        ("die", FhirSrsError, "worker process ended early"),
        ("ours", LocalIOError, "the disk is full"),
        ("fault", FhirSrsError, "ValueError at test_engine.py"),
    ],
)
def test_what_a_worker_meets_is_one_error_without_a_value(task, kind, says):
    with pytest.raises(kind, match=says) as raised, Workers(2, build) as workers:
        list(workers.each(work, [1, 2, task, 3]))
    assert "S3CRET" not in str(raised.value)


def test_signals_are_given_back_as_they_were_and_left_alone_in_other_threads():
    def during():
        with spill_folder():
            return signal.getsignal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert during() is not before
    assert signal.getsignal(signal.SIGTERM) is before
    with ThreadPoolExecutor() as thread:
        assert thread.submit(during).result() is before


# The command


def test_map_writes_the_same_files_with_any_number_of_jobs(sources, tmp_path, capsys, spill_here):
    write_cohort(sources)
    written = []
    for jobs in ("1", "2"):
        files = [tmp_path / f"{kind}{jobs}" for kind in ("out", "events", "issues")]
        options = [f"--{kind}={file}" for kind, file in zip(("out", "events", "issues"), files, strict=True)]
        assert run(["map", str(sources), "--jobs", jobs, *options]) == 0
        written.append([file.read_bytes() for file in files])
    assert written[0] == written[1]
    assert all(written[0])
    err = capsys.readouterr().err
    assert err.count("resources: ") == 2
    assert "partitions mapped: 16" in err
    assert spill_here() == []


def test_nothing_readable_is_65_through_the_spill_too(sources):
    (sources / "a.ndjson").write_text("<html>\n")
    assert run(["map", str(sources), "--jobs", "2"]) == 65
