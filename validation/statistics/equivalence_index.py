"""Whether a proposal disagrees with readers no more than they do with each other."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import stats

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.statistics.clusters import group, mean_covariance
from validation.statistics.means import mean
from validation.statistics.proportions import proportion
from validation.statistics.sample import Floats, Sample

MODEL = "model"
Readers = Literal["nested", "crossed", "fixed"]
_LABEL = "individual equivalence index"


def individual_equivalence(sample: Sample, *, readers: Readers, level: float, unit: str = "1") -> Estimate:
    r"""Estimate the individual equivalence index of a system that proposes alone.

    .. math:: \mathrm{IEI} = E\,d(\text{model}, r_k) - E\,d(r_j, r_k), \quad j \ne k

    Positive where the proposal disagrees with readers more than they do with each other. Of each case the first term
    averages over its readers and the second over its pairs of readers.

    Parameters
    ----------
    sample
        Components ``model~A`` and ``A~B`` (metric ``reader_disagreement``).
    readers
        ``nested``: every case has readers of its own (or readers who are not named), so that the spread between cases
        holds that between readers; ``crossed``: the same named readers read the cases, and the claim is about others
        like them: the variance over patients and the jackknife variance over readers are added, which is conservative;
        ``fixed``: these readers only.

    Returns
    -------
    Estimate
        Student's t with cluster-robust variance, patients as clusters; for ``crossed`` with Satterthwaite's degrees of
        freedom, and without limits with fewer than three readers.

    References
    ----------
    Obuchowski, Subhas and Schoenhagen 2014, doi:10.1016/j.acra.2014.07.004; Barnhart, Kosinski and Haber 2007,
    doi:10.1080/10543400701329489.
    """
    label = f"{_LABEL}, {readers} readers, cluster-robust t"
    index = _index(sample, frozenset())
    keep = np.isfinite(index)
    clusters = sample.clusters[keep]
    plain = mean(index[keep], clusters=clusters, level=level, unit=unit, method=label)
    if readers != "crossed" or plain.value is None:
        return plain
    people = sorted({name for pair in _pairs(sample) for name in pair} - {MODEL})
    m = len(people)
    if m < 3:
        return Estimate(
            value=plain.value, lower=None, upper=None, method=label, n=plain.n, unit=unit, level=level,
            n_clusters=plain.n_clusters, reason=f"{m} readers: their variance needs three or more",
        )  # fmt: skip
    without = []
    for left in people:
        gap = _index(sample, frozenset({left}))[keep]
        if np.isnan(gap).all():
            return Estimate(
                value=plain.value, lower=None, upper=None, method=label, n=plain.n, unit=unit, level=level,
                n_clusters=plain.n_clusters, reason="without one of the readers no case is left",
            )  # fmt: skip
        without.append(float(np.nanmean(gap)))
    groups = group(clusters, len(clusters))
    if groups.count < 2:
        return plain
    fit = mean_covariance(index[keep][:, None], groups)
    over_patients = float(fit.covariance[0, 0])
    over_readers = (m - 1) / m * float(((np.array(without) - np.mean(without)) ** 2).sum())
    variance = over_patients + over_readers
    if variance <= 1e-18:
        return plain
    df = variance**2 / (over_patients**2 / fit.df + over_readers**2 / (m - 1))
    half = float(stats.t.isf((1 - level) / 2, df)) * variance**0.5
    return Estimate(
        value=plain.value, lower=plain.value - half, upper=plain.value + half, n=plain.n, unit=unit, level=level,
        n_clusters=groups.count, method=f"{_LABEL}, crossed readers: conservative variance (patients plus readers), t",
    )  # fmt: skip


def inside_spread(sample: Sample, *, level: float, unit: str = "1") -> Estimate:
    """Estimate the share of cases whose proposal is no farther from the readers than the farthest reader.

    A case counts when the mean disagreement of the proposal with the readers is at most the largest mean disagreement
    of a reader with the other readers. A proposal that were one more reader would be inside in m / (m + 1) of cases
    with m readers (0.8 with four); a case needs at least three readers.
    """
    pairs = _pairs(sample)
    people = sorted({name for pair in pairs for name in pair} - {MODEL})
    own = _mean_of(sample, [k for k, pair in enumerate(pairs) if MODEL in pair])
    each = np.stack(
        [_mean_of(sample, [k for k, pair in enumerate(pairs) if who in pair and MODEL not in pair]) for who in people],
        axis=1,
    ) if people else np.empty((sample.n, 0))  # fmt: skip
    present = np.isfinite(each)
    worst = np.where(present, each, -np.inf).max(axis=1, initial=-np.inf)
    usable = np.isfinite(own) & (present.sum(1) >= 3)
    inside = np.where(usable, (own <= worst + 1e-12).astype(np.float64), np.nan)
    return proportion(inside, clusters=sample.clusters, level=level, unit=unit)


def _index(sample: Sample, left_out: frozenset[str]) -> Floats:
    """Return the index of each case, without some of the readers; NaN where a term has no pair."""
    pairs = [pair if not left_out & set(pair) else ("", "") for pair in _pairs(sample)]
    between = _mean_of(sample, [k for k, pair in enumerate(pairs) if MODEL in pair])
    within = _mean_of(sample, [k for k, pair in enumerate(pairs) if pair[0] and MODEL not in pair])
    return between - within


def _mean_of(sample: Sample, columns: list[int]) -> Floats:
    assert sample.components is not None  # noqa: S101 - `_pairs` has made sure of it
    part = sample.components[:, columns]
    count = np.isfinite(part).sum(1)
    total = np.where(np.isfinite(part), part, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _pairs(sample: Sample) -> list[tuple[str, str]]:
    pairs = [tuple(name.split("~", 1)) for name in sample.component_names]
    if sample.components is None or any(len(pair) != 2 for pair in pairs):
        raise DataProblem(
            "the metric does not compare readers with each other.",
            code="STAT-004",
            where="individual_equivalence",
            action="Use the metric `reader_disagreement`.",
        )
    return [(pair[0], pair[1]) for pair in pairs]
