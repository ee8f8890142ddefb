"""What an arm holds for a batch of cases, and whether it is what the plan measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from validation.cohort.case import Case
from validation.errors import ModelProblem
from validation.metrics.detection.marks import Lesion, Marks, lesions_of_mask
from validation.models import Batch, Model
from validation.models.inference import Precision
from validation.study.plan import Plan, Task

T = TypeVar("T")
SOURCE = "source"
REFERENCE_TEXT = "text.reference"
SOURCE_TEXT = "text.source"
LESIONS = "lesions"


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """What one arm holds for a batch; only what the arm has is filled in.

    ``image`` (B, *spatial) is an image or a label map; ``scores`` maps a name to (B,); ``marks`` and ``texts`` have one
    entry per case.
    """

    image: Tensor | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    marks: Sequence[Marks] = ()
    texts: Sequence[str] = field(default=(), repr=False)

    def pick(self, chosen: Sequence[int]) -> Content:
        """Return the content of some cases of the batch, by position."""
        rows = list(chosen)
        return Content(
            image=None if self.image is None else self.image[rows],
            scores={name: values[rows] for name, values in self.scores.items()},
            marks=[self.marks[i] for i in rows] if self.marks else (),
            texts=[self.texts[i] for i in rows] if self.texts else (),
        )


def check_answers(plan: Plan, models: Mapping[str, Model]) -> None:
    """Refuse a plan that measures something else than what the models answer with.

    Raises
    ------
    ModelProblem
        MOD-015, naming the metric and the answer.
    """
    for task in plan.tasks:
        if task.arm not in models:
            if task.arm == "baseline" and (task.reads in ("scores", "marks", "text") or task.structure):
                raise _unfit(task, "there is no baseline model", "Name one under `baseline:` in study.yaml.")
            continue
        spec = models[task.arm].spec
        wanted = {"image": "labels" if task.structure else "image", "row": spec.answer}.get(task.reads, task.reads)
        if spec.answer != wanted:
            raise _unfit(
                task,
                f"the model {spec.name!r} answers with {spec.answer}, not with {wanted}",
                "Set `answer` under `model:` in study.yaml, or choose a metric of this kind of answer."
                + (" A metric of segmentations names its `structure`." if spec.answer == "labels" else ""),
            )
        named, known = task.parameters.get("of"), spec.scores
        if task.structure:
            named, known = task.structure, tuple(spec.structures)
        if (task.structure or task.reads == "scores") and named not in known:
            raise _unfit(task, f"the model {spec.name!r} has no {named!r}", f"It has {', '.join(known)}.")


def _unfit(task: Task, why: str, action: str) -> ModelProblem:
    return ModelProblem(f"{task.key} cannot be measured: {why}.", code="MOD-015", where=task.key, action=action)


def answer(model: Model, batch: Batch, precision: Precision) -> Content:
    """Ask a model and check its answer: finite numbers, on the grid, known labels.

    Raises
    ------
    ModelProblem
        If the model fails or its answer is of another form (MOD-007), holds values that are not finite (MOD-011), or
        labels that are no whole numbers (MOD-013).
    """
    spec = model.spec
    if spec.answer == "text":
        return Content(texts=_one_each(model.draft(batch), batch))
    if spec.answer == "marks":
        marks = _one_each(model.mark(batch, precision=precision), batch)
        for found in marks:
            places = found.positions if found.positions is not None else found.ratings
            _finite(torch.tensor(found.ratings), torch.tensor(places))
        return Content(marks=marks)
    given = model.predict(batch, precision=precision)
    if spec.answer == "scores":
        _finite(given)
        return Content(scores={name: given[:, k] for k, name in enumerate(spec.scores)})
    wanted = (len(batch.case_ids), *(batch.grids[0].array.shape if batch.grids else batch.images.shape[1:]))
    if tuple(given.shape) != wanted:
        raise ModelProblem(f"the model answered {tuple(given.shape)} where {wanted} is expected.", code="MOD-007")
    _finite(given)
    if spec.answer == "labels" and not bool((given == given.round()).all() and (given >= 0).all()):
        raise ModelProblem(
            "the model's label map holds values that are no labels (whole numbers from 0).",
            code="MOD-013",
            why="A voxel belongs to a structure or not; a value between two labels says neither.",
            action="Answer with labels, with one channel per label, or state `threshold` for a probability.",
        )
    return Content(image=given)


def _one_each(found: list[T], batch: Batch) -> list[T]:
    if len(found) != len(batch.case_ids):
        raise ModelProblem(f"the model gave {len(found)} answers for {len(batch.case_ids)} cases.", code="MOD-007")
    return found


def _finite(*values: Tensor) -> None:
    bad = sum(v.numel() - int(torch.isfinite(v).sum()) for v in values)
    if bad:
        raise ModelProblem(f"the model's output holds {bad} values that are not finite numbers.", code="MOD-011")


def source_texts(case: Case) -> dict[str, str]:
    """Return the texts that a drafting model may see: those whose name begins with ``source``."""
    return {name: text for name, text in case.texts.items() if name.startswith(SOURCE)}


def lesions_of(case: Case) -> tuple[Lesion, ...]:
    """Return the lesions of a case: those of its table or, without one, the components of its mask ``lesions``."""
    if case.lesions is not None:
        return case.lesions
    return lesions_of_mask(case.masks[LESIONS], case.spacing_mm)


def readers_of(case: Case, structure: str) -> dict[str, str]:
    """Return the readers who contoured a structure of a case: reader to the name of the mask ``structure@reader``."""
    start = f"{structure}@"
    return {name.removeprefix(start): name for name in sorted(case.masks) if name.startswith(start)}
