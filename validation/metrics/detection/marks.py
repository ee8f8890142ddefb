"""Marks of a free-response system and lesions of the truth, and which mark hits which lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from validation.errors import DataProblem

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Marks:
    """The marks of one case.

    ``ratings`` (m,), higher means more suspicious. Either ``positions`` (m, ndim) in voxel indices of the input, or
    ``lesions``: the name of the lesion that each mark hits, empty for a false mark, where the marks were matched
    elsewhere.
    """

    ratings: Floats
    positions: Floats | None = None
    lesions: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Lesion:
    """A lesion of the truth: its ``name`` within the case, and where it is.

    ``points`` (n, ndim) are voxel indices: the voxels of the lesion, or its centre with a ``radius_mm``; ``None`` where
    marks were matched elsewhere. ``size_ml`` may be unknown.
    """

    name: str
    points: Floats | None = None
    radius_mm: float = 0.0
    size_ml: float | None = None


def lesions_of_mask(mask: npt.NDArray[np.bool_], spacing_mm: Sequence[float]) -> tuple[Lesion, ...]:
    """Return the connected components (face, edge and corner neighbours) of a mask as lesions, in order of position.

    >>> mask = np.zeros((4, 8), bool); mask[1, 1:3] = mask[2, 6] = True
    >>> [(lesion.name, len(lesion.points)) for lesion in lesions_of_mask(mask, (1.0, 1.0))]
    [('1', 2), ('2', 1)]
    """
    from scipy import ndimage

    labelled, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    voxel_ml = float(np.prod(spacing_mm)) / 1000 if len(spacing_mm) == mask.ndim else None
    found = []
    for number in range(1, count + 1):
        points = np.argwhere(labelled == number).astype(np.float64)
        size = None if voxel_ml is None else len(points) * voxel_ml
        found.append(Lesion(name=str(number), points=points, size_ml=size))
    return tuple(found)


def match(
    marks: Marks, lesions: Sequence[Lesion], spacing_mm: Sequence[float], *, tolerance_mm: float
) -> tuple[dict[str, float], list[float]]:
    """Return the highest rating of a mark on each lesion that was hit, and the ratings of false marks.

    A mark hits the lesion whose nearest point lies within its radius plus the tolerance; of several, the nearest. A
    second mark on a lesion counts neither as a find nor as false.

    Raises
    ------
    DataProblem
        If a mark names a lesion that the case does not have, or places or spacing are not known (MET-032).
    """
    names = [lesion.name for lesion in lesions]
    best: dict[str, float] = {}
    false: list[float] = []
    for number, rating in enumerate(marks.ratings.tolist()):
        if marks.lesions is not None:
            hit = marks.lesions[number]
            if hit and hit not in names:
                raise _unmatched("a mark names a lesion that the case does not have")
        else:
            hit = _nearest(marks, number, lesions, spacing_mm, tolerance_mm)
        if hit:
            best[hit] = max(best.get(hit, -np.inf), rating)
        else:
            false.append(rating)
    return best, false


def _nearest(
    marks: Marks, number: int, lesions: Sequence[Lesion], spacing_mm: Sequence[float], tolerance_mm: float
) -> str:
    if not lesions:
        return ""
    if marks.positions is None:
        raise _unmatched("marks state neither a position nor the lesion that they hit")
    place = marks.positions[number]
    found: list[tuple[float, str]] = []
    for lesion in lesions:
        if lesion.points is None or lesion.points.shape[1] != len(place):
            raise _unmatched("a lesion has no position, or one of other dimensions than the mark")
        if len(spacing_mm) != len(place):
            raise _unmatched("the spacing of the image is not known, so that distances cannot be measured")
        distance = float(np.sqrt((((lesion.points - place) * np.asarray(spacing_mm)) ** 2).sum(axis=1)).min())
        if distance <= lesion.radius_mm + tolerance_mm:
            found.append((distance, lesion.name))
    return min(found)[1] if found else ""


def _unmatched(what: str) -> DataProblem:
    return DataProblem(
        f"{what}.",
        code="MET-032",
        where="marks",
        why="A mark that belongs nowhere can be counted neither as a find nor as false.",
        action="Make the names and places of marks and lesions agree.",
    )
