"""Prepare the CatPhan 504 series as a cohort: sensitometry inserts, rod edge and uniform module, with noise inserted.

    VALIDATION_SHARED=/path/to/shared python studies/ct-catphan/prepare.py

Reads ``data/imaging/ct_catphan504_cbct/high_quality_head.zip`` and writes ``data/`` beside this script.
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
from simulation.derived import read_series, shared_folder, write_reduced, write_reference
from simulation.insertion import calibrate, grid_for, noise_image, project_raster

FRACTION = 0.25
INSERT_CIRCLE_MM, INSERT_RADIUS_MM = 58.7, 6.1  # CTP404: circle on which the inserts lie, radius of an insert
MATERIALS = {
    "delrin": 0,
    "teflon": 60,
    "pmp": 120,
    "ldpe": 180,
    "polystyrene": 240,
    "acrylic": 300,
}  # degrees, measured here
INSERT_SLICES = (-6.5, 9.0)  # z in mm: slices that lie wholly in the sensitometry module
UNIFORM_SLICES = (-76.5, -58.0)  # z in mm: uniform module


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> np.ndarray:
    """Return a disc in pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def main() -> None:
    """Write the cases and the case table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--limit", type=int, help="at most this many slices per module, for a quick look")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    parts = read_series(shared_folder(Path(__file__)) / "data/imaging/ct_catphan504_cbct/high_quality_head.zip")
    pixel = float(parts[0].dataset.PixelSpacing[0])
    grid = grid_for(parts[0].image.shape[0], pixel)
    generator = torch.Generator().manual_seed(20260103)
    uniform = [i for i, part in enumerate(parts) if UNIFORM_SLICES[0] <= part.z_mm <= UNIFORM_SLICES[1]]
    inserts = [i for i, part in enumerate(parts) if INSERT_SLICES[0] <= part.z_mm <= INSERT_SLICES[1]]
    # difference of neighbouring slices: ring artefacts and cupping cancel, noise remains (doubled variance)
    a, b = (parts[uniform[len(uniform) // 2 + k]].image for k in (0, 1))
    centres = [(r, c) for r in (200, 256, 312) for c in (200, 256, 312)]
    scene = parts[uniform[len(uniform) // 2]].image
    found = calibrate(scene, centres, 48, grid, generator, noise=(a - b) / np.sqrt(2.0))
    print(
        f"noise {found.measured_sd:.2f} HU (simulated {found.simulated_sd:.2f}), "
        f"mean frequency {found.measured_frequency:.3f}/mm "
        f"(simulated {found.simulated_frequency:.3f}), {found.photons:.3g} photons per ray"
    )
    rows: list[dict[str, object]] = []
    masks: dict[str, np.ndarray] = {}
    for kind, members in (("inserts", inserts), ("uniform", uniform)):
        for i in members[: arguments.limit]:
            part, case_id = parts[i], f"CATPHAN-{i + 1:02d}"
            body = ndimage.binary_fill_holes(ndimage.binary_opening(part.image > -400, iterations=3))
            row, column = ndimage.center_of_mass(body)
            noise = noise_image(
                project_raster(part.image, grid), found.photons, FRACTION, found.kernel, grid, generator
            )
            write_reference(out / "reference" / f"{case_id}.dcm", part)
            write_reduced(out / "input" / f"{case_id}.dcm", part, noise, FRACTION, "CATPHAN-504")
            entry: dict[str, object] = {
                "case_id": case_id,
                "patient_id": "CATPHAN-504",
                "kind": kind,
                "dose_fraction": FRACTION,
                "input": f"input/{case_id}.dcm",
                "reference": f"reference/{case_id}.dcm",
            }
            if kind == "uniform":
                masks[f"{case_id}_uniform"] = disc(part.image.shape, row, column, 55 / pixel)
            else:
                for name, degrees in MATERIALS.items():
                    y = row - INSERT_CIRCLE_MM / pixel * np.sin(np.radians(degrees))
                    x = column + INSERT_CIRCLE_MM / pixel * np.cos(np.radians(degrees))
                    masks[f"{case_id}_{name}"] = disc(part.image.shape, y, x, 0.7 * INSERT_RADIUS_MM / pixel)
                    if name == "teflon":
                        masks[f"{case_id}_rod"] = disc(part.image.shape, y, x, INSERT_RADIUS_MM / pixel)
            for name in ("uniform", "rod", *MATERIALS):
                key = f"{case_id}_{name}"
                entry[f"mask.{name}"] = f"masks.npz:{key}" if key in masks else ""
            rows.append(entry)
    np.savez_compressed(out / "masks.npz", **masks)
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda r: str(r["case_id"])))
    print(f"{len(rows)} cases in {out}")


if __name__ == "__main__":
    main()
