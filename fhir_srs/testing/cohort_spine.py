"""What becomes of the spine and the nerves of invented patients, beside their pain: the hidden course.

Drawn apart from the pain course, by generators of its own, so that neither moves the other. As there, no
value lies on the edge of a definition: growth shows first on a scan that a later one confirms, or on one so
late that it needs none; growth that passes is seen to have passed.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from fhir_srs.testing.cohort_latent import LatentLesion, LatentPatient

# Days of the follow-up visits with imaging and examination; nobody is seen again after a missed first one.
_VISITS = (91, 183, 365)
_NO_CONFIRMATION = 2  # the visit on which growth counts although nobody looks again
BILSKY = ("0", "1a", "1b", "1c", "2", "3")
SCALES = {"asia": "ABCDE", "frankel": "ABCDE", "muscle-grade": "012345"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One thing that is graded: *before* treatment, and *after* from the visit on *day* on (None: never)."""

    before: int
    after: int
    day: int | None

    def at(self, day: int) -> int:
        """The rank on *day*."""
        return self.after if self.day is not None and day >= self.day else self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Spine:
    """
    One treated segment. Days count from the last fraction; *visits* are those with imaging.

    *neuro* is a rank on *scale*, *walking* 0 or 1, *epidural* a rank of Bilsky: 0 is the best there, the
    worst in the others. *growth_day* and *pseudo_day* are the scans on which growth shows first: growth that
    stays, and growth that has passed at the next. *fracture_day* is the scan that shows a new one.
    """

    baseline: date
    visits: tuple[int, ...]
    scale: str
    neuro: Course | None
    walking: Course | None
    epidural: Course
    growth_day: int | None
    pseudo_day: int | None
    fracture_before: bool
    fracture_day: int | None
    cord_compression: bool
    retreatment_day: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxicity:
    """An adverse event: a term of CTCAE by its NCIt code, and its grade."""

    term: str
    grade: int
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class SpineCourse:
    """All of one patient: a `Spine` for each lesion, in their order, and what treatment did."""

    lesions: tuple[Spine, ...]
    acute: Toxicity | None
    late: Toxicity | None


# Codes of the AdverseEvent value set of CodeX (terminology.csv, set toxicity).
_ACUTE, _LATE = ("C57797", "C57795", "C146739"), ("C143797", "C55459", "C143685")


def draw_spine(patient: LatentPatient, rng: Random) -> SpineCourse:
    """The course of every lesion of *patient*, and the toxicity of treatment."""
    scale = rng.choice(tuple(SCALES))
    examined = rng.random() < 0.6
    lesions: list[Spine] = []
    for number, lesion in enumerate(patient.lesions):
        one = _draw_lesion(number, patient, scale if examined else None, rng)
        # A cord once compressed is known to have been when its segment is treated again.
        known = one.cord_compression if lesion.before is None else lesions[lesion.before].cord_compression
        lesions.append(replace(one, cord_compression=known))
    acute, late = _draw_toxicity(patient, rng)
    return SpineCourse(lesions=tuple(lesions), acute=acute, late=late)


def _draw_lesion(number: int, patient: LatentPatient, scale: str | None, rng: Random) -> Spine:
    lesion = patient.lesions[number]
    again = next((one.start for one in patient.lesions if one.before == number), None)
    visits = _attended(lesion, patient.last_contact, again, rng)
    growth, pseudo = _draw_growth(visits, rng)
    # A decline after passing growth would make it count as progression (endpoints.md section 10).
    neuro = _draw_neuro(scale, visits, rng, may_worsen=pseudo is None) if scale else None
    first = lesion.before is None
    return Spine(
        # At a level treated before, what is told before the day of treatment is told of the earlier lesion.
        baseline=lesion.start - timedelta(days=rng.randrange(7) if first else 0),
        visits=visits,
        scale=scale or "asia",
        neuro=neuro,
        walking=_draw_walking(visits, rng) if scale else None,
        epidural=_draw_epidural(visits, growth, rng),
        growth_day=growth,
        pseudo_day=pseudo,
        fracture_before=first and rng.random() < 0.1,
        fracture_day=rng.choice(visits) if visits and rng.random() < 0.12 else None,
        cord_compression=rng.random() < 0.15,
        retreatment_day=(again - lesion.end).days if again else None,
    )


def _attended(lesion: LatentLesion, until: date, again: date | None, rng: Random) -> tuple[int, ...]:
    """The days of the visits kept, before a retreatment; none after a missed first: no late entry (E12)."""
    planned = [day + rng.randint(-5, 5) for day in _VISITS]
    kept = [rng.random() < 0.85 for _ in planned]
    last = min(until, again - timedelta(days=1)) if again else until
    days = [day for day, one in zip(planned, kept, strict=True) if one and kept[0]]
    return tuple(day for day in days if lesion.end + timedelta(days=day) <= last)


def _draw_growth(visits: Sequence[int], rng: Random) -> tuple[int | None, int | None]:
    """On which scan growth shows that stays, or growth that passes; neither for most."""
    fate = rng.choices(("none", "grows", "passes"), (70, 20, 10))[0]
    settled = [day for day, _ in itertools.pairwise(visits)]
    late = [day for day in visits if day > _VISITS[_NO_CONFIRMATION] - 10]
    if fate == "grows" and (settled or late):
        return rng.choice(sorted({*settled, *late})), None
    return None, settled[0] if fate == "passes" and settled else None


def _draw_neuro(scale: str | None, visits: Sequence[int], rng: Random, *, may_worsen: bool) -> Course:
    best = len(SCALES[scale or "asia"]) - 1
    before = best if rng.random() < 0.6 else best - rng.randint(1, 2)
    step = rng.choices((0, 1, -1), (55, 35, 10 if may_worsen else 0))[0]
    after = min(best, before + step)
    return Course(before=before, after=after, day=_since(after != before, visits, rng))


def _draw_walking(visits: Sequence[int], rng: Random) -> Course:
    before = int(rng.random() < 0.85)
    return Course(before=before, after=1 - before, day=_since(rng.random() < 0.15, visits, rng))


def _draw_epidural(visits: Sequence[int], growth: int | None, rng: Random) -> Course:
    """Some tumour shrinks away from the cord; some that grows does so towards it, when or after it shows."""
    before = rng.choices(range(5), (40, 20, 15, 15, 10))[0]
    if growth is not None:
        towards = [day for day in visits if day >= growth]
        return Course(before=before, after=before + 1, day=_since(rng.random() < 0.5, towards, rng))
    shrinks = before > 0 and rng.random() < 0.4
    return Course(before=before, after=max(0, before - 1), day=_since(shrinks, visits, rng))


def _since(changes: bool, visits: Sequence[int], rng: Random) -> int | None:
    """The visit that shows a change first; None for none."""
    return rng.choice(visits) if changes and visits else None


def _draw_toxicity(patient: LatentPatient, rng: Random) -> tuple[Toxicity | None, Toxicity | None]:
    """What treatment did soon, and what it did late; counted from the last lesion, up to the last contact."""
    end = max(lesion.end for lesion in patient.lesions)
    acute = _toxicity(_ACUTE, end + timedelta(days=rng.randint(3, 60)), patient.last_contact, 0.3, rng)
    late = _toxicity(_LATE, end + timedelta(days=rng.randint(120, 400)), patient.last_contact, 0.12, rng)
    return acute, late


def _toxicity(terms: Sequence[str], on: date, until: date, share: float, rng: Random) -> Toxicity | None:
    found = Toxicity(term=rng.choice(terms), grade=rng.choices((1, 2, 3, 4), (50, 35, 12, 3))[0], on=on)
    return found if rng.random() < share and on <= until else None
