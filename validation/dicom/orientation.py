"""Bringing two images of one case onto one voxel grid when only the order of their axes differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from validation.dicom.image import Image
from validation.errors import DataProblem

DIRECTION_TOLERANCE = 0.01
"""Largest difference of direction cosines (0.6 degrees) between images of one case."""
ORIGIN_TOLERANCE = 0.5
"""Largest distance of first voxels, in voxels, between images of one case."""


def align(image: Image, like: Image, where: str) -> Image:
    """Return the image with its axes permuted and flipped to those of ``like``, and nothing interpolated.

    NIfTI stores axes in another order and direction than DICOM; compared voxel by voxel without this, left would be
    measured against right. Images of which one does not state its orientation are returned as they are.

    Raises
    ------
    DataProblem
        If the grids are rotated against each other or shifted by more than half a voxel (COH-012).
    """
    if not image.directions or not like.directions or image.array.ndim != like.array.ndim:
        return image
    cosines = np.array(like.directions) @ np.array(image.directions).T
    axes = np.abs(cosines).argmax(axis=1)
    signs = np.sign(cosines[range(len(axes)), axes])
    matched = np.array(image.directions)[axes] * signs[:, None]
    if len(set(axes.tolist())) < len(axes) or np.abs(matched - like.directions).max() > DIRECTION_TOLERANCE:
        raise _off("is rotated against the other images of the case", where)
    array = image.array.transpose(tuple(axes.tolist()))
    spacing = tuple(image.spacing_mm[a] for a in axes.tolist()) if image.spacing_mm else ()
    origin = np.array(image.origin_mm)
    for axis, sign in enumerate(signs.tolist()):
        if sign < 0:
            array = np.flip(array, axis)
            if image.spacing_mm:
                own = image.directions[int(axes[axis])]
                origin = origin + np.array(own) * spacing[axis] * (array.shape[axis] - 1)
    if spacing and like.spacing_mm and image.regular and like.regular:
        shift = np.array(like.directions) @ (origin - np.array(like.origin_mm)) / np.array(like.spacing_mm)
        if np.abs(shift).max() > ORIGIN_TOLERANCE:
            raise _off(f"is shifted by {np.abs(shift).max():.2g} voxels against the other images of the case", where)
    return replace(
        image,
        array=np.ascontiguousarray(array),
        spacing_mm=spacing,
        directions=like.directions,
        origin_mm=tuple(float(v) for v in origin),
    )


def _off(what: str, where: str) -> DataProblem:
    return DataProblem(
        f"the image {what}.",
        code="COH-012",
        where=where,
        why="Images of one case are compared voxel by voxel.",
        action="Resample or register them to one grid before the study.",
    )
