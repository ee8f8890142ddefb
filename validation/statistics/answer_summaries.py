"""Summaries of answers other than images: predictive values, calibration, free response, shares, reader agreement."""

from __future__ import annotations

import math

import numpy as np

from validation.estimate import Estimate
from validation.registry import Direction, summary
from validation.statistics import calibration, equivalence_index, free_response, shares
from validation.statistics.means import mean
from validation.statistics.prediction import predictive_value
from validation.statistics.proportions import proportion
from validation.statistics.resampled_summaries import replicated, wanted_replicates
from validation.statistics.resampling import bootstrap, bootstrap_estimate
from validation.statistics.sample import Floats, Sample
from validation.statistics.summary_inputs import COMPONENTS, LABELS, components_of, labels_of, one_of, unfit

_BAYES = "Wilson 1927, doi:10.1080/01621459.1927.10502953; Donner and Zou 2012 (Stat Methods Med Res 21:347-359)"
_CALIBRATION = "Van Calster 2019, doi:10.1186/s12916-019-1466-7"


def _predictive(sample: Sample, level: float, threshold: float, prevalence: float, name: str) -> Estimate:
    if not 0 < prevalence < 1 or not math.isfinite(threshold):
        raise unfit(f"`prevalence` must lie between 0 and 1 and `threshold` be finite, got {prevalence}, {threshold}.")
    truth = labels_of(sample)
    parts = []
    for label in (1.0, 0.0):
        part = sample.subset(truth == label)
        called = np.where(np.isnan(part.values), np.nan, (part.values >= threshold).astype(np.float64))
        right = called if label == 1.0 else 1 - called
        parts.append(proportion(right, clusters=part.clusters, level=level))
    sensitivity, specificity = parts
    odds = prevalence / (1 - prevalence)
    if name == "PPV":
        found = predictive_value(sensitivity, specificity, odds, level, name)
    else:
        found = predictive_value(specificity, sensitivity, 1 / odds, level, name)
    patients = len({c for c, t in zip(sample.clusters.tolist(), truth, strict=True) if t == t})
    return Estimate(
        value=found.value, lower=found.lower, upper=found.upper, method=f"{found.method}, prevalence {prevalence:g}",
        n=found.n, unit="1", level=level, n_clusters=patients, reason=found.reason,
    )  # fmt: skip


def _check_prevalences(prevalences: tuple[float, ...] | list[float]) -> None:
    if not all(isinstance(p, int | float) and 0 < p < 1 for p in prevalences):
        raise unfit(f"`prevalences` must lie between 0 and 1, got {prevalences}.")


@summary("ppv", needs=LABELS, unit="1", direction=Direction.HIGHER, reference=_BAYES)
def ppv(
    sample: Sample,
    *,
    level: float,
    unit: str,
    seed: int,
    threshold: float,
    prevalence: float,
    prevalences: tuple[float, ...] | list[float] = (),
) -> Estimate:
    """Positive predictive value at a stated prevalence; a case is positive at or above the threshold.

    ``prevalences`` are further ones, at which the record lists both predictive values beside the endpoint.
    """
    _check_prevalences(prevalences)
    return _predictive(sample, level, threshold, prevalence, "PPV")


@summary("npv", needs=LABELS, unit="1", direction=Direction.HIGHER, reference=_BAYES)
def npv(
    sample: Sample,
    *,
    level: float,
    unit: str,
    seed: int,
    threshold: float,
    prevalence: float,
    prevalences: tuple[float, ...] | list[float] = (),
) -> Estimate:
    """Negative predictive value at a stated prevalence; a case is positive at or above the threshold.

    ``prevalences`` are further ones, at which the record lists both predictive values beside the endpoint.
    """
    _check_prevalences(prevalences)
    return _predictive(sample, level, threshold, prevalence, "NPV")


def _probabilities(sample: Sample) -> tuple[Floats, Floats, Sample]:
    truth = labels_of(sample)
    part = sample.subset(np.isfinite(sample.values) & np.isfinite(truth))
    if part.n and (part.values.min() < 0 or part.values.max() > 1):
        raise unfit("calibration is a property of probabilities, and scores lie outside 0 to 1.")
    return part.values, labels_of(part), part


@summary("calibration_slope", needs=LABELS, unit="1", direction=Direction.ONE, reference=_CALIBRATION)
def calibration_slope(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Slope of the logistic regression of truth on logit(score): 1 is ideal, below 1 predictions are too extreme."""
    scores, truth, part = _probabilities(sample)
    return calibration.regression(scores, truth, part.clusters, free=True, level=level)


@summary("calibration_intercept", needs=LABELS, unit="1", direction=Direction.ZERO, reference=_CALIBRATION)
def calibration_intercept(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Intercept of that regression with slope 1: 0 is ideal, positive where risks are underestimated."""
    scores, truth, part = _probabilities(sample)
    return calibration.regression(scores, truth, part.clusters, free=False, level=level)


@summary(
    "calibration_error", needs=LABELS, unit="1", direction=Direction.LOWER,
    reference="Broecker and Smith 2007, doi:10.1175/WAF993.1",
)  # fmt: skip
def calibration_error(sample: Sample, *, level: float, unit: str, seed: int, bins: int = 10) -> Estimate:
    """Mean absolute difference of predicted and observed share over bins of equally many cases; never 0."""
    scores, truth, part = _probabilities(sample)
    if not isinstance(bins, int) or bins < 2:
        raise unfit(f"`bins` must be a whole number from 2, got {bins!r}.")
    if part.n < bins:
        return Estimate.insufficient(
            f"{part.n} cases are fewer than {bins} bins", n=part.n, unit="1", method="calibration error", level=level
        )
    return calibration.calibration_error(scores, truth, part.clusters, bins=bins, level=level).error


@summary(
    "brier_score", needs=LABELS, unit="1", direction=Direction.LOWER, reference="Brier 1950 (Mon Weather Rev 78:1-3)"
)
def brier_score(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean squared difference of predicted probability and truth, t interval, cluster-robust."""
    scores, truth, part = _probabilities(sample)
    return mean((scores - truth) ** 2, clusters=part.clusters, level=level, unit="1", method="mean squared error")


_FROC = "Chakraborty 1989, doi:10.1118/1.596358; Bandos 2009, doi:10.1111/j.1541-0420.2008.01049.x"


@summary("froc_sensitivity", needs=COMPONENTS, unit="1", direction=Direction.HIGHER, reference=_FROC)
def froc_sensitivity(
    sample: Sample,
    *,
    level: float,
    unit: str,
    seed: int,
    rates: tuple[float, ...] | list[float] = (1.0,),
    smallest_ml: float | None = None,
    largest_ml: float | None = None,
    replicates: int = 2000,
) -> Estimate:
    """Share of lesions found at numbers of false marks per case (mean over `rates`), bootstrap of patients."""
    chosen = tuple(float(rate) for rate in rates)
    if not chosen or min(chosen) <= 0:
        raise unfit(f"`rates` are false marks per case, above 0, got {rates}.")
    replicates = wanted_replicates(replicates)
    cases = free_response.rated_cases(sample, smallest_ml, largest_ml)
    data = free_response.free_response_of(cases)
    groups, n = len(data.images), len(data.lesion_score)
    what = f"lesion sensitivity at {', '.join(f'{rate:g}' for rate in chosen)} false marks per case"
    if n == 0 or groups < 2:
        return Estimate.insufficient(
            "no lesion, or one patient only", n=n, unit="1", method=what, level=level, n_clusters=groups
        )
    fit, _, _ = replicated(
        sample,
        ("froc", chosen, smallest_ml, largest_ml, replicates, seed),
        lambda: (
            bootstrap(free_response.at_rates(data, chosen), groups, replicates=replicates, seed=seed),
            n,
            groups,
        ),
    )
    return bootstrap_estimate(fit, n=n, n_clusters=groups, level=level, unit="1", what=what)


@summary(
    "wafroc", needs=COMPONENTS, unit="1", direction=Direction.HIGHER,
    reference="Chakraborty and Zhai 2016, doi:10.1118/1.4947125; Obuchowski 1997, doi:10.2307/2533958",
)  # fmt: skip
def wafroc(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Area under the weighted AFROC curve, lesions of a case weighted equally, patients as clusters."""
    return free_response.wafroc(free_response.rated_cases(sample), level=level)


@summary("component_share", needs=COMPONENTS, unit="1", reference="doi:10.2307/2532311")
def component_share(sample: Sample, *, level: float, unit: str, seed: int, events: str, of: str) -> Estimate:
    """Share of counted things (component `of`) that have an event (component `events`), patients as clusters."""
    columns = []
    for name in (events, of):
        if name not in sample.component_names:
            known = ", ".join(n for n in sample.component_names if not n[-3:].isdigit())
            raise unfit(f"the metric has no component {name!r}; it has {known}.")
        columns.append(components_of(sample)[:, sample.component_names.index(name)])
    return shares.counted_share(*columns, clusters=sample.clusters, level=level)


@summary("component_mean", needs=COMPONENTS, unit="metric", reference="Student's t; CR3: arXiv:2301.04527")
def component_mean(sample: Sample, *, level: float, unit: str, seed: int, component: str) -> Estimate:
    """Mean over cases of one component, t interval, cluster-robust."""
    if component not in sample.component_names:
        raise unfit(f"the metric has no component {component!r}.")
    values = components_of(sample)[:, sample.component_names.index(component)]
    return mean(values, clusters=sample.clusters, level=level, unit=unit)


_READERS = "Obuchowski 2014, doi:10.1016/j.acra.2014.07.004; Barnhart 2007, doi:10.1080/10543400701329489"


@summary(
    "individual_equivalence", needs=COMPONENTS, unit="1", difference=True, direction=Direction.LOWER,
    reference=_READERS,
)  # fmt: skip
def individual_equivalence(
    sample: Sample, *, level: float, unit: str, seed: int, readers: equivalence_index.Readers
) -> Estimate:
    """Disagreement of the proposal with readers minus that of readers with each other, patients as clusters."""
    one_of("readers", readers, ("nested", "crossed", "fixed"))
    return equivalence_index.individual_equivalence(sample, readers=readers, level=level)


@summary("inside_reader_spread", needs=COMPONENTS, unit="1", direction=Direction.HIGHER, reference=_READERS)
def inside_reader_spread(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Share of cases whose proposal is no farther from the readers than the farthest of them; three readers or more."""
    return equivalence_index.inside_spread(sample, level=level)
