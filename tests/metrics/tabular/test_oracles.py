"""Single metrics against SciPy, statsmodels, scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats.contingency import association

from tests.metrics.tabular.generators import population
from validation.metrics.tabular import association as pairs
from validation.metrics.tabular.discrepancy import embedded, mmd, mmd2_exact, mmd2_features
from validation.metrics.tabular.encoding import Tables, encode
from validation.metrics.tabular.exact import moment_tail, two_sided_exact, weighted_chi2_sf
from validation.metrics.tabular.marginals import homogeneity, kolmogorov_smirnov, total_variation, wasserstein
from validation.metrics.tabular.neighbours import nearest, space
from validation.metrics.tabular.precision import expected_cover, precision_recall_authenticity


@pytest.fixture(scope="module")
def tables() -> Tables:
    return encode(population(400, 1), population(300, 2), population(350, 3))


def test_marginals_equal_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.normal(0.3, 1.2, 150)
    estimate, p = kolmogorov_smirnov(x, y, level=0.95)
    oracle = stats.ks_2samp(x, y, method="asymp")
    assert (estimate.value, p) == pytest.approx((oracle.statistic, oracle.pvalue))
    assert estimate.lower < estimate.value < estimate.upper
    distance, p = wasserstein(x, y, level=0.95)
    assert distance.value == pytest.approx(stats.wasserstein_distance(x, y))
    draws = [wasserstein(*np.split(rng.permutation(np.r_[x, y]), [200]), level=0.95)[0].value for _ in range(999)]
    assert p == pytest.approx(np.mean(np.array(draws) >= distance.value), abs=0.05)


def test_homogeneity_equals_the_contingency_test_and_fisher():
    a, b = np.array([30, 40, 50]), np.array([60, 30, 20])
    assert homogeneity(a, b) == pytest.approx(stats.chi2_contingency([a, b], correction=False).pvalue)
    p = homogeneity(np.array([3, 17]), np.array([11, 9]))
    one_sided = stats.fisher_exact([[3, 17], [11, 9]], alternative="less").pvalue
    assert p == pytest.approx(2 * one_sided)
    assert homogeneity(np.array([4]), np.array([9])) is None
    estimate, _ = total_variation(np.repeat([0, 1], [30, 70]), np.repeat([0, 1], [50, 50]), 2, level=0.95)
    assert estimate.value == pytest.approx(0.2)
    assert float(two_sided_exact([0], 5, [0], 5)[0]) == 1.0


def test_tails_of_nulls():
    rng = np.random.default_rng(1)
    null = rng.gamma(3, size=200_000)  # many draws: the moments are then those of the distribution
    assert moment_tail(12.0, null) == pytest.approx(stats.gamma.sf(12, 3), rel=0.15)
    assert weighted_chi2_sf(20.0, np.ones(4)) == pytest.approx(stats.chi2.sf(20, 4), rel=1e-6)
    draws = rng.chisquare(1, (200_000, 3)) @ np.array([3.0, 1.0, 0.2])
    assert weighted_chi2_sf(15.0, np.array([3.0, 1.0, 0.2])) == pytest.approx((draws > 15).mean(), rel=0.1)


def test_associations_equal_scipy_and_naive_formulas():
    frame = population(500, 4)
    t = encode(frame, frame)
    found = pairs.associations(t, t.train).values
    name = {c: k for k, c in enumerate(t.columns)}
    both = frame[["age", "dose"]].dropna()
    assert found[name["age"], name["pressure"]] == pytest.approx(stats.spearmanr(frame.age, frame.pressure).statistic)
    # ranks are those of each whole column, so a pair with missing cells differs from pairwise ranking only slightly
    assert found[name["age"], name["dose"]] == pytest.approx(stats.spearmanr(both.age, both.dose).statistic, abs=0.01)
    starts, width = pairs.starts_of(t)
    g = pairs.products(t.train.numbers, t.train.codes, starts, width)
    counts = pd.crosstab(frame.sex, frame.disease).to_numpy()
    n = counts.sum()
    v2 = association(counts, method="cramer") ** 2
    corrected = max(0.0, v2 - 1 / (n - 1)) / (1 - 1 / (n - 1))
    i, j = t.categorical.index("sex"), t.categorical.index("disease")
    assert pairs.cramer(g, starts)[i, j] == pytest.approx(np.sqrt(corrected), abs=1e-9)
    joint = counts / n
    h = stats.entropy(joint.sum(1))
    assert pairs.theil(g, starts)[i, j] == pytest.approx(
        (h + stats.entropy(joint.sum(0)) - stats.entropy(joint.ravel())) / h
    )
    ranks = frame.age.rank()
    within = ranks.groupby(frame.disease).transform("mean")
    epsilon = 1 - ((ranks - within) ** 2).sum() / (n - 2) * (n - 1) / ((ranks - ranks.mean()) ** 2).sum()
    assert found[name["age"], name["disease"]] == pytest.approx(np.sqrt(epsilon))


def test_neighbours_equal_brute_force_with_missing_cells_and_themselves(tables):
    low, span = tables.span

    def brute(a, b):
        x, y = (a.numbers[:, None] - low) / span, (b.numbers[None] - low) / span
        d = np.abs(x - y)
        d = np.where(np.isnan(x) & np.isnan(y), 0, np.where(np.isnan(d), 1, d)).sum(-1)
        return (d + (a.codes[:, None] != b.codes[None]).sum(-1)) / len(tables.columns)

    geometry = space(tables)
    d = brute(tables.synthetic, tables.train)
    found = nearest(geometry, tables.synthetic, tables.train)
    ordered = np.sort(d, axis=1)
    np.testing.assert_allclose(found.first, ordered[:, 0], atol=1e-12)
    np.testing.assert_allclose(found.second, ordered[:, 1], atol=1e-12)
    np.testing.assert_array_equal(found.index, np.argmin(np.round(d, 11), axis=1))
    own = brute(tables.train, tables.train)
    np.fill_diagonal(own, np.inf)
    np.testing.assert_allclose(nearest(geometry, tables.train, tables.train, itself=True).first, own.min(1), atol=1e-12)
    one = nearest(geometry, tables.synthetic, tables.train.take(np.array([7])))
    assert np.isinf(one.second).all()


def test_many_levels_and_columns_do_not_break_the_bytes():
    rng = np.random.default_rng(0)

    def wide(n: int) -> pd.DataFrame:
        made = {f"x{k}": rng.normal(size=n) for k in range(300)}
        return pd.DataFrame(made | {"code": [f"c{v}" for v in rng.integers(0, 600, n)]})

    t = encode(wide(1500), wide(40))
    assert t.categorical == ("code",)
    _low, span = t.span
    d = np.abs((t.synthetic.numbers[:, None] - t.train.numbers[None]) / span).sum(-1)
    d += t.synthetic.codes != t.train.codes[:, 0][None]
    np.testing.assert_allclose(nearest(space(t), t.synthetic, t.train).first, d.min(1) / 301, atol=1e-12)


def test_mmd_exact_equals_full_kernels_and_features_their_error(tables):
    from sklearn.metrics.pairwise import rbf_kernel

    x, y = embedded(tables, tables.synthetic), embedded(tables, tables.train)
    biased, _ = mmd2_exact(x, y, 0.1)
    full = (
        rbf_kernel(x, x, gamma=0.1).mean() + rbf_kernel(y, y, gamma=0.1).mean() - 2 * rbf_kernel(x, y, gamma=0.1).mean()
    )
    assert biased == pytest.approx(full, abs=1e-10)
    shifted = x + 0.3
    estimate, p = mmd2_features(shifted, y, 0.1, seed=0, level=0.95)
    assert estimate.lower < mmd2_exact(shifted, y, 0.1)[1] < estimate.upper
    assert p < 1e-4


def test_mmd_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(3)
    p = [
        mmd2_features(rng.normal(size=(80, 4)), rng.normal(size=(120, 4)), 0.2, seed=s, level=0.95)[1]
        for s in range(150)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_authenticity_uses_the_training_records_own_neighbour():
    train = pd.DataFrame({"x": [0.0, 1.0, 5.0, 5.1, 9.0, 20.0, 30.5]})
    made = pd.DataFrame({"x": [0.2, 5.3, 100.0]})
    found = precision_recall_authenticity(train, made)
    # 0.2 is nearer to 0 than 0 to 1; 5.3 is farther from 5.1 than 5.1 from 5; 100 is far from 30.5, farther than 20 is
    assert found["authenticity"].value == pytest.approx(2 / 3)
    assert expected_cover(100, 100) == pytest.approx(1 - 99 * 98 / (199 * 198))


def test_mmd_metric_names_its_estimates():
    frame = population(60, 1)
    assert set(mmd(frame, population(60, 2), exact=True)) == {"biased", "unbiased"}
    assert mmd(frame, frame.copy())["unbiased"].value < 0.01
