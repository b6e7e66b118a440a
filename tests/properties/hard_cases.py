"""Other legal ways to write the same history, and ways to spoil it: each a named mutation.

SAME: R4 as real servers send it, whose facts are those of the plain writing. SPOILT: one thing wrong in one
resource, which must be said with one of the reasons named, and may cost facts but never change one
(`spec/fhir-mapping.md` sections 1 to 8).
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from tests.properties.histories import (
    CODEX,
    LOINC,
    MCODE,
    MRN,
    RXNORM,
    SCT,
    UCUM,
    VERTEBRAE,
    Json,
    concept,
    of_kind,
)

Change = Callable[[list[Json], Random], list[Json] | None]
SAME: dict[str, Change] = {}
TG263 = MCODE.replace("StructureDefinition/", "CodeSystem/tg263-cs")
DOSE = MCODE + "mcode-radiotherapy-dose-delivered-to-volume"
AGAINST = "PTV_L5"  # a label that no history has
ANSWERS = (
    "LA6111-4", "LA6112-2", "LA6113-0", "LA6114-8", "LA6115-5", "LA10137-0", "LA10138-8", "LA10139-6",
    "LA10140-4", "LA10141-2", "LA13942-0",
)  # fmt: skip


def same(change: Change) -> Change:
    """Enter *change* among those that keep every fact."""
    SAME[change.__name__.replace("_", "-")] = change
    return change


def without(resource: Json, *names: str) -> Json:
    return {name: value for name, value in resource.items() if name not in names}


def scores(resources: list[Json]) -> list[Json]:
    """The scores that still are plain: a whole number of the scale in valueInteger, under a code."""
    found = [one for one in of_kind(resources, "Observation") if one["id"].startswith("s") and "code" in one]
    return [one for one in found if type(one.get("valueInteger")) is int and 0 <= one["valueInteger"] <= 10]


def courses(resources: list[Json]) -> list[Json]:
    return [one for one in of_kind(resources, "Procedure") if one["id"][:1] == "c"]


def dose_list(course: Json) -> list[Json]:
    """The entries of the dose list of *course*."""
    return [one for one in course.get("extension", []) if one["url"] == DOSE]


def dose_parts(resources: list[Json]) -> Iterator[tuple[Json, str]]:
    """Each nested extension of a dose list, and its url."""
    for one in courses(resources):
        for entry in dose_list(one):
            yield from ((part, part["url"]) for part in entry["extension"])


# how a dose, a count and a day are written


@same
def the_dose_in_gray(resources: list[Json], draw: Random) -> None:
    for part, url in dose_parts(resources):
        if url == "totalDoseDelivered" and part["valueQuantity"].get("code") == "cGy":
            gray = part["valueQuantity"]["value"] / 100
            part["valueQuantity"] = {"value": gray, "unit": "Gy", "system": UCUM, "code": "Gy"}


@same
def the_dose_in_another_spelling(resources: list[Json], draw: Random) -> None:
    spelt = draw.choice([{"unit": "cGY"}, {"unit": "cgy", "code": "cgy"}, {"unit": "Centigray"}])
    for part, url in dose_parts(resources):
        if url == "totalDoseDelivered" and part["valueQuantity"].get("code") == "cGy":
            part["valueQuantity"] = {"value": part["valueQuantity"]["value"], **spelt}


@same
def whole_numbers_with_a_point(resources: list[Json], draw: Random) -> None:
    for part, url in dose_parts(resources):
        if url == "fractionsDelivered":
            part["valueUnsignedInt"] = float(part["valueUnsignedInt"])


@same
def days_with_a_clock_and_zone(resources: list[Json], draw: Random) -> None:
    zone = draw.choice(["Z", "+01:00", "-05:00", "+13:45"])
    _retimed(resources, lambda day: f"{day}T{draw.randrange(24):02}:{draw.randrange(60):02}:07{zone}")


@same
def days_with_a_clock_without_zone(resources: list[Json], draw: Random) -> None:
    _retimed(resources, lambda day: f"{day}T23:59:59.99")


def _retimed(resources: list[Json], write: Callable[[str], str]) -> None:
    for one in of_kind(resources, "Observation", "Procedure"):
        if len(one.get("effectiveDateTime", "")) == 10:
            one["effectiveDateTime"] = write(one["effectiveDateTime"])
        period = one.get("performedPeriod", {})
        for name in ("start", "end"):
            if len(period.get(name, "")) == 10:
                period[name] = write(period[name])


@same
def a_score_within_a_period_of_one_day(resources: list[Json], draw: Random) -> None:
    for one in scores(resources):
        if len(one.get("effectiveDateTime", "")) == 10:
            day = one.pop("effectiveDateTime")
            one["effectivePeriod"] = {"start": f"{day}T08:00:00Z", "end": f"{day}T09:30:00Z"}


@same
def a_score_at_an_instant(resources: list[Json], draw: Random) -> None:
    for one in scores(resources):
        if len(one.get("effectiveDateTime", "")) == 10:
            one["effectiveInstant"] = one.pop("effectiveDateTime") + "T12:00:00.123+02:00"


@same
def a_score_at_a_listed_occasion(resources: list[Json], draw: Random) -> None:
    for one in scores(resources):
        if len(one.get("effectiveDateTime", "")) == 10:
            one["effectiveTiming"] = {"event": [one.pop("effectiveDateTime") + "T12:00:00+02:00"]}


@same
def a_single_fraction_dated_by_a_day(resources: list[Json], draw: Random) -> None:
    for one in courses(resources):
        period = one.get("performedPeriod", {})
        if period.get("start") and period.get("start") == period.get("end"):
            one["performedDateTime"] = one.pop("performedPeriod")["start"]


# how a score is written


@same
def a_score_as_a_quantity(resources: list[Json], draw: Random) -> None:
    unit = draw.choice([{}, {"unit": "{score}", "system": UCUM, "code": "{score}"}, {"unit": "/10"}])
    for one in scores(resources):
        one["valueQuantity"] = {"value": one.pop("valueInteger"), **unit}


@same
def a_score_as_text(resources: list[Json], draw: Random) -> None:
    form = draw.choice(["{}", "{}/10", " {} / 10 ", "{}.0"])
    for one in scores(resources):
        one["valueString"] = form.format(one.pop("valueInteger"))


@same
def a_score_as_a_coded_answer(resources: list[Json], draw: Random) -> None:
    for one in scores(resources):
        one["valueCodeableConcept"] = concept(LOINC, ANSWERS[one.pop("valueInteger")], text="2 or more")


@same
def a_score_in_a_component_of_the_vital_signs(resources: list[Json], draw: Random) -> None:
    for one in scores(resources):
        pain = {"code": one["code"], "valueInteger": one.pop("valueInteger")}
        pulse = {"code": concept(LOINC, "8867-4"), "valueQuantity": {"value": 71, "unit": "/min"}}
        one["code"], one["component"] = concept(LOINC, "85353-1"), draw.sample([pain, pulse], 2)


@same
def a_score_as_a_member_of_a_panel(resources: list[Json], draw: Random) -> list[Json]:
    """LOINC 97339-6 groups it; where it belongs is said by the panel alone."""
    made = []
    for one in scores(resources):
        panel = copy.deepcopy(without(one, "valueInteger"))
        for name in ("focus", "partOf", "bodySite", "extension"):
            one.pop(name, None)
        member = {"reference": f"Observation/{one['id']}"}
        made.append(panel | {"id": f"panel-{one['id']}", "code": concept(LOINC, "97339-6")})
        made[-1]["hasMember"] = [member]
    return [*resources, *made]


@same
def a_score_under_a_local_code_beside(resources: list[Json], draw: Random) -> None:
    for one in of_kind(resources, "Observation"):
        codings = one.get("code", {}).get("coding", [])
        codings.insert(draw.randint(0, len(codings)), {"system": "urn:oid:1.2.3", "code": "PAIN01"})


@same
def loinc_and_snomed_misspelt(resources: list[Json], draw: Random) -> list[Json]:
    text = json.dumps(resources)
    for right in (LOINC, SCT):
        wrong = draw.choice([right.replace("http:", "https:"), right + "/"])
        text = text.replace(f'"system": "{right}"', f'"system": "{wrong}"')
    return json.loads(text)


@same
def amended_and_corrected(resources: list[Json], draw: Random) -> None:
    for one in of_kind(resources, "Observation"):
        if one["status"] == "final":
            one["status"] = draw.choice(["amended", "corrected", "final"])


# how a place is written


@same
def vertebrae_of_the_other_snomed_set(resources: list[Json], draw: Random) -> list[Json]:
    text = json.dumps(resources)
    for one, other in VERTEBRAE.values():
        text = text.replace(f'"{one}"', f'"{other}"')
    return json.loads(text)


@same
def vertebrae_in_both_snomed_sets_at_once(resources: list[Json], draw: Random) -> list[Json]:
    text = json.dumps(resources)
    for one, other in VERTEBRAE.values():
        both = f'{{"system": "{SCT}", "code": "{one}"}}, {{"system": "{SCT}", "code": "{other}"}}'
        text = text.replace(f'{{"system": "{SCT}", "code": "{one}"}}', both)
    return json.loads(text)


@same
def a_vertebra_by_its_tg263_name(resources: list[Json], draw: Random) -> None:
    names = {one: level for level, (one, _) in VERTEBRAE.items()}
    for one in of_kind(resources, "BodyStructure"):
        level = names.get(one.get("location", {}).get("coding", [{}])[0].get("code", ""))
        if level:
            one["location"] = concept(TG263, f"VB_{level[0]}{int(level[1:]):0{2 if level[0] == 'T' else 1}}")


@same
def levels_by_the_label_alone(resources: list[Json], draw: Random) -> None:
    for one in of_kind(resources, "BodyStructure"):
        labels = [each["value"] for each in one["identifier"] if each["use"] == "usual"]
        if labels and labels != [AGAINST]:
            one.pop("location", None)


@same
def a_range_in_another_spelling(resources: list[Json], draw: Random) -> None:
    for one in of_kind(resources, "BodyStructure"):
        for each in one["identifier"]:
            name = each["value"].removeprefix("PTV_")
            if each["use"] == "usual" and "_" in name:
                first, _, last = name.partition("_")
                form = draw.choice(["{0}-{1}", "{0} to {1}", "{1}-{0}", "PTV {0}\u2013{1}", "{0}_{1} boost"])
                each["value"] = form.format(first, last)


@same
def a_link_by_the_volume_extension(resources: list[Json], draw: Random) -> None:
    for one in of_kind(resources, "Observation"):
        if "focus" in one:
            volume = one.pop("focus")[0]
            url = CODEX + "codexrt-radiotherapy-volume-extension"
            one["extension"] = [{"url": url, "valueReference": volume}]


@same
def a_link_by_the_dicom_uid(resources: list[Json], draw: Random) -> None:
    uids = {
        f"BodyStructure/{one['id']}": each
        for one in of_kind(resources, "BodyStructure")
        for each in one["identifier"]
        if each.get("system") == "urn:dicom:uid"
    }
    for one in of_kind(resources, "Observation"):
        for focus in one.get("focus", []):
            if focus.get("reference") in uids:
                uid = uids[focus.pop("reference")]
                spelt = draw.choice([uid["value"], uid["value"].removeprefix("urn:oid:")])
                focus["identifier"] = {"system": uid["system"], "value": spelt}


# how a course is written


@same
def the_course_code_of_another_version(resources: list[Json], draw: Random) -> None:
    requested = MCODE.replace("StructureDefinition/", "CodeSystem/snomed-requested-cs")
    local = concept("urn:oid:1.2.3", "XRT")
    codes = [concept(requested, "USCRS-33529"), concept(requested, "1217123003"), concept(SCT, "53438000")]
    for one in courses(resources):
        if one["code"]["coding"][0]["code"] == "1217123003":
            one["code"] = draw.choice([*codes, local])
            if one["code"] is local:
                one["meta"] = one.get("meta", {}) | {
                    "profile": [MCODE + "mcode-radiotherapy-course-summary|4.0.0"]
                }


@same
def phases_that_repeat_the_dose(resources: list[Json], draw: Random) -> list[Json]:
    made = []
    for one in courses(resources):
        phase = copy.deepcopy(without(one, "identifier", "bodySite", "meta")) | {"id": f"phase-{one['id']}"}
        phase |= {"code": concept(SCT, "1222565005"), "partOf": [{"reference": f"Procedure/{one['id']}"}]}
        made.append(phase)
    return [*resources, *made]


@same
def a_snapshot_of_the_running_course(resources: list[Json], draw: Random) -> list[Json]:
    """The same official identifier, in progress, with less dose: an earlier export."""
    made = []
    for one in courses(resources):
        if one.get("identifier") and one["status"] == "completed" and "end" in one.get("performedPeriod", {}):
            early = copy.deepcopy(one) | {"id": f"early-{one['id']}", "status": "in-progress"}
            for part, url in dose_parts([early | {"id": "c"}]):
                if url == "totalDoseDelivered":
                    part["valueQuantity"] = {"value": 8, "unit": "Gy", "system": UCUM, "code": "Gy"}
            early["performedPeriod"].pop("end")
            made.append(early)
    return [*resources, *made]


@same
def whatever_is_said_of_earlier_treatment(resources: list[Json], draw: Random) -> None:
    for one in courses(resources):
        url = CODEX + "codexrt-radiotherapy-course-involves-reirradiation"
        one["extension"] = [*one.get("extension", []), {"url": url, "valueBoolean": draw.random() < 0.5}]


@same
def volumes_inside_their_course(resources: list[Json], draw: Random) -> list[Json]:
    """Contained, as R4 allows; who names such a volume from outside does so by its DICOM UID."""
    volumes = {f"BodyStructure/{one['id']}": one for one in of_kind(resources, "BodyStructure")}
    moved: dict[str, Json] = {}
    for one in courses(resources):
        for part, url in dose_parts([one]):
            name = part["valueReference"]["reference"] if url == "volume" else ""
            if name in volumes and _uid_of(volumes[name]):
                part["valueReference"] = {"reference": f"#{volumes[name]['id']}"}
                one["contained"] = [*one.get("contained", []), without(volumes[name], "patient")]
                moved[name] = volumes[name]
    for one in of_kind(resources, "Observation"):
        named = [
            *one.get("focus", []),
            *(each.get("valueReference", {}) for each in one.get("extension", [])),
        ]
        for reference in named:
            if reference.get("reference") in moved:
                reference["identifier"] = _uid_of(moved[reference.pop("reference")])
    return [one for one in resources if not any(one is each for each in moved.values())]


def _uid_of(volume: Json) -> Json | None:
    return next((one for one in volume["identifier"] if one.get("system") == "urn:dicom:uid"), None)


@same
def an_organ_at_risk_in_the_dose_list(resources: list[Json], draw: Random) -> list[Json]:
    return _with_volume(resources, "cord", concept(SCT, "1162586008"), concept(SCT, "2748008"))


@same
def a_gross_volume_inside_the_target(resources: list[Json], draw: Random) -> list[Json]:
    """At the levels of the target with a higher dose: the best role gives the dose."""
    made = list(resources)
    for one in of_kind(resources, "BodyStructure"):
        ours = one["patient"] == {"reference": "Patient/p"}
        if not ours or one["morphology"] != concept(SCT, "228793007"):
            continue
        made = _with_volume(made, "gtv", concept(SCT, "228791009"), one.get("location"), only=one["id"])
    return made


def _with_volume(
    resources: list[Json], name: str, role: Json, place: Json | None, only: str | None = None
) -> list[Json]:
    """A further volume in the dose list of each course, or of the course of the volume *only*."""
    made = []
    for one in courses(resources):
        parts = dose_list(one)[0]["extension"]
        names = [each["valueReference"]["reference"] for each in parts if each["url"] == "volume"]
        if not names or (only and names[0] != f"BodyStructure/{only}") or place is None:
            continue
        volume = {"resourceType": "BodyStructure", "id": f"{name}-{one['id']}", "morphology": role}
        volume |= {"patient": {"reference": "Patient/p"}, "location": place, "identifier": []}
        more = {"url": "volume", "valueReference": {"reference": f"BodyStructure/{volume['id']}"}}
        quantity = {"value": 2999, "unit": "cGy", "system": UCUM, "code": "cGy"}
        parts = [more, {"url": "totalDoseDelivered", "valueQuantity": quantity}]
        one["extension"].append({"url": DOSE, "extension": parts})
        made.append(volume)
    return [*resources, *made]


@same
def a_biologically_weighted_dose_beside(resources: list[Json], draw: Random) -> None:
    metric = {"value": 71, "unit": "EQD2Gy(a/b=2.5)", "system": UCUM, "code": "Gy"}
    for one in courses(resources):
        for entry in dose_list(one):
            entry["extension"].append(
                {"url": CODEX + "codexrt-radiobiologic-metric", "valueQuantity": metric}
            )


@same
def sessions_of_the_course(resources: list[Json], draw: Random) -> None:
    for one in courses(resources):
        if not any(url == "fractionsDelivered" for _, url in dose_parts([one])):
            continue
        one["extension"].append({"url": MCODE + "mcode-radiotherapy-sessions", "valueUnsignedInt": 40})


@same
def bills_for_the_course(resources: list[Json], draw: Random) -> list[Json]:
    made = []
    for one in courses(resources):
        day = one.get("performedPeriod", {}).get("start") or one.get("performedDateTime")
        bill = {"resourceType": "Procedure", "id": f"bill-{one['id']}", "status": "completed"}
        code = concept("http://www.ama-assn.org/go/cpt", "77435")
        bill |= {"subject": {"reference": "Patient/p"}, "code": code, "performedDateTime": day}
        made.append(bill)
    return [*resources, *made]


# how an opioid is written


def orders(resources: list[Json]) -> list[Json]:
    return of_kind(resources, "MedicationRequest")


@same
def the_drug_as_a_resource_of_its_own(resources: list[Json], draw: Random) -> list[Json]:
    made = []
    for one in orders(resources):
        if "medicationCodeableConcept" in one:
            code = one.pop("medicationCodeableConcept")
            one["medicationReference"] = {"reference": "Medication/drug"}
            made.append({"resourceType": "Medication", "id": "drug", "code": code})
    return [*resources, *made]


@same
def the_drug_as_a_contained_resource(resources: list[Json], draw: Random) -> None:
    for one in orders(resources):
        if "medicationCodeableConcept" in one:
            drug = {"resourceType": "Medication", "id": "m", "code": one.pop("medicationCodeableConcept")}
            one |= {"contained": [drug], "medicationReference": {"reference": "#m"}}


@same
def the_drug_in_grams(resources: list[Json], draw: Random) -> None:
    for one in orders(resources):
        for part in one["dosageInstruction"][0].get("doseAndRate", []):
            quantity = part.get("doseQuantity", {})
            if quantity.get("code") != "mg":
                continue
            quantity |= {"value": quantity["value"] / 1000, "unit": "g", "code": "g"}


@same
def the_drug_every_so_many_hours(resources: list[Json], draw: Random) -> None:
    for one in orders(resources):
        repeat = one["dosageInstruction"][0]["timing"]["repeat"]
        if repeat["periodUnit"] == "d" and 24 % repeat["frequency"] == 0:
            repeat |= {"period": 24 // repeat["frequency"], "frequency": 1, "periodUnit": "h"}


@same
def a_product_code_beside_the_ingredient(resources: list[Json], draw: Random) -> None:
    for one in orders(resources):
        for coding in [one.get("medicationCodeableConcept", {}).get("coding", [])]:
            coding.insert(draw.randint(0, len(coding)), {"system": RXNORM, "code": "1049604"})


# who is meant


@same
def absolute_and_versioned_references(resources: list[Json], draw: Random) -> list[Json]:
    base = draw.choice(["https://ehr.example/fhir/", "http://127.0.0.1:8080/r4/"])
    tail = draw.choice(["", "/_history/3"])

    def absolute(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: absolute(value) for name, value in tree.items()} | _absolute(tree, base, tail)
        return [absolute(one) for one in tree] if isinstance(tree, list) else tree

    return absolute(resources)


def _absolute(tree: Json, base: str, tail: str) -> Json:
    text = tree.get("reference")
    relative = isinstance(text, str) and ":" not in text and not text.startswith("#")
    return {"reference": f"{base}{text}{tail}"} if relative else {}


@same
def the_subject_by_its_identifier(resources: list[Json], draw: Random) -> None:
    for one in resources:
        if "subject" in one and draw.random() < 0.7:
            one["subject"] = {"identifier": {"system": MRN, "value": "4711"}}


@same
def a_record_merged_into_this_one(resources: list[Json], draw: Random) -> list[Json]:
    """Some resources still name the old record."""
    replaced = {"type": "replaced-by", "other": {"reference": "Patient/p"}}
    old = {"resourceType": "Patient", "id": "old", "active": False, "link": [replaced]}
    for one in resources:
        for name in ("subject", "patient"):
            if one.get(name, {}).get("reference") == "Patient/p" and draw.random() < 0.5:
                one[name] = {"reference": "Patient/old"}
    return [*resources, old]


@same
def other_server_ids(resources: list[Json], draw: Random) -> list[Json]:
    """As after a re-export to another server: business identifiers stay. Ids begin as they did."""
    names = {(one["resourceType"], one["id"]): f"{one['id']}.{draw.randrange(10**6)}" for one in resources}
    text = json.dumps(resources)
    for (kind, old), new in names.items():
        text = text.replace(f'{kind}/{old}"', f'{kind}/{new}"').replace(f"{kind}/{old}/", f"{kind}/{new}/")
    return [one | {"id": names[one["resourceType"], one["id"]]} for one in json.loads(text)]


# what else lies in the export


@same
def older_versions(resources: list[Json], draw: Random) -> list[Json]:
    """Each with something else in it, before the present one or after it."""
    made = []
    for one in scores(resources)[:2] + courses(resources)[:1]:
        old = copy.deepcopy(one) | {"meta": {"versionId": "1", "lastUpdated": "2024-01-01T00:00:00Z"}}
        old["status"] = draw.choice([one["status"], "entered-in-error", "unknown"])
        one["meta"] = one.get("meta", {}) | {"versionId": "2", "lastUpdated": "2025-01-01T00:00:00Z"}
        if "valueInteger" in old:
            old["valueInteger"] = 10 - old["valueInteger"]
        made.append(old)
    return [*made, *resources] if draw.random() < 0.5 else [*resources, *made]


@same
def everything_sent_twice(resources: list[Json], draw: Random) -> list[Json]:
    return [*resources, *copy.deepcopy(resources)]


@same
def drafts_and_errors_beside(resources: list[Json], draw: Random) -> list[Json]:
    made = []
    for status in ("entered-in-error", "cancelled", "registered"):
        more = {"status": status}
        made += [copy.deepcopy(one) | {"id": f"{status}-{one['id']}"} | more for one in scores(resources)]
    for one in courses(resources):
        gone = copy.deepcopy(without(one, "identifier")) | {"id": f"planned-{one['id']}"}
        made.append(gone | {"status": draw.choice(["preparation", "not-done", "entered-in-error"])})
    return [*resources, *made]


@same
def what_is_no_score_beside(resources: list[Json], draw: Random) -> list[Json]:
    """Interference, PROMIS grades, a wound, a visual scale that nobody explains."""
    made = []
    odd = [
        concept(LOINC, "77565-0"), concept(LOINC, "91145-3"), concept(LOINC, "75262-6"),
        concept(LOINC, "38214-3"), concept(LOINC, "72514-3", text="Pain at wound dressing"),
    ]  # fmt: skip
    for one in scores(resources):
        for number, code in enumerate(odd):
            made.append(copy.deepcopy(one) | {"id": f"odd-{number}-{one['id']}", "code": code})
    return [*resources, *made]


@same
def plans_and_prescriptions_beside(resources: list[Json], draw: Random) -> list[Json]:
    made = []
    for one in courses(resources):
        planned = copy.deepcopy(without(one, "status", "identifier"))
        planned |= {"resourceType": "ServiceRequest", "id": f"plan-{one['id']}", "intent": "order"}
        made.append(planned)
    return [*resources, *made]


@same
def treatment_of_other_places_beside(resources: list[Json], draw: Random) -> list[Json]:
    """Of the breast by a course, of the brain by radiosurgery."""
    made = []
    for one in courses(resources):
        breast = copy.deepcopy(without(one, "identifier")) | {"bodySite": [concept(SCT, "76752008")]}
        for each in dose_list(breast):
            each["extension"] = [part for part in each["extension"] if part["url"] != "volume"]
        brain = without(breast, "bodySite") | {"code": concept(SCT, "429584001")}
        made += [breast | {"id": f"breast-{one['id']}"}, brain | {"id": f"brain-{one['id']}"}]
    return [*resources, *made]


@same
def vital_signs_and_other_resources_beside(resources: list[Json], draw: Random) -> list[Json]:
    pulse = {"resourceType": "Observation", "status": "final", "code": concept(LOINC, "8867-4")}
    pulse |= {"subject": {"reference": "Patient/p"}, "valueQuantity": {"value": 71, "unit": "/min"}}
    others = [{"resourceType": kind, "id": kind.lower()} for kind in ("Practitioner", "Encounter", "Group")]
    return [*resources, *(pulse | {"id": f"pulse{number}"} for number in range(3)), *others]


@same
def what_nobody_reads_inside(resources: list[Json], draw: Random) -> None:
    """Narrative, notes, extensions of primitives and of others."""
    for one in resources:
        one["text"] = {"status": "generated", "div": "<div>Pain 9/10 at T4, 99 Gy</div>"}
        one["_status"] = {"extension": [{"url": "urn:x", "valueString": "99"}]}
        one["extension"] = [*one.get("extension", []), {"url": "urn:y", "valueInteger": 99}]
        one["note"] = [{"text": "Dose 99 Gy in 9 fractions to L4"}]
        one["language"] = "de"


# how JSON is packed


@same
def in_another_order(resources: list[Json], draw: Random) -> list[Json]:
    shuffled = [dict(draw.sample(list(one.items()), len(one))) for one in resources]
    draw.shuffle(shuffled)
    return shuffled


@same
def in_a_bundle(resources: list[Json], draw: Random) -> list[Json]:
    kind = draw.choice(["searchset", "collection", "transaction"])
    return [{"resourceType": "Bundle", "type": kind, "entry": [{"resource": one} for one in resources]}]


@same
def in_a_transaction_that_names_by_uuid(resources: list[Json], draw: Random) -> list[Json]:
    text = json.dumps(resources)
    uuids = {
        f"{one['resourceType']}/{one['id']}": f"urn:uuid:00000000-0000-4000-8000-{number:012}"
        for number, one in enumerate(resources)
    }
    for name, uuid in uuids.items():
        text = text.replace(f'"reference": "{name}"', f'"reference": "{uuid}"')
    entries = [
        {"fullUrl": uuids[f"{one['resourceType']}/{one['id']}"], "resource": one} for one in json.loads(text)
    ]
    return [{"resourceType": "Bundle", "type": "transaction", "entry": entries}]


# These take the whole apart from others' reach, so they come last.
LAST = ("in-a-bundle", "in-a-transaction-that-names-by-uuid")


class Spoilt(NamedTuple):
    """Which resources it may happen to, what happens, and the reasons of which one must be given."""

    to: Callable[[Json], bool]
    change: Callable[[Json, Random], object]
    reasons: frozenset[str]
    takes: bool = True


SPOILT: dict[str, Spoilt] = {}


def is_score(one: Json) -> bool:
    return one["resourceType"] == "Observation" and one["id"].startswith("s")


def is_course(one: Json) -> bool:
    return one["resourceType"] == "Procedure"


def is_summary(one: Json) -> bool:
    return is_course(one) and "bodySite" not in one


def is_surgical(one: Json) -> bool:
    return is_course(one) and "bodySite" in one


def is_volume(one: Json) -> bool:
    return one["resourceType"] == "BodyStructure"


def is_order(one: Json) -> bool:
    return one["resourceType"] == "MedicationRequest"


def _set(**elements: Any) -> Callable[[Json, Random], object]:
    return lambda one, draw: one.update(copy.deepcopy(elements))


def _instead(**elements: Any) -> Callable[[Json, Random], object]:
    """The value of a score, replaced."""

    def change(one: Json, draw: Random) -> None:
        one.pop("valueInteger", None)
        one.update(copy.deepcopy(elements))

    return change


def _drop(*names: str) -> Callable[[Json, Random], object]:
    return lambda one, draw: [one.pop(name, None) for name in names]


def _part(url: str, **elements: Any) -> Callable[[Json, Random], object]:
    """A nested extension of the dose list, replaced; without elements, dropped."""

    def change(one: Json, draw: Random) -> None:
        for each in dose_list(one):
            each["extension"] = [part for part in each["extension"] if part["url"] != url]
            if elements:
                each["extension"].append({"url": url, **copy.deepcopy(elements)})

    return change


def _dosed(quantity: Json) -> Callable[[Json, Random], object]:
    return _part("totalDoseDelivered", valueQuantity=quantity)


def _gy(value: Any, unit: str = "Gy", code: str | None = "Gy") -> Json:
    coded = {"system": UCUM, "code": code} if code else {}
    return {"value": value, "unit": unit, **coded}


def _told(quantity: Json) -> Callable[[Json, Random], object]:
    """The dose of the opioid, replaced."""
    return lambda one, draw: one["dosageInstruction"][0].update(doseAndRate=[quantity])


def _enter(
    to: Callable[[Json], bool], rows: Mapping[str, tuple[Callable[[Json, Random], object], str]]
) -> None:
    for name, (change, reasons) in rows.items():
        SPOILT[name] = Spoilt(to, change, frozenset(reasons.split()))


_NOWHERE = {"reference": "Patient/nobody"}
_DECLINED = concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-declined")
_enter(
    is_score,
    {
        "a score of 15": (_set(valueInteger=15), "value-out-of-range"),
        "a score below 0": (_set(valueInteger=-1), "value-out-of-range"),
        "a score of 7.5 as an integer": (_set(valueInteger=7.5), "value-not-usable"),
        "a score as text in an integer": (_set(valueInteger="7"), "resource-unreadable value-missing"),
        "a score declined": (_instead(dataAbsentReason=_DECLINED), "value-absent"),
        "a score without a value": (_instead(), "value-missing"),
        "a remark instead of a score": (_instead(valueString="see note, 4711"), "value-not-usable"),
        "a range instead of a score": (
            _instead(valueRange={"low": {"value": 3}, "high": {"value": 5}}), "value-not-usable"),
        "more than a score": (_instead(valueQuantity={"value": 5, "comparator": ">"}), "value-not-usable"),
        "a score in millimetres": (
            _instead(valueQuantity={"value": 5, "unit": "mm"}), "value-not-usable"),
        "a score as a quoted number": (
            _instead(valueQuantity={"value": "7"}), "resource-unreadable value-not-usable"),
        "an answer that is not of the list": (
            _instead(valueCodeableConcept=concept(LOINC, "LA33-6")), "answer-code-not-recognised"),
        "two answers": (
            _instead(valueCodeableConcept=concept(LOINC, "LA10137-0", "LA10138-8")), "code-meaning-doubtful"),
        "a wound's score": (_set(code=concept(LOINC, "72514-3", text="Wound pain")), "code-meaning-doubtful"),
        "a device's score": (_set(focus=[{"reference": "Device/d"}]), "code-meaning-doubtful"),
        "intensity and interference at once": (
            _set(code=concept(LOINC, "72514-3", "77565-0")), "code-meaning-doubtful"),
        "a score on a scale that nobody states": (_set(code=concept(LOINC, "38214-3")), "scale-unknown"),
        "a code glued to its system": (
            _set(code=concept(LOINC + "/72514-3", "72514-3")), "code-not-recognised"),
        "a score without a code": (_drop("code"), "code-missing"),
        "a score in error": (_set(status="entered-in-error"), "status-entered-in-error"),
        "a score cancelled": (_set(status="cancelled"), "status-not-usable"),
        "a score with an unknown modifier": (
            _set(modifierExtension=[{"url": "urn:not", "valueBoolean": True}]), "modifier-extension-unknown"),
        "a score on 30 February": (_set(effectiveDateTime="2024-02-30"), "date-not-valid"),
        "a score in German dates": (_set(effectiveDateTime="05.03.2024"), "date-not-valid"),
        "a score before birth": (_set(effectiveDateTime="1949-03-05"), "date-implausible"),
        "a score without a date": (_drop("effectiveDateTime"), "date-missing"),
        "a score of nobody": (_drop("subject"), "subject-missing"),
        "a score of a group": (_set(subject={"reference": "Group/g"}), "subject-not-patient"),
        "a score of an identifier that nobody has": (
            _set(subject={"identifier": {"system": MRN, "value": "9999"}}), "subject-unresolved"),
        "a score of a place that is no lesion": (
            lambda one, draw: (one.pop("focus", None), one.pop("partOf", None),
                               one.update(bodySite=concept(SCT, "72696002"))), "site-other-than-lesion"),
        "a score of a structure that is not there": (
            lambda one, draw: (one.pop("partOf", None),
                               one.update(focus=[{"reference": "BodyStructure/gone"}])),
            "reference-unresolved"),
    },
)  # fmt: skip
_enter(
    is_course,
    {
        "a dose in rad": (_dosed(_gy(2400, "rad", "rad")), "dose-unit-not-recognised"),
        "an EQD2 as the dose": (_dosed(_gy(60, "EQD2Gy(a/b=10)")), "dose-unit-not-recognised"),
        "a proton dose": (_dosed(_gy(24, "Gy(RBE)")), "dose-unit-not-recognised"),
        "a dose of 24 cGy": (_dosed(_gy(24, "cGy", "cGy")), "dose-unit-implausible"),
        "a dose below 0": (_dosed(_gy(-24)), "dose-implausible"),
        "a dose of 150 Gy": (_dosed(_gy(150)), "dose-implausible"),
        "a dose as quoted text": (_dosed(_gy("24")), "resource-unreadable dose-missing"),
        "more than a dose": (_dosed(_gy(24) | {"comparator": ">"}), "value-not-usable"),
        "a dose of which no unit fits": (_dosed({"value": 99999}), "dose-unit-missing"),
        "no dose": (_part("totalDoseDelivered"), "dose-missing"),
        "8.5 fractions": (_part("fractionsDelivered", valueUnsignedInt=8.5), "fractions-not-integer"),
        "no fractions": (_part("fractionsDelivered"), "fractions-missing"),
        "0 fractions": (_part("fractionsDelivered", valueUnsignedInt=0), "course-not-delivered"),
        "a course not done": (_set(status="not-done"), "course-not-delivered"),
        "a course in error": (_set(status="entered-in-error"), "status-entered-in-error"),
        "a course without a date": (_drop("performedPeriod"), "date-missing"),
        "a course on 30 February": (
            _set(performedPeriod={"start": "2024-02-30", "end": "2024-02-30"}), "date-not-valid"),
        "a course that ends before it starts": (
            _set(performedPeriod={"start": "2024-03-05", "end": "2024-03-01"}), "date-implausible"),
        "a course before birth": (
            _set(performedPeriod={"start": "1949-03-05", "end": "1949-03-05"}), "date-implausible"),
        "a course of nobody": (_drop("subject"), "subject-missing"),
        "a course of another patient": (_set(subject=_NOWHERE), ""),
        "a course with an unknown modifier": (
            _set(modifierExtension=[{"url": "urn:not", "valueBoolean": True}]), "modifier-extension-unknown"),
        "a course of unknown status without an end": (
            lambda one, draw: (one.update(status="unknown"), one["performedPeriod"].pop("end")),
            "status-unclear"),
        "a course that still runs": (
            lambda one, draw: (one.update(status="in-progress"), one["performedPeriod"].pop("end")),
            "course-in-progress"),
    },
)  # fmt: skip
_enter(
    is_summary,
    {
        "a volume that is not there": (
            _part("volume", valueReference={"reference": "BodyStructure/gone"}), "site-missing"),
        "a dose without a volume": (_part("volume"), "site-missing"),
    },
)  # fmt: skip
_enter(
    is_volume,
    {
        "a volume without a place or label": (
            lambda one, draw: (one.pop("location"), one.update(identifier=one["identifier"][:1])),
            "site-missing"),
        "a label against the code": (
            lambda one, draw: one["identifier"][-1].update(value=AGAINST), "level-ambiguous"),
        "two vertebrae in one code": (
            _set(location=concept(SCT, VERTEBRAE["T6"][0], VERTEBRAE["L2"][0])), "level-ambiguous"),
        "a thirteenth thoracic vertebra": (
            lambda one, draw: (one.update(location=concept(SCT, "1186895000")),
                               one.update(identifier=one["identifier"][:1])), "level-ambiguous"),
        "a region only": (
            lambda one, draw: (one.update(location=concept(SCT, "421060004")),
                               one.update(identifier=one["identifier"][:1])), "level-unknown"),
        "an organ at risk as the target": (
            _set(morphology=concept(SCT, "1162586008")), "volume-organ-at-risk"),
        "a volume of another patient": (_set(patient=_NOWHERE), "site-missing"),
    },
)  # fmt: skip
_enter(
    is_order,
    {
        "a drug in no table": (
            _set(medicationCodeableConcept=concept(RXNORM, "999999")), "drug-not-recognised"),
        "a drug in words": (_set(medicationCodeableConcept={"text": "Morphine"}), "drug-not-recognised"),
        "an opioid without a factor": (
            _set(medicationCodeableConcept=concept(RXNORM, "1819")), "drug-no-factor"),
        "an opioid without a dose": (
            lambda one, draw: one["dosageInstruction"][0].pop("doseAndRate"), "dosage-incomplete"),
        "a range of doses": (
            _told({"doseRange": {"low": {"value": 5}, "high": {"value": 60}}}), "dosage-incomplete"),
        "an opioid in tablets": (
            _told({"doseQuantity": {"value": 2, "unit": "tablet"}}), "dosage-incomplete"),
        "an opioid at no stated times": (
            lambda one, draw: one["dosageInstruction"][0]["timing"]["repeat"].pop("period"),
            "dosage-incomplete"),
        "an opioid into a vein": (
            lambda one, draw: one["dosageInstruction"][0].update(route=concept(SCT, "47625008")),
            "drug-no-factor"),
        "an order that is a proposal": (_set(intent="proposal"), "status-not-usable"),
        "an order not to give": (_set(doNotPerform=True), "status-not-usable"),
        "an order cancelled": (_set(status="cancelled"), "status-not-usable"),
        "an order of an unreadable not": (_set(doNotPerform="yes"), "resource-unreadable"),
    },
)  # fmt: skip
