"""What summaries ask of a sample and of the parameters that a protocol gives them."""

from __future__ import annotations

import operator
from typing import Any, Literal

import numpy as np

from validation.errors import ProtocolProblem
from validation.statistics import spectra
from validation.statistics.sample import Floats, Sample

Comparison = Literal[">=", ">", "<=", "<"]

COMPARATOR = frozenset({"comparator"})
LABELS = frozenset({"labels"})
COMPONENTS = frozenset({"components"})
COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
OPPOSITE: dict[Comparison, Comparison] = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}


def comparator_of(sample: Sample) -> Floats:
    """Return the values of the comparator arm."""
    if sample.comparator is None:
        raise ValueError("this summary needs a comparator; the caller checks `Summary.needs`")
    return sample.comparator


def labels_of(sample: Sample) -> Floats:
    """Return the truth of each case."""
    if sample.labels is None:
        raise ValueError("this summary needs labels; the caller checks `Summary.needs`")
    return sample.labels


def events_of(values: Floats, threshold: float | None, comparison: Any) -> Floats:
    """Return 0/1 events with NaN kept; without a threshold the values must be 0 or 1 already."""
    if threshold is None:
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            raise unfit("the metric has values other than 0 and 1, so a share of cases needs a `threshold`.")
        return values
    one_of("comparison", comparison, tuple(COMPARISONS))
    return np.where(np.isnan(values), np.nan, COMPARISONS[comparison](values, threshold).astype(np.float64))


def one_of(name: str, given: Any, allowed: tuple[str, ...]) -> None:
    """Refuse a parameter that is not one of the allowed words."""
    if given not in allowed:
        raise unfit(f"`{name}` must be one of {', '.join(allowed)}, got {given!r}.")


def unfit(what: str) -> ProtocolProblem:
    """Return the problem of a parameter that does not fit the summary or the metric."""
    return ProtocolProblem(
        what,
        code="STAT-003",
        where="summary_parameters",
        why="The summary cannot be computed as the protocol asks.",
        action="Correct them, or choose another summary; `validation list summaries` shows what each takes.",
    )


def frequencies_of(sample: Sample) -> Floats:
    """Return the frequencies that name the components of a spectrum."""
    try:
        return spectra.frequencies(sample.component_names)
    except ValueError:
        raise unfit("the metric is not a spectrum: its components are not named by frequencies.") from None


def components_of(sample: Sample) -> Floats:
    """Return the components of the judged arm."""
    if sample.components is None:
        raise ValueError("this summary needs components; the caller checks `Summary.needs`")
    return sample.components


def comparator_components_of(sample: Sample) -> Floats:
    """Return the components of the comparator arm."""
    if sample.comparator_components is None:
        raise ValueError("this summary needs comparator components; the caller checks `Summary.needs`")
    return sample.comparator_components
