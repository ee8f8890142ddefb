"""Gaps between groups from the intervals of the groups: differences, ratios, and the range over all groups.

Every interval here is made by the method of variance estimates recovery (MOVER): the limits of a difference are
recovered from the limits of its two parts, so that a gap inherits what makes Wilson's or DeLong's interval hold for
few cases. Simultaneous coverage is by Bonferroni: with m gaps in the family, the parts are estimated at level 1 -
alpha/m.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from validation.estimate import Estimate
from validation.fairness.cells import Cell
from validation.fairness.measures import Mask, Measure
from validation.statistics.clusters import group

_GROUPS = 100
ByLevel = Callable[[str, float], Estimate]


def simultaneous(level: float, comparisons: int) -> float:
    """Return the level of each of m intervals that hold together with at least the level wanted (Bonferroni).

    >>> round(simultaneous(0.95, 5), 6)
    0.99
    """
    return 1 - (1 - level) / max(1, comparisons)


def difference(
    a: Estimate, b: Estimate, *, correlation: float = 0.0, limits: tuple[float, float] | None = None
) -> Estimate:
    r"""Return the difference of two estimates with MOVER limits.

    .. math:: L = d - \sqrt{(a-l_a)^2 - 2\rho(a-l_a)(u_b-b) + (u_b-b)^2}

    and the mirror image for U. For two independent proportions with Wilson's limits this is Newcombe's interval.

    Parameters
    ----------
    a, b
        Estimates at the same level.
    correlation
        Correlation of the two estimators (same patients in both groups), 0 if independent.
    limits
        Range of each part; the difference is clipped to ``limits[0] - limits[1]`` and its negative.

    References
    ----------
    Zou and Donner 2008, doi:10.1002/sim.3095; Newcombe 1998 (method 10).

    Examples
    --------
    >>> from validation.statistics.proportions import proportion
    >>> e = difference(proportion([1] * 56 + [0] * 14), proportion([1] * 48 + [0] * 32))  # Newcombe 1998, table II (a)
    >>> round(e.value, 4), round(e.lower, 4), round(e.upper, 4)
    (0.2, 0.0524, 0.3339)
    """
    label = f"difference, MOVER from: {a.method}" + (f"; correlation {correlation:.2f}" if correlation else "")
    counts: dict[str, Any] = {
        "n": a.n + b.n,
        "unit": a.unit,
        "level": a.level,
        "n_clusters": _sum(a.n_clusters, b.n_clusters),
    }
    if a.value is None or b.value is None:
        return Estimate.insufficient(a.reason or b.reason, method=label, **counts)
    value = a.value - b.value
    lower = upper = None
    if None not in (a.lower, a.upper, b.lower, b.upper):
        down_a, up_a = a.value - float(a.lower or 0.0), float(a.upper or 0.0) - a.value
        down_b, up_b = b.value - float(b.lower or 0.0), float(b.upper or 0.0) - b.value
        lower = value - math.sqrt(max(0.0, down_a**2 - 2 * correlation * down_a * up_b + up_b**2))
        upper = value + math.sqrt(max(0.0, up_a**2 - 2 * correlation * up_a * down_b + down_b**2))
        if limits is not None:
            span = limits[1] - limits[0]
            lower, upper = max(-span, lower), min(span, upper)
    reason = "" if lower is not None else a.reason or b.reason or "a group has no interval"
    return Estimate(value=value, lower=lower, upper=upper, method=label, reason=reason, **counts)


def ratio(a: Estimate, b: Estimate) -> Estimate:
    """Return the ratio of two independent estimates that are not negative, with MOVER limits.

    The upper limit is ``None`` where the denominator may be zero.

    References
    ----------
    Donner and Zou 2012, Statistical Methods in Medical Research 21:347-359.

    Examples
    --------
    >>> from validation.statistics.proportions import proportion
    >>> e = ratio(proportion([1] * 20 + [0] * 80), proportion([1] * 40 + [0] * 60))
    >>> round(e.value, 3), e.lower < 0.5 < e.upper
    (0.5, True)
    """
    label = f"ratio, MOVER from: {a.method}"
    counts: dict[str, Any] = {
        "n": a.n + b.n,
        "unit": "1",
        "level": a.level,
        "n_clusters": _sum(a.n_clusters, b.n_clusters),
    }
    if a.value is None or b.value is None:
        return Estimate.insufficient(a.reason or b.reason, method=label, **counts)
    if b.value == 0:
        return Estimate.insufficient("the denominator is zero", method=label, **counts)
    value, lower, upper = a.value / b.value, None, None
    if None not in (a.lower, a.upper, b.lower, b.upper):
        la, ua, lb, ub = (max(0.0, float(x or 0.0)) for x in (a.lower, a.upper, b.lower, b.upper))
        product = a.value * b.value
        lower = (product - math.sqrt(max(0.0, product**2 - la * ub * (2 * a.value - la) * (2 * b.value - ub)))) / (
            ub * (2 * b.value - ub)
        ) if 2 * b.value > ub else _fieller_lower(a.value, b.value, la, ub)  # fmt: skip
        if lb > 0:
            upper = (product + math.sqrt(max(0.0, product**2 - ua * lb * (2 * a.value - ua) * (2 * b.value - lb)))) / (
                lb * (2 * b.value - lb)
            )
        lower = min(max(0.0, lower), value)
        upper = None if upper is None else max(upper, value)
    reason = "" if upper is not None else "the denominator may be zero, so the ratio has no upper limit"
    return Estimate(value=value, lower=lower, upper=upper, method=label, reason=reason, **counts)


def _fieller_lower(a: float, b: float, la: float, ub: float) -> float:
    """Return the lower limit where the upper limit of the denominator is at least twice its value.

    The limit solves (a - R b)^2 = (a - la)^2 + R^2 (ub - b)^2; bisection avoids the sign changes of the closed form.
    """
    low, high = 0.0, a / b
    for _ in range(80):
        middle = (low + high) / 2
        if a - middle * b > math.hypot(a - la, middle * (ub - b)):
            low = middle
        else:
            high = middle
    return low


def extremes(
    estimate: ByLevel, cells: Sequence[str], level: float, *, limits: tuple[float, float] | None, with_ratio: bool
) -> tuple[Estimate, Estimate | None]:
    r"""Return the difference of the largest and the smallest group, and the ratio of the smallest to the largest.

    The groups are chosen by the data, so the interval covers whichever they are: with simultaneous limits of all
    K(K-1)/2 pairs, the range :math:`\max_{ij}(\theta_i-\theta_j)` lies between the largest lower and the largest upper
    limit.

    Parameters
    ----------
    estimate
        Returns the estimate of a named cell at a level.
    cells
        Cells that take part (those with enough patients).
    """
    k = len(cells)
    each = simultaneous(level, k * (k - 1) // 2)
    parts = {name: estimate(name, each) for name in cells}
    used = {name: e for name, e in parts.items() if e.value is not None}
    label = f"range over {len(used)} groups, Bonferroni over pairs, MOVER"
    n = sum(e.n for e in used.values())
    if len(used) < 2:
        lacking = Estimate.insufficient(
            "fewer than two groups have enough patients to be compared", n=n, unit="1", method=label, level=level
        )
        return lacking, (lacking if with_ratio else None)
    values = {name: float(e.value) for name, e in used.items() if e.value is not None}
    top, bottom = max(values, key=lambda m: values[m]), min(values, key=lambda m: values[m])
    pairs = [difference(used[i], used[j], limits=limits) for i, j in combinations(used, 2)]
    bounded = [p for p in pairs if p.lower is not None and p.upper is not None]
    unit = next(iter(used.values())).unit
    wide = Estimate(
        value=values[top] - values[bottom],
        lower=max([0.0, *(max(float(p.lower or 0), -float(p.upper or 0)) for p in bounded)])
        if len(bounded) == len(pairs)
        else None,
        upper=max(max(float(p.upper or 0), -float(p.lower or 0)) for p in bounded)
        if len(bounded) == len(pairs)
        else None,
        method=f"{label}; largest {top}, smallest {bottom}", n=n, unit=unit, level=level,
        reason="" if len(bounded) == len(pairs) else "a group has no interval",
    )  # fmt: skip
    if not with_ratio:
        return wide, None
    ratios = [ratio(used[i], used[j]) for i in used for j in used if i != j]
    label = f"smallest over largest of {len(used)} groups, Bonferroni over pairs, MOVER"
    if values[top] == 0:
        return wide, Estimate.insufficient("the rate is zero in every group", n=n, unit="1", method=label, level=level)
    lowers = [r.lower for r in ratios]
    uppers = [math.inf if r.upper is None else r.upper for r in ratios]
    proportionate = Estimate(
        value=values[bottom] / values[top], lower=min(x if x is not None else 0.0 for x in lowers),
        upper=min(1.0, *uppers), method=f"{label}; largest {top}, smallest {bottom}", n=n, unit="1", level=level,
    )  # fmt: skip
    return wide, proportionate


def correlations(
    measure: Measure, pairs: Mapping[str, tuple[Mask, Mask]], clusters: ArrayLike | None, n: int, *, seed: int = 1
) -> dict[str, float]:
    """Return the correlation of the two estimators of each pair whose cases share patients, by a grouped jackknife.

    Patients are dealt into at most 100 random groups and each is left out in turn; pairs without a common patient
    are not estimated and have correlation 0.
    """
    groups = group(clusters, n)
    needed = {name: pair for name, pair in pairs.items() if _shared(*pair, groups.codes)}
    if not needed:
        return {}
    parts = min(_GROUPS, groups.count)
    rng = np.random.Generator(np.random.Philox(seed))
    part_of = rng.permutation(np.arange(groups.count) % parts)[groups.codes]
    found = {}
    for name, (a, b) in needed.items():
        left: list[tuple[float, float]] = []
        for part in range(parts):
            keep = part_of != part
            x, y = measure.estimator(a & keep, 0.5).value, measure.estimator(b & keep, 0.5).value
            if x is not None and y is not None:
                left.append((x, y))
        deltas = np.array(left)
        if len(left) < 3 or np.ptp(deltas[:, 0]) == 0 or np.ptp(deltas[:, 1]) == 0:
            found[name] = 0.0
        else:
            found[name] = float(np.clip(np.corrcoef(deltas.T)[0, 1], -1.0, 1.0))
    return found


def _shared(a: Mask, b: Mask, codes: NDArray[np.intp]) -> bool:
    return bool(np.intersect1d(codes[a], codes[b], assume_unique=False).size)


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def reference_mask(cell: Cell, cells: Sequence[Cell], reference: str) -> tuple[Mask, str]:
    """Return the cases that a cell is compared with, and how they are called.

    ``rest``: all other cases with a level of the same attributes; ``overall``: all of them; else a cell's name.
    """
    family = [c for c in cells if c.attributes == cell.attributes]
    named = next((c for c in family if c.name == reference), None)
    if named is not None:
        return named.mask, named.name
    everyone = np.logical_or.reduce([c.mask for c in family])
    return (everyone, "overall") if reference == "overall" else (everyone & ~cell.mask, "rest")
