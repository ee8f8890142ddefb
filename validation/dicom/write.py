"""Writing what a model made as a DICOM series that nobody can take for an acquisition.

The new series belongs to the patient and study of its source, so it holds the source's identifiers: it is for a PACS or
a reading workstation, never for the evidence folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation.dicom.finishing import save
from validation.dicom.headers import header_of, read_dataset
from validation.dicom.sources import Derivation, code_item, complete, ordered_headers, refused
from validation.dicom.uids import derived_uid

# Attributes of the source that do not describe the new pixels
_DROPPED = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "IconImageSequence",
    "ModalityLUTSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "ReferencedImageSequence",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "InstanceCreatorUID",
    "FloatPixelData",
    "DoubleFloatPixelData",
)


def write_series(array: npt.NDArray[np.float32], source: Sequence[Path], folder: Path, how: Derivation) -> list[Path]:
    """Write an image as a derived series and return its files, in order of position.

    Parameters
    ----------
    array
        Values in the unit of the source, ``(slices, rows, columns)`` ordered like
        :func:`validation.dicom.series.read_series`, or ``(rows, columns)`` for one slice. Stored as 16-bit integers
        with the source's slope and intercept: the rounding error is at most half a slope.
    source
        Single-frame files that the image was made from, one per slice.
    folder
        New folder to write to.
    how
        Origin of the pixels. Image Type becomes DERIVED/SECONDARY; general equipment is the model's, the scanner
        moves to Contributing Equipment (109101, DCM, Acquisition Equipment); Source Image Sequence names each source.

    Raises
    ------
    DataProblem
        If shapes differ (DCM-030), values are not finite or do not fit 16 bits (DCM-031), the source is multi-frame
        (DCM-032), or the folder holds files (DCM-033).
    """
    ordered = ordered_headers(source, folder)
    volume = array[None] if array.ndim == 2 else array
    expected = (len(ordered), ordered[0].rows, ordered[0].columns)
    if volume.shape != expected:
        raise refused(f"the image has shape {volume.shape}, its source {expected}.", "DCM-030", folder)
    if folder.exists() and any(folder.iterdir()):
        raise refused("the folder is not empty.", "DCM-033", folder)
    stored = [_store(volume[i], h.slope, h.intercept, folder) for i, h in enumerate(ordered)]
    written = []
    for i, (header, pixels) in enumerate(zip(ordered, stored, strict=True)):
        ds = read_dataset(header.path)
        _derive(ds, how, number=i + 1)
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 1, 1
        ds.add_new("PixelData", "OW", pixels.tobytes())
        path = save(ds, folder / f"{i + 1:04d}.dcm")
        if header_of(read_dataset(path), path) is None:
            raise refused("a written file cannot be read back.", "DCM-031", path)
        written.append(path)
    return written


def _derive(ds: Any, how: Derivation, *, number: int) -> None:
    """Turn the dataset of a source slice into that of the derived slice, pixels aside."""
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    complete(ds)
    sop, series, series_number = str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID), ds.get("SeriesNumber")
    ds.remove_private_tags()
    for keyword in _DROPPED:
        if keyword in ds:
            delattr(ds, keyword)
    for element in [e for e in ds if e.tag.group & 0xFF00 in (0x5000, 0x6000)]:  # curves and overlays
        del ds[element.tag]

    acquisition = Dataset()
    for keyword in (
        "Manufacturer",
        "ManufacturerModelName",
        "SoftwareVersions",
        "InstitutionName",
        "DeviceSerialNumber",
    ):
        if ds.get(keyword):
            setattr(acquisition, keyword, ds.get(keyword))
            if keyword != "InstitutionName":
                delattr(ds, keyword)
    acquisition.Manufacturer = acquisition.get("Manufacturer") or "unknown"
    acquisition.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.AcquisitionEquipment)]
    ds.ContributingEquipmentSequence = [
        *ds.get("ContributingEquipmentSequence", []),
        acquisition,
        how.equipment(),
    ]
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = (
        how.manufacturer,
        how.model_name,
        how.software_version,
    )

    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = ds.SOPClassUID, sop
    image.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    ds.SourceImageSequence = [image]
    kind = list(ds.get("ImageType") or [])
    ds.ImageType = ["DERIVED", "SECONDARY", *kind[2:]] if len(kind) > 2 else ["DERIVED", "SECONDARY", "AXIAL"]
    ds.DerivationDescription = how.description[:1024]
    if how.synthetic:
        ds.SyntheticData = "YES"
    ds.SOPInstanceUID = derived_uid("instance", how.digest, sop)
    ds.SeriesInstanceUID = derived_uid("series", how.digest, series)
    ds.SeriesDescription = how.series_description[:64]
    ds.SeriesNumber = how.series_number if series_number in (None, "") else how.series_number + int(series_number)
    ds.InstanceNumber = number
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _store(
    values: npt.NDArray[np.float32], slope: float | None, intercept: float | None, where: Path
) -> npt.NDArray[np.int16]:
    if not np.isfinite(values).all():
        raise refused("the image holds values that are not finite.", "DCM-031", where)
    stored = np.rint((values.astype(np.float64) - (intercept or 0.0)) / (slope or 1.0))
    if stored.min() < -32768 or stored.max() > 32767:
        raise refused("values do not fit 16 bits with the slope and intercept of the source.", "DCM-031", where)
    return stored.astype("<i2")
