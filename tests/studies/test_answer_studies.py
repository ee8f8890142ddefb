"""The studies of contours, detection and drafted reports: small cohorts through measuring and judging."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from validation.study.execute import begin, carry_on
from validation.study.prepare import check_protocol
from validation.study.spec import load_study

ROOT = Path(__file__).resolve().parents[2]


def run_small(tmp_path: Path, name: str, patients: int) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path / "studies" / name
    leave_out = shutil.ignore_patterns(
        "data", "runs", "keys", "answers", "model", "ledger.jsonl", "*.key", "*.lock.yaml"
    )
    shutil.copytree(ROOT / "studies" / name, folder, ignore=leave_out)
    shutil.copytree(ROOT / "protocols", tmp_path / "protocols")
    script = [sys.executable, str(folder / "make_data.py"), "--patients", str(patients), "--out", str(folder)]
    subprocess.run(script, check=True, capture_output=True)
    study = load_study(folder)
    run = begin(study, device="cpu", draft=True, purpose="test", actor="Example Person")
    return folder, carry_on(study, run, actor="Example Person", quiet=True)


@pytest.mark.parametrize(
    "name", ["segmentation-proposals", "assisted-detection", "autonomous-detection", "report-drafting"]
)
def test_shipped_protocols_can_be_measured_and_say_what_they_lack(name: str) -> None:
    protocol, lacking = check_protocol(ROOT / "protocols" / f"{name}.yaml")
    assert {finding.id for finding in lacking} <= {"INDEPENDENCE", "READERS"}
    for endpoint in protocol.endpoints:
        if endpoint.confirmatory:
            assert endpoint.rationale
            assert endpoint.sample_size is not None


def test_planted_errors_of_drafts_are_all_counted(tmp_path: Path) -> None:
    folder, results = run_small(tmp_path, "report-drafting", 120)
    with (folder / "answers" / "planted.csv").open(encoding="utf-8") as stream:
        planted = [row["error"] for row in csv.DictReader(stream)]
    counts = {
        kind: sum(error.startswith(kind) for error in planted) for kind in ("invented", "wrong side", "wrong size")
    }
    assert sum(counts.values()) > 2
    for endpoint, kind in (("E2", "invented"), ("S1", "wrong side"), ("S2", "wrong size")):
        found = results["endpoints"][endpoint]["estimate"]
        assert round(found["value"] * found["n"]) == counts[kind], kind
    assert results["endpoints"]["X3"]["estimate"]["value"] == 1.0


def test_contours_run_with_pictures(tmp_path: Path) -> None:
    folder, results = run_small(tmp_path, "segmentation", 6)
    assert results["endpoints"]["E2"]["estimate"]["value"] > 0.6
    assert results["endpoints"]["E1"]["verdict"]["outcome"] == "inconclusive"  # six patients support nothing
    assert list((folder / "runs").glob("*/images/*.contours.png"))
