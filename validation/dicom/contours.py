"""Masks as polygons along pixel edges, and polygons as masks.

A polygon along pixel edges encloses exactly the area of its pixels, so that volumes survive, and filling it at pixel
centres gives the mask back bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Polygon = npt.NDArray[np.float64]
"""Corners ``(n, 2)``: row and column in pixels; pixel centres are whole numbers, so corners of pixels are halves."""

_RIGHT = {(0, 1): (1, 0), (1, 0): (0, -1), (0, -1): (-1, 0), (-1, 0): (0, 1)}  # clockwise in an image


def polygons_of(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Return one closed polygon per region of a two-dimensional mask (pixels that touch at an edge).

    Holes are joined to their outline by a channel of no width, the "keyhole" of PS3.3 C.8.8.6, so that a region is one
    contour for every reader.

    >>> polygons_of(np.array([[True, True], [False, False]]))[0].tolist()
    [[-0.5, -0.5], [-0.5, 1.5], [0.5, 1.5], [0.5, -0.5]]
    """
    from scipy import ndimage

    if not mask.any():
        return []
    labels, count = ndimage.label(mask)
    outlines: list[list[Polygon]] = [[] for _ in range(count)]
    holes: list[list[Polygon]] = [[] for _ in range(count)]
    for loop, label in _loops(mask, labels):
        (outlines if _area(loop) > 0 else holes)[label - 1].append(loop)
    return [_joined(outline, inner) for (outline,), inner in zip(outlines, holes, strict=True)]


def filled(polygons: Iterable[Polygon], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask of pixels whose centre lies inside an odd number of polygons.

    >>> mask = np.array([[True, True, True], [True, False, True], [True, True, True]])
    >>> bool((filled(polygons_of(mask), (3, 3)) == mask).all())
    True
    """
    rows, columns = shape
    flips = np.zeros((rows, columns + 1), np.int64)
    for polygon in polygons:
        ends = np.roll(polygon, -1, axis=0)
        swap = (polygon[:, 0] > ends[:, 0])[:, None]
        low, high = np.where(swap, ends, polygon), np.where(swap, polygon, ends)
        first = np.clip(np.ceil(low[:, 0]), 0, rows).astype(np.int64)
        last = np.clip(np.ceil(high[:, 0]), 0, rows).astype(np.int64)  # rows with low <= row < high
        lengths = last - first
        edges = np.repeat(np.arange(len(polygon)), lengths)
        row = first[edges] + (np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths))
        slope = (high[:, 1] - low[:, 1]) / np.where(high[:, 0] == low[:, 0], 1.0, high[:, 0] - low[:, 0])
        crossing = low[edges, 1] + (row - low[edges, 0]) * slope[edges]
        np.add.at(flips, (row, np.clip(np.ceil(crossing), 0, columns).astype(np.int64)), 1)
    inside: npt.NDArray[np.bool_] = np.cumsum(flips, axis=1)[:, :columns] % 2 == 1
    return inside


def _loops(mask: npt.NDArray[np.bool_], labels: npt.NDArray[np.int32]) -> Iterable[tuple[Polygon, int]]:
    """Yield closed chains of pixel edges with the pixel on the right-hand side, and the label of that pixel."""
    padded = np.pad(mask, 1)
    core = padded[1:-1, 1:-1]
    leaving: dict[tuple[int, int], list[tuple[tuple[int, int], int]]] = {}
    for neighbour, begin, step in (
        (padded[:-2, 1:-1], (0, 0), (0, 1)),  # above: the edge runs right
        (padded[1:-1, 2:], (0, 1), (1, 0)),  # right: down
        (padded[2:, 1:-1], (1, 1), (0, -1)),  # below: left
        (padded[1:-1, :-2], (1, 0), (-1, 0)),  # left: up
    ):
        for r, c in np.argwhere(core & ~neighbour).tolist():
            leaving.setdefault((r + begin[0], c + begin[1]), []).append((step, int(labels[r, c])))
    while leaving:
        start = next(iter(leaving))
        step, label = leaving[start][0]
        first, place, turned = step, start, None
        corners: list[tuple[float, float]] = []
        while True:
            ways = leaving[place]
            if turned is not None:  # where two regions touch at a corner, stay with the pixel on the right
                step = _RIGHT[turned] if any(way == _RIGHT[turned] for way, _ in ways) else ways[0][0]
            ways.remove(next(way for way in ways if way[0] == step))
            if not ways:
                del leaving[place]
            if step != turned:
                corners.append((place[0] - 0.5, place[1] - 0.5))
            place, turned = (place[0] + step[0], place[1] + step[1]), step
            if place == start and (start not in leaving or _RIGHT[step] == first):
                break
        yield np.array(corners), label


def _area(loop: Polygon) -> float:
    """Return the signed area: positive for outlines, which run clockwise in an image."""
    rows, columns = loop[:, 0], loop[:, 1]
    return float(np.sum(columns * np.roll(rows, -1) - np.roll(columns, -1) * rows)) / 2


def _joined(outline: Polygon, holes: list[Polygon]) -> Polygon:
    """Return one polygon that runs along the outline and, through channels of no width, along every hole."""
    from scipy.spatial import cKDTree

    joined = outline
    for hole in sorted(holes, key=lambda h: float(h[:, 1].min())):
        distances, nearest = cKDTree(joined).query(hole)
        to = int(distances.argmin())
        at = int(nearest[to])
        around = np.roll(hole, -to, axis=0)
        joined = np.concatenate([joined[: at + 1], around, around[:1], joined[at:]])
    keep = [k for k, (a, b) in enumerate(pairwise([*joined, joined[0]])) if not np.array_equal(a, b)]
    return np.asarray(joined[keep])
