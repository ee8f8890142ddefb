"""A run that every dossier test reads; written once, never changed in place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.dossier.example_run import write_example_run
from validation.dossier import render


@pytest.fixture(scope="session")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a conclusive example run."""
    return write_example_run(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def rendered(example_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example run with the documents of the 510(k) pathway, printed by two processes."""
    copy = tmp_path_factory.mktemp("rendered") / "runs" / example_run.name
    shutil.copytree(example_run, copy)
    shutil.copy(example_run.parent.parent / "ledger.jsonl", copy.parent.parent / "ledger.jsonl")
    render(copy, ["us_510k"], workers=2)
    return copy
