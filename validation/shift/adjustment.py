"""Strata for conditional comparisons: cases that are alike in case mix, or in how they were acquired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem
from validation.shift import columns
from validation.shift.groups import Codes, Flags, Floats
from validation.statistics.clusters import group

QUANTILES = 5
MAXIMUM_CELLS = 50


def strata_of(baseline: pd.DataFrame, new: pd.DataFrame, names: Sequence[str], ids: list[Any] | None) -> Codes:
    """Return the stratum of each case, baseline first: equal for all cases of a patient.

    One or two columns are crossed, numbers as fifths of the pooled patients. Where that gives more than 50 cells,
    strata are fifths of the propensity score instead: the probability of being in the new cohort given the columns,
    by logistic regression on the pooled patients. A patient's numbers are averaged over cases; a category that varies
    within a patient becomes the set of its levels.

    Raises
    ------
    DataProblem
        SHF-001 if a column is absent; SHF-005 if a value is missing, or no stratum holds patients of both cohorts.

    References
    ----------
    Rosenbaum and Rubin 1984, doi:10.1080/01621459.1984.10478078 (fifths of the propensity score).
    """
    n, n0 = len(baseline) + len(new), len(baseline)
    units = group(ids, n).codes
    count = int(units.max()) + 1
    described = {name: _describe(baseline, new, name, units, count) for name in names}
    cells = np.zeros(count, dtype=np.intp)
    for values in described.values():
        cells = cells * (int(values[0].max()) + 1) + values[0]
        cells = np.unique(cells, return_inverse=True)[1]
    in_new = np.bincount(units, weights=np.arange(n) >= n0, minlength=count) > 0
    in_old = np.bincount(units, weights=np.arange(n) < n0, minlength=count) > 0
    if int(cells.max()) + 1 > MAXIMUM_CELLS:
        cells = fifths(propensity(np.column_stack([v[1] for v in described.values()]), in_new))
    both = [s for s in np.unique(cells) if in_new[cells == s].any() and in_old[cells == s].any()]
    if not both:
        raise DataProblem(
            "no stratum holds cases of both cohorts.",
            code="SHF-005",
            where=", ".join(names),
            why="The cohorts have nothing in common to be compared at.",
            action="Adjust for fewer columns; if they never overlap, the shift cannot be told from the case mix.",
        )
    return np.asarray(cells[units], dtype=np.intp)


def fifths(values: Floats) -> Codes:
    """Return which fifth of the values each lies in, ties together."""
    cuts = np.unique(np.quantile(values, np.arange(1, QUANTILES) / QUANTILES))
    return np.asarray(np.searchsorted(cuts, values, side="left"), dtype=np.intp)


def _describe(baseline: pd.DataFrame, new: pd.DataFrame, name: str, units: Codes, count: int) -> tuple[Codes, Floats]:
    """Return stratum codes of each unit and the columns that describe it in a regression."""
    for where, frame in (("baseline", baseline), ("new", new)):
        if name in frame.columns and frame[name].isna().any():
            raise DataProblem(
                f"the column {name!r} to adjust for has missing values.",
                code="SHF-005",
                where=where,
                action="Fill them with a level of their own, or leave those cases out.",
            )
    if name in baseline.columns and name in new.columns and columns.numeric(baseline, new, name):
        values = columns.number(baseline, new, name)
        averages = np.bincount(units, weights=values, minlength=count) / np.bincount(units, minlength=count)
        spread = averages.std()
        scaled = (averages - averages.mean()) / spread if spread > 0 else averages * 0
        codes = (
            fifths(averages) if len(np.unique(averages)) > QUANTILES else np.unique(averages, return_inverse=True)[1]
        )
        return np.asarray(codes, dtype=np.intp), scaled[:, None]
    codes, levels = columns.category(baseline, new, name)
    has = np.zeros((count, len(levels)))
    np.maximum.at(has, (units, codes), 1.0)
    _, combined = np.unique(has, axis=0, return_inverse=True)
    return np.asarray(combined, dtype=np.intp).ravel(), has[:, 1:]


def propensity(design: Floats, in_new: Flags) -> Floats:
    """Return the linear predictor of ridge logistic regression (penalty 1) on standardised columns, by Newton."""
    x = np.column_stack([np.ones(len(design)), design])
    y = in_new.astype(np.float64)
    penalty = np.diag(np.r_[0.0, np.ones(x.shape[1] - 1)])
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty, x.T @ (y - p) - penalty @ beta)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray(x @ beta)
