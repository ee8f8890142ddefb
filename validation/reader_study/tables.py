"""Reading and writing tables of scores: long or wide, CSV or Parquet, and ``.imrmc`` files by their ending."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from validation.digest import write_atomically
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.scores import ReaderScores, from_frame

_NOT_SCORES = {"reader", "case", "truth", "modality", "decision"}


def read_scores(path: Path, *, need_truth: bool = True) -> ReaderScores:
    """Read the scores of a study.

    Parameters
    ----------
    path
        ``.csv`` (comma, semicolon or tab separated), ``.parquet`` or ``.imrmc``. A table without a column ``score`` is
        taken as wide: either ``reader, case, truth`` and one column per modality, or ``case, truth`` and one column per
        reading named ``reader:modality``.

    need_truth
        Whether there must be a reference standard; scores of image quality have none.

    Raises
    ------
    UsageProblem
        If there is no such file, or its ending is not known.
    DataProblem
        If the table is refused; see :func:`validation.reader_study.scores.from_frame`.
    """
    if not path.is_file():
        raise UsageProblem(
            f"there is no file {path.name!r}.", code="RDR-007", where=str(path), action="Check the path."
        )
    if path.suffix.lower() == ".imrmc":
        from validation.reader_study.imrmc_files import read_imrmc

        return read_imrmc(path)
    table = read_table(path)
    if "score" not in table.columns:
        table = _from_wide(table, path.name)
    return from_frame(table, where=path.name, need_truth=need_truth)


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file as text columns, with lower-case column names."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            table = pd.read_parquet(path)
        elif suffix in (".csv", ".tsv", ".txt"):
            table = pd.read_csv(
                path, dtype=str, sep=_separator(path), encoding="utf-8-sig", keep_default_na=False, na_values=[""]
            )
        else:
            raise UsageProblem(
                f"files ending in {suffix!r} are not read.",
                code="RDR-008",
                where=path.name,
                action="Use .csv, .parquet or .imrmc.",
            )
    except (ValueError, OSError) as problem:  # parser, decoding and Arrow errors are ValueErrors
        raise DataProblem(
            f"the file cannot be read as a table ({type(problem).__name__}).",
            code="RDR-002",
            where=path.name,
            action="Export it again as UTF-8 CSV with one header row.",
        ) from problem
    names = [str(c).strip() for c in table.columns]
    table.columns = pd.Index([n.lower() if n.lower() in _NOT_SCORES | {"score"} else n for n in names])
    if table.columns.duplicated().any():
        raise DataProblem("two columns have the same name.", code="RDR-002", where=path.name, action="Rename one.")
    return table


def write_scores(scores: ReaderScores, path: Path) -> None:
    """Write the long table as CSV, Parquet or ``.imrmc``, whole or not at all."""
    suffix = path.suffix.lower()
    if suffix == ".imrmc":
        from validation.reader_study.imrmc_files import imrmc_text

        write_atomically(path, imrmc_text(scores).encode())
    elif suffix == ".parquet":
        buffer = io.BytesIO()
        scores.to_frame().to_parquet(buffer, index=False)
        write_atomically(path, buffer.getvalue())
    else:
        write_atomically(path, scores.to_frame().to_csv(index=False).encode())


def _separator(path: Path) -> str:
    """Return the column separator: the one that occurs most in the first line."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        line = stream.readline(1 << 16)
    return max(",;\t", key=line.count)


def _from_wide(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Turn a wide table into a long one."""
    values = [c for c in table.columns if c not in _NOT_SCORES]
    if not {"case", "truth"} <= set(table.columns) or not values:
        return table  # from_frame names the missing columns
    if "reader" in table.columns:
        return table.melt(
            id_vars=["reader", "case", "truth"], value_vars=values, var_name="modality", value_name="score"
        )
    if not all(c.count(":") == 1 for c in values):
        raise DataProblem(
            "a wide table without a column 'reader' needs score columns named reader:modality.",
            code="RDR-001",
            where=where,
            action="Rename the columns, such as 'R1:aided', or give one row per reading.",
        )
    long = table.melt(id_vars=["case", "truth"], value_vars=values, var_name="reading", value_name="score")
    parts = long["reading"].str.split(":", n=1, expand=True)
    return long.assign(reader=parts[0], modality=parts[1]).drop(columns="reading")
