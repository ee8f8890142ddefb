"""Survival curves and hazard ratios: are time-to-event conclusions of real patients kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.tabular.exact import moment_tail
from validation.registry import Direction, Kind, metric

Floats = npt.NDArray[np.float64]
PERMUTATIONS = 300


@dataclass(frozen=True, eq=False)
class Curve:
    """Kaplan-Meier survival at the event times, with numbers at risk and events."""

    times: Floats
    survival: Floats
    at_risk: Floats
    events: Floats

    def at(self, when: Any) -> Floats:
        """Return survival at times (1 before the first event)."""
        return np.asarray(np.concatenate([[1.0], self.survival])[np.searchsorted(self.times, when, side="right")])


def kaplan_meier(time: Floats, event: Floats) -> Curve:
    """Return the product-limit estimate.

    Reference: Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452.

    >>> import numpy as np
    >>> kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0])).survival.round(3).tolist()
    [0.667, 0.0]
    """
    times = np.unique(time[event == 1])
    ordered = np.sort(time)
    at_risk = (len(time) - np.searchsorted(ordered, times, side="left")).astype(np.float64)
    deaths = np.sort(time[event == 1])
    d = (np.searchsorted(deaths, times, side="right") - np.searchsorted(deaths, times, side="left")).astype(np.float64)
    return Curve(times, np.asarray(np.cumprod(1 - d / at_risk), dtype=np.float64), at_risk, d)


def restricted_mean(curve: Curve, horizon: float) -> tuple[float, float]:
    """Return the area under the curve up to the horizon, and its variance.

    Reference: Klein and Moeschberger 2003, Survival Analysis, section 4.5.
    """
    inside = curve.times < horizon
    t = np.concatenate([[0.0], curve.times[inside], [horizon]])
    s = np.concatenate([[1.0], curve.survival[inside]])
    pieces = np.diff(t) * s
    after = np.cumsum(pieces[::-1])[::-1][1:]
    d, y = curve.events[inside], curve.at_risk[inside]
    with np.errstate(all="ignore"):
        terms = np.where(y > d, after**2 * d / (y * (y - d)), 0.0)
    return float(pieces.sum()), float(terms.sum())


def curve_distance(
    real: tuple[Floats, Floats], made: tuple[Floats, Floats], *, level: float, seed: int
) -> tuple[Estimate, float | None]:
    """Return the largest difference of two survival curves, with the permutation p-value (gamma tail).

    The largest difference also sees crossing curves, which a log-rank test does not. It is taken up to the earlier
    of the times at which a tenth of either table is still at risk. The interval is Greenwood's for the difference at
    the point
    where it is largest.
    """
    n, m = len(real[0]), len(made[0])
    method = "largest difference of Kaplan-Meier curves, Greenwood at its point"
    if min(real[1].sum(), made[1].sum()) < 5:
        return Estimate.insufficient(
            "fewer than five events in a table", n=n + m, unit="1", method=method, level=level
        ), None
    end = min(float(np.quantile(real[0], 0.9)), float(np.quantile(made[0], 0.9)))
    time, event = np.concatenate([real[0], made[0]]), np.concatenate([real[1], made[1]])
    label = np.repeat([0.0, 1.0], [n, m])
    order = np.argsort(time, kind="stable")
    time, event, label = time[order], event[order], label[order]
    grid, start = np.unique(time, return_index=True)
    keep = grid <= end

    def gaps(groups: Floats) -> Floats:
        curves = []
        for g in (groups, 1 - groups):
            at_risk = np.cumsum(g[..., ::-1], axis=-1)[..., ::-1][..., start]
            d = np.add.reduceat(g * event, start, axis=-1)
            with np.errstate(all="ignore"):
                curves.append(np.cumprod(np.where(at_risk > 0, 1 - d / at_risk, 1.0), axis=-1)[..., keep])
        return np.asarray(curves[0] - curves[1])

    gap = gaps(label)
    where = int(np.argmax(np.abs(gap)))
    value = abs(float(gap[where]))
    error = math.sqrt(sum(_greenwood(kaplan_meier(*x), float(grid[where])) for x in (real, made)))
    half = float(stats.norm.isf((1 - level) / 2)) * error
    estimate = Estimate(
        value=value,
        lower=max(0.0, value - half),
        upper=min(1.0, value + half),
        method=method,
        n=n + m,
        unit="1",
        level=level,
        n_events=int(event.sum()),
    )
    rng = np.random.default_rng(seed)
    rounds = int(np.clip(2e7 // len(time), 60, PERMUTATIONS))
    null = np.array([np.abs(gaps(rng.permutation(label))).max() for _ in range(rounds)])
    return estimate, moment_tail(value, null)


def _greenwood(curve: Curve, when: float) -> float:
    inside = curve.times <= when
    d, y = curve.events[inside], curve.at_risk[inside]
    with np.errstate(all="ignore"):
        total = float(np.where(y > d, d / (y * (y - d)), 0.0).sum())
    return float(curve.at(when)) ** 2 * total


def cox(time: Floats, event: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return log hazard ratios and standard errors of a proportional hazards model (Efron's ties, statsmodels).

    Raises
    ------
    DataProblem
        TAB-004 if the model cannot be fitted (separation, a constant or redundant covariate).
    """
    import warnings

    from statsmodels.duration.hazard_regression import PHReg

    spread = x.std(axis=0)
    if (spread <= 0).any() or event.sum() < 5 * x.shape[1]:
        raise DataProblem(
            "the hazard model has a constant covariate or fewer than five events per covariate.",
            code="TAB-004",
            where="cox",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = PHReg(time, x / spread, status=event, ties="efron").fit(disp=0)
        except (np.linalg.LinAlgError, ValueError):
            raise DataProblem("the hazard model cannot be fitted.", code="TAB-004", where="cox") from None
    beta, error = np.asarray(fit.params) / spread, np.asarray(fit.bse) / spread
    if not (np.isfinite(beta).all() and np.isfinite(error).all()) or (error * spread > 50).any():
        raise DataProblem("the hazard model is not identified.", code="TAB-004", where="cox")
    return beta, error


def survival_columns(frame: pd.DataFrame, time: str, event: str) -> tuple[Floats, Floats]:
    """Return follow-up times and event indicators of complete rows.

    Raises
    ------
    DataProblem
        TAB-004 if a column is missing, times are negative or the event is not 0 or 1.
    """
    missing = [c for c in (time, event) if c not in frame.columns]
    if missing:
        raise DataProblem(
            f"there is no column {', '.join(map(repr, missing))}.", code="TAB-004", where="--param time, event"
        )
    t = pd.to_numeric(frame[time], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    e = pd.to_numeric(frame[event], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    keep = ~(np.isnan(t) | np.isnan(e))
    t, e = t[keep], e[keep]
    if not len(t) or (t < 0).any() or not np.isin(e, (0.0, 1.0)).all():
        raise DataProblem(
            "survival needs times of at least 0 and events that are 0 or 1.",
            code="TAB-004",
            where="--param time, event",
        )
    return t, e


def survival_findings(
    real: tuple[Floats, Floats],
    made: tuple[Floats, Floats],
    ceiling: tuple[tuple[Floats, Floats], tuple[Floats, Floats]] | None,
    *,
    level: float,
    margin: float,
    seed: int,
    unit: str = "unit of time",
) -> list[Finding]:
    """Judge the distance of survival curves and the difference of restricted means (synthetic minus real)."""
    estimate, p = curve_distance(real, made, level=level, seed=seed)
    top = curve_distance(*ceiling, level=level, seed=seed)[0] if ceiling is not None else None
    found = [
        Finding(
            metric="kaplan_meier_distance",
            estimate=estimate,
            p_value=p,
            ceiling=top,
            direction=Direction.LOWER.value,
            null="real and synthetic patients are exchangeable (permutation, gamma tail)",
            rule=f"adjusted p at most alpha and distance above {margin:g}",
            exceeds=(estimate.value or 0.0) > margin,
            reference="Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452",
        )
    ]
    horizon = min(float(np.quantile(real[0], 0.9)), float(np.quantile(made[0], 0.9)))
    if estimate.value is None or horizon <= 0:
        return found
    (a, va), (b, vb) = (restricted_mean(kaplan_meier(*x), horizon) for x in (made, real))
    error = math.sqrt(va + vb)
    half = float(stats.norm.isf((1 - level) / 2)) * error
    found.append(
        Finding(
            metric="restricted_mean_survival",
            component=f"to {horizon:g}",
            direction=Direction.ZERO.value,
            estimate=Estimate(
                value=a - b,
                lower=a - b - half,
                upper=a - b + half,
                n=len(real[0]) + len(made[0]),
                unit=unit,
                level=level,
                method="difference of restricted means",
            ),
            p_value=2 * float(stats.norm.sf(abs(a - b) / error)) if error > 0 else None,
            null="equal restricted means",
            rule=f"adjusted p at most alpha and more than {margin:g} of the real mean",
            exceeds=abs(a - b) > margin * b,
            reference="Royston and Parmar 2013, doi:10.1186/1471-2288-13-152",
        )
    )
    return found


@metric(
    "survival_curves",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="longitudinal",
    reference="Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452",
    oracle="lifelines 0.30.3 (gold survival_rott), statsmodels SurvfuncRight",
)
def survival_curves(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    time: str,
    event: str,
    horizon: float | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the largest difference of survival curves, and the difference of restricted mean survival times.

    ``horizon`` is the end of the restricted mean (default: the earlier of the tables' 90 % points of follow-up).
    Insufficient with fewer than five events in a table. A large log-rank p-value is no agreement: curves may cross.
    """
    real, made = survival_columns(train, time, event), survival_columns(synthetic, time, event)
    distance, _ = curve_distance(real, made, level=level, seed=seed)
    end = horizon or min(float(np.quantile(real[0], 0.9)), float(np.quantile(made[0], 0.9)))
    found = {"distance": distance}
    z = float(stats.norm.isf((1 - level) / 2))
    means = {
        role: (len(x[0]), *restricted_mean(kaplan_meier(*x), end)) for role, x in (("train", real), ("synthetic", made))
    }
    for role, (n, value, variance) in means.items():
        half = z * math.sqrt(variance)
        found[f"restricted_mean_{role}"] = Estimate(
            value=value,
            lower=value - half,
            upper=value + half,
            method="area under Kaplan-Meier",
            n=n,
            unit=f"unit of {time}",
            level=level,
        )
    return found
