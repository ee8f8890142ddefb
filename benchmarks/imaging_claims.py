"""Metrics of the imaging claims: speed beside their peers, and false-alarm rates and power with intervals.

Run: ``python benchmarks/imaging_claims.py [--part speed|rates] [--small] [--json FILE]``. Peers that are installed run
in the same process on the same data, with both values printed; others (pymedphys, sFRC) are represented by the seconds
recorded with their reference results, on another machine, and marked so.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import linalg, ndimage
from scipy.spatial.distance import cdist

from validation.metrics.generative.distances import frechet_distance, kernel_distance
from validation.metrics.generative.manifold import precision_recall_coverage
from validation.metrics.generative.memorisation import memorisation
from validation.metrics.imaging.gamma import gamma_mean, gamma_pass_rate
from validation.metrics.imaging.hallucination import frc_hallucination
from validation.metrics.imaging.ring_correlation import sfrc_regions
from validation.metrics.segmentation.surface import hd95
from validation.statistics.proportions import proportion

SHARED = Path(os.environ.get("VALIDATION_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def batch(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64)).unsqueeze(0)


def timed(function: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    best, value = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        value = function()
        best = min(best, time.perf_counter() - start)
    return best, value


def row(metric: str, peer: str, ours: float, theirs: float, note: str = "") -> dict[str, Any]:
    print(f"{metric:32s} {ours:9.3f} s   {peer:34s} {theirs:9.3f} s   {theirs / ours:8.1f} x  {note}")
    return {"metric": metric, "peer": peer, "ours_s": ours, "peer_s": theirs, "ratio": theirs / ours, "note": note}


def recorded() -> list[dict[str, Any]]:
    """Compare with seconds that came with the reference results (another machine)."""
    if not (SHARED / "reference").is_dir():
        print("no shared reference data: peers that are not installed are left out")
        return []
    rows = []
    gold = json.loads((SHARED / "reference/imaging/gamma_dvh.json").read_text())["results"]
    with np.load(SHARED / "data/imaging/rt_sct_dose_tg119/tg119.npz") as data:
        scale = float(data["dose_scale_Gy"])
        reference, spacing = batch(data["dose_ct"] * scale), batch(data["spacing_zyx_mm"])
        for variant, results in gold.items():
            output = batch(data[f"dose_{variant}"] * scale)
            for name, expected in results.items():
                if "%/" in name:
                    rule = {"dose_percent": float(name[0]), "distance_mm": float(name[3]), "local": "local" in name}
                    for metric in (gamma_pass_rate, gamma_mean):
                        seconds, _ = timed(partial(metric, output, reference, spacing_mm=spacing, **rule))
                        label = f"{metric.__name__} {name}"
                        rows.append(row(label, "pymedphys 0.41 (recorded)", seconds, expected["seconds"], variant))
    gold = json.loads((SHARED / "reference/imaging/sfrc.json").read_text())["runs"]
    with np.load(SHARED / "data/imaging/ct_sr_sfrc/sr.npz") as data:
        pair = [torch.as_tensor(data[k].astype(np.float64)) for k in ("sh_srgan", "sh_gt")]
    spacing = torch.full((5, 2), 0.48, dtype=torch.float64)
    seconds, _ = timed(lambda: sfrc_regions(*pair, spacing_mm=spacing, cutoff_per_mm=0.33))
    total = gold["ct_sh_srgan"]["seconds_total_incl_plotting"]
    rows.append(row("sfrc_regions, 5 slices", "sFRC (recorded, with its plots)", seconds, total))
    seconds, _ = timed(lambda: frc_hallucination(*pair), 1)
    rows.append(row("frc_hallucination, 5 slices", "sFRC (recorded, with its plots)", seconds, total))
    return rows


def installed(small: bool) -> list[dict[str, Any]]:
    """Compare with peers in this process."""
    from monai.metrics import HausdorffDistanceMetric

    rng = np.random.default_rng(0)
    rows = []
    size = 96 if small else 256
    blob = ndimage.zoom(ndimage.gaussian_filter(rng.normal(size=(32,) * 3), 3), size / 32, order=1) > 0.02
    grid = np.indices(blob.shape) - size / 2
    blob &= np.sqrt((grid**2).sum(0)) < size / 4
    pair = [torch.as_tensor(m)[None] for m in (np.roll(blob, 2, 2), blob)]
    spacing = torch.ones(1, 3, dtype=torch.float64)
    for percentile in (95, 100):
        peer = HausdorffDistanceMetric(percentile=percentile)
        ours, value = timed(partial(hd95, *pair, spacing_mm=spacing, percentile=percentile))
        theirs, other = timed(partial(peer, *[m[:, None] for m in pair]))
        rows.append(
            row(f"hd{percentile} {size}^3", "MONAI", ours, theirs, f"values {float(value):.4f} {float(other):.4f}")
        )
    n, d = (1000, 64) if small else (10_000, 512)
    real, fake = rng.normal(size=(n, d)), rng.normal(size=(n, d))

    def naive(k: int = 5) -> list[float]:
        radii = [np.partition(cdist(x, x), k, axis=1)[:, k] for x in (real, fake)]
        cross = cdist(real, fake)
        held = cross < radii[0][:, None]
        return [held.any(0).mean(), (cross < radii[1]).any(1).mean(), held.sum(0).mean() / k, held.any(1).mean()]

    ours, found = timed(lambda: precision_recall_coverage(real, fake), 1)
    theirs, other = timed(naive, 1)
    gap = max(abs(e.value - v) for e, v in zip(found.values(), other, strict=True))
    rows.append(row(f"precision_recall {n} x {d}", "all distances at once (SciPy)", ours, theirs, f"gap {gap:.1e}"))
    features = real[:2000], fake[:2000]

    def frechet() -> float:
        covariances = [np.cov(x.T) for x in features]
        shift = ((features[0].mean(0) - features[1].mean(0)) ** 2).sum()
        return float(
            shift + np.trace(sum(covariances)) - 2 * np.trace(linalg.sqrtm(covariances[0] @ covariances[1]).real)
        )

    ours, found = timed(lambda: frechet_distance(*features), 1)
    theirs, other = timed(frechet, 1)
    note = f"gap {abs(found.value - other):.1e}; ours with interval"
    rows.append(row(f"frechet_distance 2000 x {d}", "SciPy sqrtm", ours, theirs, note))
    return rows


def speed(small: bool) -> list[dict[str, Any]]:
    return [*recorded(), *installed(small)]


def scene(rng: np.random.Generator, n: int = 192) -> np.ndarray:
    image = np.zeros((n, n))
    rows, columns = np.ogrid[:n, :n]
    for _ in range(40):
        y, x, radius, contrast = rng.uniform(0, n), rng.uniform(0, n), rng.uniform(4, 30), rng.uniform(-80, 80)
        image += contrast * ((rows - y) ** 2 + (columns - x) ** 2 < radius**2)
    return ndimage.gaussian_filter(image, 1)


def rates(small: bool) -> list[dict[str, Any]]:
    """Measure how often clean data are flagged, and planted faults found."""
    rng = np.random.default_rng(2026)
    repeats = 40 if small else 400
    found = []

    def report(name: str, flags: list[bool]) -> None:
        estimate = proportion(np.asarray(flags, dtype=float))
        print(f"{name:64s} {estimate.value:.3f} ({estimate.lower:.3f} to {estimate.upper:.3f}), n = {estimate.n}")
        found.append({"name": name, **estimate.to_dict()})

    def denoised(clean: np.ndarray, kind: str) -> np.ndarray:
        noise = rng.normal(size=clean.shape)
        if kind == "white":
            return clean + 6 * noise
        if kind == "smoothed":
            return ndimage.gaussian_filter(clean + 20 * noise, 0.8)
        varying = np.linspace(0.4, 1.6, clean.shape[1])
        return ndimage.gaussian_filter(clean, 0.7) + ndimage.gaussian_filter(noise, 0.7) * 12 * varying

    rows, columns = np.ogrid[:192, :192]
    for kind in ("white", "smoothed", "uneven"):
        flags: dict[str, list[bool]] = {"clean": [], "invented": [], "erased": []}
        for _ in range(repeats // 2):
            clean = scene(rng)
            y, x = rng.uniform(40, 150, 2)
            nodule = 120 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 3**2))
            output, reference = denoised(clean, kind), clean + 10 * rng.normal(size=clean.shape)
            for name, pair in (
                ("clean", (output, reference)),
                ("invented", (output + nodule, reference)),
                ("erased", (output, reference + nodule)),
            ):
                flags[name].append(bool(frc_hallucination(batch(pair[0]), batch(pair[1])).item() > 0))
        for name, values in flags.items():
            report(f"frc_hallucination flags, {kind} noise, {name} nodule", values)
    honest, copies, zero = [], [], []
    for _ in range(repeats):
        train, holdout, new = (rng.normal(size=(n, 8)) for n in (300, 150, 150))
        test = memorisation(train, holdout, new)
        honest.append(bool(test["nearer than holdout"].lower > 0.5))
        copied = new.copy()
        copied[:15] = train[:15] + 1e-2 * rng.normal(size=(15, 8))
        copies.append(bool(memorisation(train, holdout, copied)["copies"].lower > 0.01))
        interval = kernel_distance(holdout, new)
        zero.append(bool(interval.lower <= 0 <= interval.upper))
    report("memorisation flags a new sample (one-sided 2.5 %)", honest)
    report("memorisation finds copies (a tenth of the set)", copies)
    report("kernel_distance: 95 % interval holds 0 for one population", zero)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("speed", "rates"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for name, part in (("speed", speed), ("rates", rates)):
        if options.part in (None, name):
            results[name] = part(options.small)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
