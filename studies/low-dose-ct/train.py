"""Train the demonstration's denoiser on simulated training patients and ship it as TorchScript.

    python studies/low-dose-ct/train.py --minutes 8

The training patients (TRN-...) are drawn with another seed, at other sites and earlier dates than the holdout (SIM-...), and are
listed in ``training_manifest.csv``. The network is MONAI's U-Net without normalisation layers (they would move HU); it predicts
the noise, which is subtracted. Its target is the noise-free reconstruction with the same kernel: a luxury of simulation.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from make_data import plan_patients
from simulation.patients import chest_slice
from simulation.scanner import VENDORS, add_noise, project, reconstruct

SEED = 20240101
PATCH = 96
SCALE_HU = 500.0


class Denoiser(torch.nn.Module):
    """Images in HU, (batch, 1, height, width), in; images in HU of the same shape out. Sides: multiples of 4."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Subtract the predicted noise."""
        noise: torch.Tensor = self.network(image / 500.0)
        return image - 500.0 * noise


def build_network() -> torch.nn.Module:
    """Return MONAI's U-Net: three levels, one residual unit each, no normalisation."""
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=2, in_channels=1, out_channels=1, channels=(24, 48, 96), strides=(2, 2), num_res_units=1, norm=None, act="LEAKYRELU"
    )  # fmt: skip


def make_training_images(patients: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, list[list[str]]]:
    """Return inputs and targets, (n, 256, 256) in HU, and the rows of the training manifest."""
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets, manifest = [], [], []
    for plan in plan_patients(patients, rng, prefix="TRN-P", sites="TRN-", year=2023):
        p = plan.patient
        manifest.append([p.patient_id, plan.site, f"{plan.date[:4]}-{plan.date[4:6]}-{plan.date[6:]}", p.sex, str(p.age), p.age_band,
                         plan.vendor.manufacturer, plan.kernel.name])  # fmt: skip
        for level in rng.uniform(0.0, 1.1, 4):
            scene = chest_slice(rng, p, float(level))
            line_integrals = project(scene.cuts, scene.vessels, scene.blobs)
            vendor = VENDORS[int(rng.integers(len(VENDORS)))]
            for kernel in vendor.kernels:
                photons = [vendor.photons * plan.mas / 100 * rng.uniform(0.15, 0.40) for _ in range(2)]
                sinograms = torch.stack([line_integrals, *(add_noise(line_integrals, n, generator) for n in photons)])
                images = reconstruct(sinograms, kernel)
                inputs.append(images[1:])
                targets.append(images[:1].expand(2, -1, -1))
    return torch.cat(inputs), torch.cat(targets), manifest


def train(inputs: torch.Tensor, targets: torch.Tensor, minutes: float) -> Denoiser:
    """Minimise the squared error, with more weight on its low frequencies (bias of HU), for a fixed wall-clock time."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = Denoiser(build_network())
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-5)
    begun, step, progress, running = time.monotonic(), 0, 0.0, []
    while progress < 1.0:
        progress = (time.monotonic() - begun) / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.5 * (1 + np.cos(np.pi * min(progress, 1.0))), 0.005)
        cases = rng.integers(0, len(inputs), 12)
        rows, columns = rng.integers(20, 256 - PATCH - 20, 12), rng.integers(10, 256 - PATCH - 10, 12)
        cut = [(slice(r, r + PATCH), slice(c, c + PATCH)) for r, c in zip(rows, columns, strict=True)]
        x = torch.stack([inputs[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        y = torch.stack([targets[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        if rng.random() < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        error = (model(x) - y) / SCALE_HU
        loss = error.square().mean() + 8.0 * torch.nn.functional.avg_pool2d(error, 8).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        running.append(float(error.detach().square().mean()) ** 0.5 * SCALE_HU)
        step += 1
        if step % 200 == 0:
            print(f"step {step}: RMSE {np.mean(running[-200:]):.2f} HU, {100 * progress:.0f} %", flush=True)
    return model.eval()


def main() -> None:
    """Make the training images, train, and write the model, its digest and the training manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=8.0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    inputs, targets, manifest = make_training_images(arguments.patients, rng)
    print(f"{len(inputs)} training images; RMSE before {float((inputs - targets).square().mean()) ** 0.5:.2f} HU", flush=True)
    with (HERE / "training_manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["patient_id", "site", "acquisition_date", "sex", "age", "age_band", "manufacturer", "kernel"])
        writer.writerows(manifest)
    model = train(inputs, targets, arguments.minutes)
    path = HERE / "model" / "denoiser.ts"
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.trace(model, torch.zeros(1, 1, 256, 256)).save(str(path))
    print(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
