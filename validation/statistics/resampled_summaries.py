"""Summaries whose interval comes from resampling patients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from validation.estimate import Estimate
from validation.registry import summary
from validation.statistics import means, resampling
from validation.statistics.jackknife import only_value_wanted
from validation.statistics.resampling import BootstrapInterval as Bootstrapped
from validation.statistics.sample import Sample
from validation.statistics.summary_inputs import COMPARATOR, comparator_of, one_of, unfit

_Made = tuple[resampling.Bootstrap | None, int, int]
_CACHE: WeakKeyDictionary[Sample, dict[tuple[Any, ...], _Made]] = WeakKeyDictionary()


@summary("bootstrap_mean", reference="doi:10.1080/01621459.1987.10478410")
def bootstrap_mean(
    sample: Sample, *, level: float, unit: str, seed: int, interval: Bootstrapped = "bca", replicates: int = 2000
) -> Estimate:
    """Mean over cases with a patient-clustered bootstrap interval, BCa or percentile."""
    replicates = wanted_replicates(replicates)
    made = replicated(
        sample,
        ("mean", replicates, seed),
        lambda: resampling.mean_bootstrap(sample.values, clusters=sample.clusters, replicates=replicates, seed=seed),
    )
    return _bootstrapped(made, level, unit, "mean", interval)


@summary("bootstrap_mean_difference", needs=COMPARATOR, difference=True, reference="doi:10.1080/01621459.1987.10478410")
def bootstrap_mean_difference(
    sample: Sample, *, level: float, unit: str, seed: int, interval: Bootstrapped = "bca", replicates: int = 2000
) -> Estimate:
    """Mean of output minus comparator with a patient-clustered bootstrap interval, BCa or percentile."""
    replicates = wanted_replicates(replicates)
    made = replicated(
        sample,
        ("mean_difference", replicates, seed),
        lambda: resampling.mean_bootstrap(
            means.difference(sample.values, comparator_of(sample)),
            clusters=sample.clusters,
            replicates=replicates,
            seed=seed,
        ),
    )
    return _bootstrapped(made, level, unit, "paired mean difference", interval)


@summary("quantile", reference="Davison and Hinkley 1997, Bootstrap Methods and their Application")
def quantile(sample: Sample, *, level: float, unit: str, seed: int, q: float = 0.5, replicates: int = 2000) -> Estimate:
    """Quantile over cases (the median by default) with a patient-clustered percentile bootstrap interval."""
    if not 0 < q < 1:
        raise unfit(f"`q` must lie between 0 and 1, got {q}.")
    replicates = wanted_replicates(replicates)
    made = replicated(
        sample,
        ("quantile", q, replicates, seed),
        lambda: resampling.quantile_bootstrap(
            sample.values, q, clusters=sample.clusters, replicates=replicates, seed=seed
        ),
    )
    return _bootstrapped(made, level, unit, f"quantile {q:g}", "percentile")


def wanted_replicates(replicates: int) -> int:
    """Return the number of replicates to draw: one, which is the least, where the caller asks for the value only."""
    if not isinstance(replicates, int) or not 100 <= replicates <= 1_000_000:
        raise unfit(f"`replicates` must be a whole number from 100 to 1000000, got {replicates!r}.")
    return 1 if only_value_wanted() else replicates


def replicated(sample: Sample, key: tuple[Any, ...], make: Callable[[], _Made]) -> _Made:
    """Return replicates made before for this very sample: a p-value reads dozens of intervals from the same ones."""
    kept = _CACHE.setdefault(sample, {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


def _bootstrapped(made: _Made, level: float, unit: str, what: str, interval: Bootstrapped) -> Estimate:
    one_of("interval", interval, ("percentile", "bca"))
    fit, n, g = made
    return resampling.bootstrap_estimate(fit, n=n, n_clusters=g, level=level, unit=unit, what=what, interval=interval)
