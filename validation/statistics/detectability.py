"""Detectability of a known signal by a channelised Hotelling observer, from its channel responses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from validation.estimate import Estimate
from validation.statistics.clusters import group
from validation.statistics.jackknife import jackknife_variance
from validation.statistics.sample import Floats

Figure = Literal["d_prime", "auc"]


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums of one arm that can be added and taken away: counts (2,), sums (2, k), cross-products (k, k)."""

    counts: Floats
    sums: Floats
    products: Floats


def detectability(
    responses: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
    figure: Figure = "d_prime",
) -> Estimate:
    r"""Estimate how well an ideally trained channelised Hotelling observer detects the signal.

    With sample means :math:`\bar v_1, \bar v_0` and pooled covariance S of the k channel responses,
    :math:`\hat\delta^2 = (\bar v_1-\bar v_0)^T S^{-1} (\bar v_1-\bar v_0)` overstates detectability, because the
    observer is tested on the images that trained it.

    Independent images: :math:`\frac{m_0 m_1}{m}\,\frac{m-k-1}{(m-2)k}\,\hat\delta^2` with :math:`m=m_0+m_1` has a
    noncentral F distribution with k and m - k - 1 degrees of freedom. Its noncentrality at probability one half gives
    the median-unbiased estimate, and at the tail probabilities exact limits; no image needs to be set aside for
    training. Several images per phantom or patient: the minimum-variance unbiased estimate of
    :math:`\delta^2`, and a t interval of d' with delete-one-cluster jackknife variance.

    Parameters
    ----------
    responses
        Channel responses, shape (n, k); an image with a missing (NaN) response is left out.
    labels
        Shape (n,), 1 where the signal is present.
    clusters
        Phantom or patient of each image.
    figure
        ``"d_prime"``, or ``"auc"``, :math:`\Phi(d'/\sqrt 2)`.

    Returns
    -------
    Estimate
        ``n_events`` counts signal-present images. Insufficient when there are fewer than two images of a class, fewer
        than k + 4 images, fewer than three clusters, or the channels are linearly dependent.

    Notes
    -----
    Assumes responses that are multivariate normal with equal covariance with and without the signal (a low-contrast,
    small signal). The exact interval covers detectability with a known location, without internal noise.

    References
    ----------
    Wunderlich, Noo, Gallas and Heilbrun 2015, doi:10.1109/TMI.2014.2360496 (exact limits, after Reiser);
    Wunderlich and Noo 2009, doi:10.1109/TMI.2009.2012705 (unbiased estimates of the squared distance).
    """
    if figure not in ("d_prime", "auc"):
        raise ValueError(f"figure must be d_prime or auc, got {figure!r}")
    v, truth, ids = _complete([responses], labels, clusters)
    groups = group(ids, len(truth))
    k, m1 = v[0].shape[1], int(truth.sum())
    m0 = len(truth) - m1
    name = "d'" if figure == "d_prime" else "AUC"
    how = "exact (noncentral F)" if groups.single else "jackknife of clusters"
    label = f"channelised Hotelling observer {name}, {how}"
    reason = _too_few(m0, m1, k, groups.count)
    moments = None if reason else _moments(v[0], truth)
    squared = None if moments is None else _squared(moments)
    if not reason and squared is None:
        reason = "the channel responses are linearly dependent, so there is no observer"
    if squared is None or moments is None:
        return Estimate.insufficient(
            reason, n=m0 + m1, unit=unit, method=label, level=level, n_events=m1, n_clusters=groups.count
        )
    lower: float | None
    upper: float | None
    if groups.single:
        tail = (1 - level) / 2
        value = _noncentral(squared, m0, m1, k, 0.5)
        lower, upper = _noncentral(squared, m0, m1, k, 1 - tail), _noncentral(squared, m0, m1, k, tail)
    else:
        value = _d_prime(squared, m0, m1, k)
        without = _without_each([(v[0], truth, moments)], groups.codes, groups.count)
        if without is None:
            lower = upper = None
            reason = "one cluster holds most images of a class, so the spread between clusters cannot be estimated"
        else:
            error = math.sqrt(jackknife_variance(without))
            half = float(stats.t.isf((1 - level) / 2, groups.count - 1)) * error
            lower, upper = max(0.0, value - half), value + half
    if figure == "auc":
        value = _area(value)
        lower, upper = None if lower is None else _area(lower), None if upper is None else _area(upper)
    return Estimate(
        value=value, lower=lower, upper=upper, method=label, n=m0 + m1, unit=unit, level=level, n_events=m1,
        n_clusters=groups.count, reason=reason,
    )  # fmt: skip


def detectability_difference(
    responses: ArrayLike,
    comparator: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
    figure: Figure = "d_prime",
) -> Estimate:
    """Estimate the difference of detectability between two arms of the same images.

    Each arm has its own ideally trained observer. The estimates are those of minimum bias of
    :func:`detectability` for clusters; the interval is a t interval with the delete-one-cluster jackknife variance of
    the difference, which keeps the pairing of arms and of images. (Resampling with replacement would put copies of an
    image in the covariance and make both observers look better than they are.)

    Parameters
    ----------
    responses, comparator
        Channel responses of the two arms, shapes (n, k) and (n, k2).
    labels, clusters, figure
        As in :func:`detectability`.

    Returns
    -------
    Estimate
        Insufficient as :func:`detectability`; without limits when the arms are the same.
    """
    v, truth, ids = _complete([responses, comparator], labels, clusters)
    groups = group(ids, len(truth))
    m1 = int(truth.sum())
    m0 = len(truth) - m1
    name = "d'" if figure == "d_prime" else "AUC"
    label = f"paired difference of channelised Hotelling observer {name}, jackknife of clusters"
    reason = _too_few(m0, m1, max(v[0].shape[1], v[1].shape[1]), groups.count)
    moments = [_moments(arm, truth) for arm in v] if not reason else []
    squared = [_squared(m) for m in moments]
    if not reason and any(s is None for s in squared):
        reason = "the channel responses are linearly dependent, so there is no observer"
    if reason:
        return Estimate.insufficient(
            reason, n=m0 + m1, unit=unit, method=label, level=level, n_events=m1, n_clusters=groups.count
        )
    a, b = (_d_prime(s or 0.0, m0, m1, arm.shape[1]) for s, arm in zip(squared, v, strict=True))
    value = _area(a) - _area(b) if figure == "auc" else a - b
    arms = [(arm, truth, m) for arm, m in zip(v, moments, strict=True)]
    without = _without_each(arms, groups.codes, groups.count, figure)
    lower = upper = None
    if without is None:
        reason = "one cluster holds most images of a class, so the spread between clusters cannot be estimated"
    else:
        error = math.sqrt(jackknife_variance(without))
        if error <= 1e-12 * max(abs(a), abs(b)):
            reason = "both arms are equally detectable without any one cluster, so the spread cannot be estimated"
        else:
            half = float(stats.t.isf((1 - level) / 2, groups.count - 1)) * error
            lower, upper = value - half, value + half
    return Estimate(
        value=value, lower=lower, upper=upper, method=label, n=m0 + m1, unit=unit, level=level, n_events=m1,
        n_clusters=groups.count, reason=reason,
    )  # fmt: skip


def _complete(
    arms: list[ArrayLike], labels: ArrayLike, clusters: ArrayLike | None
) -> tuple[list[Floats], Floats, ArrayLike | None]:
    v = [np.asarray(arm, dtype=np.float64) for arm in arms]
    truth = np.asarray(labels, dtype=np.float64)
    keep = ~np.isnan(truth)
    for arm in v:
        keep &= np.isfinite(arm).all(axis=1)
    # centred once: cross-products of large offsets would lose digits
    kept = [arm[keep] - (arm[keep].mean(axis=0) if keep.any() else 0.0) for arm in v]
    return kept, truth[keep], None if clusters is None else np.asarray(clusters)[keep]


def _too_few(m0: int, m1: int, k: int, clusters: int) -> str:
    if m0 < 2 or m1 < 2:
        return f"an observer needs two or more images with and without the signal; there are {m1} and {m0}"
    if m0 + m1 < k + 4:
        return f"{m0 + m1} images cannot train an observer of {k} channels; {k + 4} are the least"
    return f"{clusters} clusters; the spread between clusters needs three or more" if clusters < 3 else ""


def _moments(v: Floats, truth: Floats) -> _Moments:
    classes = np.stack([truth == 0, truth == 1]).astype(np.float64)
    return _Moments(classes.sum(axis=1), classes @ v, v.T @ v)


def _squared(m: _Moments) -> float | None:
    """Return the squared Mahalanobis distance of the class means, ``None`` if the covariance is singular."""
    found = float(_distances(m.counts[None], m.sums[None], m.products[None])[0])
    return None if math.isnan(found) else found


def _distances(counts: Floats, sums: Floats, products: Floats) -> Floats:
    """Return squared distances of sets of moments, shapes (G, 2), (G, 2, k) and (G, k, k); NaN where singular."""
    means = sums / counts[:, :, None]
    within = products - means.transpose(0, 2, 1) @ sums
    diagonal = np.diagonal(within, axis1=1, axis2=2)
    found = np.full(len(counts), np.nan)
    good = (diagonal > 0).all(axis=1)
    if not good.any():
        return found
    scale = np.sqrt(diagonal[good])
    correlation = within[good] / (scale[:, :, None] * scale[:, None, :])
    gap = (means[good, 1] - means[good, 0]) / scale
    smallest = np.linalg.eigvalsh(correlation)[:, 0]
    solvable = smallest > 1e-12 * correlation.shape[1]
    rows = np.flatnonzero(good)[solvable]
    solved = np.linalg.solve(correlation[solvable], gap[solvable][:, :, None])[:, :, 0]
    found[rows] = (gap[solvable] * solved).sum(axis=1) * (counts[rows].sum(axis=1) - 2)
    return found


def _d_prime(squared: float, m0: float, m1: float, k: int) -> float:
    """Return d' from the minimum-variance unbiased estimate of its square, 0 where that is negative."""
    m = m0 + m1
    return math.sqrt(max(0.0, (m - k - 3) / (m - 2) * squared - k * m / (m0 * m1)))


def _noncentral(squared: float, m0: int, m1: int, k: int, probability: float) -> float:
    """Return the d' at which the observed distance has the given cumulative probability; 0 if even d' = 0 has less."""
    m = m0 + m1
    size, df = m0 * m1 / m, m - k - 1
    f = size * df / ((m - 2) * k) * squared

    def gap(d: float) -> float:
        centrality = size * d * d
        return float(stats.ncf.cdf(f, k, df, centrality) if centrality else stats.f.cdf(f, k, df)) - probability

    if gap(0.0) <= 0:
        return 0.0
    high = max(math.sqrt(squared), 0.1)
    while gap(high) > 0:
        high *= 2
    return float(optimize.brentq(gap, 0.0, high, xtol=1e-10))


def _without_each(
    arms: list[tuple[Floats, Floats, _Moments]], codes: np.ndarray[tuple[int], np.dtype[np.intp]], clusters: int,
    figure: Figure = "d_prime",
) -> Floats | None:  # fmt: skip
    """Return d' (or the difference of two arms) without each cluster; ``None`` if one leaves too few images."""
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.searchsorted(codes[order], np.arange(1, clusters)))
    found = np.empty((clusters, len(arms)))
    for j, (v, truth, whole) in enumerate(arms):
        parts = [_moments(v[r], truth[r]) for r in rows]
        counts = whole.counts - np.stack([p.counts for p in parts])
        k = v.shape[1]
        if counts.min() < 2 or counts.sum(axis=1).min() < k + 4:
            return None
        squared = _distances(
            counts,
            whole.sums - np.stack([p.sums for p in parts]),
            whole.products - np.stack([p.products for p in parts]),
        )
        if np.isnan(squared).any():
            return None
        m = counts.sum(axis=1)
        unbiased = (m - k - 3) / (m - 2) * squared - k * m / (counts[:, 0] * counts[:, 1])
        found[:, j] = np.sqrt(np.maximum(unbiased, 0.0))
    if len(arms) == 1:
        return found[:, 0]
    if figure == "auc":
        found = stats.norm.cdf(found / math.sqrt(2))
    return np.asarray(found[:, 0] - found[:, 1])


def _area(d_prime: float) -> float:
    return float(stats.norm.cdf(d_prime / math.sqrt(2)))
