"""The groups that were declared: every level of every attribute and, if wanted, intersection, also empty ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.fairness.measures import Mask

MAXIMUM_CELLS = 2000


@dataclass(frozen=True, eq=False)
class Cell:
    """One group: its attributes, their levels, and its cases (bool, shape (n,))."""

    attributes: tuple[str, ...]
    levels: tuple[str, ...]
    mask: Mask

    @property
    def name(self) -> str:
        """Readable name, such as ``sex=F & age_band=60-80``."""
        return " & ".join(f"{a}={level}" for a, level in zip(self.attributes, self.levels, strict=True))

    @property
    def attribute(self) -> str:
        """Name of the attribute, or of the intersection: ``sex & age_band``."""
        return " & ".join(self.attributes)


def declare(
    frame: pd.DataFrame,
    attributes: Sequence[str],
    *,
    intersections: bool = False,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> list[Cell]:
    """Return every declared cell of a table.

    Levels are those given, else those found. Intersections are the full cross product of every set of two or more
    attributes, so a combination without a case is listed too. Levels are compared as text; a whole number is written
    without a decimal point.

    Raises
    ------
    DataProblem
        FAIR-003 if an attribute is not a column, has no value, or holds a level that was not declared.
    UsageProblem
        FAIR-004 if there would be more than 2000 cells (a number that was not made into bands).
    """
    texts: dict[str, Any] = {}
    declared: dict[str, list[str]] = {}
    for name in attributes:
        if name not in frame.columns:
            raise DataProblem(
                f"the table has no column {name!r}.",
                code="FAIR-003",
                where="attributes",
                action=f"Its columns are {', '.join(map(str, frame.columns[:20]))}.",
            )
        texts[name] = as_text(frame[name])
        declared[name] = _levels(name, texts[name], (levels or {}).get(name), frame[name])
    sets: list[tuple[str, ...]] = [(name,) for name in attributes]
    if intersections:
        sets += [s for size in range(2, len(attributes) + 1) for s in combinations(attributes, size)]
    count = sum(prod(len(declared[name]) for name in chosen) for chosen in sets)
    if count > MAXIMUM_CELLS:
        raise UsageProblem(
            f"these attributes make {count} cells.",
            code="FAIR-004",
            where="attributes",
            why="Almost all of them would be too small to say anything.",
            action="Make bands of numeric attributes, or name fewer attributes.",
        )
    cells = []
    for chosen in sets:
        for combination in product(*(declared[name] for name in chosen)):
            mask = np.ones(len(frame), dtype=bool)
            for name, level in zip(chosen, combination, strict=True):
                mask &= texts[name] == level
            cells.append(Cell(attributes=chosen, levels=combination, mask=mask))
    return cells


def as_text(column: pd.Series[Any]) -> Any:
    """Return the levels of a column as an object array of text, ``None`` where missing."""
    return np.array([_text(v) for v in column.tolist()], dtype=object)


def _text(value: Any) -> str | None:
    if (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or value == ""
        or (isinstance(value, float) and value != value)
    ):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def _levels(name: str, texts: Any, declared: Sequence[str] | None, column: pd.Series[Any]) -> list[str]:
    present = {t for t in texts.tolist() if t is not None}
    if declared is not None:
        unknown = present - set(declared)
        if unknown:
            raise DataProblem(
                f"the attribute {name!r} holds {len(unknown)} level(s) that were not declared.",
                code="FAIR-003",
                where=name,
                why="Their cases would be left out of every group.",
                action=f"Declare all of its {len(present)} levels, or correct the table.",
            )
        return list(dict.fromkeys(declared))
    if not present:
        raise DataProblem(f"the attribute {name!r} has no value.", code="FAIR-003", where=name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [t for t in (_text(v) for v in column.cat.categories.tolist()) if t is not None]
    return sorted(present, key=_order)


def _order(text: str) -> tuple[int, float, str]:
    """Sort bands such as ``0-20`` and ``80-`` by their first number, other levels as text."""
    head = text.lstrip("<>=≤≥ ").split("-")[0].split("–")[0]
    try:
        return (0, float(head), text)
    except ValueError:
        return (1, 0.0, text)


def bands(column: pd.Series[Any], edges: Sequence[float]) -> pd.Series[Any]:
    """Make bands of a number: below the first edge, between edges (lower edge included), and from the last edge on.

    >>> bands(pd.Series([5.0, 20.0, 90.0]), [20, 80]).tolist()
    ['<20', '20-80', '80-']
    """
    ordered = sorted(edges)
    names = [f"<{ordered[0]:g}", *(f"{a:g}-{b:g}" for a, b in pairwise(ordered))]
    names.append(f"{ordered[-1]:g}-")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
    codes = np.where(np.isnan(numbers), -1, np.searchsorted(ordered, numbers, side="right")).tolist()
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(names)), index=column.index)
