"""Train the demonstration's T1-to-T2 network on other virtual heads and ship it as TorchScript.

    python studies/t1-to-t2/train.py

The architecture is that of ``studies/synthetic-ct/train.py``, narrower. ``training_manifest.csv`` lists the heads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "synthetic-ct"))
from head import draw_head
from make_data import rows
from train import Translator, fit, ship, write_manifest

SEED = 20240501


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
    write_manifest(HERE / "training_manifest.csv", table)
    torch.manual_seed(SEED)
    model = Translator(width=8)
    fit(model, inputs, targets, rng, steps=arguments.steps, rate=5e-3, loss_of=lambda error: error.abs().mean())
    ship(model, inputs[:2], HERE / "model" / "translator.ts")


if __name__ == "__main__":
    main()
