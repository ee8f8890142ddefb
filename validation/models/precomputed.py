"""A folder of outputs in place of a model that cannot be shared."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from validation.dicom.image import Image
from validation.dicom.locators import SeriesIndex, read_image, resolve
from validation.dicom.orientation import align
from validation.errors import ModelProblem
from validation.models.inference import Precision
from validation.models.model import Batch, Model
from validation.models.spec import ModelSpec

MAXIMUM_TEXT_BYTES = 1 << 20
SPACING_TOLERANCE = 0.01
"""Largest relative difference of spacing between an output and its input."""


class PrecomputedModel(Model):
    """Outputs that were made elsewhere, one locator per case and draw.

    The locator is ``spec.outputs`` with ``{case_id}``, ``{draw}`` and the columns of the case table filled in; it is
    relative to the folder and cannot leave it. Where output and input state their orientation, the output's axes are
    brought into the order of the input's; nothing is interpolated. Outputs are in the image unit; ``scaling`` is
    applied backwards (``value * scale + offset``) for outputs that were stored in network units.
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

    @property
    def needs_image(self) -> bool:
        """An image is compared with its input; label maps and texts are there already."""
        return self.spec.answer == "image"

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
        expected = tuple(batch.grids[0].array.shape if batch.grids else batch.images.shape[1:])
        outputs = torch.empty((len(batch.case_ids), *expected), dtype=torch.float32)
        for index, (case_id, row) in enumerate(zip(batch.case_ids, batch.rows, strict=True)):
            image = read_image(self.locator(case_id, batch.draw, row), self._folder, self._index)
            if batch.grids:
                image = _on_grid(image, batch.grids[index], case_id, values=self.spec.answer == "image")
            if image.array.shape != expected:
                raise ModelProblem(
                    f"the stored output has shape {image.array.shape}; {expected} is expected.",
                    code="MOD-007",
                    where=case_id,
                    why="An output on another grid than its input cannot be compared with it voxel by voxel.",
                )
            outputs[index] = torch.from_numpy(image.array)
        if self.spec.answer == "labels":
            return outputs.to(self.device)
        scaling = self.spec.scaling
        return (outputs * scaling.scale + scaling.offset).to(self.device)

    def draft(self, batch: Batch) -> list[str]:
        """Read the text files of a batch.

        Raises
        ------
        ModelProblem
            If a file is missing, too large or not UTF-8 (MOD-016).
        """
        texts = []
        for case_id, row in zip(batch.case_ids, batch.rows, strict=True):
            path = resolve(self.locator(case_id, batch.draw, row), self._folder).path
            try:
                if path.stat().st_size > MAXIMUM_TEXT_BYTES:
                    raise _no_text("is larger than 1 MiB", case_id)
                texts.append(path.read_text(encoding="utf-8-sig"))
            except OSError:
                raise _no_text("does not exist", case_id) from None
            except UnicodeDecodeError:
                raise _no_text("is not UTF-8 text", case_id) from None
        return texts


def _no_text(why: str, case_id: str) -> ModelProblem:
    return ModelProblem(
        f"the file of the drafted text {why}.",
        code="MOD-016",
        where=case_id,
        why="A case without answer is a failure of the model; it is never left out silently.",
        action="Give one UTF-8 text file per case (and draw); an empty file is an empty draft.",
    )


def _on_grid(image: Image, grid: Image, case_id: str, *, values: bool) -> Image:
    """Return an output with its axes in the order of its input, after comparing unit, spacing and position."""
    if values and image.unit and grid.unit and image.unit != grid.unit:
        raise ModelProblem(
            f"the stored output is in {image.unit}, its input in {grid.unit}.",
            code="MOD-012",
            where=case_id,
            why="Values in different units cannot be compared.",
            action="Export the outputs in the unit of the inputs.",
        )
    aligned = align(image, grid, where=case_id)
    spacing, wanted = aligned.spacing_mm, grid.spacing_mm
    if spacing and wanted and not np.allclose(spacing, wanted, rtol=SPACING_TOLERANCE):
        raise ModelProblem(
            f"the stored output has a spacing of {spacing} mm, its input {wanted} mm.",
            code="MOD-012",
            where=case_id,
            why="An output on another grid than its input cannot be compared with it voxel by voxel.",
            action="Resample the outputs to the grid of the inputs.",
        )
    return aligned
