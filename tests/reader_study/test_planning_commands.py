"""`validation readers size` and `simulate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.reader_study.known_answers import OWN
from validation.cli.readers import command
from validation.errors import UsageProblem

PILOT = str(OWN / "own_ordinal.csv")


def run(*arguments: str) -> dict[str, Any]:
    found = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert "NaN" not in found.output
    record: dict[str, Any] = json.loads(found.output)
    return record


def refused(*arguments: str) -> UsageProblem:
    found = CliRunner().invoke(command, list(arguments))
    assert isinstance(found.exception, UsageProblem), found.output
    return found.exception


def test_size_prints_the_trade_off_of_a_pilot_and_the_power_of_a_study() -> None:
    curve = run("size", "--pilot", PILOT, "--effect", "0.06", "--max-readers", "6")["trade_off"]
    assert [row["readers"] for row in curve] == [3, 4, 5, 6]
    row = curve[-1]
    cases = str(row["negatives"] + row["positives"])
    arguments = ("size", "--pilot", PILOT, "--effect", "0.06", "--reader-count", "6", "--cases", cases)
    record = run(*arguments, "--replicates", "100")
    assert record["study"]["power"] == pytest.approx(row["power"])
    assert record["interval"]["lower"] < row["power"] < record["interval"]["upper"]


def test_size_takes_a_conjecture_a_margin_a_prevalence_and_groups() -> None:
    conjecture = run("size", "--conjecture", "0.85", "0.1", "--effect", "0.05", "--reader-count", "8")
    assert "(r - 1)" in conjecture["convention"]
    noninferior = ("--hypothesis", "non_inferiority", "--margin", "0.05")
    base = ("size", "--pilot", PILOT, "--effect", "0.0", *noninferior, "--reader-count", "6")
    balanced = run(*base, "--prevalence", "0.5")["trade_off"][0]
    assert abs(balanced["negatives"] - balanced["positives"]) <= 1
    split = run(*base, "--groups", "2")["trade_off"][0]
    whole = run(*base)["trade_off"][0]
    assert split["negatives"] > whole["negatives"]  # more cases, but each reader reads half of them


def test_simulate_prints_type_one_error_and_power() -> None:
    sizes = ("--negatives", "30", "--positives", "30", "--trials", "300")
    null = run("simulate", "--structure", "LL1.50", *sizes)
    assert null["true_difference"] == 0
    assert null["success"]["lower"] <= 0.08
    power = run("simulate", "--pilot", PILOT, "--effect", "0.15", *sizes)
    assert power["true_difference"] == pytest.approx(0.15, abs=1e-6)
    assert power["success"]["value"] > 0.6
    plain = CliRunner().invoke(command, ["simulate", "--structure", "LL1.50", *sizes])
    assert "Monte Carlo interval" in plain.output


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    assert refused("size", "--effect", "0.1").code == "RDR-022"
    assert refused("size", "--pilot", PILOT, "--conjecture", "0.8", "0.1", "--effect", "0.1").code == "RDR-022"
    assert refused("size", "--pilot", PILOT, "--effect", "0").code == "RDR-023"
    assert refused("size", "--pilot", PILOT, "--effect", "0.1", "--cases", "100").code == "RDR-023"
    fixed = ("--readers", "fixed", "--case-effects", "fixed")
    assert refused("size", "--pilot", PILOT, "--effect", "0.1", *fixed).code == "RDR-011"
    assert refused("simulate").code == "RDR-021"
    assert refused("simulate", "--structure", "XX").code == "RDR-021"
    assert refused("simulate", "--structure", "LL1.50", "--groups", "2").code == "RDR-021"
    assert refused("simulate", "--from-run", str(tmp_path)).code == "RDR-021"
