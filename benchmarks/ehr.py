"""Time of the metrics of synthetic records, by rows and columns, against plain scikit-learn and pandas.

Run ``python benchmarks/ehr.py [--rows 2000 10000] [--columns 50] [--families] [--errors 200] [--out FILE]``.

The tables are simulated: half numbers, half categories, eight latent factors. The comparisons do the same work in the
plain
way (brute-force neighbours on one-hot records, one contingency table per pair with pandas, a logistic model by
scikit-learn, one pandas query per description); other packages for synthetic data are not installed here. ``--errors``
counts how often each family flags a sound generator (fresh records of the same population) and planted faults.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd


def simulated(n: int, columns: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(1).normal(size=(8, columns)) / 3
    z = rng.normal(size=(n, 8)) @ loadings + rng.normal(size=(n, columns))
    made: dict[str, Any] = {}
    for j in range(columns):
        if j % 2:
            made[f"x{j}"] = np.round(z[:, j], 2)
        else:
            made[f"c{j}"] = np.char.add("level ", np.digitize(z[:, j], np.linspace(-2, 2, 3 + j % 5)).astype(str))
    return pd.DataFrame(made)


def clock(work: Callable[[], Any]) -> float:
    """Return processor seconds, which a busy machine changes little."""
    start = time.process_time()
    work()
    return round(time.process_time() - start, 4)


def parts(n: int, columns: int) -> dict[str, dict[str, float]]:
    """Time the slow parts against plain ways of doing the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestNeighbors

    from validation.metrics.privacy.singling_out import cells, matches, multivariate
    from validation.metrics.tabular.association import associations
    from validation.metrics.tabular.detection import propensity
    from validation.metrics.tabular.discrepancy import embedded
    from validation.metrics.tabular.encoding import encode
    from validation.metrics.tabular.neighbours import nearest, space

    frames = [simulated(n, columns, seed) for seed in (10, 11, 12)]
    t = encode(frames[0], frames[1], frames[2])
    geometry = space(t)
    nearest(geometry, t.synthetic.take(np.arange(5)), t.train)  # compile
    descriptions = multivariate(t, seed=0, attacks=100)
    matches(descriptions, cells(t.train)[:10])

    def plain_neighbours() -> None:
        x, y = embedded(t, t.train), embedded(t, t.synthetic)
        NearestNeighbors(n_neighbors=2, algorithm="brute", metric="cityblock").fit(x).kneighbors(y)

    def plain_pairs() -> None:
        for frame in frames[:2]:
            coarse = frame.copy()
            for c in t.numeric:
                coarse[c] = pd.qcut(frame[c], 10, labels=False, duplicates="drop")
            for a, b in combinations(coarse.columns, 2):
                pd.crosstab(coarse[a], coarse[b])

    def plain_propensity() -> None:
        both = pd.get_dummies(pd.concat(frames[:2]), dtype=float)
        y = np.repeat([0, 1], n)
        LogisticRegression(max_iter=1000, C=1e6).fit((both - both.mean()) / both.std(), y)

    def plain_descriptions() -> None:
        table = pd.DataFrame(cells(t.train))
        for k in range(len(descriptions)):
            keep = pd.Series(True, index=table.index)
            for c, kind, v in zip(descriptions.columns[k], descriptions.kinds[k], descriptions.values[k], strict=True):
                keep &= table[c].eq(v) if kind == 0 else table[c].ge(v) if kind == 1 else table[c].le(v)
            keep.sum()

    work = {
        "nearest neighbours, 2 of each record": (lambda: nearest(geometry, t.synthetic, t.train), plain_neighbours),
        "all pairs of columns, two tables": (
            lambda: (associations(t, t.train), associations(t, t.synthetic)),
            plain_pairs,
        ),
        "propensity score": (lambda: propensity(t.synthetic, t.train, t.levels), plain_propensity),
        "100 descriptions": (lambda: matches(descriptions, cells(t.train)), plain_descriptions),
    }
    found = {}
    for name, (ours, plain) in work.items():
        a = clock(ours)
        b = clock(plain) if n <= 20_000 else float("nan")
        found[name] = {"cpu_seconds": a, "plain_cpu_seconds": b, "times_faster": round(b / max(a, 1e-9), 1)}
    return found


def families(n: int, columns: int) -> dict[str, Any]:
    """Time the three table families on n records of each kind."""
    from validation.metrics.privacy.family import tabular_privacy
    from validation.metrics.tabular.fidelity import tabular_fidelity
    from validation.metrics.tabular.utility import tabular_utility

    frames = {role: simulated(n, columns, seed) for role, seed in (("train", 10), ("synthetic", 11), ("holdout", 12))}
    frames = {role: f.assign(outcome=(f["x1"] > 0).map({True: "yes", False: "no"})) for role, f in frames.items()}
    found: dict[str, Any] = {}
    for family in (tabular_fidelity, tabular_privacy, tabular_utility):
        rows: list[Any] = []
        found[family.__name__] = {
            "cpu_seconds": clock(lambda f=family, r=rows: r.extend(f(**frames))),
            "findings": len(rows),
            "errors": sorted({x.metric for x in rows if x.status.value == "error"}),
        }
    found["peak_MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found


def small(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a small clinical table with a 2 % level, missing cells and dependence."""
    age = rng.normal(60, 12, n).round()
    sex = rng.choice(["F", "M"], n)
    site = rng.choice(["A", "B", "C"], n, p=[0.6, 0.38, 0.02])
    pressure = (100 + 0.6 * age + 8 * (sex == "M") + rng.normal(0, 10, n)).round(1)
    disease = np.where(rng.random(n) < 1 / (1 + np.exp(-(age - 60) / 8)), "yes", "no")
    dose = np.where(rng.random(n) < 0.1, np.nan, rng.gamma(2, 10, n).round(1))
    return pd.DataFrame({"age": age, "sex": sex, "site": site, "pressure": pressure, "dose": dose, "disease": disease})


def error_rates(repeats: int, n: int = 1000) -> dict[str, Any]:
    """Count flags over repeats: a sound generator, and planted faults."""
    from scipy import stats

    from validation.metrics.privacy.family import tabular_privacy
    from validation.metrics.tabular.fidelity import tabular_fidelity

    counted: dict[str, int] = {}
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        train, holdout, fresh = (small(n, rng) for _ in range(3))
        bootstrap = train.sample(n, replace=True, random_state=seed).reset_index(drop=True)
        leak = pd.concat([train.iloc[: n // 20], fresh.iloc[n // 20 :]], ignore_index=True)
        shuffled = pd.DataFrame({c: rng.permutation(fresh[c].to_numpy()) for c in fresh})
        dropped = fresh[fresh["site"] != "C"].reset_index(drop=True)
        cases: dict[str, tuple[Callable[..., Any], pd.DataFrame]] = {
            "false alarm: fidelity, fresh records": (tabular_fidelity, fresh),
            "false alarm: privacy, fresh records": (tabular_privacy, fresh),
            "power: privacy, 5 % copied": (tabular_privacy, leak),
            "power: privacy, all copied": (tabular_privacy, bootstrap),
            "power: fidelity, shuffled columns": (tabular_fidelity, shuffled),
            "power: fidelity, 2 % level dropped": (tabular_fidelity, dropped),
        }
        for name, (family, synthetic) in cases.items():
            flagged = any(f.status.value == "flagged" for f in family(train, synthetic, holdout, seed=seed))
            counted[name] = counted.get(name, 0) + flagged
    found = {}
    for name, k in counted.items():
        low, high = stats.binomtest(k, repeats).proportion_ci(0.95, "exact")
        found[name] = {"flagged": k, "of": repeats, "interval": [round(float(low), 4), round(float(high), 4)]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[2000, 10_000])
    parser.add_argument("--columns", type=int, nargs="*", default=[50])
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--errors", type=int, default=0)
    parser.add_argument("--out", default="")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for n in asked.rows:
        for columns in asked.columns:
            key = f"{n} x {columns}"
            found[key] = families(n, columns) if asked.families else parts(n, columns)
            print(key, json.dumps(found[key], indent=1), flush=True)
    if asked.errors:
        found["errors"] = error_rates(asked.errors)
        print(json.dumps(found["errors"], indent=1))
    if asked.out:
        with open(asked.out, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
