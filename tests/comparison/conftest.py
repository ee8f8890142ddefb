"""A small comparison on disk: squares of noise, and three toy models as TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.study.small_study import write_study
from validation.evidence.keys import generate_key
from validation.study.prepare import lock_study, seal_study
from validation.study.spec import load_study

COMPARISON = """\
schema: 1
id: toys
title: Three toy models side by side
candidates:
  - id: smooth
    label: Smoother
    family: filter
    checkpoints:
      - {seed: 1, model: {name: smooth, version: 1.0.0, kind: torchscript, path: models/smooth-1.ts}}
      - {seed: 2, model: {name: smooth, version: 1.0.0, kind: torchscript, path: models/smooth-2.ts}}
      - {seed: 3, model: {name: smooth, version: 1.0.0, kind: torchscript, path: models/smooth-3.ts}}
    latent: {encoder: models/encoder.ts, decoder: models/decoder.ts, cases: 4}
  - id: same
    label: Identity
    family: none
    checkpoints:
      - {seed: 1, model: {name: same, version: 1.0.0, kind: torchscript, path: models/same.ts}}
  - id: sampler
    label: Sampler
    family: sampler
    checkpoints:
      - {seed: 1, model: {name: sampler, version: 1.0.0, kind: torchscript, path: models/sampler.ts, stochastic: true}}
development:
  folder: development
  table: development/cases.csv
  arrays: {unit: HU, spacing_mm: [1.0, 1.0]}
members:
  folder: members
  table: members/cases.csv
  arrays: {unit: HU, spacing_mm: [1.0, 1.0]}
equivalence: {E2: 1.0}
sets: {low: -100, high: 200, bins: 16, neighbours: 3}
compute: {cases: 5, repeats: 2}
purposes:
  - id: P1
    title: Less noise in a square
    needs: [{endpoint: E1}, {measure: latency_ms, below: 60000, because: a minute is enough}]
  - id: P2
    title: Less noise from a large model
    needs: [{endpoint: E1}, {measure: parameters, above: 100}]
"""


class Smooth(nn.Module):
    """Mean of 3 x 3 pixels, mixed with the image."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, image: Tensor) -> Tensor:
        """Return the smoothed image."""
        return image + self.share * (functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False) - image)


class Sampler(nn.Module):
    """Smoothed image plus noise of its own."""

    def forward(self, image: Tensor) -> Tensor:
        """Return one sample."""
        return functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False) + 3 * torch.randn_like(image)


class Same(nn.Module):
    """Does nothing."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the image."""
        return image + 0.0


class Encode(nn.Module):
    """Two channels: the image by half, and nothing."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the latent."""
        small = functional.avg_pool2d(image, 2)
        return torch.cat([small, 0.01 * small.flip(-1)], dim=1)


class Decode(nn.Module):
    """Only the first channel has an effect."""

    def forward(self, latent: Tensor) -> Tensor:
        """Return the image."""
        return functional.interpolate(latent[:, :1], scale_factor=2.0)


def save(module: nn.Module, path: Path, example: Tensor) -> None:
    """Save a module as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module.eval(), example, check_trace=False).save(str(path))


def write_set(folder: Path, prefix: str, *, patients: int, seed: int, size: int = 24) -> None:
    """Write squares with two cases per patient."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    mask = np.zeros((size, size), bool)
    mask[4:-4, 4:-4] = True
    np.save(folder / "middle.npy", mask)
    lines = ["case_id,patient_id,sex,kind,input,reference,mask.middle"]
    for i in range(2 * patients):
        clean = np.full((size, size), 40.0, "float32") + rng.normal(0, 4, (size, size)).astype("float32")
        np.save(folder / f"{i}.in.npy", clean + rng.normal(0, 20, (size, size)).astype("float32"))
        np.save(folder / f"{i}.ref.npy", clean)
        lines.append(f"{prefix}{i:03d},{prefix}{i // 2},{'FM'[i // 2 % 2]},patient,{i}.in.npy,{i}.ref.npy,middle.npy")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")


def write_comparison(folder: Path) -> Path:
    """Write a locked and sealed study with a comparison of three toy models."""
    write_study(folder, patients=12)
    study = folder / "protocol.yaml"
    study.write_text(study.read_text().replace("endpoints:", "execution: {draws: 2, seed: 5}\nendpoints:", 1))
    write_set(folder / "development", "d", patients=12, seed=11)
    write_set(folder / "members", "m", patients=8, seed=12)
    (folder / "models").mkdir()
    example = torch.zeros(1, 1, 24, 24)
    for seed, share in ((1, 1.0), (2, 0.9), (3, 0.95)):
        save(Smooth(share), folder / "models" / f"smooth-{seed}.ts", example)
    save(Same(), folder / "models" / "same.ts", example)
    save(Sampler(), folder / "models" / "sampler.ts", example)
    save(Encode(), folder / "models" / "encoder.ts", example)
    save(Decode(), folder / "models" / "decoder.ts", Encode()(example))
    (folder / "comparison.yaml").write_text(COMPARISON)
    loaded = load_study(folder)
    lock_study(loaded, signer="Test")
    seal_study(loaded, signer="Test")
    generate_key("key", folder / "keys")
    return folder


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished, signed comparison on the development set."""
    from validation.cli.main import cli

    folder = write_comparison(tmp_path_factory.mktemp("comparison") / "toys")
    code = cli.main(args=["compare", str(folder), "--key", str(folder / "keys" / "key.pem")], standalone_mode=False)
    assert code == 1
    return next((folder / "comparisons").iterdir())
