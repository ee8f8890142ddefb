"""Prepare two real CT series as a cohort: a head (GE) and a head phantom (Philips), with noise inserted.

    VALIDATION_SHARED=/path/to/shared python studies/ct-head-two-vendor/prepare.py

Reads the archives in ``data/imaging/ct_two_vendor`` and writes ``data/`` beside this script: for each slice the
untouched scan (reference), the slice with noise inserted (input), and the mask of the region that is measured.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "low-dose-ct"))
from simulation.derived import Slice, read_series, shared_folder, write_reduced, write_reference
from simulation.insertion import Calibration, calibrate, grid_for, noise_image, project_raster

FRACTION = 0.25
SMALLEST_REGION = {"head": 3000, "phantom": 600}


def brain(image: np.ndarray) -> np.ndarray:
    """Return soft tissue inside the closed skull, 3 mm away from bone and air."""
    skull = ndimage.binary_closing(image > 300, iterations=4)
    inside = ndimage.binary_fill_holes(skull) & ~skull
    flat = ndimage.median_filter(image, 5)
    tissue = ndimage.binary_opening(inside & (flat > 5) & (flat < 70), iterations=3)
    return np.asarray(ndimage.binary_erosion(tissue, iterations=6))


def inserts(image: np.ndarray) -> np.ndarray:
    """Return the solid parts of soft-tissue attenuation inside the phantom."""
    flat = ndimage.median_filter(image, 3)
    solid = ndimage.binary_opening((flat > 70) & (flat < 115), iterations=5)
    return np.asarray(ndimage.binary_erosion(solid, iterations=4))


def centres_in(region: np.ndarray, size: int, limit: int = 12) -> list[tuple[int, int]]:
    """Return centres of up to ``limit`` squares that lie wholly in a region, far from each other."""
    free = np.asarray(ndimage.binary_erosion(region, np.ones((size + 1, size + 1))))
    found: list[tuple[int, int]] = []
    while free.any() and len(found) < limit:
        r, c = (int(v) for v in np.argwhere(free)[0])
        found.append((r, c))
        free[max(r - size, 0) : r + size, max(c - size, 0) : c + size] = False
    return found


def groups(parts: list[Slice], kind: str) -> dict[tuple[str, ...], list[int]]:
    """Return indices of slices acquired alike (tube current, thickness); the phantom is scaled by mAs instead."""
    found: dict[tuple[str, ...], list[int]] = {}
    for i, part in enumerate(parts):
        key = (str(part.dataset.SliceThickness), str(part.dataset.XRayTubeCurrent)) if kind == "head" else ("all",)
        found.setdefault(key, []).append(i)
    return found


def load_of(part: Slice) -> float:
    """Return what the photons of a slice are proportional to: mAs where the header has it, else mA."""
    return float(part.dataset.get("Exposure") or part.dataset.XRayTubeCurrent)


def prepare_series(
    archive: Path, kind: str, prefix: str, out: Path, generator: torch.Generator, limit: int | None
) -> list[dict[str, object]]:
    """Write the cases of one series and return their rows."""
    parts = read_series(archive)
    pixel = float(parts[0].dataset.PixelSpacing[0])
    grid = grid_for(parts[0].image.shape[0], pixel)
    regions = [(brain if kind == "head" else inserts)(part.image) for part in parts]
    size = 24 if kind == "head" else 16
    rows: list[dict[str, object]] = []
    masks: dict[str, np.ndarray] = {}
    for key, members in groups(parts, kind).items():
        largest = max(members, key=lambda i: len(centres_in(regions[i], size)) * 10**6 + int(regions[i].sum()))
        found: Calibration = calibrate(parts[largest].image, centres_in(regions[largest], size), size, grid, generator)
        print(
            f"{prefix} {' '.join(key)}: noise {found.measured_sd:.2f} HU (simulated {found.simulated_sd:.2f}), "
            f"mean frequency {found.measured_frequency:.3f}/mm (simulated {found.simulated_frequency:.3f}), "
            f"{found.photons:.3g} photons per ray"
        )
        for i in members:
            if regions[i].sum() < SMALLEST_REGION[kind] or (limit is not None and len(rows) >= limit):
                continue
            photons = found.photons * load_of(parts[i]) / load_of(parts[largest])
            noise = noise_image(project_raster(parts[i].image, grid), photons, FRACTION, found.kernel, grid, generator)
            case_id = f"{prefix}-{i + 1:02d}"
            write_reference(out / "reference" / f"{case_id}.dcm", parts[i])
            write_reduced(out / "input" / f"{case_id}.dcm", parts[i], noise, FRACTION, prefix)
            masks[case_id] = regions[i]
            rows.append(
                {
                    "case_id": case_id,
                    "patient_id": prefix,
                    "kind": kind,
                    "dose_fraction": FRACTION,
                    "input": f"input/{case_id}.dcm",
                    "reference": f"reference/{case_id}.dcm",
                    "mask.tissue": f"masks_{prefix}.npz:{case_id}",
                }
            )
    np.savez_compressed(out / f"masks_{prefix}.npz", **masks)
    print(
        f"{prefix}: {len(rows)} of {len(parts)} slices are cases (regions of at least {SMALLEST_REGION[kind]} pixels)"
    )
    return rows


def main() -> None:
    """Write both series and the case table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--limit", type=int, help="at most this many slices per series, for a quick look")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    folder = shared_folder(Path(__file__)) / "data/imaging/ct_two_vendor"
    generator = torch.Generator().manual_seed(20260102)
    rows = prepare_series(folder / "ge_head_28.zip", "head", "GE-HEAD", out, generator, arguments.limit)
    rows += prepare_series(
        folder / "philips_phantom_29.zip", "phantom", "PHILIPS-PHANTOM", out, generator, arguments.limit
    )
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda r: str(r["case_id"])))
    print(f"{len(rows)} cases in {out}")


if __name__ == "__main__":
    main()
