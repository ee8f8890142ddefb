"""Delete-one-patient jackknife of any estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from validation.statistics.clusters import group
from validation.statistics.sample import Floats, Sample

Estimand = Callable[[Sample], float | None]

_VALUES_ONLY: ContextVar[bool] = ContextVar("values_only", default=False)


def leave_one_out(estimand: Estimand, sample: Sample) -> Floats | None:
    """Return the estimand without each patient in turn, shape (G,), patients in order of first appearance.

    ``None`` where it has no value without some patient: then one patient carries the estimate alone.
    """
    groups = group(sample.clusters, sample.n)
    found = np.empty(groups.count)
    with values_only():
        for g in range(groups.count):
            value = estimand(sample.subset(groups.codes != g))
            if value is None:
                return None
            found[g] = value
    return found


@contextmanager
def values_only() -> Iterator[None]:
    """Tell estimators that resample that only their value is wanted: a jackknife of a bootstrap would take hours."""
    token = _VALUES_ONLY.set(True)
    try:
        yield
    finally:
        _VALUES_ONLY.reset(token)


def only_value_wanted() -> bool:
    """Return whether the caller wants the value only, see :func:`values_only`."""
    return _VALUES_ONLY.get()


def jackknife_variance(without: Floats) -> float:
    """Return the jackknife variance, (G - 1)/G times the sum of squares about the mean of the G values.

    For a mean with one case per patient this is the squared standard error.

    >>> float(round(jackknife_variance(np.array([3.0, 2.5, 2.0, 1.5])), 4))  # means without 1 .. 4 give s2/n
    0.9375
    """
    g = len(without)
    return float((g - 1) / g * ((without - without.mean()) ** 2).sum())
