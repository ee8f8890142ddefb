"""What missing values could change: the worst case, and the tipping point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from validation.statistics.sample import Floats, Sample

Better = Literal["higher", "lower"]
Criterion = Callable[[Sample], bool]

_DIFFERENCES = (
    "paired_mean_difference",
    "mean_ratio",
    "geometric_mean_ratio",
    "hodges_lehmann",
    "bootstrap_mean_difference",
)
_SCORES = ("auc", "auc_difference", "ppv", "npv")
_EVENTS = ("proportion", "paired_proportion_difference")
_HITS = ("sensitivity", "sensitivity_difference", "specificity", "specificity_difference")
_NO_VALUES = (
    "detectability", "detectability_difference", "spectrum_mean", "spectrum_mean_difference", "calibration_slope",
    "calibration_intercept", "calibration_error", "brier_score", "froc_sensitivity", "wafroc", "component_share",
    "component_mean", "individual_equivalence", "inside_reader_spread",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TippingPoint:
    """How much worse than the observed the missing values must be to overturn a pass.

    ``shift`` is in the unit of the metric, positive means worse; ``None`` with the reason where there is none.
    """

    shift: float | None
    reason: str


def missing(sample: Sample, *, paired: bool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which cases lack a value, or, when paired, either of the two."""
    lacks = np.isnan(sample.values)
    return lacks | np.isnan(sample.comparator) if paired and sample.comparator is not None else lacks


def worst_case(sample: Sample, summary: str, better: Better, parameters: dict[str, Any] | None = None) -> Sample | None:
    """Fill missing values as unfavourably as the scale allows.

    Differences and ratios: the case does as badly, against its comparator, as the worst complete case (whose missing
    comparator is the mean of the observed). Other continuous values: the worst observed. Events (proportion,
    sensitivity, specificity): counted against the model. Scores (AUC): missing positives rank lowest and negatives
    highest. A missing comparator of an event or score counts for the comparator.

    Returns
    -------
    Sample or None
        ``None`` when nothing is missing, nothing is observed, or the summary reads components rather than values.
    """
    paired = sample.comparator is not None and summary not in (
        "mean",
        "proportion",
        "auc",
        "ppv",
        "npv",
        "sensitivity",
        "specificity",
    )
    lacks = missing(sample, paired=paired)
    if summary in _NO_VALUES or not lacks.any() or lacks.all():
        return None
    values = sample.values.copy()
    comparator = None if sample.comparator is None else sample.comparator.copy()
    bad, good = _extremes(sample, summary, better, parameters or {})
    if bad is not None and good is not None:
        hole = np.isnan(values)
        values[hole] = bad[hole]
        if comparator is not None and paired:
            hole = np.isnan(comparator)
            comparator[hole] = good[hole]
    elif comparator is not None and paired:
        ratio = summary in ("mean_ratio", "geometric_mean_ratio")
        comparator[np.isnan(comparator)] = np.nanmean(comparator)
        complete = ~lacks
        effect = values[complete] / comparator[complete] if ratio else values[complete] - comparator[complete]
        worst = effect.min() if better == "higher" else effect.max()
        values[lacks] = comparator[lacks] * worst if ratio else comparator[lacks] + worst
    else:
        values[lacks] = np.nanmin(values) if better == "higher" else np.nanmax(values)
    return replace(sample, values=values, comparator=comparator)


def tipping_point(
    passes: Criterion, sample: Sample, better: Better, *, paired: bool, seed: int, scores: bool = False
) -> TippingPoint:
    """Find the shift of the missing values that overturns a pass.

    Missing values are drawn at random (seeded) from the complete cases (paired: their differences, added to the
    comparator of the case or, if that is missing too, to the mean comparator) and made worse by the shift, which is
    then searched by bisection to 1 part in 10^4.

    Parameters
    ----------
    passes
        Whether a completed sample meets the criterion.
    paired
        Whether the criterion compares two arms.
    scores
        Whether values are scores for the labels (an AUC): worse means lower for positive and higher for negative cases.
    """
    lacks = missing(sample, paired=paired)
    if not lacks.any():
        return TippingPoint(shift=None, reason="no value is missing")
    if lacks.all():
        return TippingPoint(shift=None, reason="no case is complete")
    base, comparator = _drawn(sample, lacks, paired, seed)
    direction = np.full(int(lacks.sum()), -1.0 if better == "higher" else 1.0)
    if scores and sample.labels is not None:
        direction = np.where(sample.labels[lacks] == 1, -1.0, 1.0)

    def holds(shift: float) -> bool:
        values = base.copy()
        values[lacks] += shift * direction
        return passes(replace(sample, values=values, comparator=comparator))

    complete = base[~lacks] if not paired or comparator is None else (base - comparator)[~lacks]
    scale = float(np.std(complete)) or float(np.abs(complete).max()) or 1.0
    if not holds(0.0):
        return TippingPoint(
            shift=0.0, reason="the criterion is not met even if missing cases are like the complete ones"
        )
    high = scale
    while holds(high):
        high *= 2
        if high > 1e4 * scale:
            return TippingPoint(
                shift=None, reason="no shift overturns it: the criterion is met however bad the missing cases are"
            )
    low = 0.0 if high == scale else high / 2
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return TippingPoint(
        shift=high,
        reason=f"overturned when the {int(lacks.sum())} missing cases are worse by this much than complete ones",
    )


def _drawn(sample: Sample, lacks: Any, paired: bool, seed: int) -> tuple[Floats, Floats | None]:
    """Return values with the missing ones drawn from complete cases, and the completed comparator."""
    rng = np.random.Generator(np.random.Philox(seed))
    values = sample.values.copy()
    if not paired or sample.comparator is None:
        values[lacks] = rng.choice(values[~lacks], int(lacks.sum()))
        return values, sample.comparator
    comparator = sample.comparator.copy()
    difference = (values - comparator)[~lacks]
    comparator[np.isnan(comparator)] = np.nanmean(comparator)
    values[lacks] = comparator[lacks] + rng.choice(difference, int(lacks.sum()))
    return values, comparator


def _extremes(
    sample: Sample, summary: str, better: Better, parameters: dict[str, Any]
) -> tuple[Floats | None, Floats | None]:
    """Return the worst and the best value of each case on a scale that has ends, else (None, None)."""
    n = sample.n
    if summary in _SCORES and sample.labels is not None:
        low_is_bad = sample.labels == 1
        return np.where(low_is_bad, -np.inf, np.inf), np.where(low_is_bad, np.inf, -np.inf)
    if summary in _EVENTS:
        threshold, above = parameters.get("threshold"), str(parameters.get("comparison", ">=")).startswith(">")
        ends = (0.0, 1.0) if threshold is None else (-np.inf, np.inf) if above else (np.inf, -np.inf)
        bad, good = ends if better == "higher" else ends[::-1]
        return np.full(n, bad), np.full(n, good)
    if summary in _HITS:
        above = str(parameters.get("comparison", ">=")).startswith(">")
        missed = -np.inf if above == summary.startswith("sensitivity") else np.inf
        return np.full(n, missed), np.full(n, -missed)
    return None, None
