"""Obuchowski-Rockette analysis of fully crossed studies, with Hillis degrees of freedom.

The model for the figure of merit of reader ``j`` under modality ``i`` is ``theta_ij = mu + tau_i + R_j + (tau R)_ij +
e_ij``; the errors come from the cases and are correlated: ``Cov1`` (one reader, two modalities), ``Cov2`` (two readers,
one modality), ``Cov3`` (both differ).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Effects(StrEnum):
    """Which factors are a sample from a population that the conclusion is to hold for."""

    RRRC = "random readers, random cases"
    FRRC = "fixed readers, random cases"
    RRFC = "random readers, fixed cases"


@dataclass(frozen=True, slots=True)
class Contrast:
    """Estimates with standard error and degrees of freedom; ``inf`` df stands for the normal law.

    ``variance`` is NaN where the data do not define one, and may be negative or zero where an unbiased estimate is.
    """

    estimate: Array
    variance: Array
    df: Array


@dataclass(frozen=True, slots=True)
class ObuchowskiRockette:
    """Mean squares, error covariances and components of variance; every array has the trial axis first.

    ``ms_t``, ``ms_r``, ``ms_tr`` are NaN where they have no degrees of freedom (one modality, one reader).
    The suffix ``_by_modality`` marks estimates from one modality alone, ``(trial, modality)``, and ``_by_reader`` from
    one reader alone.
    Components are moment estimates and are left negative where they come out so.
    """

    values: Array
    covariance: Array
    ms_t: Array
    ms_r: Array
    ms_tr: Array
    variance: Array
    cov1: Array
    cov2: Array
    cov3: Array
    ms_r_by_modality: Array
    variance_by_modality: Array
    cov2_by_modality: Array

    @property
    def readers(self) -> int:
        """Number of readers."""
        return int(self.values.shape[1])

    @property
    def modalities(self) -> int:
        """Number of modalities."""
        return int(self.values.shape[2])

    @property
    def var_tr(self) -> Array:
        """Component of variance of reader by modality: ``MS(TR) - Var + Cov1 + Cov2 - Cov3``."""
        return self.ms_tr - self.variance + self.cov1 + self.cov2 - self.cov3

    @property
    def var_r(self) -> Array:
        """Component of variance of readers: ``(MS(R) - MS(TR)) / t - Cov1 + Cov3``."""
        if self.modalities == 1:
            return self.ms_r - self.variance + self.cov2
        return (self.ms_r - self.ms_tr) / self.modalities - self.cov1 + self.cov3


def components(values: Array, covariance: Array) -> ObuchowskiRockette:
    """Return mean squares and averaged covariances.

    Parameters
    ----------
    values
        ``(trial, reader, modality)`` figures of merit.
    covariance
        ``(trial, Q, Q)`` of the same, reader slowest.

    References
    ----------
    Obuchowski & Rockette 1995, doi:10.1080/03610919508813243; Hillis 2014, doi:10.1002/sim.5926.
    """
    T, R, M = values.shape
    cov = covariance.reshape(T, R, M, R, M)
    reader, modality = np.eye(R, dtype=bool), np.eye(M, dtype=bool)
    same_both = reader[:, None, :, None] & modality[None, :, None, :]
    same_reader = reader[:, None, :, None] & ~modality[None, :, None, :]
    same_modality = ~reader[:, None, :, None] & modality[None, :, None, :]
    neither = ~reader[:, None, :, None] & ~modality[None, :, None, :]
    by_modality = np.einsum("tjikI,iI->tijk", cov, modality)  # (T, M, R, R)
    diagonal = np.einsum("tijj->ti", by_modality)
    off = by_modality.sum(axis=(-1, -2)) - diagonal
    grand = values.mean(axis=(1, 2), keepdims=True)
    mean_m, mean_r = values.mean(axis=1, keepdims=True), values.mean(axis=2, keepdims=True)
    return ObuchowskiRockette(
        values=values,
        covariance=cov,
        ms_t=_mean_square(R * ((mean_m - grand) ** 2).sum(axis=(1, 2)), M - 1),
        ms_r=_mean_square(M * ((mean_r - grand) ** 2).sum(axis=(1, 2)), R - 1),
        ms_tr=_mean_square(((values - mean_m - mean_r + grand) ** 2).sum(axis=(1, 2)), (M - 1) * (R - 1)),
        variance=_mean_over(cov, same_both),
        cov1=_mean_over(cov, same_reader),
        cov2=_mean_over(cov, same_modality),
        cov3=_mean_over(cov, neither),
        ms_r_by_modality=_mean_square(((values - mean_m) ** 2).sum(axis=1), R - 1),
        variance_by_modality=diagonal / R,
        cov2_by_modality=off / (R * (R - 1)) if R > 1 else np.zeros((T, M)),
    )


def modality_means(study: ObuchowskiRockette, effects: Effects) -> Contrast:
    """Return the reader-averaged figure of each modality ``(trial, modality)``, from that modality's data alone."""
    r = study.readers
    estimate = study.values.mean(axis=1)
    ms, cov2 = study.ms_r_by_modality, study.cov2_by_modality
    if effects is Effects.FRRC:
        variance = (study.variance_by_modality + (r - 1) * cov2) / r
        return Contrast(estimate, variance, np.full_like(estimate, np.inf))
    error = np.maximum(r * cov2, 0) if effects is Effects.RRRC else np.zeros_like(ms)
    return Contrast(estimate, (ms + error) / r, _hillis(ms, ms + error, r - 1))


def modality_differences(study: ObuchowskiRockette, effects: Effects, first: list[int], second: list[int]) -> Contrast:
    """Return differences ``first - second`` of reader-averaged figures ``(trial, pair)``, from all modalities together.

    Standard errors are common to all pairs: ``sqrt(2 / r * D)`` with ``D`` = ``MS(TR) + max(r (Cov2 - Cov3), 0)`` for
    random readers and cases, ``Var - Cov1 + (r - 1)(Cov2 - Cov3)`` for fixed readers, ``MS(TR)`` for fixed cases. For
    fixed readers nothing is set to zero: the expression is the sample variance of a fixed contrast, not a sum of
    components that must be positive.

    References
    ----------
    Hillis 2007, doi:10.1002/sim.2532; Hillis 2014, doi:10.1002/sim.5926.
    """
    r = study.readers
    means = study.values.mean(axis=1)
    estimate = means[:, first] - means[:, second]
    denominator, df = pooled_error(study, effects)
    spread = np.ones((1, estimate.shape[1]))
    return Contrast(estimate, 2 / r * denominator[:, None] * spread, df[:, None] * spread)


def pooled_error(study: ObuchowskiRockette, effects: Effects) -> tuple[Array, Array]:
    """Return the denominator of the test of equal modalities and its degrees of freedom, ``(trial,)`` each."""
    r, t = study.readers, study.modalities
    if effects is Effects.FRRC:
        denominator = study.variance - study.cov1 + (r - 1) * (study.cov2 - study.cov3)
        return denominator, np.full_like(denominator, np.inf)
    error = np.maximum(r * (study.cov2 - study.cov3), 0) if effects is Effects.RRRC else 0.0
    denominator = study.ms_tr + error
    return denominator, _hillis(study.ms_tr, denominator, (r - 1) * (t - 1))


def reader_differences(study: ObuchowskiRockette, first: list[int], second: list[int]) -> Contrast:
    """Return each reader's difference between two modalities ``(trial, reader, pair)``, for random cases.

    The variance is ``2 (Var_j - Cov1_j)``, pooled over all modalities as the model has it, from reader ``j`` alone.
    """
    t = study.modalities
    own = np.einsum("tjijI->tjiI", study.covariance)
    variance = np.einsum("tjii->tj", own) / t
    cov1 = (own.sum(axis=(-1, -2)) - variance * t) / (t * (t - 1))
    estimate = study.values[:, :, first] - study.values[:, :, second]
    spread = np.ones((1, 1, estimate.shape[2]))
    return Contrast(estimate, 2 * (variance - cov1)[..., None] * spread, np.full_like(estimate, np.inf))


def _hillis(mean_square: Array, denominator: Array, base: int) -> Array:
    """Return ``base * (denominator / mean_square)**2``; infinite where the mean square is 0, NaN without base."""
    if base < 1:
        return np.full_like(denominator, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(mean_square > 0, denominator / np.where(mean_square > 0, mean_square, 1.0), np.inf)
    return np.asarray(base * ratio**2, dtype=float)


def _mean_square(sum_of_squares: Array, df: int) -> Array:
    """Return the mean square, NaN without degrees of freedom."""
    return sum_of_squares / df if df > 0 else np.full_like(sum_of_squares, np.nan)


def _mean_over(cov: Array, where: NDArray[np.bool_]) -> Array:
    """Return the mean of the covariances of one kind, 0 where there is no such pair."""
    if not where.any():
        return np.zeros(cov.shape[0])
    return np.asarray((cov * where).sum(axis=(1, 2, 3, 4)) / where.sum(), dtype=float)
