"""How often the limits of the interchangeability index miss the truth, over readers, habits and distances.

    python benchmarks/reader_interchangeability.py [--trials 1000] [--csv build/reader_interchangeability.csv]

Too low an upper limit is a wrong pass (the margin set at the truth); at a two-sided error of 5 % it may happen in 2.5 %
of studies. Readers, patients, the model's proposals and changes of habit are drawn anew for every study. The truth is
known for squared distances; for the others it is the mean over many large studies.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from validation.reader_study.interchangeability import Distance, interchangeability
from validation.reader_study.scores import ReaderScores

CASES = 60
SHARED, OWN = 1.0, 0.4  # spread of what all readers see, and of one reading
GRID = [
    (r, noise, habit) for r in (3, 4, 6, 10, 15) for noise, habit in ((0.4, 0.0), (0.5, 0.3), (0.4, 0.6), (0.4, 1.0))
]
DISTANCES: tuple[Distance, ...] = ("squared", "absolute", "category")


def study(rng: np.random.Generator, readers: int, cases: int, noise: float, habit: float) -> ReaderScores:
    """Return readings from scratch, and after editing a proposal, each reader with a shift of the second kind."""
    seen = rng.normal(scale=SHARED, size=(1, cases))
    manual = seen + rng.normal(scale=OWN, size=(readers, cases))
    edited = seen + rng.normal(scale=noise, size=(readers, cases)) + rng.normal(scale=habit, size=(readers, 1))
    score = np.stack([manual, edited], axis=1)
    names = tuple(f"c{k}" for k in range(cases))
    who = tuple(f"R{r}" for r in range(readers))
    return ReaderScores(who, ("manual", "edited"), names, np.zeros(cases, dtype=bool), score)


def rounded(scores: ReaderScores) -> ReaderScores:
    """Return the study on a scale of half units, so that categories exist."""
    return ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, np.round(2 * scores.score))


def index(scores: ReaderScores, distance: Distance, margin: float, readers: Any = "random") -> Any:
    """Return the analysis; intervals of random readers draw nothing, so that few replicates are enough."""
    return interchangeability(
        scores, new="edited", reference="manual", margin=margin, distance=distance, readers=readers, replicates=100
    )


def truth(distance: Distance, noise: float, habit: float) -> float:
    """Return the index of the population of readers and patients."""
    if distance == "squared":
        return noise**2 - OWN**2 + habit**2
    rng = np.random.default_rng(99)
    values = [index(rounded(study(rng, 30, 300, noise, habit)), distance, 1.0, "fixed").index.value for _ in range(40)]
    return float(np.mean(values))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=1000)
    options.add_argument("--seed", type=int, default=20260101)
    options.add_argument("--csv", type=Path, default=Path("build/reader_interchangeability.csv"))
    chosen = options.parse_args()
    error = math.sqrt(0.025 * 0.975 / chosen.trials)
    rows = []
    for distance in DISTANCES:
        for number, (readers, noise, habit) in enumerate(GRID):
            start = time.perf_counter()
            rng = np.random.default_rng(chosen.seed + number)
            goal = truth(distance, noise, habit)
            high = low = lost = 0
            for _ in range(chosen.trials):
                scores = study(rng, readers, CASES, noise, habit)
                scores = scores if distance == "squared" else rounded(scores)
                found = index(scores, distance, 1.0).index
                if found.upper is None or found.lower is None:
                    lost += 1
                    continue
                high += found.upper < goal
                low += found.lower > goal
            rate = high / chosen.trials
            rows.append(
                {
                    "distance": distance,
                    "readers": readers,
                    "noise": noise,
                    "habit": habit,
                    "trials": chosen.trials,
                    "true_index": round(goal, 4),
                    "upper_limit_too_low": rate,
                    "lower_limit_too_high": low / chosen.trials,
                    "monte_carlo_se_at_2.5_percent": round(error, 5),
                    "distance_in_se": round((rate - 0.025) / error, 2),
                    "without_interval": lost,
                    "seconds": round(time.perf_counter() - start, 1),
                }
            )
            print(f"{distance:9}{readers:3} readers, noise {noise}, habit {habit}: {rate:.4f} too low", flush=True)
    chosen.csv.parent.mkdir(parents=True, exist_ok=True)
    with chosen.csv.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    worst = max(rows, key=lambda row: float(str(row["upper_limit_too_low"])))
    print(f"worst: {worst['upper_limit_too_low']} ({worst['distance_in_se']} Monte Carlo errors from 2.5 %)")


if __name__ == "__main__":
    main()
