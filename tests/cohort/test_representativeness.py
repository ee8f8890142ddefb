from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from validation.cohort.representativeness import goodness_of_fit, representativeness, standardised_difference
from validation.errors import DataProblem


def cases(levels: list[str], patients: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients or [f"p{i}" for i in range(len(levels))], "sex": levels})


def test_shares_against_statsmodels() -> None:
    found = representativeness(cases(["F"] * 30 + ["M"] * 70), {"sex": {"F": 0.5, "M": 0.5}}, cluster="patient_id")
    level = found["sex"]["levels"]["F"]
    low, high = proportion_confint(30, 100, method="wilson")
    assert level["observed"]["value"] == 0.3
    assert (level["observed"]["lower"], level["observed"]["upper"]) == pytest.approx((low, high))
    difference = level["standardised_difference"]
    assert difference["value"] == pytest.approx((0.3 - 0.5) / math.sqrt((0.21 + 0.25) / 2))
    for limit, p in (("lower", low), ("upper", high)):
        assert difference[limit] == pytest.approx((p - 0.5) / math.sqrt((p * (1 - p) + 0.25) / 2))
    json.dumps(found)


def test_standardised_difference_increases_with_the_share() -> None:
    for target in np.linspace(0, 1, 21):
        values = [standardised_difference(k, 100, target).value for k in range(101)]
        known = [v for v in values if v is not None]
        assert all(a < b for a, b in itertools.pairwise(known))


def test_interval_covers_the_true_difference() -> None:
    """Simulation: 2,000 cohorts of 60 patients with true share 0.35, target 0.5."""
    rng = np.random.default_rng(1)
    true = (0.35 - 0.5) / math.sqrt((0.35 * 0.65 + 0.25) / 2)
    hits = 0
    for k in rng.binomial(60, 0.35, size=2000):
        e = standardised_difference(int(k), 60, 0.5)
        assert e.lower is not None
        assert e.upper is not None
        hits += e.lower <= true <= e.upper
    assert 0.935 <= hits / 2000 <= 0.97


def _exact(counts: list[int], target: list[float]) -> float:
    """Return the exact multinomial p-value of Pearson's statistic by listing every table."""
    n = sum(counts)
    expected = n * np.array(target)

    def statistic(table: tuple[int, ...]) -> float:
        return float((((np.array(table) - expected) ** 2) / expected).sum())

    observed, total = statistic(tuple(counts)), 0.0
    for table in itertools.product(range(n + 1), repeat=len(counts)):
        if sum(table) == n and statistic(table) >= observed - 1e-9:
            total += float(stats.multinomial.pmf(table, n, target))
    return total


@pytest.mark.parametrize(
    ("counts", "target"),
    [([3, 9], [0.5, 0.5]), ([8, 4, 3], [0.4, 0.4, 0.2]), ([12, 0, 3], [0.5, 0.2, 0.3]), ([5, 5, 5], [0.6, 0.3, 0.1])],
)
def test_goodness_of_fit_against_enumeration(counts: list[int], target: list[float]) -> None:
    fit = goodness_of_fit([float(c) for c in counts], target)
    exact = _exact(counts, target)
    assert fit["p_value"] == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9999) + 2e-4)
    assert fit["statistic"] == pytest.approx(stats.chisquare(counts, sum(counts) * np.array(target)).statistic)


def test_goodness_of_fit_keeps_its_level() -> None:
    rng = np.random.default_rng(2)
    draws = rng.multinomial(40, [0.5, 0.3, 0.2], size=400)
    rejected = sum(goodness_of_fit([float(c) for c in d], [0.5, 0.3, 0.2])["p_value"] <= 0.05 for d in draws)
    assert rejected / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert goodness_of_fit([38, 1, 1], [0.5, 0.3, 0.2])["p_value"] == 1e-4


def test_patients_are_counted_not_cases() -> None:
    levels, patients = [], []
    for i in range(12):
        for _ in range(1 if i < 6 else 50):
            levels.append("F" if i < 6 else "M")
            patients.append(f"p{i}")
    frame = pd.concat([cases(levels, patients), cases(["F", "M"], ["q", "q"])])
    found = representativeness(frame, {"sex": {"F": 0.5, "M": 0.5}}, cluster="patient_id")["sex"]
    assert found["n_patients"] == 13
    assert found["levels"]["F"]["n"] == 6.5
    assert found["levels"]["F"]["observed"]["value"] == 0.5
    assert found["goodness_of_fit"]["statistic"] == 0


def test_little_data_is_insufficient() -> None:
    found = representativeness(cases(["F"] * 3), {"sex": {"F": 0.5, "M": 0.5}}, cluster="patient_id")["sex"]
    assert found["levels"]["F"]["standardised_difference"]["value"] is None
    assert found["goodness_of_fit"]["p_value"] is None
    assert "3 patients" in found["goodness_of_fit"]["reason"]
    nobody = representativeness(cases([None] * 3), {"sex": {"F": 0.5, "M": 0.5}}, cluster="patient_id")["sex"]
    assert nobody["n_missing"] == 3
    assert nobody["levels"]["F"]["observed"]["value"] is None


def test_levels_outside_the_target_are_shown() -> None:
    found = representativeness(
        cases(["F"] * 10 + ["M"] * 9 + ["O"]), {"sex": {"F": 0.5, "M": 0.5}}, cluster="patient_id"
    )["sex"]
    assert found["levels"]["O"]["target"] == 0.0
    assert found["goodness_of_fit"]["p_value"] == 1e-4
    assert "target excludes" in found["goodness_of_fit"]["reason"]


def test_missing_column() -> None:
    with pytest.raises(DataProblem) as caught:
        representativeness(cases(["F"]), {"race": {"a": 1.0}}, cluster="patient_id")
    assert caught.value.code == "COH-060"
