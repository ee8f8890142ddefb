"""A run that every dossier test reads; written once, never changed in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dossier.example_run import write_example_run


@pytest.fixture(scope="session")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a conclusive example run."""
    return write_example_run(tmp_path_factory.mktemp("study"))
