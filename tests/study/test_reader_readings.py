"""What people read enters the record as the protocol planned it, and is computed again from the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.reader_study.known_answers import OWN
from tests.study.small_study import edit, write_study
from tests.study.test_execute import prepare, run_study
from validation.errors import DataProblem, ProtocolProblem
from validation.protocol.plan_schemas import ReaderStudyPlan
from validation.reader_study.analysis import analyse
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.tables import read_scores
from validation.study.reader_readings import analyse_readings
from validation.study.reproduce import reproduce

BLOCK = """\
reader_study:
  modalities: [M1, M2]
  readers: 5
  cases: 70
  prevalence: 0.43
  fallback: U-statistics
"""


def with_readings(folder: Path, table: pd.DataFrame, block: str = BLOCK) -> Path:
    write_study(folder)
    (folder / "protocol.yaml").write_text((folder / "protocol.yaml").read_text() + block)
    table.to_csv(folder / "scores.csv", index=False)
    edit(folder / "study.yaml", "cohort:\n", "readings: {scores: scores.csv}\ncohort:\n")
    return prepare(folder)


def test_readings_of_people_are_in_the_record_and_found_again(tmp_path: Path) -> None:
    table = pd.read_csv(OWN / "own_ordinal.csv", dtype=str).assign(remark="seen by Dr Example")
    run = run_study(with_readings(tmp_path / "squares", table))
    found = json.loads((run / "results.json").read_bytes())["reader_study"]
    expected = analyse(read_scores(OWN / "own_ordinal.csv"), AnalysisPlan(control="M1")).differences[0]
    assert found["simulated"] is False
    assert found["differences"][0]["estimate"] == pytest.approx(expected["estimate"])
    assert found["differences"][0]["verdict"] == expected["verdict"]
    assert found["outcome"] == expected["verdict"]
    assert {c["id"]: c["status"] for c in found["checks"]}["fallback"] == "met"
    assert not any("departure" in w for w in found["warnings"])
    assert "Dr Example" not in (run / "readings" / "scores.csv").read_text()
    assert reproduce(run) == []
    text = (run / "readings" / "scores.csv").read_text()
    (run / "readings" / "scores.csv").write_text(text.replace(",5\n", ",1\n", 3))
    assert reproduce(run) != []  # other readings give other numbers, and that is seen


def plan(**changes: Any) -> ReaderStudyPlan:
    return ReaderStudyPlan(**{"modalities": ["M1", "M2"], "readers": 5, "cases": 70, "prevalence": 0.4} | changes)


def placed(tmp_path: Path, name: str = "own_ordinal.csv") -> Path:
    (tmp_path / "readings").mkdir()
    (tmp_path / "readings" / "scores.csv").write_bytes((OWN / name).read_bytes())
    return tmp_path


def test_departures_are_said_and_other_conditions_refused(tmp_path: Path) -> None:
    run = placed(tmp_path)
    found = analyse_readings(run, plan(readers=8, cases=200))
    assert sum("departure" in w for w in found["warnings"]) == 2
    with pytest.raises(DataProblem, match="not those of the protocol") as refused:
        analyse_readings(run, plan(modalities=["input", "output"]))
    assert refused.value.code == "RUN-057"
    with pytest.raises(ProtocolProblem, match="does not compare"):
        analyse_readings(run, plan(endpoint="agreement"))
    likert = analyse_readings(run, plan(endpoint="likert"))
    assert likert["endpoint"] == "mean_score"


def test_a_design_that_was_not_planned_is_a_departure(tmp_path: Path) -> None:
    found = analyse_readings(placed(tmp_path, "own_splitplot.csv"), plan(method="ustat", readers=6, cases=84))
    assert any("split plot" in w for w in found["warnings"])


def test_marks_need_their_lesions(tmp_path: Path) -> None:
    run = placed(tmp_path, "own_froc_marks.csv")
    marks = plan(modalities=["1", "2"], endpoint="wafroc", readers=4, cases=44)
    with pytest.raises(DataProblem, match="table of lesions"):
        analyse_readings(run, marks)
    (run / "readings" / "lesions.csv").write_bytes((OWN / "own_froc_truth.csv").read_bytes())
    assert analyse_readings(run, marks)["endpoint"] == "wafroc"


def test_readings_without_a_plan_or_a_file_are_refused(tmp_path: Path) -> None:
    table = pd.read_csv(OWN / "own_ordinal.csv", dtype=str)
    with pytest.raises(ProtocolProblem, match="plans no reader study"):
        run_study(with_readings(tmp_path / "one", table, block=""))
    folder = with_readings(tmp_path / "two", table)
    (folder / "scores.csv").unlink()
    with pytest.raises(DataProblem, match="no table of readings"):
        run_study(folder)
