"""Predictive values at a stated prevalence."""

from __future__ import annotations

import math

from validation.estimate import Estimate


def predictive_value(right: Estimate, other: Estimate, odds: float, level: float, name: str) -> Estimate:
    """Return P(state | call) from P(call | state), P(no call | other state) and the prior odds of the state.

    Bayes' theorem at a stated prevalence, not that of an enriched sample. The limits follow from an interval of the
    likelihood ratio (MOVER on the limits of sensitivity and specificity).

    Parameters
    ----------
    right, other
        For a positive predictive value sensitivity and specificity; for a negative one the other way round.
    odds
        Prevalence over its complement; for a negative predictive value the inverse.

    References
    ----------
    Donner and Zou 2012 (Stat Methods Med Res 21:347-359).

    Examples
    --------
    >>> from validation.statistics.proportions import proportion
    >>> e = predictive_value(proportion([1] * 90 + [0] * 10), proportion([1] * 80 + [0] * 20), 1 / 9, 0.95, "PPV")
    >>> round(e.value, 3)
    0.333
    """
    n, method = right.n + other.n, f"{name} by Bayes' theorem, MOVER on Wilson limits"
    missing = right.reason or other.reason or "no interval of its parts"
    if right.value is None or other.value is None:
        return Estimate.insufficient(missing, n=n, unit="1", method=method, level=level)
    false = 1 - other.value
    if right.value == 0 and false == 0:
        return Estimate.insufficient("no case was called so", n=n, unit="1", method=method, level=level)
    if right.lower is None or other.lower is None:
        value = 1.0 if false == 0 else _share(odds * right.value / false)
        return Estimate(value=value, lower=None, upper=None, method=method, n=n, unit="1", level=level, reason=missing)
    top = (right.lower, right.value, float(right.upper or 1.0))
    bottom = (1 - float(other.upper or 1.0), false, 1 - other.lower)
    lower, upper = _ratio_limits(top, bottom)
    value = math.inf if false == 0 else right.value / false
    shares = [_share(odds * ratio) for ratio in (lower, value, upper)]
    return Estimate(value=shares[1], lower=shares[0], upper=shares[2], method=method, n=n, unit="1", level=level)


def _share(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def _ratio_limits(top: tuple[float, float, float], bottom: tuple[float, float, float]) -> tuple[float, float]:
    """Return MOVER limits of a ratio of proportions from (lower, value, upper) of each, on the log scale."""

    def log(x: float) -> float:
        return math.log(x) if x > 0 else -math.inf

    if top[1] == 0 or bottom[1] == 0:  # the logarithm of the ratio does not exist: take the extreme limits
        low = 0.0 if top[1] == 0 else top[0] / bottom[2]
        return low, (math.inf if bottom[1] == 0 else top[2] / max(bottom[0], 1e-12))
    centre = log(top[1]) - log(bottom[1])
    down = math.hypot(log(top[1]) - log(top[0]), log(bottom[2]) - log(bottom[1]))
    up = math.hypot(log(top[2]) - log(top[1]), log(bottom[1]) - log(bottom[0]))
    return math.exp(centre - down), math.exp(centre + up) if math.isfinite(up) else math.inf
