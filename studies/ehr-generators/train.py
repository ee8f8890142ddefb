"""Train a small generator on a training table (or event stream) and save it as one TorchScript file.

    python studies/ehr-generators/train.py vae --train data/train.csv --dictionary dictionary.yaml --out model/vae.ts

Families: vae, gan, diffusion (tables); sequence (event streams). About a minute on one processor. The file holds
weights and a layout, no record.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from encoding import encode, layout_of
from networks import DiffusionSampler, GanGenerator, SequenceSampler, VaeDecoder, mlp

from validation.cohort.table import read_table


def batches(x: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Return a shuffled epoch."""
    order = torch.randperm(len(x), generator=generator)
    return [x[order[i : i + size]] for i in range(0, len(x) - 1, size)]


def losses(outputs: Tensor, x: Tensor, places: list[tuple[str, int, int]], log_spread: Tensor) -> Tensor:
    """Return the negative log likelihood of records: normal scores, flags and codes."""
    total = outputs.new_zeros(())
    for kind, a, b in places:
        if kind == "number":
            s = log_spread[a]
            total = total + (0.5 * ((outputs[:, a] - x[:, a]) / s.exp()) ** 2 + s).mean()
        elif kind == "flag":
            total = total + nn.functional.binary_cross_entropy_with_logits(outputs[:, a], x[:, a])
        else:
            total = total + nn.functional.cross_entropy(outputs[:, a:b], x[:, a:b].argmax(1))
    return total


def train_vae(x: Tensor, places: list[tuple[str, int, int]], noise: int, epochs: int, seed: int) -> nn.Module:
    """Fit a variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114) and return its decoder."""
    g = torch.Generator().manual_seed(seed)
    width = x.shape[1]
    numbers = torch.tensor([float(any(k == "number" and a <= j < b for k, a, b in places)) for j in range(width)])
    encoder, decoder = mlp(width, 128, 2 * noise), VaeDecoder(noise, width, numbers)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in batches(x, 128, g):
            mean, log_var = encoder(batch).chunk(2, dim=1)
            z = mean + torch.exp(log_var / 2) * torch.randn(mean.shape, generator=g)
            divergence = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()
            spread = decoder.log_spread.clamp(min=-2.5)
            loss = losses(decoder.net(z), batch, places, spread) + divergence
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    with torch.no_grad():
        decoder.log_spread.clamp_(min=-2.5)
    return decoder


def soft(outputs: Tensor, places: list[tuple[str, int, int]], g: torch.Generator) -> Tensor:
    """Return outputs with codes and flags as soft samples, for the critic (Gumbel softmax)."""
    parts = []
    for kind, a, b in places:
        if kind == "number":
            parts.append(outputs[:, a:b])
        elif kind == "flag":
            u = torch.rand(outputs[:, a:b].shape, generator=g).clamp(1e-6, 1 - 1e-6)
            parts.append(torch.sigmoid((outputs[:, a:b] + u.log() - (1 - u).log()) / 0.3))
        else:
            u = torch.rand(outputs[:, a:b].shape, generator=g).clamp(1e-6, 1 - 1e-6)
            parts.append(torch.softmax((outputs[:, a:b] - (-u.log()).log()) / 0.3, dim=1))
    return torch.cat(parts, dim=1)


def train_gan(x: Tensor, places: list[tuple[str, int, int]], noise: int, epochs: int, seed: int) -> nn.Module:
    """Fit a Wasserstein network with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""
    g = torch.Generator().manual_seed(seed)
    width = x.shape[1]
    made, critic = GanGenerator(noise, width), mlp(width, 128, 1)
    of_made = torch.optim.Adam(made.parameters(), lr=4e-4, betas=(0.5, 0.9))
    of_critic = torch.optim.Adam(critic.parameters(), lr=4e-4, betas=(0.5, 0.9))
    for _ in range(epochs):
        for number, batch in enumerate(batches(x, 128, g)):
            fake = soft(made(torch.randn(len(batch), noise, generator=g)), places, g).detach()
            mix = torch.rand(len(batch), 1, generator=g)
            between = (mix * batch + (1 - mix) * fake).requires_grad_()
            slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
            loss = critic(fake).mean() - critic(batch).mean() + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
            of_critic.zero_grad()
            loss.backward()
            of_critic.step()
            if number % 3 == 0:
                fooled = -critic(soft(made(torch.randn(len(batch), noise, generator=g)), places, g)).mean()
                of_made.zero_grad()
                fooled.backward()
                of_made.step()
    return made


def train_diffusion(x: Tensor, places: list[tuple[str, int, int]], epochs: int, seed: int) -> nn.Module:
    """Fit a denoising diffusion model on scores and codes (codes as -1 and 1, read back as logits)."""
    g = torch.Generator().manual_seed(seed)
    width = x.shape[1]
    model = DiffusionSampler(width)
    codes = torch.tensor([float(any(k != "number" and a <= j < b for k, a, b in places)) for j in range(width)])
    inside = x * (1 - codes) + (2 * x - 1) * codes
    model.scale.copy_(1 - codes + 12 * codes)  # far enough apart that sampling a code picks the larger one
    optimiser = torch.optim.Adam(model.net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in batches(inside, 256, g):
            step = torch.randint(0, model.steps, (len(batch),), generator=g)
            kept = model.kept[step][:, None]
            noise = torch.randn(batch.shape, generator=g)
            loss = ((model.denoise(kept.sqrt() * batch + (1 - kept).sqrt() * noise, step) - noise) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return model


def train_sequence(frame: pd.DataFrame, epochs: int, seed: int) -> tuple[nn.Module, dict[str, Any]]:
    """Fit a recurrent model of event histories by maximum likelihood; events without a time count as day 0."""
    g = torch.Generator().manual_seed(seed)
    frame = frame.assign(time=frame["time"].fillna(0.0))
    names = sorted(frame["code"].astype(str).unique())
    number = {name: k + 1 for k, name in enumerate(names)}
    people = [part.sort_values("time", kind="stable") for _, part in frame.groupby("subject_id", sort=True)]
    longest = max(len(p) for p in people)
    codes = torch.zeros(len(people), longest, dtype=torch.long)
    times, values = torch.zeros(len(people), longest), torch.full((len(people), longest), float("nan"))
    for i, part in enumerate(people):
        k = len(part)
        codes[i, :k] = torch.tensor([number[str(c)] for c in part["code"]])
        times[i, :k] = torch.tensor(part["time"].to_numpy(float) - float(part["time"].iloc[0]))
        values[i, :k] = torch.tensor(part["numeric_value"].to_numpy(float))
    steps = (times[:, 1:] - times[:, :-1]).clamp(min=0)
    steps[codes[:, 1:] == 0] = 0
    seen = np.unique(np.round(steps.numpy(), 3))
    grid = torch.tensor(
        seen if len(seen) <= 64 else np.unique(np.quantile(seen, np.linspace(0, 1, 64))), dtype=torch.float32
    )
    model = SequenceSampler(len(names), grid, longest + 4)
    for c in range(1, len(names) + 1):
        known = values[(codes == c) & ~torch.isnan(values)]
        if len(known) > 1:
            model.value_mean[c], model.value_spread[c] = known.mean(), known.std().clamp(min=1e-6)
    scaled = ((values - model.value_mean[codes]) / model.value_spread[codes].clamp(min=1e-6)).nan_to_num()
    has_value = ~torch.isnan(values) & (model.value_spread[codes] > 0)
    gaps = torch.cat([torch.zeros(len(people), 1), steps], dim=1)
    nearest = (gaps[..., None] - grid).abs().argmin(-1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        order = torch.randperm(len(people), generator=g)
        for rows in order.split(128):
            c, t, d = codes[rows], times[rows], gaps[rows]
            state = torch.tanh(model.start(torch.zeros(len(rows), 8)))
            before, loss, count = torch.zeros(len(rows), dtype=torch.long), torch.zeros(()), 0
            for k in range(int((c > 0).sum(1).max()) + 1):
                now = t[:, k - 1] if k else torch.zeros(len(rows))
                gap = d[:, k - 1] if k else torch.zeros(len(rows))
                state = model.step(before, torch.log1p(now) / 5, torch.log1p(gap) / 5, state)
                target = c[:, k] if k < longest else torch.zeros(len(rows), dtype=torch.long)
                alive = (before > 0) | (k == 0)
                loss = (
                    loss + (nn.functional.cross_entropy(model.to_code(state), target, reduction="none") * alive).sum()
                )
                if k < longest:
                    after = torch.cat([state, model.embed(target)], dim=1)
                    there = (target > 0) & (k > 0)
                    loss = (
                        loss
                        + (
                            nn.functional.cross_entropy(model.to_gap(after), nearest[rows, k], reduction="none") * there
                        ).sum()
                    )
                    told, valued = model.to_value(after), has_value[rows, k]
                    s = told[:, 1].clamp(-6, 2)
                    loss = loss + ((0.5 * ((scaled[rows, k] - told[:, 0]) / s.exp()) ** 2 + s) * valued).sum()
                count += int(alive.sum())
                before = target
            optimiser.zero_grad()
            (loss / count).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        schedule.step()
    return model, {"schema": "validation.decoder/1", "kind": "events", "noise": 8, "codes": names}


def save(model: nn.Module, layout: dict[str, Any], out: Path) -> None:
    """Write the generator as one TorchScript file."""
    import warnings

    out.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated upstream; cleared products ship it
        scripted = torch.jit.script(model.eval())
        torch.jit.save(scripted, str(out), _extra_files={"layout.json": json.dumps(layout)})


def main() -> None:
    """Train by the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=["vae", "gan", "diffusion", "sequence"])
    parser.add_argument("--train", type=Path, required=True, help="training table, or event stream for `sequence`")
    parser.add_argument("--dictionary", type=Path, help="data dictionary (tables)")
    parser.add_argument("--patient", default="patient_id", help="column that names the patient; not learnt")
    parser.add_argument("--where", default="", help="train on the rows of this pandas query only")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--noise", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    frame = read_table(chosen.train, text_columns=[chosen.patient])
    frame = frame.query(chosen.where) if chosen.where else frame
    if chosen.family == "sequence":
        model, layout = train_sequence(frame.rename(columns={chosen.patient: "subject_id"}), chosen.epochs, chosen.seed)
    else:
        columns = yaml.safe_load(chosen.dictionary.read_text())["columns"]
        categories = {name for name, facts in columns.items() if facts["type"] == "category"}
        frame = frame.drop(columns=[c for c in frame.columns if c == chosen.patient or c not in columns])
        frame = frame.reset_index(drop=True)
        layout = layout_of(frame, categories, chosen.noise)
        numbers, places = encode(frame, layout, chosen.seed)
        x = torch.tensor(numbers)
        if chosen.family == "diffusion":
            layout["noise"] = x.shape[1]
            model = train_diffusion(x, places, chosen.epochs, chosen.seed)
        else:
            make = train_vae if chosen.family == "vae" else train_gan
            model = make(x, places, chosen.noise, chosen.epochs, chosen.seed)
    save(model, layout, chosen.out)
    print(f"{chosen.out}: {chosen.family}, {sum(p.numel() for p in model.parameters())} parameters, {len(frame)} rows")


if __name__ == "__main__":
    main()
