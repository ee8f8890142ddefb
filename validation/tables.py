"""Tables of rows and columns (CSV, Parquet), read strictly: nothing is repaired or guessed silently."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        raise repeated_column("a column name appears twice.", path)
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
                raise repeated_column("a column name appears twice.", path)
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


def repeated_column(what: str, path: Path) -> DataProblem:
    """Return the problem of a table with two columns of one name."""
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
