"""One analysis of one table of scores: estimates, differences with verdicts, readers, components, and the conventions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Outcome
from validation.reader_study.conventions import conventions
from validation.reader_study.covariance import delong_covariance, jackknife_auc_covariance, unbiased_covariance
from validation.reader_study.design import Design, inspect, one_class_readers
from validation.reader_study.judgement import Claim, Comparison, compare
from validation.reader_study.obuchowski_rockette import (
    Array,
    Contrast,
    Effects,
    ObuchowskiRockette,
    components,
    modality_differences,
    modality_means,
    pooled_error,
    reader_differences,
)
from validation.reader_study.pairs import empirical_auc, pair_sums
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of an analysis, in plain JSON types except for the plan and the design."""

    plan: AnalysisPlan
    design: Design
    method: str
    modalities: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    readers: list[dict[str, Any]]
    reader_differences: list[dict[str, Any]]
    components: dict[str, Any]
    anova: dict[str, Any]
    convention: str
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the contract of ``validation readers analyse --json``. It holds no NaN: what is not defined is ``null``."""
        plan = self.plan
        return {
            "design": self.design.to_dict(),
            "endpoint": plan.endpoint,
            "method": self.method,
            "covariance": plan.covariance
            if self.method == "or"
            else "jackknife"
            if self.method == "dbm"
            else "unbiased",
            "effects": plan.effects.value,
            "hypothesis": {
                "type": plan.claim.value,
                "margin": plan.margin,
                "alpha": plan.alpha,
                "control": plan.control,
            },
            "modalities": self.modalities,
            "differences": self.differences,
            "readers": self.readers,
            "reader_differences": self.reader_differences,
            "components": self.components,
            "anova": self.anova,
            "convention": self.convention,
            "warnings": self.warnings,
        }

    @property
    def outcome(self) -> Outcome:
        """The worst verdict over all differences; inconclusive where there is none."""
        outcomes = {d["verdict"] for d in self.differences}
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
            if outcome.value in outcomes:
                return outcome
        return Outcome.INCONCLUSIVE


def analyse(scores: ReaderScores, plan: AnalysisPlan | None = None) -> Analysis:
    """Analyse a reader study as planned.

    Parameters
    ----------
    scores
        The scores, from :func:`validation.reader_study.tables.read_scores`.
    plan
        What to do; by default empirical AUC, random readers and cases, two-sided superiority.

    Raises
    ------
    DataProblem
        If the design does not allow the method, a class has fewer than two cases, or a reader read one class only.
    UsageProblem
        If the control is not one of the modalities.
    """
    plan = plan or AnalysisPlan()
    design = inspect(scores)
    method = plan.method if plan.method != "auto" else "or" if "or" in design.allowed else "ustat"
    _refuse(scores, design, method, plan)
    first, second = pairs_of_modalities(scores, plan.control)
    return _fully_crossed(scores, plan, design, method, first, second)


def pairs_of_modalities(scores: ReaderScores, control: str | None) -> tuple[list[int], list[int]]:
    """Return the indices ``a`` and ``b`` of the differences ``a - b``: every pair in order, or every other against the control."""
    M = len(scores.modalities)
    if control is None:
        pairs = list(combinations(range(M), 2))
        return [a for a, _ in pairs], [b for _, b in pairs]
    if control not in scores.modalities:
        raise UsageProblem(
            f"there is no modality {control!r}.",
            code="RDR-012",
            where="--control",
            action=f"Choose one of {', '.join(scores.modalities)}.",
        )
    b = scores.modalities.index(control)
    others = [m for m in range(M) if m != b]
    return others, [b] * len(others)


def _refuse(scores: ReaderScores, design: Design, method: str, plan: AnalysisPlan) -> None:
    """Raise where the data do not allow the analysis at all."""
    if method not in design.allowed:
        raise DataProblem(
            f"--method {method} {design.refused[method]} ({design.missing_cells} of {design.cells} cells were not read).",
            code="RDR-013",
            where="scores",
            why="Its mean squares and covariances are averages over a complete table; on any other they estimate something else.",
            action="Use --method ustat, which is valid for any design, or complete the readings.",
        )
    short = {"non-diseased": design.n_negative, "diseased": design.n_positive}
    needed = {"auc": short, "sensitivity": {"diseased": short["diseased"]}}.get(
        plan.endpoint, {"non-diseased": short["non-diseased"]}
    )
    for label, count in needed.items():
        if count < 2:
            raise DataProblem(
                f"there are {count} {label} cases; {plan.endpoint} and its variance need at least two.",
                code="RDR-014",
                where="scores",
                action="Add cases of that class.",
            )
    lacking = [found for found in one_class_readers(scores) if found[2] in needed]
    if lacking:
        text = "; ".join(f"reader {r} under modality {m} read no {label} case" for r, m, label in lacking[:5])
        raise DataProblem(
            f"{text}.",
            code="RDR-015",
            where="scores",
            why=f"The {plan.endpoint} of such a reader is not defined, and leaving the reader out would change the study.",
            action="Complete the readings, or remove the reader by the rule in the protocol.",
        )


def _fully_crossed(
    scores: ReaderScores, plan: AnalysisPlan, design: Design, method: str, first: list[int], second: list[int]
) -> Analysis:
    """Analyse a complete table by Obuchowski-Rockette."""
    values, covariance = _figures(scores, plan)
    study = components(values, covariance)
    means = modality_means(study, plan.effects)
    contrasts = modality_differences(study, plan.effects, first, second) if first else None
    per_reader = reader_differences(study, first, second) if first else None
    parts = ["or", "test"]
    if plan.effects is Effects.FRRC:
        parts.insert(1, "fixed_readers")
    if plan.effects is Effects.RRFC:
        parts.insert(1, "fixed_cases")
    return Analysis(
        plan=plan,
        design=design,
        method=method,
        modalities=modality_rows(scores, means, plan.alpha),
        differences=difference_rows(scores, contrasts, plan, first, second) if contrasts else [],
        readers=_reader_rows(scores, study, plan.alpha),
        reader_differences=_reader_difference_rows(scores, per_reader, plan, first, second) if per_reader else [],
        components=_components(study, plan.effects),
        anova=_anova(study, plan.effects),
        convention=conventions(*parts),
        warnings=_warnings(study, design),
    )


def _figures(scores: ReaderScores, plan: AnalysisPlan) -> tuple[Array, Array]:
    """Return figures of merit ``(1, R, M)`` and their covariance ``(1, Q, Q)``."""
    sums = pair_sums(scores.score[None], scores.positive, products=plan.covariance == "unbiased")
    estimators = {"jackknife": jackknife_auc_covariance, "delong": delong_covariance, "unbiased": unbiased_covariance}
    return empirical_auc(sums), estimators[plan.covariance](sums)


def modality_rows(scores: ReaderScores, means: Contrast, alpha: float) -> list[dict[str, Any]]:
    """Return one row per modality, with an interval cut to 0..1."""
    rows = []
    for m, name in enumerate(scores.modalities):
        found = compare(float(means.estimate[0, m]), float(means.variance[0, m]), float(means.df[0, m]), alpha=alpha)
        rows.append({"modality": name, **_interval(found)})
    return rows


def difference_rows(
    scores: ReaderScores, contrasts: Contrast, plan: AnalysisPlan, first: list[int], second: list[int]
) -> list[dict[str, Any]]:
    """Return one row per difference, with Holm's adjustment if there are several and the plan asks for it."""
    found = []
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        names = (scores.modalities[a], scores.modalities[b])
        comparison = compare(
            float(contrasts.estimate[0, k]), float(contrasts.variance[0, k]), float(contrasts.df[0, k]),
            claim=plan.claim, margin=plan.margin, alpha=plan.alpha, directed=plan.control is not None, names=names,
        )  # fmt: skip
        found.append((names, comparison))
    two_sided = plan.claim is Claim.SUPERIORITY and plan.margin == 0
    limit = plan.alpha if two_sided else plan.alpha / 2
    adjusted = holm([c.p_value for _, c in found]) if plan.holm and len(found) > 1 else [None] * len(found)
    rows = []
    for (names, c), p in zip(found, adjusted, strict=True):
        outcome, reason = c.outcome, c.reason
        if p is not None and outcome is Outcome.PASS and p >= limit:
            outcome, reason = Outcome.FAIL, f"{reason}; not significant after Holm's adjustment (p = {p:.4g})"
        rows.append(
            {
                "a": names[0], "b": names[1], "estimate": c.estimate, "se": c.se, "lower": c.lower, "upper": c.upper,
                "statistic": c.statistic, "df": c.df, "p_value": c.p_value, "p_adjusted": p,
                "alternative": "two-sided" if two_sided else "one-sided", "verdict": outcome.value, "reason": reason,
            }
        )  # fmt: skip
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


def _interval(found: Comparison) -> dict[str, Any]:
    """Return the estimate with an interval cut to 0..1."""
    return {
        "estimate": found.estimate,
        "se": found.se,
        "df": found.df,
        "lower": None if found.lower is None else max(0.0, found.lower),
        "upper": None if found.upper is None else min(1.0, found.upper),
        "reason": found.reason if found.lower is None else "",
    }


def _reader_rows(scores: ReaderScores, study: ObuchowskiRockette, alpha: float) -> list[dict[str, Any]]:
    """Return one row per reader and modality: the figure of merit with its interval over cases."""
    rows = []
    read = scores.read
    for r, reader in enumerate(scores.readers):
        for m, modality in enumerate(scores.modalities):
            variance = float(study.covariance[0, r, m, r, m])
            found = compare(float(study.values[0, r, m]), variance, math.inf, alpha=alpha)
            rows.append(
                {
                    "reader": reader,
                    "modality": modality,
                    **_interval(found),
                    "n_negative": int((read[r, m] & ~scores.positive).sum()),
                    "n_positive": int((read[r, m] & scores.positive).sum()),
                }
            )
    return rows


def _reader_difference_rows(
    scores: ReaderScores, contrasts: Contrast, plan: AnalysisPlan, first: list[int], second: list[int]
) -> list[dict[str, Any]]:
    """Return one row per reader and difference: descriptive, never judged."""
    rows = []
    for r, reader in enumerate(scores.readers):
        for k, (a, b) in enumerate(zip(first, second, strict=True)):
            found = compare(
                float(contrasts.estimate[0, r, k]), float(contrasts.variance[0, r, k]), math.inf, alpha=plan.alpha
            )
            rows.append(
                {
                    "reader": reader, "a": scores.modalities[a], "b": scores.modalities[b], "estimate": found.estimate,
                    "se": found.se, "lower": found.lower, "upper": found.upper, "statistic": found.statistic,
                    "p_value": found.p_value, "reason": found.reason if found.lower is None else "",
                }
            )  # fmt: skip
    return rows


def number(value: Any) -> float | None:
    """Return a float, or ``None`` for NaN and infinity."""
    value = float(value)
    return value if math.isfinite(value) else None


def _components(study: ObuchowskiRockette, effects: Effects) -> dict[str, Any]:
    """Return components of variance and covariances with their correlations."""
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
    if effects is Effects.RRFC:
        record["note"] = "fixed cases: the test uses MS(TR) alone; components are given for information"
    return record


def _anova(study: ObuchowskiRockette, effects: Effects) -> dict[str, Any]:
    """Return the ANOVA table of the figures of merit and the test of equal modalities."""
    t, r = study.modalities, study.readers
    table: dict[str, Any] = {
        "modality": {"df": t - 1, "mean_square": number(study.ms_t[0])},
        "reader": {"df": r - 1, "mean_square": number(study.ms_r[0])},
        "modality_reader": {"df": (t - 1) * (r - 1), "mean_square": number(study.ms_tr[0])},
    }
    if t > 1:
        table["equality"] = _equality(study, effects)
    return table


def _equality(study: ObuchowskiRockette, effects: Effects) -> dict[str, Any]:
    """Return the overall test that all modalities are equal."""
    from scipy import stats

    t = study.modalities
    denominator, df2 = (float(part[0]) for part in pooled_error(study, effects))
    if not (math.isfinite(denominator) and denominator > 1e-18) or math.isnan(df2):
        return {
            "statistic": None,
            "df1": t - 1,
            "df2": None,
            "p_value": None,
            "reason": "the error variance is not defined or not positive",
        }
    ratio = float(study.ms_t[0]) / denominator
    if effects is Effects.FRRC:
        return {"statistic": (t - 1) * ratio, "law": "chi-square", "df1": t - 1, "df2": None, "p_value": float(stats.chi2.sf((t - 1) * ratio, t - 1))}  # fmt: skip
    p = float(stats.f.sf(ratio, t - 1, df2)) if math.isfinite(df2) else float(stats.chi2.sf((t - 1) * ratio, t - 1))
    return {"statistic": ratio, "law": "F", "df1": t - 1, "df2": number(df2), "p_value": p}


def _warnings(study: ObuchowskiRockette, design: Design) -> list[str]:
    """Return what a reader of the numbers should know."""
    found = []
    if study.readers == 1:
        found.append("one reader: nothing can be said about other readers; only fixed readers are possible")
    if study.modalities == 1:
        found.append("one modality: there is no difference to test")
    for name, value in (("reader", study.var_r), ("reader by modality", study.var_tr)):
        if np.isfinite(value[0]) and value[0] < 0:
            found.append(
                f"the variance component of {name} is estimated as negative and left as it is; read it as small"
            )
    if study.values.min() >= 1:
        found.append("every reader separated the classes perfectly: the sampling variance is not estimable")
    if design.tied_share >= 1:
        found.append("all scores are tied: the ratings hold no information")
    return found
