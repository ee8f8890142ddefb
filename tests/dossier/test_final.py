"""A run is final only when nothing that its pathways require is open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from validation.digest import canonical_json
from validation.dossier.final import reasons_not_final
from validation.dossier.gaps import analyse, requests
from validation.study.narrative import write_requests


def test_every_open_block_of_every_pathway_is_a_reason(rendered: Path, tmp_path: Path) -> None:
    run = tmp_path / "study" / "runs" / rendered.name
    shutil.copytree(rendered, run)
    study = run.parent.parent
    file = run / "results.json"
    results = json.loads(file.read_text())
    results["claim"]["pathways"] = ["us_510k"]
    file.write_bytes(canonical_json(results))
    report = analyse(study, "low_dose_denoising", "us_510k", run_folder=run)
    reasons = reasons_not_final(run)
    assert len(reasons) == sum(r.blocking for r in report.artefacts) > 30
    assert any("Cybersecurity file is open" in reason for reason in reasons)
    write_requests(study, requests(report))
    for block in (study / "narrative").glob("*.md"):
        block.write_text(block.read_text() + "Written for a test.\n")
    left = reasons_not_final(run)  # written, and not yet shown by the documents that were rendered before
    assert left
    assert all("is missing" in reason for reason in left)
    assert sum("render again" in reason for reason in left) > 30
    results["claim"]["pathways"] = ["us_pma"]
    file.write_bytes(canonical_json(results))
    assert reasons_not_final(run) == ["us_pma: not for claims of the type low_dose_denoising"]
