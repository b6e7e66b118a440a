"""Vertebral levels as one bodySite: code set A of `terminology.csv` (mCODE location set, TG-263 map)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fhir_srs.codes import SNOMED
from fhir_srs.model import Region
from fhir_srs.results.terms import coding

# SNOMED CT codes; the display is as in that set.
LEVELS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "C1": ("14806007", "Bone structure of atlas (body structure)"),
        "C2": ("39976000", "Bone structure of axis (body structure)"),
        "C3": ("91116008", "Structure of body of third cervical vertebra (body structure)"),
        "C4": ("14705001", "Structure of body of fourth cervical vertebra (body structure)"),
        "C5": ("67479001", "Structure of body of fifth cervical vertebra (body structure)"),
        "C6": ("88298007", "Structure of body of sixth cervical vertebra (body structure)"),
        "C7": ("16126006", "Structure of body of seventh cervical vertebra (body structure)"),
        "T1": ("56094003", "Structure of body of first thoracic vertebra (body structure)"),
        "T2": ("50060007", "Structure of body of second thoracic vertebra (body structure)"),
        "T3": ("73138009", "Structure of body of third thoracic vertebra (body structure)"),
        "T4": ("86197001", "Structure of body of fourth thoracic vertebra (body structure)"),
        "T5": ("6105006", "Structure of body of fifth thoracic vertebra (body structure)"),
        "T6": ("32430008", "Structure of body of sixth thoracic vertebra (body structure)"),
        "T7": ("71737002", "Structure of body of seventh thoracic vertebra (body structure)"),
        "T8": ("77435000", "Structure of body of eighth thoracic vertebra (body structure)"),
        "T9": ("33766003", "Structure of body of ninth thoracic vertebra (body structure)"),
        "T10": ("48405002", "Structure of body of tenth thoracic vertebra (body structure)"),
        "T11": ("52120002", "Structure of body of eleventh thoracic vertebra (body structure)"),
        "T12": ("280849005", "Structure of body of twelfth thoracic vertebra (body structure)"),
        "T13": ("1186895000", "Structure of body of thirteenth thoracic vertebra (body structure)"),
        "L1": ("61032001", "Structure of body of first lumbar vertebra (body structure)"),
        "L2": ("53983007", "Structure of body of second lumbar vertebra (body structure)"),
        "L3": ("55492004", "Structure of body of third lumbar vertebra (body structure)"),
        "L4": ("71996003", "Structure of body of fourth lumbar vertebra (body structure)"),
        "L5": ("21799000", "Structure of body of fifth lumbar vertebra (body structure)"),
        "S1": ("65985001", "Structure of first sacral vertebra (body structure)"),
        "S2": ("11808007", "Structure of second sacral vertebra (body structure)"),
        "S3": ("49967005", "Structure of third sacral vertebra (body structure)"),
        "S4": ("69950008", "Structure of fourth sacral vertebra (body structure)"),
        "S5": ("21452006", "Structure of fifth sacral vertebra (body structure)"),
    }
)

REGIONS: Mapping[Region, tuple[str, str]] = MappingProxyType(
    {
        "cervical": ("122494005", "Structure of cervical vertebral column"),
        "thoracic": ("35769007", "Bone structure of thoracic vertebra (body structure)"),
        "lumbar": ("73903008", "Bone structure of lumbar vertebra (body structure)"),
        "sacral": ("87141009", "Sacral vertebra structure (body structure)"),
    }
)


def body_site(levels: Sequence[str], region: Region | None) -> dict[str, Any] | None:
    """
    One CodeableConcept for *levels*: the level, or a range as text with the code of its region.

    None where neither a level nor a region is known.

    >>> body_site(["T8"], "thoracic")["coding"][0]["code"], body_site(["T8", "T9"], "thoracic")["text"]
    ('77435000', 'T8-T9')
    """
    if len(levels) == 1 and levels[0] in LEVELS:
        code, display = LEVELS[levels[0]]
        return {"coding": [coding(SNOMED, code, display)], "text": levels[0]}
    text = {"text": f"{levels[0]}-{levels[-1]}" if len(levels) > 1 else levels[0]} if levels else {}
    if region is None:
        return text or None
    code, display = REGIONS[region]
    return {"coding": [coding(SNOMED, code, display)], **text}
