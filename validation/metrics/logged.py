"""What was logged beside a case rather than measured on it: times, counts of interventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from validation.errors import DataProblem
from validation.registry import Direction, metric


@metric(
    "logged_time",
    unit="s",
    direction=Direction.LOWER,
    roles=("row",),
    reference="Vaassen 2020, doi:10.1016/j.phro.2019.12.001 (time beside path length)",
    oracle="identity",
    family="logged",
)
def logged_time(row: Sequence[Mapping[str, Any]], *, column: str, less: str | None = None) -> Tensor:
    """Seconds that a person needed for a case, from a column of the case table; optionally less those of another.

    With ``less`` the value is a difference on the same case, such as editing the proposal less contouring from scratch.

    Undefined (NaN) when a cell is empty.

    Parameters
    ----------
    row
        Row of the case table, of each case.
    column, less
        Columns of seconds.
    """
    values = [_seconds(one, column) - (0.0 if less is None else _seconds(one, less)) for one in row]
    return torch.tensor(values, dtype=torch.float64)


def _seconds(row: Mapping[str, Any], column: str) -> float:
    if column not in row:
        raise DataProblem(
            f"the case table has no column {column!r}.",
            code="MET-016",
            where=column,
            action="Add the column of seconds, or correct the metric's `column` in the protocol.",
        )
    value = row[column]
    if pd.isna(value):
        return float("nan")
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if seconds < 0:
        raise DataProblem(
            f"the column {column!r} holds something that is no time in seconds.",
            code="MET-016",
            where=column,
            action="Give seconds as numbers, 0 or more.",
        )
    return seconds
