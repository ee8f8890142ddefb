"""Where slices lie: order along the normal, distances, gantry tilt, missing and doubled slices.

Instance numbers are not used: they are free text in practice. A slice's place is the projection of Image Position
(Patient) on the normal, the cross product of the row and column directions (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from validation.dicom.image import Vector
from validation.errors import DataProblem

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of direction cosines within one series (0.06 degrees)."""
DISTANCE_TOLERANCE = 0.01
"""Relative deviation from the median distance above which slices are unevenly spaced (PS3.3 positions are rounded)."""
TILT_TOLERANCE_DEG = 0.1


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices put in order: ``order`` indexes the input, ``spacing_mm`` is the median distance along the normal."""

    order: tuple[int, ...]
    spacing_mm: float | None
    directions: tuple[Vector, ...]
    origin_mm: Vector
    warnings: tuple[str, ...]
    regular: bool


def stack(
    positions: npt.NDArray[np.float64],
    orientations: npt.NDArray[np.float64],
    *,
    declared_tilt_deg: float,
    where: str,
) -> Stack:
    """Order slices by position along their normal and describe the geometry.

    Parameters
    ----------
    positions
        ``(n, 3)``, mm.
    orientations
        ``(n, 6)``, row then column direction cosines.
    declared_tilt_deg
        Gantry/Detector Tilt as the header states it, in degrees.

    Raises
    ------
    DataProblem
        If orientations differ within the series (DCM-010) or two slices share a position (DCM-011).
    """
    rows, columns = orientations[0, :3], orientations[0, 3:]
    if not np.abs(orientations - orientations[0]).max() <= ORIENTATION_TOLERANCE:  # NaN is refused too
        raise DataProblem(
            "slices of this series have different orientations.",
            code="DCM-010",
            where=where,
            why="They do not form one volume.",
            action="Split scout views and reformats into series of their own.",
        )
    normal = np.cross(rows, columns)
    length = float(np.linalg.norm(normal))
    lengths = (length, float(np.linalg.norm(rows)), float(np.linalg.norm(columns)))
    if not all(abs(size - 1) <= 0.01 for size in lengths) or not np.isfinite(positions).all():
        raise DataProblem(
            "the direction cosines are not two perpendicular unit vectors, or a position is not a number.",
            code="DCM-010",
            where=where,
            why="The order and distance of slices cannot be computed.",
            action="Export the series again.",
        )
    along = positions @ (normal / length)
    order = np.argsort(along, kind="stable")
    warnings: list[str] = []
    regular = True
    spacing: float | None = None
    if len(order) > 1:
        distances = np.diff(along[order])
        spacing = round(float(np.median(distances)), 6)  # positions are decimal strings
        if distances.min() <= 1e-3:
            raise DataProblem(
                f"{int((distances <= 1e-3).sum()) + 1} slices share one position.",
                code="DCM-011",
                where=where,
                why="Two acquisitions or phases are mixed, or slices are doubled.",
                action="Give each acquisition its own series.",
            )
        uneven = np.abs(distances - spacing) > max(DISTANCE_TOLERANCE * spacing, 0.005)
        if uneven.any():
            regular = False
            ratio = distances / distances.min()
            whole = np.abs(ratio - np.round(ratio)).max() < 0.05
            if whole and float(np.median(ratio)) < 1.5:
                missing = int(np.round(distances / spacing).sum() - len(distances))
                warnings.append(f"{missing} slice(s) are missing: gaps are whole multiples of {spacing:.3g} mm")
            else:
                warnings.append(f"variable slice spacing: {distances.min():.3g} to {distances.max():.3g} mm")
        steps = np.diff(positions[order], axis=0)
        cosines = np.abs(steps @ (normal / length)) / np.linalg.norm(steps, axis=1)
        shear = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
        if shear > TILT_TOLERANCE_DEG:
            regular = False
            stated = f" (gantry tilt {declared_tilt_deg:g} degrees in the header)" if declared_tilt_deg else ""
            warnings.append(f"slices are stacked at {shear:.1f} degrees to their normal{stated}: the volume is sheared")
        elif abs(declared_tilt_deg) > TILT_TOLERANCE_DEG:
            warnings.append(f"gantry tilt {declared_tilt_deg:g} degrees in the header, but positions follow the normal")
    elif abs(declared_tilt_deg) > TILT_TOLERANCE_DEG:
        warnings.append(f"gantry tilt {declared_tilt_deg:g} degrees")
    return Stack(
        order=tuple(int(i) for i in order),
        spacing_mm=spacing,
        directions=(_vector(normal / length), _vector(columns), _vector(rows)),
        origin_mm=_vector(positions[order[0]]),
        warnings=tuple(warnings),
        regular=regular,
    )


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    x, y, z = (float(v) for v in values)
    return x, y, z
