"""Statistics of one variable against SciPy and alibi-detect; limits of the effects by simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.shift.distances import ORDERED, ChiSquared, Distance
from validation.shift.groups import pool


def distance(statistic: str, a: np.ndarray, b: np.ndarray, ca: object = None, cb: object = None) -> Distance:
    groups = pool(len(a), len(b), ca, cb)
    x = np.concatenate([a, b])
    if statistic == "chi2":
        levels, codes = np.unique(x, return_inverse=True)
        return ChiSquared(codes, len(levels), groups, seed=1)
    return ORDERED[statistic](x.astype(float), groups, seed=1)


@pytest.mark.parametrize("ties", [False, True])
def test_statistics_equal_scipy(ties: bool) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=61), rng.normal(0.4, 1.5, size=47)
    if ties:
        a, b = a.round(), b.round()
    assert distance("ks", a, b).value == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    assert distance("wasserstein", a, b).value == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)
    assert distance("energy", a, b).value == pytest.approx(stats.energy_distance(a, b), abs=1e-12)
    if not ties:  # SciPy uses midranks for ties
        assert distance("cramer_von_mises", a, b).observed == pytest.approx(stats.cramervonmises_2samp(a, b).statistic)
    smd = (b.mean() - a.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    assert distance("standardised_difference", a, b).value == pytest.approx(smd, abs=1e-12)


def test_chi_squared_equals_scipy() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.choice(3, 80, p=[0.5, 0.3, 0.2]), rng.choice(3, 50, p=[0.3, 0.3, 0.4])
    table = np.array([[np.sum(g == k) for k in range(3)] for g in (a, b)])
    found = distance("chi2", a, b)
    assert found.observed == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)
    shares = table / table.sum(axis=1, keepdims=True)
    assert found.value == pytest.approx(0.5 * np.abs(shares[0] - shares[1]).sum())


@pytest.mark.shared
def test_statistics_equal_alibi_detect(shared: Path) -> None:
    gold = json.loads((shared / "reference/ehr/alibi_detect.json").read_text())["results"]
    for name in ("diab_train_vs_holdout", "diab_indep"):
        reference = gold[name]
        frames = [
            pd.read_csv(shared / f"reference/ehr/pairs/{reference[k]}.csv", keep_default_na=False, na_values=[""])
            for k in ("reference", "test")
        ]
        for tool, statistic in (("KSDrift", "ks"), ("ChiSquareDrift", "chi2")):
            for column, expected in zip(reference[tool]["features"], reference[tool]["distance"], strict=True):
                values = [f[column].astype(str if statistic == "chi2" else float).to_numpy() for f in frames]
                if statistic == "chi2" and len(set(np.concatenate(values))) == 2:
                    # alibi-detect applies Yates's continuity correction, which a permutation test does not need
                    table = pd.crosstab(np.repeat([0, 1], [len(v) for v in values]), np.concatenate(values)).to_numpy()
                    assert stats.chi2_contingency(table).statistic == pytest.approx(expected, rel=1e-5, abs=1e-6)
                    expected = stats.chi2_contingency(table, correction=False).statistic
                assert distance(statistic, *values).observed == pytest.approx(expected, rel=1e-5, abs=1e-6), column


@pytest.mark.parametrize("statistic", [*ORDERED, "chi2"])
def test_same_data_give_zero_and_swapping_changes_nothing_but_the_sign(statistic: str) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 4, 40), rng.integers(0, 4, 60)
    assert distance(statistic, a, a).value == pytest.approx(0.0, abs=1e-12)
    assert abs(distance(statistic, a, b).value) == pytest.approx(abs(distance(statistic, b, a).value))


def test_standardised_difference_has_the_large_sample_error() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=4000), rng.normal(0.5, 1, size=2000)
    d = distance("standardised_difference", a, b)
    expected = np.sqrt(1 / 4000 + 1 / 2000 + d.value**2 / 8 * (1 / 4000 + 1 / 2000))
    assert d.standard_error == pytest.approx(expected, rel=0.03)


def test_limits_of_a_binary_variable_without_events_have_width() -> None:
    """Nobody of ten in either cohort: a bootstrap would claim that the shares are exactly equal."""
    a, b = np.r_[np.zeros(10), 0.0], np.r_[np.zeros(10), 1.0]
    for statistic in ("ks", "chi2"):
        lower, upper = distance(statistic, a, b).limits(0.95)
        assert lower == 0.0
        assert upper is not None
        assert upper > 0.3


@pytest.mark.parametrize("statistic", [*ORDERED, "chi2"])
@pytest.mark.parametrize("moved", [0.0, 0.7])
def test_limits_cover_the_true_distance_with_patients_as_clusters(statistic: str, moved: float) -> None:
    """Twenty-five patients of four correlated cases each; the truth from a very large sample."""
    rng = np.random.default_rng(7)

    def draw(g: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
        x = np.repeat(rng.normal(size=g), 4) + 0.5 * rng.normal(size=4 * g) + shift
        return (x > 0.5).astype(float) + (x > -0.5) if statistic == "chi2" else x, np.repeat(np.arange(g), 4)

    huge = distance(statistic, draw(40_000, 0.0)[0], draw(40_000, moved)[0]).value
    truth = 0.0 if moved == 0 else huge
    below = above = 0
    runs = 150
    for _ in range(runs):
        (a, ca), (b, cb) = draw(25, 0.0), draw(25, moved)
        lower, upper = distance(statistic, a, b, ca, cb + 1000).limits(0.9)
        assert lower is not None
        assert upper is not None
        below += truth < lower - 1e-3
        above += truth > upper + 1e-3
    worst = stats.binom.isf(0.001, runs, 0.05)
    assert below <= worst
    assert above <= worst
