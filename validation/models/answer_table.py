"""A table of answers in place of a model that cannot be shared: scores, marks or texts, by case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from validation.errors import ModelProblem
from validation.metrics.detection.marks import Marks
from validation.models.inference import Precision
from validation.models.model import Batch, Model
from validation.models.spec import ModelSpec
from validation.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

AXES = ("slice", "row", "column")


class TableModel(Model):
    """Answers that were made elsewhere, in one table (CSV or Parquet) with the column ``case_id``.

    - scores: one row per case (and ``draw``, for a stochastic model, from 0), one column per name in ``spec.scores``;
    - text: one row per case (and draw), the draft in the column ``text``;
    - marks: one row per mark, with ``rating`` and either ``lesion`` (the name of the lesion hit, empty for a false
      mark) or its place in voxels (``row``, ``column``, of volumes also ``slice``). A case that was read and has no
      mark has one row with an empty rating.

    A case without any row was not answered: that is a failure of the model, not an answer without findings.
    """

    def __init__(self, spec: ModelSpec, path: Path, *, device: torch.device, sha256: str | None) -> None:
        super().__init__(spec, sha256=sha256, parameters=None)
        self.device = device
        frame = read_table(path, text_columns=("case_id", "text", "lesion"))
        wanted = {"scores": spec.scores, "marks": ("rating",), "text": ("text",)}[spec.answer]
        for column in ("case_id", *wanted, *(("draw",) if spec.stochastic else ())):
            if column not in frame.columns:
                raise _refused(f"it has no column {column!r}", path)
        frame["case_id"] = frame["case_id"].astype("string").str.strip()
        if frame["case_id"].isna().any():
            raise _refused("a row has no case_id", path)
        keys = ["case_id"] + (["draw"] if spec.stochastic else [])
        if spec.answer != "marks" and frame.duplicated(keys).any():
            raise _refused(f"{int(frame.duplicated(keys).sum())} rows repeat a case", path)
        numbers = wanted if spec.answer != "text" else ()
        for column in numbers:
            if frame[column].dtype.kind not in "fiu" and not (spec.answer == "marks" and frame[column].isna().all()):
                raise _refused(f"the column {column!r} holds other things than numbers", path)
        self._places = [axis for axis in AXES if axis in frame.columns]
        if spec.answer == "marks" and "lesion" not in frame.columns and not {"row", "column"} <= set(self._places):
            raise _refused("marks state neither `lesion` nor `row` and `column`", path)
        self._by_case: dict[str, pd.DataFrame] = {
            str(case_id): rows for case_id, rows in frame.groupby("case_id", sort=False)
        }

    @property
    def needs_image(self) -> bool:
        """The answers are there already."""
        return False

    def predict(self, batch: Batch, *, precision: Precision = "fp32") -> Tensor:
        """Return the scores of a batch ``(B, K)``; ``precision`` does not apply."""
        rows = [self._one(case_id, batch.draw)[list(self.spec.scores)] for case_id in batch.case_ids]
        values = np.stack([np.asarray(row, dtype=np.float64) for row in rows])
        return torch.from_numpy(values).to(self.device)

    def mark(self, batch: Batch, *, precision: Precision = "fp32") -> list[Marks]:
        """Return the marks of each case."""
        found = []
        for case_id in batch.case_ids:
            rows = self._rows(case_id)
            empty = rows["rating"].isna().to_numpy(dtype=bool)
            if empty.any() and len(rows) > 1:
                raise ModelProblem(
                    "a case has a row without rating beside its marks.",
                    code="MOD-014",
                    where=case_id,
                    why="An empty rating says that the case was read and has no mark.",
                )
            rows = rows[~empty]
            lesions = tuple(rows["lesion"].fillna("").astype(str)) if "lesion" in rows else None
            positions = None if lesions is not None else rows[self._places].to_numpy(dtype=np.float64)
            found.append(Marks(ratings=rows["rating"].to_numpy(dtype=np.float64), lesions=lesions, positions=positions))
        return found

    def draft(self, batch: Batch) -> list[str]:
        """Return the text of each case; an empty cell is an empty draft."""
        texts = [self._one(case_id, batch.draw)["text"] for case_id in batch.case_ids]
        return ["" if _missing(text) else str(text) for text in texts]

    def _one(self, case_id: str, draw: int) -> pd.Series:
        rows = self._rows(case_id)
        if self.spec.stochastic:
            rows = rows[rows["draw"] == draw]
            if rows.empty:
                raise _unanswered(case_id)
        return rows.iloc[0]

    def _rows(self, case_id: str) -> pd.DataFrame:
        if case_id not in self._by_case:
            raise _unanswered(case_id)
        return self._by_case[case_id]


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _unanswered(case_id: str) -> ModelProblem:
    return ModelProblem(
        "the table of answers has no row for the case.",
        code="MOD-014",
        where=case_id,
        why="A case without answer is a failure of the model; it is never left out silently.",
        action="Add its row. A case that was read without finding anything has a row too.",
    )


def _refused(why: str, path: Path) -> ModelProblem:
    return ModelProblem(
        f"the table of answers cannot be used: {why}.",
        code="MOD-014",
        where=path.name,
        action="Give `case_id` and the columns that the answer needs; see `docs/claims`.",
    )
