"""AUC and its difference: pROC's gold values, brute force, and the identity of duplicated cases."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from validation.statistics.roc import areas, auc, auc_difference, score_limits

RNG = np.random.default_rng(8)


@pytest.mark.shared
@pytest.mark.parametrize("marker", ["s100b", "ndka", "wfns"])
def test_delong_equals_proc(shared: Path, marker: str) -> None:
    gold = json.loads((shared / "reference/mrmc/gold/proc_delong_asah.json").read_text())["single"][marker]
    with (shared / "reference/mrmc/data/single_asah.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    scores = np.array([float(r[marker]) for r in rows])
    labels = np.array([r["outcome"] == "Poor" for r in rows])
    found = auc(scores, labels, interval="wald")
    assert found.value == pytest.approx(gold["auc"], rel=1e-12)
    assert (found.lower, found.upper) == pytest.approx((gold["ci95_delong"][0], gold["ci95_delong"][2]), rel=1e-9)
    assert areas([scores], labels).covariance[0, 0] == pytest.approx(gold["var_delong"], rel=1e-9)


@pytest.mark.shared
@pytest.mark.parametrize("pair", ["wfns_s100b", "wfns_ndka", "s100b_ndka"])
def test_paired_difference_equals_proc(shared: Path, pair: str) -> None:
    gold = json.loads((shared / "reference/mrmc/gold/proc_delong_asah.json").read_text())["pairwise"][pair]
    with (shared / "reference/mrmc/data/single_asah.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    first, second = (np.array([float(r[marker]) for r in rows]) for marker in pair.split("_"))
    found = auc_difference(first, second, np.array([r["outcome"] == "Poor" for r in rows]))
    assert (found.lower, found.upper) == pytest.approx(gold["ci"], rel=1e-9)


def test_obuchowski_equals_its_formula_by_loops() -> None:
    ids = np.repeat(np.arange(12), RNG.integers(1, 5, 12))
    truth = RNG.integers(0, 2, len(ids))
    scores = np.round(RNG.normal(0, 1, (len(ids), 2)) + truth[:, None], 1)
    pos, neg = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    m, n = len(pos), len(neg)

    def win(a: float, b: float) -> float:
        return 1.0 if a > b else 0.5 if a == b else 0.0

    v10 = np.array([[np.mean([win(scores[i, r], scores[j, r]) for j in neg]) for r in (0, 1)] for i in pos])
    v01 = np.array([[np.mean([win(scores[i, r], scores[j, r]) for i in pos]) for r in (0, 1)] for j in neg])
    area = v10.mean(axis=0)
    t10 = np.array([(v10[ids[pos] == g] - area).sum(axis=0) for g in range(12)])
    t01 = np.array([(v01[ids[neg] == g] - area).sum(axis=0) for g in range(12)])
    i10, i01 = len(set(ids[pos])), len(set(ids[neg]))
    s10, s01, s11 = i10 / ((i10 - 1) * m) * t10.T @ t10, i01 / ((i01 - 1) * n) * t01.T @ t01, 12 / 11 * t10.T @ t01
    expected = s10 / m + s01 / n + (s11 + s11.T) / (m * n)
    fit = areas([scores[:, 0], scores[:, 1]], truth, ids)
    np.testing.assert_allclose(fit.areas, area, rtol=1e-12)
    np.testing.assert_allclose(fit.covariance, expected, rtol=1e-10)


def test_repeating_every_case_within_its_patient_adds_no_information() -> None:
    truth = np.tile([0, 1], 25)
    scores = RNG.normal(0, 1, 50) + truth
    once = auc(scores, truth)
    thrice = auc(np.repeat(scores, 3), np.repeat(truth, 3), clusters=np.repeat(np.arange(50), 3))
    one, three = areas([scores], truth), areas([np.repeat(scores, 3)], np.repeat(truth, 3), np.repeat(np.arange(50), 3))
    assert three.covariance[0, 0] == pytest.approx(one.covariance[0, 0], rel=1e-12)
    assert thrice.value == pytest.approx(once.value)
    assert (thrice.n, thrice.n_clusters, thrice.n_events) == (150, 50, 75)


def test_difference_is_antisymmetric_and_matches_the_covariance() -> None:
    truth = np.repeat([0, 1], 40)
    a, b = RNG.normal(0, 1, 80) + truth, RNG.normal(0, 1, 80) + 0.5 * truth
    there, back = auc_difference(a, b, truth), auc_difference(b, a, truth)
    assert there.value == pytest.approx(-back.value if back.value is not None else None)
    assert there.lower == pytest.approx(-back.upper if back.upper is not None else None)


def test_perfect_separation_is_not_certainty() -> None:
    few = auc([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1])
    many = auc(np.arange(200.0), np.repeat([0, 1], 100))
    assert few.value == many.value == few.upper == many.upper == 1
    assert few.lower is not None
    assert many.lower is not None
    assert few.lower < 0.75 < 0.95 < many.lower < 1
    assert "Newcombe" in few.method
    # images of few patients are no more than few patients
    same = auc(np.arange(200.0), np.repeat([0, 1], 100), clusters=np.repeat(np.arange(10), 20))
    assert same.lower is not None
    assert same.lower < many.lower
    assert score_limits(0.0, 5, 5, 0.95)[1] == pytest.approx(1 - score_limits(1.0, 5, 5, 0.95)[0], abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_score_limits_hold_the_area(value: float) -> None:
    lower, upper = score_limits(value, 12, 20, 0.95)
    assert 0 <= lower <= value <= upper <= 1


def test_too_little_data_is_said() -> None:
    assert "two patients" in auc([1.0, 2.0], [0, 1]).reason
    assert "two patients" in auc([], []).reason
    assert "two patients" in auc([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1], clusters=["a", "a", "a", "a"]).reason
    assert auc([1.0] * 6, [0, 1] * 3).value == 0.5
    alike = auc_difference([1, 2, 3, 4], [1, 2, 3, 4], [0, 1, 0, 1])
    assert (alike.value, alike.lower) == (0.0, None)
    assert alike.reason
