"""The summaries that an endpoint can name: from a sample of measurements to one estimate.

Every summary has the signature ``(sample, *, level, unit, seed, **parameters) -> Estimate``. ``seed`` is used by those
that resample. Values that are NaN are missing and left out (pairwise, where two values are compared); how many is
for the caller to report, and :mod:`validation.statistics.missing_data` shows what they could change.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from validation.errors import ProtocolProblem
from validation.estimate import Estimate
from validation.registry import Direction, summary
from validation.statistics import detectability as observer
from validation.statistics import means, proportion_differences, proportions, ranks, ratios, resampling, roc, spectra
from validation.statistics.detectability import Figure
from validation.statistics.resampling import BootstrapInterval as Bootstrapped
from validation.statistics.sample import Floats, Sample

Comparison = Literal[">=", ">", "<=", "<"]
_COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_OPPOSITE: dict[Comparison, Comparison] = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}
_COMPARATOR = frozenset({"comparator"})
_COMPONENTS = frozenset({"components"})
_LABELS = frozenset({"labels"})


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
    needs=_COMPARATOR,
    difference=True,
    reference="Student's paired t; CR3: arXiv:2301.04527",
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
    _one_of("interval", interval, ("wilson", "clopper_pearson"))
    events = _events(sample.values, threshold, comparison)
    return proportions.proportion(events, clusters=sample.clusters, level=level, unit=unit, interval=interval)


@summary(
    "auc", needs=_LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2531595; doi:10.2307/2533958"
)
def auc(sample: Sample, *, level: float, unit: str, seed: int, interval: roc.AucInterval = "logit") -> Estimate:
    """Area under the ROC curve of the values for the labels, DeLong or, with several cases per patient, Obuchowski."""
    _one_of("interval", interval, ("logit", "wald"))
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


@summary("sensitivity", needs=_LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2532311")
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
    _one_of("interval", interval, ("wilson", "clopper_pearson"))
    part = sample.subset(_labels(sample) == 1)
    events = _events(part.values, threshold, comparison)
    return proportions.proportion(events, clusters=part.clusters, level=level, unit=unit, interval=interval)


@summary("specificity", needs=_LABELS, unit="1", direction=Direction.HIGHER, reference="doi:10.2307/2532311")
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
    _one_of("interval", interval, ("wilson", "clopper_pearson"))
    part = sample.subset(_labels(sample) == 0)
    events = 1 - _events(part.values, threshold, comparison)
    return proportions.proportion(events, clusters=part.clusters, level=level, unit=unit, interval=interval)


_PAIRED = "doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B"


@summary("paired_proportion_difference", needs=_COMPARATOR, unit="1", difference=True, reference=_PAIRED)
def paired_proportion_difference(
    sample: Sample, *, level: float, unit: str, seed: int, threshold: float | None = None, comparison: Comparison = ">="
) -> Estimate:
    """Share of cases with the event, output minus comparator; Tango's interval, or cluster-robust."""
    return proportion_differences.paired_proportion_difference(
        _events(sample.values, threshold, comparison),
        _events(_comparator(sample), threshold, comparison),
        clusters=sample.clusters,
        level=level,
        unit=unit,
    )


@summary(
    "sensitivity_difference", needs=_COMPARATOR | _LABELS, unit="1", difference=True, direction=Direction.HIGHER,
    reference=_PAIRED,
)  # fmt: skip
def sensitivity_difference(
    sample: Sample, *, level: float, unit: str, seed: int, threshold: float, comparison: Comparison = ">="
) -> Estimate:
    """Sensitivity of the output minus that of the comparator on the same positive cases."""
    part = sample.subset(_labels(sample) == 1)
    return paired_proportion_difference(
        part, level=level, unit=unit, seed=seed, threshold=threshold, comparison=comparison
    )


@summary(
    "specificity_difference", needs=_COMPARATOR | _LABELS, unit="1", difference=True, direction=Direction.HIGHER,
    reference=_PAIRED,
)  # fmt: skip
def specificity_difference(
    sample: Sample, *, level: float, unit: str, seed: int, threshold: float, comparison: Comparison = ">="
) -> Estimate:
    """Specificity of the output minus that of the comparator on the same negative cases."""
    _one_of("comparison", comparison, tuple(_COMPARE))
    part = sample.subset(_labels(sample) == 0)
    return paired_proportion_difference(
        part, level=level, unit=unit, seed=seed, threshold=threshold, comparison=_OPPOSITE[comparison]
    )


@summary("hodges_lehmann", needs=_COMPARATOR, difference=True, reference="doi:10.1214/aoms/1177704172")
def hodges_lehmann(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Pseudo-median of output minus comparator with the interval of Wilcoxon's signed-rank test, over patients."""
    return ranks.hodges_lehmann(sample.values, _comparator(sample), clusters=sample.clusters, level=level, unit=unit)


@summary("bootstrap_mean", reference="doi:10.1080/01621459.1987.10478410")
def bootstrap_mean(
    sample: Sample, *, level: float, unit: str, seed: int, interval: Bootstrapped = "bca", replicates: int = 2000
) -> Estimate:
    """Mean over cases with a patient-clustered bootstrap interval, BCa or percentile."""
    made = _replicates(
        sample,
        ("mean", replicates, seed),
        lambda: resampling.mean_bootstrap(sample.values, clusters=sample.clusters, replicates=replicates, seed=seed),
    )
    return _bootstrapped(made, level, unit, "mean", interval)


@summary(
    "bootstrap_mean_difference", needs=_COMPARATOR, difference=True, reference="doi:10.1080/01621459.1987.10478410"
)
def bootstrap_mean_difference(
    sample: Sample, *, level: float, unit: str, seed: int, interval: Bootstrapped = "bca", replicates: int = 2000
) -> Estimate:
    """Mean of output minus comparator with a patient-clustered bootstrap interval, BCa or percentile."""
    made = _replicates(
        sample,
        ("mean_difference", replicates, seed),
        lambda: resampling.mean_bootstrap(
            means.difference(sample.values, _comparator(sample)),
            clusters=sample.clusters,
            replicates=replicates,
            seed=seed,
        ),
    )
    return _bootstrapped(made, level, unit, "paired mean difference", interval)


@summary("quantile", reference="Davison and Hinkley 1997, Bootstrap Methods and their Application")
def quantile(sample: Sample, *, level: float, unit: str, seed: int, q: float = 0.5, replicates: int = 2000) -> Estimate:
    """Quantile over cases (the median by default) with a patient-clustered percentile bootstrap interval."""
    if not 0 < q < 1:
        raise _unfit(f"`q` must lie between 0 and 1, got {q}.")
    made = _replicates(
        sample,
        ("quantile", q, replicates, seed),
        lambda: resampling.quantile_bootstrap(
            sample.values, q, clusters=sample.clusters, replicates=replicates, seed=seed
        ),
    )
    return _bootstrapped(made, level, unit, f"quantile {q:g}", "percentile")


# --- summaries of vector metrics


@summary(
    "detectability", needs=_COMPONENTS | _LABELS, unit="1", direction=Direction.HIGHER,
    reference="doi:10.1109/TMI.2014.2360496",
)  # fmt: skip
def detectability(sample: Sample, *, level: float, unit: str, seed: int, figure: Figure = "d_prime") -> Estimate:
    """Estimate detectability (d' or AUC) by a channelised Hotelling observer; exact, or jackknife of clusters."""
    _one_of("figure", figure, ("d_prime", "auc"))
    return observer.detectability(
        _components(sample), _labels(sample), clusters=sample.clusters, level=level, unit=unit, figure=figure
    )


@summary(
    "detectability_difference", needs=_COMPONENTS | _LABELS | _COMPARATOR, unit="1", difference=True,
    direction=Direction.HIGHER, reference="doi:10.1109/TMI.2014.2360496",
)  # fmt: skip
def detectability_difference(
    sample: Sample, *, level: float, unit: str, seed: int, figure: Figure = "d_prime"
) -> Estimate:
    """Estimate detectability of output minus comparator, with a paired jackknife interval of clusters."""
    _one_of("figure", figure, ("d_prime", "auc"))
    return observer.detectability_difference(
        _components(sample),
        _comparator_components(sample),
        _labels(sample),
        clusters=sample.clusters,
        level=level,
        unit=unit,
        figure=figure,
    )


@summary("spectrum_mean", needs=_COMPONENTS, unit="1/mm", direction=Direction.NONE, reference="ICRU Report 87 (2012)")
def spectrum_mean(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean frequency of the noise power spectrum averaged over cases, Fieller's interval, cluster-robust."""
    return spectra.spectrum_mean(
        _components(sample),
        _frequencies(sample),
        clusters=sample.clusters,
        level=level,
        unit=unit,
    )


@summary(
    "spectrum_mean_difference", needs=_COMPONENTS | _COMPARATOR, unit="1/mm", difference=True,
    direction=Direction.ZERO, reference="ICRU Report 87 (2012)",
)  # fmt: skip
def spectrum_mean_difference(sample: Sample, *, level: float, unit: str, seed: int) -> Estimate:
    """Mean frequency of the output's noise power spectrum minus the comparator's, cluster-robust t interval."""
    return spectra.spectrum_mean_difference(
        _components(sample),
        _comparator_components(sample),
        _frequencies(sample),
        clusters=sample.clusters,
        level=level,
        unit=unit,
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
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            raise _unfit("the metric has values other than 0 and 1, so a share of cases needs a `threshold`.")
        return values
    _one_of("comparison", comparison, tuple(_COMPARE))
    return np.where(np.isnan(values), np.nan, _COMPARE[comparison](values, threshold).astype(np.float64))


def _one_of(name: str, given: Any, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise _unfit(f"`{name}` must be one of {', '.join(allowed)}, got {given!r}.")


def _unfit(what: str) -> ProtocolProblem:
    return ProtocolProblem(
        what,
        code="STAT-003",
        where="summary_parameters",
        why="The summary cannot be computed as the protocol asks.",
        action="Correct `summary_parameters` of the endpoint, or choose another summary; see `validation list summaries`.",
    )


def _frequencies(sample: Sample) -> Floats:
    try:
        return spectra.frequencies(sample.component_names)
    except ValueError:
        raise _unfit("the metric is not a spectrum: its components are not named by frequencies.") from None


def _components(sample: Sample) -> Floats:
    if sample.components is None:
        raise ValueError("this summary needs components; the caller checks `Summary.needs`")
    return sample.components


def _comparator_components(sample: Sample) -> Floats:
    if sample.comparator_components is None:
        raise ValueError("this summary needs comparator components; the caller checks `Summary.needs`")
    return sample.comparator_components


_Made = tuple[resampling.Bootstrap | None, int, int]
_CACHE: WeakKeyDictionary[Sample, dict[tuple[Any, ...], _Made]] = WeakKeyDictionary()


def _replicates(sample: Sample, key: tuple[Any, ...], make: Callable[[], _Made]) -> _Made:
    """Return replicates made before for this very sample: a p-value reads dozens of intervals from the same ones."""
    kept = _CACHE.setdefault(sample, {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


def _bootstrapped(made: _Made, level: float, unit: str, what: str, interval: Bootstrapped) -> Estimate:
    _one_of("interval", interval, ("percentile", "bca"))
    fit, n, g = made
    return resampling.bootstrap_estimate(fit, n=n, n_clusters=g, level=level, unit=unit, what=what, interval=interval)
