"""The case table: read whole, checked before any image is opened."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.cohort.spec import MASK_PREFIX, ROLES, CohortSpec
from validation.errors import DataProblem

if TYPE_CHECKING:
    import pandas as pd

MAXIMUM_BYTES = 2_000_000_000


def read_table(path: Path, text_columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV (UTF-8, comma, header) or Parquet table.

    Empty CSV cells are missing; the words ``NA`` and ``None`` are values, because sites are called that. A CSV column
    is numeric only if every cell is a plain number without leading zeros, so that identifiers such as ``007`` stay
    text; ``text_columns`` are never made numeric.

    Returns
    -------
    pandas.DataFrame
        ``attrs["lines"]`` holds the line of each row of a CSV file.

    Raises
    ------
    DataProblem
        If it is missing (COH-001), is not readable (COH-002), repeats a column (COH-003) or has no rows (COH-004).
    """
    import pandas as pd

    lines: list[int] | None = None
    keep = set(text_columns)
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise DataProblem(
                f"the table is larger than {MAXIMUM_BYTES} bytes.",
                code="COH-002",
                where=str(path),
                why="A case table has one row per case.",
                action="Check that `table` in study.yaml names the case table.",
            )
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            lines = _check_csv(path)
            text = pd.read_csv(path, encoding="utf-8-sig", dtype=str, keep_default_na=False, na_values=[""])
            frame = pd.DataFrame({name: text[name] if name in keep else _typed(text[name]) for name in text.columns})
    except FileNotFoundError:
        raise DataProblem(
            "there is no such table.",
            code="COH-001",
            where=str(path),
            why="The cohort is unknown.",
            action="Check `table` in study.yaml.",
        ) from None
    except IsADirectoryError:
        raise DataProblem(
            "this is a folder, not a table.",
            code="COH-001",
            where=str(path),
            why="The cohort is unknown.",
            action="Check `table` in study.yaml.",
        ) from None
    except pd.errors.EmptyDataError:
        raise _no_rows(path) from None
    except (pd.errors.ParserError, ValueError, OSError) as error:
        raise DataProblem(
            f"the table cannot be read ({type(error).__name__}).",
            code="COH-002",
            where=str(path),
            why="The cohort is unknown.",
            action="Save it as CSV with commas and a header line, or as Parquet.",
        ) from None
    if frame.columns.duplicated().any():
        raise _repeated("a column name appears twice.", path)
    if frame.empty:
        raise _no_rows(path)
    frame.attrs["lines"] = lines
    return frame


def _typed(column: pd.Series[str]) -> pd.Series[Any]:
    """Return a text column as Int64, float64 or boolean where every cell has that form."""
    import pandas as pd

    present = column.dropna()
    if present.empty:
        return column
    if present.str.fullmatch(r"-?(?:0|[1-9]\d{0,15})").all():
        return pd.to_numeric(column).astype("Int64") if column.isna().any() else pd.to_numeric(column)
    if (
        present.str.fullmatch(r"[+-]?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][+-]?\d{1,2})?").all()
        and present.str.contains(r"\d", regex=True).all()
    ):
        return pd.to_numeric(column).astype("float64")
    if present.str.lower().isin(("true", "false")).all():
        return column.str.lower().map({"true": True, "false": False}).astype("boolean")
    return column


def case_table(spec: CohortSpec, path: Path) -> pd.DataFrame:
    """Read the case table of a cohort: columns renamed, case ids as text index, unique, patients present.

    Raises
    ------
    DataProblem
        As :func:`read_table`; also a missing column (COH-005), duplicate or empty case ids (COH-006), an empty patient
        cell (COH-007), no role column (COH-008) or an empty role cell (COH-009), with the line of the table.
    """
    named = (spec.case_id, spec.patient, *ROLES)
    frame = read_table(path, text_columns=[spec.columns.get(name, name) for name in named])
    absent = [c for c in spec.columns.values() if c not in frame.columns]
    if absent:
        raise _missing_column(absent[0], path, frame, used_by="`columns` in study.yaml")
    clash = [n for n, c in spec.columns.items() if n in frame.columns and n != c]
    if clash:
        raise _repeated(f"column {clash[0]!r} would appear twice after renaming.", path)
    frame = frame.rename(columns={column: name for name, column in spec.columns.items()})
    for name, use in ((spec.case_id, "it names the case"), (spec.patient, "patients are the clusters")):
        if name not in frame.columns:
            raise _missing_column(name, path, frame, used_by=use)
    _check_cells(frame, spec, path)
    frame[spec.patient] = frame[spec.patient].astype(str).str.strip()
    frame.attrs.clear()  # pandas copies attributes at every access
    for role in role_columns(frame) if spec.kind == "images" else []:
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
    if spec.kind == "images" and not any(role in ROLES for role in roles):
        raise DataProblem(
            "the table has no column of images.",
            code="COH-008",
            where=f"{path}:1",
            why="There is nothing to measure.",
            action="Add a column `input` (and `reference`) with paths relative to the cohort folder.",
        )
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


def _check_csv(path: Path) -> list[int]:
    """Return the line of every row; refuse what pandas would repair silently, naming the line."""

    def refuse(what: str, line: int, action: str = "Correct the line.") -> DataProblem:
        return DataProblem(
            what, code="COH-002", where=f"{path}:{line}", why="Cells would land in the wrong column.", action=action
        )

    with path.open("rb") as raw:
        for number, text in enumerate(raw, start=1):
            try:
                decoded = text.decode("utf-8")
            except UnicodeDecodeError:
                raise refuse("the table is not UTF-8 text.", number, "Save it as CSV UTF-8.") from None
            if "\0" in decoded:
                raise refuse("the table holds NUL bytes; it is not text.", number, "Save it as CSV UTF-8.")
    lines: list[int] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise _repeated("a column name appears twice.", path)
            start = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise refuse(f"the row has {len(row)} cells, the header has {len(header)}.", start)
                if row:
                    lines.append(start)
                start = reader.line_num + 1
        except csv.Error as error:
            raise refuse(f"the table is not valid CSV ({error}).", reader.line_num) from None
    return lines


def _repeated(what: str, path: Path) -> DataProblem:
    return DataProblem(
        what,
        code="COH-003",
        where=f"{path}:1",
        why="Which of the two is meant is unclear.",
        action="Rename or remove one of them.",
    )


def _no_rows(path: Path) -> DataProblem:
    return DataProblem(
        "the table has no rows.",
        code="COH-004",
        where=str(path),
        why="There is nothing to evaluate.",
        action="Add one row per case.",
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
