"""Upper limits of Hilbert norms, joint equivalence, and what is said when nothing could have been found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from validation.errors import UsageProblem
from validation.protocol.plan_schemas import ShiftPlan, ShiftVariable
from validation.shift.compare import compare, shift_report
from validation.shift.groups import pool
from validation.shift.influence import Noise, norm_tail, norm_upper
from validation.shift.multivariate import kernel_test


def test_tail_of_one_direction_is_students() -> None:
    noise = Noise(trace=0.04, squares=0.0016, top=0.04, df=1e6)
    expected = stats.norm.cdf((1.0 - 1.3) / 0.2) - stats.norm.cdf((-1.0 - 1.3) / 0.2)
    assert norm_tail(1.0, 1.3, noise) == pytest.approx(expected, rel=1e-4)
    assert norm_upper(1.0, noise, 0.9) == pytest.approx(1.0 + 0.2 * stats.norm.isf(0.05), rel=1e-4)


def test_tail_without_a_difference_is_chi_squared() -> None:
    """30 equal directions: the squared norm over the variance is chi-squared with 30 degrees of freedom."""
    noise = Noise(trace=30.0, squares=30.0, top=1.0, df=1e6)
    for q in (18.0, 30.0, 45.0):
        assert norm_tail(q, 0.0, noise) == pytest.approx(stats.chi2.cdf(q, 30), abs=2e-3)
        assert norm_tail(q, 2.0, noise) == pytest.approx(stats.ncx2.cdf(q, 30, 4.0), abs=5e-3)


def test_no_direction_is_missed_more_often_than_the_worst() -> None:
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, 30) ** 2
    noise = Noise(shares.sum(), (shares**2).sum(), 1.0, 1e6)
    for size in (1.0, 3.0):
        for direction in (0, 5, 28, None):
            true = np.full(29, size / np.sqrt(29)) if direction is None else size * (np.arange(29) == direction)
            drawn = ((true + rng.normal(size=(2000, 29)) * np.sqrt(shares)) ** 2).sum(axis=1)
            missed = np.mean([norm_tail(q, size, noise) <= 0.05 for q in drawn[:400]])
            assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_joint_equivalence_holds_its_error_and_is_found() -> None:
    """With the true energy distance on the margin at most alpha are called equivalent; equal cohorts are found so."""
    rng = np.random.default_rng(2)
    big = [rng.normal(size=(1000, 3)) + moved for moved in (0.0, 0.4)]
    within = [cdist(b, b).sum() / (1000 * 999) for b in big]
    true = float(np.sqrt(2 * cdist(*big).mean() - sum(within)))
    wrong = right = 0
    runs = 40
    for k in range(runs):
        for moved in (0.4, 0.0):
            x = np.concatenate([rng.normal(size=(80, 3)), rng.normal(size=(80, 3)) + moved])
            p = kernel_test(x, pool(80, 80), "energy", 0.9, 0.05, 19, k, "cpu", margin=true)["p_equivalence"]
            wrong += moved > 0 and p <= 0.05
            right += moved == 0 and p <= 0.05
    assert wrong <= stats.binom.isf(0.001, runs, 0.05)
    assert right >= 0.5 * runs


def test_joint_margin_gives_a_finding_and_is_refused_for_a_classifier() -> None:
    rng = np.random.default_rng(3)
    a, b = (pd.DataFrame(rng.normal(size=(250, 3)), columns=list("xyz")) for _ in range(2))
    plan = ShiftPlan(
        variables=[ShiftVariable(column="x", statistic="ks")], multivariate=["mmd", "energy"],
        multivariate_margins={"mmd": 0.5, "energy": 0.9},
    )  # fmt: skip
    found = shift_report(a, b, plan, cluster=None)["multivariate"]
    assert {c["finding"] for c in found.values()} == {"equivalent"}
    assert found["mmd"]["effect"]["level"] == pytest.approx(0.9)
    for name in ("classifier", "mmd"):  # mmd is not tested here
        with pytest.raises(UsageProblem, match="margin"):
            compare(a, b, [], multivariate=["classifier"], multivariate_columns=["x"], multivariate_margins={name: 0.5})


@pytest.mark.parametrize("statistic", ["energy", "cramer_von_mises"])
def test_cohorts_too_alike_are_not_known_to_be_equal(statistic: str) -> None:
    """Interleaved cases differ less than two samples would; the upper limit stays that of noise, and is not zero."""
    x = np.sort(np.random.default_rng(6).normal(size=(80, 3)), axis=0)
    a, b = (pd.DataFrame(x[k::2], columns=list("xyz")) for k in (0, 1))
    variables = [ShiftVariable(column="x", statistic=statistic, margin=0.02)]  # type: ignore[arg-type]
    margins = {"mmd": 0.02, "energy": 0.02}
    report = compare(a, b, variables, multivariate=["mmd", "energy"], multivariate_margins=margins)
    for found in (report["x"], report["mmd"], report["energy"]):
        assert found.finding == "inconclusive"
        assert found.effect.upper > 0.02


def test_a_difference_larger_than_any_is_not_called_detectable() -> None:
    rng = np.random.default_rng(4)
    a, b = (pd.DataFrame({"x": rng.normal(size=n)}) for n in (60, 2))
    few = compare(a, b, [ShiftVariable(column="x", statistic="ks")])["x"]
    assert few.finding == "inconclusive"
    assert few.minimum_detectable is None
    same = pd.DataFrame({"patient": [f"p{k}" for k in range(20)], "x": rng.normal(size=20)})
    paired = compare(same, same, [ShiftVariable(column="x", statistic="energy", margin=0.5)], cluster="patient")["x"]
    assert paired.finding == "inconclusive"  # no spread was seen, so none can be assumed to be absent
    assert "not known" in paired.reason


def test_a_category_of_too_many_levels_is_listed_and_left_out_jointly() -> None:
    rng = np.random.default_rng(5)
    a, b = (pd.DataFrame({"id": [f"{n}{k}" for k in range(150)], "x": rng.normal(size=150)}) for n in "ab")
    variables = [ShiftVariable(column="id", statistic="chi2"), ShiftVariable(column="x", statistic="ks")]
    report = compare(a, b, variables, multivariate=["mmd"])
    assert report["id"].finding == "inconclusive"
    assert "300 levels" in report["id"].reason
    assert report["mmd"].finding == "inconclusive"  # would be shifted, with the identifiers in it
    assert report["x"].p_value is not None
