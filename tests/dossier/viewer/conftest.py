"""A closed, signed run with pictures and documents that the viewer shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from validation.evidence.attestation import close
from validation.evidence.keys import generate_key, load_signer

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def list_pictures(run: Path) -> None:
    """Write the index of the pictures that a run holds, as a real run does."""
    index = []
    for path in sorted((run / "images").glob("*.png")):
        case, arm = path.stem.rsplit(".", 1)
        window = {"low": -160.0, "high": 240.0, "unit": "HU", "slice_index": None}
        index.append({"case_id": case, "arm": arm, "file": path.name, **window})
    (run / "images" / "index.json").write_text(json.dumps(index))


@pytest.fixture(scope="package")
def shown(example_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed and signed run in a study folder."""
    folder = tmp_path_factory.mktemp("viewer") / "study-a"
    run = folder / "runs" / example_run.name
    shutil.copytree(example_run, run)
    shutil.copy(example_run.parent.parent / "ledger.jsonl", run / "ledger.jsonl")
    list_pictures(run)
    keys = tmp_path_factory.mktemp("keys")
    private, _, _ = generate_key("runner", keys)
    close(run, load_signer(str(private)))
    return run
