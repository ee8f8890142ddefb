"""Shares of counted things (lesions, findings, statements) that several of one case and patient belong to."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.statistics.proportions import Interval, proportion


def counted_share(
    events: ArrayLike,
    of: ArrayLike,
    *,
    clusters: ArrayLike,
    level: float = 0.95,
    unit: str = "1",
    interval: Interval = "wilson",
) -> Estimate:
    """Estimate the share of counted things with an event, all things together, patients as clusters.

    Every thing counts the same, wherever it is; things of one patient are never taken as independent (effective sample
    size, see :func:`~validation.statistics.proportions.proportion`). Without any event, or without any exception,
    things of one patient are taken as perfectly correlated, so that the limit rests on patients.

    Parameters
    ----------
    events, of
        Shape (n,): how many things of each case have the event, of how many; cases with a missing count are left out.
    clusters
        Patient of each case.

    Returns
    -------
    Estimate
        ``n`` counts the things. Insufficient where there is none.

    Raises
    ------
    DataProblem
        If a case has more events than things (STAT-004).

    Examples
    --------
    >>> e = counted_share([1, 0, 2], [2, 1, 2], clusters=["a", "b", "c"])
    >>> e.value, e.n, e.n_clusters
    (0.6, 5, 3)
    """
    x, n = np.asarray(events, dtype=np.float64), np.asarray(of, dtype=np.float64)
    keep = np.isfinite(x) & np.isfinite(n)
    x, n, who = x[keep], n[keep], np.asarray(clusters)[keep]
    if (x > n).any() or (x < 0).any() or (x != np.floor(x)).any() or (n != np.floor(n)).any():
        raise DataProblem(
            "a case has more events than things that could have them, or counts that are not whole.",
            code="STAT-004",
            where="component_share",
            why="A share of counts would lie outside 0 to 1.",
            action="Name the component that counts the things under `of`.",
        )
    hits, misses = x.astype(np.intp), (n - x).astype(np.intp)
    listed = np.concatenate([np.ones(int(hits.sum())), np.zeros(int(misses.sum()))])
    owners = np.concatenate([np.repeat(who, hits), np.repeat(who, misses)])
    if not len(listed):
        return Estimate.insufficient(
            "there is nothing to count", n=0, unit=unit, method="share of counts", level=level, n_clusters=0
        )
    return proportion(listed, clusters=owners, level=level, unit=unit, interval=interval)
