"""Integration documentation, site acceptance and QMS record: from the program's tables and from an interface test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from validation.dicom.pacs.check import CHECKS
from validation.dicom.services import pulled_classes, transfer_syntaxes
from validation.dossier.integration import integration_tables, keep_interface
from validation.dossier.runfiles import INTERFACE_FILE
from validation.dossier.viewmodel import ViewModel

PATHWAY = "pacs_qms_integration"


def _record() -> dict[str, object]:
    entries = [
        {
            "id": key,
            "title": title,
            "needed": needed,
            "outcome": "not_met" if key == "IF-05" else "met",
            "detail": "Compared.",
        }
        for key, (title, needed) in CHECKS.items()
    ]
    return {
        "schema": "validation.interface/1", "program": "0", "performed": "2026-01-02T03:04:05Z", "by": "A. Tester",
        "archive": {"name": "Radiology"}, "test_patients": ["VALIDATION-TEST-0"], "channels": {"dicomweb": entries},
        "proposal": "do not accept", "n_needed": 13, "n_needed_met": 12,
    }  # fmt: skip


@pytest.fixture
def run(example_run: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "study" / "runs" / example_run.name
    shutil.copytree(example_run, copy)
    shutil.copy(example_run.parent.parent / "ledger.jsonl", tmp_path / "study" / "ledger.jsonl")
    return copy


def test_conformance_is_what_the_program_negotiates(run: Path) -> None:
    text = ViewModel(run).html("integration_documentation", PATHWAY)
    for uid in (*pulled_classes(), *transfer_syntaxes()):
        assert f">{uid}<" in text
    assert "holds no interface test" in text
    for table in integration_tables().values():
        assert all(cell.strip() for row in table.rows for cell in row)
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_the_interface_test_of_the_study_is_kept_and_shown(run: Path) -> None:
    study = run.parent.parent
    assert keep_interface(run, study) == []
    (study / INTERFACE_FILE).parent.mkdir()
    (study / INTERFACE_FILE).write_text(json.dumps(_record()))
    (run / "manifest.json").touch()
    assert keep_interface(run, study) == []  # a closed run takes nothing
    (run / "manifest.json").unlink()
    assert keep_interface(run, study) == [run / INTERFACE_FILE]
    for document in ("integration_documentation", "site_acceptance_report"):
        text = ViewModel(run).html(document, PATHWAY)
        assert "do not accept" in text
        assert text.count(">Not met<") == 1
        assert all(title in text for title, _ in CHECKS.values())
        assert 'data-id="interface:n_needed_met"' in text


def test_record_of_the_quality_system(run: Path) -> None:
    text = ViewModel(run).html("qms_integration_record", PATHWAY)
    for words in ("4.1.6", "7.3.9", "change number, decision, signature"):
        assert words in text
