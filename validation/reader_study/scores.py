"""The scores of a reader study as arrays, with the checks that every analysis relies on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation.errors import DataProblem

KEY = ["reader", "modality", "case"]


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """Scores of readers for cases under modalities; a cell that was not read is NaN.

    Parameters
    ----------
    readers, modalities, cases
        Names, in natural order (so that ``R2`` precedes ``R10``).
    positive
        ``(case,)`` bool, the reference standard: true for a diseased case.
    score
        ``(reader, modality, case)`` float64; larger means more suspicious.
    decision
        The explicit clinical decision (1 recall, 0 no recall) of the same shape, or ``None`` when none was recorded.

    Notes
    -----
    Negative cases precede positive ones, so that arrays of either class are slices.
    """

    readers: tuple[str, ...]
    modalities: tuple[str, ...]
    cases: tuple[str, ...]
    positive: NDArray[np.bool_]
    score: NDArray[np.float64]
    decision: NDArray[np.float64] | None = None

    @property
    def read(self) -> NDArray[np.bool_]:
        """``(reader, modality, case)``: whether the cell was read."""
        return ~np.isnan(self.score)

    @property
    def took_part(self) -> NDArray[np.bool_]:
        """``(reader, modality)``: whether the reader read any case under the modality."""
        return np.asarray(self.read.any(axis=2), dtype=bool)

    def select(self, modalities: list[str] | None = None, readers: list[str] | None = None) -> ReaderScores:
        """Return the study restricted to some modalities or readers; cases nobody of them read are dropped."""
        m = [self.modalities.index(name) for name in (modalities or self.modalities)]
        r = [self.readers.index(name) for name in (readers or self.readers)]
        score = self.score[np.ix_(r, m)]
        keep = np.asarray(~np.isnan(score).all(axis=(0, 1)), dtype=bool)
        return replace(
            self,
            readers=tuple(self.readers[i] for i in r),
            modalities=tuple(self.modalities[i] for i in m),
            cases=tuple(c for c, k in zip(self.cases, keep, strict=True) if k),
            positive=self.positive[keep],
            score=score[:, :, keep],
            decision=None if self.decision is None else self.decision[np.ix_(r, m)][:, :, keep],
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the long table: one row per read cell."""
        r, m, c = np.nonzero(self.read)
        table = pd.DataFrame(
            {
                "reader": np.asarray(self.readers, dtype=object)[r],
                "modality": np.asarray(self.modalities, dtype=object)[m],
                "case": np.asarray(self.cases, dtype=object)[c],
                "truth": self.positive[c].astype(int),
                "score": self.score[r, m, c],
            }
        )
        if self.decision is not None:
            table["decision"] = self.decision[r, m, c]
        return table


def from_frame(
    table: pd.DataFrame, *, where: str = "scores", complete: bool = False, need_truth: bool = True
) -> ReaderScores:
    """Check a long table and return it as arrays.

    Parameters
    ----------
    table
        Columns ``reader``, ``modality``, ``case``, ``truth`` (0 or 1) and ``score``; optional ``decision`` (0 or 1).
        Names are compared as text, so that the cases ``1.1`` and ``1.10`` stay two cases.
    where
        File name for error messages.
    complete
        Refuse empty scores instead of treating them as cells that were not read.

    need_truth
        Whether the column ``truth`` must be there; without it all cases are of one class.

    Raises
    ------
    DataProblem
        If a column is missing, a cell was read twice, a case has two truths, a truth is not 0 or 1, a score is not
        a finite number, or nothing is left.
    """
    if not need_truth and "truth" not in table.columns:
        table = table.assign(truth=0)
    missing = [c for c in [*KEY, "truth", "score"] if c not in table.columns]
    if missing:
        raise DataProblem(
            f"the table of scores has no column {', '.join(map(repr, missing))}.",
            code="RDR-001",
            where=where,
            why="Every score needs its reader, modality, case and truth.",
            action="Name the columns reader, modality, case, truth, score; a wide table has one score column per "
            "modality.",
        )
    if table.empty:
        raise DataProblem(
            "the table of scores is empty.", code="RDR-002", where=where, action="Export the scores again."
        )
    names = {key: table[key].astype("string").str.strip() for key in KEY}
    for key, column in names.items():
        if column.isna().any() or (column == "").any():
            raise DataProblem(f"column {key!r} has empty cells.", code="RDR-002", where=where, action="Fill them in.")
    truth = pd.to_numeric(table["truth"], errors="coerce")
    if not truth.isin([0, 1]).all():
        raise DataProblem(
            "column 'truth' holds values other than 0 and 1.",
            code="RDR-003",
            where=where,
            why="The analysis compares diseased with non-diseased cases.",
            action="Code the reference standard as 1 (diseased) and 0 (not diseased); leave out cases without one.",
        )
    score = _numbers(table["score"], "score", where, complete=complete)
    frame = pd.DataFrame({**names, "truth": truth.to_numpy(bool), "score": score})
    if "decision" in table.columns:
        decision = _numbers(table["decision"], "decision", where, complete=False)
        if not np.isin(decision[~np.isnan(decision)], (0, 1)).all():
            raise DataProblem(
                "column 'decision' holds values other than 0 and 1.",
                code="RDR-003",
                where=where,
                action="Code it as 0 or 1.",
            )
        frame["decision"] = decision
    doubled = frame.duplicated(KEY, keep=False)
    if doubled.any():
        rows = (np.flatnonzero(doubled.to_numpy())[:6] + 1).tolist()
        raise DataProblem(
            f"{int(doubled.sum())} rows repeat a reading (same reader, modality and case), first in data rows {rows}.",
            code="RDR-004",
            where=where,
            why="Which of the two readings counts is a decision that the protocol must make, not the software.",
            action="Keep one row per reading, by the rule in the protocol.",
        )
    by_case = frame.groupby("case")["truth"].nunique()
    if (by_case > 1).any():
        raise DataProblem(
            f"{int((by_case > 1).sum())} cases have both truth 0 and truth 1.",
            code="RDR-005",
            where=where,
            why="A case has one reference standard for all readers; numbering that restarts per class makes two "
            "cases one.",
            action="Give every case its own name and one truth.",
        )
    frame = frame[~frame["score"].isna()]
    if frame.empty:
        raise DataProblem("no score is left after leaving out empty cells.", code="RDR-002", where=where)
    return _arrays(frame)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sorting key under which digits in names count as numbers.

    >>> sorted(["R10", "R2", "AI"], key=natural_key)
    ['AI', 'R2', 'R10']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p)


def _numbers(column: pd.Series, name: str, where: str, *, complete: bool) -> NDArray[np.float64]:
    """Return a column as finite floats, NaN where it is empty."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    empty = column.isna().to_numpy() | (column.astype("string").str.strip() == "").fillna(True).to_numpy(bool)
    wrong = ~np.isfinite(values) & ~empty
    if wrong.any() or (complete and empty.any()):
        rows = (np.flatnonzero(wrong | (empty if complete else wrong))[:6] + 1).tolist()
        raise DataProblem(
            f"column {name!r} has entries that are not finite numbers, first in data rows {rows}.",
            code="RDR-006",
            where=where,
            why="A rating that cannot be ordered cannot enter an ROC curve.",
            action="Write ratings as numbers; leave the cell empty where a case was not read.",
        )
    return values


def _arrays(frame: pd.DataFrame) -> ReaderScores:
    """Return the arrays of a checked long table."""
    readers = sorted(frame["reader"].unique(), key=natural_key)
    modalities = sorted(frame["modality"].unique(), key=natural_key)
    truth = frame.groupby("case")["truth"].first()
    cases = sorted(truth.index, key=lambda c: (bool(truth[c]), natural_key(c)))
    places = [
        frame[key].map({name: i for i, name in enumerate(levels)}).to_numpy(dtype=int)
        for key, levels in zip(KEY, (readers, modalities, cases), strict=True)
    ]
    shape = (len(readers), len(modalities), len(cases))
    score = np.full(shape, np.nan)
    score[tuple(places)] = frame["score"]
    decision = None
    if "decision" in frame:
        decision = np.full(shape, np.nan)
        decision[tuple(places)] = frame["decision"]
    return ReaderScores(
        tuple(readers), tuple(modalities), tuple(cases), np.array([bool(truth[c]) for c in cases]), score, decision
    )
