"""The arguments of a metric: the arm's content, and what of the case it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from validation.cohort.case import Case
from validation.study.answers import Content, lesions_of, readers_of, source_texts
from validation.study.plan import Task

if TYPE_CHECKING:
    from validation.study.measure import Loaded


def metric_arguments(
    task: Task,
    content: Content,
    other: Tensor | None,
    cases: Sequence[Loaded],
    label: int | None,
    device: torch.device,
) -> dict[str, Any]:
    """Return the data arguments of a task's metric for some cases.

    Parameters
    ----------
    content
        What the arm holds for these cases.
    other
        Reference images (or inputs) of these cases, for metrics that compare images.
    label
        For a metric of segmentations, the label of its structure in the arm's label map.
    """
    arguments: dict[str, Any] = {}
    roles = {*task.metric.roles, *task.metric.optional_roles}
    loaded = [one.case for one in cases]
    if task.structure:
        arguments["output"] = content.image == label
        if "readers" in roles:
            arguments["readers"] = [
                {who: _mask(case, name, device) for who, name in readers_of(case, task.against).items()}
                for case in loaded
            ]
        else:
            arguments["reference"] = torch.stack([_mask(case, task.against, device) for case in loaded])
    elif task.reads == "image":
        arguments["output" if task.full_reference or task.against_input else "image"] = content.image
        if task.full_reference or task.against_input:
            arguments["reference" if task.full_reference else "input"] = other
    arguments |= _other(task, content, cases, roles)
    for role, name in task.masks.items():
        arguments[role] = torch.from_numpy(np.stack([case.masks[name] for case in loaded])).to(device)
    if "spacing_mm" in task.metric.parameters():
        spacing = [case.spacing_mm for case in loaded]
        arguments["spacing_mm"] = torch.tensor(spacing, dtype=torch.float64, device=device)
    return arguments


def _other(task: Task, content: Content, cases: Sequence[Loaded], roles: set[str]) -> Mapping[str, Any]:
    """Return the arguments of metrics of scores, marks, texts and rows."""
    loaded = [one.case for one in cases]
    if task.reads == "scores":
        return {"scores": content.scores}
    if task.reads == "marks":
        spacings = [case.spacing_mm for case in loaded]
        return {"marks": content.marks, "lesions": [lesions_of(case) for case in loaded], "spacings": spacings}
    found: dict[str, Any] = {"draft": content.texts} if task.reads == "text" else {}
    if "row" in roles:
        found["row"] = [one.row for one in cases]
    if "signed" in roles:
        found["signed"] = [case.texts["reference"] for case in loaded]
    if "source" in roles:
        found["source"] = ["\n".join(source_texts(case).values()) for case in loaded]
    return found


def obstacle(task: Task, case: Case) -> str:
    """Return why a task cannot be computed on a case, or an empty text."""
    names = list(task.masks.values())
    if task.structure and "readers" not in task.metric.roles:
        names.append(task.against)
    for name in names:
        if name not in case.masks:
            return f"the case has no region {name!r}"
        if case.masks[name].shape != case.shape:
            return f"the region {name!r} has another shape than the image"
    if "readers" in task.metric.roles and len(readers_of(case, task.against)) < 2:
        return f"fewer than two readers contoured {task.against!r}"
    if "spacing_mm" in task.metric.parameters() and not case.spacing_mm:
        return "the spacing of the image is not known"
    if "spacing_mm" in task.metric.parameters() and len(case.spacing_mm) == 3 and not case.regular:
        return "the slices are not evenly spaced, so the metric would use a wrong geometry"
    return ""


def _mask(case: Case, name: str, device: torch.device) -> Tensor:
    return torch.from_numpy(case.masks[name]).to(device)
