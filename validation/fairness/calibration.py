"""Calibration of predicted probabilities: in the large, and the expected calibration error with an honest interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import group, mean_covariance
from validation.statistics.means import mean
from validation.statistics.sample import Floats


def calibration_in_the_large(
    scores: ArrayLike, labels: ArrayLike, *, clusters: ArrayLike | None = None, level: float = 0.95, unit: str = "1"
) -> Estimate:
    """Estimate the mean of label minus predicted probability (positive: risk is predicted too low).

    >>> e = calibration_in_the_large([0.2, 0.4, 0.6, 0.8], [0, 0, 1, 1])
    >>> abs(round(e.value, 6)), e.lower < 0 < e.upper
    (0.0, True)
    """
    s, y = _pairs(scores, labels)
    return mean(y - s, clusters=clusters, level=level, unit=unit, method="calibration in the large")


def calibration_error(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
    bins: int = 10,
) -> Estimate:
    r"""Estimate the expected calibration error, with bins of equal width fixed in advance.

    .. math:: \mathrm{ECE} = \sum_b |\delta_b|,\qquad \delta_b = \frac1n\sum_{i\in b}(y_i-s_i)

    The sample value is never below zero and is too large in small groups, so a bootstrap around it does not cover. The
    interval here follows from two facts about the sum of absolute values. It is the largest of the sums
    :math:`\sum_b h_b\delta_b` with signs h, and the one with the true signs is normal with variance
    at most :math:`\sum_{bc}|V_{bc}|`, which bounds the true value from above; and by the triangle inequality it differs
    from the truth by at most :math:`\sum_b|\hat\delta_b-\delta_b|`, which bounds it from below (Bonferroni over the
    bins in use). V is the covariance over patients (CR3), with Student's quantile. The interval is conservative.

    Insufficient with fewer than two patients.

    References
    ----------
    Naeini et al. 2015 (AAAI), the estimand; its upward bias in small samples: Bröcker 2012,
    doi:10.1007/s00382-011-1191-1.

    Examples
    --------
    >>> e = calibration_error([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1])
    >>> round(e.value, 3), e.lower
    (0.1, 0.0)
    """
    s, y = _pairs(scores, labels)
    keep = ~np.isnan(s)
    s, y = s[keep], y[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(s))
    label = f"expected calibration error, {bins} bins of equal width, t (CR3) bounds"
    n, g = len(s), groups.count
    if g < 2:
        reason = "no case has a value" if n == 0 else "one patient only; the spread between patients needs two"
        return Estimate.insufficient(reason, n=n, unit=unit, method=label, level=level, n_clusters=g)
    where = np.minimum((s * bins).astype(int), bins - 1)
    used = np.unique(where)
    columns = (where[:, None] == used) * (y - s)[:, None]
    fit = mean_covariance(columns, groups)
    value = float(np.abs(fit.means).sum())
    tail = (1 - level) / 2
    upper = value + float(stats.t.isf(tail, fit.df)) * float(np.sqrt(np.abs(fit.covariance).sum()))
    spread = float(np.sqrt(np.diag(fit.covariance)).sum())
    lower = max(0.0, value - float(stats.t.isf(tail / len(used), fit.df)) * spread)
    return Estimate(
        value=value, lower=lower, upper=min(1.0, upper), method=label, n=n, unit=unit, level=level,
        n_events=int(y.sum()), n_clusters=g,
    )  # fmt: skip


def _pairs(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    known = ~(np.isnan(s) | np.isnan(y))
    if ((s[known] < 0) | (s[known] > 1)).any():
        raise ValueError("calibration needs probabilities between 0 and 1")
    return np.where(known, s, np.nan), np.where(known, y, np.nan)
