"""The summaries that an endpoint can name: from a sample of measurements to one estimate.

Every summary has the signature ``(sample, *, level, unit, seed, **parameters) -> Estimate``. ``seed`` is used by those
that resample. Values that are NaN are missing and left out (pairwise, where two values are compared); how many is
for the caller to report, and :mod:`validation.statistics.missing_data` shows what they could change.
"""

from __future__ import annotations

import operator
from typing import Any, Literal

import numpy as np

from validation.estimate import Estimate
from validation.registry import Direction, summary
from validation.statistics import means, proportions, ratios, roc
from validation.statistics.sample import Floats, Sample

Comparison = Literal[">=", ">", "<=", "<"]
_COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_COMPARATOR = frozenset({"comparator"})
_LABELS = frozenset({"labels"})


def null_value(name: str) -> float:
    """Return the value of a summary that means "no difference": 1 for a ratio, else 0.

    >>> null_value("mean_ratio"), null_value("paired_mean_difference")
    (1.0, 0.0)
    """
    return 1.0 if name in ("mean_ratio", "geometric_mean_ratio") else 0.0


@summary("mean", reference="Student's t; CR3: doi:10.1002/jae.2990")
def mean(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean over cases, t interval, cluster-robust when patients have several cases."""
    return means.mean(sample.values, clusters=sample.clusters, level=level, unit=unit)


@summary(
    "paired_mean_difference",
    needs=_COMPARATOR,
    difference=True,
    reference="Student's paired t; CR3: doi:10.1002/jae.2990",
)
def paired_mean_difference(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean of output minus comparator over cases, paired t interval, cluster-robust."""
    return means.paired_mean_difference(
        sample.values, _comparator(sample), clusters=sample.clusters, level=level, unit=unit
    )


@summary("mean_ratio", needs=_COMPARATOR, unit="1", reference="doi:10.1111/j.2517-6161.1954.tb00159.x")
def mean_ratio(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean of the output over mean of the comparator, Fieller's interval, cluster-robust."""
    return ratios.mean_ratio(sample.values, _comparator(sample), clusters=sample.clusters, level=level, unit=unit)


@summary("geometric_mean_ratio", needs=_COMPARATOR, unit="1", reference="Student's paired t on logarithms")
def geometric_mean_ratio(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Geometric mean of output over comparator, case by case, t interval on logarithms, cluster-robust."""
    return ratios.geometric_mean_ratio(
        sample.values, _comparator(sample), clusters=sample.clusters, level=level, unit=unit
    )


@summary("proportion", unit="1", reference="doi:10.1080/01621459.1927.10502953; doi:10.2307/2532311")
def proportion(
    sample: Sample,
    *,
    level: float,
    unit: str,
    seed: int,
    threshold: float | None = None,
    comparison: Comparison = ">=",
    interval: proportions.Interval = "wilson",
) -> Estimate:
    """Share of cases whose value is 1, or compares with ``threshold`` as asked; Wilson or Clopper-Pearson interval."""
    events = _events(sample.values, threshold, comparison)
    return proportions.proportion(events, clusters=sample.clusters, level=level, unit=unit, interval=interval)


@summary(
    "auc", needs=_LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2531595; doi:10.2307/2533958"
)
def auc(sample: Sample, *, level: float, unit: str, seed: int, interval: roc.AucInterval = "logit") -> Estimate:
    """Area under the ROC curve of the values for the labels, DeLong or, with several cases per patient, Obuchowski."""
    return roc.auc(sample.values, _labels(sample), clusters=sample.clusters, level=level, unit=unit, interval=interval)


@summary(
    "auc_difference",
    needs=_COMPARATOR | _LABELS,
    unit="1",
    difference=True,
    direction=Direction.HIGHER,
    reference="doi:10.2307/2531595; doi:10.2307/2533958",
)
def auc_difference(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """AUC of the output minus AUC of the comparator on the same cases, DeLong or Obuchowski."""
    return roc.auc_difference(
        sample.values, _comparator(sample), _labels(sample), clusters=sample.clusters, level=level, unit=unit
    )


def _comparator(sample: Sample) -> Floats:
    if sample.comparator is None:
        raise ValueError("this summary needs a comparator; the caller checks `Summary.needs`")
    return sample.comparator


def _labels(sample: Sample) -> Floats:
    if sample.labels is None:
        raise ValueError("this summary needs labels; the caller checks `Summary.needs`")
    return sample.labels


def _events(values: Floats, threshold: float | None, comparison: Any) -> Floats:
    """Return 0/1 events with NaN kept; without a threshold the values must be 0 or 1 already."""
    if threshold is None:
        return values
    if comparison not in _COMPARE:
        raise ValueError(f"comparison must be one of {', '.join(_COMPARE)}, got {comparison!r}")
    return np.where(np.isnan(values), np.nan, _COMPARE[comparison](values, threshold).astype(np.float64))
