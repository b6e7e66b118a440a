"""docs/mapping.md: how a site adds its codes, and every drawn case of mapping in tests/spec as a table."""

import csv
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from fhir_srs.mapping.grammar import TEXT_SETS, Known
from fhir_srs.mapping.standards import standard_sets
from tests.unit.mapping_given import volume

ROOT = Path(__file__).parent.parent


class Case(NamedTuple):
    """What arrives, what is taken of it, and the reasons that are given, `not used: ` before some."""

    arrives: Any
    taken: str
    reasons: Collection[str]


def _listed(row: Any) -> Case:
    """(resource or resources, what is taken, reasons)."""
    arrives, taken, reasons = row
    return Case(arrives, ", ".join([taken] if isinstance(taken, str) else taken), reasons)


def _refused(row: Any) -> Case:
    return Case(row[0], "", [f"not used: {row[1]}"])


def _other(row: Any) -> Case:
    return Case(row, "another kind of data: counted as ignored", ())


def _linked(row: Any) -> Case:
    hints, level, rung, reasons = row
    return Case(hints, "the patient" if level == "-" else f"{level}, by `{rung}`", reasons)


def _pressed(row: Any) -> Case:
    conditions, reason, levels, reasons = row
    return Case([*conditions, *([{"Procedure of T8": reason}] if reason else [])], ", ".join(levels), reasons)


def _spell(row: Any) -> Case:
    return Case(row[0], ", ".join(row[1]), ())


def _dated(row: Any) -> Case:
    return Case(row[0], "no first day" if not row[1] & {"date-partial"} else "a range of days", row[1])


def _death(row: Any) -> Case:
    deceased, deaths, of_patient, of_record = row
    return Case(deceased, ", ".join(deaths), sorted(of_patient | of_record))


def _level(row: Any) -> Case:
    code, label, expected, reasons = row
    told = {"location": code} if code else {}
    return Case(told | ({"label": label} if label else {}), expected, reasons)


def _dose(row: Any) -> Case:
    quantity, gray, reason = row
    return Case(
        {"totalDoseDelivered": quantity}, f"{gray} Gy" if gray != "?" else "null", [reason] if reason else []
    )


# Module and table of tests/spec, heading, what is to be known of all its cases, how a row is read.
TABLES: tuple[tuple[str, str, str, str, Callable[[Any], Case]], ...] = (
    ("test_course_records", "COURSES", "Which Procedures are courses",
     "Taken: `levels dose x fractions technique` of each lesion, `?` for what cannot be known, the day where "
     "it is not 5 March 2024.", _listed),
    ("test_course_records", "TECHNIQUES", "Whether it is radiosurgery", "", _listed),
    ("test_course_records", "TARGETS", "Targets, dose and fractions",
     "Volume v is a PTV at T8. Doses of volumes are never added up.", _listed),
    ("test_course_records", "DOSES", "Units of dose", "Of one volume in three fractions.", _dose),
    ("test_course_records", "LEVELS", "Vertebral levels",
     "A location is a SNOMED CT code of either set, or a TG-263 name; the label is the volume's identifier "
     "of use `usual`.", _level),
    ("test_course_records", "STATES", "Status, days and copies of a course", "", _listed),
    ("test_links", "ROWS", "Which lesion a record belongs to",
     "A score of a patient with lesions at T8 and L2. Strongest rung first: focus, volume extension, body "
     "structure extension, part of the course, level, region, condition. Rungs narrow, they never pick.",
     _linked),
    ("test_pain_records", "SHAPES", "Pain: what is a score",
     "On 1 April 2024 under LOINC 72514-3, unless told.", _listed),
    ("test_pain_records", "NONE", "Pain: what is no score", "", _refused),
    ("test_pain_records", "OTHER", "Another kind of data", "", _other),
    ("test_medication_records", "DOSES", "Opioids: how much a day",
     "Oral morphine equivalent in mg/d by the table CDC 2022; 30 mg twice a day unless told; `?` leaves the "
     "OMED of those days unknown.", _listed),
    ("test_medication_records", "SPELLS", "Opioids: from when to when", "`first..last mg/day`.", _spell),
    ("test_medication_records", "DATES", "Opioids: days that cannot be", "", _dated),
    ("test_medication_records", "BARRED", "Opioids: neither ordered nor taken", "", _refused),
    ("test_clinical_records", "ROWS",
     "Disease status, performance, neurology, imaging, fracture, surgery, toxicity, death, contact",
     "Taken: `kind day value flags`; `@T8` is linked to the lesion there.", _listed),
    ("test_spine_records", "ROWS", "Epidural disease, stability, tumour size, response",
     "Imaging events at the lesion.", _listed),
    ("test_clinical_records", "PRIMARIES", "Primary and histology of a lesion",
     "The lesion was treated for the Condition met. Taken: the primary by its group, and the histology.",
     _listed),
    ("test_clinical_records", "CORD", "Cord compression",
     "Of lesions at T8 and L2, treated in a course each.", _pressed),
    ("test_clinical_records", "DATES", "Days of a record", "", _listed),
    ("test_clinical_records", "DEATHS", "Death of a patient whom an Observation has dead on 1 April 2024",
     "", _death),
)  # fmt: skip
INTRODUCTION = """# Mapping

Generated by `make docs` from what runs: `mappings/README.md`, the sets of the terminology tables, and the
drawn cases of `tests/spec/`, each of which is a test. The rules are those of `spec/fhir-mapping.md`; choices
of ours that a clinician could dispute are in [decisions](decisions/README.md); what each reason means is in
[issue reasons](issues.md).

What every map tells you: each resource read is used, ignored as another kind of data, or refused with a
reason, and the three add up. `fhir-srs profile explain SOURCE` says it resource by resource.

"""
# What may stand out of a row: it is the same in all cases of its table.
USUAL = {
    "status": ("final", "completed", "active"),
    "effectiveDateTime": ("2024-04-01",),
    "onsetDateTime": ("2024-04-01",),
    "performedDateTime": ("2024-04-01",),
    "date": ("2024-04-01",),
    "started": ("2024-04-01",),
    "authoredOn": ("2024-03-01",),
    "actuality": ("actual",),
    "intent": ("order",),
    "performedPeriod": ({"start": "2024-03-05", "end": "2024-03-05"},),
}
NAMES = {
    "http://snomed.info/sct": "SNOMED",
    "http://loinc.org": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://www.ama-assn.org/go/cpt": "CPT",
    "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl": "NCIt",
    "http://dicom.nema.org/resources/ontology/DCM": "DCM",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM",
    "http://terminology.hl7.org/CodeSystem/data-absent-reason": "data-absent-reason",
    "http://terminology.hl7.org/CodeSystem/v2-0074": "v2-0074",
    "http://hl7.org/fhir/us/mcode/CodeSystem/snomed-requested-cs": "snomed-requested-cs",
    "https://fhir-srs.example.org/CodeSystem/scale": "scale",
}
# The same of all resources; a volume that is only v, a PTV at T8, is left out whole.
BARE = {"resourceType", "id", "subject", "patient"}


def mapping(_: str) -> str:
    """The whole page."""
    readme = (ROOT / "mappings" / "README.md").read_text(encoding="utf-8")
    own = readme.partition("## In ten minutes")[2].partition("## Profiles that come")[0]
    parts = [
        INTRODUCTION
        + "## Your own codes, in ten minutes"
        + own.partition("\n")[0].replace(": a local pain code", "")
    ]
    parts += [own.partition("\n")[2].rstrip() + "\n", *_sets()]
    for module, name, title, known, read in TABLES:
        table = getattr(import_module(f"tests.spec.{module}"), name)
        parts += [f"## {title}\n", *([f"{known}\n"] if known else []), *_drawn(table, read), ""]
    return "\n".join(parts).rstrip("\n") + "\n"


def _sets() -> Iterator[str]:
    known = Known(standard_sets())
    yield "## Sets of codes, and what their codes may mean\n"
    yield (
        "For `set` and `meaning` of `[[codes]]`; a meaning may be left out where a set has only one. "
        f"`[[text_rules]]` may stand for {', '.join(f'`{one}`' for one in TEXT_SETS)}.\n"
    )
    yield from (_row(["set", "meanings"]), _row(["---"] * 2))
    for name in sorted(known.sets):
        meanings = known.meanings(name)
        yield _row(
            [f"`{name}`", ", ".join(f"`{one}`" for one in meanings if one) or "any name; it is passed on"]
        )
    yield ""


def _drawn(table: Mapping[str, Any], read: Callable[[Any], Case]) -> Iterator[str]:
    yield from (_row(["case", "what arrives", "what we take", "why"]), _row(["---"] * 4))
    for name, row in table.items():
        case = read(row)
        yield _row([name, _shape(case.arrives), case.taken or "nothing", _why(case.reasons)])


def _why(reasons: Collection[str]) -> str:
    return " ".join(f"`{one}` {_documentation()[one.removeprefix('not used: ')]}" for one in sorted(reasons))


@lru_cache
def _documentation() -> Mapping[str, str]:
    with (ROOT / "mappings" / "issues.csv").open(encoding="utf-8", newline="") as file:
        return {row["reason"]: row["documentation"] for row in csv.DictReader(file)}


def _shape(arrives: Any) -> str:
    """*arrives* as a reader of FHIR would say it, without what is the same in all rows."""
    if isinstance(arrives, list):
        told = [_shape(one) for one in arrives if one != volume("v")]
        return "<br>".join(told) or "nothing"
    kind = arrives.get("resourceType", "")
    named = kind + (f" {arrives['id']}" if kind in ("BodyStructure", "Procedure") else "")
    parts = [f"{key} {_value(value)}" for key, value in arrives.items() if not _is_usual(key, value)]
    return ": ".join(filter(None, [named, "; ".join(parts)])) or "nothing"


def _is_usual(key: str, value: Any) -> bool:
    return key in BARE or value is None or value in USUAL.get(key, ()) or value == []


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if not isinstance(value, dict):
        return (
            f"`{value}`"
            if isinstance(value, str)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )
    for key, write in (
        ("coding", _concept),
        ("url", _extension),
        ("value", _quantity),
        ("reference", _reference),
    ):
        if key in value:
            return write(value)
    return "{" + ", ".join(f"{key} {_value(one)}" for key, one in value.items()) + "}"


def _concept(concept: Mapping[str, Any]) -> str:
    codes = [
        f"{NAMES.get(one.get('system'), one.get('system', ''))} {one.get('code', '')}"
        for one in concept["coding"]
    ]
    shown = [f"“{one['display']}”" for one in concept["coding"] if "display" in one]
    text = [f"“{concept['text']}”"] if "text" in concept else []
    inside = [_value(one) for one in concept.get("extension", [])]
    return " ".join([" + ".join(f"`{one}`" for one in codes), *shown, *text, *inside])


def _extension(extension: Mapping[str, Any]) -> str:
    name = extension["url"].rpartition("/")[2].removeprefix("mcode-").removeprefix("codexrt-")
    rest = [one for key, one in extension.items() if key != "url"]
    inside = ", ".join(map(_value, rest))
    return (
        f"{name.removeprefix('radiotherapy-')} ({inside})" if "extension" in extension else f"{name} {inside}"
    )


def _quantity(quantity: Mapping[str, Any]) -> str:
    unit = quantity.get("unit") or quantity.get("code") or ""
    if "use" in quantity or "type" in quantity:
        return f"`{quantity['value']}`"
    return f"{quantity.get('comparator', '')}{quantity['value']} {unit}".strip()


def _reference(reference: Mapping[str, Any]) -> str:
    return f"`{reference['reference']}`"


def _row(cells: Sequence[str]) -> str:
    clean = (re.sub(r"\s+", " ", cell).replace("|", "\\|").replace("<div", "&lt;div") for cell in cells)
    return "| " + " | ".join(clean) + " |"
