"""Train the demonstration's denoiser on simulated training patients and ship it as TorchScript.

    python studies/low-dose-ct/train.py --steps 3000

The training patients (TRN-...) are drawn with another seed, at other sites and earlier dates than the holdout
(SIM-...), and are listed in ``training_manifest.csv``. The network is MONAI's U-Net without normalisation layers
(they would move HU); it predicts the noise, which is subtracted. Its target is the noise-free reconstruction with the
same kernel: a luxury of simulation.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from make_data import plan_patients
from simulation.patients import chest_slice
from simulation.scanner import VENDORS, add_noise, project, reconstruct

SEED = 20240101
PATCH, BATCH = 80, 8
SCALE_HU = 500.0
LESION_WEIGHT = 4.0


class Denoiser(torch.nn.Module):
    """Images in HU, (batch, 1, height, width), in; images in HU of the same shape out. Sides: multiples of 16."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.gain = torch.nn.Parameter(torch.tensor(0.2))  # training starts near the identity

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Subtract the predicted noise."""
        noise: torch.Tensor = self.network(image / 500.0)
        return image - 500.0 * self.gain * noise


def build_network() -> torch.nn.Module:
    """Return MONAI's basic U-Net, five resolutions, without normalisation and with a linear output."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(
        spatial_dims=2, in_channels=1, out_channels=1, features=(16, 16, 32, 32, 48, 16), norm=None, upsample="deconv"
    )


def make_training_images(
    patients: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[list[str]]]:
    """Return inputs and targets, (n, 256, 256) in HU, weights of the loss, and the rows of the training manifest."""
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets, weights, manifest = [], [], [], []
    for plan in plan_patients(patients, rng, prefix="TRN-P", sites="TRN-", year=2023):
        p = plan.patient
        date = f"{plan.date[:4]}-{plan.date[4:6]}-{plan.date[6:]}"
        manifest.append([p.patient_id, plan.site, date, p.sex, str(p.age), p.age_band])
        for level in rng.uniform(0.0, 1.1, 3):
            scene = chest_slice(rng, p, float(level), extra_lesions=6)
            line_integrals = project(scene.cuts, scene.vessels, scene.blobs)
            vendor = VENDORS[int(rng.integers(len(VENDORS)))]
            for kernel in vendor.kernels:
                photons = [vendor.photons * plan.mas / 100 * rng.uniform(0.15, 0.40) for _ in range(2)]
                sinograms = torch.stack([line_integrals, *(add_noise(line_integrals, n, generator) for n in photons)])
                images = reconstruct(sinograms, kernel)
                inputs.append(images[1:])
                targets.append(images[:1].expand(2, -1, -1))
                weights.append(1.0 + LESION_WEIGHT * torch.as_tensor(scene.masks["strewn"]).float().expand(2, -1, -1))
    return torch.cat(inputs), torch.cat(targets), torch.cat(weights), manifest


def train(inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, steps: int) -> Denoiser:
    """Minimise the squared error, with more weight on lesions and on low frequencies (bias of HU)."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = Denoiser(build_network())
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-5)
    running: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 50) * max(0.5 * (1 + np.cos(np.pi * step / steps)), 0.005)
        cases = rng.integers(0, len(inputs), BATCH)
        rows, columns = rng.integers(20, 256 - PATCH - 20, BATCH), rng.integers(10, 256 - PATCH - 10, BATCH)
        cut = [(slice(r, r + PATCH), slice(c, c + PATCH)) for r, c in zip(rows, columns, strict=True)]
        x = torch.stack([inputs[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        y = torch.stack([targets[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        w = torch.stack([weights[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        if rng.random() < 0.5:
            x, y, w = x.flip(-1), y.flip(-1), w.flip(-1)
        error = (model(x) - y) / SCALE_HU
        loss = (w * error.square()).mean() + 8.0 * torch.nn.functional.avg_pool2d(error, 8).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        running.append(float(error.detach().square().mean()) ** 0.5 * SCALE_HU)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: RMSE {np.mean(running[-100:]):.2f} HU", flush=True)
    return model.eval()


def main() -> None:
    """Make the training images, train, and write the model, its digest and the training manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=54)
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    cache = HERE / "work" / "training.pt"
    if cache.exists():
        inputs, targets, weights, manifest = torch.load(cache, weights_only=True)
    else:
        inputs, targets, weights, manifest = make_training_images(arguments.patients, rng)
        cache.parent.mkdir(exist_ok=True)
        torch.save((inputs, targets, weights, manifest), cache)
    print(
        f"{len(inputs)} training images; RMSE before {float((inputs - targets).square().mean()) ** 0.5:.2f} HU",
        flush=True,
    )
    with (HERE / "training_manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["patient_id", "site", "acquisition_date", "sex", "age", "age_band"])
        writer.writerows(manifest)
    model = train(inputs, targets, weights, arguments.steps)
    path = HERE / "model" / "denoiser.ts"
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.trace(model, torch.zeros(1, 1, 256, 256)).save(str(path))
    print(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
