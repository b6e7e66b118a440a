"""docs/reliability.md leaves no invariant and no fault without a test."""

import runpy
from pathlib import Path

PAGE = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "render_reliability.py"))


def test_every_id_has_a_test_or_a_reason_why_not() -> None:
    assert PAGE["untested"]() == []


def test_the_table_has_the_ids_of_the_specification() -> None:
    assert list(PAGE["INVARIANTS"]) == [f"I{number}" for number in range(1, 25)]
    assert list(PAGE["FAULTS"]) == [f"F{number}" for number in range(1, 48)]
    assert list(PAGE["HAPI"]) == [f"H{number}" for number in range(1, 31)]
    assert list(PAGE["ACCESS"]) == [f"A{number}" for number in range(1, 15)]


def test_an_id_without_a_test_is_named() -> None:
    added = PAGE["FAULTS"] | {"F99": ("nothing", "nothing")}
    before, PAGE["PARTS"]["Faults"] = PAGE["PARTS"]["Faults"], added
    try:
        assert PAGE["untested"]() == ["docs/reliability.md: F99 has no test"]
    finally:
        PAGE["PARTS"]["Faults"] = before
