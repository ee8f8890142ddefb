"""The shift plan of a protocol, applied to the cohort of a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from validation.digest import canonical_json, sha256_file
from validation.errors import DataProblem
from validation.protocol.plan_schemas import ShiftPlan, ShiftVariable
from validation.study.examine import _shift


def protocol(baseline: str | None) -> SimpleNamespace:
    plan = ShiftPlan(variables=[ShiftVariable(column="dose", statistic="ks")], baseline=baseline)
    return SimpleNamespace(shift=plan, population=SimpleNamespace(cluster="patient_id"))


def test_the_cohort_is_compared_with_the_development_cases(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = [f"p{k}" for k in range(60)]
    frame = pd.DataFrame({"patient_id": [f"t{n}" for n in names], "dose": rng.normal(size=60)})
    frame.to_csv(tmp_path / "training.csv", index=False)
    cases = pd.DataFrame({"patient_id": names, "dose": rng.normal(2, 1, 60)})
    found = _shift(protocol("training.csv"), cases, tmp_path)  # type: ignore[arg-type]
    assert found["variables"]["dose"]["finding"] == "shifted"
    assert found["settings"]["baseline_sha256"] == sha256_file(tmp_path / "training.csv")
    canonical_json(found)
    assert _shift(protocol(None), cases, tmp_path) == {}  # type: ignore[arg-type]
    with pytest.raises(DataProblem, match="dose"):
        _shift(protocol("training.csv"), cases.drop(columns="dose"), tmp_path)  # type: ignore[arg-type]
