"""Coverage of every interval and type-I error of every test, by simulation.

    python benchmarks/statistics_coverage.py [--replicates 4000] [--studies 1000] [--csv build/coverage.csv]

Prints one row per estimator and data-generating scenario: the share of simulated studies whose 95 % interval holds the
true value, its Monte Carlo error, and whether it lies within 95 % plus or minus 1.5 points (allowing two Monte Carlo
errors). Intervals that are conservative by construction (Clopper-Pearson, discrete data, clusters of very unequal size)
may cover more, never less. The tests are run at one-sided alpha = 0.025 under their null hypothesis, through the
registered summaries and ``judge``; one that rejects more often than alpha plus two Monte Carlo errors is outside. The
exit code is 1 if any row is outside.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from validation.estimate import Estimate, Outcome
from validation.registry import get_summary
from validation.statistics import detectability as observer
from validation.statistics import (
    means,
    multiplicity,
    permutation,
    proportion_differences,
    proportions,
    ranks,
    ratios,
    resampling,
    roc,
    spectra,
    subgroups,
    summaries,
)
from validation.statistics.hypotheses import judge
from validation.statistics.sample import Sample

Rng = np.random.Generator
LEVEL, ALPHA, TOLERANCE = 0.95, 0.025, 0.015


@dataclass(frozen=True)
class Interval:
    """An interval, the data it is tried on, and the truth. ``conservative``: may cover more than 96.5 %."""

    name: str
    scenario: str
    draw: Callable[[Rng], Estimate]
    truth: float
    conservative: bool = False


@dataclass(frozen=True)
class Test:
    """A test tried under its null hypothesis."""

    __test__ = False  # not a pytest class

    name: str
    scenario: str
    rejects: Callable[[Rng], bool]
    alpha: float = ALPHA


def patients(rng: Rng, sizes: list[int], between: float, within: float) -> tuple[Any, Any]:
    """Return values with a patient effect, and the patients."""
    ids = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(0, between, len(sizes))[ids] + rng.normal(0, within, len(ids)), ids


EQUAL = [5] * 20
UNEQUAL = [1] * 8 + [2] * 6 + [4] * 5 + [10] * 3 + [20]
FEW = [1, 2, 3, 4, 6, 8]


def _mean(sizes: list[int], between: float) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        y, ids = patients(rng, sizes, between, 1.0)
        return means.mean(y, clusters=ids)

    return draw


def _mean_ratio(sizes: list[int]) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        u, ids = patients(rng, sizes, 0.8, 0.5)
        return ratios.mean_ratio(7 + u + rng.normal(0, 1, len(u)), 10 + u, clusters=ids)

    return draw


def _geometric(rng: Rng) -> Estimate:
    x = rng.lognormal(0, 0.5, 25)
    return ratios.geometric_mean_ratio(x * rng.lognormal(math.log(0.8), 0.3, 25), x)


def _proportion(n: int, p: float, interval: proportions.Interval) -> Callable[[Rng], Estimate]:
    return lambda rng: proportions.proportion(rng.random(n) < p, interval=interval)


def _clustered_events(rng: Rng, sizes: list[int], p: float, concentration: float) -> tuple[Any, Any]:
    ids = np.repeat(np.arange(len(sizes)), sizes)
    chance = rng.beta(p * concentration, (1 - p) * concentration, len(sizes))
    return (rng.random(len(ids)) < chance[ids]).astype(float), ids


def _clustered_proportion(sizes: list[int], p: float) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        x, ids = _clustered_events(rng, sizes, p, 4.0)
        return proportions.proportion(x, clusters=ids)

    return draw


def _difference(interval: proportion_differences.DifferenceInterval) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        a, b = int(rng.binomial(60, 0.8)), int(rng.binomial(45, 0.65))
        return proportion_differences.proportion_difference(a, 60, b, 45, interval=interval)

    return draw


def _paired_events(sizes: list[int]) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        u, ids = patients(rng, sizes, 0.6, 0.0)
        common = u + rng.normal(0, 0.8, len(u))
        a, b = (stats.norm.cdf(common + shift) > rng.random(len(u)) for shift in (SHIFT_A, SHIFT_B))
        return proportion_differences.paired_proportion_difference(a, b, clusters=ids)

    return draw


SHIFT_A, SHIFT_B = 0.7, 0.3  # with unit-variance common effects P(event) is Phi(shift / sqrt 2)
PAIRED_TRUTH = float(stats.norm.cdf(SHIFT_A / math.sqrt(2)) - stats.norm.cdf(SHIFT_B / math.sqrt(2)))


def _scores(rng: Rng, positives: int, negatives: int, gap: float) -> tuple[Any, Any]:
    truth = np.repeat([1, 0], [positives, negatives])
    return rng.normal(0, 1, len(truth)) + gap * truth, truth


def _auc(positives: int, negatives: int, area: float) -> Callable[[Rng], Estimate]:
    gap = math.sqrt(2) * float(stats.norm.ppf(area))
    return lambda rng: roc.auc(*_scores(rng, positives, negatives, gap))


def _clustered_auc(rng: Rng) -> Estimate:
    u, ids = patients(rng, [4] * 40, 0.7, math.sqrt(1 - 0.49))
    truth = np.tile([1, 0, 0, 1], 40) * (np.arange(160) // 4 % 3 > 0)  # a third of the patients have no lesion
    return roc.auc(u + 1.2 * truth, truth, clusters=ids)


def _auc_difference(clustered: bool) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        u, ids = patients(rng, [3] * 40, 0.7 if clustered else 0.0, 0.5)
        truth = rng.permutation(np.repeat([0, 1], 60))
        a, b = u + rng.normal(0, 0.7, 120) + 1.2 * truth, u + rng.normal(0, 0.7, 120) + 0.9 * truth
        return roc.auc_difference(a, b, truth, clusters=ids if clustered else None)

    return draw


def _area_gap(between: float) -> float:
    sd = math.sqrt(2 * (between**2 + 0.5**2 + 0.7**2))
    return float(stats.norm.cdf(1.2 / sd) - stats.norm.cdf(0.9 / sd))


def _bootstrap(sizes: list[int], interval: resampling.BootstrapInterval, skewed: bool) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        y, ids = patients(rng, sizes, 1.0, 1.0)
        y = np.exp(y / 2) if skewed else y
        fit, n, g = resampling.mean_bootstrap(y, clusters=ids, replicates=999, seed=int(rng.integers(1 << 30)))
        return resampling.bootstrap_estimate(
            fit, n=n, n_clusters=g, level=LEVEL, unit="1", what="mean", interval=interval
        )

    return draw


def _median(rng: Rng) -> Estimate:
    y = rng.exponential(1.0, 80)
    fit, n, g = resampling.quantile_bootstrap(y, 0.5, replicates=999, seed=int(rng.integers(1 << 30)))
    return resampling.bootstrap_estimate(fit, n=n, n_clusters=g, level=LEVEL, unit="1", what="median")


def _responses(rng: Rng, ids: Any, truth: Any, d_prime: float, between: float) -> Any:
    k = 6
    mix = np.tril(np.ones((k, k))) / 2 + np.eye(k)
    v = rng.normal(0, math.sqrt(1 - between**2), (len(ids), k)) + rng.normal(0, between, (ids.max() + 1, k))[ids]
    v[:, 0] += d_prime * truth
    return v @ mix


def _detectability(clustered: bool, d_prime: float, figure: observer.Figure = "d_prime") -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        truth = np.tile([0, 1], 50)
        ids = np.repeat(np.arange(20), 5) if clustered else np.arange(100)
        v = _responses(rng, ids, truth, d_prime, 0.4 if clustered else 0.0)
        return observer.detectability(v, truth, clusters=ids if clustered else None, figure=figure)

    return draw


def _detectability_difference(rng: Rng) -> Estimate:
    truth, ids = np.tile([0, 1], 60), np.repeat(np.arange(30), 4)
    noise = _responses(rng, ids, truth, 0.0, 0.3)
    mix = np.tril(np.ones((6, 6))) / 2 + np.eye(6)
    signal = truth[:, None] * mix[0]
    a = noise * math.sqrt(0.5) + math.sqrt(0.5) * _responses(rng, ids, truth, 0.0, 0.3) + 2.0 * signal
    b = noise * math.sqrt(0.5) + math.sqrt(0.5) * _responses(rng, ids, truth, 0.0, 0.3) + 1.5 * signal
    return observer.detectability_difference(a, b, truth, clusters=ids)


def _spectrum(rng: Rng, ids: Any, tilt: float) -> Any:
    f = np.arange(1, 9) / 10
    shape = f * np.exp(-f * (3 + tilt))
    return shape * np.exp(rng.normal(0, 0.2, (ids.max() + 1, 8))[ids] + rng.normal(0, 0.2, (len(ids), 8)))


def _mean_frequency(tilt: float) -> float:
    f = np.arange(1, 9) / 10
    shape = f * np.exp(-f * (3 + tilt))
    return float((f * shape).sum() / shape.sum())


def _spectrum_mean(rng: Rng) -> Estimate:
    ids = np.repeat(np.arange(20), 3)
    return spectra.spectrum_mean(_spectrum(rng, ids, 0.0), np.arange(1, 9) / 10, clusters=ids)


def _spectrum_difference(rng: Rng) -> Estimate:
    ids = np.repeat(np.arange(20), 3)
    a, b = _spectrum(rng, ids, 1.0), _spectrum(rng, ids, 0.0)
    return spectra.spectrum_mean_difference(a, b, np.arange(1, 9) / 10, clusters=ids)


SHIFT = _mean_frequency(1.0) - _mean_frequency(0.0)
WITHIN_AREA = float(stats.norm.cdf(1.2 / math.sqrt(2)))

INTERVALS = [
    Interval("mean, t", "20 patients, normal", _mean([1] * 20, 0.0), 0.0),
    Interval("mean, CR3", "20 patients of 5, ICC 0.5", _mean(EQUAL, 1.0), 0.0),
    Interval("mean, CR3", "23 patients of 1 to 20, ICC 0.5", _mean(UNEQUAL, 1.0), 0.0, True),
    Interval("mean, CR3", "23 patients of 1 to 20, ICC 0", _mean(UNEQUAL, 0.0), 0.0, True),
    Interval("mean, CR3", "6 patients of 1 to 8, ICC 0.5", _mean(FEW, 1.0), 0.0, True),
    Interval("ratio of means, Fieller", "25 patients", _mean_ratio([1] * 25), 0.7),
    Interval("ratio of means, Fieller CR3", "20 patients of 5", _mean_ratio(EQUAL), 0.7),
    Interval("geometric mean ratio", "25 patients", _geometric, 0.8),
    Interval("proportion, Wilson", "n 60, p 0.8", _proportion(60, 0.8, "wilson"), 0.8),
    Interval("proportion, Wilson", "n 200, p 0.95", _proportion(200, 0.95, "wilson"), 0.95),
    Interval("proportion, Clopper-Pearson", "n 60, p 0.8", _proportion(60, 0.8, "clopper_pearson"), 0.8, True),
    Interval("proportion, Wilson clustered", "40 patients of 5, p 0.8", _clustered_proportion([5] * 40, 0.8), 0.8),
    Interval("proportion, Wilson clustered", "23 of 1 to 20, p 0.8", _clustered_proportion(UNEQUAL, 0.8), 0.8, True),
    Interval("difference, Newcombe", "60 and 45", _difference("newcombe"), 0.15),
    Interval("difference, Miettinen-Nurminen", "60 and 45", _difference("miettinen_nurminen"), 0.15),
    Interval("paired difference, Tango", "100 cases", _paired_events([1] * 100), PAIRED_TRUTH),
    Interval("paired difference, CR3", "30 patients of 5", _paired_events([5] * 30), PAIRED_TRUTH),
    Interval("AUC, DeLong logit", "30 + 50, AUC 0.8", _auc(30, 50, 0.8), 0.8),
    Interval("AUC, DeLong logit", "20 + 40, AUC 0.95", _auc(20, 40, 0.95), 0.95, True),
    Interval("AUC, Obuchowski logit", "40 patients of 4", _clustered_auc, WITHIN_AREA),
    Interval("AUC difference, DeLong", "60 + 60", _auc_difference(False), _area_gap(0.0)),
    Interval("AUC difference, Obuchowski", "40 patients of 3", _auc_difference(True), _area_gap(0.7)),
    Interval("mean, BCa bootstrap", "60 patients of 2, normal", _bootstrap([2] * 60, "bca", False), 0.0),
    Interval("mean, percentile bootstrap", "60 patients of 2, normal", _bootstrap([2] * 60, "percentile", False), 0.0),
    Interval("mean, BCa bootstrap", "150 patients, lognormal", _bootstrap([1] * 150, "bca", True), math.exp(0.25)),
    Interval("median, percentile bootstrap", "80 patients, exponential", _median, math.log(2)),
    Interval("Hodges-Lehmann", "20 patients, normal", lambda r: ranks.hodges_lehmann(r.normal(0, 1, 20)), 0.0),
    Interval("Hodges-Lehmann", "80 patients, Laplace", lambda r: ranks.hodges_lehmann(r.laplace(0, 1, 80)), 0.0),
    Interval("detectability, exact", "100 images, d' 1.5", _detectability(False, 1.5), 1.5),
    Interval("detectability, exact", "100 images, d' 0.5", _detectability(False, 0.5), 0.5),
    Interval("detectability, jackknife", "20 phantoms of 5, d' 2", _detectability(True, 2.0), 2.0),
    Interval("detectability difference", "30 phantoms of 4", _detectability_difference, 0.5),
    Interval("spectrum mean, Fieller CR3", "20 patients of 3", _spectrum_mean, _mean_frequency(0.0)),
    Interval("spectrum mean difference", "20 patients of 3", _spectrum_difference, SHIFT),
]


def _judged(
    name: str, make: Callable[[Rng], Sample], hypothesis: str = "superiority", better: str = "higher", **margins: float
) -> Callable[[Rng], bool]:
    """Return a study that judges a registered summary and tells whether the claim is made."""
    function = get_summary(name).function

    def study(rng: Rng) -> bool:
        sample, seed = make(rng), int(rng.integers(1 << 30))
        options: dict[str, Any] = {"figure": "d_prime"} if name.startswith("detectability") else {}
        _, verdict = judge(
            lambda level: function(sample, level=level, unit="1", seed=seed, **options),
            hypothesis=hypothesis,
            alpha=ALPHA,
            better=better,
            null=summaries.null_value(name),
            **margins,
        )
        return verdict.outcome is Outcome.PASS

    return study


def _null_arms(sizes: list[int]) -> Callable[[Rng], Sample]:
    """Return two arms that differ by noise only: a model without any effect, measured twice."""

    def make(rng: Rng) -> Sample:
        u, ids = patients(rng, sizes, 1.0, 0.5)
        effect = rng.normal(0, 0.5, len(sizes))[ids]
        return Sample(
            values=20 + u + effect + rng.normal(0, 0.5, len(u)),
            comparator=20 + u + rng.normal(0, 0.5, len(u)),
            clusters=ids,
        )

    return make


def _null_events(rng: Rng) -> Sample:
    u, ids = patients(rng, [1] * 80, 1.0, 0.0)
    a, b = (stats.norm.cdf(u + 0.5) > rng.random(80) for _ in range(2))
    return Sample(values=a, comparator=b, clusters=ids)


def _null_scores(rng: Rng) -> Sample:
    u, ids = patients(rng, [2] * 50, 0.7, 0.5)
    truth = np.tile([0, 1], 50)
    a, b = (u + truth + rng.normal(0, 0.5, 100) for _ in range(2))
    return Sample(values=a, comparator=b, labels=truth, clusters=ids)


def _null_channels(rng: Rng) -> Sample:
    truth, ids = np.tile([0, 1], 50), np.repeat(np.arange(25), 4)
    common = _responses(rng, ids, truth, 0.0, 0.3)
    a, b = (common + _responses(rng, ids, truth, 2.0, 0.3) for _ in range(2))
    return Sample(
        values=np.full(100, np.nan), labels=truth, clusters=ids, components=a, comparator_components=b,
        component_names=tuple(f"c{i:02d}" for i in range(6)),
    )  # fmt: skip


def _identity(rng: Rng) -> Sample:
    """Return an identity model: output and input are the very same values."""
    u, ids = patients(rng, EQUAL, 1.0, 0.5)
    return Sample(values=20 + u, comparator=20 + u, clusters=ids)


def _at_margin(shift: float) -> Callable[[Rng], Sample]:
    """Return arms whose true difference is exactly the margin: the edge of non-inferiority or equivalence."""
    null = _null_arms(EQUAL)

    def make(rng: Rng) -> Sample:
        sample = null(rng)
        return Sample(values=sample.values + shift, comparator=sample.comparator, clusters=sample.clusters)

    return make


def _holm(rng: Rng) -> bool:
    ps: dict[str, float | None] = {f"E{i}": float(p) for i, p in enumerate(rng.random(4))}
    return any(multiplicity.adjust(ps, "holm", alpha=ALPHA).rejected.values())


def _hommel(rng: Rng) -> bool:
    z = rng.normal(0, math.sqrt(0.5)) + rng.normal(0, math.sqrt(0.5), 4)
    ps: dict[str, float | None] = {f"E{i}": float(p) for i, p in enumerate(stats.norm.sf(z))}
    return any(multiplicity.adjust(ps, "hommel", alpha=ALPHA).rejected.values())


def _interaction(rng: Rng) -> bool:
    y, ids = patients(rng, [2] * 45, 1.0, 1.0)
    level = np.repeat(["a", "b", "c"], [20, 30, 40])
    y = y * np.where(level == "a", 2.0, 1.0)  # unequal variances
    test = subgroups.heterogeneity(
        lambda s: means.mean(s.values, clusters=s.clusters), Sample(values=y, clusters=ids), level
    )
    return test.p_value is not None and test.p_value <= 0.05


def _crossed_interaction(rng: Rng) -> bool:
    y, ids = patients(rng, [3] * 30, 1.0, 1.0)
    test = subgroups.heterogeneity(
        lambda s: means.mean(s.values, clusters=s.clusters),
        Sample(values=y, clusters=ids),
        np.tile(["a", "b", "c"], 30),
    )
    return test.p_value is not None and test.p_value <= 0.05


def _flip(rng: Rng) -> bool:
    y, ids = patients(rng, [3] * 20, 1.0, 1.0)
    p = permutation.sign_flip_test(y, clusters=ids, replicates=399, seed=int(rng.integers(1 << 30))).p_value
    return p is not None and p <= ALPHA


def _exchange(rng: Rng) -> bool:
    y, ids = patients(rng, [3] * 20, 1.0, 1.0)
    first = ids < 8
    seed = int(rng.integers(1 << 30))
    p = permutation.two_group_test(y, first, clusters=ids, alternative="greater", replicates=399, seed=seed).p_value
    return p is not None and p <= ALPHA


def _wilcoxon(rng: Rng) -> bool:
    p = ranks.signed_rank_test(rng.laplace(0, 1, 25)).p_value
    return p is not None and p <= ALPHA


TESTS = [
    Test("superiority, identity model", "paired_mean_difference", _judged("paired_mean_difference", _identity)),
    Test("superiority, identity model", "mean_ratio", _judged("mean_ratio", _identity, better="lower")),
    Test("superiority, identity model", "geometric_mean_ratio", _judged("geometric_mean_ratio", _identity)),
    Test("superiority, identity model", "bootstrap", _judged("bootstrap_mean_difference", _identity)),
    Test("superiority, null model", "paired_mean_difference", _judged("paired_mean_difference", _null_arms(EQUAL))),
    Test("superiority, null model", "difference, 1 to 20", _judged("paired_mean_difference", _null_arms(UNEQUAL))),
    Test("superiority, null model", "mean_ratio", _judged("mean_ratio", _null_arms(EQUAL), better="lower")),
    Test("superiority, null model", "geometric_mean_ratio", _judged("geometric_mean_ratio", _null_arms(EQUAL))),
    Test("superiority, null model", "hodges_lehmann", _judged("hodges_lehmann", _null_arms(EQUAL))),
    Test("superiority, null model", "proportions", _judged("paired_proportion_difference", _null_events)),
    Test("superiority, null model", "auc_difference", _judged("auc_difference", _null_scores)),
    Test("superiority, null model", "detectability", _judged("detectability_difference", _null_channels)),
    Test(
        "non-inferiority at margin",
        "paired_mean_difference",
        _judged("paired_mean_difference", _at_margin(-0.3), "non_inferiority", margin=0.3),
    ),
    Test(
        "equivalence at margin",
        "paired_mean_difference",
        _judged("paired_mean_difference", _at_margin(0.5), "equivalence", margin=0.5),
    ),
    Test("Holm, four true nulls", "independent", _holm),
    Test("Hommel, four true nulls", "correlated 0.5", _hommel),
    Test("interaction, Welch", "three levels, unequal variances", _interaction, 0.05),
    Test("interaction, Wald", "three levels within patients", _crossed_interaction, 0.05),
    Test("sign-flip permutation", "20 patients of 3", _flip),
    Test("two-group permutation", "8 and 12 patients of 3", _exchange),
    Test("Wilcoxon signed-rank", "25 patients, Laplace", _wilcoxon),
]


def coverage(case: Interval, replicates: int) -> tuple[float, float, bool]:
    """Return the share of intervals that hold the truth, its Monte Carlo error, and whether it is within bounds."""
    rng = np.random.Generator(np.random.Philox(zlib.crc32(f"{case.name}/{case.scenario}".encode())))
    held = 0
    for _ in range(replicates):
        e = case.draw(rng)
        held += (e.lower is None or e.lower <= case.truth) and (e.upper is None or case.truth <= e.upper)
    share, error = held / replicates, math.sqrt(LEVEL * (1 - LEVEL) / replicates)
    slack = TOLERANCE + 2 * error
    return share, error, share >= LEVEL - slack and (case.conservative or share <= LEVEL + slack)


def type_one_error(case: Test, studies: int) -> tuple[float, float, bool]:
    """Return the share of studies that reject a true null hypothesis, its error, and whether it is within bounds."""
    rng = np.random.Generator(np.random.Philox(zlib.crc32(f"{case.name}/{case.scenario}".encode())))
    share = sum(case.rejects(rng) for _ in range(studies)) / studies
    error = math.sqrt(case.alpha * (1 - case.alpha) / studies)
    return share, error, share <= case.alpha + 2 * error


def main() -> int:
    """Run everything, print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description="Coverage of every interval and type-I error of every test.")
    parser.add_argument("--replicates", type=int, default=4000)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--csv", type=Path, default=Path("build/statistics_coverage.csv"))
    parser.add_argument("--only", default="", help="part of a name")
    options = parser.parse_args()
    rows = []
    print(f"{'what':34} {'scenario':36} {'share':>8} {'MC error':>9} {'target':>7} {'s':>6}")
    cases: list[Interval | Test] = [*INTERVALS, *TESTS]
    for case in cases:
        if options.only not in f"{case.name} {case.scenario}":
            continue
        start = time.perf_counter()
        if isinstance(case, Interval):
            (share, error, good), target = coverage(case, options.replicates), LEVEL
        else:
            (share, error, good), target = type_one_error(case, options.studies), case.alpha
        seconds = time.perf_counter() - start
        rows.append([case.name, case.scenario, share, error, target, good])
        mark = "" if good else "  OUTSIDE"
        print(
            f"{case.name:34} {case.scenario:36} {share:8.4f} {error:9.4f} {target:7.3f} {seconds:6.1f}{mark}",
            flush=True,
        )
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["what", "scenario", "share", "monte_carlo_error", "target", "within"])
        writer.writerows(rows)
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
