"""The table of verbs: quick, grouped, and every verb in it works; problems are shown without a traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from validation.cli.main import VERBS, cli, main
from validation.errors import ValidationProblem
from validation.protocol.claims import catalogue
from validation.protocol.load import load_protocol
from validation.protocol.lock import content
from validation.study.start import begin_study, placeholders, refuse_placeholders

PACKAGE = Path(__file__).resolve().parents[2] / "validation"


def run(*arguments: str) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0), []


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv=['validation','--help']\ntry:\n from validation.cli.main import main; main()\n"
    code += "except SystemExit: pass\nprint(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"'([^']+)'", done.stderr))
    assert not loaded & {"torch", "numpy", "pandas", "scipy", "pydantic", "yaml", "rich", "monai", "great_expectations"}
    for group in VERBS.values():
        for verb in group:
            assert re.search(rf"^\s+{verb}\s", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("verb", [verb for group in VERBS.values() for verb in group])
def test_every_listed_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help")[0] == 0
    assert "Usage" in capsys.readouterr().out


def test_mistyped_verb_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("chek")[0] == 2
    assert "Did you mean 'check'" in capsys.readouterr().err
    assert run("check", "--jso")[0] == 2


def test_problem_is_one_block_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "nothing/here.yaml")[0] == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error PROT-001")
    assert "Traceback" not in shown
    assert run("check", "nothing/here.yaml", "--json")[0] == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "PROT-001"


def test_every_code_raised_is_explained_and_every_explanation_is_used() -> None:
    text = "\n".join(p.read_text() for p in PACKAGE.rglob("*.py"))
    raised = set(re.findall(r"\"([A-Z]{3,4}-\d{3})\"", text))
    explained = set(yaml.safe_load((PACKAGE / "error_codes.yaml").read_text()))
    assert raised - explained == set()
    assert explained - raised == set()


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "prot-021")[0] == 0
    assert "validation lock" in capsys.readouterr().out
    assert run("explain", "PROT-999")[0] == 2


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("protocol", "study"):
        assert run("schema", kind)[0] == 0
        schema = json.loads(capsys.readouterr().out)
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize("claim", list(catalogue()["claims"]))
def test_init_gives_a_protocol_that_loads_and_cannot_be_locked_as_it_is(tmp_path: Path, claim: str) -> None:
    folder = tmp_path / "study"
    begin_study(folder, claim)
    protocol = load_protocol(folder / "protocol.yaml")
    assert protocol.claim.type == claim
    assert "title" in placeholders(content(protocol))
    with pytest.raises(ValidationProblem, match="placeholder"):
        refuse_placeholders(content(protocol), where="protocol.yaml")
    with pytest.raises(ValidationProblem, match="exists already"):
        begin_study(folder, claim)


@pytest.mark.parametrize(
    "claim",
    [
        "low_dose_denoising", "super_resolution", "modality_translation", "segmentation_human_edit",
        "assisted_detection_diagnosis", "autonomous_detection_diagnosis", "llm_report_drafting",
    ],
)  # fmt: skip
def test_init_of_imaging_claims_passes_check(tmp_path: Path, claim: str, capsys: pytest.CaptureFixture[str]) -> None:
    begin_study(tmp_path / "study", claim)
    assert run("check", str(tmp_path / "study" / "protocol.yaml"))[0] == 0
    assert "no errors" in capsys.readouterr().out


def test_group_of_verbs_is_complete() -> None:
    assert cli.name == "cli"
    modules = {module for group in VERBS.values() for module, _ in group.values()}
    assert all((PACKAGE / "cli" / f"{module}.py").is_file() for module in modules)
