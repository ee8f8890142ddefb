"""How long the analysis of reader studies takes, beside what other tools take, and how often true nulls are rejected.

Run ``python benchmarks/reader_study.py`` (``--shared PATH`` for the study that other tools were timed on). Times of
other tools are measured in the same run where R has them (MRMCaov, iMRMC; pROC for the part of the work that it does),
else skipped with a word. pROC is no tool for reader studies: it gives DeLong's covariance of two curves, of which the
large study has 820; the sum over modalities and readers, the tests and the intervals are then still to be made.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from validation.reader_study.analysis import analyse
from validation.reader_study.covariance import (
    covariance_of_moments,
    delong_covariance,
    jackknife_auc_covariance,
    product_moments,
)
from validation.reader_study.obuchowski_rockette import Effects, components, modality_differences
from validation.reader_study.pairs import empirical_auc, pair_sums
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores
from validation.reader_study.tables import read_scores
from validation.reader_study.ustatistics import difference, moments

RIVALS = {
    "pROC DeLong covariances": "library(pROC); d <- d[order(d$case), ]; s <- split(d, list(d$reader, d$modality)); "
    "k <- lapply(s, function(x) roc(x$truth, x$score, direction = '<', levels = c(0, 1), quiet = TRUE)); "
    "for (i in seq_along(k)) for (j in seq_len(i)) if (i == j) var(k[[i]], method = 'delong') else "
    "cov(k[[i]], k[[j]], method = 'delong')",
    "iMRMC R": "library(iMRMC); i <- createIMRMCdf(d, keyColumns = list(readerID = 'reader', caseID = 'case', "
    "modalityID = 'modality', score = 'score', truth = 'truth'), truePositive = 1); invisible(doIMRMC(i))",
    "MRMCaov unbiased": "library(MRMCaov); r <- mrmc(empirical_auc(truth, score), modality, reader, case, data = d, "
    'cov = "unbiased"); invisible(summary(r))',
    "MRMCaov jackknife": "library(MRMCaov); r <- mrmc(empirical_auc(truth, score), modality, reader, case, data = d, "
    'cov = "jackknife"); invisible(summary(r))',
}


def best_of(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest wall time of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def large_study(shared: Path | None) -> ReaderScores:
    """Return 20 readers, 2 modalities, 500 + 500 cases: the shared study if it is there, else one of the same size."""
    path = shared / "reference/mrmc/data/sim_big_20r_2m_500n_500p.csv" if shared else None
    if path and path.is_file():
        return read_scores(path)
    rng = np.random.default_rng(1)
    positive = np.arange(1000) >= 500
    score = rng.normal(size=(20, 2, 1000)) + rng.normal(size=(1, 1, 1000)) + 1.5 * positive
    return ReaderScores(
        tuple(f"R{r}" for r in range(20)), ("A", "B"), tuple(f"c{c:04d}" for c in range(1000)), positive, score
    )


def analyses(scores: ReaderScores) -> None:
    """Print how long each analysis of the large study takes."""
    for method, covariance in (
        ("or", "delong"),
        ("or", "unbiased"),
        ("or", "jackknife"),
        ("dbm", "jackknife"),
        ("ustat", "jackknife"),
    ):
        plan = AnalysisPlan(method=method, covariance=covariance)  # type: ignore[arg-type]
        seconds = best_of(lambda plan=plan: analyse(scores, plan))  # type: ignore[misc]
        print(f"{method:>6} {covariance:<10} 20 x 2 x (500 + 500): {seconds:7.3f} s")


def rivals(scores: ReaderScores, folder: Path) -> None:
    """Print how long R packages take for the same table, and the ratio to the same covariance here, if installed."""
    if shutil.which("Rscript") is None:
        print("R is not installed: other tools were not timed in this run")
        return
    table = folder / "large.csv"
    scores.to_frame().to_csv(table, index=False)
    own = {
        name: best_of(lambda name=name: analyse(scores, AnalysisPlan(method="or", covariance=name)))  # type: ignore[misc]
        for name in ("delong", "unbiased", "jackknife")
    }
    for name, code in RIVALS.items():
        script = f'd <- read.csv("{table}"); t <- system.time({{{code}}}); cat(t[["elapsed"]])'
        done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            print(f"{name}: not installed or failed; not timed")
            continue
        seconds = float(done.stdout.split()[-1])
        mine = own[next((key for key in own if key in name.lower()), "unbiased")]
        print(f"{name}: {seconds:.2f} s; the whole analysis here {mine:.3f} s, ratio {seconds / mine:.0f}")
    table.unlink()


def simulated_trials(trials: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return null Roe-Metz trials of 5 x 2 x (50 + 50), structure HL, separation 0.75."""
    rng = np.random.default_rng(seed)
    n, R, M = 50, 5, 2
    score = np.empty((trials, R, M, 2 * n))
    for truth in (0, 1):
        part = rng.normal(scale=0.0055**0.5, size=(trials, R, 1, 1)) + rng.normal(
            scale=0.0055**0.5, size=(trials, R, M, 1)
        )
        cases = rng.normal(scale=0.3**0.5, size=(trials, 1, 1, n)) + rng.normal(scale=0.3**0.5, size=(trials, 1, M, n))
        both = rng.normal(scale=0.2**0.5, size=(trials, R, 1, n)) + rng.normal(scale=0.2**0.5, size=(trials, R, M, n))
        score[..., truth * n : (truth + 1) * n] = part + cases + both + 0.75 * truth
    return score, np.arange(2 * n) >= n


def batch(trials: int, seed: int) -> dict[str, np.ndarray]:
    """Simulate and analyse trials in one batch; return two-sided p-values by method."""
    score, positive = simulated_trials(trials, seed)
    sums = pair_sums(score, positive, products=True)
    auc = empirical_auc(sums)
    products = product_moments(sums)
    counts = (sums.read_negative.sum(-1) * sums.read_positive.sum(-1)).reshape(auc.shape)
    found = {"U-statistics": difference(moments(*products, auc, counts), [0], [1])}
    for name, covariance in (
        ("OR unbiased", covariance_of_moments(*products)),
        ("OR DeLong", delong_covariance(sums)),
        ("OR jackknife", jackknife_auc_covariance(sums)),
    ):
        found[name] = modality_differences(components(auc, covariance), Effects.RRRC, [0], [1])
    p = {}
    for name, c in found.items():
        t = np.abs(c.estimate[:, 0]) / np.sqrt(np.where(c.variance[:, 0] > 0, c.variance[:, 0], np.inf))
        p[name] = 2 * stats.t.sf(t, c.df[:, 0])
    return p


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--work", type=Path, default=Path("."))
    parser.add_argument("--trials", type=int, default=2000)
    arguments = parser.parse_args()
    scores = large_study(arguments.shared)
    analyses(scores)
    rivals(scores, arguments.work)
    seconds = best_of(lambda: batch(1000, 3), 2)
    print(f"1000 trials of 5 x 2 x (50 + 50), simulated and analysed four ways: {seconds:.2f} s")
    p = batch(arguments.trials, 4)
    error = (0.05 * 0.95 / arguments.trials) ** 0.5
    for name, values in p.items():
        print(
            f"rejection of a true null at 5 %, {name:<14}{(values < 0.05).mean():.4f}  (Monte Carlo error {error:.4f})"
        )


if __name__ == "__main__":
    main()
