"""Real CT series in a zip archive: read them safely, and write a changed slice as a derived DICOM instance."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from .dicom import uid

MAXIMUM_BYTES = 8_000_000


@dataclass(frozen=True)
class Slice:
    """A slice of a real series: its bytes as they came, its dataset, and its pixels in HU."""

    data: bytes
    dataset: FileDataset
    image: np.ndarray
    z_mm: float


def shared_folder(script: Path) -> Path:
    """Return the folder of shared data: ``$VALIDATION_SHARED``, or ``shared`` beside the checkout; else exit."""
    named = os.environ.get("VALIDATION_SHARED")
    folder = Path(named) if named else script.resolve().parents[3] / "shared"
    if not (folder / "data" / "imaging").is_dir():
        sys.exit("no shared data: set VALIDATION_SHARED to the folder that holds data/imaging")
    return folder


def read_series(archive: Path) -> list[Slice]:
    """Return the CT slices in a zip archive, by position; other files in it (directories, RT objects) are left out.

    Members are read in memory, never unpacked to their own paths, and refused above 8 MB.
    """
    return sorted(_slices(archive), key=lambda s: s.z_mm)


def _slices(archive: Path) -> Iterator[Slice]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.is_dir() or member.file_size > MAXIMUM_BYTES:
                continue
            data = opened.read(member)
            try:
                dataset = pydicom.dcmread(io.BytesIO(data))
            except InvalidDicomError:
                continue
            if dataset.get("Modality") != "CT" or "PixelData" not in dataset:
                continue
            slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
            image = dataset.pixel_array.astype(np.float32) * slope + intercept
            yield Slice(data, dataset, image, float(dataset.ImagePositionPatient[2]))


def write_reference(path: Path, part: Slice) -> None:
    """Write the untouched scan, byte for byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(part.data)


def write_reduced(path: Path, part: Slice, noise_hu: np.ndarray, fraction: float, patient_id: str) -> None:
    """Write the slice with noise added, as a derived instance with UIDs of its own and its exposure scaled.

    Padding outside the reconstruction circle stays as it is.
    """
    ds = pydicom.dcmread(io.BytesIO(part.data))
    slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    kind = np.int16 if ds.PixelRepresentation else np.uint16
    padding = part.image < -1100
    stored = np.rint((part.image + np.where(padding, 0.0, noise_hu) - intercept) / slope)
    limits = (
        (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1)
        if ds.PixelRepresentation
        else (0, 2**ds.BitsStored - 1)
    )
    ds.PixelData = np.clip(stored, *limits).astype(kind).tobytes()
    ds.remove_private_tags()
    for name in ("SmallestImagePixelValue", "LargestImagePixelValue", "SourceImageSequence", "ReferencedImageSequence"):
        if name in ds:
            delattr(ds, name)
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    source = (str(part.dataset.SOPInstanceUID), f"{fraction:g}")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("inserted", *source)
    ds.SeriesInstanceUID = uid("inserted", str(part.dataset.SeriesInstanceUID), f"{fraction:g}")
    ds.SeriesDescription = f"Noise inserted, {fraction:.0%} of dose"
    ds.DerivationDescription = "Reduced dose simulated by noise insertion in the image domain"
    ds.PatientName, ds.PatientID = "", patient_id
    for name in ("Exposure", "XRayTubeCurrent"):
        if ds.get(name) not in (None, ""):
            setattr(ds, name, max(1, round(float(ds[name].value) * fraction)))
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
