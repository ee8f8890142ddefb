"""Exact copies: synthetic records that equal a real one, found by hashing, against the copies of holdout records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.privacy.exchangeable import NULL, share, without_holdout
from validation.metrics.tabular.detection import row_hashes
from validation.metrics.tabular.encoding import Tables, encode
from validation.metrics.tabular.exact import more_than_share
from validation.registry import Direction, Kind, metric

WORST = 20


def copied(tables: Tables) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
    """Return which synthetic records equal a training record, and which training and holdout records were copied."""
    made, real = row_hashes(tables.synthetic), row_hashes(tables.train)
    kept = None if tables.holdout is None else np.isin(row_hashes(tables.holdout), made)
    return np.isin(made, real), np.isin(real, made), kept


def duplicate_findings(
    tables: Tables, groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]], *, level: float
) -> list[Finding]:
    """Judge whether more training than holdout records are copied, overall and per subgroup (hypergeometric, exact)."""
    copies, train, holdout = copied(tables)
    everything = {"synthetic": np.ones(len(copies), bool), "train": np.ones(len(train), bool)}
    if holdout is None:
        return [without_holdout("exact_copies", share(train, level=level))]
    everything["holdout"] = np.ones(len(holdout), bool)
    found = []
    for name, masks in [("", everything), *groups]:
        a, b = train[masks["train"]], holdout[masks["holdout"]]
        k, j = int(a.sum()), int(b.sum())
        where = np.flatnonzero(train & masks["train"])
        found.append(
            Finding(
                metric="exact_copies",
                subgroup=name,
                estimate=share(a, level=level),
                ceiling=share(b, level=level),
                p_value=float(more_than_share([k], len(a), [j], len(b))[0]) if len(a) and len(b) else None,
                null=NULL + " (hypergeometric, exact)",
                rule="adjusted p at most alpha (more training than holdout records copied)",
                direction=Direction.LOWER.value,
                rows=tuple(int(r) for r in where[:WORST]) if k > j else (),
                note=f"{k} of {len(a)} training and {j} of {len(b)} holdout records are copied"
                + (
                    f" by {int(copies[masks['synthetic']].sum())} synthetic records; rows are of the training table"
                    if not name
                    else ""
                ),
                too_little=f"{len(a)} training and {len(b)} holdout records" if min(len(a), len(b)) < 20 else "",
                reference="Fisher 1935; Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
            )
        )
    return found


@metric(
    "exact_copies",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    oracle="pandas merge of whole records",
)
def exact_copies(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the shares of synthetic records that equal a training record, and of real records that were copied.

    All measured columns must agree (missing equals missing). A table of few, coarse columns has copies by chance: the
    share of holdout records that were copied says how many.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    copies, hit, other = copied(tables)
    found = {"synthetic_equal_to_train": share(copies, level=level), "train_copied": share(hit, level=level)}
    if other is not None:
        found["holdout_copied"] = share(other, level=level)
    return found
