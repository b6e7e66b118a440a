"""The pages of the benchmarks: each part as its newest run left it."""

from pathlib import Path

from benchmarks.measure import Round, Sample
from benchmarks.table import Row, page, save


def row(part: str, seconds: float) -> Row:
    reference, subject = Sample(2.0, 2.0, 1024, {}), Sample(seconds, seconds, 2048, {})
    taken = Round(reference, subject, seconds / 2, 0.0, 0.0, 0.0)
    return Row(f"{part} work", "as others do it", "cpu", [taken], part=part)


def run(out: Path, day: int, *rows: Row) -> None:
    save(out, {"date": f"2026-01-0{day}", "commit": f"c{day}"}, {}, list(rows))


def test_a_run_of_one_part_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    run(tmp_path, 1, row("import", 1.0), row("survival", 1.0))
    run(tmp_path, 2, row("import", 0.5))
    made = page(tmp_path / "results", ("import", "survival"))
    assert made.count("## ") == 2
    newer, older = made.split("## ")[1:]
    assert newer.startswith("import\n")
    assert "commit: c2" in newer
    assert "**0.25** (0.25 to 0.25) | **500** ms" in newer
    assert older.startswith("survival\n")
    assert "commit: c1" in older
    assert "**0.50** (0.50 to 0.50) | **1000** ms" in older


def test_parts_of_one_run_share_its_facts_and_those_of_another_page_are_left_out(tmp_path: Path) -> None:
    run(tmp_path, 1, row("survival", 1.0), row("import", 1.0))
    run(tmp_path, 2, row("pull", 1.0))
    made = page(tmp_path / "results", ("import", "survival"))
    assert "## import, survival\n" in made
    assert "pull" not in made


def test_a_row_that_was_not_measured_keeps_its_reason(tmp_path: Path) -> None:
    failed = Row("peer", "ours", "cpu", problem="not comparable: rows 3 v 4", part="peers")
    run(tmp_path, 1, failed)
    assert "| peer | ours | not comparable: rows 3 v 4 | | | |" in page(tmp_path / "results", ("peers",))
