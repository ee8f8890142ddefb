"""Metrics of generated sets: speed beside prdc and torch-fidelity, and false-alarm rates and power with intervals.

Run: ``python benchmarks/generative_sets.py [--part speed|rates] [--small] [--json FILE]``. Peers that are installed
(``prdc``, ``torch_fidelity``) run in the same process on the same data, and both values are printed; those that are
not are left out. Times are processor seconds of all threads.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import torch
from scipy import stats

from validation.metrics.generative.augmentation import augmentation_gain
from validation.metrics.generative.distances import kernel_distance
from validation.metrics.generative.diversity import condition_coverage
from validation.metrics.generative.manifold import precision_recall_coverage
from validation.metrics.generative.memorisation import authenticity, memorisation
from validation.statistics.proportions import proportion

WIDTH = 16  # features


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    best, value = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()  # of all threads: a busy machine slows both, but makes neither work more
        value = function()
        best = min(best, time.process_time() - start)
    return best, value


def show(metric: str, peer: str, ours: float, theirs: float, note: str) -> dict[str, Any]:
    print(f"{metric:28s} {ours:9.3f} s   {peer:30s} {theirs:9.3f} s   {theirs / ours:7.1f} x  {note}", flush=True)
    return {"metric": metric, "peer": peer, "ours_s": ours, "peer_s": theirs, "ratio": theirs / ours, "note": note}


def speed(n: int, d: int, repeats: int) -> list[dict[str, Any]]:
    """Time the neighbour-based metrics and the kernel distance on n x n sets of d features."""
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(n, d)), rng.normal(size=(n, d)) * 0.95 + 0.02
    print(f"\n{n} x {n} images, {d} features, {torch.get_num_threads()} threads")
    rows = []
    ours, found = timed(lambda: precision_recall_coverage(real, fake, k=5), repeats)
    values = {name: e.value for name, e in found.items()}
    if importlib.util.find_spec("prdc"):
        from prdc import compute_prdc

        theirs, other = timed(lambda: compute_prdc(real, fake, 5), 1)
        far = max(abs(values[k] - other[k]) for k in values)
        rows.append(show("precision, recall, coverage", "prdc", ours, theirs, f"largest difference {far:.1g}"))
    if importlib.util.find_spec("torch_fidelity"):
        if (
            "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is None
        ):  # it is imported there for networks that are not used here
            names = ["torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.models"]
            names += ["torchvision.transforms.functional", "torchvision.models.feature_extraction", "torchvision.io"]
            sys.modules.update({name: MagicMock() for name in names})
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
        from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

        a, b = torch.as_tensor(real), torch.as_tensor(fake)
        options = {"verbose": False, "prc_neighborhood": 5, "prc_batch_size": 10_000}
        theirs, other = timed(lambda: prc_features_to_metric(a, b, **options), 1)
        note = f"theirs {other[KEY_METRIC_PRECISION]:.4f}, {other[KEY_METRIC_RECALL]:.4f}; "
        note += f"ours {values['precision']:.4f}, {values['recall']:.4f}"
        rows.append(show("precision, recall", "torch-fidelity", ours, theirs, note))
        ours, kernel = timed(lambda: kernel_distance(real, fake), repeats)
        options = {"verbose": False, "kid_subsets": 100, "kid_subset_size": min(1000, n), "rng_seed": 1}
        theirs, other = timed(lambda: kid_features_to_metric(a, b, **options), 1)
        note = f"all pairs {kernel.value:.3g}, their 100 subsets {other[KEY_METRIC_KID_MEAN]:.3g}"
        rows.append(show("kernel distance", "torch-fidelity (100 x 1,000)", ours, theirs, note))
    from scipy.spatial.distance import cdist

    def plain() -> float:
        apart = cdist(real, real)
        np.fill_diagonal(apart, np.inf)
        radius, nearest = apart.min(1), cdist(fake, real)
        place = nearest.argmin(1)
        return float((nearest[np.arange(n), place] > radius[place]).mean())

    ours, mine = timed(lambda: authenticity(real, fake).value, repeats)
    theirs, value = timed(plain, 1)
    rows.append(show("authenticity", "definition with SciPy cdist", ours, theirs, f"values {mine:.4f}, {value:.4f}"))
    return rows


def population(rng: np.random.Generator, patients: int, conditions: int = 6) -> pd.DataFrame:
    """Draw two images of each patient: features scattered about the centre of a condition."""
    condition = np.repeat(np.arange(patients) % conditions, 2)
    centres = np.random.default_rng(0).normal(0, 3, (conditions, WIDTH))
    own = np.repeat(rng.normal(0, 1, (patients, WIDTH)), 2, axis=0)
    values = centres[condition] + own + rng.normal(0, 0.7, (2 * patients, WIDTH))
    table = pd.DataFrame(values, columns=[f"f{k}" for k in range(WIDTH)])
    prefix = rng.integers(1 << 60)
    return table.assign(patient=[f"{prefix}-{i // 2}" for i in range(2 * patients)], condition=condition.astype(str))


def rates(repeats: int) -> list[dict[str, Any]]:
    """Return how often clean generators are called faulty, and faulty ones found."""
    rng = np.random.default_rng(7)
    counts: dict[str, list[bool]] = {}

    def note(name: str, called: bool) -> None:
        counts.setdefault(name, []).append(bool(called))

    for _ in range(repeats):
        train, held, fresh = (population(rng, 90) for _ in range(3))
        made = fresh.drop(columns="patient")
        some = made.copy()
        features = [c for c in some if c.startswith("f")]
        rows = rng.choice(len(some), len(some) // 10, replace=False)
        some.loc[rows, features] = train.loc[rows, features].to_numpy() + rng.normal(0, 0.01, (len(rows), WIDTH))
        lost = made[made["condition"].isin(["0", "1"])]
        lost = pd.concat([lost] * 3, ignore_index=True).assign(condition=made["condition"].to_numpy()[: 3 * len(lost)])
        lost[features] += rng.normal(0, 0.2, (len(lost), WIDTH))
        for name, synthetic in (("clean", made), ("a tenth copied", some)):
            copies = memorisation(train, held, synthetic)
            note(f"{name}: copies above 0.05", (copies["copies"].lower or 0) > 0.05)
            note(f"{name}: nearer than holdout above one half", (copies["nearer than holdout"].lower or 0) > 0.5)
        for name, synthetic in (("clean", made), ("third of classes", lost)):
            cover = condition_coverage(held, synthetic)
            parts = [cover[f"part, {c}"].upper or 0 for c in "012345"]
            note(f"{name}: a condition below a fifth", min(parts) < 0.2)
            note(
                f"{name}: fidelity below 0.9 of ceiling", (cover["fidelity"].upper or 0) < 0.9 * cover["ceiling"].value
            )
        for name, gain in (("no gain", 0.0), ("gain 0.06", 0.4), ("loss 0.06", -0.4)):
            found = augmentation_gain(trained(rng, gain))["present"]
            note(f"{name}: it helps", (found.lower or -1) > 0)
            note(f"{name}: it hurts", (found.upper or 1) < 0)
    rows_out = []
    print(f"\n{repeats} repeats")
    for name, called in counts.items():
        e = proportion([float(c) for c in called])
        print(f"{name:46s} {sum(called):4d} of {len(called)}   {e.value:.3f} ({e.lower:.3f} to {e.upper:.3f})")
        rows_out.append({"rate": name, "called": sum(called), "of": len(called), "lower": e.lower, "upper": e.upper})
    return rows_out


def trained(rng: np.random.Generator, gain: float, cases: int = 240, seeds: int = 5) -> pd.DataFrame:
    """Return scores of task models of known separation, with effects of patients and of training runs."""
    truth = np.repeat([0, 1], [cases * 3 // 4, cases // 4])
    patient = np.arange(cases) // 2
    shared = rng.normal(0, 0.6, cases // 2)[patient] + rng.normal(0, 0.6, cases)
    parts = []
    for arm, ratio, more in (("real", 0.0, 0.0), ("synthetic", 4.0, gain)):
        for seed in range(seeds):
            reading = shared + (1.4 + more + rng.normal(0, 0.1)) * truth + rng.normal(0, 0.5, cases)
            facts = {"case": range(cases), "patient": patient, "truth": truth, "arm": arm, "ratio": ratio}
            parts.append(pd.DataFrame(facts | {"seed": seed, "score": stats.norm.cdf(reading)}))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["speed", "rates"])
    parser.add_argument("--small", action="store_true", help="a few seconds, to see that it runs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    if arguments.part != "rates":
        sizes = [(400, 32)] if arguments.small else [(2000, 64), (4000, 512)]
        found["speed"] = [row for n, d in sizes for row in speed(n, d, 3)]
    if arguments.part != "speed":
        found["rates"] = rates(5 if arguments.small else 200)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
