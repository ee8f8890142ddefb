"""Extrapolation: synthetic records outside what the training records support, which few patients cannot vouch for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Part, Tables, encode
from validation.metrics.tabular.exact import more_than_share
from validation.metrics.tabular.neighbours import nearest, space
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion

RANGE = "outside the range of a training column"
FAR = "further from training records than 99 % of these are from each other"
WORST = 20
_REFERENCE = "Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; Gower 1971, doi:10.2307/2528823"
Flags = npt.NDArray[np.bool_]


@reused
def outside(tables: Tables, part: Part) -> Flags:
    """Return which records have a number beyond every training value, or a level that no training record has."""
    flags = np.zeros(part.n, bool)
    for k in range(len(tables.numeric)):
        known = tables.train.numbers[:, k]
        known = known[~np.isnan(known)]
        if len(known):
            flags |= (part.numbers[:, k] < known.min()) | (part.numbers[:, k] > known.max())
    for k, names in enumerate(tables.levels):
        seen = np.bincount(tables.train.codes[:, k], minlength=len(names)) > 0
        flags |= ~seen[part.codes[:, k]]
    return flags


@reused
def far(tables: Tables, part: Part) -> Flags:
    """Return which records are further (Gower) from the nearest training record than 99 % of these from each other."""
    geometry = space(tables)
    limit = float(np.quantile(nearest(geometry, tables.train, tables.train, itself=True).first, 0.99))
    return np.asarray(nearest(geometry, part, tables.train).first > limit)


def extrapolation_findings(tables: Tables, *, level: float) -> list[Finding]:
    """Judge whether more synthetic than real holdout records lie outside what the training records support."""
    found = []
    for name, flag in ((RANGE, outside), (FAR, far)):
        made = flag(tables, tables.synthetic)
        k, n = int(made.sum()), len(made)
        real = flag(tables, tables.holdout) if tables.holdout is not None else None
        j, m = (int(real.sum()), len(real)) if real is not None else (0, 0)
        found.append(
            Finding(
                metric="extrapolation",
                component=name,
                estimate=_share(made, level),
                ceiling=_share(real, level) if real is not None else None,
                p_value=float(more_than_share([k], n, [j], m)[0]) if m else None,
                null="synthetic and holdout records lie outside alike (hypergeometric, exact)",
                rule="adjusted p at most alpha (more synthetic than holdout records outside)",
                direction=Direction.LOWER.value,
                note=f"{k} of {n} synthetic records" + (f" and {j} of {m} holdout records" if m else "; no holdout"),
                rows=tuple(int(r) for r in np.flatnonzero(made)[:WORST]),
                rows_of="synthetic",
                reference=_REFERENCE,
            )
        )
    return found


def _share(flags: Flags, level: float) -> Estimate:
    return proportion(flags.astype(np.float64), level=level, interval="clopper_pearson")


@metric(
    "extrapolation",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_REFERENCE,
    oracle="pandas minima and maxima; brute-force Gower distances",
)
def extrapolation(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the shares of synthetic records (and of holdout records) outside what the training records support.

    ``outside range``: a number beyond every training value, or a level that no training record has. ``far``: further by
    Gower's distance from every training record than 99 % of training records are from their nearest other. With few
    training patients, records out there rest on the form of the model and not on patients. The share of holdout records
    says how often real people are out there too: about two per column and n training records lie outside the range.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    parts = {"synthetic": tables.synthetic, "holdout": tables.holdout}
    return {
        f"{name} {word}": _share(flag(tables, part), level)
        for name, part in parts.items()
        if part is not None
        for word, flag in (("outside range", outside), ("far", far))
    }
