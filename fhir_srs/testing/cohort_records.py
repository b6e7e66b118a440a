"""What hangs on a synthetic patient beside the treatments: pain, opioids, disease status, contact, noise."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random

from fhir_srs.testing.cohort_codes import (
    CODEX,
    LOINC,
    MCODE,
    PAIN_ANSWERS,
    RXNORM,
    RXNORM_CODES,
    SNOMED,
    TERMINOLOGY,
    Json,
    concept,
    extension,
    quantity,
)
from fhir_srs.testing.cohort_courses import Written, level_concept
from fhir_srs.testing.cohort_latent import LatentPatient, Score
from fhir_srs.testing.cohort_shapes import PainCode, Style

_PAIN: dict[PainCode, Json] = {
    "72514-3": concept(LOINC, "72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported"),
    "38208-5": concept(LOINC, "38208-5", "Pain severity - Reported"),
    "225908003": concept(SNOMED, "225908003", "Pain score (observable entity)"),
}
_SURVEY = [concept(f"{TERMINOLOGY}observation-category", "survey")]
_VITAL = [concept(f"{TERMINOLOGY}observation-category", "vital-signs")]
_LABORATORY = [concept(f"{TERMINOLOGY}observation-category", "laboratory")]
_STATUS_VALUES = {"improved": "268910001", "stable": "359746009", "worsened": "271299001"}
# A patient-level score counts for the one lesion under observation (endpoints.md section 2, E3).
_OBSERVED_BEFORE = timedelta(days=28)


def build_pain(patient_id: str, written: Sequence[Written], style: Style, rng: Random) -> Iterator[Json]:
    """One Observation for each score, tied to its lesion as the sender does, or as far as it must be."""
    treated = {item.lesion.start for item in written}
    for number, item in enumerate(written, 1):
        for visit, score in enumerate(item.lesion.scores, 1):
            # With a clock on treatment and score, the later one would be day 0 of follow-up.
            clock = None if score.on in treated else style.clock
            yield {
                **build_observation(
                    f"{patient_id}-pain-{number}-{visit}", patient_id, _PAIN[style.pain_code], _SURVEY
                ),
                "effectiveDateTime": score.on.isoformat() + (clock or ""),
                **_pain_value(score.value, style, rng),
                **_site(item, score, written, style),
            }


def _pain_value(value: int, style: Style, rng: Random) -> Json:
    if style.pain_value == "integer":
        return {"valueInteger": value}
    if style.pain_value == "coded":
        return {"valueCodeableConcept": concept(LOINC, PAIN_ANSWERS[value], str(value))}
    if style.pain_value == "text":
        return {"valueString": rng.choice((f"{value}", f"{value}/10"))}
    plain: list[Json] = [{"value": value}, quantity(value, "{score}"), {"value": value, "unit": "/10"}]
    return {"valueQuantity": rng.choice(plain)}


def _site(item: Written, score: Score, written: Sequence[Written], style: Style) -> Json:
    """The elements that tie *score* to its lesion; none where the patient alone is enough."""
    link = style.pain_link
    if link == "patient" and _observed(written, score.on) == [item]:
        return {}
    if link == "focus" and item.volume is not None:
        return {"focus": [{"reference": item.volume}]}
    if link == "volume" and item.volume is not None:
        url = f"{CODEX}codexrt-radiotherapy-volume-extension"
        return {"extension": [extension(url, "valueReference", {"reference": item.volume})]}
    if link == "part-of" and item.course_lesions == 1:
        return {"partOf": [{"reference": item.course}]}
    if link == "condition" and sum(other.condition == item.condition for other in written) == 1:
        return {"focus": [{"reference": item.condition}]}
    return {"bodySite": level_concept(item.lesion.levels[-1], style)}


def _observed(written: Sequence[Written], on: date) -> list[Written]:
    """The lesions under observation on a day: from 28 days before treatment to the day before retreatment."""
    return [
        item
        for item in written
        if item.lesion.start - _OBSERVED_BEFORE <= on and not _treated_again(item, written, on)
    ]


def _treated_again(item: Written, written: Sequence[Written], on: date) -> bool:
    later = (other.lesion for other in written if other.lesion.start > item.lesion.start)
    return any(
        lesion.start <= on and not set(lesion.levels).isdisjoint(item.lesion.levels) for lesion in later
    )


def build_void_pain(patient_id: str, written: Sequence[Written], style: Style, rng: Random) -> Iterator[Json]:
    """Observations of pain that no rule may count: one that was not answered, one entered in error."""
    item = rng.choice(written)
    for number, score in enumerate(item.lesion.scores[:2], 1):
        pain = {
            **build_observation(f"{patient_id}-void-{number}", patient_id, _PAIN[style.pain_code], _SURVEY),
            "effectiveDateTime": score.on.isoformat(),
            "bodySite": level_concept(item.lesion.levels[0], style),
        }
        if number == 1:
            yield pain | {"dataAbsentReason": concept(f"{TERMINOLOGY}data-absent-reason", "asked-declined")}
        else:
            yield pain | {"status": "entered-in-error", "valueInteger": 10 - score.value}


def build_medications(patient_id: str, patient: LatentPatient, style: Style) -> Iterator[Json]:
    """The opioids, and one other drug throughout: without any medication OMED would be unknown, not 0."""
    first = min(lesion.start for lesion in patient.lesions) - timedelta(days=45)
    until = patient.death or patient.last_contact
    spells = [(spell.ingredient, spell.mg_per_day, spell.start, spell.end) for spell in patient.opioids]
    for number, spell in enumerate([*spells, ("acetaminophen", 2000, first, until)], 1):
        drug_id = f"{patient_id}-drug-{number}"
        drug = concept(RXNORM, RXNORM_CODES[spell[0]], spell[0])
        if style.drug_resources:
            yield {"resourceType": "Medication", "id": f"{drug_id}-product", "code": drug}
            named: Json = {"medicationReference": {"reference": f"Medication/{drug_id}-product"}}
        else:
            named = {"medicationCodeableConcept": drug}
        yield _prescription(drug_id, patient_id, spell, style) | named


def _prescription(drug_id: str, patient_id: str, spell: tuple[str, int, date, date], style: Style) -> Json:
    """Half the daily dose twice a day, as an order or as a statement of what is taken."""
    _, mg_per_day, start, end = spell
    period = {"start": start.isoformat(), "end": end.isoformat()}
    timing: Json = {"frequency": 2, "period": 1, "periodUnit": "d"}
    dosage: Json = {
        "timing": {"repeat": timing},
        "asNeededBoolean": False,
        "doseAndRate": [{"doseQuantity": quantity(mg_per_day // 2, "mg")}],
    }
    drug: Json = {
        "resourceType": style.prescribing,
        "id": drug_id,
        "status": "completed",
        "subject": {"reference": f"Patient/{patient_id}"},
    }
    if style.prescribing == "MedicationStatement":
        return drug | {"effectivePeriod": period, "dosage": [dosage]}
    timing["boundsPeriod"] = period
    return drug | {"intent": "order", "authoredOn": start.isoformat(), "dosageInstruction": [dosage]}


def build_imaging_study(name: str, patient_id: str, on: date) -> Json:
    """The magnetic resonance imaging of a day, without its images."""
    return {
        "resourceType": "ImagingStudy",
        "id": name,
        "status": "available",
        "subject": {"reference": f"Patient/{patient_id}"},
        "started": on.isoformat(),
        "procedureCode": [concept(SNOMED, "113091000", "Magnetic resonance imaging (procedure)")],
    }


def build_status(patient_id: str, written: Sequence[Written], until: date, rng: Random) -> Iterator[Json]:
    """Disease status by imaging about three and six months after treatment, with its imaging study."""
    code = concept(LOINC, "97509-4", "Cancer disease status")
    evidence = concept(SNOMED, "363679005", "Imaging (procedure)")
    for number, item in enumerate(written, 1):
        for visit, days in enumerate((91, 183), 1):
            on = item.lesion.end + timedelta(days=days + rng.randint(-5, 5))
            if on > until or rng.random() < 0.5:
                continue
            name = rng.choices(tuple(_STATUS_VALUES), (3, 5, 1))[0]
            base = f"{patient_id}-status-{number}-{visit}"
            yield build_imaging_study(f"{base}-mri", patient_id, on)
            yield {
                **build_observation(base, patient_id, code, _LABORATORY),
                "meta": {"profile": [f"{MCODE}mcode-cancer-disease-status"]},
                "extension": [
                    extension(
                        f"{MCODE}mcode-cancer-disease-status-evidence-type", "valueCodeableConcept", evidence
                    )
                ],
                "focus": [{"reference": item.volume or item.condition}],
                "effectiveDateTime": on.isoformat(),
                "valueCodeableConcept": concept(SNOMED, _STATUS_VALUES[name], name),
            }


def build_contact(patient_id: str, patient: LatentPatient, rng: Random) -> Iterator[Json]:
    """The date of last contact, and an ECOG performance status at the first treatment."""
    contact = concept(LOINC, "21975-8", "Date of last contact or death")
    day = patient.last_contact.isoformat()
    yield {
        **build_observation(f"{patient_id}-contact", patient_id, contact, _SURVEY),
        "effectiveDateTime": day,
        "valueDateTime": day,
    }
    ecog = concept(LOINC, "89247-1", "ECOG Performance Status score")
    yield {
        **build_observation(f"{patient_id}-ecog", patient_id, ecog, _SURVEY),
        "effectiveDateTime": min(lesion.start for lesion in patient.lesions).isoformat(),
        "valueInteger": rng.randint(0, 2),
    }


def build_noise(patient_id: str, start: date, rng: Random) -> Iterator[Json]:
    """Observations of no interest: a haemoglobin and a blood pressure."""
    haemoglobin = concept(LOINC, "718-7", "Hemoglobin [Mass/volume] in Blood")
    yield {
        **build_observation(f"{patient_id}-hb", patient_id, haemoglobin, _LABORATORY),
        "effectiveDateTime": start.isoformat(),
        "valueQuantity": quantity(rng.randint(80, 150) / 10, "g/dL"),
    }
    yield _blood_pressure(f"{patient_id}-bp", patient_id, start, rng)


def build_vitals(patient_id: str, start: date, count: int, rng: Random) -> Iterator[Json]:
    """*count* vital signs of no interest, heart rates and blood pressures in turn."""
    for number in range(count):
        on = start + timedelta(days=number % 300)
        if number % 2:
            yield _blood_pressure(f"{patient_id}-bp-{number}", patient_id, on, rng)
        else:
            yield {
                **build_observation(f"{patient_id}-hr-{number}", patient_id, _HEART_RATE, _VITAL),
                "effectiveDateTime": f"{on.isoformat()}T10:00:00Z",
                "valueQuantity": quantity(rng.randint(55, 110), "/min"),
            }


_HEART_RATE = concept(LOINC, "8867-4", "Heart rate")
_PRESSURE = concept(LOINC, "85354-9", "Blood pressure panel with all children optional")
_SYSTOLIC = concept(LOINC, "8480-6", "Systolic blood pressure")
_DIASTOLIC = concept(LOINC, "8462-4", "Diastolic blood pressure")


def _blood_pressure(observation_id: str, patient_id: str, on: date, rng: Random) -> Json:
    return {
        **build_observation(observation_id, patient_id, _PRESSURE, _VITAL),
        "effectiveDateTime": on.isoformat(),
        "component": [
            {"code": _SYSTOLIC, "valueQuantity": quantity(rng.randint(100, 170), "mm[Hg]")},
            {"code": _DIASTOLIC, "valueQuantity": quantity(rng.randint(55, 95), "mm[Hg]")},
        ],
    }


def build_observation(observation_id: str, patient_id: str, code: Json, category: list[Json]) -> Json:
    """A final Observation of *code*, without a date or a value."""
    return {
        "resourceType": "Observation",
        "id": observation_id,
        "status": "final",
        "category": category,
        "code": code,
        "subject": {"reference": f"Patient/{patient_id}"},
    }
