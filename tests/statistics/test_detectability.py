"""Channelised Hotelling detectability: scikit-learn's discriminant, the F distribution, and brute-force jackknives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from validation.statistics.detectability import detectability, detectability_difference

RNG = np.random.default_rng(5)
TRUTH = np.tile([0, 1], 40)
V = RNG.normal(0, 1, (80, 5)) @ (np.eye(5) + np.tril(np.ones((5, 5)))) + 1.2 * TRUTH[:, None] * np.arange(5)
IDS = np.repeat(np.arange(16), 5)


def mahalanobis(v: np.ndarray, truth: np.ndarray) -> float:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    fit = LinearDiscriminantAnalysis(solver="lsqr").fit(v, truth)
    gap = v[truth == 1].mean(axis=0) - v[truth == 0].mean(axis=0)
    m = len(truth)
    return float(fit.coef_[0] @ gap) * (m - 2) / m  # scikit-learn divides the covariance by m


def unbiased(v: np.ndarray, truth: np.ndarray) -> float:
    m, m1, k = len(truth), int(truth.sum()), v.shape[1]
    return math.sqrt(max(0.0, (m - k - 3) / (m - 2) * mahalanobis(v, truth) - k * m / (m1 * (m - m1))))


def test_exact_limits_put_the_observed_distance_at_the_tails_of_the_noncentral_f() -> None:
    found = detectability(V, TRUTH)
    f = 20 * (80 - 5 - 1) / (78 * 5) * mahalanobis(V, TRUTH)
    for limit, probability in ((found.lower, 0.975), (found.value, 0.5), (found.upper, 0.025)):
        assert limit is not None
        assert stats.ncf.cdf(f, 5, 74, 20 * limit**2) == pytest.approx(probability, abs=1e-7)
    assert (found.n, found.n_events, found.n_clusters) == (80, 40, 80)


def test_auc_is_a_transform_of_d_prime() -> None:
    d, a = detectability(V, TRUTH), detectability(V, TRUTH, figure="auc")
    for x, y in ((d.lower, a.lower), (d.value, a.value), (d.upper, a.upper)):
        assert x is not None
        assert y == pytest.approx(stats.norm.cdf(x / math.sqrt(2)))


def test_the_answer_does_not_depend_on_the_basis_or_offset_of_the_channels() -> None:
    basis = RNG.normal(0, 1, (5, 5))
    assert detectability(V @ basis + 1e4, TRUTH).value == pytest.approx(detectability(V, TRUTH).value, rel=1e-6)


def test_clustered_estimate_is_the_unbiased_one_with_the_brute_force_jackknife() -> None:
    found = detectability(V, TRUTH, clusters=IDS)
    without = np.array([unbiased(V[g != IDS], TRUTH[g != IDS]) for g in range(16)])
    error = math.sqrt(15 / 16 * ((without - without.mean()) ** 2).sum())
    assert found.value == pytest.approx(unbiased(V, TRUTH), rel=1e-9)
    assert found.upper == pytest.approx(unbiased(V, TRUTH) + stats.t.isf(0.025, 15) * error, rel=1e-7)


@pytest.mark.parametrize("figure", ["d_prime", "auc"])
def test_difference_keeps_the_pairing(figure: str) -> None:
    other = V + RNG.normal(0, 0.3, V.shape)
    found = detectability_difference(V, other, TRUTH, clusters=IDS, figure=figure)  # type: ignore[arg-type]

    def contrast(keep: np.ndarray) -> float:
        a, b = unbiased(V[keep], TRUTH[keep]), unbiased(other[keep], TRUTH[keep])
        return a - b if figure == "d_prime" else float(np.diff(stats.norm.cdf(np.array([b, a]) / math.sqrt(2)))[0])

    without = np.array([contrast(g != IDS) for g in range(16)])
    error = math.sqrt(15 / 16 * ((without - without.mean()) ** 2).sum())
    assert found.value == pytest.approx(contrast(np.full(80, True)), rel=1e-9)
    assert found.lower == pytest.approx(contrast(np.full(80, True)) - stats.t.isf(0.025, 15) * error, rel=1e-6)


def test_no_signal_gives_a_limit_at_zero_not_a_claim() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (60, 4))
    found = detectability(noise, np.tile([0, 1], 30))
    assert found.lower == 0


@pytest.mark.parametrize(
    ("v", "truth", "clusters", "words"),
    [
        (V[:6], TRUTH[:6], None, "cannot train"),
        (V, np.zeros(80), None, "two or more images"),
        (np.hstack([V, V[:, :1]]), TRUTH, None, "linearly dependent"),
        (np.hstack([V, np.ones((80, 1))]), TRUTH, None, "linearly dependent"),
        (V, TRUTH, np.zeros(80), "clusters"),
        (np.full((80, 5), np.nan), TRUTH, None, "two or more images"),
    ],
)
def test_too_little_data_is_said(v: np.ndarray, truth: np.ndarray, clusters: np.ndarray | None, words: str) -> None:
    for found in (detectability(v, truth, clusters=clusters), detectability_difference(v, v, truth, clusters=clusters)):
        assert found.value is None
        assert words in found.reason


def test_a_cluster_that_holds_a_class_gives_no_limits() -> None:
    found = detectability(V, TRUTH, clusters=np.where(TRUTH == 1, "one", (np.arange(80) // 8).astype(str)))
    assert found.value is not None
    assert found.lower is None
    assert "one cluster" in found.reason


def test_identical_arms_give_no_limits() -> None:
    found = detectability_difference(V, V, TRUTH, clusters=IDS)
    assert (found.value, found.lower) == (0.0, None)
