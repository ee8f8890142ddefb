"""Segmentations, structure sets and reports: back bit by bit, conformant, read by other tools, refused when wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from tests.dicom import making
from tests.dicom.conformity import complaints
from tests.dicom.test_write import HOW as SERIES_HOW
from validation.dicom.locators import read_image
from validation.dicom.measurement_report import Finding, Measure, read_measurements, write_measurements
from validation.dicom.segmentation import read_segmentation, write_segmentation
from validation.dicom.structure_set import read_structure_set, write_structure_set
from validation.dicom.write import write_series
from validation.errors import ValidationProblem

HOW = replace(SERIES_HOW, synthetic=False, made=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    root = tmp_path_factory.mktemp("objects")
    making.write_series(root / "source", edit=_tilted)
    return read_image("source", root).files


def _tilted(i: int, ds: pydicom.Dataset) -> None:
    """Turn the slices out of the axes, so that rows, columns and signs cannot be mistaken."""
    turn = np.radians(20)
    across, down = [np.cos(turn), np.sin(turn), 0], [0.0, 0.0, -1.0]
    normal = np.cross(across, down)
    ds.ImageOrientationPatient = [f"{v:.9f}" for v in (*across, *down)]
    ds.ImagePositionPatient = [f"{v:.6f}" for v in np.array([-10, -20, -30]) + 2.5 * i * normal]


@pytest.fixture(scope="module")
def masks(files: tuple[Path, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    shape = (len(files), 40, 48)
    made = {name: rng.random(shape) < share for name, share in {"liver": 0.6, "Läsion 2": 0.1, "nothing": 0}.items()}
    made["Läsion 2"][1] = False
    return made


def test_segmentation(files: tuple[Path, ...], masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = write_segmentation(masks, files, tmp_path / "seg.dcm", HOW)
    back = read_segmentation(path, files)
    assert list(back) == list(masks)
    for label, mask in masks.items():
        np.testing.assert_array_equal(back[label], mask)
    assert complaints(path) == []
    ds = hd.seg.segread(path)
    assert ds.segmentation_type.value == "BINARY"
    assert [ds.get_segment_description(k).algorithm_type.value for k in (1, 2, 3)] == ["AUTOMATIC"] * 3
    assert ds.get_segment_description(1).segmented_property_type.value == "10200004"
    assert str(ds.ContentDate) == "20260102"
    scanner, _, model = ds.ContributingEquipmentSequence
    assert (scanner.Manufacturer, scanner.PurposeOfReferenceCodeSequence[0].CodeValue) == ("SIEMENS", "109101")
    assert (model.ManufacturerModelName, model.PurposeOfReferenceCodeSequence[0].CodeValue) == ("Example Net", "109102")
    assert "SyntheticData" not in ds
    source = pydicom.dcmread(files[0])
    assert (ds.StudyInstanceUID, ds.PatientID) == (source.StudyInstanceUID, source.PatientID)
    assert ds.FrameOfReferenceUID == source.FrameOfReferenceUID
    again = write_segmentation(masks, files[::-1], tmp_path / "again.dcm", HOW)
    assert again.read_bytes() == path.read_bytes()
    edited = write_segmentation(masks, files, tmp_path / "edited.dcm", replace(HOW, edited_by_person=True))
    assert hd.seg.segread(edited).get_segment_description(1).algorithm_type.value == "SEMIAUTOMATIC"


def test_segmentation_of_probabilities_and_of_nothing(files: tuple[Path, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    soft = {"nodule": rng.random((4, 40, 48)).astype(np.float32)}
    path = write_segmentation(soft, files, tmp_path / "soft.dcm", HOW)
    assert np.abs(read_segmentation(path, files)["nodule"] - soft["nodule"]).max() <= 0.5 / 255 + 1e-6
    assert complaints(path) == []
    empty = write_segmentation({"nodule": np.zeros((4, 40, 48), bool)}, files, tmp_path / "empty.dcm", HOW)
    assert not read_segmentation(empty, files)["nodule"].any()
    assert complaints(empty) == []


def test_segmentation_with_missing_empty_frames_of_another_tool(files: tuple[Path, ...], tmp_path: Path) -> None:
    """A segmentation that another program wrote, with only the slices that hold something."""
    mask = np.zeros((4, 40, 48), np.uint8)
    mask[2, 5:9, 3:30] = 1
    images = [pydicom.dcmread(p) for p in files]
    code = hd.sr.CodedConcept("85756007", "SCT", "Tissue")
    description = hd.seg.SegmentDescription(1, "theirs", code, code, "MANUAL")
    other = hd.seg.Segmentation(
        images, mask, "BINARY", [description], hd.UID(), 5, hd.UID(), 1, "Maker", "Tool", "1", "1"
    )
    other.save_as(tmp_path / "other.dcm")
    np.testing.assert_array_equal(read_segmentation(tmp_path / "other.dcm", files)["theirs"], mask != 0)


def test_structure_set(files: tuple[Path, ...], masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = write_structure_set(masks, files, tmp_path / "rt.dcm", HOW)
    back = read_structure_set(path, files)
    assert list(back) == list(masks)
    for label, mask in masks.items():
        np.testing.assert_array_equal(back[label], mask)
    assert complaints(path) == []
    ds = pydicom.dcmread(path)
    assert [r.ROIGenerationAlgorithm for r in ds.StructureSetROISequence] == ["AUTOMATIC"] * 3
    assert "ContourSequence" not in ds.ROIContourSequence[2]  # proposed, and found nothing
    uids = {pydicom.dcmread(p).SOPInstanceUID for p in files}
    referenced = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert {i.ReferencedSOPInstanceUID for i in referenced.ContourImageSequence} == uids
    assert write_structure_set(masks, files, tmp_path / "b.dcm", HOW).read_bytes() == path.read_bytes()


def test_contours_lie_where_the_pixels_are(files: tuple[Path, ...], tmp_path: Path) -> None:
    """By the formula of PS3.3 C.7.6.2.1.1, not by reading back: one pixel at row 7, column 11 of slice 2."""
    mask = np.zeros((4, 40, 48), bool)
    mask[2, 7, 11] = True
    ds = pydicom.dcmread(write_structure_set({"dot": mask}, files, tmp_path / "dot.dcm", HOW))
    points = np.array(ds.ROIContourSequence[0].ContourSequence[0].ContourData, float).reshape(-1, 3)
    image = pydicom.dcmread(files[2])
    across, down = np.split(np.array(image.ImageOrientationPatient, float), 2)
    centre = np.array(image.ImagePositionPatient, float) + across * 0.75 * 11 + down * 0.5 * 7
    np.testing.assert_allclose(points.mean(axis=0), centre, atol=1e-4)
    np.testing.assert_allclose(np.ptp(points @ across), 0.75, atol=1e-4)
    np.testing.assert_allclose(np.ptp(points @ down), 0.5, atol=1e-4)


def test_report(files: tuple[Path, ...], masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    segmentation = write_segmentation(masks, files, tmp_path / "seg.dcm", HOW)
    wanted = [
        Finding(label="liver", segment=1, measures=(Measure.volume(1234.5),)),
        Finding(label="Läsion 2", segment=2, measures=(Measure.volume(0.0),)),
        Finding(
            label="noise",
            measures=(
                Measure(name=("noise", "99VAL", "Noise"), value=-12.25, unit=("[hnsf'U]", "UCUM", "Hounsfield unit")),
            ),
        ),
    ]
    path = write_measurements(wanted, files, tmp_path / "sr.dcm", HOW, segmentation)
    assert read_measurements(path) == wanted
    assert complaints(path) == []
    ds = pydicom.dcmread(path)
    assert (ds.CompletionFlag, ds.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    group = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()[0]
    assert group.reference_type.meaning == "Referenced Segment"
    assert write_measurements(wanted, files, tmp_path / "b.dcm", HOW, segmentation).read_bytes() == path.read_bytes()


def test_derived_series_conforms(files: tuple[Path, ...], tmp_path: Path) -> None:
    image = read_image("source", files[0].parents[1])
    for path in write_series(image.array, files, tmp_path / "new", replace(HOW, synthetic=True)):
        assert complaints(path) == []


def test_refusals(files: tuple[Path, ...], masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    making.write_series(tmp_path / "flat", edit=lambda _, ds: delattr(ds, "ImagePositionPatient"), n=1)
    making.write_series(tmp_path / "other")
    making.write_series(tmp_path / "mixed", edit=lambda i, ds: setattr(ds, "StudyInstanceUID", f"1.2.{i}"))
    flat, other, mixed = (sorted((tmp_path / n).iterdir()) for n in ("flat", "other", "mixed"))
    seg = write_segmentation(masks, files, tmp_path / "seg.dcm", HOW)
    rt = write_structure_set(masks, files, tmp_path / "rt.dcm", HOW)
    one = np.zeros((4, 40, 48), bool)
    new = tmp_path / "new.dcm"

    def refused(code: str, call: object, *arguments: object) -> None:
        with pytest.raises(ValidationProblem) as caught:
            call(*arguments)  # type: ignore[operator]
        assert caught.value.code == code
        assert not new.exists()

    for write in (write_segmentation, write_structure_set):
        refused("DCM-030", write, {"a": one[:3]}, files, new, HOW)
        refused("DCM-031", write, {"a": one.astype(int) + 2}, files, new, HOW)
        refused("DCM-014", write, {"a": one[:1]}, flat, new, HOW)
        refused("DCM-032", write, {"a": one}, mixed, new, HOW)
        refused("DCM-033", write, {"a": one}, files, seg, HOW)
        refused("DCM-034", write, {}, files, new, HOW)
        refused("DCM-034", write, {"a\\b": one}, files, new, HOW)
        refused("DCM-034", write, {"a": one, "b": one[:2]}, files, new, HOW)
    refused("DCM-031", write_segmentation, {"a": one + np.float32(np.nan)}, files, new, HOW)
    refused("DCM-035", read_segmentation, rt, files)
    refused("DCM-035", read_segmentation, seg, other)
    refused("DCM-035", read_structure_set, seg, files)
    refused("DCM-035", read_structure_set, rt, other)
    refused("DCM-036", read_measurements, seg)
    refused("DCM-036", write_measurements, [], files, new, HOW)
    refused("DCM-036", write_measurements, [Finding(label="x", segment=9)], files, new, HOW, seg)
    bad = Finding(label="x", measures=(Measure.volume(float("nan")),))
    refused("DCM-031", write_measurements, [bad], files, new, HOW)


def test_a_contour_off_every_slice_or_open_is_refused(files: tuple[Path, ...], tmp_path: Path) -> None:
    mask = np.zeros((4, 40, 48), bool)
    mask[1, 3:6, 3:6] = True
    path = write_structure_set({"a": mask}, files, tmp_path / "rt.dcm", HOW)
    for n, (keyword, value) in enumerate({"ContourGeometricType": "OPEN_PLANAR", "ContourData": [0] * 8}.items()):
        ds = pydicom.dcmread(path)
        setattr(ds.ROIContourSequence[0].ContourSequence[0], keyword, value)
        ds.save_as(tmp_path / f"{n}.dcm")
        with pytest.raises(ValidationProblem, match="closed and planar"):
            read_structure_set(tmp_path / f"{n}.dcm", files)
    ds = pydicom.dcmread(path)
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [float(v) + 0.9 for v in contour.ContourData]
    ds.save_as(tmp_path / "off.dcm")
    with pytest.raises(ValidationProblem, match="no slice"):
        read_structure_set(tmp_path / "off.dcm", files)
