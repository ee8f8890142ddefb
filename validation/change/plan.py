"""The change control plan as one record: modifications, protocol, impact assessment and the table that joins them.

Three parts, as the guidance on predetermined change control plans has them (FDA, edition of 2025-08-18, V to VIII): a
description of modifications; a modification protocol of four components (data management, re-training, performance
evaluation, update procedures); an impact assessment (benefits, risks, mitigations, cumulative). All comes from the
protocol; a part that the protocol leaves empty is listed as a gap, not invented.
"""

from __future__ import annotations

from typing import Any

from validation.change.assessment import assess
from validation.change.modification import bound_text
from validation.change.triggers import catalogue
from validation.errors import UsageProblem
from validation.protocol.change_schema import ChangeProtocol, Modification
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.lock import Lock
from validation.protocol.schema import Protocol

SCHEMA = "validation.change-plan/1"
UNSTATED = "not stated"
COMPONENTS = ("data_management", "retraining", "performance_evaluation", "update_procedure")
EXPECTED = ("rationale", "implementation", "scope", "frequency", "data_management", "retraining", "update_procedure",
            "benefits", "risks", "mitigations")  # fmt: skip


def change_plan(protocol: Protocol, *, digest: str, record: Lock | None, title: str, notice: str) -> dict[str, Any]:
    """Return the change control plan of a protocol as plain data.

    Parameters
    ----------
    protocol
        With ``change_protocol``.
    digest
        Digest of the protocol.
    record
        Its lock; ``None`` for a draft.
    title, notice
        Of the study.

    Raises
    ------
    UsageProblem
        CHG-010 if the protocol has no change protocol, CHG-012 if a modification names an endpoint that does not exist.
    """
    plan = protocol.change_protocol
    if plan is None:
        raise UsageProblem(
            "the protocol has no change protocol.",
            code="CHG-010",
            where="change_protocol",
            why="Only a change that was described beforehand can be inside a plan.",
            action="Describe the modifications under `change_protocol`.",
        )
    _check_names(plan, protocol)
    return {
        "schema": SCHEMA,
        "study": {"title": title, "notice": notice},
        "protocol": {
            "id": protocol.id, "version": protocol.version, "title": protocol.title, "digest": digest,
            "locked_at": record.locked_at if record else "", "locked_by": record.locked_by if record else "",
        },
        "claim": {"statement": protocol.claim.statement, "type": protocol.claim.type},
        "modifications": [_modification(m, protocol) for m in plan.modifications],
        "traceability": [_trace(m) for m in plan.modifications],
        "cumulative_impact": plan.cumulative_impact or UNSTATED,
        "labelling": plan.labelling or UNSTATED,
        "revalidation": _revalidation(protocol),
        "history": _history(plan, record),
        "assessments": assess({}),
        "gaps": _gaps(plan),
        "catalogue_as_of": catalogue()["meta"]["as_of"],
    }  # fmt: skip


def criterion_text(endpoint: Endpoint) -> str:
    """Return what an endpoint must show, in one line with its numbers as declared.

    >>> from validation.protocol.endpoint_schema import Hypothesis, MetricChoice
    >>> criterion_text(Endpoint(id="E1", role="primary", title="Bias", metric=MetricChoice(name="hu_bias"),
    ...     summary="mean", hypothesis=Hypothesis(type="equivalence", margin=5.0, unit="HU")))
    'equivalence, margin 5 HU, one-sided alpha 0.025'
    """
    hypothesis = endpoint.hypothesis
    if hypothesis.type == "descriptive":
        return "descriptive: reported, not judged"
    unit = "" if hypothesis.unit in (None, "1") else f" {hypothesis.unit}"
    if hypothesis.lower is not None:
        margin = f"from {hypothesis.lower:g} to {hypothesis.upper:g}{unit}"
    else:
        margin = f"margin {hypothesis.margin or 0.0:g}{unit}"
    text = f"{hypothesis.type.replace('_', '-')}, {margin}, one-sided alpha {hypothesis.alpha:g}"
    return text.replace(" -", " \u2212")


def _modification(modification: Modification, protocol: Protocol) -> dict[str, Any]:
    endpoints = [protocol.endpoint(name) for name in modification.endpoints]
    return {
        "id": modification.id,
        "description": modification.description,
        "kind": modification.kind.replace("_", " "),
        "rationale": modification.rationale or UNSTATED,
        "implementation": modification.implementation or UNSTATED,
        "scope": modification.scope or UNSTATED,
        "frequency": modification.frequency or UNSTATED,
        "bounds": [bound_text(bound) for bound in modification.bounds],
        "components": {
            "data_management": modification.data_management or UNSTATED,
            "retraining": modification.retraining or UNSTATED,
            "update_procedure": modification.update_procedure or UNSTATED,
        },
        "criteria": [
            {
                "id": e.id, "title": e.title, "role": e.role, "criterion": criterion_text(e),
                "metric": e.metric.key(), "summary": e.summary, "rationale": e.rationale or "",
                "hazards": list(e.hazards),
            }
            for e in endpoints
        ],
        "benefits": modification.benefits or [UNSTATED],
        "risks": modification.risks or [UNSTATED],
        "mitigations": modification.mitigations or [UNSTATED],
    }  # fmt: skip


def _trace(modification: Modification) -> dict[str, Any]:
    """Return the row of the traceability table: modification by the four components and the impact assessment."""
    return {
        "id": modification.id,
        "data_management": modification.data_management or UNSTATED,
        "retraining": modification.retraining or UNSTATED,
        "performance_evaluation": ", ".join(modification.endpoints),
        "update_procedure": modification.update_procedure or UNSTATED,
        "risks": "; ".join(modification.risks) or UNSTATED,
        "mitigations": "; ".join(modification.mitigations) or UNSTATED,
    }


def _revalidation(protocol: Protocol) -> dict[str, Any]:
    plan = protocol.change_protocol.revalidation if protocol.change_protocol else None
    if plan is None:
        return {}
    return {
        "operating_limits": [bound_text(bound) for bound in plan.operating_limits],
        "release_limits": [
            {
                "id": limit.endpoint, "title": protocol.endpoint(limit.endpoint).title, "rationale": limit.rationale,
                "limit": f"{limit.test.replace('_', '-')}, margin {limit.margin:g}",
            }
            for limit in plan.release_limits
        ],
        "constancy": [
            {
                "id": check.id, "title": protocol.endpoint(check.endpoint).title, "rationale": check.rationale,
                "limit": f"{check.arm}: within {check.tolerance:g}",
            }
            for check in plan.constancy
        ],
    }  # fmt: skip


def _history(plan: ChangeProtocol, record: Lock | None) -> list[dict[str, str]]:
    rows = [{"version": v.version, "date": v.date, "changes": v.changes, "by": ""} for v in plan.history]
    for amendment in record.amendments if record else []:
        touched = [c for c in amendment.changes if str(c["path"]).startswith("change_protocol")]
        if touched:
            names = ", ".join(str(c["path"]).removeprefix("change_protocol.") for c in touched[:5])
            rows.append(
                {
                    "version": amendment.version,
                    "date": amendment.amended_at[:10],
                    "changes": f"{amendment.reason} ({names})",
                    "by": amendment.amended_by,
                }
            )
    return rows


def _gaps(plan: ChangeProtocol) -> list[str]:
    found = [
        f"{m.id}: {name.replace('_', ' ')} is not stated"
        for m in plan.modifications
        for name in EXPECTED
        if not getattr(m, name)
    ]
    found += [
        f"{name} is not stated" for name in ("cumulative_impact", "labelling", "history") if not getattr(plan, name)
    ]
    for m in plan.modifications:
        found += [
            f"{m.id}: {b.quantity} has no limit" for b in m.bounds if not b.allowed and b.minimum is b.maximum is None
        ]
    return [text.replace("_", " ") for text in found]


def _check_names(plan: ChangeProtocol, protocol: Protocol) -> None:
    """Refuse a plan that names endpoints which the protocol does not have."""
    known = {endpoint.id for endpoint in protocol.endpoints}
    named = {f"modifications[{m.id}]": set(m.endpoints) for m in plan.modifications}
    if plan.revalidation:
        named["revalidation.release_limits"] = {limit.endpoint for limit in plan.revalidation.release_limits}
        named["revalidation.constancy"] = {check.endpoint for check in plan.revalidation.constancy}
    for place, names in named.items():
        if names - known:
            raise UsageProblem(
                f"the change protocol names endpoints that the protocol lacks: {', '.join(sorted(names - known))}.",
                code="CHG-012",
                where=f"change_protocol.{place}",
                why="A criterion that is bound to no endpoint cannot be tested.",
                action=f"Name one of {', '.join(sorted(known))}.",
            )
