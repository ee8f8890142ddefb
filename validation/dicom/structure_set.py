"""Masks as an RT Structure Set (PS3.3 A.19), and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation.dicom.contours import Polygon, filled, polygons_of
from validation.dicom.finishing import finish, save
from validation.dicom.headers import Header, read_dataset
from validation.dicom.sources import (
    Derivation,
    code_item,
    of_patient_and_study,
    ordered_headers,
    refused,
    source_datasets,
)
from validation.dicom.structures import Structure, structures_of
from validation.dicom.uids import derived_uid

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
PLANE_TOLERANCE_MM = 0.05
"""Largest distance of a contour from the plane of the slice that it lies on (decimal strings are rounded)."""


def write_structure_set(
    masks: Mapping[str, npt.NDArray[Any]],
    source: Sequence[Path],
    path: Path,
    how: Derivation,
    structures: Mapping[str, Structure] | None = None,
) -> Path:
    """Write masks as one RT Structure Set of closed planar contours along pixel edges, and return its path.

    Parameters and refusals are those of :func:`validation.dicom.segmentation.write_segmentation`; masks are boolean. A
    structure that is empty is listed without contours: a proposal that found nothing is told from one not made.
    """
    named = structures_of(masks, structures)
    if path.exists():
        raise refused("the file exists.", "DCM-033", path)
    if not all(np.isin(mask, (0, 1)).all() for _, mask in named):
        raise refused("a mask holds other values than 0 and 1.", "DCM-031", path)
    images = source_datasets(source, path, named[0][1].shape)
    first = images[0]
    identity = (how.digest, str(first.SeriesInstanceUID), *(known.label for known, _ in named))
    ds = _frame(first, how, identity)
    ds.ReferencedFrameOfReferenceSequence = [_references(images)]
    ds.StructureSetROISequence = []
    ds.ROIContourSequence = []
    ds.RTROIObservationsSequence = []
    for number, (known, mask) in enumerate(named, 1):
        roi, drawn, observation = _dataset(), _dataset(), _dataset()
        roi.ROINumber, roi.ROIName = number, known.label
        roi.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC" if how.edited_by_person else "AUTOMATIC"
        roi.ROIGenerationDescription = how.description[:64]
        ds.StructureSetROISequence.append(roi)
        drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, list(known.colour)
        contours = [
            _contour(polygon, image)
            for plane, image in zip(mask, images, strict=True)
            for polygon in polygons_of(plane != 0)
        ]
        if contours:
            drawn.ContourSequence = contours
        ds.ROIContourSequence.append(drawn)
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = known.interpretation, ""
        observation.RTROIIdentificationCodeSequence = [code_item(_code(known.type))]
        ds.RTROIObservationsSequence.append(observation)
    finish(ds, how, first)
    return save(ds, path)


def read_structure_set(path: Path, source: Sequence[Path]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the masks of an RT Structure Set on the grid of its source, by ROI name.

    A pixel belongs to a structure when its centre lies inside an odd number of its contours on that slice, so that a
    contour inside another is a hole. A structure without contours is an empty mask.

    Raises
    ------
    DataProblem
        DCM-035 if it is no structure set, refers to another frame of reference, holds contours that are not closed and
        planar, or that lie on no slice of the source; also if two structures share a name.
    """
    ds = read_dataset(path)
    if str(ds.get("SOPClassUID")) != RT_STRUCTURE_SET:
        raise refused("this file is not an RT Structure Set.", "DCM-035", path)
    headers = ordered_headers(source, path)
    frame = str(
        source_datasets(source, path, (len(headers), headers[0].rows, headers[0].columns))[0].FrameOfReferenceUID
    )
    rois = {int(roi.ROINumber): roi for roi in ds.get("StructureSetROISequence") or []}
    names = [str(roi.get("ROIName", "")) for roi in rois.values()]
    if len(set(names)) < len(names):
        raise refused("two structures share a name.", "DCM-035", path)
    shape = (headers[0].rows, headers[0].columns)
    masks = {name: np.zeros((len(headers), *shape), np.bool_) for name in names}
    for drawn in ds.get("ROIContourSequence") or []:
        roi = rois.get(int(drawn.ReferencedROINumber))
        contours = drawn.get("ContourSequence") or []
        if roi is None or (contours and str(roi.ReferencedFrameOfReferenceUID) != frame):
            raise refused("a contour belongs to no structure, or to another frame of reference.", "DCM-035", path)
        mask = masks[str(roi.get("ROIName", ""))]
        for contour in contours:
            k, polygon = _placed(contour, headers, path)
            mask[k] ^= filled([polygon], shape)
    return masks


def _placed(contour: Any, headers: Sequence[Header], path: Path) -> tuple[int, Polygon]:
    """Return the slice of a contour, and its corners in pixels."""
    kind = str(contour.get("ContourGeometricType", ""))
    values = np.array([float(v) for v in contour.get("ContourData") or []])
    if kind not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR") or values.size < 9 or values.size % 3:
        raise refused(f"a contour of the type {kind or 'unknown'} is not closed and planar.", "DCM-035", path)
    points = values.reshape(-1, 3)
    position, orientation, spacing = headers[0].position, headers[0].orientation, headers[0].pixel_spacing
    assert position is not None and orientation is not None and spacing is not None  # noqa: S101, PT018 - refused above
    across, down = np.array(orientation[0]), np.array(orientation[1])
    normal = np.cross(across, down)
    heights = np.array([np.dot(np.array(h.position) - position, normal) for h in headers])
    depths = (points - position) @ normal
    k = int(np.abs(heights - depths[0]).argmin())
    if not np.isfinite(points).all() or np.abs(depths - heights[k]).max() > PLANE_TOLERANCE_MM:
        raise refused("a contour lies on no slice of the source.", "DCM-035", path)
    offsets = points - np.array(headers[k].position)
    return k, np.stack([offsets @ down / spacing[0], offsets @ across / spacing[1]], axis=1)


def _contour(polygon: Polygon, image: Any) -> Any:
    across, down = np.split(np.array([float(v) for v in image.ImageOrientationPatient]), 2)
    origin = np.array([float(v) for v in image.ImagePositionPatient])
    row_mm, column_mm = (float(v) for v in image.PixelSpacing)
    points = origin + polygon[:, :1] * row_mm * down + polygon[:, 1:] * column_mm * across
    item, reference = _dataset(), _dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    item.ContourImageSequence = [reference]
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    item.ContourData = [f"{value:.5f}".rstrip("0").rstrip(".") for value in points.ravel()]
    return item


def _references(images: Sequence[Any]) -> Any:
    frame, study, series = _dataset(), _dataset(), _dataset()
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired but the one allowed
    study.ReferencedSOPInstanceUID = images[0].StudyInstanceUID
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ContourImageSequence = []
    for image in images:
        item = _dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        series.ContourImageSequence.append(item)
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    return frame


def _frame(source: Any, how: Derivation, identity: Sequence[str]) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    ds = of_patient_and_study(source)
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = RT_STRUCTURE_SET
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = derived_uid("rtstruct", *identity)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SeriesInstanceUID = derived_uid("rtstruct-series", *identity)
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "RTSTRUCT", how.series_number + 2, 1
    ds.SeriesDescription, ds.OperatorsName = how.series_description[:64], ""
    ds.Manufacturer, ds.ManufacturerModelName = how.manufacturer, how.model_name
    ds.SoftwareVersions = how.software_version
    ds.FrameOfReferenceUID = source.FrameOfReferenceUID
    ds.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")
    ds.StructureSetLabel, ds.StructureSetName = "MODEL", how.series_description[:64]
    ds.StructureSetDescription = how.description[:1024]
    ds.StructureSetDate, ds.StructureSetTime = how.moment.strftime("%Y%m%d"), how.moment.strftime("%H%M%S")
    ds.ApprovalStatus = "UNAPPROVED"
    return ds


def _dataset() -> Any:
    from pydicom.dataset import Dataset

    return Dataset()


def _code(triple: tuple[str, str, str]) -> Any:
    from pydicom.sr.coding import Code

    return Code(*triple)
