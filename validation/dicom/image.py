"""An image as every other room sees it: values, spacing, unit, and tags that identify nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

Tag = str | float | int
Vector = tuple[float, float, float]

MAXIMUM_VOXELS = 2**30
"""Largest image that is read (4 GiB as float32); a header that declares more is refused before anything is decoded."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image or volume.

    Parameters
    ----------
    array
        float32, ``(rows, columns)`` or ``(slices, rows, columns)``, in ``unit``. Slices are ordered along the slice
        normal (DICOM) or as stored (arrays).
    spacing_mm
        Distance between neighbouring samples along each axis of ``array``, in mm; empty when it is not known.
        Along the slice axis it is the median distance measured along the normal.
    unit
        ``"HU"``, ``"Gy"``, ``"Bq/mL"`` ...; ``"1"`` for arbitrary units; empty when the file does not say.
    tags
        Acquisition description from the allow-list in :mod:`validation.dicom.tags`; never a name, date or identifier.
    warnings
        What a reader of the report should know: gantry tilt, variable spacing, padding, skipped files.
    regular
        False when slices are missing, unevenly spaced or sheared by gantry tilt, so that three-dimensional metrics
        would use a wrong geometry. Slice-wise metrics are unaffected.
    directions, origin_mm
        Unit vector of each array axis and position of the first voxel's centre, in the patient coordinate system of
        DICOM (x to the left, y to the back, z to the head); empty when unknown.
    files
        Files that were read.
    """

    array: npt.NDArray[np.float32]
    spacing_mm: tuple[float, ...]
    unit: str
    tags: dict[str, Tag] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    regular: bool = True
    directions: tuple[Vector, ...] = ()
    origin_mm: tuple[float, ...] = ()
    files: tuple[Path, ...] = ()
