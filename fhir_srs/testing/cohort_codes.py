"""The codes that synthetic resources are written with, each from `spec/terminology.csv` unless said.

Typed here a second time on purpose: a cohort made with the mapper's own tables could not find an error
in them.
"""

from typing import Any

Json = dict[str, Any]

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
# Our own CodeSystem: no standard code was found for these scales.
OWN_SCALES = "https://fhir-srs.example.org/CodeSystem/scale"
UCUM = "http://unitsofmeasure.org"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
HL7 = "http://hl7.org/fhir/StructureDefinition/"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"

# Level: (set A of mCODE and TG-263, set B of DICOM), fhir-mapping.md section 3.
LEVEL_CODES: dict[str, tuple[str, str]] = {
    "C1": ("14806007", "14806007"),
    "C2": ("39976000", "39976000"),
    "C3": ("91116008", "113205007"),
    "C4": ("14705001", "5329002"),
    "C5": ("67479001", "36978003"),
    "C6": ("88298007", "36054005"),
    "C7": ("16126006", "87391001"),
    "T1": ("56094003", "64864005"),
    "T2": ("50060007", "53733008"),
    "T3": ("73138009", "1626008"),
    "T4": ("86197001", "73071006"),
    "T5": ("6105006", "56401006"),
    "T6": ("32430008", "45296009"),
    "T7": ("71737002", "62487009"),
    "T8": ("77435000", "11068009"),
    "T9": ("33766003", "82687006"),
    "T10": ("48405002", "7610001"),
    "T11": ("52120002", "12989004"),
    "T12": ("280849005", "23215003"),
    "L1": ("61032001", "66794005"),
    "L2": ("53983007", "14293000"),
    "L3": ("55492004", "36470004"),
    "L4": ("71996003", "11994002"),
    "L5": ("21799000", "49668003"),
    "S1": ("65985001", "65985001"),
    "S2": ("11808007", "11808007"),
}
LEVELS = tuple(LEVEL_CODES)
REQUESTED_SNOMED = "http://hl7.org/fhir/us/mcode/CodeSystem/snomed-requested-cs"
# By region; None is the vertebral column as a whole.
METASTASIS_CODES: dict[str | None, str] = {
    None: "94602001",
    "cervical": "94250008",
    "thoracic": "94274006",
    "lumbar": "94389000",
    "sacral": "94527001",
}
SURGICAL_SRS = {1: ("447704003", "115959002"), 2: ("447912004", "115959002")}
# Primary tumours: SNOMED CT and ICD-10-CM, site; well-known codes, read by no rule of ours.
PRIMARIES = {
    "breast": ("254837009", "C50.919", "Malignant neoplasm of breast"),
    "prostate": ("399068003", "C61", "Malignant neoplasm of prostate"),
    "lung": ("254637007", "C34.90", "Non-small cell lung cancer"),
    "kidney": ("363518003", "C64.9", "Malignant tumor of kidney"),
}
RXNORM_CODES = {
    "morphine": "7052",
    "oxycodone": "7804",
    "hydromorphone": "3423",
    "tramadol": "10689",
    "acetaminophen": "161",
}
# Answer codes of LOINC 72514-3 for 0 to 10.
PAIN_ANSWERS = (
    "LA6111-4",
    "LA6112-2",
    "LA6113-0",
    "LA6114-8",
    "LA6115-5",
    "LA10137-0",
    "LA10138-8",
    "LA10139-6",
    "LA10140-4",
    "LA10141-2",
    "LA13942-0",
)


def concept(system: str, code: str, display: str | None = None, text: str | None = None) -> Json:
    """A CodeableConcept with one coding."""
    coding = {"system": system, "code": code}
    if display is not None:
        coding["display"] = display
    return {"coding": [coding]} | ({} if text is None else {"text": text})


def quantity(value: float, unit: str, code: str | None = None) -> Json:
    """A UCUM Quantity; *code* is *unit* where they are spelt alike."""
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def extension(url: str, kind: str, value: Any) -> Json:
    """An Extension with one value[x]; *kind* is the name of the element, `valueReference`."""
    return {"url": url, kind: value}
