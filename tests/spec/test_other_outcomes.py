"""Function, walking, fracture, retreatment, flare and toxicity of drawn lesions (sections 9 to 15)."""

from decimal import Decimal

import pytest

from fhir_srs.estimates import estimate
from tests.spec.timelines import ended, outcomes, response, time

# grades of lesion A -> neurological response at three months, scale
NEUROLOGY = {
    "one level up": ("A | -2 | neuro | {asia} C\nA | 91 | neuro | {asia} D", "IMPROVED", "asia"),
    "one level down": ("A | -2 | neuro | {asia} D\nA | 91 | neuro | {asia} C", "WORSE", "asia"),
    "the same": ("A | -2 | neuro | {frankel} D\nA | 91 | neuro | {frankel} D", "STABLE", "frankel"),
    "muscle strength": (
        "A | -2 | neuro | {muscle-grade} 3\nA | 91 | neuro | {muscle-grade} 5", "IMPROVED", "muscle-grade"),
    "Henry Ford: from paresis to none": (
        "A | -2 | neuro | {henry-ford} c\nA | 91 | neuro | {henry-ford} a", "IMPROVED", "henry-ford"),
    "SCORAD: from unaided to with aids": (
        "A | -2 | neuro | {scorad} 1\nA | 91 | neuro | {scorad} 2", "WORSE", "scorad"),
    "SCORAD is asked last": (
        "A | -2 | neuro | {scorad} 1\nA | -2 | neuro | {asia} D\nA | 91 | neuro | {scorad} 2\n"
        "A | 91 | neuro | {asia} D", "STABLE", "asia"),
    "two scales are never mixed": (
        "A | -2 | neuro | {asia} C\nA | 91 | neuro | {frankel} D", "NE no-assessment-in-window", "asia"),
    "the scale known at both times counts": (
        "A | -2 | neuro | {asia} C\nA | -2 | neuro | {frankel} C\nA | 91 | neuro | {frankel} D",
        "IMPROVED", "frankel"),
    "the last before treatment counts": (
        "A | -9 | neuro | {asia} B\nA | -2 | neuro | {asia} D\nA | 91 | neuro | {asia} D", "STABLE", "asia"),
    "of one day the worst": (
        "A | -2 | neuro | {asia} D\nA | 91 | neuro | {asia} D\nA | 91 | neuro | {asia} C", "WORSE", "asia"),
    "no baseline": ("A | 91 | neuro | {asia} D", "NE no-baseline-assessment", None),
    "older than 28 days": (
        "A | -29 | neuro | {asia} C\nA | 91 | neuro | {asia} D", "NE no-baseline-assessment", None),
    "of the patient, one lesion": (
        "- | -2 | neuro | {asia} C\n- | 91 | neuro | {asia} D", "IMPROVED", "asia"),
    "of the patient, two lesions": (
        "B | 0 | srs | L2\n- | -2 | neuro | {asia} C\n- | 91 | neuro | {asia} D",
        "NE no-baseline-assessment", None),
    "dead before the window": (
        "A | -2 | neuro | {asia} C\n- | 50 | death |", "NE died-before-window", "asia"),
    "retreated before the window": (
        "A | -2 | neuro | {asia} C\nA | 50 | surgery | for-pain\nA | 91 | neuro | {asia} D",
        "NE retreated-before-window", "asia"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEUROLOGY)
def test_neurological_response_is(name: str) -> None:
    drawing, expected, scale = NEUROLOGY[name]
    row = response(outcomes("A | 0 | srs | T8\n" + drawing), "3-month", endpoint="neurological-response")
    assert " ".join(filter(None, (row.category, row.reason))) == expected
    assert row.scale == scale


# whether somebody walks, before and after -> ambulation at three months
WALKING = {
    "walked and walks": ("{ambulatory} true", "{ambulatory} true", "AMBULATORY"),
    "walks again": ("{ambulatory} false", "{ambulatory} true", "AMBULATORY"),
    "walks no more": ("{ambulatory} true", "{ambulatory} false", "NOT-AMBULATORY"),
    "SCORAD 2, with aids": ("{scorad} 1", "{scorad} 2", "AMBULATORY"),
    "SCORAD 3": ("{scorad} 2", "{scorad} 3", "NOT-AMBULATORY"),
    "SCORAD 4 to 1": ("{scorad} 4", "{scorad} 1", "AMBULATORY"),
    "yes or no and SCORAD are two scales": ("{ambulatory} true", "{scorad} 1", "NE no-assessment-in-window"),
}


@pytest.mark.parametrize("name", WALKING)
def test_walking_is(name: str) -> None:
    before, after, expected = WALKING[name]
    found = outcomes(f"A | -2 | neuro | {before}\nA | 91 | neuro | {after}")
    row = response(found, "3-month", endpoint="ambulation")
    assert " ".join(filter(None, (row.category, row.reason))) == expected


def test_walking_is_an_endpoint_of_its_own() -> None:
    found = outcomes("A | -2 | neuro | {ambulatory} true\nA | 91 | neuro | {ambulatory} true")
    assert response(found, "3-month", endpoint="neurological-response").reason == "no-baseline-assessment"


def test_shares_of_walking_ask_who_walked_before_on_the_scale_of_each() -> None:
    """SCORAD 3 is rank 1 of four and does not walk, `true` is rank 1 of two and does."""
    courses = (
        ("{scorad} 3", "{scorad} 2"),
        ("{scorad} 2", "{scorad} 3"),
        ("{ambulatory} true", "{ambulatory} true"),
    )
    drawn = [
        f"{number}/A | -2 | neuro | {before}\n{number}/A | 91 | neuro | {after}"
        for number, (before, after) in enumerate(courses)
    ]
    table = estimate(outcomes("\n".join(drawn)))
    found = {
        one.name: (one.numerator, one.denominator)
        for one in table
        if (one.endpoint, one.window) == ("ambulation", "3-month") and one.method != "count"
    }
    assert found == {
        "walking": (2, 3),
        "walking, of those who walked at baseline": (1, 2),
        "walking, of those who did not at baseline": (1, 1),
    }


# records of lesion A, of one level -> time to fracture
FRACTURE = {
    "after treatment": ("A | 90 | imaging |\nA | 75 | fracture |", "event 75", ""),
    "none: censored at the last imaging": ("A | 90 | imaging |\nA | 200 | pain | 3", "censored 90", ""),
    "one at baseline is none": ("A | -5 | fracture |\nA | 90 | imaging |", "censored 90", ""),
    "one more after one at baseline": (
        "A | -5 | fracture |\nA | 90 | fracture |", "event 90", "baseline-fracture"),
    "cement afterwards competes": (
        "A | 30 | imaging |\nA | 60 | surgery | other-reason", "competing 60 retreatment", ""),
    "cement in a known month": (
        "A | 30 | imaging |\nA | 2024-04 | surgery | other-reason\nA | 90 | fracture |", "censored 30", ""),
    "stabilised in a month before": (
        "A | 2023-12 | surgery | other-reason\nA | 90 | imaging |", "out: stabilised-before-treatment", ""),
    "fractured in a month before": (
        "A | 2023-12 | fracture |\nA | 90 | fracture |", "event 90", "baseline-fracture"),
    "stabilised before": (
        "A | -5 | surgery | other-reason\nA | 90 | imaging |", "out: stabilised-before-treatment", ""),
    "death competes": ("A | 90 | imaging |\n- | 200 | death |", "competing 200 death", ""),
    "never imaged": ("A | 90 | pain | 3", "out: no-imaging", ""),
    "of the patient is not of the segment": ("A | 90 | imaging |\n- | 75 | fracture |", "censored 90", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FRACTURE)
def test_time_to_vertebral_fracture_is(name: str) -> None:
    drawing, expected, flags = FRACTURE[name]
    row = time(outcomes("A | 0 | srs | T8\n" + drawing), "vertebral-fracture")
    assert (ended(row), " ".join(row.flags)) == (expected, flags)
    assert (row.grain, row.segment) == ("segment", "T8")


BROKEN = "A | -3 | pain | 6\nA | 60 | imaging |\nA | 75 | fracture |\nA | 120 | imaging |\n"
# what else is known of a lesion of baseline 6 that broke on day 75 -> time to a symptomatic fracture
SYMPTOMS = {
    "pain up by 2 afterwards": ("A | 30 | pain | 2\nA | 80 | pain | 4", "event 75", ""),
    "up by 1": ("A | 30 | pain | 2\nA | 80 | pain | 3", "censored 120", ""),
    "up 28 days before": ("A | 30 | pain | 2\nA | 47 | pain | 4", "event 75", ""),
    "up 28 days after": ("A | 30 | pain | 2\nA | 103 | pain | 4", "event 75", ""),
    "up, but long after": ("A | 30 | pain | 2\nA | 80 | pain | 2\nA | 104 | pain | 9", "censored 120", ""),
    "over the baseline, without a score in between": ("A | 80 | pain | 8", "event 75", ""),
    "no score around it": ("A | 30 | pain | 2", "censored 120", "symptoms-unknown"),
    "no longer as bad as at baseline, but worse again": (
        "A | 30 | pain | 1\nA | 80 | pain | 5", "event 75", ""),
    "an operation soon after": ("A | 90 | surgery |", "event 75", ""),
    "an operation for another reason": (
        "A | 90 | surgery | other-reason", "competing 90 retreatment", "symptoms-unknown"),
    "an operation long after": ("A | 104 | surgery |", "competing 104 retreatment", "symptoms-unknown"),
    "the second fracture hurt": (
        "A | 30 | pain | 2\nA | 80 | pain | 2\nA | 110 | fracture |\nA | 115 | pain | 6", "event 110", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", SYMPTOMS)
def test_time_to_a_symptomatic_fracture_is(name: str) -> None:
    drawing, expected, flags = SYMPTOMS[name]
    found = outcomes("A | 0 | srs | T8\n" + BROKEN + drawing)
    row = time(found, "vertebral-fracture", "symptomatic")
    assert (ended(row), " ".join(one for one in row.flags if one.startswith("symptoms"))) == (expected, flags)
    assert ended(time(found, "vertebral-fracture")) == "event 75"


def test_of_a_symptomatic_fracture_it_is_said_what_shows_it() -> None:
    row = time(outcomes(BROKEN + "A | 80 | pain | 8"), "vertebral-fracture", "symptomatic")
    assert row.working[0] == "pain 8 on 2024-03-30 after 6 on 2024-01-07"
    assert set(row.sources) >= {"Observation/fracture-2", "Observation/pain-4", "Observation/pain-0"}


def test_every_level_is_a_segment_and_a_fracture_counts_once() -> None:
    found = outcomes("A | 0 | srs | T8 T9\nA | 90 | imaging |\nA | 75 | fracture |")
    first, second = (time(found, "vertebral-fracture", segment=level) for level in ("T8", "T9"))
    assert (ended(first), first.flags) == ("event 75", ("segment-unknown",))
    assert ended(second) == "censored 90"


# what followed -> time to retreatment
RETREATMENT = {
    "radiation again": ("A | 200 | retreatment | for-pain", "event 200"),
    "an operation for another reason": ("A | 200 | surgery | other-reason", "event 200"),
    "a later lesion of the level": ("B | 300 | srs | T8", "event 300"),
    "radiation again in a known month": (
        "A | 2024-07 | retreatment | for-pain\n- | 250 | death |", "censored 172"),
    "death": ("- | 250 | death |", "competing 250 death"),
    "alive": ("- | 250 | contact |", "censored 250"),
}  # fmt: skip


@pytest.mark.parametrize("name", RETREATMENT)
def test_time_to_retreatment_is(name: str) -> None:
    drawing, expected = RETREATMENT[name]
    assert ended(time(outcomes("A | 0 | srs | T8\n" + drawing), "retreatment")) == expected


# scores and OMED of the first days, the baseline being 5 with 60 mg/d -> flare
FLARE = {
    "up by 2 and back": ("A | 3 | pain | 7\nA | 20 | pain | 5", "60", "FLARE", ""),
    "up by 2 on day 10": ("A | 10 | pain | 7\nA | 20 | pain | 4", "60", "FLARE", ""),
    "up by 2 on day 11": ("A | 2 | pain | 5\nA | 11 | pain | 7\nA | 20 | pain | 5", "60", "NO-FLARE", ""),
    "up by 1": ("A | 3 | pain | 6\nA | 20 | pain | 5", "60", "NO-FLARE", ""),
    "up and never back": ("A | 3 | pain | 7\nA | 20 | pain | 6", "60", "NO-FLARE", "rise-without-return"),
    "up with less opioid": ("A | 3 | pain | 7\nA | 20 | pain | 5", "30", "NO-FLARE", ""),
    "a quarter more opioid at the same pain, and back": (
        "A | 3 | pain | 5\nA | 20 | pain | 5\nA | 310 | pain | 5\n- | 301..320 | opioid | 60", "75", "FLARE",
        ""),
    "a quarter more opioid at the same pain that stays": (
        "A | 3 | pain | 5\nA | 20 | pain | 5", "75", "NO-FLARE", "rise-without-return"),
    "up by 2, back under more opioid": (
        "A | 3 | pain | 7\nA | 20 | pain | 5", "66", "NO-FLARE", "rise-without-return"),
    "a quarter more opioid with less pain": ("A | 3 | pain | 4\nA | 20 | pain | 4", "75", "NO-FLARE", ""),
    "not scored": ("A | 20 | pain | 5", "60", "NE", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FLARE)
def test_pain_flare_is(name: str) -> None:
    drawing, omed, category, flags = FLARE[name]
    opioids = f"- | -20..0 | opioid | 60\n- | 1..300 | opioid | {omed}\n"
    row = response(outcomes("A | -3 | pain | 5\n" + opioids + drawing, "icpre2012"), "flare")
    assert (row.category, " ".join(row.flags)) == (category, flags)


STEROID = "opioid | 0 not-opioid steroid"
NO_RETURN, UNSEEN = "NO-FLARE rise-without-return", "NE no-score-in-window"
# what followed a baseline of 5 with 60 mg/d -> flare by the definitions beside (b of section 9, then c)
FLARE_BESIDE = {
    "up by 2 on day 14, never back": ("A | 14 | pain | 7", "60", "FLARE pain", UNSEEN),
    "up by 2 on day 7, never back": ("A | 7 | pain | 7", "60", "FLARE pain", NO_RETURN),
    "up by 2 on day 15": ("A | 7 | pain | 5\nA | 15 | pain | 7", "60", "NO-FLARE", "NO-FLARE"),
    "a quarter more opioid with less pain": ("A | 12 | pain | 4", "75", "FLARE opioid", UNSEEN),
    "up by 2 with less opioid": ("A | 3 | pain | 7", "30", "FLARE pain", NO_RETURN),
    "a steroid started, pain as before": (
        f"A | 12 | pain | 5\n- | 3..9 | {STEROID}", "60", "FLARE steroid", UNSEEN),
    "a steroid started, no score": (f"- | 3..9 | {STEROID}", "60", "FLARE steroid", UNSEEN),
    "a steroid started on day 15": (
        f"A | 5 | pain | 5\n- | 15..20 | {STEROID}", "60", "NO-FLARE", "NO-FLARE"),
    "a steroid that went on from before": (
        f"A | 5 | pain | 5\n- | -5..20 | {STEROID}", "60", "NO-FLARE", "NO-FLARE"),
    "a course of it renewed is no start": (
        f"A | 5 | pain | 5\n- | -5..4 | {STEROID}\n- | 5..20 | {STEROID}", "60", "NO-FLARE", "NO-FLARE"),
    "up by 1, gone after a steroid": (
        f"A | 7 | pain | 6\n- | 8..12 | {STEROID}\nA | 13 | pain | 5", "60", "FLARE steroid", "FLARE pain"),
    "up by 1, gone without a steroid": (
        "A | 7 | pain | 6\nA | 13 | pain | 5", "60", "NO-FLARE", NO_RETURN),
    "up by 1, gone before the steroid": (
        f"A | 6 | pain | 6\nA | 7 | pain | 5\n- | 8..12 | {STEROID}\nA | 13 | pain | 6", "60",
        "FLARE steroid", NO_RETURN),
    "up by 1 on day 8": (
        f"A | 2 | pain | 5\nA | 8 | pain | 6\n- | 9..12 | {STEROID}\nA | 13 | pain | 5", "60",
        "FLARE steroid", "NO-FLARE"),
    "a retreatment ends it": (
        f"A | 3 | pain | 6\nA | 4 | surgery | for-pain\n- | 5..9 | {STEROID}", "60", "NO-FLARE", NO_RETURN),
}  # fmt: skip


@pytest.mark.parametrize("name", FLARE_BESIDE)
def test_pain_flare_by_the_definitions_beside_is(name: str) -> None:
    drawing, omed, *expected = FLARE_BESIDE[name]
    opioids = f"- | -20..0 | opioid | 60\n- | 1..300 | opioid | {omed}\n"
    found = outcomes("A | 0 | srs | T8\nA | -3 | pain | 5\n" + opioids + drawing, "icpre2012")
    rows = [response(found, "flare", variant=one) for one in ("pan2014", "balagamwala2018")]
    told = [(row.category, (row.arm or "").replace("none", ""), row.reason, *row.flags) for row in rows]
    assert [" ".join(filter(None, one)) for one in told] == expected


def test_a_definition_by_steroids_says_where_no_drug_is_recorded() -> None:
    found = outcomes("A | -3 | pain | 5\nA | 3 | pain | 6\nA | 9 | pain | 5")
    row = response(found, "flare", variant="balagamwala2018")
    assert (row.category, row.flags) == ("NO-FLARE", ("medication-not-recorded", "rise-without-return"))
    assert "medication-not-recorded" not in response(found, "flare").flags


# other drugs of a lesion of baseline 7 -> flags of its response at three months
BESIDE = {
    "a steroid begun in between": ("- | 30..100 | opioid | 0 not-opioid steroid", "steroid-started"),
    "a steroid that ended in between": ("- | -10..30 | opioid | 0 not-opioid steroid", "steroid-stopped"),
    "an NSAID all the time": ("- | -10..100 | opioid | 0 not-opioid nsaid", "nsaid-throughout"),
    "one NSAID after another": (
        "- | -10..30 | opioid | 0 not-opioid nsaid @1\n- | 80..100 | opioid | 0 not-opioid nsaid @2",
        "nsaid-throughout"),
    "given and gone between the two days": ("- | 30..60 | opioid | 0 not-opioid paracetamol", ""),
    "two classes": (
        "- | 30..100 | opioid | 0 not-opioid gabapentinoid\n"
        "- | 30..100 | opioid | 0 not-opioid systemic-therapy",
        "gabapentinoid-started systemic-therapy-started"),
    "any other drug": ("- | 30..100 | opioid | 0 not-opioid", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
def test_what_moves_pain_beside_opioids_is_a_flag_and_no_category(name: str) -> None:
    drawing, flags = BESIDE[name]
    row = response(outcomes("A | -3 | pain | 7\nA | 91 | pain | 4\n" + drawing, "ryu2008"), "3-month")
    assert (row.category, " ".join(row.flags)) == ("PR", flags)


def toxicities(drawing: str, study: str = "rtog0631") -> list[tuple[str | None, str, str, tuple[str, ...]]]:
    found = outcomes("A | 0 | srs | T8\nA | -3 | pain | 7\n" + drawing, study).responses
    return [(row.term, row.window, row.category, row.flags) for row in found if row.endpoint == "toxicity"]


def test_toxicity_is_the_worst_grade_of_each_term_acute_to_day_90_and_late_after() -> None:
    drawing = (
        "- | 5 | toxicity | 1 CTCAEv3 nausea\n- | 90 | toxicity | 3 CTCAEv3 nausea\n"
        "- | 91 | toxicity | 2 CTCAEv3 nausea\n- | 30 | toxicity | 2 CTCAEv5 pain\n"
        "- | -3 | toxicity | 4 CTCAEv3 before"
    )
    assert toxicities(drawing) == [
        ("nausea", "acute", "GRADE-3", ()),
        ("pain", "acute", "GRADE-2", ("ctcae-version-differs",)),
        ("nausea", "late", "GRADE-2", ()),
    ]


def test_a_toxicity_is_of_the_patient_and_counted_from_the_last_treatment() -> None:
    found = outcomes("A | 0 | srs | T8\nB | 200 | srs | L2\n- | 210 | toxicity | 2 CTCAEv5 pain")
    (row,) = [row for row in found.responses if row.endpoint == "toxicity"]
    assert (row.grain, row.lesion_id, row.window, row.days) == ("patient", None, "acute", 10)
    assert row.value == Decimal(2)
