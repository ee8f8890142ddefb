"""Make the simulated sets of the comparison: development cases, the holdout, and cases of the training patients.

    python studies/compare-denoisers/make_sets.py        # about a minute on one core

The three sets come from other seeds, patients and sites. Every person is simulated. The training cases are images
that ``train.py`` trained on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "low-dose-ct"))
import make_data
from simulation.scanner import VENDORS

# set -> patients, seed, prefix of ids
SETS = {"development": (12, 20260301, "DEV-"), "holdout": (24, 20260401, "HLD-")}
make_data.PHANTOM_REPEATS = {"disk": 4}  # scans of the rod phantom per kernel, for the resolution


def members(out: Path) -> None:
    """Write training images and references as NPZ, with a case table: what the models have seen.

    The references of the other sets carry the noise of the full dose. Here it is made from the second noisy image of
    the same slice, weakened by half: independent of the input, with the right texture, and about as strong.
    """
    import numpy as np
    import torch

    images, targets, _ = torch.load(HERE / "work" / "training.pt", weights_only=True)
    with (HERE / "training_manifest.csv").open(encoding="utf-8") as handle:
        patients = [row["patient_id"] for row in csv.DictReader(handle)]
    out.mkdir(parents=True, exist_ok=True)
    per = len(images) // len(patients)
    arrays, rows = {}, []
    for k, patient in enumerate(patients):
        for j in range(0, per, 4):
            i = k * per + j
            reference = targets[i] + 0.5 * (images[i ^ 1] - targets[i])
            arrays[f"input_{i}"] = images[i].numpy().astype(np.float32)
            arrays[f"reference_{i}"] = reference.numpy().astype(np.float32)
            rows.append([f"{patient}-{j:02d}", patient, f"members.npz:input_{i}", f"members.npz:reference_{i}"])
    np.savez_compressed(out / "members.npz", **arrays)
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["case_id", "patient_id", "input", "reference"])
        writer.writerows(rows)


def own_phantoms(table: Path, prefix: str) -> None:
    """Name the phantom sessions of a set after the set: they are other scans than those of another set."""
    with table.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        for column in ("case_id", "patient_id"):
            if row[column].startswith("PH-"):
                row[column] = prefix + row[column]
    with table.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Make the sets that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=[*SETS, "members"], default=[*SETS, "members"])
    arguments = parser.parse_args()
    for name in arguments.sets:
        out = HERE / "data" / name
        if name == "members":
            members(out)
            continue
        patients, seed, prefix = SETS[name]
        count = make_data.make_cohort(out, patients, seed, vendors=VENDORS, prefix=prefix)
        own_phantoms(out / "cases.csv", prefix)
        print(f"{name}: {count} simulated cases in {out}")


if __name__ == "__main__":
    main()
