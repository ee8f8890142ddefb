from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from validation.cohort.independence import independence
from validation.errors import DataProblem
from validation.protocol.schema import Independence

HOLDOUT = pd.DataFrame(
    {
        "patient_id": ["007", "B", "C"],
        "site": [1, 2, 2],
        "acquired": ["2024-05-01", "20240601", "2024-07-01T10:00:00"],
    },
    index=list("abc"),
)


def plan(after: str | None = None, *columns: str) -> Independence:
    return Independence.model_validate(
        {"disjoint": list(columns) or ["patient_id"], "from": "train.csv", "after": after}
    )


def outcome(tmp_path: Path, training: str, after: str | None = None, *columns: str) -> dict[str, dict[str, object]]:
    (tmp_path / "train.csv").write_text(training)
    return independence(HOLDOUT, plan(after, *columns), tmp_path)


def test_disjoint(tmp_path: Path) -> None:
    found = outcome(tmp_path, "patient_id,site\nX,8\nY,9\nY,9\n", None, "patient_id", "site")
    assert found["patient_id"] == {"n_holdout": 3, "n_training": 2, "n_shared": 0, "n_missing": 0, "outcome": "pass"}
    assert found["site"]["outcome"] == "pass"


@pytest.mark.parametrize("spelling", ["007", "7", " b ", "c", "0007"])
def test_shared_patient_is_found_in_any_spelling(tmp_path: Path, spelling: str) -> None:
    found = outcome(tmp_path, f"patient_id\nX\n{spelling}\n")
    assert found["patient_id"]["n_shared"] == 1
    assert found["patient_id"]["outcome"] == "fail"


def test_numbers_in_a_parquet_table_meet_text(tmp_path: Path) -> None:
    pd.DataFrame({"patient_id": [7.0, 99.0]}).to_parquet(tmp_path / "train.parquet")
    manifest = Independence.model_validate({"disjoint": ["patient_id"], "from": "train.parquet"})
    assert independence(HOLDOUT, manifest, tmp_path)["patient_id"]["n_shared"] == 1


def test_a_missing_value_is_never_a_pass(tmp_path: Path) -> None:
    found = outcome(tmp_path, "patient_id,k\nX,1\n,2\n")
    assert found["patient_id"]["outcome"] == "inconclusive"
    assert found["patient_id"]["n_missing"] == 1


def test_time(tmp_path: Path) -> None:
    assert outcome(tmp_path, "patient_id,acquired\nX,2024-04-30\n", "acquired")["acquired"]["outcome"] == "pass"
    late = outcome(tmp_path, "patient_id,acquired\nX,2024-06-01\nY,20200101\n", "acquired")["acquired"]
    assert (late["n_shared"], late["outcome"]) == (2, "fail")
    with pytest.raises(DataProblem) as caught:
        outcome(tmp_path, "patient_id,acquired\nX,last spring\n", "acquired")
    assert caught.value.code == "COH-051"
    assert "spring" not in str(caught.value)


def test_columns_must_exist(tmp_path: Path) -> None:
    for training, columns in (("patient\nX\n", ("patient_id",)), ("ward\nX\n", ("ward",))):
        with pytest.raises(DataProblem) as caught:
            outcome(tmp_path, training, None, *columns)
        assert caught.value.code == "COH-050"
    with pytest.raises(DataProblem) as caught:
        independence(HOLDOUT, plan(), tmp_path / "nowhere")
    assert caught.value.code == "COH-001"
