"""What every image metric does first: check shapes, choose a floating type, reduce over the voxels of each case."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from validation.errors import DataProblem

SLAB_VOXELS = 1 << 17


def floating(image: Tensor) -> Tensor:
    """Return the image as float32 or float64 (integers and half precision become float32; float64 stays)."""
    return image if image.dtype in (torch.float32, torch.float64) else image.to(torch.float32)


def checked_image(image: Tensor, *, role: str = "image") -> Tensor:
    """Return a batch of 2-D ``(B, H, W)`` or 3-D ``(B, D, H, W)`` images in floating type.

    Raises
    ------
    DataProblem
        ``MET-010`` if the tensor has another number of axes or an empty axis.
    """
    if image.ndim not in (3, 4) or 0 in image.shape:
        raise DataProblem(
            f"{role} has shape {tuple(image.shape)}.",
            code="MET-010",
            where=role,
            why="Image metrics take a batch of 2-D images (B, H, W) or of volumes (B, D, H, W).",
            action="Add the batch axis, or remove the channel axis.",
        )
    return floating(image)


def checked_pair(output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and reference in one floating type, refusing different shapes (``MET-011``)."""
    if output.shape != reference.shape:
        raise DataProblem(
            f"output has shape {tuple(output.shape)}, reference {tuple(reference.shape)}.",
            code="MET-011",
            where="output, reference",
            why="A full-reference metric compares voxel with voxel.",
            action="Resample both to one grid before measuring.",
        )
    output, reference = checked_image(output, role="output"), checked_image(reference, role="reference")
    wide = torch.promote_types(output.dtype, reference.dtype)
    return output.to(wide), reference.to(wide)


def checked_mask(mask: Tensor | None, image: Tensor, *, role: str = "mask") -> Tensor | None:
    """Return the mask as bool, refusing one of another shape than the image (``MET-012``)."""
    if mask is None:
        return None
    if mask.shape != image.shape:
        raise DataProblem(
            f"{role} has shape {tuple(mask.shape)}, the image {tuple(image.shape)}.",
            code="MET-012",
            where=role,
            why="A mask must cover the image it selects from.",
            action="Give the mask on the grid of the image.",
        )
    return mask if mask.dtype == torch.bool else mask != 0


def counted(mask: Tensor) -> Tensor:
    """Return the number of true voxels of each case, ``(B,)`` int64.

    >>> counted(torch.tensor([[[True, False, True]]]))
    tensor([2])
    """
    if mask.device.type == "cpu":  # torch widens every voxel to 64 bits first
        return torch.tensor([np.count_nonzero(case) for case in mask.numpy()])
    return mask.flatten(1).sum(1)


def slabs(image: Tensor) -> Iterator[slice]:
    """Yield parts of the first image axis: of one case as much as a cache holds on a CPU, all of it on a GPU.

    The parts do not depend on the number of cases, so that a case has the same sum, to the last bit, in any batch.
    """
    length = image.shape[1]
    step = length if image.is_cuda else max(1, SLAB_VOXELS // max(1, image[0].numel() // length))
    for first in range(0, length, step):
        yield slice(first, first + step)


def mean_over_voxels(
    values: Tensor, mask: Tensor | None = None, *, minus: Tensor | None = None, power: str = "signed"
) -> Tensor:
    """Return the mean of each case, accumulated in float64; NaN for a case whose mask is empty.

    Values outside the mask do not count, even where they are NaN. A NaN inside makes the mean NaN. Large volumes are
    worked through in slabs, so that no copy of the image is made.

    Parameters
    ----------
    values
        ``(B, *spatial)``, floating.
    mask
        Same shape, bool.
    minus
        Subtracted first: an image of the same shape, or one that broadcasts to it along the image axes.
    power
        ``"signed"``, ``"absolute"`` or ``"square"``: the mean of the difference, its absolute value, or its square.

    Examples
    --------
    >>> mean_over_voxels(torch.tensor([[[1.0, 3.0]]]))
    tensor([2.], dtype=torch.float64)
    >>> mean_over_voxels(torch.tensor([[[3.0, 4.0]]]), power="square")
    tensor([12.5000], dtype=torch.float64)
    """
    total = torch.zeros(values.shape[0], dtype=torch.float64, device=values.device)
    whole = minus is not None and minus.shape == values.shape
    for part in slabs(values):
        voxels = values[:, part]
        if minus is not None:
            voxels = voxels - (minus[:, part] if whole else minus)
        if mask is not None:
            voxels = torch.where(mask[:, part], voxels, voxels.new_zeros(()))
        # rows in the type of the image, one fast pass each; then float64
        if power == "square":
            lines = torch.linalg.vector_norm(voxels, dim=-1).to(torch.float64).square()
        else:
            lines = (voxels.abs() if power == "absolute" else voxels).sum(-1).to(torch.float64)
        total += lines.flatten(1).sum(1)
    if mask is None:
        return total / values[0].numel()
    count = counted(mask)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


def variance_over_voxels(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the sample variance (``n - 1``) of each case in two passes, NaN below two voxels."""
    mean = mean_over_voxels(values, mask).nan_to_num()
    shape = (-1, *([1] * (values.ndim - 1)))
    n = counted(mask) if mask is not None else torch.full_like(mean, values[0].numel())
    squares = mean_over_voxels(values, mask, minus=mean.reshape(shape).to(values.dtype), power="square")
    return torch.where(n > 1, squares * n / (n - 1).clamp(min=1), torch.nan)
