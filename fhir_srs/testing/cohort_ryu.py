"""61 invented lesions in 49 invented patients whose course gives the published margins of Ryu 2008.

Which margins can hold together is settled in `decisions.md` 11 and 12 and `spec/endpoints.md` section 18;
`COURSES` below is one solution, worked out by hand and proved by `tests/unit/test_cohort_ryu.py`. The
seed moves patients, dates, levels, doses and harmless scores; no seed moves a margin. Aggregates of a
paper, never facts of its patients.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Literal

from fhir_srs.testing.cohort_latent import LatentLesion, LatentPatient, Score, draw_levels, draw_person

RYU_CUTOFF = date(2007, 12, 31)
# Patients of the paper were treated from May 2001 to May 2003 (endpoints.md section 17).
_FIRST_TREATMENT = date(2001, 5, 1)
_TREATMENT_DAYS = 730
_GRID = (7, 14, 28, 42, 60, 90, 120, 180, 240, 300, 365, 450, 540, 630, 720, 810, 900)
# Targets per patient: 39 + 8 x 2 + 2 x 3 = 61 lesions in 49 patients.
_PAIRS, _TRIPLES = 8, 2
_DOSES_CGY = (1000, 1200, 1250, 1400, 1600)

Kind = Literal["CR", "PR", "STABLE", "PROG", "late", "no-baseline", "painless", "never-seen"]


@dataclass(frozen=True, slots=True)
class Course:
    """One lesion's key days, counted from treatment: relief, last score, relapse, death; None for never."""

    kind: Kind
    relief: int | None
    last: int | None
    relapse: int | None = None
    death: int | None = None


# Controlled lesions (CR, PR, STABLE: 30). Relapses on days 110, 170, 230 and 300; last scores on 62, 88
# and 95 leave 27 at risk at the first, 140 leaves 25, 185 and 210 leave 22, 260 leaves 20; 310, 333 and
# 350 leave 16 on day 365. Hence 26/27 x 24/25 x 21/22 x 19/20 = 0.838.
# Days in relief (to relapse, else to a death within 183 days of the last score, else to the last score):
# fourteen of the 29 responders stay below 405 days, one has 405, fourteen more.
COURSES: tuple[Course, ...] = (
    Course("CR", 14, 88, death=130),
    Course("PR", 7, 95, death=210),
    Course("CR", 14, 185, death=240),
    Course("CR", 1, 260, death=301),
    Course("PR", 28, 310, death=385),
    Course("CR", 10, 350),
    Course("CR", 14, 170, relapse=170),
    Course("PR", 7, 300, relapse=300),
    Course("PR", 30, 372),
    Course("CR", 14, 400),
    Course("CR", 14, 419),
    Course("CR", 1, 450, death=520),
    Course("CR", 2, 455),
    Course("CR", 4, 470),
    Course("CR", 7, 480, death=610),
    Course("CR", 14, 540),
    Course("CR", 14, 560, death=640),
    Course("CR", 14, 600),
    Course("CR", 14, 730),
    Course("PR", 21, 480),
    Course("CR", 28, 548),
    Course("PR", 42, 500),
    Course("CR", 45, 640),
    Course("PR", 60, 910),
    Course("STABLE", None, 62, death=101),
    Course("STABLE", None, 110, relapse=110),
    Course("STABLE", None, 140),
    Course("STABLE", None, 210, death=300),
    Course("STABLE", None, 230, relapse=230),
    Course("STABLE", None, 333),
    Course("PROG", None, 35, death=60),
    Course("PROG", None, 50),
    Course("PROG", None, 76),
    Course("PROG", None, 90, death=120),
    Course("PROG", None, 120),
    Course("PROG", None, 160),
    Course("PROG", None, 220, death=290),
    # A baseline, but first seen again after the window of the best class, relieved by then.
    Course("late", 92, 300),
    Course("late", 100, 360),
    Course("late", 112, 205, death=280),
    Course("late", 128, 330),
    Course("late", 149, 700),
    Course("no-baseline", None, 30),
    Course("no-baseline", None, 60, death=95),
    Course("no-baseline", None, 90),
    Course("no-baseline", None, 120),
    Course("no-baseline", None, 180),
    Course("no-baseline", None, 240, death=280),
    Course("no-baseline", None, 365),
    Course("no-baseline", None, 400),
    Course("no-baseline", None, 500),
    Course("no-baseline", None, 700),
    Course("painless", None, 45),
    Course("painless", None, 120),
    Course("painless", None, 180),
    Course("painless", None, 365),
    Course("painless", None, 420),
    Course("painless", None, 600),
    Course("never-seen", None, None, death=33),
    Course("never-seen", None, None, death=71),
    Course("never-seen", None, None),
)


def ryu_patients(seed: int) -> list[LatentPatient]:
    """The 49 patients of the cohort, in the order of their numbers."""
    rng = Random(f"ryu2008:{seed}")
    return [_patient(number, rng, courses) for number, courses in enumerate(_shared_out(rng), 1)]


def _shared_out(rng: Random) -> list[list[Course]]:
    """The courses, one to three to a patient. A course with a death of its own has its patient alone."""
    dying = [[course] for course in COURSES if course.death is not None]
    alive = [course for course in COURSES if course.death is None and course.last is not None]
    alone = [[course] for course in COURSES if course.death is None and course.last is None]
    rng.shuffle(alive)
    sizes = [3] * _TRIPLES + [2] * _PAIRS
    alone.extend([alive.pop() for _ in range(size)] for size in sizes)
    patients = dying + alone + [[course] for course in alive]
    rng.shuffle(patients)
    return patients


def _patient(number: int, rng: Random, courses: Sequence[Course]) -> LatentPatient:
    start = _FIRST_TREATMENT + timedelta(days=rng.randrange(_TREATMENT_DAYS))
    lesions: list[LatentLesion] = []
    for course, levels in zip(courses, draw_levels(rng, len(courses)), strict=True):
        lesions.append(_lesion(rng, course, levels, start))
        if rng.random() < 0.4:
            start += timedelta(days=rng.randrange(45, 120))
    last_seen = max(lesion.last_score for lesion in lesions)
    death = _death(rng, courses, lesions, last_seen)
    contact = last_seen if death is not None else last_seen + timedelta(days=rng.randrange(0, 60))
    return draw_person(number, rng, lesions, death=death, last_contact=contact)


def _death(
    rng: Random, courses: Sequence[Course], lesions: Sequence[LatentLesion], last_seen: date
) -> date | None:
    """The death of the course; else for some a later one, too long after the last score to matter."""
    own = courses[0].death
    if own is not None:
        return lesions[0].end + timedelta(days=own)
    if courses[0].last is None or rng.random() < 0.5:
        return None
    return last_seen + timedelta(days=rng.randrange(200, 420))


def _lesion(rng: Random, course: Course, levels: tuple[str, ...], start: date) -> LatentLesion:
    baseline, visits = _scores(rng, course)
    before = _baseline(rng, course, baseline)
    return LatentLesion(
        levels=levels,
        start=start,
        end=start,
        dose_cgy=rng.choice(_DOSES_CGY),
        fractions=1,
        technique="SRS",
        scores=tuple(Score(on=start + timedelta(days=day), value=value) for day, value in (*before, *visits)),
        relief_day=course.relief,
        relapse_day=course.relapse,
    )


def _baseline(rng: Random, course: Course, baseline: int) -> list[tuple[int, int]]:
    """The scores up to treatment. Some without baseline have one that is too old to count."""
    if course.kind == "no-baseline":
        return [(-rng.randrange(30, 70), rng.randint(3, 8))] if rng.random() < 0.4 else []
    earlier = [(-rng.randrange(15, 28), max(0, baseline - 1))] if rng.random() < 0.3 else []
    return [*earlier, (-rng.randrange(0, 14), baseline)]


def _scores(rng: Random, course: Course) -> tuple[int, list[tuple[int, int]]]:
    """The baseline score and the (day, score) pairs after treatment."""
    days = _visit_days(rng, course)
    if course.kind in ("CR", "PR", "late"):
        return _relieved(rng, course, days)
    if course.kind == "STABLE":
        return _stable(rng, course, days)
    if course.kind == "PROG":
        baseline = rng.randint(2, 6)
        return baseline, [(day, baseline + (rng.randint(0, 2) if day < 15 else 3)) for day in days]
    baseline = rng.randint(4, 8) if course.kind == "never-seen" else 0
    return baseline, [(day, rng.randint(0, 2)) for day in days]


def _visit_days(rng: Random, course: Course) -> list[int]:
    """The days of the grid up to the last score, some of them missed, and the days that matter."""
    if course.last is None:
        return []
    first = course.relief if course.kind == "late" and course.relief is not None else 1
    planned = [day for day in _GRID if first <= day <= course.last]
    # Day 28 shows the best class of those never relieved; after relief it shows that it holds.
    kept = {day for day in planned if day == 28 or rng.random() < 0.8}
    return sorted(kept | {day for day in (course.relief, course.last, course.relapse) if day is not None})


def _relieved(rng: Random, course: Course, days: Iterable[int]) -> tuple[int, list[tuple[int, int]]]:
    baseline = rng.randint(5, 9)
    level = 0 if course.kind == "CR" or (course.kind == "late" and rng.random() < 0.5) else rng.randint(1, 2)
    scores: list[tuple[int, int]] = []
    for day in days:
        if course.relief is None or day < course.relief:
            scores.append((day, baseline - rng.randint(0, 2)))
        elif day == course.relief:
            scores.append((day, level))
        elif day == course.relapse:
            scores.append((day, level + rng.randint(3, 5)))
        else:
            scores.append((day, level + rng.randint(0, 2)))
    return baseline, scores


def _stable(rng: Random, course: Course, days: Iterable[int]) -> tuple[int, list[tuple[int, int]]]:
    baseline = rng.randint(4, 6)
    scores = [(day, baseline + rng.randint(-1, 1)) for day in days if day != course.relapse]
    if course.relapse is not None:
        scores.append((course.relapse, baseline + 4))
    return baseline, scores
