"""Tables of scores: one row per case, with a truth of 0 or 1 and a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import DataProblem

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores (n,), truth (n,) of 0 and 1, patients (n,) or ``None``."""

    scores: Floats
    truth: Floats
    patients: npt.NDArray[np.object_] | None


def column(table: pd.DataFrame, name: str, *, role: str) -> pd.Series:
    """Return a column, refusing a table without it (``MET-030``)."""
    if name not in table:
        raise DataProblem(
            f"the table {role!r} has no column {name!r}.",
            code="MET-030",
            where=role,
            action=f"Its columns are {', '.join(map(str, table.columns[:12]))}; name the right one as a parameter.",
        )
    found: pd.Series = table[name]
    return found


def numbers(table: pd.DataFrame, name: str, *, role: str) -> Floats:
    """Return a column of finite numbers (``MET-031``): a missing score is no score, and is never left out silently."""
    values = pd.to_numeric(column(table, name, role=role), errors="coerce").to_numpy(dtype=np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataProblem(
            f"{bad} of {len(values)} values of {name!r} are missing or not finite numbers.",
            code="MET-031",
            where=role,
            why="A case without a score is a failure of the system, not a case less.",
            action="Give such cases the score that the system's failure means, or exclude them by the protocol.",
        )
    return values


def scores_of(table: pd.DataFrame, *, score: str, truth: str, patient: str) -> Scores:
    """Return scores, truth and, where the column exists, patients of a table."""
    values, labels = numbers(table, score, role="cases"), numbers(table, truth, role="cases")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataProblem(
            f"the column {truth!r} holds other values than 0 and 1.",
            code="MET-031",
            where="cases",
            action="Code the truth as 1 (condition present) and 0 (absent).",
        )
    clusters = table[patient].astype(str).to_numpy() if patient in table else None
    return Scores(values, labels, clusters)
