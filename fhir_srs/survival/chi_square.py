"""A score and its covariance as a chi-square test (`spec/statistics.md` sections 1 and 8).

The statistic is U' V^- U with any generalised inverse: it does not depend on which group is left out, and
groups that are never compared drop out of the degrees of freedom, which are the rank of V.
"""

import numpy as np
from msgspec.structs import replace

from fhir_srs.model import TestResult
from fhir_srs.survival.rows import Floats

# An eigenvalue of a correlation matrix below this is rounding.
RANK = 1e-10


def no_test(base: TestResult, reason: str) -> TestResult:
    """*base* as a test that cannot be made, and why."""
    return replace(base, status="not-estimable", reason=reason)


def chi_square(base: TestResult, score: Floats, covariance: Floats, nothing: str) -> TestResult:
    """The test of *score* = 0; not estimable for the reason *nothing* where its covariance is 0."""
    from scipy.special import chdtrc

    statistic, df = quadratic(score, covariance)
    if not df:
        return no_test(base, nothing)
    return replace(
        base,
        statistic=statistic,
        df=df,
        p=float(chdtrc(df, statistic)),
        score=tuple(score.tolist()),
        covariance=tuple(map(tuple, covariance.tolist())),
    )


def quadratic(score: Floats, covariance: Floats) -> tuple[float, int]:
    """U' V^- U and the rank of V; groups without variance drop out."""
    variance = np.diag(covariance)
    taken = variance > RANK**2 * max(variance.max(initial=0.0), 0.0)
    if not taken.any():
        return 0.0, 0
    scale = 1 / np.sqrt(variance[taken])
    values, vectors = np.linalg.eigh(covariance[np.ix_(taken, taken)] * np.outer(scale, scale))
    kept = values > RANK * values[-1]
    along = vectors[:, kept].T @ (score[taken] * scale)
    return float(np.sum(along**2 / values[kept])), int(kept.sum())
