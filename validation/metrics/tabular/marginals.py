"""Marginal distributions, column by column: Kolmogorov-Smirnov, total variation, Wasserstein, missing cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode
from validation.metrics.tabular.exact import moment_tail, two_sided_exact
from validation.registry import Direction, Kind, metric
from validation.statistics.proportion_differences import proportion_difference

BLIND = 0.3  # a test that could only see a larger distance than this is not evidence of agreement
NULL = "synthetic and real records are exchangeable"


def kolmogorov_smirnov(x: Floats, y: Floats, *, level: float) -> tuple[Estimate, float | None]:
    """Return the largest difference of two distribution functions, and its asymptotic p-value (conservative with ties).

    The interval is Newcombe's for the two proportions below the point where the functions differ most.

    References
    ----------
    Smirnov 1948, doi:10.1214/aoms/1177730256; Newcombe 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """
    x, y = np.sort(x[~np.isnan(x)]), np.sort(y[~np.isnan(y)])
    n, m = len(x), len(y)
    method = "Kolmogorov-Smirnov distance, Newcombe at its point"
    if n < 2 or m < 2:
        return Estimate.insufficient(
            "fewer than two values in a table", n=n + m, unit="1", method=method, level=level
        ), None
    grid = np.unique(np.concatenate([x, y]))
    below = np.searchsorted(x, grid, side="right"), np.searchsorted(y, grid, side="right")
    gaps = below[0] / n - below[1] / m
    at = int(np.argmax(np.abs(gaps)))
    estimate = _share_distance(int(below[0][at]), n, int(below[1][at]), m, level, method)
    p = float(stats.kstwo.sf(abs(float(gaps[at])), round(n * m / (n + m))))
    return estimate, min(1.0, p)


def total_variation(x: Any, y: Any, levels: int, *, level: float) -> tuple[Estimate, float | None]:
    """Return half the summed absolute difference of category shares, and the p-value of Pearson's test of homogeneity.

    Total variation is the difference of shares of the set of levels that are commoner in x; the interval is Newcombe's
    for that set. Levels expected fewer than five times are put together for the test, not for the distance.
    """
    a, b = np.bincount(x, minlength=levels), np.bincount(y, minlength=levels)
    n, m = int(a.sum()), int(b.sum())
    method = "total variation distance, Newcombe on its set"
    if n < 2 or m < 2:
        return Estimate.insufficient(
            "fewer than two values in a table", n=n + m, unit="1", method=method, level=level
        ), None
    commoner = a / n > b / m
    estimate = _share_distance(int(a[commoner].sum()), n, int(b[commoner].sum()), m, level, method)
    return estimate, homogeneity(a, b)


def homogeneity(a: Any, b: Any) -> float | None:
    """Return the p-value of equal shares of two count vectors; ``None`` where one level is all there is.

    Levels with fewer than five expected in either table are pooled; two levels are tested exactly (Fisher).
    """
    a, b = np.asarray(a), np.asarray(b)
    total, n, m = a + b, int(a.sum()), int(b.sum())
    rare = total * min(n, m) / max(1, n + m) < 5
    a = np.append(a[~rare], a[rare].sum())
    b = np.append(b[~rare], b[rare].sum())
    keep = a + b > 0
    a, b = a[keep], b[keep]
    if len(a) < 2 or n == 0 or m == 0:
        return None
    if len(a) == 2:
        return float(two_sided_exact(a[:1], n, b[:1], m)[0])
    expected = (a + b) * n / (n + m), (a + b) * m / (n + m)
    chi2 = float(((a - expected[0]) ** 2 / expected[0] + (b - expected[1]) ** 2 / expected[1]).sum())
    return float(stats.chi2.sf(chi2, len(a) - 1))


def wasserstein(x: Floats, y: Floats, *, level: float, unit: str = "1", seed: int = 0) -> tuple[Estimate, float | None]:
    """Return the first Wasserstein distance with a delta-method interval, and a permutation p-value.

    The permutation null is drawn on at most 512 quantile cells, as counts (multivariate hypergeometric), so its cost
    does not grow with the number of records; its upper tail is a gamma distribution of the same three moments.

    References
    ----------
    Winkler et al. 2016 (tail approximation), doi:10.1016/j.neuroimage.2016.05.068.
    """
    x, y = np.sort(x[~np.isnan(x)]), np.sort(y[~np.isnan(y)])
    n, m = len(x), len(y)
    method = "Wasserstein-1 distance, delta method"
    if n < 5 or m < 5:
        return Estimate.insufficient(
            "fewer than five values in a table", n=n + m, unit=unit, method=method, level=level
        ), None
    grid = np.unique(np.concatenate([x, y]))
    if len(grid) < 2:
        return Estimate(value=0.0, lower=0.0, upper=0.0, method=method, n=n + m, unit=unit, level=level), None
    width = np.diff(grid)
    gap = (np.searchsorted(x, grid, side="right") / n - np.searchsorted(y, grid, side="right") / m)[:-1]
    value = float((np.abs(gap) * width).sum())
    # influence of a record at v: the signed length of the axis above v
    above = np.append(np.cumsum((np.sign(gap) * width)[::-1])[::-1], 0.0)
    error = math.sqrt(above[np.searchsorted(grid, x)].var() / (n - 1) + above[np.searchsorted(grid, y)].var() / (m - 1))
    half = float(stats.norm.isf((1 - level) / 2)) * error
    estimate = Estimate(
        value=value, lower=max(0.0, value - half), upper=value + half, method=method, n=n + m, unit=unit, level=level
    )
    cells = np.unique(np.quantile(np.concatenate([x, y]), np.linspace(0, 1, 513), method="lower"))
    if len(cells) < 2:
        return estimate, None
    counts = [np.bincount(np.searchsorted(cells, v, side="right") - 1, minlength=len(cells)) for v in (x, y)]
    steps, total = np.diff(cells), counts[0] + counts[1]

    def distance(first: Any) -> Any:
        return (np.abs(np.cumsum(first / n - (total - first) / m, axis=-1)[..., :-1]) * steps).sum(-1)

    null = distance(np.random.default_rng(seed).multivariate_hypergeometric(total, n, 300, method="marginals"))
    return estimate, moment_tail(float(distance(counts[0])), null)


def _share_distance(k: int, n: int, j: int, m: int, level: float, method: str) -> Estimate:
    """Return |k/n - j/m| with Newcombe's limits, folded at zero."""
    e = proportion_difference(k, n, j, m, level=level)
    low, high = (
        sorted((e.lower or 0.0, e.upper or 0.0))
        if (e.value or 0) >= 0
        else sorted((-(e.upper or 0.0), -(e.lower or 0.0)))
    )
    value = abs(e.value or 0.0)
    return Estimate(
        value=value,
        lower=min(value, max(0.0, low)),
        upper=min(1.0, high),
        method=method,
        n=n + m,
        unit="1",
        level=level,
    )


def detectable(n: int, m: int) -> float:
    """Return the smallest Kolmogorov-Smirnov distance that a test at 5 % could see with n and m records."""
    return 1.0 if min(n, m) == 0 else 1.358 * math.sqrt((n + m) / (n * m))


def too_little(n: int, m: int) -> str:
    """Return why agreement cannot be read from so few records, or nothing."""
    seen = detectable(n, m)
    if seen <= BLIND:
        return ""
    return f"{n} and {m} records: only a distance above {min(1.0, seen):.2f} could be seen"


def distances(tables: Tables, a: Part, b: Part, *, level: float) -> list[tuple[str, Estimate, float | None]]:
    """Return column, distance (KS for numbers, total variation for categories) and p-value between two tables."""
    found = [
        (name, *kolmogorov_smirnov(a.numbers[:, k], b.numbers[:, k], level=level))
        for k, name in enumerate(tables.numeric)
    ]
    return found + [
        (name, *total_variation(a.codes[:, k], b.codes[:, k], len(tables.levels[k]), level=level))
        for k, name in enumerate(tables.categorical)
    ]


def marginal_findings(tables: Tables, *, level: float, margin: float) -> list[Finding]:
    """Compare every column of the synthetic table with all real records; the ceiling is training against holdout."""
    ceilings: dict[str, Estimate] = {}
    if tables.holdout is not None:
        ceilings = {c: e for c, e, _ in distances(tables, tables.train, tables.holdout, level=level)}
    return [
        Finding(
            metric="marginal_distance",
            component=column,
            estimate=estimate,
            p_value=p,
            null=NULL,
            reference=_REFERENCE,
            rule=f"adjusted p at most alpha and distance above {margin:g}",
            direction=Direction.LOWER.value,
            exceeds=(estimate.value or 0.0) > margin,
            too_little=too_little(tables.synthetic.n, tables.real.n),
            ceiling=ceilings.get(column),
            note="" if p is not None else "constant or nearly empty column",
        )
        for column, estimate, p in distances(tables, tables.synthetic, tables.real, level=level)
    ]


def wasserstein_findings(tables: Tables, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Compare numeric columns by Wasserstein distance in standard deviations of the real column."""
    found = []
    for k, name in enumerate(tables.numeric):
        real, made = tables.real.numbers[:, k], tables.synthetic.numbers[:, k]
        sd = float(np.nanstd(real)) if np.isfinite(real).any() else 0.0
        scale = sd if sd > 0 else 1.0
        estimate, p = wasserstein(made / scale, real / scale, level=level, unit="standard deviations", seed=seed + k)
        ceiling = None
        if tables.holdout is not None:
            other = tables.holdout.numbers[:, k] / scale
            ceiling, _ = wasserstein(tables.train.numbers[:, k] / scale, other, level=level, unit="standard deviations")
        found.append(
            Finding(
                metric="wasserstein_distance",
                component=name,
                estimate=estimate,
                p_value=p,
                ceiling=ceiling,
                null=NULL + " (permutation of cell counts, gamma tail)",
                direction=Direction.LOWER.value,
                rule=f"adjusted p at most alpha and distance above {2 * margin:g} standard deviations",
                exceeds=(estimate.value or 0.0) > 2 * margin,
                too_little=too_little(tables.synthetic.n, tables.real.n),
                reference="doi:10.1016/j.neuroimage.2016.05.068",
            )
        )
    return found


def missing_findings(tables: Tables, *, level: float, margin: float) -> list[Finding]:
    """Compare the share of missing cells of every column that has any, in any table, by an exact test."""
    found = []
    made, real = tables.synthetic, tables.real
    for k, name in enumerate(tables.columns):
        a, b = int(made.missing[:, k].sum()), int(real.missing[:, k].sum())
        if a + b == 0:
            continue
        estimate = proportion_difference(a, made.n, b, real.n, level=level)
        found.append(
            Finding(
                metric="missingness",
                component=name,
                estimate=estimate,
                p_value=float(two_sided_exact([a], made.n, [b], real.n)[0]),
                null=NULL + " (hypergeometric, exact)",
                direction=Direction.ZERO.value,
                rule=f"adjusted p at most alpha and difference of shares above {margin:g}",
                exceeds=abs(estimate.value or 0.0) > margin,
                too_little=too_little(made.n, real.n),
                reference="Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I",
            )
        )
    return found or [_complete(tables)]


def _complete(tables: Tables) -> Finding:
    n = tables.synthetic.n + tables.real.n
    return Finding(
        metric="missingness",
        null=NULL,
        rule="no table has a missing cell",
        direction=Direction.ZERO.value,
        p_value=1.0,
        estimate=Estimate(value=0.0, lower=0.0, upper=0.0, method="no missing cell in any table", n=n, unit="1"),
    )


_REFERENCE = "Smirnov 1948, doi:10.1214/aoms/1177730256; Pearson 1900, doi:10.1080/14786440009463897"


@metric(
    "marginal_distance",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_REFERENCE,
    oracle="scipy.stats.ks_2samp, SDMetrics 0.32 KSComplement and TVComplement",
)
def marginal_distance(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per column, the Kolmogorov-Smirnov (numbers) or total variation (categories) distance.

    Formula: sup |F - G| over values, ½ Σ |p - q| over levels; 0 is equal, 1 disjoint. Missing numbers are left out
    (``missingness`` measures them); a missing category is a level. SDMetrics' KSComplement and TVComplement are one
    minus these values. Insufficient with fewer than two values in a table.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    return {c: e for c, e, _ in distances(tables, tables.synthetic, tables.train, level=level)}


@metric(
    "wasserstein_distance",
    unit="unit of the column",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Vallender 1974, doi:10.1137/1118101",
    oracle="scipy.stats.wasserstein_distance",
)
def wasserstein_distance(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per numeric column, the area between the two distribution functions, in the unit of the column.

    Missing numbers are left out. Insufficient with fewer than five values in a table.
    """
    t = encode(train, synthetic, categorical=categorical, ignore=ignore)
    return {
        name: wasserstein(t.synthetic.numbers[:, k], t.train.numbers[:, k], level=level, unit="unit of the column")[0]
        for k, name in enumerate(t.numeric)
    }


@metric(
    "missingness",
    unit="1",
    direction=Direction.ZERO,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I",
    oracle="counts; statsmodels confint_proportions_2indep",
)
def missingness(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per column, the share of missing cells in the synthetic table minus that in the training table."""
    t = encode(train, synthetic, categorical=categorical, ignore=ignore)
    made, real = t.synthetic.missing.sum(0), t.train.missing.sum(0)
    return {
        name: proportion_difference(int(made[k]), t.synthetic.n, int(real[k]), t.train.n, level=level)
        for k, name in enumerate(t.columns)
    }
