"""Wilcoxon's signed-rank test and the Hodges-Lehmann estimate that belongs to it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import Clusters, group
from validation.statistics.means import difference, refuse
from validation.statistics.permutation import Alternative, SignificanceTest
from validation.statistics.sample import Floats

_EXACT = 50  # patients up to which the null distribution is counted rather than approximated


def signed_rank_test(
    differences: ArrayLike, *, clusters: ArrayLike | None = None, alternative: Alternative = "greater"
) -> SignificanceTest:
    """Test that differences are symmetric about zero by Wilcoxon's signed ranks (SciPy).

    With several cases per patient the ranks are those of the patients' mean differences, since ranks of dependent cases
    have no valid null distribution. Zeros are handled by Pratt's method.

    Returns
    -------
    SignificanceTest
        Without a p-value with fewer than two patients or when all differences are zero.

    References
    ----------
    Wilcoxon 1945, doi:10.2307/3001968; Pratt 1959, doi:10.1080/01621459.1959.10501526.

    Examples
    --------
    >>> signed_rank_test([1.0, 2.0, 3.0, 4.0, 5.0]).p_value
    0.03125
    """
    d, n, groups = _patient_means(differences, clusters)
    method = "Wilcoxon signed-rank" + ("" if groups.single else " of patient means")
    reason = ""
    if np.isinf(d).any():
        reason = "some values are infinite"
    elif len(d) < 2:
        reason = "fewer than two patients have a value"
    elif not d.any():
        reason = "all patients have a difference of zero"
    if reason:
        return SignificanceTest(statistic=None, p_value=None, method=method, n=n, n_clusters=len(d), reason=reason)
    ties = len(np.unique(np.abs(d))) < len(d) or not d.all()
    how = "exact" if len(d) <= _EXACT and not ties else "asymptotic"
    found = stats.wilcoxon(d, alternative=alternative, zero_method="pratt", method=how)
    return SignificanceTest(
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        method=f"{method}, {how}",
        n=n,
        n_clusters=len(d),
    )


def hodges_lehmann(
    values: ArrayLike,
    comparator: ArrayLike | None = None,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
) -> Estimate:
    r"""Estimate the pseudo-median of (paired differences of) values, with the interval of the signed-rank test.

    The estimate is the median of the Walsh averages :math:`(d_i + d_j)/2, i \le j`; the limits are their order
    statistics at the signed-rank quantile, exact for up to 50 patients and by the normal approximation beyond. It
    assumes that differences are symmetric about their centre. With several cases per patient, d are patients' means.

    Returns
    -------
    Estimate
        Insufficient with fewer than two patients; without limits when the patients are too few for the level (fewer
        than 6 for 95 %) or all equal.

    References
    ----------
    Hodges and Lehmann 1963, doi:10.1214/aoms/1177704172; Hollander and Wolfe, Nonparametric Statistical Methods,
    sections 3.2 and 3.3.

    Examples
    --------
    >>> e = hodges_lehmann([1.1, 2.3, 0.4, 3.8, 2.0, 1.6, 2.9])
    >>> round(e.value, 2), e.lower, e.upper
    (2.0, 1.0, 3.05)
    """
    given = np.asarray(values, dtype=np.float64)
    if comparator is not None:
        given = difference(given, comparator)
    d, n, groups = _patient_means(given, clusters)
    label = "Hodges-Lehmann, signed-rank interval" + ("" if groups.single else " of patient means")
    refusal = refuse(d, Clusters(np.arange(len(d)), np.ones(len(d))), level=level, unit=unit, method=label)
    if refusal is not None:
        return refusal
    g = len(d)
    rank = _critical_rank(g, (1 - level) / 2)
    count = g * (g + 1) // 2
    wanted = [(count + 1) // 2, count // 2 + 1] + ([rank, count + 1 - rank] if rank >= 1 else [])
    walsh = walsh_averages(d, wanted)
    reason, lower, upper = "", None, None
    if np.ptp(d) == 0:
        reason = f"all {g} independent values are equal, so their spread cannot be estimated"
    elif rank < 1:
        reason = f"{g} patients are too few for a signed-rank interval at this level"
    else:
        lower, upper = walsh[2], walsh[3]
    return Estimate(
        value=(walsh[0] + walsh[1]) / 2, lower=lower, upper=upper, method=label, n=n, unit=unit, level=level,
        n_clusters=g, reason=reason,
    )  # fmt: skip


def walsh_averages(d: Floats, ranks: list[int]) -> list[float]:
    """Return order statistics (ranks from 1) of the averages of all pairs, each value with itself included.

    >>> walsh_averages(np.array([1.0, 3.0, 8.0]), [1, 2, 6])
    [1.0, 2.0, 8.0]
    """
    ordered = np.sort(d)
    if len(d) <= 2000:
        i, j = np.triu_indices(len(d))
        pairs = (ordered[i] + ordered[j]) / 2
        pairs.partition(sorted({r - 1 for r in ranks}))
        return [float(pairs[r - 1]) for r in ranks]

    def at_or_below(v: float) -> int:
        reach = np.searchsorted(ordered, 2 * v - ordered, side="right")
        return int(np.maximum(reach - np.arange(len(ordered)), 0).sum())

    found = []
    for rank in ranks:  # bisection: the list of all pairs would not fit in memory
        low, high = float(ordered[0]), float(ordered[-1])
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (low, middle) if at_or_below(middle) >= rank else (middle, high)
        found.append(high)
    return found


def _critical_rank(n: int, tail: float) -> int:
    """Return the rank r of the lower limit: P(W <= r - 1) <= tail for Wilcoxon's W, largest such r; 0 if none."""
    if n > _EXACT:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(0, math.floor(n * (n + 1) / 4 + 0.5 - float(stats.norm.isf(tail)) * spread))  # with continuity
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):  # subsets of 1..n by their sum
        ways[rank:] = ways[rank:] + ways[:-rank]
    return int((np.cumsum(ways) / 2.0**n <= tail).sum())


def _patient_means(values: ArrayLike, clusters: ArrayLike | None) -> tuple[Floats, int, Clusters]:
    d = np.asarray(values, dtype=np.float64)
    keep = ~np.isnan(d)
    d = d[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(d))
    return groups.sums(d) / groups.sizes, len(d), groups
