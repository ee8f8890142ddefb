"""Series: order, rescale, transfer syntaxes, geometry, and every trap refused with its own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, RTStructureSetStorage, generate_uid

from tests.dicom.making import stored, write_enhanced, write_series
from validation.dicom.locators import inspect_image, locator_files, read_image
from validation.errors import DataProblem

EXPECTED = np.stack([stored(i) for i in range(4)]) * 2.0 - 1024


def refused(locator: str, root: Path) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read_image(locator, root)
    problem = caught.value
    assert problem.what
    assert problem.where
    assert problem.why
    assert "SECRET" not in str(problem)
    return problem


def test_slices_follow_position_not_instance_number(tmp_path: Path) -> None:
    uid = write_series(tmp_path / "p" / "deep" / "er")
    (tmp_path / "p" / "notes.txt").write_text("not an image")
    image = read_image("p", tmp_path)
    np.testing.assert_array_equal(image.array, EXPECTED)
    assert image.array.dtype == np.float32
    assert image.spacing_mm == (2.5, 0.5, 0.75)
    assert image.unit == "HU"
    assert image.regular
    assert image.warnings == ()
    assert image.directions == ((0, 0, 1), (0, 1, 0), (1, 0, 0))
    assert image.origin_mm == (-10, -20, -30)
    np.testing.assert_array_equal(read_image(f"series:{uid}", tmp_path).array, EXPECTED)
    assert [p.name for p in image.files] == ["004.dcm", "003.dcm", "002.dcm", "001.dcm"]
    assert len(locator_files(f"series:{uid}", tmp_path)) == 4


def test_one_file_is_two_dimensional(tmp_path: Path) -> None:
    write_series(tmp_path)
    image = read_image("004.dcm", tmp_path)
    np.testing.assert_array_equal(image.array, EXPECTED[0])
    assert image.spacing_mm == (0.5, 0.75)
    assert image.directions == ((0, 1, 0), (1, 0, 0))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    write_series(tmp_path / "s", syntax=syntax)
    assert pydicom.dcmread(tmp_path / "s" / "001.dcm").file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_image("s", tmp_path).array, EXPECTED)


def test_only_allowed_tags_leave_the_header(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    image = read_image("s", tmp_path)
    tags, _ = inspect_image("s", tmp_path)
    assert tags == image.tags
    assert tags["manufacturer"] == "Siemens"
    assert tags["kvp"] == 120.0
    assert tags["kernel"] == "B30f"
    assert tags["slice_thickness_mm"] == 5.0
    assert tags["age_years"] == 61.0
    text = repr(tags)
    assert not any(word in text for word in ("SECRET", "Secret", "1950", "2024"))


def test_varying_numbers_become_their_median_and_varying_text_disappears(tmp_path: Path) -> None:
    def edit(i: int, ds: pydicom.Dataset) -> None:
        ds.Exposure = str(100 + 10 * i)
        ds.SoftwareVersions = f"v{i}"

    write_series(tmp_path / "s", n=3, edit=edit)
    tags, _ = inspect_image("s", tmp_path)
    assert tags["exposure"] == 110.0
    assert "software_version" not in tags


def test_missing_slice_is_named(tmp_path: Path) -> None:
    write_series(tmp_path / "s", n=6)
    (tmp_path / "s" / "003.dcm").unlink()
    image = read_image("s", tmp_path)
    assert not image.regular
    assert image.warnings == ("1 slice(s) are missing: gaps are whole multiples of 2.5 mm",)
    assert image.spacing_mm[0] == 2.5


def test_variable_spacing_is_named(tmp_path: Path) -> None:
    places = [0, 4, 8, 9, 16, 23]

    def edit(i: int, ds: pydicom.Dataset) -> None:
        ds.ImagePositionPatient = [0, 0, places[i]]

    write_series(tmp_path / "s", n=6, edit=edit)
    image = read_image("s", tmp_path)
    assert not image.regular
    assert image.warnings == ("variable slice spacing: 1 to 7 mm",)


def test_gantry_tilt_is_named_and_spacing_is_along_the_normal(tmp_path: Path) -> None:
    angle = np.radians(20)

    def edit(i: int, ds: pydicom.Dataset) -> None:
        ds.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(angle)), 8), round(float(-np.sin(angle)), 8)]
        ds.ImagePositionPatient = [0, 0, 5.0 * i]
        ds.GantryDetectorTilt = "20"

    write_series(tmp_path / "s", edit=edit)
    image = read_image("s", tmp_path)
    assert not image.regular
    assert image.spacing_mm[0] == pytest.approx(5 * np.cos(angle), abs=1e-5)
    assert image.warnings == (
        "slices are stacked at 20.0 degrees to their normal (gantry tilt 20 degrees in the header): "
        "the volume is sheared",
    )


def test_padding_is_counted(tmp_path: Path) -> None:
    def edit(i: int, ds: pydicom.Dataset) -> None:
        ds.add_new(0x00280120, "SS", 5)

    write_series(tmp_path / "s", edit=edit)
    assert read_image("s", tmp_path).warnings == (
        "0.01% of the pixels hold the padding value, outside the reconstruction",
    )


def test_slope_may_change_between_slices(tmp_path: Path) -> None:
    def edit(i: int, ds: pydicom.Dataset) -> None:
        ds.RescaleSlope = str(1 + i)

    write_series(tmp_path / "s", edit=edit)
    image = read_image("s", tmp_path)
    for i in range(4):
        np.testing.assert_array_equal(image.array[i], stored(i) * (1.0 + i) - 1024)
    assert "each slice is rescaled by its own" in image.warnings[0]


def test_enhanced_multiframe_orders_and_rescales_each_frame(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "e.dcm")
    image = read_image("e.dcm", tmp_path)
    np.testing.assert_array_equal(image.array, np.stack([stored(i) - 1000.0 - i for i in range(3)]))
    assert image.spacing_mm == (3.0, 0.5, 0.75)
    assert image.unit == "HU"
    assert image.tags["kvp"] == 100.0
    assert image.tags["slice_thickness_mm"] == 5.0
    assert image.regular


def test_enhanced_multiframe_with_mixed_units(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "e.dcm", unit="US")
    assert refused("e.dcm", tmp_path).code == "DCM-012"


def test_units_of_other_modalities(tmp_path: Path) -> None:
    def mr(i: int, ds: pydicom.Dataset) -> None:
        ds.Modality = "MR"
        del ds.RescaleSlope, ds.RescaleIntercept

    def pet(i: int, ds: pydicom.Dataset) -> None:
        ds.Modality, ds.Units = "PT", "BQML"

    write_series(tmp_path / "mr", edit=mr)
    write_series(tmp_path / "pt", edit=pet)
    assert read_image("mr", tmp_path).unit == "1"
    np.testing.assert_array_equal(read_image("mr", tmp_path).array, (EXPECTED + 1024) / 2)
    assert read_image("pt", tmp_path).unit == "Bq/mL"


def _duplicate_uid(i: int, ds: pydicom.Dataset) -> None:
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"


def _mixed_type(i: int, ds: pydicom.Dataset) -> None:
    ds.RescaleType = "HU" if i else "US"


def _mixed_modality(i: int, ds: pydicom.Dataset) -> None:
    ds.Modality, ds.RescaleType = "CT" if i else "MR", "HU"


def _half_rescaled(i: int, ds: pydicom.Dataset) -> None:
    if i == 2:
        del ds.RescaleIntercept


def _rgb(i: int, ds: pydicom.Dataset) -> None:
    ds.PhotometricInterpretation = "RGB"


def _palette(i: int, ds: pydicom.Dataset) -> None:
    ds.PhotometricInterpretation = "PALETTE COLOR"


def _mixed_display(i: int, ds: pydicom.Dataset) -> None:
    ds.PhotometricInterpretation = "MONOCHROME1" if i else "MONOCHROME2"


def _no_pixels(i: int, ds: pydicom.Dataset) -> None:
    del ds.PixelData


def _short_pixels(i: int, ds: pydicom.Dataset) -> None:
    ds.PixelData = ds.PixelData[:-20]


def _same_place(i: int, ds: pydicom.Dataset) -> None:
    ds.ImagePositionPatient = [0, 0, 5 * (i // 2)]


def _no_position(i: int, ds: pydicom.Dataset) -> None:
    if i == 1:
        del ds.ImagePositionPatient


def _turned(i: int, ds: pydicom.Dataset) -> None:
    if i == 3:
        ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def _skewed(i: int, ds: pydicom.Dataset) -> None:
    ds.ImageOrientationPatient = [1, 0, 0, 0.7, 0.7, 0]


def _other_spacing(i: int, ds: pydicom.Dataset) -> None:
    ds.PixelSpacing = ["0.5", "0.75" if i else "0.8"]


def _other_size(i: int, ds: pydicom.Dataset) -> None:
    if i == 0:
        ds.Rows, ds.Columns = 48, 40


def _huge(i: int, ds: pydicom.Dataset) -> None:
    ds.Rows = ds.Columns = 65535


def _no_size(i: int, ds: pydicom.Dataset) -> None:
    ds.Rows = 0


def _flat(i: int, ds: pydicom.Dataset) -> None:
    ds.RescaleSlope = "0"


def _steep(i: int, ds: pydicom.Dataset) -> None:
    ds.RescaleSlope = "1e300"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (_duplicate_uid, "DCM-009"),
        (_mixed_type, "DCM-012"),
        (_mixed_modality, "DCM-012"),
        (_half_rescaled, "DCM-012"),
        (_rgb, "DCM-005"),
        (_palette, "DCM-005"),
        (_mixed_display, "DCM-012"),
        (_no_pixels, "DCM-004"),
        (_short_pixels, "DCM-002"),
        (_same_place, "DCM-011"),
        (_no_position, "DCM-014"),
        (_turned, "DCM-010"),
        (_skewed, "DCM-010"),
        (_other_spacing, "DCM-013"),
        (_other_size, "DCM-013"),
        (_huge, "DCM-003"),
        (_no_size, "DCM-003"),
        (_flat, "DCM-012"),
        (_steep, "DCM-023"),
    ],
)
def test_traps_are_refused(tmp_path: Path, edit: object, code: str) -> None:
    write_series(tmp_path / "s", edit=edit)  # type: ignore[arg-type]
    assert refused("s", tmp_path).code == code
    if code not in ("DCM-002", "DCM-023"):  # these show when pixels are decoded
        with pytest.raises(DataProblem) as caught:
            inspect_image("s", tmp_path)
        assert caught.value.code == code


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path: Path, keep: float) -> None:
    write_series(tmp_path / "s")
    path = tmp_path / "s" / "002.dcm"
    data = path.read_bytes()
    path.write_bytes(data[: max(int(len(data) * keep), 140)])
    problem = refused("s", tmp_path)
    assert problem.code in ("DCM-002", "DCM-004")
    assert "002.dcm" in problem.where


def test_truncation_by_any_number_of_bytes_is_seen_without_decoding(tmp_path: Path) -> None:
    write_series(tmp_path / "s", n=1)
    path = tmp_path / "s" / "001.dcm"
    data = path.read_bytes()
    for cut in (1, 2, 7, 8, 12, 13, 40):
        path.write_bytes(data[:-cut])
        with pytest.raises(DataProblem) as caught:
            inspect_image("s", tmp_path)
        assert caught.value.code == "DCM-002"


def test_truncated_compressed_file(tmp_path: Path) -> None:
    write_series(tmp_path / "s", n=2, syntax=JPEG2000Lossless)
    path = tmp_path / "s" / "002.dcm"
    data = path.read_bytes()
    path.write_bytes(data[:-60])
    assert refused("s", tmp_path).code in ("DCM-002", "DCM-006")


def test_compressed_frame_of_another_size_is_refused_before_decoding(tmp_path: Path) -> None:
    write_series(tmp_path / "s", n=1, syntax=JPEG2000Lossless)
    path = tmp_path / "s" / "001.dcm"
    data = bytearray(path.read_bytes())
    start = data.find(b"\xff\x4f\xff\x51")
    data[start + 8 : start + 12] = (60000).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    problem = refused("001.dcm", tmp_path / "s")
    assert problem.code == "DCM-002"
    assert "another size" in problem.what


def test_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"hello" * 100)
    assert refused("x.dcm", tmp_path).code == "DCM-001"
    assert refused("absent.dcm", tmp_path).code == "DCM-001"
    write_series(tmp_path / "s")
    (tmp_path / "s" / "bad.dcm").write_bytes(b"hello" * 100)
    assert refused("s", tmp_path).code == "DCM-001"
    (tmp_path / "empty").mkdir()
    assert refused("empty", tmp_path).code == "DCM-007"
    assert refused(f"series:{generate_uid()}", tmp_path / "empty").code == "DCM-007"


def test_several_series_in_one_folder(tmp_path: Path) -> None:
    first, second = write_series(tmp_path / "s" / "a"), write_series(tmp_path / "s" / "b", intercept=0)
    assert refused("s", tmp_path).code == "DCM-008"
    assert read_image(f"series:{first}", tmp_path).array.min() == -1024
    assert read_image(f"series:{second}", tmp_path).array.min() == 0


def test_objects_without_image_are_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    path = tmp_path / "s" / "structures"
    ds = pydicom.dcmread(tmp_path / "s" / "001.dcm")
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(ds, keyword)
    ds.SeriesInstanceUID = generate_uid()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    ds.save_as(path)
    assert read_image("s", tmp_path).array.shape == (4, 40, 48)


@pytest.mark.parametrize("keyword", ["PlanePositionSequence", "PixelMeasuresSequence", "PlaneOrientationSequence"])
def test_enhanced_frames_without_geometry_are_refused(tmp_path: Path, keyword: str) -> None:
    write_enhanced(tmp_path / "e.dcm")
    ds = pydicom.dcmread(tmp_path / "e.dcm")
    for holder in (ds.PerFrameFunctionalGroupsSequence[1], ds.SharedFunctionalGroupsSequence[0]):
        if keyword in holder:
            delattr(holder, keyword)
    ds.save_as(tmp_path / "e.dcm")
    assert refused("e.dcm", tmp_path).code == "DCM-014"


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_is_refused_or_read_never_a_crash(tmp_path: Path, seed: int) -> None:
    if seed % 3 == 2:
        (tmp_path / "s").mkdir()
        write_enhanced(tmp_path / "s" / "001.dcm")
    else:
        write_series(tmp_path / "s", n=1, syntax=(RLELossless if seed % 3 else ""))
    path = tmp_path / "s" / "001.dcm"
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(132, min(len(data), 3000), size=6):  # mostly the header
        data[place] = rng.integers(256)
    path.write_bytes(bytes(data))
    try:
        image = read_image("s", tmp_path)
    except DataProblem:
        return
    assert np.isfinite(image.array).all()
