"""Make the simulated cohort of the assisted-detection study: images with and without nodules, and the detector.

python studies/assisted-detection/make_data.py [--patients 180] [--seed 21]
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
SIZE = 128
NOISE = 12.0


class Detector(torch.nn.Module):
    """Difference of two Gaussians; its local maxima above a threshold are marks, rated in standard deviations."""

    def __init__(self) -> None:
        super().__init__()
        places = torch.arange(-12, 13, dtype=torch.float32)
        square = places[:, None] ** 2 + places[None, :] ** 2
        kernel = torch.exp(-square / (2 * 2.2**2)) / (2 * torch.pi * 2.2**2)
        wide = torch.exp(-square / (2 * 5.0**2)) / (2 * torch.pi * 5.0**2)
        self.register_buffer("kernel", (kernel - wide)[None, None])

    def forward(self, block: torch.Tensor) -> torch.Tensor:
        """Return (marks, 3): rating, row and column."""
        padded = torch.nn.functional.pad(block, [12, 12, 12, 12], mode="reflect")
        response = torch.nn.functional.conv2d(padded, self.kernel)[0, 0]
        scaled = response / response.std()
        peak = torch.nn.functional.max_pool2d(scaled[None, None], 9, stride=1, padding=4)[0, 0]
        where = torch.nonzero((scaled == peak) & (scaled > 2.4))
        return torch.cat([scaled[where[:, 0], where[:, 1]][:, None], where.to(scaled.dtype)], dim=1)


def image_of(lesions: list[tuple[float, float, float, float]], rng: np.random.Generator) -> np.ndarray:
    """Return an image with nodules (row, column, radius in mm, contrast) on a background like vessels and noise."""
    field = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 6.0)
    image = 100 + 14 * field / field.std() + NOISE * rng.normal(size=(SIZE, SIZE))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for row, column, radius, contrast in lesions:
        square = ((rows - row) ** 2 + (columns - column) ** 2) / radius**2
        image += contrast * np.sqrt(np.clip(1 - square, 0, None))
    return np.asarray(ndimage.gaussian_filter(image, 0.6), dtype=np.float32)


def main() -> None:
    """Write images, lesions, case table and detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=180)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    data = options.out / "data"
    data.mkdir(parents=True, exist_ok=True)
    cases, lesion_rows = [], []
    for k in range(options.patients):
        rng = np.random.default_rng([options.seed, k])
        for view in range(1 + int(rng.random() < 0.3)):
            case = f"c{k:03d}-{view}"
            count = int(rng.integers(1, 4)) if rng.random() < 0.5 else 0
            lesions = []
            for number in range(count):
                radius = float(rng.uniform(3.0, 7.0))
                row, column = (float(x) for x in rng.uniform(16, SIZE - 16, 2))
                lesions.append((row, column, radius, float(rng.uniform(18, 55))))
                size = 4 / 3 * np.pi * radius**3 / 1000
                lesion_rows.append(
                    [case, f"L{number + 1}", round(row, 2), round(column, 2), round(radius, 2), round(size, 3)]
                )
            np.save(data / f"{case}.npy", image_of(lesions, rng))
            age = int(rng.integers(30, 90))
            band = "18-49" if age < 50 else "50-69" if age < 70 else "70+"
            cases.append(
                [
                    case,
                    f"sim-{k:03d}",
                    "FM"[k % 2],
                    age,
                    band,
                    "ABC"[k % 3],
                    int(count > 0),
                    f"{case}.npy",
                    "lesions.csv",
                ]
            )
    for name, head, rows in (
        ("cases.csv", "case_id,patient_id,sex,age,age_band,manufacturer,nodule,input,lesions", cases),
        ("lesions.csv", "case_id,lesion,row,column,radius_mm,size_ml", lesion_rows),
    ):
        with (data / name).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(head.split(","))
            writer.writerows(rows)
    (options.out / "model").mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*")
        torch.jit.script(Detector()).save(str(options.out / "model" / "detector.ts"))
    print(f"{len(cases)} images of {options.patients} patients, {len(lesion_rows)} nodules in {data}")


if __name__ == "__main__":
    main()
