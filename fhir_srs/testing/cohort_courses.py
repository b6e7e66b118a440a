"""Treated lesions as FHIR: course summaries with their volumes, or radiosurgery coded as surgery."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from random import Random

from fhir_srs.testing.cohort_codes import (
    CODEX,
    LEVEL_CODES,
    MCODE,
    REQUESTED_SNOMED,
    SNOMED,
    SURGICAL_SRS,
    Json,
    concept,
    extension,
    quantity,
)
from fhir_srs.testing.cohort_latent import LatentLesion
from fhir_srs.testing.cohort_shapes import Style

# Roles of volumes: fhir-mapping.md section 1.2.
_PTV, _GTV, _ORGAN_AT_RISK = "228793007", "228791009", "1162586008"
_SPINAL_CORD, _FEMUR = "2748008", "71341001"
_PALLIATIVE, _PHOTONS, _VMAT, _CONFORMAL = "363676003", "1156506007", "1156530009", "1162782007"
# The course code of STU3 and later, and the temporary one of STU2 (fhir-mapping.md section 1.1).
_COURSE = concept(SNOMED, "1217123003", "Radiotherapy course of treatment (regime/therapy)")
_COURSE_STU2 = concept(REQUESTED_SNOMED, "USCRS-33529", "Radiotherapy Course of Treatment")
_CATEGORIES = {"codex": "1287742003", "mcode-stu2": "108290001"}
# An invented root under the arc of OIDs kept for examples.
_UID_ROOT = "urn:oid:2.999.2008.35"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where one lesion was written: references for its pain scores to name."""

    lesion: LatentLesion
    course: str
    course_lesions: int
    volume: str | None
    condition: str


@dataclass(frozen=True, slots=True)
class Courses:
    """All that was written for a patient's treatments."""

    resources: list[Json]
    written: list[Written]


def level_concept(level: str, style: Style) -> Json:
    """The vertebra *level* in the code set of the sender."""
    return concept(SNOMED, LEVEL_CODES[level][style.code_set], f"Vertebra {level}")


def build_courses(
    patient_id: str, lesions: Sequence[tuple[LatentLesion, str]], style: Style, rng: Random, *, noise: bool
) -> Courses:
    """The courses of *lesions*, each paired with the reference of its Condition, in order of treatment."""
    writer = _Writer(patient_id, style, rng, noise)
    by_course = sorted(lesions, key=lambda pair: (pair[0].start, pair[0].end))
    for number, (_, group) in enumerate(groupby(by_course, key=lambda p: (p[0].start, p[0].end)), 1):
        writer.write(number, list(group))
    return Courses(writer.resources, writer.written)


class _Writer:
    """Collects one patient's treatments; every draw comes from the patient's own generator."""

    def __init__(self, patient_id: str, style: Style, rng: Random, noise: bool) -> None:
        self.patient = patient_id
        self.style = style
        self.rng = rng
        self.noise = noise
        self.resources: list[Json] = []
        self.written: list[Written] = []

    def write(self, number: int, group: list[tuple[LatentLesion, str]]) -> None:
        """Write the lesions of one course. Surgical codes name no conventional radiotherapy."""
        if self.style.route == "surgical" and all(lesion.technique != "other" for lesion, _ in group):
            for part, (lesion, condition) in enumerate(group, 1):
                self._surgical(f"{self.patient}-srs-{number}-{part}", lesion, condition)
        else:
            self._summary(f"{self.patient}-course-{number}", group)

    def _surgical(self, course_id: str, lesion: LatentLesion, condition: str) -> None:
        codes = SURGICAL_SRS[1 if lesion.fractions == 1 else 2]
        self.resources.append(
            {
                "resourceType": "Procedure",
                "id": course_id,
                "meta": {"profile": [f"{MCODE}mcode-cancer-related-surgical-procedure"]},
                "extension": [_intent(), self.dose(lesion.dose_cgy, lesion.fractions, None)],
                "status": "completed",
                "code": concept(SNOMED, self.rng.choice(codes), "Stereotactic radiosurgery"),
                "subject": {"reference": f"Patient/{self.patient}"},
                **self._performed(lesion, one_day="performedDateTime"),
                "reasonReference": [{"reference": condition}],
                "bodySite": [level_concept(level, self.style) for level in lesion.levels],
            }
        )
        course = f"Procedure/{course_id}"
        self.written.append(
            Written(lesion=lesion, course=course, course_lesions=1, volume=None, condition=condition)
        )

    def _summary(self, course_id: str, group: list[tuple[LatentLesion, str]]) -> None:
        doses: list[Json] = []
        for number, (lesion, condition) in enumerate(group, 1):
            target = self._target(f"{course_id}-v{number}", lesion, doses)
            self.written.append(
                Written(
                    lesion=lesion,
                    course=f"Procedure/{course_id}",
                    course_lesions=len(group),
                    volume=target,
                    condition=condition,
                )
            )
        course = self._course(course_id, group, doses)
        self.resources.append(course)
        if self.noise:
            self.resources.extend(self._copies(course, doses))

    def _target(self, volume_id: str, lesion: LatentLesion, doses: list[Json]) -> str:
        """The target of *lesion*, written with its other volumes; their doses go into *doses*."""
        label = self._label(lesion.levels)
        location = level_concept(lesion.levels[0], self.style) if self.rng.random() < 0.9 else None
        target = self.add_volume(f"{volume_id}-ptv", _PTV, location, f"PTV_{label}")
        doses.append(self.dose(lesion.dose_cgy, lesion.fractions, target))
        if (
            self.rng.random() < 0.15
        ):  # a boost within the target: its total is cumulative, so this is the dose
            outer = self.add_volume(f"{volume_id}-ptv-outer", _PTV, location, f"PTV_{label}")
            doses.append(self.dose(lesion.dose_cgy - 200, lesion.fractions, outer))
        if self.rng.random() < 0.3:
            gross = self.add_volume(f"{volume_id}-gtv", _GTV, location, f"GTV_{label}")
            doses.append(self.dose(lesion.dose_cgy + 150, lesion.fractions, gross))
        if self.rng.random() < 0.4:
            cord = concept(SNOMED, _SPINAL_CORD, "Spinal cord structure")
            organ = self.add_volume(f"{volume_id}-cord", _ORGAN_AT_RISK, cord, "SpinalCord")
            doses.append(self.dose(lesion.dose_cgy // 2, lesion.fractions, organ))
        self.rng.shuffle(doses)
        return target

    def _label(self, levels: Sequence[str]) -> str:
        """A label that says the range; one level may be named as TG-263 does (`VB_T08`)."""
        first, last = levels[0], levels[-1]
        if len(levels) == 1:
            return self.rng.choice((first, _tg263(first)))
        spelt = (f"{first}-{last}", f"{first} to {last}", f"{first}\u2013{last}")
        short = (f"{first}-{last[1:]}",) if first[0] == last[0] else ()
        return self.rng.choice(spelt + short)

    def add_volume(self, volume_id: str, role: str, location: Json | None, label: str) -> str:
        """Write a volume; one without *location* is placed by its label alone."""
        base = CODEX + "codexrt-radiotherapy-volume" if self.style.route == "codex" else None
        identifier: list[Json] = [
            {"use": "usual", "system": "http://example.org/volume-label", "value": label}
        ]
        if self.rng.random() < 0.8:
            uid = f"{_UID_ROOT}.{self.rng.getrandbits(60)}"
            identifier.append({"use": "official", "system": "urn:dicom:uid", "value": uid})
        self.resources.append(
            {
                "resourceType": "BodyStructure",
                "id": volume_id,
                "meta": {"profile": [*([base] if base else []), f"{MCODE}mcode-radiotherapy-volume"]},
                "identifier": identifier,
                "morphology": concept(SNOMED, role),
                **({} if location is None else {"location": location}),
                "patient": {"reference": f"Patient/{self.patient}"},
            }
        )
        return f"BodyStructure/{volume_id}"

    def _course(self, course_id: str, group: Sequence[tuple[LatentLesion, str]], doses: list[Json]) -> Json:
        lesion = group[0][0]
        conformal = any(each.technique == "other" for each, _ in group)
        course: Json = {
            "resourceType": "Procedure",
            "id": course_id,
            **self._profile("radiotherapy-course-summary"),
            "identifier": [
                {"use": "usual", "system": "http://example.org/course", "value": "C1"},
                {"use": "official", "system": "http://example.org/course-id", "value": course_id},
            ],
            "extension": [
                _intent(),
                _technique(_CONFORMAL if conformal else _VMAT),
                extension(f"{MCODE}mcode-radiotherapy-sessions", "valueUnsignedInt", lesion.fractions),
                *doses,
            ],
            "status": "completed",
            **self._category(),
            "code": _COURSE_STU2 if self.style.route == "mcode-stu2" else _COURSE,
            "subject": {"reference": f"Patient/{self.patient}"},
            **self._performed(lesion, one_day=None),
            "reasonReference": [{"reference": each} for each in dict.fromkeys(c for _, c in group)],
        }
        if len(group) == 1 and (self.style.route == "mcode-stu2" or self.rng.random() < 0.5):
            course["bodySite"] = [level_concept(level, self.style) for level in lesion.levels]
        return course

    def _copies(self, course: Json, doses: list[Json]) -> Iterator[Json]:
        """What comes beside a course and is no lesion: its phase, or its snapshot while it was running."""
        if self.rng.random() < 0.3:
            yield {
                **{key: course[key] for key in ("resourceType", "status", "subject", "reasonReference")},
                "id": f"{course['id']}-phase-1",
                **self._profile("radiotherapy-treated-phase"),
                "extension": doses,
                "code": concept(SNOMED, "1222565005", "Radiotherapy treatment phase (regime/therapy)"),
                "partOf": [{"reference": f"Procedure/{course['id']}"}],
                **{key: course[key] for key in ("performedPeriod",) if key in course},
            }
        if self.rng.random() < 0.1:
            snapshot = {key: value for key, value in course.items() if key != "performedPeriod"}
            start = course["performedPeriod"]["start"]
            yield snapshot | {
                "id": f"{course['id']}-running",
                "status": "in-progress",
                "performedPeriod": {"start": start},
            }

    def _profile(self, name: str) -> Json:
        """The meta that claims the FHIR profiles of a thing, CodeX before mCODE."""
        mcode = [f"{MCODE}mcode-{name}"] if name == "radiotherapy-course-summary" else []
        codex = [f"{CODEX}codexrt-{name}"] if self.style.route == "codex" else []
        return {"meta": {"profile": codex + mcode}} if codex + mcode else {}

    def _category(self) -> Json:
        code = _CATEGORIES.get(self.style.route)
        return {} if code is None else {"category": concept(SNOMED, code)}

    def dose(self, dose_cgy: int, fractions: int, volume: str | None) -> Json:
        """One entry of the dose list, in the sender's unit."""
        value = dose_cgy if self.style.dose_unit == "cGy" else _number(Decimal(dose_cgy) / 100)
        parts = [] if volume is None else [extension("volume", "valueReference", {"reference": volume})]
        parts.append(extension("totalDoseDelivered", "valueQuantity", quantity(value, self.style.dose_unit)))
        parts.append(extension("fractionsDelivered", "valueUnsignedInt", fractions))
        return {"url": f"{MCODE}mcode-radiotherapy-dose-delivered-to-volume", "extension": parts}

    def _performed(self, lesion: LatentLesion, *, one_day: str | None) -> Json:
        if one_day is not None and lesion.start == lesion.end:
            return {one_day: self._moment(lesion.start)}
        return {
            "performedPeriod": {
                "start": self._moment(lesion.start),
                "end": self._moment(lesion.end),
            }
        }

    def _moment(self, day: date) -> str:
        return day.isoformat() + (self.style.clock or "")


def other_treatments(patient_id: str, on: date, style: Style, rng: Random) -> list[Json]:
    """Treatments that are no spinal lesion: radiosurgery of the brain, or radiotherapy of a femur."""
    if rng.random() < 0.5:
        return [
            {
                "resourceType": "Procedure",
                "id": f"{patient_id}-brain",
                "status": "completed",
                "code": concept(SNOMED, "429584001", "Stereotactic radiosurgery of brain tissue (procedure)"),
                "subject": {"reference": f"Patient/{patient_id}"},
                "performedDateTime": on.isoformat(),
            }
        ]
    writer = _Writer(patient_id, style, rng, noise=False)
    femur = concept(SNOMED, _FEMUR, "Bone structure of femur")
    volume = writer.add_volume(f"{patient_id}-femur-ptv", _PTV, femur, "PTV_Femur_L")
    course: Json = {
        "resourceType": "Procedure",
        "id": f"{patient_id}-femur",
        "extension": [_intent(), _technique(_CONFORMAL), writer.dose(800, 1, volume)],
        "status": "completed",
        "code": _COURSE,
        "subject": {"reference": f"Patient/{patient_id}"},
        "performedPeriod": {"start": on.isoformat(), "end": on.isoformat()},
        "bodySite": [femur],
    }
    return [*writer.resources, course]


def _number(value: Decimal) -> int | float:
    """*value* as the JSON number it is; doses here have at most two decimals, which a float keeps."""
    return int(value) if value == value.to_integral_value() else float(value)


def _tg263(level: str) -> str:
    digits = level[1:].rjust(2, "0") if level[0] == "T" else level[1:]
    return f"VB_{level[0]}{digits}"


def _intent() -> Json:
    value = concept(SNOMED, _PALLIATIVE, "Palliative - procedure intent (qualifier value)")
    return extension(f"{MCODE}mcode-procedure-intent", "valueCodeableConcept", value)


def _technique(code: str) -> Json:
    modality, technique = concept(SNOMED, _PHOTONS), concept(SNOMED, code)
    return {
        "url": f"{MCODE}mcode-radiotherapy-modality-and-technique",
        "extension": [
            extension(f"{MCODE}mcode-radiotherapy-modality", "valueCodeableConcept", modality),
            extension(f"{MCODE}mcode-radiotherapy-technique", "valueCodeableConcept", technique),
        ],
    }
