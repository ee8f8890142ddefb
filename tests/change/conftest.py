"""One locked, sealed and signed small study for the whole module; tests that change it work on a copy."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.change.changing_study import baseline_run, make_key, write_study
from validation.study.spec import Study, load_study


@dataclass(frozen=True)
class Signed:
    """A study with its baseline run and the key that signed it."""

    folder: Path
    baseline: Path
    key: str

    @property
    def study(self) -> Study:
        """The study, read again."""
        return load_study(self.folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Make the study once."""
    root = tmp_path_factory.mktemp("changing")
    folder = write_study(root / "study")
    key = make_key(root / "keys")
    return Signed(folder=folder, baseline=baseline_run(folder, key), key=key)


@pytest.fixture
def signed(made: Signed, tmp_path: Path) -> Signed:
    """Return a copy that a test may change."""
    folder = tmp_path / "study"
    shutil.copytree(made.folder, folder)
    return Signed(folder=folder, baseline=folder / "runs" / made.baseline.name, key=made.key)
