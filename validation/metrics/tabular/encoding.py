"""Real and synthetic tables in one common form: numbers with NaN, categories as codes of shared levels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.metrics.reuse import reused

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

MISSING = "(missing)"
FEW_LEVELS = 5  # a numeric column with at most so many whole values in the real data is read as categories
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}.*)?$")
_DEMOGRAPHIC = re.compile(r"^(sex|gender|race|ethnic|age|site|hospital|region)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Part:
    """One table: numbers ``(n, p)`` with NaN where missing, and category codes ``(n, q)``."""

    numbers: Floats
    codes: Codes
    missing: npt.NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Number of records."""
        return len(self.numbers)

    def take(self, rows: npt.NDArray[Any]) -> Part:
        """Return some records (a mask or row numbers)."""
        return Part(self.numbers[rows], self.codes[rows], self.missing[rows])


@dataclass(frozen=True, eq=False)
class Tables:
    """Encoded training, synthetic and (where given) holdout tables.

    ``levels[k]`` are the levels of the k-th categorical column over all tables, in order; a missing cell is a level of
    its own. ``left_out`` says which columns are not measured and why; ``faults`` what is structurally wrong with the
    synthetic table (columns lacking, another type).
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    train: Part
    synthetic: Part
    holdout: Part | None
    left_out: dict[str, str]
    faults: dict[str, str]

    @cached_property
    def real(self) -> Part:
        """Training and holdout records together: the reference of fidelity."""
        return self.train if self.holdout is None else stack(self.train, self.holdout)

    @property
    def columns(self) -> tuple[str, ...]:
        """Numeric, then categorical columns: the order of ``Part.missing``."""
        return self.numeric + self.categorical

    @cached_property
    def span(self) -> tuple[Floats, Floats]:
        """Lower end and range of each numeric column over all real records: one scaling for every reference."""
        parts = [p.numbers for p in (self.train, self.holdout) if p is not None]
        low, high = np.full(len(self.numeric), np.inf), np.full(len(self.numeric), -np.inf)
        for values in parts:
            if len(values):
                low = np.fmin(low, np.fmin.reduce(values, axis=0))
                high = np.fmax(high, np.fmax.reduce(values, axis=0))
        low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
        return low, np.where(high > low, high - low, 1.0)

    def subset(self, rows: dict[str, npt.NDArray[Any]]) -> Tables:
        """Return the same columns for some records of each table (keys ``train``, ``synthetic``, ``holdout``)."""
        return Tables(
            self.numeric,
            self.categorical,
            self.levels,
            self.train.take(rows["train"]),
            self.synthetic.take(rows["synthetic"]),
            None if self.holdout is None else self.holdout.take(rows["holdout"]),
            self.left_out,
            self.faults,
        )

    def only(self, columns: tuple[str, ...]) -> Tables:
        """Return the same records with some of the columns."""
        num = np.array([k for k, c in enumerate(self.numeric) if c in columns], np.intp)
        cat = np.array([k for k, c in enumerate(self.categorical) if c in columns], np.intp)
        both = np.concatenate([num, len(self.numeric) + cat])

        def cut(part: Part) -> Part:
            return Part(part.numbers[:, num], part.codes[:, cat], part.missing[:, both])

        return Tables(
            tuple(self.numeric[k] for k in num),
            tuple(self.categorical[k] for k in cat),
            tuple(self.levels[k] for k in cat),
            cut(self.train),
            cut(self.synthetic),
            None if self.holdout is None else cut(self.holdout),
            self.left_out,
            self.faults,
        )


def stack(*parts: Part) -> Part:
    """Return the records of several tables one after the other."""
    return Part(
        np.concatenate([p.numbers for p in parts]),
        np.concatenate([p.codes for p in parts]),
        np.concatenate([p.missing for p in parts]),
    )


@reused
def encode(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
) -> Tables:
    """Encode tables with one row per patient; the training table decides which columns there are and of what type.

    Parameters
    ----------
    train, synthetic, holdout
        Tables; a cell is missing where pandas says so.
    categorical
        Columns of numbers to be read as categories. Text, booleans and numbers with at most five whole values are
        categories by themselves; ISO dates become days.
    ignore
        Columns not measured (identifiers).

    Raises
    ------
    DataProblem
        TAB-001 if a table is not a table or has no rows, TAB-002 if no column is left to measure.
    UsageProblem
        TAB-003 if ``categorical`` or ``ignore`` names a column that the training table lacks.
    """
    frames = {"train": train, "synthetic": synthetic, "holdout": holdout}
    for role, frame in frames.items():
        if frame is None and role == "holdout":
            continue
        if not isinstance(frame, pd.DataFrame) or frame.empty:
            raise DataProblem(
                f"the {role} data are not a table with rows.",
                code="TAB-001",
                where=role,
                action="Give a CSV or Parquet file with one row per patient.",
            )
    unknown = [c for c in (*categorical, *ignore) if c not in train.columns]
    if unknown:
        raise UsageProblem(
            f"the training table has no column {', '.join(map(repr, unknown))}.", code="TAB-003", where="--param"
        )
    present = [frame for frame in frames.values() if frame is not None]
    numeric, cats, levels = [], [], []
    numbers: dict[int, list[Floats]] = {k: [] for k in range(len(present))}
    codes: dict[int, list[Codes]] = {k: [] for k in range(len(present))}
    left_out: dict[str, str] = dict.fromkeys(map(str, ignore), "left out as asked")
    faults = {str(c): "a column that the training table does not have" for c in synthetic.columns if c not in train}
    for name in map(str, train.columns):
        if name in left_out:
            continue
        where = [role for role, frame in frames.items() if frame is not None and name not in frame.columns]
        if where:
            left_out[name] = f"not in the {' and '.join(where)} table"
            if "synthetic" in where:
                faults[name] = "the synthetic table lacks the column"
            continue
        columns = [frame[name] for frame in present]
        kind = _kind(columns[0], name in categorical)
        if kind == "identifier":
            left_out[name] = "almost every record has its own text: an identifier or free text"
            continue
        if kind in ("number", "date"):
            made = [_to_numbers(c, kind) for c in columns]
            if any(m is None for m in made):
                bad = [
                    r
                    for (r, f), m in zip(((r, f) for r, f in frames.items() if f is not None), made, strict=True)
                    if m is None
                ]
                if "synthetic" in bad:
                    faults[name] = f"{kind}s in the training table, text in the synthetic one"
                left_out[name] = f"not {kind}s in the {' and '.join(bad)} table"
                continue
            numeric.append(name)
            for k, m in enumerate(made):
                if m is not None:
                    numbers[k].append(m)
        else:
            coded, names = _to_codes(columns)
            cats.append(name)
            levels.append(names)
            for k, c in enumerate(coded):
                codes[k].append(c)
    if not numeric and not cats:
        raise DataProblem(
            "no column can be measured.",
            code="TAB-002",
            where="train",
            why="; ".join(f"{k}: {v}" for k, v in left_out.items()),
        )
    parts = [_part(numbers[k], codes[k], levels, len(frame)) for k, frame in enumerate(present)]
    return Tables(
        tuple(numeric),
        tuple(cats),
        tuple(levels),
        parts[0],
        parts[1],
        parts[2] if holdout is not None else None,
        left_out,
        faults,
    )


def _part(numbers: list[Floats], codes: list[Codes], levels: list[tuple[str, ...]], n: int) -> Part:
    x = np.stack(numbers, axis=1) if numbers else np.empty((n, 0))
    z = np.stack(codes, axis=1) if codes else np.empty((n, 0), np.int32)
    gone = np.array([names.index(MISSING) if MISSING in names else -1 for names in levels], np.int32)
    return Part(x, z, np.concatenate([np.isnan(x), z == gone], axis=1))


def _kind(column: pd.Series[Any], as_category: bool) -> str:
    if as_category or pd.api.types.is_bool_dtype(column):
        return "category"
    if pd.api.types.is_datetime64_any_dtype(column):
        return "date"
    if pd.api.types.is_numeric_dtype(column):
        known = column.dropna().to_numpy(np.float64)
        few = np.unique(known)
        return "category" if len(few) <= FEW_LEVELS and bool(np.all(few == np.round(few))) else "number"
    known_text = column.dropna()
    distinct = int(known_text.astype(str).nunique())
    dates = distinct > 0 and all(_DATE.match(str(v)) for v in known_text.iloc[:50])
    if dates and pd.to_datetime(known_text.astype(str), errors="coerce", format="ISO8601").notna().all():
        return "date"
    return "identifier" if distinct > 50 and distinct > 0.5 * len(known_text) else "category"


def _to_numbers(column: pd.Series[Any], kind: str) -> Floats | None:
    """Return numbers (dates as days), or None where a present cell is none."""
    if kind == "date":
        when = pd.to_datetime(column.astype(str).where(column.notna()), errors="coerce", format="ISO8601", utc=True)
        bad = when.isna() & column.notna()
        days = (when - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)
        return None if bool(bad.any()) else np.asarray(days, dtype=np.float64)
    made = pd.to_numeric(column, errors="coerce")
    values = made.to_numpy(np.float64, na_value=np.nan)
    if bool((np.isnan(values) & column.notna().to_numpy()).any()):
        return None
    return np.asarray(np.where(np.isfinite(values), values, np.nan), dtype=np.float64)


def _to_codes(columns: list[pd.Series[Any]]) -> tuple[list[Codes], tuple[str, ...]]:
    """Return codes and levels; whole numbers and their text ("1", 1, 1.0) are the same level."""
    texts = [_text(c) for c in columns]
    joined = pd.concat([t.astype(object) for t in texts], ignore_index=True)
    codes, names = pd.factorize(joined, sort=True, use_na_sentinel=True)
    found = [str(v) for v in names]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(found), codes)
        found.append(MISSING)
    cuts = np.cumsum([len(t) for t in texts])[:-1]
    return [np.ascontiguousarray(c, dtype=np.int32) for c in np.split(codes, cuts)], tuple(found)


def _text(column: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.is_bool_dtype(column):
        return column.map({True: "True", False: "False"})
    if pd.api.types.is_numeric_dtype(column):
        return column.map(lambda v: f"{v:.15g}", na_action="ignore")
    return column.astype(object).map(lambda v: str(v), na_action="ignore")


def subgroup_columns(tables: Tables, asked: tuple[str, ...], *, most: int = 4) -> tuple[str, ...]:
    """Return the categorical columns whose levels are subgroups: those asked for, else demographic ones by name.

    Without a name to go by, the first categorical columns with 2 to 12 levels are taken.

    Raises
    ------
    UsageProblem
        TAB-003 if one that is asked for is not a measured categorical column.
    """
    if asked:
        bad = [c for c in asked if c not in tables.categorical]
        if bad:
            raise UsageProblem(
                f"subgroups need categorical columns, which {', '.join(bad)} is not.",
                code="TAB-003",
                where="--param subgroups",
                action="Bin numbers first, or name the column in --param categorical=.",
            )
        return asked
    fit = [c for c, names in zip(tables.categorical, tables.levels, strict=True) if 2 <= len(names) <= 12]
    return tuple(([c for c in fit if _DEMOGRAPHIC.match(c)] or fit)[:most])


def subgroups(tables: Tables, columns: tuple[str, ...]) -> list[tuple[str, dict[str, npt.NDArray[np.bool_]]]]:
    """Return ``("sex=F", masks per table)`` for every level of the columns that real records have."""
    found = []
    for column in columns:
        k = tables.categorical.index(column)
        for code, level in enumerate(tables.levels[k]):
            masks = {"train": tables.train.codes[:, k] == code, "synthetic": tables.synthetic.codes[:, k] == code}
            if tables.holdout is not None:
                masks["holdout"] = tables.holdout.codes[:, k] == code
            if masks["train"].any() or masks.get("holdout", masks["train"]).any():
                found.append((f"{column}={level}", masks))
    return found
