"""The extra `frames`: Arrow, pandas and Parquet hold what the NDJSON lines hold; nothing else needs them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.cli import run
from fhir_srs.report.frames import arrow_table, pandas_frame, save_parquet
from fhir_srs.report.schema import LINES, Line
from tests.properties.mess import messy_cohort

LINES_IN = messy_cohort(11)
MAPPED = map_resources(LINES_IN, profile=load_profile("mcode"))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table as its line: its value in one place, nothing for what the line leaves out."""
    text = row.pop("value_text", None)
    row |= {"value": text} if text is not None else {}
    for name in ("until", "evidence", "flags", "reirradiation"):
        if name in row and row[name] is None:
            del row[name]
    return row


@pytest.mark.parametrize("line", LINES)
def test_a_parquet_file_holds_what_the_lines_hold(tmp_path: Path, line: Line) -> None:
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(LINES_IN))
    option = {"lesion": "--out", "event": "--events", "issue": "--issues"}[line]
    found = {}
    for suffix in ("ndjson", "parquet"):
        file = tmp_path / f"{line}.{suffix}"
        other = [] if line == "lesion" else ["--out", str(tmp_path / "x.ndjson")]
        assert run(["map", str(tmp_path / "in.ndjson"), option, str(file), *other]) == 0
        found[suffix] = file
    lines = [json.loads(one) for one in found["ndjson"].read_bytes().splitlines()]
    table = pq.read_table(found["parquet"])
    assert lines
    assert [shown(one) for one in table.to_pylist()] == lines
    save_parquet(tmp_path / "groups.parquet", [found["ndjson"].read_bytes()], line, group=7)
    assert pq.read_table(tmp_path / "groups.parquet") == table
    assert pq.ParquetFile(tmp_path / "groups.parquet").num_row_groups == -(-len(lines) // 7)
    assert found["parquet"].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("line", LINES)
def test_tables_in_memory_are_those_of_the_files(tmp_path: Path, line: Line) -> None:
    table = arrow_table(MAPPED, line)
    rows = {"lesion": MAPPED.lesions, "event": MAPPED.events, "issue": MAPPED.issues}[line]
    assert table.num_rows == len(rows) > 0
    frame = pandas_frame(MAPPED, line)
    assert (len(frame), list(frame.columns)) == (table.num_rows, table.column_names)


def test_an_empty_file_has_the_columns(tmp_path: Path) -> None:
    save_parquet(tmp_path / "none.parquet", [], "lesion")
    assert pq.read_table(tmp_path / "none.parquet").column_names == arrow_table(MAPPED, "lesion").column_names


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(["map", _one(tmp_path), "--out", str(tmp_path / "file" / "x.parquet")]) == 74
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "one.ndjson"]


def _one(folder: Path) -> str:
    (folder / "one.ndjson").write_bytes(LINES_IN[0] + b"\n" + b"\n".join(LINES_IN[1:9]))
    return str(folder / "one.ndjson")


def test_without_the_extra_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    """In a process that has no pyarrow, as after `pip install fhir-srs`."""
    code = (
        "import sys; sys.modules['pyarrow'] = None; from fhir_srs.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "map", _one(tmp_path), "--out", str(tmp_path / "x.parquet")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "pip install 'fhir-srs[frames]'" in done.stderr) == (78, True)
    assert not (tmp_path / "x.parquet").exists()
