"""Odds ratios of correct decisions by conditional logistic regression: another question than the share itself.

The model of MRMCbinary 1.0.5 (R): ``logit P(positive) = stratum + modality (+ reader, + modality by reader)``, with
the strata (each case, or each case and reader) conditioned out. It describes an odds ratio within cases; readers are
fixed, so that it supports no claim about other readers. The differences of :mod:`analysis` are of shares over cases,
with readers random. With one stratum per case and reader the score test is McNemar's on all discordant pairs pooled,
which takes pairs of one case read by several readers as independent; the p-values of the two differ by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem
from validation.reader_study.scores import ReaderScores

Effect = Literal["modality", "reader", "both", "interaction"]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalFit:
    """Odds ratios against the first level, with the three tests that all of them are 1."""

    names: list[str]
    odds_ratio: Array
    se: Array
    lower: Array
    upper: Array
    p_value: Array
    tests: dict[str, dict[str, float]]


def conditional_odds_ratios(
    scores: ReaderScores,
    endpoint: Literal["sensitivity", "specificity"],
    *,
    effect: Effect = "modality",
    threshold: float | None = None,
    level: float = 0.95,
) -> ConditionalFit:
    """Return odds ratios of a positive decision, conditional on cases.

    Parameters
    ----------
    endpoint
        ``sensitivity`` uses diseased cases, ``specificity`` the others; the odds are those of a **positive** decision
        in both, as in MRMCbinary: for specificity an odds ratio above 1 means more false alarms.
    effect
        ``modality`` (strata: case and reader), ``reader`` (case and modality), ``both`` (case), or ``interaction``
        (case): both and their products, so that odds ratios of modalities are those of the first reader.

    Returns
    -------
    ConditionalFit
        ``se`` is that of the logarithm of the odds ratio.

    Raises
    ------
    DataProblem
        If a level is never discordant in one direction: its odds ratio is infinite, and has no interval.

    References
    ----------
    Breslow & Day 1980, Statistical Methods in Cancer Research I, ch. 7; McNemar 1947, doi:10.1007/BF02295996.
    """
    from scipy import stats
    from statsmodels.discrete.conditional_models import ConditionalLogit

    from validation.reader_study.figures import case_values

    correct = case_values(scores, endpoint, threshold)
    positive = correct if endpoint == "sensitivity" else 1.0 - correct
    r, m, c = np.nonzero(~np.isnan(positive))
    y = positive[r, m, c].astype(int)
    columns: list[Array] = []
    names: list[str] = []
    if effect != "reader":
        columns += [(m == k).astype(float) for k in range(1, len(scores.modalities))]
        names += [f"modality {name}" for name in scores.modalities[1:]]
    if effect != "modality":
        columns += [(r == k).astype(float) for k in range(1, len(scores.readers))]
        names += [f"reader {name}" for name in scores.readers[1:]]
    if effect == "interaction":
        cells = [(k, j) for j in range(1, len(scores.readers)) for k in range(1, len(scores.modalities))]
        columns += [((m == k) & (r == j)).astype(float) for k, j in cells]
        names += [f"modality {scores.modalities[k]} by reader {scores.readers[j]}" for k, j in cells]
    strata = {"modality": c * len(scores.readers) + r, "reader": c * len(scores.modalities) + m}.get(effect, c)
    size = np.bincount(strata, minlength=int(strata.max()) + 1)
    hits = np.bincount(strata, weights=y, minlength=len(size))
    informative = ((hits > 0) & (hits < size))[strata]
    if not columns or not informative.any():
        raise _no_fit("no case was judged differently, so that nothing is left after conditioning")
    x = np.stack(columns, axis=1)
    model = ConditionalLogit(y[informative], x[informative], groups=strata[informative])
    first = np.linalg.eigvalsh(_information(model, np.zeros(x.shape[1])))
    if first[0] < 1e-8 * first[-1]:
        raise _no_fit("some levels were never judged on a common case, so that they cannot be told apart")
    beta = _newton(model, np.zeros(x.shape[1]))  # the likelihood is concave
    information = _information(model, beta)
    if np.abs(beta).max() > 12 or not np.linalg.eigvalsh(information)[0] > 0:
        raise _no_fit(
            "a level was positive in every discordant stratum, or in none, so that its odds ratio is not finite"
        )
    covariance = np.linalg.inv(information)
    se = np.sqrt(np.diagonal(covariance))
    zero = np.zeros_like(beta)
    score = np.asarray(model.score(zero))
    df = len(beta)
    statistics = {
        "likelihood_ratio": 2 * float(model.loglike(beta) - model.loglike(zero)),
        "score": float(score @ np.linalg.solve(_information(model, zero), score)),
        "wald": float(beta @ np.linalg.solve(covariance, beta)),
    }
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    return ConditionalFit(
        names=names,
        odds_ratio=np.exp(beta),
        se=se,
        lower=np.exp(beta - half),
        upper=np.exp(beta + half),
        p_value=2 * stats.norm.sf(np.abs(beta / se)),
        tests={k: {"statistic": v, "df": df, "p_value": float(stats.chi2.sf(v, df))} for k, v in statistics.items()},
    )


def odds_ratio_record(
    scores: ReaderScores, endpoint: Literal["sensitivity", "specificity"], effect: Effect, threshold: float | None
) -> dict[str, Any]:
    """Return odds ratios as added to an analysis: ``effect``, ``rows``, ``tests`` and, where there are none, why."""
    record: dict[str, Any] = {"effect": effect, "rows": [], "tests": {}, "reason": ""}
    try:
        fit = conditional_odds_ratios(scores, endpoint, effect=effect, threshold=threshold)
    except DataProblem as problem:
        return record | {"reason": problem.what}
    columns = {
        "odds_ratio": fit.odds_ratio,
        "se": fit.se,
        "lower": fit.lower,
        "upper": fit.upper,
        "p_value": fit.p_value,
    }
    rows = [{"name": n} | {k: float(v[i]) for k, v in columns.items()} for i, n in enumerate(fit.names)]
    return record | {"rows": rows, "tests": fit.tests}


def odds_ratio_text(record: dict[str, Any]) -> str:
    """Return the same as text."""
    if record["reason"]:
        return f"\nNo odds ratios: {record['reason']}"
    lines = ["", "Odds ratios of a positive decision, conditional on cases (readers fixed):"]
    lines += [
        f"  {r['name']}: {r['odds_ratio']:.4g} [{r['lower']:.4g}, {r['upper']:.4g}], p = {r['p_value']:.4g}"
        for r in record["rows"]
    ]
    return "\n".join(lines)


def _information(model: Any, beta: Array) -> Array:
    """Return the observed information: differences of the score at two steps, extrapolated."""

    def differences(h: float) -> Array:
        rows = [
            np.asarray(model.score(beta + h * e)) - np.asarray(model.score(beta - h * e)) for e in np.eye(len(beta))
        ]
        return np.asarray(rows) / (2 * h)

    found = -(4 * differences(5e-3) - differences(1e-2)) / 3
    return np.asarray((found + found.T) / 2)


def _newton(model: Any, beta: Array) -> Array:
    """Return the maximum, by Newton steps of at most 1; it may run away, which the caller sees."""
    for _ in range(60):
        step = np.linalg.lstsq(_information(model, beta), np.asarray(model.score(beta)), rcond=None)[0]
        beta = beta + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-12 or np.abs(beta).max() > 20:
            break
    return beta


def _no_fit(what: str) -> DataProblem:
    return DataProblem(
        f"{what}.",
        code="RDR-019",
        where="scores",
        why="Conditional logistic regression learns from cases that were judged both ways.",
        action="Use the share itself: --endpoint sensitivity or specificity.",
    )
