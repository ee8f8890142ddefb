"""Summaries of vector metrics: model-observer detectability and noise power spectra."""

from __future__ import annotations

from validation.estimate import Estimate
from validation.registry import Direction, summary
from validation.statistics import detectability as observer
from validation.statistics import spectra
from validation.statistics.detectability import Figure
from validation.statistics.sample import Sample
from validation.statistics.summary_inputs import (
    COMPARATOR,
    COMPONENTS,
    LABELS,
    comparator_components_of,
    components_of,
    frequencies_of,
    labels_of,
    one_of,
)


@summary(
    "detectability", needs=COMPONENTS | LABELS, unit="1", direction=Direction.HIGHER,
    reference="doi:10.1109/TMI.2014.2360496",
)  # fmt: skip
def detectability(sample: Sample, *, level: float, unit: str, seed: int, figure: Figure = "d_prime") -> Estimate:
    """Estimate detectability (d' or AUC) by a channelised Hotelling observer; exact, or jackknife of clusters."""
    one_of("figure", figure, ("d_prime", "auc"))
    return observer.detectability(
        components_of(sample), labels_of(sample), clusters=sample.clusters, level=level, unit=unit, figure=figure
    )


@summary(
    "detectability_difference", needs=COMPONENTS | LABELS | COMPARATOR, unit="1", difference=True,
    direction=Direction.HIGHER, reference="doi:10.1109/TMI.2014.2360496",
)  # fmt: skip
def detectability_difference(
    sample: Sample, *, level: float, unit: str, seed: int, figure: Figure = "d_prime"
) -> Estimate:
    """Estimate detectability of output minus comparator, with a paired jackknife interval of clusters."""
    one_of("figure", figure, ("d_prime", "auc"))
    return observer.detectability_difference(
        components_of(sample),
        comparator_components_of(sample),
        labels_of(sample),
        clusters=sample.clusters,
        level=level,
        unit=unit,
        figure=figure,
    )


@summary("spectrum_mean", needs=COMPONENTS, unit="1/mm", direction=Direction.NONE, reference="ICRU Report 87 (2012)")
def spectrum_mean(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean frequency of the noise power spectrum averaged over cases, Fieller's interval, cluster-robust."""
    return spectra.spectrum_mean(
        components_of(sample),
        frequencies_of(sample),
        clusters=sample.clusters,
        level=level,
        unit=unit,
    )


@summary(
    "spectrum_mean_difference", needs=COMPONENTS | COMPARATOR, unit="1/mm", difference=True,
    direction=Direction.ZERO, reference="ICRU Report 87 (2012)",
)  # fmt: skip
def spectrum_mean_difference(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean frequency of the output's noise power spectrum minus the comparator's, cluster-robust t interval."""
    return spectra.spectrum_mean_difference(
        components_of(sample),
        comparator_components_of(sample),
        frequencies_of(sample),
        clusters=sample.clusters,
        level=level,
        unit=unit,
    )
