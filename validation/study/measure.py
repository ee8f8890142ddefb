"""From a batch of cases to rows of measurements: run the model, then every metric that applies."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from validation.cohort.case import Case
from validation.dicom.image import Image
from validation.errors import DataProblem, ModelProblem, ValidationProblem
from validation.models import Batch, Model
from validation.registry import Kind
from validation.study.answers import (
    LESIONS,
    REFERENCE_TEXT,
    SOURCE_TEXT,
    Content,
    answer,
    check_answers,
    source_texts,
)
from validation.study.arguments import metric_arguments, obstacle
from validation.study.plan import ARMS, Plan, Task
from validation.study.shards import Rejection, Row


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A case in memory, with its row of the case table and the positions of the tasks that apply to it."""

    case: Case
    row: Mapping[str, Any]
    tasks: frozenset[int]


def case_seed(seed: int, case_id: str, draw: int) -> int:
    """Return the seed of one draw of one case.

    SHA-256 of protocol seed, case id and draw: it does not depend on the order of cases or on what shares a batch.

    >>> case_seed(1, "case-1", 0) == case_seed(1, "case-1", 0)
    True
    >>> case_seed(1, "case-1", 0) == case_seed(1, "case-1", 1)
    False
    """
    digest = hashlib.sha256(f"{seed}\0{case_id}\0{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def needed_roles(plan: Plan, tasks: frozenset[int], models: Mapping[str, Model]) -> frozenset[str]:
    """Return what a case must bring for its tasks: images by role, ``lesions``, ``text.reference``, ``text.source``.

    The baseline arm is what a baseline model makes of the input or, without such a model, an image of the case.
    """
    roles: set[str] = set()
    for position in tasks:
        task = plan.tasks[position]
        model = models.get(task.arm)
        if model is None:
            roles.add(task.arm)
        elif model.needs_image:
            roles.add("input")
        if task.full_reference:
            roles.add("reference")
        if task.against_input:
            roles.add("input")
        wanted = {"signed": REFERENCE_TEXT, "source": SOURCE_TEXT, "lesions": LESIONS}
        roles |= {wanted[role] for role in task.metric.roles if role in wanted}
    return frozenset(roles)


def check_case(loaded: Loaded, roles: frozenset[str]) -> None:
    """Refuse a case that lacks what its tasks need, or whose images lie on different grids.

    Raises
    ------
    DataProblem
        RUN-020 (missing image) or RUN-021 (shapes differ).
    """
    arrays = loaded.case.arrays
    shapes: dict[str, tuple[int, ...]] = {}
    missing = _missing_contents(loaded.case, roles)
    for role in sorted(roles - {REFERENCE_TEXT, SOURCE_TEXT, LESIONS}):
        if role in arrays:
            shapes[role] = loaded.case.on_grid(role).shape
        else:
            missing.append(f"{role} image")
    if missing:
        raise DataProblem(f"the case has no {', no '.join(missing)}.", code="RUN-020", where=loaded.case.case_id)
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{role} {shape}" for role, shape in shapes.items())
        raise DataProblem(
            f"the images of the case have different shapes: {text}.", code="RUN-021", where=loaded.case.case_id
        )


def _missing_contents(case: Case, roles: frozenset[str]) -> list[str]:
    """Return which texts or lesions a case lacks; an empty reference text is none, since nobody signed it."""
    missing = []
    if REFERENCE_TEXT in roles and not case.texts.get("reference", "").strip():
        missing.append("reference text")
    if SOURCE_TEXT in roles and not any(text.strip() for text in source_texts(case).values()):
        missing.append("source text")
    if LESIONS in roles and case.lesions is None and LESIONS not in case.masks:
        missing.append("lesions (neither a table nor a mask of that name)")
    return missing


class Measurer:
    """Measures batches of cases of equal shape on one device."""

    def __init__(self, plan: Plan, model: Model, baseline: Model | None, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self.models: dict[str, Model] = {"output": model, **({"baseline": baseline} if baseline else {})}
        check_answers(plan, self.models)

    def draws(self, arm: str) -> int:
        """Return the number of samples of an arm: the protocol's for stochastic models, else 1."""
        model = self.models.get(arm)
        return self.plan.draws if model is not None and model.spec.stochastic else 1

    def roles(self, tasks: frozenset[int]) -> frozenset[str]:
        """Return what a case must bring for its tasks."""
        return needed_roles(self.plan, tasks, self.models)

    def rejected_rows(self, case_id: str, tasks: frozenset[int], reason: str) -> list[Row]:
        """Return rows without values for a rejected case: none of its planned measurements is lost from sight."""
        return [
            Row(case_id, task.key, task.arm, draw, "", None, task.metric.unit, f"case rejected: {reason}")
            for task in (self.plan.tasks[position] for position in sorted(tasks))
            for draw in range(self.draws(task.arm))
        ]

    def output_of(self, loaded: Loaded) -> npt.NDArray[np.float32]:
        """Return the image or label map that the model makes of one case (draw 0), as it was measured.

        Raises
        ------
        ModelProblem
            If the model fails on the case.
        """
        found = self._answer(self.models["output"], [loaded], {}, 0).image
        if found is None:
            raise ValueError("the model answers with neither images nor label maps; the caller checks")
        return np.asarray(found[0].cpu().numpy(), dtype=np.float32)

    def measure(self, batch: Sequence[Loaded]) -> tuple[list[Row], list[Rejection]]:
        """Measure cases of equal shape. A case on which the model fails is rejected; the others are unaffected.

        Raises
        ------
        torch.OutOfMemoryError
            If the batch does not fit and has more than one case.
        """
        try:
            return self._rows(batch), []
        except torch.OutOfMemoryError:
            if len(batch) > 1:
                raise
            problem: ValidationProblem = ModelProblem(
                "the case does not fit into memory, even alone.", code="MOD-010", action="Use a smaller roi_size."
            )
        except (ModelProblem, DataProblem) as caught:
            problem = caught
        if len(batch) == 1:
            only = batch[0]
            case_id = only.case.case_id
            rejection = Rejection(case_id=case_id, reason=problem.what, code=problem.code)
            return self.rejected_rows(case_id, only.tasks, problem.what), [rejection]
        rows, rejections = [], []
        for single in batch:  # find out which case it was
            more_rows, more_rejections = self.measure([single])
            rows += more_rows
            rejections += more_rejections
        return rows, rejections

    def _rows(self, batch: Sequence[Loaded]) -> list[Row]:
        tasks = sorted(set().union(*(loaded.tasks for loaded in batch)))
        images = {role: self._stack(role, batch) for role in sorted(self.roles(frozenset(tasks)) & set(ARMS))}
        rows: list[Row] = []
        for arm in ARMS:
            positions = [position for position in tasks if self.plan.tasks[position].arm == arm]
            model = self.models.get(arm)
            for draw in range(self.draws(arm) if positions else 0):
                content = Content(image=images[arm]) if model is None else self._answer(model, batch, images, draw)
                for position in positions:
                    other = images.get("input" if self.plan.tasks[position].against_input else "reference")
                    rows += self._task_rows(position, content, other, batch, draw=draw)
        return rows

    def _stack(self, role: str, batch: Sequence[Loaded]) -> Tensor:
        """Return one image per case; NaN where a case has none, which only tasks that do not apply to it could meet."""
        empty = np.full(batch[0].case.shape, np.nan, dtype=np.float32)
        stacked = np.stack([x.case.on_grid(role) if role in x.case.arrays else empty for x in batch])
        return torch.from_numpy(stacked).to(self.device, torch.float32)

    def _answer(self, model: Model, batch: Sequence[Loaded], images: Mapping[str, Tensor], draw: int) -> Content:
        inputs, upsampling = images.get("input"), batch[0].case.upsampling
        if upsampling:
            stacked = np.stack([loaded.case.arrays["input"] for loaded in batch])
            inputs = torch.from_numpy(stacked).to(self.device, torch.float32)
        elif inputs is None and all("input" in loaded.case.arrays for loaded in batch):
            inputs = self._stack("input", batch)  # a writer of texts sees the image where there is one
        return answer(
            model,
            Batch(
                images=torch.empty((len(batch), 0), device=self.device) if inputs is None else inputs,
                case_ids=tuple(loaded.case.case_id for loaded in batch),
                rows=tuple(loaded.row for loaded in batch),
                seeds=tuple(case_seed(self.plan.seed, loaded.case.case_id, draw) for loaded in batch),
                draw=draw,
                grids=tuple(_grid(loaded.case) for loaded in batch) if model.spec.on_grid else (),
                texts=tuple(source_texts(loaded.case) for loaded in batch),
                upsampling=upsampling,
            ),
            self.plan.precision,
        )

    def _task_rows(
        self, position: int, content: Content, other: Tensor | None, batch: Sequence[Loaded], *, draw: int
    ) -> list[Row]:
        """Compute one task on the cases of the batch that it applies to; ``other`` are images to compare with."""
        task = self.plan.tasks[position]
        chosen = [i for i, loaded in enumerate(batch) if position in loaded.tasks]
        rows, usable = [], []
        for i in chosen:
            case = batch[i].case
            note = obstacle(task, case)
            if note:
                rows.append(Row(case.case_id, task.key, task.arm, draw, "", None, unit_of(task, case.unit), note))
            else:
                usable.append(i)
        if not usable:
            return rows
        cases = [batch[i] for i in usable]
        part = content if len(usable) == len(batch) else content.pick(usable)
        compared = other if other is None or len(usable) == len(batch) else other[usable]
        label = self.models[task.arm].spec.structures[task.structure] if task.structure else None
        arguments = metric_arguments(task, part, compared, cases, label, self.device)
        try:
            result = task.metric.function(**arguments, **task.parameters)
        except DataProblem as problem:
            if len(usable) > 1:
                for k, loaded in enumerate(cases):
                    alone = None if compared is None else compared[k : k + 1]
                    rows += self._task_rows(position, part.pick([k]), alone, [loaded], draw=draw)
                return rows
            case = cases[0].case
            return [
                *rows,
                Row(case.case_id, task.key, task.arm, draw, "", None, unit_of(task, case.unit), problem.what),
            ]
        if task.metric.kind is Kind.RAGGED:
            for loaded, found in zip(cases, result, strict=True):
                rows += [_row(loaded.case, task, draw, name, value) for name, value in found.items()]
            return rows
        components = {"": result} if task.metric.kind is Kind.CASE else result
        values = {name: tensor.detach().double().cpu().tolist() for name, tensor in components.items()}
        for k, i in enumerate(usable):
            for name, column in values.items():
                rows.append(_row(batch[i].case, task, draw, name, column[k]))
        return rows


def _grid(case: Case) -> Image:
    return Image(
        array=np.zeros(case.shape, dtype=np.float32),
        spacing_mm=case.spacing_mm,
        unit=case.unit,
        regular=case.regular,
        directions=case.directions,
        origin_mm=case.origin_mm,
    )


def unit_of(task: Task, image_unit: str) -> str:
    """Return the unit of a task's values: where a metric says HU it means the unit of the image.

    >>> from types import SimpleNamespace
    >>> unit_of(SimpleNamespace(metric=SimpleNamespace(unit="HU2.mm2")), "Gy")
    'Gy2.mm2'
    """
    return task.metric.unit.replace("HU", image_unit) if image_unit else task.metric.unit


def _row(case: Case, task: Task, draw: int, component: str, value: float) -> Row:
    unit = unit_of(task, case.unit)
    if math.isfinite(value):
        return Row(case.case_id, task.key, task.arm, draw, component, value, unit, "")
    note = "the metric is not defined for this image" if math.isnan(value) else "the metric is unbounded for this image"
    return Row(case.case_id, task.key, task.arm, draw, component, None, unit, note)
