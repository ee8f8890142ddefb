"""ROC area, sensitivity and specificity at a pre-set threshold, and predictive values across prevalence."""

from __future__ import annotations

import math

import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.detection.tables import scores_of
from validation.registry import Direction, Kind, metric
from validation.statistics.prediction import predictive_value
from validation.statistics.proportions import proportion
from validation.statistics.roc import auc


@metric(
    "standalone_auc",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("cases",),
    reference="DeLong 1988, doi:10.2307/2531595; Obuchowski 1997, doi:10.2307/2533958",
    oracle="detection_fairness.json (scikit-learn, 15 labels in 2 runs); statistics.roc",
    family="detection",
)
def standalone_auc(
    cases: pd.DataFrame, *, score: str = "score", truth: str = "truth", patient: str = "patient", level: float = 0.95
) -> Estimate:
    """Area under the ROC curve of a table of scores.

    Patients are clusters where the table has the column ``patient``. See :func:`validation.statistics.roc.auc`.

    Parameters
    ----------
    cases
        One row per case.
    score, truth, patient
        Names of columns; ``patient`` may be absent.
    """
    data = scores_of(cases, score=score, truth=truth, patient=patient)
    return auc(data.scores, data.truth, clusters=data.patients, level=level)


@metric(
    "operating_point",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("cases",),
    reference="Wilson 1927, doi:10.1080/01621459.1927.10502953; Donner and Zou 2012 (Stat Methods Med Res 21:347-359)",
    oracle="counts by construction; Bayes' theorem; coverage by simulation",
    family="detection",
)
def operating_point(
    cases: pd.DataFrame,
    *,
    threshold: float,
    prevalences: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.5),
    score: str = "score",
    truth: str = "truth",
    patient: str = "patient",
    level: float = 0.95,
) -> dict[str, Estimate]:
    r"""Sensitivity and specificity at a threshold, and predictive values at several prevalences.

    A case is positive when its score is at least the threshold, which is fixed before the data are seen. Predictive
    values are Bayes' theorem at the stated prevalence, not that of an enriched sample; their limits follow from an
    interval of the likelihood ratio (MOVER on the Wilson limits of sensitivity and specificity).

    Components ``sensitivity``, ``specificity``, ``PPV at 5%``, ``NPV at 5%``, ...
    """
    if not math.isfinite(threshold) or not all(0 < p < 1 for p in prevalences):
        raise UsageProblem(
            f"threshold is {threshold}, prevalences {prevalences}.",
            code="MET-014",
            where="threshold, prevalences",
            action="Give a finite threshold and prevalences between 0 and 1.",
        )
    data = scores_of(cases, score=score, truth=truth, patient=patient)
    called = (data.scores >= threshold).astype(float)
    parts = {}
    for name, label, events in (("sensitivity", 1.0, called), ("specificity", 0.0, 1 - called)):
        which = data.truth == label
        patients = None if data.patients is None else data.patients[which]
        parts[name] = proportion(events[which], clusters=patients, level=level)
    found = dict(parts)
    for prevalence in prevalences:
        text = f"{100 * prevalence:g}%"
        odds = prevalence / (1 - prevalence)
        found[f"PPV at {text}"] = predictive_value(parts["sensitivity"], parts["specificity"], odds, level, "PPV")
        found[f"NPV at {text}"] = predictive_value(parts["specificity"], parts["sensitivity"], 1 / odds, level, "NPV")
    return found
