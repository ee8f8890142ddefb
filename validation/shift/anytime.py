"""Monitoring whose error holds at every moment: a test and a confidence sequence for the mean of bounded values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from validation.errors import DataProblem
from validation.shift.groups import Floats

_GRID = 1001
_CAP = 0.5


def betting_martingale(values: ArrayLike, mean: float, *, side: str, alpha: float = 0.05) -> Floats:
    r"""Return the e-process (n,) against "the mean is at most (at least) ``mean``" for independent values in [0, 1].

    .. math:: E_t = \prod_{i\le t} (1 + \lambda_i (x_i - m)),\qquad 0 \le \lambda_i \le \tfrac{1}{2m}

    for side ``greater``, with bets fixed before each value from those before it. Under the null hypothesis E is a
    nonnegative supermartingale starting at 1, so the chance that it ever reaches 1/alpha is at most alpha (Ville),
    however often one looks. ``less`` is the mirror image.

    References
    ----------
    Waudby-Smith and Ramdas 2024, doi:10.1093/jrsssb/qkad009 (predictable plug-in bets); Ville 1939.

    Examples
    --------
    >>> float(betting_martingale([1.0] * 40, 0.5, side="greater")[-1]) > 20
    True
    """
    x = _bounded(values)
    if side == "less":
        x, mean = 1 - x, 1 - mean
    elif side != "greater":
        raise ValueError(f"side must be greater or less, got {side!r}")
    return np.exp(_log_wealth(x, np.array([mean]), _bets(x, alpha))[:, 0])


def confidence_sequence(values: ArrayLike, *, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Return lower and upper limits (n,), (n,) that hold the mean at all times at once with probability 1 - alpha.

    The hedged betting sequence: a mean is excluded at the first time its wealth against it, half bet each way, reaches
    1/alpha, and stays excluded. Limits are on a grid of 1001 means, rounded outwards.

    Parameters
    ----------
    values
        Independent values in [0, 1] in order of time; values of one patient are averaged before
        (:func:`~validation.shift.monitoring.per_patient`).

    Raises
    ------
    DataProblem
        SHF-012 if a value is missing or outside [0, 1].
    """
    x = _bounded(values)
    grid = np.linspace(0, 1, _GRID)
    bets = _bets(x, alpha / 2)
    up = _log_wealth(x, grid, bets)
    down = _log_wealth(1 - x, 1 - grid, _bets(1 - x, alpha / 2))
    wealth = np.maximum(up, down) + math.log(0.5)
    kept = np.maximum.accumulate(wealth, axis=0) < math.log(1 / alpha)
    step = 1 / (_GRID - 1)
    lower = np.array([max(0.0, grid[k.argmax()] - step) if k.any() else np.nan for k in kept])
    upper = np.array([min(1.0, grid[len(k) - 1 - k[::-1].argmax()] + step) if k.any() else np.nan for k in kept])
    return _hold(lower, np.maximum), _hold(upper, np.minimum)


def monitor_mean(
    values: ArrayLike, *, limit: float, side: str, lowest: float = 0.0, highest: float = 1.0, alpha: float = 0.05
) -> dict[str, Any]:
    """Watch whether the mean goes beyond a limit, with error alpha over the whole time of monitoring.

    Parameters
    ----------
    values
        In order of time, independent, within ``lowest`` to ``highest`` (the possible range, fixed in advance).
    limit, side
        ``greater``: alarm when the mean is shown to be above the limit; ``less``: below.

    Returns
    -------
    dict
        ``e_process``, ``threshold`` (1/alpha), ``alarm`` (index or ``None``), ``lower`` and ``upper`` of the mean so
        far.
    """
    if not lowest < limit < highest:
        raise DataProblem("the limit must lie inside the possible range of the values.", code="SHF-012")
    x = (np.asarray(values, dtype=np.float64) - lowest) / (highest - lowest)
    wealth = betting_martingale(x, (limit - lowest) / (highest - lowest), side=side, alpha=alpha)
    lower, upper = confidence_sequence(x, alpha=alpha)
    reached = np.flatnonzero(wealth >= 1 / alpha)
    return {
        "e_process": wealth.tolist(),
        "threshold": 1 / alpha,
        "alarm": int(reached[0]) if len(reached) else None,
        "lower": (lowest + lower * (highest - lowest)).tolist(),
        "upper": (lowest + upper * (highest - lowest)).tolist(),
    }


def _bounded(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(x).all() and (x >= 0).all() and (x <= 1).all()):
        raise DataProblem(
            "a value is missing or outside the range that was fixed for monitoring.",
            code="SHF-012",
            why="The error of the chart is controlled only for values within the range.",
            action="Leave out missing values, and state the whole possible range.",
        )
    return x


def _bets(x: Floats, alpha: float) -> Floats:
    """Return the bets (n,): each from the values before it, with half a prior value."""
    t = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.sqrt(2 * math.log(2 / alpha) / (before * t * np.log(t + 1)))


def _log_wealth(x: Floats, means: Floats, bets: Floats) -> Floats:
    """Return log wealth (n, m) of betting that the mean is larger than each of the means."""
    with np.errstate(divide="ignore"):
        cap = np.where(means > 0, _CAP / np.maximum(means, 1e-12), np.inf)
    bounded = np.minimum(bets[:, None], np.minimum(cap, 1e6)[None, :])
    return np.asarray(np.cumsum(np.log1p(np.maximum(bounded * (x[:, None] - means[None, :]), -1 + 1e-12)), axis=0))


def _hold(limits: Floats, tighten: Any) -> Floats:
    """Make limits monotone; where every mean is excluded the last interval is kept."""
    filled = limits.copy()
    for t in range(1, len(filled)):
        filled[t] = filled[t - 1] if np.isnan(filled[t]) else tighten(filled[t], filled[t - 1])
    return filled
