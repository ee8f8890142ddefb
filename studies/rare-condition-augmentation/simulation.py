"""Simulated patches of liver CT with one lesion each: two common conditions and a rare one. No person is behind them.

32 x 32 pixels of 1 mm, in HU. The noise is correlated like that of filtered back-projection; lesions vary in size,
place and contrast. The rare condition, an enhancing ring, differs from the common nodule by its darker middle only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIZE = 32
CONDITIONS = ("cyst", "nodule", "ring")
RARE = "ring"
LIVER_HU, SCALE_HU = 60.0, 60.0
PER_PATIENT = 2


@dataclass(frozen=True)
class Group:
    """Patients of one part of the data: how many with each condition."""

    name: str
    prefix: str
    counts: dict[str, int]
    seed: int


GROUPS = (
    Group("train", "TRN-", {"cyst": 120, "nodule": 120, "ring": 10}, 11),
    Group("control", "CTL-", {"cyst": 60, "nodule": 60, "ring": 40}, 12),  # real, held out from the generator: the null
    Group("holdout", "HLD-", {"cyst": 90, "nodule": 90, "ring": 60}, 13),  # the sealed test set
)


def draw(group: Group) -> tuple[Tensor, list[dict[str, object]]]:
    """Return the patches, (n, 32, 32) in HU, and one row per patch: case, patient, condition, sex, manufacturer."""
    rng = np.random.default_rng(group.seed)
    images, rows = [], []
    number = 0
    for condition, count in group.counts.items():
        for _ in range(count):
            number += 1
            patient = f"{group.prefix}{number:03d}"
            sex, maker = "FM"[int(rng.integers(2))], ("Simulated A", "Simulated B")[int(rng.integers(2))]
            level = LIVER_HU + rng.normal(0, 8)
            for k in range(PER_PATIENT):
                images.append(_patch(rng, condition, level, soft=maker.endswith("A")))
                rows.append(
                    {"case_id": f"{patient}-{k + 1}", "patient_id": patient, "condition": condition, "sex": sex,
                     "manufacturer": maker}
                )  # fmt: skip
    return torch.stack(images), rows


def _patch(rng: np.random.Generator, condition: str, level: float, *, soft: bool) -> Tensor:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius = rng.uniform(5, 9)
    row, column = rng.uniform(-3, 3, 2)
    stretch = rng.uniform(0.8, 1.25)
    distance = np.hypot((y - row) * stretch, (x - column) / stretch)
    inside = 1 / (1 + np.exp((distance - radius) / 0.8))
    lesion = inside * (-rng.uniform(0, 30) if condition == "cyst" else rng.uniform(5, 40))
    if condition == "ring":
        lesion -= rng.uniform(20, 35) / (1 + np.exp((distance - 0.55 * radius) / 0.8))
    noise = torch.from_numpy(rng.normal(0, 1, (1, 1, SIZE + 8, SIZE + 8))).float()
    width = 3 if soft else 2
    noise = (
        functional.avg_pool2d(noise, width, 1)
        - functional.avg_pool2d(noise, 7, 1, 3)[..., : SIZE + 9 - width, : SIZE + 9 - width]
    )
    noise = noise[0, 0, :SIZE, :SIZE]
    return torch.from_numpy(level + lesion).float() + 16 * noise / noise.std()
