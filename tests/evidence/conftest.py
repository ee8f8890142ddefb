"""A small finished run, closed and signed, made once and copied for each test that harms it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from validation.evidence.attestation import close
from validation.evidence.events import append_event
from validation.evidence.keys import generate_key, load_signer
from validation.evidence.results import write_results


def make_results(run_id: str, *, draft: bool = False) -> dict[str, Any]:
    estimate = {"value": -3.25, "lower": -4.5, "upper": -2.0, "level": 0.95, "method": "paired t", "n": 3, "unit": "HU"}
    return {
        "schema": "validation.results/1",
        "run": {
            "id": run_id,
            "started": "2026-01-02T03:04:05Z",
            "finished": "2026-01-02T03:14:05Z",
            "draft": draft,
            "draft_reasons": ["only 3 cases were asked for"] if draft else [],
        },
        "study": {"id": "tiny", "title": "A tiny study", "notice": "Simulated data."},
        "protocol": {"id": "tiny", "version": "1.0.0", "title": "Tiny", "digest": "ab" * 32},
        "cohort": {"n_listed": 3, "n_analysed": 3},
        "endpoints": {
            "E1": {
                "title": "Noise",
                "unit": "HU",
                "estimate": estimate,
                "verdict": {"outcome": "pass", "reason": "met"},
            }
        },
        "proposal": {"outcome": "pass", "reason": "every confirmatory criterion is met"},
    }


def make_run(folder: Path, *, draft: bool = False) -> Path:
    """Write what a finished, not yet closed run holds."""
    folder.mkdir(parents=True)
    (folder / "protocol.lock.yaml").write_text("id: tiny\nversion: 1.0.0\n")
    (folder / "environment.json").write_text('{"python": "3.11"}\n')
    frame = pd.DataFrame({"case_id": ["C1", "C2", "C3"], "value": [1.0, 2.0, None]})
    (folder / "measurements").mkdir()
    frame.to_parquet(folder / "measurements" / "part-00000.parquet", index=False)
    frame[["case_id"]].to_parquet(folder / "cases.parquet", index=False)
    (folder / "dossier").mkdir()
    (folder / "dossier" / "report.html").write_text("<!doctype html><title>Report</title>")
    write_results(folder, make_results(folder.name, draft=draft))
    for action in ("started", "shard-written", "judged"):
        append_event(folder / "events.jsonl", actor="validation 0.1.0", action=action, reason="test")
    return folder


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys of three people."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("runner", "reviewer", "stranger"):
        generate_key(name, folder)
    return folder


@pytest.fixture(scope="session")
def trust(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trust folder without the stranger."""
    folder = tmp_path_factory.mktemp("trust")
    for name in ("runner", "reviewer"):
        shutil.copy(keys / f"{name}.pub.pem", folder)
    return folder


@pytest.fixture(scope="session")
def pristine(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed and signed run with one approval; tests copy it before they change it."""
    from validation.evidence.approvals import approve

    run = make_run(tmp_path_factory.mktemp("runs") / "tiny_20260102T031405Z_0123abcd")
    close(run, load_signer(str(keys / "runner.pem")))
    approve(
        run,
        load_signer(str(keys / "reviewer.pem")),
        name="A. Reviewer",
        role="reviewer",
        meaning="I reviewed the results",
        decision="accept",
    )
    return run


@pytest.fixture
def run(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the closed run that a test may harm."""
    return Path(shutil.copytree(pristine, tmp_path / pristine.name))
