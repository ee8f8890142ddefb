"""Nearest voxel of a surface, by trying displacements in the order of their length: quick where surfaces are close."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 4000  # displacements tried before a voxel is left to another method


@cache
def displacements(spacing: tuple[float, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return displacements in voxels ``(n, ndim)`` and their lengths in mm, shortest first.

    All within the longest are there, so that the first hit is the nearest voxel.
    """
    steps = np.array(spacing)
    radius = steps.min() * (MOST / 4.2) ** (1 / len(steps)) if len(steps) == 3 else steps.min() * 35
    reach = np.floor(radius / steps).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, len(steps))
    length = np.sqrt(((grid * steps) ** 2).sum(1))
    order = np.argsort(length, kind="stable")
    order = order[length[order] <= radius]
    return grid[order].astype(np.int64), length[order]


def nearby(points: NDArray[np.int64], surface: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance in mm of each voxel to the nearest voxel of a surface; infinite where none is close.

    Parameters
    ----------
    points
        Voxels ``(n, ndim)``.
    surface
        Bool ``(*spatial)``.
    spacing
        In mm, per axis.
    """
    offsets, length = displacements(tuple(float(s) for s in spacing))
    margin = np.abs(offsets).max(0)
    padded = np.pad(surface, [(int(m), int(m)) for m in margin])
    strides = np.array(padded.strides, dtype=np.int64)  # one byte per voxel
    found = np.empty(len(points))
    _compiled()(padded.ravel(), (points + margin) @ strides, offsets @ strides, length, found)
    return found


@cache
def _compiled() -> Callable[..., None]:
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_walk)
    except RuntimeError:  # no folder that a cache could be written to
        return numba.njit(nogil=True)(_walk)


def _walk(surface: Any, places: Any, steps: Any, length: Any, found: Any) -> None:
    for i in range(len(places)):
        found[i] = np.inf
        for k in range(len(steps)):
            if surface[places[i] + steps[k]]:
                found[i] = length[k]
                break
