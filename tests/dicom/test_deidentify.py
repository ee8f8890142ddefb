"""De-identification: what must go is gone, what must stay stays, and the same key gives the same pseudonyms."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
import yaml
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.dicom import making
from tests.dicom.conformity import complaints
from validation.dicom.confidentiality import profile, rules
from validation.dicom.deidentify import Deidentifier
from validation.dicom.headers import read_dataset
from validation.errors import ValidationProblem

KEY = bytes(range(32))
SECRETS = ("Müster", "Erika", "MRN-4711", "19500101", "Sankt Elsewhere", "ACC-99", "Dr. Who", "hidden", "20240102")


def _identified(i: int, ds: pydicom.Dataset) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "Müster^Erika", "MRN-4711", "ACC-99"
    ds.OtherPatientNames = "Erika Mädchen"
    ds.InstitutionName, ds.StationName, ds.DeviceSerialNumber = "Sankt Elsewhere", "CT07-hidden", "serial-hidden"
    ds.ReferringPhysicianName = ds.PerformingPhysicianName = "Dr. Who"
    ds.StudyDescription, ds.SeriesDescription = "CT chest for Müster MRN-4711", "Lung 1.5mm, Dr. Who"
    ds.ImageComments, ds.PatientComments = "hidden comment", "hidden too"
    ds.ContrastBolusAgent = "hidden agent"
    ds.BodyPartExamined = "CHEST"
    ds.AcquisitionDateTime, ds.ContentDate, ds.ContentTime = "20240102101112.5", "20240102", "101112"
    ds.PatientAge, ds.PatientSize = "093Y", "1.7"
    ds.ReconstructionMethod = "x"  # not in the standard: python attribute only
    ds.FilterType = "for erika"  # an attribute that no table names, with a name in it
    ds.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "hidden private")
    ds.add_new(0x60003000, "OW", bytes(4))
    ds.add_new(0x60004000, "LT", "hidden overlay")
    ds.add_new(0x0008FFF0, "LO", "hidden unknown")
    item = Dataset()
    item.PatientName, item.CodeMeaning, item.ReferencedSOPInstanceUID = "Müster^Erika", "MRN-4711", "1.2.3.4"
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    ds.SourceImageSequence = [item]
    deep = Dataset()
    deep.ConceptCodeSequence = [item]
    ds.RequestAttributesSequence = [deep]
    ds.file_meta.SourceApplicationEntityTitle = "hidden"
    ds.preamble = b"hidden".ljust(128, b"\0")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    making.write_series(tmp_path / "s", n=2, edit=_identified)
    return sorted((tmp_path / "s").iterdir())


@pytest.mark.parametrize("name", ["cohort", "strict"])
def test_no_identifier_is_left_anywhere_in_the_file(files: list[Path], tmp_path: Path, name: str) -> None:
    ds = Deidentifier(KEY, profile(name)).apply(read_dataset(files[0]))
    ds.save_as(tmp_path / "out.dcm", enforce_file_format=True)
    content = (tmp_path / "out.dcm").read_bytes()
    header = content[: content.rfind(b"\xe0\x7f\x10\x00")]  # pixels may repeat any bytes
    for secret in SECRETS:
        for encoding in ("latin-1", "utf-8"):
            assert secret.lower().encode(encoding) not in header.lower(), secret
    old = read_dataset(files[0])
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert old[keyword].value.encode() not in header
    assert b"1.2.3.4" not in header
    assert not [e for e in ds.iterall() if e.tag.is_private]
    assert ds.PixelData == old.PixelData
    assert (ds.Rows, ds.KVP, ds.ConvolutionKernel, ds.BodyPartExamined) == (40, 120, "B30f", "CHEST")
    complained = complaints(tmp_path / "out.dcm")
    assert [c for c in complained if "not present in standard" not in c] == []  # the item above is nobody's


def test_what_stays_for_a_cohort(files: list[Path]) -> None:
    cleaner = Deidentifier(KEY, profile("cohort"))
    ds, other = (cleaner.apply(read_dataset(path)) for path in files)
    assert (ds.PatientSex, ds.PatientAge, ds.PatientSize) == ("F", "090Y", 1.7)
    assert ds.SeriesDescription == "Lung 1.5mm"
    assert ds.StudyDescription == "CT chest"
    assert ds.PatientID == other.PatientID == cleaner.patient("MRN-4711")
    assert str(ds.PatientName) == f"Pseudonym^{ds.PatientID}"
    assert ds.StudyInstanceUID == other.StudyInstanceUID
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID != other.SOPInstanceUID
    assert ds.DeviceSerialNumber == other.DeviceSerialNumber
    assert ds.DeviceSerialNumber.startswith("D-")
    assert ds.StudyDate == ds.ContentDate == str(ds.AcquisitionDateTime)[:8] != "20240102"  # one shift for all
    assert ds.ContentTime == "101112"
    assert ds.PatientBirthDate == ""
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == cleaner.uid("1.2.3.4")
    assert ds.SourceImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert (ds.PatientIdentityRemoved, ds.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
    codes = {c.CodeValue for c in ds.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113105", "113107", "113108"}
    assert not any(secret in what for what in cleaner.done for secret in SECRETS)
    assert cleaner.done["removed: repeats an identifier: FilterType"] == 2


def test_strict_keeps_nothing_of_the_person(files: list[Path]) -> None:
    ds = Deidentifier(KEY, profile("strict")).apply(read_dataset(files[0]))
    for keyword in ("PatientAge", "PatientSize", "SeriesDescription", "DeviceSerialNumber", "AcquisitionDateTime"):
        assert not ds.get(keyword)
    assert (ds.StudyDate, ds.PatientSex) == ("", "")


def test_pseudonyms_depend_on_the_key_alone(files: list[Path]) -> None:
    again = Deidentifier(KEY, profile("strict")).apply(read_dataset(files[0]))
    first = Deidentifier(KEY, profile("cohort")).apply(read_dataset(files[0]))
    other = Deidentifier(bytes(32), profile("cohort")).apply(read_dataset(files[0]))
    for keyword in ("PatientID", "SOPInstanceUID", "StudyInstanceUID"):
        assert first[keyword].value == again[keyword].value != other[keyword].value
    assert first.StudyDate != other.StudyDate


def test_every_attribute_of_the_basic_profile_is_settled() -> None:
    """For each attribute of the table, by its own VR: a marked value never survives the strict profile."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    marks = {
        "DA": "20240102", "DT": "20240102", "TM": "111111", "AS": "055Y", "UI": "1.2.3.99",
        "DS": "98765.25", "IS": "9876525",
        "OB": b"SECRET", "OW": b"SECRET", "UN": b"SECRET", "US": 9876,
        "CS": "SECRET", "AE": "SECRET", "FL": 98765.0, "FD": 98765.0,
    }  # fmt: skip
    left = []
    for tag in rules().actions:
        if not dictionary_has_tag(tag) or tag in (0x00080018, 0x0020000D, 0x0020000E):
            continue
        vr = dictionary_VR(tag).split(" ")[0]
        ds = making.base(generate_uid())
        if vr == "SQ":
            item = Dataset()
            item.PatientComments = "SECRET"
            ds.add_new(tag, vr, [item])
        else:
            ds.add_new(tag, vr, marks.get(vr, "SECRET"))
        out = Deidentifier(KEY, profile("strict")).apply(ds)
        del out.PatientID, out.PatientName, out.SOPInstanceUID, out.StudyInstanceUID, out.SeriesInstanceUID  # replaced
        text = str(out)
        if any(mark in text for mark in ("SECRET", ": 9876", "'9876", "1.2.3.99", "20240102", "055Y", "111111")):
            left.append(f"{tag:08X}")
    assert left == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"BurnedInAnnotation": "YES"}, "PACS-021"),
        ({"Modality": "US"}, "PACS-021"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "PACS-021"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "PACS-021"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.34"}, "PACS-021"),
        ({"SOPClassUID": "1.2.3"}, "PACS-021"),
        ({"PatientID": "", "StudyInstanceUID": ""}, "PACS-022"),
    ],
)
def test_refusals(change: dict[str, object], code: str) -> None:
    ds = making.base(generate_uid())
    for keyword, value in change.items():
        setattr(ds, keyword, value)
    with pytest.raises(ValidationProblem) as caught:
        Deidentifier(KEY, profile("cohort")).apply(ds)
    assert caught.value.code == code
    assert "SECRET" not in str(caught.value)


def test_pixels_said_to_be_without_text_are_taken() -> None:
    ds = making.base(generate_uid())
    ds.Modality, ds.BurnedInAnnotation = "US", "NO"
    assert Deidentifier(KEY, profile("cohort")).apply(ds).PatientIdentityRemoved == "YES"


def test_profile_files(tmp_path: Path) -> None:
    own = {**profile("strict").model_dump(), "dates": "shift"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    assert profile(str(tmp_path / "own.yaml")).dates == "shift"
    for wrong in (
        "dates: shift\n",
        yaml.safe_dump({**own, "datez": 1}),
        "- x\n",
        "\x00",
        yaml.safe_dump({**own, "dates": "keep"}),
    ):
        (tmp_path / "wrong.yaml").write_text(wrong)
        with pytest.raises(ValidationProblem) as caught:
            profile(str(tmp_path / "wrong.yaml"))
        assert caught.value.code == "PACS-020"
    with pytest.raises(ValidationProblem, match="no de-identification profile"):
        profile("nowhere")
