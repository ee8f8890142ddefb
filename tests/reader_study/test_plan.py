"""The plan of a reader study: checks, the protocol's section, and the documents."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from docx import Document

from validation.cli.readers import command
from validation.errors import ProtocolProblem
from validation.protocol.plan_schemas import ReaderStudyPlan
from validation.reader_study.conduct import Conduct, check_plan, open_points, protocol_block, read_plan


def full() -> dict[str, Any]:
    texts = {name: f"text on {name}" for name, field in Conduct.model_fields.items() if field.annotation is str}
    return {
        "reader_study": {
            "modalities": ["input", "output"],
            "readers": 6,
            "cases": 200,
            "prevalence": 0.5,
            "fallback": "U-statistics",
            "reader_qualifications": "board certified",
            "reader_training": "twenty cases",
            "washout_days": 28,
        },
        "conduct": {**texts, "training_cases_separate": True, "truthers_are_not_readers": True},
    }


def checks(record: dict[str, Any]) -> list[str]:
    plan = ReaderStudyPlan.model_validate(record["reader_study"])
    return open_points(check_plan(plan, Conduct.model_validate(record["conduct"])))


def test_a_full_plan_has_no_open_point_and_an_empty_one_has_many() -> None:
    assert checks(full()) == []
    bare = {"reader_study": full()["reader_study"], "conduct": {"title": "A study"}}
    assert len(checks(bare)) > 25


def test_every_text_that_is_left_out_is_an_open_point() -> None:
    conditional = {"title", "clinical_decision", "unaided_only_cases"}
    for name, field in Conduct.model_fields.items():
        if field.annotation is str and name not in conditional:
            record = full()
            record["conduct"][name] = "  "
            assert len(checks(record)) == 1, name


@pytest.mark.parametrize(
    ("where", "field", "value", "message"),
    [
        ("reader_study", "washout_days", 27, "four weeks"),
        ("reader_study", "readers", 1, "several readers"),
        ("reader_study", "rating_scale", "1-5", "fine enough"),
        ("reader_study", "fallback", "", "alternative analysis"),
        ("reader_study", "endpoint", "wafroc", "matches marks"),
        ("reader_study", "hypothesis", "non_inferiority", "margin"),
        ("conduct", "training_cases_separate", False, "training cases"),
        ("conduct", "truthers_are_not_readers", False, "truthers are not readers"),
        ("conduct", "predictive_values", "study_prevalence", "external prevalence"),
    ],
)
def test_each_condition_is_checked(where: str, field: str, value: object, message: str) -> None:
    record = full()
    record[where][field] = value
    (found,) = checks(record)
    assert message in found


def test_decisions_and_unaided_cases_are_asked_for_where_they_matter() -> None:
    record = full()
    record["reader_study"]["endpoint"] = "sensitivity"
    record["conduct"]["clinical_decision"] = ""
    assert "explicit decisions" in checks(record)[0]
    record = full()
    record["reader_study"] |= {"design": "sequential", "washout_days": 0}
    record["conduct"]["unaided_only_cases"] = ""
    (found,) = checks(record)
    assert "unaided only" in found


def test_the_section_is_valid_in_a_protocol() -> None:
    plan = ReaderStudyPlan.model_validate(full()["reader_study"])
    record = yaml.safe_load(protocol_block(plan))
    assert ReaderStudyPlan.model_validate(record["reader_study"]) == plan


def test_files_that_are_no_plan_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    for text in ("a: [", "reader_study: {}", "- 1", yaml.safe_dump({**full(), "extra": 1})):
        path.write_text(text)
        with pytest.raises(ProtocolProblem) as problem:
            read_plan(path)
        assert problem.value.code == "RDR-026"


def test_the_example_can_be_read_and_documents_are_written(tmp_path: Path) -> None:
    example = CliRunner().invoke(command, ["plan", "--example"]).output
    path, out = tmp_path / "plan.yaml", tmp_path / "out"
    path.write_text(example)
    arguments = ["plan", str(path), "--out", str(out), "--date", "2026-01-05", "--json"]
    found = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert found.exit_code == 1  # the example leaves points open
    assert json.loads(found.output)["open"]
    assert (out / "plan.pdf").read_bytes().startswith(b"%PDF")
    text = "\n".join(p.text for p in Document(io.BytesIO((out / "plan.docx").read_bytes())).paragraphs)
    assert "Open points" in text
    assert "reader_study:" in (out / "reader_study.yaml").read_text()
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert first == {p.name: p.read_bytes() for p in out.iterdir()}


def test_text_in_a_plan_never_becomes_markup(tmp_path: Path) -> None:
    record = full()
    record["conduct"]["title"] = "<script>alert(1)</script>"
    path, out = tmp_path / "plan.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(record))
    found = CliRunner().invoke(command, ["plan", str(path), "--out", str(out)], catch_exceptions=False)
    assert found.exit_code == 0
    assert "<script>" not in (out / "plan.html").read_text()
