"""Rows of the result: modalities, differences with verdicts, readers; ``None`` for what is not defined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from validation.estimate import Outcome
from validation.reader_study.judgement import Claim, Comparison, compare
from validation.reader_study.obuchowski_rockette import Array, Contrast
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores

Pairs = tuple[list[int], list[int]]


def modality_rows(scores: ReaderScores, means: Contrast, plan: AnalysisPlan) -> list[dict[str, Any]]:
    """Return one row per modality, with an interval cut to 0..1."""
    return [
        {"modality": name, **_interval(_compare_at(means, (0, m), plan.alpha), plan)}
        for m, name in enumerate(scores.modalities)
    ]


def difference_rows(
    scores: ReaderScores, contrasts: Contrast, plan: AnalysisPlan, pairs: Pairs
) -> list[dict[str, Any]]:
    """Return one row per difference ``a - b``, with Holm's adjustment if there are several and the plan asks for it."""
    found: list[tuple[tuple[str, str], Comparison]] = []
    for k, (a, b) in enumerate(zip(*pairs, strict=True)):
        names = (scores.modalities[a], scores.modalities[b])
        comparison = compare(
            float(contrasts.estimate[0, k]),
            float(contrasts.variance[0, k]),
            float(contrasts.df[0, k]),
            claim=plan.claim,
            margin=plan.margin,
            alpha=plan.alpha,
            directed=plan.control is not None,
            names=names,
        )
        found.append((names, comparison))
    two_sided = plan.claim is Claim.SUPERIORITY and plan.margin == 0
    limit = plan.alpha if two_sided else plan.alpha / 2
    adjusted = holm([c.p_value for _, c in found]) if plan.holm and len(found) > 1 else [None] * len(found)
    rows = []
    for (names, c), p in zip(found, adjusted, strict=True):
        outcome, reason = c.outcome, c.reason
        if p is not None and outcome is Outcome.PASS and p >= limit:
            outcome, reason = Outcome.INCONCLUSIVE, f"{reason}; not significant after Holm's adjustment (p = {p:.4g})"
        rows.append(
            {
                "a": names[0],
                "b": names[1],
                "estimate": c.estimate,
                "se": c.se,
                "lower": c.lower,
                "upper": c.upper,
                "statistic": c.statistic,
                "df": c.df,
                "p_value": c.p_value,
                "p_adjusted": p,
                "alternative": "two-sided" if two_sided else "one-sided",
                "verdict": outcome.value,
                "reason": reason,
            }
        )
    return rows


def reader_rows(scores: ReaderScores, values: Array, variance: Array, plan: AnalysisPlan) -> list[dict[str, Any]]:
    """Return one row per reader and modality that was read, with an interval over cases (normal law) cut to 0..1.

    Parameters
    ----------
    values, variance
        ``(reader, modality)``.
    """
    rows = []
    read = scores.read
    for r, m in np.argwhere(scores.took_part):
        found = compare(float(values[r, m]), float(variance[r, m]), math.inf, alpha=plan.alpha)
        rows.append(
            {
                "reader": scores.readers[r],
                "modality": scores.modalities[m],
                **_interval(found, plan),
                "n_negative": int((read[r, m] & ~scores.positive).sum()),
                "n_positive": int((read[r, m] & scores.positive).sum()),
            }
        )
    return rows


def reader_difference_rows(
    scores: ReaderScores, contrasts: Contrast, plan: AnalysisPlan, pairs: Pairs
) -> list[dict[str, Any]]:
    """Return one row per reader and difference, for readers that read both: descriptive, never judged.

    Arrays of the contrast are ``(trial, reader, pair)``.
    """
    rows = []
    who = scores.took_part
    for r, reader in enumerate(scores.readers):
        for k, (a, b) in enumerate(zip(*pairs, strict=True)):
            if not (who[r, a] and who[r, b]):
                continue
            found = _compare_at(contrasts, (0, r, k), plan.alpha)
            rows.append(
                {
                    "reader": reader,
                    "a": scores.modalities[a],
                    "b": scores.modalities[b],
                    "estimate": found.estimate,
                    "se": found.se,
                    "lower": found.lower,
                    "upper": found.upper,
                    "statistic": found.statistic,
                    "p_value": found.p_value,
                    "reason": "" if found.lower is not None else found.reason,
                }
            )
    return rows


def holm(p_values: list[float | None]) -> list[float | None]:
    """Return Holm's adjusted p-values; a test without one counts in the number of tests and stays ``None``.

    >>> holm([0.01, 0.04, None])
    [0.03, 0.08, None]
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        adjusted[i] = running
    return adjusted


def multiplicity(rows: list[dict[str, Any]], plan: AnalysisPlan) -> dict[str, Any]:
    """Return how several differences were adjusted, with simultaneous intervals and how many claims are met.

    Holm's method judges; it has no intervals of its own, so that Bonferroni's at ``1 - alpha / k`` are given beside it:
    all of them hold together. They are wider than the test asks for, and a claim that Holm grants may reach into one.
    """
    from scipy import stats

    k = len(rows)
    adjusted = plan.holm and k > 1
    intervals = []
    for row in rows if k > 1 else []:
        lower = upper = None
        if row["se"] is not None:
            law = stats.t(row["df"]) if row["df"] is not None else stats.norm()
            half = float(law.ppf(1 - plan.alpha / (2 * k))) * row["se"]
            lower, upper = row["estimate"] - half, row["estimate"] + half
        intervals.append({"a": row["a"], "b": row["b"], "lower": lower, "upper": upper})
    return {
        "method": "holm" if adjusted else "none",
        "differences": k,
        "alpha": plan.alpha,
        "claims_met": sum(row["verdict"] == Outcome.PASS.value for row in rows),
        "simultaneous": intervals,
        "simultaneous_level": 1 - plan.alpha / k if k > 1 else None,
    }


def number(value: Any) -> float | None:
    """Return a float, or ``None`` for NaN and infinity."""
    value = float(value)
    return value if math.isfinite(value) else None


def _compare_at(contrast: Contrast, place: tuple[int, ...], alpha: float) -> Comparison:
    """Compare one entry with 0, two-sided."""
    return compare(
        float(contrast.estimate[place]), float(contrast.variance[place]), float(contrast.df[place]), alpha=alpha
    )


def _interval(found: Comparison, plan: AnalysisPlan) -> dict[str, Any]:
    """Return the estimate with an interval, cut to 0..1 unless the endpoint has a scale of its own."""
    scales = {
        "mean_score": (-math.inf, math.inf),
        "false_marks": (0.0, math.inf),
        "false_marks_all": (0.0, math.inf),
        "expected_utility": (-math.inf, 1.0),
    }
    low, high = scales.get(plan.endpoint, (0.0, 1.0))
    return {
        "estimate": found.estimate,
        "se": found.se,
        "df": found.df,
        "lower": None if found.lower is None else max(low, found.lower),
        "upper": None if found.upper is None else min(high, found.upper),
        "reason": found.reason if found.lower is None else "",
    }
