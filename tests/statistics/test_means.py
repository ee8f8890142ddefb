"""Means, paired differences and ratios, against SciPy, statsmodels and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from validation.statistics.clusters import group, mean_covariance
from validation.statistics.means import mean, paired_mean_difference
from validation.statistics.ratios import geometric_mean_ratio, mean_ratio

RNG = np.random.default_rng(20)


def test_independent_mean_is_scipys_t_interval() -> None:
    y = RNG.normal(3, 2, 17)
    found = mean(y, level=0.9, unit="HU")
    expected = stats.ttest_1samp(y, 0).confidence_interval(0.9)
    assert found.value == pytest.approx(y.mean())
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert (found.n, found.n_clusters, found.unit, found.level) == (17, 17, "HU", 0.9)


def test_paired_difference_is_scipys_paired_t_and_leaves_out_incomplete_cases() -> None:
    a, b = RNG.normal(3, 2, 12), RNG.normal(2, 2, 12)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired_mean_difference(np.append(a, [np.nan, 5.0]), np.append(b, [1.0, np.nan]))
    assert (found.lower, found.upper, found.n) == (pytest.approx(expected.low), pytest.approx(expected.high), 12)


def test_equal_clusters_are_the_t_interval_of_patient_means() -> None:
    y = RNG.normal(0, 1, (9, 4)) + RNG.normal(0, 1, (9, 1))
    ids = np.repeat([f"p{i}" for i in range(9)], 4)
    order = RNG.permutation(36)
    found = mean(y.ravel()[order], clusters=ids[order])
    expected = stats.ttest_1samp(y.mean(axis=1), 0).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert (found.n, found.n_clusters) == (36, 9)


def test_unequal_clusters_are_the_delete_one_patient_jackknife() -> None:
    ids = np.repeat(np.arange(7), [1, 2, 3, 5, 8, 1, 4])
    y = RNG.normal(0, 1, len(ids))
    without = np.array([y[ids != g].mean() for g in range(7)])
    expected = 6 / 7 * ((without - y.mean()) ** 2).sum()
    assert mean_covariance(y[:, None], group(ids, len(y))).covariance[0, 0] == pytest.approx(expected)


def test_degrees_of_freedom_are_satterthwaites_by_matrix_algebra() -> None:
    sizes = np.array([1, 2, 3, 5, 8, 1, 4])
    ids = np.repeat(np.arange(7), sizes)
    w = sizes / sizes.sum()
    centring = np.eye(7) - np.outer(w, np.ones(7))
    product = np.diag(1 / (1 - w) ** 2) @ centring @ np.diag(sizes) @ centring.T
    expected = np.trace(product) ** 2 / np.trace(product @ product)
    assert mean_covariance(np.zeros((24, 1)), group(ids, 24)).df == pytest.approx(expected)


def test_cluster_robust_agrees_with_statsmodels_for_many_patients() -> None:
    from statsmodels.regression.linear_model import OLS

    ids = np.repeat(np.arange(400), RNG.integers(1, 5, 400))
    y = RNG.normal(0, 1, 400)[ids] + RNG.normal(0, 1, len(ids))
    fit = OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": ids})
    found = mean_covariance(y[:, None], group(ids, len(y)))
    assert found.covariance[0, 0] == pytest.approx(float(fit.cov_params()[0, 0]), rel=0.01)


@pytest.mark.parametrize(
    ("values", "clusters", "words"),
    [
        ([], None, "no case"),
        ([1.0], None, "one patient"),
        ([1.0, 2.0, 3.0], ["a", "a", "a"], "one patient"),
        ([np.nan, np.nan], None, "no case"),
        ([1.0, np.inf, 2.0], None, "infinite"),
    ],
)
def test_too_little_data_is_said(values: list[float], clusters: list[str] | None, words: str) -> None:
    found = mean(values, clusters=clusters)
    assert found.value is None
    assert words in found.reason


def test_no_spread_gives_a_value_without_limits() -> None:
    found = mean([2.1, 2.1, 2.1, 2.1])
    assert (found.value, found.lower, found.upper) == (pytest.approx(2.1), None, None)
    assert "spread" in found.reason


def test_large_offset_keeps_the_spread() -> None:
    y = 1e9 + np.array([0.0, 1.0, 2.0, 3.0])
    found = mean(y)
    assert found.upper is not None
    assert found.lower is not None
    assert found.upper - found.lower == pytest.approx(2 * 2.0542, rel=1e-3)


def test_fieller_limits_are_where_the_t_test_of_the_linear_contrast_is_at_its_level() -> None:
    x = RNG.normal(10, 2, 15)
    y = 0.8 * x + RNG.normal(0, 1, 15)
    found = mean_ratio(y, x)
    for limit in (found.lower, found.upper):
        assert limit is not None
        assert stats.ttest_1samp(y - limit * x, 0).pvalue == pytest.approx(0.05, rel=1e-9)


def test_ratio_to_a_mean_near_zero_has_no_bounds() -> None:
    found = mean_ratio([1.0, 2.0, 3.0, 2.0], [-1.0, 1.2, -0.9, 1.0])
    assert found.value is not None
    assert (found.lower, found.upper) == (None, None)
    assert "no bounds" in found.reason
    assert mean_ratio([1.0, 2.0], [1.0, -1.0]).value is None
    assert mean_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]).lower is None


def test_geometric_mean_ratio_is_the_paired_t_of_logarithms() -> None:
    x, y = RNG.lognormal(0, 1, 20), RNG.lognormal(0, 1, 20)
    expected = stats.ttest_rel(np.log(y), np.log(x)).confidence_interval(0.95)
    found = geometric_mean_ratio(y, x)
    assert (found.lower, found.upper) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    assert "2 of 3" in geometric_mean_ratio([1.0, 0.0, -1.0], [1.0, 1.0, 1.0]).reason
