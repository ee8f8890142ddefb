"""Derived series: read back what was written, marked as derived, never as an acquisition."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.dicom import making
from validation.dicom.locators import read_image
from validation.dicom.write import Derivation, write_series
from validation.errors import DataProblem

HOW = Derivation(
    description="Denoised by Example Net 1.0",
    digest="ab" * 32,
    manufacturer="Example",
    model_name="Example Net",
    software_version="1.0",
    synthetic=True,
)


def _busy(i: int, ds: pydicom.Dataset) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    ds.SeriesNumber = 3
    ds.DeviceSerialNumber = "123"
    ds.add_new(0x00280120, "SS", 5)
    ds.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "secret")
    ds.add_new(0x60003000, "OW", bytes(4))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    making.write_series(tmp_path / "source", edit=_busy)
    return tmp_path


def test_round_trip(source: Path) -> None:
    image = read_image("source", source)
    wanted = image.array * 0.5 + 3.25
    files = write_series(wanted, image.files, source / "new", HOW)
    back = read_image("new", source)
    assert [p.name for p in back.files] == [p.name for p in files]
    assert np.abs(back.array - wanted).max() <= 1.0  # half of the slope, 2 HU
    assert (back.spacing_mm, back.unit, back.origin_mm) == (image.spacing_mm, image.unit, image.origin_mm)
    assert back.warnings == ()


def test_what_the_new_header_says(source: Path) -> None:
    image = read_image("source", source)
    first = write_series(image.array, image.files, source / "new", HOW)[0]
    old, new = pydicom.dcmread(image.files[0]), pydicom.dcmread(first)
    assert list(new.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 SPI"]
    assert new.DerivationDescription == HOW.description
    assert new.SyntheticData == "YES"
    assert (new.Manufacturer, new.ManufacturerModelName) == ("Example", "Example Net")
    scanner = new.ContributingEquipmentSequence[0]
    assert scanner.Manufacturer == "SIEMENS"
    assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
    assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert new.StudyInstanceUID == old.StudyInstanceUID
    assert new.SOPInstanceUID == new.file_meta.MediaStorageSOPInstanceUID != old.SOPInstanceUID
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    assert new.SeriesNumber == 9003
    assert "PixelPaddingValue" not in new
    assert "DeviceSerialNumber" not in new
    assert not [e for e in new if e.tag.is_private or e.tag.group == 0x6000]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pydicom.dcmread(first).walk(lambda _ds, _element: None)  # every value is valid


def test_writing_again_gives_the_same_bytes_and_another_model_other_uids(source: Path) -> None:
    image = read_image("source", source)
    once = write_series(image.array, image.files, source / "once", HOW)
    twice = write_series(image.array, image.files[::-1], source / "twice", HOW)
    assert [p.read_bytes() for p in once] == [p.read_bytes() for p in twice]
    other = write_series(image.array, image.files, source / "other", replace(HOW, digest="cd" * 32, synthetic=False))
    first, second = pydicom.dcmread(once[0]), pydicom.dcmread(other[0])
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert "SyntheticData" not in second


def test_one_slice_and_compressed_source(tmp_path: Path) -> None:
    making.write_series(tmp_path / "s", n=1, syntax=pydicom.uid.RLELossless)
    image = read_image("s", tmp_path)
    files = write_series(image.array, image.files, tmp_path / "new", HOW)
    np.testing.assert_array_equal(read_image("new", tmp_path).array, image.array)
    assert not pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID.is_encapsulated


def test_refusals(source: Path) -> None:
    image = read_image("source", source)
    making.write_enhanced(source / "e.dcm")
    hole = image.array.copy()
    hole[0, 0, 0] = np.nan
    cases = {
        "DCM-030": (image.array[:2], image.files),
        "DCM-031": (image.array + 1e6, image.files),
        "DCM-032": (image.array, [source / "e.dcm"]),
    }
    for code, (array, files) in cases.items():
        with pytest.raises(DataProblem) as caught:
            write_series(array, files, source / "new", HOW)
        assert caught.value.code == code
        assert not (source / "new").exists()
    with pytest.raises(DataProblem, match="not finite"):
        write_series(hole, image.files, source / "new", HOW)
    with pytest.raises(DataProblem) as caught:
        write_series(image.array, image.files, source / "source", HOW)
    assert caught.value.code == "DCM-033"
