"""Area under the ROC curve and paired differences, by DeLong, with patients as clusters (Obuchowski)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from validation.estimate import Estimate
from validation.statistics.clusters import group
from validation.statistics.sample import Floats

AucInterval = Literal["logit", "wald"]


@dataclass(frozen=True, eq=False)
class Areas:
    """AUCs (p,), their covariance (p, p), and numbers of cases and patients with and without the condition."""

    areas: Floats
    covariance: Floats
    n: int
    positives: int
    clusters: int
    positive_clusters: int
    negative_clusters: int


def auc(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
    interval: AucInterval = "logit",
) -> Estimate:
    """Estimate the probability that a positive case scores higher than a negative one (ties count half).

    The variance is DeLong's; with several cases per patient, of either or both classes, it is Obuchowski's, which is
    DeLong's when all cases are independent, with Student's quantile on the patients of the smaller class, less one.
    ``"logit"`` makes the interval on the logit scale, which stays within 0..1 and covers better near 1; ``"wald"`` is
    symmetric. With perfect separation (or any estimated variance of zero) DeLong's interval would have no width; then
    Newcombe's score interval on the number of patients is given and named.

    Parameters
    ----------
    scores
        Shape (n,), higher means more likely positive; NaN is missing and left out, infinite scores rank at the ends.
    labels
        Shape (n,), 0 or 1.
    clusters
        Patient of each case.

    Returns
    -------
    Estimate
        ``n_events`` counts positive cases. Insufficient with fewer than two patients with positive, or with negative,
        cases.

    References
    ----------
    DeLong et al. 1988, doi:10.2307/2531595; Obuchowski 1997, doi:10.2307/2533958; Newcombe 2006 (method 5),
    doi:10.1002/sim.2324.

    Examples
    --------
    >>> e = auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> e.value, e.n, e.n_events
    (0.75, 4, 2)
    """
    if interval not in ("logit", "wald"):
        raise ValueError(f"interval must be logit or wald, got {interval!r}")
    fit = areas([scores], labels, clusters)
    label = f"AUC, {_variance_name(fit)}, {interval}"
    short = _too_few(fit)
    if short:
        return Estimate.insufficient(
            short, n=fit.n, unit=unit, method=label, level=level, n_events=fit.positives, n_clusters=fit.clusters
        )
    area, error = float(fit.areas[0]), math.sqrt(max(float(fit.covariance[0, 0]), 0.0))
    if error < 1e-12:
        label = "AUC, Newcombe score interval on patients (estimated variance is zero)"
        lower, upper = score_limits(area, fit.positive_clusters, fit.negative_clusters, level)
    else:
        half = _quantile(fit, level) * error
        if interval == "logit":
            centre, spread = math.log(area / (1 - area)), half / (area * (1 - area))
            lower, upper = _expit(centre - spread), _expit(centre + spread)
        else:
            lower, upper = max(0.0, area - half), min(1.0, area + half)
    return Estimate(
        value=area, lower=min(lower, area), upper=max(upper, area), method=label, n=fit.n, unit=unit, level=level,
        n_events=fit.positives, n_clusters=fit.clusters,
    )  # fmt: skip


def auc_difference(
    scores: ArrayLike,
    comparator: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
) -> Estimate:
    """Estimate the difference of two AUCs (scores minus comparator) on the same cases, by DeLong or Obuchowski.

    Cases without both scores are left out. Insufficient as :func:`auc`; without limits when the two scores order all
    cases alike or both separate perfectly, because the sample then shows no spread of the difference.

    >>> e = auc_difference([1, 3, 2, 4], [1, 2, 4, 3], [0, 0, 1, 1])
    >>> e.value
    -0.25
    """
    fit = areas([scores, comparator], labels, clusters)
    label = f"paired AUC difference, {_variance_name(fit)}"
    short = _too_few(fit)
    if short:
        return Estimate.insufficient(
            short, n=fit.n, unit=unit, method=label, level=level, n_events=fit.positives, n_clusters=fit.clusters
        )
    difference = float(fit.areas[0] - fit.areas[1])
    contrast = np.array([1.0, -1.0])
    error = math.sqrt(max(float(contrast @ fit.covariance @ contrast), 0.0))
    reason, lower, upper = "", None, None
    if error < 1e-12:
        reason = "the two scores order the cases alike, so the spread of the difference cannot be estimated"
    else:
        half = _quantile(fit, level) * error
        lower, upper = max(-1.0, difference - half), min(1.0, difference + half)
    return Estimate(
        value=difference, lower=lower, upper=upper, method=label, n=fit.n, unit=unit, level=level,
        n_events=fit.positives, n_clusters=fit.clusters, reason=reason,
    )  # fmt: skip


def areas(scores: list[ArrayLike], labels: ArrayLike, clusters: ArrayLike | None = None) -> Areas:
    """Return the AUCs of p scores of the same cases with Obuchowski's covariance (DeLong's for independent cases)."""
    columns = np.stack([np.asarray(s, dtype=np.float64) for s in scores], axis=1)
    truth = np.asarray(labels, dtype=np.float64)
    keep = ~(np.isnan(columns).any(axis=1) | np.isnan(truth))
    columns, truth = columns[keep], truth[keep]
    if not np.isin(truth, (0.0, 1.0)).all():
        raise ValueError("labels must be 0 or 1")
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(truth))
    positive = truth == 1
    m, n = int(positive.sum()), int((~positive).sum())
    p = columns.shape[1]
    cases = groups.sums(positive.astype(np.float64)), groups.sums((~positive).astype(np.float64))
    i10, i01, total = int((cases[0] > 0).sum()), int((cases[1] > 0).sum()), groups.count
    if m == 0 or n == 0:
        return Areas(np.full(p, np.nan), np.full((p, p), np.nan), m + n, m, total, i10, i01)
    placements = np.empty_like(columns)  # share of the other class that each case is on the right side of
    for j in range(p):
        everyone = stats.rankdata(columns[:, j])
        placements[positive, j] = (everyone[positive] - stats.rankdata(columns[positive, j])) / n
        placements[~positive, j] = 1 - (everyone[~positive] - stats.rankdata(columns[~positive, j])) / m
    area = placements[positive].mean(axis=0)
    off = placements - area
    v10 = groups.sums(np.where(positive[:, None], off, 0.0))
    v01 = groups.sums(np.where(positive[:, None], 0.0, off))
    covariance = np.full((p, p), np.nan)
    if i10 > 1 and i01 > 1:
        cross = v10.T @ v01
        covariance = (
            i10 / (i10 - 1) * (v10.T @ v10) / m**2
            + i01 / (i01 - 1) * (v01.T @ v01) / n**2
            + total / (total - 1) * (cross + cross.T) / (m * n)
        )
    return Areas(area, covariance, m + n, m, total, i10, i01)


def score_limits(area: float, positives: int, negatives: int, level: float) -> tuple[float, float]:
    """Return Newcombe's method-5 score limits of an AUC, from the numbers of positive and negative units.

    Inverts a score test with Hanley and McNeil's variance at the hypothesised AUC, so the limits have width
    even with perfect separation.

    >>> [round(limit, 3) for limit in score_limits(1.0, 10, 10, 0.95)]
    [0.8, 1.0]
    """
    z, other = float(stats.norm.isf((1 - level) / 2)), (positives + negatives) / 2 - 1

    def variance(theta: float) -> float:
        spread = 1 + other * (1 - theta) / (2 - theta) + other * theta / (1 + theta)
        return theta * (1 - theta) * spread / (positives * negatives)

    def root(side: float, start: float, stop: float) -> float:
        def gap(theta: float) -> float:
            return (area - theta) - side * z * math.sqrt(variance(theta))

        return float(optimize.brentq(gap, start, stop, xtol=1e-12))

    tiny = 1e-12
    lower = 0.0 if area <= tiny else root(1.0, tiny, area - tiny / 2 if area < 1 else 1 - tiny)
    upper = 1.0 if area >= 1 - tiny else root(-1.0, area + tiny / 2 if area > 0 else tiny, 1 - tiny)
    return lower, upper


def _variance_name(fit: Areas) -> str:
    return "DeLong" if fit.clusters == fit.n else "Obuchowski (clustered DeLong, t)"


def _quantile(fit: Areas, level: float) -> float:
    """Return the normal quantile for DeLong, or Student's, on the patients of the smaller class, for Obuchowski."""
    tail = (1 - level) / 2
    if fit.clusters == fit.n:
        return float(stats.norm.isf(tail))
    return float(stats.t.isf(tail, min(fit.positive_clusters, fit.negative_clusters) - 1))


def _too_few(fit: Areas) -> str:
    if fit.positive_clusters >= 2 and fit.negative_clusters >= 2:
        return ""
    return (
        f"an AUC needs at least two patients with positive and two with negative cases; "
        f"there are {fit.positive_clusters} and {fit.negative_clusters}"
    )


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
