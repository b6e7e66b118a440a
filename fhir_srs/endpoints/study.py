"""Study definitions: every parameter of the rules by name, and where it comes from.

The shipped ones are `mappings/studies/*.toml` (`study_file` reads them); spec/endpoints.md section 16 is
their source. The engine reads nothing but these values.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

Basis = Literal["published", "memory", "assumed"]
Rule = Literal["icpre", "threshold", "half", "rtog"]


class Window(msgspec.Struct, frozen=True):
    """A visit window in days, both ends included, and the day it aims at."""

    name: str
    first: int
    last: int
    target: int


# Their names are a contract (design.md section 4.4); `best` is the window of the best class.
VISITS = ("1-month", "2-month", "3-month", "6-month", "12-month")


class Criteria(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Whom the publication took, each criterion absent where it names none (section 16).

    *schedules* are (dose in Gy, fractions); *targets* lesions treated within 28 days; *levels* those of one
    target, *consecutive* where none may lie between; *ecog* and *sins* the highest taken; *intent* the
    course's; *symptomatic_compression* false where the publication left patients with it out.
    """

    schedules: tuple[tuple[Decimal, int], ...] = ()
    solitary: bool = False
    targets: int | None = None
    levels: int | None = None
    consecutive: bool = False
    pain: Decimal | None = None
    ecog: int | None = None
    sins: int | None = None
    intent: str | None = None
    symptomatic_compression: bool = True


class Flare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A definition of pain flare (section 9): pain up by *points* or more on days 1 to *days*.

    *opioids*: with `balanced` more pain on less opioid is none, and opioid up by omed_rise with no less pain
    is one; with `alone` either is one by itself. *steroid*: with `start` the start of one on these days is a
    flare too, with `resolves` only what passes after one is. *returns*: only what comes back to the baseline.
    """

    name: str
    days: int
    points: Decimal
    opioids: Literal["ignored", "balanced", "alone"] = "ignored"
    steroid: Literal["ignored", "start", "resolves"] = "ignored"
    returns: bool = False


class Primary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure that answers the study's question, by the words of its estimate (design.md section 4.4)."""

    endpoint: str
    label: str | None = None
    variant: str | None = None
    window: str | None = None
    population: str | None = None
    time_days: int | None = None


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The primary figures once more: with some parameters changed, with what is missing imputed, or without
    the lesions whose response carries one of the flags *without*.
    """

    label: str
    change: dict[str, Any] = {}
    missing: Literal["response", "no-response"] | None = None
    without: tuple[str, ...] = ()


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A named definition of all endpoints. *basis* says of each parameter where it comes from.

    *min_baseline_pain*, *pain_delta*, *relapse_delta* and *fracture_pain_points* are points of pain; what
    ends in *_day*, *_days*, *_gap* or *_window*, and *late_entry*, are days. *windows* are first, last and
    target day by name. *omed_table* `site` is the table that the site profile names; *prn_orders* says
    whether a drug ordered as needed, of which no intake is recorded, counts 0 or as if all that is allowed
    were taken. *omed_fall* and *omed_rise* are ratios to the OMED at baseline. *response_at* are the windows
    of the published response. The first *flare* is the study's own, the others are told beside it.
    *relapse_first*, *duration_first* and *control_first* are shown first.
    """

    name: str
    version: str
    title: str
    eligibility: Literal["default", "as-published"]
    published_criteria: Criteria
    single_fraction: bool
    dose_low_gy: Decimal
    dose_high_gy: Decimal
    unit: Literal["lesion", "index-lesion"]
    time_zero: Literal["last-fraction", "first-fraction"]
    baseline_first_day: int
    windows: dict[str, tuple[int, int, int]]
    attribution: Literal["site", "single", "index"]
    min_baseline_pain: Decimal
    severity_cuts: tuple[int, int]
    rule: Rule
    pain_delta: Decimal
    analgesics: Literal["aware", "blind"]
    omed_table: Literal["cdc-2022", "cdc-2016", "cancer-canada", "site"]
    prn_orders: Literal["exclude", "max-dose"]
    omed_increase: Literal["any", "25-percent"]
    omed_fall: Decimal
    omed_rise: Decimal
    secondary_sites: Literal["ignored", "no-worsening"]
    best_first_day: int
    best_last_day: int
    response_at: tuple[str, ...]
    primary: tuple[Primary, ...]
    flare_days: int
    flare: tuple[Flare, ...]
    relapse_delta: Decimal
    relapse_confirm: Literal["none", "next-score"]
    relapse_omed: bool
    relapse_first: Literal["responders", "ever-controlled", "with-follow-up"]
    duration_first: Literal["descriptive", "kaplan-meier", "competing"]
    control_first: Literal["A", "B", "C", "D", "E"]
    death_gap: int
    retreatment_unknown: Literal["failure", "other-reason"]
    late_entry: int
    landmark_days: tuple[int, ...]
    lc_confirm: Literal["spino", "bahig"]
    lc_window: int
    fracture_pain_days: int
    fracture_pain_points: Decimal
    ctcae: Literal["any", "3", "4", "5"]
    acute_days: int
    sensitivity: tuple[Sensitivity, ...]
    basis: dict[str, Basis] = {}
    notes: dict[str, str] = {}

    @property
    def best(self) -> Window:
        """The window of the best class."""
        return Window("best", self.best_first_day, self.best_last_day, self.best_first_day)

    @property
    def visits(self) -> tuple[Window, ...]:
        """The visit windows by time; they count from t0."""
        return tuple(Window(name, *self.windows[name]) for name in VISITS if name in self.windows)
