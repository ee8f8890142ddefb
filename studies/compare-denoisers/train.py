"""Train a small denoiser of each family, with several seeds, on simulated training patients; save them as TorchScript.

    python studies/compare-denoisers/train.py                      # all, a minute or less each on an idle core
    python studies/compare-denoisers/train.py --families vae --seeds 1

The training patients are drawn as in ``studies/low-dose-ct/train.py`` (other patients, sites and dates than both sets
of the comparison). Every model sees the same images. The seed of a model is that of its weights and batches.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "low-dose-ct")]
from networks import FAMILIES, MODELS, RESIDUAL_HU, SCALE_HU, Autoencoder, Decoder, Diffusion, Encoder

PATCH, BATCH = 48, 4
PATIENTS = 12
DATA_SEED = 20240202
STEPS = {"unet": 400, "gan": 300, "vae": 400, "diffusion": 400}


def training_images() -> tuple[Tensor, Tensor]:
    """Return inputs and noise-free targets, (n, 256, 256) in HU, and write the training manifest; kept in ``work/``."""
    cache = HERE / "work" / "training.pt"
    if cache.exists():
        inputs, targets, _ = torch.load(cache, weights_only=True)
        return inputs, targets
    simulator = _low_dose_training()
    inputs, targets, _, manifest = simulator.make_training_images(PATIENTS, np.random.default_rng(DATA_SEED))
    with (HERE / "training_manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["patient_id", "site", "acquisition_date", "sex", "age", "age_band"])
        writer.writerows(manifest)
    cache.parent.mkdir(exist_ok=True)
    torch.save((inputs, targets, torch.zeros(0)), cache)
    return inputs, targets


def _low_dose_training() -> ModuleType:
    """Return ``studies/low-dose-ct/train.py``, which has the name of this file."""
    source = HERE.parent / "low-dose-ct" / "train.py"
    description = importlib.util.spec_from_file_location("low_dose_training", source)
    if description is None or description.loader is None:
        raise FileNotFoundError(source)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


def loss_of(model: nn.Module, x: Tensor, y: Tensor, critic: nn.Module | None) -> Tensor:
    """Return the loss of one batch for the family of the model; errors in units of SCALE_HU."""
    if isinstance(model, Diffusion):
        when = torch.randint(0, 1000, (len(x),))
        kept = model.kept[when][:, None, None, None]
        clean = (y - x) / RESIDUAL_HU
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * torch.randn_like(clean)
        return (model.predict(noisy, x, when) - clean).square().mean()
    if isinstance(model, Autoencoder):
        mean, spread = model.encode(x)
        made = model.decode(mean + spread * torch.randn_like(mean))
        divergence = 0.5 * (mean.square() + spread.square() - 1 - 2 * spread.clamp(min=1e-6).log()).mean()
        return functional.l1_loss(made, y) / SCALE_HU + 1e-4 * divergence
    made = model(x)
    loss = ((made - y) / SCALE_HU).square().mean()
    if critic is not None:
        loss = loss + 2e-4 * (critic((made - x) / RESIDUAL_HU)[-1] - 1).square().mean()
    return loss


def train(family: str, seed: int, inputs: Tensor, targets: Tensor) -> nn.Module:
    """Train one model on random patches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = MODELS[family]()
    critic = None
    if family == "gan":
        from monai.networks.nets import PatchDiscriminator

        critic = PatchDiscriminator(2, 16, 1, num_layers_d=2)
        judge = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.9))
    steps, highest = STEPS[family], 3e-3
    optimiser = torch.optim.AdamW(model.parameters(), lr=highest)
    running = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = highest * min(1.0, (step + 1) / 30) * max(0.5 * (1 + np.cos(np.pi * step / steps)), 0.01)
        cases = rng.integers(0, len(inputs), BATCH)
        corners = rng.integers(20, 256 - PATCH - 20, (BATCH, 2))
        cut = [(slice(r, r + PATCH), slice(c, c + PATCH)) for r, c in corners]
        x = torch.stack([inputs[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        y = torch.stack([targets[i][s] for i, s in zip(cases, cut, strict=True)])[:, None]
        if critic is not None:
            with torch.no_grad():
                made = model(x)
            real, false = (critic((image - x) / RESIDUAL_HU)[-1] for image in (y, made))
            decision = (real - 1).square().mean() + false.square().mean()
            judge.zero_grad()
            decision.backward()
            judge.step()
        loss = loss_of(model, x, y, critic)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        running.append(float(loss.detach()))
    print(f"{family} seed {seed}: loss {np.mean(running[:20]):.4g} to {np.mean(running[-50:]):.4g}", flush=True)
    return model.eval()


def save(module: nn.Module, example: Tensor, path: Path) -> None:
    """Save a module as TorchScript and print its digest."""
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated upstream; tracing of samplers cannot be compared
        torch.jit.trace(module.eval(), example, check_trace=False).save(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"  {path.name}: {path.stat().st_size} bytes, SHA-256 {digest}", flush=True)


def main() -> None:
    """Train and save the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    inputs, targets = training_images()
    noise = float((inputs - targets).square().mean()) ** 0.5
    print(f"{len(inputs)} training images; RMSE before {noise:.1f} HU", flush=True)
    example = inputs[:1, None]
    for family in arguments.families:
        for seed in arguments.seeds:
            begun = time.monotonic()
            model = train(family, seed, inputs, targets)
            with torch.no_grad():
                rmse = float((model(example) - targets[:1, None]).square().mean()) ** 0.5
            print(f"  first training image: RMSE {rmse:.1f} HU; {time.monotonic() - begun:.0f} s", flush=True)
            save(model, example, HERE / "models" / f"{family}-{seed}.ts")
            if isinstance(model, Autoencoder):
                encoder = Encoder(model)
                with torch.no_grad():
                    latent = encoder(example)
                save(encoder, example, HERE / "models" / f"vae-encoder-{seed}.ts")
                save(Decoder(model), latent, HERE / "models" / f"vae-decoder-{seed}.ts")


if __name__ == "__main__":
    main()
