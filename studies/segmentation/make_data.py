"""Make the simulated cohort of the segmentation study: nodules, four readers, an editor, and the model that proposes.

    python studies/segmentation/make_data.py [--patients 60] [--seed 11]

Everything is drawn from the seed, so that the same seed gives the same files.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

HERE = Path(__file__).resolve().parent
SHAPE = (24, 48, 48)
SPACING_MM = np.array([1.5, 0.8, 0.8])
LUNG_HU, NODULE_HU, NOISE_HU = -820.0, 20.0, 60.0
READERS = {"R1": 0.25, "R2": -0.25, "R3": 0.1, "R4": 0.0}  # how far out each draws, in mm
READER_SD_MM = 0.45
FIELDS = [
    "case_id", "patient_id", "sex", "age", "size_band", "manufacturer", "volume_ml", "input", "mask.nodule",
    "mask.nodule_edited", *(f"mask.nodule@{name}" for name in READERS), "edit_seconds", "scratch_seconds",
]  # fmt: skip


class Contour(torch.nn.Module):
    """Smooth with a box of 3 x 3 x 3, then a logistic step half-way between lung and soft tissue."""

    def forward(self, block: torch.Tensor) -> torch.Tensor:
        """Return the probability of nodule, voxel by voxel."""
        smooth = torch.nn.functional.avg_pool3d(block, 3, stride=1, padding=1, count_include_pad=False)
        return torch.sigmoid((smooth + 400.0) / 60.0)


def smooth_field(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Return smooth noise of unit standard deviation."""
    field = ndimage.gaussian_filter(rng.normal(size=SHAPE), sigma)
    return np.asarray(field / field.std())


def depth(radius_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Return how deep inside a lumpy nodule each voxel lies, in mm; negative outside."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1).astype(float)
    centre = (np.array(SHAPE) - 1) / 2 + rng.uniform(-2, 2, 3)
    axes = rng.uniform(0.8, 1.2, 3)
    distance = np.sqrt((((grid - centre) * SPACING_MM / axes) ** 2).sum(-1))
    return radius_mm - distance + 0.12 * radius_mm * smooth_field(rng, 3.0)


def one(out: Path, number: int, rng: np.random.Generator) -> dict[str, object]:
    """Write one case and return its row."""
    small = rng.random() < 0.4
    radius = rng.uniform(3.0, 4.6) if small else rng.uniform(5.2, 9.0)
    inside = depth(radius, rng)
    share = 1 / (1 + np.exp(-inside / 0.5))
    image = LUNG_HU + (NODULE_HU - LUNG_HU) * share + 0.5 * NOISE_HU * smooth_field(rng, 0.7)
    image += rng.normal(0, NOISE_HU / 2, SHAPE)
    readers = {
        name: inside + out_mm + READER_SD_MM * smooth_field(rng, 2.5) + rng.normal(0, 0.15) > 0
        for name, out_mm in READERS.items()
    }
    reference = sum(mask.astype(int) for mask in readers.values()) >= 2
    with torch.inference_mode():
        proposal = Contour()(torch.from_numpy(image.astype(np.float32))[None, None])[0, 0].numpy() >= 0.5
    own = inside + 0.3 * smooth_field(rng, 2.5) > 0
    far = ndimage.distance_transform_edt(proposal == own, sampling=SPACING_MM) > 1.2
    where = ndimage.binary_dilation(ndimage.binary_propagation(far, mask=proposal != own), iterations=1)
    edited = np.where(where, own, proposal)
    moved = float((edited != proposal).sum()) / max(1, int(reference.sum()))
    case = f"n{number:03d}"
    np.savez_compressed(
        out / f"{case}.npz", image=np.round(image).astype(np.int16), reference=reference, edited=edited, **readers
    )
    volume = float(reference.sum() * SPACING_MM.prod() / 1000)
    return {
        "case_id": case, "patient_id": f"sim-{number:03d}", "sex": "FM"[number % 2], "age": int(rng.integers(40, 85)),
        "size_band": "small" if volume < 0.5 else "large", "manufacturer": "ABC"[int(rng.integers(3))],
        "volume_ml": round(volume, 3), "input": f"{case}.npz:image", "mask.nodule": f"{case}.npz:reference",
        "mask.nodule_edited": f"{case}.npz:edited", **{f"mask.nodule@{name}": f"{case}.npz:{name}" for name in READERS},
        "edit_seconds": round(float(12 + 90 * moved + rng.gamma(2, 3)), 1),
        "scratch_seconds": round(float(35 + 8 * radius + rng.gamma(4, 4)), 1),
    }  # fmt: skip


def main() -> None:
    """Write images, masks, case table, training manifest and model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    data = options.out / "data"
    data.mkdir(parents=True, exist_ok=True)
    rows = [one(data, k, np.random.default_rng([options.seed, k])) for k in range(options.patients)]
    with (data / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    (options.out / "model").mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*")
        torch.jit.script(Contour()).save(str(options.out / "model" / "contour.ts"))
    print(f"{len(rows)} nodules in {data}")


if __name__ == "__main__":
    main()
