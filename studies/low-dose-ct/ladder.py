"""Phantom scans at several doses: water, rods of several contrasts, and a faint disc.

They show what one dose and one contrast cannot: whether noise texture, resolution, CT numbers and detectability change
with dose and contrast, as they may with a non-linear model. Their dose stands in ``ladder_dose`` (share of the full
dose); ``dose_fraction``, the dose that is claimed, is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from simulation.dicom import Header, write_slice
from simulation.phantoms import ROD_RADIUS_MM, WATER_RADIUS_MM, phantom
from simulation.scanner import Cut, Ellipse, Kernel, Vendor, add_noise, pixel_grid, project, reconstruct

if TYPE_CHECKING:
    from make_data import Masks

DOSES = (0.125, 0.25, 0.5)
CONTRASTS = (-100.0, 60.0, 150.0, 600.0)
WATER_SCANS, FAINT_SCANS, ROD_SLICES = 3, 10, 3
GAP_MM = 20.0


def rod_cuts(contrast: float) -> list[Cut]:
    """Return a water cylinder with a rod of this contrast in HU."""
    return [
        Cut(Ellipse(0, 0, WATER_RADIUS_MM, WATER_RADIUS_MM, 0, 1000.0)),
        Cut(Ellipse(0, 0, ROD_RADIUS_MM, ROD_RADIUS_MM, 0, contrast)),
    ]


class Ladder:
    """Writes the scans; each manufacturer's soft kernel only, so that one noise texture belongs to one dose."""

    def __init__(self, out: Path, masks: Masks, seed: int, scale: float, software: str) -> None:
        self._out, self._masks, self._seed, self._scale, self._software = out, masks, seed, scale, software
        self._generator = torch.Generator().manual_seed(seed + 8)

    def rows(self, vendors: tuple[Vendor, ...]) -> Iterator[dict[str, object]]:
        """Write every scan and yield its row."""
        none = np.zeros((0, 4))
        x, y = pixel_grid()
        rod = {"rod": np.hypot(x, y) <= ROD_RADIUS_MM, "core": np.hypot(x, y) <= 0.7 * ROD_RADIUS_MM}
        kinds = {
            "ladder_water": WATER_SCANS,
            "ladder_present": FAINT_SCANS,
            "ladder_absent": FAINT_SCANS,
        }
        for v, vendor in enumerate(vendors):
            kernel, site = vendor.kernels[0], f"SIM-{2 * v + 1:02d}"
            for kind, repeats in kinds.items():
                scene = phantom(
                    {"ladder_present": "signal_present", "ladder_absent": "signal_absent"}.get(kind, "uniform")
                )
                rays = project(scene.cuts, scene.vessels, scene.blobs)
                clean = reconstruct(rays.unsqueeze(0), kernel)[0].numpy()
                wanted = ("uniform",) if kind == "ladder_water" else ("signal",)
                keys = {name: self._masks.add(f"{kind}_{name}", scene.masks[name]) for name in wanted}
                doses = DOSES if kind == "ladder_water" else tuple(d for d in DOSES if d != 0.25)
                for dose in doses:
                    for i in range(max(2, round(repeats * self._scale))):
                        name = f"PH-{kind}-{kernel.name}-{1000 * dose:.0f}-{i + 1:02d}"
                        signal = {"ladder_present": 1, "ladder_absent": 0}.get(kind, "")
                        row = {"kind": kind, "signal": signal, "ladder_dose": dose, "site": site}
                        yield self._scan(name, rays, clean, 1, dose, vendor, kernel, row, keys)
            keys = {n: self._masks.add(f"ladder_{n}", np.stack([m] * ROD_SLICES)) for n, m in rod.items()}
            for contrast in CONTRASTS if self._scale >= 0.5 else CONTRASTS[::3]:
                rays = project(rod_cuts(contrast), none, none)
                clean = reconstruct(rays.unsqueeze(0), kernel)[0].numpy()
                for dose in DOSES if self._scale >= 0.5 else DOSES[:1]:
                    name = f"PH-ladder_rod-{kernel.name}-{contrast:.0f}-{1000 * dose:.0f}"
                    row = {"kind": "ladder_rod", "ladder_dose": dose, "contrast_hu": f"{contrast:.0f}", "site": site}
                    yield self._scan(name, rays, clean, ROD_SLICES, dose, vendor, kernel, row, keys)

    def _scan(
        self, name: str, rays: torch.Tensor, clean: np.ndarray, slices: int, dose: float, vendor: Vendor,
        kernel: Kernel, row: dict[str, object], keys: dict[str, str],
    ) -> dict[str, object]:  # fmt: skip
        """Write a scan and its noise-free reference; return its row."""
        noisy = [add_noise(rays, vendor.photons * dose, self._generator) for _ in range(slices)]
        images = reconstruct(torch.stack(noisy), kernel).numpy()
        paths: dict[str, object] = {}
        for role, series, mas in (("input", "reduced dose", 100 * dose), ("reference", "noise-free", 100.0)):
            folder = f"dicom/ladder/{name}.{role}"
            paths[role] = folder if slices > 1 else f"{folder}.dcm"
            for k in range(slices):
                header = Header(
                    patient_id=name, sex="", age=None, case_id=f"{name}-{k + 1}", series=series, date="20250701",
                    instance=k + 1, z_mm=-k * GAP_MM, mas=mas, vendor=vendor, kernel=kernel, site=str(row["site"]),
                    seed=self._seed, software=self._software,
                )  # fmt: skip
                path = self._out / (f"{folder}/{k + 1:03d}.dcm" if slices > 1 else f"{folder}.dcm")
                write_slice(path, images[k] if role == "input" else clean, header)
        return {
            "case_id": name, "patient_id": name, "acquisition_date": "2025-07-01", **row, **paths,
            **{f"mask.{mask}": key for mask, key in keys.items()},
        }  # fmt: skip
