"""A world whose truth is known in closed form or by counting, drawn for the estimators to find it.

Lesions in patients: relief comes late or never, relapse after it sooner in some patients than in others
(gamma frailty), patients die, and are lost on a day of a visit. Visits are every 28 days and all are kept,
so that what each estimator assumes is true: loss says nothing of pain, and nobody is half seen. Nothing of
`fhir_srs.endpoints` or `fhir_srs.survival` is used to say what the truth is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from fhir_srs.dates import PartialDate
from fhir_srs.model import Event, EventKind, Lesion, Mapped, Patient, ResourceCounts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

VISIT = 28  # days between visits
LOSSES = np.arange(196, 701, VISIT)  # lost on one of these 19 days, each as likely
RELIEF_MEAN, RELAPSE_MEAN, DEATH_MEAN = 40.0, 500.0, 500.0
FRAILTY = 0.5  # variance of the relapse hazard between patients
KINDS, SHARES = ("relieved", "stable", "worse"), (0.65, 0.23, 0.12)
ALIKE = 0.3  # how many lesions are of the kind that their patient has
BEFORE, RELIEVED, WORSE = 6, (0, 1), 9  # pain; relief is complete in half
TREATED = date(2015, 1, 12)
CUTOFF = date(2020, 1, 1)
LEVELS = ("T4", "T10", "L3")


@dataclass(frozen=True, slots=True)
class World:
    """One entry a lesion: its patient, and what truly happens on which day; never is a very late day.

    *relief* and *relapse* are the visits that show them first; who is relieved and in pain again between
    two visits has neither. *death* and *lost* are the patient's.
    """

    patient: Ints
    kind: Ints
    complete: Bools
    relief: Floats
    relapse: Floats
    death: Ints
    lost: Ints


def draw_world(patients: int, generator: np.random.Generator) -> World:
    """A world of *patients*, seven of ten with one lesion, two with two, one with three."""
    patient = np.repeat(np.arange(patients), generator.choice((1, 2, 3), patients, p=(0.7, 0.2, 0.1)))
    n = len(patient)
    shared = generator.choice(3, patients, p=SHARES)[patient]
    kind = np.where(generator.random(n) < ALIKE, shared, generator.choice(3, n, p=SHARES))
    frailty = generator.gamma(1 / FRAILTY, FRAILTY, patients)[patient]
    better = generator.exponential(RELIEF_MEAN, n)
    again = better + generator.exponential(RELAPSE_MEAN / frailty)
    relief, relapse = VISIT * np.ceil(better / VISIT), VISIT * np.ceil(again / VISIT)
    seen = (kind == 0) & (relapse > relief)
    return World(
        patient=patient,
        kind=kind,
        complete=generator.random(n) < 0.5,
        relief=np.where(seen, relief, np.inf),
        relapse=np.where(seen, relapse, np.inf),
        death=np.ceil(generator.exponential(DEATH_MEAN, patients)).astype(np.int64)[patient],
        lost=generator.choice(LOSSES, patients)[patient],
    )


def mapped_of(world: World) -> Mapped:
    """*world* as mapping would return it: what a hospital sees of it, until death or loss."""
    names = [f"Patient/p{number}" for number in world.patient]
    place = np.arange(len(names)) - np.searchsorted(world.patient, world.patient)
    lesions = [_lesion(name, int(number)) for name, number in zip(names, place, strict=True)]
    events = [event for row, one in enumerate(lesions) for event in _pains(world, row, one)]
    first = np.flatnonzero(place == 0)
    events += [event for row in first for event in _of_patient(world, int(row), names[row])]
    people = [Patient(patient=names[row], identifier=None, key=names[row]) for row in first]
    counts = ResourceCounts(read=0, used=0, ignored=0, refused=0)
    return Mapped(lesions=lesions, patients=people, events=events, issues=[], counts=counts)


def _on(day: int) -> PartialDate:
    when = TREATED + timedelta(days=day)
    return PartialDate(when.isoformat(), when, when)


def _lesion(patient: str, number: int) -> Lesion:
    lesion_id = f"{patient}-{number}"
    nothing = dict.fromkeys(
        ("patient_identifier", "course", "target", "target_label", "region", "modality", "intent")
    )
    return Lesion(
        **nothing,  # type: ignore[arg-type]
        lesion_id=lesion_id,
        patient=patient,
        levels=(LEVELS[number],),
        start=_on(0),
        end=_on(0),
        dose_gy=Decimal(16),
        fractions=1,
        technique="SRS",
        histology=None,
        reirradiation_of=None,
        cord_compression=None,
        sources=(f"Procedure/{lesion_id}",),
        issues=(),
    )


def _event(patient: str, kind: EventKind, day: int, source: str) -> Event:
    return Event(patient=patient, lesion_id=None, link="patient", kind=kind, on=_on(day), source=source)


def _pains(world: World, row: int, lesion: Lesion) -> Iterator[Event]:
    last = min(int(world.death[row]) - 1, int(world.lost[row]))
    for day in (-3, *range(VISIT, last + 1, VISIT)):
        yield Event(
            patient=lesion.patient,
            lesion_id=lesion.lesion_id,
            link="focus-lesion",
            kind="pain",
            on=_on(day),
            value=Decimal(_score(world, row, day)),
            code="http://loinc.org|72514-3",
            source=f"Observation/{lesion.lesion_id}-{day}",
        )


def _score(world: World, row: int, day: int) -> int:
    if day < 0:
        return BEFORE
    if KINDS[int(world.kind[row])] == "worse":
        return WORSE
    in_relief = world.relief[row] <= day < world.relapse[row]
    return RELIEVED[0 if world.complete[row] else 1] if in_relief else BEFORE


def _of_patient(world: World, row: int, patient: str) -> Iterator[Event]:
    """Death or last contact, and a drug that is no opioid, so that the opioid dose is known to be 0."""
    death, lost = int(world.death[row]), int(world.lost[row])
    ended: tuple[EventKind, int] = ("death", death) if death <= lost else ("contact", lost)
    yield _event(patient, *ended, f"Observation/{patient}-end")
    yield Event(
        patient=patient,
        lesion_id=None,
        link="patient",
        kind="opioid",
        on=_on(-30),
        until=_on(800),
        value=Decimal(0),
        source=f"MedicationStatement/{patient}",
        evidence="statement",
        flags=("not-opioid",),
    )
