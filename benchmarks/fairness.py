"""Fairness: coverage of the intervals of small groups and of their gaps, with fairlearn's bootstrap beside, and speed.

    python benchmarks/fairness.py [--studies 2000] [--theirs 100] [--quick]

- Groups: sensitivity in groups of 1 to 100 cases; share of simulated studies whose 95 % interval holds the truth, for
  ours (Wilson; Clopper-Pearson) and for the percentile bootstrap that fairlearn's MetricFrame does (resampling rows,
  undefined replicates dropped), which is re-done here on counts, and checked against MetricFrame itself on a few data
  sets.
- Together: how often all gap intervals of a study hold at once, and the range over groups, with one and with several
  cases per patient; how often the worst group is passed wrongly at the margin.
- Speed: 500 cases, 6 cells, 2 metrics, beside fairlearn with 1,000 bootstrap samples.

Exit code 1 if our coverage is outside what each method promises (Wilson: 95 % on average, never below 83 %; joint
intervals: at least 95 %) beyond Monte Carlo error.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import numpy as np
import pandas as pd
from scipy import stats

from validation.fairness.measures import measures
from validation.fairness.report import fairness_report
from validation.protocol.plan_schemas import FairnessPlan


def bootstrap(k: int, n: int, rest: int, rng: np.random.Generator, replicates: int = 1000) -> tuple[float, float]:
    """Return fairlearn's percentile interval of a rate in a group of n among n + rest rows."""
    draws = rng.multinomial(n + rest, [k / (n + rest), (n - k) / (n + rest), rest / (n + rest)], size=replicates)
    size = draws[:, 0] + draws[:, 1]
    rates = draws[size > 0, 0] / size[size > 0]
    return tuple(np.quantile(rates, [0.025, 0.975])) if len(rates) else (np.nan, np.nan)


def groups(studies: int) -> bool:
    rng = np.random.default_rng(1)
    print(f"\nsensitivity of one group, 95 % intervals, {studies} studies, 500 other cases: share that hold the truth")
    print(f"  {'n':>4s} {'truth':>6s} {'Wilson':>8s} {'exact':>8s} {'fairlearn':>10s} {'fairlearn, no width':>20s}")
    good, all_wilson = True, []
    for n in (1, 3, 5, 10, 20, 50, 100):
        for truth in (0.7, 0.9, 0.95):
            hits = np.zeros(3)
            flat = 0
            cache = {}
            for k in rng.binomial(n, truth, studies).tolist():
                if k not in cache:
                    decided = (np.arange(n) < k).astype(float)
                    everyone = np.ones(n, dtype=bool)
                    ours = [
                        measures(["sensitivity"], label=np.ones(n), decision=decided, interval=i)[
                            "sensitivity"
                        ].estimator(everyone, 0.95)
                        for i in ("wilson", "clopper_pearson")
                    ]
                    cache[k] = [(e.lower, e.upper) for e in ours]
                theirs = bootstrap(k, n, 500, rng)
                for j, (low, high) in enumerate([*cache[k], theirs]):
                    hits[j] += low - 1e-12 <= truth <= high + 1e-12
                flat += theirs[0] == theirs[1]
            share = hits / studies
            all_wilson.append(share[0])
            good &= share[0] > 0.83 - 0.02 and share[1] > 0.95 - 3 * np.sqrt(0.05 * 0.95 / studies)
            print(f"  {n:4d} {truth:6.2f} {share[0]:8.3f} {share[1]:8.3f} {share[2]:10.3f} {flat / studies:20.3f}")
    print(f"  Wilson on average {np.mean(all_wilson):.3f}")
    return bool(good and np.mean(all_wilson) > 0.94)


def against_metric_frame(count: int) -> None:
    """Print how our re-done bootstrap and MetricFrame's own agree, on the smallest groups."""
    from fairlearn.metrics import MetricFrame, true_positive_rate

    rng = np.random.default_rng(2)
    print(f"\nMetricFrame's own interval in a group of one and of ten, {count} data sets")
    for n in (1, 10):
        found = []
        for _ in range(count):
            d = (rng.random(n + 100) < 0.7).astype(int)
            g = np.r_[np.repeat("small", n), np.repeat("large", 100)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame = MetricFrame(
                    metrics=true_positive_rate, y_true=np.ones(n + 100, dtype=int), y_pred=d, sensitive_features=g,
                    n_boot=100, ci_quantiles=[0.025, 0.975], random_state=1,
                )  # fmt: skip
            low, high = (q["small"] for q in frame.by_group_ci)
            found.append((low == high, low <= 0.7 <= high))
        flat, held = np.mean(found, axis=0)
        print(f"  n = {n:3d}: no width in {flat:.2f}, holds the truth in {held:.2f}")


def together(studies: int) -> bool:
    print(f"\nall gaps at once, range, and a wrong pass at the margin, five groups, {studies} studies")
    good = True
    sizes = {"a": 200, "b": 100, "c": 60, "d": 40, "e": 16}
    for per_patient in (1, 4):
        for rate in (0.05, 0.2, 0.5):
            rng = np.random.default_rng(3)
            gaps = ranges = passed = 0
            for _ in range(studies):
                parts = []
                for g, n in sizes.items():
                    worse = rate + (0.1 if g == "c" else 0.0)
                    for what in (rate, worse):
                        own = np.repeat(rng.random(n) < what, per_patient)
                        again = rng.random(n * per_patient) < what
                        missed = np.where(rng.random(len(own)) < 0.6, own, again)
                        parts.append(
                            pd.DataFrame({"g": g, "missed": missed, "set": "equal" if what is rate else "worse",
                                          "cluster": [f"{g}{k // per_patient}" for k in range(len(own))]})
                        )  # fmt: skip
                both = pd.concat(parts, ignore_index=True)
                for name in ("equal", "worse"):
                    table = both[both.set == name].reset_index(drop=True)
                    chosen = measures(
                        ["fnr"], label=np.ones(len(table)), decision=1.0 - table.missed.to_numpy(float),
                        clusters=table.cluster.to_numpy(),
                    )  # fmt: skip
                    r = fairness_report(table, FairnessPlan(attributes=["g"], margin=0.1), chosen, reference="g=a")
                    if name == "equal":
                        gaps += all(g["estimate"]["lower"] <= 0 <= g["estimate"]["upper"] for g in r["gaps"])
                        ranges += r["ranges"][0]["difference"]["lower"] <= 0
                    else:
                        passed += r["worst_group"]["fnr"]["outcome"] == "pass"
            least = stats.binom.ppf(0.001, studies, 0.95) / studies
            ok = gaps / studies >= least and passed <= stats.binom.isf(0.001, studies, 0.025)
            good &= ok
            print(
                f"  {per_patient} cases per patient, rate {rate:.2f}: gaps {gaps / studies:.3f}, "
                f"range {ranges / studies:.3f}, "
                f"wrong pass {passed / studies:.3f}  {'ok' if ok else 'OUTSIDE'}"
            )
    return good


def speed() -> None:
    from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate

    rng = np.random.default_rng(4)
    n = 500
    y, d = rng.integers(0, 2, n), rng.integers(0, 2, n)
    race = rng.choice(["A", "B", "C"], n, p=[0.6, 0.38, 0.02])
    table = pd.DataFrame({"sex": rng.choice(["F", "M"], n), "race": race})
    start = time.perf_counter()
    chosen = measures(["sensitivity", "fpr"], label=y * 1.0, decision=d * 1.0)
    fairness_report(table, FairnessPlan(attributes=["sex", "race"], intersections=True), chosen, cluster=None)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MetricFrame(
            metrics={"tpr": true_positive_rate, "fpr": false_positive_rate}, y_true=y, y_pred=d,
            sensitive_features=table, n_boot=100, ci_quantiles=[0.025, 0.975], random_state=1,
        )  # fmt: skip
    theirs = (time.perf_counter() - start) * 10
    print(f"\n500 cases, 6 cells, 2 metrics: ours with gaps, ranges and criteria {ours:.2f} s")
    print(
        f"  fairlearn, groups only, 1,000 replicates (scaled from 100) {theirs:.1f} s: {theirs / ours:.0f} times ours"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--theirs", type=int, default=100, help="data sets given to fairlearn itself")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.studies, arguments.theirs = 200, 5
    speed()
    good = [groups(arguments.studies), together(max(100, arguments.studies // 5))]
    against_metric_frame(arguments.theirs)
    print("\nall within" if all(good) else "\nOUTSIDE")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
