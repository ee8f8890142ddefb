"""Enhanced multi-frame images: geometry and rescale of every frame from the functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from validation.dicom.geometry import stack
from validation.dicom.headers import Header, number_of, read_dataset, unit_of
from validation.dicom.image import Image
from validation.dicom.pixels import check_finite, decode, rescale, truncated
from validation.dicom.tags import acquisition_tags
from validation.errors import DataProblem


def _group(ds: Any, frame: int, sequence: str) -> Any:
    """Return the item of a functional group for a frame: its own, else the shared one, else None."""
    for holder in (ds.PerFrameFunctionalGroupsSequence[frame], *ds.get("SharedFunctionalGroupsSequence", [])[:1]):
        items = holder.get(sequence)
        if items:
            return items[0]
    return None


def read_multiframe(header: Header, warnings: tuple[str, ...]) -> Image:
    """Read a multi-frame file as a volume ``(frames, rows, columns)``, frames ordered by position.

    A file without functional groups (classic multi-frame) keeps its stored order and states no slice distance.

    Raises
    ------
    DataProblem
        If frames lack positions (DCM-014), differ in unit (DCM-012) or spacing (DCM-013), or do not stack.
    """
    ds = read_dataset(header.path)
    where = str(header.path)
    stored = decode(ds, header.path)
    if stored.size != header.frames * header.rows * header.columns:
        raise truncated(header.path, f": they decode to shape {stored.shape}")
    stored = stored.reshape((header.frames, header.rows, header.columns))
    if not header.enhanced:
        values = rescale(stored, header.slope, header.intercept)
        check_finite(values, where)
        return Image(
            array=values,
            spacing_mm=(),
            unit=header.unit,
            tags=header.tags,
            warnings=(*warnings, "multi-frame file without frame positions: order as stored, spacing unknown"),
            regular=False,
            files=(header.path,),
        )
    if len(ds.PerFrameFunctionalGroupsSequence) != header.frames:
        raise _unplaced("functional groups and frames differ in number.", where)
    volume = np.empty(stored.shape, np.float32)
    try:
        positions, orientations, spacings, units = _frames(
            ds, header, stored, volume := np.empty(stored.shape, np.float32)
        )
    except (AttributeError, TypeError, ValueError, IndexError):
        raise _unplaced("a frame does not state its position, orientation or pixel spacing.", where) from None
    check_finite(volume, where)
    if len(set(units)) > 1:
        raise DataProblem(
            f"frames have different units: {', '.join(sorted(set(units)))}.",
            code="DCM-012",
            where=where,
            why="Values in different units cannot be measured together.",
            action="Separate the frames into files of one kind.",
        )
    if len(set(spacings)) > 1:
        raise DataProblem(
            "frames differ in pixel spacing.",
            code="DCM-013",
            where=where,
            why="They do not form one volume.",
            action="Separate the frames into files of one kind.",
        )
    geometry = stack(np.array(positions), np.array(orientations), declared_tilt_deg=header.tilt, where=where)
    tags = dict(header.tags)
    for name in (
        "PixelMeasures",
        "CTReconstruction",
        "CTXRayDetails",
        "CTExposure",
        "CTGeometry",
        "MRTimingAndRelatedParameters",
    ):
        item = _group(ds, 0, f"{name}Sequence")
        if item is not None:
            tags = {**acquisition_tags(item), **tags}
    row, column = spacings[0]
    single = header.frames == 1
    if not single and geometry.spacing_mm is None:
        raise _unplaced("frames do not form a volume.", where)
    return Image(
        array=volume[0] if single else volume[list(geometry.order)],
        spacing_mm=(row, column) if single or geometry.spacing_mm is None else (geometry.spacing_mm, row, column),
        unit=units[0],
        tags=tags,
        warnings=(*warnings, *geometry.warnings),
        regular=geometry.regular,
        directions=geometry.directions[1:] if single else geometry.directions,
        origin_mm=geometry.origin_mm,
        files=(header.path,),
    )


def _frames(
    ds: Any, header: Header, stored: npt.NDArray[Any], volume: npt.NDArray[np.float32]
) -> tuple[list[list[float]], list[list[float]], list[tuple[float, float]], list[str]]:
    """Rescale every frame into ``volume``; return positions, orientations, pixel spacings and units."""
    positions, orientations, spacings, units = [], [], [], []
    for frame in range(header.frames):
        place, plane, measures, transform = (
            _group(ds, frame, f"{name}Sequence")
            for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures", "PixelValueTransformation")
        )
        x, y, z = (float(v) for v in place.ImagePositionPatient)
        row, column = (float(v) for v in measures.PixelSpacing)
        cosines = [float(v) for v in plane.ImageOrientationPatient]
        if len(cosines) != 6 or not min(row, column) > 0:
            raise ValueError("not an orientation or spacing")
        positions.append([x, y, z])
        orientations.append(cosines)
        spacings.append((row, column))
        if transform is None:
            units.append(header.unit)
            volume[frame] = rescale(stored[frame], header.slope, header.intercept)
        else:
            transform.Modality = ds.get("Modality")
            units.append(unit_of(transform))
            slope, intercept = number_of(transform, "RescaleSlope"), number_of(transform, "RescaleIntercept")
            volume[frame] = rescale(stored[frame], slope, intercept)
    return positions, orientations, spacings, units


def _unplaced(what: str, where: str) -> DataProblem:
    return DataProblem(
        what,
        code="DCM-014",
        where=where,
        why="The order of frames cannot be established.",
        action="Export the image with its functional groups.",
    )
