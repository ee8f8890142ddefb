"""Proportions and their differences, against statsmodels, SciPy and published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from validation.estimate import Estimate
from validation.statistics.proportion_differences import paired_proportion_difference, proportion_difference, tango
from validation.statistics.proportions import clopper_pearson, proportion, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 29), (81, 263), (15, 148), (1, 1)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_and_clopper_pearson_are_scipys(k: int, n: int, level: float) -> None:
    test = stats.binomtest(k, n)
    expected = test.proportion_ci(level, method="wilson")
    assert wilson(k / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)
    expected = test.proportion_ci(level, method="exact")
    assert clopper_pearson(k / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("table", "limits"),  # Newcombe 1998, table II, method 10
    [((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090)), ((10, 10, 0, 10), (0.6075, 1.0))],
)
def test_published_newcombe_differences(table: tuple[int, int, int, int], limits: tuple[float, float]) -> None:
    found = proportion_difference(*table)
    assert (found.lower, found.upper) == pytest.approx(limits, abs=6e-5)


def test_miettinen_nurminen_of_a_complete_difference_in_closed_form() -> None:
    # for 10/10 against 0/10 the restricted proportions are (1 + d)/2 and (1 - d)/2, so z^2 = 19 (1 - d)/(1 + d)
    ratio = stats.norm.isf(0.025) ** 2 / 19
    found = proportion_difference(10, 10, 0, 10, interval="miettinen_nurminen")
    assert (found.lower, found.upper) == pytest.approx(((1 - ratio) / (1 + ratio), 1.0), abs=1e-9)


@pytest.mark.parametrize("table", [(56, 70, 48, 80), (9, 10, 3, 10), (0, 20, 0, 30), (7, 7, 1, 9), (3, 40, 9, 25)])
def test_differences_are_those_of_statsmodels(table: tuple[int, int, int, int]) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    expected = confint_proportions_2indep(*table, method="newcomb", compare="diff")
    found = proportion_difference(*table)
    assert (found.lower, found.upper) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("table", [(56, 70, 48, 80), (9, 10, 3, 10), (3, 40, 9, 25), (1, 12, 6, 15)])
def test_miettinen_nurminen_inverts_the_score_test(table: tuple[int, int, int, int]) -> None:
    x1, n1, x2, n2 = table

    def chi(delta: float) -> float:  # an oracle that finds the restricted maximum by numbers rather than by the cubic
        def loss(p2: float) -> float:
            p1 = p2 + delta
            terms = zip((x1, n1 - x1, x2, n2 - x2), (p1, 1 - p1, p2, 1 - p2), strict=True)
            return -sum(x * math.log(max(p, 1e-300)) for x, p in terms)

        low, high = max(0.0, -delta), min(1.0, 1 - delta)
        p2 = float(optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)
        p1, n = p2 + delta, n1 + n2
        return (x1 / n1 - x2 / n2 - delta) / math.sqrt((p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2) * n / (n - 1))

    found = proportion_difference(*table, interval="miettinen_nurminen")
    assert found.lower is not None
    assert found.upper is not None
    assert chi(found.lower) == pytest.approx(stats.norm.isf(0.025), abs=1e-4)
    assert chi(found.upper) == pytest.approx(-stats.norm.isf(0.025), abs=1e-4)


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (3, 9, 40), (5, 0, 30), (1, 1, 12)])
def test_tango_inverts_the_restricted_score_test(gained: int, lost: int, n: int) -> None:
    def score(delta: float) -> float:
        same = n - gained - lost

        def loss(q: float) -> float:  # q: probability of a loss, q + delta: of a gain
            cells = zip((gained, lost, same), (q + delta, q, 1 - 2 * q - delta), strict=True)
            return -sum(x * math.log(max(p, 1e-300)) for x, p in cells)

        bounds = (max(0.0, -delta), (1 - delta) / 2)
        q = float(optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)
        return (gained - lost - n * delta) / math.sqrt(n * (2 * q + delta - delta**2))

    lower, upper = tango(gained, lost, n, 0.95)
    assert score(lower) == pytest.approx(stats.norm.isf(0.025), abs=1e-4)
    assert score(upper) == pytest.approx(-stats.norm.isf(0.025), abs=1e-4)


def test_clusters_widen_by_the_design_effect_and_one_case_each_changes_nothing() -> None:
    events = np.repeat([1, 0, 1, 1, 0, 1, 1, 0, 1, 1], 6)
    ids = np.repeat(np.arange(10), 6)
    together = proportion(events, clusters=ids)
    apart = proportion(events)
    assert together.value == apart.value
    assert _width(together) > 2 * _width(apart)
    assert proportion(events, clusters=np.arange(60)) == proportion(events)
    assert (together.n, together.n_clusters, together.n_events) == (60, 10, 42)


@pytest.mark.parametrize("interval", ["wilson", "clopper_pearson"])
def test_all_and_no_events_in_clusters_count_patients_not_cases(interval: str) -> None:
    ids = np.repeat(np.arange(10), 6)
    none = proportion(np.zeros(60), clusters=ids, interval=interval)  # type: ignore[arg-type]
    every = proportion(np.ones(60), clusters=ids, interval=interval)  # type: ignore[arg-type]
    assert none.lower == 0
    assert every.upper == 1
    assert none.upper is not None
    assert none.upper >= wilson(0.0, 10, 0.95)[1]


def test_too_little_data_is_said() -> None:
    assert "no case" in proportion([]).reason
    assert "one patient" in proportion([1, 0, 1], clusters=["a"] * 3).reason
    assert proportion([1]).lower == pytest.approx(0.2065, abs=1e-4)
    assert "empty" in proportion_difference(0, 0, 1, 2).reason
    assert "no case" in paired_proportion_difference([np.nan], [1.0]).reason
    with pytest.raises(ValueError, match="0 or 1"):
        proportion([0.5])


def test_paired_difference_without_disagreement_has_width() -> None:
    alike = np.tile([1, 0], 20)
    independent = paired_proportion_difference(alike, alike)
    clustered = paired_proportion_difference(alike, alike, clusters=np.repeat(np.arange(10), 4))
    assert independent.value == clustered.value == 0
    assert _width(clustered) > _width(independent) > 0.1


def _width(estimate: Estimate) -> float:
    assert estimate.lower is not None
    assert estimate.upper is not None
    return estimate.upper - estimate.lower
