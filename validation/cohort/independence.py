"""Whether the holdout shares patients, sites or time with the data the model was trained on. Counts only, no values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.errors import DataProblem
from validation.estimate import Outcome
from validation.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from validation.protocol.schema import Independence


def independence(cases: pd.DataFrame, plan: Independence, root: Path) -> dict[str, dict[str, Any]]:
    """Compare the holdout with the training manifest, column by column.

    Identifiers are compared as text without regard to case, surrounding blanks and leading zeros, so that a
    spreadsheet that turned ``007`` into ``7`` does not hide a shared patient. A missing value can hide one too, so it
    makes the outcome inconclusive.

    Parameters
    ----------
    cases
        Case table of the holdout (all listed cases, excluded ones too).
    plan
        The protocol's ``independence``.
    root
        Study folder that ``plan.from_`` is relative to.

    Returns
    -------
    dict
        ``{column: {"n_holdout", "n_training", "n_shared", "n_missing", "outcome"}}``: distinct values, and ``pass``
        (none shared), ``fail`` (some shared) or ``inconclusive`` (none shared, some missing). For the date column
        of ``after``, ``n_shared`` counts holdout cases that do not lie after the last training date.

    Raises
    ------
    DataProblem
        If the manifest cannot be read, or a column is missing from either table (COH-050) or is not dates (COH-051).

    References
    ----------
    FDA/Health Canada/MHRA, Good Machine Learning Practice (2021), principle 4: training data sets are independent of
    test sets.
    """
    path = root / plan.from_
    columns = [*plan.disjoint, *([plan.after] if plan.after else [])]
    training = read_table(path, text_columns=columns)
    for column in columns:
        for frame, name in ((cases, "the case table"), (training, str(path))):
            if column not in frame.columns:
                raise DataProblem(
                    f"there is no column {column!r}, which must not overlap with the training data.",
                    code="COH-050",
                    where=name,
                    why="Independence of the holdout cannot be shown.",
                    action="Add the column to both tables.",
                )
    found: dict[str, dict[str, Any]] = {}
    for column in plan.disjoint:
        holdout, trained = _identifiers(cases[column]), _identifiers(training[column])
        shared = len(set(holdout.dropna()) & set(trained.dropna()))
        missing = int(holdout.isna().sum() + trained.isna().sum())
        found[column] = _entry(int(holdout.nunique()), int(trained.nunique()), shared, missing)
    if plan.after:
        holdout_dates = _dates(cases[plan.after], plan.after, "the case table")
        training_dates = _dates(training[plan.after], plan.after, str(path))
        missing = int(holdout_dates.isna().sum() + training_dates.isna().sum())
        early = int((holdout_dates <= training_dates.max()).sum())
        found[plan.after] = _entry(int(holdout_dates.notna().sum()), int(training_dates.notna().sum()), early, missing)
    return found


def _entry(n_holdout: int, n_training: int, n_shared: int, n_missing: int) -> dict[str, Any]:
    if n_shared:
        outcome = Outcome.FAIL
    elif n_missing or not n_holdout or not n_training:
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.PASS
    return {
        "n_holdout": n_holdout,
        "n_training": n_training,
        "n_shared": n_shared,
        "n_missing": n_missing,
        "outcome": outcome.value,
    }


def _identifiers(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return identifiers in one spelling; blank is missing."""
    text = column.astype("string").str.strip().str.casefold()
    text = text.str.replace(r"^(\d+)\.0$", r"\1", regex=True)  # a whole number that was stored as float
    text = text.str.replace(r"^0+(?=.)", "", regex=True)
    return text.mask(text == "")


def _dates(column: pd.Series[Any], name: str, where: str) -> pd.Series[Any]:
    """Parse ISO dates (2024-01-31), DICOM dates (20240131) and native dates."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.dt.tz_localize(None) if column.dt.tz is not None else column
    text = column.astype("string").str.strip()
    text = text.mask(text == "")
    parsed = pd.to_datetime(text.where(text.str.fullmatch(r"\d{8}")), format="%Y%m%d", errors="coerce").fillna(
        pd.to_datetime(text.str.slice(0, 10), format="%Y-%m-%d", errors="coerce")
    )
    unread = parsed.isna() & text.notna()
    if unread.any():
        raise DataProblem(
            f"{int(unread.sum())} cell(s) of {name!r} are not dates.",
            code="COH-051",
            where=where,
            why="Whether the holdout was acquired after the training data cannot be shown.",
            action="Write dates as 2024-01-31.",
        )
    return parsed
