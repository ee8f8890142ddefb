"""Time of the metrics of synthetic records, by rows and columns, against plain scikit-learn and pandas.

Run ``python benchmarks/ehr.py [--rows 2000 10000] [--columns 50] [--families] [--out FILE] [--figure FILE]``.

The tables are simulated: half numbers, half categories, eight latent factors. The comparisons of the slow parts do the
same work in the plain way (brute-force neighbours on one-hot records, one contingency table per pair with pandas, a
logistic model by scikit-learn, one pandas query per description); ``ehr_peers.py`` has other packages beside,
``ehr_power.py`` counts flags. ``digest`` is that of all findings, to compare runs. With ``--out``,
results are added to those of earlier runs, and ``--figure`` plots their growth.

Processor seconds of the families, training, synthetic and holdout table of so many records each (AMD EPYC, a machine
shared with other work, so that wall times say nothing)::

    records x columns   fidelity   privacy   utility
       2,000 x 50          5.3       1.1       1.9
       5,000 x 10          2.6       0.9       1.0
      20,000 x 50         17.4      13.2      16.0
     100,000 x 50        206.9     294.3      not finished in 170 processor seconds

The outcome of these tables is a step of one column, so that logistic models of it do not converge: the worst case of
utility. Peak memory at 100,000 x 50 was 2.4 GB up to there.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from validation.metrics.tabular.neighbours import threads


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
    """Time the three table families on n records of each kind: processor and wall seconds, findings, peak memory."""
    from validation.metrics.privacy.family import tabular_privacy
    from validation.metrics.tabular.fidelity import tabular_fidelity
    from validation.metrics.tabular.utility import tabular_utility

    frames = {role: simulated(n, columns, seed) for role, seed in (("train", 10), ("synthetic", 11), ("holdout", 12))}
    frames = {role: f.assign(outcome=(f["x1"] > 0).map({True: "yes", False: "no"})) for role, f in frames.items()}
    found: dict[str, Any] = {}
    for family in (tabular_fidelity, tabular_privacy, tabular_utility):
        rows: list[Any] = []
        start = time.perf_counter()
        seconds = clock(lambda f=family, r=rows: r.extend(f(**frames)))
        told = "".join(sorted(repr((x.metric, x.component, x.subgroup, x.estimate.value, x.p_value)) for x in rows))
        found[family.__name__] = {
            "cpu_seconds": seconds,
            "wall_seconds": round(time.perf_counter() - start, 1),
            "findings": len(rows),
            "errors": sorted({x.metric for x in rows if x.status.value == "error"}),
            "flagged": sorted({x.metric for x in rows if x.status.value == "flagged"}),
            "digest": sha256(told.encode()).hexdigest()[:16],
        }
        print(f"{n} x {columns} {family.__name__} {json.dumps(found[family.__name__])}", flush=True)
    found["peak_MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    found["threads"] = threads()
    return found


def growth(found: dict[str, Any], file: str) -> None:
    """Plot processor seconds of the families against rows (50 columns) and against columns (one number of rows)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes = {
        tuple(int(v) for v in key.split(" x ")): value["families"]
        for key, value in found.items()
        if "families" in value
    }
    by_rows = sorted(n for n, c in sizes if c == 50)
    counts = {n: sorted(c for m, c in sizes if m == n) for n in by_rows}
    most = max(counts, key=lambda n: len(counts[n]))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=False, layout="constrained")
    for name in ("tabular_fidelity", "tabular_privacy", "tabular_utility"):
        axes[0].plot(by_rows, [sizes[n, 50][name]["cpu_seconds"] for n in by_rows], "o-", label=name)
        axes[1].plot(counts[most], [sizes[most, c][name]["cpu_seconds"] for c in counts[most]], "o-", label=name)
    axes[0].set(xscale="log", yscale="log", xlabel="rows of each table (50 columns)", ylabel="processor seconds")
    axes[1].set(xlabel=f"columns ({most:,} rows of each table)", ylabel="processor seconds", ylim=(0, None))
    axes[0].legend(frameon=False)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[2000, 10_000])
    parser.add_argument("--columns", type=int, nargs="*", default=[50])
    parser.add_argument("--families", action="store_true", help="time the families, not their slow parts")
    parser.add_argument("--out", type=Path, help="JSON file, to which results are added")
    parser.add_argument("--figure", help="plot the growth of what --out holds")
    asked = parser.parse_args()
    found: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    for n in asked.rows:
        for columns in asked.columns:
            key = f"{n} x {columns}"
            kind = "families" if asked.families else "parts"
            found.setdefault(key, {})[kind] = families(n, columns) if asked.families else parts(n, columns)
            print(key, json.dumps(found[key][kind], indent=1), flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(found, indent=1))
    if asked.figure:
        growth(found, asked.figure)


if __name__ == "__main__":
    main()
