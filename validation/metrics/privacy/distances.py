"""Distance to the closest record and nearest-neighbour ratio, against a holdout of the same population."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.privacy.exchangeable import NULL, relabelled, upper_p, without_holdout
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Floats, Tables, encode
from validation.metrics.tabular.neighbours import TIE, Neighbours, nearest, space
from validation.registry import Direction, Kind, metric

MARGIN = 0.05  # any good fit is a little nearer to its training records
CLOSE = 0.05  # the share of smallest nearest-neighbour ratios that is compared


@dataclass(frozen=True, eq=False)
class Distances:
    """Neighbours of synthetic records among training and among holdout records, in one geometry."""

    train: Neighbours
    holdout: Neighbours


@reused
def distances(tables: Tables) -> Distances | None:
    """Return the neighbours of every synthetic record; ``None`` without a holdout. Nothing is sampled."""
    if tables.holdout is None or not tables.synthetic.n:
        return None
    geometry = space(tables)
    return Distances(
        nearest(geometry, tables.synthetic, tables.train), nearest(geometry, tables.synthetic, tables.holdout)
    )


def closer_share(
    d: Distances, n: int, m: int, rows: npt.NDArray[np.bool_] | None = None, *, level: float
) -> tuple[Estimate, float | None, float]:
    """Return the share of synthetic records closer to training than to holdout (ties half), p-value, expected share.

    ``n`` training and ``m`` holdout records. Weights are how often a real record is the nearest one; relabelling real
    records gives the exact variance, which accounts for synthetic records that share a neighbour.
    """
    keep = np.ones(len(d.train.first), bool) if rows is None else rows
    gap = d.train.first[keep] - d.holdout.first[keep]
    method = "share closer to training, ties half, relabelling variance"
    expected = n / (n + m)
    if not len(gap):
        return Estimate.insufficient("no synthetic record", n=0, unit="1", method=method, level=level), None, expected
    near, far = np.where(gap < -TIE, 1.0, np.where(gap > TIE, 0.0, 0.5)), len(gap)
    w_train = np.asarray(np.bincount(d.train.index[keep], near, minlength=n), dtype=np.float64)
    w_holdout = np.asarray(np.bincount(d.holdout.index[keep], 1 - near, minlength=m), dtype=np.float64)
    observed, mean, variance = relabelled(w_train, w_holdout)
    half = float(stats.norm.isf((1 - level) / 2)) * math.sqrt(variance) / far
    value = observed / far
    estimate = Estimate(
        value=value,
        lower=max(0.0, value - half),
        upper=min(1.0, value + half),
        method=method,
        n=far,
        unit="1",
        level=level,
        n_events=int(near.sum()),
    )
    return estimate, upper_p(observed, mean, variance), expected


def ratios(neighbours: Neighbours) -> Floats:
    """Return first over second distance; 1 where both are zero (real records that equal each other hide nobody)."""
    return np.where(
        neighbours.second > 0, neighbours.first / np.where(neighbours.second > 0, neighbours.second, 1.0), 1.0
    )


def share_findings(
    metric_name: str,
    d: Distances,
    n: int,
    m: int,
    groups: list[tuple[str, npt.NDArray[np.bool_]]],
    *,
    level: float,
) -> list[Finding]:
    """Judge the share of synthetic records closer to training, overall and per subgroup of synthetic records."""
    found = []
    ties = int((np.abs(d.train.first - d.holdout.first) <= TIE).sum())
    for name, rows in [("", None), *groups]:
        estimate, p, expected = closer_share(d, n, m, rows, level=level)
        found.append(
            Finding(
                metric=metric_name,
                subgroup=name,
                estimate=estimate,
                p_value=p,
                null=NULL + f" (expected share {expected:.4f})",
                rule=f"adjusted p at most alpha and share above its expectation by more than {MARGIN:g}",
                exceeds=(estimate.value or 0.0) - expected > MARGIN,
                direction=Direction.LOWER.value,
                too_little=f"{estimate.n} synthetic records" if estimate.n < 30 else "",
                reference=_REFERENCE,
                note=""
                if name
                else f"{ties} ties; medians of distance {np.median(d.train.first):.4g} (training) and {np.median(d.holdout.first):.4g} (holdout)",  # noqa: E501
            )
        )
    return found


def distance_findings(
    tables: Tables, d: Distances | None, groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]], *, level: float
) -> list[Finding]:
    """Judge the share of synthetic records closer to training, overall and per subgroup, and the ratio."""
    if d is None:
        return [without_holdout("dcr_share", n=tables.train.n), without_holdout("nndr", n=tables.train.n)]
    m = 0 if tables.holdout is None else tables.holdout.n
    found = share_findings("dcr_share", d, tables.train.n, m, [(g, k["synthetic"]) for g, k in groups], level=level)
    found.append(_ratio_finding(d, level=level))
    return found


def _ratio_finding(d: Distances, *, level: float) -> Finding:
    """Judge whether small ratios are commoner against training than holdout (discordant pairs)."""
    a, b = ratios(d.train), ratios(d.holdout)
    point = float(np.quantile(np.concatenate([a, b]), CLOSE, method="inverted_cdf"))
    gained, lost = int(((a <= point) & (b > point)).sum()), int(((b <= point) & (a > point)).sum())
    n, spread = len(a), math.sqrt(2.0 * max(1, gained + lost))
    value = (gained - lost) / n
    half = float(stats.norm.isf((1 - level) / 2)) * spread / n
    return Finding(
        metric="nndr",
        p_value=float(stats.norm.sf((gained - lost) / spread)),
        direction=Direction.LOWER.value,
        estimate=Estimate(
            value=value,
            lower=max(-1.0, value - half),
            upper=min(1.0, value + half),
            n=n,
            unit="1",
            level=level,
            method=f"share of synthetic records with a ratio below {point:.3g}, training minus holdout, paired, variance doubled",  # noqa: E501
        ),
        null=NULL + " (ratios do not depend on the number of records)",
        rule=f"adjusted p at most alpha and difference above {MARGIN / 5:g}",
        exceeds=value > MARGIN / 5,
        note=f"5th percentiles of the ratio {np.quantile(a, CLOSE):.3g} (training) and {np.quantile(b, CLOSE):.3g} (holdout)",  # noqa: E501
        too_little=f"{n} synthetic records" if n < 100 else "",
        reference=_REFERENCE,
    )


_REFERENCE = "Platzer and Reutterer 2021, doi:10.3389/fdata.2021.679939; Yao et al. 2025, arXiv:2505.01524"


@metric(
    "distance_to_closest_record",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="brute-force Gower distances (gold dcr_gower_common_range)",
)
def distance_to_closest_record(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure how near synthetic records lie to training and to holdout records (Gower, one scaling for both).

    ``share_closer_to_train``: ties count half; its expectation is n_train / (n_train + n_holdout), ``expected_share``.
    Medians and 5th percentiles of distance and of the nearest-neighbour ratio are descriptive, with intervals by order
    statistics: they hide a leak of few records (see ``membership_inference``). All records are used, none sampled.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    d = distances(tables)
    if d is None:
        raise ValueError("a holdout is needed")
    shared, _, expected = closer_share(d, tables.train.n, len(holdout), level=level)
    n = tables.synthetic.n
    found = {
        "share_closer_to_train": shared,
        "expected_share": Estimate(
            value=expected,
            lower=None,
            upper=None,
            method="n_train / (n_train + n_holdout)",
            n=n,
            unit="1",
            level=level,
            reason="known, not estimated",
        ),
    }
    for role, neighbours in (("train", d.train), ("holdout", d.holdout)):
        for q, word in ((0.5, "median"), (0.05, "p05")):
            found[f"{word}_distance_{role}"] = _quantile(neighbours.first, q, level)
            found[f"{word}_ratio_{role}"] = _quantile(ratios(neighbours), q, level)
    return found


def _quantile(values: Floats, q: float, level: float) -> Estimate:
    """Return a quantile (linear interpolation) with binomial order-statistic limits."""
    x, n = np.sort(values), len(values)
    low = int(stats.binom.ppf((1 - level) / 2, n, q)) - 1
    high = int(stats.binom.isf((1 - level) / 2, n, q))
    value = float(np.quantile(x, q))
    return Estimate(
        value=value,
        lower=float(min(value, x[low])) if low >= 0 else None,
        upper=float(max(value, x[high])) if high < n else None,
        method="quantile, order statistics",
        n=n,
        unit="1",
        level=level,
        reason="" if low >= 0 and high < n else "too few records for a limit",
    )
