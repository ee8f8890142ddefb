"""Calibration of predicted probabilities: calibration error, slope and intercept, Brier score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.detection.tables import Floats, Scores, scores_of
from validation.registry import Direction, Kind, metric
from validation.statistics.clusters import group
from validation.statistics.means import mean
from validation.statistics.resampling import bootstrap

EPS = 1e-6  # probabilities are kept this far from 0 and 1 before the logit is taken
SIMULATIONS = 2000
SEED = 1


@metric(
    "calibration",
    unit="1",
    direction=Direction.NONE,
    kind=Kind.ESTIMATE,
    roles=("cases",),
    reference="Van Calster 2019, doi:10.1186/s12916-019-1466-7; Cox 1958, doi:10.1093/biomet/45.3-4.562; "
    "Bröcker and Smith 2007, doi:10.1175/WAF993.1 (consistency resampling)",
    oracle="statsmodels (GLM with cluster-robust covariance)",
    family="detection",
)
def calibration(
    cases: pd.DataFrame,
    *,
    bins: int = 10,
    score: str = "score",
    truth: str = "truth",
    patient: str = "patient",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Calibration of predicted probabilities.

    - ``intercept``: of the logistic regression of truth on logit(score) with slope 1; 0 is ideal, positive where risks
      are underestimated;
    - ``slope``: of the regression with free intercept; 1 is ideal, below 1 where predictions are too extreme;
    - ``calibration error``: mean absolute difference of predicted and observed share over ``bins`` bins of equally many
      cases, which is never 0 even for a calibrated model; the interval is a percentile bootstrap of patients, shifted
      by the bias that the bootstrap itself shows (it counts the noise of the sample twice);
    - ``calibration error if calibrated``: what a calibrated model would show on these scores, mean and range
      (simulated; cases of a patient taken as independent given the scores): compare the error with its upper limit;
    - ``Brier score``: mean squared error of the probability.

    Intervals of slope and intercept are Student's t with cluster-robust variance, patients as clusters.

    Parameters
    ----------
    cases
        One row per case; scores are probabilities from 0 to 1.
    """
    data = scores_of(cases, score=score, truth=truth, patient=patient)
    if data.scores.min() < 0 or data.scores.max() > 1:
        raise DataProblem(
            f"the column {score!r} holds values outside 0 to 1.",
            code="MET-031",
            where="cases",
            why="Calibration is a property of probabilities.",
            action="Give probabilities, or use metrics of ranking.",
        )
    if not 2 <= bins <= len(data.scores):
        raise UsageProblem(
            f"bins is {bins} for {len(data.scores)} cases.", code="MET-014", where="bins", action="Give 2 or more."
        )
    logit = np.log(np.clip(data.scores, EPS, 1 - EPS) / np.clip(1 - data.scores, EPS, 1 - EPS))
    found = {
        "intercept": _regression(data, logit, free=False, level=level),
        "slope": _regression(data, logit, free=True, level=level),
        **_error(data, bins, level),
        "Brier score": mean(
            (data.scores - data.truth) ** 2, clusters=data.patients, level=level, method="mean squared error"
        ),
    }
    return found


def _regression(data: Scores, logit: Floats, *, free: bool, level: float) -> Estimate:
    """Return the intercept at slope 1, or the slope of the logistic recalibration."""
    n, groups = len(logit), group(data.patients, len(logit))
    name = "calibration slope" if free else "calibration intercept"
    label = f"{name}, logistic regression, cluster-robust t"
    columns = np.stack([np.ones(n), logit], 1) if free else np.ones((n, 1))
    offset = np.zeros(n) if free else logit
    positives = int(data.truth.sum())

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
        step = np.linalg.lstsq(bread, columns.T @ (data.truth - p), rcond=None)[0]
        step *= min(1.0, 5 / max(1e-12, float(np.abs(step).max())))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return refused("the regression does not converge: the scores separate the classes")
    if np.abs(beta).max() > 50:
        return refused("the scores separate the classes, so that no finite slope fits")
    p = 1 / (1 + np.exp(-(columns @ beta + offset)))
    scores = groups.sums(columns * (data.truth - p)[:, None])
    inverse = np.linalg.inv(bread)
    g = groups.count
    covariance = g / (g - 1) * (n - 1) / (n - len(beta)) * inverse @ scores.T @ scores @ inverse
    value, error = float(beta[-1]), float(np.sqrt(covariance[-1, -1]))
    half = float(stats.t.isf((1 - level) / 2, g - 1)) * error
    return Estimate(
        value=value, lower=value - half, upper=value + half, method=label, n=n, unit="1", level=level,
        n_events=positives, n_clusters=g,
    )  # fmt: skip


def _error(data: Scores, bins: int, level: float) -> dict[str, Estimate]:
    order = np.argsort(data.scores, kind="stable")
    scores, truth = data.scores[order], data.truth[order]
    parts = np.array_split(np.arange(len(order)), bins)
    starts = np.array([part[0] for part in parts])
    expected = np.add.reduceat(scores, starts)

    def value(observed: Floats) -> Floats:
        sums = np.add.reduceat(observed, starts, axis=-1)
        return np.asarray(np.abs(sums - expected).sum(-1) / len(order))

    rng = np.random.Generator(np.random.Philox(SEED))
    simulated = np.concatenate(
        [value((rng.random((100, len(order))) < scores).astype(np.float64)) for _ in range(SIMULATIONS // 100)]
    )
    tail = (1 - level) / 2
    low, high = np.quantile(simulated, [tail, 1 - tail])
    n, groups = len(order), group(None if data.patients is None else data.patients[order], len(order))
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
    return {"calibration error": error, "calibration error if calibrated": expectation}
