"""How much each patient moves a difference between two cohorts, and limits for the size of the true difference.

Every distance here is a norm of a difference D of two means (distribution functions at points, shares of levels, kernel
mean embeddings). A bootstrap around the norm of the estimate does not cover: the norm is biased upwards and cannot be
below zero. Two facts give honest limits.

- Upper: a norm is the largest of <D, h> over a dual unit ball. At the true best h the estimate <D^, h> is normal
  about the true norm, and is at most the norm of D^. So the norm of D^ plus a quantile times the largest standard
  error over h is an upper limit. It is the intersection-union bound: every direction is bounded by itself, without
  multiplicity.
- For a norm of a Hilbert space (Cramer-von Mises, energy, kernels) the upper limit is closer: the squared norm of D^
  adds the noise of all directions, and only that of the worst one has to be assumed unlucky; see :func:`norm_upper`.
- Lower: by the triangle inequality the norm of D^ differs from the true one by at most the norm of D^ - D, whose
  quantile comes from a multiplier bootstrap of patients.

Both limits are conservative, and less so for few directions (one binary variable) than for many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from validation.shift.groups import Codes, Floats, Groups, weights

MULTIPLIERS = 999
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)


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


@dataclass(frozen=True)
class Noise:
    """Covariance V of an estimated difference in a Hilbert space: trace, sum of squared eigenvalues, largest one."""

    trace: float
    squares: float
    top: float
    df: float

    @classmethod
    def of(cls, gram: Floats, top: float, df: float) -> Noise:
        """Return the noise of a Gram matrix (U, U) of influences, whose eigenvalues are those of V."""
        return cls(float(np.trace(gram)), float((gram**2).sum()), top, df)


def norm_tail(squared: float, size: float, noise: Noise) -> float:
    r"""Return the probability of a squared norm of D^ at most ``squared``, if the true norm is ``size``.

    With D along the direction of the largest eigenvalue :math:`\lambda_1` of V, the direction in which a large
    difference is most easily missed,

    .. math:: \|\hat D\|^2 = (\text{size} + \sqrt{\lambda_1}\,T)^2 + R

    with Student's T and the noise R of all other directions, a gamma variable of mean
    :math:`\operatorname{tr} V - \lambda_1` and variance :math:`2(\operatorname{tr} V^2 - \lambda_1^2)`.

    >>> round(norm_tail(4.0, 2.0, Noise(trace=1e-12, squares=0.0, top=1e-12, df=50.0)), 6)
    0.5
    """
    root, spread = np.sqrt(max(squared, 0.0)), np.sqrt(noise.top)
    if spread <= 0 or root <= 0:
        return float(size <= root)
    t = np.sin(_NODES * np.pi / 2)
    u, weight = root * t, root * np.pi / 2 * np.cos(_NODES * np.pi / 2) * _WEIGHTS
    rest, variance = noise.trace - noise.top, 2 * (noise.squares - noise.top**2)
    if rest <= 1e-9 * noise.trace or variance <= 0:
        return float(np.diff(stats.t.cdf((np.array([-root, root]) - size) / spread, noise.df))[0])
    density = stats.t.pdf((u - size) / spread, noise.df) / spread
    others = special.gammainc(rest**2 / variance, np.maximum(squared - u**2, 0.0) * rest / variance)
    return float(np.clip(weight @ (density * others), 0.0, 1.0))


def norm_upper(squared: float, noise: Noise, level: float) -> float:
    """Return the upper limit of a true norm: the size at which so small a squared norm has the tail probability.

    Cohorts that are more alike than two samples of one population (interleaved slices of one head are) say that cases
    are not independent, not that the difference is known to be zero: a squared norm below its mean under no difference
    counts as that mean, so the limit is never zero. The largest noise alone gives a limit that is never smaller.
    """
    tail = (1 - level) / 2
    squared = max(squared, noise.trace)
    wide = float(np.sqrt(max(squared, 0.0))) + quantile(noise.df, level) * float(np.sqrt(noise.top))
    if norm_tail(squared, 0.0, noise) <= tail:
        return 0.0
    if norm_tail(squared, wide, noise) >= tail:
        return wide
    return float(optimize.brentq(lambda size: norm_tail(squared, size, noise) - tail, 0.0, wide, xtol=1e-9, rtol=1e-9))


def quantile(df: float, level: float) -> float:
    """Return Student's one-sided quantile for two-sided limits at a level."""
    return float(stats.t.isf((1 - level) / 2, df))
