"""Analysis of fully crossed studies by Obuchowski-Rockette or Dorfman-Berbaum-Metz."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from validation.reader_study.dbm import dbm_error, dbm_means, pseudovalue_table
from validation.reader_study.endpoints import NO_TRUTH
from validation.reader_study.measured import Measured, measure
from validation.reader_study.obuchowski_rockette import (
    Contrast,
    Effects,
    ObuchowskiRockette,
    components,
    modality_differences,
    modality_means,
    pooled_error,
    reader_differences,
)
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.rows import (
    Pairs,
    difference_rows,
    modality_rows,
    number,
    reader_difference_rows,
    reader_rows,
)
from validation.reader_study.scores import ReaderScores


def analyse_crossed(
    scores: ReaderScores, plan: AnalysisPlan, method: str, pairs: Pairs, *, measured: Measured | None = None
) -> dict[str, Any]:
    """Return the parts of an analysis of a complete table, by the names of the fields of ``Analysis``.

    ``measured`` holds figures of merit that do not come from the scores, such as those of marks.
    """
    measured = measured or measure(scores, plan)
    study = components(measured.values, measured.covariance)
    means = modality_means(study, plan.effects)
    c = measured.cases or len(scores.cases)
    several = bool(pairs[0])
    contrasts = modality_differences(study, plan.effects, *pairs) if several else None
    if method == "dbm":
        means = dbm_means(means, plan.effects, c)
        if contrasts is not None:
            df = dbm_error(study, plan.effects, c)[1]
            contrasts = Contrast(
                contrasts.estimate, contrasts.variance, np.broadcast_to(df[:, None], contrasts.df.shape)
            )
    variance = np.einsum("jmjm->jm", study.covariance[0])
    return {
        "modalities": modality_rows(scores, means, plan),
        "differences": difference_rows(scores, contrasts, plan, pairs) if contrasts is not None else [],
        "readers": reader_rows(scores, study.values[0], variance, plan),
        "reader_differences": (
            reader_difference_rows(scores, reader_differences(study, *pairs), plan, pairs) if several else []
        ),
        "components": _components(study, c, method),
        "anova": _anova(study, plan.effects, c, method),
        "warnings": _warnings(study, plan),
    }


def _components(study: ObuchowskiRockette, cases: int, method: str) -> dict[str, Any]:
    """Return components of variance and covariances with their correlations."""
    if method == "dbm":
        return {k: number(v[0]) for k, v in pseudovalue_table(study, cases).components.items()}
    variance, covs = float(study.variance[0]), [float(c[0]) for c in (study.cov1, study.cov2, study.cov3)]
    record: dict[str, Any] = {
        "var_reader": number(study.var_r[0]),
        "var_reader_modality": number(study.var_tr[0]),
        "var_error": variance,
        "cov1": covs[0],
        "cov2": covs[1],
        "cov3": covs[2],
    }
    for name, cov in zip(("correlation1", "correlation2", "correlation3"), covs, strict=True):
        record[name] = cov / variance if variance > 0 else None
    return record


def _anova(study: ObuchowskiRockette, effects: Effects, cases: int, method: str) -> dict[str, Any]:
    """Return the ANOVA table (of figures of merit, or of pseudovalues) and the test of equal modalities."""
    t, r = study.modalities, study.readers
    if method == "dbm":
        found = pseudovalue_table(study, cases)
        table: dict[str, Any] = {
            name: {"df": found.df[name], "mean_square": number(ms[0])} for name, ms in found.mean_squares.items()
        }
    else:
        table = {
            "modality": {"df": t - 1, "mean_square": number(study.ms_t[0])},
            "reader": {"df": r - 1, "mean_square": number(study.ms_r[0])},
            "modality_reader": {"df": (t - 1) * (r - 1), "mean_square": number(study.ms_tr[0])},
        }
    if t > 1:
        error, df = dbm_error(study, effects, cases) if method == "dbm" else pooled_error(study, effects)
        table["equality"] = _equality(float(study.ms_t[0]), float(error[0]), t - 1, float(df[0]))
    return table


def _equality(mean_square: float, error: float, df1: int, df2: float) -> dict[str, Any]:
    """Return the overall test that all modalities are equal: F, or chi-square where the error is taken as known."""
    from scipy import stats

    if not (math.isfinite(error) and error > 1e-18) or math.isnan(df2):
        return {
            "statistic": None,
            "law": None,
            "df1": df1,
            "df2": None,
            "p_value": None,
            "reason": "the error variance is not defined or not positive",
        }
    ratio = mean_square / error
    if math.isinf(df2):
        chi2 = df1 * ratio
        return {
            "statistic": chi2,
            "law": "chi-square",
            "df1": df1,
            "df2": None,
            "p_value": float(stats.chi2.sf(chi2, df1)),
        }
    return {"statistic": ratio, "law": "F", "df1": df1, "df2": df2, "p_value": float(stats.f.sf(ratio, df1, df2))}


def _warnings(study: ObuchowskiRockette, plan: AnalysisPlan) -> list[str]:
    """Return what a reader of the numbers should know."""
    found = []
    if study.readers == 1:
        found.append("one reader: nothing can be said about other readers; only fixed readers are possible")
    if study.modalities == 1:
        found.append("one modality: there is no difference to test")
    for name, value in (("reader", study.var_r), ("reader by modality", study.var_tr)):
        if np.isfinite(value[0]) and value[0] < 0 and plan.endpoint != "preference":  # its reader means are all 1/2
            found.append(f"the variance component of {name} is estimated as negative, and left so; read it as small")
    if plan.endpoint not in NO_TRUTH and study.values.min() >= 1:
        found.append("every reader was perfect on every case: the sampling variance is not estimable")
    return found
