"""How much each patient moves a difference between two cohorts, and limits for the size of the true difference.

Every distance here is a norm of a difference D of two means (distribution functions at points, shares of levels, kernel
mean embeddings). A bootstrap around the norm of the estimate does not cover: the norm is biased upwards and cannot be
below zero. Two facts give honest limits.

- Upper: a norm is the largest of <D, h> over a dual unit ball. At the true best h the estimate <D^, h> is normal
  about the true norm, and is at most the norm of D^. So the norm of D^ plus a quantile times the largest standard
  error over h is an upper limit. It is the intersection-union bound: every direction is bounded by itself, without
  multiplicity.
- Lower: by the triangle inequality the norm of D^ differs from the true one by at most the norm of D^ - D, whose
  quantile comes from a multiplier bootstrap of patients.

Both limits are conservative, and less so for few directions (one binary variable) than for many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from validation.shift.groups import Codes, Floats, Groups, weights

MULTIPLIERS = 999


@dataclass(frozen=True, eq=False)
class Influence:
    """Contribution of each patient to D^ - D: ``rows`` (U, K); their cross product is the CR3 covariance."""

    rows: Floats
    df: float

    @property
    def covariance(self) -> Floats:
        """Covariance (K, K) of the estimated difference."""
        return np.asarray(self.rows.T @ self.rows)


def influence(groups: Groups, columns: Floats) -> Influence:
    r"""Return the delete-one-patient deviations of the difference of (stratified) means of columns (N, K).

    .. math:: \psi_g = \sqrt{\tfrac{G-1}{G}}\sum_{i\in g} c_i (y_i - \bar y_{k(i)}) / (1 - \sum_{i\in g}|c_i|)

    with the signed case weights c and the mean of the case's cohort and stratum. The degrees of freedom are Welch's,
    with Kish's effective number of patients in each cohort.
    """
    c = weights(groups, groups.new[None, :])[0]
    of_case = groups.strata[groups.units]
    centred = np.zeros_like(columns)
    for s in np.unique(of_case):
        for new in (False, True):
            inside = (of_case == s) & (groups.new == new)
            if inside.any():
                centred[inside] = columns[inside] - columns[inside].mean(axis=0)
    rows = np.zeros((groups.count, columns.shape[1]))
    parts, dfs = [], []
    for new in (False, True):
        inside = groups.new == new
        total = np.abs(c[inside]).sum()
        if total <= 0:
            continue
        share = np.bincount(groups.units[inside], weights=np.abs(c[inside]) / total, minlength=groups.count)
        g = int((share > 0).sum())
        own = _sums(groups.units[inside], c[inside, None] * centred[inside], groups.count)
        own *= (np.sqrt((g - 1) / g) / np.maximum(1 - share, 1e-12))[:, None]
        rows += own
        parts.append(float((own**2).sum()))
        dfs.append(max(1.0, 1 / float((share**2).sum()) - 1))
    spread = sum(parts)
    df = spread**2 / sum(v**2 / d for v, d in zip(parts, dfs, strict=True)) if spread > 0 else min(dfs, default=1.0)
    return Influence(rows=rows, df=float(df))


def _sums(codes: Codes, columns: Floats, count: int) -> Floats:
    if len(codes) == 0:
        return np.zeros((count, columns.shape[1]))
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    result = np.zeros((count, columns.shape[1]))
    result[ordered[starts]] = np.add.reduceat(columns[order], starts, axis=0)
    return result


def multiplier_norms(found: Influence, norm: Callable[[Floats], Floats], *, seed: int) -> Floats:
    """Return sorted norms of D* - D^ in multiplier bootstrap samples of patients, (B,)."""
    rng = np.random.Generator(np.random.Philox(seed))
    return np.sort(norm(rng.standard_normal((MULTIPLIERS, len(found.rows))) @ found.rows))


def lower_limit(value: float, norms: Floats, df: float, level: float) -> float:
    """Return the lower limit of a norm by the triangle inequality."""
    tail = (1 - level) / 2
    rank = min(len(norms), int(np.ceil((1 - tail) * (len(norms) + 1)))) - 1
    stretch = float(stats.t.isf(tail, df) / stats.norm.isf(tail))
    return max(0.0, value - float(norms[rank]) * stretch)


def quantile(df: float, level: float) -> float:
    """Return Student's one-sided quantile for two-sided limits at a level."""
    return float(stats.t.isf((1 - level) / 2, df))
