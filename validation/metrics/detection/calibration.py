"""Calibration of predicted probabilities: calibration error, slope and intercept, Brier score."""

from __future__ import annotations

import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.detection.tables import scores_of
from validation.registry import Direction, Kind, metric
from validation.statistics.calibration import calibration_error, regression
from validation.statistics.means import mean


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
    error = calibration_error(data.scores, data.truth, data.patients, bins=bins, level=level)
    found = {
        "intercept": regression(data.scores, data.truth, data.patients, free=False, level=level),
        "slope": regression(data.scores, data.truth, data.patients, free=True, level=level),
        "calibration error": error.error,
        "calibration error if calibrated": error.if_calibrated,
        "Brier score": mean(
            (data.scores - data.truth) ** 2, clusters=data.patients, level=level, method="mean squared error"
        ),
    }
    return found
