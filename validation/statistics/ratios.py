"""Ratios of means of paired measurements: Fieller's interval, and the geometric mean ratio."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import group, mean_covariance
from validation.statistics.means import difference, mean, negligible, refuse


def mean_ratio(
    values: ArrayLike,
    comparator: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
) -> Estimate:
    r"""Estimate the ratio of two means measured on the same cases, with Fieller's interval.

    The limits are the roots in R of :math:`(\bar y - R\bar x)^2 = t^2 (v_{yy} - 2 R v_{xy} + R^2 v_{xx})`, with the
    paired (cluster-robust) covariance of the two means and t of its degrees of freedom.

    Parameters
    ----------
    values, comparator
        Numerator and denominator, shape (n,); cases without both are left out.
    clusters
        Patient of each case.
    level, unit
        Two-sided level; unit of the ratio.

    Returns
    -------
    Estimate
        Without limits when the denominator is not distinguishable from zero at this level (the set of plausible
        ratios is then unbounded) or when the ratio is the same in all clusters; insufficient with fewer than two
        clusters or a denominator of zero.

    References
    ----------
    Fieller 1954, doi:10.1111/j.2517-6161.1954.tb00159.x.

    Examples
    --------
    >>> e = mean_ratio([2.0, 4.1, 6.0], [1.0, 2.0, 3.0])
    >>> round(e.value, 3)
    2.017
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(comparator, dtype=np.float64)
    keep = ~(np.isnan(y) | np.isnan(x))
    y, x = y[keep], x[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(y))
    label = f"ratio of means, Fieller{'' if groups.single else ', cluster-robust (CR3)'}"
    n, g = len(y), groups.count
    refusal = refuse(np.where(np.isinf(x), x, y), groups, level=level, unit=unit, method=label)
    if refusal is not None:
        return refusal
    fit = mean_covariance(np.stack([y, x], axis=1), groups)
    a, b = (float(m) for m in fit.means)
    if abs(b) <= negligible(x):
        reason = "the mean of the comparator is zero, so there is no ratio"
        return Estimate.insufficient(reason, n=n, unit=unit, method=label, level=level, n_clusters=g)
    ratio = a / b
    vyy, vxy, vxx = (float(fit.covariance[i, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    t2 = float(stats.t.isf((1 - level) / 2, fit.df)) ** 2
    reason = ""
    limits: tuple[float | None, float | None] = (None, None)
    residual = vyy - 2 * ratio * vxy + ratio**2 * vxx
    quadratic = b * b - t2 * vxx
    if residual <= max(negligible(y), negligible(ratio * x)) ** 2:
        reason = f"the ratio is the same in all {g} independent clusters, so its spread cannot be estimated"
    elif quadratic <= 0:
        reason = "the mean of the comparator cannot be told from zero at this level, so the ratio has no bounds"
    else:
        linear = a * b - t2 * vxy
        root = math.sqrt(max(linear**2 - quadratic * (a * a - t2 * vyy), 0.0))
        limits = ((linear - root) / quadratic, (linear + root) / quadratic)
    return Estimate(
        value=ratio,
        lower=limits[0],
        upper=limits[1],
        method=label,
        n=n,
        unit=unit,
        level=level,
        n_clusters=g,
        reason=reason,
    )


def geometric_mean_ratio(
    values: ArrayLike,
    comparator: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
) -> Estimate:
    """Estimate the geometric mean of the case-wise ratios: exp of the mean log difference, with its t interval.

    Needs positive values; otherwise the estimate is insufficient and says how many are not.

    >>> e = geometric_mean_ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    >>> round(e.value, 4)
    2.2894
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(comparator, dtype=np.float64)
    keep = ~(np.isnan(y) | np.isnan(x))
    y, x = y[keep], x[keep]
    kept = None if clusters is None else np.asarray(clusters)[keep]
    label = "geometric mean ratio"
    wrong = int(((y <= 0) | (x <= 0)).sum())
    if wrong:
        reason = (
            f"{wrong} of {len(y)} cases have a value that is zero or negative; a geometric mean needs positive values"
        )
        return Estimate.insufficient(reason, n=len(y), unit=unit, method=label, level=level)
    logs = mean(difference(np.log(y), np.log(x)), clusters=kept, level=level, unit=unit, method=label)
    return exponentiated(logs, unit)


def exponentiated(logs: Estimate, unit: str) -> Estimate:
    """Return an estimate made on the logarithmic scale, back on the natural scale."""

    def back(number: float | None) -> float | None:
        return None if number is None or number > 700 else math.exp(number)  # exp(710) is no longer a number

    reason = logs.reason or ("a limit is too large to be written down" if back(logs.upper) is None else "")
    if back(logs.value) is None:
        return Estimate.insufficient(
            reason, n=logs.n, unit=unit, method=logs.method, level=logs.level, n_clusters=logs.n_clusters
        )
    return Estimate(
        value=back(logs.value), lower=back(logs.lower), upper=back(logs.upper), method=logs.method, n=logs.n, unit=unit,
        level=logs.level, n_clusters=logs.n_clusters, reason=reason,
    )  # fmt: skip
