"""Checks of what authorities ask for: each can be met, unmet and not stated, and none names a case or a person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tests.reader_study.known_answers import OWN, scores_of
from validation.cli.readers import command
from validation.errors import DataProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.checks import Circumstances, study_checks
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores


def study(modalities: int = 2, readers: int = 3, *, decision: bool = False) -> ReaderScores:
    rng = np.random.default_rng(1)
    score = rng.normal(size=(readers, modalities, 20)) + np.arange(20) / 20
    names = tuple(f"R{r}" for r in range(readers))
    return ReaderScores(
        names, tuple("ABCD"[:modalities]), tuple(f"case{i}" for i in range(20)), np.arange(20) >= 10, score,
        (score > 0.5).astype(float) if decision else None,
    )  # fmt: skip


def status(name: str, scores: ReaderScores, plan: AnalysisPlan | None = None, **told: object) -> str:
    circumstances = Circumstances(**told)  # type: ignore[arg-type]
    rows = {row["id"]: row for row in study_checks(scores, plan or AnalysisPlan(), circumstances)}
    return str(rows[name]["status"])


def readings(days: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"reader": "R0", "case": "case1", "score": "1", "read_at": days})


def test_random_readers_and_cases() -> None:
    assert status("random_effects", study()) == "met"
    assert status("random_effects", study(), AnalysisPlan(effects=Effects.FRRC)) == "unmet"
    assert status("random_effects", study(readers=1)) == "unmet"
    assert status("random_effects", study(modalities=1, readers=2), AnalysisPlan(standalone="R0")) == "unmet"


def test_decisions_are_explicit() -> None:
    assert status("explicit_decisions", study()) == "not applicable"
    assert status("explicit_decisions", study(decision=True), AnalysisPlan(endpoint="sensitivity")) == "met"
    derived = AnalysisPlan(endpoint="sensitivity", threshold=0.5)
    assert status("explicit_decisions", study(decision=True), derived) == "unmet"
    assert status("explicit_decisions", study(), AnalysisPlan(endpoint="sensitivity_at_specificity")) == "unmet"


def test_washout_from_times() -> None:
    assert status("washout", study()) == "not stated"
    assert status("washout", study(), readings=readings(["2026-01-01T08:00:00Z", "2026-01-29T08:00:00Z"])) == "met"
    assert status("washout", study(), readings=readings(["2026-01-29", "2026-01-01T08:00:00Z"])) == "unmet"
    assert status("washout", study(), readings=readings(["2026-01-29", ""])) == "not stated"
    assert status("washout", study(), sequential=True) == "not applicable"
    assert status("washout", study(modalities=1)) == "not applicable"
    with pytest.raises(DataProblem, match="no times") as problem:
        status("washout", study(), readings=readings(["2026-01-29", "yesterday"]))
    assert "yesterday" not in str(problem.value)


def test_people_and_cases_do_not_overlap() -> None:
    assert status("training_cases", study()) == "not stated"
    assert status("training_cases", study(), training_cases=frozenset({"other"})) == "met"
    assert status("training_cases", study(), training_cases=frozenset({" CASE3 "})) == "unmet"
    assert status("training_cases", study(), training_cases=frozenset()) == "met"
    assert status("truthers", study()) == "not stated"
    assert status("truthers", study(), truthers=frozenset({"T1"})) == "met"
    assert status("truthers", study(), truthers=frozenset({"T1", "r1"})) == "unmet"
    rows = study_checks(study(), AnalysisPlan(), Circumstances(training_cases=frozenset({"case3"})))
    assert "case3" not in json.dumps(rows)


def test_equivocal_readings_are_not_dropped() -> None:
    whole = study()
    assert status("equivocal", whole) == "met"
    table = pd.DataFrame({"reader": ["R0"], "case": ["case1"], "score": [""]})
    assert status("equivocal", whole, readings=table) == "unmet"
    holes = study()
    holes.score[0, 0, 0] = np.nan
    assert status("equivocal", holes) == "not stated"
    undecided = study(decision=True)
    assert undecided.decision is not None
    undecided.decision[0, 0, 0] = np.nan
    assert status("equivocal", undecided) == "unmet"


def test_scale_fallback_and_multiplicity() -> None:
    assert status("rating_scale", study()) == "met"
    coarse = study()
    coarse.score[:] = np.round(coarse.score)
    assert status("rating_scale", coarse) == "unmet" or len(np.unique(coarse.score)) >= 7
    assert status("rating_scale", coarse, AnalysisPlan(endpoint="mean_score")) == "not applicable"
    assert status("fallback", study()) == "not stated"
    assert status("fallback", study(), fallback=" ") == "not stated"
    assert status("fallback", study(), fallback="U-statistics") == "met"
    assert status("multiplicity", study()) == "not applicable"
    assert status("multiplicity", study(modalities=3)) == "met"
    assert status("multiplicity", study(modalities=3), AnalysisPlan(holm=False)) == "unmet"


def test_simultaneous_intervals_hold_all_differences_and_are_wider() -> None:
    from scipy import stats

    result = analyse(study(modalities=3), AnalysisPlan())
    record = result.to_dict()
    together = record["multiplicity"]
    assert (together["method"], together["differences"], len(together["simultaneous"])) == ("holm", 3, 3)
    for row, wide in zip(record["differences"], together["simultaneous"], strict=True):
        half = stats.t.ppf(1 - 0.05 / 6, row["df"]) * row["se"]
        assert (wide["lower"], wide["upper"]) == pytest.approx((row["estimate"] - half, row["estimate"] + half))
        assert wide["lower"] < row["lower"] < row["upper"] < wide["upper"]
    assert analyse(study(), AnalysisPlan()).to_dict()["multiplicity"]["simultaneous"] == []


def test_the_command_prints_checks_curves_and_interchangeability(tmp_path: Path) -> None:
    table = scores_of(OWN / "own_ordinal.csv").to_frame()
    table["patient"] = table["case"].astype(str).str[-1]
    table["read_at"] = np.where(table["modality"] == table["modality"].iloc[0], "2026-01-01", "2026-03-01")
    file, trained = tmp_path / "scores.csv", tmp_path / "trained.csv"
    table.to_csv(file, index=False)
    pd.DataFrame({"case": ["elsewhere"]}).to_csv(trained, index=False)
    told = ["--training-cases", str(trained), "--truther", "T1", "--fallback", "ustat", "--json"]
    run = CliRunner().invoke(command, ["analyse", str(file), "--curves", *told], catch_exceptions=False)
    record = json.loads(run.output)
    found = {row["id"]: row["status"] for row in record["checks"]}
    for name in ("washout", "training_cases", "truthers", "fallback", "equivocal", "random_effects"):
        assert found[name] == "met", name
    assert [row["endpoint"] for row in record["side_by_side"]] == ["auc", "binormal_auc", "proper_auc"]
    assert record["fit_statement"]
    grouped = ["analyse", str(file), "--clusters", "patient", "--covariance", "delong", "--json"]
    clustered = json.loads(CliRunner().invoke(command, grouped, catch_exceptions=False).output)
    assert "patients" in clustered["convention"]
    names = sorted(table["modality"].unique())
    asked = ["interchange", str(file), "--new", names[0], "--reference", names[1], "--margin", "9", "--json"]
    run = CliRunner().invoke(command, asked, catch_exceptions=False)
    assert json.loads(run.output)["verdict"]["outcome"] == "pass"
    assert run.exit_code == 0
