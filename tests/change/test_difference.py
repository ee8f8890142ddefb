"""How far an endpoint has moved: against published limits, another implementation, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from tests.change.conftest import Signed
from validation.change.baseline import read_verified
from validation.change.difference import endpoint_difference, mover
from validation.estimate import Estimate
from validation.statistics.means import mean
from validation.statistics.proportions import wilson


def share(x: int, n: int, level: float = 0.95) -> Estimate:
    low, high = wilson(x / n, n, level)
    return Estimate(value=x / n, lower=low, upper=high, level=level, method="Wilson", n=n, unit="1")


@pytest.mark.parametrize(("x1", "n1", "x0", "n0"), [(56, 70, 48, 80), (9, 10, 3, 10), (5, 56, 0, 29), (10, 10, 0, 20)])
def test_of_two_wilson_intervals_it_is_newcombes_hybrid_score(x1: int, n1: int, x0: int, n0: int) -> None:
    found = mover(share(x1, n1), share(x0, n0))
    low, high = confint_proportions_2indep(x1, n1, x0, n0, method="newcomb", compare="diff")
    assert (found.lower, found.upper) == pytest.approx((low, high), abs=1e-9)


def test_published_limits_of_newcombe() -> None:
    found = mover(share(56, 70), share(48, 80))  # Newcombe 1998, table II, contrast (a), method 10
    assert (round(found.lower, 4), round(found.upper, 4)) == (0.0524, 0.3339)


def test_coverage_for_means_of_unequal_spread() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    runs = 1500
    for _ in range(runs):
        new, old = rng.normal(3, 5, 15), rng.normal(1, 1, 40)
        found = mover(mean(new), mean(old))
        covered += found.lower <= 2.0 <= found.upper
    assert 0.94 <= covered / runs <= 0.975  # standard error 0.006; never narrower than Welch's in substance


def test_an_estimate_without_a_value_or_a_limit_gives_none() -> None:
    whole = share(5, 10)
    none = Estimate.insufficient("one patient only", n=1, unit="1", method="t")
    assert mover(none, whole).value is None
    assert "one patient" in mover(none, whole).reason
    open_end = Estimate(value=1.0, lower=None, upper=2.0, n=3, unit="1", method="x", reason="no bound")
    assert mover(open_end, whole).lower is None
    assert mover(open_end, whole).value == pytest.approx(0.5)


def test_a_run_against_itself_has_not_moved(made: Signed) -> None:
    run = read_verified(made.baseline)
    for endpoint in run.protocol.endpoints:
        part = endpoint_difference(endpoint, run, run, paired=True)
        assert part["estimate"]["value"] == 0.0
        if part["hypothesis"]["type"] != "descriptive":
            assert part["verdict"]["outcome"] == "pass"


def test_paired_differences_are_those_of_the_cases(made: Signed) -> None:
    from scipy import stats

    run = read_verified(made.baseline)
    moved = run.measurements.copy()
    rng = np.random.default_rng(4)
    outputs = (moved["arm"] == "output") & moved["metric"].str.startswith("hu_bias")
    added = rng.normal(1.0, 0.4, int(outputs.sum()))
    moved.loc[outputs, "value"] += added
    other = type(run)(**{**run.__dict__, "measurements": moved})
    part = endpoint_difference(run.protocol.endpoint("E2"), other, run, paired=True)
    # two cases per patient, equal cluster sizes: the mean of patient means, with their t interval
    ids = moved.loc[outputs, "case_id"]
    means = np.array(
        [added[(run.cases.loc[ids, "cluster"] == c).to_numpy()].mean() for c in run.cases.loc[ids, "cluster"].unique()]
    )
    low, high = stats.t.interval(0.95, len(means) - 1, means.mean(), stats.sem(means))
    assert part["estimate"]["value"] == pytest.approx(means.mean(), abs=1e-9)
    assert (part["estimate"]["lower"], part["estimate"]["upper"]) == pytest.approx((low, high), rel=0.03)
    unpaired = endpoint_difference(run.protocol.endpoint("E2"), other, run, paired=False)
    width = unpaired["estimate"]["upper"] - unpaired["estimate"]["lower"]
    assert width > part["estimate"]["upper"] - part["estimate"]["lower"]
