"""No requirement, artefact or package can vanish from the catalogue, and no reference in it leads nowhere."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from validation.data import shipped
from validation.errors import ProtocolProblem
from validation.protocol.catalogue import (
    ArtefactsFile,
    MatrixFile,
    PackagesFile,
    RegulatoryCatalogue,
    RequirementsFile,
    agree,
    load_catalogue,
    regulatory_catalogue,
)
from validation.protocol.claims import catalogue as claim_catalogue
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import ClaimType, Pathway

FILES: dict[str, tuple[str, type[BaseModel]]] = {
    "requirements.yaml": ("asked", RequirementsFile),
    "artefacts.yaml": ("kinds", ArtefactsFile),
    "packages.yaml": ("order", PackagesFile),
    "matrix.yaml": ("wanted", MatrixFile),
}
FOLDER = shipped("templates", "catalogue")


def changed(folder: Path, file: str, old: str, new: str) -> RegulatoryCatalogue:
    """Return the catalogue with one file changed in one place."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    field, model = FILES[file]
    return agree(replace(regulatory_catalogue(), **{field: load_yaml_model(folder / file, model)}))


def test_counts_by_hand() -> None:
    regulations = regulatory_catalogue()
    assert len(regulations.requirements) == 298
    assert len(regulations.artefacts) == 69
    assert set(regulations.packages) == set(get_args(Pathway))
    assert len(regulations.packages) == 8
    assert set(regulations.wanted.matrix) == set(get_args(ClaimType))
    assert sum(len(row) for row in regulations.wanted.matrix.values()) == 12 * 8
    found = regulations.requirements.values()
    assert Counter(r.generation for r in found) == {"partial": 163, "full": 80, "manual": 55}
    assert Counter(r.verified for r in found) == {True: 213, False: 85}
    assert Counter(regulations.sources[r.id].jurisdiction for r in found) == {"US": 177, "EU": 66, "INT": 55}
    # the plain text of the file agrees with what was read
    text = (FOLDER / "requirements.yaml").read_text(encoding="utf-8")
    assert len(re.findall(r"^  - id: \S+$", text, re.MULTILINE)) == 298


def test_every_requirement_is_asked_somewhere_and_dated() -> None:
    regulations = regulatory_catalogue()
    packaged = {i for package in regulations.packages.values() for i in package.requirement_ids()}
    assert packaged == set(regulations.requirements)
    assert {s.as_of for s in regulations.asked.sources} == {"2026-11-22"}
    drafts = {s.document for s in regulations.asked.sources if s.draft}
    assert len(drafts) == 3
    assert any("Lifecycle Management" in name for name in drafts)  # a draft of January 2025, never called final


def test_claim_catalogue_agrees_with_the_matrix() -> None:
    regulations = regulatory_catalogue()
    for claim, row in regulations.wanted.matrix.items():
        facts = claim_catalogue()["claims"][claim]
        assert facts["pathways"] == {p: {"applicability": c.applicability} for p, c in row.items()}
        assert set(facts["requirements"]) <= set(regulations.requirements)
        assert facts["strength_level"] in {step.level for step in regulations.wanted.ladder}


def test_nothing_speaks_of_where_a_copy_was_found() -> None:
    words = re.compile(
        r"\bS-[A-Z0-9]{2,}|github|\bseed [12]\b|seed article|\bbrief\b|/work/|conversation|\bour\b", re.I
    )
    for file in sorted(FOLDER.rglob("*.yaml")):
        if file.name not in ("claims.yaml", "changes.yaml"):
            assert not words.search(file.read_text(encoding="utf-8")), file.name


def test_why_not() -> None:
    regulations = regulatory_catalogue()
    predicate = regulations.requirements["US-807-004"]
    assert regulations.why_not(predicate, "low_dose_denoising", "us_510k") == ""
    assert "us_510k" in regulations.why_not(predicate, "low_dose_denoising", "eu_ce_mdr")
    assert "claims of this type" in regulations.why_not(predicate, "ehr_synthesis", "us_510k")
    # named by the package although the requirement itself does not list the pathway
    supplier = regulations.requirements["US-QMSR-006"]
    assert "internal_validation" not in supplier.pathways
    assert regulations.why_not(supplier, "low_dose_denoising", "internal_validation") == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("requirements.yaml", "id: US-PCCP-002\n", "id: US-PCCP-001\n", "US-PCCP-001 is there 2 times"),
        ("requirements.yaml", "artefacts: [pccp]", "artefacts: [pcpc]", "'pcpc'"),
        ("requirements.yaml", "claims: [model_claims]", "claims: [modelclaims]", "'modelclaims'"),
        ("artefacts.yaml", "  audit_bundle:\n", "  audit_bundel:\n", "'audit_bundle'"),
        ("packages.yaml", "requirements: [US-ESTAR-001", "requirements: [US-ESTAR-901", "'US-ESTAR-901'"),
        ("packages.yaml", "data: [claim, ", "data: [clame, ", "'clame'"),
        ("matrix.yaml", "required: [protocol_sap", "required: [protocol_spa", "'protocol_spa'"),
    ],
)
def test_broken_reference_is_named(tmp_path: Path, file: str, old: str, new: str, named: str) -> None:
    with pytest.raises(ProtocolProblem, match=re.escape(named)) as caught:
        changed(tmp_path, file, old, new)
    assert caught.value.code == "PROT-050"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    verification: B\n    verified: true", "    verification: K\n    verified: true", "cannot be verified"),
        ("    generation: partial", "    generation: partly", "generation"),
        ("    evidence: ", "    evidences: ", "did you mean 'evidence'"),
        ("  as_of: '2026-11-22'\n  requirements", "  requirements", "as_of is missing"),
    ],
)
def test_schema_refuses(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ProtocolProblem, match=said):
        changed(tmp_path, "requirements.yaml", old, new)


def test_shipped_files_are_read_from_one_folder() -> None:
    assert load_catalogue(FOLDER).requirements == regulatory_catalogue().requirements


@pytest.mark.shared
def test_every_id_of_the_project_data_is_here(shared: Path) -> None:
    folder = shared / "regulatory"
    asked = yaml.safe_load((folder / "requirements.yaml").read_text(encoding="utf-8"))
    packages = yaml.safe_load((folder / "packages.yaml").read_text(encoding="utf-8"))
    regulations = regulatory_catalogue()
    assert {r["id"] for r in asked["requirements"]} == set(regulations.requirements)
    assert set(packages["artefacts"]) == set(regulations.artefacts)
    for entry in asked["requirements"]:
        mine = regulations.requirements[entry["id"]]
        assert regulations.claims_of(mine) == set(entry["applies_to"]["claims"])
        assert set(mine.pathways) == set(entry["applies_to"]["pathways"])
        assert mine.artefacts == entry["artefact"]
        assert (mine.generation, mine.verified) == (entry["can_be_generated"], entry["verified"])
        assert mine.verification == entry["verification"]["level"]
    for claim, row in packages["matrix"].items():
        for pathway, cell in row.items():
            mine_cell = regulations.cell(claim, pathway)
            assert mine_cell.required == cell.get("required", [])
            assert mine_cell.conditional == cell.get("conditional", [])
