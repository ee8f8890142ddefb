"""Subgroups: Welch's tests from other packages, missing levels, and what too few patients do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.estimate import Estimate
from validation.statistics import resampling
from validation.statistics.means import mean
from validation.statistics.resampled_summaries import bootstrap_mean
from validation.statistics.roc import auc
from validation.statistics.sample import Sample
from validation.statistics.subgroups import by_level, heterogeneity, poolability

RNG = np.random.default_rng(17)


def estimator(sample: Sample) -> Estimate:
    return mean(sample.values, clusters=sample.clusters)


def test_two_levels_are_welchs_t_test() -> None:
    a, b = RNG.normal(0, 1, 12), RNG.normal(0.7, 3, 20)
    sample = Sample(values=np.r_[a, b], clusters=np.arange(32))
    found = heterogeneity(estimator, sample, ["a"] * 12 + ["b"] * 20)
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.df2 == pytest.approx(expected.df)


def test_more_levels_are_welchs_analysis_of_variance() -> None:
    from statsmodels.stats.oneway import anova_oneway

    groups = [RNG.normal(0, s, n) for s, n in ((1, 9), (2, 14), (4, 22))]
    sample = Sample(values=np.concatenate(groups), clusters=np.arange(45))
    found = heterogeneity(estimator, sample, np.repeat(["x", "y", "z"], [9, 14, 22]))
    expected = anova_oneway(groups, use_var="unequal")
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


def test_levels_within_patients_are_compared_as_pairs() -> None:
    base = RNG.normal(0, 5, 25)
    a, b = base + RNG.normal(0, 1, 25), base + RNG.normal(0.6, 1, 25)
    sample = Sample(values=np.r_[a, b], clusters=np.r_[np.arange(25), np.arange(25)])
    found = heterogeneity(estimator, sample, np.repeat(["soft", "sharp"], 25))
    assert found.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_a_real_interaction_of_an_auc_is_found() -> None:
    truth = np.tile([0, 1], 100)
    scores = RNG.normal(0, 1, 200) + truth * np.repeat([0.2, 3.0], 100)
    sample = Sample(values=scores, labels=truth, clusters=np.arange(200))
    found = heterogeneity(
        lambda s: auc(s.values, s.labels if s.labels is not None else [], clusters=s.clusters),
        sample,
        np.repeat(["old", "new"], 100),
    )
    assert found.p_value is not None
    assert found.p_value < 1e-4


def test_small_levels_are_reported_but_not_enough() -> None:
    sample = Sample(values=RNG.normal(0, 1, 13), clusters=np.arange(13))
    levels = np.array(["a"] * 8 + ["b"] * 3 + ["c"] + [None], dtype=object)
    found = by_level(estimator, sample, levels, minimum_clusters=5)
    assert list(found) == ["a", "b", "c"]
    assert [found[k].enough for k in found] == [True, False, False]
    assert "3 independent units, fewer than the planned minimum of 5" in found["b"].reason
    assert found["b"].estimate.lower is not None
    assert found["c"].estimate.value is None
    test = heterogeneity(estimator, sample, levels)
    assert test.p_value is not None
    assert "too few patients: c" in test.reason


@pytest.mark.parametrize(
    ("values", "levels", "words"),
    [
        ([1.0, 2.0, 3.0], ["a", "a", "a"], "fewer than two levels"),
        ([1.0, 2.0, 3.0], [None, "", float("nan")], "fewer than two levels"),
        ([1.0, 1.0, 1.0, 2.0, 3.0, 5.0], ["a", "a", "a", "b", "b", "b"], "no spread"),
        ([1.0, 2.0, 2.0, 3.0], ["a", "a", "b", "b"], "too few patients: a, b"),
        ([], [], "fewer than two levels"),
    ],
)
def test_no_test_without_data(values: list[float], levels: list[object], words: str) -> None:
    found = heterogeneity(
        estimator, Sample(values=values, clusters=np.arange(len(values))), np.array(levels, dtype=object)
    )
    assert found.p_value is None
    assert words in found.reason


def test_the_jackknife_of_a_bootstrap_summary_draws_no_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    original = resampling.bootstrap
    monkeypatch.setattr(resampling, "bootstrap", lambda *a, **k: drawn.append(k["replicates"]) or original(*a, **k))
    values = RNG.normal(0, 1, 30)
    sample, levels = Sample(values=values, clusters=np.arange(30)), np.repeat(["a", "b"], 15)
    found = heterogeneity(lambda s: bootstrap_mean(s, level=0.95, unit="1", seed=1), sample, levels)
    assert found.p_value == pytest.approx(heterogeneity(estimator, sample, levels).p_value)
    assert sorted(drawn) == [1] * 30 + [2000] * 2


def test_missing_levels_of_every_kind_are_left_out() -> None:
    levels = np.array(["a", pd.NA, None, float("nan"), "", 3], dtype=object)
    found = by_level(estimator, Sample(values=np.arange(6.0), clusters=np.arange(6)), levels)
    assert list(found) == ["3", "a"]


def test_poolability_finds_the_spread_between_sites() -> None:
    sites = np.repeat([f"s{i}" for i in range(12)], 40)
    shift = RNG.normal(0, 2, 12)
    values = np.repeat(shift, 40) + RNG.normal(0, 1, 480)
    found = poolability(estimator, Sample(values=values, clusters=np.arange(480)), sites)
    assert found.between_sd == pytest.approx(shift.std(ddof=1), rel=0.15)
    assert found.heterogeneity.p_value is not None
    assert found.heterogeneity.p_value < 1e-6
    assert found.left_out["s3"].value == pytest.approx(values[sites != "s3"].mean())


def test_a_level_whose_spread_is_rounding_tells_nothing_about_the_spread_between() -> None:
    values = np.array([1.5, 0.8, 1.1, 0.8, 0.8, 0.8])  # one level agrees but for the last bit of its mean
    found = poolability(estimator, Sample(values=values, clusters=np.arange(6)), ["F", "M"] * 3)
    assert found.between_sd is None
    assert found.heterogeneity.reason == "a level shows no spread between patients"


def test_the_spread_between_sites_of_very_unequal_spread_is_a_number() -> None:
    values = np.r_[1.0 + 1e-9 * np.arange(4.0), 3.0 + np.arange(4.0)]
    found = poolability(estimator, Sample(values=values, clusters=np.arange(8)), ["a"] * 4 + ["b"] * 4)
    # two levels: ((a - b)^2 - v_a - v_b) / 2, DerSimonian and Laird in closed form
    a, b = values[:4], values[4:]
    expected = np.sqrt(((a.mean() - b.mean()) ** 2 - a.var(ddof=1) / 4 - b.var(ddof=1) / 4) / 2)
    assert found.between_sd == pytest.approx(expected)
