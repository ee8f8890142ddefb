"""Patient-clustered bootstrap, vectorised over replicates: percentile and BCa intervals.

A statistic is given as a function of weights: how often each patient was drawn. Weights come in blocks, so memory does
not grow with the number of replicates, and the block size is fixed, so results do not depend on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import group
from validation.statistics.means import refuse
from validation.statistics.sample import Floats

Statistic = Callable[[Floats], Floats]
BootstrapInterval = Literal["percentile", "bca"]

_BLOCK = 1 << 20  # weights made at a time (8 MiB)


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of a statistic over resampled patients, from which intervals at any level are read.

    ``replicates`` (B,) sorted, without undefined ones; ``value`` on the data; ``bias`` and ``acceleration`` of BCa;
    ``undefined`` counts replicates in which the statistic did not exist.
    """

    value: float
    replicates: Floats
    bias: float
    acceleration: float
    undefined: int

    def limits(self, level: float, interval: BootstrapInterval) -> tuple[float | None, float | None]:
        """Return the two limits; ``None`` where the replicates are too few to hold the quantile.

        Quantile p is the order statistic of rank p (B + 1), interpolated; below rank 1 there is none, so that a
        p-value by interval inversion is never smaller than 1 / (B + 1).
        """
        tail = (1 - level) / 2
        if tail * (len(self.replicates) + 1) < 1 - 1e-9:
            return None, None
        return self._quantile(self._adjusted(tail, interval)), self._quantile(self._adjusted(1 - tail, interval))

    def _adjusted(self, p: float, interval: BootstrapInterval) -> float:
        if interval == "percentile":
            return p
        z = self.bias + float(stats.norm.ppf(p))
        scale = 1 - self.acceleration * z
        return float(stats.norm.cdf(self.bias + z / scale)) if scale > 0 else math.nan

    def _quantile(self, p: float) -> float | None:
        b = len(self.replicates)
        rank = p * (b + 1)
        if not 1 - 1e-9 <= rank <= b + 1e-9:  # NaN fails too
            return None
        low = min(max(int(rank), 1), b)
        fraction = min(max(rank - low, 0.0), 1.0)
        high = min(low + 1, b)
        return float(self.replicates[low - 1] * (1 - fraction) + self.replicates[high - 1] * fraction)


def bootstrap(statistic: Statistic, n_clusters: int, *, replicates: int = 2000, seed: int) -> Bootstrap | None:
    """Draw patients with replacement and return the replicates of a statistic.

    Parameters
    ----------
    statistic
        Maps weights of shape (b, G), how often each patient was drawn, to b values; NaN where undefined.
    n_clusters
        Number of patients G, at least 2.
    replicates
        Number of bootstrap samples B.
    seed
        Seed of the Philox generator; the same seed gives the same replicates.

    Returns
    -------
    Bootstrap or None
        ``None`` if the statistic is undefined on the data or in more than half of the replicates.

    References
    ----------
    Efron 1987, doi:10.1080/01621459.1987.10478410; patients as resampling units: Davison and Hinkley 1997, section 3.8.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    rows = max(1, _BLOCK // n_clusters)
    blocks = []
    for start in range(0, replicates, rows):
        b = min(rows, replicates - start)
        drawn = rng.integers(0, n_clusters, size=(b, n_clusters))
        drawn += np.arange(b)[:, None] * n_clusters
        counts = np.bincount(drawn.ravel(), minlength=b * n_clusters).reshape(b, n_clusters)
        blocks.append(statistic(counts.astype(np.float64)))
    found = np.concatenate(blocks)
    value = float(statistic(np.ones((1, n_clusters)))[0])
    defined = np.sort(found[np.isfinite(found)])
    if not math.isfinite(value) or len(defined) < replicates / 2:
        return None
    below = float((defined < value).sum() + 0.5 * (defined == value).sum())
    b = len(defined)
    bias = float(stats.norm.ppf(min(max(below / b, 0.5 / b), 1 - 0.5 / b)))
    acceleration = _acceleration(statistic, n_clusters) if replicates > 1 else 0.0
    return Bootstrap(value, defined, bias, acceleration, replicates - b)


def bootstrap_estimate(
    fit: Bootstrap | None,
    *,
    n: int,
    n_clusters: int,
    level: float,
    unit: str,
    what: str,
    interval: BootstrapInterval = "percentile",
) -> Estimate:
    """Turn bootstrap replicates into an estimate; without limits when they have no spread or are too few."""
    label = f"{what}, {'BCa' if interval == 'bca' else 'percentile'} bootstrap of patients"
    if fit is None:
        reason = "the statistic does not exist on these data, or in most of the resampled ones"
        return Estimate.insufficient(reason, n=n, unit=unit, method=label, level=level, n_clusters=n_clusters)
    reason = ""
    lower, upper = fit.limits(level, interval)
    scale = max(abs(float(fit.replicates[0])), abs(float(fit.replicates[-1])))
    if fit.replicates[-1] - fit.replicates[0] <= 1e-13 * scale:
        lower = upper = None
        reason = "all resampled data give the same value, so its spread cannot be estimated"
    elif lower is None or upper is None:
        reason = f"{len(fit.replicates)} replicates are too few for a limit at this level"
    elif lower > upper:  # by rounding, at levels near 0 that the inversion of intervals asks for
        lower, upper = upper, lower
    return Estimate(
        value=fit.value, lower=lower, upper=upper, method=label, n=n, unit=unit, level=level, n_clusters=n_clusters,
        reason=reason,
    )  # fmt: skip


def mean_bootstrap(
    values: ArrayLike, *, clusters: ArrayLike | None = None, replicates: int = 2000, seed: int
) -> tuple[Bootstrap | None, int, int]:
    """Bootstrap the mean over cases by patients; return the replicates and the numbers of cases and patients.

    >>> fit, n, g = mean_bootstrap([1.0, 2.0, 3.0, 4.0], seed=1)
    >>> fit.value, n, g
    (2.5, 4, 4)
    """
    y = np.asarray(values, dtype=np.float64)
    keep = ~np.isnan(y)
    y = y[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(y))
    if refuse(y, groups, level=0.95, unit="1", method="") is not None:
        return None, len(y), groups.count
    totals = np.stack([groups.sums(y), groups.sizes], axis=1)

    def statistic(weights: Floats) -> Floats:
        sums = weights @ totals
        return np.asarray(sums[:, 0] / sums[:, 1])

    return bootstrap(statistic, groups.count, replicates=replicates, seed=seed), len(y), groups.count


def quantile_bootstrap(
    values: ArrayLike, q: float, *, clusters: ArrayLike | None = None, replicates: int = 2000, seed: int
) -> tuple[Bootstrap | None, int, int]:
    """Bootstrap a quantile over cases by patients: the smallest value with at least a share q of the cases at or below.

    >>> fit, n, g = quantile_bootstrap([1.0, 2.0, 3.0, 4.0, 9.0], 0.5, seed=1)
    >>> fit.value
    3.0
    """
    if not 0 < q < 1:
        raise ValueError(f"q must lie between 0 and 1, got {q}")
    y = np.asarray(values, dtype=np.float64)
    keep = ~np.isnan(y)
    y = y[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(y))
    if refuse(y, groups, level=0.95, unit="1", method="") is not None:
        return None, len(y), groups.count
    order = np.argsort(y, kind="stable")
    ordered, codes = y[order], groups.codes[order]

    def statistic(weights: Floats) -> Floats:
        running = np.cumsum(weights[:, codes], axis=1)
        reached = running >= q * running[:, -1:] - 1e-9
        return np.asarray(ordered[np.argmax(reached, axis=1)])

    return bootstrap(statistic, groups.count, replicates=replicates, seed=seed), len(y), groups.count


def _acceleration(statistic: Statistic, n_clusters: int) -> float:
    """Return the acceleration constant from the delete-one-patient values."""
    rows = max(1, _BLOCK // n_clusters)
    parts = []
    for start in range(0, n_clusters, rows):
        b = min(rows, n_clusters - start)
        weights = np.ones((b, n_clusters))
        weights[np.arange(b), start + np.arange(b)] = 0.0
        parts.append(statistic(weights))
    without = np.concatenate(parts)
    without = without[np.isfinite(without)]
    gap = without.mean() - without if len(without) else np.zeros(1)
    spread = float((gap**2).sum())
    return float((gap**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
