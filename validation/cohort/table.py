"""The case table: read whole, checked before any image is opened."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from validation.cohort.contents import content_columns
from validation.cohort.spec import MASK_PREFIX, ROLES, CohortSpec
from validation.errors import DataProblem
from validation.tables import read_table, repeated_column

if TYPE_CHECKING:
    import pandas as pd


def case_table(spec: CohortSpec, path: Path) -> pd.DataFrame:
    """Read the case table of a cohort: columns renamed, case ids as text index, unique, patients present.

    Raises
    ------
    DataProblem
        As :func:`read_table`; also a missing column (COH-005), duplicate or empty case ids (COH-006), an empty patient
        cell (COH-007) or an empty role cell (COH-009), with the line of the table.
    """
    named = (spec.case_id, spec.patient, *ROLES)
    frame = read_table(path, text_columns=[spec.columns.get(name, name) for name in named])
    absent = [c for c in spec.columns.values() if c not in frame.columns]
    if absent:
        raise _missing_column(absent[0], path, frame, used_by="`columns` in study.yaml")
    clash = [n for n, c in spec.columns.items() if n in frame.columns and n != c]
    if clash:
        raise repeated_column(f"column {clash[0]!r} would appear twice after renaming.", path)
    frame = frame.rename(columns={column: name for name, column in spec.columns.items()})
    for name, use in ((spec.case_id, "it names the case"), (spec.patient, "patients are the clusters")):
        if name not in frame.columns:
            raise _missing_column(name, path, frame, used_by=use)
    _check_cells(frame, spec, path)
    frame[spec.patient] = frame[spec.patient].astype(str).str.strip()
    frame.attrs.clear()  # pandas copies attributes at every access
    for role in [*role_columns(frame), *content_columns(frame)] if spec.kind == "images" else []:
        frame[role] = frame[role].map(str, na_action="ignore")  # a folder named 12 is a name, not a number
    ids = frame[spec.case_id] if spec.case_id == spec.patient else frame.pop(spec.case_id)
    frame.index = ids.astype(str).str.strip().rename("case_id")
    return frame


def role_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold locators: ``input``, ``reference``, ``baseline`` and ``mask.<name>``."""
    return [c for c in frame.columns if c in ROLES or str(c).startswith(MASK_PREFIX)]


def _check_cells(frame: pd.DataFrame, spec: CohortSpec, path: Path) -> None:

    def line(flags: pd.Series) -> str:
        row = int(flags.to_numpy().argmax())
        lines = frame.attrs.get("lines")
        return f"{path}:{lines[row]}" if lines else f"{path} row {row + 1}"

    ids = frame[spec.case_id]
    blank = ids.isna() | (ids.astype(str).str.strip() == "")
    if blank.any():
        raise DataProblem(
            "a case has no id.",
            code="COH-006",
            where=line(blank),
            why="Its measurements could not be traced back to it.",
            action="Give every case its own id.",
        )
    doubled = ids.astype(str).str.strip().duplicated()
    if doubled.any():
        raise DataProblem(
            f"{int(doubled.sum())} case id(s) appear more than once.",
            code="COH-006",
            where=line(doubled),
            why="A case counted twice makes intervals too narrow.",
            action="Give every case its own id.",
        )
    patients = frame[spec.patient]
    blank = patients.isna() | (patients.astype(str).str.strip() == "")
    if blank.any():
        raise DataProblem(
            f"{int(blank.sum())} case(s) have no {spec.patient}.",
            code="COH-007",
            where=line(blank),
            why="Cases of one patient are not independent, so every case must name its patient.",
            action="Fill the column.",
        )
    roles = role_columns(frame) if spec.kind == "images" else []
    for role in roles:
        blank = frame[role].isna()
        if role in ROLES and blank.any():
            raise DataProblem(
                f"{int(blank.sum())} case(s) have no {role}.",
                code="COH-009",
                where=line(blank),
                why="A case without it cannot be measured, and leaving it out silently biases the result.",
                action="Fill the cell, or remove the case and record why.",
            )


def _missing_column(name: str, path: Path, frame: pd.DataFrame, *, used_by: str) -> DataProblem:
    near = get_close_matches(name, [str(c) for c in frame.columns], n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return DataProblem(
        f"the table has no column {name!r} ({used_by}).",
        code="COH-005",
        where=f"{path}:1",
        why="Without it the cohort cannot be analysed as planned.",
        action=f"{hint}Add the column, or name yours under `columns` in study.yaml.",
    )
