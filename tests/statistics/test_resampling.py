"""Bootstrap, permutation and rank methods against SciPy, complete enumeration and closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from validation.statistics.permutation import sign_flip_test, two_group_test
from validation.statistics.ranks import hodges_lehmann, signed_rank_test, walsh_averages
from validation.statistics.resampling import bootstrap, bootstrap_estimate, mean_bootstrap, quantile_bootstrap

RNG = np.random.default_rng(11)
Y = RNG.exponential(2, 40)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_bootstrap_limits_agree_with_scipy(interval: str) -> None:
    fit, n, g = mean_bootstrap(Y, replicates=20_000, seed=1)
    found = bootstrap_estimate(fit, n=n, n_clusters=g, level=0.9, unit="1", what="mean", interval=interval)  # type: ignore[arg-type]
    method = "BCa" if interval == "bca" else "percentile"
    expected = stats.bootstrap(
        (Y,), np.mean, n_resamples=20_000, confidence_level=0.9, method=method, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_limits_that_cross_by_rounding_are_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """At levels near 0, which the inversion of intervals asks for, both limits are one number up to rounding."""
    fit, n, g = mean_bootstrap(Y, replicates=200, seed=1)
    above = float(np.nextafter(2.0, 3.0))
    monkeypatch.setattr(type(fit), "limits", lambda *_: (above, 2.0))
    found = bootstrap_estimate(fit, n=n, n_clusters=g, level=1e-12, unit="1", what="mean")
    assert (found.lower, found.upper) == (2.0, above)


def test_acceleration_and_bias_are_efrons() -> None:
    fit, _, _ = mean_bootstrap(Y, seed=1)
    assert fit is not None
    without = (Y.sum() - Y) / 39
    gap = without.mean() - without
    assert fit.acceleration == pytest.approx((gap**3).sum() / (6 * ((gap**2).sum()) ** 1.5))


def test_bootstrap_spread_is_that_of_patients() -> None:
    ids = np.repeat(np.arange(40), 5)
    fit, n, g = mean_bootstrap(np.repeat(Y, 5), clusters=ids, replicates=4000, seed=3)
    assert fit is not None
    assert (n, g) == (200, 40)
    assert fit.replicates.std() == pytest.approx(Y.std() / np.sqrt(40), rel=0.05)


def test_same_seed_same_replicates_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from validation.statistics import resampling

    first, _, _ = mean_bootstrap(Y, replicates=500, seed=9)
    again, _, _ = mean_bootstrap(Y, replicates=500, seed=9)
    other, _, _ = mean_bootstrap(Y, replicates=500, seed=10)
    monkeypatch.setattr(resampling, "_BLOCK", 40 * 7)
    blocks, _, _ = mean_bootstrap(Y, replicates=500, seed=9)
    assert first is not None
    assert again is not None
    assert other is not None
    assert blocks is not None
    np.testing.assert_array_equal(first.replicates, again.replicates)
    np.testing.assert_allclose(first.replicates, blocks.replicates, rtol=1e-14)
    assert not np.array_equal(first.replicates, other.replicates)


def test_quantile_of_weights_is_the_quantile_of_the_resampled_cases() -> None:
    fit, _, _ = quantile_bootstrap(Y[:5], 0.5, replicates=5000, seed=1)
    assert fit is not None
    # for n = 5 the median of resamples is the k-th of the sample with binomial probabilities
    share = (fit.replicates <= np.sort(Y[:5])[1]).mean()
    assert share == pytest.approx(stats.binom.sf(2, 5, 2 / 5), abs=0.03)


def test_too_few_replicates_give_no_limit_rather_than_the_extreme() -> None:
    fit, n, g = mean_bootstrap(Y, replicates=99, seed=1)
    found = bootstrap_estimate(fit, n=n, n_clusters=g, level=0.999, unit="1", what="mean")
    assert found.lower is None
    assert "too few" in found.reason


def test_degenerate_bootstraps() -> None:
    for values in ([], [1.0], [1.0, np.inf]):
        fit, n, g = mean_bootstrap(values, seed=1)
        assert bootstrap_estimate(fit, n=n, n_clusters=g, level=0.95, unit="1", what="mean").value is None
    fit, n, g = mean_bootstrap([2.1] * 8, seed=1)
    found = bootstrap_estimate(fit, n=n, n_clusters=g, level=0.95, unit="1", what="mean", interval="bca")
    assert (found.value, found.lower) == (pytest.approx(2.1), None)
    assert bootstrap(lambda w: np.full(len(w), np.nan), 5, seed=1) is None


def test_sign_flip_converges_to_complete_enumeration() -> None:
    d = np.array([1.2, -0.4, 2.2, 0.9, -0.1, 1.8, 0.7])
    ids = np.array([0, 0, 1, 2, 3, 4, 4])
    totals = np.bincount(ids, d)
    exact = np.mean([np.dot(s, totals) >= totals.sum() - 1e-9 for s in product((-1, 1), repeat=5)])
    found = sign_flip_test(d, clusters=ids, replicates=20_000, seed=4)
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.statistic == pytest.approx(d.mean())


def test_two_group_test_agrees_with_scipy() -> None:
    a, b = RNG.normal(0, 1, 12), RNG.normal(0.8, 1, 15)
    first = np.repeat([True, False], [12, 15])
    found = two_group_test(np.r_[a, b], first, replicates=9999, seed=1)
    expected = stats.permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), n_resamples=9999, rng=np.random.default_rng(1)
    ).pvalue
    assert found.p_value == pytest.approx(expected, abs=0.015)
    with pytest.raises(ValueError, match="both groups"):
        two_group_test([1.0, 2.0], [True, False], clusters=["a", "a"], seed=1)


def test_permutation_p_value_is_never_zero() -> None:
    found = sign_flip_test(np.full(60, 5.0) + RNG.normal(0, 0.1, 60), replicates=999, seed=1)
    assert found.p_value == 1 / 1000


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_signed_rank_is_scipys(alternative: str) -> None:
    d = RNG.normal(0.4, 1, 22)
    expected = stats.wilcoxon(d, alternative=alternative, method="exact").pvalue
    assert signed_rank_test(d, alternative=alternative).p_value == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [6, 13, 30, 80])
def test_hodges_lehmann_limits_are_where_the_signed_rank_test_changes_its_mind(n: int) -> None:
    d = np.random.default_rng(n).normal(1, 1, n)
    found = hodges_lehmann(d)
    i, j = np.triu_indices(n)
    assert found.value == pytest.approx(float(np.median((d[i] + d[j]) / 2)))
    assert found.lower is not None
    how = "exact" if n <= 50 else "approx"
    inside = stats.wilcoxon(d - (found.lower + 1e-9), method=how, correction=n > 50).pvalue
    outside = stats.wilcoxon(d - (found.lower - 1e-9), method=how, correction=n > 50).pvalue
    assert outside <= 0.05 < inside


def test_many_pairs_are_searched_without_listing_them() -> None:
    d = np.random.default_rng(3).normal(0, 1, 2100)
    i, j = np.triu_indices(2100)
    pairs = np.sort((d[i] + d[j]) / 2)
    ranks = [1, 500_000, len(pairs)]
    np.testing.assert_allclose(walsh_averages(d, ranks), pairs[np.array(ranks) - 1], atol=1e-12)


def test_ranks_of_clustered_cases_are_those_of_patient_means() -> None:
    d = RNG.normal(1, 1, (10, 3))
    found = hodges_lehmann(d.ravel(), clusters=np.repeat(np.arange(10), 3))
    assert found.value == pytest.approx(hodges_lehmann(d.mean(axis=1)).value or 0)
    assert (found.n, found.n_clusters) == (30, 10)


def test_degenerate_tests_say_why() -> None:
    for found in (
        sign_flip_test([], seed=1), sign_flip_test([0.0, 0.0], seed=1), signed_rank_test([0.0] * 5),
        signed_rank_test([1.0]),
        signed_rank_test([1.0, np.inf]), two_group_test([1.0, 1.0, 1.0, 1.0], [1, 1, 0, 0], seed=1),
        two_group_test([1.0, 2.0, 3.0], [1, 0, 0], seed=1), two_group_test([], [], seed=1),
    ):  # fmt: skip
        assert found.p_value is None
        assert found.reason
    assert "too few" in hodges_lehmann([1.0, 2.0, 3.0]).reason
    assert hodges_lehmann([1.0] * 9).lower is None
