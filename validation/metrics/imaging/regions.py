"""Places in an image: centroids of masks, square crops around them, and sliding-window sums."""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import DataProblem, UsageProblem
from validation.metrics.imaging.filters import filter_valid


def centroid(weight: Tensor) -> Tensor:
    """Return the centre of gravity ``(B, ndim)`` of non-negative weights, in voxels; NaN where they are all zero.

    >>> centroid(torch.eye(3, dtype=torch.bool).unsqueeze(0))
    tensor([[1., 1.]], dtype=torch.float64)
    """
    weight = weight.to(torch.float64)
    axes = range(1, weight.ndim)
    total = weight.flatten(1).sum(1)
    centre = []
    for axis in axes:
        profile = weight.sum(dim=[a for a in axes if a != axis]) if weight.ndim > 2 else weight
        centre.append((profile * torch.arange(profile.shape[1], device=weight.device)).sum(1) / total)
    return torch.stack(centre, 1)


def checked_spacing(spacing_mm: Tensor | None, image: Tensor) -> Tensor:
    """Return the spacing as ``(B, ndim)`` float64 on the device of the image, refusing anything else (``MET-015``)."""
    shape = (image.shape[0], image.ndim - 1)
    if spacing_mm is None or tuple(spacing_mm.shape) != shape or not bool((spacing_mm > 0).all()):
        got = "is missing" if spacing_mm is None else f"has shape {tuple(spacing_mm.shape)} or is not positive"
        raise DataProblem(
            f"spacing_mm {got}; it must be {shape}, in mm, one row per case.",
            code="MET-015",
            where="spacing_mm",
            why="This metric is defined in millimetres.",
            action="Use images whose headers carry the spacing, or give it as a parameter.",
        )
    return spacing_mm.to(image.device, torch.float64)


def crop_around(image: Tensor, centre: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return square in-plane crops ``(B, size, size)`` around a position, and whether each lies inside the image.

    ``size`` is odd, so that the crop has a central voxel: the one nearest the position. Of a volume the slice nearest
    the position is taken. Crops that would leave the image are shifted back and marked False.
    """
    if size < 3 or size % 2 == 0:
        raise UsageProblem(
            f"roi_size is {size}.", code="MET-014", where="roi_size", action="Give an odd number of voxels from 3 up."
        )
    if size > min(image.shape[-2:]):
        empty = image.new_zeros((image.shape[0], size, size))
        return empty, torch.zeros(image.shape[0], dtype=torch.bool, device=image.device)
    known = torch.isfinite(centre).all(1)
    nearest = torch.round(centre.nan_to_num()).long()
    inside = known.clone()
    index = []
    for axis, length in enumerate(image.shape[1:]):
        if axis < image.ndim - 3:
            index.append(nearest[:, axis].clamp(0, length - 1)[:, None, None])
            continue
        first = nearest[:, axis] - size // 2
        inside &= (first >= 0) & (first + size <= length)
        span = first.clamp(0, length - size)[:, None] + torch.arange(size, device=image.device)
        index.append(span[:, :, None] if axis == image.ndim - 3 else span[:, None, :])
    case = torch.arange(image.shape[0], device=image.device)[:, None, None]
    return image[(case, *index)], inside


def window_mean(values: Tensor, sides: list[int]) -> Tensor:
    """Return the mean in every box (sides in voxels, per axis) that lies wholly inside the image."""
    return filter_valid(values, [torch.full((side,), 1 / side, dtype=values.dtype) for side in sides])


def windows_inside(mask: Tensor, window: int) -> Tensor:
    """Return, for every window position, whether all its voxels are in the mask."""
    # sums of zeros and ones are exact in float32 up to 2^24; the share of a larger cube is still exact when it is zero
    outside = filter_valid((~mask).to(torch.float32), torch.ones(window))
    return outside == 0
