"""U-statistic analysis of reader studies of any design: random readers and random cases, paired or not (Gallas et al.).

The variance of a reader-averaged AUC is a weighted sum of eight second-order moments (BDG, after Gallas 2006): the
mean product of two comparisons that share, or do not share, the reader, the negative case and the positive case. The
unbiased estimate of a moment averages over products that share exactly the stated things; the V-statistic ("MLE")
estimate over all products that share at least them. The same variance in components (BCK: Barrett, Clarkson and
Kupinski) is the sum over readers R, negative cases N, positive cases D and their interactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.reader_study.obuchowski_rockette import Contrast

Array = NDArray[np.float64]

# moment m (M1..M8) shares: reader (M1-M4), and by position the pair, the positive case, the negative case, nothing
_EXACT = np.array([[1, 0, 0, 0], [-1, 1, 0, 0], [-1, 0, 1, 0], [1, -1, -1, 1]], dtype=float)
# components N, D, ND, R, NR, DR, RND as combinations of M1..M8
TO_COMPONENTS = np.array(
    [
        [0, 0, 0, 0, 0, 0, 1, -1],
        [0, 0, 0, 0, 0, 1, 0, -1],
        [0, 0, 0, 0, 1, -1, -1, 1],
        [0, 0, 0, 1, 0, 0, 0, -1],
        [0, 0, 1, -1, 0, 0, -1, 1],
        [0, 1, 0, -1, 0, -1, 0, 1],
        [1, -1, -1, 1, -1, 1, 1, -1],
    ],
    dtype=float,
)
# weight of a component: the weights of all moments that share at least its parts
TO_COMPONENT_WEIGHTS = np.array(
    [
        [1, 0, 1, 0, 1, 0, 1, 0],
        [1, 1, 0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=float,
)
COMPONENTS = ("N", "D", "ND", "R", "NR", "DR", "RND")
_FACTORS = {"N": 0, "D": 1, "R": 3}


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of every pair of modalities; axes ``(trial, modality, modality, ...)``, the diagonal being one modality.

    Parameters
    ----------
    mean
        ``(trial, modality)`` reader-averaged figure of merit, every comparison weighted equally.
    unbiased, biased, weights
        ``(..., 8)`` moments M1..M8 and the weights whose scalar product with them is the covariance.
    """

    mean: Array
    unbiased: Array
    biased: Array
    weights: Array

    def covariance(self, *, biased: bool = False) -> Array:
        """Return the covariance of two reader-averaged figures ``(trial, modality, modality)``."""
        return np.asarray((self.weights * (self.biased if biased else self.unbiased)).sum(axis=-1), dtype=float)

    def components(self, *, biased: bool = False) -> Array:
        """Return the BCK components N, D, ND, R, NR, DR, RND ``(..., 7)``; 0 where nothing is shared."""
        found = (self.biased if biased else self.unbiased) @ TO_COMPONENTS.T
        return np.where(self.component_weights() == 0, 0.0, found)

    def component_weights(self) -> Array:
        """Return the weights of the components ``(..., 7)``."""
        found = self.weights @ TO_COMPONENT_WEIGHTS.T
        return np.where(np.abs(found) < 1e-15, 0.0, found)


def moments(numerator: Any, denominator: Any, values: Array, counts: Array) -> Moments:
    """Return the moments from sums of products of comparisons.

    Parameters
    ----------
    numerator, denominator
        ``(trial, Q, Q, 4)`` sums and numbers of terms from :func:`validation.reader_study.covariance.product_moments`
        or :func:`validation.reader_study.figures.share_moments`.
    values
        ``(trial, reader, modality)`` figure of merit, NaN where a reader took no part.
    counts
        ``(trial or 1, reader, modality)`` number of comparisons behind each.
    """
    T, R, M = values.shape
    sums = np.asarray(numerator, dtype=float).reshape(T, R, M, R, M, 4)
    terms = np.broadcast_to(np.asarray(denominator, dtype=float), np.shape(numerator)).reshape(T, R, M, R, M, 4)
    biased_n, biased_d = _eight(sums), _eight(terms)
    exact = np.kron(np.array([[1.0, 0.0], [-1.0, 1.0]]), _EXACT)
    exact_n, exact_d = biased_n @ exact.T, biased_d @ exact.T
    weights = _ratio(exact_d, np.broadcast_to(biased_d[..., 7:8], exact_d.shape))
    weights[..., 7] = np.where(biased_d[..., 7] > 0, weights[..., 7] - 1, 0.0)
    filled = np.where(np.isnan(values), 0.0, values)
    comparisons = np.broadcast_to(counts, values.shape).sum(axis=1)
    mean = np.where(comparisons > 0, _ratio((filled * counts).sum(axis=1), comparisons), np.nan)
    return Moments(mean, _ratio(exact_n, exact_d), _ratio(biased_n, biased_d), weights)


def single(study: Moments, *, biased: bool = False) -> Contrast:
    """Return each modality's mean with its variance and BDG degrees of freedom ``(trial, modality)``."""
    M = study.mean.shape[1]
    at = np.arange(M)
    variance = study.covariance(biased=biased)[:, at, at]
    parts = study.components(biased=True)[:, at, at]
    df = _effective(study)[:, at, at]
    spread, floor = np.zeros_like(variance), np.full_like(variance, np.inf)
    for k in _FACTORS.values():
        spread, floor = _add(spread, floor, parts[..., k], df[..., k])
    return Contrast(study.mean, variance, _satterthwaite(variance, spread, floor))


def difference(study: Moments, first: list[int], second: list[int], *, biased: bool = False) -> Contrast:
    """Return differences of two modalities with variance and BDG degrees of freedom ``(trial, pair)``.

    ``Var(a) + Var(b) - 2 Cov(a, b)``. Where both modalities share a factor (readers, negative or positive cases), its
    mean square is that of the difference, with the smaller degrees of freedom of the two; where they do not, the mean
    squares enter separately.

    References
    ----------
    Obuchowski, Gallas & Hillis 2012, doi:10.1016/j.acra.2012.09.012; Gaylor & Hopper 1969,
    Technometrics 11:691-706.
    """
    cov = study.covariance(biased=biased)
    variance = cov[:, first, first] + cov[:, second, second] - 2 * cov[:, first, second]
    parts, df, weights = study.components(biased=True), _effective(study), study.component_weights()
    spread, floor = np.zeros_like(variance), np.full_like(variance, np.inf)
    for k in _FACTORS.values():
        paired = weights[:, first, second, k] > 0
        a, b = parts[:, first, first, k], parts[:, second, second, k]
        df_a, df_b = df[:, first, first, k], df[:, second, second, k]
        joint = a + b - 2 * parts[:, first, second, k]
        spread, floor = _add(spread, floor, np.where(paired, joint, a), np.where(paired, np.minimum(df_a, df_b), df_a))
        spread, floor = _add(spread, floor, np.where(paired, 0.0, b), df_b)
    return Contrast(study.mean[:, first] - study.mean[:, second], variance, _satterthwaite(variance, spread, floor))


def _effective(study: Moments) -> Array:
    """Return the degrees of freedom of each component: the effective number less one, ``1 / weight - 1``, rounded."""
    weight = study.component_weights()
    with np.errstate(divide="ignore"):
        return np.where(weight > 0, np.round(1 / np.where(weight > 0, weight, 1.0) - 1), np.inf)


def _add(spread: Array, floor: Array, part: Array, df: Array) -> tuple[Array, Array]:
    """Add a factor's contribution ``(part / df)**2 / df`` and lower the floor to its df, if it contributes at all."""
    usable = (df > 0) & np.isfinite(df)
    share = np.where(usable, part**2 / np.where(usable, df, 1.0) ** 3, 0.0)
    contributes = np.abs(part) > 1e-12
    return spread + np.where(contributes, share, 0.0), np.where(contributes, np.minimum(floor, df), floor)


def _satterthwaite(variance: Array, spread: Array, floor: Array) -> Array:
    """Return ``variance**2 / spread``, not below the smallest df of a contributing factor; infinite without spread."""
    df = np.where(spread > 0, variance**2 / np.where(spread > 0, spread, 1.0), np.inf)
    return np.where(np.isfinite(floor), np.maximum(df, floor), df)


def _eight(sums: Array) -> Array:
    """Sum over equal readers (first four) and all pairs of readers (last four): ``(trial, modality, modality, 8)``."""
    same = np.einsum("trmrnk->tmnk", sums)
    return np.concatenate([same, sums.sum(axis=(1, 3))], axis=-1)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Return the ratio, 0 where there is nothing to average (its weight is 0 too)."""
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)
