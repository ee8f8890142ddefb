"""The figure of merit of a plan, evaluated on a study: values, their covariance, and the moments for U-statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from validation.errors import UsageProblem
from validation.reader_study import figures
from validation.reader_study.bootstrap import bootstrap_covariance
from validation.reader_study.covariance import (
    covariance_of_moments,
    delong_covariance,
    jackknife_auc_covariance,
    jackknife_covariance,
    product_moments,
)
from validation.reader_study.pairs import empirical_auc, pair_sums
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores
from validation.reader_study.ustatistics import Array

SHARES = ("sensitivity", "specificity", "mean_score", "preference")  # averages over cases
ROC_FIGURES = ("partial_auc", "sensitivity_at_specificity", "specificity_at_sensitivity", "expected_utility")


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of merit ``(1, reader, modality)`` and their covariance over cases ``(1, Q, Q)``, reader slowest.

    ``cases`` is the number of cases that the figure depends on, where it is not all of them.
    """

    values: Array
    covariance: Array
    cases: int | None = None


def measure(scores: ReaderScores, plan: AnalysisPlan) -> Measured:
    """Return the figures of merit of a complete study with the planned covariance."""
    shape = (1, len(scores.readers), len(scores.modalities))
    if plan.endpoint == "auc":
        sums = pair_sums(scores.score[None], scores.positive, products=plan.covariance == "unbiased")
        values = empirical_auc(sums)
        if plan.covariance == "bootstrap":
            return Measured(values, _bootstrap(scores.score, scores, plan, _batched_auc(scores)))
        if plan.covariance == "unbiased":
            return Measured(values, covariance_of_moments(*product_moments(sums)))
        estimator = jackknife_auc_covariance if plan.covariance == "jackknife" else delong_covariance
        return Measured(values, estimator(sums))
    if plan.endpoint in SHARES:
        correct = figures.case_values(scores, plan.endpoint, plan.threshold)
        values = figures.share(correct)[None]
        flat = correct.reshape(1, shape[1] * shape[2], -1)
        if plan.covariance == "bootstrap":
            return Measured(values, _bootstrap(*_one_class(correct, plan)))
        if plan.covariance == "unbiased":
            return Measured(values, covariance_of_moments(*figures.share_moments(flat, plan.endpoint)))
        if plan.covariance == "delong":
            return Measured(values, figures.share_covariance(flat))
        return Measured(values, jackknife_covariance(figures.deleted_shares(flat)))
    if plan.endpoint in ("binormal_auc", "proper_auc") or plan.curve != "empirical":
        from validation.reader_study.fitted import measure_fitted

        return measure_fitted(scores, plan)
    return _roc_figure(scores, plan)


def study_products(scores: ReaderScores, plan: AnalysisPlan) -> tuple[Any, Any, Array, Array]:
    """Return sums of products, their numbers, figures of merit and numbers of comparisons; any design.

    The four arguments of :func:`validation.reader_study.ustatistics.moments`; the first two are also those of
    :func:`validation.reader_study.covariance.covariance_of_moments`.

    Raises
    ------
    UsageProblem
        If the endpoint is not an average over cases or pairs of cases.
    """
    shape = (1, len(scores.readers), len(scores.modalities))
    if plan.endpoint == "auc":
        sums = pair_sums(scores.score[None], scores.positive, products=True)
        counts = sums.read_negative.sum(-1) * sums.read_positive.sum(-1)
        return *product_moments(sums), empirical_auc(sums), counts.reshape(shape)
    if plan.endpoint in SHARES:
        correct = figures.case_values(scores, plan.endpoint, plan.threshold)
        flat = correct.reshape(1, shape[1] * shape[2], -1)
        products = figures.share_moments(flat, plan.endpoint)
        return *products, figures.share(correct)[None], (~np.isnan(correct)).sum(-1)[None].astype(float)
    raise UsageProblem(
        f"{plan.endpoint} is not an average over pairs of cases, so it has no U-statistic.",
        code="RDR-011",
        where="--method",
        action="Use --method or, with jackknife or bootstrap covariance.",
    )


def _roc_figure(scores: ReaderScores, plan: AnalysisPlan) -> Measured:
    """Measure a figure of the empirical ROC curve, by jackknife or bootstrap."""
    if plan.covariance not in ("jackknife", "bootstrap"):
        raise UsageProblem(
            f"{plan.endpoint} has no {plan.covariance} covariance.",
            code="RDR-011",
            where="--covariance",
            action="Use jackknife or bootstrap.",
        )
    shape = (1, len(scores.readers), len(scores.modalities))
    figure = roc_figure(plan)
    if plan.covariance == "bootstrap":

        def batched(batch: Array) -> Array:
            rows = batch.reshape(-1, batch.shape[-1])
            return np.array([figure(row, scores.positive) for row in rows]).reshape(batch.shape[:-1])

        return Measured(batched(scores.score[None]), _bootstrap(scores.score, scores, plan, batched))
    values, deleted = figures.evaluate(figure, scores.score.reshape(-1, len(scores.cases)), scores.positive)
    return Measured(values.reshape(shape), jackknife_covariance(deleted[None]))


def roc_figure(plan: AnalysisPlan) -> figures.Figure:
    """Return the function of one ROC curve that the plan names."""
    low, high = plan.band
    if plan.endpoint == "partial_auc":
        return figures.partial_auc(plan.band_of, low, high)
    if plan.endpoint == "expected_utility":
        return figures.expected_utility(plan.slope)
    if plan.endpoint == "sensitivity_at_specificity":
        return figures.sensitivity_at_specificity(plan.at)
    return figures.specificity_at_sensitivity(plan.at)


def _batched_auc(scores: ReaderScores) -> Any:
    """Return the AUC of a batch of score arrays."""
    return lambda batch: empirical_auc(pair_sums(batch, scores.positive, products=False))


def _one_class(correct: Array, plan: AnalysisPlan) -> tuple[Any, ...]:
    """Return the arguments of the bootstrap of a share: its cases are one class."""
    everyone = np.ones(correct.shape[-1], dtype=bool)
    return correct, everyone, plan, figures.share


def _bootstrap(score: Array, cases: Any, plan: AnalysisPlan, figure: Any) -> Array:
    """Resample cases."""
    positive = cases.positive if isinstance(cases, ReaderScores) else cases
    return bootstrap_covariance(score, positive, figure, replicates=plan.replicates, seed=plan.seed)
