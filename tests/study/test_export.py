"""Outputs of a run as DICOM objects: derived from the right images, outside the record, entered in the ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.dicom import making
from tests.study.small_study import edit, write_study
from tests.study.test_execute import prepare, run_study
from validation.cli.main import main
from validation.dicom.locators import read_image
from validation.dicom.segmentation import read_segmentation
from validation.dicom.structure_set import read_structure_set
from validation.study.prepare import read_ledger
from validation.study.spec import load_study

MODEL = 'model: {name: halver, version: 1.0.0, kind: precomputed, path: outputs, outputs: "{case_id}.npy"}'

OVERLAP = """endpoints:
  - id: E1
    role: primary
    title: Overlap
    metric: {name: dice, structure: middle}
    summary: mean
    hypothesis: {type: performance_goal, margin: 0.0, unit: "1"}
    hazards: [H-01]
multiplicity: {method: fixed_sequence, order: [E1]}
"""


def _on_dicom(folder: Path, *, labels: bool) -> Path:
    """Turn the inputs of the first two cases of a small study into DICOM series of one and of three slices."""
    write_study(folder, patients=14, size=24)
    for number, case in enumerate(("c000", "c001")):
        pixels = np.load(folder / "data" / f"{case}.in.npy")

        def change(i: int, ds: pydicom.Dataset, pixels: np.ndarray = pixels, number: int = number) -> None:
            ds.Rows, ds.Columns, ds.PixelSpacing = 24, 24, ["1", "1"]
            ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
            ds.PatientID = f"SECRET-{number}"
            ds.PixelData = np.rint(pixels).astype("<i2").tobytes()

        making.write_series(folder / "data" / f"{case}.dicom", n=1, edit=change)
        edit(folder / "data" / "cases.csv", f"{case}.in.npy", f"{case}.dicom")
    if labels:
        edit(folder / "study.yaml", MODEL, MODEL[:-1] + ", answer: labels, structures: {middle: 1, lesion: 2}}")
        for path in (folder / "outputs").glob("*.npy"):
            image = np.load(path)
            np.save(path, np.digitize(image, [40, 50]).astype("float32"))
        head, _, rest = (folder / "protocol.yaml").read_text().partition("endpoints:")
        (folder / "protocol.yaml").write_text(head + OVERLAP)
        assert rest
    return folder


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return run_study(prepare(_on_dicom(tmp_path / "squares", labels=False)))


def _call(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_series(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    call = ["pacs", "export", str(finished), "--case", "c000", "--case", "c001", "--manufacturer", "Maker"]
    assert _call([*call, "--to", str(out), "--by", "tester"]) == 0
    assert "2 cases written as 2 objects" in capsys.readouterr().out
    folder = finished.parents[1]
    for case in ("c000", "c001"):
        made = read_image(f"{case}/series", out)
        wanted = np.load(folder / "outputs" / f"{case}.npy")
        assert np.abs(made.array - wanted).max() <= 0.5
        ds, source = (
            pydicom.dcmread(made.files[0]),
            pydicom.dcmread(next((folder / "data" / f"{case}.dicom").iterdir())),
        )
        assert (ds.PatientID, ds.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
        assert (ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions) == ("Maker", "halver", "1.0.0")
        assert ds.SyntheticData == "YES"
        assert ds.SeriesDescription.startswith("AI ")
    assert [e.reason for e in read_ledger(load_study(folder))][-1] == "export of outputs as DICOM"
    everything = b"".join(p.read_bytes() for p in finished.rglob("*") if p.is_file())
    assert b"SECRET" not in everything
    again = tmp_path / "again"
    assert _call([*call, "--to", str(again), "--by", "tester"]) == 0
    for path in out.rglob("*.dcm"):
        assert (again / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_refusals(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (
        (["--to", str(finished / "dicom")], 2),
        (["--to", str(finished.parent)], 2),
        (["--to", str(tmp_path / "a"), "--case", "nobody"], 2),
        (["--to", str(tmp_path / "b"), "--case", "c004"], 3),
    ):
        assert _call(["pacs", "export", str(finished), *arguments]) == code
        assert "PACS-04" in capsys.readouterr().err
    assert _call(["pacs", "export", str(finished), "--to", str(tmp_path / "c")]) == 1  # two of all cases are DICOM
    said = capsys.readouterr().out
    assert "2 cases written" in said
    assert "left out: c004: its input is no DICOM series." in said
    edit(finished.parents[1] / "study.yaml", "version: 1.0.0", "version: 1.0.1")
    np.save(finished.parents[1] / "outputs" / "c000.npy", np.zeros((24, 24), "float32"))
    assert _call(["pacs", "export", str(finished), "--to", str(tmp_path / "d")]) == 2
    assert "not the one of the run" in capsys.readouterr().err


def test_label_maps(tmp_path: Path) -> None:
    run = run_study(prepare(_on_dicom(tmp_path / "squares", labels=True)))
    out = tmp_path / "out"
    assert _call(["pacs", "export", str(run), "--to", str(out), "--case", "c001"]) == 0
    folder = run.parents[1]
    source = list((folder / "data" / "c001.dicom").iterdir())
    wanted = np.load(folder / "outputs" / "c001.npy")[None]
    for masks in (
        read_segmentation(out / "c001" / "segmentation.dcm", source),
        read_structure_set(out / "c001" / "structures.dcm", source),
    ):
        np.testing.assert_array_equal(masks["middle"], wanted == 1)
        np.testing.assert_array_equal(masks["lesion"], wanted == 2)
    assert not (out / "c001" / "volumes.dcm").exists()  # one slice has no volume
