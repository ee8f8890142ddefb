"""Control charts against published run lengths, and anytime-valid error by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.shift.anytime import betting_martingale, confidence_sequence, monitor_mean
from validation.shift.monitoring import (
    average_run_length,
    design_cusum,
    per_patient,
    run_cusum,
    siegmund,
    simulate_run_lengths,
)


@pytest.mark.parametrize(
    ("k", "h", "shift", "expected"),
    # Montgomery, Introduction to Statistical Quality Control, two-sided k = 1/2 (a side has twice the ARL in control)
    [(0.5, 4.0, 0.0, 2 * 168.0), (0.5, 5.0, 0.0, 2 * 465.0), (0.5, 4.0, 1.0, 8.38), (0.5, 5.0, 1.0, 10.4)],
)
def test_average_run_length_is_the_published_one(k: float, h: float, shift: float, expected: float) -> None:
    assert average_run_length(k, h, shift) == pytest.approx(expected, rel=0.006)
    assert siegmund(k, h, shift) == pytest.approx(expected, rel=0.03)


def test_design_keeps_its_run_length() -> None:
    rng = np.random.default_rng(1)
    plan = design_cusum(rng.normal(10, 2, size=100), shift=1.0, arl=150)
    assert plan.arl_in_control == pytest.approx(150, rel=1e-4)
    lengths = simulate_run_lengths(plan, runs=2000)
    assert abs(lengths.mean() - 150) < 4 * lengths.std() / np.sqrt(2000)
    shifted = simulate_run_lengths(plan, shift=1.0, runs=2000)
    assert shifted.mean() == pytest.approx(plan.arl_shifted, rel=0.05)


def test_chart_alarms_on_its_side_only_and_survives_gaps() -> None:
    rng = np.random.default_rng(2)
    plan = design_cusum(rng.normal(size=200), shift=1.0, arl=500, side="lower")
    worse = np.full(20, -1.5)
    worse[3] = np.nan
    assert run_cusum(plan, worse)["alarm"] is not None
    assert run_cusum(plan, -worse)["alarm"] is None


def test_a_chart_needs_a_stable_period() -> None:
    for values in ([1.0] * 50, list(range(10))):
        with pytest.raises(UsageProblem, match="30 baseline values"):
            design_cusum(values)


def test_cases_of_a_patient_are_averaged() -> None:
    values, ids = per_patient([1.0, np.nan, 3.0, 7.0], ["p", "q", "p", "r"])
    assert values.tolist() == [2.0, 7.0]
    assert ids == ["p", "r"]


def test_false_alarms_at_any_time_are_at_most_alpha() -> None:
    """A fixed-sample test looked at after every case would reject in most series."""
    rng = np.random.default_rng(3)
    runs, alarms, peeking = 400, 0, 0
    for _ in range(runs):
        x = rng.beta(2, 2, 300)
        alarms += betting_martingale(x, 0.5, side="greater").max() >= 20
        t = np.arange(10, 301)
        means = np.cumsum(x)[9:] / t
        peeking += ((means - 0.5) / (np.sqrt(0.05) / np.sqrt(t)) > 1.645).any()
    assert alarms <= stats.binom.isf(0.001, runs, 0.05)
    assert peeking > 0.15 * runs


def test_confidence_sequence_holds_the_mean_at_all_times() -> None:
    rng = np.random.default_rng(4)
    runs, missed = 60, 0
    for _ in range(runs):
        lower, upper = confidence_sequence(rng.beta(2, 6, 150))
        assert (lower <= upper).all()
        missed += bool(((lower > 0.25) | (upper < 0.25)).any())
    assert missed <= stats.binom.isf(0.001, runs, 0.05)
    assert upper[-1] - lower[-1] < 0.25


def test_a_change_is_found_and_limits_are_in_the_unit_given() -> None:
    rng = np.random.default_rng(5)
    found = monitor_mean(rng.uniform(40, 60, 300), limit=45, side="greater", lowest=0, highest=100)
    assert found["alarm"] is not None
    assert found["lower"][-1] > 45
    assert monitor_mean(rng.uniform(40, 60, 300), limit=55, side="greater", lowest=0, highest=100)["alarm"] is None


def test_values_outside_the_range_are_refused() -> None:
    with pytest.raises(DataProblem, match="outside the range"):
        monitor_mean([0.5, 1.2], limit=0.5, side="less")
