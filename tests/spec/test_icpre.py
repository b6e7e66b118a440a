"""ICPRE response: every vector of spec/endpoints.md section 3, and every pair of states in one category."""

from decimal import Decimal
from itertools import product

import pytest

from fhir_srs.model import Response
from tests.spec.timelines import outcomes, response

# P0, M0, Pt, Mt -> class, arm. Numbers as in the specification; None is a score that was not taken.
VECTORS = [
    (7, 60, 0, 60, "CR", "cr"),
    (7, 60, 0, 30, "CR", "cr"),
    (7, 60, 0, 61, "IR", "ir"),
    (7, 60, 5, 60, "PR", "pr-pain"),
    (7, 60, 6, 60, "IR", "ir"),
    (7, 60, 7, 45, "PR", "pr-omed"),
    (7, 60, 8, 45, "IR", "ir"),
    (7, 60, 9, 60, "PP", "pp-pain"),
    (7, 60, 8, 75, "PP", "pp-omed"),
    (7, 60, 7, 75, "PP", "pp-omed"),
    (7, 60, 5, 75, "IR", "ir"),
    (7, 60, 9, 75, "PP", "pp-both"),
    (7, 60, 9, 45, "IR", "ir"),
    (5, 0, 3, 0, "PR", "pr-pain"),
    (5, 0, 5, 10, "PP", "pp-omed"),
    (5, 0, 3, 10, "IR", "ir"),
    (7, 60, None, 60, "NE", None),
]


def drawn(name: str, p0: int, m0: Decimal | int, pt: int | None, mt: Decimal | int) -> str:
    score = "" if pt is None else f"{name}/A | 91 | pain | {pt}\n"
    return (
        f"{name}/A | -3 | pain | {p0}\n{score}{name}/- | -20..30 | opioid | {m0}\n"
        f"{name}/- | 31..200 | opioid | {mt}\n"
    )


@pytest.mark.parametrize(("p0", "m0", "pt", "mt", "category", "arm"), VECTORS)
def test_vector(p0: int, m0: int, pt: int | None, mt: int, category: str, arm: str | None) -> None:
    row = response(outcomes(drawn("1", p0, m0, pt, mt), "icpre2012"), "3-month", "1/A")
    assert (row.category, row.arm) == (category, arm)
    assert (row.baseline, row.value) == (p0, pt)
    if pt is not None:
        assert (row.omed_baseline, row.omed) == (m0, mt)


def test_pain_up_and_opioid_down_is_flagged() -> None:
    row = response(outcomes(drawn("1", 7, 60, 9, 45), "icpre2012"), "3-month", "1/A")
    assert "pain-up-omed-down" in row.flags


MORPHINE = [Decimal(text) for text in ("0", "10", "44.9", "45", "45.1", "60", "60.5", "74.9", "75", "80")]
GRID = [
    (p0, m0, pt, mt)
    for p0, pt in product(range(2, 11), range(11))
    for m0 in (Decimal(0), Decimal(60))
    for mt in MORPHINE
]


@pytest.fixture(scope="module")
def grid() -> list[Response]:
    drawing = "".join(drawn(str(number), *one) for number, one in enumerate(GRID))
    found = [row for row in outcomes(drawing, "icpre2012").responses if row.endpoint == "pain-response"]
    rows = {row.lesion_id: row for row in found if (row.window, row.variant) == ("3-month", None)}
    return [rows[f"{number}/A"] for number in range(len(GRID))]


def test_each_pair_of_states_has_one_category_and_it_is_the_one_of_the_literal_text(
    grid: list[Response],
) -> None:
    """The sets of section 3 typed a second time as sets, without order; CR alone may overlap with PR."""
    for (p0, m0, pt, mt), row in zip(GRID, grid, strict=True):
        more, quarter_less = mt > m0, m0 > 0 and 4 * mt <= 3 * m0
        quarter_more = 4 * mt >= 5 * m0 if m0 > 0 else mt > 0
        complete = pt == 0 and not more
        partial = not complete and ((pt <= p0 - 2 and not more) or (quarter_less and pt <= p0))
        worse = (pt >= p0 + 2 and not quarter_less) or (quarter_more and p0 <= pt <= p0 + 1)
        assert complete + partial + worse <= 1
        expected = "CR" if complete else "PR" if partial else "PP" if worse else "IR"
        assert row.category == expected, (p0, m0, pt, mt)


def test_lower_pain_is_never_a_worse_category_at_equal_opioid(grid: list[Response]) -> None:
    rank = {"CR": 0, "PR": 1, "IR": 2, "PP": 3}
    found = {one: rank[row.category] for one, row in zip(GRID, grid, strict=True)}
    for (p0, m0, pt, mt), here in found.items():
        if pt > 0 and (p0, m0, pt - 1, mt) in found and not (m0 > 0 and mt <= Decimal("0.75") * m0):
            assert found[p0, m0, pt - 1, mt] <= here


@pytest.mark.parametrize(("p0", "pt"), [(p0, pt) for p0, pt in product(range(1, 11), range(11))])
def test_threshold_gives_every_score_one_class(p0: int, pt: int) -> None:
    """Section 3 `threshold` with the 3 points of ryu2008, in the window of the third month."""
    row = response(outcomes(f"A | -3 | pain | {p0}\nA | 91 | pain | {pt}"), "3-month")
    expected = "CR" if pt == 0 else "PR" if p0 - pt >= 3 else "PROG" if pt - p0 >= 3 else "STABLE"
    assert row.category == expected
