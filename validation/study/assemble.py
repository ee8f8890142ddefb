"""Putting the record together: one dictionary that every number in every document comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from validation.protocol.claims import claim_facts
from validation.protocol.load import load_yaml_model
from validation.protocol.lock import Lock
from validation.protocol.schema import Protocol
from validation.study.examine import read_check
from validation.study.samples import read_cases
from validation.study.spec import StudySpec

SCHEMA = "validation.results/1"


def run_section(inputs: dict[str, Any], finished: str) -> dict[str, Any]:
    """Return what a record says of one execution, from ``inputs.json`` and the UTC time at which judging finished."""
    told = {key: inputs[key] for key in ("started", "draft_reasons", "purpose", "openings", "device")}
    return {"id": inputs["run"], "finished": finished, "draft": bool(inputs["draft_reasons"]), **told}


def protocol_section(inputs: dict[str, Any], record: Lock, protocol: Protocol) -> dict[str, Any]:
    """Return what a record says of the protocol it was made under, and of its lock."""
    return {
        "id": protocol.id,
        "version": protocol.version,
        "title": protocol.title,
        "digest": inputs["protocol_digest"],
        "locked_at": record.locked_at,
        "locked_by": record.locked_by,
    }


def assemble(
    run: Path, record: Lock, protocol: Protocol, inputs: dict[str, Any], sections: dict[str, Any], *, finished: str
) -> dict[str, Any]:
    """Return the results of a run, as described in ``docs/architecture.md``.

    Parameters
    ----------
    run
        The run folder, measured.
    record
        The lock that the run was begun under.
    protocol
        The protocol that was applied (that of the lock, or another one when a run is judged again).
    inputs
        Content of ``inputs.json``.
    sections
        What :func:`validation.study.judge.judge` returned.
    finished
        UTC time at which judging finished.
    """
    spec = load_yaml_model(run / "study.yaml", StudySpec)
    facts = claim_facts(protocol.claim.type)
    cases = read_cases(run)
    flow = read_check(run, "flow")
    analysed = cases[cases["status"] == "analysed"]
    rejected = cases[cases["status"] == "rejected"]
    return {
        "schema": SCHEMA,
        "run": run_section(inputs, finished),
        "study": {"id": spec.id, "title": spec.title, "notice": spec.notice},
        "protocol": {**protocol_section(inputs, record, protocol), "amendments": len(record.amendments)},
        "claim": {
            "type": protocol.claim.type,
            "title": facts["title"],
            "statement": protocol.claim.statement,
            "strength_level": facts["strength_level"],
            "pathways": list(protocol.claim.pathways),
            "hazards": [h.model_dump() for h in protocol.claim.hazards],
        },
        "model": read_check(run, "model") | {"draws": protocol.execution.draws},
        "cohort": {
            "n_listed": flow["n_listed"],
            "n_eligible": flow["n_eligible"],
            "n_excluded": flow["n_excluded"],
            "n_rejected": len(rejected),
            "n_analysed": len(analysed),
            "n_clusters": int(analysed["cluster"].nunique()),
            "independent_unit": protocol.population.independent_unit,
            "manifest_sha256": inputs["cohort_manifest"],
            "exclusions": flow["exclusions"],
            "rejections": [{"case_id": str(case), "reason": str(row["reason"])} for case, row in rejected.iterrows()],
        },
        "data_quality": read_check(run, "data_quality"),
        "independence": read_check(run, "independence"),
        "representativeness": read_check(run, "representativeness"),
        "missing_covariates": read_check(run, "missing_covariates"),
        **({"shift": shift} if (shift := read_check(run, "shift")) else {}),
        **sections,
    }
