"""Revalidation: run a new cohort or model under the locked criteria, and compare with a signed baseline."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from validation.change.assessment import assess
from validation.change.baseline import RunRecord, read_run, read_verified, require_same_criteria
from validation.change.constancy import constancy
from validation.change.decision import decide
from validation.change.difference import endpoint_difference
from validation.change.limits import header_drift, operating_limits
from validation.change.modification import judge_modification
from validation.change.shifted import shift_of_runs
from validation.change.triggers import Change, impact, revalidation_plan
from validation.change.workspace import last_accepted, open_workspace, register_path
from validation.cohort.open import open_cohort
from validation.digest import canonical_json, sha256_bytes, write_atomically
from validation.evidence.events import EVENTS_FILE, append_event, read_events, utc_now
from validation.evidence.keys import PublicKey
from validation.evidence.results import RESULTS_FILE
from validation.models.spec import ModelSpec
from validation.study.execute import begin, carry_on
from validation.study.prepare import require_lock
from validation.study.spec import Study

RECORD_FILE = "change/record.json"
REQUEST_FILE = "request.json"
SCHEMA = "validation.change/1"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be run and compared.

    Parameters
    ----------
    changes
        The declared changes.
    baseline, last
        Folders of the original run and of the run of the last version; without ``last``, the last change that a person
        accepted, if there is one.
    cohort
        Folder or table of a new cohort; the sealed cohort of the study if not given.
    model, facts, training_manifest
        The changed model, stated quantities about it, and its training cases.
    actor, device
        As for any run.
    trust, allow_unsigned
        For the verification of the baselines.
    """

    changes: Sequence[Change]
    baseline: Path
    actor: str
    last: Path | None = None
    cohort: Path | None = None
    model: ModelSpec | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    training_manifest: Path | None = None
    device: str = "auto"
    trust: dict[str, PublicKey] | None = None
    allow_unsigned: bool = False
    quiet: bool = True


def revalidate(study: Study, request: Request) -> tuple[Path, dict[str, Any]]:
    """Run, compare and propose; return the run folder (not closed yet) and the change record written into it.

    The baseline is verified first: its hashes, its signature, and its estimates computed again. The record
    (``change/record.json``) names it by the digest of its manifest.

    Raises
    ------
    IntegrityProblem
        CHG-003 if the baseline is not what was signed.
    ProtocolProblem
        CHG-004 if it was judged by other criteria.
    ValidationProblem
        Whatever refuses a run.
    """
    baseline = read_verified(request.baseline, trust=request.trust, allow_unsigned=request.allow_unsigned)
    protocol, _ = require_lock(study)
    require_same_criteria(baseline, protocol)
    last = last_version(study, request)
    impact(protocol, request.changes)  # refuses before anything is written
    named = "-".join(f"{change.kind}-{change.value}" for change in request.changes)
    reason = "revalidation after " + ", ".join(map(str, request.changes))
    made = open_workspace(
        study, baseline, name=named, actor=request.actor, reason=reason, cohort=request.cohort, model=request.model,
        training_manifest=request.training_manifest,
    )  # fmt: skip
    save_request(made.folder, request, baseline, last)
    run = begin(made, device=request.device, purpose=reason, actor=request.actor)
    return run, complete_revalidation(study, made, run, request, baseline, last)


def complete_revalidation(
    study: Study, made: Study, run: Path, request: Request, baseline: RunRecord, last: RunRecord | None
) -> dict[str, Any]:
    """Bring a begun run of a workspace to its results, compare it, and write and return the change record."""
    if not (run / RESULTS_FILE).exists():
        carry_on(made, run, actor=request.actor, quiet=request.quiet)
    new = read_run(run)
    asked = impact(new.protocol, request.changes)
    cohort = open_cohort(made.spec.cohort, made.folder).cases
    record = _compare(study, request, asked, new, baseline, last, cohort)
    write_record(run, record, request.actor, baseline)
    return record


def save_request(
    folder: Path, request: Request, baseline: RunRecord, last: RunRecord | None, *, modification: str | None = None
) -> None:
    """Write what was asked into the workspace, so that an interrupted change can be resumed."""
    write_atomically(
        folder / REQUEST_FILE,
        canonical_json(
            {
                "modification": modification,
                "changes": [[change.kind, change.value] for change in request.changes],
                "facts": dict(request.facts),
                "baseline": {"folder": _relative(baseline.folder, folder), "manifest_sha256": baseline.manifest_sha256},
                "last": last and {"folder": _relative(last.folder, folder), "manifest_sha256": last.manifest_sha256},
                "allow_unsigned": request.allow_unsigned,
            }
        ),
    )


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def compare_versions(new: RunRecord, others: Mapping[str, RunRecord | None]) -> dict[str, dict[str, Any]]:
    """Return, for each earlier version, how far every endpoint has moved; versions that are ``None`` are left out."""
    return {
        version: {
            endpoint.id: endpoint_difference(endpoint, new, other, paired=_same_cohort(new, other))
            for endpoint in new.protocol.endpoints
        }
        for version, other in others.items()
        if other is not None
    }


def write_record(run: Path, record: dict[str, Any], actor: str, baseline: RunRecord) -> None:
    """Write the change record into a run and enter the comparison in its events."""
    data = canonical_json(record)
    write_atomically(run / RECORD_FILE, data)
    append_event(
        run / EVENTS_FILE,
        actor=actor,
        action="compared-with-baseline",
        object_digest=baseline.manifest_sha256,
        reason=record["summary"],
        details={"record_sha256": sha256_bytes(data), "baseline": record["baseline"]["run"]},
    )


def register(study: Study, run: Path, record: dict[str, Any], *, manifest_sha256: str, actor: str) -> None:
    """Enter a closed change in the hash-chained register of the study, once."""
    if any(event.object_digest == manifest_sha256 for event in read_events(register_path(study))):
        return
    append_event(
        register_path(study),
        actor=actor,
        action="change-recorded",
        object_digest=manifest_sha256,
        reason=record["summary"],
        details={
            "kind": record["kind"],
            "changes": [f"{c['kind']}={c['value']}" for c in record["impact"]["changes"]],
            "folder": run.resolve().relative_to(study.folder).as_posix(),
            "baseline": record["baseline"]["manifest_sha256"],
        },
    )


def record_head(
    kind: str, new: RunRecord, baseline: RunRecord, last: RunRecord | None, *, actor: str, asked: Any
) -> dict[str, Any]:
    """Return what every change record begins with: what was run, under which criteria, against which versions."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "created": utc_now(),
        "actor": actor,
        "study": new.results["study"] | {"title": baseline.results["study"]["title"]},
        "protocol": new.results["protocol"],
        "claim": {key: new.results["claim"][key] for key in ("type", "title", "statement")},
        "run": describe(new),
        "baseline": baseline.link(),
        "last": last.link() if last is not None else None,
        "impact": asked,
        "endpoints": new.results["endpoints"],
    }


def describe(new: RunRecord) -> dict[str, Any]:
    """Return what the record says of its own run."""
    keys = ("n_listed", "n_eligible", "n_rejected", "n_analysed", "n_clusters", "manifest_sha256")
    return {
        "run": new.results["run"]["id"],
        "draft": bool(new.results["run"]["draft"]),
        "draft_reasons": new.results["run"]["draft_reasons"],
        "finished": new.results["run"]["finished"],
        "model": {key: new.results["model"].get(key) for key in ("name", "version", "sha256")},
        "cohort": {key: new.results["cohort"][key] for key in keys},
        "proposal": new.results["proposal"],
    }


def _compare(
    study: Study,
    request: Request,
    asked: dict[str, Any],
    new: RunRecord,
    baseline: RunRecord,
    last: RunRecord | None,
    cohort: pd.DataFrame,
) -> dict[str, Any]:
    plan = revalidation_plan(new.protocol)
    comparisons = compare_versions(new, {"original": baseline, "last": last})
    judged = _modifications(asked, request, new, cohort, comparisons)
    covering = next((m for m in judged.values() if m["within"]), None)
    record: dict[str, Any] = {
        **record_head("revalidation", new, baseline, last, actor=request.actor, asked=asked),
        "baseline_endpoints": {
            k: {"estimate": e["estimate"], "verdict": e["verdict"], "unit": e["unit"], "summary": e["summary"],
                "hypothesis": e["hypothesis"], "direction": e["direction"]}
            for k, e in baseline.results["endpoints"].items()
        },
        "differences": comparisons["original"],
        "differences_last": comparisons.get("last", {}),
        "constancy": constancy(new, baseline),
        "operating_limits": operating_limits(cohort, plan.operating_limits),
        "header_drift": header_drift(study, cohort, asked["explains"]),
        "shift": shift_of_runs(new, baseline),
        "modification": covering,
        "modifications": judged,
        "clauses_broken": {
            name: [c for c in m["clauses"] if not c["met"]] for name, m in judged.items() if not m["within"]
        },
    }  # fmt: skip
    record = json.loads(canonical_json(record))  # in the order in which it is read again
    proposal = decide(record)
    record["assessments"] = assess(record)
    record["proposal"] = proposal.to_dict()
    record["summary"] = f"Proposed: {proposal.use}; route: {record['proposal']['route_title'].lower()}."
    return record


def _modifications(
    asked: dict[str, Any],
    request: Request,
    new: RunRecord,
    cohort: pd.DataFrame,
    comparisons: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    if new.protocol.change_protocol is None:
        return {}
    return {
        m.id: judge_modification(m, new, cohort, facts=request.facts, comparisons=comparisons)
        for m in new.protocol.change_protocol.modifications
        if m.id in asked["modifications"]
    }


def last_version(study: Study, request: Request) -> RunRecord | None:
    """Return the verified run of the last version, ``None`` if the baseline is the only one there is."""
    folder = request.last or last_accepted(study)
    if folder is None or folder.resolve() == request.baseline.resolve():
        return None
    record = read_verified(folder, trust=request.trust, allow_unsigned=request.allow_unsigned)
    protocol, _ = require_lock(study)
    require_same_criteria(record, protocol)
    return record


def _same_cohort(new: RunRecord, other: RunRecord) -> bool:
    digests = [run.results["cohort"]["manifest_sha256"] for run in (new, other)]
    return digests[0] is not None and digests[0] == digests[1]
