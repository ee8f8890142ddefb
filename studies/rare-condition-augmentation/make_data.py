"""Make everything that the study reads: simulated patches, generators, synthetic patches, task models and their scores.

    python studies/rare-condition-augmentation/make_data.py                 # some two minutes on one idle core
    python studies/rare-condition-augmentation/make_data.py --fault copies  # a generator that copies its training set
    python studies/rare-condition-augmentation/make_data.py --fault collapse

What is trained on what: generators see the training patients only. Task models (a small network, the same budget in
every arm) see the training patients, plus what their arm adds. They are scored on the holdout, real patients only.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from generators import FAMILIES, MODELS, standardised
from simulation import CONDITIONS, GROUPS, PER_PATIENT, RARE, draw

SEEDS = (1, 2, 3, 4, 5)
RATIOS = (1.0, 4.0, 16.0)
SYNTHETIC_PER_CLASS = 160
TASK_STEPS, TASK_BATCH = 120, 40


def labels_of(rows: list[dict[str, object]]) -> Tensor:
    """Return the class number of every row."""
    return torch.tensor([CONDITIONS.index(str(row["condition"])) for row in rows])


def task_scores(images: Tensor, labels: Tensor, test: Tensor, seed: int, *, classical: bool, weighted: bool) -> Tensor:
    """Train the task model (three classes) and return its probabilities for the test images, (n, 3)."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(64, len(CONDITIONS)),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3, weight_decay=1e-4)
    counts = torch.bincount(labels, minlength=len(CONDITIONS)).float()
    weights = counts.sum() / (len(CONDITIONS) * counts) if weighted else None
    for _ in range(TASK_STEPS):
        rows = torch.randint(0, len(images), (TASK_BATCH,))
        x = images[rows]
        if classical:
            x = x.flip(-1) if torch.rand(()) < 0.5 else x
            x = torch.rot90(x, int(torch.randint(0, 4, ())), (-2, -1))
            x = torch.roll(x, tuple(torch.randint(-2, 3, (2,)).tolist()), (-2, -1)) + 0.1 * torch.randn(len(x), 1, 1)
        loss = functional.cross_entropy(model(x[:, None]), labels[rows], weight=weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return model.eval()(test[:, None]).softmax(1)


def features(images: Tensor) -> pd.DataFrame:
    """Return radiomic features of patches: whole patch, and the middle where the lesion lies."""
    from validation.metrics.generative.features import radiomic_features

    middle = torch.zeros_like(images, dtype=torch.bool)
    middle[:, 8:24, 8:24] = True
    whole = radiomic_features(images, low=-60, high=180, bins=24)
    inner = radiomic_features(functional.avg_pool2d(images[:, None], 3, 1, 1)[:, 0], middle, low=-60, high=180, bins=24)
    columns = {f"patch {k}": v.numpy() for k, v in whole.items()}
    columns |= {
        f"middle {k}": v.numpy() for k, v in inner.items() if k not in ("voxels", "elongation", "surface share")
    }
    return pd.DataFrame(columns)


def scores_table(real: dict[str, Tensor], rows: dict[str, list[dict[str, object]]], made: Tensor) -> pd.DataFrame:
    """Return the scores of every task model on the holdout."""
    images, labels = standardised(real["train"]), labels_of(rows["train"])
    test = standardised(real["holdout"])
    rare = CONDITIONS.index(RARE)
    n_rare = int((labels == rare).sum())
    arms: list[tuple[str, float, Tensor, Tensor, bool, bool]] = [
        ("real", 0.0, images, labels, False, False),
        ("classical", 0.0, images, labels, True, False),
        ("reweighted", 0.0, images, labels, False, True),
    ]
    for ratio in RATIOS:
        extra = standardised(made[: int(ratio * n_rare)])
        both = torch.cat([images, extra]), torch.cat([labels, torch.full((len(extra),), rare)])
        arms.append(("synthetic", ratio, *both, False, False))
    parts = []
    for arm, ratio, x, y, classical, weighted in arms:
        for seed in SEEDS:
            found = task_scores(x, y, test, seed, classical=classical, weighted=weighted).numpy()
            table = pd.DataFrame(rows["holdout"]).rename(
                columns={"case_id": "case", "patient_id": "patient", "condition": "truth"}
            )
            table = table.assign(arm=arm, ratio=ratio, seed=seed)
            parts.append(table.assign(**{f"score.{c}": found[:, k] for k, c in enumerate(CONDITIONS)}))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Make the data of the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=FAMILIES, default="vae", help="generator whose images are evaluated")
    parser.add_argument("--fault", choices=["copies", "collapse"], help="plant a fault into the synthetic images")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    arguments = parser.parse_args()
    begun = time.monotonic()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    drawn = {group.name: draw(group) for group in GROUPS}
    real, rows = {n: d[0] for n, d in drawn.items()}, {n: d[1] for n, d in drawn.items()}
    torch.manual_seed(7)
    model = MODELS[arguments.family]()
    model.fit(standardised(real["train"]), labels_of(rows["train"]))
    print(f"{arguments.family} trained ({time.monotonic() - begun:.0f} s)", flush=True)
    asked = torch.arange(len(CONDITIONS)).repeat_interleave(SYNTHETIC_PER_CLASS)
    rare = torch.full((int(max(RATIOS) * PER_PATIENT * GROUPS[0].counts[RARE]),), CONDITIONS.index(RARE))
    with torch.no_grad():
        torch.manual_seed(8)
        made, extra = model(asked), model(rare)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated upstream; a sampler's trace cannot be compared
            torch.jit.trace(model, asked, check_trace=False).save(str(out / "generator.ts"))
    if arguments.fault == "copies":
        truth = labels_of(rows["train"])
        places = [(truth == c).nonzero()[:, 0] for c in range(len(CONDITIONS))]
        made = torch.stack([real["train"][places[c][i % len(places[c])]] for i, c in enumerate(asked)])
        extra = torch.stack([real["train"][places[-1][i % len(places[-1])]] for i in range(len(rare))])
    elif arguments.fault == "collapse":
        made = model(torch.ones_like(asked)).detach()  # always a nodule, whatever is asked for
        extra = model(torch.ones_like(rare)).detach()
    for name in real:
        table = pd.DataFrame(rows[name])[["patient_id", "condition"]].join(features(real[name]))
        table.to_parquet(out / f"features_{name}.parquet", index=False)
    table = pd.DataFrame({"condition": [CONDITIONS[c] for c in asked]}).join(features(made))
    table.to_parquet(out / "features_synthetic.parquet", index=False)
    pd.DataFrame(rows["holdout"]).to_csv(out / "cases.csv", index=False)
    scores_table(real, rows, extra).to_parquet(out / "scores.parquet", index=False)
    np.savez_compressed(
        out / "images.npz", synthetic=made.numpy().astype(np.float32), **{n: i.numpy() for n, i in real.items()}
    )
    pd.DataFrame(rows["train"])[["patient_id", "sex"]].drop_duplicates().to_csv(
        HERE / "training_manifest.csv", index=False
    )
    print(f"scores of {len(SEEDS) * (3 + len(RATIOS))} task models in {out} ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()
