"""Alpha-precision, beta-recall and authenticity of synthetic records."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.reuse import reused
from validation.metrics.tabular.discrepancy import embedded
from validation.metrics.tabular.encoding import Floats, Tables, encode
from validation.metrics.tabular.marginals import NULL, kolmogorov_smirnov, too_little, wasserstein
from validation.metrics.tabular.neighbours import TIE, nearest, space
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion

SHARED = 2.0  # variance of a share of neighbour relations over the binomial one: records share neighbours (upper bound)


@dataclass(frozen=True, eq=False)
class Relations:
    """Who is near whom: typicality ranks, covered real records, authentic synthetic and holdout records."""

    typical: Floats  # rank of each synthetic record's distance from the real centre among real ones, 0..1
    typical_p: float | None
    covered: npt.NDArray[np.bool_]
    authentic: npt.NDArray[np.bool_]
    authentic_holdout: npt.NDArray[np.bool_] | None


@reused
def relations(tables: Tables) -> Relations:
    """Return the neighbour relations of training, synthetic and holdout records (Gower's distance, exact)."""
    geometry = space(tables)
    own = nearest(geometry, tables.train, tables.train, itself=True)
    to_train = nearest(geometry, tables.synthetic, tables.train)
    to_synthetic = nearest(geometry, tables.train, tables.synthetic)
    # a synthetic record is compared with the neighbour distance of the very record it is nearest to
    authentic = to_train.first > own.first[to_train.index] + TIE
    other = None
    if tables.holdout is not None:
        beside = nearest(geometry, tables.holdout, tables.train)
        other = beside.first > own.first[beside.index] + TIE
    real, made = embedded(tables, tables.train), embedded(tables, tables.synthetic)
    centre = real.mean(axis=0)
    r_real, r_made = (np.sqrt(((x - centre) ** 2).sum(1)) for x in (real, made))
    rank = np.searchsorted(np.sort(r_real), r_made, side="right") / len(r_real)
    _, p = kolmogorov_smirnov(r_made, r_real, level=0.95)
    return Relations(rank, p, to_synthetic.first <= own.second + TIE, authentic, other)


def alpha_precision(typical: Floats, n_real: int, *, level: float) -> Estimate:
    """Return 1 - 2 times the area between P(alpha) and alpha (share in the real alpha-ball)."""
    uniform = (np.arange(n_real) + 1) / n_real  # the ranks of the real records themselves
    area, _ = wasserstein(typical, uniform, level=level)
    method = "integrated alpha-precision, delta method"
    if area.value is None:
        return Estimate.insufficient(area.reason, n=len(typical), unit="1", method=method, level=level)
    return Estimate(
        value=1 - 2 * area.value,
        lower=1 - 2 * (area.upper or 0.0),
        upper=1 - 2 * (area.lower or 0.0),
        method=method,
        n=len(typical),
        unit="1",
        level=level,
    )


def expected_cover(n_real: int, n_made: int) -> float:
    """Return the chance that one of a record's two nearest among all others is synthetic, if all are exchangeable.

    >>> round(expected_cover(1000, 1000), 3)
    0.75
    """
    others = n_real + n_made - 1
    return 1.0 if others < 2 else 1 - (n_real - 1) * (n_real - 2) / (others * (others - 1))


def precision_findings(tables: Tables, *, level: float) -> list[Finding]:
    """Judge alpha-precision, beta-recall and authenticity of the synthetic records against the training records."""
    r = relations(tables)
    small = too_little(tables.synthetic.n, tables.train.n)
    n, m = tables.train.n, tables.synthetic.n
    recall = proportion(r.covered, level=level)
    null = expected_cover(n, m)
    z = ((recall.value or 0.0) - null) / math.sqrt(SHARED * max(1e-12, null * (1 - null)) / n)
    found = [
        Finding(
            metric="alpha_precision",
            estimate=alpha_precision(r.typical, n, level=level),
            p_value=r.typical_p,
            null=NULL + " (Kolmogorov-Smirnov on distances from the real centre)",
            direction=Direction.ONE.value,
            rule="adjusted p at most alpha",
            too_little=small,
            reference=_REFERENCE,
        ),
        Finding(
            metric="beta_recall",
            estimate=recall,
            p_value=float(stats.norm.cdf(z)),
            direction=Direction.HIGHER.value,
            null=f"share {null:.3f} expected of exchangeable records of these numbers (variance doubled)",
            rule="adjusted p at most alpha (too few real records covered)",
            too_little=small,
            reference=_REFERENCE,
        ),
    ]
    authentic = proportion(r.authentic, level=level)
    if r.authentic_holdout is None:
        why = "authenticity needs a holdout of real records to be judged"
        return [
            *found,
            Finding(
                metric="authenticity",
                estimate=authentic,
                null="none",
                rule=why,
                note=why,
                direction=Direction.HIGHER.value,
                reference=_REFERENCE,
            ),
        ]
    k = len(r.authentic_holdout)
    share = float(np.concatenate([r.authentic, r.authentic_holdout]).mean())
    error = math.sqrt(SHARED * max(1e-12, share * (1 - share)) * (1 / m + 1 / k))
    gap = float(r.authentic.mean() - r.authentic_holdout.mean())
    return [
        *found,
        Finding(
            metric="authenticity",
            estimate=authentic,
            p_value=float(stats.norm.cdf(gap / error)),
            reference=_REFERENCE,
            null="as authentic as holdout records (variance doubled): nearer to training than these is memory",
            rule="adjusted p at most alpha and lower than the holdout's",
            direction=Direction.HIGHER.value,
            exceeds=gap < 0,
            ceiling=proportion(r.authentic_holdout, level=level),
            too_little=too_little(m, k),
        ),
    ]


_REFERENCE = "Alaa et al. 2022 (ICML), arXiv:2102.08921"


@metric(
    "precision_recall_authenticity",
    unit="1",
    direction=Direction.HIGHER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_REFERENCE,
    oracle="brute-force distances in the tests",
)
def precision_recall_authenticity(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure integrated alpha-precision, beta-recall and authenticity.

    ``alpha_precision``: 1 - 2 ∫ |P(a) - a| da, P(a) the share of synthetic records within the ball around the real
    centre that holds a share a of real records (standardised, one-hot space); 1 is best. ``beta_recall``: share of real
    records with a synthetic record nearer than their second nearest real one (beta = 1, k = 2, Gower); about 0.75 for
    equal numbers of exchangeable records. ``authenticity``: share of synthetic records farther from their nearest
    training record than that record is from its own nearest one; the index is the training record's, which some
    implementations confuse.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    r = relations(tables)
    return {
        "alpha_precision": alpha_precision(r.typical, tables.train.n, level=level),
        "beta_recall": proportion(r.covered, level=level),
        "authenticity": proportion(r.authentic, level=level),
    }
