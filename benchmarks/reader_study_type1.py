"""Type-I error and coverage over null Roe-Metz studies, for the twelve published structures, written as a table.

    python benchmarks/reader_study_type1.py [--trials 2000] [--device cpu] [--csv build/reader_study_type1.csv]

With 50 + 50 cases most structures lie within Monte Carlo error of 5 %. At an AUC of 0.96 HH2.50, HL2.50 and LH2.50
are conservative (3 to 4 %) under every method: few pairs of cases are discordant then, and the estimated variance
rises with the estimated difference. The column ``distance_in_se`` says so.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path

from validation.reader_study.operating import StudySize, operating_characteristics
from validation.reader_study.roe_metz import published_structures

ANALYSES = (("or", "unbiased"), ("or", "delong"), ("or", "jackknife"), ("ustat", "unbiased"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=2000)
    options.add_argument("--device", default="cpu")
    options.add_argument("--seed", type=int, default=20260101)
    options.add_argument("--csv", type=Path, default=Path("build/reader_study_type1.csv"))
    chosen = options.parse_args()
    size = StudySize(readers=5, negatives=50, positives=50)
    error = math.sqrt(0.05 * 0.95 / chosen.trials)
    rows = []
    for number, (name, model) in enumerate(published_structures().items()):
        for method, covariance in ANALYSES:
            start = time.perf_counter()
            found = operating_characteristics(
                model,
                size,
                trials=chosen.trials,
                seed=chosen.seed + number,
                method=method,  # type: ignore[arg-type]
                covariance=covariance,
                device=chosen.device,
            )
            rate = found.success.value or 0.0
            rows.append(
                {
                    "structure": name,
                    "method": method,
                    "covariance": covariance,
                    "trials": chosen.trials,
                    "type_1_error": rate,
                    "monte_carlo_se_at_5_percent": round(error, 5),
                    "distance_in_se": round((rate - 0.05) / error, 2),
                    "coverage": found.coverage.value,
                    "mean_variance": found.mean_variance,
                    "empirical_variance": found.empirical_variance,
                    "exact_variance": found.true_variance,
                    "undecided": found.undecided,
                    "seconds": round(time.perf_counter() - start, 2),
                }
            )
            print(f"{name} {method:6}{covariance:10} {rate:.4f} ({(rate - 0.05) / error:+.2f} se)", flush=True)
    chosen.csv.parent.mkdir(parents=True, exist_ok=True)
    with chosen.csv.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
