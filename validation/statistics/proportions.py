"""One proportion: Wilson and Clopper-Pearson intervals, with patients as clusters."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import Clusters, group, mean_covariance
from validation.statistics.jackknife import only_value_wanted

Interval = Literal["wilson", "clopper_pearson"]


def proportion(
    events: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
    interval: Interval = "wilson",
) -> Estimate:
    r"""Estimate the share of cases with an event.

    Independent cases: Wilson's score interval, or Clopper-Pearson's, which is never below its level and wider. Several
    cases per patient: the same intervals at the effective number of cases :math:`n/D`, where the design effect D is
    the cluster-robust variance over the binomial one, not less than 1, and the normal quantile is replaced by the t
    quantile (through the effective number, as Korn and Graubard do). Where D cannot be estimated (all or no events)
    cases of one patient are taken as perfectly correlated, :math:`D=\sum n_g^2/n`.

    Parameters
    ----------
    events
        Shape (n,), 0 or 1; NaN is missing and left out.
    clusters
        Patient of each case.
    interval
        ``"wilson"`` or ``"clopper_pearson"``.

    Returns
    -------
    Estimate
        Insufficient with no case, or with several cases of a single patient.

    Raises
    ------
    ValueError
        If an event is neither 0 nor 1.

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953; Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404;
    Rao and Scott 1992, doi:10.2307/2532311; Korn and Graubard 1998 (Survey Methodology 24, 193-201).

    Examples
    --------
    >>> e = proportion([1] * 81 + [0] * 182)
    >>> round(e.lower, 4), round(e.upper, 4)  # Newcombe 1998 (Stat Med 17:857-872), table I
    (0.2553, 0.3662)
    """
    if interval not in ("wilson", "clopper_pearson"):
        raise ValueError(f"interval must be wilson or clopper_pearson, got {interval!r}")
    x = np.asarray(events, dtype=np.float64)
    keep = ~np.isnan(x)
    x = x[keep]
    if not np.isin(x, (0.0, 1.0)).all():
        raise ValueError("events must be 0 or 1")
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(x))
    name = "Wilson" if interval == "wilson" else "Clopper-Pearson"
    label = f"proportion, {name}{'' if groups.single else ', effective sample size for clusters'}"
    n, g, k = len(x), groups.count, int(x.sum())
    if n == 0 or (g < 2 and not groups.single):
        reason = (
            "no case has a value" if n == 0 else "all cases are of one patient; the spread between patients is unknown"
        )
        return Estimate.insufficient(reason, n=n, unit=unit, method=label, level=level, n_events=k, n_clusters=g)
    p = k / n
    if only_value_wanted():
        return Estimate(
            value=p, lower=None, upper=None, method=label, n=n, unit=unit, level=level, n_events=k, n_clusters=g,
            reason="only the value was asked for",
        )  # fmt: skip
    effective = n if groups.single else effective_number(x, groups, level)
    limits = wilson(p, effective, level) if interval == "wilson" else clopper_pearson(p, effective, level)
    return Estimate(
        value=p, lower=limits[0], upper=limits[1], method=label, n=n, unit=unit, level=level, n_events=k, n_clusters=g
    )


def effective_number(x: ArrayLike, groups: Clusters, level: float) -> float:
    """Return the number of independent cases that hold as much information on a proportion as clustered cases x do."""
    events = np.asarray(x, dtype=np.float64)
    n, p = len(events), float(events.mean())
    together = float((groups.sizes**2).sum()) / n
    df = float(groups.count - 1)
    design = together
    if 0 < p < 1:
        fit = mean_covariance(events[:, None], groups)
        df = fit.df
        design = max(1.0, float(fit.covariance[0, 0]) / (p * (1 - p) / n))
    tail = (1 - level) / 2
    return float(n / design * min(1.0, (stats.norm.isf(tail) / stats.t.isf(tail, df)) ** 2))


def wilson(p: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's score limits for a proportion p of n, n not necessarily whole.

    >>> [round(limit, 4) for limit in wilson(0.0, 20, 0.95)]
    [0.0, 0.1611]
    """
    z2 = float(stats.norm.isf((1 - level) / 2)) ** 2
    centre = p + z2 / (2 * n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    scale = 1 + z2 / n
    lower = 0.0 if p == 0 else max(0.0, (centre - half) / scale)
    upper = 1.0 if p == 1 else min(1.0, (centre + half) / scale)
    return min(lower, p), max(upper, p)


def clopper_pearson(p: float, n: float, level: float) -> tuple[float, float]:
    """Return Clopper-Pearson limits (beta quantiles) for a proportion p of n, n not necessarily whole.

    >>> [round(limit, 4) for limit in clopper_pearson(0.0, 20, 0.95)]
    [0.0, 0.1684]
    """
    k, tail = p * n, (1 - level) / 2
    lower = 0.0 if p == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    upper = 1.0 if p == 1 else float(stats.beta.isf(tail, k + 1, n - k))
    return min(lower, p), max(upper, p)
