"""Exact moments of empirical AUCs under the Roe-Metz model, and the Obuchowski-Rockette parameters they imply."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from validation.errors import UsageProblem
from validation.reader_study.roe_metz import CASE, READER, READER_CASE, RoeMetz, roe_metz

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RocketteParameters:
    """Parameters of the Obuchowski-Rockette model for two modalities and a study of given size.

    ``var_reader`` and ``var_reader_modality`` do not depend on the cases; the others are for ``negatives`` and
    ``positives`` cases.
    """

    auc: tuple[float, float]
    var_reader: float
    var_reader_modality: float
    var_error: float
    cov1: float
    cov2: float
    cov3: float
    negatives: int
    positives: int

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)


def bivariate_normal(h: Array, k: Array, correlation: Array) -> Array:
    """Return ``P(X < h, Y < k)`` of two standard normal variates, exact to rounding, by Owen's T function.

    Owen 1956, doi:10.1214/aoms/1177728074.

    >>> round(float(bivariate_normal(np.array(0.0), np.array(0.0), np.array(0.5))), 12)
    0.333333333333
    """
    from scipy.special import ndtr, owens_t

    h, k, rho = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (h, k, correlation)))
    tiny = 1e-300  # the limit at 0 is reached without a division by 0
    h, k = np.where(h == 0, tiny, h), np.where(k == 0, tiny, k)
    spread = np.sqrt(np.clip(1 - rho**2, 1e-300, None))
    with np.errstate(over="ignore"):
        joint = (ndtr(h) + ndtr(k)) / 2 - owens_t(h, (k / h - rho) / spread) - owens_t(k, (h / k - rho) / spread)
    joint = joint - np.where(h * k < 0, 0.5, 0.0)
    return np.asarray(np.where(rho >= 1 - 1e-15, ndtr(np.minimum(h, k)), joint), dtype=float)


def theory_moments(model: RoeMetz) -> tuple[Array, Array]:
    """Return the expected AUCs ``(modality,)`` and the moments M1..M8 ``(modality, modality, 8)``.

    A moment is the probability that two comparisons are both right; M1 to M4 share the reader, M5 to M8 do not; within
    each four, the pair of cases, the positive case, the negative case, or nothing is shared (Gallas & Hillis 2014).
    """
    from scipy.special import ndtr

    variance = (model.shared.sum(axis=(0, 1)) + model.own.sum(axis=(1, 2)))[:, None]
    z = (model.means[:, 1] - model.means[:, 0])[:, None] / np.sqrt(variance)
    M = model.modalities
    same = np.eye(M)
    total = np.zeros((M, M, 8))
    for place in range(8):
        same_reader, cases = place < 4, place % 4
        for truth in (0, 1):
            same_case = cases == 0 or (truth == 1 and cases == 1) or (truth == 0 and cases == 2)
            kept = [READER] * same_reader + [CASE] * same_case + [READER_CASE] * (same_reader and same_case)
            for term in kept:
                total[..., place] += model.shared[truth, term] + same * model.own[:, truth, term][:, None]
    correlation = total / np.sqrt(variance * variance.T)[..., None]
    both = bivariate_normal(z[:, :, None], z.T[:, :, None], np.minimum(correlation, 1.0))
    return ndtr(z[:, 0]), both


def rockette_parameters(model: RoeMetz, negatives: int, positives: int) -> RocketteParameters:
    """Return the Obuchowski-Rockette parameters of a model with two modalities (Hillis 2018, doi:10.1002/sim.7616).

    Where the modalities differ, variances and covariances are averaged over them.

    Raises
    ------
    UsageProblem
        If the model does not have two modalities.
    """
    if model.modalities != 2:
        raise UsageProblem(
            f"the Obuchowski-Rockette parameters are those of two modalities, and the model has {model.modalities}.",
            code="RDR-020",
            where="simulation",
            action="Convert two modalities at a time.",
        )
    auc, both = theory_moments(model)
    error = both @ case_weights(negatives, positives)  # (M, M, 2): same reader, different readers
    readers = both[..., 3] - both[..., 7]
    own = np.eye(2, dtype=bool)
    var_reader = float(readers[0, 1])
    return RocketteParameters(
        auc=(float(auc[0]), float(auc[1])),
        var_reader=var_reader,
        var_reader_modality=float(readers[own].mean()) - var_reader,
        var_error=float(error[own, 0].mean()),
        cov1=float(error[0, 1, 0]),
        cov2=float(error[own, 1].mean()),
        cov3=float(error[0, 1, 1]),
        negatives=negatives,
        positives=positives,
    )


def case_weights(negatives: int, positives: int) -> Array:
    """Return ``(8, 2)``: what turns M1..M8 into the error covariance of one reader, and of two."""
    n0, n1 = negatives, positives
    four = np.array([1.0, n0 - 1, n1 - 1, (n0 - 1) * (n1 - 1)]) / (n0 * n1)
    four[3] -= 1
    zero = np.zeros(4)
    return np.stack([np.concatenate([four, zero]), np.concatenate([zero, four])], axis=-1)


def theory_variance(model: RoeMetz, weights: Array) -> Array:
    """Return the covariance matrix of reader-averaged AUCs ``(modality, modality)`` of a design.

    Parameters
    ----------
    weights
        ``(modality, modality, 8)`` from :func:`crossed_weights` or the weights of
        :class:`validation.reader_study.ustatistics.Moments`, of any design.
    """
    return np.asarray((theory_moments(model)[1] * weights).sum(axis=-1), dtype=float)


def crossed_weights(readers: int, negatives: int, positives: int) -> Array:
    """Return the weights ``(8,)`` of a fully crossed design."""
    n0, n1, r = negatives, positives, readers
    four = np.array([1.0, n0 - 1, n1 - 1, (n0 - 1) * (n1 - 1)]) / (n0 * n1)
    weights = np.concatenate([four / r, four * (r - 1) / r])
    weights[7] -= 1
    return weights


def calibrated(target: RocketteParameters, *, b: float | None = 1.0) -> RoeMetz:
    """Return the Roe-Metz model whose Obuchowski-Rockette parameters are those of a pilot or published study.

    The non-diseased case variances sum to 1. With a given ``b`` the AUCs, the reader components and the three error
    correlations ``cov / var_error`` are met; ``var_error`` itself then follows. With ``b=None``, ``b`` in 0.3..1 is
    chosen so that ``var_error`` is met too (Hillis 2020 searches the same equations, by another route).

    Every equation has one unknown and a monotone left side, so each is solved by bracketing. A negative component,
    which an estimate may be, is taken as 0; a correlation that no model can reach is taken as the nearest one that can.

    Raises
    ------
    UsageProblem
        If an AUC is not between 0.5 and 1, ``var_error`` is not positive, or no ``b`` meets it.
    """
    from scipy.optimize import brentq

    if not all(0.5 < a < 1 for a in target.auc) or not target.var_error > 0:
        raise UsageProblem(
            "a Roe-Metz model can be calibrated only to AUCs between 0.5 and 1 and a positive error variance.",
            code="RDR-020",
            where="calibration",
            action="Give the parameters of another pilot, or conjecture them.",
        )
    if b is not None:
        return _calibrated(target, b)

    def gap(ratio: float) -> float:
        found = rockette_parameters(_calibrated(target, ratio), target.negatives, target.positives)
        return found.var_error - target.var_error

    grid = np.linspace(1.0, 0.3, 29)
    values = [gap(float(x)) for x in grid]
    for i in range(len(grid) - 1):
        if values[i] * values[i + 1] <= 0:
            return _calibrated(target, float(brentq(gap, grid[i], grid[i + 1], xtol=1e-9)))
    raise UsageProblem(
        "no ratio b of standard deviations between 0.3 and 1 gives this error variance.",
        code="RDR-020",
        where="calibration",
        why="The AUC, the numbers of cases and the error variance contradict each other under a binormal model.",
        action="Check the parameters, or fix b (b = 1 is the model of 1997).",
    )


def _calibrated(target: RocketteParameters, b: float) -> RoeMetz:
    """Solve for the variances one after the other, as shares of the variance of a difference of two scores."""
    from scipy.special import ndtri

    z = ndtri(np.array(target.auc))
    z1, z2 = float(z[0]), float(z[1])
    product = target.auc[0] * target.auc[1]

    def cross(rho: float) -> float:
        return float(bivariate_normal(np.array(z1), np.array(z2), np.array(rho)))

    def within(rho: float) -> float:
        return float(bivariate_normal(z, z, np.array([rho, rho])).mean())

    squares = float(np.mean(np.square(target.auc)))
    reader = _root(lambda rho: cross(rho) - product - max(target.var_reader, 0.0), 0.0, 0.999)
    readers = target.var_reader + target.var_reader_modality
    both = _root(lambda rho: within(rho) - squares - max(readers, 0.0), reader, 0.999)
    scale = (1 + 1 / b**2) / (1 - both)  # variance of a difference; reader terms are its share `both`
    z_delta = np.sqrt(scale) * z
    weights = case_weights(target.negatives, target.positives)

    def model(case: float, case_modality: float, reader_case: float) -> RoeMetz:
        return roe_metz(
            differences=(float(z_delta[0]), float(z_delta[1])),
            reader=reader * scale / 2,
            reader_modality=max(both - reader, 0.0) * scale / 2,
            case=case,
            case_modality=max(case_modality, 0.0),
            reader_case=max(reader_case, 0.0),
            rest=max(1 - case - case_modality - reader_case, 0.0),
            b=b,
        )

    def errors(case: float, case_modality: float, reader_case: float) -> tuple[float, float, float]:
        error = theory_moments(model(case, case_modality, reader_case))[1] @ weights
        return float((error[0, 0, 1] + error[1, 1, 1]) / 2), float(error[0, 1, 0]), float(error[0, 1, 1])

    whole = theory_moments(model(0.0, 0.0, 0.0))[1] @ weights
    variance = float((whole[0, 0, 0] + whole[1, 1, 0]) / 2)
    goals = [max(c, 0.0) / target.var_error * variance for c in (target.cov1, target.cov2, target.cov3)]
    case = _root(lambda x: errors(x, 0.0, 0.0)[2] - goals[2], 0.0, 1.0)
    case_modality = _root(lambda x: errors(case, x, 0.0)[0] - goals[1], 0.0, 1.0 - case)
    reader_case = _root(lambda x: errors(case, 0.0, x)[1] - goals[0], 0.0, 1.0 - case)
    if case + case_modality + reader_case > 1:  # the correlations contradict each other: shrink what is left
        shrink = (1 - case) / (case_modality + reader_case)
        case_modality, reader_case = case_modality * shrink, reader_case * shrink
    return model(case, case_modality, reader_case)


def _root(function: object, low: float, high: float) -> float:
    """Return the root of a rising function, or the nearer end if there is none between."""
    from scipy.optimize import brentq

    if high <= low or function(low) >= 0:  # type: ignore[operator]
        return low
    if function(high) <= 0:  # type: ignore[operator]
        return high
    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-13))
