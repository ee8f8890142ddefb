"""Calibration of predicted probabilities: slope, intercept and error, with patients as clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import group
from validation.statistics.jackknife import only_value_wanted
from validation.statistics.resampling import bootstrap
from validation.statistics.sample import Floats

EPS = 1e-6  # probabilities are kept this far from 0 and 1 before the logit is taken
SIMULATIONS = 2000
SEED = 1


def regression(scores: Floats, truth: Floats, patients: ArrayLike | None, *, free: bool, level: float) -> Estimate:
    """Return the calibration intercept at slope 1 or, ``free``, the calibration slope of predicted probabilities.

    Logistic regression of the truth on the logit of the score. Intervals are Student's t with cluster-robust variance,
    patients as clusters. Insufficient with fewer than 5 cases of a class or 10 patients, or where scores separate the
    classes.

    References
    ----------
    Van Calster 2019, doi:10.1186/s12916-019-1466-7; Cox 1958, doi:10.1093/biomet/45.3-4.562.
    """
    logit = np.log(np.clip(scores, EPS, 1 - EPS) / np.clip(1 - scores, EPS, 1 - EPS))
    n, groups = len(logit), group(patients, len(logit))
    name = "calibration slope" if free else "calibration intercept"
    label = f"{name}, logistic regression, cluster-robust t"
    columns = np.stack([np.ones(n), logit], 1) if free else np.ones((n, 1))
    offset = np.zeros(n) if free else logit
    positives = int(truth.sum())

    def refused(why: str) -> Estimate:
        return Estimate.insufficient(
            why, n=n, unit="1", method=label, level=level, n_events=positives, n_clusters=groups.count
        )

    if min(positives, n - positives) < 5 or groups.count < 10 or (free and np.ptp(logit) == 0):
        return refused("fewer than 5 cases of a class or 10 patients, or scores that are all equal")
    beta = np.zeros(columns.shape[1])
    bread = np.eye(len(beta))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(columns @ beta + offset, -500, 500)))
        weight = np.maximum(p * (1 - p), 1e-12)
        bread = columns.T @ (weight[:, None] * columns)
        step = np.linalg.lstsq(bread, columns.T @ (truth - p), rcond=None)[0]
        step *= min(1.0, 5 / max(1e-12, float(np.abs(step).max())))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return refused("the regression does not converge: the scores separate the classes")
    if np.abs(beta).max() > 50:
        return refused("the scores separate the classes, so that no finite slope fits")
    p = 1 / (1 + np.exp(-(columns @ beta + offset)))
    parts = groups.sums(columns * (truth - p)[:, None])
    inverse = np.linalg.inv(bread)
    g = groups.count
    covariance = g / (g - 1) * (n - 1) / (n - len(beta)) * inverse @ parts.T @ parts @ inverse
    value, error = float(beta[-1]), float(np.sqrt(covariance[-1, -1]))
    half = float(stats.t.isf((1 - level) / 2, g - 1)) * error
    return Estimate(
        value=value, lower=value - half, upper=value + half, method=label, n=n, unit="1", level=level,
        n_events=positives, n_clusters=g,
    )  # fmt: skip


@dataclass(frozen=True)
class CalibrationError:
    """The calibration error, and what a calibrated model would show on the same scores."""

    error: Estimate
    if_calibrated: Estimate


def calibration_error(
    given: Floats, observed_truth: Floats, patients: ArrayLike | None, *, bins: int, level: float
) -> CalibrationError:
    """Return the mean absolute difference of predicted and observed share over bins of equally many cases.

    It is never 0, even for a calibrated model: compare it with ``if_calibrated`` (simulated from the scores, cases of a
    patient taken as independent given the scores). The interval is a percentile bootstrap of patients, shifted by the
    bias that the bootstrap itself shows.

    References
    ----------
    Broecker and Smith 2007, doi:10.1175/WAF993.1 (consistency resampling).
    """
    order = np.argsort(given, kind="stable")
    scores, truth = given[order], observed_truth[order]
    parts = np.array_split(np.arange(len(order)), bins)
    starts = np.array([part[0] for part in parts])
    expected = np.add.reduceat(scores, starts)

    def value(observed: Floats) -> Floats:
        sums = np.add.reduceat(observed, starts, axis=-1)
        return np.asarray(np.abs(sums - expected).sum(-1) / len(order))

    if only_value_wanted():
        only = Estimate(
            value=float(value(truth)), lower=None, upper=None, method="calibration error", n=len(order), unit="1",
            level=level, reason="only the value was asked for",
        )  # fmt: skip
        return CalibrationError(only, only)
    rng = np.random.Generator(np.random.Philox(SEED))
    simulated = np.concatenate(
        [value((rng.random((100, len(order))) < scores).astype(np.float64)) for _ in range(SIMULATIONS // 100)]
    )
    tail = (1 - level) / 2
    low, high = np.quantile(simulated, [tail, 1 - tail])
    n, groups = len(order), group(None if patients is None else np.asarray(patients)[order], len(order))
    observed = float(value(truth))
    label = f"calibration error, {bins} bins of equal size"
    expectation = Estimate(
        value=float(simulated.mean()), lower=float(low), upper=float(high), n=n, unit="1", level=level,
        method=f"{label}, simulated from the scores",
    )  # fmt: skip

    def resampled(weights: Floats) -> Floats:
        each = weights[:, groups.codes]
        sums = np.add.reduceat(each * (truth - scores), starts, axis=1)
        return np.asarray(np.abs(sums).sum(1) / each.sum(1))

    fit = bootstrap(resampled, groups.count, replicates=SIMULATIONS, seed=SEED) if groups.count > 9 else None
    if fit is None:
        error = Estimate(
            value=observed, lower=None, upper=None, n=n, unit="1", level=level, n_clusters=groups.count, method=label,
            reason=f"{groups.count} patients are too few for an interval",
        )  # fmt: skip
    else:
        bias = float(fit.replicates.mean()) - observed
        limits = [max(0.0, float(q) - 2 * bias) for q in np.quantile(fit.replicates, [tail, 1 - tail])]
        error = Estimate(
            value=observed, lower=min(limits[0], observed), upper=max(limits[1], observed), n=n, unit="1", level=level,
            n_clusters=groups.count, method=f"{label}, bias-shifted percentile bootstrap of patients",
        )  # fmt: skip
    return CalibrationError(error, expectation)
