"""Why a figure, an interval, a test or a fit does not exist: one closed list (`spec/statistics.md` 12.1).

A reason may be followed by details in brackets, such as the last observed day or a covariate's name.
"""

from collections.abc import Mapping
from types import MappingProxyType

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "no-rows": "there is no row to estimate from",
        "no-event": "no row ends in an event",
        "beyond-follow-up": "asked for a day after the last observed one",
        "no-event-yet": "no event until that day, so no interval",
        "survival-zero": "the curve has reached 0, so no interval",
        "no-event-of-this-cause": "no event of this cause until that day, so no interval",
        "incidence-one": "everyone had this event, so no interval",
        "zero-cluster-variance": "opposite outcomes cancel inside every patient",
        "one-patient": "one patient gives no variance between patients",
        "one-group": "there are fewer than two groups to compare",
        "groups-never-together": "no event while two groups were under observation at once",
        "too-few-patients": "a clustered test needs more patients than degrees of freedom",
        "null-incidence-one": "the pooled incidence reaches 1 while groups are still compared",
        "variance-not-positive": "so many tied events that the variance formula of the test breaks down",
        "constant-covariate": "at each event a covariate has one value in all rows at risk",
        "dependent-covariates": "a covariate is a linear combination of others",
        "separation": "a coefficient runs off: a covariate tells who fails next at every event",
        "not-converged": "the iteration ended before its certificate of convergence held",
        "inside-support-interval": "interval-censored times do not determine survival on that day",
        "one-event-day": "all events that inform fall on one day, so no effect can change with time",
        "no-logarithm-of-day-0": "an event on day 0 has no logarithm",
    }
)
