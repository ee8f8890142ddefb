"""Localisation studies: figures of merit from marks, their analysis, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tests.reader_study.known_answers import OWN
from validation.cli.readers import command
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import Analysis, analyse
from validation.reader_study.covariance import jackknife_covariance
from validation.reader_study.endpoints import LOCALISATION
from validation.reader_study.judgement import Claim
from validation.reader_study.localisation import analyse_marks, measure_marks
from validation.reader_study.marks import MarkedStudy, from_tables, read_marks
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan

NAMES = {
    "wAFROC": "wafroc",
    "AFROC": "afroc",
    "wAFROC1": "wafroc1",
    "AFROC1": "afroc1",
    "HrAuc": "hr_auc",
    "HrSe": "hr_sensitivity",
    "HrSp": "hr_specificity",
    "MaxLLF": "lesion_fraction",
    "MaxNLF": "false_marks",
    "MaxNLFAllCases": "false_marks_all",
}
DATA = ["rj04_federica", "rj05_thompson", "rj06_magnus", "rj13_dobbins3"]


def own() -> MarkedStudy:
    return read_marks(OWN / "own_froc_marks.csv", OWN / "own_froc_truth.csv")


def agree(result: Analysis, study: MarkedStudy, theirs: dict[str, Any], effects: str) -> None:
    foms = theirs["FOMs"]["foms"]
    values = np.array(foms["values"] if isinstance(foms, dict) else foms, dtype=float)
    ours = np.array([row["estimate"] for row in result.readers]).reshape(len(study.readers), -1).T
    np.testing.assert_allclose(ours, values, rtol=1e-9, atol=1e-12)
    interval = theirs[effects]["ciDiffTrt"]
    rows = result.differences
    np.testing.assert_allclose([r["estimate"] for r in rows], np.atleast_1d(interval["Estimate"]), atol=1e-12)
    parts = result.components
    if effects == "FRRC" and result.method == "or" and parts["cov2"] < parts["cov3"]:
        # fixed readers: RJafroc sets Cov2 - Cov3 to 0 where negative, we do not (see conventions)
        theirs_se = np.sqrt(2 / len(study.readers) * (parts["var_error"] - parts["cov1"]))
        np.testing.assert_allclose(theirs_se, interval["StdErr"], rtol=1e-9)
        return
    np.testing.assert_allclose([r["se"] for r in rows], np.atleast_1d(interval["StdErr"]), rtol=1e-9)
    p = np.atleast_1d(interval.get("PrGTt", interval.get("PrGTz")))
    np.testing.assert_allclose([r["p_value"] for r in rows], p, atol=1e-7)


@pytest.mark.shared
@pytest.mark.parametrize("name", DATA)
def test_published_studies_equal_rjafroc_2_1_3(shared: Path, name: str) -> None:
    """All figures, OR and DBM, random and fixed readers and cases; HrSe/HrSp by the case count of their class."""
    folder = shared / "reference/mrmc"
    study = read_marks(folder / f"data/froc_{name}_marks.csv", folder / f"data/froc_{name}_truth.csv")
    gold = json.loads((folder / f"gold/rjafroc_froc_{name}.json").read_text())
    assert gold["meta"]["version"] == "2.1.3"
    rows = [row for row in gold["results"] if row["FOM"] in NAMES]
    assert len(rows) == 30
    for row in rows:
        plan = AnalysisPlan(
            endpoint=NAMES[row["FOM"]],  # type: ignore[arg-type]
            method=row["method"].lower(),
            effects=Effects[row["analysisOption"]],
        )
        agree(analyse_marks(study, plan), study, row["result"], row["analysisOption"])


def test_own_study_equals_rjafroc_2_1_3() -> None:
    gold = json.loads((OWN / "rjafroc_own_froc.json").read_text())
    assert gold["meta"]["version"] == "2.1.3"
    study = own()
    for row in gold["results"]:
        plan = AnalysisPlan(endpoint=NAMES[row["FOM"]], effects=Effects[row["analysis"]])  # type: ignore[arg-type]
        agree(analyse_marks(study, plan), study, row["result"], row["analysis"])


@pytest.mark.parametrize("endpoint", LOCALISATION)
def test_closed_forms_equal_deleting_each_case(endpoint: str) -> None:
    marks = pd.read_csv(OWN / "own_froc_marks.csv", dtype=str)
    truth = pd.read_csv(OWN / "own_froc_truth.csv", dtype=str)
    few = truth["case"].unique()[::3]
    marks, truth = marks[marks["case"].isin(few)], truth[truth["case"].isin(few)]
    study = from_tables(marks, truth)
    plan = AnalysisPlan(endpoint=endpoint)  # type: ignore[arg-type]
    one_class = {"lesion_fraction": 1, "hr_sensitivity": 1, "hr_specificity": 0, "false_marks": 0}.get(endpoint)
    left_out = []
    for k, case in enumerate(study.cases):
        if one_class is None or study.positive[k] == bool(one_class):
            kept = from_tables(marks[marks["case"] != case], truth[truth["case"] != case])
            left_out.append(measure_marks(kept, plan).values.ravel())
    found = measure_marks(study, plan)
    np.testing.assert_allclose(found.covariance, jackknife_covariance(np.array(left_out).T[None]), atol=1e-12)


def test_a_study_by_hand() -> None:
    """Two non-diseased cases with false marks 1 and none; two diseased: lesions at 2 and unmarked, and at 0.5."""
    marks = pd.DataFrame(
        [
            ("a", "m", "n1", "NL", None, 1.0),
            ("a", "m", "p1", "LL", "1", 2.0),
            ("a", "m", "p2", "LL", "1", 0.5),
            ("a", "m", "p2", "NL", None, 3.0),
        ],
        columns=["reader", "modality", "case", "mark_type", "lesion_id", "score"],
    )
    truth = pd.DataFrame(
        {"case": ["n1", "n2", "p1", "p1", "p2"], "truth": [0, 0, 1, 1, 1], "lesion_id": [None, None, "1", "2", "1"]}
    )
    study = from_tables(marks, truth)

    def value(endpoint: str) -> float:
        return float(measure_marks(study, AnalysisPlan(endpoint=endpoint)).values[0, 0, 0])  # type: ignore[arg-type]

    # p1: lesion 1 beats both (1, 1), lesion 2 loses to 1 and ties with "no mark" (0, 1/2); p2: loses to 1, beats none
    assert value("wafroc") == pytest.approx((0.5 * (2 + 0.5) + 1) / 4)
    assert value("afroc") == pytest.approx((2 + 0.5 + 1) / 6)
    assert value("lesion_fraction") == pytest.approx(2 / 3)
    assert value("false_marks") == pytest.approx(0.5)
    assert value("hr_auc") == 1.0
    assert value("hr_sensitivity") == 1.0
    assert value("hr_specificity") == 0.5
    assert value("alroc") == 0.5  # p2's highest mark misses the lesion


def test_marks_are_joined_to_lesions_by_distance() -> None:
    marks = pd.DataFrame(
        {"reader": "a", "modality": "m", "case": ["p", "p", "p", "n"], "score": [1, 2, 3, 4], "x": [0, 9, 50, 0]}
    ).assign(y=0)
    truth = pd.DataFrame({"case": ["p", "p", "n"], "truth": [1, 1, 0], "lesion_id": ["1", "2", None]})
    truth = truth.assign(x=[1, 10, None], y=[0, 0, None])
    study = from_tables(marks, truth, radius=2)
    assert study.lesion[0, 0].tolist() == [1, 2]
    assert study.non_lesion[0, 0].tolist() == [4, 3]
    assert any("within 2" in note for note in study.notes)
    with pytest.raises(DataProblem, match="radius"):
        from_tables(marks, truth)


def test_readers_without_marks_and_doubled_marks_are_said() -> None:
    marks = pd.read_csv(OWN / "own_froc_marks.csv", dtype=str)
    truth = pd.read_csv(OWN / "own_froc_truth.csv", dtype=str)
    silent = marks[~((marks["reader"] == "1") & (marks["modality"] == marks["modality"].iloc[0]))]
    study = from_tables(silent, truth)
    assert any("no mark at all by 1" in note for note in study.notes)
    nothing_marked = measure_marks(study, AnalysisPlan(endpoint="wafroc")).values[0, 0, 0]
    assert nothing_marked == pytest.approx(0.5)  # chance
    lesion = marks[marks["mark_type"] == "LL"].head(1)
    doubled = from_tables(pd.concat([marks, lesion.assign(score="99")]), truth)
    assert doubled.lesion.max() == 99
    assert any("highest rating counts" in note for note in doubled.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, t: (m.drop(columns="score"), t), "no column 'score'"),
        (lambda m, t: (m.assign(score="high"), t), "not a finite number"),
        (lambda m, t: (m.assign(case="unheard of"), t), "cases that the truth does not have"),
        (lambda m, t: (m.assign(mark_type="LL", lesion_id="77"), t), "lesion that the truth does not have"),
        (lambda m, t: (m.assign(mark_type="??"), t), "something else than NL"),
        (lambda m, t: (m, t.assign(truth="2")), "truth other than 0 and 1"),
        (lambda m, t: (m, t.assign(weight="0.9")), "do not sum to 1"),
        (lambda m, t: (m, pd.concat([t, t])), "has one twice"),
        (lambda m, t: (m.head(0), t), "there is no mark"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    marks = pd.read_csv(OWN / "own_froc_marks.csv", dtype=str)
    truth = pd.read_csv(OWN / "own_froc_truth.csv", dtype=str)
    with pytest.raises(DataProblem, match=message) as problem:
        from_tables(*change(marks, truth))
    assert problem.value.code == "RDR-030"


def test_plans_that_do_not_fit_marks_are_refused() -> None:
    study = own()
    for plan in (
        AnalysisPlan(),
        AnalysisPlan(endpoint="wafroc", covariance="delong"),
        AnalysisPlan(endpoint="wafroc", method="ustat"),
        AnalysisPlan(endpoint="false_marks", claim=Claim.NON_INFERIORITY, margin=0.1),
    ):
        with pytest.raises(UsageProblem) as problem:
            analyse_marks(study, plan)
        assert problem.value.code == "RDR-011"


def test_ratings_alone_do_not_give_a_localisation_endpoint() -> None:
    with pytest.raises(UsageProblem, match="marks") as problem:
        analyse(own().highest(), AnalysisPlan(endpoint="wafroc"))
    assert problem.value.code == "RDR-011"


def test_the_command_reads_two_tables() -> None:
    arguments = ["analyse", str(OWN / "own_froc_marks.csv"), "--truth", str(OWN / "own_froc_truth.csv")]
    found = CliRunner().invoke(command, [*arguments, "--endpoint", "wafroc", "--json"])
    record = json.loads(found.output)
    assert record["endpoint"] == "wafroc"
    assert record["differences"][0]["verdict"] == "inconclusive"  # the interval includes zero
    assert found.exit_code == (0 if record["differences"][0]["verdict"] == "pass" else 1)
    assert "NaN" not in found.output
