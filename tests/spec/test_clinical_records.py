"""Disease status, performance, neurology, imaging, fracture, surgery, toxicity, death,
    contact: what is taken.

Rows: what arrives -> the events as `kind day value flags`, and what is said (spec/fhir-mapping.md 5 to 7).
The one lesion is at T8; an event linked to it is marked `@T8`.
"""

from typing import Any

import pytest

from fhir_srs import map_resources
from tests.spec.records import ABSENT, HL7, SCT, events, lesion, loinc, mapped, observation, record, said
from tests.spec.records import MCODE as PROFILE
from tests.unit.mapping_given import CODEX, L2, MCODE, T8, Json, concept, patient

NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
OWN = "https://fhir-srs.example.org/CodeSystem/scale"
RESEARCH = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/"
DAY = "2024-04-01"
STABLE, WORSENED, LOCAL, IMAGED = "359746009", "271299001", "255470001", "363679005"
AT_T8: Json = {"bodySite": concept(T8)}
ON_T8: Json = {"focus": [{"reference": "BodyStructure/t8"}]}


def coded(url: str, code: str, system: str = SCT) -> Json:
    return {"url": url, "valueCodeableConcept": concept(code, system)}


def status(code: str = STABLE, *inside: Json, **elements: Any) -> Json:
    value = concept(code) | ({"extension": list(inside)} if inside else {})
    return observation(loinc("97509-4"), **({"valueCodeableConcept": value} | elements))


def local(url: str = "disease-progression-qualifier") -> Json:
    return coded(f"{CODEX}codexrt-radiotherapy-{url}", LOCAL)


def ecog(**value: Any) -> Json:
    return observation(loinc("89247-1"), **value)


def own(code: str, **value: Any) -> Json:
    return observation(concept(code, OWN), **value)


def condition(code: Json, **elements: Any) -> Json:
    return record("Condition", code=code, **({"onsetDateTime": DAY} | elements))


def procedure(code: str = "387731002", **elements: Any) -> Json:
    usual = {"status": "completed", "performedDateTime": DAY, "bodySite": [concept(T8)]}
    return record("Procedure", code=concept(code), **(usual | elements))


def study(**elements: Any) -> Json:
    return record("ImagingStudy", **({"status": "available", "started": DAY} | elements))


def report(**elements: Any) -> Json:
    radiology = [concept("RAD", "http://terminology.hl7.org/CodeSystem/v2-0074")]
    usual = {"status": "final", "category": radiology, "code": {"text": "MRI"}, "effectiveDateTime": DAY}
    return record("DiagnosticReport", **(usual | elements))


def adverse(code: Json, *extensions: Json, **elements: Any) -> Json:
    usual = {"actuality": "actual", "event": code, "date": DAY, "extension": list(extensions)}
    return record("AdverseEvent", **(usual | elements))


def grade(code: str, display: str = "CTCAE v5.0 grade") -> Json:
    value = {"coding": [{"system": NCIT, "code": code, "display": display}]}
    return {"url": RESEARCH + "ae-grade", "valueCodeableConcept": value}


FRACTURE = concept("C143856", NCIT)
SUSPECT = {"suspectEntity": [{"instance": {"reference": "Procedure/t8"}}]}
EVIDENCE = coded(MCODE + "mcode-cancer-disease-status-evidence-type", IMAGED)
VITAL, DEAD = loinc("67162-8"), concept("419099009")

ROWS: dict[str, tuple[Json, list[str], set[str]]] = {
    # disease status
    "stable": (status(), ["disease-status 04-01 stable"], set()),
    "in full remission: nothing grows": (status("103338009"), ["disease-status 04-01 stable"], set()),
    "in the words of STU1": (
        observation(loinc("88040-1"), valueCodeableConcept=concept(STABLE)),
        ["disease-status 04-01 stable"], set()),
    "with its evidence": (status(extension=[EVIDENCE]), ["disease-status 04-01 stable imaging"], set()),
    "worse, local": (status(WORSENED, local()), ["disease-status 04-01 worsened local"], set()),
    "worse, local, as CodeX 1.0.0 spelt it": (
        status(WORSENED, local("progression-qualifier")), ["disease-status 04-01 worsened local"], set()),
    "worse at the lesion": (status(WORSENED, **ON_T8), ["disease-status 04-01 worsened @T8"], set()),
    "worse, nobody says where": (
        status(WORSENED), ["disease-status 04-01 worsened"], {"progression-site-unknown"}),
    "worse, of a primary without site": (
        status(WORSENED, focus=[{"reference": "Condition/primary"}]), ["disease-status 04-01 worsened"],
        {"progression-site-unknown"}),
    "two statuses at once": (
        status(valueCodeableConcept={"coding": [*concept(STABLE)["coding"], *concept(WORSENED)["coding"]]}),
        [], {"not used: code-meaning-doubtful"}),
    "a status outside the list": (status("385633008"), [], {"not used: answer-code-not-recognised"}),
    "no status": (status(valueCodeableConcept=None), [], {"not used: value-missing"}),
    "declined": (status(valueCodeableConcept=None, dataAbsentReason=ABSENT), [], {"not used: value-absent"}),
    "by its profile, in a local code": (
        observation(concept("DS", "urn:local"),
        meta={"profile": [MCODE + "mcode-cancer-disease-status|4.0.0"]}), [],
        {"not used: code-not-recognised"}),
    # performance: scales of their own
    "ECOG": (ecog(valueInteger=1), ["performance 04-01 1"], set()),
    "ECOG as a quantity": (ecog(valueQuantity={"value": 2}), ["performance 04-01 2"], set()),
    "ECOG as a coded answer": (
        ecog(valueCodeableConcept=loinc("LA9624-3")), ["performance 04-01 2"], set()),
    "ECOG as text": (ecog(valueString="1"), ["performance 04-01 1"], set()),
    "ECOG 1.5, which is no grade": (
        ecog(valueQuantity={"value": 1.5}), [], {"not used: value-not-usable"}),
    "ECOG 6": (ecog(valueInteger=6), [], {"not used: value-out-of-range"}),
    "ECOG in words": (ecog(valueString="good"), [], {"not used: value-not-usable"}),
    "ECOG not done": (ecog(dataAbsentReason=ABSENT), [], {"not used: value-absent"}),
    "ECOG empty": (ecog(), [], {"not used: value-missing"}),
    "Karnofsky": (observation(loinc("89243-0"), valueInteger=70), ["performance 04-01 70"], set()),
    "ECOG and Karnofsky in one": (
        observation({"coding": [*loinc("89243-0")["coding"], *loinc("89247-1")["coding"]]}, valueInteger=1),
        [],
        {"not used: code-meaning-doubtful"}),
    # neurology
    "ASIA by its text": (
        observation(loinc("97843-7"), valueCodeableConcept={"text": "ASIA impairment D"}),
        ["neuro 04-01 D"], set()),
    "ASIA by its display": (
        observation(loinc("97843-7"), valueCodeableConcept={"coding": [{"code": "LA1",
        "display": "C - incomplete"}]}),
        ["neuro 04-01 C"], set()),
    "ASIA without a letter": (
        observation(loinc("97843-7"), valueCodeableConcept={"text": "normal"}), [],
        {"not used: answer-code-not-recognised"}),
    "Frankel, our own code": (own("frankel", valueCodeableConcept={"text": "E"}), ["neuro 04-01 E"], set()),
    "Henry Ford b": (own("henry-ford", valueCodeableConcept={"text": "Grade b"}), ["neuro 04-01 b"], set()),
    "Henry Ford C, in capitals": (own("henry-ford", valueString="C"), ["neuro 04-01 c"], set()),
    "Henry Ford in a sentence": (
        own("henry-ford", valueString="a little worse"), [], {"not used: value-not-usable"}),
    "SCORAD 2": (own("scorad", valueInteger=2), ["neuro 04-01 2"], set()),
    "SCORAD 0, which is no grade": (own("scorad", valueInteger=0), [], {"not used: value-out-of-range"}),
    "SCORAD 5": (own("scorad", valueInteger=5), [], {"not used: value-out-of-range"}),
    "muscle strength": (own("muscle-grade", valueInteger=4), ["neuro 04-01 4"], set()),
    "muscle strength 7": (own("muscle-grade", valueInteger=7), [], {"not used: value-out-of-range"}),
    "muscle strength as text": (own("muscle-grade", valueString="4/5"), ["neuro 04-01 4"], set()),
    "muscle strength 4+, which is no grade": (
        own("muscle-grade", valueString="4+/5"), [], {"not used: value-not-usable"}),
    "ASIA, two letters": (
        observation(loinc("97843-7"), valueString="A or B"), [], {"not used: value-not-usable"}),
    "walking, yes as coded": (
        own("ambulatory", valueCodeableConcept=loinc("LA33-6")), ["neuro 04-01 true"], set()),
    "walking, no in words": (own("ambulatory", valueString="No"), ["neuro 04-01 false"], set()),
    "walking, a remark": (own("ambulatory", valueString="see note"), [], {"not used: value-not-usable"}),
    "walk 10 feet, as coded": (
        observation(loinc("95004-8"), valueCodeableConcept=loinc("LA27665-1")),
        ["neuro 04-01 http://loinc.org|LA27665-1"], set()),
    "walking": (own("ambulatory", valueBoolean=True), ["neuro 04-01 true"], set()),
    # imaging: that it was looked at
    "an imaging study": (study(), ["imaging 04-01 -"], set()),
    "of the lesion": (
        study(series=[{"bodySite": {"system": SCT, "code": T8}}]), ["imaging 04-01 - @T8"], set()),
    "of the knee": (
        study(series=[{"bodySite": {"system": SCT, "code": "72696002"}}]),
        ["imaging 04-01 - site-other-than-lesion"], {"site-other-than-lesion"}),
    "a radiotherapy image": (study(modality=[{"code": "RTIMAGE"}]), [], set()),
    "an ultrasound": (study(modality=[{"code": "US"}]), [], set()),
    "cancelled imaging": (study(status="cancelled"), [], {"not used: status-not-usable"}),
    "a radiology report": (report(), ["imaging 04-01 -"], set()),
    "another report": (
        report(category=[concept("LAB", "http://terminology.hl7.org/CodeSystem/v2-0074")]), [], set()),
    # fracture
    "a fracture": (
        condition(concept("866087009"), bodySite=[concept(T8)]), ["fracture 04-01 - @T8"], set()),
    "elsewhere": (
        condition(concept("M84.58XA", ICD), bodySite=[concept(L2)]),
        ["fracture 04-01 - site-other-than-lesion"],
        {"site-other-than-lesion"}),
    "refuted": (
        condition(concept("866087009"), verificationStatus=concept("refuted", "urn:x")), [],
        {"not used: status-not-usable"}),
    "a metastasis is no event": (condition(concept("94602001")), [], set()),
    "another disease": (condition(concept("38341003")), [], set()),
    # surgery
    "an operation": (procedure(), ["surgery 04-01 - @T8"], set()),
    "for pain": (procedure(reasonCode=[concept("22253000")]), ["surgery 04-01 - for-pain @T8"], set()),
    "for neoplasm related pain": (
        procedure(reasonReference=[{"reference": "Condition/pain"}]), ["surgery 04-01 - for-pain @T8"],
        set()),
    "for a reason that says neither": (
        procedure(reasonCode=[concept("134421000")]), ["surgery 04-01 - @T8"], set()),
    "not done": (procedure(status="not-done"), [], {"not used: status-not-usable"}),
    "another operation": (procedure("80146002"), [], set()),
    "over some days": (
        procedure(performedDateTime=None, performedPeriod={"start": DAY, "end": "2024-04-03"}),
        ["surgery 04-01..04-03 - @T8"], {"date-partial"}),
    # toxicity
    "a grade": (adverse(FRACTURE, grade("C41340")), ["toxicity 04-01 3"], set()),
    "of the course": (adverse(FRACTURE, grade("C41340"), **SUSPECT), ["toxicity 04-01 3 @T8"], set()),
    "grade without version": (
        adverse(FRACTURE, grade("C41340", "Severe")), ["toxicity 04-01 3"], {"grade-version-missing"}),
    "grade moderate, severity mild": (
        adverse(FRACTURE, grade("C41339"), severity=concept("mild", "urn:x")), ["toxicity 04-01 2"],
        {"fields-contradict"}),
    "two grades at once": (
        adverse(FRACTURE, grade("C41340"), grade("C41338")), ["toxicity 04-01 -"], {"fields-contradict"}),
    "no grade": (adverse(FRACTURE), ["toxicity 04-01 -"], {"value-missing"}),
    "in MedDRA": (
        adverse(concept("10041569", "https://www.meddra.org"), grade("C41338")), ["toxicity 04-01 1"], set()),
    "only possible": (adverse(FRACTURE, actuality="potential"), [], {"not used: status-not-usable"}),
    "of the course, in a local code": (
        adverse(concept("AE1", "urn:local"), **SUSPECT), [], {"not used: code-not-recognised"}),
    "without a code": (adverse({}), [], {"not used: code-missing"}),
    "another event": (adverse(concept("AE1", "urn:local")), [], set()),
    # death
    "dead": (observation(DEAD), ["death 04-01 -"], set()),
    "dead by vital status": (observation(VITAL, valueCodeableConcept=DEAD), ["death 04-01 -"], set()),
    "alive": (observation(VITAL, valueCodeableConcept=concept("438949009")), [], set()),
    "not dead": (observation(DEAD, valueBoolean=False), [], set()),
    "dead, nobody says when": (
        observation(DEAD, effectiveDateTime=None), ["death  -"], {"death-date-missing"}),
    "death as a condition": (condition(DEAD), ["death 04-01 -"], set()),
    # last contact
    "last contact, its value": (
        observation(loinc("21975-8"), valueDateTime="2024-06-07"), ["contact 06-07 -"], set()),
    "last contact without a value": (observation(loinc("21975-8")), [], {"not used: value-missing"}),
    "last contact on no day": (
        observation(loinc("21975-8"), valueDateTime="2024-02-30"), [], {"not used: date-not-valid"}),
}  # fmt: skip


def drawn(found: Any) -> list[str]:
    levels = {one.lesion_id: "@" + "-".join(one.levels) for one in found.lesions}
    return [
        " ".join(
            [one.kind, _days(one.on), "-" if one.value is None else str(one.value), *one.flags]
            + ([levels[one.lesion_id]] if one.lesion_id else [])
        )
        for one in found.events
    ]


def _days(on: Any) -> str:
    if on is None:
        return ""
    first, last = (when.isoformat()[5:] for when in (on.first, on.last))
    return first if first == last else f"{first}..{last}"


@pytest.mark.parametrize("name", ROWS)
def test_what_is_taken(name: str) -> None:
    arrives, expected, reasons = ROWS[name]
    primary = record("Condition", "primary", code=concept("254837009"))
    hurting = record("Condition", "pain", code=concept("G89.3", ICD))
    found = mapped(primary, hurting, arrives)
    assert (drawn(found), said(found)) == (expected, reasons)


def cancer(id_: str, code: Json | None, **more: Any) -> Json:
    return record("Condition", id_, code=code, **more)


def morphology(code: str) -> Json:
    return coded(MCODE + "mcode-histology-morphology-behavior", code)


def metastasis(of: str | None = None) -> Json:
    """Of the thoracic spine, which the lesion was treated for."""
    related = {"url": HL7 + "condition-related", "valueReference": {"reference": f"Condition/{of}"}}
    return cancer("met", concept("94274006"), extension=[related] if of else [])


LUNG, BREAST = concept("C34.90", ICD), concept("254837009")
CLAIMED = {"meta": {"profile": [MCODE + "mcode-primary-cancer-condition|4.0.0"]}}
# The Conditions of a patient -> primary and histology of the lesion, treated for Condition met.
PRIMARIES: dict[str, tuple[list[Json], str, set[str]]] = {
    "the one that the metastasis is related to": (
        [metastasis("b"), cancer("a", LUNG), cancer("b", BREAST)], "breast", set()),
    "by ICD-10, whose first three characters tell": ([metastasis("a"), cancer("a", LUNG)], "lung", set()),
    "by ICD-10-GM": (
        [cancer("a", concept("C64", "http://fhir.de/CodeSystem/bfarm/icd-10-gm"))], "kidney", set()),
    "the only one of the patient": ([metastasis(), cancer("a", LUNG)], "lung", set()),
    "twice recorded": ([cancer("a", LUNG), cancer("b", concept("363358000"))], "lung", set()),
    "two, of which none is the lesion's": (
        [metastasis(), cancer("a", LUNG), cancer("b", BREAST)], "-", set()),
    "unknown primary": ([cancer("a", concept("C80.1", ICD))], "unknown primary", set()),
    "in a local code": ([cancer("a", concept("X1", "urn:local"), **CLAIMED)], "other", set()),
    "of a place in no group": ([cancer("a", concept("C69.3", ICD))], "other", set()),
    "a metastasis by ICD-10": ([cancer("a", concept("C78.0", ICD))], "-", set()),
    "skin cancer beside": ([cancer("a", LUNG), cancer("b", concept("C44.31", ICD))], "lung", set()),
    "in codes of two groups": (
        [cancer("a", {"coding": [*LUNG["coding"], *BREAST["coding"]]})], "other", set()),
    "refuted": (
        [cancer("a", LUNG, verificationStatus=concept("refuted"))], "-",
        {"not used: status-not-usable"}),
    "a metastasis alone": ([metastasis()], "-", set()),
    "no cancer": ([cancer("a", concept("I10", ICD))], "-", set()),
    "with its histology": (
        [metastasis("a"), cancer("a", LUNG, extension=[morphology("35917007")])], "lung, 35917007", set()),
    "the histology of the metastasis": (
        [cancer("a", LUNG), metastasis() | {"extension": [morphology("35917007")]}], "lung, 35917007",
        set()),
}  # fmt: skip


@pytest.mark.parametrize("name", PRIMARIES)
def test_the_primary_of_a_lesion(name: str) -> None:
    conditions, expected, reasons = PRIMARIES[name]
    treated = lesion()
    treated[1]["reasonReference"] = [{"reference": "Condition/met"}]
    found = mapped(*conditions, lesions=treated)
    (one,) = found.lesions
    histology = [one.histology.rpartition("|")[2]] if one.histology else []
    assert ", ".join([one.primary or "-", *histology]) == expected
    assert said(found, "a") == reasons
    told = {f"Condition/{each['id']}" for each in conditions} & set(one.sources)
    assert bool(told) == bool(histology)
    assert found.counts.refused == len(reasons)


def pressing(code: Json | None = None, **more: Any) -> Json:
    """Cord compression found five days before treatment."""
    return cancer("cc", code or concept("71286001"), onsetDateTime="2024-02-29", **more)


NAMED: Json = {"reasonReference": [{"reference": "Condition/cc"}]}
# What is known of the cord -> the lesions, of T8 and L2, that it presses on. Of two courses unless said; what
# the course of T8 gives as its reason stands last.
CORD: dict[str, tuple[list[Json], Json, list[str], set[str]]] = {
    "at a level": ([pressing(bodySite=[concept(T8)])], {}, ["T8"], set()),
    "by ICD-10-CM": ([pressing(concept("G95.29", ICD), bodySite=[concept(T8)])], {}, ["T8"], set()),
    "nobody says where, and two lesions": ([pressing()], {}, [], set()),
    "nobody says where, but one course was given for it": ([pressing()], NAMED, ["T8"], set()),
    "the reason of a course by a code alone": ([], {"reasonCode": [concept("71286001")]}, ["T8"], set()),
    "the reason of a course, but elsewhere": ([pressing(bodySite=[concept(L2)])], NAMED, ["L2"], set()),
    "after treatment": (
        [pressing(bodySite=[concept(T8)]) | {"onsetDateTime": "2024-04-01"}], {}, [], set()),
    "refuted": (
        [pressing(bodySite=[concept(T8)], verificationStatus=concept("refuted"))], {}, [],
        {"not used: status-not-usable"}),
    "at another vertebra": ([pressing(bodySite=[concept("52120002")])], {}, [], set()),
    "another myelopathy": ([pressing(concept("G95.9", ICD), bodySite=[concept(T8)])], {}, [], set()),
}  # fmt: skip


@pytest.mark.parametrize("name", CORD)
def test_cord_compression_is_the_lesions_that_it_presses_on(name: str) -> None:
    conditions, reason, expected, reasons = CORD[name]
    treated = [*lesion(), *lesion("l2", L2)]
    treated[1] |= reason
    found = mapped(*conditions, lesions=treated)
    assert [one.levels[0] for one in found.lesions if one.cord_compression] == expected
    assert {one.cord_compression for one in found.lesions} <= {True, None}
    assert said(found, "cc") == reasons


# A date of an Observation -> the days it stands for, and what is said.
DATES: dict[str, tuple[Json, str, set[str]]] = {
    "a day": ({"effectiveDateTime": DAY}, "04-01", set()),
    "the day as written in its offset": ({"effectiveDateTime": "2024-04-01T23:30:00-05:00"}, "04-01", set()),
    "an instant": ({"effectiveInstant": "2024-04-01T01:00:00+02:00"}, "04-01", set()),
    "no zone": ({"effectiveDateTime": "2024-04-01T10:00:00"}, "04-01", {"date-no-zone"}),
    "a month": ({"effectiveDateTime": "2024-04"}, "04-01..04-30", {"date-partial"}),
    "a year": ({"effectiveDateTime": "2024"}, "01-01..12-31", {"date-partial"}),
    "a period of one day": (
        {"effectivePeriod": {"start": "2024-04-01T08:00:00Z", "end": "2024-04-01T09:00:00Z"}}, "04-01",
        set()),
    "a period of some": (
        {"effectivePeriod": {"start": DAY, "end": "2024-04-05"}}, "04-01..04-05", {"date-partial"}),
    "a period without an end": ({"effectivePeriod": {"start": DAY}}, "04-01", set()),
    "a period that ends before it starts": (
        {"effectivePeriod": {"start": DAY, "end": "2024-03-01"}}, "", {"date-implausible"}),
    "a timing that lists one day": ({"effectiveTiming": {"event": [DAY]}}, "04-01", set()),
    "a timing that lists days": (
        {"effectiveTiming": {"event": ["2024-04-05", DAY]}}, "04-01..04-05", {"date-partial"}),
    "a timing that is bounded": (
        {"effectiveTiming": {"repeat": {"boundsPeriod": {"start": DAY, "end": "2024-04-03"}}}},
        "04-01..04-03", {"date-partial"}),
    "a timing that says how often": (
        {"effectiveTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}, "",
        {"date-missing"}),
    "a timing that lists no day of the calendar": (
        {"effectiveTiming": {"event": ["2024-02-30"]}}, "", {"date-not-valid"}),
    "no date": ({}, "", {"date-missing"}),
    "issued is no substitute": ({"issued": "2024-04-01T08:00:00Z"}, "", {"date-missing"}),
    "30 February": ({"effectiveDateTime": "2024-02-30"}, "", {"date-not-valid"}),
    "no FHIR date": ({"effectiveDateTime": "01.04.2024"}, "", {"date-not-valid"}),
    "before birth": ({"effectiveDateTime": "1949-04-01"}, "", {"date-implausible"}),
}  # fmt: skip


@pytest.mark.parametrize("name", DATES)
def test_the_date_of_a_record(name: str) -> None:
    elements, days, reasons = DATES[name]
    found = mapped(ecog(valueInteger=1, **({"effectiveDateTime": None} | elements)))
    (one,) = events(found, "performance")
    assert (_days(one.on), said(found)) == (days, reasons)


# Patient.deceased[x] -> the death of a patient whom an Observation has dead on 1 April 2024, what is said of
# the Patient and of the Observation.
DEATHS: dict[str, tuple[Json, list[str], set[str], set[str]]] = {
    "the same day": ({"deceasedDateTime": DAY}, ["Patient/p 04-01"], set(), set()),
    "another day: the Patient record wins": (
        {"deceasedDateTime": "2024-04-03"}, ["Patient/p 04-03"], set(), {"death-dates-conflict"}),
    "a month": (
        {"deceasedDateTime": "2024-05"}, ["Patient/p 05-01..05-31"], {"date-partial"},
        {"death-dates-conflict"}),
    "true": ({"deceasedBoolean": True}, ["Observation/x 04-01", "Patient/p "], {"death-date-missing"}, set()),
    "false says nothing": ({"deceasedBoolean": False}, ["Observation/x 04-01"], set(), set()),
    "no day of the calendar": (
        {"deceasedDateTime": "2024-02-30"}, ["Observation/x 04-01", "Patient/p "],
        {"date-not-valid", "death-date-missing"}, set()),
    "before birth": (
        {"deceasedDateTime": "1940-01-01"}, ["Observation/x 04-01", "Patient/p "],
        {"date-implausible", "death-date-missing"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", DEATHS)
def test_the_death_of_a_patient(name: str) -> None:
    deceased, expected, of_patient, of_record = DEATHS[name]
    person = patient(birthDate="1950-05-05", **deceased)
    found = map_resources([person, *lesion(), observation(DEAD)], profile=PROFILE)
    deaths = [f"{one.source} {_days(one.on)}" for one in events(found, "death")]
    assert (deaths, said(found, "p"), said(found)) == (expected, of_patient, of_record)


def test_what_is_dated_after_death_is_implausible() -> None:
    person = patient(birthDate="1950-05-05", deceasedDateTime="2024-03-20")
    found = map_resources([person, *lesion(), ecog(valueInteger=1)], profile=PROFILE)
    assert (said(found), events(found, "performance")[0].on) == ({"date-implausible"}, None)


def test_a_merged_record_does_not_make_a_second_death() -> None:
    old = patient("old", deceasedDateTime="2024-04-02", link=[
        {"other": {"reference": "Patient/p"}, "type": "replaced-by"}])  # fmt: skip
    found = map_resources([patient(deceasedDateTime=DAY), old, *lesion()], profile=PROFILE)
    (one,) = events(found, "death")
    assert one.source == "Patient/p"
    assert said(found, "old") == {"patient-merged", "death-dates-conflict"}
