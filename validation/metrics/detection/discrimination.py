"""ROC area, sensitivity and specificity at a pre-set threshold, and predictive values across prevalence."""

from __future__ import annotations

import math

import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.detection.tables import scores_of
from validation.registry import Direction, Kind, metric
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
        found[f"PPV at {text}"] = _predictive(parts["sensitivity"], parts["specificity"], odds, level, "PPV")
        found[f"NPV at {text}"] = _predictive(parts["specificity"], parts["sensitivity"], 1 / odds, level, "NPV")
    return found


def _predictive(right: Estimate, other: Estimate, odds: float, level: float, name: str) -> Estimate:
    """Return P(state | call) from P(call | state), P(no call | other state) and the prior odds of the state."""
    n, method = right.n + other.n, f"{name} by Bayes' theorem, MOVER on Wilson limits"
    missing = right.reason or other.reason
    if right.value is None or other.value is None or right.lower is None or other.lower is None:
        return Estimate.insufficient(missing or "no interval of its parts", n=n, unit="1", method=method, level=level)
    false = 1 - other.value
    if right.value == 0 and false == 0:
        return Estimate.insufficient("no case was called so", n=n, unit="1", method=method, level=level)
    top = (right.lower, right.value, float(right.upper or 1.0))
    bottom = (1 - float(other.upper or 1.0), false, 1 - other.lower)
    lower, upper = _ratio_limits(top, bottom)
    value = math.inf if false == 0 else right.value / false
    shares = [_share(odds * ratio) for ratio in (lower, value, upper)]
    return Estimate(value=shares[1], lower=shares[0], upper=shares[2], method=method, n=n, unit="1", level=level)


def _share(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def _ratio_limits(top: tuple[float, float, float], bottom: tuple[float, float, float]) -> tuple[float, float]:
    """Return MOVER limits of a ratio of proportions from (lower, value, upper) of each, on the log scale."""

    def log(x: float) -> float:
        return math.log(x) if x > 0 else -math.inf

    if top[1] == 0 or bottom[1] == 0:  # the logarithm of the ratio does not exist: take the extreme limits
        low = 0.0 if top[1] == 0 else top[0] / bottom[2]
        return low, (math.inf if bottom[1] == 0 else top[2] / max(bottom[0], 1e-12))
    centre = log(top[1]) - log(bottom[1])
    down = math.hypot(log(top[1]) - log(top[0]), log(bottom[2]) - log(bottom[1]))
    up = math.hypot(log(top[2]) - log(top[1]), log(bottom[1]) - log(bottom[0]))
    return math.exp(centre - down), math.exp(centre + up) if math.isfinite(up) else math.inf
