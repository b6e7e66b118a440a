"""Data with known results: the worked example of spec/statistics.md section 12.4, and Freireich 1963."""

import numpy as np

PATIENT = [int(x) for x in "1 1 2 3 3 3 4 5 6 6 7 8 9 10 10 11 12 12 13 14".split()]
DAYS = [int(x) for x in "3 5 5 2 8 11 5 9 12 12 7 14 4 8 16 20 0 9 18 11".split()]
STATUS = [int(x) for x in "1 1 0 2 2 1 1 1 0 1 2 0 1 1 0 0 1 2 1 0".split()]
X = [int(x) for x in "0 0 1 0 0 0 1 1 1 1 0 1 0 1 1 1 0 0 1 1".split()]
Z = [int(x) for x in "3 1 2 5 4 6 2 1 3 4 6 2 5 3 1 2 6 4 2 3".split()]
EVENT = [status == 1 for status in STATUS]

# Freireich et al., Blood 1963;21:699: remission in weeks, + is censored.
SIX_MP = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+".split()
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23".split()


def freireich(rows):
    """Weeks, and whether remission ended then."""
    return [int(row.rstrip("+")) for row in rows], [not row.endswith("+") for row in rows]


def both_arms():
    """Weeks, events and arm of all 42."""
    weeks, event = freireich(SIX_MP + PLACEBO)
    return weeks, event, ["6-MP"] * 21 + ["placebo"] * 21


def drawn(seed, rows=60, patients=25, last=20):
    """Days with many ties, a status of each kind, and patients with several rows."""
    generator = np.random.default_rng(seed)
    days, status = generator.integers(0, last, rows), generator.integers(0, 3, rows)
    return days, status, generator.integers(0, patients, rows)


def weighted_survival(days, failed, weights, until):
    """Kaplan-Meier with case weights, written for nothing but to be differentiated."""
    survival = 1.0
    for day in sorted({int(d) for d in days if d <= until}):
        at_risk = sum(w for d, w in zip(days, weights, strict=True) if d >= day)
        events = sum(w for d, f, w in zip(days, failed, weights, strict=True) if d == day and f)
        survival = survival * (1 - events / at_risk)
    return survival


def clustered_error(estimate, rows, patient):
    """The infinitesimal jackknife by the complex step in one case weight at a time."""
    totals = {}
    for row in range(rows):
        weights = np.ones(rows, dtype=complex)
        weights[row] += 1e-30j
        totals[patient[row]] = totals.get(patient[row], 0.0) + estimate(weights).imag / 1e-30
    return np.sqrt(sum(total**2 for total in totals.values()))
