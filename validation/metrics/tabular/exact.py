"""Exact and moment-matched p-values for exchangeable records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]


def two_sided_exact(k: Any, n: int, j: Any, m: int) -> Floats:
    """Return p-values of equal shares k/n and j/m (arrays of counts), twice the smaller hypergeometric tail.

    Reference: Fisher 1935; doubling as in Agresti 1992, doi:10.1214/ss/1177011454.

    >>> [round(float(p), 4) for p in two_sided_exact([3], 10, [3], 10)]
    [1.0]
    """
    a, b = np.asarray(k), np.asarray(j)
    total = a + b
    low = stats.hypergeom.cdf(a, n + m, total, n)
    high = stats.hypergeom.sf(a - 1, n + m, total, n)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(low, high)), dtype=np.float64)


def more_than_share(k: Any, n: int, j: Any, m: int) -> Floats:
    """Return one-sided p-values that k of n is more than j of m allows, under exchangeability (hypergeometric)."""
    a, b = np.asarray(k), np.asarray(j)
    return np.asarray(stats.hypergeom.sf(a - 1, n + m, a + b, n), dtype=np.float64)


def moment_tail(observed: float, null: Floats) -> float:
    """Return the upper-tail p-value of a statistic from permutation draws, by a gamma with their first three moments.

    The draws give p-values no smaller than one over their number; the gamma goes further. The larger of it and half the
    resolution's normal tail is never needed: with no skewness the normal is used.

    Reference: Winkler et al. 2016, doi:10.1016/j.neuroimage.2016.05.068.
    """
    mean, sd = float(null.mean()), float(null.std(ddof=1))
    if sd <= 1e-300:
        return 1.0 if observed <= mean + 1e-12 * max(1.0, abs(mean)) else 1.0 / (len(null) + 1)
    skew = float(stats.skew(null))
    z = (observed - mean) / sd
    if skew < 0.05:
        return float(stats.norm.sf(z))
    return float(stats.pearson3.sf(z, skew))


def weighted_chi2_sf(observed: float, weights: Floats) -> float:
    """Return P(sum of weights times independent chi-square(1) > observed), by matching three moments.

    Reference: Liu, Tang and Zhang 2009, doi:10.1016/j.csda.2008.11.025 (here with skewness matched).

    >>> round(weighted_chi2_sf(3.841459, np.array([1.0])), 4)
    0.05
    """
    w = weights[weights > 0]
    if not len(w):
        return 1.0
    c1, c2, c3 = (float((w**k).sum()) for k in (1, 2, 3))
    skew = math.sqrt(8) * c3 / c2**1.5
    return float(stats.pearson3.sf((observed - c1) / math.sqrt(2 * c2), skew))


def holm_minimum(p_values: list[float | None]) -> float | None:
    """Return the Bonferroni p-value of "one of these differs": their number times the smallest."""
    known = [p for p in p_values if p is not None]
    return min(1.0, len(known) * min(known)) if known else None
