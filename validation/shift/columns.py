"""Columns of two tables made comparable: numbers, or codes of a category, with missing values counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem
from validation.protocol.plan_schemas import ShiftVariable
from validation.shift.groups import Codes, Floats

MAXIMUM_LEVELS = 200
LARGEST = 1e100  # beyond, squares overflow


def number(baseline: pd.DataFrame, new: pd.DataFrame, name: str) -> Floats:
    """Return a numeric column of both tables, baseline first, NaN where missing.

    Raises
    ------
    DataProblem
        SHF-001 if the column is absent, SHF-002 if it holds text or infinite values.
    """
    parts = []
    for where, frame in (("baseline", baseline), ("new", new)):
        column = _column(frame, name, where)
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        if (np.isnan(values) & column.notna().to_numpy(bool)).any():
            raise DataProblem(
                f"the column {name!r} holds text, and its statistic compares numbers.",
                code="SHF-002",
                where=f"{where}, column {name}",
                action="Use the statistic chi2 for categories.",
            )
        if (np.abs(values) > LARGEST).any():
            raise DataProblem(
                f"the column {name!r} holds infinite values, or values above {LARGEST:g}.",
                code="SHF-002",
                where=f"{where}, column {name}",
                action="Leave the cell empty where the value is not known.",
            )
        parts.append(values)
    return np.concatenate(parts)


def too_many_levels(baseline: pd.DataFrame, new: pd.DataFrame, name: str) -> int:
    """Return the number of levels of a category if it is more than can be compared, else 0 (also for numbers)."""
    if name not in baseline.columns or name not in new.columns or numeric(baseline, new, name):
        return 0
    levels = {_text(v) for frame in (baseline, new) for v in frame[name].tolist()} - {None}
    return len(levels) if len(levels) > MAXIMUM_LEVELS else 0


def category(baseline: pd.DataFrame, new: pd.DataFrame, name: str) -> tuple[Codes, list[str]]:
    """Return a column of both tables as codes of levels (-1 where missing) and the names of the levels.

    Raises
    ------
    DataProblem
        SHF-001 if the column is absent, SHF-003 if it has more than 200 levels.
    """
    texts: list[str | None] = []
    for where, frame in (("baseline", baseline), ("new", new)):
        texts += [_text(v) for v in _column(frame, name, where).tolist()]
    levels = sorted({t for t in texts if t is not None})
    if len(levels) > MAXIMUM_LEVELS:
        raise DataProblem(
            f"the column {name!r} has {len(levels)} levels.",
            code="SHF-003",
            where=f"column {name}",
            why="A comparison of shares needs several cases in most levels.",
            action="Make bands, or use a statistic for numbers.",
        )
    index = {level: k for k, level in enumerate(levels)}
    return np.array([-1 if t is None else index[t] for t in texts], dtype=np.intp), levels


def numeric(baseline: pd.DataFrame, new: pd.DataFrame, name: str) -> bool:
    """Tell whether a column holds numbers (not truth values) in both tables."""
    return all(
        pd.api.types.is_numeric_dtype(f[name]) and not pd.api.types.is_bool_dtype(f[name]) for f in (baseline, new)
    )


def default_variables(
    baseline: pd.DataFrame, new: pd.DataFrame, names: list[str], *, margin: float | None = None
) -> list[ShiftVariable]:
    """Return variables with the statistic of their type: KS for numbers, chi-squared for categories.

    The type decides, never the number of cases.
    """
    return [
        ShiftVariable(column=name, statistic="ks" if numeric(baseline, new, name) else "chi2", margin=margin)
        for name in names
    ]


def as_texts(frame: pd.DataFrame, name: str, where: str) -> list[str]:
    """Return a column as text, ``(missing)`` where there is no value."""
    return ["(missing)" if t is None else t for t in map(_text, _column(frame, name, where).tolist())]


def _column(frame: pd.DataFrame, name: str, where: str) -> pd.Series[Any]:
    if name not in frame.columns:
        from difflib import get_close_matches

        near = get_close_matches(name, map(str, frame.columns), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Columns are {', '.join(map(str, frame.columns[:20]))}."
        raise DataProblem(f"the {where} table has no column {name!r}.", code="SHF-001", where=where, action=hint)
    return frame[name]


def _text(value: Any) -> str | None:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None
