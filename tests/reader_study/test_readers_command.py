"""`validation readers analyse`: the contract of its JSON, its exit codes, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.reader_study.known_answers import OWN
from validation.cli.main import main
from validation.cli.readers import analyse as analyse_command
from validation.reader_study.endpoints import Endpoint


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command line; return the exit code and standard output."""
    with pytest.raises(SystemExit) as ended:
        main(["readers", "analyse", *arguments])
    return int(ended.value.code or 0), capsys.readouterr().out


def record(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, text = run(capsys, *arguments, "--json")
    return code, json.loads(text)


def test_the_json_holds_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = record(capsys, str(OWN / "own_ordinal.csv"))
    assert code == 0
    assert {"design", "modalities", "differences", "readers", "components", "convention"} <= set(found)
    assert {"modality", "estimate"} <= set(found["modalities"][0])
    assert {"a", "b", "estimate", "se", "statistic", "df", "p_value", "verdict"} <= set(found["differences"][0])
    assert found["design"]["type"] == "fully_crossed"
    assert found["differences"][0]["verdict"] == "pass"
    assert len(found["readers"]) == 10
    assert "Hillis" in found["convention"]


@pytest.mark.parametrize("covariance", ["jackknife", "delong", "unbiased", "bootstrap"])
@pytest.mark.parametrize(("readers", "cases"), [("random", "random"), ("fixed", "random"), ("random", "fixed")])
def test_every_covariance_and_effect_runs(
    covariance: str, readers: str, cases: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--covariance", covariance, "--readers", readers, "--cases", cases, "--replicates", "200"]
    _, found = record(capsys, str(OWN / "own_tiny.csv"), *options)
    assert found["differences"][0]["p_value"] > 0


def test_non_inferiority_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--hypothesis", "non_inferiority", "--control", "M1"]
    code, found = record(capsys, str(OWN / "own_ordinal.csv"), *options, "--margin", "0.05")
    assert (code, found["differences"][0]["verdict"]) == (0, "pass")
    assert (found["differences"][0]["a"], found["differences"][0]["b"]) == ("M2", "M1")
    code, found = record(capsys, str(OWN / "own_ordinal.csv"), "--hypothesis", "equivalence", "--margin", "0.05")
    assert (code, found["differences"][0]["verdict"]) == (1, "inconclusive")


def test_a_split_plot_study_is_analysed_by_u_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = record(capsys, str(OWN / "own_splitplot.csv"))
    assert code == 1
    assert (found["method"], found["differences"][0]["verdict"]) == ("ustat", "inconclusive")
    code, refused = record(capsys, str(OWN / "own_splitplot.csv"), "--method", "or")
    assert (code, refused["error"]["code"]) == (3, "RDR-013")


@pytest.mark.parametrize(
    ("options", "exit_code", "code"),
    [
        (["--hypothesis", "non_inferiority"], 2, "RDR-010"),
        (["--readers", "fixed", "--cases", "fixed"], 2, "RDR-011"),
        (["--method", "dbm", "--covariance", "delong"], 2, "RDR-011"),
        (["--method", "ustat", "--cases", "fixed"], 2, "RDR-011"),
        (["--endpoint", "partial_auc", "--method", "ustat"], 2, "RDR-011"),
        (["--endpoint", "partial_auc", "--covariance", "delong"], 2, "RDR-011"),
        (["--control", "M9"], 2, "RDR-012"),
        (["--standalone", "M9"], 2, "RDR-012"),
        (["--endpoint", "sensitivity"], 3, "RDR-016"),
    ],
)
def test_refusals_have_codes(options: list[str], exit_code: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    found_code, found = record(capsys, str(OWN / "own_ordinal.csv"), *options)
    assert (found_code, found["error"]["code"]) == (exit_code, code)


def test_the_endpoints_of_the_command_are_those_of_the_plan() -> None:
    """Nothing heavy is imported for the help, and no name is left out of it."""
    option = next(p for p in analyse_command.params if p.name == "endpoint")
    assert tuple(option.type.choices) == get_args(Endpoint)  # type: ignore[attr-defined]


def test_every_code_is_explained() -> None:
    import re

    import yaml

    import validation

    root = Path(validation.__file__).parent
    used = set()
    for path in [*(root / "reader_study").glob("*.py"), root / "cli" / "readers.py"]:
        used |= set(re.findall(r'code="(RDR-\d+)"', path.read_text()))
    explained = yaml.safe_load((root / "error_codes.yaml").read_text())
    assert used <= set(explained)


def test_the_text_names_design_verdict_and_convention(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, str(OWN / "own_ordinal.csv"))
    assert code == 0
    assert "fully crossed; 5 readers, 2 modalities, 40 non-diseased and 30 diseased cases" in text
    assert "M1 − M2: -0.0979" in text
    assert "PASS" in text
    assert "Conventions:" in text


@pytest.mark.parametrize("measure", ["icc", "kappa", "alpha", "limits"])
@pytest.mark.parametrize("name", ["own_ordinal", "own_splitplot"])
def test_agreement_has_estimates_or_reasons(measure: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["readers", "agreement", str(OWN / f"{name}.csv"), "--measure", measure, "--replicates", "100", "--json"])
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    assert len(found) == (5 if measure == "limits" else 2)
    for estimate in found.values():
        assert estimate["reason"] or estimate["lower"] <= estimate["value"] <= estimate["upper"]
    # in the split-plot study no case was rated by every reader, which only alpha can do without
    refused = name == "own_splitplot" and measure != "alpha"
    assert all(e["reason"] for e in found.values()) == refused
