"""The truth of random cohorts of 2,000 patients is found by each estimator as often as its interval says.

Latent relief, relapse and death (`latent_world.py`) go through `derive` and `estimate`; a figure is held
against the truth of the world, which was counted or written down without them. Of many cohorts three things
must hold for each figure, each with a bound that follows from the number of cohorts alone:

- coverage: the number of intervals that hold the truth is no smaller than a binomial of 95 % gives;
- no bias: the mean of the figures differs from the truth by no more than chance lets it;
- honest width: the intervals are as wide as the figures really vary (those of a proportion may be wider).

`python -m tests.properties.test_truth_recovered` keeps what it finds in docs/measured/truth-STUDY.json, of
which docs/statistics.md is made.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import msgspec
import numpy as np
import pytest
from scipy.stats import binom, chi2, norm

from fhir_srs.endpoints import derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.estimates.figures import clusters_of, days_of, events_of, rows_of, statuses
from fhir_srs.estimates.table import figures_of
from fhir_srs.model import Estimate, Fit, Mapped, TestResult
from fhir_srs.survival import (
    cox,
    fine_gray,
    fine_gray_test,
    log_rank,
    restricted_mean,
    turnbull_survival,
)
from tests.measured import keep
from tests.properties.latent_world import CUTOFF, DEATH_MEAN, LOSSES, World, draw_world, mapped_of

PATIENTS, COHORTS = 2_000, 60
STUDIES = ("ryu2008", "icpre2012", "rtog0631")
BEST_LAST = {"ryu2008": 90, "icpre2012": 120, "rtog0631": 120}
FALSE_ALARM = 1e-4  # of each check of each figure; there are about 100 of them
NULL = 1_000_000  # patients of the world in which the truth is counted


@dataclass(frozen=True)
class Truth:
    """A figure's true value, and how well it is known."""

    value: float
    error: float = 0.0


def counted(holds: np.ndarray, among: np.ndarray | None = None) -> Truth:
    """The share of lesions for which something *holds*, *among* some of them."""
    rows = holds if among is None else holds[among]
    share = float(rows.mean())
    return Truth(share, float(np.sqrt(share * (1 - share) / len(rows) * 1.5)))  # 1.5: lesions of a patient


def truths(world: World, study: str) -> dict[str, Truth]:
    """What is true of *world* by the words of the figures, read off its latent days."""
    relief, relapse, death = world.relief, world.relapse, world.death
    worse, followed = world.kind == 2, death > 28
    controlled = followed & ~worse
    last_best = BEST_LAST[study]
    responds = (relief <= 84) & (relapse > 84) & (death > 84)
    best = (relief <= last_best) & (death > relief)
    found = {
        "CR+PR best itt": counted(best),
        "CR+PR best assessable": counted(best, followed),
        "CR best assessable": counted(best & world.complete, followed),
        "CR+PR 3-month itt": counted(responds),
        "CR+PR 3-month assessable": counted(responds, death > 84),
    }
    if study == "rtog0631":
        index = np.diff(world.patient, prepend=-1) > 0  # all were treated on one day: the most cranial
        other = np.bincount(world.patient, weights=worse & ~index)[world.patient] > 0
        found["RESPONDER 3-month itt"] = counted(responds & ~other, index)
        found["RESPONDER 3-month assessable"] = counted(responds & ~other, index & (death > 84))
    for day in (30, 61, 91):
        found[f"relief incidence {day}"] = counted((relief <= day) & (death > relief))
        found[f"relief 1-KM {day}"] = counted(relief <= day)
    for day in (183, 365):
        lost = relapse <= day
        lasted = relapse - np.where(np.isfinite(relief), relief, 0) > day
        found[f"control A {day}"] = counted(~lost, ~worse)
        found[f"control B {day}"] = counted(lasted, np.isfinite(relief))
        found[f"control C {day}"] = counted(~lost & ~worse)
        found[f"control D {day}"] = counted(~(lost & (death > relapse)), controlled)
        found[f"control E {day}"] = counted(~lost & ~worse)
        found[f"survival {day}"] = Truth(float(np.exp(-day / DEATH_MEAN)))
    year = np.arange(365)
    return found | {
        "median survival": Truth(float(np.ceil(DEATH_MEAN * np.log(2)))),
        "restricted mean survival": Truth(float(np.exp(-year / DEATH_MEAN).sum())),
        "no effect, Cox": Truth(0.0),
        "no effect, clustered Cox": Truth(0.0),
        "no effect, Fine-Gray": Truth(0.0),
    }


def figures(world: World, study: str) -> tuple[dict[str, Estimate | Fit], list[TestResult], Estimate]:
    """The figures of *world* under *study* by their words; tests of a group that means nothing; follow-up."""
    outcomes = derive(mapped_of(world), study=load_study(study), data_cutoff=CUTOFF)
    table = estimate(outcomes)

    def one(endpoint: str, name: str, **words: object) -> Estimate:
        fits = [row for row in table if row.endpoint == endpoint and row.name.startswith(name)]
        (found,) = [row for row in fits if all(getattr(row, key) == words[key] for key in words)]
        return found

    found: dict[str, Estimate | Fit] = {}
    shares: list[tuple[str, str, str, str | None]] = [
        ("CR+PR", "best", "itt", None),
        ("CR+PR", "best", "assessable", None),
        ("CR", "best", "assessable", None),
        ("CR+PR", "3-month", "itt", None),
        ("CR+PR", "3-month", "assessable", None),
    ]
    if study == "rtog0631":
        shares += [("RESPONDER", "3-month", population, "responder") for population in ("itt", "assessable")]
    for label, window, population, variant in shares:
        rows = [row for row in table if row.endpoint == "pain-response" and row.name == label]
        words = (window, population, variant, "korn-graubard")
        (share,) = [row for row in rows if (row.window, row.population, row.variant, row.method) == words]
        found[f"{label} {window} {population}"] = share
    for day in (30, 61, 91):
        found[f"relief incidence {day}"] = one("time-to-relief", "relief (cum", time_days=day)
        found[f"relief 1-KM {day}"] = one("time-to-relief", "relief (1", time_days=day)
    for day in (183, 365):
        for variant in "ABCDE":
            control = one("pain-control", "pain control", variant=variant, time_days=day)
            found[f"control {variant} {day}"] = control
        found[f"survival {day}"] = one("overall-survival", "overall", variant=None, time_days=day)
    found["median survival"] = one("overall-survival", "median", variant=None)
    survived, relapsed = rows_of(outcomes, "overall-survival"), rows_of(outcomes, "time-to-relapse")
    relieved = rows_of(outcomes, "time-to-relief")
    days, event = days_of(survived), events_of(survived)
    found["restricted mean survival"] = restricted_mean(days, event, 365)
    arms = [[hash_of(row.patient) for row in rows] for rows in (survived, relapsed, relieved)]
    again = (days_of(relapsed), events_of(relapsed), clusters_of(relapsed))
    better = (days_of(relieved), statuses(relieved), clusters_of(relieved))
    found["no effect, Cox"] = cox(days, event, {"arm": arms[0]}).plain()
    found["no effect, clustered Cox"] = cox(*again[:2], {"arm": arms[1]}, cluster=again[2]).plain()
    found["no effect, Fine-Gray"] = fine_gray(*better[:2], {"arm": arms[2]}, cluster=better[2])
    tests = [
        log_rank(days, event, arms[0]),
        log_rank(*again[:2], arms[1], cluster=again[2]),
        fine_gray_test(*better[:2], arms[2], cluster=better[2]),
    ]
    return found, tests, one("follow-up", "median")


def hash_of(patient: str) -> int:
    """An arm that means nothing: every other patient, as they were drawn."""
    return int(patient.rpartition("p")[2]) % 2


def value_and_limits(figure: Estimate | Fit) -> tuple[float, float, float]:
    if isinstance(figure, Fit):
        numbers = figure.coef[0], figure.low[0], figure.high[0]
    else:
        numbers = figure.value, figure.low, figure.high
    value, low, high = numbers
    assert value is not None
    assert low is not None
    assert high is not None
    return value, low, high


def least_covered(cohorts: int, share: float = 0.95) -> int:
    """So many intervals at least hold the truth, but for one in 1/FALSE_ALARM sets of *cohorts*."""
    return int(binom.ppf(FALSE_ALARM, cohorts, share))


def most_biased(errors: np.ndarray, truth: Truth) -> float:
    """How far the mean of *errors* may lie from 0 by chance."""
    spread = np.hypot(errors.std(ddof=1) / np.sqrt(len(errors)), truth.error)
    return float(norm.isf(FALSE_ALARM / 2) * spread)


def widths(cohorts: int) -> tuple[float, float]:
    """Between which bounds the true spread over the estimated one lies, both as standard deviations."""
    least, most = chi2.ppf((FALSE_ALARM / 2, 1 - FALSE_ALARM / 2), cohorts - 1) / (cohorts - 1)
    return float(np.sqrt(least)), float(np.sqrt(most))


@dataclass(frozen=True)
class Found:
    """One figure over many cohorts; *wrong* says what its checks found, in words."""

    name: str
    truth: str
    mean: str
    held: str
    spread: str
    wrong: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.truth}, {self.mean}, {self.held}, {self.spread}{self.wrong}"


@cache
def null_world(seed: int) -> World:
    """The world in which the truth is counted."""
    return draw_world(NULL, np.random.default_rng(seed))


def recovered(study: str, cohorts: int, patients: int) -> Iterator[Found]:
    """Every figure and every test of *study* over so many cohorts of so many patients."""
    known = truths(null_world(7), study)
    seeds = [np.random.default_rng((11, patients, number)) for number in range(cohorts)]
    drawn = [figures(draw_world(patients, seed), study) for seed in seeds]
    for name, truth in known.items():
        yield held(name, truth, np.array([value_and_limits(found[name]) for found, _, _ in drawn]))
    for place, test in enumerate(drawn[0][1]):
        yield rejected(test.method, [tests[place].p or 0 for _, tests, _ in drawn])


def held(name: str, truth: Truth, rows: np.ndarray) -> Found:
    """What *rows* (value, low, high) of one figure come to, held against *truth*."""
    value, low, high = rows.T
    slack = 3 * truth.error  # the truth was counted, and is not known better
    holding = int(np.count_nonzero((low - slack <= truth.value) & (truth.value <= high + slack)))
    errors, told = value - truth.value, (high - low) / (2 * norm.isf(0.025))
    ratio = float(errors.std(ddof=1) / np.sqrt(np.mean(told**2)))
    least, bias = least_covered(len(value)), most_biased(errors, truth)
    narrow, wide = widths(len(value))
    wrong = [
        *(["covers too seldom"] if holding < least else []),
        *(["biased"] if abs(errors.mean()) > bias else []),
        *(["too narrow"] if ratio > wide else []),
        *(["too wide"] if ratio < narrow and not name.startswith(("CR", "RESPONDER")) else []),
    ]
    return Found(
        name=name,
        truth=f"{truth.value:.4f}",
        mean=f"{value.mean():.4f} (within {bias:.4f})",
        held=f"{holding} of {len(value)} (at least {least})",
        spread=f"{ratio:.2f} ({narrow:.2f} to {wide:.2f})",
        wrong=f" WRONG: {', '.join(wrong)}" if wrong else "",
    )


def rejected(name: str, p: Sequence[float]) -> Found:
    """How often a test rejects what is true."""
    number, most = sum(one < 0.05 for one in p), int(binom.isf(FALSE_ALARM, len(p), 0.05))
    return Found(
        name=f"{name}: groups that mean nothing",
        truth="no difference",
        mean="-",
        held=f"p below 0.05 in {number} of {len(p)} (at most {most})",
        spread="-",
        wrong=" WRONG: rejects too often" if number > most else "",
    )


def check(found: Sequence[Found]) -> None:
    wrong = [str(one) for one in found if one.wrong]
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
@pytest.mark.parametrize("study", STUDIES)
def test_every_estimator_finds_the_truth_of_2000_patients_as_often_as_its_interval_says(study: str) -> None:
    check(list(recovered(study, COHORTS, PATIENTS)))


@pytest.mark.parametrize("study", STUDIES)
def test_every_estimator_finds_the_truth_of_a_few_small_cohorts(study: str) -> None:
    check(list(recovered(study, 8, 150)))


def test_the_checks_would_see_an_interval_that_is_shifted_narrow_or_wide() -> None:
    """A negative control: the same checks on figures that are wrong by design."""
    generator = np.random.default_rng(3)
    value = generator.normal(0.7, 0.01, COHORTS)

    def made(shift: float, width: float) -> str:
        half = 1.96 * 0.01 * width
        rows = np.column_stack((value + shift, value + shift - half, value + shift + half))
        return held("x", Truth(0.7), rows).wrong

    assert not made(0, 1)
    assert "biased" in made(0.01, 1)
    assert "covers too seldom" in made(0, 0.5)
    assert "too narrow" in made(0, 0.5)
    assert "too wide" in made(0, 2)


def last_seen(mapped: Mapped) -> Mapped:
    """*mapped* with the last record of each kind alone: all that follow-up rests on."""
    last = {(one.patient, one.lesion_id, one.kind): one for one in mapped.events}
    return msgspec.structs.replace(mapped, events=list(last.values()))


def test_the_limits_of_the_median_follow_up_hold_the_day_by_which_half_are_lost() -> None:
    """That is the tenth of 19 equally likely days; deaths censor follow-up."""
    for seed in range(3):
        seen = last_seen(mapped_of(draw_world(PATIENTS, np.random.default_rng(seed))))
        outcomes = derive(seen, study=load_study("ryu2008"), data_cutoff=CUTOFF)
        follow_up = next(one for one in figures_of(outcomes, {"follow-up"}) if one.name.startswith("median"))
        assert follow_up.low is not None
        assert follow_up.high is not None
        assert follow_up.low <= LOSSES[9] <= follow_up.high
        assert follow_up.high - follow_up.low <= 2 * 28


def test_turnbull_holds_the_true_share_without_relief_at_a_visit() -> None:
    """By the latent days: relief lies between the visit before and the one that shows it."""
    world = draw_world(PATIENTS, np.random.default_rng(9))
    outcomes = derive(mapped_of(world), study=load_study("ryu2008"), data_cutoff=CUTOFF)
    rows = rows_of(outcomes, "time-to-relief", "interval")
    left = [row.free_until for row in rows]
    right = [row.days if event else np.inf for row, event in zip(rows, events_of(rows), strict=True)]
    for day in (28, 84):
        found = turnbull_survival(left, right, day, seed=1, cluster=clusters_of(rows), resamples=1000)
        truth = counted(null_world(8).relief > day).value
        assert found.low is not None
        assert found.high is not None
        assert found.low <= truth <= found.high


def main() -> None:
    """Keeps what every estimator finds of the truth, study by study: those named, else all."""
    for study in sys.argv[1:] or STUDIES:
        found = [asdict(one) for one in recovered(study, COHORTS, PATIENTS)]
        keep(f"truth-{study}", {"study": study, "cohorts": COHORTS, "patients": PATIENTS, "figures": found})


if __name__ == "__main__":
    main()
