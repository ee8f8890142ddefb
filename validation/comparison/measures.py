"""Rows of the matrix besides endpoints: sets of features, privacy, spread over training seeds, compute, reach.

Everything is computed from what the folder holds (measurements, case tables, raw readings), so that ``verify`` makes it
again without a model or an image.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from validation.comparison.plan import ERROR, feature_choice
from validation.comparison.spec import Candidate, ComparisonSpec
from validation.errors import ValidationProblem
from validation.estimate import Estimate
from validation.metrics.generative.distances import frechet_distance, kernel_distance
from validation.metrics.generative.diversity import vendi_score
from validation.metrics.generative.manifold import precision_recall_coverage
from validation.metrics.generative.memorisation import memorisation
from validation.protocol.expressions import select
from validation.statistics.roc import auc
from validation.study.samples import arm_values

Row = tuple[str, Callable[[float], Estimate]]  # name, estimate at a level

TITLES: dict[str, tuple[str, str, str, str]] = {  # measure -> dimension, title, unit, direction
    "precision": ("fidelity", "Precision: outputs that look like a real image", "1", "higher is better"),
    "density": ("fidelity", "Density: real neighbourhoods around an output", "1", "higher is better"),
    "frechet_distance": ("fidelity", "Fréchet distance of the features", "1", "lower is better"),
    "kernel_distance": ("fidelity", "Kernel distance of the features", "1", "lower is better"),
    "recall": ("diversity", "Recall: real images that the outputs reach", "1", "higher is better"),
    "coverage": ("diversity", "Coverage: real neighbourhoods with an output", "1", "higher is better"),
    "vendi_ratio": ("diversity", "Effective number of images, outputs over real", "1", "closer to one is better"),
    "membership": ("privacy", "Training cases told from new ones by the error (AUC)", "1", "lower is better"),
    "nearer_than_holdout": ("privacy", "Outputs nearer to training images than new images are", "1", "lower is better"),
    "copies": ("privacy", "Outputs as near to a training image as a copy", "1", "lower is better"),
    "latency_ms": ("compute", "Time for one case, median", "ms", "lower is better"),
    "throughput_per_s": ("compute", "Cases per second, one at a time", "1/s", "higher is better"),
    "peak_memory_mib": ("compute", "Memory that one case takes at most", "MiB", "lower is better"),
    "energy_j": ("compute", "Energy for one case, whole package", "J", "lower is better"),
    "parameters": ("compute", "Parameters", "1", "descriptive"),
    "reach_pixels": ("interpretability", "Reach: radius of 90 % of a pixel's influence", "pixel", "descriptive"),
    "latent_used": ("interpretability", "Latent directions above a tenth of the strongest effect", "1", "descriptive"),
}  # fmt: skip


def feature_table(
    spec: ComparisonSpec, cases: pd.DataFrame, measurements: pd.DataFrame, arm: str, *, restrict: bool = True
) -> pd.DataFrame:
    """Return features of one arm, one row per case, with the column ``patient``; cases without features are left out.

    Features that are undefined or constant in every case are dropped.
    """
    choice = feature_choice(spec)
    if choice is None or spec.sets is None:
        return pd.DataFrame()
    chosen = cases
    if restrict and spec.sets.cases:
        chosen = cases[select(cases, spec.sets.cases, where="sets.cases")]
    table = arm_values(measurements, choice.key(), arm).reindex(chosen.index)
    table = table.drop(columns=[c for c in table.columns if not c])
    table["patient"] = chosen["cluster"]
    return table.dropna()


def standardise(real: pd.DataFrame, *others: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the tables with each feature centred and scaled as the real set; constant features are left out."""
    columns = [c for c in real.columns if c != "patient" and float(real[c].std(ddof=0)) > 0]
    centre, spread = real[columns].mean(), real[columns].std(ddof=0)
    return [((t[columns] - centre) / spread).assign(patient=t["patient"].to_numpy()) for t in (real, *others)]


def set_rows(spec: ComparisonSpec, outputs: pd.DataFrame, real: pd.DataFrame) -> list[Row]:
    """Return fidelity and diversity of the outputs as a set, against the references as a set."""
    if spec.sets is None or outputs.empty or real.empty:
        return []
    truth, made = standardise(real, outputs)
    k = spec.sets.neighbours

    def ball(name: str) -> Callable[[float], Estimate]:
        return lambda level: precision_recall_coverage(truth, made, k=k, level=level)[name]

    return [
        ("precision", ball("precision")),
        ("density", ball("density")),
        ("frechet_distance", lambda level: frechet_distance(truth, made, level=level)),
        ("kernel_distance", lambda level: kernel_distance(truth, made, level=level)),
        ("recall", ball("recall")),
        ("coverage", ball("coverage")),
        ("vendi_ratio", lambda level: vendi_score(made, truth, level=level)["ratio"]),
    ]


def privacy_rows(
    spec: ComparisonSpec,
    cases: pd.DataFrame,
    measurements: pd.DataFrame,
    member_cases: pd.DataFrame,
    member_measurements: pd.DataFrame,
) -> list[Row]:
    """Return whether the training cases show: by smaller errors on them, and by outputs that resemble them."""
    new = _errors(spec, cases, measurements)
    old = _errors(spec, member_cases, member_measurements, restrict=False)
    scores = np.concatenate([-old["value"].to_numpy(float), -new["value"].to_numpy(float)])
    truth = np.concatenate([np.ones(len(old)), np.zeros(len(new))])
    clusters = np.concatenate([old["patient"].astype(str), new["patient"].astype(str)])
    rows: list[Row] = [("membership", lambda level: auc(scores, truth, clusters=clusters, level=level))]
    if spec.sets is None:
        return rows
    train = feature_table(spec, member_cases, member_measurements, "reference", restrict=False)
    held = feature_table(spec, cases, measurements, "reference")
    made = feature_table(spec, cases, measurements, "output")
    if min(len(train), len(held), len(made)) < 10:
        return rows
    scaled = standardise(train, held, made)

    def copy(name: str) -> Callable[[float], Estimate]:
        return lambda level: memorisation(*scaled, level=level)[name]

    return [*rows, ("nearer_than_holdout", copy("nearer than holdout")), ("copies", copy("copies"))]


def _errors(
    spec: ComparisonSpec, cases: pd.DataFrame, measurements: pd.DataFrame, *, restrict: bool = True
) -> pd.DataFrame:
    chosen = cases
    if restrict and spec.sets is not None and spec.sets.cases:
        chosen = cases[select(cases, spec.sets.cases, where="sets.cases")]
    table = arm_values(measurements, ERROR.key(), "output").reindex(chosen.index)
    values = table[""] if "" in table.columns else pd.Series(np.nan, index=chosen.index)
    return pd.DataFrame({"value": values, "patient": chosen["cluster"]}).dropna()


def compute_rows(readings: dict[str, Any], candidate: str) -> list[Row]:
    """Return speed, memory, energy and size of a candidate from its raw readings."""
    own = readings["models"][candidate]
    peak = own["peak_memory_bytes"]
    return [
        ("latency_ms", lambda level: median(own["latency_ms"], level=level, unit="ms")),
        ("throughput_per_s", lambda level: median(own["throughput_per_s"], level=level, unit="1/s")),
        ("peak_memory_mib", lambda level: _single(peak, 1 / 2**20, "MiB", "growth of the process (or device) memory")),
        ("energy_j", lambda level: median(own["energy_j"], level=level, unit="J")),
        ("parameters", lambda level: _single(own["parameters"], 1, "1", "counted")),
    ]


def fact_rows(readings: dict[str, Any], candidate: Candidate) -> list[Row]:
    """Return the reach of a model, and how much of its latent space is used, where it has one."""
    own = readings[candidate.id]
    rows: list[Row] = [("reach_pixels", lambda level: median(own["reach_pixels"], level=level, unit="pixel"))]
    if "traversal" in own:
        effects = np.asarray(own["traversal"]["effects"]).mean(axis=1)
        used = int((effects > 0.1 * effects.max()).sum()) if effects.max() > 0 else 0
        rows.append(("latent_used", lambda level: _single(used, 1, "1", f"of {own['traversal']['n_directions']}")))
    return rows


def median(readings: list[float], *, level: float, unit: str) -> Estimate:
    """Return the median of repeated readings with the interval of order statistics (binomial, no assumption of shape).

    The readings of one machine in one hour are not a sample of machines; the interval tells the noise of the readings.

    >>> e = median([float(x) for x in range(1, 12)], level=0.95, unit="ms")
    >>> e.value, e.lower, e.upper
    (6.0, 2.0, 10.0)
    """
    method = "median of readings, order statistics"
    ordered = sorted(readings)
    n = len(ordered)
    if not n:
        why = "this machine does not tell" if unit == "J" else "there are no readings"
        return Estimate.insufficient(why, n=0, unit=unit, method=method, level=level)
    value = float(np.median(ordered))
    below = int(stats.binom.ppf((1 - level) / 2, n, 0.5))  # P(X < below) <= (1 - level) / 2
    if below < 1:
        why = f"{n} readings are too few for an interval at this level"
        return Estimate(value=value, lower=None, upper=None, n=n, unit=unit, method=method, level=level, reason=why)
    return Estimate(
        value=value, lower=ordered[below - 1], upper=ordered[n - below], n=n, unit=unit, method=method, level=level
    )


def _single(value: float | None, factor: float, unit: str, method: str) -> Estimate:
    if value is None:
        return Estimate.insufficient("this machine or file format does not tell", n=0, unit=unit, method=method)
    return Estimate(value=value * factor, lower=None, upper=None, n=1, unit=unit, method=method, reason="one reading")


def seed_spread(values: dict[int, float | None], *, level: float, unit: str) -> Estimate:
    """Return the standard deviation of an endpoint over training seeds, on the same cases.

    The interval is the chi-square interval of a normal standard deviation with n - 1 degrees of freedom: wide for the
    two to five checkpoints that are usual, as it should be.
    """
    known = np.asarray([v for v in values.values() if v is not None], dtype=np.float64)
    n = len(known)
    method = "standard deviation over training seeds, chi-square"
    if n < 2:
        why = "one checkpoint with a value shows no spread" if n else "no checkpoint has a value"
        return Estimate.insufficient(why, n=n, unit=unit, method=method, level=level)
    spread = float(known.std(ddof=1))
    if spread == 0:
        return Estimate(value=0.0, lower=None, upper=None, n=n, unit=unit, method=method, level=level,
                        reason="all checkpoints agree exactly")  # fmt: skip
    tail = (1 - level) / 2
    lower = spread * float(np.sqrt((n - 1) / stats.chi2.isf(tail, n - 1)))
    upper = spread * float(np.sqrt((n - 1) / stats.chi2.ppf(tail, n - 1)))
    return Estimate(value=spread, lower=lower, upper=upper, n=n, unit=unit, method=method, level=level)


def guarded(name: str, work: Callable[[float], Estimate], level: float) -> Estimate:
    """Return an estimate, or why there is none: a row that cannot be computed stays in the matrix."""
    try:
        return work(level)
    except ValidationProblem as problem:
        return Estimate.insufficient(problem.what, n=0, unit=TITLES[name][2], method=name, level=level)


def read_readings(folder: Path, name: str) -> dict[str, Any]:
    """Return the raw readings that a comparison holds."""
    found: dict[str, Any] = json.loads((folder / "checks" / f"{name}.json").read_bytes())
    return found
