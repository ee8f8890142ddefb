"""Write a simulated slice as a DICOM CT Image Storage instance that says, in itself, that it is simulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from .scanner import PIXEL_MM, SIZE, Kernel, Vendor


@dataclass(frozen=True, kw_only=True)
class Header:
    """What varies between instances."""

    patient_id: str
    sex: str
    age: int | None
    case_id: str
    series: str  # "full dose", "reduced dose" or "noise-free"
    date: str  # YYYYMMDD
    instance: int
    z_mm: float
    mas: float
    vendor: Vendor
    kernel: Kernel
    site: str
    seed: int
    software: str = "simulation 1.0"


def uid(*parts: object) -> str:
    """Return a UID that depends on the parts only, so that the same seed makes the same files."""
    return str(generate_uid(entropy_srcs=["genmed-validation simulated CT", *map(str, parts)]))


def write_slice(path: Path, image_hu: np.ndarray, header: Header) -> None:
    """Write one slice in HU, (256, 256), as 16-bit CT Image Storage with rescale slope 1 and intercept -1024."""
    study = uid(header.seed, header.patient_id)
    series = uid(header.seed, header.patient_id, header.series)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid(header.seed, header.case_id, header.series)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = header.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber, ds.Modality, ds.ReferringPhysicianName = "", "CT", ""
    ds.Manufacturer, ds.ManufacturerModelName = header.vendor.manufacturer, header.vendor.model
    ds.StationName, ds.SoftwareVersions = header.site, header.software
    ds.StudyDescription, ds.SeriesDescription = "SIMULATED CT", f"SIMULATED {header.series}"
    ds.DerivationDescription = (
        "Simulated by projection of an analytic phantom, photon and electronic noise, filtered back-projection"
    )
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "SIMULATED", header.patient_id, ""
    ds.PatientSex = header.sex
    if header.age is not None:
        ds.PatientAge = f"{header.age:03d}Y"
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "No person exists: simulated"
    ds.BodyPartExamined = "CHEST" if header.age is not None else "PHANTOM"
    ds.SliceThickness, ds.KVP, ds.DataCollectionDiameter = "3.0", "120", "448"
    ds.ReconstructionDiameter, ds.GantryDetectorTilt, ds.TableHeight = f"{SIZE * PIXEL_MM:g}", "0", "0"
    ds.RotationDirection, ds.ExposureTime = "CW", 500
    ds.XRayTubeCurrent, ds.Exposure = round(header.mas * 2), max(1, round(header.mas))
    ds.FilterType, ds.ConvolutionKernel, ds.PatientPosition = "BODY", header.kernel.name, "HFS"
    ds.ScanOptions, ds.SpacingBetweenSlices = "SIMULATED", "20.0"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 1, 1, header.instance
    corner = -(SIZE - 1) / 2 * PIXEL_MM
    ds.ImagePositionPatient = [f"{corner:.6f}", f"{corner:.6f}", f"{header.z_mm:.3f}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(header.seed, header.patient_id, "frame"), ""
    ds.SliceLocation = f"{header.z_mm:.3f}"
    ds.ImageComments = "SIMULATED. Not a person. Not for diagnosis."
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.PixelSpacing = SIZE, SIZE, [f"{PIXEL_MM}", f"{PIXEL_MM}"]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    stored = np.clip(np.rint(image_hu) + 1024, 0, 65535).astype("<u2")
    ds.PixelData = stored.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
