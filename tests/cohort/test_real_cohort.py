"""A cohort of real scans: DICOM of two makers, and the paired low-dose arrays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohort.test_open import opened, write_table
from tests.dicom.test_real_series import unpack
from validation.cohort.flow import case_flow
from validation.cohort.open import open_cohort
from validation.cohort.seal import check_seal, seal
from validation.cohort.spec import ArraySource, CohortSpec

pytestmark = pytest.mark.shared


def test_two_vendors(shared: Path, tmp_path: Path) -> None:
    for name in ("ge_head_28", "philips_phantom_29"):
        unpack(shared, f"ct_two_vendor/{name}.zip", tmp_path / "images")
    write_table(tmp_path, "case_id,patient_id,input,reference\nhead,1,GE,GE\nphantom,2,Philips,Philips\n")
    cohort = opened(tmp_path)
    assert cohort.cases["manufacturer"].tolist() == ["GE", "Philips"]
    assert {f.case_id for f in cohort.findings} == {"head"}
    assert case_flow(cohort, "slice_thickness_mm <= 5").eligible == ("phantom",)
    assert not cohort.load("head").regular
    assert cohort.load("phantom").regular
    manifest = seal(cohort, tmp_path / "m.json")
    assert len(manifest["files"]) == 56
    check_seal(cohort, manifest)


def test_paired_low_dose_arrays(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "imaging" / "ct_lowdose_L506"
    write_table(tmp_path, "case_id,patient_id,input,reference\nL506,L506,l506.npz:noise_QD,l506.npz:noise_FD\n")
    spec = CohortSpec(
        folder=str(folder), table="cases.csv", arrays=ArraySource(unit="HU", intercept=-1024.0, spacing_mm=[0.7, 0.7])
    )
    case = open_cohort(spec, tmp_path).load("L506")
    assert case.arrays["input"].shape == (512, 512)
    assert case.arrays["input"].mean() == pytest.approx(
        573.8504981994629 - 1024, abs=1e-3
    )  # mean recorded at the source
    assert case.arrays["reference"].mean() == pytest.approx(566.9236488342285 - 1024, abs=1e-3)
