"""Singling out: descriptions read off the synthetic table that fit exactly one real person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.privacy.exchangeable import NULL, control_adjusted, without_holdout
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Part, Tables, encode
from validation.metrics.tabular.exact import more_than_share
from validation.registry import Direction, Kind, metric

ATTACKS = 2000
WIDTH = 4  # columns of a multivariate description
EQUAL, AT_LEAST, AT_MOST = 0, 1, 2
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Descriptions:
    """Conjunctions of conditions: columns (a, w), kinds of condition (a, w), and values (a, w)."""

    columns: Ints
    kinds: Ints
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.columns)


def cells(part: Part) -> npt.NDArray[np.float64]:
    """Return all cells as numbers, a missing number as infinity so that it equals itself."""
    return np.ascontiguousarray(
        np.concatenate([np.where(np.isnan(part.numbers), np.inf, part.numbers), part.codes], axis=1)
    )


@reused
def univariate(tables: Tables, *, seed: int, attacks: int = ATTACKS) -> Descriptions:
    """Return descriptions by one column that fit one synthetic record: unique values and ends of numbers."""
    made = cells(tables.synthetic)
    found: list[tuple[int, int, float]] = []
    for k in range(made.shape[1]):
        values, counts = np.unique(made[:, k], return_counts=True)
        found += [(k, EQUAL, float(v)) for v in values[counts == 1] if np.isfinite(v)]
        finite = values[np.isfinite(values)]
        if k < len(tables.numeric) and len(finite):
            found += [(k, AT_MOST, float(finite[0])), (k, AT_LEAST, float(finite[-1]))]
    if len(found) > attacks:
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), attacks, replace=False))
        found = [found[int(c)] for c in chosen]
    rows = np.array(found, np.float64).reshape(-1, 3)
    return Descriptions(rows[:, :1].astype(np.int64), rows[:, 1:2].astype(np.int64), rows[:, 2:].copy())


@reused
def multivariate(tables: Tables, *, seed: int, attacks: int = ATTACKS, width: int = WIDTH) -> Descriptions:
    """Return descriptions by several columns of a random synthetic record that fit exactly one synthetic record.

    Categories must be equal; a number must be at least, or at most, the record's, whichever is the rarer side of the
    median (as Giomi et al. 2023). At most ten times as many are tried as wanted.
    """
    made, rng = cells(tables.synthetic), np.random.default_rng(seed)
    p, columns = len(tables.numeric), made.shape[1]
    width = min(width, columns)
    tried = attacks * 10
    rows = rng.integers(0, len(made), tried)
    chosen = np.argsort(rng.random((tried, columns)), axis=1)[:, :width].astype(np.int64)
    values = made[rows[:, None], chosen]
    middle = np.median(made, axis=0)
    kinds = np.where(values >= middle[chosen], AT_LEAST, AT_MOST)
    kinds = np.where((chosen >= p) | ~np.isfinite(values), EQUAL, kinds).astype(np.int64)
    kept: list[Ints] = []
    for start in range(0, tried, attacks):  # most tables give enough in the first round
        stop = start + attacks
        part = Descriptions(chosen[start:stop], kinds[start:stop], values[start:stop])
        kept.append(start + np.flatnonzero(matches(part, made)[0] == 1))
        if sum(map(len, kept)) >= attacks:
            break
    take = np.concatenate(kept)[:attacks]
    return Descriptions(chosen[take], kinds[take], values[take])


def matches(descriptions: Descriptions, table: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Return how many records fit each description (2 for two or more) and the row of the first."""
    counts, rows = np.zeros(len(descriptions), np.int64), np.full(len(descriptions), -1, np.int64)
    if len(descriptions) and len(table):
        columns = np.ascontiguousarray(table.T)
        _fit()(descriptions.columns, descriptions.kinds, descriptions.values, columns, counts, rows)
    return counts, rows


@cache
def _fit() -> Callable[..., None]:
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_scan)
    except RuntimeError:  # no place to keep compiled code
        return numba.njit(nogil=True)(_scan)


def _scan(columns: Any, kinds: Any, values: Any, table: Any, counts: Any, rows: Any) -> None:
    n, width = table.shape[1], columns.shape[1]
    for a in range(columns.shape[0]):
        for i in range(n):
            fits = True
            for w in range(width):
                cell, value, kind = table[columns[a, w], i], values[a, w], kinds[a, w]
                if kind == 0:
                    fits = cell == value
                elif kind == 1:
                    fits = cell >= value and cell != np.inf
                else:
                    fits = cell <= value
                if not fits:
                    break
            if fits:
                counts[a] += 1
                if counts[a] == 1:
                    rows[a] = i
                else:
                    break


@reused
def singled(tables: Tables, descriptions: Descriptions) -> tuple[Ints, Ints]:
    """Return, per description that fits one real record in all, the training row (else -1) and the holdout row."""
    if tables.holdout is None:
        raise ValueError("singling out needs a holdout")
    a, rows_a = matches(descriptions, cells(tables.train))
    b, rows_b = matches(descriptions, cells(tables.holdout))
    return np.where((a == 1) & (b == 0), rows_a, -1), np.where((b == 1) & (a == 0), rows_b, -1)


def risk(tables: Tables, descriptions: Descriptions, *, level: float) -> tuple[Estimate, float | None, str, Ints]:
    """Return control-adjusted risk, exact p-value, counts in words, and the training rows that are singled out."""
    method = "control-adjusted risk, Wilson limits combined"
    if tables.holdout is None or len(descriptions) < 20:
        why = f"{len(descriptions)} descriptions fit one synthetic record; 20 are needed"
        return (
            Estimate.insufficient(why, n=len(descriptions), unit="1", method=method, level=level),
            None,
            why,
            np.zeros(0, np.int64),
        )
    hit, control = singled(tables, descriptions)
    n, m, tried = tables.train.n, tables.holdout.n, len(descriptions)
    k, j = int((hit >= 0).sum()), int((control >= 0).sum())
    people, others = np.unique(hit[hit >= 0]), np.unique(control[control >= 0])
    p = float(more_than_share([len(people)], n, [len(others)], m)[0])
    scaled = min(tried, round(j * n / m))  # a larger table holds more people to single out
    words = f"{k} of {tried} descriptions fit one training person, {j} one holdout person ({scaled} at equal sizes)"
    return control_adjusted(k, tried, scaled, tried, level=level, method=method), p, words, people


def singling_findings(
    tables: Tables, groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]], *, level: float, seed: int
) -> list[Finding]:
    """Judge univariate and multivariate singling out, and the people singled out of each subgroup.

    Rows are of the training table.
    """
    if tables.holdout is None:
        return [without_holdout("singling_out", n=tables.train.n)]
    found = []
    for name, make in (("univariate", univariate), ("multivariate", multivariate)):
        descriptions = make(tables, seed=seed)
        estimate, p, words, people = risk(tables, descriptions, level=level)
        worse = p is not None and p < 0.05
        found.append(
            Finding(
                metric="singling_out",
                component=name,
                estimate=estimate,
                p_value=p,
                note=words,
                direction=Direction.LOWER.value,
                null=NULL + " (hypergeometric on the people singled out, exact)",
                reference=_REFERENCE,
                rule="adjusted p at most alpha (more training than holdout people singled out)",
                rows=tuple(int(r) for r in people[:20]) if worse else (),
            )
        )
        if name == "multivariate" and estimate.value is not None:
            found += _group_findings(tables, descriptions, groups, level=level)
    return found


def _group_findings(
    tables: Tables,
    descriptions: Descriptions,
    groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]],
    *,
    level: float,
) -> list[Finding]:
    """Judge, per subgroup, the share of training people whom some description singles out, against the holdout's."""
    hit, control = (np.unique(rows[rows >= 0]) for rows in singled(tables, descriptions))
    found = []
    for name, masks in groups:
        k, n = int(masks["train"][hit].sum()), int(masks["train"].sum())
        j, m = int(masks["holdout"][control].sum()), int(masks["holdout"].sum())
        found.append(
            Finding(
                metric="singling_out",
                component="people of multivariate descriptions",
                subgroup=name,
                estimate=control_adjusted(k, n, j, m, level=level, method="share of people, control-adjusted, Wilson"),
                p_value=float(more_than_share([k], n, [j], m)[0]) if n and m else None,
                note=f"{k} of {n} training and {j} of {m} holdout people are singled out",
                direction=Direction.LOWER.value,
                null=NULL + " (hypergeometric, exact)",
                reference=_REFERENCE,
                rule="adjusted p at most alpha (more training than holdout people singled out)",
                too_little=f"{n} training and {m} holdout people" if min(n, m) < 20 else "",
            )
        )
    return found


_REFERENCE = "Giomi et al. 2023, doi:10.56553/popets-2023-0055; Article 29 Working Party Opinion 05/2014"


@metric(
    "singling_out",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="pandas queries; anonymeter 1.1.0 rates",
)
def singling_out(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    attacks: int = ATTACKS,
    width: int = WIDTH,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the control-adjusted risk that a description unique in the synthetic table fits exactly one real person.

    Descriptions of one column (unique values, ends) and of ``width`` columns of a random synthetic record; a hit fits
    one
    person of training and holdout together, which differs from anonymeter, where each table is asked by itself. Hits
    in the holdout, scaled to the size of the training table, are the control. Insufficient with fewer than 20
    descriptions.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    return {
        "univariate": risk(tables, univariate(tables, seed=seed, attacks=attacks), level=level)[0],
        "multivariate": risk(tables, multivariate(tables, seed=seed, attacks=attacks, width=width), level=level)[0],
    }
