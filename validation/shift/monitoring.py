"""Watching a quality over time: CUSUM charts designed for an average run length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from validation.errors import UsageProblem
from validation.shift.groups import Floats

Side = Literal["upper", "lower"]
STATES = 200


@dataclass(frozen=True, kw_only=True)
class CusumPlan:
    """A one-sided CUSUM chart fixed in advance.

    Values are standardised by ``target`` and ``sd`` of the baseline; the chart adds what exceeds the allowance k and
    alarms above the limit h. ``arl_in_control``: mean number of values until a false alarm; ``arl_shifted``: until an
    alarm when the mean has moved by ``shift`` standard deviations.
    """

    target: float
    sd: float
    allowance: float
    limit: float
    side: Side
    shift: float
    arl_in_control: float
    arl_shifted: float


def average_run_length(allowance: float, limit: float, shift: float = 0.0, states: int = STATES) -> float:
    """Return the average run length of a one-sided CUSUM of normal values, by the Markov chain of Brook and Evans.

    The chart is C = max(0, C + z - k) with an alarm at C > h, started at 0.

    References
    ----------
    Brook and Evans 1972, doi:10.1093/biomet/59.3.539.

    Examples
    --------
    >>> round(average_run_length(0.5, 5.0)), round(average_run_length(0.5, 5.0, shift=1.0), 2)
    (931, 10.38)
    """
    width = 2 * limit / (2 * states - 1)
    i = np.arange(states)
    upper = (i[None, :] - i[:, None] + 0.5) * width + allowance - shift
    matrix = stats.norm.cdf(upper) - stats.norm.cdf(upper - width)
    matrix[:, 0] = stats.norm.cdf(upper[:, 0])
    return float(np.linalg.solve(np.eye(states) - matrix, np.ones(states))[0])


def siegmund(allowance: float, limit: float, shift: float = 0.0) -> float:
    """Return Siegmund's approximation of the average run length, a check on the Markov chain.

    >>> round(siegmund(0.5, 5.0), 0)
    938.0

    References
    ----------
    Siegmund 1985, Sequential Analysis, section 2.6.
    """
    delta, b = shift - allowance, limit + 1.166
    if abs(delta) < 1e-9:
        return b * b
    return (math.exp(-2 * delta * b) + 2 * delta * b - 1) / (2 * delta * delta)


def design_cusum(baseline: ArrayLike, *, shift: float = 1.0, arl: float = 500.0, side: Side = "upper") -> CusumPlan:
    """Return the chart whose average run length without change is ``arl`` and which is tuned to a shift.

    The allowance is half the shift (optimal for that shift, Moustakides 1986), the limit is solved from the Markov
    chain. ``target`` and ``sd`` are estimated from the baseline values (one per patient or period, independent); with
    few of them the realised run length varies, so at least 30 are wanted.

    Parameters
    ----------
    baseline
        Values of the stable period, shape (n,).
    shift
        Change of the mean to be found, in standard deviations.
    arl
        Mean number of values until a false alarm.
    side
        ``upper`` watches for larger values, ``lower`` for smaller.

    Raises
    ------
    UsageProblem
        SHF-011 with fewer than 30 values, without spread, or if arl or shift are out of range.
    """
    y = np.asarray(baseline, dtype=np.float64)
    y = y[np.isfinite(y)]
    if len(y) < 30 or np.ptp(y) == 0:
        raise UsageProblem(
            f"a chart needs at least 30 baseline values that vary; there are {len(y)}.",
            code="SHF-011",
            why="Its false-alarm rate depends on the mean and spread of the stable period.",
        )
    if not (shift > 0 and 10 <= arl <= 1e6):
        raise UsageProblem("the shift must be positive and the run length 10 to 1,000,000.", code="SHF-011")
    k = shift / 2

    def gap(h: float) -> float:
        return math.log(average_run_length(k, h)) - math.log(arl)

    low, high = 1e-3, 1.0
    while gap(high) < 0:
        low, high = high, high * 2
    h = float(optimize.brentq(gap, low, high, xtol=1e-6)) if gap(low) < 0 else low
    return CusumPlan(
        target=float(y.mean()), sd=float(y.std(ddof=1)), allowance=k, limit=h, side=side, shift=shift,
        arl_in_control=average_run_length(k, h), arl_shifted=average_run_length(k, h, shift),
    )  # fmt: skip


def run_cusum(plan: CusumPlan, values: ArrayLike) -> dict[str, Any]:
    """Return the chart of new values: the path, and the index of the first alarm (``None`` if there is none).

    A missing value leaves the chart where it is. After an alarm the path goes on, so that its course can be seen.
    """
    z = (np.asarray(values, dtype=np.float64) - plan.target) / plan.sd
    z = z if plan.side == "upper" else -z
    path, level = [], 0.0
    for value in z:
        if math.isfinite(value):
            level = max(0.0, level + float(value) - plan.allowance)
        path.append(level)
    alarm = next((i for i, c in enumerate(path) if c > plan.limit), None)
    return {"path": path, "limit": plan.limit, "alarm": alarm}


def simulate_run_lengths(plan: CusumPlan, *, shift: float = 0.0, runs: int = 2000, seed: int = 1) -> Floats:
    """Return simulated run lengths (runs,) of a chart with known target and spread, to check the design."""
    rng = np.random.Generator(np.random.Philox(seed))
    level, length = np.zeros(runs), np.zeros(runs)
    alive = np.ones(runs, dtype=bool)
    while alive.any():
        level[alive] = np.maximum(0.0, level[alive] + rng.standard_normal(int(alive.sum())) + shift - plan.allowance)
        length[alive] += 1
        alive &= level <= plan.limit
    return length


def per_patient(values: Sequence[float], clusters: Sequence[Any]) -> tuple[Floats, list[Any]]:
    """Return one value per patient, the mean of its cases, in order of appearance: charts need independent values.

    >>> per_patient([1.0, 3.0, 5.0], ["a", "a", "b"])[0].tolist()
    [2.0, 5.0]
    """
    from validation.statistics.clusters import group

    y = np.asarray(values, dtype=np.float64)
    keep = np.isfinite(y)
    ids = [c for c, k in zip(clusters, keep, strict=True) if k]
    groups = group(ids, int(keep.sum()))
    return groups.sums(y[keep]) / groups.sizes, list(dict.fromkeys(ids))
