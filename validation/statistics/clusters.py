"""Patients as clusters: codes, sums, and the delete-one-patient covariance of sample means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from validation.statistics.sample import Floats


@dataclass(frozen=True, eq=False)
class Clusters:
    """Cases grouped by patient.

    ``codes`` (n,) numbers the patient of each case from 0, in order of first appearance; ``sizes`` (G,) counts cases.
    """

    codes: NDArray[np.intp]
    sizes: Floats

    @property
    def count(self) -> int:
        """Number of clusters G."""
        return len(self.sizes)

    @property
    def single(self) -> bool:
        """Whether every cluster holds one case, so that cases are independent."""
        return self.count == len(self.codes)

    def sums(self, columns: Floats) -> Floats:
        """Return the sums within clusters of columns of shape (n,) or (n, p): shape (G,) or (G, p)."""
        if columns.ndim == 1:
            return np.bincount(self.codes, weights=columns, minlength=self.count).astype(np.float64, copy=False)
        return np.stack([self.sums(column) for column in columns.T], axis=1)


def group(clusters: ArrayLike | None, n: int) -> Clusters:
    """Group n cases by cluster; ``None`` makes every case its own cluster.

    >>> group(["b", "a", "b"], 3).codes.tolist()
    [0, 1, 0]
    """
    if clusters is None:
        return Clusters(np.arange(n), np.ones(n))
    ids = np.asarray(clusters).tolist()
    if len(ids) != n:
        raise ValueError(f"clusters must have length {n}, got {len(ids)}")
    order: dict[object, int] = {}
    codes = np.fromiter((order.setdefault(i, len(order)) for i in ids), dtype=np.intp, count=n)
    return Clusters(codes, np.bincount(codes, minlength=len(order)).astype(np.float64))


@dataclass(frozen=True, eq=False)
class MeanCovariance:
    """Sample means (p,), their covariance (p, p) and the degrees of freedom of its t reference distribution."""

    means: Floats
    covariance: Floats
    df: float


def mean_covariance(columns: Floats, groups: Clusters) -> MeanCovariance:
    r"""Means over cases with the cluster-robust covariance CR3 (delete-one-cluster jackknife).

    .. math:: V = \frac{G-1}{G}\sum_g (\bar y_{(-g)}-\bar y)(\bar y_{(-g)}-\bar y)^T,\qquad
              \bar y_{(-g)}-\bar y = -\frac{\sum_{i\in g}(y_i-\bar y)}{N-n_g}

    With one case per patient, or equally many, V is exactly the covariance of the mean of patient means and the
    t distribution with G - 1 degrees of freedom is exact for normal data. With unequal patients CR3 errs on the safe
    side where CR0, CR1 (and to a lesser degree CR2) are too small. The degrees of freedom are then Satterthwaite's
    for V, under the working assumption that cases of one patient are perfectly correlated, and never more than G - 1:
    a few patients with most of the cases carry little information about spread, however many others there are.

    Needs at least two clusters.

    References
    ----------
    MacKinnon, Nielsen and Webb 2023, doi:10.1002/jae.2990; Bell and McCaffrey 2002 (degrees of freedom).
    """
    n, g = len(groups.codes), groups.count
    means = columns.mean(axis=0)
    centred = groups.sums(columns - means)
    deleted = centred / (n - groups.sizes)[:, None]
    covariance = (g - 1) / g * deleted.T @ deleted
    return MeanCovariance(means, covariance, _satterthwaite(groups))


def _satterthwaite(groups: Clusters) -> float:
    g, w = groups.count, groups.sizes / groups.sizes.sum()
    if np.ptp(groups.sizes) == 0:
        return float(g - 1)
    # V = sum_g a_g (w_g (u_g - sum_h w_h u_h))^2 with iid patient effects u: a quadratic form u' B u, and
    # df = tr(B)^2 / tr(B B). B = (I - w 1')' D (I - w 1'), D = diag(a w^2), gives both traces from sums over g.
    d = (w / (1 - w)) ** 2
    total, ww = d.sum(), float(w @ w)
    trace = total - 2 * float(d @ w) + total * ww
    # tr(BB) = tr((D P)^2), P = (I - 1 w')(I - w 1') = I - w 1' - 1 w' + (w'w) 1 1', symmetric, computed entrywise:
    # P_gh = [g = h] - w_g - w_h + w'w
    square = float((d**2 * (1 - 2 * w + ww) ** 2).sum())
    s0, s1, s2 = total, float(d @ w), float(d @ w**2)
    full = s0 * s0 * ww * ww + 2 * s0 * s2 + 2 * s1 * s1 - 4 * ww * s0 * s1  # sum over all g, h of d_g d_h (P - I)^2
    diagonal = float((d**2 * (ww - 2 * w) ** 2).sum())
    return float(min(g - 1, trace**2 / (square + full - diagonal)))
