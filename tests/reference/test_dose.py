"""BED and EQD2 against the table of spec/endpoints.md section 13 (calculators' formulas, its source 35)."""

from decimal import Decimal

import pytest

from fhir_srs.endpoints.dose import ALPHA_BETA, bed, eqd2

# Fractions, Gy a fraction, then BED and EQD2 at a/b 10, 3 and 2.
TABLE = """
1 8  14.4 12.0 29.3 17.6 40.0 20.0
1 10 20.0 16.7 43.3 26.0 60.0 30.0
1 12 26.4 22.0 60.0 36.0 84.0 42.0
1 14 33.6 28.0 79.3 47.6 112.0 56.0
1 16 41.6 34.7 101.3 60.8 144.0 72.0
1 18 50.4 42.0 126.0 75.6 180.0 90.0
1 24 81.6 68.0 216.0 129.6 312.0 156.0
2 12 52.8 44.0 120.0 72.0 168.0 84.0
3 8  43.2 36.0 88.0 52.8 120.0 60.0
3 9  51.3 42.8 108.0 64.8 148.5 74.2
5 6  48.0 40.0 90.0 54.0 120.0 60.0
5 4  28.0 23.3 46.7 28.0 60.0 30.0
10 3 39.0 32.5 60.0 36.0 75.0 37.5
"""
ROWS = [tuple(map(Decimal, line.split())) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}x{row[1]}")
def test_every_schedule_of_the_table_to_the_digit_printed(row: tuple[Decimal, ...]) -> None:
    fractions, dose, *expected = row
    found = [
        function(int(fractions), dose, ratio) for ratio in ALPHA_BETA.values() for function in (bed, eqd2)
    ]
    for value, printed in zip(found, expected, strict=True):
        assert abs(value - printed) <= Decimal("0.0501"), (value, printed)
