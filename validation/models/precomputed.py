"""A folder of outputs in place of a model that cannot be shared."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from validation.dicom.locators import SeriesIndex, read_image
from validation.errors import ModelProblem
from validation.models.inference import Precision
from validation.models.model import Batch, Model
from validation.models.spec import ModelSpec


class PrecomputedModel(Model):
    """Outputs that were made elsewhere, one locator per case and draw.

    The locator is ``spec.outputs`` with ``{case_id}``, ``{draw}`` and the columns of the case table filled in; it is relative to
    the folder and cannot leave it. Outputs are in the image unit; ``scaling`` is applied backwards
    (``value * scale + offset``) for outputs that were stored in network units.
    """

    def __init__(self, spec: ModelSpec, folder: Path, *, device: torch.device, sha256: str | None) -> None:
        super().__init__(spec, sha256=sha256, parameters=None)
        if not folder.is_dir():
            raise ModelProblem(
                "precomputed outputs are given as a folder, and this is not one.",
                code="MOD-001",
                where=folder.name,
                action="Name the folder under `model.path` in study.yaml.",
            )
        self.device = device
        self._folder = folder
        self._index = SeriesIndex(folder)
        self._pattern = spec.outputs or ""
        fields = [name for _, name, _, _ in string.Formatter().parse(self._pattern) if name is not None]
        if any(not name.isidentifier() for name in fields):
            raise ModelProblem(
                "`outputs` may hold {case_id}, {draw} and column names in braces, nothing else.",
                code="MOD-009",
                where=self._pattern,
            )
        if spec.stochastic and "draw" not in fields:
            raise ModelProblem(
                "the model is stochastic, but `outputs` does not tell its draws apart.",
                code="MOD-009",
                where=self._pattern,
                why="The same sample read several times would look like a sampler without variance.",
                action="Put {draw} into `outputs`; draws count from 0.",
            )
        self._fields = fields

    def locator(self, case_id: str, draw: int, row: Mapping[str, Any]) -> str:
        """Return the locator of one output.

        Raises
        ------
        ModelProblem
            If ``outputs`` names a column that the case table lacks (MOD-009).
        """
        values: dict[str, Any] = {"case_id": case_id, "draw": draw}
        for name in self._fields:
            if name in values:
                continue
            if name not in row or row[name] is None or row[name] != row[name]:
                raise ModelProblem(
                    f"`outputs` names the column {name!r}, which has no value for this case.",
                    code="MOD-009",
                    where=case_id,
                    action="Add the column to the case table, or correct `model.outputs` in study.yaml.",
                )
            values[name] = row[name]
        return self._pattern.format(**values)

    def predict(self, batch: Batch, *, precision: Precision = "fp32") -> Tensor:
        """Read the outputs of a batch; ``precision`` does not apply.

        Raises
        ------
        ModelProblem
            If an output does not lie on the grid of its input (MOD-007).
        DataProblem
            If an output cannot be read.
        """
        expected = tuple(batch.images.shape[1:])
        outputs = torch.empty(batch.images.shape, dtype=torch.float32)
        for index, (case_id, row) in enumerate(zip(batch.case_ids, batch.rows, strict=True)):
            image = read_image(self.locator(case_id, batch.draw, row), self._folder, self._index)
            if image.array.shape != expected:
                raise ModelProblem(
                    f"the stored output has shape {image.array.shape}, its input {expected}.",
                    code="MOD-007",
                    where=case_id,
                    why="An output that does not lie on the grid of its input cannot be compared with it voxel by voxel.",
                )
            outputs[index] = torch.from_numpy(image.array)
        scaling = self.spec.scaling
        return (outputs * scaling.scale + scaling.offset).to(self.device)
