"""The model card for machines, in the draft schema of the Coalition for Health AI (Applied Model Card, version 0.2).

The schema fixes the elements and their order. What the record holds fills them; where a person must add something, the
element says by whom, and never stays empty in silence.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from validation.dossier.printing import Pages
from validation.dossier.record import exact
from validation.protocol.claims import claim_facts
from validation.protocol.units import plural, unit_word

if TYPE_CHECKING:
    from validation.dossier.viewmodel import ViewModel

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"
_PERSON = "To be written by the developer."


def chai_card(view: ViewModel, pathway: str, pages: Pages) -> bytes:
    """Return the model card as XML."""
    card = ET.Element("AppliedModelCard", {"xmlns": NAMESPACE})
    card.append(ET.Comment(f" validation {view.record.raw('run.id')}/{pathway} "))
    _fill(card, _content(view))
    ET.indent(card)
    text = ET.tostring(card, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _fill(parent: ET.Element, content: dict[str, Any]) -> None:
    for name, value in content.items():
        for item in value if isinstance(value, list) else [value]:
            element = ET.SubElement(parent, name)
            if isinstance(item, dict):
                _fill(element, item)
            else:
                element.text = _allowed(str(item))


def _allowed(text: str) -> str:
    """Drop characters that XML cannot hold."""
    return "".join(
        c for c in text if c in "\t\n" or (ord(c) >= 32 and not 0xD800 <= ord(c) < 0xE000 and ord(c) < 0xFFFE)
    )


def _content(view: ViewModel) -> dict[str, Any]:
    results, has = view.record.results, view.has
    model, claim, cohort = results["model"], results["claim"], results["cohort"]
    facts = claim_facts(view.claim)
    population = view.record.printed("protocol:population.description") if has("protocol:population") else _PERSON
    avoided = "; ".join(str(entry["words"]) for entry in facts.get("forbidden_wording", []))
    open_ends = [
        f"{name}: {e['verdict']['outcome']}. {e['verdict']['reason']}"
        for name, e in results["endpoints"].items()
        if e["verdict"]["outcome"] in ("fail", "inconclusive", "error") and e["hypothesis"]["type"] != "descriptive"
    ]
    units = plural(unit_word(results))
    tested = f"{cohort['n_analysed']} cases of {cohort['n_clusters']} {units}. {results['study']['notice']}"
    judged = {n: e for n, e in results["endpoints"].items() if e["hypothesis"]["type"] != "descriptive"}
    safety = {n: e for n, e in judged.items() if e["role"] == "safety"}
    groups = {n: e for n, e in judged.items() if e.get("subgroups")}
    return {
        "BasicInfo": {"ModelName": model["name"], "ModelDeveloper": _PERSON, "DeveloperContact": _PERSON},
        "ReleaseInfo": {
            "ReleaseStage": _PERSON,
            "ReleaseDate": _PERSON,
            "ReleaseVersion": model["version"],
            "GlobalAvailability": _PERSON,
        },
        "ModelSummary": {"Summary": claim["statement"], "Keywords": {"Keyword": [claim["title"], model["family"]]}},
        "UsesAndDirections": {
            "IntendedUseAndWorkflow": claim["statement"],
            "PrimaryIntendedUsers": _PERSON,
            "HowToUse": _PERSON,
            "TargetedPatientPopulation": population,
            "CautionedOutOfScopeSettings": f"Outside the population that was tested. Not to be claimed: {avoided}.",
        },
        "Warnings": {
            "KnownRisksAndLimitations": " ".join([results["study"]["notice"], *open_ends]).strip()
            or "Every criterion was met; limits of the evidence stand in the performance validation report.",
            "KnownBiasesOrEthicalConsiderations": "Results by subgroup are given under FairnessEquity. " + _PERSON,
            "ClinicalRiskLevel": f"Strength level {claim['strength_level']} of the claim. {_PERSON}",
        },
        "TrustIngredients": {
            "AISystemFacts": {
                "OutcomesAndOutputs": claim["title"],
                "ModelType": f"{model['family']} ({model['kind']}), SHA-256 {model['sha256']}",
                "InputDataSource": population,
                "OutputAndInputDataTypes": _PERSON,
                "DevelopmentDataCharacterization": _PERSON,
                "BiasMitigationApproaches": _PERSON,
                "OngoingMaintenance": view.record.printed("protocol:monitoring.escalation")
                if has("protocol:monitoring.escalation")
                else _PERSON,
            },
            "TransparencyInformation": {"FundingSource": _PERSON, "StakeholdersConsulted": _PERSON},
        },
        "KeyMetrics": {
            "UsefulnessUsabilityEfficacy": _metric(view, {n: e for n, e in judged.items() if n not in safety}, tested),
            "FairnessEquity": _metric(view, groups, tested, by_group=True),
            "SafetyReliability": _metric(view, safety, tested),
        },
        "Resources": {
            "EvaluationReferences": f"Protocol {results['protocol']['id']} {results['protocol']['version']}, "
            f"digest {results['protocol']['digest']}",
            "PeerReviewedPublications": _PERSON,
            "PatientConsentOrDisclosure": _PERSON,
        },
        "Bibliography": _PERSON,
    }


def _metric(view: ViewModel, endpoints: dict[str, Any], tested: str, *, by_group: bool = False) -> dict[str, Any]:
    shown = []
    for name, e in endpoints.items():
        if not by_group:
            shown.append(_result(view, f"{name}.estimate", f"{name} {e['title']}: {e['verdict']['outcome']}"))
            continue
        for column, levels in e["subgroups"].items():
            for level in levels:
                identifier = f"{name}.subgroups.{column}.{level}.estimate"
                shown.append(_result(view, identifier, f"{name}, {column} {level}"))
    goal = "Criteria of the locked protocol, fixed before the data were opened."
    return {
        "MetricGoal": goal if shown else "No endpoint of the protocol is of this kind.",
        "Results": {"MetricResult": shown or [{"Label": "none", "ValueJson": "null"}]},
        "Interpretation": str(view.record.raw("proposal.reason")) + " " + _PERSON if shown else _PERSON,
        "TestType": "Standalone evaluation on a sealed holdout",
        "TestingDataDescription": tested,
        "ValidationProcessAndJustification": "Protocol locked before the holdout was opened; a confidence bound "
        "was compared with the margin; every number can be computed again from the stored measurements.",
    }


def _result(view: ViewModel, identifier: str, label: str) -> dict[str, str]:
    estimate = view.record.raw(identifier)
    numbers = {
        key: None if estimate[key] is None else json.loads(exact(view.record, f"{identifier}.{key}"))
        for key in ("value", "lower", "upper", "level", "n")
    }
    return {"Label": label, "ValueJson": json.dumps({"id": identifier, "unit": estimate["unit"], **numbers})}
