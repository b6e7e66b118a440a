"""Every endpoint and reading in words: its rule, where that stands, and the parameters that it looks at.

`fhir-srs explain` and docs/endpoints.md print this table. A test changes each parameter of a study and
holds that no outcome moves whose rule does not list it.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint in one reading: *rule* in words, *section* of the specification, *parameters* by name."""

    rule: str
    section: str
    parameters: tuple[str, ...]


TAKEN = (
    "eligibility",
    "published_criteria",
    "single_fraction",
    "unit",
    "attribution",
    "time_zero",
    "retreatment_unknown",
)
BASELINE = ("baseline_first_day", "min_baseline_pain")
JUDGED = (
    "rule",
    "pain_delta",
    "analgesics",
    "omed_table",
    "prn_orders",
    "omed_increase",
    "omed_fall",
    "omed_rise",
)
BEST = ("best_first_day", "best_last_day", "flare_days")
RELIEF = (*TAKEN, *BASELINE, *JUDGED, "late_entry")
RELAPSE = ("relapse_delta", "relapse_confirm", "relapse_omed")
LASTING = (*RELIEF, "flare_days", *RELAPSE)
CONTROL = (*RELIEF, *BEST, *RELAPSE)
IMAGED = (*TAKEN, "baseline_first_day", "late_entry", "death_gap")
NERVES = (*TAKEN, "baseline_first_day", "windows")
SURVIVED = (*TAKEN, "baseline_first_day")


def _says(section: str, parameters: tuple[str, ...], rule: str) -> Definition:
    return Definition(rule=rule, section=section, parameters=tuple(dict.fromkeys(parameters)))


_RESPONSES = (
    *TAKEN,
    *BASELINE,
    *JUDGED,
    *BEST,
    "windows",
    "response_at",
    "primary",
    "dose_low_gy",
    "dose_high_gy",
)
_CENSORED = "censored at the last pain assessment, the dead too"
_COMPETES = "a death within death_gap of the last pain assessment competes, on its date"
_BACK = (
    "Relapse is pain at nadir + relapse_delta after the flare days, opioid up by a quarter since the nadir "
    "where relapse_omed, or retreatment for pain, progression or no known reason"
)
_EVER = "Lesions ever controlled by their best class, from t0 to relapse"

DEFINITIONS: Mapping[tuple[str, str | None], Definition] = MappingProxyType(
    {
        ("pain-response", None): _says(
            "1, 3, 15",
            _RESPONSES,
            "The assessment nearest the target day of the window (of several scores of a day the worst; for "
            "the best class, the best of its days) against the baseline, by the first arm of the rule that "
            "holds.",
        ),
        ("pain-response", "icpre"): _says(
            "3",
            _RESPONSES,
            "The ICPRE class of the assessment that gave the study's class, opioids heeded.",
        ),
        ("pain-response", "blind"): _says(
            "3", _RESPONSES, "The class of the same assessment as if the opioid dose had not changed."
        ),
        ("pain-response", "responder"): _says(
            "3",
            (*_RESPONSES, "secondary_sites"),
            "CR or PR of the index lesion, and no second site worse by delta in the same window.",
        ),
        ("pain-response", "flare"): _says(
            "9",
            (
                *TAKEN,
                *BASELINE,
                "flare",
                "omed_table",
                "prn_orders",
                "omed_increase",
                "omed_fall",
                "omed_rise",
            ),
            "Pain up by so many points on the first days, or more opioid, or a steroid started, back at "
            "the baseline later: as each definition of flare says, the first being the study's own.",
        ),
        ("time-to-relief", None): _says(
            "5",
            (*RELIEF, "death_gap"),
            "From t0 to the first assessment in CR or PR, before retreatment; death within death_gap of the "
            "last assessment and retreatment for pain, progression or no known reason compete, others are "
            "censored at the last assessment.",
        ),
        ("time-to-relief", "visit-date"): _says(
            "5",
            (*RELIEF, "death_gap"),
            "Days to relief of the lesions that reached it, by visit date.",
        ),
        ("time-to-relief", "competing"): _says(
            "5", (*RELIEF, "death_gap"), "Cumulative incidence of relief, death and retreatment competing."
        ),
        ("time-to-relief", "kaplan-meier"): _says(
            "5, 15",
            (*RELIEF, "death_gap"),
            "1 - Kaplan-Meier of the same rows, others censored when last seen.",
        ),
        ("time-to-relief", "interval"): _says(
            "5",
            (*RELIEF, "death_gap"),
            "Relief lies between the last assessment without it and the first with it; baseline is day 0.",
        ),
        ("time-to-relapse", None): _says("6", CONTROL, f"{_EVER}; {_CENSORED}. {_BACK}."),
        ("time-to-relapse", "descriptive"): _says(
            "6", CONTROL, "Relapses over three denominators: responders, ever controlled, with follow-up."
        ),
        ("time-to-relapse", "competing"): _says(
            "6, 8", (*CONTROL, "death_gap"), f"{_EVER}; {_COMPETES}. {_BACK}."
        ),
        ("relief-duration", "descriptive"): _says(
            "7",
            (*LASTING, "death_gap"),
            "Relief to relapse, else to a death within death_gap, else to the last pain assessment: "
            "observed, "
            "without censoring.",
        ),
        ("relief-duration", "kaplan-meier"): _says("7", LASTING, f"Relief to relapse; {_CENSORED}. {_BACK}."),
        ("relief-duration", "competing"): _says(
            "7", (*LASTING, "death_gap"), f"Relief to relapse; {_COMPETES}. {_BACK}."
        ),
        ("relief-duration", "net"): _says(
            "7",
            (*LASTING, "death_gap"),
            "Days in relief of all days alive after treatment, of responders.",
        ),
        ("pain-control", "A"): _says(
            "8", CONTROL, f"{_EVER}, the best class being due; {_CENSORED}. {_BACK}."
        ),
        ("pain-control", "B"): _says(
            "8", LASTING, f"Responders, from relief to relapse; {_CENSORED}. {_BACK}."
        ),
        ("pain-control", "C"): _says(
            "8",
            (*TAKEN, "baseline_first_day", "late_entry", "flare_days", "relapse_delta", "relapse_confirm"),
            "All lesions with follow-up, from t0 to a rise of relapse_delta over the nadir, which "
            "includes the "
            f"baseline, after the flare days, or retreatment; {_CENSORED}.",
        ),
        ("pain-control", "D"): _says("8", (*CONTROL, "death_gap"), f"As A; {_COMPETES}."),
        ("pain-control", "E"): _says(
            "8", CONTROL, f"All lesions with a best class; those never controlled fail on day 0; {_CENSORED}."
        ),
        ("local-failure", None): _says(
            "10, 15",
            (*IMAGED, "lc_confirm", "lc_window"),
            "From t0 to the first scan that shows growth, once confirmed by a later scan, pathology, "
            "epidural or "
            "neurological progression; growth within lc_window that stops is pseudoprogression, growth there "
            "that nobody looked at again is censored at the scan before. Retreatment for pain or growth is a "
            "failure; death within death_gap of the last imaging competes.",
        ),
        ("local-failure", "indeterminate-as-event"): _says(
            "10",
            (*IMAGED, "lc_confirm", "lc_window"),
            "The same, unsettled growth counted as an event.",
        ),
        ("local-failure", "epidural"): _says(
            "10", IMAGED, "From t0 to a Bilsky grade above the lowest since, and just before, treatment."
        ),
        ("vertebral-fracture", None): _says(
            "12",
            IMAGED,
            "Of each treated segment, from t0 to a new fracture or one that progressed; death within "
            "death_gap "
            "of the last imaging, stabilisation and retreatment compete.",
        ),
        ("vertebral-fracture", "symptomatic"): _says(
            "12",
            (*IMAGED, "fracture_pain_days", "fracture_pain_points"),
            "The same, of fractures that hurt: pain up by fracture_pain_points within fracture_pain_days of "
            "it over the last score before, or an operation at the segment so soon after, unless for another "
            "reason.",
        ),
        ("neurological-response", None): _says(
            "11", NERVES, "A change of one level or more on the same scale, window against baseline."
        ),
        ("ambulation", None): _says("11", NERVES, "Walking or not in the window nearest the target day."),
        ("retreatment", None): _says(
            "15",
            SURVIVED,
            "From t0 to radiation or surgery at the segment, whatever its reason; death competes.",
        ),
        ("toxicity", None): _says(
            "14",
            (*SURVIVED, "acute_days", "ctcae"),
            "The worst grade of each patient and term, acute up to acute_days after treatment, else late.",
        ),
        ("overall-survival", None): _says(
            "15",
            SURVIVED,
            "Patients, from the first eligible t0 to death; others when last known alive.",
        ),
        ("overall-survival", "death-month-midpoint"): _says(
            "15", SURVIVED, "The same, a death known to the month placed in its middle."
        ),
        ("follow-up", None): _says(
            "15", SURVIVED, "The end of observation alive, deaths censored (reverse Kaplan-Meier)."
        ),
    }
)


def definition_of(endpoint: str, variant: str | None, window: str | None = None) -> Definition:
    """The definition of an outcome or figure; a toxicity's variant is its term, a flare is a window."""
    if endpoint == "toxicity":
        return DEFINITIONS[endpoint, None]
    if window == "flare":
        return DEFINITIONS[endpoint, "flare"]
    return DEFINITIONS[endpoint, variant]
