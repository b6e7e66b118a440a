"""For every (P0, M0, Pt, Mt), missing ones too, under every study: one category, or NE with its reason."""

from itertools import product

import pytest

from fhir_srs.endpoints import load_study, shipped_studies
from fhir_srs.endpoints.criteria import BEST_FIRST
from fhir_srs.endpoints.response import beside
from fhir_srs.model import Response
from tests.spec.timelines import outcomes

Point = tuple[int | None, int | None, int | None, int | None]
GRID: list[Point] = list(
    product((None, 0, 1, 2, 4, 5, 7, 10), (None, 0, 60), (None, 0, 3, 5, 8, 10), (None, 0, 45, 61, 75))
)


def drawn(number: int, point: Point) -> str:
    """Pain and OMED on days -3 and 91, each left out where None; a dose of 0 is another drug alone."""
    p0, m0, pt, mt = point
    lines = [f"{number}/A | 0 | srs | T8"]
    lines += [
        f"{number}/A | {day} | pain | {value}" for day, value in ((-3, p0), (91, pt)) if value is not None
    ]
    for span, value in (("-20..-1", m0), ("90..92", mt)):
        if value is not None:
            lines.append(f"{number}/- | {span} | opioid | {value}{'' if value else ' not-opioid'}")
    return "\n".join(lines)


DRAWING = "\n".join(drawn(number, point) for number, point in enumerate(GRID))


@pytest.fixture(scope="module", params=shipped_studies())
def found(request: pytest.FixtureRequest) -> tuple[str, dict[tuple[str, str | None], Response]]:
    rows = [row for row in outcomes(DRAWING, request.param).responses if row.window == "3-month"]
    pains = [row for row in rows if row.endpoint == "pain-response"]
    keyed = {(row.lesion_id or "", row.variant): row for row in pains}
    assert len(keyed) == len(pains)
    return request.param, keyed


def expected_reason(point: Point, minimum: int, *, aware: bool) -> str | None:
    """The first reason that applies (decisions.md E9), typed here a second time."""
    p0, m0, pt, mt = point
    if p0 is None:
        return "no-baseline-score"
    if p0 < minimum:
        return "baseline-below-minimum"
    if pt is None:
        return "no-score-in-window"
    # The drug of day -1 shows no list on day 91: it lies 92 days back.
    return "omed-unknown" if aware and (m0 is None or mt is None) else None


def test_each_point_has_one_category_of_the_rule_or_its_reason(
    found: tuple[str, dict[tuple[str, str | None], Response]],
) -> None:
    name, rows = found
    study = load_study(name)
    for number, point in enumerate(GRID):
        row = rows[f"{number}/A", None]
        reason = expected_reason(point, int(study.min_baseline_pain), aware=study.analgesics == "aware")
        assert (row.reason, row.category == "NE") == (reason, reason is not None), point
        assert row.category in {*BEST_FIRST[study.rule], "NE"}, point
        assert (row.arm is None) == (row.category == "NE"), point
        assert row.sources, point


def test_the_reading_beside_has_its_category_or_its_reason_too(
    found: tuple[str, dict[tuple[str, str | None], Response]],
) -> None:
    name, rows = found
    study = load_study(name)
    variant, how = beside(study)
    for number, point in enumerate(GRID):
        row = rows[f"{number}/A", variant]
        reason = expected_reason(point, int(study.min_baseline_pain), aware=how.aware)
        assert (row.reason, row.category == "NE") == (reason, reason is not None), point


def test_at_known_doses_more_pain_and_more_opioid_never_make_a_response(
    found: tuple[str, dict[tuple[str, str | None], Response]],
) -> None:
    """From any point: one more step of pain, or of opioid, leaves a lesion without response without."""
    _, rows = found
    place = {point: number for number, point in enumerate(GRID)}
    steps = {2: (0, 3, 5, 8, 10), 3: (0, 45, 61, 75)}
    for point, number in place.items():
        if rows[f"{number}/A", None].category in {"CR", "PR", "NE"}:
            continue
        for axis, values in steps.items():
            for value in values:
                if value > (point[axis] or 0):
                    worse = (*point[:axis], value, *point[axis + 1 :])
                    other = rows[f"{place[worse]}/A", None]  # type: ignore[index]
                    assert other.category not in {"CR", "PR"}, (point, worse)
