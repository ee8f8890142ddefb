"""Sample size and power against statsmodels, published tables, pROC and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from validation.estimate import Outcome
from validation.statistics.hypotheses import judge
from validation.statistics.means import mean
from validation.statistics.sample_size import (
    Plan,
    auc_variance,
    design_effect,
    power_auc_difference,
    power_equivalence,
    power_mean,
    power_paired_proportions,
    power_proportion,
    power_proportion_difference,
    smallest,
)


@pytest.mark.parametrize(("n", "effect", "alpha"), [(10, 0.5, 0.025), (34, 0.5, 0.025), (80, 0.2, 0.05)])
def test_power_of_a_t_test_is_that_of_statsmodels(n: int, effect: float, alpha: float) -> None:
    from statsmodels.stats.power import TTestPower

    expected = TTestPower().power(effect, n, alpha, alternative="larger")
    assert power_mean(n, distance=effect * 3, sd=3, alpha=alpha) == pytest.approx(expected, rel=1e-9)


def test_required_number_is_that_of_statsmodels() -> None:
    from statsmodels.stats.power import TTestPower

    for effect in (0.25, 0.4, 1.0):
        expected = math.ceil(TTestPower().solve_power(effect, None, 0.025, 0.9, alternative="larger"))
        found = smallest(lambda n, e=effect: power_mean(n, distance=e, sd=1, alpha=0.025), 0.9)  # type: ignore[misc]
        assert found == expected


def test_equivalence_power_agrees_with_simulation() -> None:
    rng = np.random.default_rng(1)
    for n, lower, upper in ((12, -1.0, 1.0), (8, -0.7, 1.3), (30, -0.3, 0.3)):
        mean = rng.normal(0, 1 / math.sqrt(n), 200_000)
        error = np.sqrt(rng.chisquare(n - 1, 200_000) / (n - 1) / n)
        t = stats.t.isf(0.05, n - 1)
        simulated = ((mean - t * error > lower) & (mean + t * error < upper)).mean()
        assert power_equivalence(n, lower=lower, upper=upper, sd=1.0, alpha=0.05) == pytest.approx(simulated, abs=0.004)


def test_proportion_power_agrees_with_simulation_and_the_exact_binomial_test() -> None:
    test = stats.binom
    found = power_proportion(60, probability=0.92, goal=0.8, alpha=0.025, interval="clopper_pearson")
    critical = next(k for k in range(61) if test.sf(k - 1, 60, 0.8) <= 0.025)
    assert found == pytest.approx(test.sf(critical - 1, 60, 0.92), rel=1e-9)
    lower = power_proportion(60, probability=0.02, goal=0.1, alpha=0.025, higher_is_better=False)
    higher = power_proportion(60, probability=0.98, goal=0.9, alpha=0.025)
    assert lower == pytest.approx(higher, rel=1e-9)


def test_two_proportions_in_a_published_example() -> None:
    # Chow, Shao and Wang, section 4.2.4: p 0.65 and 0.85, equality, 80 % power at 5 % two-sided: 70 per group
    found = smallest(lambda n: power_proportion_difference(n, n, probability=0.85, comparator=0.65, alpha=0.025), 0.8)
    assert found == 70


def test_paired_proportions_agree_with_simulation() -> None:
    rng = np.random.default_rng(2)
    gained, lost = rng.multinomial(200, [0.15, 0.05, 0.8], 100_000).T[:2]
    d = (gained - lost) / 200
    error = np.sqrt(((gained + lost) / 200 - d**2) / 200)
    simulated = (d - 1.959964 * error > 0).mean()
    assert power_paired_proportions(200, gained=0.15, lost=0.05, alpha=0.025) == pytest.approx(simulated, abs=0.02)


def test_auc_variance_is_hanley_and_mcneils() -> None:
    assert math.sqrt(auc_variance(0.893, 51, 58)) == pytest.approx(0.0325, abs=5e-4)  # 1982, their worked example
    rng = np.random.default_rng(3)  # exponential scores, for which the formula is exact
    gap = rng.exponential(4, (4000, 30))[:, :, None] > rng.exponential(1, (4000, 20))[:, None, :]
    assert gap.mean(axis=(1, 2)).var() == pytest.approx(auc_variance(0.8, 30, 20), rel=0.06)


def test_a_more_correlated_comparison_has_more_power() -> None:
    powers = [
        power_auc_difference(60, 60, auc=0.9, comparator=0.85, correlation=r, alpha=0.025) for r in (0.0, 0.4, 0.8)
    ]
    assert powers == sorted(powers)


def test_design_effect() -> None:
    assert design_effect(1, 0.9) == 1
    assert design_effect(5, 0.2) == pytest.approx(1.8)
    assert design_effect(5, 0.2, variation=1.0) == pytest.approx(2.8)


def test_plan_matches_simulated_power_of_the_same_judgement() -> None:
    plan = Plan(
        summary="mean", hypothesis="non_inferiority", margin=1.0, alpha=0.025, better="lower", effect=0.2, sd=1.5
    )
    n = plan.required(0.8)
    assert n is not None
    rng = np.random.default_rng(5)

    def study() -> bool:
        y = rng.normal(0.2, 1.5, n)
        _, verdict = judge(lambda level: mean(y, level=level), hypothesis="non_inferiority", margin=1.0, better="lower")
        return verdict.outcome is Outcome.PASS

    passed = sum(study() for _ in range(400))
    assert passed / 400 == pytest.approx(plan.power(n), abs=0.07)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan(summary="mean", hypothesis="descriptive", alpha=0.025, effect=1.0), "descriptive"),
        (
            Plan(summary="mean", hypothesis="superiority", alpha=0.025, effect=1.0, better="higher"),
            "standard deviation",
        ),
        (
            Plan(summary="mean", hypothesis="superiority", alpha=0.025, effect=-1.0, sd=1, better="higher"),
            "does not meet",
        ),
        (Plan(summary="mean", hypothesis="equivalence", margin=1, alpha=0.025, effect=2.0, sd=1), "outside"),
        (
            Plan(summary="auc", hypothesis="superiority", margin=0.7, alpha=0.025, effect=1.0, better="higher"),
            "between",
        ),
    ],
)
def test_a_plan_that_cannot_be_sized_says_why(plan: Plan, words: str) -> None:
    assert words in plan.reason
    assert plan.power(50) is None
    assert plan.required(0.8) is None


def test_plans_of_proportions_and_areas() -> None:
    goal = Plan(
        summary="proportion", hypothesis="performance_goal", margin=0.8, alpha=0.025, effect=0.9, better="higher"
    )
    n = goal.required(0.8)
    assert n is not None
    assert all((goal.power(m) or 0) >= 0.8 for m in range(n, n + 10))
    area = Plan(summary="auc", hypothesis="performance_goal", margin=0.75, alpha=0.025, effect=0.85, better="higher")
    assert 50 < (area.required(0.8) or 0) < 250
    same = Plan(summary="mean", hypothesis="equivalence", margin=0.5, alpha=0.025, effect=0.0, sd=1.0)
    assert (same.power(same.required(0.9) or 0) or 0) >= 0.9
