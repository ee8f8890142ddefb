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

    With one case per patient, or equally many, V is exactly the squared standard error of the mean of patient means and
    the t distribution with G - 1 degrees of freedom is exact for normal data. With unequal patients the degrees of
    freedom are Satterthwaite's for V under working independence (Bell and McCaffrey), never more than G - 1: a few
    patients with most of the cases carry little information about spread, however many others there are. Among CR1,
    CR2 and CR3 with either degrees of freedom this pair alone kept 94.5 to 96.5 % coverage of a 95 % interval in
    simulations with 6 to 23 patients of 1 to 20 cases and intraclass correlations from 0 to 1; with one patient holding
    nearly half of all cases it errs on the safe side (98 %), where CR1 with G - 1 falls to 83 %.

    Needs at least two clusters.

    References
    ----------
    MacKinnon, Nielsen and Webb 2023, arXiv:2301.04527; Bell and McCaffrey 2002 (degrees of freedom).
    """
    n, g = len(groups.codes), groups.count
    means = columns.mean(axis=0)
    centred = groups.sums(columns - means)
    deleted = centred / (n - groups.sizes)[:, None]
    covariance = (g - 1) / g * deleted.T @ deleted
    return MeanCovariance(means, covariance, _satterthwaite(groups))


def _satterthwaite(groups: Clusters) -> float:
    if np.ptp(groups.sizes) == 0:
        return float(groups.count - 1)
    # V is a quadratic form in the patients' centred sums, whose covariance for independent cases is proportional to
    # diag(w) - w w'. With a = 1 / (1 - w)^2 the form has mean tr(aC) and variance 2 tr(aCaC), summed in closed form.
    w = groups.sizes / groups.sizes.sum()
    q = (w / (1 - w)) ** 2
    trace = float((w / (1 - w)).sum())
    square = float(q.sum() + q.sum() ** 2 - (q**2).sum())
    return min(groups.count - 1.0, trace**2 / square)
