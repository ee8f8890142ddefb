"""A run that every dossier test reads; written once, never changed in place."""

from __future__ import annotations

import fcntl
import os
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
    """Return a copy of the example run with the documents of the 510(k) pathway, printed by two processes.

    Processes that test side by side share it: the first one prints, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "rendered"
    shared.mkdir(exist_ok=True)
    copy = shared / "runs" / example_run.name
    whole = shared / "whole"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(example_run, copy)
            shutil.copy(example_run.parent.parent / "ledger.jsonl", shared / "ledger.jsonl")
            render(copy, ["us_510k"], workers=2)
            whole.touch()
    return copy
