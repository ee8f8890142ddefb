"""Small DICOM files made with pydicom, with one trap each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

Edit = Callable[[int, pydicom.Dataset], None]


def stored(index: int, rows: int = 40, columns: int = 48) -> np.ndarray:
    """Return values that tell slices, rows and columns apart."""
    return (1000 * index + np.arange(rows * columns).reshape(rows, columns)).astype(np.int16)


def base(series: str, sop_class: str = CTImageStorage) -> pydicom.Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = pydicom.Dataset()
    ds.file_meta = meta
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.SeriesInstanceUID = series
    ds.StudyInstanceUID, ds.FrameOfReferenceUID = f"{series[:60]}.1", f"{series[:60]}.2"
    ds.StudyTime, ds.ReferringPhysicianName, ds.StudyID = "101112", "", ""
    ds.SeriesNumber, ds.AcquisitionNumber, ds.PatientPosition = 1, 1, "HFS"
    ds.PositionReferenceIndicator = ""
    ds.BodyPartExamined = "ABDOMEN"
    ds.PatientName = "Secret^Name"
    ds.PatientID = "SECRET-ID"
    ds.PatientBirthDate = "19500101"
    ds.StudyDate = "20240102"
    ds.AccessionNumber = "SECRET-ACC"
    ds.InstitutionName = "SECRET-HOSPITAL"
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Manufacturer = "SIEMENS"
    ds.KVP = "120"
    ds.ConvolutionKernel = "B30f"
    ds.SliceThickness = "5"
    ds.PatientSex = "F"
    ds.PatientAge = "061Y"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    return ds


def write_series(
    folder: Path,
    *,
    n: int = 4,
    spacing: float = 2.5,
    slope: float = 2.0,
    intercept: float = -1024.0,
    edit: Edit | None = None,
    series: str | None = None,
    syntax: str = "",
) -> str:
    """Write a CT series whose file names and instance numbers run against slice order; return its UID."""
    folder.mkdir(parents=True, exist_ok=True)
    series = series or generate_uid()
    for i in range(n):
        ds = base(series)
        pixels = stored(i)
        ds.Rows, ds.Columns = pixels.shape
        ds.InstanceNumber = (7 * i) % n + 1
        ds.PixelSpacing = ["0.5", "0.75"]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-10, -20, -30 + spacing * i]
        ds.RescaleSlope, ds.RescaleIntercept = str(slope), str(intercept)
        ds.PixelData = pixels.tobytes()
        if syntax:
            ds.compress(syntax)
        if edit is not None:
            edit(i, ds)
        ds.save_as(folder / f"{n - i:03d}.dcm", enforce_file_format=True)
    return series


def write_enhanced(path: Path, *, order: tuple[int, ...] = (2, 0, 1), unit: str = "HU") -> None:
    """Write an enhanced CT whose frames are stored in ``order`` of position, each with its own intercept."""
    ds = base(generate_uid(), EnhancedCTImageStorage)
    ds.NumberOfFrames = len(order)
    ds.Rows, ds.Columns = stored(0).shape
    shared = pydicom.Dataset()
    plane, measures, details = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = ["0.5", "0.75"], "3"
    details.KVP = "100"
    shared.PlaneOrientationSequence = [plane]
    shared.PixelMeasuresSequence = [measures]
    shared.CTXRayDetailsSequence = [details]
    ds.SharedFunctionalGroupsSequence = [shared]
    del ds.KVP
    frames = []
    for place in order:
        frame, position, transform = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = [0, 0, 3.0 * place]
        transform.RescaleSlope, transform.RescaleIntercept = "1", str(-1000 - place)
        transform.RescaleType = unit if place else "HU"
        frame.PlanePositionSequence = [position]
        frame.PixelValueTransformationSequence = [transform]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = b"".join(stored(place).tobytes() for place in order)
    ds.save_as(path, enforce_file_format=True)
