"""Real scans of four makers, where the shared data are present."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from validation.dicom.locators import inspect_image, read_image

pytestmark = pytest.mark.shared


def unpack(shared: Path, name: str, folder: Path) -> Path:
    with zipfile.ZipFile(shared / "data" / "imaging" / name) as archive:
        archive.extractall(folder)
    return folder


def test_ge_head_with_tilt_and_variable_spacing(shared: Path, tmp_path: Path) -> None:
    root = unpack(shared, "ct_two_vendor/ge_head_28.zip", tmp_path)
    image = read_image("GE", root)
    assert image.array.shape == (28, 512, 512)
    assert image.unit == "HU"
    assert not image.regular
    # tilt 18.5 degrees: 4.22 and 7.38 mm along the table are 4 and 7 mm along the normal; one gap is 1.14 mm
    assert image.warnings[0] == "variable slice spacing: 1.08 to 7 mm"
    assert image.warnings[1].startswith("slices are stacked at 18.5 degrees")
    assert image.tags["gantry_tilt_deg"] == 18.5
    z = [float(pydicom.dcmread(p, stop_before_pixels=True).ImagePositionPatient[2]) for p in image.files]
    assert z == sorted(z) or z == sorted(z, reverse=True)
    ds = pydicom.dcmread(image.files[10])
    np.testing.assert_array_equal(image.array[10], ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept))


def test_philips_phantom_without_file_extensions(shared: Path, tmp_path: Path) -> None:
    root = unpack(shared, "ct_two_vendor/philips_phantom_29.zip", tmp_path)
    image = read_image("Philips", root)
    assert image.array.shape == (28, 512, 512)
    assert image.spacing_mm == (5.0, 0.451171875, 0.451171875)
    assert image.regular
    assert image.warnings == ()
    assert (image.tags["manufacturer"], image.tags["kernel"], image.tags["kvp"]) == ("Philips", "UB", 120.0)


def test_catphan_beside_a_structure_set(shared: Path, tmp_path: Path) -> None:
    root = unpack(shared, "ct_catphan504_cbct/high_quality_head.zip", tmp_path)
    image = read_image("High quality head", root)
    assert image.array.shape == (64, 512, 512)
    assert image.spacing_mm == (2.5, 0.48828125, 0.48828125)
    assert image.regular
    assert image.array.min() == -1000


def test_acr_phantoms_of_two_makers(shared: Path, tmp_path: Path) -> None:
    root = unpack(shared, "mr_acr_multivendor/acr_dicom.zip", tmp_path)
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    assert len(folders) == 10
    makers = {}
    for folder in folders:
        tags, warnings = inspect_image(folder, root)
        makers.setdefault(tags["manufacturer"], set()).add(tags["field_strength_t"])
        assert warnings == ()
    assert set(makers) == {"GE", "Siemens"}
    image = read_image(folders[0], root)
    assert image.unit == "1"
    assert image.spacing_mm[0] == 10.0
