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


def needed_roles(plan: Plan, tasks: frozenset[int], *, baseline_model: bool) -> frozenset[str]:
    """Return the images that a case must bring for its tasks.

    The baseline arm is what a baseline model makes of the input or, without such a model, an image of the case.
    """
    source = {"output": "input", "baseline": "input" if baseline_model else "baseline"}
    roles: set[str] = set()
    for position in tasks:
        task = plan.tasks[position]
        roles.add(source.get(task.arm, task.arm))
        if task.full_reference:
            roles.add("reference")
    return frozenset(roles)


def check_case(loaded: Loaded, roles: frozenset[str]) -> None:
    """Refuse a case that lacks an image that its tasks need, or whose images lie on different grids.

    Raises
    ------
    DataProblem
        RUN-020 (missing image) or RUN-021 (shapes differ).
    """
    arrays = loaded.case.arrays
    shapes: dict[str, tuple[int, ...]] = {}
    for role in sorted(roles):
        if role not in arrays:
            raise DataProblem(f"the case has no {role} image.", code="RUN-020", where=loaded.case.case_id)
        shapes[role] = arrays[role].shape
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{role} {shape}" for role, shape in shapes.items())
        raise DataProblem(
            f"the images of the case have different shapes: {text}.", code="RUN-021", where=loaded.case.case_id
        )


class Measurer:
    """Measures batches of cases of equal shape on one device."""

    def __init__(self, plan: Plan, model: Model, baseline: Model | None, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self.models: dict[str, Model] = {"output": model, **({"baseline": baseline} if baseline else {})}

    def draws(self, arm: str) -> int:
        """Return the number of samples of an arm: the protocol's for stochastic models, else 1."""
        model = self.models.get(arm)
        return self.plan.draws if model is not None and model.spec.stochastic else 1

    def roles(self, tasks: frozenset[int]) -> frozenset[str]:
        """Return the images that a case must bring for its tasks."""
        return needed_roles(self.plan, tasks, baseline_model="baseline" in self.models)

    def rejected_rows(self, case_id: str, tasks: frozenset[int], reason: str) -> list[Row]:
        """Return rows without values for a rejected case: none of its planned measurements is lost from sight."""
        return [
            Row(case_id, task.key, task.arm, draw, "", None, task.metric.unit, f"case rejected: {reason}")
            for task in (self.plan.tasks[position] for position in sorted(tasks))
            for draw in range(self.draws(task.arm))
        ]

    def output_of(self, loaded: Loaded) -> npt.NDArray[np.float32]:
        """Return the model's output for one case (draw 0), as it was measured.

        Raises
        ------
        ModelProblem
            If the model fails on the case.
        """
        answer = self._predict(self.models["output"], [loaded], self._stack("input", [loaded]), 0)[0]
        return np.asarray(answer.cpu().numpy(), dtype=np.float32)

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
        images = {role: self._stack(role, batch) for role in sorted(self.roles(frozenset(tasks)))}
        rows: list[Row] = []
        for arm in ARMS:
            positions = [position for position in tasks if self.plan.tasks[position].arm == arm]
            model = self.models.get(arm)
            if model is None:
                for position in positions:
                    rows += self._task_rows(position, images[arm], images, batch, draw=0)
                continue
            for draw in range(self.draws(arm) if positions else 0):
                answer = self._predict(model, batch, images["input"], draw)
                for position in positions:
                    rows += self._task_rows(position, answer, images, batch, draw=draw)
        return rows

    def _stack(self, role: str, batch: Sequence[Loaded]) -> Tensor:
        """Return one image per case; NaN where a case has none, which only tasks that do not apply to it could meet."""
        like = next(loaded.case.arrays[role] for loaded in batch if role in loaded.case.arrays)
        empty = np.full(like.shape, np.nan, dtype=np.float32)
        stacked = np.stack([loaded.case.arrays.get(role, empty) for loaded in batch])
        return torch.from_numpy(stacked).to(self.device, torch.float32)

    def _predict(self, model: Model, batch: Sequence[Loaded], images: Tensor, draw: int) -> Tensor:
        answer = model.predict(
            Batch(
                images=images,
                case_ids=tuple(loaded.case.case_id for loaded in batch),
                rows=tuple(loaded.row for loaded in batch),
                seeds=tuple(case_seed(self.plan.seed, loaded.case.case_id, draw) for loaded in batch),
                draw=draw,
                grids=tuple(_grid(loaded.case) for loaded in batch),
            ),
            precision=self.plan.precision,
        )
        if tuple(answer.shape) != tuple(images.shape):
            raise ModelProblem(
                f"the model answered {tuple(answer.shape)} to images of {tuple(images.shape)}.", code="MOD-007"
            )
        bad = answer.numel() - int(torch.isfinite(answer).sum())
        if bad:
            raise ModelProblem(f"the model's output holds {bad} values that are not finite numbers.", code="MOD-011")
        return answer

    def _task_rows(
        self, position: int, image: Tensor, images: Mapping[str, Tensor], batch: Sequence[Loaded], *, draw: int
    ) -> list[Row]:
        """Compute one task on the cases of the batch that it applies to."""
        task = self.plan.tasks[position]
        chosen = [i for i, loaded in enumerate(batch) if position in loaded.tasks]
        if not chosen:
            return []
        rows, usable = [], []
        for i in chosen:
            case = batch[i].case
            note = _obstacle(task, case)
            if note:
                rows.append(Row(case.case_id, task.key, task.arm, draw, "", None, unit_of(task, case.unit), note))
            else:
                usable.append(i)
        if not usable:
            return rows
        arguments = self._arguments(task, image, images, batch, usable)
        try:
            result = task.metric.function(**arguments, **task.parameters)
        except DataProblem as problem:
            if len(usable) > 1:
                for i in usable:
                    alone = {role: tensor[i : i + 1] for role, tensor in images.items()}
                    rows += self._task_rows(position, image[i : i + 1], alone, [batch[i]], draw=draw)
                return rows
            case = batch[usable[0]].case
            return [
                *rows,
                Row(case.case_id, task.key, task.arm, draw, "", None, unit_of(task, case.unit), problem.what),
            ]
        components = {"": result} if task.metric.kind is Kind.CASE else result
        values = {name: tensor.detach().double().cpu().tolist() for name, tensor in components.items()}
        for k, i in enumerate(usable):
            for name, column in values.items():
                rows.append(_row(batch[i].case, task, draw, name, column[k]))
        return rows

    def _arguments(
        self, task: Task, image: Tensor, images: Mapping[str, Tensor], batch: Sequence[Loaded], usable: Sequence[int]
    ) -> dict[str, Any]:
        whole = len(usable) == len(batch)
        index = torch.tensor(usable, device=self.device)

        def pick(tensor: Tensor) -> Tensor:
            return tensor if whole else tensor.index_select(0, index)

        arguments: dict[str, Any]
        if task.full_reference:
            arguments = {"output": pick(image), "reference": pick(images["reference"])}
        else:
            arguments = {"image": pick(image)}
        for role, name in task.masks.items():
            stacked = np.stack([batch[i].case.masks[name] for i in usable])
            arguments[role] = torch.from_numpy(stacked).to(self.device)
        if "spacing_mm" in task.metric.parameters():
            spacing = [batch[i].case.spacing_mm for i in usable]
            arguments["spacing_mm"] = torch.tensor(spacing, dtype=torch.float64, device=self.device)
        return arguments


def _grid(case: Case) -> Image:
    return Image(
        array=case.arrays["input"] if "input" in case.arrays else next(iter(case.arrays.values())),
        spacing_mm=case.spacing_mm,
        unit=case.unit,
        regular=case.regular,
        directions=case.directions,
        origin_mm=case.origin_mm,
    )


def _obstacle(task: Task, case: Case) -> str:
    """Return why a task cannot be computed on a case, or an empty text."""
    for name in task.masks.values():
        if name not in case.masks:
            return f"the case has no region {name!r}"
        if case.masks[name].shape != next(iter(case.arrays.values())).shape:
            return f"the region {name!r} has another shape than the image"
    if "spacing_mm" in task.metric.parameters() and not case.spacing_mm:
        return "the spacing of the image is not known"
    if "spacing_mm" in task.metric.parameters() and len(case.spacing_mm) == 3 and not case.regular:
        return "the slices are not evenly spaced, so the metric would use a wrong geometry"
    return ""


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
