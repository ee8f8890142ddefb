"""What a case holds besides images: texts, and the lesions of the truth.

Columns of the case table:

- ``text.<name>``: a text, or the name of a ``.txt`` file (UTF-8) in the cohort folder. ``text.reference`` is the report
  that was signed; texts whose name begins with ``source`` are what a drafting model is given.
- ``lesions``: the name of a table (CSV or Parquet) with one row per lesion: ``lesion`` (its name), ``case_id`` where
  several cases share the table, optionally its centre in voxels (``row``, ``column``, of volumes also ``slice``) with
  ``radius_mm``, and ``size_ml``. A case without rows in its table has no lesion.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from validation.dicom.locators import resolve
from validation.errors import DataProblem
from validation.metrics.detection.marks import Lesion
from validation.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

TEXT_PREFIX = "text."
LESIONS = "lesions"
AXES = ("slice", "row", "column")
MAXIMUM_BYTES = 1 << 20


def content_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold texts or name tables of lesions."""
    return [c for c in frame.columns if c == LESIONS or str(c).startswith(TEXT_PREFIX)]


def content_file(column: str, cell: str, folder: Path) -> Path | None:
    """Return the file that a cell names, ``None`` for a text that stands in the cell itself."""
    if column != LESIONS and not _names_file(cell):
        return None
    return resolve(cell, folder).path


def read_text(cell: str, folder: Path) -> str:
    """Return a text, from its file where the cell names one.

    Raises
    ------
    DataProblem
        If the file is missing, too large or not UTF-8 (COH-016). The text itself is never part of a message.
    """
    if not _names_file(cell):
        return cell
    path = resolve(cell, folder).path
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise _unreadable(f"the text is larger than {MAXIMUM_BYTES} bytes", cell)
        return path.read_text(encoding="utf-8-sig")
    except OSError:
        raise _unreadable("there is no such text file", cell) from None
    except UnicodeDecodeError:
        raise _unreadable("the file is not UTF-8 text", cell) from None


def read_lesions(cell: str, folder: Path, case_id: str) -> tuple[Lesion, ...]:
    """Return the lesions of a case from the table that the cell names.

    Raises
    ------
    DataProblem
        If the table cannot be read, lacks the column ``lesion``, repeats a name within the case, or gives a place
        without all of its numbers (COH-017).
    """
    path = resolve(cell, folder).path
    rows = _lesion_table(path, path.stat().st_mtime_ns if path.is_file() else 0).get(case_id, [])
    names = [lesion.name for lesion in rows]
    if len(set(names)) < len(names):
        raise _bad_lesions("a lesion stands twice in the table", cell)
    return tuple(rows)


@lru_cache(maxsize=64)
def _lesion_table(path: Path, changed: int) -> _ByCase:
    """Return the lesions of a table by case; ``changed`` makes an edited file be read again."""
    try:
        frame = read_table(path, text_columns=("case_id", "lesion"))
    except DataProblem as problem:
        if problem.code != "COH-004":
            raise
        return _ByCase({}, shared=True)  # a header without rows: no lesion
    if "lesion" not in frame.columns or frame["lesion"].isna().any():
        raise _bad_lesions("it has no column `lesion`, or an empty name", path.name)
    axes = [axis for axis in AXES if axis in frame.columns]
    placed = {"row", "column"} <= set(axes)
    for column in [*axes, "radius_mm", "size_ml"]:
        if column in frame.columns and (
            frame[column].dtype.kind not in "fiu" or (column != "size_ml" and frame[column].isna().any())
        ):
            raise _bad_lesions(f"{column!r} has cells that are no numbers", path.name)
    shared = "case_id" in frame.columns
    found: dict[str, list[Lesion]] = {}
    for row in frame.to_dict("records"):
        points = np.array([[float(row[axis]) for axis in axes]]) if placed else None
        size = row.get("size_ml")
        lesion = Lesion(
            name=str(row["lesion"]).strip(),
            points=points,
            radius_mm=float(row.get("radius_mm", 0.0)),
            size_ml=None if size is None or np.isnan(size) else float(size),
        )
        found.setdefault(str(row["case_id"]).strip() if shared else "", []).append(lesion)
    return _ByCase(found, shared=shared)


class _ByCase:
    """Lesions by case, or those of one case whose table names none."""

    def __init__(self, found: dict[str, list[Lesion]], *, shared: bool) -> None:
        self._found = found
        self._shared = shared

    def get(self, case_id: str, default: list[Lesion]) -> list[Lesion]:
        return self._found.get(case_id if self._shared else "", default)


def _names_file(cell: str) -> bool:
    return cell.strip().lower().endswith(".txt") and "\n" not in cell.strip()


def _unreadable(what: str, cell: str) -> DataProblem:
    return DataProblem(
        f"{what}.",
        code="COH-016",
        where=cell[:200],
        why="A case without its text cannot be measured.",
        action="Put the file into the cohort folder, as UTF-8 text of at most 1 MiB.",
    )


def _bad_lesions(why: str, where: str) -> DataProblem:
    return DataProblem(
        f"the table of lesions cannot be used: {why}.",
        code="COH-017",
        where=where[:200],
        why="Which lesions a case has is the truth that marks are compared with.",
        action="Give one row per lesion: lesion, case_id, and row, column (and slice), radius_mm, size_ml where known.",
    )
