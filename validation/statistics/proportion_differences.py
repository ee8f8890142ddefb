"""Differences of two proportions: independent groups and the same cases, with patients as clusters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from validation.estimate import Estimate
from validation.statistics.clusters import group
from validation.statistics.means import mean
from validation.statistics.proportions import wilson

DifferenceInterval = Literal["newcombe", "miettinen_nurminen"]


def proportion_difference(
    events: int,
    n: int,
    events_comparator: int,
    n_comparator: int,
    *,
    level: float = 0.95,
    unit: str = "1",
    interval: DifferenceInterval = "newcombe",
) -> Estimate:
    """Estimate the difference of the proportions of two independent groups of independent cases.

    ``"newcombe"`` combines Wilson's limits of the groups (method 10); ``"miettinen_nurminen"`` inverts a score test.

    References
    ----------
    Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I; Miettinen and Nurminen 1985,
    doi:10.1002/sim.4780040211.

    Examples
    --------
    >>> e = proportion_difference(56, 70, 48, 80)  # Newcombe 1998, table II (a)
    >>> round(e.value, 4), round(e.lower, 4), round(e.upper, 4)
    (0.2, 0.0524, 0.3339)
    """
    for k, total in ((events, n), (events_comparator, n_comparator)):
        if not 0 <= k <= total:
            raise ValueError(f"events must lie between 0 and {total}, got {k}")
    label = f"difference of proportions, {'Newcombe' if interval == 'newcombe' else 'Miettinen-Nurminen'}"
    total, k = n + n_comparator, events + events_comparator
    if n == 0 or n_comparator == 0:
        return Estimate.insufficient("a group is empty", n=total, unit=unit, method=label, level=level, n_events=k)
    p1, p2 = events / n, events_comparator / n_comparator
    if interval == "newcombe":
        (l1, u1), (l2, u2) = wilson(p1, n, level), wilson(p2, n_comparator, level)
        lower = p1 - p2 - math.hypot(p1 - l1, u2 - p2)
        upper = p1 - p2 + math.hypot(u1 - p1, p2 - l2)
    else:
        lower, upper = _miettinen_nurminen(events, n, events_comparator, n_comparator, level)
    return Estimate(
        value=p1 - p2, lower=max(-1.0, lower), upper=min(1.0, upper), method=label, n=total, unit=unit, level=level,
        n_events=k,
    )  # fmt: skip


def paired_proportion_difference(
    events: ArrayLike,
    comparator: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1",
) -> Estimate:
    """Estimate the difference of two proportions of the same cases.

    Independent cases: Tango's score interval, which has width even where the arms never disagree. Several cases
    per patient: the cluster-robust t interval of the mean case difference; where it shows no spread, Tango's interval
    on the number of patients, which takes each patient as one case.

    Parameters
    ----------
    events, comparator
        Shape (n,), 0 or 1; cases without both are left out.

    Returns
    -------
    Estimate
        ``n_events`` counts cases in which the arms disagree.

    References
    ----------
    Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    Examples
    --------
    >>> e = paired_proportion_difference([1] * 36 + [0] * 14, [1] * 24 + [0] * 12 + [1] * 2 + [0] * 12)
    >>> round(e.value, 3), round(e.lower, 4), round(e.upper, 4)
    (0.2, 0.0611, 0.3447)
    """
    a, b = np.asarray(events, dtype=np.float64), np.asarray(comparator, dtype=np.float64)
    keep = ~(np.isnan(a) | np.isnan(b))
    a, b = a[keep], b[keep]
    if not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        raise ValueError("events must be 0 or 1")
    ids = None if clusters is None else np.asarray(clusters)[keep]
    groups = group(ids, len(a))
    n, gained, lost = len(a), int((a > b).sum()), int((a < b).sum())
    label = "paired difference of proportions"
    if n == 0 or (groups.count < 2 and not groups.single):
        reason = "no case has both values" if n == 0 else "all cases are of one patient"
        return Estimate.insufficient(
            reason, n=n, unit=unit, method=label, level=level, n_events=gained + lost, n_clusters=groups.count
        )
    value = (gained - lost) / n
    if not groups.single:
        robust = mean(a - b, clusters=ids, level=level, unit=unit, method=label)
        if robust.lower is not None and robust.upper is not None:
            return Estimate(
                value=value, lower=max(-1.0, robust.lower), upper=min(1.0, robust.upper), method=robust.method, n=n,
                unit=unit, level=level, n_events=gained + lost, n_clusters=groups.count,
            )  # fmt: skip
        share = groups.count / n
        lower, upper = tango(gained * share, lost * share, groups.count, level)
        label += ", Tango on the number of patients (no spread between patients)"
    else:
        lower, upper = tango(gained, lost, n, level)
        label += ", Tango"
    return Estimate(
        value=value, lower=min(lower, value), upper=max(upper, value), method=label, n=n, unit=unit, level=level,
        n_events=gained + lost, n_clusters=groups.count,
    )  # fmt: skip


def tango(gained: float, lost: float, n: float, level: float) -> tuple[float, float]:
    """Return Tango's score limits of a paired difference, from the two numbers of discordant pairs.

    >>> [round(limit, 4) for limit in tango(0, 0, 50, 0.95)]
    [-0.0713, 0.0713]
    """
    z = float(stats.norm.isf((1 - level) / 2))
    d = (gained - lost) / n

    def score(delta: float) -> float:
        a = 2 * n
        b = -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = max(n * (2 * q + delta * (1 - delta)), 1e-300)
        return (gained - lost - n * delta) / math.sqrt(variance)

    return _limit(score, z, -1.0, d), _limit(score, -z, d, 1.0)


def _miettinen_nurminen(x1: int, n1: int, x2: int, n2: int, level: float) -> tuple[float, float]:
    z, n = float(stats.norm.isf((1 - level) / 2)), n1 + n2
    d = x1 / n1 - x2 / n2

    def score(delta: float) -> float:
        p2 = _restricted(x1, n1, x2, n2, delta)
        p1 = p2 + delta
        variance = max((p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2) * n / (n - 1), 1e-300)
        return (d - delta) / math.sqrt(variance)

    return _limit(score, z, -1.0, d), _limit(score, -z, d, 1.0)


def _restricted(x1: int, n1: int, x2: int, n2: int, delta: float) -> float:
    """Return the maximum-likelihood proportion of group 2 when the difference is delta (the root of a cubic)."""
    a3 = n1 + n2
    a2 = (n1 + 2 * n2) * delta - a3 - x1 - x2
    a1 = (n2 * delta - a3 - 2 * x2) * delta + x1 + x2
    a0 = x2 * delta * (1 - delta)
    shift = a2 / (3 * a3)
    q = shift**3 - a1 * a2 / (6 * a3**2) + a0 / (2 * a3)
    p = math.copysign(math.sqrt(max(shift**2 - a1 / (3 * a3), 0.0)), q)
    angle = (math.pi + math.acos(min(1.0, max(-1.0, q / p**3 if p else 0.0)))) / 3
    return min(max(2 * p * math.cos(angle) - shift, max(0.0, -delta)), min(1.0, 1 - delta))


def _limit(score: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Return where the decreasing score crosses the target between low and high, or the end that it does not reach."""

    def gap(delta: float) -> float:
        return score(delta) - target

    inset = 1e-12
    low, high = low + inset, high - inset
    if low >= high or gap(low) <= 0:
        return low - inset
    if gap(high) >= 0:
        return high + inset
    return float(optimize.brentq(gap, low, high, xtol=1e-13))
