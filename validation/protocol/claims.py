"""The claim catalogue, and what a protocol lacks for the claim it makes.

The catalogue is data (``templates/catalogue/claims.yaml``). What is found here are warnings: a protocol may be locked
with them, but each is listed in its dossier, because a reviewer will find them too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from validation.data import shipped
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol


@dataclass(frozen=True)
class Finding:
    """Something a reviewer will ask about."""

    id: str
    place: str
    text: str
    action: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields, for ``--json``."""
        return {"id": self.id, "place": self.place, "text": self.text, "action": self.action}


@cache
def catalogue() -> dict[str, Any]:
    """Return the claim catalogue as plain data."""
    data: dict[str, Any] = yaml.safe_load(shipped("templates", "catalogue", "claims.yaml").read_text(encoding="utf-8"))
    return data


def claim_facts(claim_type: str) -> dict[str, Any]:
    """Return the catalogue entry of a claim type."""
    entry: dict[str, Any] = catalogue()["claims"][claim_type]
    return entry


def warnings(protocol: Protocol) -> list[Finding]:
    """Return what the protocol lacks for its claim, most serious first; an empty list is a good protocol."""
    facts = claim_facts(protocol.claim.type)
    return [
        *_evidence(protocol, facts),
        *_design(protocol, facts),
        *_endpoints(protocol),
        *_wording(protocol, facts),
        *_pathways(protocol, facts),
    ]


def _evidence(protocol: Protocol, facts: dict[str, Any]) -> list[Finding]:
    found = []
    confirmatory = {name for e in protocol.endpoints if e.confirmatory for name in _names(e)}
    every = {name for e in protocol.endpoints for name in _names(e)}
    for expected in facts["expects"]:
        here = confirmatory if expected["confirmatory"] else every
        if not here & set(expected["metrics"]):
            kind = "confirmatory endpoint" if expected["confirmatory"] else "endpoint"
            found.append(
                Finding(
                    "CLAIM-EVIDENCE",
                    "endpoints",
                    f"the claim {facts['title']!r} (strength level {facts['strength_level']}) has no {kind} for "
                    f"{expected['evidence']}.",
                    f"Add one of: {', '.join(expected['metrics'])}.",
                )
            )
    return found


def _names(endpoint: Endpoint) -> tuple[str, str]:
    """Return how the catalogue may name an endpoint: by its metric, or by metric and summary."""
    return endpoint.metric.name, f"{endpoint.metric.name}/{endpoint.summary}"


def _design(protocol: Protocol, facts: dict[str, Any]) -> list[Finding]:
    found = []
    population = protocol.population
    level = facts["strength_level"]
    if not population.subgroups:
        found.append(
            Finding(
                "SUBGROUPS",
                "population.subgroups",
                "no subgroup is planned.",
                "Plan at least sex, age and acquisition.",
            )
        )
    if not population.target:
        found.append(
            Finding(
                "TARGET",
                "population.target",
                "the target population has no expected proportions, so representativeness cannot be shown.",
                "State proportions per column, with their source in the description.",
            )
        )
    if protocol.independence is None:
        found.append(
            Finding(
                "INDEPENDENCE",
                "independence",
                "nothing shows that test patients were not used in training.",
                "Name the training manifest and the columns that must be disjoint.",
            )
        )
    if not protocol.data_quality:
        found.append(
            Finding("DATA-QUALITY", "data_quality", "no data-quality rule is stated.", "State rules for key columns.")
        )
    if not protocol.claim.hazards:
        suggestion = "; ".join(h["description"] for h in facts["hazards"][:3])
        found.append(Finding("HAZARDS", "claim.hazards", "no hazard is named.", f"Known for this claim: {suggestion}."))
    controlled = {h for e in protocol.endpoints for h in e.hazards}
    found += [
        Finding(
            "HAZARD-UNTESTED",
            "claim.hazards",
            f"hazard {hazard.id} has no endpoint that tests it.",
            "Name it in the `hazards` of an endpoint, or explain its control elsewhere in the risk file.",
        )
        for hazard in protocol.claim.hazards
        if hazard.id not in controlled
    ]
    if level >= 3 and protocol.reader_study is None:
        found.append(
            Finding(
                "READERS",
                "reader_study",
                f"claims of strength level {level} are expected to have a reader study: {facts['reader_study']}.",
                "Plan one with `validation readers plan`.",
            )
        )
    if protocol.claim.model_family == "diffusion" and protocol.execution.draws < 2:
        found.append(
            Finding(
                "SAMPLER",
                "execution.draws",
                "a diffusion model is evaluated on one draw, so sampler variance stays unknown.",
                "Set `draws` to 2 or more.",
            )
        )
    judged = [e for e in protocol.endpoints if e.confirmatory]
    if len(judged) > 1 and protocol.multiplicity.method == "none":
        found.append(
            Finding(
                "MULTIPLICITY",
                "multiplicity",
                f"{len(judged)} confirmatory endpoints are judged without control of the family-wise error.",
                "Choose a method.",
            )
        )
    return found


def _endpoints(protocol: Protocol) -> list[Finding]:
    found = []
    for endpoint in protocol.endpoints:
        if not endpoint.confirmatory:
            continue
        place = f"endpoints[{endpoint.id}]"
        if not endpoint.rationale:
            found.append(
                Finding(
                    "RATIONALE",
                    f"{place}.rationale",
                    f"the margin of {endpoint.id} has no clinical rationale.",
                    "Say why a difference of that size does not (or does) matter to patients.",
                )
            )
        if endpoint.sample_size is None:
            found.append(
                Finding(
                    "SAMPLE-SIZE",
                    f"{place}.sample_size",
                    f"{endpoint.id} has no sample-size justification.",
                    "State planned clusters, power, assumed effect, its SD and the source.",
                )
            )
        if endpoint.hypothesis.unit is None:
            found.append(
                Finding("UNIT", f"{place}.hypothesis.unit", f"the margin of {endpoint.id} has no unit.", "State it.")
            )
    return found


def _wording(protocol: Protocol, facts: dict[str, Any]) -> list[Finding]:
    found = []
    statement = re.sub(r"\s+", " ", protocol.claim.statement).lower()
    for entry in facts["forbidden_wording"]:
        # "enables X% dose reduction" stands for any number
        pattern = re.escape(entry["words"].lower()).replace("x%", r"[\d.,]+ ?%")
        if re.search(pattern, statement):
            unless = f" (unless: {entry['unless']})" if "unless" in entry else ""
            found.append(
                Finding(
                    "WORDING",
                    "claim.statement",
                    f"the statement uses wording this claim cannot carry: {entry['words']!r}{unless}.",
                    "Reword the claim or add the evidence it needs.",
                )
            )
    return found


def _pathways(protocol: Protocol, facts: dict[str, Any]) -> list[Finding]:
    return [
        Finding(
            "PATHWAY",
            "claim.pathways",
            f"pathway {pathway} does not apply to a claim of this type.",
            "Choose another pathway or another claim type.",
        )
        for pathway in protocol.claim.pathways
        if facts["pathways"].get(pathway, {}).get("applicability") == "not_applicable"
    ]
