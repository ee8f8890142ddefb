"""Pictures of chosen cases for the dossier: what went in, what came out, what was expected, and the difference."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from validation.cohort.case import Case
from validation.digest import canonical_json, write_atomically
from validation.errors import DataProblem, ModelProblem
from validation.models import Model
from validation.study.contour_images import overlay_png, shown_box, slice_to_show
from validation.study.environment import deterministic
from validation.study.measure import Loaded, Measurer, check_case
from validation.study.plan import Plan
from validation.study.run import Cases

Array = npt.NDArray[np.float32]
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class CaseImage:
    """One picture: 8-bit grey, black at ``low`` and white at ``high``.

    Parameters
    ----------
    case_id, arm
        ``input``, ``output``, ``reference``, or ``difference`` (output minus reference, or minus input without one);
        ``contours`` for a proposed segmentation and its reference on the input.
    file
        Name in the ``images`` folder of the run.
    slice_index
        Slice of a volume, from 0; ``None`` for a single image.
    low, high
        Window in ``unit``. All arms of a case share one; the difference has its own, symmetric about zero.
    """

    case_id: str
    arm: str
    file: str
    slice_index: int | None
    low: float
    high: float
    unit: str


def save_case_images(
    run_folder: Path,
    cohort: Cases,
    model: Model,
    case_ids: Sequence[str],
    *,
    plan: Plan,
    device: torch.device,
    window: tuple[float, float] | None = None,
) -> list[CaseImage]:
    """Write ``images/<case_id>.<arm>.png`` for cases, and ``images/index.json`` with their windows.

    Outputs are made anew, with the seeds and precision of the run (draw 0). Of a volume the slice with the largest mean
    absolute difference is shown. A case whose images cannot be made is left out: it is among the rejected ones.

    Parameters
    ----------
    run_folder, cohort, model, plan, device
        As for :func:`validation.study.run.run_measurements`.
    case_ids
        Cases to show, such as the worst ones of each endpoint; repeats are ignored.
    window
        Lowest and highest grey value in the image unit; from the 1st and 99th percentile of the case if omitted.
    """
    measurer = Measurer(plan, model, None, device)
    images: list[CaseImage] = []
    with deterministic(device):
        for case_id in dict.fromkeys(case_ids):
            try:
                case = cohort.load(case_id)
                row = {str(key): value for key, value in cohort.cases.loc[case_id].items()}
                loaded = Loaded(case=case, row=row, tasks=frozenset())
                if model.needs_image:
                    check_case(loaded, frozenset({"input"}))
                output = measurer.output_of(loaded) if model.spec.on_grid else None
            except (DataProblem, ModelProblem):
                continue
            if output is None or model.spec.answer == "labels":
                images += _save_overlay(run_folder / "images", case, output, plan, model, window)
                continue
            arms = {"input": case.on_grid("input"), "output": output}
            if "reference" in case.arrays:
                arms["reference"] = case.arrays["reference"]
            images += _save(run_folder / "images", case_id, arms, case.unit, window)
    record = [asdict(image) for image in images]
    write_atomically(run_folder / "images" / "index.json", canonical_json(record))
    return images


def _save(
    folder: Path, case_id: str, arms: Mapping[str, Array], unit: str, window: tuple[float, float] | None
) -> list[CaseImage]:
    difference = arms["output"] - arms.get("reference", arms["input"])
    index = int(np.abs(difference).mean(axis=(1, 2)).argmax()) if difference.ndim == 3 else None
    shown = {arm: array if index is None else array[index] for arm, array in {**arms, "difference": difference}.items()}
    low, high = window or _window(shown.get("reference", shown["input"]))
    reach = max(float(np.percentile(np.abs(shown["difference"]), 99)), 1e-6)
    name = _file_name(case_id)
    images = []
    for arm, array in shown.items():
        bounds = (-reach, reach) if arm == "difference" else (low, high)
        file = f"{name}.{arm}.png"
        write_atomically(folder / file, png(array, *bounds))
        images.append(
            CaseImage(case_id=case_id, arm=arm, file=file, slice_index=index, low=bounds[0], high=bounds[1], unit=unit)
        )
    return images


def _file_name(case_id: str) -> str:
    return case_id if _SAFE.fullmatch(case_id) else hashlib.sha256(case_id.encode()).hexdigest()[:16]


def _save_overlay(
    folder: Path, case: Case, output: Array | None, plan: Plan, model: Model, window: tuple[float, float] | None
) -> list[CaseImage]:
    """Save the input of a case with the contours of proposal and reference, or the input alone (scores, marks)."""
    grey = case.arrays.get("input")
    if output is None and grey is None:
        return []
    tasks = [task for task in plan.tasks if task.structure]
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    if output is not None and tasks:
        masks["output"] = output == model.spec.structures[tasks[0].structure]
        if tasks[0].against in case.masks:
            masks["reference"] = case.masks[tasks[0].against]
    shown = np.zeros(case.shape, np.float32) if grey is None else grey
    index = slice_to_show(masks, shown)
    flat = shown if index is None else shown[index]
    flat_masks = {arm: mask if index is None else mask[index] for arm, mask in masks.items()}
    low, high = window or _window(flat[shown_box(flat_masks, flat.shape)])  # of what is seen: a nodule is a small part
    arm = "contours" if masks else "input"
    file = f"{_file_name(case.case_id)}.{arm}.png"
    write_atomically(folder / file, overlay_png(flat, flat_masks, low, high))
    return [CaseImage(case_id=case.case_id, arm=arm, file=file, slice_index=index, low=low, high=high, unit=case.unit)]


def png(array: Array, low: float, high: float) -> bytes:
    """Return a 2-D array as an 8-bit grey PNG, black at ``low`` and below, white at ``high`` and above."""
    from PIL import Image

    grey = np.clip((array.astype(np.float64) - low) / (high - low), 0, 1)
    buffer = io.BytesIO()
    Image.fromarray(np.round(grey * 255).astype(np.uint8)).save(buffer, format="PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def _window(array: Array) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(array, [1, 99]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
