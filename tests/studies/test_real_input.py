"""The real-input studies, prepared from the shared data and run: few objects, so nothing may be concluded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "studies" / "low-dose-ct"))


def _copy(tmp_path: Path, name: str) -> Path:
    """Copy a study, and the model and manifest that it shares with the demonstration, without data or runs."""
    leave_out = shutil.ignore_patterns("data*", "runs", "work", "keys", "__pycache__", "ledger.jsonl", "*.lock.yaml")
    for folder in ("low-dose-ct", name):
        shutil.copytree(ROOT / "studies" / folder, tmp_path / "studies" / folder, ignore=leave_out)
    return tmp_path / "studies" / name


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit", "patients"),
    [("ct-l506", [], 1), ("ct-catphan", ["--limit", "2"], 1), ("ct-head-two-vendor", ["--limit", "2"], 2)],
)
def test_study_runs_and_concludes_nothing(
    tmp_path: Path, shared: Path, name: str, limit: list[str], patients: int
) -> None:
    from validation.study.execute import begin, carry_on
    from validation.study.spec import load_study

    folder = _copy(tmp_path, name)
    environment = {**os.environ, "VALIDATION_SHARED": str(shared), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(folder / "prepare.py"), *limit],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    study = load_study(folder)
    run = begin(study, device="cpu", limit=None, draft=True, purpose="test", actor="Example Person")
    results = carry_on(study, run, actor="Example Person", quiet=True)
    judged = [e for e in results["endpoints"].values() if e["hypothesis"]["type"] != "descriptive"]
    assert judged
    for section in judged:
        assert section["verdict"]["outcome"] == "inconclusive", section["title"]
        assert section["verdict"]["reason"]
        assert section["n_missing"] == 0, section["title"]
    assert results["proposal"]["outcome"] == "inconclusive"
    assert results["cohort"]["n_clusters"] == patients


@pytest.mark.shared
def test_prepare_says_what_is_missing_without_data(tmp_path: Path) -> None:
    folder = _copy(tmp_path, "ct-catphan")
    environment = {**os.environ, "VALIDATION_SHARED": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(folder / "prepare.py")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "VALIDATION_SHARED" in done.stderr


def test_inserted_noise_has_the_variance_that_the_dose_asks_for() -> None:
    """Noise of 25 % and 50 % dose: variances as (1/0.25 - 1) to (1/0.5 - 1), that is 3 to 1."""
    import torch
    from simulation.insertion import grid_for, noise_image, project_raster
    from simulation.scanner import Kernel

    y, x = np.mgrid[:128, :128] - 63.5
    radius = np.hypot(x, y)
    image = np.where(radius < 50, 0.0, -1000.0)
    grid = grid_for(128, 2.0)
    line_integrals = project_raster(image, grid)
    assert float(line_integrals.max()) == pytest.approx(200 * 0.0193, rel=0.02)
    generator = torch.Generator().manual_seed(1)
    kernel = Kernel("k", "hann", 0.2)
    sd = [
        np.std([noise_image(line_integrals, 1e5, a, kernel, grid, generator)[radius < 35] for _ in range(3)])
        for a in (0.25, 0.5)
    ]
    assert (sd[0] / sd[1]) ** 2 == pytest.approx(3.0, rel=0.15)


def test_calibration_finds_the_noise_that_was_put_in() -> None:
    import torch
    from simulation.insertion import calibrate, grid_for, noise_image, project_raster
    from simulation.scanner import Kernel

    y, x = np.mgrid[:160, :160] - 79.5
    image = np.where(np.hypot(x, y) < 65, 0.0, -1000.0)
    grid = grid_for(160, 1.5)
    generator = torch.Generator().manual_seed(2)
    true = noise_image(project_raster(image, grid), 2e5, 0.5, Kernel("true", "hann", 0.25), grid, generator)
    centres = [(r, c) for r in (56, 80, 104) for c in (56, 80, 104)]
    found = calibrate(image + true, centres, 24, grid, generator)
    assert found.photons == pytest.approx(2e5, rel=0.3)
    assert found.simulated_sd == pytest.approx(found.measured_sd, rel=0.15)
    assert found.kernel.cutoff == pytest.approx(0.25, rel=0.2)
