"""Odds ratios of decisions, conditional on cases, and shares of decisions, as MRMCbinary prints them; McNemar."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.reader_study.known_answers import OWN, answers, close, scores_of
from validation.cli.readers import command
from validation.errors import DataProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.conditional_logistic import conditional_odds_ratios
from validation.reader_study.figures import case_values
from validation.reader_study.plan import AnalysisPlan


@pytest.mark.shared
def test_conditional_odds_ratios_match_mrmcbinary(shared: Path) -> None:
    """MRMCbinary 1.0.5 prints the Wald statistic to two decimals; models without finite odds ratios are refused."""
    scores = scores_of(shared / "reference/mrmc/data/roc_vandyke.csv")
    tool, records = answers(shared / "reference/mrmc/gold/mrmcbinary_vandyke.json")
    assert tool == "MRMCbinary (R) 1.0.5"
    compared = refused = 0
    for record in records:
        if "effect" not in record:
            continue
        effect = "interaction" if record["interaction"] else record["effect"].lower()
        for endpoint, suffix in (("sensitivity", "sen"), ("specificity", "spe")):
            theirs = {k.removesuffix(f"_{suffix}"): v for k, v in record["result"].items() if k.endswith(suffix)}
            clr = {k: np.atleast_1d(v) for k, v in theirs["CLR"].items()}
            finite = max(abs(np.log(clr["Estimate"].astype(float)))) < 12
            if not finite:
                with pytest.raises(DataProblem, match="not finite"):
                    conditional_odds_ratios(scores, endpoint, effect=effect, threshold=record["threshold"])
                refused += 1
                continue
            ours = conditional_odds_ratios(scores, endpoint, effect=effect, threshold=record["threshold"])
            close(ours.odds_ratio, clr["Estimate"])
            close(ours.se, clr["SE"])
            close(
                np.concatenate([ours.lower, ours.upper]), np.concatenate([clr["Lower.ci"], clr["Upper.ci"]]), rtol=2e-6
            )
            close(ours.p_value, clr["P.value"], rtol=1e-5, atol=1e-7)
            for name, key, tolerance in (
                ("likelihood_ratio", "LRT", 1e-6),
                ("score", "Score", 1e-6),
                ("wald", "Wald", 0.005 / theirs["CLR_Wald"]["Statistic"] + 1e-6),
            ):
                close(ours.tests[name]["statistic"], theirs[f"CLR_{key}"]["Statistic"], rtol=tolerance)
            if "Q_MN" in theirs:  # McNemar's or Cochran's statistic is that of the score test
                close(ours.tests["score"]["statistic"], theirs["Q_MN"]["Statistic"])
            compared += 1
    assert (compared, refused) == (10, 6)


@pytest.mark.shared
def test_shares_of_readers_and_modalities_match_mrmcbinary(shared: Path) -> None:
    scores = scores_of(shared / "reference/mrmc/data/roc_vandyke.csv")
    records = answers(shared / "reference/mrmc/gold/mrmcbinary_vandyke.json")[1]
    printed = [record for record in records if record.get("fn") == "SensSpec"]
    assert len(printed) == 2
    for record in printed:
        for endpoint in ("sensitivity", "specificity"):
            plan = AnalysisPlan(endpoint=endpoint, threshold=record["threshold"])  # type: ignore[arg-type]
            result = analyse(scores, plan)
            for rows, key in (
                (result.modalities, "Modality-specific"),
                (result.readers, "Reader-specific Modality-specific"),
            ):
                theirs = record["result"][f"{key} Result"][endpoint.capitalize()]
                close([row["estimate"] for row in rows], [float(t.split(" ")[0]) for t in theirs], atol=1e-10)


def test_two_modalities_with_strata_of_case_and_reader_are_mcnemar_on_pooled_pairs() -> None:
    scores = scores_of(OWN / "own_ordinal.csv")
    fit = conditional_odds_ratios(scores, "sensitivity", threshold=3)
    positive = case_values(scores, "sensitivity", 3)
    a, b = positive[:, 0], positive[:, 1]
    gained, lost = int(((a == 0) & (b == 1)).sum()), int(((a == 1) & (b == 0)).sum())
    assert fit.odds_ratio[0] == pytest.approx(gained / lost, rel=1e-6)
    assert fit.tests["score"]["statistic"] == pytest.approx((gained - lost) ** 2 / (gained + lost), rel=1e-5)
    assert fit.se[0] == pytest.approx((1 / gained + 1 / lost) ** 0.5, rel=1e-5)


def test_the_command_adds_odds_ratios_or_why_there_are_none() -> None:
    arguments = ["analyse", str(OWN / "own_ordinal.csv"), "--endpoint", "sensitivity", "--odds-ratios", "interaction"]
    record = json.loads(CliRunner().invoke(command, [*arguments, "--threshold", "3", "--json"]).output)["odds_ratios"]
    fitted = bool(record["rows"])
    assert fitted != bool(record["reason"])
    text = CliRunner().invoke(command, [*arguments, "--threshold", "3"]).output
    assert ("Odds ratios" in text) == fitted
    wrong = CliRunner().invoke(command, [*arguments[:2], "--odds-ratios", "both"])
    assert wrong.exception.code == "RDR-011"  # type: ignore[union-attr]


def test_levels_without_a_common_case_are_said() -> None:
    scores = scores_of(OWN / "own_splitplot.csv")
    with pytest.raises(DataProblem, match="told apart"):
        conditional_odds_ratios(scores, "sensitivity", effect="both", threshold=0.5)
