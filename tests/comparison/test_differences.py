"""Paired differences: the exact paired t where it applies, another implementation elsewhere, and their error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from validation.comparison.differences import holm, judge_family, paired_difference
from validation.comparison.measures import median, seed_spread
from validation.estimate import Estimate
from validation.statistics.sample import Sample


def _mean(sample: Sample) -> float:
    return float(np.mean(sample.values))


def _holds(estimate: Estimate, truth: float) -> bool:
    return estimate.lower is not None and estimate.upper is not None and estimate.lower < truth < estimate.upper


def _samples(rng: np.random.Generator, patients: int, per: int, shift: float = 0.0) -> tuple[Sample, Sample]:
    clusters = np.repeat(np.arange(patients), per)
    patient = rng.normal(0, 1, patients)[clusters]
    own = rng.normal(0, 0.7, patients)[clusters]  # the difference itself varies between patients
    first = patient + own + shift + rng.normal(0, 0.5, len(clusters))
    second = patient + rng.normal(0, 0.5, len(clusters))
    return Sample(values=first, clusters=clusters), Sample(values=second, clusters=clusters)


def test_one_case_per_patient_gives_the_paired_t_test() -> None:
    first, second = _samples(np.random.default_rng(1), 20, 1, 0.3)
    found = paired_difference(first, second, _mean, unit="HU")
    oracle = stats.ttest_rel(first.values, second.values)
    interval = oracle.confidence_interval(0.95)
    estimate = found.interval(0.95)
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert (estimate.lower, estimate.upper) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_a_ratio_agrees_with_the_delta_method() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(10, 1, 60)
    first = Sample(values=base + rng.normal(1, 0.2, 60), comparator=base, clusters=np.arange(60))
    second = Sample(values=base + rng.normal(0.5, 0.2, 60), comparator=base, clusters=np.arange(60))

    def ratio(s: Sample) -> float:
        return float(s.values.mean() / (s.comparator.mean() if s.comparator is not None else 1))

    found = paired_difference(first, second, ratio, unit="1")
    linear = (first.values - ratio(first) * base - second.values + ratio(second) * base) / base.mean()
    assert found.error == pytest.approx(linear.std(ddof=1) / 60**0.5, rel=0.02)


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(3).uniform(0, 0.2, 9).tolist()
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_families_of_no_difference_raise_few_alarms() -> None:
    """Error over whole families of six differences with several cases per patient, nominal 5 %."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(300):
        found = {("a-b", f"E{k}"): paired_difference(*_samples(rng, 15, 3), _mean, unit="1") for k in range(6)}
        rows = judge_family(found, better={f"E{k}": "higher" for k in range(6)}, margins={})
        alarms += any(row["finding"] in ("first", "second") for row in rows.values())
    assert alarms <= stats.binom.isf(0.005, 300, 0.05)


def test_the_interval_covers_with_many_patients_in_groups() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        estimate = paired_difference(*_samples(rng, 100, 2, 0.2), _mean, unit="1").interval(0.95)
        covered += _holds(estimate, 0.2)
    assert stats.binom.ppf(0.001, 300, 0.95) <= covered


def test_equivalent_needs_a_margin_and_an_interval_within_it() -> None:
    first, second = _samples(np.random.default_rng(6), 60, 2)
    found = {("a-b", "E1"): paired_difference(first, second, _mean, unit="1")}
    assert judge_family(found, better={"E1": "lower"}, margins={"E1": 1.0})["a-b", "E1"]["finding"] == "equivalent"
    assert judge_family(found, better={"E1": "lower"}, margins={})["a-b", "E1"]["finding"] == "not settled"


def test_missing_values_and_too_few_patients_are_not_settled() -> None:
    first, second = _samples(np.random.default_rng(7), 4, 2)
    found = paired_difference(first, second, _mean, unit="1")
    assert found.value is None
    assert "4 patients" in found.interval(0.95).reason


def test_the_median_of_readings_covers() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        estimate = median(rng.exponential(1, 15).tolist(), level=0.95, unit="ms")
        covered += _holds(estimate, float(np.log(2)))
    assert covered >= stats.binom.ppf(0.001, 400, 0.95)
    assert median([1.0, 2.0, 3.0], level=0.95, unit="ms").lower is None


def test_the_spread_over_seeds_has_the_chi_square_interval() -> None:
    values = {1: 1.0, 2: 2.0, 3: 4.0}
    found = seed_spread(values, level=0.95, unit="HU")
    s = np.std([1, 2, 4], ddof=1)
    assert found.lower == pytest.approx(s * (2 / stats.chi2.ppf(0.975, 2)) ** 0.5)
    assert found.upper == pytest.approx(s * (2 / stats.chi2.ppf(0.025, 2)) ** 0.5)
    assert seed_spread({1: 1.0}, level=0.95, unit="HU").value is None
