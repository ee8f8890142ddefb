"""Masks as DICOM Segmentation objects (PS3.3 A.51), and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation.dicom.finishing import finish, save
from validation.dicom.headers import read_dataset
from validation.dicom.sources import Derivation, ordered_headers, refused, source_datasets
from validation.dicom.structures import Structure, structures_of
from validation.dicom.uids import derived_uid


def write_segmentation(
    masks: Mapping[str, npt.NDArray[Any]],
    source: Sequence[Path],
    path: Path,
    how: Derivation,
    structures: Mapping[str, Structure] | None = None,
) -> Path:
    """Write masks as one Segmentation object that refers to its source images, and return its path.

    Parameters
    ----------
    masks
        By label, ``(slices, rows, columns)`` in order of position as :func:`validation.dicom.series.read_series`, or
        ``(rows, columns)`` for one slice. Boolean masks make a BINARY segmentation, which may overlap; if all are
        floating point in [0, 1], a FRACTIONAL one of probabilities in 256 steps.
    source
        Single-frame files of the series that was segmented.
    path
        New file; an existing one is refused (DCM-033).
    how
        Origin. ``edited_by_person`` makes the algorithm type SEMIAUTOMATIC.
    structures
        Codes by label; labels without an entry are looked up by name.

    Raises
    ------
    DataProblem
        DCM-030 (shape), DCM-031 (values), DCM-032 (source), DCM-014 (no geometry), DCM-033 (file exists).
    UsageProblem
        DCM-034 (labels).
    """
    import highdicom as hd
    from pydicom.sr.coding import Code

    named = structures_of(masks, structures)
    if path.exists():
        raise refused("the file exists.", "DCM-033", path)
    images = source_datasets(source, path, named[0][1].shape)
    pixels, kind = _stack([mask for _, mask in named], path)
    algorithm = hd.AlgorithmIdentificationSequence(
        name=how.model_name,
        family=Code("123110", "DCM", "Artificial Intelligence"),
        version=how.software_version,
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=known.label,
            segmented_property_category=Code(*known.category),
            segmented_property_type=Code(*known.type),
            algorithm_type="SEMIAUTOMATIC" if how.edited_by_person else "AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_id=known.label,
            tracking_uid=derived_uid("segment", how.digest, str(images[0].SeriesInstanceUID), known.label),
            display_color=hd.color.CIELabColor.from_rgb(*known.colour),
        )
        for number, (known, _) in enumerate(named, 1)
    ]
    series = str(images[0].SeriesInstanceUID)
    identity = (how.digest, series, kind, *(known.label for known, _ in named))
    made = hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=derived_uid("seg-series", *identity),
        series_number=how.series_number + 1,
        sop_instance_uid=derived_uid("seg", *identity),
        instance_number=1,
        manufacturer=how.manufacturer,
        manufacturer_model_name=how.model_name,
        software_versions=how.software_version,
        device_serial_number=how.digest[:16],
        omit_empty_frames=bool(pixels.any()),
        content_label="SEGMENTATION",
        content_description=how.description[:64],
        content_creator_name="",
        series_description=how.series_description[:64],
    )
    organisation = derived_uid("dimensions", *identity)  # random otherwise; writing again gives the same
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    finish(made, how, images[0])
    return save(made, path)


def read_segmentation(path: Path, source: Sequence[Path]) -> dict[str, npt.NDArray[Any]]:
    """Return the masks of a Segmentation object on the grid of its source, by segment label.

    Frames are placed by the images they name and, where they name none, by position. BINARY segmentations give bool,
    FRACTIONAL ones float32 in [0, 1], both ``(slices, rows, columns)`` in order of position.

    Raises
    ------
    DataProblem
        DCM-035 if it is no Segmentation, or does not lie on the grid of the source.
    """
    import highdicom as hd

    ds = read_dataset(path)
    if str(ds.get("SOPClassUID")) != "1.2.840.10008.5.1.4.1.1.66.4":
        raise refused("this file is not a Segmentation.", "DCM-035", path)
    headers = ordered_headers(source, path)
    segmentation = hd.seg.Segmentation.from_dataset(ds, copy=False)
    if (segmentation.Rows, segmentation.Columns) != (headers[0].rows, headers[0].columns):
        raise refused("the segmentation lies on another grid than the source.", "DCM-035", path)
    uids = [h.sop_uid for h in headers]
    known = {str(u[2]) for u in segmentation.get_source_image_uids()}
    if not known <= set(uids):
        raise refused("the segmentation was made from other images than the source.", "DCM-035", path)
    stack = segmentation.get_pixels_by_source_instance(
        source_sop_instance_uids=uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    fractional = segmentation.segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL
    return {
        segmentation.get_segment_description(number).segment_label: np.asarray(
            stack[..., k], np.float32 if fractional else np.bool_
        )
        for k, number in enumerate(segmentation.segment_numbers)
    }


def _stack(masks: Sequence[npt.NDArray[Any]], where: Path) -> tuple[npt.NDArray[Any], str]:
    """Return masks along a last axis, and the type of segmentation."""
    if all(mask.dtype.kind == "f" for mask in masks):
        stacked = np.stack([np.asarray(mask, np.float32) for mask in masks], axis=-1)
        if not np.isfinite(stacked).all() or stacked.min() < 0 or stacked.max() > 1:
            raise refused("a mask of probabilities holds values outside 0 to 1.", "DCM-031", where)
        return stacked, "FRACTIONAL"
    for mask in masks:
        if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
            raise refused("a mask holds other values than 0 and 1.", "DCM-031", where)
    return np.stack([np.asarray(mask != 0, np.uint8) for mask in masks], axis=-1), "BINARY"
