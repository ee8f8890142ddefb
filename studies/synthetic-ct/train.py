"""Train the demonstration's translation network on other virtual heads and ship it as TorchScript.

    python studies/synthetic-ct/train.py

A small U-Net, slice by slice. It divides each slice by its own mean signal, since MR signal has no fixed unit, and
answers in HU. The training heads (TRN-...) come from another seed and other sites and are listed in
``training_manifest.csv``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from head import draw_head
from make_data import rows

SEED = 20240401
BATCH = 12


def block(a: int, b: int) -> nn.Sequential:
    """Return two convolutions."""
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(b, b, 3, padding=1), nn.LeakyReLU(0.1)
    )


class Translator(nn.Module):
    """MR slices (batch, 1, height, width) of any scale in; CT slices in HU of the same shape out."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.down1, self.down2, self.down3 = block(1, width), block(width, 2 * width), block(2 * width, 4 * width)
        self.up2, self.up1 = block(6 * width, 2 * width), block(3 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Translate."""
        mean = image.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        a = self.down1(image / (3.0 * mean))
        b = self.down2(functional.max_pool2d(a, 2))
        c = self.down3(functional.max_pool2d(b, 2))
        b = self.up2(torch.cat([functional.interpolate(c, scale_factor=2.0), b], 1))
        a = self.up1(torch.cat([functional.interpolate(b, scale_factor=2.0), a], 1))
        return 1000.0 * self.last(a)


def write_manifest(path: Path, table: list[dict[str, object]]) -> None:
    """List the people that were trained on."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        names = ["patient_id", "site", "acquisition_date", "sex", "age", "age_band"]
        writer = csv.DictWriter(handle, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def fit(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    rng: np.random.Generator,
    *,
    steps: int,
    rate: float,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """Train on random slices, mirrored half of the time; ``loss_of`` makes a loss of the error in thousands."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    running: list[float] = []
    for step in range(steps):
        picks = torch.from_numpy(rng.integers(0, len(inputs), BATCH))
        x, y = inputs[picks], targets[picks]
        if rng.random() < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        error = (model(x) - y) / 1000.0
        loss = loss_of(error)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running.append(float(error.detach().abs().mean()) * 1000)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: MAE {np.mean(running[-100:]):.1f}", flush=True)


def ship(model: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write the model as TorchScript and print its digest, which belongs into ``study.yaml``."""
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.trace(model.eval(), example).save(str(path))
    print(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def main() -> None:
    """Make the training heads, train, and write the model, its digest and the training manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--steps", type=int, default=900)
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    table = rows(arguments.patients, rng, prefix="TRN-", year=2022)
    heads = [draw_head(rng, field_t=float(str(r["field_t"])), age=int(str(r["age"]))) for r in table]
    inputs = torch.from_numpy(np.concatenate([h.mr for h in heads]))[:, None]
    targets = torch.from_numpy(np.concatenate([h.ct for h in heads]))[:, None]
    write_manifest(HERE / "training_manifest.csv", table)
    torch.manual_seed(SEED)
    model = Translator()
    fit(
        model,
        inputs,
        targets,
        rng,
        steps=arguments.steps,
        rate=4e-3,
        loss_of=lambda error: error.abs().mean() + 2.0 * functional.avg_pool2d(error, 6).square().mean(),
    )
    ship(model, inputs[:2], HERE / "model" / "translator.ts")


if __name__ == "__main__":
    main()
