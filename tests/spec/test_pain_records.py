"""Pain: which records are a score from 0 to 10, and why the others are none (spec/fhir-mapping.md 4, 7)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_srs.model import event_row
from tests.spec.records import (
    ABSENT,
    LOINC,
    MCODE,
    events,
    loinc,
    mapped,
    observation,
    pain,
    said,
    summary,
)
from tests.unit.mapping_given import T8, T9, Json, concept

NRS = loinc("72514-3")


def nrs(**value: Any) -> Json:
    return observation(NRS, **value)


def quantity(value: Any, **more: Any) -> Json:
    return nrs(valueQuantity={"value": value, **more})


def answer(code: str, display: str | None = None, under: Json = NRS) -> Json:
    coding = {"system": LOINC, "code": code} | ({"display": display} if display else {})
    return observation(under, valueCodeableConcept={"coding": [coding]})


def part(code: Json, **value: Any) -> Json:
    return {"code": code, **value}


def panel(*parts: Json, **more: Any) -> Json:
    """Vital signs, LOINC 85353-1."""
    return observation(loinc("85353-1"), component=list(parts), **more)


def both(*codes: Json) -> Json:
    return {"coding": [coding for code in codes for coding in code["coding"]]}


# what arrives -> the scores, and what is said of the record
SHAPES = {
    "an integer": (nrs(valueInteger=7), ["7"], set()),
    "an integer sent as 7.0": (nrs(valueInteger=7.0), ["7"], set()),
    "a bare quantity": (quantity(7), ["7"], set()),
    "a quantity keeps its digits": (quantity(6.5), ["6.5"], set()),
    "unit {score}": (quantity(7, unit="{score}", code="{score}"), ["7"], set()),
    "unit 1": (quantity(7, code="1"), ["7"], set()),
    "unit /10": (quantity(7, unit="/10"), ["7"], set()),
    "text 7": (nrs(valueString="7"), ["7"], set()),
    "text 7/10": (nrs(valueString=" 7 / 10 "), ["7"], set()),
    "no pain": (nrs(valueInteger=0), ["0"], set()),
    "the coded answer 0": (answer("LA6111-4"), ["0"], set()),
    "the coded answer 2, whatever its display": (answer("LA6113-0", "2 or more"), ["2"], set()),
    "the coded answer 10": (answer("LA13942-0"), ["10"], set()),
    "under SNOMED CT": (observation(concept("225908003"), valueInteger=4), ["4"], set()),
    "a rating whose text says pain": (
        observation(concept("1172399009", text="Pain rating"), valueInteger=4), ["4"], set()),
    "the scale is not stated, the value fits": (
        observation(loinc("38208-5"), valueInteger=4), ["4"], {"scale-assumed"}),
    "a component of another panel": (
        panel(part(NRS, valueInteger=5), part(loinc("8310-5"))), ["5"], set()),
    "an absent component is absent alone": (
        panel(part(NRS, dataAbsentReason=ABSENT), part(NRS, valueInteger=5)), ["5"], {"value-absent"}),
    "the value in a component of itself": (nrs(component=[part(NRS, valueInteger=5)]), ["5"], set()),
    "several codes of one meaning": (
        observation(both(concept("PS", "urn:local"), NRS), valueInteger=3), ["3"], set()),
    "a misspelt system": (
        observation(concept("72514-3", "https://loinc.org/"), valueInteger=3), ["3"],
        {"code-system-misspelt"}),
    "preliminary": (nrs(status="preliminary", valueInteger=3), ["3"], {"status-preliminary"}),
    "amended": (nrs(status="amended", valueInteger=3), ["3"], set()),
    "status unknown": (nrs(status="unknown", valueInteger=3), ["3"], {"status-unclear"}),
    "no status": (nrs(status=None, valueInteger=3), ["3"], {"status-unclear"}),
}  # fmt: skip

# what arrives -> why it is no score
NONE = {
    "nothing": (nrs(), "value-missing"),
    "declined is missing, never 0": (nrs(dataAbsentReason=ABSENT), "value-absent"),
    "a remark": (nrs(valueString="see note"), "value-not-usable"),
    "a range": (nrs(valueRange={"low": {"value": 3}, "high": {"value": 5}}), "value-not-usable"),
    "a comparator": (quantity(5, comparator=">"), "value-not-usable"),
    "another unit": (quantity(5, unit="mm"), "value-not-usable"),
    "a fraction in an integer": (nrs(valueInteger=7.5), "value-not-usable"),
    "a time": (pain(valueTime="10:00:00"), "value-not-usable"),
    "a curve": (pain(valueSampledData={"period": 1, "dimensions": 1}), "value-not-usable"),
    "a boolean": (nrs(valueBoolean=True), "value-not-usable"),
    "15 on a scale to 10": (nrs(valueInteger=15), "value-out-of-range"),
    "11 of 10": (nrs(valueString="11/10"), "value-out-of-range"),
    "below 0": (nrs(valueInteger=-1), "value-out-of-range"),
    "55 on a scale not stated": (observation(loinc("38208-5"), valueInteger=55), "scale-unknown"),
    "a visual analogue scale, whose end nobody says": (
        observation(loinc("38214-3"), valueInteger=5), "scale-unknown"),
    "two answers that contradict": (
        observation(NRS, valueCodeableConcept={"coding": [
            {"system": LOINC, "code": "LA10137-0"}, {"system": LOINC, "code": "LA10138-8"}]}),
        "code-meaning-doubtful"),
    "an answer outside the list": (answer("LA33-6"), "answer-code-not-recognised"),
    "the answers belong to 72514-3 alone": (
        answer("LA6113-0", under=loinc("38208-5")), "answer-code-not-recognised"),
    "PROMIS grades": (answer("LA6752-5", under=loinc("75262-6")), "scale-not-convertible"),
    "interference is not intensity": (
        observation(loinc("77565-0"), valueInteger=5), "code-not-pain-intensity"),
    "interference in general activity": (
        observation(loinc("91146-1"), valueInteger=5), "code-not-pain-intensity"),
    "two codes that contradict": (
        observation(both(NRS, loinc("91145-3")), valueInteger=5), "code-meaning-doubtful"),
    "two scales at once": (
        observation(both(NRS, loinc("38214-3")), valueInteger=5), "code-meaning-doubtful"),
    "the text names a wound": (
        observation({**NRS, "text": "Wound pain"}, valueInteger=5), "code-meaning-doubtful"),
    "the focus is a device": (
        nrs(valueInteger=5, focus=[{"reference": "Device/d"}]), "code-meaning-doubtful"),
    "the focus is a wound, by its display": (
        nrs(valueInteger=5, focus=[{"display": "Surgical wound"}]), "code-meaning-doubtful"),
    "a component of a panel, of a wound": (
        panel(part({**NRS, "text": "Wound pain"}, valueInteger=5)), "code-meaning-doubtful"),
    "a rating of something": (
        observation(concept("1172399009", text="Fatigue"), valueInteger=4), "code-meaning-doubtful"),
    "cancelled": (nrs(status="cancelled", valueInteger=5), "status-not-usable"),
    "cancelled, with components": (
        panel(part(NRS, valueInteger=5), status="cancelled"), "status-not-usable"),
    "in error": (nrs(status="entered-in-error", valueInteger=5), "status-entered-in-error"),
    "the code glued to its system": (
        observation(concept("72514-3", "https://loinc.org/72514-3"), valueInteger=5), "code-not-recognised"),
    "the code in an unknown system": (
        observation(concept("72514-3", "urn:oid:1.2.840.114350.1"), valueInteger=5), "code-not-recognised"),
    "all components absent": (
        panel(part(NRS, dataAbsentReason=ABSENT)), "value-absent"),
    "no code at all": (observation(None, valueInteger=5), "code-missing"),
}  # fmt: skip

# other kinds of data: neither used nor worth a word
OTHER = {
    "a blood pressure": observation(loinc("85354-9"), component=[part(loinc("8480-6"), valueInteger=120)]),
    "haemoglobin": observation(loinc("718-7"), valueQuantity={"value": 9.1, "unit": "g/dL"}),
    "a local code": observation(concept("1234", "urn:local"), valueInteger=5),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_score(name: str) -> None:
    arrives, scores, reasons = SHAPES[name]
    found = mapped(arrives)
    assert summary(found, "pain") == scores
    assert said(found) == reasons


@pytest.mark.parametrize("name", NONE)
def test_no_score(name: str) -> None:
    arrives, reason = NONE[name]
    found = mapped(arrives)
    assert summary(found, "pain") == []
    assert said(found) == {f"not used: {reason}"}


@pytest.mark.parametrize("name", OTHER)
def test_another_kind_of_data(name: str) -> None:
    found = mapped(OTHER[name])
    assert (summary(found, "pain"), said(found)) == ([], set())
    assert found.counts.ignored == 1


def test_a_score_says_its_series_and_its_unit() -> None:
    (one,) = events(mapped(pain(7)), "pain")
    assert (one.code, one.unit, one.source) == (f"{LOINC}|72514-3", "{score}", "Observation/x")


def test_what_an_endpoint_wants_to_know_is_a_flag() -> None:
    (one,) = events(mapped(observation(loinc("38208-5"), status="preliminary", valueInteger=4)), "pain")
    assert one.flags == ("scale-assumed", "status-preliminary")


def test_the_stated_scale_wins_over_one_that_is_not() -> None:
    """Whatever the order of the codings: the series must not depend on it."""
    for codes in ((loinc("38208-5"), NRS), (NRS, loinc("38208-5"))):
        (one,) = events(mapped(observation(both(*codes), valueInteger=4)), "pain")
        assert (one.code, one.flags) == (f"{LOINC}|72514-3", ())


def test_a_visual_scale_counts_where_the_site_says_its_range() -> None:
    ranges = {f"{LOINC}|38214-3": (Decimal(0), Decimal(100))}
    profile = msgspec.structs.replace(MCODE, pain_ranges=ranges)
    found = mapped(observation(loinc("38214-3"), valueInteger=55), profile=profile)
    assert [one.value for one in events(found, "pain")] == [Decimal("5.5")]


def test_members_of_a_panel_count_once_and_at_the_panels_site() -> None:
    """LOINC 97339-6, the only code that ties pain to a site: the site is on the panel or in it."""
    panel = observation(loinc("97339-6"), "panel", hasMember=[{"reference": "Observation/x"}])
    site = {"bodySite": concept(T8)}
    inside = {"component": [part(loinc("39111-0"), valueCodeableConcept=concept(T8))]}
    other = {"bodySite": concept(T9)}
    for more, linked in ((site, True), (inside, True), (other, False)):
        found = mapped(pain(7), panel | more)
        (one,) = events(found, "pain")
        assert (one.source, one.lesion_id is not None) == ("Observation/x", linked)
        assert said(found, "panel") == set()
        assert found.counts.ignored == 0


def test_two_scores_of_one_day_are_both_kept_and_the_conflict_is_said() -> None:
    found = mapped(pain(7), pain(4, "y"))
    assert summary(found, "pain") == ["7", "4"]
    assert said(found) | said(found, "y") == {"value-conflict"}
    same = mapped(pain(7), pain(7, "y"))
    assert said(same) | said(same, "y") == set()


def test_two_scores_at_two_times_of_a_day_are_no_conflict() -> None:
    morning, evening = (
        pain(7, effectiveDateTime="2024-04-01T08:00:00Z"),
        pain(4, "y", effectiveDateTime="2024-04-01T20:00:00Z"),
    )
    assert said(mapped(morning, evening), "y") == set()


def test_a_score_of_a_period_is_written_with_its_last_day() -> None:
    """`on` alone would read as one day."""
    period = {"start": "2024-03-01", "end": "2024-04-02"}
    (one,) = events(mapped(nrs(valueInteger=5, effectiveDateTime=None, effectivePeriod=period)), "pain")
    assert {key: event_row(one)[key] for key in ("on", "until")} == {
        "on": "2024-03-01",
        "until": "2024-04-02",
    }
    (one,) = events(mapped(nrs(valueInteger=5, effectiveDateTime="2024-03")), "pain")
    assert (event_row(one)["on"], "until" in event_row(one)) == ("2024-03", False)
