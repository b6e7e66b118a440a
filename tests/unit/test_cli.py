"""The command line: results on stdout, the rest on stderr, one clear error and its exit code."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from fhir_srs.cli import run

PROCEDURE = {
    "resourceType": "Procedure",
    "id": "course-1",
    "meta": {"versionId": "3"},
    "status": "completed",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "447704003"}]},
    "performedPeriod": {"start": "2024-03-05", "end": "2024-03-05"},
    "bodySite": [{"coding": [{"system": "http://snomed.info/sct", "code": "77435000"}]}],
}
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"family": "Zzmarkername"}],
    "identifier": [{"type": {"coding": [{"code": "MR"}]}, "system": "http://example.org/mrn", "value": "M1"}],
}
KEYS = (
    "lesion_id patient patient_identifier course target target_label levels region start end "
    "dose_gy fractions technique modality intent histology reirradiation_of cord_compression sources issues"
).split()


def ndjson(path, *resources):
    path.write_text("".join(json.dumps(resource) + "\n" for resource in resources))
    return str(path)


def test_map_writes_lesions_to_stdout_and_counts_to_stderr(tmp_path, capsys):
    source = ndjson(tmp_path / "a.ndjson", PATIENT, PROCEDURE)
    assert run(["map", source]) == 0
    out, err = capsys.readouterr()
    (lesion,) = [json.loads(line) for line in out.splitlines()]
    assert list(lesion) == KEYS
    assert lesion["levels"] == ["T8"]
    assert lesion["start"] == lesion["end"] == "2024-03-05"
    assert lesion["patient_identifier"] == "http://example.org/mrn|M1"
    assert "Procedure/course-1/_history/3" in lesion["sources"]
    assert "resources: 2 = 2 used + 0 ignored + 0 refused" in err


def test_no_name_is_printed_anywhere(tmp_path, capsys):
    source = ndjson(tmp_path / "a.ndjson", PATIENT, PROCEDURE, {"resourceType": "Observation"})
    run(["map", source, "--issues", str(tmp_path / "issues.ndjson")])
    printed = "".join(capsys.readouterr()) + (tmp_path / "issues.ndjson").read_text()
    assert "Zzmarkername" not in printed


def test_a_truncated_line_is_an_issue_and_the_rest_is_processed(tmp_path, capsys):
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps(PATIENT) + "\n" + json.dumps(PROCEDURE) + '\n{"resourceType":"Observ')
    assert run(["map", str(path), "--issues", str(tmp_path / "issues.ndjson")]) == 0
    issues = [json.loads(line) for line in (tmp_path / "issues.ndjson").read_text().splitlines()]
    (unread,) = [issue for issue in issues if issue["reason"] == "resource-unreadable"]
    assert unread["resource"] is None
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "a.ndjson" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["map"], 64, "SOURCE"),
        (["nonsense"], 64, "nonsense"),
        (["map", "absent.ndjson"], 74, "absent.ndjson"),
        (["map", "--profile", "nonsense", "."], 64, "profile"),
        (["endpoints", ".", "--study", "nonsense", "--cutoff", "2026-01-01"], 64, "nonsense"),
        (["endpoints", ".", "--study", "ryu2008", "--cutoff", "tomorrow"], 64, "--cutoff"),
        (["sync", "-c", "absent.toml"], 74, "settings"),
        (["sync", "-c", "absent.toml", "--every", "15m", "--full"], 64, "--every"),
    ],
)
def test_a_wrong_call_is_one_clear_error_with_its_exit_code(
    tmp_path, monkeypatch, capsys, arguments, code, says
):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_no_output_overwrites_a_source_or_another_output(tmp_path, capsys):
    source = tmp_path / "a.ndjson"
    source.write_text(json.dumps(PATIENT) + "\n" + json.dumps(PROCEDURE))
    (tmp_path / "same.ndjson").symlink_to(source)
    before = source.read_bytes()
    for out in (source, tmp_path / "same.ndjson"):
        assert run(["map", str(source), "--out", str(out)]) == 64
        assert "overwritten" in capsys.readouterr().err
    one = str(tmp_path / "x.ndjson")
    assert run(["map", str(source), "--out", one, "--events", one]) == 64
    assert "one file" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_an_output_may_be_a_device_or_pipe_which_stays_one(tmp_path, capsys):
    source, pipe, found = tmp_path / "a.ndjson", tmp_path / "pipe", []
    source.write_text(json.dumps(PATIENT) + "\n" + json.dumps(PROCEDURE))
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    options = ["--events", os.devnull, "--issues", os.devnull]
    assert run(["map", str(source), "--out", str(pipe), *options]) == 0
    reader.join(10)
    assert len(found[0].splitlines()) == 1
    assert pipe.is_fifo()
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(not Path("/dev/stderr").exists(), reason="a link of Linux to the process's own streams")
def test_an_output_may_be_the_processs_own_stream(tmp_path):
    source = tmp_path / "a.ndjson"
    source.write_text(json.dumps(PATIENT) + "\n" + json.dumps(PROCEDURE))
    command = [sys.executable, "-m", "fhir_srs", "map", str(source), "--issues", "/dev/stderr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count('"lesion_id"') == 1
    assert done.stderr.count('"reason":"dose-missing"') == 1


def test_what_is_readable_but_refused_is_no_error(tmp_path, capsys):
    stray = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Group/g"}}
    (tmp_path / "a.ndjson").write_text(json.dumps(stray))
    assert run(["map", str(tmp_path / "a.ndjson")]) == 0
    assert "subject-not-patient" in capsys.readouterr().err


def test_nothing_readable_is_65(tmp_path, capsys):
    (tmp_path / "a.ndjson").write_text("<html>\n")
    assert run(["map", str(tmp_path / "a.ndjson")]) == 65
    assert "no readable FHIR resource" in capsys.readouterr().err


def test_endpoints_prints_json_with_the_keys_of_the_contract(tmp_path, capsys):
    source = ndjson(tmp_path / "a.ndjson", PATIENT, PROCEDURE)
    arguments = ["endpoints", source, "--study", "ryu2008", "--cutoff", "2026-06-30", "--format", "json"]
    assert run(arguments) == 0
    page = json.loads(capsys.readouterr().out)
    assert (page["study"], page["cutoff"]) == ("ryu2008", "2026-06-30")
    assert page["counts"]["lesions"] == 1


def test_a_reader_that_hangs_up_is_no_error(tmp_path):
    source = ndjson(tmp_path / "a.ndjson", PATIENT, *({**PROCEDURE, "id": f"c{n}"} for n in range(3000)))
    command = f"{sys.executable} -m fhir_srs map {source} 2>{tmp_path}/err | head -c 1"
    assert subprocess.run(command, shell=True, check=True, capture_output=True).stdout == b"{"  # noqa: S602
    assert "Error" not in (tmp_path / "err").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_test_server_says_where_it_is_and_ends_on_a_signal(number):
    command = [sys.executable, "-m", "fhir_srs", "testserver", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        base = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/fhir", base)
        assert httpx.get(f"{base}/metadata", trust_env=False).json()["fhirVersion"] == "4.0.1"
        process.send_signal(number)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("command", ["demo", "testserver"])
def test_a_missing_extra_is_one_line_with_the_command_that_installs_it(command):
    without = (
        "import sys, importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name: None if name == 'starlette' else find(name); "
        f"from fhir_srs.cli import run; sys.exit(run(['{command}']))"
    )
    ended = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert "pip install 'fhir-srs[testserver]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "fhir_srs", "testserver", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 74
    assert ended.stdout == ""
    assert f"cannot listen on port {port}" in ended.stderr
