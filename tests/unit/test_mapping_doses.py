"""Dose units: every row of the table in fhir-mapping.md section 6."""

from decimal import Decimal

import msgspec
import pytest

from fhir_srs import r4
from fhir_srs.mapping.doses import read_dose

UCUM = "http://unitsofmeasure.org"


def quantity(value, unit=None, code=None, system=UCUM, comparator=None):
    raw = msgspec.Raw(value.encode())
    return r4.Quantity(
        value=raw, unit=unit, code=code, system=system if code else None, comparator=comparator
    )


@pytest.mark.parametrize(
    ("given", "fractions", "gy", "reasons"),
    [
        (quantity("24", "Gy", "Gy"), 3, "24", ()),
        (quantity("2400", "cGy", "cGy"), 3, "24", ()),
        (quantity("2450", "centigray", "cGy"), 3, "24.5", ()),
        (quantity("18.10", None, "Gy"), 1, "18.10", ()),
        (quantity("2400", "cGY", "cGY"), 3, "24", ("dose-unit-uncoded",)),
        (quantity("24", "GY", "GY"), 3, "24", ("dose-unit-uncoded",)),
        (quantity("24", "Gy"), 3, "24", ("dose-unit-uncoded",)),
        (quantity("2400", "cGy"), 3, "24", ("dose-unit-uncoded",)),
        (quantity("24", "Gray"), 3, "24", ("dose-unit-uncoded",)),
        (quantity("2400", "cGy", "cGy", system=None), 3, "24", ("dose-unit-uncoded",)),
        (quantity("24"), 3, "24", ("dose-unit-missing",)),
        (quantity("2400"), 3, "24", ("dose-unit-missing",)),
        (quantity("24"), None, None, ("dose-unit-missing",)),
        (quantity("200"), 3, None, ("dose-unit-missing",)),
        (quantity("0.5"), 1, None, ("dose-unit-missing",)),
        (quantity("2400", "Gy", "Gy"), 3, "24", ("dose-unit-implausible",)),
        (quantity("24", "cGy", "cGy"), 3, None, ("dose-unit-implausible",)),
        (quantity("24", "rad", "rad"), 3, None, ("dose-unit-not-recognised",)),
        (quantity("24", "mg", "mg"), 3, None, ("dose-unit-not-recognised",)),
        (quantity("60", "EQD2Gy(a/b=2.5)", "Gy"), 3, None, ("dose-unit-not-recognised",)),
        (quantity("60", "Gy BED10", "Gy"), 3, None, ("dose-unit-not-recognised",)),
        (quantity("60", "CGE", "Gy"), 3, None, ("dose-unit-not-recognised",)),
        (quantity("60", "Gy(RBE)", "Gy"), 3, None, ("dose-unit-not-recognised",)),
        (quantity("150", "Gy", "Gy"), 3, None, ("dose-implausible",)),
        (quantity("0.5", "Gy", "Gy"), 3, None, ("dose-implausible",)),
        (quantity("-24", "Gy", "Gy"), 3, None, ("dose-implausible",)),
        (quantity("24", "Gy", "Gy", comparator=">"), 3, None, ("value-not-usable",)),
        (quantity('"24"', "Gy", "Gy"), 3, None, ("dose-missing",)),
        (None, 3, None, ("dose-missing",)),
    ],
)
def test_a_dose_is_read_in_gray_or_is_null_with_its_reason(given, fractions, gy, reasons):
    found = read_dose(given, fractions)
    assert (found.gy, found.reasons) == (gy if gy is None else Decimal(gy), reasons)
    assert gy is None or str(found.gy) == gy
