"""The summaries that an endpoint can name: from a sample of measurements to one estimate.

Every summary has the signature ``(sample, *, level, unit, seed, **parameters) -> Estimate``. ``seed`` is used by those
that resample. Values that are NaN are missing and left out (pairwise, where two values are compared); how many is
for the caller to report, and :mod:`validation.statistics.missing_data` shows what they could change.
"""

from __future__ import annotations

from validation.estimate import Estimate
from validation.registry import Direction, summary
from validation.statistics import answer_summaries as answers
from validation.statistics import means, proportion_differences, proportions, ranks, ratios, roc
from validation.statistics.resampled_summaries import bootstrap_mean, bootstrap_mean_difference, quantile
from validation.statistics.sample import Sample
from validation.statistics.summary_inputs import (
    COMPARATOR,
    COMPARISONS,
    LABELS,
    OPPOSITE,
    Comparison,
    comparator_of,
    events_of,
    labels_of,
    one_of,
)
from validation.statistics.vector_summaries import (
    detectability,
    detectability_difference,
    spectrum_mean,
    spectrum_mean_difference,
)

# importing this module registers every summary of this room
__all__ = [
    "answers", "auc", "auc_difference", "bootstrap_mean", "bootstrap_mean_difference", "detectability",
    "detectability_difference", "geometric_mean_ratio", "hodges_lehmann", "mean", "mean_ratio", "null_value",
    "paired_mean_difference", "paired_proportion_difference", "proportion", "quantile", "sensitivity",
    "sensitivity_difference", "specificity", "specificity_difference", "spectrum_mean", "spectrum_mean_difference",
]  # fmt: skip


def null_value(name: str) -> float:
    """Return the value of a summary that means "no difference": 1 for a ratio, else 0.

    >>> null_value("mean_ratio"), null_value("paired_mean_difference")
    (1.0, 0.0)
    """
    return 1.0 if name in ("mean_ratio", "geometric_mean_ratio") else 0.0


@summary("mean", reference="Student's t; CR3: arXiv:2301.04527")
def mean(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean over cases, t interval, cluster-robust when patients have several cases."""
    return means.mean(sample.values, clusters=sample.clusters, level=level, unit=unit)


@summary(
    "paired_mean_difference",
    needs=COMPARATOR,
    difference=True,
    reference="Student's paired t; CR3: arXiv:2301.04527",
)
def paired_mean_difference(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean of output minus comparator over cases, paired t interval, cluster-robust."""
    return means.paired_mean_difference(
        sample.values, comparator_of(sample), clusters=sample.clusters, level=level, unit=unit
    )


@summary("mean_ratio", needs=COMPARATOR, unit="1", reference="doi:10.1111/j.2517-6161.1954.tb00159.x")
def mean_ratio(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean of the output over mean of the comparator, Fieller's interval, cluster-robust."""
    return ratios.mean_ratio(sample.values, comparator_of(sample), clusters=sample.clusters, level=level, unit=unit)


@summary("geometric_mean_ratio", needs=COMPARATOR, unit="1", reference="Student's paired t on logarithms")
def geometric_mean_ratio(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Geometric mean of output over comparator, case by case, t interval on logarithms, cluster-robust."""
    return ratios.geometric_mean_ratio(
        sample.values, comparator_of(sample), clusters=sample.clusters, level=level, unit=unit
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
    one_of("interval", interval, ("wilson", "clopper_pearson"))
    events = events_of(sample.values, threshold, comparison)
    return proportions.proportion(events, clusters=sample.clusters, level=level, unit=unit, interval=interval)


@summary(
    "auc", needs=LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2531595; doi:10.2307/2533958"
)
def auc(sample: Sample, *, level: float, unit: str, seed: int, interval: roc.AucInterval = "logit") -> Estimate:
    """Area under the ROC curve of the values for the labels, DeLong or, with several cases per patient, Obuchowski."""
    one_of("interval", interval, ("logit", "wald"))
    return roc.auc(
        sample.values, labels_of(sample), clusters=sample.clusters, level=level, unit=unit, interval=interval
    )


@summary(
    "auc_difference",
    needs=COMPARATOR | LABELS,
    unit="1",
    difference=True,
    direction=Direction.HIGHER,
    reference="doi:10.2307/2531595; doi:10.2307/2533958",
)
def auc_difference(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """AUC of the output minus AUC of the comparator on the same cases, DeLong or Obuchowski."""
    return roc.auc_difference(
        sample.values, comparator_of(sample), labels_of(sample), clusters=sample.clusters, level=level, unit=unit
    )


@summary("sensitivity", needs=LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2532311")
def sensitivity(
    sample: Sample,
    *,
    level: float,
    unit: str,
    seed: int,
    threshold: float,
    comparison: Comparison = ">=",
    interval: proportions.Interval = "wilson",
) -> Estimate:
    """Share of positive cases that are called positive (value compares with ``threshold`` as asked)."""
    one_of("interval", interval, ("wilson", "clopper_pearson"))
    part = sample.subset(labels_of(sample) == 1)
    events = events_of(part.values, threshold, comparison)
    return proportions.proportion(events, clusters=part.clusters, level=level, unit=unit, interval=interval)


@summary("specificity", needs=LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2532311")
def specificity(
    sample: Sample,
    *,
    level: float,
    unit: str,
    seed: int,
    threshold: float,
    comparison: Comparison = ">=",
    interval: proportions.Interval = "wilson",
) -> Estimate:
    """Share of negative cases that are not called positive (value compares with ``threshold`` as asked)."""
    one_of("interval", interval, ("wilson", "clopper_pearson"))
    part = sample.subset(labels_of(sample) == 0)
    events = 1 - events_of(part.values, threshold, comparison)
    return proportions.proportion(events, clusters=part.clusters, level=level, unit=unit, interval=interval)


_PAIRED = "doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B"


@summary("paired_proportion_difference", needs=COMPARATOR, unit="1", difference=True, reference=_PAIRED)
def paired_proportion_difference(
    sample: Sample, *, level: float, unit: str, seed: int, threshold: float | None = None, comparison: Comparison = ">="
) -> Estimate:
    """Share of cases with the event, output minus comparator; Tango's interval, or cluster-robust."""
    return proportion_differences.paired_proportion_difference(
        events_of(sample.values, threshold, comparison),
        events_of(comparator_of(sample), threshold, comparison),
        clusters=sample.clusters,
        level=level,
        unit=unit,
    )


@summary(
    "sensitivity_difference", needs=COMPARATOR | LABELS, unit="1", difference=True, direction=Direction.HIGHER,
    reference=_PAIRED,
)  # fmt: skip
def sensitivity_difference(
    sample: Sample, *, level: float, unit: str, seed: int, threshold: float, comparison: Comparison = ">="
) -> Estimate:
    """Sensitivity of the output minus that of the comparator on the same positive cases."""
    part = sample.subset(labels_of(sample) == 1)
    return paired_proportion_difference(
        part, level=level, unit=unit, seed=seed, threshold=threshold, comparison=comparison
    )


@summary(
    "specificity_difference", needs=COMPARATOR | LABELS, unit="1", difference=True, direction=Direction.HIGHER,
    reference=_PAIRED,
)  # fmt: skip
def specificity_difference(
    sample: Sample, *, level: float, unit: str, seed: int, threshold: float, comparison: Comparison = ">="
) -> Estimate:
    """Specificity of the output minus that of the comparator on the same negative cases."""
    one_of("comparison", comparison, tuple(COMPARISONS))
    part = sample.subset(labels_of(sample) == 0)
    return paired_proportion_difference(
        part, level=level, unit=unit, seed=seed, threshold=threshold, comparison=OPPOSITE[comparison]
    )


@summary("hodges_lehmann", needs=COMPARATOR, difference=True, reference="doi:10.1214/aoms/1177704172")
def hodges_lehmann(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Pseudo-median of output minus comparator with the interval of Wilcoxon's signed-rank test, over patients."""
    return ranks.hodges_lehmann(sample.values, comparator_of(sample), clusters=sample.clusters, level=level, unit=unit)
