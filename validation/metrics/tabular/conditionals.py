"""Conditional distributions: given one column, is another distributed as in real records."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.tabular.encoding import Floats, Tables
from validation.metrics.tabular.marginals import NULL, too_little
from validation.registry import Direction


def binned(tables: Tables) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return every column as few classes (real, synthetic) and the numbers of classes.

    Numbers are cut at quantiles of the real records, rare levels are put together; the number of classes is that at
    which a joint cell holds about twenty records of the smaller table, 2 to 6.
    """
    most = int(np.clip(math.sqrt(min(tables.synthetic.n, tables.real.n) / 20), 2, 6))
    real: list[npt.NDArray[np.int64]] = []
    made: list[npt.NDArray[np.int64]] = []
    sizes: list[int] = []
    for k in range(len(tables.numeric)):
        known = tables.real.numbers[:, k]
        known = known[~np.isnan(known)]
        cuts = (
            np.unique(np.quantile(known, np.arange(1, most) / most, method="inverted_cdf"))
            if len(known)
            else np.zeros(0)
        )
        cuts = cuts[cuts < known.max()] if len(known) else cuts
        for part, out in ((tables.real, real), (tables.synthetic, made)):
            x = part.numbers[:, k]
            out.append(np.where(np.isnan(x), len(cuts) + 1, np.searchsorted(cuts, x, side="left")))
        sizes.append(len(cuts) + 2)
    for k, names in enumerate(tables.levels):
        counts = np.bincount(tables.real.codes[:, k], minlength=len(names))
        order = np.argsort(-counts, kind="stable")
        to = np.full(len(names), most - 1)
        to[order[: most - 1]] = np.arange(min(most - 1, len(names)))
        real.append(to[tables.real.codes[:, k]])
        made.append(to[tables.synthetic.codes[:, k]])
        sizes.append(most)
    return np.stack(real, axis=1), np.stack(made, axis=1), np.array(sizes)


def _joint(classes: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], width: int) -> Floats:
    onehot = np.zeros((len(classes), width), np.float32)
    onehot[np.arange(len(classes))[:, None], classes + starts] = 1
    total = np.zeros((width, width))
    for first in range(0, len(classes), 1 << 16):  # whole numbers below 2^24 are exact in float32
        block = onehot[first : first + (1 << 16)]
        total += block.T @ block
    return total


def conditional_findings(tables: Tables, *, level: float, margin: float) -> list[Finding]:
    """Judge, per column, its distribution given each other column; the worst is shown, Bonferroni over the others.

    The value is the total variation of the column given the other, averaged over the real shares of the classes of the
    other. The test is Pearson's of homogeneity within each class, summed; classes with too few records are left out.
    """
    real, made, sizes = binned(tables)
    starts, width = np.cumsum(sizes) - sizes, int(sizes.sum())
    t_real, t_made = _joint(real, starts, width), _joint(made, starts, width)
    n_real, n_made = np.diag(t_real), np.diag(t_made)
    names, found = tables.columns, []
    for j, name in enumerate(names):
        own = slice(int(starts[j]), int(starts[j] + sizes[j]))
        a, b = t_made[:, own], t_real[:, own]  # every class of every column against this column's classes
        total = a + b
        with np.errstate(all="ignore"):
            share = (n_made / (n_made + n_real))[:, None]
            expected = np.minimum(total * share, total * (1 - share))
            enough = expected >= 3
            chi2 = np.where(enough, (a - total * share) ** 2 / (total * share * (1 - share)), 0.0).sum(1)
        df = np.maximum(0, enough.sum(1) - 1)
        chi2 = np.where(df > 0, chi2, 0.0)
        with np.errstate(all="ignore"):
            p_made, p_real = a / n_made[:, None], b / n_real[:, None]
            up = p_made > p_real
            s_made, s_real = np.where(up, p_made, 0).sum(1), np.where(up, p_real, 0).sum(1)
            variance = s_made * (1 - s_made) / n_made + s_real * (1 - s_real) / n_real
        usable = (n_made > 0) & (n_real > 0)
        weight = np.where(usable, n_real, 0.0)
        whole = np.add.reduceat(weight, starts)
        with np.errstate(all="ignore"):
            distance = np.add.reduceat(np.where(usable, weight * (s_made - s_real), 0.0), starts) / whole
            error = np.sqrt(np.add.reduceat(np.where(usable, weight**2 * variance, 0.0), starts)) / whole
        p = stats.chi2.sf(np.add.reduceat(chi2, starts), np.maximum(1, np.add.reduceat(df, starts)))
        p = np.where(np.add.reduceat(df, starts) > 0, p, np.nan)
        p[j] = np.nan
        pairs = int(np.isfinite(p).sum())
        if not pairs:
            continue
        i = int(np.nanargmin(p))
        half = float(stats.norm.isf((1 - level) / 2 / pairs)) * float(error[i])
        value = float(np.clip(distance[i], 0, 1))
        found.append(
            Finding(
                metric="conditional_distance",
                component=f"{name} given {names[i]}",
                p_value=min(1.0, pairs * float(p[i])),
                estimate=Estimate(
                    value=value,
                    lower=max(0.0, value - half),
                    upper=min(1.0, value + half),
                    n=tables.synthetic.n + tables.real.n,
                    method=f"mean conditional total variation, worst of {pairs} columns",
                    unit="1",
                    level=level,
                ),
                null=NULL + " (Pearson's homogeneity within classes)",
                direction=Direction.LOWER.value,
                rule=f"adjusted p at most alpha and distance above {2 * margin:g}",
                exceeds=value > 2 * margin,
                too_little=too_little(tables.synthetic.n, tables.real.n),
                reference="Pearson 1900, doi:10.1080/14786440009463897",
            )
        )
    return found
