"""Overlap and volume of two segmentations.

Both segmentations are masks of one structure: ``True`` or above 0.5 inside (probabilities and 0/1 labels alike).
"""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import DataProblem
from validation.metrics.imaging.batches import counted
from validation.registry import Direction, metric


def checked_masks(output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both segmentations as bool ``(B, *spatial)``, refusing other shapes (``MET-010``, ``MET-011``)."""
    if output.shape != reference.shape:
        raise DataProblem(
            f"output has shape {tuple(output.shape)}, reference {tuple(reference.shape)}.",
            code="MET-011",
            where="output, reference",
            why="Segmentations are compared voxel with voxel.",
            action="Resample both to one grid before measuring.",
        )
    if output.ndim not in (3, 4) or 0 in output.shape:
        raise DataProblem(
            f"the segmentations have shape {tuple(output.shape)}.",
            code="MET-010",
            where="output, reference",
            why="Masks come as a batch (B, H, W) or (B, D, H, W).",
            action="Add the batch axis, or remove the channel axis.",
        )
    masks = [mask if mask.dtype == torch.bool else mask > 0.5 for mask in (output, reference)]
    return masks[0], masks[1]


@metric(
    "dice",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    reference="Dice 1945, doi:10.2307/1932409; Maier-Hein 2024, doi:10.1038/s41592-023-02151-z",
    oracle="segmentation.json (MONAI, DeepMind surface-distance, MedPy, Metrics Reloaded, SimpleITK)",
    family="segmentation",
)
def dice(output: Tensor, reference: Tensor) -> Tensor:
    """Dice similarity coefficient of two segmentations.

    ``2 |A and B| / (|A| + |B|)``. A structure that was missed altogether, or invented where there is none, has 0.

    Undefined (NaN) when both segmentations are empty: there is nothing to agree on.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``; bool, or above 0.5 inside.

    Returns
    -------
    Tensor
        ``(B,)``, between 0 and 1.

    Examples
    --------
    >>> a = torch.tensor([[[1, 1, 0, 0]]])
    >>> dice(a, torch.tensor([[[0, 1, 1, 0]]]))
    tensor([0.5000], dtype=torch.float64)
    """
    output, reference = checked_masks(output, reference)
    both = counted(output & reference)
    total = counted(output) + counted(reference)
    return torch.where(total > 0, 2 * both / total.clamp(min=1).to(torch.float64), torch.nan)


@metric(
    "iou",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    reference="Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x; Maier-Hein 2024, doi:10.1038/s41592-023-02151-z",
    oracle="dice / (2 - dice); scikit-learn",
    family="segmentation",
)
def iou(output: Tensor, reference: Tensor) -> Tensor:
    """Intersection over union (Jaccard index) of two segmentations.

    ``|A and B| / |A or B|``. A structure that was missed altogether, or invented where there is none, has 0. Parameters
    as :func:`dice`, of which it is a function: ``dice / (2 - dice)``.

    Undefined (NaN) when both segmentations are empty: there is nothing to agree on.
    """
    overlap = dice(output, reference)
    return overlap / (2 - overlap)


@metric(
    "volume_bias",
    unit="mL",
    direction=Direction.ZERO,
    roles=("output", "reference"),
    reference="Maier-Hein 2024, doi:10.1038/s41592-023-02151-z",
    oracle="NumPy; segmentation.json (voxel counts)",
    family="segmentation",
)
def volume_bias(output: Tensor, reference: Tensor, *, spacing_mm: Tensor) -> Tensor:
    """Volume of the output minus volume of the reference, in mL.

    Absolute, so that it is defined for a structure that was missed (minus its volume) or invented (plus its volume).
    Blind to place: a contour of the right volume in the wrong place has no bias, so read it beside :func:`dice`. For
    two-dimensional masks a thickness of 1 mm is taken.

    Undefined (NaN) when both segmentations are empty.

    Parameters
    ----------
    output, reference
        As :func:`dice`.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    """
    output, reference = checked_masks(output, reference)
    spacing = checked_spacing(spacing_mm, output)
    sizes = [counted(mask) for mask in (output, reference)]
    voxel_ml = spacing.prod(1) / 1000
    return torch.where(sizes[0] + sizes[1] > 0, (sizes[0] - sizes[1]) * voxel_ml, torch.nan)


def checked_spacing(spacing_mm: Tensor, masks: Tensor) -> Tensor:
    """Return the spacing as ``(B, ndim)`` float64, refusing anything else (``MET-015``)."""
    shape = (masks.shape[0], masks.ndim - 1)
    if tuple(spacing_mm.shape) != shape or not bool((spacing_mm > 0).all()):
        raise DataProblem(
            f"spacing_mm has shape {tuple(spacing_mm.shape)} or is not positive; it must be {shape}, in mm.",
            code="MET-015",
            where="spacing_mm",
            why="Distances and volumes are in millimetres.",
            action="Use images whose headers carry the spacing, or give it as a parameter.",
        )
    return spacing_mm.to(masks.device, torch.float64)
