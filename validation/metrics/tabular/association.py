"""Pairwise association of mixed columns and conditional distributions, all pairs from one matrix product.

Everything is read from cross-products of one matrix per table: indicators of present numbers, their ranks, squared
ranks, and one column per category level. So a pair costs a few multiplications per record, and a delete-a-group
jackknife costs no more than the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode
from validation.metrics.tabular.marginals import too_little
from validation.registry import Direction, Kind, metric

GROUPS = 20
_NAMES = {"nn": "Spearman", "cc": "Cramér's V", "nc": "correlation ratio"}


@dataclass(frozen=True, eq=False)
class Products:
    """Cross-products of a table: present counts, sums, squares and products of numbers, and joint level counts."""

    nn_n: Floats  # (p, p) records with both numbers
    nn_x: Floats  # (p, p) sum of the row's number where the column's is present
    nn_xx: Floats
    nn_xy: Floats
    nc_n: Floats  # (p, L)
    nc_x: Floats
    nc_xx: Floats
    cc: Floats  # (L, L)

    def minus(self, other: Products) -> Products:
        """Return the products without the records of another."""
        return Products(*(getattr(self, f) - getattr(other, f) for f in self.__dataclass_fields__))


def products(numbers: Floats, codes: Any, starts: npt.NDArray[np.int64], width: int) -> Products:
    """Return the cross-products of records (numbers with NaN, codes that ``starts`` shifts to columns)."""
    present = ~np.isnan(numbers)
    here, x = present.astype(np.float64), np.where(present, numbers, 0.0)
    onehot = np.zeros((len(numbers), width))
    if codes.shape[1]:
        onehot[np.arange(len(numbers))[:, None], codes + starts] = 1.0
    both = np.concatenate([here, x, x * x, onehot], axis=1)
    p = numbers.shape[1]
    gram = both.T @ both
    a, b, c, d = slice(0, p), slice(p, 2 * p), slice(2 * p, 3 * p), slice(3 * p, None)
    return Products(gram[a, a], gram[b, a], gram[c, a], gram[b, b], gram[a, d], gram[b, d], gram[c, d], gram[d, d])


def pearson(g: Products) -> Floats:
    """Return pairwise-complete correlations (p, p); NaN where a spread is zero."""
    with np.errstate(all="ignore"):
        mx, my = g.nn_x / g.nn_n, g.nn_x.T / g.nn_n.T
        cov = g.nn_xy / g.nn_n - mx * my
        vx, vy = g.nn_xx / g.nn_n - mx**2, g.nn_xx.T / g.nn_n.T - my**2
        r = cov / np.sqrt(np.where((vx > 1e-12) & (vy > 1e-12), vx * vy, np.nan))
    return np.clip(r, -1, 1)


def cramer(g: Products, starts: npt.NDArray[np.int64]) -> Floats:
    """Return Cramér's V with Bergsma's bias correction (q, q); NaN where a column is constant.

    Reference: Bergsma 2013, doi:10.1016/j.jkss.2012.10.002.
    """
    if not len(starts):
        return np.empty((0, 0))
    n = float(np.add.reduceat(np.diag(g.cc), starts)[0])
    share = np.diag(g.cc)
    with np.errstate(all="ignore"):
        cells = np.where(g.cc > 0, g.cc**2 / np.outer(share, share), 0.0)
        phi2 = _blocks(cells, starts) - 1
        k = np.add.reduceat((share > 0).astype(np.float64), starts)
        shrunk = np.maximum(0.0, phi2 - np.outer(k - 1, k - 1) / (n - 1))
        fewer = k - (k - 1) ** 2 / (n - 1)
        v = np.sqrt(shrunk / (np.minimum.outer(fewer, fewer) - 1))
    return np.where(np.minimum.outer(k, k) > 1, np.clip(v, 0, 1), np.nan)


def theil(g: Products, starts: npt.NDArray[np.int64]) -> Floats:
    """Return Theil's U(row | column) (q, q), the share of the row's entropy that the column explains.

    Reference: Theil 1972, Statistical Decomposition Analysis.
    """
    n = float(np.add.reduceat(np.diag(g.cc), starts)[0])
    share = np.diag(g.cc) / n
    with np.errstate(all="ignore"):
        joint = g.cc / n
        h_joint = -_blocks(np.where(joint > 0, joint * np.log(joint), 0.0), starts)
        h = -np.add.reduceat(np.where(share > 0, share * np.log(share), 0.0), starts)
        u = (h[:, None] + h[None, :] - h_joint) / h[:, None]
    return np.where(h[:, None] > 0, np.clip(u, 0, 1), np.nan)


def correlation_ratio(g: Products, starts: npt.NDArray[np.int64]) -> Floats:
    """Return eta (p, q), corrected for chance: sqrt of epsilon squared, the share of a rank's variance between levels.

    Reference: Kelley 1935, doi:10.1073/pnas.21.9.554.
    """
    if not len(starts) or not len(g.nc_n):
        return np.empty((len(g.nc_n), len(starts)))
    with np.errstate(all="ignore"):
        n = np.add.reduceat(g.nc_n, starts, axis=1)
        mean = np.add.reduceat(g.nc_x, starts, axis=1) / n
        total = np.add.reduceat(g.nc_xx, starts, axis=1) - n * mean**2
        between = np.add.reduceat(np.where(g.nc_n > 0, g.nc_x**2 / g.nc_n, 0.0), starts, axis=1) - n * mean**2
        levels = np.add.reduceat((g.nc_n > 0).astype(np.float64), starts, axis=1)
        epsilon = 1 - (1 - between / total) * (n - 1) / (n - levels)
    return np.where((total > 1e-9) & (levels > 1), np.sqrt(np.clip(epsilon, 0, 1)), np.nan)


def _blocks(cells: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(np.add.reduceat(np.add.reduceat(cells, starts, axis=0), starts, axis=1))


@dataclass(frozen=True, eq=False)
class Associations:
    """Associations of every pair (all columns square, numeric first) and their jackknife replicates (g, c, c)."""

    values: Floats
    replicates: Floats


def starts_of(tables: Tables) -> tuple[npt.NDArray[np.int64], int]:
    """Return the first one-hot column of each categorical column, and their number."""
    sizes = np.array([len(names) for names in tables.levels], np.int64)
    return (np.cumsum(sizes) - sizes).astype(np.int64), int(sizes.sum())


@reused
def associations(tables: Tables, part: Part, *, seed: int = 0) -> Associations:
    """Return Spearman, Cramér's V and correlation ratio of all pairs, with delete-a-group jackknife replicates.

    Reference: Kott 2001 (delete-a-group jackknife), J Official Statistics 17:521-526.
    """
    starts, width = starts_of(tables)
    ranks = np.empty_like(part.numbers)
    for k in range(ranks.shape[1]):  # centred, scaled ranks: products lose no digits
        column = part.numbers[:, k]
        known = ~np.isnan(column)
        ranks[:, k] = np.nan
        if known.any():
            ranks[known, k] = stats.rankdata(column[known]) / known.sum() - 0.5
    group = np.random.default_rng(seed).permutation(part.n) % min(GROUPS, max(2, part.n))
    pieces = [products(ranks[group == g], part.codes[group == g], starts, width) for g in range(int(group.max()) + 1)]
    whole = Products(*(sum(getattr(p, f) for p in pieces) for f in Products.__dataclass_fields__))
    return Associations(_square(whole, starts), np.stack([_square(whole.minus(p), starts) for p in pieces]))


def _square(g: Products, starts: npt.NDArray[np.int64]) -> Floats:
    eta = correlation_ratio(g, starts)
    return np.block([[pearson(g), eta], [eta.T, cramer(g, starts)]])


def differences(made: Associations, real: Associations) -> tuple[Floats, Floats, Floats]:
    """Return differences of associations, their jackknife standard errors and degrees of freedom (Satterthwaite)."""
    variances = []
    for a in (made, real):
        g = len(a.replicates)
        variances.append((g - 1) / g * ((a.replicates - a.replicates.mean(axis=0)) ** 2).sum(axis=0))
    total = variances[0] + variances[1]
    with np.errstate(all="ignore"):
        df = total**2 / sum(v**2 / (len(a.replicates) - 1) for v, a in zip(variances, (made, real), strict=True))
    return made.values - real.values, np.sqrt(total), df


def association_findings(tables: Tables, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Compare, per column, its associations with all others; the worst pair is shown, Bonferroni over the pairs."""
    real, made = associations(tables, tables.real, seed=seed), associations(tables, tables.synthetic, seed=seed)
    gap, error, df = differences(made, real)
    ceiling = None
    if tables.holdout is not None:
        ceiling = np.abs(associations(tables, tables.train).values - associations(tables, tables.holdout).values)
    c = len(tables.columns)
    with np.errstate(all="ignore"):
        p = 2 * stats.t.sf(np.abs(gap) / error, df)
    p = np.where((error > 1e-12) & (np.abs(gap) > margin), p, 1.0)  # within its margin a pair cannot be the worst
    p = np.where(np.isnan(gap) | np.eye(c, dtype=bool), np.nan, p)
    found = []
    n = tables.synthetic.n + tables.real.n
    for k, name in enumerate(tables.columns):
        pairs = int(np.isfinite(p[k]).sum())
        if not pairs:
            continue
        j = int(np.nanargmin(p[k] - 1e-9 * np.abs(np.nan_to_num(gap[k]))))
        half = float(stats.t.isf((1 - level) / 2 / pairs, max(1.0, float(np.nan_to_num(df[k, j], nan=1.0))))) * float(
            error[k, j]
        )
        value = float(gap[k, j])
        kind = "".join(sorted("n" if i < len(tables.numeric) else "c" for i in (k, j)))
        found.append(
            Finding(
                metric="pairwise_association",
                component=f"{name} ~ {tables.columns[j]}",
                estimate=Estimate(
                    value=value,
                    lower=value - half,
                    upper=value + half,
                    n=n,
                    unit="1",
                    level=level,
                    method=f"difference of {_NAMES['nc' if kind == 'cn' else kind]}, grouped jackknife, worst of {pairs} pairs",  # noqa: E501
                ),
                p_value=min(1.0, pairs * float(p[k, j])),
                null="equal association in synthetic and real records (jackknife t)",
                rule=f"adjusted p at most alpha and difference above {margin:g}",
                direction=Direction.ZERO.value,
                exceeds=abs(value) > margin,
                too_little=too_little(tables.synthetic.n, tables.real.n),
                reference=_REFERENCE,
                ceiling=None
                if ceiling is None or not np.isfinite(ceiling[k, j])
                else Estimate(
                    value=float(ceiling[k, j]),
                    lower=None,
                    upper=None,
                    method="the pair between training and holdout",
                    n=tables.real.n,
                    unit="1",
                ),
            )
        )
    return found


_REFERENCE = (
    "Spearman 1904, doi:10.2307/1412159; Bergsma 2013, doi:10.1016/j.jkss.2012.10.002; "
    "Kelley 1935, doi:10.1073/pnas.21.9.554"
)


@metric(
    "pairwise_association",
    unit="1",
    direction=Direction.ZERO,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_REFERENCE,
    oracle="scipy.stats.spearmanr, scipy.stats.contingency.association",
)
def pairwise_association(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per pair of columns, the association in the synthetic table minus that in the training table.

    Spearman's correlation of two numbers, Cramér's V (bias-corrected) of two categories, the correlation ratio of ranks
    (epsilon) of a number and a category; -2..2 or -1..1, 0 is kept. Intervals are t on a delete-a-group jackknife of 20
    random groups. Pairs with a constant column are insufficient.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    made, real = associations(tables, tables.synthetic, seed=seed), associations(tables, tables.train, seed=seed)
    gap, error, df = differences(made, real)
    found: dict[str, Estimate] = {}
    n = tables.synthetic.n + tables.train.n
    for i, first in enumerate(tables.columns):
        for j in range(i + 1, len(tables.columns)):
            kind = ("n" if i < len(tables.numeric) else "c") + ("n" if j < len(tables.numeric) else "c")
            method = f"difference of {_NAMES[kind]}, grouped jackknife"
            name = f"{first} ~ {tables.columns[j]}"
            if not np.isfinite(gap[i, j]):
                found[name] = Estimate.insufficient("a column is constant", n=n, unit="1", method=method, level=level)
                continue
            value, se = float(gap[i, j]), float(error[i, j])
            half = float(stats.t.isf((1 - level) / 2, max(1.0, float(df[i, j])))) * se if se > 0 else 0.0
            found[name] = Estimate(
                value=value, lower=value - half, upper=value + half, method=method, n=n, unit="1", level=level
            )
    return found
