"""Planted faults, in images never used for tuning: how often each is found, and how often clean images are flagged.

Run: ``python benchmarks/imaging_faults.py [--cases N] [--json FILE]``. Every rate stands with its 95 % interval
(Wilson). Chest slices come from the virtual scanner of ``studies/low-dose-ct`` (seeds used nowhere else), heads from
``studies/synthetic-ct``. The rules:

- regions: ``frc_hallucination`` flags at least one region (its own family-wise 5 %);
- local: ``worst_local_error`` (signed, 7 pixels) above the limit that 1 in 20 of *other* clean images exceeds;
- shift: ``geometric_shift`` above one voxel; bone: ``ME bone`` beyond 10 HU from zero in one head, which is the
  equivalence margin that the fault of 20 HU is to be told from; cavity: ``largest_false_tissue`` above 0.5 mL.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "studies" / "low-dose-ct"), str(ROOT / "studies" / "synthetic-ct")]
from head import SPACING_MM, draw_head  # noqa: E402
from simulation.patients import chest_slice, draw_patient  # noqa: E402
from simulation.scanner import VENDORS, add_noise, project, reconstruct  # noqa: E402

from validation.metrics.imaging.hallucination import frc_hallucination  # noqa: E402
from validation.metrics.imaging.local import worst_local_error  # noqa: E402
from validation.metrics.imaging.tissue import largest_false_tissue, tissue_hu_error  # noqa: E402
from validation.metrics.imaging.translation import geometric_shift  # noqa: E402
from validation.statistics.proportions import proportion  # noqa: E402

SEED = 991
NODULES = tuple((radius, contrast) for radius in (3.0, 6.0) for contrast in (60.0, 150.0, 400.0))  # mm, HU


def batch(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64)).unsqueeze(0)


def chest(cases: int) -> list[dict[str, np.ndarray]]:
    """Return references (full dose) and faithful outputs (a linear filter of an independent scan) with body masks."""
    rng = np.random.default_rng(SEED)
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for k in range(cases):
        patient = draw_patient(rng, f"F{k}", "FM"[k % 2], k % 3)
        scene = chest_slice(rng, patient, float(rng.uniform(0, 1)))
        vendor = VENDORS[k % 3]
        rays = project(scene.cuts, scene.vessels, scene.blobs)
        noisy = [add_noise(rays, vendor.photons * share, generator) for share in (1.0, 0.5)]
        images = reconstruct(torch.stack(noisy), vendor.kernels[0]).numpy()
        found.append(
            {"reference": images[0], "output": ndimage.gaussian_filter(images[1], 0.6), "body": scene.masks["body"]}
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records: list[dict[str, Any]] = []

    def report(test: str, fault: str, flags: list[bool]) -> None:
        rate = proportion(np.asarray(flags, dtype=float))
        print(
            f"{test:8s} {fault:44s} {rate.value:5.2f} ({rate.lower:.3f} to {rate.upper:.3f}), n = {rate.n}", flush=True
        )
        records.append({"test": test, "fault": fault, **rate.to_dict()})

    rng = np.random.default_rng(SEED + 1)
    images = chest(2 * options.cases)
    others, images = images[: options.cases], images[options.cases :]  # the limit comes from the first half

    def local(output: np.ndarray, case: dict[str, np.ndarray]) -> float:
        mask = batch(case["body"]).bool()
        return worst_local_error(batch(output), batch(case["reference"]), mask, window=7, signed=True).item()

    def regions(output: np.ndarray, case: dict[str, np.ndarray]) -> bool:
        mask = batch(case["body"]).bool()
        return frc_hallucination(batch(output), batch(case["reference"]), mask).item() > 0

    limit = float(np.quantile([local(case["output"], case) for case in others], 0.95))
    print(f"limit of the local error: {limit:.1f} HU")
    report("regions", "clean chest slices", [regions(case["output"], case) for case in images])
    report("local", "clean chest slices", [local(case["output"], case) > limit for case in images])
    y, x = np.mgrid[:256, :256]
    for radius, contrast in NODULES:
        flags: dict[str, list[bool]] = {"regions": [], "local": []}
        for case in images:
            inside = np.argwhere(ndimage.binary_erosion(case["body"], iterations=12))
            cy, cx = inside[rng.integers(len(inside))]
            pixels = np.hypot(y - cy, x - cx) * 1.5625
            nodule = contrast * ndimage.gaussian_filter((pixels < radius).astype(float), 0.8)
            flags["regions"].append(regions(case["output"] + nodule, case))
            flags["local"].append(local(case["output"] + nodule, case) > limit)
        for test, values in flags.items():
            report(test, f"nodule of {2 * radius:g} mm and {contrast:g} HU", values)
    spacing = torch.tensor([SPACING_MM], dtype=torch.float64)
    found: dict[tuple[str, str], list[bool]] = {}
    for k in range(options.cases):
        head = draw_head(rng, field_t=(1.5, 3.0)[k % 2], age=20 + k % 60)
        faithful = head.ct + ndimage.gaussian_filter(rng.normal(0, 25, head.ct.shape), 0.5)
        body, reference = batch(head.masks["body"]).bool(), batch(head.ct)
        cavity = faithful.copy()
        inside = np.argwhere(ndimage.binary_erosion((head.ct > -50) & (head.ct < 100), iterations=2))
        z, cy, cx = inside[rng.integers(len(inside))]
        cavity[z - 1 : z + 2, cy - 1 : cy + 2, cx - 1 : cx + 2] = -1000.0
        faults = {
            "clean heads": faithful,
            "two voxels aside": np.roll(faithful, 2, axis=2),
            "20 HU in bone only": faithful + 20.0 * (head.ct > 200),
            "false cavity of 1.2 mL": cavity,
        }
        for fault, output in faults.items():
            moved = geometric_shift(batch(output), reference, spacing_mm=spacing).item() > 3.0
            bone = abs(tissue_hu_error(batch(output), reference, body)["ME bone"].item()) > 10
            hole = largest_false_tissue(batch(output), reference, body, spacing_mm=spacing, upper=-400.0).item() > 0.5
            for test, flag in (("shift", moved), ("bone", bone), ("cavity", hole)):
                found.setdefault((test, fault), []).append(flag)
    wanted = {"shift": "two voxels aside", "bone": "20 HU in bone only", "cavity": "false cavity of 1.2 mL"}
    for (test, fault), values in found.items():
        if fault in ("clean heads", wanted[test]):
            report(test, fault, values)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
