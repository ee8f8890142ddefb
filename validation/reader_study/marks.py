"""Marks and lesions of localisation studies: two tables in, arrays out, with the rule that joins mark and lesion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation.errors import DataProblem
from validation.reader_study.scores import ReaderScores, natural_key
from validation.reader_study.tables import read_table

Array = NDArray[np.float64]
KINDS = {"NL": "NL", "LL": "LL", "LL_IL": "NL", "IL": "NL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedStudy:
    """Marks of a fully crossed localisation study; ``-inf`` stands for "no mark".

    Parameters
    ----------
    readers, modalities, cases, positive
        As in :class:`validation.reader_study.scores.ReaderScores`; non-diseased cases first.
    non_lesion
        ``(reader, modality, case)`` highest rating of a mark that hit no lesion.
    non_lesion_count
        Number of such marks, same shape.
    lesion
        ``(reader, modality, lesion)`` highest rating of a mark on each lesion.
    lesion_case, lesion_weight
        ``(lesion,)`` index of its case, and its weight; the weights of a case sum to 1.
    notes
        What was decided while reading, for the report.
    """

    readers: tuple[str, ...]
    modalities: tuple[str, ...]
    cases: tuple[str, ...]
    positive: NDArray[np.bool_]
    non_lesion: Array
    non_lesion_count: Array
    lesion: Array
    lesion_case: NDArray[np.int64]
    lesion_weight: Array
    notes: tuple[str, ...] = ()

    def select(self, readers: list[str]) -> MarkedStudy:
        """Return the study restricted to some readers; all of its cases stay."""
        at = [self.readers.index(name) for name in readers]
        arrays = {name: getattr(self, name)[at] for name in ("non_lesion", "non_lesion_count", "lesion")}
        return replace(self, readers=tuple(readers), **arrays)

    def highest(self) -> ReaderScores:
        """Return the inferred ROC study: the highest mark of each case; no mark is one level below every mark."""
        score = self.non_lesion.copy()
        for k in range(len(self.lesion_case)):
            at = self.lesion_case[k]
            score[..., at] = np.maximum(score[..., at], self.lesion[..., k])
        finite = score[np.isfinite(score)]
        floor = float(finite.min()) - 1 if finite.size else 0.0
        return ReaderScores(
            self.readers, self.modalities, self.cases, self.positive, np.where(np.isfinite(score), score, floor)
        )


def read_marks(marks: Path, truth: Path, *, radius: float | None = None) -> MarkedStudy:
    """Read a table of marks and a table of lesions; see :func:`from_tables`."""
    for path in (marks, truth):
        if not path.is_file():
            raise _refused(f"there is no file {path.name!r}.", str(path), "Check the path.")
    return from_tables(read_table(marks), read_table(truth), radius=radius)


def from_tables(marks: pd.DataFrame, truth: pd.DataFrame, *, radius: float | None = None) -> MarkedStudy:
    """Check two tables and return them as arrays.

    Parameters
    ----------
    marks
        Columns ``reader, modality, case, score`` and either ``mark_type`` (``NL``, ``LL``, ``LL_IL`` for a mark at the
        wrong place of a diseased case) with ``lesion_id``, or coordinates ``x, y[, z]``. A case without a mark has no
        row. Every reader read every case under every modality.
    truth
        Columns ``case, truth``; for diseased cases one row per lesion with ``lesion_id``, optionally ``weight``, and
        ``x, y[, z]`` if marks have coordinates.
    radius
        With coordinates: a mark counts for the nearest lesion if it lies within this distance of its centre, in the
        unit of the coordinates.

    Notes
    -----
    Several marks on one lesion count once, with the highest rating; weights that are missing, or all 0, are equal in a
    case.

    Raises
    ------
    DataProblem
        If a column is missing, a mark names a case or lesion that is not in the truth, a lesion mark lies on a
        non-diseased case, a rating is not finite, or weights of a case do not sum to 1.
    """
    lesions, cases, positive = _truth(truth)
    table = _marks(marks, set(cases))
    if "mark_type" not in table.columns:
        table = _by_distance(table, lesions, radius)
    table["mark_type"] = table["mark_type"].astype("string").str.strip().str.upper()
    if not table["mark_type"].isin(list(KINDS)).all():
        raise _refused("column 'mark_type' holds something else than NL, LL or LL_IL.", "marks", "Correct it.")
    kind = table["mark_type"].map(KINDS)
    readers = tuple(sorted(table["reader"].unique(), key=natural_key))
    modalities = tuple(sorted(table["modality"].unique(), key=natural_key))
    at = {name: k for k, name in enumerate(cases)}
    place = (
        table["reader"].map({n: k for k, n in enumerate(readers)}).to_numpy(int),
        table["modality"].map({n: k for k, n in enumerate(modalities)}).to_numpy(int),
    )
    score = table["score"].to_numpy(float)
    shape = (len(readers), len(modalities))
    non_lesion = np.full((*shape, len(cases)), -np.inf)
    count = np.zeros_like(non_lesion)
    where = (kind == "NL").to_numpy(bool)
    index = (place[0][where], place[1][where], table["case"].map(at).to_numpy(int)[where])
    np.maximum.at(non_lesion, index, score[where])
    np.add.at(count, index, 1.0)
    keys = {key: k for k, key in enumerate(zip(lesions["case"], lesions["lesion_id"], strict=True))}
    hits = table[~where]
    names = [keys.get(key, -1) for key in zip(hits["case"], hits["lesion_id"], strict=True)]
    if -1 in names:
        raise _refused(
            f"{names.count(-1)} lesion marks name a lesion that the truth does not have.",
            "lesion_id",
            "Check case and lesion_id of both tables.",
        )
    rating = np.full((*shape, len(lesions)), -np.inf)
    np.maximum.at(rating, (place[0][~where], place[1][~where], np.array(names, dtype=int)), score[~where])
    doubled = int(hits.duplicated(["reader", "modality", "case", "lesion_id"]).sum())
    notes = []
    if doubled:
        notes.append(f"{doubled} further marks on a lesion already marked: the highest rating counts")
    silent = [
        f"{readers[r]} under {modalities[m]}"
        for r, m in np.argwhere(np.isinf(non_lesion).all(-1) & np.isinf(rating).all(-1))
    ]
    if silent:
        notes.append(f"no mark at all by {', '.join(silent)}: taken as read without finding, not as unread")
    if radius is not None and "mark_type" not in marks.columns:
        notes.append(f"a mark within {radius:g} of the centre of the nearest lesion counts as a hit")
    return MarkedStudy(
        readers=readers,
        modalities=modalities,
        cases=tuple(cases),
        positive=positive,
        non_lesion=non_lesion,
        non_lesion_count=count,
        lesion=rating,
        lesion_case=np.asarray(lesions["case"].map(at), dtype=np.int64),
        lesion_weight=lesions["weight"].to_numpy(float),
        notes=tuple(notes),
    )


def _truth(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str], NDArray[np.bool_]]:
    """Return the lesions with weights, the names of the cases, and their class."""
    _columns(table, ["case", "truth"], "truth")
    frame = table.copy()
    frame["case"] = frame["case"].astype("string").str.strip()
    values = pd.to_numeric(frame["truth"], errors="coerce")
    if not values.isin([0, 1]).all() or frame["case"].isna().any():
        raise _refused(
            "the truth table has a case without a name, or a truth other than 0 and 1.", "truth", "Correct it."
        )
    frame["truth"] = values.astype(int)
    by_case = frame.groupby("case")["truth"]
    if (by_case.nunique() > 1).any():
        raise _refused("a case has both truth 0 and truth 1.", "truth", "Give every case one truth.")
    truth = by_case.first()
    cases = sorted(truth.index, key=lambda c: (int(truth[c]), natural_key(c)))
    lesions = frame[frame["truth"] == 1].reset_index(drop=True)
    if "lesion_id" not in lesions.columns:
        lesions["lesion_id"] = "1"
    lesions["lesion_id"] = _identity(lesions["lesion_id"])
    if lesions["lesion_id"].isna().any() or lesions.duplicated(["case", "lesion_id"]).any():
        raise _refused("a lesion has no lesion_id, or a case has one twice.", "truth", "Number the lesions of a case.")
    given = pd.to_numeric(lesions["weight"], errors="coerce") if "weight" in lesions.columns else None
    if given is None or given.isna().all() or (given == 0).all():  # RJafroc writes 0 where weights play no part
        lesions["weight"] = 1.0 / lesions.groupby("case")["case"].transform("size")
    else:
        lesions["weight"] = given
        total = given.groupby(lesions["case"]).sum()
        if given.isna().any() or (given < 0).any() or not np.allclose(total, 1, atol=1e-3):
            raise _refused(
                "the weights of a case's lesions do not sum to 1.", "weight", "Correct or leave them all out."
            )
    return lesions, list(cases), np.array([truth[c] == 1 for c in cases])


def _marks(table: pd.DataFrame, cases: set[str]) -> pd.DataFrame:
    """Return the marks with names as text and finite ratings."""
    _columns(table, ["reader", "modality", "case", "score"], "marks")
    frame = table.copy()
    for name in ("reader", "modality", "case"):
        frame[name] = frame[name].astype("string").str.strip()
        if frame[name].isna().any():
            raise _refused(f"column {name!r} has empty cells.", "marks", "Fill them in.")
    frame["score"] = pd.to_numeric(frame["score"], errors="coerce")
    if not np.isfinite(frame["score"].to_numpy(float)).all():
        raise _refused(
            "a mark has a rating that is not a finite number.", "score", "Leave out the row of a case without a mark."
        )
    strange = int((~frame["case"].isin(list(cases))).sum())
    if strange or frame.empty:
        raise _refused(
            f"{strange} marks lie on cases that the truth does not have." if strange else "there is no mark.",
            "marks",
            "Check the names of the cases in both tables.",
        )
    frame["lesion_id"] = _identity(frame["lesion_id"]) if "lesion_id" in frame.columns else pd.NA
    return frame


def _by_distance(marks: pd.DataFrame, lesions: pd.DataFrame, radius: float | None) -> pd.DataFrame:
    """Join marks to lesions by the distance of their centres."""
    axes = [a for a in ("x", "y", "z") if a in marks.columns and a in lesions.columns]
    if len(axes) < 2 or radius is None or not radius > 0:
        raise _refused(
            "marks without mark_type need coordinates x and y in both tables and a radius.",
            "marks",
            "Give mark_type and lesion_id, or coordinates and the radius that the protocol fixed.",
        )
    marks = marks.copy()
    own = marks[axes].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    centres = lesions[axes].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not (np.isfinite(own).all() and np.isfinite(centres).all()):
        raise _refused("a coordinate is not a finite number.", "marks", "Correct the coordinates.")
    distance = np.linalg.norm(own[:, None] - centres[None], axis=-1)
    distance[marks["case"].to_numpy(object)[:, None] != lesions["case"].to_numpy(object)[None]] = np.inf
    nearest = distance.argmin(axis=1)
    hit = distance[np.arange(len(own)), nearest] <= radius
    marks["mark_type"] = np.where(hit, "LL", "NL")
    marks["lesion_id"] = pd.Series(lesions["lesion_id"].to_numpy(object)[nearest], index=marks.index).where(hit)
    return marks


def _identity(column: pd.Series) -> pd.Series:
    """Return lesion names as text, ``1.0`` and ``1`` being one name."""
    return column.astype("string").str.strip().str.replace(r"\.0$", "", regex=True)


def _columns(table: pd.DataFrame, names: list[str], where: str) -> None:
    missing = [n for n in names if n not in table.columns]
    if missing:
        raise _refused(f"the table of {where} has no column {', '.join(map(repr, missing))}.", where, "Add the column.")


def _refused(what: str, where: str, action: str) -> DataProblem:
    return DataProblem(
        what,
        code="RDR-030",
        where=where,
        why="A mark that cannot be joined to the truth is neither a hit nor a false alarm.",
        action=action,
    )
