"""Make the simulated cohort of the autonomous-detection study: patients, their radiographs and the scores.

    python studies/autonomous-detection/make_data.py [--patients 500] [--seed 31]

The score is a probability, calibrated by construction: the truth of a radiograph is drawn with it.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Write the case table and the table of scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for name in ("data", "answers"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    cases, scores = [], []
    for k in range(options.patients):
        age = int(np.clip(rng.normal(58, 17), 18, 95))
        band = "18-49" if age < 50 else "50-69" if age < 70 else "70+"
        sex = "M" if rng.random() < 0.55 else "F"
        level = rng.normal(-2.6 + 0.012 * (age - 58), 1.9)  # of the patient, in logits
        for image in range(int(rng.integers(1, 4))):
            view = "AP" if rng.random() < 0.4 else "PA"
            logit = level + rng.normal(0, 1.2) + (0.3 if view == "AP" else 0.0)
            probability = 1 / (1 + np.exp(-logit))
            case = f"x{k:04d}-{image}"
            cases.append([case, f"sim-{k:04d}", sex, age, band, view, int(rng.random() < probability)])
            scores.append([case, f"{probability:.6f}"])
    for path, head, rows in (
        (options.out / "data" / "cases.csv", "case_id,patient_id,sex,age,age_band,view,effusion", cases),
        (options.out / "answers" / "scores.csv", "case_id,effusion", scores),
    ):
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(head.split(","))
            writer.writerows(rows)
    print(f"{len(cases)} radiographs of {options.patients} patients in {options.out / 'data'}")


if __name__ == "__main__":
    main()
