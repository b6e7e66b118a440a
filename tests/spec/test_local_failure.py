"""Local failure of drawn lesions: confirmation, pseudoprogression, epidural disease (section 10)."""

import pytest

from tests.spec.timelines import ended, outcomes, time

WORSE, STABLE, BETTER = "disease-status | worsened", "disease-status | stable", "disease-status | improved"

# scans of lesion A -> local failure under spino (42 days), flags that say how
SPINO = {
    "never worse": (f"A | 90 | {STABLE}\nA | 180 | {STABLE}", "censored 180", ""),
    "a scan without a statement is follow-up": ("A | 90 | imaging |", "censored 90", ""),
    "worse twice, 42 days apart: dated at the first": (
        f"A | 90 | {WORSE}\nA | 132 | {WORSE}", "event 90", ""),
    "worse twice, 41 days apart": (f"A | 90 | {WORSE}\nA | 131 | {WORSE}", "censored 0", "indeterminate"),
    "worse, stable between, worse": (
        f"A | 60 | {WORSE}\nA | 90 | {STABLE}\nA | 150 | {WORSE}", "censored 90",
        "indeterminate pseudoprogression"),
    "early growth that then is stable": (
        f"A | 90 | {WORSE}\nA | 150 | {STABLE}", "censored 150", "pseudoprogression"),
    "early growth that then shrinks": (
        f"A | 90 | {WORSE}\nA | 120 | {BETTER}", "censored 120", "pseudoprogression"),
    "early growth that passed, then death: told all the same": (
        f"A | 90 | {WORSE}\nA | 150 | {STABLE}\n- | 200 | death |", "competing 200 death",
        "pseudoprogression"),
    "pseudoprogression, later true progression": (
        f"A | 90 | {WORSE}\nA | 150 | {STABLE}\nA | 300 | {WORSE}\nA | 350 | {WORSE}", "event 300",
        "pseudoprogression"),
    "early growth, nobody looked again: censored at the scan before": (
        f"A | 60 | {STABLE}\nA | 183 | {WORSE}", "censored 60", "indeterminate"),
    "early growth, nobody looked again, then death: censored all the same": (
        f"A | 60 | {STABLE}\nA | 100 | {WORSE}\n- | 150 | death |", "censored 60", "indeterminate"),
    "late growth, nobody looked again": (f"A | 60 | {STABLE}\nA | 184 | {WORSE}", "event 184", "unconfirmed"),
    "pathology": (f"A | 90 | {WORSE} pathology", "event 90", "pathology"),
    "pathology later": (f"A | 90 | {WORSE}\nA | 100 | {WORSE} pathology", "event 90", ""),
    "response by criteria": ("A | 90 | imaging | PD\nA | 140 | imaging | PD", "event 90", ""),
    "worse elsewhere is no scan of the segment": (
        f"A | 60 | {STABLE}\nA | 90 | {WORSE} distant\nA | 140 | {WORSE} distant", "censored 60", ""),
    "worse, of the patient, place unknown": (
        f"A | 60 | {STABLE}\n- | 90 | {WORSE}\n- | 140 | {WORSE}", "censored 60", ""),
    "worse, of the patient, but local, the only lesion": (
        f"A | 60 | {STABLE}\n- | 90 | {WORSE} local\n- | 140 | {WORSE} local", "event 90",
        "local patient-level"),
    "epidural disease of a higher grade needs no second scan": (
        "A | -5 | imaging | {bilsky} 1a\nA | 90 | imaging | {bilsky} 1b", "event 90", ""),
    "a lower grade is none": (
        "A | -5 | imaging | {bilsky} 2\nA | 90 | imaging | {bilsky} 1b", "censored 90", ""),
    "a grade above the best since treatment": (
        "A | -5 | imaging | {bilsky} 2\nA | 90 | imaging | {bilsky} 1a\nA | 180 | imaging | {bilsky} 1b",
        "event 180", ""),
    "the first grade ever is none": ("A | 90 | imaging | {bilsky} 3", "censored 90", ""),
    "growth with neurological decline": (
        f"A | -2 | neuro | {{asia}} E\nA | 90 | {WORSE}\nA | 95 | neuro | {{asia}} D", "event 90", ""),
    "death within 183 days of the last scan competes": (
        f"A | 90 | {STABLE}\n- | 273 | death |", "competing 273 death", ""),
    "a later death does not": (f"A | 90 | {STABLE}\n- | 274 | death |", "censored 90", ""),
    "retreatment for progression": (
        f"A | 90 | {STABLE}\nA | 120 | retreatment | for-progression", "event 120", ""),
    "operation for another reason": (
        f"A | 90 | {STABLE}\nA | 120 | surgery | other-reason\nA | 150 | {WORSE}", "censored 90", ""),
    "a death after an operation for another reason is not this lesion's": (
        f"A | 90 | {STABLE}\nA | 120 | surgery | other-reason\n- | 150 | death |", "censored 90", ""),
    "never imaged": ("A | 60 | pain | 3", "out: no-imaging", ""),
    "first imaged after 183 days": (f"A | 184 | {STABLE}", "out: late-entry", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", SPINO)
def test_local_failure_is(name: str) -> None:
    drawing, expected, flags = SPINO[name]
    row = time(outcomes("A | 0 | srs | T8\n" + drawing, "spino2015"), "local-failure")
    assert (ended(row), " ".join(row.flags)) == (expected, flags)


def bahig(drawing: str) -> str:
    """Local failure of the drawing where growth is confirmed over six months."""
    from fhir_srs.endpoints import derive, load_study
    from fhir_srs.endpoints.study_file import changed
    from tests.spec.timelines import LATER, draw

    study = changed(load_study("spino2015"), {"lc_confirm": "bahig"})
    return ended(time(derive(draw(drawing), study=study, data_cutoff=LATER), "local-failure"))


def test_under_bahig_growth_is_confirmed_over_183_days() -> None:
    assert bahig(f"A | 90 | {WORSE}\nA | 273 | {WORSE}") == "event 90"
    assert bahig(f"A | 90 | {WORSE}\nA | 272 | {WORSE}") == "censored 0"


def test_growth_that_was_not_settled_is_an_event_in_its_own_reading() -> None:
    found = outcomes(f"A | 60 | {STABLE}\nA | 120 | {WORSE}", "spino2015")
    assert ended(time(found, "local-failure", "indeterminate-as-event")) == "event 120"
    assert ended(time(found, "local-failure")) == "censored 60"


def test_epidural_progression_is_followed_by_itself() -> None:
    found = outcomes(
        f"A | -5 | imaging | {{bilsky}} 1a\nA | 60 | {WORSE}\nA | 120 | {WORSE}\n"
        "A | 200 | imaging | {bilsky} 2",
        "spino2015",
    )
    assert ended(time(found, "local-failure", "epidural")) == "event 200"
    assert ended(time(found, "local-failure")) == "event 60"


def test_the_event_names_its_scan_and_what_confirmed_it() -> None:
    row = time(outcomes(f"A | 90 | {WORSE}\nA | 150 | {WORSE}", "spino2015"), "local-failure")
    assert row.description == "progression on imaging, confirmed on 2024-06-08"
    assert "Observation/disease-status-0" in row.sources
