"""Proportional hazards regression with patient-clustered errors (`spec/statistics.md` section 9).

`cox` lives here, with what any regression by a partial likelihood needs: rows standardised and put into
blocks, Newton's method with its refusals, and the sandwich. Numpy alone: lifelines' clustered errors are
wrong with ties, and over a hundred times slower at 1e5 rows (`spec/statistics.md` 12.2).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from fhir_srs.errors import UsageError
from fhir_srs.model import Fit, TestResult
from fhir_srs.survival.chi_square import RANK
from fhir_srs.survival.exits import NOISE
from fhir_srs.survival.interval import upper_share
from fhir_srs.survival.proportionality import Fitted, Transform, proportionality
from fhir_srs.survival.risk_sets import Block, Likelihood, Ties, block, information, likelihood, residuals
from fhir_srs.survival.rows import (
    Bools,
    Column,
    Floats,
    Ints,
    Reader,
    by_patient,
    ordered,
    parts,
    read_covariates,
)

STEP = 1e-10  # Newton has arrived when a step is this small, relative to 1 + |beta|
RUNAWAY = 15.0  # |beta| times the covariate's standard deviation: no finite maximum
STEPS, HALVINGS = 200, 60
SETTLED = 10  # Newton steps after which an overshoot is no longer to be expected
FEW = 10  # events for each covariate; below it a fit is flagged


class CoxFit(Fit, frozen=True, kw_only=True):
    """A Cox regression. What is printed of it are the fields of `Fit`; `plain` has them alone."""

    fitted: Fitted | None = None

    def plain(self) -> Fit:
        """The fit as a plain value that can be written as JSON."""
        return Fit(**{name: getattr(self, name) for name in Fit.__struct_fields__})

    def proportional_hazards(self, transform: Transform = "km") -> dict[str, TestResult]:
        """
        Whether each effect changes with time, by covariate and `global`; it ignores clustering.

        The score test of an added covariate times g(t) (Grambsch and Therneau 1994, exact form).
        *transform* is g: `km` 1-S(t-) of all rows, `identity`, `log`, or `rank`, the mean rank of t among
        all times. Not estimable where the fit is not, or all events that inform fall on one day.
        """
        return proportionality(self.names, self.fitted, transform, self.plain())


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The rows of a regression in canonical order, their covariates centred and divided by *scale*."""

    names: tuple[str, ...]
    days: Ints
    status: Ints
    z: Floats
    scale: Floats
    patient: Ints
    clusters: int
    strata: list[slice]


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Where Newton's method ended: the coefficients, or the reason why there are none."""

    beta: Floats
    at: Sequence[Likelihood] = ()
    information: Floats | None = None
    reason: str | None = None


def cox(
    days: Column,
    event: Column,
    covariates: Mapping[str, Column],
    cluster: Column | None = None,
    strata: Column | None = None,
    ties: Ties = "efron",
    *,
    level: float = 0.95,
) -> CoxFit:
    """
    Cox 1972 regression of the hazard of *event* on *covariates* (name to finite numbers).

    Tied events by Efron 1977, or Breslow 1974. *std_error* is the sandwich over patients of Lin and Wei
    1989, Lee, Wei and Amato 1992; without *cluster* each row is its own patient. Intervals are Wald's with
    the normal quantile, on the log hazard scale. *strata* have baseline hazards of their own.

    No row, no event, a covariate that does not vary or depends on others, or a coefficient that runs off
    (monotone likelihood) make the fit not estimable; one patient leaves the coefficients without errors.
    Under 10 events a covariate is flagged `few-events`. Raises `RowError` with every bad row.

    >>> fit = cox([5, 8, 13, 21], [True, True, True, False], {"dose": [16, 20, 18, 24]})
    >>> fit.names, fit.events
    (('dose',), 3)
    """
    if ties not in ("efron", "breslow"):
        raise UsageError("ties are treated by efron or breslow")
    design = read_design(days, event, covariates, cluster, strata, causes=1)
    method = f"Cox, {ties.capitalize()} ties{_layers(design)}; {_sandwich(cluster)}"
    base = blank(design, int(design.status.sum()), method, level)
    blocks = [
        (inside, block(design.days[inside], died, design.z[inside], ties))
        for inside in design.strata
        if (died := design.status[inside] == 1).any()
    ]
    figures, found = fit(base, design, blocks)
    known = CoxFit(**{name: getattr(figures, name) for name in Fit.__struct_fields__})
    if figures.status != "estimated":
        return known
    every = [one for _, one in blocks]
    days_of = [design.days[inside][one.first[one.event_day]] for inside, one in blocks]
    return replace(known, fitted=Fitted(design.days, design.status, days_of, every, found.at))


def read_design(
    days: Column,
    status: Column,
    covariates: Mapping[str, Column],
    cluster: Column | None,
    strata: Column | None,
    *,
    causes: int,
) -> Design:
    """The columns of a regression, checked, in order of stratum, days, status, patient and covariates."""
    reader = Reader()
    whole = reader.days(days)
    ended = reader.codes(status, "event" if causes == 1 else "status", causes)
    z = read_covariates(reader, covariates, len(whole))
    layers = reader.labels(strata, "strata", len(whole))
    patient, clusters = reader.clusters(cluster, len(whole))
    if "global" in covariates:
        reader.fault("a covariate must not be called global: that is the name of a test")
    reader.done()
    order = ordered(layers.numbers, whole, ended, *(() if cluster is None else (patient,)), last=z)
    centred = z[order] - (z[order].mean(axis=0) if len(z) else 0.0)
    most = np.abs(centred).max(axis=0, initial=0.0)
    varies = most > NOISE * np.abs(z).max(axis=0, initial=0.0)
    unit = np.where(varies, most, 1.0)
    scale = unit * np.sqrt(np.mean((centred / unit) ** 2, axis=0)) * varies if len(z) else most
    return Design(
        names=tuple(covariates),
        days=whole[order],
        status=ended[order],
        z=centred / np.where(scale > 0, scale, 1.0),
        scale=scale,
        patient=patient if cluster is None else patient[order],
        clusters=clusters,
        strata=parts(layers.numbers[order], layers.count),
    )


def blank(design: Design, events: int, method: str, level: float) -> Fit:
    """The fit before it is made: counts, method and warnings."""
    upper_share(level)
    few = 0 < events < FEW * len(design.names)
    return Fit(
        names=design.names,
        level=level,
        n=len(design.days),
        clusters=design.clusters,
        events=events,
        method=method,
        flags=(f"few-events ({events} for {len(design.names)} covariates)",) if few else (),
    )


def fit(base: Fit, design: Design, blocks: list[tuple[slice, Block]]) -> tuple[Fit, Maximum]:
    """*base* with coefficients and errors, or not estimable with the reason; and where the maximum lies."""
    found = _refused(design, blocks) or maximise(
        lambda beta: [likelihood(one, beta) for _, one in blocks], [one for _, one in blocks], design.names
    )
    if found.reason or found.information is None:
        return _without(base, found.reason or ""), found
    psi = np.zeros_like(design.z)
    for (inside, one), at in zip(blocks, found.at, strict=True):
        psi[inside] = residuals(one, at)
    inverse = np.linalg.inv(found.information)
    influence = psi @ inverse
    summed = np.sum(by_patient(influence, design.patient, design.clusters) ** 2, axis=0)
    modelled = np.diag(inverse)
    known = (summed > NOISE * np.maximum(np.sum(influence**2, axis=0), modelled)) & (design.clusters > 1)
    fitted = replace(
        base,
        coef=_floats(found.beta / design.scale),
        model_error=_floats(np.sqrt(modelled) / design.scale),
        loglik=float(sum(at.loglik for at in found.at)),
    )
    return _wald(fitted, found.beta / design.scale, np.sqrt(summed) / design.scale, known), found


def maximise(
    evaluate: Callable[[Floats], list[Likelihood]], blocks: list[Block], names: tuple[str, ...]
) -> Maximum:
    """
    The maximum of the partial likelihood by Newton's method from 0, with step halving.

    Covariates have unit size, so that a coefficient beyond `RUNAWAY` means monotone likelihood; so does
    information that has vanished in some direction.
    """
    beta = np.zeros(len(names))
    at = evaluate(beta)
    start = info = _information(blocks, at)
    reason = _degenerate(info, sum(len(one.step) for one in blocks), names)
    for number in range(STEPS if reason is None else 0):
        newton = np.asarray(np.linalg.lstsq(info, _score(at))[0], dtype=np.float64)
        arrived = np.abs(newton).max() <= STEP * (1 + np.abs(beta).max())
        step, at = _climb(evaluate, beta, newton, at)
        beta = beta + step
        info = _information(blocks, at)
        if (np.abs(beta) > RUNAWAY).any() or ((arrived or number >= SETTLED) and _vanished(info, start)):
            return Maximum(beta, reason="separation")
        if arrived:
            return Maximum(beta, at, info)
    return Maximum(beta, reason=reason or "not-converged")


def _climb(
    evaluate: Callable[[Floats], list[Likelihood]], beta: Floats, step: Floats, at: list[Likelihood]
) -> tuple[Floats, list[Likelihood]]:
    """*step*, halved until the likelihood does not fall, and the likelihood there."""
    now = sum(one.loglik for one in at)
    floor = now - 1e-11 * (1 + abs(now))
    for _ in range(HALVINGS):
        there = evaluate(beta + step)
        if sum(one.loglik for one in there) >= floor:
            break
        step = step / 2
    return step, there


def _refused(design: Design, blocks: list[tuple[slice, Block]]) -> Maximum | None:
    """Why there is nothing to maximise; None if there is."""
    nothing = np.zeros(len(design.names))
    if not len(design.days):
        return Maximum(nothing, reason="no-rows")
    if not blocks:
        return Maximum(nothing, reason="no-event")
    constant = np.flatnonzero(design.scale == 0)
    return Maximum(nothing, reason=_constant(design.names, constant)) if len(constant) else None


def _constant(names: tuple[str, ...], which: Ints) -> str:
    return f"constant-covariate ({', '.join(names[j] for j in which)})"


def _degenerate(info: Floats, events: int, names: tuple[str, ...]) -> str | None:
    """Why the information at no effect cannot be inverted; None if it can."""
    constant = np.flatnonzero(np.diag(info) <= RANK * events)
    if len(constant):
        return _constant(names, constant)
    return "dependent-covariates" if _flat(info) else None


def _flat(info: Floats) -> bool:
    """Whether *info*, as correlations, has a direction without information."""
    variance = np.diag(info)
    if not np.isfinite(info).all() or (variance <= 0).any():
        return True
    scale = 1 / np.sqrt(variance)
    return bool(np.linalg.eigvalsh(info * np.outer(scale, scale))[0] <= RANK)


def _vanished(info: Floats, start: Floats) -> bool:
    """Whether in some direction *info* is nothing beside what it was at the *start*."""
    root = np.linalg.inv(np.linalg.cholesky(start))
    return bool(np.linalg.eigvalsh(root @ info @ root.T)[0] <= RANK)


def _information(blocks: list[Block], at: Sequence[Likelihood]) -> Floats:
    total: Floats = np.sum([information(one, there) for one, there in zip(blocks, at, strict=True)], axis=0)
    return total


def _score(at: Sequence[Likelihood]) -> Floats:
    total: Floats = np.sum([one.score for one in at], axis=0)
    return total


def _wald(base: Fit, beta: Floats, error: Floats, known: Bools) -> Fit:
    """*base* with errors, limits and p-values where the error is *known*."""
    from scipy.special import chdtrc, ndtri

    half = float(ndtri(upper_share(base.level))) * error
    z = np.divide(beta, error, out=np.zeros_like(beta), where=known)
    reason = None
    if not known.all():
        reason = "one-patient" if base.clusters == 1 else "zero-cluster-variance"
    return replace(
        base,
        std_error=_floats(error, known),
        low=_floats(beta - half, known),
        high=_floats(beta + half, known),
        p=_floats(chdtrc(1, z**2), known),
        reason=reason,
    )


def _without(base: Fit, reason: str) -> Fit:
    none = (None,) * len(base.names)
    empty = dict.fromkeys(("coef", "std_error", "low", "high", "p", "model_error"), none)
    return replace(base, **empty, status="not-estimable", reason=reason)


def _floats(values: Floats, known: Bools | None = None) -> tuple[float | None, ...]:
    there = np.ones(len(values), dtype=bool) if known is None else known
    return tuple(float(value) if is_there else None for value, is_there in zip(values, there, strict=True))


def _layers(design: Design) -> str:
    return f", {len(design.strata)} strata" if len(design.strata) > 1 else ""


def _sandwich(cluster: Column | None) -> str:
    return f"sandwich errors over {'rows' if cluster is None else 'patients'}, normal"
