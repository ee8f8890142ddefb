"""Opening cohorts: table, headers, conflicts, rejections, and every refusal with file and line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydantic import ValidationError

from tests.dicom.making import stored, write_series
from validation.cohort.open import Cohort, open_cohort
from validation.cohort.spec import ArraySource, CohortSpec
from validation.errors import DataProblem
from validation.tables import read_table


def write_table(root: Path, text: str) -> None:
    (root / "cases.csv").write_text(text, encoding="utf-8")


def opened(root: Path, **spec: object) -> Cohort:
    return open_cohort(CohortSpec.model_validate({"table": "cases.csv", "folder": "images", **spec}), root)


def refused(root: Path, **spec: object) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        opened(root, **spec)
    assert caught.value.why
    assert "SECRET" not in str(caught.value)
    return caught.value


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two cases of DICOM: input with slope 2, reference with slope 1."""
    for name in ("a", "b"):
        write_series(tmp_path / "images" / name / "input")
        write_series(tmp_path / "images" / name / "reference", slope=1.0)
    write_table(
        tmp_path,
        "case_id,patient_id,input,reference,sex,kvp,age_years\n"
        "b,007,b/input,b/reference,F,120,\na,008,a/input,a/reference,M,,61\n",
    )
    return tmp_path


def test_cases_join_table_and_headers(root: Path) -> None:
    cohort = opened(root)
    assert cohort.cases.index.tolist() == ["a", "b"]
    assert cohort.cases.index.name == "case_id"
    assert cohort.cases["patient_id"].tolist() == ["008", "007"]
    assert cohort.cases["manufacturer"].tolist() == ["Siemens"] * 2
    assert cohort.cases["kvp"].tolist() == [120.0, 120.0]  # table where it has a value, header elsewhere
    assert cohort.cases["age_years"].tolist() == [61.0, 61.0]
    assert cohort.cases["sex"].tolist() == ["M", "F"]
    assert [(f.case_id, f.column) for f in cohort.findings] == [("a", "sex")]
    assert cohort.rejections == {}
    assert not any("SECRET" in str(v) for v in cohort.cases.to_numpy().ravel())


def test_load(root: Path) -> None:
    case = opened(root).load("a")
    for role, slope in (("input", 2.0), ("reference", 1.0)):
        np.testing.assert_array_equal(case.arrays[role], np.stack([stored(i) * slope - 1024 for i in range(4)]))
    assert case.spacing_mm == (2.5, 0.5, 0.75)
    assert case.unit == "HU"
    assert case.regular
    assert case.tags["kernel"] == "B30f"


def test_arrays_with_unit_offset_and_masks(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    np.savez(images / "all.npz", low=stored(0), full=stored(1), mask=stored(0) > 50)
    write_table(
        tmp_path,
        "id,subject,low_dose,reference,mask.uniform\n1,s1,all.npz:low,all.npz:full,all.npz:mask\n"
        "2,s1,all.npz:full,all.npz:full,\n",
    )
    cohort = opened(
        tmp_path,
        case_id="id",
        columns={"patient_id": "subject", "input": "low_dose"},
        arrays={"unit": "HU", "intercept": -1000, "spacing_mm": [0.7, 0.8]},
    )
    case = cohort.load("1")
    np.testing.assert_array_equal(case.arrays["input"], stored(0) - 1000.0)
    np.testing.assert_array_equal(case.masks["uniform"], stored(0) > 50)
    assert case.masks["uniform"].dtype == bool
    assert (case.spacing_mm, case.unit) == ((0.7, 0.8), "HU")
    assert cohort.load("2").masks == {}


def test_locators_that_look_like_numbers_are_names(tmp_path: Path) -> None:
    write_series(tmp_path / "images" / "12")
    pd.DataFrame({"case_id": [1], "patient_id": [5], "input": [12]}).to_parquet(tmp_path / "cases.parquet")
    assert opened(tmp_path, table="cases.parquet").load("1").arrays["input"].shape == (4, 40, 48)
    write_table(tmp_path, "case_id,patient_id,mask.x\n1,5,12\n")
    case = opened(tmp_path).load("1")
    assert (case.shape, list(case.masks), case.arrays) == ((4, 40, 48), ["x"], {})


def test_parquet_table(root: Path) -> None:
    frame = pd.read_csv(root / "cases.csv", dtype=str)
    frame.to_parquet(root / "cases.parquet")
    assert opened(root, table="cases.parquet").cases["patient_id"].tolist() == ["008", "007"]


def test_case_table_typing(tmp_path: Path) -> None:
    write_table(tmp_path, "a,b,c,d,e,f,g\n007,1,1.5,true,NA,1,1e400\n008,2,.5,False,None,,inf\n")
    frame = read_table(tmp_path / "cases.csv")
    assert frame["a"].tolist() == ["007", "008"]
    assert frame["b"].dtype == "int64"
    assert frame["c"].tolist() == [1.5, 0.5]
    assert frame["d"].dtype == "boolean"
    assert frame["e"].tolist() == ["NA", "None"]
    assert frame["f"].dtype == "Int64"
    assert frame["g"].tolist() == ["1e400", "inf"]


@pytest.mark.parametrize(
    ("text", "code", "where", "word"),
    [
        ("case_id,patient,input\n1,p,x\n", "COH-005", "cases.csv:1", "patient_id"),
        ("case,patient_id,input\n1,p,x\n", "COH-005", "cases.csv:1", "case_id"),
        ("case_id,patient_id,input\n", "COH-004", "cases.csv", "no rows"),
        ("", "COH-004", "cases.csv", "no rows"),
        ("case_id,patient_id,input\n1,p,x\n2,p,x\n1,q,x\n", "COH-006", "cases.csv:4", "more than once"),
        ("case_id,patient_id,input\n1,p,x\n\n ,p,x\n", "COH-006", "cases.csv:4", "no id"),
        ("case_id,patient_id,input\n1,p,x\n2,,x\n", "COH-007", "cases.csv:3", "patient_id"),
        ('case_id,patient_id,input\n1,"p\nq",x\n2,,x\n', "COH-007", "cases.csv:4", "patient_id"),
        ("case_id,patient_id,input,reference\n1,p,x,\n", "COH-009", "cases.csv:2", "reference"),
        ("case_id,patient_id,input\n1,p,x\n2,p,x,extra\n", "COH-002", "cases.csv:3", "4 cells"),
        ("case_id,patient_id,input\n1,p\n", "COH-002", "cases.csv:2", "2 cells"),
        ("case_id,patient_id,input,input\n1,p,x,y\n", "COH-003", "cases.csv:1", "twice"),
        ('case_id,patient_id,input\n1,"p,x\n', "COH-002", "cases.csv:2", "not valid CSV"),
        ("case_id,patient_id,input\n1,p,\0\n", "COH-002", "cases.csv:2", "NUL"),
    ],
)
def test_table_refusals_name_the_line(tmp_path: Path, text: str, code: str, where: str, word: str) -> None:
    (tmp_path / "images").mkdir()
    write_table(tmp_path, text)
    problem = refused(tmp_path)
    assert problem.code == code
    assert problem.where.endswith(where)
    assert word in problem.what


def test_table_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "cases.csv").write_bytes("case_id,patient_id,input\n1,Müller,x\n".encode("latin-1"))
    problem = refused(tmp_path)
    assert (problem.code, problem.where[-11:]) == ("COH-002", "cases.csv:2")
    (tmp_path / "cases.parquet").write_bytes(b"no parquet")
    assert refused(tmp_path, table="cases.parquet").code == "COH-002"
    assert refused(tmp_path, table="absent.csv").code == "COH-001"
    assert refused(tmp_path, table="images").code == "COH-001"
    assert refused(tmp_path, folder="absent").code == "COH-010"


def test_byte_order_mark_is_not_part_of_the_first_name(root: Path) -> None:
    text = (root / "cases.csv").read_bytes()
    (root / "cases.csv").write_bytes(b"\xef\xbb\xbf" + text)
    assert len(opened(root).cases) == 2


def test_missing_reference_file_names_case_and_column(root: Path) -> None:
    for path in (root / "images" / "b" / "reference").iterdir():
        path.unlink()
    problem = refused(root)
    assert problem.code == "DCM-007"
    assert problem.where.startswith("case b, reference")


def test_unreadable_cases_can_be_rejected_and_are_listed(root: Path) -> None:
    path = root / "images" / "b" / "input" / "002.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(root).code == "DCM-002"
    cohort = opened(root, unreadable="reject")
    assert cohort.cases.index.tolist() == ["a"]
    assert cohort.n_listed == 2
    assert cohort.rejections == {"b": "input: DCM-002: the pixel data are damaged or shorter than the header declares."}
    (root / "images" / "a" / "input" / "002.dcm").write_bytes(b"x")
    assert refused(root, unreadable="reject").code == "COH-015"


def _reference(root: Path, **changes: object) -> str:
    for path in (root / "images" / "a" / "reference").iterdir():
        path.unlink()
    write_series(root / "images" / "a" / "reference", **changes)  # type: ignore[arg-type]
    with pytest.raises(DataProblem) as caught:
        opened(root).load("a")
    assert caught.value.why
    return caught.value.code


def test_images_of_a_case_must_fit(root: Path) -> None:
    def raw(i: int, ds: pydicom.Dataset) -> None:
        ds.RescaleType = "US"

    def moved(i: int, ds: pydicom.Dataset) -> None:
        ds.ImagePositionPatient = [0, 0, 2.5 * i]

    assert _reference(root, n=3) == "COH-011"
    assert _reference(root, spacing=2.6) == "COH-012"
    assert _reference(root, edit=moved) == "COH-012"
    assert _reference(root, edit=raw) == "COH-013"


def test_arrays_without_unit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", stored(0))
    write_table(tmp_path, "case_id,patient_id,input\n1,p,a.npy\n")
    with pytest.raises(DataProblem) as caught:
        opened(tmp_path).load("1")
    assert caught.value.code == "COH-014"


def test_settings_are_strict() -> None:
    for wrong in (
        {"tabel": "x"},
        {"table": "x", "arrays": {"units": "HU"}},
        {"table": "x", "columns": {"a": "c", "b": "c"}},
    ):
        with pytest.raises(ValidationError):
            CohortSpec.model_validate(wrong)
    with pytest.raises(ValidationError):
        ArraySource(spacing_mm=[0.0, 1.0])


def test_memory_does_not_grow_with_the_number_of_cases(tmp_path: Path) -> None:
    """Open and read 10 and 40 cases: the peak of reading is one case, the rest is a row of the table per case."""
    (tmp_path / "images").mkdir()
    peaks = {}
    for n in (10, 40):
        rows = ["case_id,patient_id,input"]
        for i in range(n):
            np.save(tmp_path / "images" / f"{i}.npy", np.full((500, 500), i, np.float32))
            rows.append(f"{i:03d},p{i},{i}.npy")
        write_table(tmp_path, "\n".join(rows) + "\n")
        cohort = opened(tmp_path, arrays={"unit": "HU"})
        tracemalloc.start()
        for case_id in cohort.cases.index:
            assert cohort.load(case_id).arrays["input"].mean() == int(case_id)
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[40] < peaks[10] * 1.1
