"""Means and paired mean differences, with Student's t and patients as clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import Clusters, group, mean_covariance
from validation.statistics.sample import Floats

_EPS = float(np.finfo(np.float64).eps)


def mean(
    values: ArrayLike, *, clusters: ArrayLike | None = None, level: float = 0.95, unit: str = "1", method: str = "mean"
) -> Estimate:
    """Estimate the mean over cases, with a t interval.

    The estimand weighs every case the same, so a patient with twice the cases has twice the weight. With one case per
    patient this is the one-sample t interval; else the variance is cluster-robust, see
    :func:`~validation.statistics.clusters.mean_covariance`.

    Parameters
    ----------
    values
        Shape (n,); NaN is a missing value and is left out.
    clusters
        Patient of each value; ``None`` if all are independent.
    level
        Two-sided confidence level.
    unit
        Unit of the values.
    method
        First words of ``Estimate.method``.

    Returns
    -------
    Estimate
        Insufficient with fewer than two clusters or an infinite value. When all clusters agree exactly the value is
        given without limits: a spread of zero in a sample says nothing about the spread in the population.

    Examples
    --------
    >>> e = mean([1.0, 2.0, 3.0, 4.0])
    >>> round(e.value, 2), round(e.lower, 3), round(e.upper, 3)
    (2.5, 0.446, 4.554)
    """
    y = np.asarray(values, dtype=np.float64)
    keep = ~np.isnan(y)
    y = y[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(y))
    label = f"{method}, {'t' if groups.single else 'cluster-robust t (CR3)'}"
    refusal = refuse(y, groups, level=level, unit=unit, method=label)
    if refusal is not None:
        return refusal
    fit = mean_covariance(y[:, None], groups)
    centre, error = float(fit.means[0]), float(np.sqrt(fit.covariance[0, 0]))
    n, g = len(y), groups.count
    if error <= negligible(y):
        return Estimate(
            value=centre, lower=None, upper=None, method=label, n=n, unit=unit, level=level, n_clusters=g,
            reason=f"all {g} independent values are equal, so their spread, and an interval, cannot be estimated",
        )  # fmt: skip
    half = float(stats.t.isf((1 - level) / 2, fit.df)) * error
    return Estimate(
        value=centre, lower=centre - half, upper=centre + half, method=label, n=n, unit=unit, level=level, n_clusters=g
    )


def paired_mean_difference(
    values: ArrayLike,
    comparator: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
) -> Estimate:
    """Estimate the mean of ``values - comparator`` over cases that have both, with a paired t interval.

    >>> e = paired_mean_difference([10.0, 12.0, 9.0], [8.0, 9.0, 8.0], unit="HU")
    >>> e.value, e.method
    (2.0, 'paired mean difference, t')
    """
    return mean(
        difference(values, comparator), clusters=clusters, level=level, unit=unit, method="paired mean difference"
    )


def difference(values: ArrayLike, comparator: ArrayLike) -> Floats:
    """Return ``values - comparator``, NaN where one is missing and infinite where one is infinite, so that it shows.

    >>> difference([3.0, np.inf, np.nan], [1.0, np.inf, 2.0]).tolist()
    [2.0, inf, nan]
    """
    a, b = np.asarray(values, dtype=np.float64), np.asarray(comparator, dtype=np.float64)
    infinite = (np.isinf(a) | np.isinf(b)) & ~(np.isnan(a) | np.isnan(b))
    return np.where(infinite, np.inf, np.where(infinite, 0.0, a) - np.where(infinite, 0.0, b))


def refuse(y: Floats, groups: Clusters, *, level: float, unit: str, method: str) -> Estimate | None:
    """Return an insufficient estimate if values are infinite or there are fewer than two clusters, else ``None``."""
    n, g = len(y), groups.count
    infinite = int(np.isinf(y).sum())
    if infinite:
        reason = f"{infinite} of {n} values are infinite; choose a metric that is finite for every case"
    elif g < 2:
        what = "no case has a value" if n == 0 else "one patient only; the spread between patients needs at least two"
        reason = what
    else:
        return None
    return Estimate.insufficient(reason, n=n, unit=unit, method=method, level=level, n_clusters=g)


def negligible(y: Floats) -> float:
    """Return the standard error below which values are equal but for rounding."""
    return 16 * _EPS * float(np.abs(y).max(initial=0.0))
