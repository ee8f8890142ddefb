"""Dorfman-Berbaum-Metz: analysis of variance of jackknife pseudovalues, reader by modality by case.

The pseudovalues need not be formed. With jackknife covariances of the figure of merit over ``c`` cases, every mean
square of their three-way table is ``c`` times a combination of the Obuchowski-Rockette quantities (Hillis, Obuchowski,
Schartz & Berbaum 2005, doi:10.1002/sim.2024); tests against the table formed the long way are in
``tests/reader_study``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.reader_study.obuchowski_rockette import Contrast, Effects, ObuchowskiRockette, pooled_error

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PseudovalueTable:
    """Mean squares and components of variance of pseudovalues, each ``(trial,)``; NaN without degrees of freedom."""

    cases: int
    mean_squares: dict[str, Array]
    df: dict[str, int]
    components: dict[str, Array]


def pseudovalue_table(study: ObuchowskiRockette, cases: int) -> PseudovalueTable:
    """Return the ANOVA of the pseudovalues from an Obuchowski-Rockette analysis with jackknife covariance.

    ``T, R, TR`` are ``c`` times the mean squares of the figures of merit; ``C, TC, RC, TRC`` are ``c`` times the
    eigenvalues of the error covariance.
    Components are moment estimates and are left negative where they come out so.
    """
    c, t, r = cases, study.modalities, study.readers
    var, cov1, cov2, cov3 = study.variance, study.cov1, study.cov2, study.cov3
    mean_squares = {
        "T": c * study.ms_t,
        "R": c * study.ms_r,
        "C": c * (var + (t - 1) * cov1 + (r - 1) * cov2 + (t - 1) * (r - 1) * cov3),
        "TR": c * study.ms_tr,
        "TC": c * (var - cov1 + (r - 1) * (cov2 - cov3)),
        "RC": c * (var - cov2 + (t - 1) * (cov1 - cov3)),
        "TRC": c * (var - cov1 - cov2 + cov3),
    }
    df = {"T": t - 1, "R": r - 1, "C": c - 1, "TR": (t - 1) * (r - 1), "TC": (t - 1) * (c - 1), "RC": (r - 1) * (c - 1)}
    df["TRC"] = (t - 1) * (r - 1) * (c - 1)
    components = {
        "R": study.var_r,
        "C": c * cov3,
        "TR": study.var_tr,
        "TC": c * (cov2 - cov3),
        "RC": c * (cov1 - cov3),
        "error": mean_squares["TRC"],
    }
    return PseudovalueTable(c, {k: np.where(df[k] > 0, v, np.nan) for k, v in mean_squares.items()}, df, components)


def dbm_error(study: ObuchowskiRockette, effects: Effects, cases: int) -> tuple[Array, Array]:
    """Return the error of the test of equal modalities on the scale of the figure of merit, and its degrees of freedom.

    As Obuchowski-Rockette for random readers; for fixed readers ``MS(TC) / c`` with ``(t - 1)(c - 1)`` df of an F law.
    """
    denominator, df = pooled_error(study, effects)
    if effects is Effects.FRRC:
        df = np.full_like(df, (study.modalities - 1) * (cases - 1))
    return denominator, df


def dbm_means(means: Contrast, effects: Effects, cases: int) -> Contrast:
    """Return modality means with the degrees of freedom of the pseudovalue analysis (``c - 1`` for fixed readers)."""
    if effects is not Effects.FRRC:
        return means
    return Contrast(means.estimate, means.variance, np.full_like(means.df, cases - 1))
