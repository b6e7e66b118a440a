"""Biologically effective dose by the linear-quadratic model (spec/endpoints.md section 13).

Physical dose comes first: above about 10 Gy a fraction the model says too much, and the label does too.
"""

from decimal import Decimal

# Tumour and early effects, late effects, spinal cord: Gy (spec/endpoints.md source 35).
ALPHA_BETA = {"tumour": Decimal(10), "late": Decimal(3), "cord": Decimal(2)}
EXTRAPOLATED_ABOVE = Decimal(10)


def bed(fractions: int, per_fraction: Decimal, alpha_beta: Decimal) -> Decimal:
    """BED in Gy: n d (1 + d/(a/b)).

    >>> bed(1, Decimal(16), Decimal(10))
    Decimal('41.6')
    """
    return fractions * per_fraction * (1 + per_fraction / alpha_beta)


def eqd2(fractions: int, per_fraction: Decimal, alpha_beta: Decimal) -> Decimal:
    """The dose in Gy that does the same in fractions of 2 Gy: BED / (1 + 2/(a/b))."""
    return bed(fractions, per_fraction, alpha_beta) / (1 + 2 / alpha_beta)
