"""The compiled search of the gamma index on a CPU: voxel by voxel, displacements nearest first, until none can win."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from validation.metrics.imaging.gamma import Piece

Floats = NDArray[np.float64]


def search(
    padded: Floats,
    place: NDArray[np.int64],
    wanted: Floats,
    scale: Floats,
    pieces: list[Piece],
    limit: float,
    enough: float,
) -> Floats:
    """Return the gamma index of each voxel, at most ``limit``.

    Parameters
    ----------
    padded
        Output dose, padded so that no displacement leaves it.
    place
        Flat position of each voxel in it.
    wanted, scale
        Reference dose, and one over the dose criterion, of each voxel.
    pieces
        Displacements by cell of the grid, in the order of their nearest.
    limit, enough
        The largest gamma searched for, and one at which the search of a voxel ends.
    """
    ndim = padded.ndim
    strides = np.array([s // padded.itemsize for s in padded.strides], dtype=np.int64)
    ups = np.array(list(np.ndindex(*(2,) * ndim)), dtype=np.int64)
    corners = np.stack([(ups + np.array(piece.corner)) @ strides for piece in pieces])
    starts = np.cumsum([0, *(len(piece.squares) for piece in pieces)]).astype(np.int64)
    weights = np.concatenate([piece.weights.numpy().T for piece in pieces]).astype(np.float64)
    squares = np.concatenate([piece.squares.numpy() for piece in pieces]).astype(np.float64)
    nearest = np.array([piece.nearest for piece in pieces])
    best = np.empty(len(place))
    _compiled()(
        padded.ravel(), place, wanted, scale, corners, starts, weights, squares, nearest, limit**2, enough**2, best
    )
    return np.sqrt(best)


@cache
def _compiled() -> Callable[..., None]:
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_walk)
    except RuntimeError:  # no folder that a cache could be written to
        return numba.njit(nogil=True)(_walk)


def _walk(
    dose: Any, place: Any, wanted: Any, scale: Any, corners: Any, starts: Any, weights: Any, squares: Any, nearest: Any,
    limit: float, enough: float, best: Any,
) -> None:  # fmt: skip
    count = corners.shape[1]
    values = np.empty(count)
    for i in range(len(place)):
        least = limit
        for p in range(len(nearest)):
            if nearest[p] >= least or least <= enough:
                break
            low, high = np.inf, -np.inf
            for c in range(count):
                value = (dose[place[i] + corners[p, c]] - wanted[i]) * scale[i]
                values[c] = value
                low, high = min(low, value), max(high, value)
            gap = max(low, -high, 0.0)
            if nearest[p] + gap * gap >= least:
                continue
            for j in range(starts[p], starts[p + 1]):
                if squares[j] >= least:
                    continue
                total = 0.0
                for c in range(count):
                    total += weights[j, c] * values[c]
                least = min(least, total * total + squares[j])
        best[i] = least
