"""Reports: curves, influence, documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tests.reader_study.known_answers import OWN
from validation.cli.readers import command
from validation.errors import UsageProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.curves import leave_one_reader_out, roc_curves
from validation.reader_study.localisation import analyse_marks
from validation.reader_study.marks import from_tables, read_marks
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.tables import read_scores


def test_the_area_under_the_average_curve_is_the_average_area() -> None:
    scores = read_scores(OWN / "own_continuous.csv")
    curves = roc_curves(scores, replicates=50)
    for row in analyse(scores).modalities:
        mean = curves[row["modality"]]["average"]
        assert np.trapezoid(mean["tpf"], mean["fpf"]) == pytest.approx(row["estimate"], abs=0.01)
        inside = [a <= y <= b for a, y, b in zip(mean["lower"], mean["tpf"], mean["upper"], strict=True)]
        assert np.mean(inside) > 0.9
        assert mean["tpf"] == sorted(mean["tpf"])


def test_the_band_needs_two_readers_and_the_seed_fixes_it() -> None:
    scores = read_scores(OWN / "own_ordinal.csv")
    assert roc_curves(scores, replicates=30) == roc_curves(scores, replicates=30)
    alone = roc_curves(scores.select(readers=[scores.readers[0]]), replicates=30)
    assert all(part["average"]["lower"] is None for part in alone.values())


def test_influence_is_the_analysis_without_the_reader() -> None:
    scores = read_scores(OWN / "own_ordinal.csv")
    result = analyse(scores)
    rows = leave_one_reader_out(result, scores.readers, lambda names: analyse(scores.select(readers=names)))
    assert [r["left_out"] for r in rows] == list(scores.readers)
    without = analyse(scores.select(readers=list(scores.readers[1:]))).differences[0]
    assert rows[0]["estimate"] == without["estimate"]
    assert rows[0]["changes_verdict"] == (without["verdict"] != result.differences[0]["verdict"])
    assert leave_one_reader_out(result, scores.readers[:2], lambda _: result) == []


@pytest.mark.parametrize("name", ["own_ordinal", "own_splitplot", "own_continuous"])
def test_reports_are_written_for_every_design(tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.html"
    found = CliRunner().invoke(command, ["analyse", str(OWN / f"{name}.csv"), "--report", str(path)])
    assert found.exit_code in (0, 1), found.output
    text = path.read_text()
    for heading in (
        "Result",
        "ROC curves",
        "Differences by reader",
        "Components of variance",
        "Influence of each reader",
        "Agreement between readers",
    ):
        assert heading in text
    assert "nan" not in text.split("<body>")[1].split("base64")[0].lower()


def test_a_localisation_study_is_reported_as_pdf_and_word(tmp_path: Path) -> None:
    arguments = ["analyse", str(OWN / "own_froc_marks.csv"), "--truth", str(OWN / "own_froc_truth.csv")]
    for suffix, start in ((".pdf", b"%PDF"), (".docx", b"PK")):
        path = tmp_path / f"report{suffix}"
        found = CliRunner().invoke(command, [*arguments, "--endpoint", "wafroc", "--report", str(path)])
        assert found.exit_code in (0, 1), found.output
        assert path.read_bytes().startswith(start)
    page = tmp_path / "report.html"
    CliRunner().invoke(command, [*arguments, "--report", str(page)])  # with --truth the endpoint is wafroc by default
    text = page.read_text()
    assert "Influence of each reader" in text
    assert "endpoint wAFROC area" in text
    assert "inferred from marks" in text


def test_influence_of_marks_is_the_analysis_without_the_reader() -> None:
    marks = read_marks(OWN / "own_froc_marks.csv", OWN / "own_froc_truth.csv")
    plan = AnalysisPlan(endpoint="wafroc")
    result = analyse_marks(marks, plan)
    rows = leave_one_reader_out(result, marks.readers, lambda names: analyse_marks(marks.select(names), plan))
    assert [r["left_out"] for r in rows] == list(marks.readers)
    table = pd.read_csv(OWN / "own_froc_marks.csv", dtype=str)
    rest = from_tables(table[table["reader"] != marks.readers[0]], pd.read_csv(OWN / "own_froc_truth.csv", dtype=str))
    assert rows[0]["estimate"] == analyse_marks(rest, plan).differences[0]["estimate"]


def test_other_endings_are_refused(tmp_path: Path) -> None:
    arguments = ["analyse", str(OWN / "own_ordinal.csv"), "--report", str(tmp_path / "report.exe")]
    found = CliRunner().invoke(command, arguments)
    assert isinstance(found.exception, UsageProblem)
    assert not list(tmp_path.iterdir())
