"""Objects that an interface test sends: a made-up study that holds everything which archives are known to lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from validation.dicom.measurement_report import Finding, Measure, write_measurements
from validation.dicom.segmentation import write_segmentation
from validation.dicom.sources import Derivation
from validation.dicom.structure_set import write_structure_set
from validation.dicom.uids import derived_uid
from validation.dicom.write import write_series

ROWS, COLUMNS, SLICES = 32, 48, 6
UNKNOWN = 0x0008FFF6
"""An even-numbered attribute of no edition: what an archive does with attributes that are younger than itself."""
PRIVATE = ("GENMED VALIDATION", 0x0099)
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
TEXTS = {
    "ISO_IR 100": "Référence Größe",
    "ISO_IR 192": "Проверка 检查",
    "\\ISO 2022 IR 87": "検査",
}


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One series of the test study (or several objects of one kind), with what it is sent for."""

    name: str
    purpose: str
    files: tuple[Path, ...]
    series: str = ""


def make_specimens(folder: Path, *, nonce: str, moment: datetime | None = None) -> list[Specimen]:
    """Write the test study below a folder and return its series; ``nonce`` makes its UIDs new.

    The patient is called INTERFACE^TEST and has the number VALIDATION-TEST-``nonce``, so that a site finds and removes
    the study after the test.
    """
    made = moment or datetime.now(UTC)
    specimens = [
        Specimen(name="source", purpose="images", files=_series(folder, "source", 1, SLICES, nonce, made, _extras))
    ]
    for number, (name, syntax) in enumerate(SYNTAXES.items(), 2):
        files = _series(folder, name, number, 2, nonce, made, _in_syntax(syntax))
        specimens.append(Specimen(name=name, purpose="transfer syntax", files=files))
    for number, (characters, text) in enumerate(TEXTS.items(), 2 + len(SYNTAXES)):
        name = characters.replace("\\", "").replace(" ", "-")
        files = _series(folder, name, number, 1, nonce, made, _in_characters(characters, text))
        specimens.append(
            Specimen(name=name, purpose="characters", files=files, series=derived_uid("series", nonce, name))
        )
    source = list(specimens[0].files)
    how = Derivation(
        description="Interface test: smoothed by nothing",
        digest=derived_uid("digest", nonce),
        manufacturer="genmed-validation",
        model_name="Interface test",
        software_version="1",
        synthetic=True,
        series_description="AI interface test",
        made=made,
    )
    grid = np.indices((SLICES, ROWS, COLUMNS))
    array = (grid[0] * 100 + grid[1] + grid[2]).astype(np.float32)
    ball = ((grid[1] - 15) ** 2 + (grid[2] - 20) ** 2) < 80
    masks = {"lesion": ball, "liver": ~ball & (grid[1] < 28)}
    derived = write_series(array, source, folder / "derived", how)
    segmentation = write_segmentation(masks, source, folder / "objects" / "segmentation.dcm", how)
    contours = write_structure_set(masks, source, folder / "objects" / "structures.dcm", how)
    findings = [Finding(label="lesion", segment=1, measures=(Measure.volume(float(ball.sum())),))]
    report = write_measurements(findings, source, folder / "objects" / "report.dcm", how, segmentation)
    return [
        *specimens,
        Specimen(name="derived", purpose="derived series", files=tuple(derived)),
        Specimen(name="segmentation", purpose="segmentation", files=(segmentation,)),
        Specimen(name="structure set", purpose="structure set", files=(contours,)),
        Specimen(name="report", purpose="report", files=(report,)),
    ]


def _series(
    folder: Path, name: str, number: int, slices: int, nonce: str, made: datetime, change: Callable[[Any], None]
) -> tuple[Path, ...]:
    """Write a CT series whose instance numbers run against the position, as viewers must sort by one or the other."""
    files = []
    rng = np.random.default_rng(number)
    for k in range(slices):
        ds = _image(name, number, k, slices, nonce, made)
        ds.PixelData = rng.integers(-1024, 3000, (ROWS, COLUMNS)).astype("<i2").tobytes()
        change(ds)
        path = folder / name.replace(" ", "-") / f"{k + 1:03d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        files.append(path)
    return tuple(files)


def _image(name: str, number: int, k: int, slices: int, nonce: str, made: datetime) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(derived_uid("specimen", nonce, name, str(k)))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = derived_uid("study", nonce), derived_uid("series", nonce, name)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = derived_uid("frame", nonce), ""
    ds.PatientName, ds.PatientID = "INTERFACE^TEST", f"VALIDATION-TEST-{nonce}"
    ds.PatientBirthDate, ds.PatientSex, ds.ReferringPhysicianName, ds.AccessionNumber = "", "O", "", f"IF-{nonce[:12]}"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = made.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = made.strftime("%H%M%S")
    ds.StudyID, ds.StudyDescription, ds.SeriesDescription = "1", "Interface test, no patient", f"Interface test {name}"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "genmed-validation", "Interface test"
    ds.ImageType, ds.BodyPartExamined, ds.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "ABDOMEN", "HFS"
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = number, 1, slices - k
    ds.KVP, ds.SliceThickness, ds.PixelSpacing = "120", "2.5", ["0.5", "0.75"]
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-10, -20, 2.5 * k]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.BurnedInAnnotation = 15, 1, "NO"
    return ds


def _extras(ds: Any) -> None:
    ds.private_block(PRIVATE[1], PRIVATE[0], create=True).add_new(0x01, "OB", bytes(range(256)))
    ds.add_new(UNKNOWN, "LO", "kept")


def _in_syntax(syntax: str) -> Callable[[Any], None]:
    from pydicom.uid import UID

    def change(ds: Any) -> None:
        if syntax == "1.2.840.10008.1.2":
            ds.file_meta.TransferSyntaxUID = UID(syntax)
        else:
            ds.compress(syntax, generate_instance_uid=False)

    return change


def _in_characters(characters: str, text: str) -> Callable[[Any], None]:
    def change(ds: Any) -> None:
        ds.SpecificCharacterSet = characters.split("\\") if "\\" in characters else characters
        ds.SeriesDescription = text

    return change
