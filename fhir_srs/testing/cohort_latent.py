"""The hidden course of invented patients: what truly happens to them, before anything is written as FHIR.

`truth.csv` is read off these values and off nothing else (`decisions.md` 24). The courses keep apart
what endpoints keep apart, so that a score never lies on the edge of a definition: relief is a fall of
at least 3 points or to 0, which is relief under `ryu2008` and, unless more opioid is taken from the day
before on, under `icpre2012` alike; before it no fall exceeds 1 point; after it no rise exceeds 1 point
until relapse, a rise of at least 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from random import Random

from fhir_srs.model import Region, Technique
from fhir_srs.testing.cohort_codes import LEVELS

RANDOM_CUTOFF = date(2026, 6, 30)
_FIRST_TREATMENT = date(2018, 1, 8)
_TREATMENT_DAYS = 2700  # the last treatments leave at least a year before the cutoff
_VISITS = (3, 10, 14, 30, 45, 61, 91, 122, 183, 274, 365, 456, 547, 638, 730, 912, 1095)
# Dose in cGy and fractions as used at the spine (fhir-mapping.md section 1.4 says which are radiosurgery).
_RADIOSURGERY = (
    (1600, 1),
    (1800, 1),
    (2000, 1),
    (2400, 1),
    (2400, 2),
    (2400, 3),
    (2700, 3),
    (3000, 5),
    (3500, 5),
)
_RADIOSURGERY_ODD = ((1250, 1), (1450, 1), (2550, 3))
_CONVENTIONAL = ((800, 1), (2000, 5), (3000, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Worst pain in 24 hours at one lesion's site, 0 to 10."""

    on: date
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentLesion:
    """One treated spinal target with its whole pain course. Days count from *end*, the last fraction.

    *relief_day* and *relapse_day* are the visits at which relief and relapse show first, None for never.
    *before* is the number of the patient's lesion that this one treats again.
    """

    levels: tuple[str, ...]
    start: date
    end: date
    dose_cgy: int
    fractions: int
    technique: Technique
    scores: tuple[Score, ...]
    relief_day: int | None = None
    relapse_day: int | None = None
    before: int | None = None

    @property
    def region(self) -> Region | None:
        """The region of all levels; None for a lesion on both sides of a junction."""
        (first, *others) = {_REGIONS[level[0]] for level in self.levels}
        return None if others else first

    @property
    def last_score(self) -> date:
        """The last day with a score, or the last fraction if there is none after it."""
        return max([self.end, *(score.on for score in self.scores)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Opioid:
    """A spell of one opioid at one daily dose, both days included."""

    ingredient: str
    mg_per_day: int
    start: date
    end: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentPatient:
    """One invented person. *last_contact* is the last day known alive; no opioid means none was taken."""

    number: int
    sex: str
    birth: date
    primary: str
    lesions: tuple[LatentLesion, ...]
    death: date | None
    last_contact: date
    opioids: tuple[Opioid, ...]

    @property
    def opioid_raised_day(self) -> int | None:
        """The day of the only lesion from which more opioid is taken, None for never: no relief by ICPRE."""
        for earlier, later in pairwise(self.opioids):
            if later.mg_per_day > earlier.mg_per_day:
                return (later.start - self.lesions[0].end).days
        return None


_REGIONS: dict[str, Region] = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}


def random_patient(number: int, rng: Random) -> LatentPatient:
    """An invented patient with one to three treated lesions, some of them treated again."""
    first = _FIRST_TREATMENT + timedelta(days=rng.randrange(_TREATMENT_DAYS))
    death = first + timedelta(days=30 + int(rng.expovariate(1 / 600)))
    leaves = first + timedelta(days=60 + int(rng.expovariate(1 / 900)))
    until = min(death, leaves, RANDOM_CUTOFF)
    lesions = _random_lesions(rng, first, until)
    # A patient who left may die unseen: only deaths that the hospital learns of are in the data.
    known = death if death <= RANDOM_CUTOFF and (death == until or rng.random() < 0.5) else None
    last_seen = max(lesion.last_score for lesion in lesions)
    contact = until if known is None else last_seen
    return draw_person(number, rng, lesions, death=known, last_contact=max(contact, last_seen))


def draw_person(
    number: int, rng: Random, lesions: Sequence[LatentLesion], *, death: date | None, last_contact: date
) -> LatentPatient:
    """The person around *lesions*: sex, age, primary tumour and opioids."""
    primary, sex = rng.choice(_PRIMARIES)
    birth = lesions[0].start - timedelta(days=rng.randrange(45 * 365, 82 * 365))
    return LatentPatient(
        number=number,
        sex=sex or rng.choice(("female", "male")),
        birth=birth,
        primary=primary,
        lesions=tuple(lesions),
        death=death,
        last_contact=last_contact,
        opioids=_draw_opioids(rng, lesions, death or last_contact),
    )


_PRIMARIES: tuple[tuple[str, str | None], ...] = (
    ("breast", "female"),
    ("prostate", "male"),
    ("lung", None),
    ("kidney", None),
)


def draw_levels(rng: Random, count: int) -> list[tuple[str, ...]]:
    """*count* targets of one to three neighbouring levels, with a free level between any two."""
    taken: set[int] = set()
    drawn: list[tuple[str, ...]] = []
    while len(drawn) < count:
        first = rng.choices(range(len(LEVELS)), _LEVEL_WEIGHTS)[0]
        size = rng.choices((1, 2, 3), (70, 22, 8))[0]
        target = LEVELS[first : first + size]
        span = range(first - 1, first + len(target) + 1)
        if taken.isdisjoint(span):
            taken.update(range(first, first + len(target)))
            drawn.append(target)
    return drawn


_LEVEL_WEIGHTS = [{"C": 2, "T": 6, "L": 6, "S": 2}[level[0]] for level in LEVELS]


def _random_lesions(rng: Random, first: date, until: date) -> list[LatentLesion]:
    lesions: list[LatentLesion] = []
    start = first
    for levels in draw_levels(rng, rng.choices((1, 2, 3), (66, 25, 9))[0]):
        lesions.append(_random_lesion(rng, levels, start, until))
        if rng.random() < 0.6:
            continue  # the next target is treated in the same course
        start = lesions[-1].end + timedelta(days=rng.randrange(30, 200))
        if start + timedelta(days=20) >= until:
            break
    return _with_retreatments(rng, lesions, until)


def _random_lesion(rng: Random, levels: tuple[str, ...], start: date, until: date) -> LatentLesion:
    baseline = None if rng.random() < 0.08 else 0 if rng.random() < 0.08 else rng.randint(3, 9)
    bare = _treated(rng, levels, start)
    return _with_pain(rng, bare, baseline=baseline, until=until)


def _treated(rng: Random, levels: tuple[str, ...], start: date) -> LatentLesion:
    schedules = rng.choices((_RADIOSURGERY, _RADIOSURGERY_ODD, _CONVENTIONAL), (84, 6, 10))[0]
    dose_cgy, fractions = rng.choice(schedules)
    technique: Technique = "other" if schedules is _CONVENTIONAL else "SRS" if fractions == 1 else "SBRT"
    gap = 1 if technique == "other" else 2
    end = start + timedelta(days=(fractions - 1) * gap)
    return LatentLesion(
        levels=levels,
        start=start,
        end=end,
        dose_cgy=dose_cgy,
        fractions=fractions,
        technique=technique,
        scores=(),
    )


def _with_pain(rng: Random, lesion: LatentLesion, *, baseline: int | None, until: date) -> LatentLesion:
    before = () if baseline is None else (Score(on=_baseline_day(rng, lesion), value=baseline),)
    visits = _attended(rng, lesion.end, until)
    if baseline is None or baseline == 0:
        after = [Score(on=lesion.end + timedelta(days=day), value=rng.randint(0, 1)) for day in visits]
        return replace(lesion, scores=(*before, *after))
    values, relief, relapse = _painful_course(rng, baseline, visits)
    after = [Score(on=lesion.end + timedelta(days=d), value=v) for d, v in zip(visits, values, strict=True)]
    return replace(lesion, scores=(*before, *after), relief_day=relief, relapse_day=relapse)


def _baseline_day(rng: Random, lesion: LatentLesion) -> date:
    """A day of the baseline window; at most a week before, so that it is the latest before a retreatment."""
    return lesion.start - timedelta(days=rng.randrange(0, 7))


def _attended(rng: Random, end: date, until: date) -> list[int]:
    """The days of the visits that were kept; none at all if the first would be a late entry (E12)."""
    planned = [day if day < 20 else day + rng.randint(-6, 6) for day in _VISITS]
    kept = [day for day in planned if rng.random() < 0.8 and end + timedelta(days=day) <= until]
    return kept if kept and kept[0] <= 150 else []


def _painful_course(
    rng: Random, baseline: int, visits: Sequence[int]
) -> tuple[list[int], int | None, int | None]:
    """The scores at *visits*, and the visits of relief and relapse."""
    kind = rng.choices(("relief", "stable", "worse"), (62, 24, 14))[0]
    if kind == "worse" and baseline <= 7:
        return [baseline + (3 if day > 14 else rng.randint(0, 2)) for day in visits], None, None
    relief_from = rng.expovariate(1 / 20) if kind == "relief" else float("inf")
    relapse_from = relief_from + 20 + rng.expovariate(1 / 500)
    level = 0 if baseline == 3 or rng.random() < 0.55 else rng.randint(1, baseline - 3)
    values: list[int] = []
    relief = relapse = None
    for day in visits:
        if day < relief_from:
            values.append(min(10, baseline + rng.randint(0, 1)))
        elif relief is None:
            relief = day
            values.append(level)
        elif day < max(relapse_from, 15):
            values.append(level + rng.randint(0, 1))
        else:
            relapse = relapse or day
            values.append(min(10, level + rng.randint(3, 5)))
    return values, relief, relapse


def _with_retreatments(rng: Random, lesions: list[LatentLesion], until: date) -> list[LatentLesion]:
    """*lesions* and, after some of those that hurt again, a second treatment of the same levels.

    The baseline of the second is the last score that the first would go on with: a score before a
    retreatment counts for both lesions (endpoints.md E2), so it must fit both courses.
    """
    result = list(lesions)
    for number, lesion in enumerate(lesions):
        hurts = _hurts_from(lesion)
        if hurts is None or rng.random() > 0.3:
            continue
        start = hurts.on + timedelta(days=rng.randrange(28, 60))
        if start + timedelta(days=30) >= until:
            continue
        kept = tuple(score for score in lesion.scores if score.on <= hurts.on)
        result[number] = replace(lesion, scores=kept)
        again = replace(_treated(rng, lesion.levels, start), before=number)
        result.append(_with_pain(rng, again, baseline=hurts.value, until=until))
    return result


def _hurts_from(lesion: LatentLesion) -> Score | None:
    """The score of relapse, or the first score 3 points above baseline after day 14."""
    after = [score for score in lesion.scores if score.on > lesion.end + timedelta(days=14)]
    if lesion.relapse_day is not None:
        return next(score for score in after if (score.on - lesion.end).days == lesion.relapse_day)
    before = [score for score in lesion.scores if score.on <= lesion.start]
    if not before or before[0].value == 0 or lesion.relief_day is not None:
        return None
    return next((score for score in after if score.value >= before[0].value + 3), None)


def _draw_opioids(rng: Random, lesions: Sequence[LatentLesion], until: date) -> tuple[Opioid, ...]:
    """One steady opioid in three of four patients.

    With one lesion it may be halved the day after relief, or be half as much again from the day before.
    """
    start = min(lesion.start for lesion in lesions) - timedelta(days=rng.randrange(40, 80))
    if rng.random() < 0.25:
        return ()
    ingredient, doses = rng.choice(_OPIOIDS)
    whole = Opioid(ingredient=ingredient, mg_per_day=rng.choice(doses), start=start, end=until)
    relief = lesions[0].relief_day
    if len(lesions) > 1 or relief is None:
        return (whole,)
    later, change = rng.choices(((1, 0), (Fraction(1, 2), 1), (Fraction(3, 2), -1)), (35, 50, 15))[0]
    start = lesions[0].end + timedelta(days=relief + change)
    if later == 1 or start >= until:
        return (whole,)
    rest = replace(whole, mg_per_day=int(whole.mg_per_day * later), start=start)
    return (replace(whole, end=start - timedelta(days=1)), rest)


_OPIOIDS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("morphine", (20, 40, 60, 120)),
    ("oxycodone", (20, 40, 80)),
    ("hydromorphone", (8, 16)),
    ("tramadol", (200, 400)),
)
