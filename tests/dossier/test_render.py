"""The dossier as files: complete, reproducible, and nothing in it without an id."""

from __future__ import annotations

import shutil
from pathlib import Path

import pikepdf

from validation.dossier import render


def test_same_record_gives_same_bytes(example_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / example_run.name
    shutil.copytree(example_run, copy)
    first = {p.name: p.read_bytes() for p in render(copy, ["internal_validation"])}
    second = {p.name: p.read_bytes() for p in render(copy, ["internal_validation"])}
    assert first == second
    with pikepdf.open(copy / "dossier" / "internal_validation" / "performance_validation_report.pdf") as pdf:
        assert str(pdf.docinfo["/CreationDate"]).startswith("D:20261122020930")
        assert pdf.Root.MarkInfo.Marked
        assert str(pdf.Root.Lang) == "en"
