"""Lesions within patients: NestMRMC, independent cases, and type-I error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reader_study.known_answers import answers, close
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.clustered import analyse_clustered, measure_clustered, patients_of
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores, from_frame
from validation.statistics.roc import areas


def lesions(seed: int, patients: int = 40, per: int = 3, shift: float = 0.0) -> tuple[ReaderScores, np.ndarray]:
    """Return four readers, two modalities, and lesions that resemble each other within patients."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), per)
    n = len(patient)
    positive = rng.random(n) < 0.5
    order = np.argsort(positive, kind="stable")
    patient, positive = patient[order], positive[order]
    common = (
        rng.normal(size=(1, 1, patients))[..., patient] + rng.normal(scale=0.7, size=(1, 2, patients))[..., patient]
    )
    score = rng.normal(size=(4, 2, n)) + common + rng.normal(scale=0.2, size=(4, 1, 1)) + 1.2 * positive
    score[:, 1] += shift * positive
    names = tuple(f"c{i}" for i in range(n))
    decision = (score > 0.6).astype(float)
    return ReaderScores(("R1", "R2", "R3", "R4"), ("A", "B"), names, positive, score, decision), patient


@pytest.mark.shared
def test_areas_between_patients_match_nestmrmc(shared: Path) -> None:
    """NestMRMC 1.0: the AUC over pairs of lesions of different patients, its variance and the readers' covariance."""
    tool, (gold,) = answers(shared / "reference/mrmc/gold/nestmrmc_clustered_demo.json")
    assert tool == "NestMRMC (R) 1.0"
    wide = pd.read_csv(shared / "reference/mrmc/data/clustered_nestmrmc_demo.csv", dtype=str)
    wide["case"] = wide["patient"] + "/" + wide["region"]
    readers = ["reader1", "reader2"]
    table = wide.melt(["patient", "case", "truth"], readers, "reader", "score").assign(modality="one")
    scores = from_frame(table)
    patient = patients_of(table, "patient", scores)
    found = measure_clustered(scores, patient, AnalysisPlan(covariance="unbiased"))
    close(found.values.ravel(), [gold["AUC"][r][0] for r in readers], rtol=1e-9)
    close(np.diagonal(found.covariance[0]), [gold["Var"][r][0] for r in readers], rtol=1e-9)
    close(found.covariance[0, 0, 1], gold["Var"]["cov"][0], rtol=1e-9)
    counts = np.bincount(patient[scores.positive])
    names = np.array(gold["numROI"]["cols"])
    first = {p: int((wide["patient"][wide["truth"] == "1"] == p).sum()) for p in names}
    assert sorted(counts) == sorted(first.values()) == sorted(gold["numROI"]["values"][0])


@pytest.mark.parametrize("covariance", ["delong", "jackknife"])
@pytest.mark.parametrize("endpoint", ["auc", "sensitivity", "specificity"])
def test_one_lesion_per_patient_is_the_analysis_of_independent_cases(endpoint: str, covariance: str) -> None:
    scores, _ = lesions(5, per=1)
    plan = AnalysisPlan(endpoint=endpoint, covariance=covariance, method="or")  # type: ignore[arg-type]
    apart = analyse_clustered(scores, np.arange(len(scores.cases)), plan)
    plain = analyse(scores, plan)
    assert apart.differences[0]["estimate"] == pytest.approx(plain.differences[0]["estimate"], rel=1e-12)
    assert apart.differences[0]["se"] == pytest.approx(plain.differences[0]["se"], rel=1e-9)
    assert any("independent" in w for w in apart.warnings)


def test_the_covariance_is_obuchowskis_of_the_room_of_statistics() -> None:
    scores, patient = lesions(6)
    ours = measure_clustered(scores, patient, AnalysisPlan(covariance="delong"))
    theirs = areas(list(scores.score.reshape(8, -1)), scores.positive.astype(int), patient)
    np.testing.assert_allclose(ours.values.ravel(), theirs.areas, rtol=1e-12)
    np.testing.assert_allclose(ours.covariance[0], theirs.covariance, rtol=1e-9, atol=1e-15)


def test_the_sum_over_four_different_patients_is_what_loops_find() -> None:
    from validation.reader_study.clustered import _free_products

    rng = np.random.default_rng(2)
    x = rng.random((2, 6, 6)) * ~np.eye(6, dtype=bool)
    expected = np.zeros((2, 2))
    for i, j, k, m in np.ndindex(6, 6, 6, 6):
        if len({i, j, k, m}) == 4:
            expected += np.outer(x[:, i, j], x[:, k, m])
    np.testing.assert_allclose(_free_products(x), expected, rtol=1e-12)


@pytest.mark.parametrize(("endpoint", "covariance"), [("auc", "unbiased"), ("sensitivity", "delong")])
def test_a_true_null_is_rejected_as_often_as_said_and_more_often_when_patients_are_ignored(
    endpoint: str, covariance: str
) -> None:
    plan = AnalysisPlan(endpoint=endpoint, covariance=covariance, method="or")  # type: ignore[arg-type]
    trials, rejected, ignored = 200, 0, 0
    for seed in range(trials):
        scores, patient = lesions(1000 + seed, patients=50, per=4)
        for who in (patient, None) if endpoint == "sensitivity" else (patient,):
            result = analyse(scores, plan) if who is None else analyse_clustered(scores, who, plan)
            p = result.differences[0]["p_value"]
            if who is None:
                ignored += p < 0.05
            else:
                rejected += p < 0.05
    error = (0.05 * 0.95 / trials) ** 0.5
    assert rejected / trials < 0.05 + 3 * error
    if endpoint == "sensitivity":
        assert ignored / trials > 0.05 + 3 * error  # what the analysis is for
        assert ignored > rejected


def test_the_unbiased_variance_is_right_on_average() -> None:
    found = [
        measure_clustered(*lesions(3000 + seed, patients=30), AnalysisPlan(covariance="unbiased"))
        for seed in range(400)
    ]
    values = np.array([f.values[0, 0, 0] for f in found])
    variances = np.array([f.covariance[0, 0, 0] for f in found])
    error = values.var(ddof=1) * (2 / 399) ** 0.5
    assert abs(variances.mean() - values.var(ddof=1)) < 4 * error


def test_wrong_patients_and_settings_are_refused() -> None:
    scores, patient = lesions(1)
    table = scores.to_frame()
    with pytest.raises(DataProblem, match="no column"):
        patients_of(table, "patient", scores)
    table["patient"] = np.arange(len(table))
    with pytest.raises(DataProblem, match="two patients"):
        patients_of(table, "patient", scores)
    with pytest.raises(UsageProblem, match="not defined"):
        measure_clustered(scores, patient, AnalysisPlan(covariance="bootstrap"))
    with pytest.raises(UsageProblem):
        analyse_clustered(scores, patient, AnalysisPlan(method="dbm"))
    with pytest.raises(DataProblem, match="two are needed"):
        measure_clustered(scores, np.zeros(len(scores.cases), dtype=int), AnalysisPlan(covariance="delong"))
    holes = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, scores.score.copy())
    holes.score[0, 0, 0] = np.nan
    with pytest.raises(DataProblem, match="not read"):
        analyse_clustered(holes, patient, AnalysisPlan(method="or"))
    same = np.repeat(scores.score[:, :1], 2, axis=1)
    doubled = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, same)
    result = analyse_clustered(doubled, patient, AnalysisPlan(covariance="delong"))
    assert result.differences[0]["estimate"] == 0
    assert result.differences[0]["verdict"] == "inconclusive"
