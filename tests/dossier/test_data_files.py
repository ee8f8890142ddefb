"""Files for machines: the form that their readers ask for, and numbers of the record."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

from validation.dossier.bill_of_materials import bill_of_materials
from validation.dossier.chai_card import NAMESPACE, chai_card
from validation.dossier.trace_tables import requirements_table, results_table
from validation.dossier.viewmodel import ViewModel

# Elements in the order of the draft schema, version 0.2; those that it makes optional are marked.
CHAI = {
    "AppliedModelCard": "BasicInfo ReleaseInfo ModelSummary UsesAndDirections Warnings TrustIngredients KeyMetrics "
    "Resources Bibliography",
    "BasicInfo": "ModelName ModelDeveloper DeveloperContact",
    "ReleaseInfo": "ReleaseStage ReleaseDate ReleaseVersion GlobalAvailability",
    "ModelSummary": "Summary Keywords",
    "UsesAndDirections": "IntendedUseAndWorkflow PrimaryIntendedUsers HowToUse TargetedPatientPopulation "
    "CautionedOutOfScopeSettings",
    "Warnings": "KnownRisksAndLimitations KnownBiasesOrEthicalConsiderations ClinicalRiskLevel",
    "TrustIngredients": "AISystemFacts TransparencyInformation",
    "AISystemFacts": "OutcomesAndOutputs ModelType InputDataSource OutputAndInputDataTypes "
    "DevelopmentDataCharacterization BiasMitigationApproaches OngoingMaintenance",
    "TransparencyInformation": "FundingSource StakeholdersConsulted",
    "KeyMetrics": "UsefulnessUsabilityEfficacy FairnessEquity SafetyReliability",
    "FairnessEquity": "MetricGoal Results Interpretation TestType TestingDataDescription "
    "ValidationProcessAndJustification",
    "MetricResult": "Label ValueJson",
    "Resources": "EvaluationReferences PeerReviewedPublications PatientConsentOrDisclosure",
}


def test_model_card_has_the_elements_of_the_schema_in_order(example_run: Path) -> None:
    view = ViewModel(example_run)
    root = ET.fromstring(chai_card(view, "us_510k", {}))  # noqa: S314 - our own
    assert root.tag == f"{{{NAMESPACE}}}AppliedModelCard"
    for node in root.iter():
        name = node.tag.rpartition("}")[2]
        if name in CHAI:
            assert [child.tag.rpartition("}")[2] for child in node] == CHAI[name].split(), name
        elif not len(node):
            assert (node.text or "").strip(), name
    shown = [json.loads(n.text or "") for n in root.iter(f"{{{NAMESPACE}}}ValueJson")]
    known = [s for s in shown if s]
    assert known
    for entry in known:
        raw = view.record.raw(entry["id"])
        assert (entry["value"], entry["lower"], entry["upper"]) == (raw["value"], raw["lower"], raw["upper"])


def test_bill_of_materials_is_valid_cyclonedx_and_the_same_bytes(example_run: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    view = ViewModel(example_run)
    data = bill_of_materials(view, "us_510k", {})
    assert bill_of_materials(ViewModel(example_run), "us_510k", {}) == data
    record = json.loads(data)
    assert record["specVersion"] == "1.6"
    assert {c["name"]: c["version"] for c in record["components"]} == view.record.raw("environment:packages")
    assert record["metadata"]["component"]["hashes"][0]["content"] == view.record.raw("model.sha256")
    try:
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())
    except Exception as missing:  # the schema validator is an extra of the library
        assert "MissingOptionalDependency" in type(missing).__name__  # noqa: PT017 - nothing to compare with
    else:
        assert problem is None


def test_tables_name_every_requirement_and_every_endpoint(example_run: Path) -> None:
    view = ViewModel(example_run)
    pages = {"performance_validation_report": {"": 16, "endpoint-E1": 3, "endpoints": 3}}
    rows = list(csv.DictReader(results_table(view, "us_510k", pages).decode().splitlines()))
    assert [r["endpoint"] for r in rows] == list(view.record.results["endpoints"])
    assert (rows[0]["page"], rows[0]["destination"]) == ("3", "performance_validation_report.pdf#endpoint-E1")
    assert float(rows[0]["lower"]) == view.record.raw("E1.estimate.lower")
    asked = list(csv.DictReader(requirements_table(view, "us_510k", pages).decode().splitlines()))
    assert len({r["requirement"] for r in asked}) == 298
    assert not [r for r in asked if r["answered_by"] in ("generated", "partly") and not r["document"]]
