"""Lesions within patients where not every reader read every patient: U-statistics over patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.reader_study.known_answers import OWN, scores_of
from tests.reader_study.test_clustered import lesions
from validation.errors import DataProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.clustered import analyse_clustered, patient_products
from validation.reader_study.clustered_arbitrary import analyse_patients
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores

USTAT = AnalysisPlan(method="ustat")


def split(scores: ReaderScores, patient: np.ndarray[Any, Any]) -> ReaderScores:
    """Let the first two readers read the first 60 % of the patients, the others the last 60 %."""
    last = patient.max()
    score = scores.score.copy()
    score[:2, :, patient > 0.6 * last] = np.nan
    score[2:, :, patient < 0.4 * last] = np.nan
    return ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, score, scores.decision)


@pytest.mark.parametrize(("name", "threshold"), [("own_splitplot", 0.5), ("own_ordinal", 3.0)])
@pytest.mark.parametrize("endpoint", ["auc", "sensitivity"])
def test_one_lesion_per_patient_is_the_u_statistic_of_independent_cases(
    name: str, endpoint: Any, threshold: float
) -> None:
    scores = scores_of(OWN / f"{name}.csv")
    plan = AnalysisPlan(method="ustat", endpoint=endpoint, threshold=threshold)
    ours = analyse_clustered(scores, np.arange(len(scores.cases)), plan)
    theirs = analyse(scores, plan)
    for a, b in ((ours.modalities, theirs.modalities), (ours.differences, theirs.differences)):
        for key in ("estimate", "se"):
            np.testing.assert_allclose([row[key] for row in a], [row[key] for row in b], rtol=1e-9)
    np.testing.assert_allclose([r["se"] for r in ours.readers], [r["se"] for r in theirs.readers], rtol=1e-8)
    assert ours.differences[0]["df"] > 1


def test_a_complete_table_is_obuchowski_rockette_with_unbiased_covariance() -> None:
    scores, patient = lesions(8)
    ours = analyse_clustered(scores, patient, USTAT).differences[0]
    theirs = analyse_clustered(scores, patient, AnalysisPlan(covariance="unbiased"))
    assert theirs.components["cov2"] >= theirs.components["cov3"]
    assert ours["estimate"] == pytest.approx(theirs.differences[0]["estimate"])
    assert ours["se"] == pytest.approx(theirs.differences[0]["se"], rel=1e-9)
    fixed = AnalysisPlan(method="ustat", effects=Effects.FRRC)
    pooled = AnalysisPlan(covariance="unbiased", effects=Effects.FRRC)
    for key in ("estimate", "se"):
        one, other = (analyse_clustered(scores, patient, plan).differences[0][key] for plan in (fixed, pooled))
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("endpoint", ["auc", "sensitivity"])
def test_variances_are_right_on_average_and_a_true_null_is_rejected_as_often_as_said(endpoint: Any) -> None:
    plan, trials = AnalysisPlan(method="ustat", endpoint=endpoint), 250
    rows = []
    for seed in range(trials):
        scores, patient = lesions(5000 + seed)
        scores = split(scores, patient)
        parts = analyse_patients(scores, patient_products(scores, patient, plan), plan, ([0], [1]))
        rows.append(parts["differences"][0])
    d = np.array([row["estimate"] for row in rows])
    variance = np.array([np.nan if row["se"] is None else row["se"] ** 2 for row in rows])
    assert np.isfinite(variance).mean() > 0.97
    assert abs(d.mean()) < 4 * d.std() / trials**0.5
    assert np.nanmean(variance) == pytest.approx(d.var(ddof=1), rel=0.25)  # a variance of 250 has an error of 9 %
    rejected = sum(row["verdict"] == "pass" for row in rows)
    assert rejected <= trials * 0.05 + 3 * (trials * 0.05 * 0.95) ** 0.5


def test_disjoint_patients_share_nothing_and_impossible_studies_are_said() -> None:
    scores, patient = lesions(4)
    result = analyse_clustered(split(scores, patient), patient, AnalysisPlan())
    assert result.method == "ustat"
    assert "share neither a reader nor a patient" in result.convention
    assert result.differences[0]["verdict"] in ("pass", "inconclusive")
    one = scores.select(readers=["R1"])
    alone = analyse_clustered(one, patient, USTAT)
    assert alone.differences[0]["verdict"] == "inconclusive"
    assert alone.differences[0]["se"] is None
    score = scores.score.copy()
    score[0, 0, scores.positive] = np.nan
    lacking = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, score)
    with pytest.raises(DataProblem, match="no diseased case"):
        analyse_clustered(lacking, patient, AnalysisPlan())
