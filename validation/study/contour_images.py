"""Contours of a proposal and of its reference, drawn on the input."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
COLOURS = {"reference": (230, 159, 0), "output": (86, 180, 233)}
"""Orange and sky blue of Okabe and Ito's palette; where both run, the proposal is drawn last and dashed."""
MARGIN = 16
SMALLEST = 320


def slice_to_show(masks: Mapping[str, Mask], image: Array) -> int | None:
    """Return the slice on which the masks differ most, else the one with most of them, else the middle one."""
    if image.ndim == 2:
        return None
    if not masks:
        return int(image.shape[0] // 2)
    every = list(masks.values())
    union, common = np.logical_or.reduce(every), np.logical_and.reduce(every)
    for counted in (union & ~common, union):
        voxels = counted.sum(axis=(1, 2))
        if voxels.any():
            return int(voxels.argmax())
    return int(image.shape[0] // 2)


def overlay_png(image: Array, masks: Mapping[str, Mask], low: float, high: float) -> bytes:
    """Return a 2-D image as PNG with the outline of each mask, cut to the masks and enlarged."""
    from PIL import Image

    rows, columns = shown_box(masks, image.shape)
    part = image[rows, columns].astype(np.float64)
    factor = max(1, min(8, -(-SMALLEST // max(part.shape))))
    grey = np.round(np.clip((part - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    big = np.repeat(np.repeat(grey, factor, axis=0), factor, axis=1)
    picture = np.stack([big] * 3, axis=-1)
    dash = (np.add.outer(np.arange(big.shape[0]), np.arange(big.shape[1])) // max(2, factor)) % 2 == 0
    for arm in ("reference", "output"):
        if arm in masks:
            mask = np.repeat(np.repeat(masks[arm][rows, columns], factor, axis=0), factor, axis=1)
            edge = _outline(mask, max(1, factor // 2))
            if arm == "output" and "reference" in masks:
                edge &= dash
            picture[edge] = COLOURS[arm]
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def shown_box(masks: Mapping[str, Mask], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a slice that is shown: the masks with a margin, or all of it without any."""
    union = np.logical_or.reduce([*masks.values(), np.zeros(shape, bool)])
    if not union.any():
        return slice(0, shape[0]), slice(0, shape[1])
    found = []
    for axis in (0, 1):
        where = np.flatnonzero(union.any(axis=1 - axis))
        found.append(slice(max(0, int(where[0]) - MARGIN), min(shape[axis], int(where[-1]) + 1 + MARGIN)))
    return found[0], found[1]


def _outline(mask: Mask, width: int) -> Mask:
    from scipy import ndimage

    return np.asarray(mask & ~ndimage.binary_erosion(mask, iterations=width, border_value=0))
