from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.cohort.test_open import opened, write_table
from tests.dicom.making import write_series
from validation.cohort.flow import case_flow, missing_covariates
from validation.cohort.pseudonyms import KEY_FILE, pseudonym, pseudonyms, study_key
from validation.errors import DataProblem, ProtocolProblem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abcd":
        write_series(tmp_path / "images" / name, n=2)
    for name in "cd":
        (tmp_path / "images" / name / "001.dcm").write_bytes(b"x")
    write_table(
        tmp_path,
        "case_id,patient_id,input,age\na,1,a,40\nb,2,b,\nc,3,c,50\nd,4,d,10\n",
    )
    return tmp_path


def test_flow_accounts_for_every_case(root: Path) -> None:
    cohort = opened(root, unreadable="reject")
    flow = case_flow(cohort, "age >= 18 and kvp == 120")
    assert flow.eligible == ("a",)
    assert flow.exclusions == {
        "b": "eligibility cannot be decided: no value of age",
        "d": "does not satisfy: age >= 18 and kvp == 120",  # certain from the table, though unreadable
    }
    assert list(flow.rejections) == ["c"]
    record = flow.to_dict()
    assert (record["n_listed"], record["n_eligible"], record["n_excluded"], record["n_rejected"]) == (4, 2, 2, 1)
    assert record["n_listed"] == record["n_eligible"] + record["n_excluded"]
    assert case_flow(cohort, None).eligible == ("a", "b")


def test_no_eligible_case_and_bad_expressions(root: Path) -> None:
    cohort = opened(root, unreadable="reject")
    with pytest.raises(DataProblem) as caught:
        case_flow(cohort, "age > 100")
    assert caught.value.code == "COH-030"
    with pytest.raises(ProtocolProblem):
        case_flow(cohort, "agee > 100")


def test_missing_covariates(root: Path) -> None:
    cases = opened(root, unreadable="reject").cases
    assert missing_covariates(cases, ["age", "kvp", "race", "age"]) == {
        "age": {"n_missing": 1, "n": 2, "share": 0.5},
        "kvp": {"n_missing": 0, "n": 2, "share": 0.0},
        "race": {"n_missing": 2, "n": 2, "share": 1.0},
    }


def test_pseudonyms_are_keyed_and_stable(tmp_path: Path) -> None:
    key = study_key(tmp_path)
    assert len(key) == 32
    assert study_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert pseudonyms(["p1", "p2", " p1"], key) == [pseudonym("p1", key), pseudonym("p2", key), pseudonym("p1", key)]
    other = tmp_path / "other"
    other.mkdir()
    assert pseudonym("p1", study_key(other)) != pseudonym("p1", key)


def test_careless_keys_are_refused(tmp_path: Path) -> None:
    study_key(tmp_path)
    path = tmp_path / KEY_FILE
    path.chmod(0o644)
    with pytest.raises(DataProblem, match="other users"):
        study_key(tmp_path)
    path.chmod(0o600)
    path.write_text("abc")
    with pytest.raises(DataProblem, match="damaged"):
        study_key(tmp_path)
    path.unlink()
    os.symlink("/dev/null", path)
    with pytest.raises(DataProblem, match="plain file"):
        study_key(tmp_path)
