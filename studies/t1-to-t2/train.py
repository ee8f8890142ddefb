"""Train the demonstration's T1-to-T2 network on other virtual heads and ship it as TorchScript.

    python studies/t1-to-t2/train.py

The architecture is that of ``studies/synthetic-ct/train.py``, narrower. ``training_manifest.csv`` lists the heads.
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
sys.path.insert(0, str(HERE.parent / "synthetic-ct"))
from head import draw_head
from make_data import rows
from train import Translator

SEED = 20240501
BATCH = 12


def main() -> None:
    """Make the training heads, train, and write the model, its digest and the training manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    table = rows(arguments.patients, rng, prefix="TR2-", year=2022)
    heads = [draw_head(rng, field_t=float(str(r["field_t"])), age=int(str(r["age"]))) for r in table]
    inputs = torch.from_numpy(np.concatenate([h.mr for h in heads]))[:, None]
    targets = torch.from_numpy(np.concatenate([h.t2 for h in heads]))[:, None]
    with (HERE / "training_manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        names = ["patient_id", "site", "acquisition_date", "sex", "age", "age_band"]
        writer = csv.DictWriter(handle, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    torch.manual_seed(SEED)
    model = Translator(width=8)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=arguments.steps)
    running: list[float] = []
    for step in range(arguments.steps):
        picks = torch.from_numpy(rng.integers(0, len(inputs), BATCH))
        x, y = inputs[picks], targets[picks]
        if rng.random() < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        loss = ((model(x) - y) / 1000.0).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running.append(float(loss.detach()) * 1000)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: MAE {np.mean(running[-100:]):.1f}", flush=True)
    path = HERE / "model" / "translator.ts"
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.trace(model.eval(), inputs[:2]).save(str(path))
    print(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
