"""Distances between two sets of features: Fréchet distance and kernel distance (KID), with intervals by patient."""

from __future__ import annotations

import numpy as np

from validation.estimate import Estimate
from validation.metrics.generative.sets import (
    GROUPS,
    Codes,
    Features,
    FeatureSet,
    Floats,
    feature_set,
    patient_groups,
    same_features,
    scaled_on,
    two_set_interval,
)
from validation.registry import Direction, Kind, metric

BLOCK = 1 << 22  # kernel values held at a time
SEED = 1


@metric(
    "frechet_distance",
    unit="1",
    direction=Direction.LOWER,
    kind=Kind.ESTIMATE,
    roles=("real", "synthetic"),
    reference="Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X; Heusel 2017, arXiv:1706.08500",
    oracle="distribution.json (SciPy, torchmetrics, MONAI, torch-fidelity)",
    family="generative",
)
def frechet_distance(
    real: Features, synthetic: Features, *, standardise: bool = False, level: float = 0.95
) -> Estimate:
    r"""Fréchet distance of two sets: the Wasserstein distance of the Gaussians with their means and covariances.

    .. math:: |\mu_1-\mu_2|^2 + \mathrm{tr}\,\Sigma_1 + \mathrm{tr}\,\Sigma_2 - 2\,\mathrm{tr}(\Sigma_1\Sigma_2)^{1/2}

    computed from singular values, so that rank-deficient covariances need no regularisation. Biased upward for small
    sets, the more so the more features: compare only at equal sizes, and with the distance between two real sets. The
    interval (jackknife by patient) is about the value at these sizes, not about the limit.

    Parameters
    ----------
    real, synthetic
        Sets, see :mod:`validation.metrics.generative.sets`.
    standardise
        Centre and scale every feature as in the real set, for features of different units (radiomic ones).
    """
    first, second = feature_set(real, role="real"), feature_set(synthetic, role="synthetic")
    same_features(real=first, synthetic=second)
    if standardise:
        first, second = scaled_on(first, second)
    groups = GROUPS if first.values.shape[1] <= 256 else 10
    parts = [_moments(s, groups) for s in (first, second)]
    whole = [_gaussian(p.sum(0)) for p in (parts[0], parts[1])]
    value = _frechet(whole[0], whole[1])
    without = (
        [_frechet(_gaussian(parts[0].sum(0) - p), whole[1]) for p in parts[0]],
        [_frechet(whole[0], _gaussian(parts[1].sum(0) - p)) for p in parts[1]],
    )
    return two_set_interval(
        value, without, n=first.n + second.n, n_clusters=first.n_patients + second.n_patients, level=level, unit="1",
        method="Fréchet distance",
    )  # fmt: skip


def _moments(data: FeatureSet, count: int) -> Floats:
    """Return sums of (1, x) (1, x)' per group, shape (groups, d + 1, d + 1)."""
    groups = patient_groups(data.patients, count, seed=SEED)
    extended = np.concatenate([np.ones((data.n, 1)), data.values], axis=1)
    return np.stack([extended[groups == g].T @ extended[groups == g] for g in range(int(groups.max()) + 1)])


def _gaussian(sums: Floats) -> tuple[Floats, Floats, float]:
    """Return the mean, a factor L with L L' = covariance, and the trace of the covariance."""
    n = sums[0, 0]
    mean = sums[0, 1:] / n
    covariance = (sums[1:, 1:] - n * np.outer(mean, mean)) / (n - 1)
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors * np.sqrt(np.clip(values, 0, None)), float(np.trace(covariance))


def _frechet(first: tuple[Floats, Floats, float], second: tuple[Floats, Floats, float]) -> float:
    cross = float(np.linalg.svd(first[1].T @ second[1], compute_uv=False).sum())
    return float(((first[0] - second[0]) ** 2).sum() + first[2] + second[2] - 2 * cross)


@metric(
    "kernel_distance",
    unit="1",
    direction=Direction.LOWER,
    kind=Kind.ESTIMATE,
    roles=("real", "synthetic"),
    reference="Bińkowski 2018, arXiv:1801.01401; Gretton 2012 (JMLR 13:723-773)",
    oracle="distribution.json (full-sample unbiased MMD2; piq)",
    family="generative",
)
def kernel_distance(real: Features, synthetic: Features, *, standardise: bool = False, level: float = 0.95) -> Estimate:
    r"""Kernel distance (KID): unbiased squared maximum mean discrepancy with the kernel :math:`(x'y/d + 1)^3`.

    Over all pairs, without random subsets, so that the value does not depend on a seed. Pairs of one patient do not
    count. Unbiased: around zero, and often negative, when both sets come from one distribution.

    Parameters
    ----------
    real, synthetic
        Sets, see :mod:`validation.metrics.generative.sets`.
    standardise
        Centre and scale every feature as in the real set, for features of different units (radiomic ones).
    """
    first, second = feature_set(real, role="real"), feature_set(synthetic, role="synthetic")
    same_features(real=first, synthetic=second)
    if standardise:
        first, second = scaled_on(first, second)
    groups = [patient_groups(s.patients, GROUPS, seed=SEED) for s in (first, second)]
    blocks = {
        "rr": _kernel_sums(first, first, groups[0], groups[0]),
        "ss": _kernel_sums(second, second, groups[1], groups[1]),
        "rs": _kernel_sums(first, second, groups[0], groups[1]),
    }
    counts = [len(np.unique(g)) for g in groups]

    def value(keep_r: Floats, keep_s: Floats) -> float:
        means = []
        for name, a, b in (("rr", keep_r, keep_r), ("ss", keep_s, keep_s), ("rs", keep_r, keep_s)):
            total, number = blocks[name]
            means.append((a @ total @ b) / (a @ number @ b))
        return float(means[0] + means[1] - 2 * means[2])

    ones = np.ones(counts[0]), np.ones(counts[1])
    without = (
        [value(ones[0] - row, ones[1]) for row in np.eye(counts[0])],
        [value(ones[0], ones[1] - row) for row in np.eye(counts[1])],
    )
    return two_set_interval(
        value(*ones), without, n=first.n + second.n, n_clusters=first.n_patients + second.n_patients, level=level,
        unit="1", method="kernel distance",
    )  # fmt: skip


def _kernel_sums(a: FeatureSet, b: FeatureSet, groups_a: Codes, groups_b: Codes) -> tuple[Floats, Floats]:
    """Return kernel sums and numbers of pairs per pair of groups; pairs of one patient of one set are left out."""
    same = a is b
    d = a.values.shape[1]
    member = np.eye(int(groups_b.max()) + 1)[groups_b]
    shape = (int(groups_a.max()) + 1, member.shape[1])
    total, number = np.zeros(shape), np.zeros(shape)
    rows = max(1, BLOCK // b.n)
    for start in range(0, a.n, rows):
        part = slice(start, start + rows)
        kernel = a.values[part] @ b.values.T
        kernel /= d
        kernel += 1
        kernel = kernel * kernel * kernel
        counted = np.ones_like(kernel)
        if same:
            counted = (a.patients[part, None] != b.patients[None]).astype(np.float64)
            kernel *= counted
        np.add.at(total, groups_a[part], kernel @ member)
        np.add.at(number, groups_a[part], counted @ member)
    return total, number
