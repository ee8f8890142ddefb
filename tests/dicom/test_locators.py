"""Arrays, NIfTI, and locators that may not leave their root."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.dicom.making import write_series
from validation.dicom.image import Image
from validation.dicom.locators import inspect_image, locator_files, read_image, resolve
from validation.dicom.orientation import align
from validation.errors import DataProblem

VOLUME = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def code_of(locator: str, root: Path) -> str:
    with pytest.raises(DataProblem) as caught:
        read_image(locator, root)
    assert caught.value.why
    return caught.value.code


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    np.savez_compressed(tmp_path / "b.npz", first=VOLUME, **{"second.slice": VOLUME[0]})
    for locator, expected in (("a.npy", VOLUME), ("b.npz:first", VOLUME), ("b.npz:second.slice", VOLUME[0])):
        image = read_image(locator, tmp_path)
        np.testing.assert_array_equal(image.array, expected)
        assert image.array.dtype == np.float32
        assert (image.spacing_mm, image.unit) == ((), "")
        assert inspect_image(locator, tmp_path) == ({}, ())
    assert locator_files("b.npz:first", tmp_path) == [tmp_path / "b.npz"]


def test_nifti_axes_spacing_and_directions(tmp_path: Path) -> None:
    affine = np.diag([-0.75, -0.5, 2.5, 1.0])  # x to the left, y to the back: the axes of an axial DICOM series
    affine[:3, 3] = [10, 20, -30]
    nibabel.save(nibabel.Nifti1Image(VOLUME.transpose(), affine), tmp_path / "v.nii.gz")
    image = read_image("v.nii.gz", tmp_path)
    np.testing.assert_array_equal(image.array, VOLUME)
    assert image.spacing_mm == (2.5, 0.5, 0.75)
    assert image.directions == ((0, 0, 1), (0, 1, 0), (1, 0, 0))
    assert image.origin_mm == (-10, -20, -30)


def test_nifti_of_other_axis_order_is_aligned_to_the_dicom_series(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    series = read_image("s", tmp_path)
    for codes in (("R", "A", "S"), ("S", "L", "P"), ("A", "I", "R"), ("L", "P", "S")):
        lps = nibabel.Nifti1Image(series.array.transpose(), _affine(series))
        transform = nibabel.orientations.ornt_transform(
            nibabel.orientations.io_orientation(lps.affine), nibabel.orientations.axcodes2ornt(codes)
        )
        nibabel.save(lps.as_reoriented(transform), tmp_path / "v.nii")
        moved = read_image("v.nii", tmp_path)
        aligned = align(moved, series, "case 1")
        np.testing.assert_array_equal(aligned.array, series.array)
        np.testing.assert_allclose(aligned.spacing_mm, series.spacing_mm)
        np.testing.assert_allclose(aligned.origin_mm, series.origin_mm, atol=1e-5)


def test_shifted_or_rotated_grids_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    series = read_image("s", tmp_path)
    shifted = _affine(series)
    shifted[0, 3] += 0.6 * 0.75
    turned = _affine(series) @ np.array(
        [[np.cos(0.1), -np.sin(0.1), 0, 0], [np.sin(0.1), np.cos(0.1), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    for affine in (shifted, turned):
        nibabel.save(nibabel.Nifti1Image(series.array.transpose(), affine), tmp_path / "v.nii")
        with pytest.raises(DataProblem) as caught:
            align(read_image("v.nii", tmp_path), series, "case 1")
        assert caught.value.code == "COH-012"


def _affine(series: Image) -> np.ndarray:
    """Return the NIfTI affine of a DICOM series, derived independently: columns of steps, first two axes negated."""
    step = np.array(series.directions[::-1]).T * np.array(series.spacing_mm[::-1])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = step, series.origin_mm
    affine[:2] *= -1
    return affine


@pytest.mark.parametrize(
    "locator",
    [
        "../x.npy",
        "a/../../x.npy",
        "/etc/passwd",
        "/etc/x.npz:key",
        "",
        "   ",
        "series:",
        "series:1.2/../3",
        "series:1.2.abc",
        "x\0.npy",
        "x.npz",
    ],
)
def test_locators_stay_inside(tmp_path: Path, locator: str) -> None:
    assert code_of(locator, tmp_path) == "DCM-024"


def test_links_that_leave_the_root_are_refused(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    write_series(outside)
    np.save(tmp_path / "x.npy", VOLUME)
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "x.npy").symlink_to(tmp_path / "x.npy")
    assert code_of("link", root) == "DCM-024"
    assert code_of("x.npy", root) == "DCM-024"
    write_series(root / "s")
    (root / "s" / "stray.dcm").symlink_to(outside / "001.dcm")
    assert code_of("s", root) == "DCM-024"


def test_kinds(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    kinds = {"d": "folder", "x": "dicom", "x.dcm": "dicom", "a.NPY": "npy", "a.npz:k": "npz", "a.nii.gz": "nifti"}
    assert {name: resolve(name, tmp_path).kind for name in kinds} == kinds


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was run",))


def test_pickles_are_never_run(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([_Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", x=np.array([_Bomb()], dtype=object))
    (tmp_path / "p.npy").write_bytes(pickle.dumps(_Bomb()))
    (tmp_path / "p.npz").write_bytes(pickle.dumps(_Bomb()))
    for locator in ("o.npy", "o.npz:x", "p.npy", "p.npz:x"):
        assert code_of(locator, tmp_path) == "DCM-021"


def _declared(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_declared_sizes_are_checked_before_reading(tmp_path: Path) -> None:
    (tmp_path / "big.npy").write_bytes(_declared((100_000, 100_000, 100)))
    with zipfile.ZipFile(tmp_path / "big.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _declared((100_000, 100_000, 100)) + bytes(10_000_000))
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float32)
    (tmp_path / "big.nii").write_bytes(header.binaryblock + bytes(4))
    for locator in ("big.npy", "big.npz:x", "big.nii"):
        assert code_of(locator, tmp_path) == "DCM-021"
        with pytest.raises(DataProblem):
            inspect_image(locator, tmp_path)


def test_damage_and_absence(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(data[:-5])
    np.savez_compressed(tmp_path / "b.npz", x=np.random.default_rng(0).normal(size=(30, 30)))
    packed = bytearray((tmp_path / "b.npz").read_bytes())
    packed[300:320] = bytes(20)
    (tmp_path / "hurt.npz").write_bytes(bytes(packed))
    nibabel.save(nibabel.Nifti1Image(VOLUME.transpose(), np.eye(4)), tmp_path / "v.nii.gz")
    whole = (tmp_path / "v.nii.gz").read_bytes()
    (tmp_path / "short.nii.gz").write_bytes(whole[:-20])
    (tmp_path / "text.nii").write_text("no image")
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan]]))
    np.save(tmp_path / "line.npy", np.arange(4))
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "empty.npy", np.zeros((0, 4)))
    codes = {
        "short.npy": "DCM-021",
        "hurt.npz:x": "DCM-021",
        "short.nii.gz": "DCM-021",
        "text.nii": "DCM-021",
        "nan.npy": "DCM-023",
        "line.npy": "DCM-021",
        "text.npy": "DCM-021",
        "empty.npy": "DCM-021",
        "absent.npy": "DCM-020",
        "absent.npz:x": "DCM-020",
        "absent.nii": "DCM-020",
        "b.npz:y": "DCM-022",
    }
    assert {locator: code_of(locator, tmp_path) for locator in codes} == codes
