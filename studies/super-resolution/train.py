"""Train the demonstration's super-resolution network on simulated patients and ship it as TorchScript.

    python studies/super-resolution/train.py

A small residual network on the coarse grid; its answer is spread over 2 x 2 pixels and added to the bicubic
interpolation. The training patients (TRN-...) are drawn with another seed, at other sites and later dates than the
holdout, and are listed in ``training_manifest.csv``. Their fine images without noise are the target. The bicubic
interpolation is shipped beside it as the baseline.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "low-dose-ct"))
from make_data import plan_patients
from simulation.patients import chest_slice
from simulation.phantoms import phantom
from simulation.scanner import VENDORS, add_noise, project, reconstruct

SEED = 20250301
PATCH, BATCH, SCALE_HU = 40, 16, 300.0


class Bicubic(torch.nn.Module):
    """Bicubic interpolation to twice the pixels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the interpolated image."""
        return functional.interpolate(image, scale_factor=2.0, mode="bicubic", align_corners=False)


class Finer(torch.nn.Module):
    """Images in HU, (batch, 1, height, width), in; twice the pixels out, in HU."""

    def __init__(self, width: int = 24, depth: int = 5) -> None:
        super().__init__()
        sizes = [1, *[width] * depth]
        self.body = torch.nn.ModuleList(
            torch.nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate") for a, b in pairwise(sizes)
        )
        self.last = torch.nn.Conv2d(width, 4, 3, padding=1, padding_mode="replicate")
        torch.nn.init.zeros_(self.last.weight)  # training starts at the interpolation
        torch.nn.init.zeros_(self.last.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Add learnt detail to the interpolation."""
        x = image / 300.0
        for layer in self.body:
            x = functional.leaky_relu(layer(x), 0.1)
        detail = functional.pixel_shuffle(self.last(x), 2)
        base = functional.interpolate(image, scale_factor=2.0, mode="bicubic", align_corners=False)
        return base + 300.0 * detail


def training_images(patients: int) -> tuple[torch.Tensor, torch.Tensor, list[list[str]]]:
    """Return coarse inputs, fine targets, and the rows of the training manifest."""
    rng = np.random.default_rng(SEED)
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets, manifest = [], [], []
    for plan in plan_patients(patients, rng, prefix="TRN-P", sites="TRN-", year=2020):
        p = plan.patient
        date = f"{plan.date[:4]}-{plan.date[4:6]}-{plan.date[6:]}"
        manifest.append([p.patient_id, plan.site, date, p.sex, str(p.age), p.age_band])
        scenes = [chest_slice(rng, p, float(level), extra_lesions=6) for level in rng.uniform(0, 1.1, 2)]
        rod = phantom("disk")
        for scene in (*scenes, rod) if len(manifest) % 4 == 0 else scenes:
            rays = project(scene.cuts, scene.vessels, scene.blobs)
            vendor = VENDORS[int(rng.integers(len(VENDORS)))]
            for kernel in vendor.kernels:
                noisy = add_noise(rays, vendor.photons * rng.uniform(0.6, 1.6), generator)
                images = reconstruct(torch.stack([noisy, rays]), kernel)
                inputs.append(functional.avg_pool2d(images[:1, None], 2)[0, 0])
                targets.append(images[1])
    return torch.stack(inputs), torch.stack(targets), manifest


def train(inputs: torch.Tensor, targets: torch.Tensor, steps: int) -> Finer:
    """Minimise the absolute error on random patches, with a penalty on what the blocks do not average to."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = Finer()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    running: list[float] = []
    for step in range(steps):
        x, y = [], []
        for i in rng.integers(0, len(inputs), BATCH):
            r, c = rng.integers(8, inputs.shape[1] - PATCH - 8, 2)
            x.append(inputs[i, r : r + PATCH, c : c + PATCH])
            y.append(targets[i, 2 * r : 2 * (r + PATCH), 2 * c : 2 * (c + PATCH)])
        image, wanted = torch.stack(x)[:, None], torch.stack(y)[:, None]
        answer = model(image)
        error = (answer - wanted) / SCALE_HU
        blocks = functional.avg_pool2d(error, 2)
        loss = error.abs().mean() + 4.0 * functional.avg_pool2d(error, 8).square().mean() + blocks.abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running.append(float(error.detach().square().mean()) ** 0.5 * SCALE_HU)
        if (step + 1) % 200 == 0:
            print(f"step {step + 1}: RMSE {np.mean(running[-200:]):.2f} HU", flush=True)
    return model.eval()


def main() -> None:
    """Make the training images, train, and write both models, their digests and the training manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--steps", type=int, default=900)
    arguments = parser.parse_args()
    inputs, targets, manifest = training_images(arguments.patients)
    interpolated = Bicubic()(inputs[:, None])[:, 0]
    print(f"{len(inputs)} images; RMSE of bicubic {float((interpolated - targets).square().mean()) ** 0.5:.2f} HU")
    with (HERE / "training_manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["patient_id", "site", "acquisition_date", "sex", "age", "age_band"])
        writer.writerows(manifest)
    (HERE / "model").mkdir(exist_ok=True)
    for name, module in (("finer", train(inputs, targets, arguments.steps)), ("bicubic", Bicubic())):
        path = HERE / "model" / f"{name}.ts"
        with torch.no_grad():
            torch.jit.script(module).save(str(path))
        print(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
