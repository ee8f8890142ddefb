"""A standalone system against readers, of ratings and of marks, as RJafroc 2.1.3 and the Google code print it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reader_study.known_answers import answers, close, scores_of
from validation.reader_study import figures, localisation
from validation.reader_study.analysis import analyse
from validation.reader_study.judgement import Claim
from validation.reader_study.marks import MarkedStudy, read_marks
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores


@pytest.mark.shared
def test_a_system_against_readers_matches_rjafroc_and_the_google_code(shared: Path) -> None:
    """RJafroc 2.1.3 reports readers less system, the Google code system less readers."""
    gold = shared / "reference/mrmc/gold"
    scores = scores_of(shared / "reference/mrmc/data/roc_rj09_nicocad.csv")
    for effects in ("RRRC", "RRFC"):
        theirs = next(
            r["result"]
            for r in answers(gold / "rjafroc_cad_vs_readers.json")[1]
            if (r["dataset"], r["FOM"], r["method"]) == ("dataset09", "Wilcoxon", f"1T-{effects}")
        )
        result = analyse(scores, AnalysisPlan(standalone="1", effects=Effects[effects]))
        d = result.differences[0]
        close([d["estimate"], d["df"], d["p_value"]], [-theirs["avgDiffFom"], theirs["df"], theirs["pval"]])
        close(abs(d["statistic"]), abs(theirs["Tstat"]))
        interval = theirs["CIAvgDiffFom"]
        interval = interval["values"] if isinstance(interval, dict) else interval
        close([-d["upper"], -d["lower"]], interval)
    for record in answers(gold / "google_reader_study.json")[1]:
        if record["fn"] == "model_vs_readers_orh":
            claim = Claim.NON_INFERIORITY if record["margin"] else Claim.SUPERIORITY
            d = analyse(scores, AnalysisPlan(standalone="1", claim=claim, margin=record["margin"])).differences[0]
            their = record["result"]
            close(
                [d["estimate"], d["statistic"], d["df"], d["p_value"], d["lower"], d["upper"]],
                [their["effect"], their["statistic"], their["dof"], their["pvalue"], *their["ci"]],
            )


FIGURES = {
    "wAFROC": "wafroc",
    "HrAuc": "hr_auc",
    "Wilcoxon": "hr_auc",
    "PCL": "localisation_at_specificity",
    "ALROC": "partial_alroc",
}


@pytest.mark.shared
def test_a_system_as_copied_readers_of_a_second_modality_matches_rjafroc(shared: Path) -> None:
    scores = scores_of(shared / "reference/mrmc/data/roc_rj09_nicocad.csv")
    others = list(range(1, len(scores.readers)))
    both = np.concatenate([scores.score[[0] * len(others)], scores.score[others]], axis=1)
    copied = ReaderScores(scores.readers[1:], ("system", "readers"), scores.cases, scores.positive, both)
    d = analyse(copied).differences[0]
    rows = answers(shared / "reference/mrmc/gold/rjafroc_cad_vs_readers.json")[1]
    theirs = next(r["result"] for r in rows if (r["dataset"], r["method"]) == ("dataset09", "2T-RRRC"))
    close([d["estimate"], d["df"], d["p_value"]], [-theirs["avgDiffFom"], theirs["df"], theirs["pval"]])


@pytest.mark.shared
def test_a_system_against_readers_of_marks_matches_rjafroc(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system alone (1T), and copied as every reader of a second modality (2T); readers less system.

    On a vertical step of the LROC curve RJafroc takes the lower end; we take the upper one, as for sensitivity at a
    fixed specificity (and as MRMCaov does for that). With its end every number is the same. Its area is not divided by
    the width of the band.
    """
    monkeypatch.setattr(localisation, "height_of", figures._lower_height)
    folder, checked = shared / "reference/mrmc", 0
    for row in answers(folder / "gold/rjafroc_cad_vs_readers.json")[1]:
        if row["dataset"] == "dataset09" or "error" in row:  # figures of FROC are refused there for LROC data
            continue
        name = row["dataset"].removeprefix("dataset")
        study = read_marks(folder / f"data/froc_rj{name}_marks.csv", folder / f"data/froc_rj{name}_truth.csv")
        fpf = row["extra"]["FPFValue"] if row["extra"] else 0.1
        settings: dict[str, Any] = {"endpoint": FIGURES[row["FOM"]], "at": 1 - fpf, "band": (1 - fpf, 1.0)}
        width = fpf if row["FOM"] == "ALROC" else 1.0
        theirs = row["result"]
        if row["method"].startswith("1T"):
            plan = AnalysisPlan(standalone="1", effects=Effects[row["method"][3:]], **settings)
            result = localisation.analyse_marks(study, plan)
            close([r["estimate"] * width for r in result.readers], [theirs["fomCAD"], *theirs["fomRAD"]])
        else:
            result = localisation.analyse_marks(with_system_as_modality(study), AnalysisPlan(**settings))
        d = result.differences[0]
        close([d["estimate"] * width, d["df"], d["p_value"]], [-theirs["avgDiffFom"], theirs["df"], theirs["pval"]])
        checked += 1
    assert checked == 16


def with_system_as_modality(study: MarkedStudy) -> MarkedStudy:
    """Return a study of two modalities: the first reader copied for every other one, and the others."""
    others = list(range(1, len(study.readers)))
    arrays = {
        name: np.concatenate([getattr(study, name)[[0] * len(others)], getattr(study, name)[others]], axis=1)
        for name in ("non_lesion", "non_lesion_count", "lesion")
    }
    return replace(study, readers=study.readers[1:], modalities=("system", "readers"), **arrays)
