"""The source series of a derived object: its headers in order of position, complete enough to derive from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.dicom.headers import Header, read_dataset, read_header
from validation.dicom.series import inspect_series
from validation.dicom.uids import derived_uid
from validation.errors import DataProblem

if TYPE_CHECKING:
    from pydicom import Dataset

# Type 2 of patient and study (PS3.3 C.7.1.1, C.7.2.1): present in every object, empty where unknown
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
# Attributes of patient and study that every object of a study repeats (PS3.3 C.7.1, C.7.2)
_PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
    *_TYPE_2,
    "IssuerOfPatientID",
    "OtherPatientIDsSequence",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "StudyInstanceUID",
    "StudyDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "TimezoneOffsetFromUTC",
)


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """How a new object came to be.

    ``digest`` identifies model and input (a SHA-256); with the source UIDs it fixes the new UIDs, so that writing again
    gives the same object instead of a copy. ``synthetic`` marks pixels made by a generative model: Synthetic Data
    (0008,001C) is then YES (PS3.3 C.12.1). ``made`` is when the content was made; the time of writing without it.
    ``edited_by_person`` says that a person changed what the model proposed (segmentations are then SEMIAUTOMATIC).
    """

    description: str
    digest: str
    manufacturer: str
    model_name: str
    software_version: str
    synthetic: bool
    series_description: str = "Derived by model"
    series_number: int = 9000
    made: datetime | None = None
    edited_by_person: bool = False

    @property
    def moment(self) -> datetime:
        """Return when the content was made, in UTC without a zone."""
        return (self.made or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None, microsecond=0)

    def equipment(self) -> Dataset:
        """Return the model as Contributing Equipment: Synthesizing (109100) or Processing Equipment (109102, DCM)."""
        from pydicom.dataset import Dataset
        from pydicom.sr.codedict import codes

        item = Dataset()
        item.Manufacturer, item.ManufacturerModelName = self.manufacturer, self.model_name
        item.SoftwareVersions = self.software_version
        item.ContributionDescription = self.description[:1024]
        purpose = codes.cid7005.SynthesizingEquipment if self.synthetic else codes.cid7005.ProcessingEquipment
        item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
        return item


def ordered_headers(source: Sequence[Path], where: Path) -> list[Header]:
    """Return the headers of a series of single-frame images, in order of position.

    Raises
    ------
    DataProblem
        DCM-032 if a file is no image or is multi-frame; as :func:`validation.dicom.series.inspect_series`.
    """
    headers = [h for path in source if (h := read_header(path)) is not None]
    if not headers or len(headers) != len(source) or any(h.frames > 1 or h.enhanced for h in headers):
        raise refused("only series of single-frame images can be derived from.", "DCM-032", where)
    return inspect_series(headers, str(where))[0]


def source_datasets(source: Sequence[Path], where: Path, shape: tuple[int, ...]) -> list[Any]:
    """Return the datasets of a series, in order of position, for objects that refer to a patient's space.

    Raises
    ------
    DataProblem
        DCM-030 if their number and size is not ``shape``; DCM-014 if a slice has no position; as
        :func:`ordered_headers`.
    """
    headers = ordered_headers(source, where)
    expected = (len(headers), headers[0].rows, headers[0].columns)
    if shape != expected:
        raise refused(f"the mask has shape {shape}, its source {expected}.", "DCM-030", where)
    if any(h.position is None or h.orientation is None or h.pixel_spacing is None for h in headers):
        raise refused("the source does not state position, orientation and spacing.", "DCM-014", where)
    found = [complete(read_dataset(header.path)) for header in headers]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if len({str(ds.get(keyword)) for ds in found}) > 1 or not found[0].get(keyword):
            raise refused(f"the slices of the source do not share one {keyword}.", "DCM-032", where)
    return found


def complete(ds: Any) -> Any:
    """Decode the texts; add, empty, what every object of a study must hold, and a frame of reference for the series."""
    ds.decode()
    for keyword in _TYPE_2:
        if keyword not in ds:
            setattr(ds, keyword, "")
    if ds.get("ImagePositionPatient") and not ds.get("FrameOfReferenceUID"):
        ds.FrameOfReferenceUID = derived_uid("frame", str(ds.get("SeriesInstanceUID")))
    if "PositionReferenceIndicator" not in ds and ds.get("FrameOfReferenceUID"):
        ds.PositionReferenceIndicator = ""
    return ds


def of_patient_and_study(source: Any) -> Any:
    """Return a new dataset with the patient and study of a source."""
    from pydicom.dataset import Dataset

    ds = Dataset()
    for keyword in _PATIENT_AND_STUDY:
        if keyword in source:
            ds[keyword] = source[keyword]
    return ds


def code_item(code: Any) -> Dataset:
    """Return a code as an item of a code sequence (PS3.3 8.8)."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def refused(what: str, code: str, where: Path) -> DataProblem:
    """Return the refusal of an object that would not show what the model made."""
    return DataProblem(
        what,
        code=code,
        where=str(where),
        why="A derived object must show exactly what the model made, slice by slice.",
        action="Check the model's output and its source series.",
    )
